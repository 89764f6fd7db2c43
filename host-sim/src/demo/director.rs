//! The story: who is lost when and how, who comes back when, and the clients that look.
//!
//! The director kills, stops and starts processes and asks as a client would. It never speaks to the plugin, and it waits for
//! what the plugin does by its reports alone. Called by `demo::run`.

use std::net::SocketAddrV4;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::cast::{CAST, FAILOVER, FAILOVER_CLIENTS, KILLED_IN, Loss, Member};
use super::http;
use super::recording::{gaps, segments};
use super::server::Status;
use super::stage::Stage;
use super::summary::CameraGaps;
use super::timeline::{Entry, Severity};
use super::world::Machine;

/// Simulated time between two losses, and for which a server is out of sight before it comes back.
const A_MOMENT_S: u64 = 20;
/// Simulated time that anything without a timeout of its own may take.
const A_WHILE_S: u64 = 60;

/// Plays the story from beginning to end.
///
/// # Errors
/// Something did not happen, or the demo was interrupted.
pub fn play(stage: &mut Stage) -> Result<()> {
    open(stage)?;
    let [arena, bridge, campus, depot] = &CAST;
    crash(stage, arena)?;
    lose_power(stage, bridge)?;
    stop(stage, campus)?;
    for turn in 0..CAST.len() {
        let member = wait_for_takeover(stage, turn)?;
        if turn == 0 {
            hang(stage, depot)?;
            wait_for_the_queue(stage)?;
        }
        bring_back(stage, member)?;
    }
    close(stage)
}

/// The gaps in the recordings of each server's cameras, from the files.
#[must_use]
pub fn recorded_gaps(stage: &Stage) -> Vec<Vec<CameraGaps>> {
    let store = |machine: &Machine| {
        let stand_in = machine.stand_in.as_ref().map(|stand_in| stand_in.store.clone());
        stand_in.unwrap_or_else(|| stage.places.failover().join("store").join(machine.member.id))
    };
    let camera = |machine: &Machine, (id, name): &(&str, &str)| CameraGaps {
        camera: (*id).to_owned(),
        name: (*name).to_owned(),
        gaps: gaps(&segments(&stage.places.recordings(machine.member).join(id)), &segments(&store(machine).join(id))),
    };
    let machines = stage.world.machines.iter();
    machines.map(|machine| machine.member.cameras.iter().map(|it| camera(machine, it)).collect()).collect()
}

fn entry(stage: &Stage, member: &Member, text: impl Into<String>) -> Entry {
    Entry::new(stage.now_ms(), "story", text).of(member.id)
}

/// Starts everything; ends when every server lives, records, has let the failover server in, is backed up and answers clients.
fn open(stage: &mut Stage) -> Result<()> {
    stage.start_failover(Some(KILLED_IN))?;
    let ready = |stage: &Stage| stage.world.plugin.is_some() && stage.world.joined;
    stage.until("the failover server is ready", A_WHILE_S, ready)?;
    for member in &CAST {
        let (count, address) = (member.cameras.len(), server_address(stage, member));
        let text = format!("starts: {count} cameras, answers clients at {address}");
        let told = entry(stage, member, text);
        stage.tell(&told)?;
        stage.start_server(member)?;
    }
    let lives = |machine: &Machine| machine.health == "keep_alive" && machine.authorized && machine.backed_up;
    stage.until("all servers live", A_WHILE_S, |stage| stage.world.machines.iter().all(lives))?;
    for member in &CAST {
        let address = server_address(stage, member);
        let at = look_as_client(stage, member, address, member.id)?;
        stage.world.note(member.id, |machine| machine.clients.before = Some(at));
    }
    Ok(())
}

fn server_address(stage: &Stage, member: &Member) -> SocketAddrV4 {
    SocketAddrV4::new(member.address, stage.places.port)
}

/// Asks as a client, until the right server answers with all its cameras and recordings newer than now. Gives the instant.
fn look_as_client(stage: &mut Stage, member: &Member, address: SocketAddrV4, recorder: &str) -> Result<u64> {
    let since_ms = stage.clock.utc_ms(stage.clock.now_ns());
    let what = format!("a client at {address} sees {}", member.name);
    let look = || -> Result<Status> {
        let status: Status = serde_json::from_value(http::get(address, "/status")?).context("not a status")?;
        check_status(&status, member, recorder, since_ms)?;
        Ok(status)
    };
    let status = stage.obtain(&what, A_WHILE_S, look)?;
    let cameras: Vec<&str> = status.cameras.iter().map(|camera| camera.name.as_str()).collect();
    let place = if recorder == FAILOVER { "the failover server" } else { "its own machine" };
    let text = format!("a client at {address} sees its {} cameras live, from {place}", cameras.len());
    let told = Entry::new(stage.now_ms(), "client", text)
        .of(member.id)
        .as_(Severity::Note)
        .with("address", address.to_string())
        .with("cameras", cameras.clone())
        .with("recorder", recorder);
    stage.tell(&told)?;
    Ok(stage.clock.now_ns())
}

fn check_status(status: &Status, member: &Member, recorder: &str, since_ms: u64) -> Result<()> {
    ensure!(status.server == member.id, "{} answers", status.server);
    ensure!(status.recorder == recorder, "{} does the work, not {recorder}", status.recorder);
    let cameras = status.cameras.iter().map(|camera| (camera.id.as_str(), camera.name.as_str()));
    ensure!(cameras.eq(member.cameras.iter().copied()), "other cameras");
    for camera in &status.cameras {
        let newest = camera.newest.as_ref().with_context(|| format!("no recording of {}", camera.id))?;
        ensure!(newest.to_ms > since_ms, "no new recording of {}", camera.id);
        ensure!(newest.recorder == recorder, "the newest recording is not of {recorder}");
    }
    Ok(())
}

fn health_is(stage: &Stage, member: &Member, health: &str) -> bool {
    stage.world.machine(member.id).is_some_and(|machine| machine.health == health)
}

fn crash(stage: &mut Stage, member: &'static Member) -> Result<()> {
    lose(stage, member, "CRASHES: the server process is killed")?;
    stage.signal_server(member, Signal::KILL)?;
    stage.until("its supervisor has reported", A_WHILE_S, |stage| {
        stage.has_ended(member) && health_is(stage, member, "abnormal_shutdown")
    })
}

fn lose_power(stage: &mut Stage, member: &'static Member) -> Result<()> {
    lose(stage, member, "LOSES POWER: server and supervisor are gone at once")?;
    stage.cut_power(member)
}

fn stop(stage: &mut Stage, member: &'static Member) -> Result<()> {
    lose(stage, member, "is STOPPED in good order, for maintenance that takes too long")?;
    stage.signal_server(member, Signal::TERM)?;
    stage.until("it has stopped", A_WHILE_S, |stage| {
        stage.has_ended(member) && health_is(stage, member, "normal_shutdown")
    })
}

fn hang(stage: &mut Stage, member: &'static Member) -> Result<()> {
    lose(stage, member, "HANGS: the process is there and does nothing any more")?;
    stage.signal_server(member, Signal::STOP)
}

fn lose(stage: &mut Stage, member: &Member, text: &str) -> Result<()> {
    let loss = serde_json::to_value(member.loss)?;
    stage.let_pass("something happens", A_MOMENT_S)?;
    let told = entry(stage, member, text).as_(Severity::Warning).with("loss", loss);
    stage.tell(&told)
}

/// Waits until the plugin has taken the next server over, and looks as a client whether it is true.
fn wait_for_takeover(stage: &mut Stage, turn: usize) -> Result<&'static Member> {
    let limit_s = stage.pace.others_s + A_WHILE_S;
    let taken = |stage: &Stage| {
        let machine = stage.world.order.get(turn).and_then(|id| stage.world.machine(id))?;
        (machine.takeover == "taken_over").then_some(machine.member)
    };
    stage.until("a server is taken over", limit_s, |stage| taken(stage).is_some() || half_taken(stage).is_some())?;
    if let Some(member) = half_taken(stage) {
        kill_the_host(stage, member)?;
        stage.until("the takeover goes on to its end", A_WHILE_S, |stage| taken(stage).is_some())?;
    }
    let member = taken(stage).context("nobody is taken over")?;
    let address = SocketAddrV4::new(FAILOVER_CLIENTS, stage.places.port);
    let at = look_as_client(stage, member, address, FAILOVER)?;
    stage.world.note(member.id, |machine| machine.clients.during = Some(at));
    Ok(member)
}

/// The server in whose takeover the failover host is to be killed, once it was asked and does that.
fn half_taken(stage: &Stage) -> Option<&'static Member> {
    let id = stage.world.order.get(KILLED_IN - 1)?;
    let machine = stage.world.machine(id).filter(|machine| machine.stand_in.is_some())?;
    (stage.world.kills == 0).then_some(machine.member)
}

/// The failover host is killed and started again; ends when the new process is ready.
fn kill_the_host(stage: &mut Stage, member: &Member) -> Result<()> {
    let text = format!("its host process is KILLED (SIGKILL) in the middle of {}'s takeover", member.name);
    let told = Entry::new(stage.now_ms(), "story", text).as_(Severity::Warning).with("killed", FAILOVER);
    stage.tell(&told)?;
    stage.kill_failover(member)?;
    stage.start_failover(None)?;
    stage.until("the failover host is back", A_WHILE_S, |stage| stage.world.lives == 2)
}

/// Waits until the others have failed too and were said to be not covered.
fn wait_for_the_queue(stage: &mut Stage) -> Result<()> {
    let limit_s = stage.pace.others_s + A_WHILE_S;
    let waits = |machine: &Machine| machine.takeover == "queued" && machine.not_covered;
    stage.until("the others wait in the queue", limit_s, |stage| {
        stage.world.machines.iter().filter(|machine| waits(machine)).count() == CAST.len() - 1
    })
}

/// The original returns; ends when it has its role back and answers its clients.
fn bring_back(stage: &mut Stage, member: &'static Member) -> Result<()> {
    stage.let_pass("the server comes back", A_MOMENT_S)?;
    let text = match member.loss {
        Loss::Crash => "is repaired and started again",
        Loss::PowerCut => "has power again and starts",
        Loss::Stop => "is started again at last",
        Loss::Hang => "goes on as if nothing had happened",
    };
    let told = entry(stage, member, text);
    stage.tell(&told)?;
    if member.loss == Loss::Hang {
        stage.signal_server(member, Signal::CONT)?;
    } else {
        stage.start_server(member)?;
    }
    let limit_s = stage.pace.restore_stable_s + A_WHILE_S;
    let restored = |stage: &Stage| stage.world.machine(member.id).is_some_and(|it| it.restored_ns.is_some());
    stage.until("it is stable and has its role back", limit_s, restored)?;
    let address = server_address(stage, member);
    let at = look_as_client(stage, member, address, member.id)?;
    stage.world.note(member.id, |machine| machine.clients.after = Some(at));
    Ok(())
}

/// Nobody may answer in anybody's place any more; then the failover host ends in good order.
fn close(stage: &mut Stage) -> Result<()> {
    let address = SocketAddrV4::new(FAILOVER_CLIENTS, stage.places.port);
    ensure!(http::get(address, "/status").is_err(), "somebody still answers at {address}");
    stage.stop_failover()
}

#[cfg(test)]
mod tests {
    use super::super::recording::Segment;
    use super::super::server::CameraStatus;
    use super::*;

    fn status() -> Status {
        let camera = |(id, name): &(&str, &str)| CameraStatus {
            id: (*id).to_owned(),
            name: (*name).to_owned(),
            newest: Some(Segment {
                server: "bridge".into(),
                camera: (*id).to_owned(),
                recorder: "failover".into(),
                from_ms: 10,
                to_ms: 20,
            }),
        };
        let cameras = CAST[1].cameras.iter().map(camera).collect();
        Status { server: "bridge".into(), name: "Bridge".into(), recorder: "failover".into(), cameras }
    }

    #[test]
    fn a_client_is_content_only_with_the_right_server_cameras_and_new_recordings() {
        let bridge = &CAST[1];
        check_status(&status(), bridge, "failover", 19).unwrap();
        assert!(check_status(&status(), bridge, "failover", 20).is_err(), "old recordings");
        assert!(check_status(&status(), bridge, "bridge", 0).is_err(), "another machine");
        assert!(check_status(&status(), &CAST[0], "failover", 0).is_err(), "another server");
        let mut fewer = status();
        fewer.cameras.pop();
        assert!(check_status(&fewer, bridge, "failover", 0).is_err(), "a camera is missing");
        let mut silent = status();
        silent.cameras[0].newest = None;
        assert!(check_status(&silent, bridge, "failover", 0).is_err(), "a camera does not record");
    }
}

//! The end of the story: what was done to each server, what the failover did about it, and whether that was everything.
//!
//! Pure: the director's picture and the gaps go in; a summary for people and programs and the list of what is missing come
//! out. The demo succeeds only if that list is empty.

use std::cmp::Ordering;

use serde::Serialize;

use super::cast::{KILLED_IN, Loss, member};
use super::recording::Gaps;
use super::timeline::{clock, duration, name, pace};
use super::world::{Failure, Machine, World};

/// The gaps of one camera, as far as they can be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CameraGaps {
    /// The camera's id.
    pub camera: String,
    /// Its name for people.
    pub name: String,
    /// What is missing; `None` if a part of the recordings was not found.
    #[serde(flatten)]
    pub gaps: Option<Gaps>,
}

/// One server. Instants are simulated ms since the beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServerSummary {
    /// Its id.
    pub server: &'static str,
    /// How it was lost.
    pub loss: Loss,
    /// The plugin's reason.
    pub reason: Option<String>,
    /// When it had to fail, by what the host heard.
    pub due_ms: Option<u64>,
    /// When the host was told that it has failed.
    pub told_ms: Option<u64>,
    /// From the one to the other, in simulated ms.
    pub late_simulated_ms: Option<i64>,
    /// The same in µs of the machine's time.
    pub late_real_us: Option<i64>,
    /// Whether it was reported as waiting, not covered.
    pub not_covered: bool,
    /// When the plugin asked for the takeover.
    pub begun_ms: Option<u64>,
    /// When it was taken over.
    pub taken_over_ms: Option<u64>,
    /// When it was alive again.
    pub returned_ms: Option<u64>,
    /// When it had its role back.
    pub restored_ms: Option<u64>,
    /// Its cameras.
    pub cameras: Vec<CameraGaps>,
}

/// The whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// `summary`.
    pub kind: &'static str,
    /// Whether everything happened.
    pub ok: bool,
    /// What did not.
    pub missing: Vec<String>,
    /// The order of the takeovers.
    pub order: Vec<&'static str>,
    /// How often the failover host was killed.
    pub kills: u32,
    /// The operations that the plugin went on with after that.
    pub resumed: Vec<u64>,
    /// How often the plugin had to move deadlines because it had not run in time.
    pub pauses: u32,
    /// How many times faster than life.
    pub speed: u64,
    /// How long it took, in simulated ms.
    pub simulated_ms: u64,
    /// How long it took, in ms of the machine's time.
    pub real_ms: u64,
    /// The servers.
    pub servers: Vec<ServerSummary>,
}

/// Sums up; `gaps` are those of each server, in order.
#[must_use]
pub fn sum_up(world: &World, gaps: Vec<Vec<CameraGaps>>, now_ns: u64, trouble: Option<String>) -> Summary {
    let servers: Vec<ServerSummary> =
        world.machines.iter().zip(gaps).map(|(machine, cameras)| server(world, machine, cameras)).collect();
    let mut missing: Vec<String> = trouble.into_iter().chain(world.faults.iter().cloned()).collect();
    missing
        .extend(world.machines.iter().zip(&servers).flat_map(|(machine, server)| missing_of(world, machine, server)));
    missing.extend(missing_order(world));
    if world.kills != 1 {
        missing.push(format!("the failover host was killed {} times, not once", world.kills));
    }
    if !world.joined {
        missing.push("the failover server has not joined the cluster".to_owned());
    }
    if !world.stopped {
        missing.push("the plugin was not stopped and destroyed".to_owned());
    }
    let simulated_ms = world.clock.since_start_ms(now_ns);
    Summary {
        kind: "summary",
        ok: missing.is_empty(),
        missing,
        order: world.order.clone(),
        kills: world.kills,
        resumed: world.machines.iter().flat_map(|it| &it.asked).filter(|it| it.1).map(|it| it.0).collect(),
        pauses: world.pauses,
        speed: world.clock.speed(),
        simulated_ms,
        real_ms: simulated_ms / world.clock.speed(),
        servers,
    }
}

fn server(world: &World, machine: &Machine, cameras: Vec<CameraGaps>) -> ServerSummary {
    let ms = |at: Option<u64>| at.map(|at| world.clock.since_start_ms(at));
    let failure = machine.failures.first();
    let late_ns = failure.map(|failure| failure.told_ns.cast_signed() - failure.due_ns.cast_signed());
    ServerSummary {
        server: machine.member.id,
        loss: machine.member.loss,
        reason: failure.map(|failure| failure.reason.clone()),
        due_ms: ms(failure.map(|failure| failure.due_ns)),
        told_ms: ms(failure.map(|failure| failure.told_ns)),
        late_simulated_ms: late_ns.map(|ns| ns / 1_000_000),
        late_real_us: late_ns.map(|ns| ns / world.clock.speed().cast_signed() / 1000),
        not_covered: machine.not_covered,
        begun_ms: ms(machine.begun_ns),
        taken_over_ms: ms(machine.taken_over_ns),
        returned_ms: ms(machine.returned_ns),
        restored_ms: ms(machine.restored_ns),
        cameras,
    }
}

/// What is missing of one server's story.
fn missing_of(world: &World, machine: &Machine, server: &ServerSummary) -> Vec<String> {
    let mut missing = missing_failure(world, machine);
    let facts = [
        (machine.authorized, "the failover server was not let in there"),
        (machine.backed_up, "it was not backed up"),
        (machine.clients.before.is_some(), "no client was answered before it was lost"),
        (machine.taken_over_ns.is_some(), "it was not taken over"),
        (machine.takeovers < 2, "it was taken over more than once"),
        (
            asked_as_it_must(world, machine),
            "its takeover was not asked for once, and once more under the same id after the kill",
        ),
        (machine.clients.during.is_some(), "no client was answered in its place"),
        (machine.returned_ns.is_some(), "it did not come back"),
        (machine.restored_ns.is_some(), "it was not restored"),
        (machine.clients.after.is_some(), "no client was answered after its return"),
        // Whoever goes first has nobody to wait for.
        (machine.not_covered || world.order.first() == Some(&machine.member.id), "it was not reported as not covered"),
        (!server.cameras.is_empty(), "it has no cameras"),
    ];
    missing.extend(facts.iter().filter(|(holds, _)| !holds).map(|(_, text)| (*text).to_owned()));
    for camera in &server.cameras {
        if camera.gaps.is_none() {
            missing.push(format!("the recordings of camera {} are not complete", camera.name));
        }
    }
    missing.into_iter().map(|text| format!("{}: {text}", machine.member.name)).collect()
}

/// Once; the one in whose takeover the host was killed once more, with the same id.
fn asked_as_it_must(world: &World, machine: &Machine) -> bool {
    let killed = world.order.get(KILLED_IN - 1) == Some(&machine.member.id);
    match machine.asked[..] {
        [(_, false)] => !killed,
        [(first, false), (again, true)] => killed && first == again,
        _ => false,
    }
}

fn missing_failure(world: &World, machine: &Machine) -> Vec<String> {
    let expected = machine.member.loss.reason();
    let [failure] = &machine.failures[..] else {
        return vec![format!("it failed {} times, not once", machine.failures.len())];
    };
    let mut missing = Vec::new();
    if failure.reason != expected {
        missing.push(format!("its reason is {}, not {expected}", failure.reason));
    }
    missing.extend(wrong_instant(failure, world.pauses > 0));
    missing
}

/// A failure must never be early, nor at another instant than its deadline unless the plugin was kept from running.
fn wrong_instant(failure: &Failure, paused: bool) -> Option<String> {
    let off_ns = failure.failed_at_ns.cast_signed() - failure.due_ns.cast_signed();
    match off_ns.cmp(&0) {
        Ordering::Less => Some(format!("it failed {} ns before its deadline", -off_ns)),
        Ordering::Greater if !paused => Some(format!("it failed {off_ns} ns after its deadline")),
        _ if failure.told_ns < failure.failed_at_ns => Some("its failure was told before it happened".to_owned()),
        _ => None,
    }
}

/// Whether the queue was served by priority, then by the time of failure.
fn missing_order(world: &World) -> Vec<String> {
    let expected = expected_order(world);
    if world.order == expected {
        return Vec::new();
    }
    let names = |ids: &[&str]| ids.iter().map(|id| name(Some(id))).collect::<Vec<_>>().join(", ");
    vec![format!("the order of takeovers is {}, not {}", names(&world.order), names(&expected))]
}

/// The first to fail goes first; the others have failed by the time it is restored.
fn expected_order(world: &World) -> Vec<&'static str> {
    let mut failed: Vec<(u64, &Machine)> =
        world.machines.iter().filter_map(|machine| Some((machine.failures.first()?.failed_at_ns, machine))).collect();
    failed.sort_by_key(|(at, _)| *at);
    if !failed.is_empty() {
        failed[1..].sort_by_key(|(at, machine)| (machine.member.priority, *at));
    }
    failed.iter().map(|(_, machine)| machine.member.id).collect()
}

impl Summary {
    /// The summary for people; empty strings are blank lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = vec![String::new(), "All times are simulated, unless they are the machine's.".to_owned()];
        for server in &self.servers {
            lines.push(String::new());
            lines.extend(server.lines());
        }
        lines.push(String::new());
        let order: Vec<&str> = self.order.iter().map(|id| name(Some(id))).collect();
        lines.push(format!("One slot, one after another: {}.", order.join(", ")));
        for op in &self.resumed {
            let who = name(self.order.get(KILLED_IN - 1).copied());
            lines.push(format!(
                "Host killed in the middle of {who}'s takeover, which went on under the same id ({op})."
            ));
        }
        if self.pauses > 0 {
            lines.push(format!(
                "The plugin was kept from running in time {} times and moved its deadlines.",
                self.pauses
            ));
        }
        let took = duration(self.real_ms);
        lines.push(format!("{} of simulated time in {took}, {}.", duration(self.simulated_ms), pace(self.speed)));
        lines
    }
}

impl ServerSummary {
    fn lines(&self) -> Vec<String> {
        let who = name(Some(self.server));
        let priority = member(self.server).map_or(0, |member| member.priority);
        let at = |ms: Option<u64>| ms.map_or_else(|| "never".to_owned(), clock);
        let mut lines = vec![format!("{who} {} (priority {priority})", self.loss.words())];
        lines.push(match (&self.reason, self.due_ms, self.late_simulated_ms, self.late_real_us) {
            (Some(reason), Some(due), Some(late), Some(real)) => format!(
                "  noticed     by {reason}, due {}, told {late} ms later ({}.{} ms of the machine's time)",
                clock(due),
                real / 1000,
                real / 100 % 10
            ),
            _ => "  noticed     never".to_owned(),
        });
        let waited = match (self.told_ms, self.begun_ms) {
            (Some(told), Some(begun)) if self.not_covered => {
                format!(", after {} in the queue, not covered", duration(begun.saturating_sub(told)))
            }
            _ => String::new(),
        };
        lines.push(match (self.begun_ms, self.taken_over_ms) {
            (Some(begun), Some(done)) => {
                format!("  taken over  {}, which took {}{waited}", clock(begun), duration(done.saturating_sub(begun)))
            }
            _ => "  taken over  never".to_owned(),
        });
        lines.push(format!("  restored    {}, alive again since {}", at(self.restored_ms), at(self.returned_ms)));
        let width = self.cameras.iter().map(|camera| camera.name.chars().count()).max().unwrap_or(0);
        for (i, camera) in self.cameras.iter().enumerate() {
            let label = if i == 0 { "recordings" } else { "" };
            lines.push(format!("  {label:<12}{:<width$}  {}", camera.name, camera.words()));
        }
        lines
    }
}

impl CameraGaps {
    fn words(&self) -> String {
        let Some(gaps) = self.gaps else { return "recordings are missing".to_owned() };
        let gap = |ms: i64| if ms > 0 { format!("gap of {}", duration(ms.unsigned_abs())) } else { "none".to_owned() };
        let both = match gaps.at_return_ms {
            ms @ ..0 => format!(" (both recorded for {})", duration(ms.unsigned_abs())),
            _ => String::new(),
        };
        format!("{} when lost, {} at the return{both}", gap(gaps.at_loss_ms), gap(gaps.at_return_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::super::cast::Pace;
    use super::super::clock::SECOND;
    use super::super::world::Clients;
    use super::*;

    /// A world in which everything went well.
    fn good() -> World {
        let mut world = World::new("0,60,0".parse().unwrap(), Pace::at(60));
        world.kills = 1;
        for ((op, machine), at_s) in (1..).zip(&mut world.machines).zip([360, 180, 365, 300]) {
            machine.asked = vec![(op, false)];
            machine.asked.extend((machine.member.id == "campus").then_some((op, true)));
            machine.takeovers = 1;
            let failed_at_ns = at_s * SECOND;
            let (due_ns, told_ns) = (failed_at_ns, failed_at_ns + 12_300_000);
            let reason = machine.member.loss.reason().to_owned();
            machine.failures = vec![Failure { reason, failed_at_ns, due_ns, told_ns }];
            machine.not_covered = machine.member.id != "bridge";
            (machine.authorized, machine.backed_up) = (true, true);
            machine.begun_ns = Some(400 * SECOND);
            machine.taken_over_ns = Some(402 * SECOND);
            machine.returned_ns = Some(420 * SECOND);
            machine.restored_ns = Some(440 * SECOND);
            machine.clients = Clients { before: Some(1), during: Some(1), after: Some(1) };
        }
        world.order = vec!["bridge", "arena", "depot", "campus"];
        (world.joined, world.stopped) = (true, true);
        world
    }

    fn gaps(world: &World) -> Vec<Vec<CameraGaps>> {
        let gaps = Some(Gaps { at_loss_ms: 342_000, at_return_ms: -21_000 });
        let camera = |(id, name): &(&str, &str)| CameraGaps { camera: (*id).into(), name: (*name).into(), gaps };
        world.machines.iter().map(|machine| machine.member.cameras.iter().map(camera).collect()).collect()
    }

    fn missing(change: impl FnOnce(&mut World, &mut Vec<Vec<CameraGaps>>)) -> Vec<String> {
        let mut world = good();
        let mut gaps = gaps(&world);
        change(&mut world, &mut gaps);
        let summary = sum_up(&world, gaps, 600 * SECOND, None);
        assert_eq!(summary.ok, summary.missing.is_empty());
        summary.missing
    }

    #[test]
    fn when_everything_happened_nothing_is_missing() {
        assert_eq!(missing(|_, _| {}), [""; 0]);
    }

    #[test]
    fn each_thing_that_did_not_happen_is_named() {
        type Change = fn(&mut World, &mut Vec<Vec<CameraGaps>>);
        let again = "its takeover was not asked for once, and once more under the same id after the kill";
        let (arena, campus) = (format!("Arena: {again}"), format!("Campus: {again}"));
        let cases: [(Change, &str); 23] = [
            (|w, _| w.machines[0].failures.clear(), "Arena: it failed 0 times, not once"),
            (
                |w, _| w.machines[0].failures[0].reason = "x".into(),
                "Arena: its reason is x, not abnormal_shutdown_timeout",
            ),
            (|w, _| w.machines[0].failures[0].due_ns += 5, "Arena: it failed 5 ns before its deadline"),
            (|w, _| w.machines[0].failures[0].due_ns -= 5, "Arena: it failed 5 ns after its deadline"),
            (|w, _| w.machines[0].failures[0].told_ns = 0, "Arena: its failure was told before it happened"),
            (|w, _| w.machines[1].authorized = false, "Bridge: the failover server was not let in there"),
            (|w, _| w.machines[1].backed_up = false, "Bridge: it was not backed up"),
            (|w, _| w.machines[1].takeovers = 2, "Bridge: it was taken over more than once"),
            (|w, _| w.machines[0].asked.push((1, true)), &arena),
            (|w, _| _ = w.machines[2].asked.pop(), &campus),
            (|w, _| w.machines[2].asked[1].0 = 77, &campus),
            (|w, _| w.kills = 0, "the failover host was killed 0 times, not once"),
            (|w, _| w.joined = false, "the failover server has not joined the cluster"),
            (|w, _| w.machines[1].clients.before = None, "Bridge: no client was answered before it was lost"),
            (|w, _| w.machines[1].taken_over_ns = None, "Bridge: it was not taken over"),
            (|w, _| w.machines[1].clients.during = None, "Bridge: no client was answered in its place"),
            (|w, _| w.machines[2].not_covered = false, "Campus: it was not reported as not covered"),
            (|w, _| w.machines[2].restored_ns = None, "Campus: it was not restored"),
            (|w, _| w.machines[2].clients.after = None, "Campus: no client was answered after its return"),
            (|_, g| g[3][1].gaps = None, "Depot: the recordings of camera Track 1 are not complete"),
            (
                |w, _| w.order.swap(1, 3),
                "the order of takeovers is Bridge, Campus, Depot, Arena, not Bridge, Arena, Depot, Campus",
            ),
            (|w, _| w.faults.push("a fault".into()), "a fault"),
            (|w, _| w.stopped = false, "the plugin was not stopped and destroyed"),
        ];
        for (change, text) in cases {
            let missing = missing(change);
            assert!(missing.iter().any(|line| line == text), "{text}: {missing:?}");
        }
    }

    #[test]
    fn a_paused_plugin_may_be_late_but_never_early() {
        let late = missing(|w, _| (w.pauses, w.machines[0].failures[0].due_ns) = (1, 300 * SECOND));
        assert_eq!(late, [""; 0]);
        let early = missing(|w, _| (w.pauses, w.machines[0].failures[0].due_ns) = (1, 361 * SECOND));
        assert_eq!(early, ["Arena: it failed 1000000000 ns before its deadline"]);
    }

    #[test]
    fn the_summary_for_people_looks_like_this() {
        let world = good();
        let lines = sum_up(&world, gaps(&world), 600 * SECOND, None).lines();
        let golden = "
All times are simulated, unless they are the machine's.

Arena crashed (priority 10)
  noticed     by abnormal_shutdown_timeout, due 00:06:00, told 12 ms later (0.2 ms of the machine's time)
  taken over  00:06:40, which took 2 s, after 39.9 s in the queue, not covered
  restored    00:07:20, alive again since 00:07:00
  recordings  North gate  gap of 5 min 42 s when lost, none at the return (both recorded for 21 s)
              South gate  gap of 5 min 42 s when lost, none at the return (both recorded for 21 s)
              Pitch       gap of 5 min 42 s when lost, none at the return (both recorded for 21 s)
";
        let text = lines.join("\n");
        assert!(text.starts_with(golden), "{text}");
        assert!(text.ends_with(
            "One slot, one after another: Bridge, Arena, Depot, Campus.\n\
             Host killed in the middle of Campus's takeover, which went on under the same id (3).\n\
             10 min of simulated time in 10 s, 60 times faster than life."
        ));
    }
}

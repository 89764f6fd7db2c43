//! One instance of the plugin, driven by a host made of probes; and what a well-meant call of each member looks like.

use std::cell::Cell;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use vms_failover_abi as abi;

use super::case::{Break, Case, Done, name};
use crate::plugin::probe::{Callback, Probe};
use crate::plugin::raw::{Args, Member, Outputs, Raw, Room, Text};

/// What takes longer has hung.
pub const PATIENCE: Duration = Duration::from_secs(8);
pub const PATIENCE_MS: u32 = 8_000;
pub const SECOND: u64 = 1_000_000_000;
/// A driven instance is first polled then.
const FIRST_POLL: u64 = 1_000 * SECOND;
/// More polls than any single thing takes.
const POLLS_MAX: usize = 1_000;
/// Room for any text but a whole log.
pub const ROOM: usize = 256 * 1024;
/// `keep_alive_s` of [`config`].
pub const KEEP_ALIVE_S: u64 = 30;
/// Where to join a cluster.
pub const PLACE: &str = r#"{"host":"management.example"}"#;
/// What it authorizes and joins with.
pub const PASSWORD: &str = "the password of a checking host";
/// What the host answers to an authorize.
pub const TOKEN: &[u8] = b"the token of a checking host";
/// A settings file of a monitored server.
pub const SETTINGS: &str = "[Failover]\r\nValue=\r\n";

/// A configuration with these servers, its directories below this one, and every default but the daily run, which would come into any check
/// that is made at its time.
pub fn config(folder: &Path, ids: &[&str]) -> Value {
    let server = |id: &&str| json!({ "id": id, "host": format!("{id}.example") });
    json!({
        "schema": 1, "backup_directory": folder.join("backups"), "store_path": folder.join("video"), "daily_backup": false,
        "timeouts": { "keep_alive_s": KEEP_ALIVE_S }, "server_communication": { "address": "192.0.2.10", "port": 51410 },
        "recordings_ini": { "section": "Failover", "key": "Value", "separator": ";" },
        "monitored_servers": ids.iter().map(server).collect::<Vec<_>>(),
    })
}

/// Options of `create`; nothing is synced, for a check loses no power.
pub fn options(state: &Path, config: &Value) -> String {
    json!({ "schema": 1, "state_directory": state, "config": config, "durability": "none" }).to_string()
}

/// A table given to `create`, and what came: the handle, or the code and the text of `err`.
pub fn create(raw: &Raw, host: &abi::vmsf_host, options: &str) -> Result<u64, (abi::vmsf_result, String)> {
    let (mut out, mut err) = (Some(0), Room::of(8192));
    let code = raw.create(Some(host), options.into(), &mut out, &mut err);
    if code == abi::VMSF_OK {
        return Ok(out.unwrap_or(0));
    }
    Err((code, String::from_utf8_lossy(err.text().unwrap_or(b"(no text)")).into_owned()))
}

/// One instance.
pub struct Rig<'a> {
    pub case: &'a Case,
    pub raw: Arc<Raw>,
    pub p: u64,
    pub probe: &'static Probe,
    pub drives: bool,
    folder: TempDir,
    ended: Cell<bool>,
}

/// The two modes, for a loop.
pub const MODES: [bool; 2] = [true, false];

pub fn mode(drives: bool) -> &'static str {
    if drives { "with VMSF_HOST_DRIVES" } else { "with a worker" }
}

impl<'a> Rig<'a> {
    /// An instance in state stopped that watches these servers.
    pub fn new(case: &'a Case, drives: bool, ids: &[&str]) -> Done<Self> {
        Self::of(case, &case.raw()?, drives, ids)
    }

    /// The same, of a table that is there already.
    pub fn of(case: &'a Case, raw: &Arc<Raw>, drives: bool, ids: &[&str]) -> Done<Self> {
        Self::with(case, raw, drives, ids, |_, _| ())
    }

    /// The same, with a table or a configuration that is changed before.
    pub fn with(
        case: &'a Case,
        raw: &Arc<Raw>,
        drives: bool,
        ids: &[&str],
        change: impl FnOnce(&mut abi::vmsf_host, &mut Value),
    ) -> Done<Self> {
        let folder = folder(case)?;
        let probe = Probe::new();
        let (mut table, mut document) = (probe.table(drives), config(folder.path(), ids));
        change(&mut table, &mut document);
        case.doing(format!("create, {}", mode(drives)));
        match create(raw, &table, &options(&folder.path().join("state"), &document)) {
            Ok(p) => Ok(Self { case, raw: Arc::clone(raw), p, probe, drives, folder, ended: Cell::new(false) }),
            Err((code, text)) => {
                case.found(format!("create, {}", mode(drives)), "VMSF_OK", format!("{}: {text}", name(code)));
                Err(Break::Failed)
            }
        }
    }

    /// Around an instance that is there already.
    pub fn around(case: &'a Case, raw: &Arc<Raw>, p: u64, probe: &'static Probe, drives: bool) -> Done<Self> {
        Ok(Self { case, raw: Arc::clone(raw), p, probe, drives, folder: folder(case)?, ended: Cell::new(false) })
    }

    /// A running one; a driven one is polled once.
    pub fn running(case: &'a Case, drives: bool, ids: &[&str]) -> Done<Self> {
        let rig = Self::new(case, drives, ids)?;
        rig.begin()?;
        Ok(rig)
    }

    /// Starts it; a driven one is polled once.
    pub fn begin(&self) -> Done {
        self.start()?;
        if self.drives { self.poll_at(self.now()?.max(FIRST_POLL)) } else { Ok(()) }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn backups(&self) -> PathBuf {
        self.folder().join("backups")
    }

    // ---- calls ----

    /// Any member, with whatever is given. Says what is under way.
    pub fn call(&self, member: Member, args: &Args<'_>, to: &mut Outputs) -> abi::vmsf_result {
        self.case.doing(member.name());
        self.raw.call(member, args, to)
    }

    /// Arguments of a well-meant call; `text` is where the configuration's text lives.
    pub fn good<'t>(&self, member: Member, s: u64, text: &'t str) -> Args<'t> {
        good(member, self.p, s, text)
    }

    /// A well-meant call. Its code.
    pub fn well(&self, member: Member, s: u64) -> abi::vmsf_result {
        self.well_to(member, s).0
    }

    /// The same, with what came.
    pub fn well_to(&self, member: Member, s: u64) -> (abi::vmsf_result, Outputs) {
        let (text, mut to) = (self.document(), Outputs::with_room(ROOM));
        let code = self.call(member, &self.good(member, s, &text), &mut to);
        (code, to)
    }

    /// The configuration that it was created with, or one like it.
    pub fn document(&self) -> String {
        config(self.folder(), &["a", "b"]).to_string()
    }

    pub fn start(&self) -> Done {
        self.probe.be_stopped(false);
        self.case.needs_code("start", self.well(Member::Start, 0), abi::VMSF_OK)
    }

    /// Its code; once it has ended well, no event may come.
    pub fn stop_within(&self, timeout_ms: u32) -> abi::vmsf_result {
        let args = Args { number: timeout_ms, ..self.good(Member::Stop, 0, "") };
        let code = self.call(Member::Stop, &args, &mut Outputs::with_room(0));
        if code == abi::VMSF_OK {
            self.probe.be_stopped(true);
        }
        code
    }

    pub fn stop(&self) -> Done {
        self.case.needs_code("stop", self.stop_within(PATIENCE_MS), abi::VMSF_OK)
    }

    /// Destroys a stopped one.
    pub fn destroy(&self) -> Done {
        self.case.needs_code("destroy", self.well(Member::Destroy, 0), abi::VMSF_OK)?;
        self.ended.set(true);
        Ok(())
    }

    /// Stops and destroys it.
    pub fn end(&self) -> Done {
        self.stop()?;
        self.destroy()
    }

    pub fn now(&self) -> Done<u64> {
        let (code, to) = self.well_to(Member::NowNs, 0);
        self.case.needs_code("now_ns", code, abi::VMSF_OK)?;
        Ok(to.word.unwrap_or(0))
    }

    pub fn server(&self, id: &str) -> Done<u64> {
        let (args, mut to) = (Args { text: id.into(), ..self.good(Member::Server, 0, "") }, Outputs::with_room(0));
        let code = self.call(Member::Server, &args, &mut to);
        self.case.needs_code(format!("server, id \"{id}\""), code, abi::VMSF_OK)?;
        Ok(to.word.unwrap_or(0))
    }

    pub fn notify(&self, s: u64, kind: u32, stamp: u64) -> abi::vmsf_result {
        let args = Args { number: kind, long: stamp, ..self.good(Member::Notify, s, "") };
        self.call(Member::Notify, &args, &mut Outputs::with_room(0))
    }

    /// `configure` or `edit` in earnest.
    pub fn change(&self, member: Member, json: &str) -> Done {
        let args = Args { text: json.into(), number: 0, ..self.good(member, 0, "") };
        let code = self.call(member, &args, &mut Outputs::with_room(ROOM));
        self.case.needs_code(format!("{}, {json}", member.name()), code, abi::VMSF_OK)
    }

    /// A text of the plugin.
    pub fn text(&self, member: Member, s: u64) -> Done<String> {
        let (code, to) = self.well_to(member, s);
        self.case.needs_code(member.name(), code, abi::VMSF_OK)?;
        Ok(String::from_utf8_lossy(to.room.text().unwrap_or_default()).into_owned())
    }

    /// A call that begins an operation. Its request.
    pub fn request(&self, member: Member, s: u64) -> Done<u64> {
        let (code, to) = self.well_to(member, s);
        self.case.needs_code(member.name(), code, abi::VMSF_OK)?;
        Ok(to.word.unwrap_or(0))
    }

    pub fn complete(&self, op: u64, outcome: u32, token: &[u8]) -> abi::vmsf_result {
        complete(&self.raw, self.p, op, outcome, token)
    }

    // ---- time ----

    pub fn poll(&self, now_ns: u64) -> (abi::vmsf_result, u64) {
        let mut to = Outputs::with_room(0);
        let args = Args { long: now_ns, utc_ms: utc_of(now_ns), ..self.good(Member::Poll, 0, "") };
        let code = self.call(Member::Poll, &args, &mut to);
        (code, to.word.unwrap_or(0))
    }

    fn poll_at(&self, now_ns: u64) -> Done {
        self.case.needs_code("poll", self.poll(now_ns).0, abi::VMSF_OK)
    }

    /// Polls at an instant until nothing is left to do at it.
    pub fn settle(&self, now_ns: u64) -> Done {
        for _ in 0..POLLS_MAX {
            let (code, next) = self.poll(now_ns);
            self.case.needs_code("poll", code, abi::VMSF_OK)?;
            if next > now_ns {
                return Ok(());
            }
        }
        self.case.needs(
            false,
            "poll again and again at one instant",
            "it comes to rest",
            "1,000 times more to do at once",
        )
    }

    /// Polls when asked for until that instant, and there until it rests.
    pub fn drive_to(&self, to: u64) -> Done {
        let mut next = self.now()?.max(SECOND);
        while next < to {
            let (code, asked) = self.poll(next);
            self.case.needs_code("poll", code, abi::VMSF_OK)?;
            next = asked.max(next + 1);
        }
        self.settle(to)
    }

    /// The first callback that is wanted: waits for it, or polls for it at the instant that was reached.
    pub fn wait(&self, what: &str, wanted: impl Fn(&Callback) -> bool) -> Done<Callback> {
        self.case.doing(format!("waiting for {what}"));
        let found = if self.drives {
            let mut found = self.probe.find(&wanted);
            for _ in 0..POLLS_MAX {
                if found.is_some() {
                    break;
                }
                self.poll_at(self.now()?.max(FIRST_POLL))?;
                found = self.probe.find(&wanted);
            }
            found
        } else {
            self.probe.wait(PATIENCE, &wanted)
        };
        found.ok_or_else(|| {
            let seen = self.probe.seen();
            let seen: Vec<String> = seen.iter().rev().take(8).rev().map(|seen| seen.callback.brief()).collect();
            let came = format!("none; last came {}", if seen.is_empty() { "nothing".into() } else { seen.join(", ") });
            self.case.found(what, format!("a callback, {}", mode(self.drives)), came);
            Break::Failed
        })
    }

    /// The operation that a request leads to: its id and its JSON.
    pub fn asked(&self, request: u64) -> Done<(u64, Value)> {
        let wanted = |c: &Callback| matches!(c, Callback::Begin { json, .. } if json["request"] == request);
        match self.wait("begin for a request", wanted)? {
            Callback::Begin { id, json, .. } => Ok((id, json)),
            _ => Err(Break::Failed),
        }
    }

    // ---- stories ----

    /// Joins the cluster and prepares a server for takeovers, as a host does it.
    pub fn prepare(&self, s: u64) -> Done {
        std::fs::create_dir_all(self.backups()).or_else(|error| self.case.cannot("a folder for backups", error))?;
        self.case.needs_code("cluster", self.well(Member::Cluster, 0), abi::VMSF_OK)?;
        let (op, _) = self.asked(self.request(Member::Authorize, s)?)?;
        self.case.needs_code("complete", self.complete(op, abi::VMSF_OUTCOME_OK, TOKEN), abi::VMSF_OK)?;
        self.wait("the end of authorize", |c| c.says("completed", "op", op))?;
        let (op, json) = self.asked(self.request(Member::Backup, s)?)?;
        std::fs::write(json["file"].as_str().unwrap_or_default(), b"settings")
            .or_else(|error| self.case.cannot("the archive that begin asks for", error))?;
        self.case.needs_code("complete", self.complete(op, abi::VMSF_OUTCOME_OK, b""), abi::VMSF_OK)?;
        self.wait("the end of backup", |c| c.says("backup", "op", op)).map(drop)
    }

    /// Takes a prepared server over and restores it.
    pub fn take_over_and_restore(&self, s: u64) -> Done {
        for (member, state) in [(Member::Takeover, "taken_over"), (Member::Restore, "none")] {
            let (op, _) = self.asked(self.request(member, s)?)?;
            self.case.needs_code("complete", self.complete(op, abi::VMSF_OUTCOME_OK, b""), abi::VMSF_OK)?;
            self.wait(state, |c| c.says("takeover", "to", state))?;
        }
        Ok(())
    }

    /// Everything that a host of one server sees in its life, from a stopped instance to a stopped one.
    pub fn story(&self) -> Done {
        self.begin()?;
        let s = self.server("a")?;
        self.prepare(s)?;
        for kind in [abi::VMSF_NOTIFY_CONNECTED, abi::VMSF_NOTIFY_STARTUP, abi::VMSF_NOTIFY_KEEP_ALIVE] {
            self.case.needs_code("notify", self.notify(s, kind, 0), abi::VMSF_OK)?;
        }
        self.wait("keep_alive", |c| c.says("health", "to", "keep_alive"))?;
        self.take_over_and_restore(s)?;
        // What is queued at a stop is delivered by it.
        for kind in [abi::VMSF_NOTIFY_SHUTDOWN_NORMAL, abi::VMSF_NOTIFY_CONNECTED] {
            self.case.needs_code("notify", self.notify(s, kind, 0), abi::VMSF_OK)?;
        }
        self.stop()
    }

    /// Holds the plugin in the first callback that is wanted, until it may go on. Takes the place of the hook.
    pub fn hold(&self, wanted: impl Fn(&Callback) -> bool + Send + Sync + 'static) -> Hold {
        let ((go_on, wait), (inside, entered)) = (mpsc::channel::<()>(), mpsc::channel());
        let once = std::sync::Mutex::new(Some((wait, inside)));
        self.probe.hook(move |callback| {
            let mut once = once.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let first = if wanted(callback) { once.take() } else { None };
            drop(once);
            if let Some((wait, inside)) = first {
                let _ = inside.send(());
                // It goes on when it may, or when whoever holds it is gone.
                let _ = wait.recv_timeout(PATIENCE * 2);
            }
        });
        Hold { go_on, entered }
    }

    /// A stop that waits for a callback: the instance is stopping from now on, until the hold goes on.
    pub fn stopping(&self, s: u64) -> Done<Hold> {
        let hold = self.hold(|c| c.says("health", "to", "connected"));
        self.case.needs_code("notify", self.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_OK)?;
        hold.entered(self.case)?;
        self.case.needs_code("stop while a callback blocks", self.stop_within(10), abi::VMSF_ERR_TIMEOUT)?;
        Ok(hold)
    }
}

impl Drop for Rig<'_> {
    fn drop(&mut self) {
        if self.ended.get() {
            return;
        }
        // A check that ended early; what comes of this is no part of it.
        self.case.doing("stop and destroy, after the check");
        self.stop_within(PATIENCE_MS);
        self.well(Member::Destroy, 0);
    }
}

/// The plugin, held in a callback.
pub struct Hold {
    go_on: mpsc::Sender<()>,
    entered: mpsc::Receiver<()>,
}

impl Hold {
    /// Waits until the callback is entered.
    pub fn entered(&self, case: &Case) -> Done {
        let entered = self.entered.recv_timeout(PATIENCE).is_ok();
        case.needs(entered, "a callback", "it comes", format!("not within {} s", PATIENCE.as_secs()))
    }

    pub fn go_on(self) {
        let _ = self.go_on.send(());
    }
}

fn folder(case: &Case) -> Done<TempDir> {
    tempfile::tempdir_in(case.folder()).or_else(|error| case.cannot("a folder for an instance", error))
}

pub fn utc_of(now_ns: u64) -> i64 {
    1_767_225_600_000 + i64::try_from(now_ns / 1_000_000).unwrap_or(0)
}

pub fn complete(raw: &Raw, p: u64, op: u64, outcome: u32, token: &[u8]) -> abi::vmsf_result {
    let secret = if token.is_empty() { Text::Null(0) } else { Text::Of(token) };
    let args = Args { long: op, number: outcome, secret, text: Text::Null(0), ..good(Member::Complete, p, 0, "") };
    raw.call(Member::Complete, &args, &mut Outputs::with_room(0))
}

/// Arguments of a well-meant call of a member; `document` is a configuration.
pub fn good<'t>(member: Member, p: u64, s: u64, document: &'t str) -> Args<'t> {
    let args =
        Args { p, s, text: Text::Null(0), secret: Text::Null(0), number: 0, long: 0, utc_ms: utc_of(FIRST_POLL) };
    match member {
        Member::Stop => Args { number: PATIENCE_MS, ..args },
        Member::Configure => Args { text: document.into(), number: abi::VMSF_DRY_RUN, ..args },
        Member::Edit => Args { text: "{}".into(), number: abi::VMSF_DRY_RUN, ..args },
        Member::Poll => Args { long: FIRST_POLL, ..args },
        Member::Notify => Args { number: abi::VMSF_NOTIFY_DISCONNECTED, ..args },
        Member::Server => Args { text: "a".into(), ..args },
        Member::Log => Args { number: 10, ..args },
        Member::RecordingsIni => Args { text: SETTINGS.into(), ..args },
        Member::Progress => Args { long: NO_OPERATION, number: 1, text: "under way".into(), ..args },
        Member::Cluster => Args { number: 1, text: r#"{"actor":"check"}"#.into(), ..args },
        Member::JoinCluster => Args { text: PLACE.into(), secret: PASSWORD.into(), ..args },
        Member::Authorize => Args { secret: PASSWORD.into(), ..args },
        Member::Complete => Args { long: NO_OPERATION, text: "{}".into(), ..args },
        _ => args,
    }
}

/// The id of an operation that never was.
pub const NO_OPERATION: u64 = 1 << 50;

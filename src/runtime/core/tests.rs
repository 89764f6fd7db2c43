//! What only a look at the core shows: what of it counts as a change, what is asked of the file worker, and that nobody can tell whether a
//! keep-alive came by a server's slot or by its list.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use serde_json::json;

use super::{Core, Delivery, Message, Now, Numbers};
use crate::config::Config;
use crate::engine::Ran;
use crate::engine::command::{Command, Input};
use crate::engine::health::EventKind;
use crate::engine::output::{OperationKind, Outcome};
use crate::runtime::inbox::Posted;
use crate::runtime::life_signs::{Slot, Slots};
use crate::runtime::servers::{Performs, Servers, policy};
use crate::time::{Mono, SECOND_NS, Span};

/// 2026-01-01T00:00:00Z.
const NEW_YEAR_MS: i64 = 1_767_225_600_000;

fn config(ids: &[&str]) -> Config {
    let servers: Vec<_> = ids.iter().map(|id| json!({ "id": id, "host": format!("{id}.example") })).collect();
    let document = json!({ "schema": 1, "backup_directory": "/b", "store_path": "/s", "monitored_servers": servers });
    Config::check(&document).unwrap()
}

fn core(ids: &[&str]) -> Core {
    core_with(ids, None)
}

fn core_with(ids: &[&str], slots: Option<&Slots>) -> Core {
    let config = config(ids);
    let servers = Arc::new(Servers::default().placed(&config, slots));
    let policy = policy(&config, None, &servers, Performs::new(OperationKind::ALL));
    Core::new(policy, servers, Arc::new(config), Numbers { next_id: 1, next_seq: 1 })
}

/// So many hours after new year.
fn hour(hours: u64) -> Now {
    let utc_ms = NEW_YEAR_MS + i64::try_from(hours).unwrap() * 3_600_000;
    Now { mono: Mono((1 + hours * 3600) * SECOND_NS), utc_ms }
}

impl Core {
    fn turn(&mut self, now: Now) {
        self.take_in(now);
        self.advance(now, Ran::default());
    }

    fn save(&mut self, now: Now) {
        let snapshot = self.snapshot();
        self.was_saved(&snapshot, now);
        assert!(self.is_saved());
    }

    fn configure(&mut self, ids: &[&str], now: Now) {
        let next = config(ids);
        let servers = Arc::new(self.servers().placed(&next, None));
        let policy = policy(&next, Some(self.config()), &servers, Performs::new(OperationKind::ALL));
        let accepted = self.accept(Command::Configure(policy), Some((servers, Arc::new(next))));
        let Ok((call, _)) = accepted else { panic!("refused") };
        self.send(&call);
        self.take_in(now);
    }
}

#[test]
fn that_the_backups_were_hashed_today_is_a_change_though_no_daily_run_was_due() {
    let mut core = core(&["a"]);
    core.start(hour(12));
    // The second one knows that `a` was never seen.
    [hour(12), hour(13)].into_iter().for_each(|now| core.turn(now));
    core.save(hour(13));
    core.turn(hour(14));
    assert!(core.is_saved(), "the same day");
    // Not in the cluster, so there is no daily run.
    core.turn(hour(36));
    assert!(!core.is_saved());
}

#[test]
fn nothing_is_asked_of_the_file_worker_about_a_server_that_is_gone() {
    let mut core = core(&["a", "b"]);
    core.start(hour(12));
    let asked = |core: &Core| core.errands.asks.iter().map(|(whose, _)| whose.id.to_string()).collect::<Vec<_>>();
    assert_eq!(asked(&core), ["a", "b"], "to tidy up");
    core.configure(&["a", "c"], hour(12));
    assert_eq!(asked(&core), ["a", "c"]);
}

#[test]
fn the_host_is_not_asked_for_what_it_has_answered_meanwhile() {
    let mut core = core(&["a"]);
    core.save(hour(12));
    core.start(hour(12));
    let (server, actor) = (core.servers().by_id("a").unwrap().mailbox.key(), "alice");
    let call = |core: &mut Core, command| {
        let Ok((call, _)) = core.accept(command, None) else { panic!("refused") };
        core.send(&call);
        core.turn(hour(12));
        (1..99).find(|op| core.engine().operation(*op).is_some())
    };
    let answer = |op| Command::Complete { op, outcome: Outcome::Ok, error: None };
    call(&mut core, Command::Cluster { joined: true, actor: actor.into(), request: 90 });
    let op = call(&mut core, Command::Authorize { server, actor: actor.into(), request: 91 }).unwrap();
    assert_eq!(call(&mut core, answer(op)), None);
    let op = call(&mut core, Command::Backup { server, actor: actor.into(), request: 92 }).unwrap();
    core.feed(Input::Prepared { op, result: Ok("/b/a/new".into()) }, hour(12));
    let all = std::iter::from_fn(|| core.pop());
    let Some(Delivery::Begin(operation, named, _)) =
        all.filter(|delivery| matches!(delivery, Delivery::Begin(..))).last()
    else {
        panic!("no backup is begun")
    };
    assert_eq!(operation.id, op);
    // A host that knows it from the life before may answer at once.
    assert_eq!(call(&mut core, answer(op)), Some(op), "it is being published");
    assert!(core.secret_of(&operation, named.as_ref()).is_none());
}

#[test]
fn the_worker_rests_while_there_is_nothing_that_the_writer_could_try_again() {
    let second = |n: u64| Now { mono: hour(12).mono + Span(n * SECOND_NS), ..hour(12) };
    let resting = |prepare: fn(&mut Core, Now, Now)| {
        let mut core = core(&["a"]);
        core.has_worker();
        core.start(second(0));
        core.turn(second(0));
        core.save(second(0));
        prepare(&mut core, second(0), second(5));
        core.turn(second(11));
        assert!(!core.hands_over(second(11)));
        core.next_wake(second(11)).is_none_or(|at| at > second(11).mono)
    };
    // Who was to leave was named by a configuration again, or is taken over again.
    assert!(resting(|core, then, _| core.follows_later(then)), "nobody is to leave any more");
    assert!(
        resting(|core, then, later| {
            core.tokens_wait(then);
            core.has_changed();
            core.was_not_saved(later);
        }),
        "the disk has failed since"
    );
}

#[test]
fn with_a_worker_the_host_is_asked_once_the_intent_is_on_disk_and_not_at_all_if_it_cannot_be() {
    for disk_works in [true, false] {
        let mut core = core(&["a"]);
        core.has_worker();
        core.save(hour(12));
        core.start(hour(12));
        let server = core.servers().by_id("a").unwrap().mailbox.key();
        let command = Command::Authorize { server, actor: "alice".into(), request: core.new_id() };
        let Ok(_) = core.accept(command, None) else { panic!("refused") };
        core.save(hour(12));
        core.turn(hour(12));
        let begins = |core: &mut Core| {
            core.release_begins(hour(12));
            let all = std::iter::from_fn(|| core.pop());
            all.filter(|delivery| matches!(delivery, Delivery::Begin(..))).count()
        };
        assert_eq!((begins(&mut core), core.has_begins_to_release()), (0, false), "only decided");
        assert!(core.hands_over(hour(12)) && !core.hands_over(hour(12)), "the writer is asked once");
        let op = (1..9).find(|op| core.engine().operation(*op).is_some()).expect("one is under way");
        if disk_works {
            core.save(hour(12));
        } else {
            assert!(core.was_not_saved(hour(12)));
        }
        core.was_handed_back();
        assert!(core.has_begins_to_release());
        assert_eq!(begins(&mut core), usize::from(disk_works));
        assert_eq!(core.engine().operation(op).is_some(), disk_works);
        assert!(!core.has_begins_to_release());
    }
}

const IDS: [&str; 3] = ["a", "b", "c"];

#[derive(Clone, Debug)]
enum Step {
    /// Of this server, stamped so long ago, in ms.
    Notify(usize, EventKind, u64),
    /// So long after the one before, in ms.
    Turn(u64),
    /// The same; the system slept for so long besides, in ms.
    Sleep(u64, u64),
    /// All that is in the slots is heard, and how each server stands is compared.
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    let keep_alive =
        (0..IDS.len(), 0..300_u64).prop_map(|(server, ago)| Step::Notify(server, EventKind::KeepAlive, ago));
    let other = (0..IDS.len(), 0..EventKind::ALL.len(), 0..40_000_u64)
        .prop_map(|(server, kind, ago)| Step::Notify(server, EventKind::ALL[kind], ago));
    let turn = prop_oneof![6 => 0..1_000_u64, 2 => 900..31_000_u64].prop_map(Step::Turn);
    let sleep = (0..1_000_u64, 100..90_000_u64).prop_map(|(after, slept)| Step::Sleep(after, slept));
    prop_oneof![24 => keep_alive, 8 => other, 20 => turn, 1 => sleep, 3 => Just(Step::Look)]
}

/// A core, where its keep-alives go, and what has come of it.
struct Watched {
    core: Core,
    slots: Option<Slots>,
    /// Keep-alives that went to a slot.
    taken: usize,
}

impl Watched {
    fn new(slots: Option<Slots>) -> Watched {
        let mut core = core_with(&IDS, slots.as_ref());
        core.has_worker();
        core.start(Now { mono: Mono(SECOND_NS), utc_ms: NEW_YEAR_MS });
        Watched { core, slots, taken: 0 }
    }

    /// As `notify` does it.
    fn notify(&mut self, server: usize, kind: EventKind, at: Mono) {
        let entry = self.core.servers().by_id(IDS[server]).unwrap().clone();
        let slot: Option<&Slot> = self.slots.as_ref().and_then(|slots| slots.slot(entry.mailbox.key().0 as usize));
        if kind == EventKind::KeepAlive && slot.is_some_and(|slot| slot.keep_alive(entry.named.handle, at)) {
            self.taken += 1;
        } else if entry.mailbox.post(kind, at) == Posted::Listed {
            self.core.sender().send(Message::Mail(entry.mailbox)).unwrap();
        }
    }

    /// What is told to the host.
    fn turn(&mut self, now: Now, ran: Ran) -> Vec<String> {
        self.core.take_in(now);
        self.core.advance(now, ran);
        let told = std::iter::from_fn(|| self.core.pop());
        let told = told.filter_map(|delivery| match delivery {
            Delivery::Entry(entry) => Some(format!("{} {:?} {}", entry.seq, entry.at, entry.words().json)),
            Delivery::Begin(..) => None,
        });
        told.collect()
    }

    /// How each server stands once all is heard.
    fn stands(&mut self, now: Now) -> Vec<String> {
        let keys: Vec<_> = IDS.map(|id| self.core.servers().by_id(id).unwrap().mailbox.key()).into();
        self.core.hear_all(keys.iter().copied(), now);
        keys.iter().map(|key| format!("{:?}", self.core.engine().health(*key))).collect()
    }
}

/// Keep-alives that went to a slot in all cases.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]
    fn by_the_slot_or_by_the_list(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let (mut plain, mut quick) = (Watched::new(None), Watched::new(Some(Slots::lease().unwrap())));
        let mut now = Now { mono: Mono(60 * SECOND_NS), utc_ms: NEW_YEAR_MS };
        // All keep alive, so that there is something to lose.
        let begin = (0..IDS.len()).map(|server| Step::Notify(server, EventKind::KeepAlive, 0)).chain([Step::Turn(1)]);
        let mut waiting = [0; IDS.len()];
        for step in begin.chain(steps).chain([Step::Look]) {
            let (after, slept) = match step {
                Step::Turn(after) => (after, 0),
                Step::Sleep(after, slept) => (after, slept),
                // A full list has room for one more where the first keep-alive is in the slot.
                Step::Notify(server, ..) if waiting[server] == 7 => continue,
                Step::Notify(server, kind, ago) => {
                    waiting[server] += 1;
                    let at = Mono(now.mono.0 - ago * 1_000_000);
                    plain.notify(server, kind, at);
                    quick.notify(server, kind, at);
                    continue;
                }
                Step::Look => {
                    // A reader has taken in what is listed before he looks.
                    [&mut plain, &mut quick].into_iter().for_each(|watched| watched.core.take_in(now));
                    prop_assert_eq!(plain.stands(now), quick.stands(now));
                    continue;
                }
            };
            waiting = [0; IDS.len()];
            now = Now { mono: Mono(now.mono.0 + after * 1_000_000), utc_ms: now.utc_ms + after as i64 };
            let ran = Ran { slept: Span(slept * 1_000_000), ..Ran::default() };
            // Handles differ; nothing else does.
            prop_assert_eq!(plain.turn(now, ran), quick.turn(now, ran));
        }
        TAKEN.fetch_add(quick.taken, Ordering::Relaxed);
    }
}

#[test]
fn nobody_can_tell_whether_a_keep_alive_came_by_the_slot_or_by_the_list() {
    by_the_slot_or_by_the_list();
    // A third of some twenty keep-alives a case.
    let taken = TAKEN.load(Ordering::Relaxed);
    assert!(taken > 2_000, "{taken} keep-alives went to a slot");
}

#[test]
fn keep_alives_go_to_the_slot_while_a_server_keeps_alive_and_to_the_list_else() {
    let mut quick = Watched::new(Some(Slots::lease().unwrap()));
    let now = |seconds: u64| Now { mono: Mono(seconds * SECOND_NS), utc_ms: NEW_YEAR_MS };
    let taken = |quick: &mut Watched, kinds: &[EventKind], seconds: u64| {
        let before = quick.taken;
        kinds.iter().for_each(|kind| quick.notify(0, *kind, now(seconds).mono));
        quick.turn(now(seconds), Ran::default());
        quick.taken - before
    };
    use EventKind::{KeepAlive, ShutdownNormal, Startup};
    assert_eq!(taken(&mut quick, &[Startup, KeepAlive], 2), 0, "not known to keep alive yet");
    assert_eq!(taken(&mut quick, &[KeepAlive, KeepAlive], 3), 2);
    assert_eq!(taken(&mut quick, &[KeepAlive, ShutdownNormal, KeepAlive], 4), 1, "the last one is late news");
    assert_eq!(taken(&mut quick, &[KeepAlive], 5), 0);
    assert_eq!(taken(&mut quick, &[Startup, KeepAlive], 6), 0);
    assert_eq!(taken(&mut quick, &[KeepAlive], 7), 1);
    for second in 8..=37 {
        quick.turn(now(second), Ran::default());
    }
    assert_eq!(taken(&mut quick, &[KeepAlive], 38), 0, "failed at 37");
    assert_eq!(taken(&mut quick, &[KeepAlive], 39), 1);
}

#[test]
fn the_look_ahead_lets_the_worker_sleep_over_the_deadlines_that_keep_alives_have_moved() {
    let mut quick = Watched::new(Some(Slots::lease().unwrap()));
    let now = |ms: u64| Now { mono: Mono(ms * 1_000_000), utc_ms: NEW_YEAR_MS };
    for (server, ms) in [(0, 10_000), (1, 10_300), (2, 10_600)] {
        quick.notify(server, EventKind::KeepAlive, now(ms).mono);
        quick.turn(now(ms), Ran::default());
    }
    (0..IDS.len()).for_each(|server| quick.notify(server, EventKind::KeepAlive, now(30_000).mono));
    // Their timers stand at 40.0, 40.3 and 40.6 s.
    let (mut wake_ups, mut at) = (0, now(30_000));
    while at.mono < now(45_000).mono {
        quick.core.turn(at);
        at.mono = quick.core.next_wake(at).unwrap();
        wake_ups += 1;
    }
    // One a second, so that a pause is noticed.
    assert!(wake_ups <= 16, "{wake_ups}");
}

/// A driver whose system sleeps for an hour at 40 s. The server keeps alive until 13 s, says `disconnected` after the sleep, before its timer of
/// 43 s comes up with nothing in the slot, keeps alive from 45 to 59 s, and dies.
fn failed_at_after_a_sleep(mut watched: Watched) -> Option<Mono> {
    let now = |seconds: u64| Now { mono: Mono((100_000 + seconds) * SECOND_NS), utc_ms: NEW_YEAR_MS };
    for second in 0..100 {
        let slept = Span(if second == 40 { 3_600 * SECOND_NS } else { 0 });
        if second == 41 {
            watched.notify(0, EventKind::Disconnected, now(second).mono);
        } else if second <= 13 || (45..60).contains(&second) {
            watched.notify(0, EventKind::KeepAlive, now(second).mono);
        }
        watched.turn(now(second), Ran { slept, ..Ran::default() });
    }
    let key = watched.core.servers().by_id(IDS[0]).unwrap().mailbox.key();
    watched.core.engine().health(key).unwrap().failure().map(|(_, at)| Mono(at.0 - now(0).mono.0))
}

#[test]
fn after_a_sleep_a_server_that_dies_is_noticed_at_its_last_keep_alive_s_deadline_by_either_way() {
    for slots in [None, Slots::lease()] {
        assert_eq!(failed_at_after_a_sleep(Watched::new(slots)), Some(Mono(89 * SECOND_NS)));
    }
}

#[test]
fn a_healthy_server_s_slot_is_opened_anew_before_its_base_is_too_old() {
    let mut quick = Watched::new(Some(Slots::lease().unwrap()));
    let now = |seconds: u64| Now { mono: Mono(seconds * SECOND_NS), utc_ms: NEW_YEAR_MS };
    for second in 1..3_000 {
        if second % 5 == 0 {
            quick.notify(0, EventKind::KeepAlive, now(second).mono);
        }
        quick.turn(now(second), Ran::default());
    }
    // All but the first.
    assert_eq!(quick.taken, 598);
}

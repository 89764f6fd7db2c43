//! What may happen: messages, calls, answers, rules, pauses and restarts, in any order.

use proptest::prelude::*;

use crate::engine::health::EventKind;
use crate::engine::output::Outcome;

#[derive(Clone, Debug)]
pub enum Op {
    Event(u32, EventKind, u64),
    AliveAll,
    StaysAlive(u32, u64),
    Wait(u64),
    WaitForWake,
    Spurious,
    Takeover(u32),
    Restore(u32),
    Cancel(u32),
    Answer(Outcome),
    AnswerToNobody,
    Late(Outcome),
    /// A token and a backup, or none.
    Facts(u32, bool, bool),
    Damaged(u32, u64),
    Backup(u32),
    BackupAll,
    Authorize(u32),
    Deauthorize(u32),
    Join,
    /// The file worker answers the oldest question, well or badly.
    Files(bool),
    /// The wall clock is set, by hours.
    Clock(i64),
    GiveAll,
    Cluster(bool),
    Lost(u32),
    Configure(Change),
    Restart(u64),
    Pause(u64),
    Slept(u64),
}

#[derive(Clone, Copy, Debug)]
pub enum Change {
    AutomaticTakeover,
    AutomaticRestore,
    KeepAlive(u32),
    Connected(u32),
    Shutdown(u32),
    Priority(u32, u32),
    Remove,
    Add,
    Readdress(u32),
    Reverse,
}

fn change() -> impl Strategy<Value = Change> {
    let i = 0..5u32;
    prop_oneof![
        3 => Just(Change::AutomaticTakeover),
        3 => Just(Change::AutomaticRestore),
        1 => (30..300u32).prop_map(Change::KeepAlive),
        1 => (300..900u32).prop_map(Change::Connected),
        1 => (300..900u32).prop_map(Change::Shutdown),
        1 => (i.clone(), 1..4u32).prop_map(|(i, priority)| Change::Priority(i, priority)),
        1 => Just(Change::Remove),
        1 => Just(Change::Add),
        1 => i.prop_map(Change::Readdress),
        1 => Just(Change::Reverse),
    ]
}

/// Any of them, the common ones more often.
pub fn op() -> impl Strategy<Value = Op> {
    let i = 0..5u32;
    let kind = (0..EventKind::ALL.len()).prop_map(|kind| EventKind::ALL[kind]);
    prop_oneof![
        8 => (i.clone(), kind, prop_oneof![3 => Just(0u64), 1 => 0..60u64]).prop_map(|(i, kind, lag)| Op::Event(i, kind, lag)),
        4 => Just(Op::AliveAll),
        4 => (i.clone(), 50..150u64).prop_map(|(i, seconds)| Op::StaysAlive(i, seconds)),
        6 => (1..40u64).prop_map(Op::Wait),
        4 => (40..700u64).prop_map(Op::Wait),
        3 => Just(Op::WaitForWake),
        1 => Just(Op::Spurious),
        3 => i.clone().prop_map(Op::Takeover),
        4 => i.clone().prop_map(Op::Restore),
        3 => i.clone().prop_map(Op::Cancel),
        9 => Just(Op::Answer(Outcome::Ok)),
        4 => Just(Op::Answer(Outcome::Failed)),
        1 => Just(Op::AnswerToNobody),
        2 => prop_oneof![Just(Outcome::Ok), Just(Outcome::Failed)].prop_map(Op::Late),
        2 => (i.clone(), any::<bool>(), any::<bool>()).prop_map(|(i, login, backup)| Op::Facts(i, login, backup)),
        1 => (i.clone(), 1..9u64).prop_map(|(i, number)| Op::Damaged(i, number)),
        5 => i.clone().prop_map(Op::Backup),
        2 => Just(Op::BackupAll),
        3 => i.clone().prop_map(Op::Authorize),
        2 => i.clone().prop_map(Op::Deauthorize),
        1 => Just(Op::Join),
        8 => any::<bool>().prop_map(Op::Files),
        2 => (-60..60i64).prop_map(Op::Clock),
        3 => Just(Op::GiveAll),
        1 => any::<bool>().prop_map(Op::Cluster),
        1 => i.prop_map(Op::Lost),
        3 => change().prop_map(Op::Configure),
        1 => (0..1000u64).prop_map(Op::Restart),
        1 => (3..200u64).prop_map(Op::Pause),
        1 => (1..200u64).prop_map(Op::Slept),
    ]
}

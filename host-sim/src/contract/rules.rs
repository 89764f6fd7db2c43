//! The rules that a trace can show to be broken: name, level, and why it matters. The names are stable; include/README.md lists them.

/// How binding a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The host is wrong.
    Must,
    /// The host would be better without.
    Should,
}

impl Level {
    /// As it is shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Level::Must => "MUST",
            Level::Should => "SHOULD",
        }
    }
}

/// One rule.
#[derive(Debug)]
pub struct Rule {
    /// Stable.
    pub name: &'static str,
    /// How binding it is.
    pub level: Level,
    /// A paragraph: why, and what to do.
    pub why: &'static str,
}

const fn must(name: &'static str, why: &'static str) -> Rule {
    Rule { name, level: Level::Must, why }
}

const fn should(name: &'static str, why: &'static str) -> Rule {
    Rule { name, level: Level::Should, why }
}

/// All rules, in the order in which they are told.
pub static ALL: &[Rule] = &[
    must(
        "control-overlap",
        "Control members (start, stop, destroy, configure, edit) are for one thread at a time per instance. The plugin refuses the second with \
         VMSF_ERR_BUSY, so nothing breaks, but one of the two was not done. Call them from one thread, or with a lock of the host's around them.",
    ),
    must(
        "control-in-callback",
        "Control members and poll wait for callbacks, so from inside one they would wait for themselves; the plugin refuses them with \
         VMSF_ERR_REENTRANT. Hand the work to a thread of the host's and return.",
    ),
    must(
        "call-in-wake",
        "wake comes from inside a call, on that call's thread, and only signals. Whatever it calls is refused with VMSF_ERR_REENTRANT. Set an event \
         that the polling thread waits for.",
    ),
    must(
        "poll-overlap",
        "poll runs the callbacks, which come one at a time and in order: only one thread at a time may be in it. Poll from one thread.",
    ),
    must(
        "fork-child",
        "A fork child has a copy of the plugin's memory and none of its threads: locks may be held by a thread that is not there, and files are shared \
         with the parent. Call in from the process that has created the instance, and let children exec at once.",
    ),
    must(
        "callback-never-returned",
        "A callback that does not return holds everything: no event and no operation comes any more, and stop gives VMSF_ERR_TIMEOUT. It waits for \
         something that waits for it, or it has ended its thread, thrown or longjmp'ed, which it MUST NOT.",
    ),
    should(
        "callback-blocks",
        "A callback took more than 100 ms. Every other event and every begin waits meanwhile, and the plugin raises the alarm host_slow. Copy what is \
         needed, hand it to a thread of the host's, return.",
    ),
    should(
        "callback-slow",
        "A callback took more than 10 ms. The next takeover waits for it. Copy what is needed, hand it to a thread of the host's, return.",
    ),
    must(
        "call-after-destroy",
        "The instance is gone, ctx is released; the handle is stale and gives VMSF_ERR_HANDLE. A thread of the host's still has it: end or join those \
         threads before destroy.",
    ),
    must(
        "unknown-instance",
        "The handle was never given by create: a number that was not set, or one of something else. Look where it comes from.",
    ),
    must(
        "destroy-before-stop",
        "destroy works only in state stopped and gives VMSF_ERR_STATE else: threads and the state directory stay as they are. Call stop until it gives \
         VMSF_OK, then destroy.",
    ),
    must(
        "stop-not-repeated",
        "VMSF_ERR_TIMEOUT of stop means that a callback or the disk has not returned yet. It stays in force, but the instance is not stopped: call stop \
         again until it gives VMSF_OK.",
    ),
    must(
        "not-stopped",
        "The trace ends while an instance runs. The host MUST stop it before it exits, returns from main or lets ctx die, for the plugin's threads call \
         into the host. A process that was killed is no fault: say so with --killed.",
    ),
    should(
        "not-destroyed",
        "The trace ends with an instance that is stopped and not destroyed: release was never called, so what ctx has is never freed, and the state \
         directory is locked until the process ends.",
    ),
    should(
        "call-while-stopped",
        "While an instance is stopped it watches nothing, and gives VMSF_ERR_STATE to notify, complete and whatever begins an operation. Start it first, \
         and end the threads that report before stop.",
    ),
    must(
        "poisoned-not-replaced",
        "The instance has panicked: nothing is watched and nothing is begun any more. The host MUST stop and destroy it and create another, from a \
         thread of its own; else it runs on without failover.",
    ),
    must(
        "answered-twice",
        "An operation has one answer. The first counted; the second gives VMSF_ERR_NOT_FOUND, and two threads of the host's seem to work on the same \
         operation. Keep what was answered under its id.",
    ),
    must(
        "late-ok",
        "VMSF_EVENT_OPERATION_OVER had told the host that the operation was given up; after that an ok means that it did not stop and undo it. Two \
         machines may be in one role. Stop the work when the event comes, undo it, and answer nothing or VMSF_OUTCOME_FAILED.",
    ),
    must(
        "work-after-over",
        "progress came for an operation after VMSF_EVENT_OPERATION_OVER had told the host that it was given up: the host works on. It MUST stop the work \
         and undo what it did.",
    ),
    should(
        "answer-to-nothing",
        "complete named an operation that the plugin had not asked for in this trace. Take the id from vmsf_operation.id, and forget those that were \
         answered or given up.",
    ),
    must(
        "unknown-operation",
        "An operation of a kind that the host's header does not know MUST be completed with VMSF_OUTCOME_UNSUPPORTED, so that the plugin can go on; it \
         was left, or answered as if it had been done.",
    ),
    should(
        "operation-not-named",
        "The host answered VMSF_OUTCOME_UNSUPPORTED to an operation that it lets the plugin ask for, which counts as failed. Name what it performs in \
         `operations` of create's options; then what it does not is refused when it is called for.",
    ),
    should(
        "operation-timed-out",
        "The host had not answered when the deadline came, so the plugin gave the operation up, and what was done has to be undone. Answer \
         VMSF_OUTCOME_FAILED as soon as it is clear that it fails, or raise the timeout in the configuration.",
    ),
    must(
        "token-missing",
        "An authorize was answered with ok and no token: it counts as failed. Give the session token or key of the server as `secret` of complete.",
    ),
    must(
        "token-unasked",
        "Only the answer to an authorize has a secret; with any other operation it is VMSF_ERR_INVALID, and the answer is not accepted.",
    ),
    must(
        "secret-too-long",
        "A secret has at most 4,096 bytes (VMSF_ERR_LIMIT). Keep what is larger in the host, and give its name as the token.",
    ),
    must(
        "secret-in-json",
        "The secret of a call stands in its JSON, too. JSON is parsed, shown and logged; secrets go through `secret` alone, which is wiped.",
    ),
    should(
        "stamp-in-future",
        "A message was stamped later than now, by another clock perhaps (the wall clock, other units, another machine's). Such stamps are cut to now. Stamp \
         with now_ns or CLOCK_MONOTONIC, or with 0.",
    ),
    should(
        "poll-late",
        "A driving host polled more than a second after the instant that the plugin had asked for (`*next_ns`, or wake), or never. Deadlines are \
         handled that much later, and what is late by more than pause_tolerance_s counts as a pause. Poll at the smaller of both.",
    ),
    should(
        "poll-back",
        "poll was given an earlier instant than the time before. Time never goes back, so it counts as the last one. Use a monotonic clock.",
    ),
    should(
        "cluster-never-told",
        "The instance was started and the host never said whether this failover server is part of the cluster. The plugin cannot see it and goes by the \
         last word, which may be years old. Call cluster before each start, and when it changes.",
    ),
    should(
        "error-never-read",
        "Calls failed, and the host never asked last_error why. The text says what, where and what to do; put it into the host's log.",
    ),
    should(
        "busy-ignored",
        "VMSF_ERR_BUSY means that something else is under way and that nothing was accepted: call again later. The host did not. (After notify it needs \
         not: the newest stamp is kept.)",
    ),
    should(
        "too-small-ignored",
        "VMSF_ERR_TOO_SMALL says in *len how much room is needed, and the host did not ask again with so much. What it shows is empty.",
    ),
    should(
        "stale-server-handle",
        "A server's handle was refused with VMSF_ERR_HANDLE and used again: the server was removed or replaced, and what is heard of it goes nowhere. Look \
         it up again by its id.",
    ),
    should(
        "bad-argument",
        "A call was refused because its arguments are wrong, which no other moment mends. last_error says what is allowed. Correct the program.",
    ),
];

/// The rule of this name.
#[must_use]
pub fn named(name: &str) -> Option<&'static Rule> {
    ALL.iter().find(|rule| rule.name == name)
}

//! What was reported and not yet taken in: per server a short list, and one crossbeam channel that keeps the order of all.
//!
//! Bounded by construction: a server has at most eight transitions listed, each with one message in the channel; a keep-alive behind a
//! keep-alive only moves its stamp. While a server keeps alive and nothing is listed, its keep-alives do not come here at all but to its slot
//! (`life_signs`), which this room opens and closes under the lock of the list, so that their order against other messages is kept. Never touches
//! the engine. Written by any thread, emptied by whoever holds the core.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use vms_failover_abi as abi;

use super::life_signs::Slot;
use crate::engine::command::Input;
use crate::engine::health::EventKind;
use crate::engine::policy::ServerKey;
use crate::time::Mono;

/// Transitions that wait for one server (header, rule 12).
const LISTED_MAX: usize = 8;

/// The list of one server.
#[derive(Debug)]
pub struct Mailbox {
    key: ServerKey,
    /// Its handle.
    server: abi::vmsf_server,
    /// Where its keep-alives go while it keeps alive and nothing is listed. None where no thread of the plugin reads it.
    slot: Option<&'static Slot>,
    listed: Mutex<Listed>,
    /// The server keeps alive: one more keep-alive wakes nobody.
    keep_alive_only_rearms: AtomicBool,
}

#[derive(Debug, Default)]
struct Listed {
    events: VecDeque<(EventKind, Mono)>,
    /// The newest stamp that found the list full.
    lost: Option<Mono>,
    /// The slot is open.
    is_armed: bool,
    /// What the slot held when it was closed: it came before all that is listed.
    sign: Option<Mono>,
    /// The server is removed: its slot stays closed.
    is_retired: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Posted {
    /// Listed: the channel needs a message for it.
    Listed,
    /// Merged into the one before.
    Merged,
    /// The list is full; the stamp is kept.
    Full,
}

impl Mailbox {
    /// An empty one.
    pub fn new(key: ServerKey, server: abi::vmsf_server, slot: Option<&'static Slot>) -> Arc<Mailbox> {
        let (listed, keep_alive_only_rearms) = (Mutex::default(), AtomicBool::new(false));
        Arc::new(Mailbox { key, server, slot, listed, keep_alive_only_rearms })
    }

    /// Whose it is.
    pub fn key(&self) -> ServerKey {
        self.key
    }

    /// Lists a message. Keep-alives of the same thread come behind it from now on: the slot is closed.
    pub fn post(&self, kind: EventKind, at: Mono) -> Posted {
        let mut listed = self.listed.lock();
        let sign = self.close(&mut listed);
        listed.sign = listed.sign.max(sign);
        if let (EventKind::KeepAlive, Some((EventKind::KeepAlive, last))) = (kind, listed.events.back_mut()) {
            *last = at.max(*last);
            return Posted::Merged;
        }
        if listed.events.len() == LISTED_MAX {
            listed.lost = Some(listed.lost.map_or(at, |lost| lost.max(at)));
            return Posted::Full;
        }
        listed.events.push_back((kind, at));
        Posted::Listed
    }

    /// Takes the oldest message out, with the keep-alive before it, and the news that others were lost. In the order in which they count.
    pub fn take(&self) -> impl Iterator<Item = Input> + use<> {
        let mut listed = self.listed.lock();
        let server = self.key;
        let sign = listed.sign.take().map(|at| Input::Event { server, kind: EventKind::KeepAlive, at });
        let lost = listed.lost.take().map(|at| Input::EventsLost { server, at });
        let event = listed.events.pop_front().map(|(kind, at)| Input::Event { server, kind, at });
        [sign, lost, event].into_iter().flatten()
    }

    /// The server keeps alive, and its last message is stamped `base`: unless more is listed, keep-alives go to its slot from now on.
    pub fn arm(&self, base: Mono) {
        let Some(slot) = self.slot else { return };
        let mut listed = self.listed.lock();
        if listed.events.is_empty() && !listed.is_armed && !listed.is_retired {
            listed.is_armed = slot.open(self.server, base);
        }
    }

    /// The newest keep-alive in the slot. On the thread that arms.
    pub fn newest(&self) -> Option<Mono> {
        self.slot.and_then(Slot::newest)
    }

    /// Whether what is in the slot is so long after its base that it should be disarmed and armed again. On the thread that arms.
    pub fn needs_another_base(&self) -> bool {
        self.slot.is_some_and(Slot::needs_another_base)
    }

    /// Keep-alives do not go to the slot any more; gives the newest that did.
    pub fn disarm(&self) -> Option<Mono> {
        self.slot?;
        self.close(&mut self.listed.lock())
    }

    /// The server is removed.
    pub fn retire(&self) {
        let mut listed = self.listed.lock();
        listed.is_retired = true;
        self.close(&mut listed);
    }

    fn close(&self, listed: &mut Listed) -> Option<Mono> {
        let is_armed = std::mem::take(&mut listed.is_armed);
        self.slot.filter(|_| is_armed).and_then(Slot::close)
    }

    /// Whether a keep-alive posted now needs nobody to look at it before the old deadline.
    pub fn keep_alive_only_rearms(&self) -> bool {
        self.keep_alive_only_rearms.load(Ordering::Acquire)
    }

    /// Told by the core whenever the server's health was looked at. True where a keep-alive may have been posted in silence that is no
    /// mere repetition any more: it has to be looked at soon. (Whoever posts reads the flag after posting, so one of the two sees it.)
    #[must_use]
    pub fn set_keep_alive_only_rearms(&self, only: bool) -> bool {
        let was = self.keep_alive_only_rearms.swap(only, Ordering::AcqRel);
        was && !only && !self.is_empty()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.listed.lock().events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(slot: Option<&'static Slot>) -> Arc<Mailbox> {
        Mailbox::new(ServerKey(3), 77, slot)
    }

    fn stamps(mailbox: &Mailbox) -> Vec<(Option<EventKind>, u64)> {
        let stamp = |input| match input {
            Input::Event { kind, at, .. } => (Some(kind), at.0),
            Input::EventsLost { at, .. } => (None, at.0),
            other => panic!("{other:?}"),
        };
        mailbox.take().map(stamp).collect()
    }

    #[test]
    fn keep_alives_merge_and_keep_the_newest_stamp() {
        let mailbox = mailbox(None);
        assert_eq!(mailbox.post(EventKind::KeepAlive, Mono(5)), Posted::Listed);
        assert_eq!(mailbox.post(EventKind::KeepAlive, Mono(9)), Posted::Merged);
        assert_eq!(mailbox.post(EventKind::KeepAlive, Mono(7)), Posted::Merged);
        assert_eq!(stamps(&mailbox), [(Some(EventKind::KeepAlive), 9)]);
        assert_eq!(stamps(&mailbox), []);
    }

    #[test]
    fn a_full_list_keeps_the_newest_stamp_and_says_so_first() {
        let mailbox = mailbox(None);
        for i in 0..4 {
            mailbox.post(EventKind::Connected, Mono(i));
            mailbox.post(EventKind::Startup, Mono(i));
        }
        assert_eq!(mailbox.post(EventKind::KeepAlive, Mono(50)), Posted::Full);
        assert_eq!(mailbox.post(EventKind::ShutdownNormal, Mono(40)), Posted::Full);
        assert_eq!(stamps(&mailbox), [(None, 50), (Some(EventKind::Connected), 0)]);
        assert_eq!(stamps(&mailbox), [(Some(EventKind::Startup), 0)], "said once");
    }

    #[test]
    fn what_came_to_the_slot_counts_before_the_message_that_closes_it_and_the_rest_is_listed_behind() {
        let slot: &'static Slot = Box::leak(Box::default());
        let mailbox = mailbox(Some(slot));
        mailbox.arm(Mono(10));
        assert!(slot.keep_alive(77, Mono(15)) && !slot.keep_alive(78, Mono(15)));
        assert_eq!(mailbox.newest(), Some(Mono(15)));
        mailbox.post(EventKind::Startup, Mono(20));
        assert!(!slot.keep_alive(77, Mono(25)), "behind the other");
        mailbox.post(EventKind::KeepAlive, Mono(25));
        mailbox.arm(Mono(20));
        assert!(!slot.keep_alive(77, Mono(26)), "something is listed");
        assert_eq!(stamps(&mailbox), [(Some(EventKind::KeepAlive), 15), (Some(EventKind::Startup), 20)]);
        assert_eq!(stamps(&mailbox), [(Some(EventKind::KeepAlive), 25)]);
        mailbox.arm(Mono(25));
        assert!(slot.keep_alive(77, Mono(27)));
        assert_eq!((mailbox.disarm(), mailbox.disarm()), (Some(Mono(27)), None));
        mailbox.retire();
        mailbox.arm(Mono(27));
        assert!(!slot.keep_alive(77, Mono(28)), "removed");
    }
}

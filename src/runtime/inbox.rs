//! What was reported and not yet taken in: per server a short list, and one crossbeam channel that keeps the order of all.
//!
//! Bounded by construction: a server has at most eight transitions listed, each with one message in the channel; a keep-alive behind a
//! keep-alive only moves its stamp. Never touches the engine. Written by any thread, emptied by whoever holds the core.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

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
    listed: Mutex<Listed>,
    /// The server keeps alive: one more keep-alive wakes nobody.
    keep_alive_only_rearms: AtomicBool,
}

#[derive(Debug, Default)]
struct Listed {
    events: VecDeque<(EventKind, Mono)>,
    /// The newest stamp that found the list full.
    lost: Option<Mono>,
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
    pub fn new(key: ServerKey) -> Arc<Mailbox> {
        Arc::new(Mailbox { key, listed: Mutex::default(), keep_alive_only_rearms: AtomicBool::new(false) })
    }

    /// Whose it is.
    pub fn key(&self) -> ServerKey {
        self.key
    }

    /// Lists a message.
    pub fn post(&self, kind: EventKind, at: Mono) -> Posted {
        let mut listed = self.listed.lock();
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

    /// Takes the oldest message out, with the news that others were lost before it.
    pub fn take(&self) -> (Option<Input>, Option<Input>) {
        let mut listed = self.listed.lock();
        let lost = listed.lost.take().map(|at| Input::EventsLost { server: self.key, at });
        let event = listed.events.pop_front().map(|(kind, at)| Input::Event { server: self.key, kind, at });
        (lost, event)
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

    #[test]
    fn keep_alives_merge_and_keep_the_newest_stamp() {
        let mailbox = Mailbox::new(ServerKey(3));
        assert_eq!(mailbox.post(EventKind::KeepAlive, Mono(5)), Posted::Listed);
        assert_eq!(mailbox.post(EventKind::KeepAlive, Mono(9)), Posted::Merged);
        assert_eq!(mailbox.post(EventKind::KeepAlive, Mono(7)), Posted::Merged);
        let (_, event) = mailbox.take();
        assert!(matches!(event, Some(Input::Event { at: Mono(9), .. })), "{event:?}");
        assert!(mailbox.take().1.is_none());
    }

    #[test]
    fn a_full_list_keeps_the_newest_stamp_and_says_so_first() {
        let mailbox = Mailbox::new(ServerKey(3));
        for i in 0..4 {
            mailbox.post(EventKind::Connected, Mono(i));
            mailbox.post(EventKind::Startup, Mono(i));
        }
        assert_eq!(mailbox.post(EventKind::KeepAlive, Mono(50)), Posted::Full);
        assert_eq!(mailbox.post(EventKind::ShutdownNormal, Mono(40)), Posted::Full);
        let (lost, event) = mailbox.take();
        assert!(matches!(lost, Some(Input::EventsLost { at: Mono(50), .. })), "{lost:?}");
        assert!(event.is_some());
        assert!(mailbox.take().0.is_none(), "said once");
    }
}

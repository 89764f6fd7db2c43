//! Durable before acted on: when the state is written, who waits for it, and what happens while it cannot be.
//!
//! One write at a time; whoever waits behind it finds its own change written, too (group commit). A call returns once it is on disk; `begin` is
//! called once its intent is; everything else is written after it was delivered. Never holds the core's lock while the disk works.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::MutexGuard;
use vms_failover_abi as abi;

use super::core::Core;
use super::secrets::Keeper;
use super::{Life, Runtime};
use crate::diagnostics::{self, HeldBack};
use crate::engine::output::Operation;
use crate::error::Error;
use crate::log::mass;
use crate::secret::Secret;

/// Held by whoever writes the state. The host may call in from its log: what is logged meanwhile waits, so the order of the fields matters.
pub(super) struct Writing<'a> {
    _lock: MutexGuard<'a, ()>,
    _lines: HeldBack,
}

impl Runtime {
    /// From now on nobody else writes the state.
    pub(super) fn writing(&self) -> Writing<'_> {
        Writing { _lock: self.writing.lock(), _lines: diagnostics::hold_back() }
    }

    /// Writes the durable state, unless all of it is on disk already.
    pub fn commit(&self) -> Result<(), Error> {
        self.write().map(|_| ())
    }

    /// The same; inside it says whether the tokens are on disk, too.
    pub(super) fn write(&self) -> Result<Result<(), Error>, Error> {
        let saved = self.save::<Error>(&self.writing(), |_| Ok(()));
        if saved.is_ok() {
            self.post_what_may_go();
        }
        saved
    }

    /// What the state on disk does not speak of any more may be deleted.
    fn post_what_may_go(&self) {
        if self.life() == Life::Running {
            self.post_errands();
        }
    }

    /// The same for whoever has the lock already. What is written passes `check`, and so does what is on disk already.
    pub(super) fn save<E: From<Error>>(
        &self,
        _: &Writing<'_>,
        check: impl FnOnce(&mut Core) -> Result<(), E>,
    ) -> Result<Result<(), Error>, E> {
        let (snapshot, due) = {
            let mut core = self.core.lock();
            if core.is_torn() {
                let text = "the instance has panicked: nothing is written any more";
                return Err(Error::new(abi::VMSF_ERR_POISONED, text).into());
            }
            check(&mut core)?;
            if core.is_saved() {
                return Ok(Ok(()));
            }
            (core.snapshot(), core.secrets.due())
        };
        // What the state has changed by is in the log first: a kill must not leave a change that nobody tells of.
        self.log_failed(self.log_what_waits(false));
        // Before the state that speaks of them: what a kill leaves between the two is a token of nobody's. The state has room of its own on
        // a full disk and does not wait for them.
        let tokens = self.write_tokens(&due);
        let written = self.store.save(&snapshot.document);
        let now = self.now();
        let mut core = self.core.lock();
        match &tokens {
            Ok(()) => core.secrets.are_on_disk(due.keys()),
            Err(_) => core.tokens_wait(now),
        }
        let news = match &written {
            Ok(_) => {
                core.was_saved(&snapshot, now);
                false
            }
            Err(_) => core.was_not_saved(now),
        };
        drop(core);
        self.tokens_failed(&tokens);
        match written {
            Ok(_) => Ok(tokens),
            Err(error) => {
                if news {
                    log::error!("the state cannot be written, it is tried again every 10 s: {}", error.text);
                }
                Err(error.into())
            }
        }
    }

    fn write_tokens(&self, due: &BTreeMap<u64, (Arc<str>, Arc<Secret>)>) -> Result<(), Error> {
        let Keeper::Files(tokens) = &self.keeper else { return Ok(()) };
        let due = due.iter().map(|(op, (id, secret))| (&**id, *op, secret));
        tokens.put(&due.collect::<Vec<_>>())
    }

    fn tokens_failed(&self, written: &Result<(), Error>) {
        let failed = written.is_err();
        if self.tokens_fail.swap(failed, Ordering::AcqRel) != failed {
            match written {
                Err(error) => log::error!("tokens cannot be written; they wait in memory: {}", error.text),
                Ok(()) => log::info!("tokens are written again"),
            }
        }
    }

    /// Writes what has changed without anybody waiting for it; while the disk fails, now and then.
    pub(super) fn commit_what_changed(&self) {
        let worth_it = {
            let mut core = self.core.lock();
            let now = self.now();
            (core.tries_tokens_again(now) || !core.is_saved()) && core.may_write(now)
        };
        if worth_it {
            // Said in the log; tried again.
            let _ = self.commit();
        }
    }

    /// Whether the intent of this operation is on disk; if it cannot be, the operation is taken back.
    pub(super) fn is_intent_on_disk(&self, operation: &Operation) -> bool {
        // One that is resumed was found there, or was written before the host was first asked: it must not be forgotten now.
        let written = self.commit();
        if written.is_err() && !operation.resumed {
            self.core.lock().take_back(operation.id, self.now());
            return false;
        }
        true
    }

    /// Writes what waits to be delivered to the log, before the host hears of it.
    pub(super) fn log_before_delivery(&self) {
        if !self.core.lock().is_all_reserved() {
            // Told above; a number that is not reserved can repeat after a power loss only.
            let _ = self.commit();
        }
        self.log_failed(self.log_what_waits(true));
    }

    /// In order, each once. The log's lock is held from taking to writing, so that two threads keep the order.
    fn log_what_waits(&self, also_unreserved: bool) -> Result<(), Error> {
        let mut log = self.log.lock();
        let Some(store) = log.as_mut() else { return Ok(()) };
        let entries = self.core.lock().take_unlogged(also_unreserved);
        store.append_all(&mass::lines(&entries))
    }

    fn log_failed(&self, kept: Result<(), Error>) {
        let failed = kept.is_err();
        if self.log_fails.swap(failed, Ordering::AcqRel) != failed {
            match kept {
                Err(error) => log::error!("the log cannot be written; what it lacks waits in memory: {}", error.text),
                Ok(()) => log::info!("the log is written again"),
            }
        }
    }

    /// A page of the log from `since_seq` on, as JSON.
    pub fn log_page(&self, since_seq: u64, max_entries: u32) -> Result<String, Error> {
        let reading = {
            let log = self.log.lock();
            let store = log.as_ref().ok_or_else(|| Error::new(abi::VMSF_ERR_STATE, "the instance has ended"))?;
            store.reading(since_seq, max_entries as usize, crate::log::store::PAGE_BYTES_MAX)
        };
        // With the lock given back: older pages come from the disk.
        let page = reading.run()?;
        let mut json = format!(
            "{{\"first_seq\":{},\"last_seq\":{},\"next_seq\":{},\"entries\":[",
            page.first_seq, page.last_seq, page.next_seq
        );
        json.push_str(&page.entries.join(","));
        json.push_str("]}");
        Ok(json)
    }

    /// The instance ends: all is written, and its state directory is free at once, even while a late call still holds the instance.
    pub fn close(&self) {
        // What was configured or cancelled while stopped.
        let _ = self.commit();
        // With the lock given back: the host may call in from its log.
        let store = self.log.lock().take();
        if let Some(store) = store
            && let Err(error) = store.close()
        {
            log::error!("the log was not closed well: {}", error.text);
        }
        self.store.unlock();
    }
}

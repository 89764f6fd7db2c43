//! The failover plugin: notices a lost recording server and has its host take it over.
//!
//! # Bird's-eye view
//!
//! ```text
//!   VMS host process                                   this library
//!   ----------------                                   -------------------------------------------------------
//!   notify, takeover, complete ...  --- C ABI -->      ffi --> runtime (inbox) --> engine (decides)
//!   event, begin, wake, log         <-- callbacks ---  ffi::host <-- runtime (outbox) <-- outputs
//! ```
//!
//! Data goes one way: host → `ffi` → `runtime` → `engine` → outputs → `runtime` → `ffi::host` → host.
//!
//! # Code map
//!
//! | room | what it does | what it never does |
//! |---|---|---|
//! | [`engine`] | health, takeover, restore, cluster, logins, backups, timers: a function of (state, input, now) | clock, thread, lock, I/O, hash order, float |
//! | [`runtime`] | one instance: clock, lock, inbox, worker or poll, delivery | touch a host pointer; hold a lock in a callback |
//! | [`runtime::life_signs`] | the hot path: the newest keep-alive of each server in a slot of its own, which the worker reads when it is due | lock, wake, count, allocate |
//! | [`runtime::files`] | the file worker: backups and the host's keeper of tokens, in slices, on two threads or inside `poll` | know the engine; delay a deadline |
//! | [`ffi`] | the border: entry, guard, handles, text, the host's table, what a trace says; all `unsafe` | policy |
//! | [`runtime::trace`] | writes the lines of a trace (`VMSF_TRACE`), on a thread of its own while one is open | make a call wait; look into a line |
//! | [`config`] | the configuration document, its bounds, its faults, edits | files, clocks |
//! | [`log`] | entries in words and JSON, the limit on repetition; `log::store` keeps them on disk | clocks; be called with the core's lock held |
//! | [`status`] | the status in JSON and in sentences | lock, clock, file |
//! | [`diagnostics`] | the `log` facade, bridged to the host | be called with a lock held |
//! | [`state`] | the state directory: lock, durable state, kept configuration and tokens in two generations each | be called with the core's lock held |
//! | [`recordings`] | writes the recordings parameter into a settings text | files; any byte but the one line |
//! | [`backup`] | the settings backups on disk: publish, verify, retain | clocks; be called with a lock held, but for the checks of its server in a look or a search |
//! | [`secret`] | credentials and tokens in memory: copied once, wiped | show, write or copy them in passing |
//! | [`handle`], [`time`], [`error`] | checked handles, instants, the one error | know anything of the rest |
//!
//! # Invariants
//!
//! - A callback runs with no lock held, one at a time, in order; what it calls in comes back through the inbox.
//! - A keep-alive that was taken in is never lost: it is in the server's slot or in its list, and both are read before the server is failed.
//! - An event's time is taken at the call, so a busy worker never fails a server that spoke in time.
//! - Durable before acted on: a call returns, and `begin` is called, once what was accepted or decided is on disk.
//! - A panic ends at the border or in the worker and poisons the instance; the host goes on.
//! - Everything is bounded: lists, queues, texts, reports.
//!
//! # Deliberately absent
//!
//! No async runtime, no network, no child process; no thread beside the one worker, its writer and the two of the file worker, and none at all when the
//! host drives (but for the one that writes a trace, where somebody asked for one). No maintenance, drills or probes in this version: the table's members for these give `VMSF_ERR_UNSUPPORTED`.

mod atomics {
    //! What `runtime::life_signs::slot` is built on; a test has a model checker's in its place.
    pub use std::sync::atomic::{AtomicU64, Ordering};
}
pub mod backup;
pub mod config;
pub mod diagnostics;
pub mod engine;
pub mod error;
pub mod ffi;
pub mod handle;
pub mod log;
pub mod recordings;
pub mod runtime;
pub mod secret;
pub mod state;
pub mod status;
pub mod time;

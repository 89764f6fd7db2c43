//! Emulates the host of the vms-failover plugin.
//!
//! It loads the built library as any C host would and names no item of the plugin's crate. `host-sim run` drives the
//! library through scenario files in virtual time:
//!
//! file → [`scenario`] (read, checked) → [`run`] (drives a [`run::Subject`]; [`library`] is the built library as one, [`lives`]
//! the same with a process for each life) → [`trace`] (lines) → [`expect`] (compared) or [`explain`] (told).
//!
//! [`plugin`] is the border to the library and the only room with `unsafe`; [`random`] makes scenarios from seeds;
//! [`commands`] is what the program does with all that. `host-sim demo` (`demo`, on Linux) plays the whole job with real processes;
//! `host-sim storm` ([`storm`]) kills such a process again and again; `host-sim bench` (`bench`, on Linux) measures what the plugin costs;
//! `host-sim check` ([`check`]) judges a library by the rules of its header, each check in a process of its own, and `host-sim check --host`
//! ([`contract`]) a host by the trace that the plugin has written of it.
//! `host-sim package` ([`package`]) makes the release archive.

#[cfg(target_os = "linux")]
pub mod bench;
pub mod check;
pub mod commands;
pub mod contract;
#[cfg(target_os = "linux")]
pub mod demo;
pub mod expect;
pub mod explain;
pub mod library;
pub mod lives;
pub mod package;
pub mod plugin;
pub mod random;
pub mod run;
pub mod scenario;
pub mod storm;
pub mod trace;

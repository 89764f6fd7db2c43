//! The border: the exported symbols, the table of functions, the host's table of callbacks. All `unsafe` of the plugin lives here, and no policy.
//!
//! The host's table is `traced`, which leads to `api`. Every function goes through `guard` (handles, threads, panics), reads its inputs through `text` and `host`, and calls one method of
//! `runtime`. Only `host` and `secrets` ever call a pointer of the host.

mod api;
mod entry;
mod guard;
mod host;
mod instance;
mod options;
pub mod os;
mod secrets;
#[cfg(test)]
pub mod tests;
mod text;
mod trace;
mod traced;

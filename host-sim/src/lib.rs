//! Emulates the host of the vms-failover plugin.
//!
//! It loads the built library as any C host would and names no item of the plugin's crate.

pub mod plugin;

#[cfg(target_os = "linux")]
pub mod demo;

//! The host through the second door: `abi_stable` compares every struct and signature of host and plugin, and refuses with a text that says
//! what differs. The price is its own rules, see `include/rust/src/checked.rs`; from the entry function on all is the same.

use std::process::ExitCode;

fn main() -> ExitCode {
    failover_host::main(vms_failover_abi::checked::entry)
}

//! `host-sim`: see `host_sim`.
fn main() {}

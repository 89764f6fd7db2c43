//! An instance behind the polite wrapper of host-sim, where a callback may assert: the wrapper keeps a panic on the host's side of the border,
//! so whoever asserts there needs somebody who looks. (In `rig`, on the raw C ABI, such a panic ends the whole process.)

// Each test file uses its own part of it.
#![allow(dead_code)]

use std::ops::Deref;
use std::sync::Arc;

use host_sim::commands;
use host_sim::plugin::{CallError, CreateOptions, Host, Instance, Mode, Plugin};

/// Longer than any stop takes.
const STOP_MS: u32 = 20_000;

/// The built plugin.
pub fn plugin() -> Arc<Plugin> {
    commands::load(None).unwrap_or_else(|text| panic!("{text}"))
}

/// An instance that ends with a failed test if one of its callbacks panicked, or if it does not end as it should.
pub struct Checked(Instance);

impl Checked {
    pub fn create(mode: Mode, options: &CreateOptions, host: Box<dyn Host>) -> Result<Checked, CallError> {
        Instance::create(&plugin(), mode, options, host).map(Checked)
    }
}

impl Deref for Checked {
    type Target = Instance;

    fn deref(&self) -> &Instance {
        &self.0
    }
}

impl Drop for Checked {
    fn drop(&mut self) {
        // First, because that calls back, too.
        let ended = self.0.stop(STOP_MS).and_then(|()| self.0.destroy());
        if !std::thread::panicking() {
            assert_eq!(self.0.host_panic(), None);
            assert_eq!(ended, Ok(1), "it ends, and `release` is called once");
        }
    }
}

//! What stands in front of every function of the table: threads, handles, poison and panics. Nothing of the plugin runs outside it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use vms_failover_abi as abi;

use super::host::{Inside, inside};
use super::instance::{self, Instance};
use crate::diagnostics;
use crate::error::{Error, panic_text};

/// The thread class of a member (header, rule 5), and whether it still answers when poisoned (rule 8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// May block; not from a callback; one at a time.
    Control,
    /// As `Control`, and answers a poisoned instance: stop and destroy.
    Ending,
    /// Runs the callbacks; not from a callback.
    Poll,
    /// May overlap everything.
    AnyThread,
    /// As `AnyThread`, and answers a poisoned instance.
    Reading,
    /// The hot path: sets no last error and needs no log.
    Hot,
}

impl Class {
    fn is_control(self) -> bool {
        matches!(self, Class::Control | Class::Ending)
    }

    fn allowed_inside(self, inside: Inside) -> bool {
        match inside {
            Inside::Nothing => true,
            Inside::Wake => false,
            Inside::Callback => !self.is_control() && self != Class::Poll,
        }
    }

    fn answers_poisoned(self) -> bool {
        matches!(self, Class::Ending | Class::Reading)
    }
}

/// Runs one member on the instance behind `plugin`.
pub fn call(
    class: Class,
    plugin: abi::vmsf_plugin,
    member: impl FnOnce(&Instance) -> Result<(), Error>,
) -> abi::vmsf_result {
    if !class.allowed_inside(inside()) {
        return abi::VMSF_ERR_REENTRANT;
    }
    let Some(instance) = instance::get(plugin) else { return abi::VMSF_ERR_HANDLE };
    let result = catch_unwind(AssertUnwindSafe(|| checked(class, &instance, member)));
    let error = match result {
        Ok(Ok(())) => return abi::VMSF_OK,
        Ok(Err(error)) => error,
        Err(panic) => {
            let text = panic_text(&*panic);
            // The first panic has left everything else as it was; if saying so panics again, the flag is set at least.
            let _ = catch_unwind(AssertUnwindSafe(|| instance.runtime.poison(&text)));
            Error::new(abi::VMSF_ERR_PANIC, text)
        }
    };
    if class != Class::Hot {
        instance.keep_error(&error);
    }
    error.code
}

fn checked(
    class: Class,
    instance: &Arc<Instance>,
    member: impl FnOnce(&Instance) -> Result<(), Error>,
) -> Result<(), Error> {
    if class == Class::Hot {
        return if instance.runtime.is_poisoned() { Err(poisoned()) } else { member(instance) };
    }
    let _log = diagnostics::enter(Arc::clone(&instance.host) as _);
    let _control = match class.is_control().then(|| instance.control.try_lock()) {
        Some(None) => return Err(Error::new(abi::VMSF_ERR_BUSY, "another control member runs")),
        guard => guard,
    };
    if instance.runtime.is_poisoned() && !class.answers_poisoned() {
        if class == Class::Poll {
            instance.runtime.poll_poisoned();
        }
        return Err(poisoned());
    }
    member(instance)
}

fn poisoned() -> Error {
    Error::new(abi::VMSF_ERR_POISONED, "the instance has panicked: stop, destroy and create it again")
}

/// Runs a member that has no instance: entry, create, result_name.
pub fn without_instance(member: impl FnOnce() -> abi::vmsf_result) -> abi::vmsf_result {
    catch_unwind(AssertUnwindSafe(member)).unwrap_or(abi::VMSF_ERR_PANIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_without_an_instance_is_a_result() {
        assert_eq!(without_instance(|| panic!("injected")), abi::VMSF_ERR_PANIC);
    }

    #[test]
    fn control_and_poll_are_refused_inside_a_callback_and_everything_inside_wake() {
        let all = [Class::Control, Class::Ending, Class::Poll, Class::AnyThread, Class::Reading, Class::Hot];
        let allowed: Vec<Class> = all.into_iter().filter(|class| class.allowed_inside(Inside::Callback)).collect();
        assert_eq!(allowed, [Class::AnyThread, Class::Reading, Class::Hot]);
        assert!(all.into_iter().all(|class| class.allowed_inside(Inside::Nothing)));
        assert!(!all.into_iter().any(|class| class.allowed_inside(Inside::Wake)));
    }
}

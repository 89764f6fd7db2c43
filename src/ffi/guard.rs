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
        return reentrant(class, plugin).code;
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

/// Runs what needs no instance to be looked up, where the hot path is allowed. False if it did nothing.
#[inline]
pub fn hot(path: impl FnOnce() -> bool) -> bool {
    Class::Hot.allowed_inside(inside()) && catch_unwind(AssertUnwindSafe(path)).unwrap_or(false)
}

fn checked(
    class: Class,
    instance: &Arc<Instance>,
    member: impl FnOnce(&Instance) -> Result<(), Error>,
) -> Result<(), Error> {
    if class == Class::Hot {
        return instance.runtime.poisoned_by().map_or_else(|| member(instance), |_| Err(poisoned("")));
    }
    let _log = diagnostics::enter(Arc::clone(&instance.host) as _);
    let _control = match class.is_control().then(|| instance.control.try_lock()) {
        Some(None) => return Err(Error::new(abi::VMSF_ERR_BUSY, "another control member runs")),
        guard => guard,
    };
    if instance.has_ended() {
        // Destroyed between the look-up of the handle and here.
        return Err(Error::new(abi::VMSF_ERR_HANDLE, ""));
    }
    if !class.answers_poisoned()
        && let Some(why) = instance.runtime.poisoned_by()
    {
        if class == Class::Poll {
            instance.runtime.poll_poisoned();
        }
        return Err(poisoned(why));
    }
    member(instance)
}

fn poisoned(why: &str) -> Error {
    let text = format!("the instance has panicked: stop, destroy and create it again ({why})");
    Error::new(abi::VMSF_ERR_POISONED, text)
}

/// A member called where it is not allowed; kept as the last error like any other.
fn reentrant(class: Class, plugin: abi::vmsf_plugin) -> Error {
    let error = reentrant_error();
    if class != Class::Hot
        && let Some(instance) = instance::get(plugin)
    {
        instance.keep_error(&error);
    }
    error
}

/// What is said inside a callback to members that may not be called there.
pub fn reentrant_error() -> Error {
    Error::new(
        abi::VMSF_ERR_REENTRANT,
        "called from inside a callback: control members and poll wait for callbacks, and `wake` may call nothing",
    )
}

/// Runs a member that has no instance: entry, create, result_name.
pub fn without_instance(member: impl FnOnce() -> abi::vmsf_result) -> abi::vmsf_result {
    catch_unwind(AssertUnwindSafe(member)).unwrap_or(abi::VMSF_ERR_PANIC)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::ffi::{c_char, c_void};
    use std::sync::Mutex;

    use serde_json::json;

    use crate::ffi::host::HostTable;
    use crate::ffi::{api::API, options};

    /// The kinds of the events, in order.
    type Seen = Mutex<Vec<u32>>;

    unsafe extern "C" fn event(ctx: *mut c_void, event: *const abi::vmsf_event) {
        // SAFETY: `ctx` is a `Seen` that lives for ever (rule 3).
        let seen = unsafe { &*ctx.cast::<Seen>() };
        // SAFETY: lives until the callback returns (rule 3).
        seen.lock().unwrap().push(unsafe { &*event }.kind);
    }

    unsafe extern "C" fn begin(_: *mut c_void, _: *const abi::vmsf_operation) {}
    unsafe extern "C" fn log(_: *mut c_void, _: u32, _: *const c_char, _: *const c_char, _: usize) {}
    unsafe extern "C" fn wake(_: *mut c_void, _: u64) {}

    fn instance(drives: bool, directory: &std::path::Path) -> (abi::vmsf_plugin, &'static Seen) {
        let seen: &'static Seen = Box::leak(Box::default());
        let table = abi::vmsf_host {
            struct_size: size_of::<abi::vmsf_host>() as u32,
            flags: u32::from(drives),
            ctx: std::ptr::from_ref(seen).cast_mut().cast(),
            name: c"test".as_ptr(),
            version: c"1".as_ptr(),
            log: Some(log),
            log_level: None,
            event: Some(event),
            begin: Some(begin),
            wake: drives.then_some(wake),
            release: None,
            get_extension: None,
            reserved: [0; 2],
        };
        // SAFETY: a whole table of this frame (rule 2).
        let host = Arc::new(unsafe { HostTable::read(&table) }.unwrap());
        let config = json!({ "schema": 1, "backup_directory": "/b", "store_path": "/s",
            "monitored_servers": [{ "id": "a", "host": "a.example" }] });
        let options = json!({ "schema": 1, "state_directory": directory, "config": config, "durability": "none" });
        let Ok(instance) = options::create(host, &options.to_string()) else { panic!("no instance") };
        (instance::insert(instance), seen)
    }

    #[test]
    fn a_panic_in_a_call_poisons_the_instance_which_says_so_once_and_can_be_ended() {
        for (drives, class) in
            [(true, Class::AnyThread), (true, Class::Poll), (false, Class::Hot), (false, Class::Control)]
        {
            let root = tempfile::tempdir().unwrap();
            let (p, seen) = instance(drives, root.path());
            let (mut next, mut len) = (0, 0);
            let (next, len) = (&raw mut next, &raw mut len);
            let null = std::ptr::null_mut();
            // SAFETY: handles are checked (rule 4), here and below; the outputs live (rule 3).
            assert_eq!(unsafe { (API.start)(p) }, abi::VMSF_OK);
            // SAFETY: as above (rule 4).
            assert_eq!(unsafe { (API.poll)(p, 5, 5, next) } == abi::VMSF_OK, drives);
            assert_eq!(call(class, p, |_| panic!("injected")), abi::VMSF_ERR_PANIC);
            assert_eq!(call(Class::Ending, p, |_| panic!("again")), abi::VMSF_ERR_PANIC);
            // SAFETY: as above (rule 4).
            assert_eq!(unsafe { (API.start)(p) }, abi::VMSF_ERR_POISONED);
            // SAFETY: as above (rule 4).
            assert_eq!(unsafe { (API.notify)(p, 1, 1, 0) }, abi::VMSF_ERR_POISONED);
            // SAFETY: as above (rule 4).
            assert_eq!(unsafe { (API.config)(p, null, 0, len) }, abi::VMSF_ERR_POISONED);
            // SAFETY: as above (rule 4).
            assert_eq!(unsafe { (API.now_ns)(p, next) }, abi::VMSF_OK);
            // SAFETY: as above (rule 4).
            assert_eq!(unsafe { (API.status)(p, 0, null, 0, len) }, abi::VMSF_ERR_TOO_SMALL);
            // SAFETY: as above (rule 4).
            assert_eq!(unsafe { (API.last_error)(p, null.cast(), null, 0, len) }, abi::VMSF_ERR_TOO_SMALL);
            let last = instance::get(p).unwrap().last_error().unwrap();
            assert_eq!(last.code, abi::VMSF_ERR_POISONED, "{last:?}");
            let status = instance::get(p).unwrap().runtime.status(0).unwrap();
            let status: serde_json::Value = serde_json::from_str(&status).unwrap();
            assert_eq!((&status["state"], &status["poisoned"]), (&json!("poisoned"), &json!("injected")));
            assert_eq!(status["servers"][0]["id"], "a");
            for _ in 0..2 {
                // SAFETY: as above (rule 4).
                assert_eq!(unsafe { (API.poll)(p, 6, 6, next) }, abi::VMSF_ERR_POISONED);
            }
            let text = instance::get(p).unwrap().last_error().unwrap().text;
            assert!(text.contains("injected"), "the first panic is told: {text}");
            // SAFETY: as above (rule 4).
            assert_eq!(unsafe { (API.stop)(p, 20_000) }, abi::VMSF_OK);
            assert_eq!(*seen.lock().unwrap(), [abi::VMSF_EVENT_POISONED]);
            // SAFETY: as above (rule 4).
            assert_eq!(unsafe { (API.poll)(p, 7, 7, next) }, abi::VMSF_ERR_POISONED);
            // SAFETY: as above (rule 4).
            assert_eq!(unsafe { (API.destroy)(p) }, abi::VMSF_OK);
        }
    }

    #[test]
    fn a_call_that_found_its_instance_just_before_destroy_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (p, _) = instance(false, root.path());
        let late = instance::get(p).unwrap();
        // SAFETY: handles are checked (rule 4).
        assert_eq!(unsafe { (API.destroy)(p) }, abi::VMSF_OK);
        for class in [Class::Control, Class::Ending, Class::AnyThread] {
            let result = checked(class, &late, |_| panic!("it is destroyed"));
            assert_eq!(result.unwrap_err().code, abi::VMSF_ERR_HANDLE, "{class:?}");
        }
    }

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

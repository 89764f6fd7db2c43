//! What the standard library lacks of the operating system.

#[cfg(windows)]
pub use windows::{counter_ns, rename, stay_loaded};

/// Runs `spawn` with all signals blocked, so that a thread started in it never takes a signal meant for the host.
#[cfg(unix)]
pub fn with_signals_blocked<T>(spawn: impl FnOnce() -> T) -> T {
    struct Restore(libc::sigset_t);
    impl Drop for Restore {
        fn drop(&mut self) {
            // SAFETY: the set was filled in by pthread_sigmask below; the call touches this thread's mask alone (rule 5).
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
        }
    }
    // SAFETY: sigset_t is plain data for which all zeroes is a value; both calls write only to these two locals (rule 5).
    let mut all: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: `all` is a valid sigset_t of this frame (rule 5).
    unsafe { libc::sigfillset(&mut all) };
    // SAFETY: as for `all` (rule 5).
    let mut before: libc::sigset_t = unsafe { std::mem::zeroed() };
    // SAFETY: both sets are valid for the call; only this thread's mask changes (rule 5).
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before) };
    let _restore = Restore(before);
    spawn()
}

/// There are no such signals.
#[cfg(not(unix))]
pub fn with_signals_blocked<T>(spawn: impl FnOnce() -> T) -> T {
    spawn()
}

/// This thread's timed waits end at their instant: by default the kernel may add 50 µs, to wake several threads together.
#[cfg(target_os = "linux")]
pub fn wait_precisely() {
    // Where it is refused, waits are as precise as everybody's.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
}

/// Nothing is added here.
#[cfg(not(target_os = "linux"))]
pub fn wait_precisely() {}

/// The linker has seen to it that the library stays mapped.
#[cfg(not(windows))]
pub fn stay_loaded() -> std::io::Result<()> {
    Ok(())
}

#[cfg(windows)]
mod windows {
    use std::ffi::OsStr;
    use std::io;
    use std::os::windows::ffi::OsStrExt;
    use std::path::Path;
    use std::sync::OnceLock;

    use windows_sys::Win32::Storage::FileSystem::{MOVEFILE_REPLACE_EXISTING, MOVEFILE_WRITE_THROUGH, MoveFileExW};
    use windows_sys::Win32::System::LibraryLoader::{
        GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS, GET_MODULE_HANDLE_EX_FLAG_PIN, GetModuleHandleExW,
    };
    use windows_sys::Win32::System::Performance::{QueryPerformanceCounter, QueryPerformanceFrequency};

    const SECOND_NS: u64 = 1_000_000_000;

    /// The library stays mapped from now on: each time it were loaded anew, Rust's runtime would take further TLS indexes, of which a process
    /// has about a thousand.
    pub fn stay_loaded() -> io::Result<()> {
        const HERE: u32 = GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS | GET_MODULE_HANDLE_EX_FLAG_PIN;
        let of_this_library: fn() -> io::Result<()> = stay_loaded;
        let mut module = std::ptr::null_mut();
        // SAFETY: with FROM_ADDRESS the name is any address inside the library; the handle goes into a local (rule 13).
        let done = unsafe { GetModuleHandleExW(HERE, of_this_library as *const u16, &mut module) };
        succeeded(done)
    }

    /// QueryPerformanceCounter, in ns rounded down.
    pub fn counter_ns() -> u64 {
        static FREQUENCY: OnceLock<i64> = OnceLock::new();
        let frequency = *FREQUENCY.get_or_init(|| {
            let mut frequency = 0;
            // SAFETY: writes to this local; never fails since Windows XP (rule 11).
            unsafe { QueryPerformanceFrequency(&mut frequency) };
            frequency.max(1)
        });
        let mut counter = 0;
        // SAFETY: as above (rule 11).
        unsafe { QueryPerformanceCounter(&mut counter) };
        to_ns(counter.unsigned_abs(), frequency.unsigned_abs())
    }

    /// Seconds and the rest apart: together they would overflow after half an hour at 10 MHz.
    fn to_ns(counter: u64, frequency: u64) -> u64 {
        (counter / frequency).saturating_mul(SECOND_NS).saturating_add(counter % frequency * SECOND_NS / frequency)
    }

    /// Gives a file another name, and comes back once that is on disk.
    pub fn rename(from: &Path, to: &Path, replace: bool) -> io::Result<()> {
        let (from, to) = (wide(from)?, wide(to)?);
        let flags = MOVEFILE_WRITE_THROUGH | if replace { MOVEFILE_REPLACE_EXISTING } else { 0 };
        // SAFETY: both names are NUL-terminated and live until the call returns (rule 15).
        succeeded(unsafe { MoveFileExW(from.as_ptr(), to.as_ptr(), flags) })
    }

    /// In the form in which a name may be longer than 260 characters.
    fn wide(path: &Path) -> io::Result<Vec<u16>> {
        let path = std::path::absolute(path)?;
        let name: Vec<u16> = path.as_os_str().encode_wide().collect();
        let prefixed =
            |prefix: &str, rest: &[u16]| [&OsStr::new(prefix).encode_wide().collect::<Vec<_>>(), rest, &[0]].concat();
        let begins = |with: &str| name.iter().copied().zip(OsStr::new(with).encode_wide()).all(|(a, b)| a == b);
        Ok(if begins(r"\\?\") || begins(r"\\.\") {
            prefixed("", &name)
        } else if begins(r"\\") {
            prefixed(r"\\?\UNC\", &name[2..])
        } else {
            prefixed(r"\\?\", &name)
        })
    }

    fn succeeded(result: i32) -> io::Result<()> {
        if result == 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_counter_is_ns_without_overflow_at_any_frequency() {
            for (counter, frequency, ns) in [
                (0, 10_000_000, 0),
                (1, 10_000_000, 100),
                (1, 3_000_000, 333),
                (
                    u64::MAX >> 4,
                    10_000_000,
                    (u64::MAX >> 4) / 10_000_000 * SECOND_NS + (u64::MAX >> 4) % 10_000_000 * 100,
                ),
                (7 * 3_579_545 + 1, 3_579_545, 7 * SECOND_NS + 279),
                (5, 4_000_000_000, 1),
            ] {
                assert_eq!(to_ns(counter, frequency), ns, "{counter} at {frequency}");
            }
        }

        #[test]
        fn names_get_the_form_that_has_no_limit() {
            for (name, form) in [
                (r"C:\a\b", r"\\?\C:\a\b"),
                ("C:/a/b", r"\\?\C:\a\b"),
                (r"\\server\share\a", r"\\?\UNC\server\share\a"),
                (r"\\?\C:\a", r"\\?\C:\a"),
            ] {
                let wide = wide(Path::new(name)).unwrap();
                assert_eq!(String::from_utf16(&wide).unwrap(), format!("{form}\0"));
            }
        }
    }
}

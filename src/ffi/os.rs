//! What the standard library lacks of the operating system.

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

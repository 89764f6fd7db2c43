//! Signals that ask the storm to end: looked at between two kills, so that neither a host nor a file is left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

/// The signal that came; 0: none.
#[derive(Debug, Clone, Default)]
pub struct Signals(Arc<AtomicUsize>);

impl Signals {
    /// Watches for them. To be done before there is anything that a signal could leave behind.
    ///
    /// # Errors
    /// They cannot be watched.
    #[cfg(target_os = "linux")]
    pub fn watched() -> Result<Self> {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let signals = Self::default();
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register_usize(signal, Arc::clone(&signals.0), signal.unsigned_abs() as usize)?;
        }
        Ok(signals)
    }

    /// Elsewhere a signal ends the process as it always does.
    ///
    /// # Errors
    /// None.
    #[cfg(not(target_os = "linux"))]
    pub fn watched() -> Result<Self> {
        Ok(Self::default())
    }

    /// Whether one came.
    #[must_use]
    pub fn came(&self) -> bool {
        self.status().is_some()
    }

    /// The exit status that tells of it: 128 and its number.
    #[must_use]
    pub fn status(&self) -> Option<u8> {
        let signal = self.0.load(Ordering::Relaxed);
        (signal > 0).then(|| u8::try_from(128 + signal).unwrap_or(u8::MAX))
    }
}

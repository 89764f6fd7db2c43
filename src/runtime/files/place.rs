//! Where a job works: a server, its folder, and what is known of the backups there, which both lanes share. Called by the rest of `files`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Named;
use crate::backup::{Checked, Checks, Condition, Folder, Name};

/// A server's folder.
#[derive(Clone)]
pub struct Place {
    pub whose: Named,
    pub folder: Folder,
    pub known: Arc<Known>,
}

/// What is known of one folder's backups.
#[derive(Default)]
pub struct Known {
    /// Held while a search hashes, so nobody else may hold it for long. A leaf: no other lock is taken under it.
    pub checks: Mutex<Checks>,
    changes: AtomicU64,
}

impl Known {
    /// How often backups have come or gone: tells a list that is out of date.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Backups have come or gone.
    pub fn change(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

impl Place {
    /// A look without hashing.
    pub fn look(&self, name: Name) -> Condition {
        self.folder.look(name, &self.known.checks.lock())
    }

    /// Notes what hashing has found.
    pub fn note(&self, name: Name, checked: Checked) {
        self.known.checks.lock().note(name, checked);
    }

    /// Whether both have the same checks.
    pub fn is_same(&self, other: &Place) -> bool {
        Arc::ptr_eq(&self.known, &other.known)
    }

    /// Alike for folders that are one on some system, whatever the case of their names.
    pub fn key(&self) -> Key {
        Key(self.folder.path().to_string_lossy().to_lowercase())
    }
}

/// Tells folders apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(String);

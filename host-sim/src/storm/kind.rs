//! What a kill can hit.

use serde::Serialize;

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The host's start: nothing was told of it yet.
    Start,
    /// A call that has not returned.
    Call,
    /// A `configure` that has not returned.
    Reconfiguration,
    /// An operation whose end was not told.
    JoinCluster,
    /// The same.
    Authorize,
    /// A backup that the host writes.
    Backup,
    /// A backup that the host has written: the plugin hashes, syncs and publishes it.
    Publish,
    /// As the others.
    Takeover,
    /// As the others.
    Restore,
    /// As the others.
    Deauthorize,
}

impl Kind {
    /// All, in the order in which a fresh host comes to them.
    pub const ALL: [Kind; 10] = [
        Kind::Start,
        Kind::Call,
        Kind::Reconfiguration,
        Kind::JoinCluster,
        Kind::Authorize,
        Kind::Backup,
        Kind::Publish,
        Kind::Takeover,
        Kind::Restore,
        Kind::Deauthorize,
    ];

    /// Of an operation, by its name.
    #[must_use]
    pub fn of(operation: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == operation)
    }

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Start => "start",
            Kind::Call => "call",
            Kind::Reconfiguration => "reconfiguration",
            Kind::JoinCluster => "join_cluster",
            Kind::Authorize => "authorize",
            Kind::Backup => "backup",
            Kind::Publish => "publish",
            Kind::Takeover => "takeover",
            Kind::Restore => "restore",
            Kind::Deauthorize => "deauthorize",
        }
    }
}

//! What the engine needs of the configuration, in its own units. Made by `runtime` from an accepted `Config`; never checked here.

use super::output::OperationKind;
use crate::time::Span;

/// Stable number of a monitored server inside one plugin instance: the index of its slot. Never an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerKey(pub u32);

impl ServerKey {
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// The five timeouts of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// A connection was made, the first startup message has not come.
    pub connected: Span,
    /// The startup message came, the first keep-alive has not.
    pub started: Span,
    /// No new keep-alive comes.
    pub keep_alive: Span,
    /// Shut down normally and not restarted.
    pub normal_shutdown: Span,
    /// Exited with an error and not restarted.
    pub abnormal_shutdown: Span,
}

impl Timeouts {
    /// The timeout after a shutdown, normal or abnormal.
    pub(super) fn shutdown(&self, normal: bool) -> Span {
        if normal { self.normal_shutdown } else { self.abnormal_shutdown }
    }
}

/// The rules the engine goes by; the servers stand in configuration order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The five timeouts.
    pub timeouts: Timeouts,
    /// A failed server is queued without being asked.
    pub automatic_takeover: bool,
    /// A returned server is restored without being asked.
    pub automatic_restore: bool,
    /// How long a takeover may take the host.
    pub takeover_timeout: Span,
    /// How long a restore may take the host.
    pub restore_timeout: Span,
    /// How long a backup may take the host.
    pub backup_timeout: Span,
    /// How long the other operations may take the host.
    pub operation_timeout: Span,
    /// Every server is backed up once a day.
    pub daily_backup: bool,
    /// The host revokes tokens when it is asked to.
    pub host_revokes: bool,
    /// When, in ms after midnight UTC.
    pub backup_time_ms: i64,
    /// How long a returned server must keep alive before it counts as back.
    pub restore_stable: Span,
    /// A wake-up later than this was a pause.
    pub pause_tolerance: Span,
    /// The monitored servers, in configuration order.
    pub servers: Vec<ServerPolicy>,
}

/// One monitored server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerPolicy {
    /// Its key.
    pub key: ServerKey,
    /// 1 is the most important.
    pub priority: u32,
    /// Host or port changed with this policy: it is another machine now, never seen.
    pub readdressed: bool,
}

impl Policy {
    /// How long the host may take.
    pub(super) fn for_host(&self, kind: OperationKind) -> Span {
        match kind {
            OperationKind::Takeover => self.takeover_timeout,
            OperationKind::Restore => self.restore_timeout,
            OperationKind::Backup => self.backup_timeout,
            OperationKind::Authorize | OperationKind::Deauthorize | OperationKind::JoinCluster => {
                self.operation_timeout
            }
        }
    }
}

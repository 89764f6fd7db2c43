//! The scenario document: what it says, and how it is read.
//!
//! [`Scenario::parse`] takes the text of a file and gives a checked scenario, or every fault of the document, each with its
//! line, its JSON pointer and what is expected there. Nothing here runs anything.

mod check;
mod locate;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use vms_failover_abi as abi;

/// A checked scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What the story is, in a phrase.
    pub name: String,
    /// UTC at time 0, in ms since 1970.
    pub start_utc_ms: i64,
    /// The plugin's configuration as it stands in the document; the plugin checks it.
    pub config: Value,
    /// The cluster is joined and every server authorized and backed up before time 0.
    pub prepared: bool,
    /// How the host answers.
    pub host: HostAnswers,
    /// What happens, in file order.
    pub steps: Vec<Step>,
    /// The last instant that is run.
    pub until_ms: u64,
    /// Lines that must appear among the trace's, in this order, each with the keys to be matched.
    pub expect: Vec<Map<String, Value>>,
}

/// How the scenario's host answers the operations that it is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostAnswers {
    /// How long each operation takes, in ms, also when it fails; 0 for those not named.
    pub delays_ms: Vec<(String, u64)>,
    /// Operations that fail.
    pub fail: Vec<Exception>,
    /// Operations that are never answered; they go before `fail`.
    pub never_answer: Vec<Exception>,
}

/// An operation that goes wrong a number of times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// The operation's name.
    pub operation: String,
    /// The server's id; none for `join_cluster`, which is for no server.
    pub server: Option<String>,
    /// How often.
    pub times: u64,
    /// The error text of a failure.
    pub error: String,
}

/// Something that happens, once or again and again.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The first time.
    pub from_ms: u64,
    /// Every how many ms it happens again, up to and including `until_ms`; 0 = it happens once.
    pub every_ms: u64,
    /// The last time it may happen.
    pub until_ms: u64,
    /// What happens.
    pub action: Action,
}

/// What happens in a step.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// The host reports an event of a monitored server.
    Event {
        /// The server's id.
        server: String,
        /// What is reported.
        event: EventKind,
    },
    /// The host calls the plugin.
    Call(Call),
    /// The host is frozen: no call reaches the plugin.
    Pause {
        /// For how long.
        ms: u64,
        /// The events due meanwhile never arrive.
        lost: bool,
    },
    /// The wall clock jumps.
    UtcJump {
        /// How far; may be negative.
        ms: i64,
    },
    /// Something befalls the host's process or its files.
    Mishap(Mishap),
}

/// What befalls the host's process or its files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mishap {
    /// The plugin is stopped and unloaded; then a new process loads and starts it.
    Restart,
    /// The process is killed; then a new one loads and starts the plugin.
    Crash,
    /// A byte of the newest backup of a server changes.
    CorruptBackup {
        /// The server's id.
        server: String,
    },
    /// A byte of the newest state on disk changes. A living plugin would write over it, so it is done while none lives: the next
    /// life finds it.
    CorruptState,
}

impl Mishap {
    /// The name of the step.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Crash => "crash",
            Self::CorruptBackup { .. } => "corrupt_backup",
            Self::CorruptState => "corrupt_state",
        }
    }

    /// Whether it ends the life of the plugin, and another one begins.
    #[must_use]
    pub fn ends_a_life(&self) -> bool {
        matches!(self, Self::Restart | Self::Crash)
    }
}

/// A call other than an event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Call {
    /// Take a server over by hand.
    Takeover {
        /// The server's id.
        server: String,
        /// Who asks; none: the plugin's default.
        actor: Option<String>,
    },
    /// Restore a server by hand.
    Restore {
        /// The server's id.
        server: String,
        /// Who asks; none: the plugin's default.
        actor: Option<String>,
    },
    /// Take a queued server out of the queue.
    Cancel {
        /// The server's id.
        server: String,
        /// Who asks; none: the plugin's default.
        actor: Option<String>,
    },
    /// Back a server up by hand.
    Backup {
        /// The server's id.
        server: String,
        /// Who asks; none: the plugin's default.
        actor: Option<String>,
    },
    /// Back all servers up by hand, one after another.
    BackupAll {
        /// Who asks; none: the plugin's default.
        actor: Option<String>,
    },
    /// Authorize this failover server at a server.
    Authorize {
        /// The server's id.
        server: String,
        /// Who asks; none: the plugin's default.
        actor: Option<String>,
    },
    /// Revoke that.
    Deauthorize {
        /// The server's id.
        server: String,
        /// Who asks; none: the plugin's default.
        actor: Option<String>,
    },
    /// Tell whether this failover server is part of the cluster.
    Cluster {
        /// It is.
        joined: bool,
        /// Who asks; none: the plugin's default.
        actor: Option<String>,
    },
    /// Replace the configuration.
    Configure {
        /// The new one.
        config: Value,
    },
}

impl Call {
    /// The name of the step.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Takeover { .. } => "takeover",
            Self::Restore { .. } => "restore",
            Self::Cancel { .. } => "cancel",
            Self::Backup { .. } => "backup",
            Self::BackupAll { .. } => "backup_all",
            Self::Authorize { .. } => "authorize",
            Self::Deauthorize { .. } => "deauthorize",
            Self::Cluster { joined: true, .. } => "cluster_joined",
            Self::Cluster { joined: false, .. } => "cluster_left",
            Self::Configure { .. } => "configure",
        }
    }

    /// The server it concerns, if it concerns one.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        match self {
            Self::Takeover { server, .. }
            | Self::Restore { server, .. }
            | Self::Cancel { server, .. }
            | Self::Backup { server, .. }
            | Self::Authorize { server, .. }
            | Self::Deauthorize { server, .. } => Some(server),
            Self::BackupAll { .. } | Self::Cluster { .. } | Self::Configure { .. } => None,
        }
    }
}

/// The six events of a monitored server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A network connection was made.
    Connected,
    /// The network connection ended.
    Disconnected,
    /// The startup message came.
    Startup,
    /// A keep-alive message came.
    KeepAlive,
    /// It was shut down normally.
    ShutdownNormal,
    /// It exited with an error.
    ShutdownAbnormal,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Connected,
        Self::Disconnected,
        Self::Startup,
        Self::KeepAlive,
        Self::ShutdownNormal,
        Self::ShutdownAbnormal,
    ];

    /// The name of the step.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Startup => "startup",
            Self::KeepAlive => "keep_alive",
            Self::ShutdownNormal => "shutdown_normal",
            Self::ShutdownAbnormal => "shutdown_abnormal",
        }
    }

    /// What `notify` calls it: `VMSF_NOTIFY_…`.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            Self::Connected => abi::VMSF_NOTIFY_CONNECTED,
            Self::Disconnected => abi::VMSF_NOTIFY_DISCONNECTED,
            Self::Startup => abi::VMSF_NOTIFY_STARTUP,
            Self::KeepAlive => abi::VMSF_NOTIFY_KEEP_ALIVE,
            Self::ShutdownNormal => abi::VMSF_NOTIFY_SHUTDOWN_NORMAL,
            Self::ShutdownAbnormal => abi::VMSF_NOTIFY_SHUTDOWN_ABNORMAL,
        }
    }
}

/// Something wrong in a scenario document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where, as a JSON pointer; "" is the whole document.
    pub pointer: String,
    /// The line in the file, from 1.
    pub line: usize,
    /// What is wrong and what is expected.
    pub text: String,
}

/// A file that is no scenario: all of its faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadScenario {
    /// The file, as it was named.
    pub file: String,
    /// At least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for BadScenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.faults.iter().enumerate() {
            let pointer = if fault.pointer.is_empty() { String::new() } else { format!("{}: ", fault.pointer) };
            let end = if n + 1 < self.faults.len() { "\n" } else { "" };
            write!(f, "{}:{}: {pointer}{}{end}", self.file, fault.line, fault.text)?;
        }
        Ok(())
    }
}

impl std::error::Error for BadScenario {}

impl Scenario {
    /// Reads and checks a document; `file` names it in faults.
    ///
    /// # Errors
    /// Every fault of the document, in its order.
    pub fn parse(file: &str, text: &str) -> Result<Self, BadScenario> {
        let bad = |faults| BadScenario { file: file.to_owned(), faults };
        let document: Value = serde_json::from_str(text).map_err(|e| {
            let text = format!("not JSON: {e}");
            bad(vec![Fault { pointer: String::new(), line: e.line(), text }])
        })?;
        check::check(&document).map_err(|faults| {
            let place = |(pointer, what): (String, String)| Fault {
                line: locate::line_of(text, &pointer),
                pointer,
                text: what,
            };
            let mut faults: Vec<Fault> = faults.into_iter().map(place).collect();
            faults.sort_by_key(|fault| fault.line);
            bad(faults)
        })
    }

    /// Whether the plugin has more than one life in it.
    #[must_use]
    pub fn has_several_lives(&self) -> bool {
        self.steps.iter().any(|step| matches!(&step.action, Action::Mishap(mishap) if mishap.ends_a_life()))
    }

    /// The ids of the servers that the first configuration monitors, in its order.
    #[must_use]
    pub fn servers(&self) -> Vec<String> {
        check::servers_of(&self.config)
    }
}

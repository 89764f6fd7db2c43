//! Who plays in the demo: four recording servers, what becomes of each, and the failover server's configuration.
//!
//! Every machine has a loopback address of its own, so that all of them can use the product's ports. Everything here is fixed
//! or computed from `--speed`; nothing runs.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::archive::sha256;

/// Where the failover server hears the monitored servers.
pub const FAILOVER_SERVERS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 10);
/// Where the failover server answers clients in place of a server that it has taken over.
pub const FAILOVER_CLIENTS: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 20);
/// The product's default port for servers.
pub const DEFAULT_PORT: u16 = 51410;
/// The name of the failover server in recordings.
pub const FAILOVER: &str = "failover";

/// The failover host is killed in this takeover, the last: nobody else is lost then, whose time would begin anew.
pub const KILLED_IN: usize = CAST.len();

/// How a server is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// The server process is killed; its supervisor sees it.
    Crash,
    /// Server and supervisor are gone at once.
    PowerCut,
    /// The server is shut down in good order and does not come back in time.
    Stop,
    /// The server process exists but does nothing any more.
    Hang,
}

impl Loss {
    /// The reason that the plugin must give.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Crash => "abnormal_shutdown_timeout",
            Self::Stop => "normal_shutdown_timeout",
            Self::PowerCut | Self::Hang => "keep_alive_timeout",
        }
    }

    /// In a word or two.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Crash => "crashed",
            Self::PowerCut => "lost power",
            Self::Stop => "stopped cleanly",
            Self::Hang => "hung",
        }
    }
}

/// A monitored server.
#[derive(Debug)]
pub struct Member {
    /// Its id in the configuration.
    pub id: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// The address of its machine.
    pub address: Ipv4Addr,
    /// 1 is the most important.
    pub priority: u32,
    /// Id and name of each camera.
    pub cameras: &'static [(&'static str, &'static str)],
    /// What becomes of it.
    pub loss: Loss,
}

/// The four monitored servers, in configuration order. The last two have the same priority: the earlier failure goes first.
pub const CAST: [Member; 4] = [
    Member {
        id: "arena",
        name: "Arena",
        address: Ipv4Addr::new(127, 0, 0, 11),
        priority: 10,
        cameras: &[("gate-north", "North gate"), ("gate-south", "South gate"), ("pitch", "Pitch")],
        loss: Loss::Crash,
    },
    Member {
        id: "bridge",
        name: "Bridge",
        address: Ipv4Addr::new(127, 0, 0, 12),
        priority: 20,
        cameras: &[("ramp-east", "East ramp"), ("ramp-west", "West ramp")],
        loss: Loss::PowerCut,
    },
    Member {
        id: "campus",
        name: "Campus",
        address: Ipv4Addr::new(127, 0, 0, 13),
        priority: 30,
        cameras: &[("library", "Library"), ("bicycles", "Bicycle park")],
        loss: Loss::Stop,
    },
    Member {
        id: "depot",
        name: "Depot",
        address: Ipv4Addr::new(127, 0, 0, 14),
        priority: 30,
        cameras: &[("yard", "Yard"), ("track-1", "Track 1"), ("track-2", "Track 2")],
        loss: Loss::Hang,
    },
];

/// The member with this id.
#[must_use]
pub fn member(id: &str) -> Option<&'static Member> {
    CAST.iter().find(|member| member.id == id)
}

/// What an operator would type to let the failover server in at this server.
#[must_use]
pub fn credentials(server: &str) -> String {
    format!("failover:the-password-of-{server}")
}

/// A camera in a server's settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Camera {
    /// Names its folder.
    pub id: String,
    /// For people.
    pub name: String,
}

/// The settings of a server: what a backup holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The server's id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// Where it answers clients.
    pub address: Ipv4Addr,
    /// The port there.
    pub port: u16,
    /// SHA-256 of the credentials that are let in.
    pub login_sha256: String,
    /// Where its recordings go.
    pub recordings: PathBuf,
    /// Its cameras.
    pub cameras: Vec<Camera>,
}

impl Settings {
    /// The settings of a member of the cast.
    #[must_use]
    pub fn of(member: &Member, port: u16, recordings: PathBuf) -> Self {
        let camera = |(id, name): &(&str, &str)| Camera { id: (*id).to_owned(), name: (*name).to_owned() };
        Self {
            id: member.id.to_owned(),
            name: member.name.to_owned(),
            address: member.address,
            port,
            login_sha256: sha256(credentials(member.id).as_bytes()),
            recordings,
            cameras: member.cameras.iter().map(camera).collect(),
        }
    }

    /// Where it answers clients.
    #[must_use]
    pub fn clients(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.address, self.port)
    }

    /// Refuses settings whose ids cannot be folder names: they may come from a backup that somebody else wrote.
    ///
    /// # Errors
    /// Names the id.
    pub fn check(&self) -> Result<()> {
        let plain = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        for id in std::iter::once(&self.id).chain(self.cameras.iter().map(|camera| &camera.id)) {
            ensure!(plain(id), "the id {id:?} is not made of letters, digits and hyphens");
        }
        Ok(())
    }
}

/// All the durations of the demo, in simulated time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pace {
    /// A server sends a keep-alive so often.
    pub keep_alive_every_ms: u64,
    /// A segment file holds so much.
    pub segment_ms: u64,
    /// `timeouts.keep_alive_s`.
    pub keep_alive_s: u64,
    /// `timeouts.normal_shutdown_s`, `abnormal_shutdown_s`, `connected_s` and `started_s`: the product's shortest.
    pub others_s: u64,
    /// `pause_tolerance_s`.
    pub pause_tolerance_s: u64,
    /// `restore_stable_s`.
    pub restore_stable_s: u64,
    /// `takeover_timeout_s` and `restore_timeout_s`.
    pub operation_s: u64,
}

impl Pace {
    /// At speed 1 the product's own values; faster, timeouts are longer where the machine could otherwise not keep up: it
    /// must be allowed to be busy elsewhere for two seconds of its own time without a healthy server counting as silent.
    #[must_use]
    pub fn at(speed: u64) -> Self {
        Self {
            keep_alive_every_ms: 10_000,
            segment_ms: (speed * 33).max(1000),
            keep_alive_s: (speed * 2).clamp(30, 300),
            others_s: 300,
            pause_tolerance_s: speed.clamp(2, 60),
            restore_stable_s: 20,
            operation_s: (speed * 60).clamp(600, 3600),
        }
    }
}

/// The plugin's configuration for the cast.
#[must_use]
pub fn configuration(failover: &Path, port: u16, pace: &Pace) -> Value {
    let servers: Vec<Value> = CAST
        .iter()
        .map(|m| json!({"id": m.id, "name": m.name, "host": m.address, "port": port, "priority": m.priority}))
        .collect();
    json!({
        "schema": 1,
        "backup_directory": failover.join("backups"),
        "store_path": failover.join("store"),
        "server_communication": {"address": FAILOVER_SERVERS, "port": port},
        "client_communication": {"address": FAILOVER_CLIENTS},
        "automatic_takeover": true,
        "automatic_restore": true,
        "daily_backup": false,
        "timeouts": {
            "connected_s": pace.others_s,
            "started_s": pace.others_s,
            "keep_alive_s": pace.keep_alive_s,
            "normal_shutdown_s": pace.others_s,
            "abnormal_shutdown_s": pace.others_s,
        },
        "takeover_timeout_s": pace.operation_s,
        "restore_timeout_s": pace.operation_s,
        "restore_stable_s": pace.restore_stable_s,
        "pause_tolerance_s": pace.pause_tolerance_s,
        "monitored_servers": servers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pace_lies_within_the_products_bounds() {
        for speed in 1..=super::super::MAX_SPEED {
            let pace = Pace::at(speed);
            assert!((30..=300).contains(&pace.keep_alive_s), "{speed}: {pace:?}");
            assert!((300..=3600).contains(&pace.others_s));
            assert!((1..=60).contains(&pace.pause_tolerance_s));
            assert!((10..=3600).contains(&pace.operation_s));
            assert!(pace.keep_alive_every_ms * 2 < pace.keep_alive_s * 1000);
            assert!(pace.keep_alive_s < pace.others_s, "the hang must be noticed while the first takeover lasts");
        }
    }

    #[test]
    fn ids_that_lead_out_of_their_folder_are_refused() {
        let mut settings = Settings::of(&CAST[0], 1, PathBuf::new());
        settings.check().unwrap();
        for bad in ["", "..", "a/b", "a\\b", ".", "ä"] {
            settings.cameras[1].id = bad.to_owned();
            assert!(settings.check().is_err(), "{bad}");
        }
    }
}

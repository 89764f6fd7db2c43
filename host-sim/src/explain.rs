//! `--explain`: the trace as a story in sentences, and a timeline with one row per server.

use std::fmt::Write as _;

use crate::scenario::{Action, Call, Mishap, Scenario};
use crate::trace::{TraceLine, What};

/// The narrowest and the widest output, in columns.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=240;
/// The widest name of a server in the timeline.
const LABEL: usize = 16;

/// State, sign in the timeline, and what it is called in the legend. Where several fall into one column, the one that
/// stands last here is shown, so that a short state does not get lost in a long one.
const SIGNS: [(&str, char, &str); 13] = [
    ("unknown", '.', "not heard of"),
    ("keep_alive", '-', "running"),
    ("connected", 'c', "connected"),
    ("started", 's', "started"),
    (BACKUP, 'b', "being backed up"),
    (BACKUP_FAILED, '!', "backup failed"),
    ("normal_shutdown", 'n', "shut down normally"),
    ("abnormal_shutdown", 'a', "exited with an error"),
    ("failed", 'x', "failed"),
    ("queued", 'q', "queued"),
    ("taken_over", 'T', "taken over"),
    ("taking_over", 't', "taking over"),
    ("restoring", 'r', "restoring"),
];

/// Not states of the takeover, but shown where there is none.
const BACKUP: &str = "backup";
const BACKUP_FAILED: &str = "backup_failed";

/// The story and the timeline of a trace, at most `width` columns wide where that can be chosen.
#[must_use]
pub fn explain(scenario: &Scenario, trace: &[TraceLine], width: usize) -> String {
    let mut out = format!("{}\n", scenario.name);
    let servers = all_servers(scenario, trace);
    let start = chrono::DateTime::from_timestamp_millis(scenario.start_utc_ms).unwrap_or_default();
    let start = start.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true);
    _ = writeln!(out, "{} long, from {start}; servers: {}\n", human(scenario.until_ms), servers.join(", "));
    let mut story = of_the_host(scenario);
    story.extend(trace.iter().map(|line| (line.at_ms, sentence(&line.what))));
    // Stable: what happens to the host comes before what follows from it.
    story.sort_by_key(|(at_ms, _)| *at_ms);
    for (at_ms, sentence) in &story {
        _ = writeln!(out, "{:>17}  {sentence}", human(*at_ms));
    }
    if story.is_empty() {
        _ = writeln!(out, "{:>17}  Nothing happens.", "");
    }
    out.push('\n');
    let lives = Lives { trace, starts: starts(scenario), until_ms: scenario.until_ms };
    out.push_str(&timeline(&servers, &lives, width.clamp(*WIDTHS.start(), *WIDTHS.end())));
    out
}

/// What the timeline is drawn from: the trace, and what is forgotten in it.
struct Lives<'a> {
    trace: &'a [TraceLine],
    /// When a further life of the plugin began: what it knew of the health is old then.
    starts: Vec<u64>,
    until_ms: u64,
}

/// What happens to the host and leaves no line in the trace, each with its instant.
fn of_the_host(scenario: &Scenario) -> Vec<(u64, String)> {
    happened(scenario).into_iter().map(|(at_ms, action)| (at_ms, told(action))).collect()
}

/// When a further life of the plugin begins.
fn starts(scenario: &Scenario) -> Vec<u64> {
    let begins = |action: &Action| matches!(action, Action::Mishap(mishap) if mishap.ends_a_life());
    happened(scenario).into_iter().filter(|(_, action)| begins(action)).map(|(at_ms, _)| at_ms).collect()
}

fn happened(scenario: &Scenario) -> Vec<(u64, &Action)> {
    let mut due: Vec<(u64, &Action)> = Vec::new();
    for step in scenario.steps.iter().filter(|step| leaves_no_line(&step.action)) {
        let again = (step.every_ms > 0).then(|| step.every_ms.try_into().unwrap_or(usize::MAX));
        let last = if again.is_some() { step.until_ms } else { step.from_ms };
        let instants = (step.from_ms..=last.min(scenario.until_ms)).step_by(again.unwrap_or(1));
        due.extend(instants.map(|at_ms| (at_ms, &step.action)));
    }
    due.sort_by_key(|(at_ms, _)| *at_ms);
    let mut frozen_until = 0;
    for (at_ms, action) in &mut due {
        // What is due while the host is frozen comes at the end of that.
        *at_ms = frozen_until.max(*at_ms);
        if let Action::Pause { ms, .. } = action {
            frozen_until = at_ms.saturating_add(*ms);
        }
    }
    due.retain(|(at_ms, _)| *at_ms <= scenario.until_ms);
    due
}

fn leaves_no_line(action: &Action) -> bool {
    match action {
        Action::Pause { .. } | Action::UtcJump { .. } | Action::Mishap(_) => true,
        Action::Call(call) => matches!(call, Call::Configure { .. } | Call::Cluster { .. } | Call::BackupAll { .. }),
        Action::Event { .. } => false,
    }
}

fn told(action: &Action) -> String {
    match action {
        Action::Pause { ms, lost } => {
            let words = if *lost { "is lost" } else { "arrives at the end of that" };
            format!("The host is frozen for {}; what the servers say meanwhile {words}.", human(*ms))
        }
        Action::UtcJump { ms } => {
            let way = if *ms < 0 { "back" } else { "ahead" };
            format!("The wall clock jumps {way} by {}.", human(ms.unsigned_abs()))
        }
        Action::Mishap(Mishap::Restart) => {
            "The plugin is stopped and unloaded; a new host process starts it.".to_owned()
        }
        Action::Mishap(Mishap::Crash) => "The host process is killed; a new one starts the plugin.".to_owned(),
        Action::Mishap(Mishap::CorruptBackup { server }) => {
            format!("The newest backup of {server} is damaged on the disk.")
        }
        Action::Mishap(Mishap::CorruptState) => {
            "The newest state is damaged on the disk; the next start finds it.".to_owned()
        }
        Action::Call(Call::Cluster { joined: true, .. }) => "This failover server joins the cluster.".to_owned(),
        Action::Call(Call::Cluster { joined: false, .. }) => "This failover server leaves the cluster.".to_owned(),
        Action::Call(Call::BackupAll { .. }) => "All servers are to be backed up, one after another.".to_owned(),
        Action::Call(_) | Action::Event { .. } => "The host gives another configuration.".to_owned(),
    }
}

/// Hours, minutes and seconds, and what else there is.
fn human(ms: u64) -> String {
    let (days, ms) = (ms / 86_400_000, ms % 86_400_000);
    let days = if days > 0 { format!("{days}d ") } else { String::new() };
    let fraction = if ms % 1000 > 0 { format!(".{:03}", ms % 1000) } else { String::new() };
    format!("{days}{:02}:{:02}:{:02}{fraction}", ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60)
}

fn sentence(what: &What) -> String {
    match what {
        What::Health { server, from, to, reason } => health(server, from, to, reason.as_deref()),
        What::Takeover { server, from, to, actor, .. } => takeover(server, from, to, actor.as_deref()),
        What::Operation { operation, op, server, resumed } => {
            let again = if *resumed { " again, after a start" } else { "" };
            format!("The host is asked{again}: {} (operation {op}).", work(operation, server.as_deref()))
        }
        What::Completed { operation, op, server, outcome } => {
            let work = work(operation, server.as_deref());
            let how = match outcome.as_str() {
                "ok" => "is done",
                "failed" => "failed",
                "timeout" => "was not answered in time and is given up",
                "superseded" => "is given up for a more urgent one",
                "interrupted" => "was cut off",
                other => return format!("Operation {op}, {work}, ended: {other}."),
            };
            format!("Operation {op}, {work}, {how}.")
        }
        What::Backup { server, result } => match result.as_str() {
            "ok" => format!("{server} has a new backup."),
            "failed" => format!("{server} has no new backup; the earlier ones stay."),
            other => format!("The backup of {server} ended: {other}."),
        },
        What::Ready { server, ready: true, .. } => format!("{server} is ready to be taken over."),
        What::Ready { server, reasons, .. } => {
            let reasons = reasons.join(", ");
            format!("{server} is not ready to be taken over: {reasons}.")
        }
        What::Alarm { code, server } => alarm(code, server.as_deref()),
        What::Refused { step, server, error } => match server {
            Some(server) => format!("The call `{step}` of {server} is refused: {error}."),
            None => format!("The call `{step}` is refused: {error}."),
        },
    }
}

fn work(operation: &str, server: Option<&str>) -> String {
    server.map_or_else(|| operation.to_owned(), |server| format!("{operation} of {server}"))
}

fn health(server: &str, from: &str, to: &str, reason: Option<&str>) -> String {
    let back = if from == "failed" { " again" } else { "" };
    let what = match to {
        "connected" => format!("is connected{back}; its startup message is awaited"),
        "started" => format!("has started{back}; its first keep-alive is awaited"),
        "keep_alive" => format!("sends keep-alives{back}"),
        "normal_shutdown" => "was shut down normally; its restart is awaited".to_owned(),
        "abnormal_shutdown" => "exited with an error; its restart is awaited".to_owned(),
        "failed" => format!("has failed: {}", failure(reason.unwrap_or("no reason given"))),
        other => format!("is {other}"),
    };
    format!("{server} {what}.")
}

fn failure(reason: &str) -> &str {
    match reason {
        "connected_timeout" => "no startup message came in time after the connection",
        "started_timeout" => "no keep-alive came in time after the startup message",
        "keep_alive_timeout" => "no new keep-alive came in time",
        "normal_shutdown_timeout" => "it did not restart in time after a normal shutdown",
        "abnormal_shutdown_timeout" => "it did not restart in time after an error",
        "not_seen_since_start" => "it was not seen since the plugin started",
        other => other,
    }
}

fn takeover(server: &str, from: &str, to: &str, actor: Option<&str>) -> String {
    let who = actor.filter(|actor| *actor != "automatic").map(|actor| format!(" ({actor})")).unwrap_or_default();
    match (from, to) {
        ("none", "queued") => format!("{server} is queued for the takeover{who}."),
        ("taking_over", "queued") => format!("The takeover of {server} did not succeed; it is queued again."),
        ("queued", "none") => format!("{server} leaves the queue{who}."),
        (_, "taking_over") => format!("The takeover of {server} begins{who}."),
        ("restoring", "taken_over") => format!("The restore of {server} did not succeed; it stays taken over."),
        (_, "taken_over") => format!("{server} is taken over: this failover server records for it."),
        (_, "restoring") => format!("The restore of {server} begins{who}."),
        ("restoring", "none") => format!("{server} has its role back; this failover server stands by."),
        ("taking_over", "none") => format!("{server} is back; no takeover is needed any more."),
        _ => format!("{server} goes from {from} to {to}{who}."),
    }
}

fn alarm(code: &str, server: Option<&str>) -> String {
    let what = match code {
        "takeover_required" => "it waits for an operator to take it over",
        "takeover_blocked" => "its takeover cannot start",
        "not_covered" => "it is not covered: another server holds the slot",
        "takeover_failed" => "its takeover failed",
        "restore_failed" => "its restore failed",
        "restore_possible" => "it is back and can be restored by hand",
        "both_alive" => "it runs although it is taken over: two owners",
        "never_seen" => "nothing was ever heard of it",
        "late_answer" => "the host answered after the operation was given up",
        "backup_failed" => "its backup failed",
        "backup_damaged" => "a backup of it is damaged and is passed over",
        "state_damaged" => "a file of the state directory is damaged; what is whole is used",
        "clock_jump" => "the wall clock stands far before the last daily backup",
        "config_kept" => "it is taken over and stays in the configuration",
        "host_slow" => "the host keeps callbacks for long",
        _ => "",
    };
    let server = server.map(|server| format!(" for {server}")).unwrap_or_default();
    let what = if what.is_empty() { String::new() } else { format!(": {what}") };
    format!("ALARM {code}{server}{what}.")
}

fn all_servers(scenario: &Scenario, trace: &[TraceLine]) -> Vec<String> {
    let mut servers = scenario.servers();
    for server in trace.iter().filter_map(|line| line.what.server()) {
        if !servers.iter().any(|known| known == server) {
            servers.push(server.to_owned());
        }
    }
    servers
}

fn timeline(servers: &[String], lives: &Lives<'_>, width: usize) -> String {
    let label = servers.iter().map(|id| id.chars().count()).max().unwrap_or(0).min(LABEL);
    let columns = width.saturating_sub(label + 2).max(1);
    let end = human(lives.until_ms);
    let gap = columns.saturating_sub(end.len());
    let mut out = format!("{:label$}  {:<gap$}{end}\n", "", human(0));
    let mut seen = [false; SIGNS.len()];
    for server in servers {
        let row = row(server, lives, columns);
        row.iter().for_each(|rank| seen[*rank] = true);
        let name: String = server.chars().take(LABEL).collect();
        let signs: String = row.iter().map(|rank| SIGNS[*rank].1).collect();
        _ = writeln!(out, "{name:label$}  {signs}");
    }
    let seen = SIGNS.iter().zip(seen).filter(|(_, seen)| *seen);
    let legend = seen.map(|((_, sign, meaning), _)| format!("{sign} {meaning}"));
    out + &legend_lines(legend, label, columns)
}

/// As many meanings on a line as fit.
fn legend_lines(meanings: impl Iterator<Item = String>, label: usize, columns: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    for meaning in meanings {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 3 + meaning.chars().count() <= columns => {
                _ = write!(line, "   {meaning}");
            }
            _ => lines.push(meaning),
        }
    }
    lines.iter().fold("\n".to_owned(), |out, line| format!("{out}{:label$}  {line}\n", ""))
}

/// For each column the rank (index in [`SIGNS`]) of the most notable state of the server within it.
fn row(server: &str, lives: &Lives<'_>, columns: usize) -> Vec<usize> {
    let stays = stays(server, lives);
    let span = lives.until_ms + 1;
    let cell = |column: u64| {
        let first = column * span / columns as u64;
        let last = ((column + 1) * span / columns as u64).saturating_sub(1).max(first);
        let within = stays.iter().filter(|(from, to, _)| *from <= last && *to >= first);
        within.map(|(.., rank)| *rank).max().unwrap_or(0)
    };
    (0..columns as u64).map(cell).collect()
}

/// First and last ms of each state of the server, and its rank. One that ends at the instant at which it began has that ms.
fn stays(server: &str, lives: &Lives<'_>) -> Vec<(u64, u64, usize)> {
    let changes = changes(server, lives);
    let ends = changes.iter().skip(1).map(|(at, _)| at.saturating_sub(1)).chain([lives.until_ms]);
    changes.iter().zip(ends).map(|((from, rank), to)| (*from, to.max(*from), *rank)).collect()
}

fn rank(state: &str) -> usize {
    SIGNS.iter().position(|(name, ..)| *name == state).unwrap_or(0)
}

/// What of a server can be shown.
#[derive(Default)]
struct Shown {
    health: usize,
    takeover: Option<usize>,
    backup: bool,
}

impl Shown {
    /// Its takeover state; where there is none, its health, or its backup where that says more.
    fn rank(&self) -> usize {
        let backup = if self.backup { rank(BACKUP) } else { 0 };
        self.takeover.unwrap_or(self.health.max(backup))
    }
}

/// When what is shown of the server changes, and to which rank.
fn changes(server: &str, lives: &Lives<'_>) -> Vec<(u64, usize)> {
    let mut starts = lives.starts.iter().copied().peekable();
    let (mut shown, mut found) = (Shown::default(), vec![(0, 0)]);
    for line in lives.trace.iter().filter(|line| line.what.server() == Some(server)) {
        while let Some(start) = starts.next_if(|start| *start <= line.at_ms) {
            shown = Shown { takeover: shown.takeover, ..Shown::default() };
            found.push((start, shown.rank()));
        }
        match &line.what {
            What::Health { to, .. } => shown.health = rank(to),
            What::Takeover { to, .. } => shown.takeover = (to != "none").then(|| rank(to)),
            What::Operation { operation, .. } if operation == BACKUP => shown.backup = true,
            What::Completed { operation, .. } if operation == BACKUP => shown.backup = false,
            What::Backup { result, .. } if result == "failed" && shown.takeover.is_none() => {
                found.push((line.at_ms, shown.health.max(rank(BACKUP_FAILED))));
            }
            _ => continue,
        }
        found.push((line.at_ms, shown.rank()));
    }
    for start in starts {
        shown = Shown { takeover: shown.takeover, ..Shown::default() };
        found.push((start, shown.rank()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_human() {
        assert_eq!(human(0), "00:00:00");
        assert_eq!(human(3_723_004), "01:02:03.004");
        assert_eq!(human(2 * 86_400_000 + 1000), "2d 00:00:01");
    }

    #[test]
    fn what_happens_to_the_host_is_told_where_it_happens() {
        let text = r#"{"name": "n", "prepared": true, "until_ms": 500000, "config": {"monitored_servers": [{"id": "a"}]},
            "steps": [
                {"at_ms": 9000, "do": "utc_jump", "ms": -3600000},
                {"from_ms": 5000, "every_ms": 100000, "until_ms": 205000, "do": "pause", "ms": 7000},
                {"at_ms": 400000, "do": "pause", "ms": 60000, "lost": true},
                {"at_ms": 410000, "do": "configure", "config": {}},
                {"at_ms": 600000, "do": "utc_jump", "ms": 1}
            ]}"#;
        let scenario = Scenario::parse("f", text).unwrap();
        let told: Vec<String> =
            of_the_host(&scenario).iter().map(|(at_ms, text)| format!("{} {text}", at_ms / 1000)).collect();
        let frozen = "The host is frozen for 00:00:07; what the servers say meanwhile arrives at the end of that.";
        let expected = [
            &format!("5 {frozen}"),
            "12 The wall clock jumps back by 01:00:00.",
            &format!("105 {frozen}"),
            &format!("205 {frozen}"),
            "400 The host is frozen for 00:01:00; what the servers say meanwhile is lost.",
            "460 The host gives another configuration.",
        ];
        assert_eq!(told, expected);
        assert!(explain(&scenario, &[], 80).contains("         00:00:05  The host is frozen"));
    }

    #[test]
    fn the_legend_takes_as_few_lines_as_fit() {
        let meanings = || ["- running", "q queued", "r restoring"].map(str::to_owned).into_iter();
        assert_eq!(legend_lines(meanings(), 1, 80), "\n   - running   q queued   r restoring\n");
        assert_eq!(legend_lines(meanings(), 1, 20), "\n   - running   q queued\n   r restoring\n");
    }

    fn changed(at_ms: u64, to: &str) -> TraceLine {
        let takeover = matches!(to, "queued" | "taking_over" | "taken_over" | "restoring" | "none");
        let (server, from, to) = ("a".to_owned(), String::new(), to.to_owned());
        let what = if takeover {
            What::Takeover { server, from, to, reason: None, actor: None }
        } else {
            What::Health { server, from, to, reason: None }
        };
        TraceLine { at_ms, what }
    }

    fn signs(trace: &[TraceLine], until_ms: u64, columns: usize) -> String {
        signs_of(trace, Vec::new(), until_ms, columns)
    }

    fn signs_of(trace: &[TraceLine], starts: Vec<u64>, until_ms: u64, columns: usize) -> String {
        row("a", &Lives { trace, starts, until_ms }, columns).iter().map(|rank| SIGNS[*rank].1).collect()
    }

    #[test]
    fn a_start_forgets_the_health_and_keeps_the_takeover() {
        let trace = [changed(1, "keep_alive"), changed(6, "taken_over")];
        assert_eq!(signs_of(&trace, vec![3, 8], 9, 10), ".--...TTTT");
        assert_eq!(signs_of(&[changed(1, "keep_alive")], vec![3, 8], 9, 10), ".--.......");
    }

    #[test]
    fn a_backup_is_shown_while_it_is_written_and_where_it_failed() {
        let op = |at_ms, what: What| TraceLine { at_ms, what };
        let server = || Some("a".to_owned());
        let begun = || What::Operation { operation: "backup".into(), op: 1, server: server(), resumed: false };
        let ended = |outcome: &str| What::Completed {
            operation: "backup".into(),
            op: 1,
            server: server(),
            outcome: outcome.into(),
        };
        let backup = |result: &str| What::Backup { server: "a".into(), result: result.into() };
        let trace = [
            changed(0, "keep_alive"),
            op(2, begun()),
            op(4, ended("ok")),
            op(4, backup("ok")),
            op(6, begun()),
            op(7, ended("failed")),
            op(7, backup("failed")),
        ];
        assert_eq!(signs(&trace, 9, 10), "--bb--b!--");
    }

    #[test]
    fn operations_on_no_server_and_readiness_have_sentences() {
        let joined = What::Completed { operation: "join_cluster".into(), op: 2, server: None, outcome: "ok".into() };
        assert_eq!(sentence(&joined), "Operation 2, join_cluster, is done.");
        let ready = |ready, reasons: &[&str]| {
            let reasons = reasons.iter().map(|reason| (*reason).to_owned()).collect();
            sentence(&What::Ready { server: "a".into(), ready, reasons })
        };
        assert_eq!(ready(true, &[]), "a is ready to be taken over.");
        assert_eq!(ready(false, &["no_backup", "slot_busy"]), "a is not ready to be taken over: no_backup, slot_busy.");
    }

    #[test]
    fn what_befalls_the_host_is_told_also_after_a_pause() {
        let text = r#"{"name": "n", "until_ms": 9000, "config": {"monitored_servers": [{"id": "a"}]}, "steps": [
            {"at_ms": 0, "do": "cluster_joined"}, {"at_ms": 1000, "do": "backup_all"},
            {"at_ms": 2000, "do": "corrupt_backup", "server": "a"}, {"at_ms": 3000, "do": "corrupt_state"},
            {"at_ms": 3000, "do": "restart"}, {"at_ms": 4000, "do": "pause", "ms": 2000}, {"at_ms": 5000, "do": "crash"},
            {"at_ms": 7000, "do": "cluster_left"}]}"#;
        let scenario = Scenario::parse("f", text).unwrap();
        let told: Vec<String> =
            of_the_host(&scenario).iter().map(|(at_ms, text)| format!("{} {text}", at_ms / 1000)).collect();
        let expected = [
            "0 This failover server joins the cluster.",
            "1 All servers are to be backed up, one after another.",
            "2 The newest backup of a is damaged on the disk.",
            "3 The newest state is damaged on the disk; the next start finds it.",
            "3 The plugin is stopped and unloaded; a new host process starts it.",
            "4 The host is frozen for 00:00:02; what the servers say meanwhile arrives at the end of that.",
            "6 The host process is killed; a new one starts the plugin.",
            "7 This failover server leaves the cluster.",
        ];
        assert_eq!(told, expected);
        assert_eq!(starts(&scenario), [3000, 6000]);
    }

    #[test]
    fn a_row_shows_the_takeover_before_the_health() {
        let trace = [changed(2, "keep_alive"), changed(4, "failed"), changed(6, "taken_over"), changed(8, "none")];
        assert_eq!(signs(&trace, 9, 10), "..--xxTTxx");
    }

    #[test]
    fn a_short_state_is_not_lost_in_a_long_one() {
        let trace = [changed(0, "keep_alive"), changed(50, "taking_over"), changed(51, "none")];
        assert_eq!(signs(&trace, 99, 10), "-----t----");
    }

    #[test]
    fn of_states_at_one_instant_the_most_notable_is_shown() {
        let trace = [changed(5, "failed"), changed(5, "queued"), changed(5, "taking_over"), changed(5, "taken_over")];
        assert_eq!(signs(&trace, 9, 10), ".....tTTTT");
    }

    #[test]
    fn any_length_fits_any_width() {
        for until in [0, 1, 7, 1_000_000_007] {
            for columns in [1, 2, 60] {
                assert_eq!(signs(&[changed(0, "failed")], until, columns), "x".repeat(columns));
            }
        }
    }

    #[test]
    fn an_unknown_alarm_still_has_a_sentence() {
        assert_eq!(alarm("new_one", None), "ALARM new_one.");
        assert_eq!(alarm("both_alive", Some("a")).split(':').count(), 3);
    }
}

//! The validator: `host-sim check` judges a loaded library by the rules of the header, each check in a process of its own, so that a crash or
//! a hang is a result like any other.
//!
//! [`case`] is one check from the inside, `child` its process, seen from both sides, and the verdict; `report` shows verdicts. The checks
//! lie in a file for each family: `negotiation` (the first words), `host_table` (`create`), `calls` and `texts` (every function × every state
//! × every kind of argument), `text_out` (buffers), `callbacks` (order, numbers, threads, the end), `reentry`, `hosts` (that misbehave), `time`,
//! `threads` (sixteen of them), `unload`. They drive an instance through `rig`, and count what the process holds by `process`; both sides of
//! the border are [`crate::plugin::raw`] and [`crate::plugin::probe`].
//!
//! A check proves one rule and is named after it; the name is stable. It believes the plugin nothing, and never its own process: what has to
//! be known after a crash is written before the call that may crash. This room judges a plugin; a
//! host is judged by its recorded calls, in [`crate::contract`].

mod callbacks;
mod calls;
pub mod case;
pub mod child;
mod host_table;
mod hosts;
mod negotiation;
mod process;
mod reentry;
mod report;
mod rig;
mod text_out;
mod texts;
mod threads;
mod time;
mod unload;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};

use self::case::Check;
use self::child::{Identity, Judged};
use self::report::Report;
pub use crate::commands::{BAD, MISSED, OK};
use crate::plugin;
use crate::storm::signals::Signals;

/// What is to be judged, and how it is shown.
#[derive(Debug, Clone, clap::Args)]
pub struct CheckArgs {
    /// The plugin library [default: $VMSF_LIBRARY, else near this program]
    #[arg(long = "library", value_name = "PATH")]
    pub plugin: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
    /// Print what each check proves, and judge nothing
    #[arg(long)]
    pub list: bool,
    /// Make these checks alone
    #[arg(long, value_name = "NAME", num_args = 1.., value_parser = names())]
    pub only: Vec<String>,
    /// How many checks run at once [default: the number of processors]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub jobs: Option<u16>,
}

fn names() -> clap::builder::PossibleValuesParser {
    checks().iter().map(|check| check.name).collect::<Vec<_>>().into()
}

/// All checks, in the order in which they are shown.
#[must_use]
pub fn checks() -> Vec<&'static Check> {
    let families: [&'static [Check]; 11] = [
        &negotiation::CHECKS,
        &host_table::CHECKS,
        &calls::CHECKS,
        &texts::CHECKS,
        &text_out::CHECKS,
        &callbacks::CHECKS,
        &reentry::CHECKS,
        &hosts::CHECKS,
        &time::CHECKS,
        &threads::CHECKS,
        &unload::CHECKS,
    ];
    families.into_iter().flatten().collect()
}

/// Judges a library; gives the exit status.
#[must_use]
pub fn run(args: &CheckArgs) -> u8 {
    match check(args) {
        Ok(status) => status,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            BAD
        }
    }
}

/// One check, as the hidden command.
#[must_use]
pub fn run_one(args: &child::ChildArgs) -> u8 {
    child::run(args, &checks())
}

fn check(args: &CheckArgs) -> Result<u8> {
    let wanted = |check: &&'static Check| args.only.is_empty() || args.only.iter().any(|name| name == check.name);
    let checks: Vec<&'static Check> = checks().into_iter().filter(wanted).collect();
    if args.list {
        report::list(&checks, args.json)?;
        return Ok(OK);
    }
    let library = plugin::find(args.plugin.as_deref())?;
    let signals = Signals::watched().context("cannot wait for signals")?;
    let Some(identity) = child::identify(&library, &signals)? else { return Ok(interrupted(&signals)) };
    judge_all(args, &checks, &library, &identity, &signals)
}

fn interrupted(signals: &Signals) -> u8 {
    let _ = writeln!(io::stderr(), "interrupted: the checks under way are ended, and their files are removed");
    signals.status().unwrap_or(BAD)
}

/// What a process of a check tells the one that shows: that it begins, or what came of it.
enum News {
    Begins(usize),
    Ended(usize, Result<Option<Judged>>),
}

fn judge_all(
    args: &CheckArgs,
    checks: &[&'static Check],
    library: &Path,
    identity: &Identity,
    signals: &Signals,
) -> Result<u8> {
    let (began, next) = (Instant::now(), AtomicUsize::new(0));
    let mut report = Report::new(args.json, checks, library, identity);
    report.begin()?;
    let (news, heard) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..jobs(args).min(checks.len()) {
            let (news, next) = (news.clone(), &next);
            scope.spawn(move || {
                loop {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    let Some(check) = checks.get(nth) else { return };
                    let _ = news.send(News::Begins(nth));
                    let judged = child::judge(check, library, signals);
                    let goes_on = matches!(judged, Ok(Some(_)));
                    let _ = news.send(News::Ended(nth, judged));
                    if !goes_on {
                        next.store(checks.len(), Ordering::Relaxed);
                    }
                }
            });
        }
        drop(news);
        show(&mut report, &heard)
    })?;
    if signals.came() {
        return Ok(interrupted(signals));
    }
    report.end(began.elapsed())?;
    Ok(if report.is_good() { OK } else { MISSED })
}

/// Shows verdicts in the order of the checks, as soon as all before them are there.
fn show(report: &mut Report<'_>, heard: &mpsc::Receiver<News>) -> Result<()> {
    let (mut waiting, mut nth) = (BTreeMap::new(), 0);
    for news in heard {
        match news {
            News::Begins(begun) => report.begins(begun)?,
            News::Ended(ended, judged) => {
                report.ended(ended);
                if let Some(judged) = judged? {
                    waiting.insert(ended, judged);
                }
            }
        }
        while let Some(judged) = waiting.remove(&nth) {
            report.show(nth, judged)?;
            nth += 1;
        }
    }
    Ok(())
}

fn jobs(args: &CheckArgs) -> usize {
    let processors = || thread::available_parallelism().map_or(1, usize::from);
    args.jobs.map_or_else(processors, usize::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::collections::BTreeSet;

    #[test]
    fn every_check_has_a_name_of_its_own_a_rule_a_cure_and_a_limit() {
        let checks = checks();
        let names: BTreeSet<&str> = checks.iter().map(|check| check.name).collect();
        assert_eq!(names.len(), checks.len(), "a name twice");
        for check in checks {
            assert!(
                check.name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'),
                "{}",
                check.name
            );
            assert!(check.why.ends_with(['.', ')', '"']), "{}: {}", check.name, check.why);
            assert!(check.why.len() > 60 && check.cure.len() > 20 && check.cure.ends_with('.'), "{}", check.name);
            assert!((20..=120).contains(&check.limit_s), "{}", check.name);
        }
    }
}

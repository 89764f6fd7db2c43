//! `host-sim`: emulates the host of the failover plugin. This file reads the command line; see the library for the rest.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use host_sim::commands::{self, RunOptions};
use host_sim::contract;

/// Emulates the VMS host of the vms-failover plugin, with the built library.
#[derive(Parser)]
#[command(name = "host-sim", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(target_os = "linux")]
    #[command(flatten)]
    Demo(host_sim::demo::Command),
    /// Not on this system: the whole job with real processes
    #[cfg(not(target_os = "linux"))]
    Demo(ElsewhereArgs),
    Run(RunArgs),
    Random(RandomArgs),
    Storm(host_sim::storm::StormArgs),
    Check(AnyCheckArgs),
    #[cfg(target_os = "linux")]
    Bench(host_sim::bench::BenchArgs),
    /// Not on this system: what the plugin costs its host
    #[cfg(not(target_os = "linux"))]
    Bench(ElsewhereArgs),
    Package(host_sim::package::PackageArgs),
    /// One check
    #[command(hide = true)]
    CheckOne(host_sim::check::child::ChildArgs),
    /// What the benchmark measures in a process of its own
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    BenchPart(host_sim::bench::part::PartArgs),
    /// One life of the storm
    #[command(hide = true)]
    StormHost(host_sim::storm::LifeArgs),
    /// One life of a scenario
    #[command(hide = true)]
    ScenarioHost(host_sim::lives::host::LifeArgs),
}

/// Run scenarios in virtual time and print what happened as JSON Lines
#[derive(Args)]
#[command(after_help = "\
Examples:
  host-sim run host-sim/scenarios/keep_alive_timeout.json
  host-sim run --explain host-sim/scenarios/two_failures_one_slot.json
  host-sim run host-sim/scenarios/*.json > traces.jsonl

Exit status:
  0  every expected line came
  1  an expected line is missing, or the plugin misbehaved
  2  the command line or a file is bad, or there is no plugin")]
struct RunArgs {
    /// Scenario files
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    library: LibraryArg,
    /// Print the story in sentences and a timeline instead of the trace
    #[arg(long)]
    explain: bool,
    /// Columns of --explain [default: $COLUMNS, else 80]
    #[arg(long, value_name = "COLUMNS")]
    width: Option<usize>,
}

/// Judge a plugin library by the rules of its header, each check in a process of its own, or a host by its trace
#[derive(Args)]
#[command(after_help = "\
Examples:
  host-sim check
  host-sim check --library ./libvms_failover.so --json > verdicts.json
  host-sim check --list
  host-sim check --only event-numbers release-once
  VMSF_TRACE=/tmp/trace.jsonl my-vms-server && host-sim check --host /tmp/trace.jsonl

Exit status of a library:
  0    no check failed, crashed or timed out (one that is skipped says why)
  1    at least one did
  2    it could not be judged: bad command line, no library, no process
  130  ended by Ctrl-C (128 and the number of the signal); its files are removed

Exit status of a host:
  0  no rule that MUST be kept was broken; advice (SHOULD) may be given
  1  a rule that MUST be kept was broken
  2  the command line is bad, or the trace cannot be read")]
struct AnyCheckArgs {
    #[command(flatten)]
    library: host_sim::check::CheckArgs,
    /// Judge a host instead, by this trace: what the plugin wrote where VMSF_TRACE=PATH was set
    #[arg(long, value_name = "PATH", conflicts_with_all = ["plugin", "list", "only", "jobs"])]
    host: Option<PathBuf>,
    /// The host was killed on purpose: what it did not end is no fault
    #[arg(long, requires = "host")]
    killed: bool,
}

/// Run the random scenario of a seed and print its trace
#[derive(Args)]
#[command(hide = true)]
struct RandomArgs {
    /// The seed
    #[arg(long)]
    seed: u64,
    /// With crashes, damage, backups and tokens
    #[arg(long)]
    troubled: bool,
    /// Print the scenario itself instead
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    library: LibraryArg,
}

/// What a command that is not available here was given.
#[cfg(not(target_os = "linux"))]
#[derive(Args)]
struct ElsewhereArgs {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _rest: Vec<std::ffi::OsString>,
}

/// Says that a command is not available here, and why.
#[cfg(not(target_os = "linux"))]
fn elsewhere(command: &str, why: &str) -> u8 {
    eprintln!("host-sim {command} is not available on {}: it {why}. Run it on Linux.", std::env::consts::OS);
    commands::BAD
}

#[derive(Args)]
struct LibraryArg {
    /// The plugin library [default: $VMSF_LIBRARY, else near this program]
    #[arg(long = "library", value_name = "PATH")]
    plugin: Option<PathBuf>,
}

fn main() -> ExitCode {
    ExitCode::from(match Cli::parse().command {
        #[cfg(target_os = "linux")]
        Command::Demo(command) => command.run(),
        #[cfg(not(target_os = "linux"))]
        Command::Demo(_) => {
            elsewhere("demo", "stops processes with signals and gives each an address of its own in 127.0.0.0/8")
        }
        Command::Run(RunArgs { files, library, explain, width }) => {
            commands::run_files(&RunOptions { files, plugin: library.plugin, explain, width })
        }
        Command::Random(RandomArgs { seed, troubled, print, library }) => {
            commands::run_random(seed, troubled, print, library.plugin.as_deref())
        }
        #[cfg(target_os = "linux")]
        Command::Bench(args) => host_sim::bench::run(&args),
        #[cfg(not(target_os = "linux"))]
        Command::Bench(_) => elsewhere("bench", "reads processor times and wake-ups from /proc"),
        Command::Package(args) => host_sim::package::run(&args),
        #[cfg(target_os = "linux")]
        Command::BenchPart(args) => host_sim::bench::part::run(&args),
        Command::Storm(args) => host_sim::storm::run(&args),
        Command::Check(AnyCheckArgs { host: Some(trace), killed, library }) => {
            contract::run(&contract::Options { trace, json: library.json, killed })
        }
        Command::Check(AnyCheckArgs { library, .. }) => host_sim::check::run(&library),
        Command::CheckOne(args) => host_sim::check::run_one(&args),
        Command::StormHost(args) => host_sim::storm::host::run(&args),
        Command::ScenarioHost(args) => host_sim::lives::host::run(&args),
    })
}

//! One life: a host process that does what it is told, line by line, until it is told to end or is killed. It ends with whoever started it,
//! for then nobody tells it anything any more.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;

use super::talk::{BUILD, Reply, Request};
use crate::library::{BeginError, Life};
use crate::plugin::Plugin;
use crate::run::{Refusal, Subject};
use crate::scenario::Mishap;

/// The command of the program.
pub const COMMAND: &str = "scenario-host";

/// Arguments of a life, given by the runner.
#[derive(Debug, Clone, clap::Args)]
pub struct LifeArgs {
    /// The plugin library.
    #[arg(long = "library")]
    pub plugin: PathBuf,
}

/// Runs one life; gives the exit status.
#[must_use]
pub fn run(args: &LifeArgs) -> u8 {
    match serve(args) {
        Ok(()) => crate::commands::OK,
        // Nobody listens: whoever started it is gone.
        Err(_) => crate::commands::MISSED,
    }
}

fn serve(args: &LifeArgs) -> io::Result<()> {
    let (mut lines, mut out) = (io::stdin().lock().lines(), io::stdout().lock());
    let mut life = None;
    loop {
        let Some(line) = lines.next().transpose()? else { return Ok(()) };
        let request = serde_json::from_str::<Request>(&line);
        let last = matches!(request, Ok(Request::End));
        let reply = match request {
            Ok(request) => answer(args, &mut life, request).unwrap_or_else(|text| Reply::Broken { text }),
            Err(error) => Reply::Broken { text: format!("{line}: {error}") },
        };
        serde_json::to_writer(&mut out, &reply)?;
        out.write_all(b"\n")?;
        out.flush()?;
        if last {
            return Ok(());
        }
    }
}

fn answer(args: &LifeArgs, living: &mut Option<Life>, request: Request) -> Result<Reply, String> {
    let unborn = || "there is no life yet, or no longer".to_owned();
    if let Request::Begin { build, birth, preparation } = request {
        if build != BUILD {
            return Err(
                "this host-sim is not of the build that calls it: build it again (cargo build -p host-sim)".to_owned()
            );
        }
        let plugin: Arc<Plugin> = Plugin::load(&args.plugin).map_err(|e| e.to_string())?;
        let mut life = match Life::begin(&plugin, birth) {
            Ok(life) => life,
            Err(BeginError::Config(text)) => return Ok(Reply::BadConfig { text }),
            Err(BeginError::Other(text)) => return Err(text),
        };
        if let Some(preparation) = preparation {
            life.prepare(&preparation.servers, preparation.start_utc_ms)?;
        }
        *living = Some(life);
        return Ok(Reply::Done);
    }
    if request == Request::End {
        let happenings = living.take().ok_or_else(unborn)?.end()?;
        return Ok(Reply::Told { happenings });
    }
    let life = living.as_mut().ok_or_else(unborn)?;
    Ok(match request {
        Request::Notify { at_ns, server, event } => called(life.notify(at_ns, &server, event)),
        Request::Call { at_ns, call } => called(life.call(at_ns, &call)),
        Request::Complete { at_ns, op, failure } => called(life.complete(at_ns, op, failure.as_deref())),
        Request::Poll { now_ns, utc_ms } => Reply::Polled { polled: life.poll(now_ns, utc_ms)? },
        Request::CorruptBackup { server } => {
            life.befall(0, &Mishap::CorruptBackup { server })?;
            Reply::Done
        }
        Request::Begin { .. } | Request::End => Reply::Done,
    })
}

fn called(result: Result<(), Refusal>) -> Reply {
    result.map_or_else(|error| Reply::Refused { error }, |()| Reply::Done)
}

//! Recordings: small segment files, each with a header that says what it holds, and the gaps between them.
//!
//! A server's [`Recorder`] writes one segment per camera and period into `<folder>/<camera>/<from_ms>.seg`, under another name
//! until it is whole, so that a reader never meets half a segment; what a killed server had not finished is lost. The director
//! computes the gaps from these files alone: it never asks a server what it recorded.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::cast::Settings;
use super::clock::{MS, SimClock};

/// The longest header that is read.
const MAX_HEADER: u64 = 1024;
/// A recorder that was away for more than this many periods (stopped, starved) has recorded nothing meanwhile.
const PERIODS_LOST: u64 = 10;

/// The first line of a segment file: what it holds. Times are ms since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// Id of the server whose camera it is.
    pub server: String,
    /// Id of the camera.
    pub camera: String,
    /// The machine that recorded it: the server itself, or the failover server.
    pub recorder: String,
    /// The first instant recorded.
    pub from_ms: u64,
    /// The instant up to which it is recorded.
    pub to_ms: u64,
}

impl Segment {
    /// Writes the segment file into the camera's folder.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let unfinished = folder.join("unfinished.part");
        let name = folder.join(format!("{:013}.seg", self.from_ms));
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        // Stands for the picture data.
        text.extend_from_slice(&[b'.'; 64]);
        File::create(&unfinished)
            .and_then(|mut file| file.write_all(&text))
            .and_then(|()| fs::rename(&unfinished, &name))
            .with_context(|| format!("cannot write {}", name.display()))
    }

    fn read(path: &Path) -> Option<Self> {
        let mut header = String::new();
        BufReader::new(File::open(path).ok()?.take(MAX_HEADER)).read_line(&mut header).ok()?;
        serde_json::from_str(&header).ok()
    }
}

/// The finished segments of a camera's folder, oldest first; a folder that is not there has none.
#[must_use]
pub fn segments(folder: &Path) -> Vec<Segment> {
    names(folder).iter().filter_map(|name| Segment::read(&folder.join(name))).collect()
}

/// The newest finished segment of a camera's folder.
#[must_use]
pub fn newest(folder: &Path) -> Option<Segment> {
    names(folder).last().and_then(|name| Segment::read(&folder.join(name)))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.ends_with(".seg"));
    names.sort_unstable();
    names
}

/// What is missing of a camera's recordings around a takeover, in ms. Below 0: both machines recorded for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gaps {
    /// From the end of the server's last segment to the start of the first one in the store folder.
    pub at_loss_ms: i64,
    /// From the end of the last segment in the store folder to the start of the server's first one after its return.
    pub at_return_ms: i64,
}

/// The gaps, from the server's own segments and those that the failover server made; `None` while a part is missing.
#[must_use]
pub fn gaps(own: &[Segment], store: &[Segment]) -> Option<Gaps> {
    let taken_over = store.first()?.from_ms;
    let given_back = store.iter().map(|segment| segment.to_ms).max()?;
    let last = own.iter().filter(|segment| segment.from_ms < taken_over).map(|segment| segment.to_ms).max()?;
    let returned = own.iter().map(|segment| segment.from_ms).filter(|from| *from >= taken_over).min()?;
    let between = |from: u64, to: u64| to.cast_signed() - from.cast_signed();
    Some(Gaps { at_loss_ms: between(last, taken_over), at_return_ms: between(given_back, returned) })
}

/// Records all cameras of a server until it is told to stop.
pub struct Recorder {
    clock: SimClock,
    period_ns: u64,
    cameras: Vec<(PathBuf, Segment)>,
}

impl Recorder {
    /// Makes the folders of all cameras below the server's recordings folder.
    ///
    /// # Errors
    /// A folder cannot be made.
    pub fn new(settings: &Settings, recorder: &str, clock: SimClock, period_ms: u64) -> Result<Self> {
        let mut cameras = Vec::new();
        for camera in &settings.cameras {
            let folder = settings.recordings.join(&camera.id);
            fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
            let (server, camera) = (settings.id.clone(), camera.id.clone());
            cameras.push((folder, Segment { server, camera, recorder: recorder.to_owned(), from_ms: 0, to_ms: 0 }));
        }
        Ok(Self { clock, period_ns: period_ms * MS, cameras })
    }

    /// Writes segment after segment; ends, with a last one, when `stop` says so or its sender is gone.
    ///
    /// # Errors
    /// A segment cannot be written.
    pub fn run(mut self, stop: &Receiver<()>) -> Result<()> {
        let mut from = self.clock.now_ns();
        loop {
            let due = from + self.period_ns;
            let stopped = !matches!(stop.recv_timeout(self.clock.until(due)), Err(RecvTimeoutError::Timeout));
            let now = self.clock.now_ns();
            if now - from <= PERIODS_LOST * self.period_ns {
                self.write(from, now)?;
            }
            if stopped {
                return Ok(());
            }
            from = now;
        }
    }

    fn write(&mut self, from: u64, to: u64) -> Result<()> {
        let (from_ms, to_ms) = (self.clock.utc_ms(from), self.clock.utc_ms(to));
        for (folder, segment) in &mut self.cameras {
            (segment.from_ms, segment.to_ms) = (from_ms, to_ms);
            segment.write(folder)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    fn segment(from_ms: u64, to_ms: u64) -> Segment {
        Segment { server: "arena".into(), camera: "gate".into(), recorder: "arena".into(), from_ms, to_ms }
    }

    #[test]
    fn gaps_lie_between_the_last_segment_of_one_and_the_first_of_the_other() {
        let own = [segment(0, 10), segment(10, 20), segment(500, 510), segment(510, 520)];
        let store = [segment(320, 330), segment(330, 350)];
        assert_eq!(gaps(&own, &store), Some(Gaps { at_loss_ms: 300, at_return_ms: 150 }));
    }

    #[test]
    fn where_both_recorded_the_gap_is_below_zero() {
        let own = [segment(0, 20), segment(340, 360)];
        let store = [segment(320, 330), segment(330, 350)];
        assert_eq!(gaps(&own, &store), Some(Gaps { at_loss_ms: 300, at_return_ms: -10 }));
    }

    #[test]
    fn without_one_of_the_parts_there_is_no_gap_to_tell() {
        let (own, store) = ([segment(0, 20), segment(340, 360)], [segment(320, 330)]);
        assert_eq!(gaps(&own, &[]), None);
        assert_eq!(gaps(&[], &store), None);
        assert_eq!(gaps(&own[..1], &store), None, "not back yet");
        assert_eq!(gaps(&own[1..], &store), None, "nothing from before");
    }

    #[test]
    fn files_that_are_unfinished_or_no_segments_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        segment(20, 30).write(folder.path()).unwrap();
        segment(3, 20).write(folder.path()).unwrap();
        fs::write(folder.path().join("unfinished.part"), b"{").unwrap();
        fs::write(folder.path().join("0000000000025.seg"), b"{").unwrap();
        fs::write(folder.path().join("0000000000026.seg"), vec![b'x'; 5000]).unwrap();
        assert_eq!(segments(folder.path()), [segment(3, 20), segment(20, 30)]);
        assert!(newest(&folder.path().join("nothing")).is_none());
    }

    #[test]
    fn a_recorder_leaves_no_gap_between_its_segments() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::of(&super::super::cast::CAST[0], 51410, folder.path().to_owned());
        let recorder = Recorder::new(&settings, "arena", SimClock::starting_now(60), 1000).unwrap();
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::spawn(move || recorder.run(&stopped));
        let camera = folder.path().join(&settings.cameras[0].id);
        while segments(&camera).len() < 3 {
            std::thread::sleep(Duration::from_millis(1));
        }
        stop.send(()).unwrap();
        thread.join().unwrap().unwrap();
        let found = segments(&camera);
        assert!(found.windows(2).all(|pair| pair[0].to_ms == pair[1].from_ms), "{found:?}");
        assert_eq!(segments(&folder.path().join(&settings.cameras[1].id)).len(), found.len());
    }
}

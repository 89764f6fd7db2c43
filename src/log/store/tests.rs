//! The log through crashes, bit rot, full disks and missing directories: numbers never repeat, and what was taken can be read.

#[cfg(target_os = "linux")]
mod full_disk;
mod model;

use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

const BOOT: Option<&str> = Some("boot-1");
const OTHER: Option<&str> = Some("boot-2");
const RESERVED: u64 = 10_001;
/// Files are read for all but the four newest entries.
const SMALL: Settings = Settings { file_bytes: 600, files: 3, recent: 4, backlog: 3, sync: false };
/// Everything stays in one file.
const ONE: Settings = Settings { file_bytes: 1 << 30, files: 5, recent: 4, backlog: 3, sync: false };
/// Nothing is rotated away.
const MANY: Settings = Settings { files: 1000, ..SMALL };

fn entry(seq: u64) -> String {
    format!("{{\"code\":\"takeover\",\"seq\":{seq},\"text\":\"entry {seq} of a test\"}}")
}

fn batch(from: u64, to: u64) -> Vec<(u64, String)> {
    (from..=to).map(|seq| (seq, entry(seq))).collect()
}

struct Bench {
    root: TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { root: tempfile::tempdir().unwrap() }
    }

    fn directory(&self) -> PathBuf {
        self.root.path().join("log")
    }

    fn open(&self, boot: Option<&str>, reserved: u64, settings: Settings) -> (LogStore, Opened) {
        LogStore::open_with(&self.directory(), boot, reserved, settings).unwrap()
    }

    /// A log of the entries 1 to `last`, left as a killed process leaves it.
    fn killed_after(last: u64, settings: Settings) -> Bench {
        let bench = Bench::new();
        let (mut store, opened) = bench.open(BOOT, 1, settings);
        assert_eq!(opened, Opened { next_seq: 1, gap: None, damaged: None });
        store.append_all(&batch(1, last)).unwrap();
        bench
    }

    fn files(&self) -> Vec<PathBuf> {
        let firsts = files::list(&self.directory()).unwrap();
        firsts.into_iter().map(|first| files::path(&self.directory(), first)).collect()
    }

    fn last_file(&self) -> PathBuf {
        self.files().pop().unwrap()
    }

    fn cut(&self, bytes: u64) {
        let path = self.last_file();
        let size = fs::metadata(&path).unwrap().len();
        fs::File::options().write(true).open(path).unwrap().set_len(size.saturating_sub(bytes)).unwrap();
    }
}

fn seqs(entries: &[String]) -> Vec<u64> {
    entries.iter().map(|line| line::seq_of(line).unwrap()).collect()
}

/// Every entry from `since` on, in pages of `size`.
fn all(store: &LogStore, mut since: u64, size: usize) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let page = store.read(since, size, usize::MAX).unwrap();
        assert!(page.entries.len() <= size);
        found.extend(page.entries);
        if page.next_seq > page.last_seq {
            return found;
        }
        assert!(page.next_seq > since, "reading does not get on");
        since = page.next_seq;
    }
}

fn lines(from: u64, to: u64) -> Vec<String> {
    (from..=to).map(entry).collect()
}

#[test]
fn a_restart_goes_on_with_the_next_number() {
    for settings in [ONE, MANY] {
        let bench = Bench::killed_after(50, settings);
        let (mut store, opened) = bench.open(BOOT, RESERVED, settings);
        assert_eq!(opened, Opened { next_seq: 51, gap: None, damaged: None });
        store.append(51, &entry(51)).unwrap();
        store.close().unwrap();
        // After a clean end the boot does not matter, known or not.
        for boot in [OTHER, None, None, BOOT] {
            let (store, opened) = bench.open(boot, RESERVED, settings);
            assert_eq!(opened, Opened { next_seq: 52, gap: None, damaged: None });
            assert_eq!(all(&store, 0, 7), lines(1, 51));
            store.close().unwrap();
        }
    }
}

#[test]
fn a_life_without_entries_leaves_no_gap() {
    let bench = Bench::new();
    for _ in 0..3 {
        assert_eq!(bench.open(BOOT, 1, ONE).1, Opened { next_seq: 1, gap: None, damaged: None });
    }
    assert_eq!(bench.open(BOOT, RESERVED, ONE).1.next_seq, 1);
}

#[test]
fn another_boot_or_an_unknown_one_goes_on_behind_the_reserved_block() {
    for boot in [OTHER, None] {
        let bench = Bench::killed_after(50, ONE);
        let gap = Opened { next_seq: RESERVED, gap: Some((51, RESERVED - 1)), damaged: None };
        assert_eq!(bench.open(boot, RESERVED, ONE).1, gap);
        // Killed before the gap was told: it is found again, behind the next block.
        let (mut store, opened) = bench.open(boot, 2 * RESERVED, ONE);
        assert_eq!(opened.gap, Some((51, 2 * RESERVED - 1)));
        store.append(opened.next_seq, &entry(opened.next_seq)).unwrap();
        assert_eq!(seqs(&all(&store, 51, 10)), [2 * RESERVED]);
        assert_eq!(all(&store, 0, 10).len(), 51);
        drop(store);
        let (_, opened) = bench.open(boot, 3 * RESERVED, ONE);
        assert_eq!(opened.gap.is_some(), boot.is_none());
    }
}

#[test]
fn a_clean_end_of_an_earlier_life_says_nothing_about_this_one() {
    let bench = Bench::killed_after(5, ONE);
    bench.open(BOOT, RESERVED, ONE).0.close().unwrap();
    let (mut store, _) = bench.open(BOOT, RESERVED, ONE);
    store.append_all(&batch(6, 9)).unwrap();
    drop(store);
    assert_eq!(bench.open(OTHER, RESERVED, ONE).1.gap, Some((10, RESERVED - 1)));
}

#[test]
fn removed_files_make_a_gap_unless_the_end_was_clean() {
    let bench = Bench::killed_after(50, ONE);
    fs::remove_file(bench.last_file()).unwrap();
    assert_eq!(bench.open(BOOT, RESERVED, ONE).1.next_seq, RESERVED);
    let bench = Bench::killed_after(50, ONE);
    bench.open(BOOT, RESERVED, ONE).0.close().unwrap();
    fs::remove_file(bench.last_file()).unwrap();
    assert_eq!(bench.open(BOOT, RESERVED, ONE).1, Opened { next_seq: 51, gap: None, damaged: None });
    fs::remove_dir_all(bench.directory()).unwrap();
    assert_eq!(bench.open(BOOT, RESERVED, ONE).1.gap, Some((1, RESERVED - 1)));
}

#[test]
fn a_damaged_mark_is_not_known() {
    let bench = Bench::killed_after(5, ONE);
    bench.open(BOOT, RESERVED, ONE).0.close().unwrap();
    let path = bench.directory().join("boot.json");
    let mut good = fs::read(&path).unwrap();
    good.truncate(good.iter().position(|byte| *byte == b'\n').unwrap() + 1);
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            fs::write(&path, &bad).unwrap();
            let (_, mark) = Boot::open(&bench.directory(), OTHER);
            assert_eq!(mark, None, "byte {at}, bit {bit}");
        }
    }
    fs::write(&path, [good.as_slice(), b"left over"].concat()).unwrap();
    assert_eq!(bench.open(OTHER, RESERVED, ONE).1.next_seq, 6);
}

#[test]
fn a_tail_cut_at_any_byte_costs_the_cut_line_alone() {
    let two_lines = 2 * line::stored_len(&entry(50));
    for cut in 0..=two_lines {
        let kept = 50 - cut.div_ceil(two_lines / 2);
        for boot in [BOOT, OTHER] {
            let bench = Bench::killed_after(50, ONE);
            bench.cut(cut);
            let (mut store, opened) = bench.open(boot, RESERVED, ONE);
            let next = if boot == BOOT { kept + 1 } else { RESERVED };
            assert_eq!((opened.next_seq, opened.damaged), (next, None), "cut by {cut}");
            store.append(next, &entry(next)).unwrap();
            assert_eq!(all(&store, 1, 9), [lines(1, kept), vec![entry(next)]].concat());
            drop(store);
            assert_eq!(all(&bench.open(boot, RESERVED, ONE).0, 1, 9), [lines(1, kept), vec![entry(next)]].concat());
        }
    }
}

#[test]
fn a_tail_of_zeros_is_cut_off_however_long() {
    let bench = Bench::killed_after(50, ONE);
    let good = fs::read(bench.last_file()).unwrap();
    fs::write(bench.last_file(), [good.as_slice(), &vec![0; 3 << 20]].concat()).unwrap();
    let (store, opened) = bench.open(OTHER, RESERVED, ONE);
    assert_eq!((opened.next_seq, opened.damaged), (RESERVED, None));
    assert_eq!(fs::read(bench.last_file()).unwrap(), good);
    assert_eq!(all(&store, 1, 100), lines(1, 50));
}

#[test]
fn a_flipped_bit_anywhere_costs_its_line_alone() {
    let bench = Bench::killed_after(12, ONE);
    let good = fs::read(bench.last_file()).unwrap();
    let directory = bench.directory();
    let mark = fs::read(directory.join("boot.json")).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        fs::write(bench.last_file(), &bad).unwrap();
        fs::write(directory.join("boot.json"), &mark).unwrap();
        let (store, opened) = bench.open(BOOT, RESERVED, ONE);
        let found = all(&store, 1, 5);
        // A flipped newline joins two lines.
        let lost = if good[at] == b'\n' && at + 1 < good.len() { 2 } else { 1 };
        assert_eq!(found.len(), 12 - lost, "byte {at}");
        assert!(found.iter().all(|line| *line == entry(line::seq_of(line).unwrap())), "byte {at}: {found:?}");
        // The number of a damaged last line is not given out again; without its newline it counts as never written.
        let next = if found.last() == Some(&entry(12)) { 13 } else { RESERVED };
        let cut = at + 1 == good.len();
        assert_eq!(opened.next_seq, if cut { 12 } else { next }, "byte {at}");
        let whole = store.read(1, 100, usize::MAX).unwrap();
        assert!(whole.damaged <= 2);
    }
}

#[test]
fn damage_is_counted_and_said() {
    let bench = Bench::killed_after(50, ONE);
    let text = fs::read_to_string(bench.last_file()).unwrap();
    let text = text.replace("entry 48 of", "entry 84 of").replace("entry 10 of", "entry 01 of");
    fs::write(bench.last_file(), format!("{}\n{text}", "x".repeat(1 << 20))).unwrap();
    let (store, opened) = bench.open(BOOT, RESERVED, ONE);
    let words = opened.damaged.unwrap();
    assert!(words.contains("damaged lines") && words.contains(bench.last_file().to_str().unwrap()), "{words}");
    assert_eq!(opened.next_seq, 51);
    let page = store.read(1, 100, usize::MAX).unwrap();
    // The third of them lies among those that are answered from memory.
    assert_eq!((page.entries.len(), page.damaged), (48, 2));
}

#[test]
fn files_are_rotated_at_their_size_and_the_oldest_goes() {
    let per_file = SMALL.file_bytes / line::stored_len(&entry(10));
    let bench = Bench::new();
    let (mut store, _) = bench.open(BOOT, 1, SMALL);
    let mut most = 0;
    for seq in 1..=100 {
        store.append(seq, &entry(seq)).unwrap();
        let files = bench.files();
        most = most.max(files.len());
        assert!(files.iter().all(|path| fs::metadata(path).unwrap().len() <= SMALL.file_bytes));
        let page = store.read(0, 1000, usize::MAX).unwrap();
        assert_eq!((page.first_seq, page.last_seq, page.next_seq), (seqs(&page.entries)[0], seq, seq + 1));
        assert_eq!(page.entries, lines(page.first_seq, seq));
    }
    assert_eq!(most, SMALL.files);
    assert!(store.reading(0, 10, 1 << 20).since > 100 - per_file * SMALL.files as u64 - 1);
    let names: Vec<_> = bench.files();
    assert!(names[0].to_str().unwrap().contains("log-00000000000000000"));
}

#[test]
fn a_batch_is_split_at_the_ends_of_files() {
    let bench = Bench::new();
    let (mut store, _) = bench.open(BOOT, 1, MANY);
    store.append_all(&batch(1, 100)).unwrap();
    assert!(bench.files().len() > 5);
    assert!(bench.files().iter().all(|path| fs::metadata(path).unwrap().len() <= MANY.file_bytes));
    assert_eq!(store.backlog(), Backlog { waiting: 0, dropped: 0 });
    assert_eq!(all(&store, 1, 1000), lines(1, 100));
}

#[test]
fn pages_begin_anywhere_and_end_at_any_limit() {
    let bench = Bench::killed_after(100, MANY);
    let (store, _) = bench.open(BOOT, RESERVED, MANY);
    for since in 0..=101 {
        for size in [1, 2, 3, 7, 50, 1000] {
            assert_eq!(all(&store, since, size), lines(since.max(1), 100), "from {since} by {size}");
        }
        assert_eq!(store.reading(since, 10, 1000).needs_disk(), since < 97, "from {since}");
    }
    // One entry is given whatever its size.
    let page = store.read(5, 10, 1).unwrap();
    assert_eq!((seqs(&page.entries), page.next_seq), (vec![5], 6));
    let bytes = entry(50).len() + 1;
    assert_eq!(store.read(50, 10, 3 * bytes).unwrap().entries.len(), 3);
    assert_eq!(store.read(50, 10, 3 * bytes - 1).unwrap().entries.len(), 2);
    assert_eq!(store.read(98, 10, bytes).unwrap().next_seq, 99);
    let beyond = store.read(500, 10, 1000).unwrap();
    assert_eq!((beyond.entries.len(), beyond.next_seq, beyond.last_seq), (0, 500, 100));
}

#[test]
fn an_empty_log_gives_an_empty_page() {
    let bench = Bench::new();
    let (store, _) = bench.open(BOOT, 1, ONE);
    let page = store.read(0, 10, 1000).unwrap();
    assert_eq!(page, Page { entries: vec![], next_seq: 1, first_seq: 1, last_seq: 0, damaged: 0 });
}

#[test]
fn a_place_in_a_large_file_is_searched_not_read_up_to() {
    let bench = Bench::new();
    let (mut store, _) = bench.open(BOOT, 1, Settings::default());
    let long = "x".repeat(400);
    let entries = (1..=20_000).map(|seq| (seq, format!("{{\"seq\":{seq},\"text\":\"{long}\"}}")));
    store.append_all(&entries.collect::<Vec<_>>()).unwrap();
    assert_eq!(bench.files().len(), 1);
    let mut file = fs::File::open(bench.last_file()).unwrap();
    let size = file.metadata().unwrap().len();
    for since in [1, 2, 500, 9_999, 10_000, 18_000, 18_976] {
        let from = page::find(&mut file, since).unwrap();
        let place = (since - 1) * size / 20_000;
        assert!(from <= place && place - from <= 2 * 64 * 1024, "{since}: {from} of {place}");
        assert_eq!(seqs(&store.read(since, 3, usize::MAX).unwrap().entries), [since, since + 1, since + 2]);
    }
    assert_eq!(store.read(0, usize::MAX, usize::MAX).unwrap().entries.len(), PAGE_ENTRIES_MAX);
    assert!(!store.reading(18_977, 10, 1000).needs_disk());
    assert!(store.reading(18_976, 10, 1000).needs_disk());
}

#[test]
fn a_reading_outlives_rotation_and_appends() {
    let bench = Bench::killed_after(100, SMALL);
    let (mut store, _) = bench.open(BOOT, RESERVED, SMALL);
    let reading = store.reading(0, 1000, usize::MAX);
    store.append_all(&batch(101, 200)).unwrap();
    let page = reading.run().unwrap();
    assert_eq!(page.last_seq, 100);
    assert_eq!(page.entries, lines(97, 100), "the files are gone, the memory went along");
}

#[test]
fn what_is_no_entry_is_refused_and_the_others_are_written() {
    let bench = Bench::new();
    let (mut store, _) = bench.open(BOOT, 1, ONE);
    let long = |size: usize| format!("{{\"seq\":2,\"t\":\"{}\"}}", "x".repeat(size - 16));
    let longest = long(LINE_MAX);
    assert_eq!(longest.len(), LINE_MAX);
    let entries = [(1, entry(1)), (2, long(LINE_MAX + 1)), (3, entry(3))];
    let error = store.append_all(&entries).unwrap_err();
    assert_eq!(error.code, abi::VMSF_ERR_LIMIT);
    for (seq, text) in
        [(3, entry(3)), (4, entry(5)), (4, "{}".into()), (4, "{\n\"seq\":4}".into()), (1 << 53, entry(1 << 53))]
    {
        assert_eq!(store.append(seq, &text).unwrap_err().code, abi::VMSF_ERR_INTERNAL, "{text}");
    }
    assert_eq!(seqs(&all(&store, 1, 10)), [1, 3]);
    let longest = longest.replace("\"seq\":2", "\"seq\":4");
    store.append(4, &longest).unwrap();
    store.append_all(&batch(5, 20)).unwrap();
    assert_eq!(store.read(4, 1, 10).unwrap().entries, [longest]);
}

#[test]
fn a_directory_removed_under_it_is_made_again() {
    let bench = Bench::new();
    let (mut store, _) = bench.open(BOOT, 1, ONE);
    store.append_all(&batch(1, 10)).unwrap();
    fs::remove_dir_all(bench.directory()).unwrap();
    store.append(11, &entry(11)).unwrap();
    assert_eq!(store.backlog(), Backlog { waiting: 0, dropped: 0 });
    assert_eq!(all(&store, 1, 5), lines(8, 11), "four are in memory");
    drop(store);
    let (store, opened) = bench.open(BOOT, RESERVED, ONE);
    assert_eq!((opened.next_seq, opened.gap), (12, None));
    assert_eq!(all(&store, 1, 5), lines(11, 11));
}

/// Makes `path` a directory that cannot be: a file stands there.
fn block(path: &Path) {
    fs::remove_dir_all(path).unwrap();
    fs::write(path, "in the way").unwrap();
}

#[test]
fn what_cannot_be_written_waits_is_dropped_beyond_the_bound_and_written_once() {
    let bench = Bench::new();
    let (mut store, _) = bench.open(BOOT, 1, ONE);
    block(&bench.directory());
    for seq in 1..=5 {
        let error = store.append(seq, &entry(seq)).unwrap_err();
        assert_eq!(error.code, abi::VMSF_ERR_IO);
        assert!(error.text.contains(bench.directory().to_str().unwrap()), "{}", error.text);
    }
    assert_eq!(store.backlog(), Backlog { waiting: 3, dropped: 2 });
    assert_eq!(all(&store, 1, 2), lines(2, 5), "memory answers all the same");
    fs::remove_file(bench.directory()).unwrap();
    store.append_all(&[]).unwrap();
    assert_eq!(store.backlog(), Backlog { waiting: 0, dropped: 2 });
    store.append(6, &entry(6)).unwrap();
    drop(store);
    let (store, opened) = bench.open(BOOT, RESERVED, ONE);
    assert_eq!((opened.next_seq, opened.gap), (7, None), "healed: numbers are known again");
    assert_eq!(all(&store, 0, 2), lines(3, 6));
}

#[test]
fn numbers_that_never_reached_the_disk_are_not_given_out_again_after_a_kill() {
    let bench = Bench::killed_after(5, ONE);
    let (mut store, _) = bench.open(BOOT, RESERVED, ONE);
    // Another file in place of ours, then no more: what a full disk does to a file, without one.
    let path = bench.last_file();
    let good = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    fs::create_dir(files::path(&bench.directory(), 6)).unwrap();
    store.append(6, &entry(6)).unwrap_err();
    drop(store);
    fs::remove_dir(files::path(&bench.directory(), 6)).unwrap();
    fs::write(path, good).unwrap();
    assert_eq!(bench.open(BOOT, RESERVED, ONE).1.gap, Some((6, RESERVED - 1)));
}

#[test]
fn closing_notes_the_end_even_if_entries_are_lost() {
    let bench = Bench::new();
    let (mut store, _) = bench.open(BOOT, 1, ONE);
    store.append(1, &entry(1)).unwrap();
    fs::remove_file(bench.last_file()).unwrap();
    fs::create_dir(files::path(&bench.directory(), 2)).unwrap();
    store.append(2, &entry(2)).unwrap_err();
    assert_eq!(store.close().unwrap_err().code, abi::VMSF_ERR_IO);
    fs::remove_dir(files::path(&bench.directory(), 2)).unwrap();
    assert_eq!(bench.open(OTHER, RESERVED, ONE).1, Opened { next_seq: 3, gap: None, damaged: None });
}

#[test]
fn a_path_that_is_no_directory_is_named() {
    let bench = Bench::new();
    fs::write(bench.directory(), "").unwrap();
    let error = LogStore::open(&bench.directory(), BOOT, 1).unwrap_err();
    assert_eq!(error.code, abi::VMSF_ERR_IO);
    assert!(error.text.contains(bench.directory().to_str().unwrap()), "{}", error.text);
}

#[test]
fn strange_files_are_left_alone() {
    let bench = Bench::killed_after(5, SMALL);
    let names = ["log-1.jsonl", "log-99999999999999999999.jsonl", "log-0000000000000000000x.jsonl", "notes.txt"];
    for name in names {
        fs::write(bench.directory().join(name), "not ours").unwrap();
    }
    let (mut store, opened) = bench.open(BOOT, RESERVED, SMALL);
    assert_eq!(opened.next_seq, 6);
    store.append_all(&batch(6, 100)).unwrap();
    for name in names {
        assert_eq!(fs::read_to_string(bench.directory().join(name)).unwrap(), "not ours");
    }
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::killed_after(5, ONE);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&bench.directory()), 0o700);
    assert_eq!(mode(&bench.last_file()), 0o600);
    assert_eq!(mode(&bench.directory().join("boot.json")), 0o600);
}

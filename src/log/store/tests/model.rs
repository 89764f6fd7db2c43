//! Any sequence of appends, closes, kills, power losses and troubles against a model of what the log must hold.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// What happens to a log.
#[derive(Clone, Debug)]
enum Step {
    Append(Vec<usize>),
    Close,
    Kill,
    /// A power loss that took so many bytes of the tail.
    PowerLoss(u64),
    /// The directory cannot be written for so many batches.
    Trouble(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(0..200_usize, 0..12).prop_map(Step::Append),
        1 => Just(Step::Close),
        2 => Just(Step::Kill),
        1 => (0..700_u64).prop_map(Step::PowerLoss),
        1 => (1..3_usize).prop_map(Step::Trouble),
    ]
}

/// What a log must hold: every entry appended, until it is rotated away or cut off.
struct Model {
    bench: Bench,
    settings: Settings,
    boot: u32,
    store: Option<LogStore>,
    next: u64,
    reserved: u64,
    given: u64,
    /// A gap that no entry has told.
    untold: bool,
    entries: BTreeMap<u64, String>,
}

impl Model {
    fn new(settings: Settings) -> Model {
        let bench = Bench::new();
        let mut model = Model {
            bench,
            settings,
            boot: 0,
            store: None,
            next: 1,
            reserved: 1,
            given: 0,
            untold: false,
            entries: BTreeMap::new(),
        };
        model.open(None);
        model
    }

    /// `next`: where numbering must go on; None behind the block.
    fn open(&mut self, next: Option<u64>) {
        self.store = None;
        let (store, opened) = self.bench.open(Some(&self.boot.to_string()), self.reserved, self.settings);
        assert!(opened.next_seq > self.given, "a number repeats");
        assert_eq!(opened.next_seq, next.unwrap_or(self.reserved));
        assert_eq!(opened.damaged, None);
        self.untold = opened.gap.is_some();
        (self.next, self.reserved) = (opened.next_seq, opened.next_seq + 1000);
        self.store = Some(store);
    }

    fn open_after_end(&mut self) {
        self.open((!self.untold).then_some(self.next));
    }

    fn append(&mut self, sizes: &[usize]) -> Result<(), Error> {
        let mut batch = Vec::new();
        for size in sizes {
            let line = format!("{{\"seq\":{},\"text\":\"{}\"}}", self.next, "x".repeat(*size));
            self.untold = false;
            self.entries.insert(self.next, line.clone());
            batch.push((self.next, line));
            (self.given, self.next) = (self.next, self.next + 1);
        }
        self.store.as_mut().unwrap().append_all(&batch)
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Append(sizes) => self.append(sizes).unwrap(),
            Step::Close => {
                self.store.take().unwrap().close().unwrap();
                self.boot += 1;
                self.open_after_end();
            }
            Step::Kill => self.open_after_end(),
            Step::PowerLoss(bytes) => {
                self.boot += 1;
                self.bench.cut(*bytes);
                let path = self.bench.last_file();
                let text = fs::read_to_string(&path).unwrap();
                let kept = text.split_inclusive('\n').filter(|line| line.ends_with('\n')).count();
                let first = *files::list(&self.bench.directory()).unwrap().last().unwrap();
                let gone: Vec<u64> = self.entries.range(first..).skip(kept).map(|(seq, _)| *seq).collect();
                for seq in gone {
                    self.entries.remove(&seq);
                }
                self.open(None);
            }
            Step::Trouble(batches) => self.trouble(*batches),
        }
    }

    /// The newest file is swapped for a directory, and comes back as it was.
    fn trouble(&mut self, batches: usize) {
        let path = self.bench.last_file();
        let aside = self.bench.root.path().join("aside");
        let in_the_way = files::path(&self.bench.directory(), self.next);
        if in_the_way == path {
            return;
        }
        fs::rename(&path, &aside).unwrap();
        fs::create_dir(&in_the_way).unwrap();
        for _ in 0..batches {
            self.append(&[1]).unwrap_err();
        }
        fs::remove_dir(&in_the_way).unwrap();
        fs::rename(&aside, &path).unwrap();
        self.append(&[]).unwrap();
    }

    fn check(&self) {
        let store = self.store.as_ref().unwrap();
        let first = store.read(0, 1, usize::MAX).unwrap().first_seq;
        let expected: Vec<&String> = self.entries.range(first..).map(|(_, line)| line).collect();
        for size in [1, 3, 1000] {
            let found = all(store, 0, size);
            assert_eq!(found.iter().collect::<Vec<_>>(), expected);
            assert!(seqs(&found).is_sorted_by(|one, two| one < two));
        }
        let middle = first + (self.next - first) / 2;
        let expected: Vec<&String> = self.entries.range(middle..).map(|(_, line)| line).collect();
        assert_eq!(all(store, middle, 4).iter().collect::<Vec<_>>(), expected);
        assert!(self.settings.files > 3 || self.bench.files().len() <= 3);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_numbers_ascend_and_what_was_taken_is_read(
        steps in prop::collection::vec(step(), 1..40),
        rotates in any::<bool>(),
    ) {
        let mut model = Model::new(if rotates { SMALL } else { MANY });
        for step in &steps {
            model.step(step);
            model.check();
        }
    }
}

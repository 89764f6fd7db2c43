//! Any sequence of backups, damage, deletions, crashes and checks, against the few lines that say what must hold.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    BackUp,
    CutOff(usize),
    Damage(prop::sample::Index, Harm),
    Retain(usize),
    Find,
    /// The plugin is started anew: nothing is known, leftovers are removed.
    Start,
    DeleteByHand(prop::sample::Index),
}

#[derive(Clone, Copy, Debug)]
enum Harm {
    OtherBytes,
    Shorter,
    Longer,
    NoManifest,
    BadManifest,
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let harm =
        prop::sample::select(vec![Harm::OtherBytes, Harm::Shorter, Harm::Longer, Harm::NoManifest, Harm::BadManifest]);
    let action = prop_oneof![
        4 => Just(Action::BackUp),
        2 => (0_usize..8).prop_map(Action::CutOff),
        3 => (any::<prop::sample::Index>(), harm).prop_map(|(which, harm)| Action::Damage(which, harm)),
        2 => (0_usize..4).prop_map(Action::Retain),
        2 => Just(Action::Find),
        1 => Just(Action::Start),
        1 => any::<prop::sample::Index>().prop_map(Action::DeleteByHand),
    ];
    prop::collection::vec(action, 1..40)
}

const FOREIGN: &[&str] = &["notes.txt", "20260102T030405Z-007.backup", "incoming.tmp", "20260102T030405Z-1.backup.bak"];

/// The folder, and which numbers are there and whole.
struct Model {
    place: Place,
    whole: BTreeMap<u64, bool>,
    highest: u64,
    age_s: u64,
}

impl Model {
    fn new() -> Model {
        let place = Place::new(Syncing::None);
        place.folder.begin(1, 0).unwrap();
        for name in FOREIGN {
            fs::write(place.folder.path().join(name), "foreign").unwrap();
        }
        Model { place, whole: BTreeMap::new(), highest: 0, age_s: 0 }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::BackUp => self.back_up(usize::MAX),
            Action::CutOff(steps) => self.back_up(*steps),
            Action::Damage(which, harm) => self.damage(which, *harm),
            Action::Retain(kept) => self.retain(*kept),
            Action::Find => drop(self.place.find()),
            Action::Start => {
                self.place.checks = Checks::default();
                self.place.folder.clean(None).unwrap();
            }
            Action::DeleteByHand(which) => {
                if let Some(number) = self.pick(which) {
                    fs::remove_file(self.place.archive(number)).unwrap();
                    self.whole.remove(&number);
                }
            }
        }
    }

    fn pick(&self, which: &prop::sample::Index) -> Option<u64> {
        let numbers: Vec<u64> = self.whole.keys().copied().collect();
        (!numbers.is_empty()).then(|| *which.get(&numbers))
    }

    fn back_up(&mut self, steps: usize) {
        let incoming = self.place.folder.begin(7, self.highest).unwrap();
        fs::write(&incoming, format!("archive {}", self.highest + 1)).unwrap();
        let mut publish = self.place.folder.publish(&incoming, UTC_MS).unwrap();
        for _ in 0..steps {
            if let Progress::Done(published) = publish.step(5) {
                let Published { name, checked, .. } = published.unwrap();
                assert_eq!(name.number, self.highest + 1, "numbers grow by one");
                self.place.checks.note(name, checked.unwrap());
                self.whole.insert(name.number, true);
                self.highest = name.number;
                return;
            }
        }
    }

    fn damage(&mut self, which: &prop::sample::Index, harm: Harm) {
        let Some(number) = self.pick(which) else { return };
        self.age_s += 1;
        let archive = self.place.archive(number);
        let size = fs::metadata(&archive).unwrap().len() as usize;
        let manifest = self.place.manifest(number);
        match harm {
            Harm::OtherBytes => damage(&archive, &vec![b'!'; size], self.age_s),
            Harm::Shorter => damage(&archive, &vec![b'!'; size / 2], self.age_s),
            Harm::Longer => damage(&archive, &vec![b'!'; size + 1], self.age_s),
            Harm::NoManifest => fs::remove_file(manifest).unwrap_or_default(),
            Harm::BadManifest => fs::write(manifest, "{").unwrap(),
        }
        self.whole.insert(number, false);
    }

    fn retain(&mut self, kept: usize) {
        let checks = &self.place.checks;
        let good = |number: &u64| {
            let look = self.place.folder.look(self.place.name(*number), checks);
            matches!(look, Condition::Good(_))
        };
        let known: Vec<u64> = self.whole.keys().rev().copied().filter(good).collect();
        let before = self.place.numbers();
        self.place.folder.retain(kept, &mut self.place.checks).unwrap();
        let after = self.place.numbers();
        let must_stay = &known[..known.len().min(kept.max(1))];
        assert!(must_stay.iter().all(|number| after.contains(number)), "{must_stay:?} of {before:?}, left {after:?}");
        assert!(!known.is_empty() || before == after, "deleted though nothing is known to be good");
        assert_eq!(before.last(), after.last(), "the highest number stays");
        let good_left = known.iter().filter(|number| after.contains(number)).count();
        assert_eq!(good_left, must_stay.len(), "no good ones beyond those to keep");
        self.whole.retain(|number, _| after.contains(number));
    }

    fn check(&mut self) {
        assert_eq!(self.place.numbers(), self.whole.keys().copied().collect::<Vec<_>>());
        let best = self.whole.iter().rev().find(|(_, whole)| **whole).map(|(number, _)| *number);
        let mut afresh = Place {
            root: tempfile::tempdir().unwrap(),
            folder: self.place.folder.clone(),
            checks: self.place.checks.clone(),
        };
        assert_eq!(afresh.newest_good(), best, "with what is known");
        afresh.checks = Checks::default();
        assert_eq!(afresh.newest_good(), best, "with nothing known");
        for name in FOREIGN {
            assert_eq!(fs::read(self.place.folder.path().join(name)).unwrap(), b"foreign");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_newest_good_one_is_always_found_and_the_last_good_one_never_deleted(actions in actions()) {
        let mut model = Model::new();
        for action in &actions {
            model.act(action);
            model.check();
        }
        model.place.folder.clean(None).unwrap();
        let leftover = |name: &String| name.ends_with(".tmp") && !FOREIGN.contains(&name.as_str());
        prop_assert!(!model.place.files().keys().any(leftover));
    }
}

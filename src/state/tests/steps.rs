//! The steps of `disk`, seen by a test: which there were, a look before each, a kill before the nth, a disk without room.

use std::cell::RefCell;
use std::io;

#[derive(Default)]
struct Steps {
    taken: Vec<&'static str>,
    kill_at: Option<usize>,
    full: bool,
    watch: Option<Box<dyn Fn()>>,
}

thread_local! {
    static STEPS: RefCell<Steps> = RefCell::default();
}

/// Called before each step, on the thread of the test.
pub fn step(name: &'static str) -> io::Result<()> {
    STEPS.with_borrow_mut(|steps| {
        if steps.kill_at.is_some_and(|at| steps.taken.len() >= at) {
            return Err(io::Error::other("killed"));
        }
        steps.taken.push(name);
        steps.watch.iter().for_each(|watch| watch());
        let needs_room = matches!(name, "write" | "append");
        if steps.full && needs_room { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    })
}

/// Runs something as a process would that is killed before its nth step: from there on nothing reaches the disk. Gives the steps taken.
pub fn killed_at<T>(n: usize, run: impl FnOnce() -> T) -> (Vec<&'static str>, T) {
    with(Steps { kill_at: Some(n), ..Steps::default() }, run)
}

/// Runs something on a disk without room for one byte more. Gives the steps tried.
pub fn on_a_full_disk<T>(run: impl FnOnce() -> T) -> (Vec<&'static str>, T) {
    with(Steps { full: true, ..Steps::default() }, run)
}

/// On a full disk, and killed before the nth step.
pub fn on_a_full_disk_killed_at<T>(n: usize, run: impl FnOnce() -> T) -> (Vec<&'static str>, T) {
    with(Steps { full: true, kill_at: Some(n), ..Steps::default() }, run)
}

/// Looks at something before each step.
pub fn watched<T>(watch: impl Fn() + 'static, run: impl FnOnce() -> T) -> (Vec<&'static str>, T) {
    with(Steps { watch: Some(Box::new(watch)), ..Steps::default() }, run)
}

fn with<T>(steps: Steps, run: impl FnOnce() -> T) -> (Vec<&'static str>, T) {
    STEPS.set(steps);
    let result = run();
    (STEPS.take().taken, result)
}

//! An engine without threads, for tests in which everything happens in one, in an order that can be
//! had again: its only worker belongs to the thread that started it, and is stepped by whoever waits.

use std::cell::RefCell;

use timely::WorkerConfig;
use timely::communication::Allocator;
use timely::communication::allocator::thread::Thread;
use timely::worker::Worker;

use super::worker::{Commander, Setup, Taken, build};

/// Steps after which a round that is not decided never will be.
const MAX_STEPS: usize = 1_000_000;

thread_local! {
    /// The worker of this thread: it cannot leave it, and an engine can.
    static WORKER: RefCell<Option<(Worker, Commander)>> = const { RefCell::new(None) };
}

/// Builds the worker of this thread, in place of the one before.
pub(super) fn start(setup: &Setup) {
    let alloc = Allocator::Thread(Thread::default());
    let mut worker = Worker::new(WorkerConfig::default(), alloc, None);
    let commander = build(&mut worker, setup).expect("the only worker passes commands on");
    WORKER.set(Some((worker, commander)));
}

/// Steps the worker until `look` finds something.
///
/// # Panics
///
/// If it never does.
pub(super) fn step_until<T>(mut look: impl FnMut() -> Option<T>) -> T {
    WORKER.with_borrow_mut(|worker| {
        let (worker, commander) = worker.as_mut().expect("the engine was started here");
        for _ in 0..MAX_STEPS {
            while commander.pass_on().continue_value() == Some(Taken::Command) {}
            worker.step();
            if let Some(found) = look() {
                return found;
            }
        }
        panic!("a worker does not get on");
    })
}

/// Ends the worker.
pub(super) fn stop() {
    drop(WORKER.take());
}

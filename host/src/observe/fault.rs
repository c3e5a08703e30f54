//! Named places at which tests let the process die, as `kill -9` does, and calls of the file system
//! that they let fail, as a full or broken disk does.
//!
//! They are compiled in where debug assertions are, so not into what is released. Which ones it is
//! comes from the environment:
//!
//! * `DSHOST_CRASH_AT=STAGE` or `STAGE:N`, at the `N`th time that the process gets there; one that is only
//!   simulated, on one thread, dies by unwinding it;
//! * `DSHOST_FAIL_AT=CALL:PATH:ERROR:FIRST-LAST`: calls of that kind on a path that holds `PATH`
//!   fail with the system's error of that number, from the `FIRST` to the `LAST`; without the last, for
//!   ever.

use std::io;
use std::path::Path;

/// Where a process may die: the way of a batch, of a checkpoint, of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashStage {
    /// A source's input is cut, and nothing is said of it.
    Received,
    /// A write to the journal is half done.
    MidAppend,
    /// The journal is written and not synced.
    Appended,
    /// A commit is durable, and nobody has heard of it.
    Committed,
    /// A batch is cut and said, and not begun.
    Cut,
    /// An attempt is said, and not begun.
    Attempted,
    /// A batch runs.
    InGuest,
    /// A batch has run, and no sink has prepared it.
    Ran,
    /// All sinks have prepared a batch, and it is not committed.
    Prepared,
    /// A sink shows a batch, and nothing says so.
    Published,
    /// A file of a checkpoint is there, and others are not.
    MidCheckpoint,
    /// All files of a checkpoint are there, and its manifest is not.
    CheckpointWritten,
    /// An object of the root has its name, and its directory is not synced.
    Linked,
    /// A checkpoint counts, and what it makes needless is still there.
    CheckpointMade,
    /// A segment of the journal is removed, and others that nobody needs are not.
    MidTrim,
    /// Some of what was committed is run again.
    MidRecovery,
    /// All of it is, and what was cut is not attempted.
    Recovered,
    /// A new version is taken, and no batch of it is committed.
    Swapped,
}

impl CrashStage {
    /// All of them.
    pub const ALL: [Self; 18] = [
        Self::Received,
        Self::MidAppend,
        Self::Appended,
        Self::Committed,
        Self::Cut,
        Self::Attempted,
        Self::InGuest,
        Self::Ran,
        Self::Prepared,
        Self::Published,
        Self::MidCheckpoint,
        Self::CheckpointWritten,
        Self::Linked,
        Self::CheckpointMade,
        Self::MidTrim,
        Self::MidRecovery,
        Self::Recovered,
        Self::Swapped,
    ];
}

/// The environment variable that names a stage.
pub const CRASH_AT: &str = "DSHOST_CRASH_AT";

/// What is done with a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskCall {
    /// A file is made.
    Create,
    /// A file is read.
    Read,
    /// Something is written to a file.
    Write,
    /// A file, or the names in a directory, are made durable.
    Sync,
    /// A file or directory gets a name.
    Name,
}

/// The environment variable that names calls that fail.
pub const FAIL_AT: &str = "DSHOST_FAIL_AT";

/// Calls that fail.
#[cfg(debug_assertions)]
struct FailingCalls {
    call: String,
    path: String,
    error: i32,
    first: u64,
    last: u64,
}

/// Dies here, if a test wants that.
pub fn reach(stage: CrashStage) {
    if is_due(stage) {
        die();
    }
}

/// Counts that the process is at a stage; whether it is to [`die`] there.
#[cfg(test)]
#[must_use]
pub fn is_due(stage: CrashStage) -> bool {
    simulated::is_due(stage).unwrap_or_else(|| is_wanted(stage))
}

/// Counts that the process is at a stage; whether it is to [`die`] there.
#[cfg(all(debug_assertions, not(test)))]
#[must_use]
pub fn is_due(stage: CrashStage) -> bool {
    is_wanted(stage)
}

/// Whether the environment wants the process to die at a stage.
#[cfg(any(debug_assertions, test))]
fn is_wanted(stage: CrashStage) -> bool {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64)>> = OnceLock::new();
    static REACHED: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| {
        let wanted = std::env::var(CRASH_AT).ok()?;
        Some(match wanted.split_once(':') {
            Some((stage, number)) => (stage.to_owned(), number.parse().unwrap_or(1)),
            None => (wanted, 1),
        })
    });
    wanted.as_ref().is_some_and(|(name, number)| {
        *name == format!("{stage:?}") && REACHED.fetch_add(1, Ordering::Relaxed) + 1 == *number
    })
}

/// Nothing is ever due in what is released.
#[cfg(not(any(debug_assertions, test)))]
#[must_use]
pub const fn is_due(_: CrashStage) -> bool {
    false
}

/// Fails where a test wants that, in place of the call.
///
/// # Errors
///
/// The one that the test wants.
#[cfg(debug_assertions)]
pub fn disk(call: DiskCall, path: &Path) -> io::Result<()> {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<FailingCalls>> = OnceLock::new();
    static MADE: AtomicU64 = AtomicU64::new(0);
    let wanted = WANTED.get_or_init(|| FailingCalls::of(&std::env::var(FAIL_AT).ok()?));
    let Some(wanted) = wanted.as_ref().filter(|wanted| wanted.is_one(call, path)) else {
        return Ok(());
    };
    let number = MADE.fetch_add(1, Ordering::Relaxed) + 1;
    match (wanted.first..=wanted.last).contains(&number) {
        true => Err(io::Error::from_raw_os_error(wanted.error)),
        false => Ok(()),
    }
}

/// Nothing fails in what is released but by itself.
///
/// # Errors
///
/// None.
#[cfg(not(debug_assertions))]
pub const fn disk(_: DiskCall, _: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(debug_assertions)]
impl FailingCalls {
    /// Those that are wanted; none where that is not understood.
    fn of(wanted: &str) -> Option<Self> {
        let [call, path, error, range] =
            wanted.splitn(4, ':').collect::<Vec<_>>().try_into().ok()?;
        let (first, last) = range.split_once('-')?;
        Some(Self {
            call: call.to_owned(),
            path: path.to_owned(),
            error: error.parse().ok()?,
            first: first.parse().ok()?,
            last: if last.is_empty() {
                u64::MAX
            } else {
                last.parse().ok()?
            },
        })
    }

    fn is_one(&self, call: DiskCall, path: &Path) -> bool {
        self.call == format!("{call:?}") && path.to_string_lossy().contains(&self.path)
    }
}

/// Dies as if somebody had sent SIGKILL.
pub fn die() -> ! {
    #[cfg(test)]
    simulated::die();
    // SAFETY: a signal is sent to this very process, which ends at once; no memory is touched.
    unsafe {
        libc::raise(libc::SIGKILL);
    }
    // Not reached; the signal cannot be caught.
    std::process::abort()
}

/// Processes that are simulated, one on a thread.
#[cfg(test)]
pub(crate) mod simulated {
    use std::cell::RefCell;

    use super::CrashStage;

    /// What the unwinding of a thread carries whose process has died.
    pub(crate) struct Death;

    /// How often a process was at each of [`CrashStage::ALL`].
    pub(crate) type Reached = [u64; CrashStage::ALL.len()];

    /// The process of a thread.
    struct Process {
        reached: Reached,
        /// It dies at the `n`th time that it is there.
        due: Option<(CrashStage, u64)>,
    }

    thread_local! {
        static PROCESS: RefCell<Option<Process>> = const { RefCell::new(None) };
    }

    /// A process begins on this thread, which is to die at the `n`th time that it is at a stage.
    pub(crate) fn begin(due: Option<(CrashStage, u64)>) {
        let reached = Reached::default();
        PROCESS.set(Some(Process { reached, due }));
    }

    /// The process of this thread is over; how often it was at each stage.
    pub(crate) fn end() -> Reached {
        let process = PROCESS.take();
        process.map(|process| process.reached).unwrap_or_default()
    }

    /// Counts that the process is at a stage; none: there is no process on this thread.
    pub(super) fn is_due(stage: CrashStage) -> Option<bool> {
        PROCESS.with_borrow_mut(|process| {
            let Process { reached, due } = process.as_mut()?;
            let reached = &mut reached[stage as usize];
            *reached += 1;
            Some(*due == Some((stage, *reached)))
        })
    }

    /// Unwinds the thread, if it has a process.
    pub(crate) fn die() {
        if PROCESS.with_borrow(Option::is_some) {
            // Not a panic: nothing is said of it.
            std::panic::resume_unwind(Box::new(Death));
        }
    }
}

//! Whether a job that has ended is started again, and when: plain code over values.

use std::collections::VecDeque;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::cli::error::Fault;

/// So many ends in a row without a commit between are followed by a start at once.
const AT_ONCE: usize = 5;

/// The pause after the next one; each further pause is twice as long …
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// … up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// When a job is not started again that gets nowhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit {
    /// So many ends in a row without a commit between …
    pub(super) ends: usize,
    /// … within so much time.
    pub(super) within: Duration,
}

/// The ends of a job's starts since its last commit.
#[derive(Debug)]
pub(super) struct Ends {
    limit: Limit,
    /// How many there are, the one that follows a commit not counted.
    in_a_row: usize,
    /// When the last of them were, as many as matter.
    times: VecDeque<Instant>,
}

/// What follows from an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// The job is started again after a pause.
    Start(Duration),
    /// It is not.
    GiveUp,
}

impl Ends {
    /// None so far.
    pub(super) const fn none(limit: Limit) -> Self {
        Self {
            limit,
            in_a_row: 0,
            times: VecDeque::new(),
        }
    }

    /// When it is given up.
    pub(super) const fn limit(&self) -> Limit {
        self.limit
    }

    /// What follows from an end at `now`; `has_committed` says whether a batch was committed since
    /// the end before.
    pub(super) fn add(&mut self, now: Instant, has_committed: bool) -> Next {
        if has_committed {
            *self = Self::none(self.limit);
            return Next::Start(Duration::ZERO);
        }
        self.in_a_row += 1;
        self.times.push_back(now);
        if self.times.len() >= self.limit.ends {
            let first = self.times.pop_front();
            if first.is_some_and(|first| now.duration_since(first) <= self.limit.within) {
                return Next::GiveUp;
            }
        }
        Next::Start(pause(self.in_a_row))
    }
}

/// The pause after so many ends in a row.
fn pause(ends: usize) -> Duration {
    let Some(doublings) = ends.checked_sub(AT_ONCE + 1) else {
        return Duration::ZERO;
    };
    let doublings = u32::try_from(doublings).unwrap_or(u32::MAX);
    let factor = 2u32.saturating_pow(doublings);
    FIRST_PAUSE.saturating_mul(factor).min(LONGEST_PAUSE)
}

/// The exit code of an end that another start would not change; none: it is started again.
pub(super) fn for_good(status: ExitStatus) -> Option<u8> {
    let code = u8::try_from(status.code()?).ok()?;
    let faults = [Fault::Job, Fault::Usage, Fault::Fenced];
    let is_for_good = code == 0 || faults.into_iter().any(|fault| fault.exit_code() == code);
    is_for_good.then_some(code)
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::dataflow::PANIC_EXIT_CODE;

    const LIMIT: Limit = Limit {
        ends: 12,
        within: Duration::from_secs(60),
    };

    fn start(after_ms: u64) -> Next {
        Next::Start(Duration::from_millis(after_ms))
    }

    #[test]
    fn pauses_grow_only_after_five_ends_without_a_commit() {
        let now = Instant::now();
        let mut ends = Ends::none(LIMIT);
        let expected = [0, 0, 0, 0, 0, 100, 200, 400, 800, 1600, 2000].map(start);
        for expected in expected {
            assert_eq!(ends.add(now, false), expected);
        }
        assert_eq!(ends.add(now, true), start(0));
        for expected in expected {
            assert_eq!(ends.add(now, false), expected);
        }
        assert_eq!(ends.add(now, false), Next::GiveUp);
    }

    #[test]
    fn it_gives_up_only_if_so_many_ends_come_within_the_time() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut ends = Ends::none(LIMIT);
        for end in 0..100 {
            // Twelve ends span 11 · 6 s.
            assert_ne!(ends.add(at(6 * end), false), Next::GiveUp, "{end}");
        }
        let mut ends = Ends::none(LIMIT);
        for end in 0..11 {
            assert_ne!(ends.add(at(5 * end), false), Next::GiveUp, "{end}");
        }
        assert_eq!(ends.add(at(60), false), Next::GiveUp);
        let once = Limit { ends: 1, ..LIMIT };
        assert_eq!(Ends::none(once).add(now, true), start(0));
        assert_eq!(Ends::none(once).add(now, false), Next::GiveUp);
    }

    #[test]
    fn a_pause_is_bounded_however_many_ends_there_are() {
        for ends in [11, 38, 1000, usize::MAX] {
            assert_eq!(pause(ends), LONGEST_PAUSE);
        }
    }

    #[test]
    fn an_end_that_would_come_again_is_for_good() {
        let exited = |code: i32| for_good(ExitStatus::from_raw(code << 8));
        for code in [0, 1, 2, 76] {
            assert_eq!(exited(code), u8::try_from(code).ok());
        }
        for code in [75, PANIC_EXIT_CODE, 126, 127, 134, 255] {
            assert_eq!(exited(code), None, "{code}");
        }
        for signal in [libc::SIGKILL, libc::SIGSEGV, libc::SIGABRT, libc::SIGTERM] {
            assert_eq!(for_good(ExitStatus::from_raw(signal)), None, "{signal}");
        }
    }
}

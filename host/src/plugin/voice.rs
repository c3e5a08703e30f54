//! What a guest says, bounded: lines for the log, and the last lines it wrote before it trapped.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tracing::{Level, debug, error, info, trace, warn};

use crate::batch::BatchTime;

use super::escape::escape;

/// What a guest's lines are filtered by.
const TARGET: &str = "guest";

/// Characters of one line that reach the log.
const MAX_LINE_CHARACTERS: usize = 4096;

/// Bytes of a line that is not yet ended; a longer one is ended there.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// Lines of standard error that are told with a trap.
const LAST_LINES: usize = 20;

/// One operator's voice in the log, shared by its instances on all workers.
pub(super) struct Voice {
    /// The operator's name in the log; none: nothing is said.
    operator: Option<String>,
    /// Lines per batch.
    limit: u32,
    spent: Mutex<Spent>,
}

/// Lines of the batch that speaks.
#[derive(Default)]
struct Spent {
    batch: BatchTime,
    lines: u32,
    dropped: u64,
}

impl Voice {
    pub(super) fn new(operator: &str, limit: u32) -> Self {
        Self {
            operator: Some(operator.to_owned()),
            limit,
            spent: Mutex::default(),
        }
    }

    /// The voice of a function that is called beside the batch: what it has to say was said.
    pub(super) fn silent() -> Self {
        Self {
            operator: None,
            limit: 0,
            spent: Mutex::default(),
        }
    }

    /// Writes a line to the log, or counts it where the batch has said enough. What is said before
    /// the first call, while an instance starts, counts for the batch that spoke last.
    pub(super) fn say(&self, batch: Option<BatchTime>, level: Level, message: &str) {
        let Some(operator) = self.operator.as_deref() else {
            return;
        };
        if tells_nothing(message) {
            return;
        }
        let allowed = {
            // The figures are whole whatever happened to their holder.
            let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(batch) = batch
                && spent.batch != batch
            {
                self.tell_dropped(&spent);
                *spent = Spent {
                    batch,
                    ..Spent::default()
                };
            }
            if spent.lines < self.limit {
                spent.lines += 1;
                true
            } else {
                spent.dropped += 1;
                false
            }
        };
        if allowed {
            log(operator, level, &escape(message, MAX_LINE_CHARACTERS));
        }
    }

    fn tell_dropped(&self, spent: &Spent) {
        if spent.dropped > 0 {
            warn!(
                target: TARGET,
                operator = self.operator.as_deref(),
                batch = %spent.batch,
                dropped = spent.dropped,
                limit = self.limit,
                "log lines of the function were dropped"
            );
        }
    }
}

/// Whether a line is of no use to anybody: an empty one, with which Rust's panics begin, and their
/// advice to set a variable, where there are none and the backtrace is told anyway.
fn tells_nothing(line: &str) -> bool {
    line.trim().is_empty() || line.starts_with("note: run with `RUST_BACKTRACE=")
}

fn log(operator: &str, level: Level, message: &str) {
    match level {
        Level::ERROR => error!(target: TARGET, operator, "{message}"),
        Level::WARN => warn!(target: TARGET, operator, "{message}"),
        Level::INFO => info!(target: TARGET, operator, "{message}"),
        Level::DEBUG => debug!(target: TARGET, operator, "{message}"),
        Level::TRACE => trace!(target: TARGET, operator, "{message}"),
    }
}

impl Drop for Voice {
    fn drop(&mut self) {
        let spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        self.tell_dropped(&spent);
    }
}

/// Bytes that become lines.
#[derive(Default)]
pub(super) struct Lines {
    open: Vec<u8>,
}

impl Lines {
    /// Takes bytes and gives each line that they end. What is not UTF-8 is replaced.
    pub(super) fn write(&mut self, mut bytes: &[u8], mut line: impl FnMut(&str)) {
        while !bytes.is_empty() {
            let room = MAX_LINE_BYTES - self.open.len();
            let piece = &bytes[..bytes.len().min(room)];
            let (piece, ended) = match memchr::memchr(b'\n', piece) {
                Some(end) => (&piece[..end], true),
                None => (piece, piece.len() == room),
            };
            self.open.extend_from_slice(piece);
            let newline = usize::from(bytes.get(piece.len()) == Some(&b'\n'));
            bytes = &bytes[piece.len() + newline..];
            if ended || newline == 1 {
                line(&String::from_utf8_lossy(&self.open));
                self.open.clear();
            }
        }
    }

    /// Gives the line that was not ended, if there is one.
    pub(super) fn finish(&mut self, mut line: impl FnMut(&str)) {
        if !self.open.is_empty() {
            line(&String::from_utf8_lossy(&self.open));
            self.open.clear();
        }
    }
}

/// The last lines that a guest wrote to standard error: what it said before it trapped.
#[derive(Default)]
pub(super) struct LastWords(VecDeque<String>);

impl LastWords {
    /// Remembers a line, and forgets the oldest if there are too many.
    pub(super) fn push(&mut self, line: &str) {
        if tells_nothing(line) {
            return;
        }
        if self.0.len() == LAST_LINES {
            self.0.pop_front();
        }
        self.0.push_back(escape(line, MAX_LINE_CHARACTERS));
    }

    /// The lines, oldest first.
    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(writes: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut said = Vec::new();
        for write in writes {
            lines.write(write, |line| said.push(line.to_owned()));
        }
        lines.finish(|line| said.push(line.to_owned()));
        said
    }

    #[test]
    fn lines_are_put_together_from_pieces() {
        assert_eq!(lines(&[b"a", b"b\nc", b"\n\nd"]), ["ab", "c", "", "d"]);
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let said = lines(&[&[b'x'; 3 * MAX_LINE_BYTES], b"\nend\n"]);
        let lengths: Vec<usize> = said.iter().map(String::len).collect();
        assert_eq!(
            lengths,
            [MAX_LINE_BYTES, MAX_LINE_BYTES, MAX_LINE_BYTES, 0, 3]
        );
    }

    #[test]
    fn of_a_panic_only_what_it_says_is_told() {
        let panic = b"\nthread '<unnamed>' (1) panicked at src/lib.rs:3:5:\nunlucky\n\
            note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace\n";
        let mut said = lines(&[panic]);
        said.retain(|line| !tells_nothing(line));
        assert_eq!(
            said,
            [
                "thread '<unnamed>' (1) panicked at src/lib.rs:3:5:",
                "unlucky"
            ]
        );
    }

    #[test]
    fn only_the_last_words_are_kept() {
        let mut words = LastWords::default();
        for line in 0..50 {
            words.push(&line.to_string());
        }
        let kept = words.take();
        assert_eq!(kept.len(), LAST_LINES);
        assert_eq!(kept.last().map(String::as_str), Some("49"));
    }
}

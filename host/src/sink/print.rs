//! Prints the first elements of every batch, in Spark's form, byte for byte.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::OpenContext;
use super::connector::{SinkConnector, keys};
use super::lane::PublishQueue;
use crate::batch::guarantee::{Delivery, Guarantee};
use crate::batch::sink::{Incarnation, Prepared, Recovered, Sink, SinkError, Staged, WaitingBatch};
use crate::batch::{BatchTime, Chunk, Round, text};
use crate::topology::plan::SinkPlan;
use crate::topology::sinks::PrintKeys;

/// The line above and below the time.
const RULE: &str = "-------------------------------------------";

/// Where prints go; shared, so that two sinks never mix their blocks.
pub type Output = Arc<Mutex<dyn Write + Send>>;

/// Standard output.
#[must_use]
pub fn stdout() -> Output {
    Arc::new(Mutex::new(io::stdout()))
}

/// The first elements of one partition.
#[derive(Default)]
struct Shown {
    /// A line each.
    lines: Vec<u8>,
    /// Where each line ends in `lines`; at most `count`.
    ends: Vec<usize>,
    /// Whether there are more.
    more: bool,
}

/// What was staged for a batch, or what is left of it to write.
enum Pending {
    Open(BTreeMap<u32, Shown>),
    /// A block whose first `written` bytes are out: a write that failed goes on from there.
    Block {
        text: Vec<u8>,
        written: usize,
    },
}

/// Opens `type = "print"`.
pub(super) struct PrintConnector;

impl SinkConnector for PrintConnector {
    fn open(&self, plan: &SinkPlan, context: &OpenContext) -> Result<Arc<dyn Sink>, SinkError> {
        let PrintKeys { count } = *keys(plan)?;
        Ok(Arc::new(Print::new(count, Arc::clone(&context.output))))
    }

    fn queue(&self) -> PublishQueue {
        PublishQueue::Console
    }
}

/// The sink `print`.
pub struct Print {
    count: usize,
    output: Output,
    batches: Mutex<HashMap<BatchTime, Pending>>,
}

impl Print {
    /// A sink that shows up to `count` elements of a batch on `output`.
    #[must_use]
    pub fn new(count: usize, output: Output) -> Self {
        Self {
            count,
            output,
            batches: Mutex::default(),
        }
    }

    fn batches(&self) -> MutexGuard<'_, HashMap<BatchTime, Pending>> {
        // Nothing is left half done under this lock, so a panic elsewhere does not matter here.
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole block of a batch.
    fn block(&self, batch: BatchTime, partitions: &BTreeMap<u32, Shown>) -> Vec<u8> {
        let mut block = format!("{RULE}\nTime: {batch} ms\n{RULE}\n").into_bytes();
        let mut left = self.count;
        let mut more = false;
        for shown in partitions.values() {
            let lines = shown.ends.len().min(left);
            let end = lines.checked_sub(1).map_or(0, |last| shown.ends[last]);
            block.extend_from_slice(&shown.lines[..end]);
            left -= lines;
            more |= shown.more || lines < shown.ends.len();
        }
        if more {
            block.extend_from_slice(b"...\n");
        }
        block.push(b'\n');
        block
    }
}

impl Sink for Print {
    fn recover(&self, waiting: &[WaitingBatch], _: Incarnation) -> Result<Recovered, SinkError> {
        // What was shown cannot be seen from here, so it is shown again.
        Ok(Recovered::blind(waiting))
    }

    fn stage(&self, at: Staged, chunk: &Chunk) -> Result<(), SinkError> {
        let Staged {
            batch, partition, ..
        } = at;
        let have = match self.batches().get(&batch) {
            Some(Pending::Open(partitions)) => partitions
                .get(&partition)
                .map_or(0, |shown| shown.ends.len()),
            _ => 0,
        };
        // Rendered outside the lock, so that the batch before can be published meanwhile.
        let take = chunk.len().min(self.count - have);
        let mut lines = Vec::new();
        let mut ends = Vec::with_capacity(take);
        for index in 0..take {
            text::write_lines(&mut lines, chunk, index..index + 1);
            ends.push(lines.len());
        }
        let mut batches = self.batches();
        let staged = batches
            .entry(batch)
            .or_insert_with(|| Pending::Open(BTreeMap::new()));
        if let Pending::Open(partitions) = staged {
            let shown = partitions.entry(partition).or_default();
            let start = shown.lines.len();
            shown.lines.extend_from_slice(&lines);
            shown.ends.extend(ends.iter().map(|end| start + end));
            shown.more |= chunk.len() > take;
        }
        Ok(())
    }

    fn prepare(&self, batch: BatchTime, _: Round) -> Result<Prepared, SinkError> {
        let mut batches = self.batches();
        let staged = batches
            .entry(batch)
            .or_insert_with(|| Pending::Open(BTreeMap::new()));
        if let Pending::Open(partitions) = staged {
            let text = self.block(batch, partitions);
            *staged = Pending::Block { text, written: 0 };
        }
        Ok(Prepared::default())
    }

    fn publish(&self, batch: BatchTime, _: &Prepared) -> Result<(), SinkError> {
        // Written without the lock: an output that blocks must not hold up what is staged.
        let staged = self.batches().remove(&batch);
        let Some(Pending::Block { text, mut written }) = staged else {
            return Ok(());
        };
        let result = write_on(&self.output, &text, &mut written);
        result.map_err(|error| {
            self.batches()
                .insert(batch, Pending::Block { text, written });
            let hint = match error.kind() {
                io::ErrorKind::BrokenPipe => Some("whatever read the output has gone"),
                io::ErrorKind::StorageFull => Some("free some space where the output goes"),
                _ => None,
            };
            SinkError {
                message: format!("cannot print batch {batch}: {error}"),
                hint: hint.map(str::to_owned),
                lasting: error.kind() == io::ErrorKind::BrokenPipe,
            }
        })
    }

    fn discard(&self, batch: BatchTime, _: Round) {
        self.batches().remove(&batch);
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee {
            delivery: Delivery::AtLeastOnce,
            condition: "what was shown when the process died may be shown again, also in part",
        }
    }
}

/// Writes `text` from `written` on, which says afterwards how far it came.
fn write_on(output: &Output, text: &[u8], written: &mut usize) -> io::Result<()> {
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    while *written < text.len() {
        match output.write(&text[*written..]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => *written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    output.flush()
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;
    use crate::batch::Column;

    const BATCH: BatchTime = BatchTime(1_550_474_364_000);

    /// A place in the batch, in an attempt of it.
    fn at(round: Round, partition: u32) -> Staged {
        Staged {
            batch: BATCH,
            round,
            partition,
            sequence: 0,
        }
    }

    fn words(words: &[&str]) -> Chunk {
        Chunk::single(Column::text(words.iter().copied()))
    }

    fn check(count: usize, staged: &[(u32, Chunk)], expected: &Expect) {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Print::new(count, written.clone());
        for (partition, chunk) in staged {
            sink.stage(at(1, *partition), chunk).unwrap();
        }
        let prepared = sink.prepare(BATCH, 1).unwrap();
        assert!(written.lock().unwrap().is_empty(), "visible before publish");
        sink.publish(BATCH, &prepared).unwrap();
        sink.publish(BATCH, &prepared).unwrap();
        expected.assert_eq(std::str::from_utf8(&written.lock().unwrap()).unwrap());
    }

    #[test]
    fn pairs_are_printed_in_partition_order() {
        let pairs = |keys: &[&str], counts: &[i64]| {
            Chunk::pairs(
                Column::text(keys.iter().copied()),
                Column::int64(counts.iter().copied()),
            )
        };
        check(
            10,
            &[
                (1, pairs(&["test", "this"], &[1, 1])),
                (0, pairs(&["a"], &[1])),
                (0, pairs(&["is"], &[1])),
            ],
            &expect![[r#"
                -------------------------------------------
                Time: 1550474364000 ms
                -------------------------------------------
                (a,1)
                (is,1)
                (test,1)
                (this,1)

            "#]],
        );
    }

    #[test]
    fn an_empty_batch_is_printed_too() {
        check(
            10,
            &[],
            &expect![[r#"
                -------------------------------------------
                Time: 1550474364000 ms
                -------------------------------------------

            "#]],
        );
    }

    #[test]
    fn dots_say_that_there_is_more() {
        let expected = expect![[r#"
            -------------------------------------------
            Time: 1550474364000 ms
            -------------------------------------------
            a
            b
            ...

        "#]];
        check(2, &[(0, words(&["a", "b", "c"]))], &expected);
        check(2, &[(1, words(&["b", "c"])), (0, words(&["a"]))], &expected);
        check(2, &[(0, words(&["a", "b"])), (0, words(&["c"]))], &expected);
        check(2, &[(0, words(&["a", "b"])), (5, words(&["c"]))], &expected);
    }

    #[test]
    fn exactly_as_many_as_are_shown_have_no_dots() {
        check(
            2,
            &[(0, words(&["a"])), (3, words(&["b"]))],
            &expect![[r#"
                -------------------------------------------
                Time: 1550474364000 ms
                -------------------------------------------
                a
                b

            "#]],
        );
    }

    #[test]
    fn an_attempt_that_is_discarded_leaves_nothing() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let sink = Print::new(10, written.clone());
        sink.stage(at(1, 0), &words(&["first"])).unwrap();
        sink.prepare(BATCH, 1).unwrap();
        sink.discard(BATCH, 1);
        sink.stage(at(2, 0), &words(&["second"])).unwrap();
        let prepared = sink.prepare(BATCH, 2).unwrap();
        sink.publish(BATCH, &prepared).unwrap();
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert!(written.ends_with("---\nsecond\n\n"), "{written}");
    }

    /// Takes three bytes, then fails once, and so on.
    struct Stuttering {
        written: Arc<Mutex<Vec<u8>>>,
        fails: bool,
    }

    impl Write for Stuttering {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.fails = !self.fails;
            if self.fails {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let count = bytes.len().min(3);
            self.written
                .lock()
                .unwrap()
                .extend_from_slice(&bytes[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_write_that_failed_goes_on_where_it_stopped() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let output = Stuttering {
            written: Arc::clone(&written),
            fails: false,
        };
        let sink = Print::new(10, Arc::new(Mutex::new(output)));
        sink.stage(at(1, 0), &words(&["once"])).unwrap();
        let prepared = sink.prepare(BATCH, 1).unwrap();
        let error = sink.publish(BATCH, &prepared).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot print batch 1550474364000: broken pipe"
        );
        assert!(error.lasting, "a reader that has gone does not come back");
        while sink.publish(BATCH, &prepared).is_err() {}
        let written = String::from_utf8(written.lock().unwrap().clone()).unwrap();
        assert_eq!(
            written,
            format!("{RULE}\nTime: 1550474364000 ms\n{RULE}\nonce\n\n")
        );
    }
}

//! Checkpoints of a million keys: whole, of what a batch has changed, and read again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dshost::batch::function::{Change, Changes};
use dshost::batch::sink::{Incarnation, JobId};
use dshost::batch::{BatchTime, Column, ColumnType};
use dshost::dataflow::{
    FreezeNumber, Frozen, FrozenJob, FrozenPart, HeldPart, HeldStream, PartFacts, StateForm,
    StateShape, StateStretch, StateTable, StreamForm, Timing,
};
use dshost::driver::recovery::checkpoint::{CheckpointWriter, FrozenAt, Loaded, newest};
use dshost::driver::recovery::history::History;
use dshost::driver::recovery::layers::Layers;
use dshost::driver::recovery::log::Standpoint;
use dshost::journal::{Checkpoints, Directory, LogPosition};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::{RUNS, median};

/// Keys that have a state, over all partitions.
const KEYS: u32 = 1_000_000;

/// Keys that a batch changes.
const FEW: u32 = 1000;

const PARTITIONS: u32 = 16;

const SHAPE: StateShape = StateShape {
    key: ColumnType::Text,
    state: ColumnType::Int64,
    timing: Timing::Untimed,
};

/// All of it, in a temporary directory.
pub fn all(_: &Path) {
    println!("\ncheckpoints of {KEYS} keys of eight bytes in {PARTITIONS} partitions");
    let (mut whole, mut few, mut pauses) = (Vec::new(), Vec::new(), Vec::new());
    let (mut plain, mut layered) = (Vec::new(), Vec::new());
    let (mut whole_bytes, mut few_bytes) = (0, 0);
    for seed in 0..RUNS as u64 {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let mut job = Job::new(dir.path());
        job.change(&(0..KEYS).collect::<Vec<_>>());
        whole.push(job.checkpoint(&mut pauses));
        whole_bytes = job.bytes();
        plain.push(job.read());
        let mut random = SmallRng::seed_from_u64(seed);
        for _ in 0..4 {
            let keys: Vec<u32> = (0..FEW).map(|_| random.random_range(0..KEYS)).collect();
            job.change(&keys);
            let before = job.bytes();
            few.push(job.checkpoint(&mut pauses));
            few_bytes = job.bytes() - before;
        }
        layered.push(job.read());
    }
    let told = |figures: Vec<f64>| Duration::from_secs_f64(median(figures));
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    println!("  frozen in {:.0?}", told(pauses));
    let (took, size) = (told(whole), megabytes(whole_bytes));
    println!("  all keys: {took:.1?}, {size:.1} MB");
    let (took, size) = (told(few), megabytes(few_bytes));
    println!("  {FEW} keys changed: {took:.1?}, {size:.2} MB");
    println!("  read again: {:.0?}", told(plain));
    println!("  read again with four changes: {:.0?}", told(layered));
}

/// A stateful stream, without an engine.
struct Job {
    checkpoints: Checkpoints,
    writer: CheckpointWriter,
    tables: Vec<StateTable>,
    dir: std::path::PathBuf,
    made: u32,
}

impl Job {
    fn new(dir: &Path) -> Self {
        let job = JobId(1);
        let checkpoints = Checkpoints::new(Arc::new(Directory::open(dir)), job);
        let incarnation = Incarnation { job, number: 1 };
        Self {
            writer: CheckpointWriter::new(checkpoints.clone(), incarnation, Layers::default()),
            checkpoints,
            tables: (0..PARTITIONS).map(|_| StateTable::new(SHAPE)).collect(),
            dir: dir.to_owned(),
            made: 0,
        }
    }

    /// A batch that sets the states of some keys.
    fn change(&mut self, keys: &[u32]) {
        for (partition, table) in (0..).zip(&mut self.tables) {
            let mine = keys.iter().filter(|key| *key % PARTITIONS == partition);
            let texts: Vec<String> = mine.map(|key| format!("k{key:07}")).collect();
            let column = Column::text(texts.iter().map(String::as_str));
            table.open();
            let mut rows = table.enter(&[column]).expect("it is small enough");
            rows.sort_unstable();
            rows.dedup();
            let changes = Changes {
                verdicts: vec![Change::Set; rows.len()],
                states: Column::int64(vec![i64::from(self.made); rows.len()]),
            };
            table.change(&rows, &changes).expect("it is small enough");
            table.touch(&rows, BatchTime(i64::from(self.made)));
            table.commit();
        }
    }

    /// Seconds that a checkpoint takes; those of the freeze alone come to `pauses`.
    fn checkpoint(&mut self, pauses: &mut Vec<f64>) -> f64 {
        self.made += 1;
        let number = FreezeNumber(self.made);
        let begun = Instant::now();
        let tables: Vec<_> = self
            .tables
            .iter_mut()
            .map(|table| table.freeze(number))
            .collect();
        pauses.push(begun.elapsed().as_secs_f64());
        let parts = (0..).zip(tables).map(|(partition, table)| FrozenPart {
            form: form(),
            held: HeldPart {
                state: form().state,
                ..HeldPart::new(partition, Arc::new(table))
            },
        });
        let stream = HeldStream {
            form: form(),
            partitions: (0..PARTITIONS)
                .map(|at| (at, PartFacts::default()))
                .collect(),
        };
        let frozen = Frozen {
            number,
            job: FrozenJob {
                streams: [(form().stream, stream)].into(),
                ..FrozenJob::default()
            },
            parts: parts.collect(),
        };
        let standpoint = Standpoint {
            position: LogPosition(u64::from(self.made)),
            history: History::default(),
        };
        let begun = Instant::now();
        let put = self.writer.put(FrozenAt { standpoint, frozen }, 0);
        let put = put.expect("the directory can be written");
        self.writer
            .commit(put)
            .expect("the directory can be written");
        begun.elapsed().as_secs_f64()
    }

    /// Bytes of all files so far.
    fn bytes(&self) -> u64 {
        // There are copies once checkpoints share files.
        let folders = ["parts", "copies"].map(|folder| std::fs::read_dir(self.dir.join(folder)));
        let files = folders.into_iter().flatten().flatten();
        let length =
            |file: std::io::Result<std::fs::DirEntry>| Some(file.ok()?.metadata().ok()?.len());
        files.filter_map(length).sum()
    }

    /// Seconds until all tables are there again.
    fn read(&self) -> f64 {
        let begun = Instant::now();
        let found = newest(&self.checkpoints).expect("the directory can be read");
        let (_, Loaded { frozen, .. }) = found.checkpoint.expect("there is a checkpoint");
        let tables: Vec<StateTable> = frozen.parts.iter().map(table).collect();
        let took = begun.elapsed().as_secs_f64();
        let keys: usize = tables.iter().map(|table| table.committed().len()).sum();
        assert_eq!(keys, KEYS as usize);
        took
    }
}

fn table(part: &FrozenPart) -> StateTable {
    let stretches = part.held.pieces().map(|piece| StateStretch {
        pairs: piece.chunk,
        times: None,
    });
    StateTable::restored(SHAPE, stretches).expect("it is small enough")
}

fn form() -> StreamForm {
    StreamForm {
        stream: "totals".to_owned(),
        op: "update_state_by_key".to_owned(),
        partitions: Some(PARTITIONS),
        window_ms: None,
        slide_ms: None,
        inverse: false,
        timed: false,
        record: None,
        state: Some(StateForm {
            key: SHAPE.key,
            state: SHAPE.state,
            version: 1,
        }),
    }
}

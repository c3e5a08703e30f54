//! Checkpoints in layers against what was held: whatever fails or is lost, each that counts comes back
//! as it was frozen.

use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::batch::function::{Change, Changes};
use crate::batch::sink::{Incarnation, JobId};
use crate::batch::{Chunk, Column, ColumnType, Digest, RecordType};
use crate::dataflow::{
    Frozen, FrozenJob, HeldPart, HeldStream, Piece, PieceKind, StateForm, StateShape, StateStretch,
    StateTable, StreamForm, Timing, WindowPiece,
};
use crate::driver::recovery::checkpoint::{
    CheckpointWriter, FrozenAt, JobCheckpoint, Loaded, PutError, load, newest, standpoint,
};
use crate::driver::recovery::history::History;
use crate::driver::recovery::log::Standpoint;
use crate::journal::disk::Disk;
use crate::journal::disk::simulated::{Fault, SimulatedDisk};
use crate::journal::{Directory, KEPT, LogPosition, Manifest, StorageFate};

const SHAPE: StateShape = StateShape {
    key: ColumnType::Text,
    state: ColumnType::Text,
    timing: Timing::Timed,
};

fn form(stream: &str) -> StreamForm {
    let is_state = stream == "state";
    StreamForm {
        stream: stream.to_owned(),
        op: "any".to_owned(),
        partitions: Some(1),
        window_ms: None,
        slide_ms: None,
        inverse: !is_state,
        timed: is_state,
        record: (!is_state).then_some(RecordType::pair(ColumnType::Text, ColumnType::Int64)),
        state: is_state.then_some(StateForm {
            key: SHAPE.key,
            state: SHAPE.state,
            version: 1,
        }),
    }
}

/// What a window holds in one partition, written for clarity.
#[derive(Default)]
struct Window {
    held: Vec<WindowPiece>,
    totals: Vec<WindowPiece>,
}

impl Window {
    fn partial(time: i64, keys: &[u32], mark: FreezeNumber) -> WindowPiece {
        let keys: Vec<String> = keys.iter().map(|key| format!("key {key}")).collect();
        let values = Column::int64((0..keys.len()).map(|_| time));
        let chunk = Chunk::pairs(Column::text(keys.iter().map(String::as_str)), values);
        let piece = Piece {
            kind: PieceKind::Partial(BatchTime(time)),
            chunk,
        };
        WindowPiece {
            piece,
            entered: mark,
            changed: mark,
        }
    }

    /// A batch comes, one leaves, one is corrected, and the totals are others.
    fn batch(&mut self, time: i64, keys: &[u32], mark: FreezeNumber) {
        if keys.len().is_multiple_of(3) {
            let corrected = keys.len() % 5;
            if let Some(held) = self.held.get_mut(corrected) {
                let WindowPiece { piece, .. } = &held;
                let chunk = piece.chunk.slice(0..piece.chunk.len() / 2);
                (held.piece.chunk, held.changed) = (chunk, mark);
            }
        }
        self.held.push(Self::partial(time, keys, mark));
        if self.held.len() > 6 {
            self.held.drain(..keys.len() % 4);
        }
        if keys.len().is_multiple_of(2) {
            let WindowPiece { piece, .. } = Self::partial(time, keys, mark);
            let times = Chunk::single(piece.chunk.value().clone());
            let pieces = [(PieceKind::Pairs, piece.chunk), (PieceKind::Times, times)];
            let totals = pieces.map(|(kind, chunk)| WindowPiece {
                piece: Piece { kind, chunk },
                entered: mark,
                changed: mark,
            });
            self.totals = totals.into_iter().filter(|_| !keys.is_empty()).collect();
        }
    }

    fn part(&self) -> FrozenPart {
        let pieces: Vec<WindowPiece> = self.totals.iter().chain(&self.held).cloned().collect();
        FrozenPart {
            form: form("window"),
            held: HeldPart::of_window(0, pieces),
        }
    }

    fn restored(part: &FrozenPart) -> Self {
        let mark = FreezeNumber::default();
        let pieces = part.held.pieces().map(|piece| WindowPiece {
            piece,
            entered: mark,
            changed: mark,
        });
        let (held, totals) = pieces.partition(|held| held.piece.kind.batch().is_some());
        Self { held, totals }
    }
}

/// A job with a stateful stream and a window, of a partition each.
struct Job {
    disk: SimulatedDisk,
    writer: CheckpointWriter,
    table: StateTable,
    window: Window,
    freeze: FreezeNumber,
    time: i64,
    /// That of the last checkpoint.
    position: u64,
    /// What the checkpoints hold that may count, by their position; one that was deleted may come back.
    made: Vec<(u64, Shown)>,
}

/// What is held: keys, states and times in their order, then the pieces of the window.
type Shown = (Vec<(Vec<u8>, Vec<u8>, Vec<u8>)>, Vec<Piece>);

fn checkpoints(disk: &SimulatedDisk) -> Checkpoints {
    let root = Directory::on(Arc::new(disk.clone()), Path::new("/root"));
    Checkpoints::new(Arc::new(root), JobId(1))
}

fn writer(disk: &SimulatedDisk, layers: Layers) -> CheckpointWriter {
    let incarnation = Incarnation {
        job: JobId(1),
        number: 1,
    };
    CheckpointWriter::new(checkpoints(disk), incarnation, layers)
}

fn shown(parts: &[FrozenPart]) -> Shown {
    let (mut rows, mut pieces) = (Vec::new(), Vec::new());
    for part in parts {
        let mut held = part.held.pieces().peekable();
        if part.form.stream == "window" {
            pieces.extend(held);
            continue;
        }
        while let Some(pairs) = held.next() {
            let times = held.next().unwrap().chunk;
            for row in 0..pairs.chunk.len() {
                let of = |column: &Column| column.element(row).to_vec();
                let key = of(pairs.chunk.key().unwrap());
                rows.push((key, of(pairs.chunk.value()), of(times.value())));
            }
        }
    }
    (rows, pieces)
}

fn is_lost(error: &PutError) -> bool {
    match error {
        PutError::Storage(error) | PutError::Manifest(CheckpointError::Storage(error)) => {
            error.fate == StorageFate::Lost
        }
        _ => false,
    }
}

fn objects(manifest: &Manifest<JobCheckpoint>) -> BTreeSet<CheckpointFile> {
    let files = manifest.parts.iter().flat_map(|part| &part.files);
    files.cloned().collect()
}

impl Job {
    fn new(seed: u64) -> Self {
        let disk = SimulatedDisk::new(seed);
        Self {
            writer: writer(&disk, Layers::default()),
            disk,
            table: StateTable::new(SHAPE),
            window: Window::default(),
            freeze: FreezeNumber::default(),
            time: 0,
            position: 0,
            made: Vec::new(),
        }
    }

    /// One attempt of a batch: a key in three loses its state, if it has one.
    fn attempt(&mut self, keys: &[u32], is_committed: bool) {
        let time = self.time + 1;
        self.table.open();
        let texts: Vec<String> = keys.iter().map(|key| format!("key {key}")).collect();
        let column = Column::text(texts.iter().map(String::as_str));
        let mut rows = self.table.enter(&[column]).unwrap();
        rows.sort_unstable();
        rows.dedup();
        let verdict = |row: &u32| match (i64::from(*row) + time) % 3 {
            0 => Change::Remove,
            1 => Change::Keep,
            _ => Change::Set,
        };
        let verdicts: Vec<Change> = rows.iter().map(verdict).collect();
        let set = verdicts.iter().filter(|verdict| **verdict == Change::Set);
        let states: Vec<String> = set.map(|_| format!("state of {time}")).collect();
        let states = Column::text(states.iter().map(String::as_str));
        let changes = Changes { verdicts, states };
        self.table.change(&rows, &changes).unwrap();
        self.table.touch(&rows, BatchTime(time));
        if is_committed {
            self.table.commit();
            self.window.batch(time, keys, self.freeze.behind());
            self.time = time;
        } else {
            self.table.abort();
        }
    }

    fn frozen(&mut self) -> Frozen {
        self.freeze = self.freeze.next().unwrap();
        let table = HeldPart {
            state: form("state").state,
            ..HeldPart::new(0, Arc::new(self.table.freeze(self.freeze)))
        };
        let table = FrozenPart {
            form: form("state"),
            held: table,
        };
        let parts = vec![table, self.window.part()];
        let streams = parts.iter().map(|part| {
            let stream = HeldStream {
                form: part.form.clone(),
                partitions: [(0, part.held.facts)].into(),
            };
            (part.form.stream.clone(), stream)
        });
        Frozen {
            number: self.freeze,
            job: FrozenJob {
                streams: streams.collect(),
                ..FrozenJob::default()
            },
            parts,
        }
    }

    /// A checkpoint, which an operation of the disk that fails may leave without effect.
    fn checkpoint(&mut self, fails_after: Option<u64>) {
        let frozen = self.frozen();
        let expected = shown(&frozen.parts);
        self.position += 1;
        let at = FrozenAt {
            standpoint: Standpoint {
                position: LogPosition(self.position),
                history: History::default(),
            },
            frozen,
        };
        if let Some(after) = fails_after {
            let fault = Fault::Error(io::ErrorKind::StorageFull);
            self.disk.fail_after(after, fault);
        }
        let made = self.writer.put(at, 0);
        let made = made.and_then(|put| Ok(self.writer.commit(put)?));
        let (counts, is_lost) = (made.is_ok(), made.is_err_and(|error| is_lost(&error)));
        assert!(counts || fails_after.is_some());
        // A fault that has not come by now comes no more.
        self.disk.kill();
        self.made.push((self.position, expected));
        let kept = self.writer.retain().unwrap();
        let is_kept = |position| kept.iter().any(|kept| kept.position.0 == position);
        assert!(kept.len() <= KEPT && is_kept(self.position) >= counts);
        self.look();
        if is_lost {
            // What the directory is given may be gone after a crash: the process ends.
            self.restart();
        }
    }

    /// The newest checkpoint that is whole comes back as it was frozen.
    fn look(&self) -> Option<(u64, Loaded)> {
        let found = newest(&checkpoints(&self.disk)).unwrap();
        let (manifest, loaded) = found.checkpoint?;
        let position = standpoint(&manifest).position.0;
        let expected = self.made.iter().find(|made| made.0 == position);
        let (_, expected) = expected.expect("it was made");
        assert_eq!(shown(&loaded.frozen.parts), *expected);
        Some((position, loaded))
    }

    /// Ends without warning, and goes on from the newest checkpoint that is whole.
    fn restart(&mut self) {
        self.disk.crash();
        self.freeze = FreezeNumber::default();
        let Some((_, Loaded { frozen, layers })) = self.look() else {
            self.table = StateTable::new(SHAPE);
            self.window = Window::default();
            self.writer = writer(&self.disk, Layers::default());
            return;
        };
        let mut pieces = frozen.parts[0].held.pieces();
        let stretches = std::iter::from_fn(|| {
            let pairs = pieces.next()?.chunk;
            let times = pieces.next().map(|times| times.chunk.value().clone());
            Some(StateStretch { pairs, times })
        });
        self.table = StateTable::restored(SHAPE, stretches).unwrap();
        self.window = Window::restored(&frozen.parts[1]);
        self.writer = writer(&self.disk, layers);
    }

    /// A file of a checkpoint, or its copy, is damaged or goes, which costs one checkpoint at most. Not
    /// before all else is mended.
    fn damage(&mut self, which: usize, is_deleted: bool) {
        let checkpoints = checkpoints(&self.disk);
        let kept = checkpoints.retain(|_, _| false).unwrap();
        let usable = || {
            kept.iter()
                .filter(|one| load(&checkpoints, one).is_ok())
                .count()
        };
        let path = |name: String| Path::new("/root").join(name);
        let is_whole = |name: String| {
            let bytes = self.disk.read(&path(name.clone()));
            bytes.is_ok_and(|bytes| name.ends_with(&format!("/{}.arrow", Digest::of(&bytes))))
        };
        let named = kept.iter().flat_map(objects);
        let named: Vec<CheckpointFile> = named.collect();
        let is_mended = |file: &CheckpointFile| {
            let is_shared = named.iter().filter(|other| *other == file).count() > 1;
            is_whole(file.name()) && (!is_shared || is_whole(file.copy_name()))
        };
        if named.is_empty() || !named.iter().all(is_mended) {
            return;
        }
        let names = named
            .iter()
            .flat_map(|file| [file.name(), file.copy_name()]);
        let names: Vec<String> = names.filter(|name| is_whole(name.clone())).collect();
        let damaged = path(names[which % names.len()].clone());
        let before = usable();
        match is_deleted {
            true => self.disk.remove(&damaged).unwrap(),
            false => self.disk.flip(&damaged, 100),
        }
        assert!(usable() + 1 >= before, "{} is damaged", damaged.display());
        self.look();
        self.restart();
    }

    /// The lengths of all files, by name.
    fn files(&self) -> BTreeMap<String, usize> {
        let dir = Path::new("/root/parts");
        let found = self.disk.list(dir).unwrap().into_iter();
        let length = |name: &String| self.disk.read(&dir.join(name)).unwrap().len();
        found
            .map(|found| (found.name.clone(), length(&found.name)))
            .collect()
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// Keys: the first, how many, and every how manieth.
    Attempt(u32, u32, u32, bool),
    Checkpoint(Option<u64>),
    Restart,
    Damage(usize, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let attempt = (0..200_u32, 0..120_u32, 1..9_u32, prop::bool::weighted(0.8));
    prop_oneof![
        8 => attempt.prop_map(|(first, count, by, commit)| Step::Attempt(first, count, by, commit)),
        6 => Just(Step::Checkpoint(None)),
        2 => (0..12_u64).prop_map(|after| Step::Checkpoint(Some(after))),
        1 => Just(Step::Restart),
        1 => (any::<usize>(), any::<bool>()).prop_map(|(which, gone)| Step::Damage(which, gone)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn every_checkpoint_that_counts_comes_back_whatever_fails_or_is_lost(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut job = Job::new(seed);
        for step in steps {
            match step {
                Step::Attempt(first, count, by, is_committed) => {
                    let keys: Vec<u32> = (0..count).map(|at| first + at * by).collect();
                    job.attempt(&keys, is_committed);
                }
                Step::Checkpoint(fails_after) => job.checkpoint(fails_after),
                Step::Restart => job.restart(),
                Step::Damage(which, is_deleted) => job.damage(which, is_deleted),
            }
        }
        // Not only the newest.
        while job.look().is_some() {
            let dir = Path::new("/root/checkpoints");
            let manifests = job.disk.list(dir).unwrap();
            let last = manifests.into_iter().map(|found| found.name).max().unwrap();
            job.disk.remove(&dir.join(last)).unwrap();
        }
    }
}

#[test]
fn a_checkpoint_costs_what_changed() {
    let mut job = Job::new(1);
    let made = |job: &mut Job| {
        let before = job.files();
        job.checkpoint(None);
        let mut files = job.files();
        files.retain(|name, _| !before.contains_key(name));
        files.values().sum::<usize>()
    };
    job.attempt(&(0..20_000).collect::<Vec<_>>(), true);
    let all = made(&mut job);
    assert_eq!(made(&mut job), 0, "nothing has changed");
    let some: Vec<u32> = (0..20_000).step_by(200).collect();
    job.attempt(&some, false);
    assert_eq!(made(&mut job), 0, "what was aborted is no change");
    job.attempt(&some, true);
    let first = made(&mut job);
    assert!(0 < first && first < all / 20, "{first} of {all} bytes");
    job.restart();
    let mut sum = 0;
    for _ in 0..60 {
        job.attempt(&some, true);
        sum += made(&mut job);
        // Those of the newest, and of older ones before some became one.
        assert!(job.files().len() <= 3 * 2 * (MOST_FILES + 1));
    }
    assert!(sum < 6 * all, "{sum} and {all} bytes");
}

#[test]
fn layers_stay_that_are_larger_than_all_behind_them() {
    let layer = |rows| Layer {
        files: vec![CheckpointFile {
            digest: Digest::of(&[]).into(),
            bytes: 0,
        }],
        rows,
        newest: None,
        upto: FreezeNumber::default(),
        is_copied: false,
    };
    let stay = |rows: &[u64], new| {
        let layers: Vec<Layer> = rows.iter().map(|rows| layer(*rows)).collect();
        staying(&layers, new, 1000)
    };
    assert_eq!(stay(&[1000], 500), 1);
    assert_eq!(stay(&[1000], 501), 0, "half of it is others");
    assert_eq!(stay(&[1000, 200, 200], 101), 0);
    let many = [&[1000, 200][..], &[10; 14]].concat();
    assert_eq!(stay(&many, 10), 2, "the small ones become one");
    assert_eq!(stay(&many[1..], 10), 15, "they are few enough");
    let alike = [&[1000][..], &[10; 15]].concat();
    assert_eq!(stay(&alike, 10), 1);
    let halves: Vec<u64> = (0..16).map(|at| 300 >> at).collect();
    assert_eq!(stay(&halves, 0), MOST_FILES / 2, "files are bounded");
}

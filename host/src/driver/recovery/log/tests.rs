//! What the log of a job gives a start, wherever the one before it ended.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;
use crate::batch::position::{LaneName, PartName, Position};
use crate::batch::sink::JobId;
use crate::batch::source::{Keep, Records};
use crate::dataflow::RoundPlan;
use crate::journal::disk::simulated::{Fault, SimulatedDisk};

const DIR: &str = "/job/journal";

fn open(
    disk: &SimulatedDisk,
    number: u64,
    checkpoint: Option<Standpoint>,
) -> Result<(JobLog, Vec<CommitRecord>), LogError> {
    let job = JobId(1);
    let incarnation = Incarnation { job, number };
    JobLog::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        incarnation,
        checkpoint,
    )
}

fn part(number: i64) -> PartName {
    PartName {
        lane: LaneName("1.1".to_owned()),
        from: Position::number(number.cast_unsigned()),
        upto: Position::number(number.cast_unsigned() + 1),
        facts: Vec::new(),
    }
}

fn block(number: i64) -> BlockName {
    BlockName {
        source: "lines".to_owned(),
        part: part(number),
    }
}

fn record(time: i64, matters: bool) -> CommitRecord {
    CommitRecord {
        plan: Arc::new(RoundPlan {
            round: time.cast_unsigned(),
            batch: BatchTime(time),
            zero: BatchTime(0),
            attempt: 1,
            seed: 0,
            parts: BTreeMap::from([("lines".to_owned(), vec![part(time)])]),
            programs: BTreeMap::new(),
            skip: Default::default(),
        }),
        receipts: BTreeMap::new(),
        rejected: BTreeMap::new(),
        timed_out: BTreeMap::new(),
        matters,
    }
}

fn attempt(time: i64) -> LogEntry {
    LogEntry::Attempt {
        batch: BatchTime(time),
        attempt: 1,
        round: time.cast_unsigned(),
        start: 1,
    }
}

struct Text(String);

impl Keep for Text {
    fn keep(&self) -> KeptBytes {
        KeptBytes(vec![self.0.clone().into()])
    }
}

/// A batch, from its cut to its commit.
fn batch(log: &JobLog, time: i64) -> Result<(), JournalError> {
    let part = Part {
        name: part(time),
        data: Arc::new(Records(Vec::new())),
        kept: Some(Arc::new(Text(time.to_string()))),
    };
    log.cut(
        BatchTime(time),
        BTreeMap::from([("lines".to_owned(), vec![part])]),
    );
    log.say(attempt(time));
    log.write()?;
    log.commit(record(time, true))?;
    log.say(LogEntry::Published {
        batch: BatchTime(time),
    });
    Ok(())
}

fn times(commits: &[CommitRecord]) -> Vec<i64> {
    let commits = commits.iter();
    commits.map(|record| record.plan.batch.0).collect()
}

#[test]
fn a_start_goes_on_where_the_log_ends_from_any_checkpoint() {
    let disk = SimulatedDisk::new(0);
    let (log, commits) = open(&disk, 1, None).unwrap();
    assert!(commits.is_empty());
    let mut standpoints = vec![log.standpoint().unwrap()];
    for time in 1..=5 {
        batch(&log, time).unwrap();
        standpoints.push(log.standpoint().unwrap());
    }
    log.say(attempt(6));
    log.sync().unwrap();
    let whole = log.standpoint().unwrap();
    assert_eq!(whole.history.waiting.len(), 0, "all are published");
    assert_eq!(whole.history.open.unwrap().starts, 1);
    for (checkpoint, number) in standpoints.into_iter().zip(2..) {
        let behind = checkpoint.history.last.map_or(0, |last| last.0) + 1..6;
        let (log, commits) = open(&disk, number, Some(checkpoint)).unwrap();
        assert_eq!(log.standpoint().unwrap(), whole);
        assert_eq!(times(&commits), behind.collect::<Vec<_>>());
        assert_eq!(log.block(&block(3)).unwrap().unwrap(), b"3");
    }
    let (_, commits) = open(&disk, 99, None).unwrap();
    assert_eq!(times(&commits), [1, 2, 3, 4, 5]);
}

#[test]
fn what_a_checkpoint_holds_may_go_and_without_it_the_log_is_none() {
    let disk = SimulatedDisk::new(0);
    for start in 1..=3 {
        let (log, _) = open(&disk, start, None).unwrap();
        batch(&log, start as i64).unwrap();
    }
    let (log, _) = open(&disk, 4, None).unwrap();
    let checkpoint = log.standpoint().unwrap();
    log.trim(std::slice::from_ref(&checkpoint)).unwrap();
    assert_eq!(log.block(&block(3)).unwrap(), None);
    drop(log);
    let (log, commits) = open(&disk, 5, Some(checkpoint.clone())).unwrap();
    assert_eq!(
        (commits, log.standpoint().unwrap()),
        (Vec::new(), checkpoint.clone())
    );
    batch(&log, 9).unwrap();
    let later = log.standpoint().unwrap();
    let (_, commits) = open(&disk, 6, Some(checkpoint)).unwrap();
    assert_eq!(times(&commits), [9]);
    let error = open(&disk, 7, None).unwrap_err().to_string();
    assert!(error.starts_with("the log begins at group 7"), "{error}");
    let empty = SimulatedDisk::new(0);
    let error = open(&empty, 8, Some(later)).unwrap_err().to_string();
    assert!(error.starts_with("the log ends before group 1,"), "{error}");
}

#[test]
fn wherever_the_machine_goes_down_no_committed_batch_is_lost_or_doubled() {
    for seed in 0..400 {
        let mut random = SmallRng::seed_from_u64(seed);
        let disk = SimulatedDisk::new(seed);
        let (mut committed, mut time, mut checkpoint) = (Vec::new(), 0, None);
        for start in 1..6 {
            let (log, commits) = open(&disk, start, checkpoint.clone()).unwrap();
            let known = checkpoint
                .as_ref()
                .and_then(|at: &Standpoint| at.history.last);
            let known = known.map_or(0, |last| last.0);
            let found = times(&commits);
            let expected = |time: &&i64| **time > known;
            let expected: Vec<i64> = committed.iter().filter(expected).copied().collect();
            assert!(
                found.starts_with(&expected),
                "seed {seed}: {found:?}, {expected:?}"
            );
            // One that was under way may have come through, whole.
            assert!(found.len() <= expected.len() + 1, "seed {seed}");
            committed.truncate(committed.len() - expected.len());
            committed.extend(&found);
            for time in &found {
                let bytes = log.block(&block(*time)).unwrap().unwrap();
                assert_eq!(bytes, time.to_string().as_bytes(), "seed {seed}");
            }
            disk.fail_after(random.random_range(0..25), Fault::Death);
            loop {
                time += 1;
                if batch(&log, time).is_err() {
                    break;
                }
                committed.push(time);
                if random.random_range(0..4) == 0 {
                    let Ok(at) = log.standpoint() else { break };
                    checkpoint = Some(at);
                }
            }
            match random.random() {
                true => disk.crash(),
                false => disk.kill(),
            }
        }
    }
}

#[test]
fn a_batch_of_nothing_waits_for_no_disk() {
    let disk = SimulatedDisk::new(0);
    let (log, _) = open(&disk, 1, None).unwrap();
    log.commit(record(1, true)).unwrap();
    let before = disk.operations();
    log.commit(record(2, false)).unwrap();
    assert_eq!(disk.operations(), before + 1, "written and not synced");
}

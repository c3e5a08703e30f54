//! What entries come to.

use std::sync::Arc;

use super::*;
use crate::batch::position::Position;
use crate::dataflow::RoundPlan;
use crate::driver::recovery::entry::{decode, encode};

fn part(lane: &str, upto: u64) -> PartName {
    PartName {
        lane: LaneName(lane.to_owned()),
        from: Position::number(0),
        upto: Position::number(upto),
        facts: vec![7],
    }
}

fn digest(number: u8) -> Digest {
    Digest([number; 32])
}

fn commit(time: i64, program: u8) -> LogEntry {
    let plan = RoundPlan {
        round: time.cast_unsigned(),
        batch: BatchTime(time),
        zero: BatchTime(0),
        attempt: 1,
        seed: 3,
        parts: BTreeMap::new(),
        programs: BTreeMap::from([("p".to_owned(), digest(program))]),
        skip: Default::default(),
    };
    let receipt = Prepared::new(vec![time as u8]).unwrap();
    LogEntry::Commit(Box::new(CommitRecord {
        plan: Arc::new(plan),
        receipts: BTreeMap::from([("out".to_owned(), receipt)]),
        rejected: BTreeMap::new(),
        timed_out: (time == 2)
            .then(|| ("held".to_owned(), 1))
            .into_iter()
            .collect(),
        matters: true,
    }))
}

/// When what windows may hold came, if the batch was the last in which keys timed out.
fn fed_at(time: i64) -> Fed {
    let mut fed = Fed::default();
    if let LogEntry::Commit(record) = commit(time, 1) {
        fed.note(&record.plan, &record.timed_out);
    }
    assert_ne!(fed, Fed::default());
    fed
}

fn cut(time: i64, lane: &str, resumes: bool) -> LogEntry {
    let parts = vec![part(lane, 1), part(lane, time.cast_unsigned())];
    let input = CutInput {
        parts,
        resumes,
        kept: !resumes,
    };
    LogEntry::Cut {
        batch: BatchTime(time),
        input: BTreeMap::from([("lines".to_owned(), input)]),
    }
}

fn live(program: u8, probation: u32) -> LogEntry {
    LogEntry::Version(VersionEvent::Live {
        plugin: "p".to_owned(),
        digest: digest(program),
        batch: None,
        probation,
        before: (probation > 0).then(|| digest(1)),
    })
}

/// Attempt by attempt of its own start, but for the last.
fn attempt(batch: i64, attempt: u32, round: Round) -> LogEntry {
    let (batch, start) = (BatchTime(batch), 1 + round / 10);
    LogEntry::Attempt {
        batch,
        attempt,
        round,
        start,
    }
}

/// A job's life.
fn entries() -> Vec<LogEntry> {
    let plugin = || "p".to_owned();
    vec![
        LogEntry::Source {
            source: "lines".to_owned(),
            passed_over: vec![part("old", 9)],
        },
        LogEntry::Interval {
            interval_ms: 500,
            zero: None,
        },
        LogEntry::Reset {
            stream: "totals".to_owned(),
        },
        live(1, 0),
        cut(1, "a", true),
        cut(2, "b", true),
        attempt(1, 1, 1),
        commit(1, 1),
        attempt(2, 1, 2),
        LogEntry::GaveUp {
            batch: BatchTime(2),
        },
        attempt(2, 1, 3),
        attempt(2, 2, 4),
        commit(2, 1),
        LogEntry::Published {
            batch: BatchTime(1),
        },
        live(2, 3),
        cut(3, "a", true),
        commit(3, 2),
        LogEntry::PreparedAgain {
            batch: BatchTime(2),
            receipts: BTreeMap::from([("out".to_owned(), Prepared::new(vec![99]).unwrap())]),
        },
        LogEntry::Version(VersionEvent::Passed {
            plugin: plugin(),
            left: 2,
        }),
        live(3, 3),
        cut(4, "1.1", false),
        attempt(4, 1, 9),
        LogEntry::Version(VersionEvent::Refused {
            plugin: plugin(),
            digest: digest(3),
            reason: "it trapped".to_owned(),
        }),
        LogEntry::Closed {
            source: "lines".to_owned(),
            lanes: vec![LaneName("b".to_owned())],
        },
        attempt(4, 1, 10),
    ]
}

fn history(entries: &[LogEntry]) -> History {
    let mut history = History::default();
    entries.iter().for_each(|entry| history.apply(entry));
    history
}

#[test]
fn a_history_says_where_a_job_stands() {
    let found = history(&entries());
    let before = Some(digest(1));
    let expected = History {
        zero: Some(BatchTime(0)),
        interval_ms: Some(500),
        resets: BTreeMap::from([("totals".to_owned(), 1)]),
        taken_back: BTreeMap::new(),
        last: Some(BatchTime(3)),
        fed: fed_at(2),
        round: 10,
        cut: BTreeMap::from([(
            BatchTime(4),
            BTreeMap::from([("lines".to_owned(), vec![part("1.1", 1), part("1.1", 4)])]),
        )]),
        open: Some(AttemptedBatch {
            batch: BatchTime(4),
            attempt: 1,
            start: 2,
            starts: 2,
        }),
        waiting: [2, 3]
            .map(|time: i64| UnpublishedBatch {
                batch: BatchTime(time),
                receipts: BTreeMap::from([(
                    "out".to_owned(),
                    Prepared::new(vec![if time == 2 { 99 } else { time as u8 }]).unwrap(),
                )]),
            })
            .into(),
        lanes: BTreeMap::from([(
            "lines".to_owned(),
            [part("old", 9), part("a", 3)]
                .map(|part| (part.lane.clone(), part))
                .into(),
        )]),
        programs: BTreeMap::from([("p".to_owned(), digest(2))]),
        previous: BTreeMap::from([("p".to_owned(), digest(1))]),
        probation: BTreeMap::from([(
            "p".to_owned(),
            Probation {
                digest: digest(3),
                before,
                left: 3,
            },
        )]),
        refused: BTreeMap::from([(
            "p".to_owned(),
            RefusedVersion {
                digest: digest(3),
                reason: "it trapped".to_owned(),
            },
        )]),
    };
    assert_eq!(found, expected);
    let mut later = found;
    later.apply(&LogEntry::Version(VersionEvent::RefusalForgotten {
        plugin: "p".to_owned(),
    }));
    later.apply(&live(2, 0));
    assert!(later.refused.is_empty() && later.probation.is_empty());
}

#[test]
fn what_is_swapped_in_before_the_first_commit_can_be_fallen_back_from() {
    let found = history(&[live(2, 3), commit(1, 2)]);
    let tried = found.probation["p"];
    assert_eq!((tried.digest, tried.before), (digest(2), Some(digest(1))));
    assert!(found.named().any(|named| named == digest(1)), "it is kept");
}

#[test]
fn wherever_a_checkpoint_lies_and_however_entries_are_grouped_it_is_the_same() {
    let entries = entries();
    let whole = history(&entries);
    for at in 0..=entries.len() {
        let checkpoint = history(&entries[..at]);
        let text = serde_json::to_string(&checkpoint).unwrap();
        let mut restored: History = serde_json::from_str(&text).unwrap();
        assert_eq!(restored, checkpoint);
        for group in entries[at..].chunks(3) {
            let group = decode(1, &encode(group)).unwrap();
            group.iter().for_each(|entry| restored.apply(entry));
        }
        assert_eq!(restored, whole, "a checkpoint after {at} entries");
    }
}

#[test]
fn what_is_no_group_says_its_place() {
    let error = decode(12, b"\x93none").unwrap_err();
    assert_eq!(error.to_string(), "group 12 of the log cannot be read");
}

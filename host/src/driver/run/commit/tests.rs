//! The order of a commit, with sinks, a log and an engine that say what they are asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use super::*;
use crate::batch::Chunk;
use crate::batch::guarantee::{Delivery, Guarantee};
use crate::batch::sink::{Incarnation, Prepared, Recovered, Sink, SinkError, Staged, WaitingBatch};
use crate::driver::failure::trouble::RecordError;
use crate::driver::testing::plan;
use crate::sink::lane::{LaneOptions, NamedSink, PublishQueue};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Says what it is asked.
#[derive(Clone)]
struct Double {
    said: Sender<String>,
    /// Whether it does what it is asked.
    works: bool,
}

impl Double {
    fn say(&self, what: &str) {
        self.said.send(what.to_owned()).unwrap();
    }
}

impl Sink for Double {
    fn recover(&self, _: &[WaitingBatch], _: Incarnation) -> Result<Recovered, SinkError> {
        Ok(Recovered::default())
    }

    fn stage(&self, _: Staged, _: &Chunk) -> Result<(), SinkError> {
        Ok(())
    }

    fn prepare(&self, _: BatchTime, _: Round) -> Result<Prepared, SinkError> {
        self.say("prepare");
        match self.works {
            true => Ok(Prepared::new("receipt").unwrap()),
            false => Err(SinkError {
                message: "no".to_owned(),
                hint: None,
                lasting: true,
            }),
        }
    }

    fn publish(&self, _: BatchTime, what: &Prepared) -> Result<(), SinkError> {
        self.say(&format!(
            "publish {}",
            String::from_utf8_lossy(what.bytes())
        ));
        Ok(())
    }

    fn discard(&self, _: BatchTime, _: Round) {
        self.say("discard");
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee {
            delivery: Delivery::ExactlyOnce,
            condition: "it is a test",
        }
    }
}

impl Recorder for Double {
    fn append(&mut self, record: CommitRecord) -> Result<(), RecordError> {
        let bytes = rmp_serde::to_vec(&record).unwrap();
        assert_eq!(
            rmp_serde::from_slice::<CommitRecord>(&bytes).unwrap(),
            record
        );
        self.say(&format!("record of {:?}", record.receipts.keys()));
        match self.works {
            true => Ok(()),
            false => Err(RecordError {
                batch: record.plan.batch,
                source: std::io::ErrorKind::StorageFull.into(),
            }),
        }
    }
}

impl Rounds for Double {
    fn verdict(&mut self, round: Round, verdict: Verdict) {
        self.say(&format!("{verdict:?} {round}"));
    }
}

/// One batch, committed by a sink and a log that work or do not; what was said, in order.
fn commit(sink_works: bool, log_works: bool) -> (Result<Vec<Receipt>, Trouble>, Vec<String>) {
    let plan = plan("[sink.out]\nfrom = \"lines\"\ntype = \"print\"\n");
    let (said, heard) = channel();
    let double = |works| Double {
        said: said.clone(),
        works,
    };
    let sink = NamedSink {
        name: "out".to_owned(),
        sink: Arc::new(double(sink_works)),
        queue: PublishQueue::Own,
    };
    let published = said.clone();
    let lanes = SinkLanes::start(vec![sink], LaneOptions::default(), move |news| {
        // A test that has seen enough does not listen any more.
        let _ = published.send(format!("{news:?}"));
    });
    let lanes = Arc::new(lanes.unwrap());
    let log = Box::new(double(log_works));
    let mut committer = Committer::new(plan, Arc::clone(&lanes), log);
    let ran = RanRound {
        plan: Arc::new(RoundPlan {
            round: 7,
            batch: BatchTime(1000),
            zero: BatchTime(0),
            attempt: 1,
            seed: 0,
            parts: BTreeMap::new(),
            programs: BTreeMap::new(),
            skip: Default::default(),
        }),
        report: RoundReport::default(),
    };
    let result = committer.commit(&mut double(true), &ran);
    if let Ok(receipts) = &result {
        let committed = Committed {
            report: ran.report,
            processing: Duration::ZERO,
            receipts: receipts.clone(),
        };
        let batch = Batch::new(BatchTime(1000), vec![Vec::new()]);
        assert!(committer.publish(&batch, committed, &Mail::nowhere()));
        lanes.finish().unwrap();
    }
    // Sinks hear of an abort on threads of their own.
    let last = if sink_works { "" } else { "discard" };
    (result, said_so_far(&heard, last))
}

/// All that was said, at least up to `last`.
fn said_so_far(heard: &Receiver<String>, last: &str) -> Vec<String> {
    let mut said: VecDeque<String> = heard.try_iter().collect();
    while !last.is_empty() && !said.iter().any(|one| one == last) {
        said.push_back(heard.recv_timeout(LONG).unwrap());
    }
    said.into()
}

#[test]
fn a_batch_is_prepared_recorded_committed_and_published_in_this_order() {
    let (result, said) = commit(true, true);
    result.unwrap();
    assert_eq!(
        said,
        [
            "prepare",
            "record of [\"out\"]",
            "Commit 7",
            "publish receipt",
            "Published(BatchTime(1000))"
        ]
    );
}

#[test]
fn a_sink_that_cannot_prepare_aborts_the_round_and_nothing_is_recorded() {
    let (result, said) = commit(false, true);
    assert!(matches!(result, Err(Trouble::Sink { .. })));
    assert_eq!(said, ["prepare", "Abort 7", "discard"]);
}

#[test]
fn a_record_that_fails_shows_nothing_and_takes_nothing_back() {
    // It may be durable: the next start finds out.
    let (result, said) = commit(true, false);
    assert!(matches!(result, Err(Trouble::Record(_))));
    assert_eq!(said, ["prepare", "record of [\"out\"]"]);
}

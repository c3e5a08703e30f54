//! Lanes with sinks that wait and fail where they are told to.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Barrier, Condvar, Mutex};

use super::*;
use crate::batch::Column;
use crate::batch::guarantee::{Delivery, Guarantee};
use crate::batch::sink::{Incarnation, Prepared, Recovered, Sink, WaitingBatch};

/// Longer than anything here takes.
const LONG: Duration = Duration::from_secs(60);

/// Keeps who passes waiting until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn pass(&self) {
        let open = self.open.lock().unwrap();
        drop(self.opened.wait_while(open, |open| !*open).unwrap());
    }

    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.opened.notify_all();
    }
}

/// What a call of a sink does before it succeeds.
#[derive(Clone, Default)]
enum Does {
    #[default]
    Nothing,
    Waits(Arc<Gate>),
    Meets(Arc<Barrier>),
    /// As often as the number says.
    Fails(Arc<Mutex<u32>>),
    FailsForGood,
    Panics,
}

impl Does {
    fn fails(times: u32) -> Self {
        Self::Fails(Arc::new(Mutex::new(times)))
    }

    fn it(&self, what: &str) -> Result<(), SinkError> {
        let error = |lasting| SinkError {
            message: format!("cannot {what}"),
            hint: None,
            lasting,
        };
        match self {
            Self::Nothing => {}
            Self::Waits(gate) => gate.pass(),
            Self::Meets(barrier) => drop(barrier.wait()),
            Self::Fails(times) => {
                let mut left = times.lock().unwrap();
                if *left > 0 {
                    *left -= 1;
                    return Err(error(false));
                }
            }
            Self::FailsForGood => return Err(error(true)),
            Self::Panics => panic!("as the test wants"),
        }
        Ok(())
    }
}

/// A sink that tells every call that it has done.
struct Double {
    name: &'static str,
    said: Sender<String>,
    stage: Does,
    prepare: Does,
    publish: Does,
}

impl Double {
    fn say(&self, what: &str) {
        // A test that has seen enough does not listen any more.
        let _ = self.said.send(format!("{} {what}", self.name));
    }
}

impl Sink for Double {
    fn recover(&self, _: &[WaitingBatch], _: Incarnation) -> Result<Recovered, SinkError> {
        Ok(Recovered::default())
    }

    fn stage(&self, at: Staged, _: &Chunk) -> Result<(), SinkError> {
        let what = format!("stage {} in {}", at.sequence, at.round);
        self.stage.it(&what)?;
        self.say(&what);
        Ok(())
    }

    fn prepare(&self, _: BatchTime, round: Round) -> Result<Prepared, SinkError> {
        let what = format!("prepare {round}");
        self.prepare.it(&what)?;
        self.say(&what);
        Ok(Prepared::new(self.name).unwrap())
    }

    fn publish(&self, batch: BatchTime, what: &Prepared) -> Result<(), SinkError> {
        assert_eq!(what.bytes(), self.name.as_bytes());
        let what = format!("publish {batch}");
        self.publish.it(&what)?;
        self.say(&what);
        Ok(())
    }

    fn discard(&self, _: BatchTime, round: Round) {
        self.say(&format!("discard {round}"));
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee {
            delivery: Delivery::AtLeastOnce,
            condition: "it is none",
        }
    }
}

/// Says which of a double's calls does something.
type Set = fn(&mut Double, Does);

/// A double: its name, its queue, which of its calls does something.
type Part = (&'static str, PublishQueue, Set);

/// Lanes of doubles.
struct Sinks {
    lanes: Arc<SinkLanes>,
    said: Receiver<String>,
    told: Receiver<LaneNews>,
    flow: Flow,
}

impl Sinks {
    fn new<const N: usize>(sinks: [Part; N], does: &Does) -> Self {
        Self::with_patience(LONG, sinks, does)
    }

    fn with_patience<const N: usize>(patience: Duration, sinks: [Part; N], does: &Does) -> Self {
        let (say, said) = channel();
        let (tell, told) = channel();
        let sinks = sinks.map(|(name, queue, set)| {
            let mut double = Double {
                name,
                said: say.clone(),
                stage: Does::Nothing,
                prepare: Does::Nothing,
                publish: Does::Nothing,
            };
            set(&mut double, does.clone());
            NamedSink {
                name: name.to_owned(),
                sink: Arc::new(double),
                queue,
            }
        });
        let flow = Flow::default();
        let options = LaneOptions {
            flow: flow.clone(),
            patience,
            ..LaneOptions::default()
        };
        let tell = move |notice| {
            // A test that has seen enough does not listen any more.
            let _ = tell.send(notice);
        };
        let lanes = Arc::new(SinkLanes::start(sinks.into(), options, tell).unwrap());
        Self {
            lanes,
            said,
            told,
            flow,
        }
    }

    fn publish(&self, batch: i64) -> bool {
        self.lanes.publish(BatchTime(batch), self.receipts())
    }

    fn receipts(&self) -> Vec<Receipt> {
        let sinks = self.lanes.sinks.iter().enumerate();
        let receipt = |(sink, named): (usize, &NamedSink)| Receipt {
            sink,
            what: Prepared::new(named.name.as_bytes()).unwrap(),
        };
        sinks.map(receipt).collect()
    }

    /// Waits until a call is told.
    fn hear(&self, call: &str) {
        while self.said.recv_timeout(LONG).unwrap() != call {}
    }

    /// All calls that were told and not yet heard.
    fn heard(&self) -> Vec<String> {
        self.said.try_iter().collect()
    }
}

fn plain(_: &mut Double, _: Does) {}

fn publishing(double: &mut Double, does: Does) {
    double.publish = does;
}

fn preparing(double: &mut Double, does: Does) {
    double.prepare = does;
}

fn staging(double: &mut Double, does: Does) {
    double.stage = does;
}

fn at(round: Round, sequence: u32) -> Staged {
    Staged {
        batch: BatchTime(1000),
        round,
        partition: 0,
        sequence,
    }
}

fn published(batches: impl IntoIterator<Item = i64>) -> Vec<LaneNews> {
    let notice = |batch| LaneNews::Published(BatchTime(batch));
    batches.into_iter().map(notice).collect()
}

#[test]
fn a_sink_that_fails_is_tried_again_unless_it_is_lost() {
    let sinks = Sinks::new([("out", PublishQueue::Own, publishing)], &Does::fails(2));
    assert!(sinks.publish(1));
    assert_eq!(sinks.lanes.finish(), Ok(()));
    assert_eq!(sinks.told.try_iter().collect::<Vec<_>>(), published([1]));

    let sinks = Sinks::new(
        [("out", PublishQueue::Own, publishing)],
        &Does::FailsForGood,
    );
    // The loss may be known at once.
    let _ = sinks.publish(1);
    let error = sinks.lanes.finish().unwrap_err();
    assert_eq!(error.to_string(), "sink `out` failed: cannot publish 1");
    assert_eq!(sinks.told.try_iter().collect::<Vec<_>>(), [LaneNews::Lost]);
    assert!(!sinks.publish(2), "nothing more is published");
}

#[test]
fn a_sink_that_panics_is_lost() {
    let sinks = Sinks::new([("out", PublishQueue::Own, publishing)], &Does::Panics);
    let _ = sinks.publish(1);
    let error = sinks.lanes.finish().unwrap_err();
    assert_eq!(error.to_string(), "sink `out` failed: it panicked");

    let sinks = Sinks::new([("out", PublishQueue::Own, preparing)], &Does::Panics);
    let error = sinks.lanes.prepare(BatchTime(1), 1, &[0]).unwrap_err();
    assert_eq!(error.to_string(), "sink `out` failed: it does not answer");
    assert_eq!(sinks.lanes.finish(), Ok(()), "and nobody waits for it");
}

#[test]
fn a_dead_sink_holds_back_only_itself_until_it_lags() {
    let gate = Arc::new(Gate::default());
    let sinks = Sinks::new(
        [
            ("dead", PublishQueue::Own, publishing),
            ("live", PublishQueue::Own, plain),
        ],
        &Does::Waits(Arc::clone(&gate)),
    );
    let lag = i64::try_from(MAX_LAG).unwrap();
    for batch in 1..=lag {
        assert!(sinks.publish(batch), "nobody waits");
    }
    sinks.hear(&format!("live publish {lag}"));
    let (lanes, receipts) = (Arc::clone(&sinks.lanes), sinks.receipts());
    let next = std::thread::spawn(move || lanes.publish(BatchTime(lag + 1), receipts));
    sinks.hear(&format!("live publish {}", lag + 1));
    assert!(!next.is_finished(), "the executor waits now");
    assert_eq!(sinks.told.try_iter().next(), None, "not in all sinks");
    gate.open();
    assert!(next.join().unwrap());
    assert_eq!(sinks.lanes.finish(), Ok(()));
    assert_eq!(
        sinks.told.try_iter().collect::<Vec<_>>(),
        published(1..=lag + 1)
    );
}

#[test]
fn a_batch_at_which_no_sink_fires_is_published_in_its_turn() {
    let gate = Arc::new(Gate::default());
    let sinks = Sinks::new(
        [("out", PublishQueue::Own, publishing)],
        &Does::Waits(Arc::clone(&gate)),
    );
    assert!(sinks.publish(1));
    assert!(sinks.lanes.publish(BatchTime(2), Vec::new()));
    assert_eq!(sinks.told.try_iter().next(), None);
    gate.open();
    assert!(sinks.lanes.publish(BatchTime(3), Vec::new()));
    assert_eq!(sinks.lanes.finish(), Ok(()));
    assert_eq!(
        sinks.told.try_iter().collect::<Vec<_>>(),
        published([1, 2, 3])
    );
}

#[test]
fn staging_waits_for_nobody_and_counts_as_in_flight() {
    let gate = Arc::new(Gate::default());
    let sinks = Sinks::new(
        [("out", PublishQueue::Own, staging)],
        &Does::Waits(Arc::clone(&gate)),
    );
    let chunk = Chunk::single(Column::int64([1, 2, 3]));
    for sequence in 0..3 {
        sinks.lanes.stage(0, at(1, sequence), &chunk).unwrap();
    }
    assert_eq!(sinks.flow.bytes(), 3 * chunk.size());
    gate.open();
    sinks.lanes.prepare(BatchTime(1000), 1, &[0]).unwrap();
    assert_eq!(sinks.flow.bytes(), 0);
    assert_eq!(
        sinks.heard(),
        [
            "out stage 0 in 1",
            "out stage 1 in 1",
            "out stage 2 in 1",
            "out prepare 1"
        ]
    );
}

#[test]
fn a_discard_comes_behind_what_was_staged_and_nothing_of_its_round_after_it() {
    let gate = Arc::new(Gate::default());
    let sinks = Sinks::new(
        [("out", PublishQueue::Own, staging)],
        &Does::Waits(Arc::clone(&gate)),
    );
    let chunk = Chunk::single(Column::int64([1]));
    let stage = |round, sequence| {
        sinks.lanes.stage(0, at(round, sequence), &chunk).unwrap();
    };
    stage(1, 0);
    sinks.lanes.discard(BatchTime(1000), 1);
    stage(1, 1);
    stage(2, 0);
    gate.open();
    sinks.lanes.prepare(BatchTime(1000), 2, &[0]).unwrap();
    assert_eq!(
        sinks.heard(),
        [
            "out stage 0 in 1",
            "out discard 1",
            "out stage 0 in 2",
            "out prepare 2"
        ]
    );
}

#[test]
fn what_goes_wrong_in_staging_is_told_by_prepare_and_over_with_the_round() {
    let sinks = Sinks::new([("out", PublishQueue::Own, staging)], &Does::fails(1));
    let chunk = Chunk::single(Column::int64([1]));
    for sequence in 0..2 {
        sinks.lanes.stage(0, at(1, sequence), &chunk).unwrap();
    }
    let error = sinks.lanes.prepare(BatchTime(1000), 1, &[0]).unwrap_err();
    assert_eq!(error.to_string(), "sink `out` failed: cannot stage 0 in 1");
    sinks.lanes.discard(BatchTime(1000), 1);
    sinks.lanes.stage(0, at(2, 0), &chunk).unwrap();
    let receipts = sinks.lanes.prepare(BatchTime(1000), 2, &[0]).unwrap();
    assert_eq!(receipts, sinks.receipts());
    assert_eq!(
        sinks.heard(),
        ["out discard 1", "out stage 0 in 2", "out prepare 2"]
    );
}

#[test]
fn sinks_prepare_side_by_side_and_their_receipts_stand_in_order() {
    let sinks = Sinks::new(
        [
            ("a", PublishQueue::Own, preparing),
            ("b", PublishQueue::Own, preparing),
        ],
        &Does::Meets(Arc::new(Barrier::new(2))),
    );
    let receipts = sinks.lanes.prepare(BatchTime(1), 1, &[0, 1]).unwrap();
    assert_eq!(receipts, sinks.receipts());
}

#[test]
fn of_several_sinks_that_cannot_prepare_the_first_is_told() {
    let sinks = Sinks::new(
        [
            ("a", PublishQueue::Own, plain),
            ("b", PublishQueue::Own, preparing),
            ("c", PublishQueue::Own, preparing),
        ],
        &Does::FailsForGood,
    );
    let error = sinks
        .lanes
        .prepare(BatchTime(1), 1, &[0, 1, 2])
        .unwrap_err();
    assert_eq!(error.to_string(), "sink `b` failed: cannot prepare 1");
}

#[test]
fn sinks_of_one_console_take_turns_and_hold_back_no_other() {
    let gate = Arc::new(Gate::default());
    let sinks = Sinks::new(
        [
            ("first", PublishQueue::Console, publishing),
            ("files", PublishQueue::Own, plain),
            ("second", PublishQueue::Console, plain),
        ],
        &Does::Waits(Arc::clone(&gate)),
    );
    assert!(sinks.publish(1));
    assert!(sinks.publish(2));
    sinks.hear("files publish 2");
    gate.open();
    assert_eq!(sinks.lanes.finish(), Ok(()));
    assert_eq!(
        sinks.heard(),
        [
            "first publish 1",
            "second publish 1",
            "first publish 2",
            "second publish 2"
        ]
    );
}

#[test]
fn a_sink_that_gets_no_further_is_given_up_once_the_job_is_to_stop() {
    let patience = Duration::from_millis(20);
    let unpublished = |does: &Does| {
        let sinks = [
            ("dead", PublishQueue::Own, publishing as Set),
            ("live", PublishQueue::Own, plain),
        ];
        let sinks = Sinks::with_patience(patience, sinks, does);
        assert!(sinks.publish(1));
        assert!(sinks.publish(2));
        sinks.hear("live publish 2");
        sinks.lanes.stop();
        let Err(PublishError::Unpublished(error)) = sinks.lanes.finish() else {
            panic!("it cannot have published");
        };
        error
    };
    let error = unpublished(&Does::fails(u32::MAX));
    assert_eq!(
        error.to_string(),
        "sink `dead` has not published 2 batches, 1 to 2"
    );
    assert_eq!(error.error.unwrap().message, "cannot publish 1");

    let gate = Arc::new(Gate::default());
    let error = unpublished(&Does::Waits(Arc::clone(&gate)));
    assert_eq!(
        error.to_string(),
        "sink `dead` has not published 2 batches, 1 to 2, and does not answer"
    );
    gate.open();
}

#[test]
fn a_wait_for_a_sink_that_lags_or_does_not_prepare_ends_once_the_job_is_to_stop() {
    let patience = Duration::from_millis(20);
    let gate = Arc::new(Gate::default());
    let does = Does::Waits(Arc::clone(&gate));
    let sinks = Sinks::with_patience(patience, [("dead", PublishQueue::Own, publishing)], &does);
    let stopper = Arc::clone(&sinks.lanes);
    let lag = i64::try_from(MAX_LAG).unwrap();
    for batch in 1..=lag {
        assert!(sinks.publish(batch));
    }
    stopper.stop();
    assert!(!sinks.publish(lag + 1));

    let sinks = Sinks::with_patience(patience, [("dead", PublishQueue::Own, preparing)], &does);
    sinks.lanes.stop();
    let error = sinks.lanes.prepare(BatchTime(1), 1, &[0]).unwrap_err();
    assert_eq!(error.to_string(), "sink `dead` failed: it does not answer");
    assert!(error.error.lasting);
    assert_eq!(sinks.lanes.finish(), Ok(()), "nothing was committed");
    gate.open();
}

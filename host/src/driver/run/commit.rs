//! The one place where a batch is committed. Read from top to bottom:
//!
//! 1. **vote**: every sink that fires has prepared the batch, and given a receipt for it;
//! 2. **record**: all that the batch was goes into the log; when it is durable there, and not
//!    before, the batch is committed, and the operators are told;
//! 3. **publish**: every sink shows it, in its own time, as its receipt says;
//! 4. **acknowledge**: once all sinks show it and all batches before it, and no start will ask for it
//!    again, the sources are told by name how far they may forget;
//! 5. **report**: the status and the log hear of it.
//!
//! **Invariant:** nothing of a batch is visible before its record is durable; of a batch of nothing
//! ([`CommitRecord::matters`]) a sink may show that there was none.
//! **Invariant:** a batch that is not committed leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{Batch, CommittedBatch};
use super::cutter::Cutter;
use crate::batch::{BatchTime, Round};
use crate::dataflow::{Engine, NodeReport, RoundPlan, RoundReport, Verdict};
use crate::driver::event::{Event, Mail};
use crate::driver::failure::trouble::Trouble;
use crate::driver::recovery::record::{CommitRecord, Recorder};
use crate::observe::fault::{CrashStage, reach};
use crate::sink::lane::{LostSink, Receipt, SinkLanes};
use crate::topology::plan::{Op, Plan, SinkPlan};

/// A round that ran without failure.
#[derive(Debug)]
pub struct RanRound {
    /// What it ran on.
    pub plan: Arc<RoundPlan>,
    /// What went through the operators.
    pub report: RoundReport,
}

/// A committed batch, still to be published.
#[derive(Debug)]
pub struct Committed {
    /// What went through the operators.
    pub report: RoundReport,
    /// From the binding to the commit.
    pub processing: Duration,
    /// What the sinks that fire at it gave for it.
    pub receipts: Vec<Receipt>,
}

/// Who is told how a round ends: the engine.
pub trait Rounds {
    /// Ends a round that is decided.
    fn verdict(&mut self, round: Round, verdict: Verdict);
}

impl Rounds for Engine {
    fn verdict(&mut self, round: Round, verdict: Verdict) {
        Self::verdict(self, round, verdict);
    }
}

/// Commits the batches of a job.
pub struct Committer {
    plan: Arc<Plan>,
    lanes: Arc<SinkLanes>,
    recorder: Box<dyn Recorder>,
}

impl Committer {
    /// One for the batches of `plan`.
    #[must_use]
    pub fn new(plan: Arc<Plan>, lanes: Arc<SinkLanes>, recorder: Box<dyn Recorder>) -> Self {
        Self {
            plan,
            lanes,
            recorder,
        }
    }

    /// Votes, records, and tells the operators. The receipts of the sinks that fire.
    ///
    /// # Errors
    ///
    /// The round is aborted: nothing of it is left.
    pub fn commit(
        &mut self,
        engine: &mut impl Rounds,
        ran: &RanRound,
    ) -> Result<Vec<Receipt>, Trouble> {
        reach(CrashStage::Ran);
        let receipts = match self.vote(&ran.plan) {
            Ok(receipts) => receipts,
            Err(trouble) => {
                self.abort(engine, &ran.plan);
                return Err(trouble);
            }
        };
        reach(CrashStage::Prepared);
        let record = self.record(ran, &receipts);
        self.recorder.append(record)?;
        reach(CrashStage::Committed);
        engine.verdict(ran.plan.round, Verdict::Commit);
        Ok(receipts)
    }

    /// Gives up a round that is decided.
    pub fn abort(&self, engine: &mut impl Rounds, plan: &RoundPlan) {
        engine.verdict(plan.round, Verdict::Abort);
        self.lanes.discard(plan.batch, plan.round);
    }

    /// Step 1: all sinks that fire prepare, side by side.
    fn vote(&self, plan: &RoundPlan) -> Result<Vec<Receipt>, Trouble> {
        let sinks = self.plan.sinks.iter().enumerate();
        let fires = |sink: &SinkPlan| {
            sink.from
                .is_none_or(|from| plan.fires(self.plan.slide(from)))
        };
        let firing = sinks.filter(|(_, sink)| fires(sink));
        let firing: Vec<usize> = firing.map(|(index, _)| index).collect();
        self.prepare(plan, &firing)
    }

    /// Lets some sinks prepare a round, side by side: of a batch that is committed already, those
    /// that have lost what they staged of it.
    ///
    /// # Errors
    ///
    /// Some sink cannot.
    pub fn prepare(&self, plan: &RoundPlan, firing: &[usize]) -> Result<Vec<Receipt>, Trouble> {
        let receipts = self.lanes.prepare(plan.batch, plan.round, firing);
        receipts.map_err(|LostSink { sink, error }| Trouble::Sink { sink, error })
    }

    /// Step 2: what is recorded.
    fn record(&self, ran: &RanRound, receipts: &[Receipt]) -> CommitRecord {
        let RanRound { plan, report } = ran;
        let sink = |receipt: &Receipt| {
            let name = self.plan.sinks[receipt.sink].name.clone();
            (name, receipt.what.clone())
        };
        let sources = self.plan.sources.iter().map(|source| &source.name);
        let streams = self.plan.streams.iter().map(|stream| &stream.name);
        let nodes = report.sources.iter().chain(&report.streams);
        let rejected = sources.chain(streams).zip(nodes);
        let rejected = rejected.filter(|(_, node)| node.rejected > 0);
        let worked = |node: &NodeReport| node.records_in > 0 || node.records_out > 0;
        // A key may time out without a record.
        let changes = self.plan.streams.iter().any(|stream| {
            matches!(stream.op, Op::UpdateStateByKey(_) | Op::MapWithState(_))
                && plan.fires(stream.slide)
        });
        let all = report
            .sources
            .iter()
            .chain(&report.streams)
            .chain(&report.sinks);
        CommitRecord {
            plan: Arc::clone(plan),
            receipts: receipts.iter().map(sink).collect(),
            timed_out: timed_out(&self.plan, report),
            rejected: rejected
                .map(|(name, node)| (name.clone(), node.rejected))
                .collect(),
            matters: changes
                || receipts
                    .iter()
                    .any(|receipt| !receipt.what.bytes().is_empty())
                || plan.parts.values().any(|parts| !parts.is_empty())
                || all.into_iter().any(worked),
        }
    }

    /// Steps 3 and 5: hands a committed batch to the sinks, waits while one lags too far, and reports.
    /// Whether it is going to be published: false once a sink is lost.
    pub fn publish(&self, batch: &Batch, committed: Committed, mail: &Mail) -> bool {
        let scheduling_delay = batch.cut_at.elapsed().saturating_sub(committed.processing);
        let heard = self.lanes.publish(batch.time, committed.receipts);
        mail.tell(Event::Committed(Box::new(CommittedBatch {
            batch: batch.time,
            report: committed.report,
            scheduling_delay,
            processing: committed.processing,
            has_input: batch.has_input(),
        })));
        heard
    }
}

/// By the name of the stream: keys that had no record for too long.
#[must_use]
pub fn timed_out(plan: &Plan, report: &RoundReport) -> BTreeMap<String, u64> {
    let streams = plan.streams.iter().zip(&report.streams);
    let timed_out = streams.filter(|(_, node)| node.timed_out > 0);
    let timed_out = timed_out.map(|(stream, node)| (stream.name.clone(), node.timed_out));
    timed_out.collect()
}

/// Step 4: no start will ask for `batch` again, nor for any before it: the sources may forget what they
/// were made of. Where nothing survives the process that is so once all sinks show it; else once the
/// checkpoints hold what became of it.
pub fn acknowledge(cutter: &mut Cutter, batch: BatchTime) {
    cutter.acknowledge(batch);
}

#[cfg(test)]
mod tests;

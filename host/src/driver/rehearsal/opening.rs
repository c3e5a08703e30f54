//! What one start of a rehearsal is: the workers and sinks that end with it, and what it leaves for the
//! next.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use crate::batch::sink::{Incarnation, JobId, WaitingBatch};
use crate::dataflow::Stepping;
use crate::driver::error::JobError;
use crate::driver::event::Mail;
use crate::driver::laws::samples::Keep;
use crate::driver::opening::open_sinks;
use crate::driver::recovery::checkpoint::CheckpointWriter;
use crate::driver::recovery::entry::LogEntry;
use crate::driver::recovery::log::JobLog;
use crate::driver::recovery::replay::LostBatches;
use crate::driver::recovery::resume::recover;
use crate::driver::recovery::start::{JobPlace, RecoveryError, Start};
use crate::driver::recovery::versions::Bound;
use crate::driver::report;
use crate::driver::run::clock::Clock;
use crate::driver::run::executor::{Executor, ExecutorOptions, Past};
use crate::driver::versions::deployment::Standing;
use crate::driver::versions::shared::Versions;
use crate::driver::versions::succession::VersionEvent;
use crate::plugin::Profiling;
use crate::sink;
use crate::sink::SinkConnectors;
use crate::sink::lane::{LaneOptions, NamedSink, SinkLanes};
use crate::sink::observe::Observed;
use crate::topology::plan::{Plan, SinkPlan};

/// Where what survives a restart lies in the rehearsal's folder.
pub(super) const ROOT: &str = ".job";

/// What a `print` sink wrote.
pub(super) type Printed = Arc<Mutex<Vec<u8>>>;

/// How a topology is tested.
#[derive(Clone, Copy, Debug)]
pub struct RehearsalOptions {
    /// Worker threads.
    pub workers: usize,
    /// Every call runs in an instance of its own.
    pub fresh_instances: bool,
    /// Batches are journaled, so that there may be restarts.
    pub durable: bool,
    /// What a profiler outside is told of guests.
    pub profiling: Profiling,
}

/// What ends with a start.
pub(super) struct Stage {
    pub(super) versions: Versions,
    pub(super) executor: Executor,
    pub(super) sinks: Vec<NamedSink>,
}

/// What a start leaves for the next.
pub(super) struct Durable {
    pub(super) place: JobPlace,
    pub(super) incarnation: Incarnation,
    pub(super) writer: CheckpointWriter,
    pub(super) log: JobLog,
}

/// What the sinks and workers of a start are opened with.
pub(super) struct Opening<'a> {
    pub(super) plan: &'a Arc<Plan>,
    pub(super) folder: &'a Path,
    pub(super) observed: Observed,
    pub(super) printed: &'a BTreeMap<String, Printed>,
    pub(super) options: RehearsalOptions,
}

impl Opening<'_> {
    /// The only start.
    pub(super) fn first(&self, first: Standing) -> Result<Stage, JobError> {
        let listener = Arc::new(|event| report::log_version(&event));
        let versions = Versions::new(Arc::clone(self.plan), first, listener);
        let (job, number) = (JobId(0), 1);
        let (sinks, _) = self.sinks(Incarnation { job, number }, |_| Vec::new())?;
        let (stage, _) = self.stage(versions, sinks, Past::default())?;
        Ok(stage)
    }

    /// One of several; what sinks have lost is still to be run again.
    pub(super) fn open(
        &self,
        bound: Bound,
        start: &Start,
        incarnation: Incarnation,
    ) -> Result<(Stage, Arc<SinkLanes>, LostBatches), JobError> {
        let log = start.log.clone();
        let listener = Arc::new(move |event: VersionEvent| {
            report::log_version(&event);
            if event.is_decided() {
                log.say(LogEntry::Version(event));
            }
        });
        let Bound {
            current,
            resumption,
            restored,
        } = bound;
        let plan = Arc::clone(self.plan);
        let versions = Versions::resumed(plan, current, resumption, listener);
        let (sinks, lost) = self.sinks(incarnation, |sink| start.waiting(sink))?;
        let past = Past {
            log: Some(start.log.clone()),
            at: start.executed(),
            restored,
        };
        let (stage, lanes) = self.stage(versions, sinks, past)?;
        Ok((stage, lanes, lost))
    }

    fn sinks(
        &self,
        incarnation: Incarnation,
        waiting: impl Fn(&str) -> Vec<WaitingBatch>,
    ) -> Result<(Vec<NamedSink>, LostBatches), JobError> {
        let context = |sink: &SinkPlan| sink::OpenContext {
            output: self.printed[&sink.name].clone(),
            dir: self.folder.to_owned(),
            observed: self.observed.clone(),
        };
        let sinks = open_sinks(self.plan, &SinkConnectors::default(), context)?;
        let lost = recover(&sinks, incarnation, waiting)?.lost;
        Ok((sinks, lost))
    }

    fn stage(
        &self,
        versions: Versions,
        sinks: Vec<NamedSink>,
        past: Past,
    ) -> Result<(Stage, Arc<SinkLanes>), JobError> {
        let lanes = SinkLanes::start(sinks.clone(), LaneOptions::default(), |_| {});
        let lanes = Arc::new(lanes.map_err(JobError::Threads)?);
        let options = ExecutorOptions {
            workers: self.options.workers,
            stepping: Stepping::Threads,
            keep: Keep::All,
            past,
            clock: Clock::SYSTEM,
        };
        let executor = Executor::start(
            Arc::clone(self.plan),
            options,
            Arc::clone(&lanes),
            versions.clone(),
            Mail::nowhere(),
        )
        .map_err(|error| JobError::Threads(std::io::Error::other(error)))?;
        let stage = Stage {
            versions,
            executor,
            sinks,
        };
        Ok((stage, lanes))
    }
}

/// What the starts before this one have left.
pub(super) fn find(place: &JobPlace, number: u64) -> Result<(Start, Durable), RecoveryError> {
    let incarnation = Incarnation {
        job: JobId(0),
        number,
    };
    let start = Start::find(place, incarnation)?;
    let durable = Durable {
        place: place.clone(),
        incarnation,
        writer: start.writer.clone(),
        log: start.log.clone(),
    };
    Ok((start, durable))
}

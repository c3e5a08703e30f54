//! What a start does before it runs anything new, in the order in which that must be done.
//!
//! [`settle`] comes before the sinks get their lanes, [`resume`] when everything is there that runs
//! batches.

use super::replay::{LostBatches, Recovery};
use super::start::{RecoveryError, Start};
use super::versions::KeptVersions;
use crate::batch::BatchTime;
use crate::batch::sink::{Incarnation, Recovered, WaitingBatch};
use crate::driver::error::JobError;
use crate::driver::run::batch::Batch;
use crate::driver::run::cutter::{Cutter, NamedSources};
use crate::driver::run::executor::Executor;
use crate::sink::lane::{NamedSink, SinkLanes};

/// What sinks found when they recovered.
#[derive(Debug, Default)]
pub struct RecoveredSinks {
    /// The newest batch that any of them shows.
    pub newest: Option<BatchTime>,
    /// What they must be given again.
    pub lost: LostBatches,
}

impl RecoveredSinks {
    /// The first batch that a sink has lost.
    #[must_use]
    pub fn first_lost(&self) -> Option<BatchTime> {
        self.lost.keys().next().copied()
    }
}

/// Makes sinks ready, each with the batches of which it may not have shown all.
///
/// # Errors
///
/// One cannot be used.
pub fn recover(
    sinks: &[NamedSink],
    incarnation: Incarnation,
    waiting: impl Fn(&str) -> Vec<WaitingBatch>,
) -> Result<RecoveredSinks, JobError> {
    let mut all = RecoveredSinks::default();
    for (index, NamedSink { name, sink, .. }) in sinks.iter().enumerate() {
        let recovered = sink.recover(&waiting(name), incarnation);
        let Recovered { newest, lost } = recovered.map_err(|error| JobError::OpenSink {
            sink: name.clone(),
            error,
        })?;
        all.newest = all.newest.max(newest);
        for batch in lost {
            all.lost.entry(batch).or_default().push(index);
        }
    }
    Ok(all)
}

/// Makes sinks ready, and says durably where sources and sinks stand; without a `start` nothing
/// survives.
///
/// # Errors
///
/// A sink cannot be used, or the log cannot be written.
pub fn settle(
    start: Option<&Start>,
    sinks: &[NamedSink],
    sources: &mut NamedSources,
    incarnation: Incarnation,
) -> Result<RecoveredSinks, JobError> {
    let waiting = |sink: &str| start.map_or_else(Vec::new, |start| start.waiting(sink));
    let recovered = recover(sinks, incarnation, waiting)?;
    if let Some(start) = start {
        for (name, source) in sources {
            start.begin_source(name, source.passed_over());
        }
        start.tell_published(recovered.first_lost());
        // Before anything is cut: else what is passed over today might be read tomorrow.
        start.log.sync().map_err(RecoveryError::from)?;
        start.tell();
    }
    Ok(recovered)
}

/// What goes on where an earlier start ended.
pub struct Resumed {
    /// What cuts the sources behind what earlier starts have cut.
    pub cutter: Cutter,
    /// What they have cut and not committed.
    pub cut_before: Vec<Batch>,
}

/// What a start needs for it.
pub struct Resuming<'a> {
    /// What it has found; none: nothing survives.
    pub start: Option<&'a Start>,
    /// What sinks have found.
    pub recovered: &'a RecoveredSinks,
    /// Binds the versions again that batches ran.
    pub versions: KeptVersions<'a>,
    /// Runs them again.
    pub executor: &'a mut Executor,
    /// Where sinks get what they have lost.
    pub lanes: &'a SinkLanes,
}

/// Runs again what was committed behind the checkpoint. `cutter` cuts the sources, under labels behind
/// the newest that is known.
///
/// # Errors
///
/// Something cannot be run again, or its input is not to be had.
pub fn resume(
    resuming: Resuming<'_>,
    mut sources: NamedSources,
    cutter: impl FnOnce(NamedSources, Option<BatchTime>) -> Cutter,
) -> Result<Resumed, JobError> {
    let Resuming {
        start,
        recovered,
        versions,
        executor,
        lanes,
    } = resuming;
    let Some(start) = start else {
        let cutter = cutter(sources, recovered.newest);
        let cut_before = Vec::new();
        return Ok(Resumed { cutter, cut_before });
    };
    let mut recovery = Recovery {
        start,
        sources: &mut sources,
        versions,
    };
    recovery.run_again(executor, lanes, &recovered.lost)?;
    let cut_before = recovery.cut_before()?;
    let newest = recovered.newest.max(start.newest());
    let mut cutter = cutter(sources, newest);
    if let Some((batch, lanes)) = start.unacknowledged() {
        cutter = cutter.behind(batch, lanes);
    }
    Ok(Resumed { cutter, cut_before })
}

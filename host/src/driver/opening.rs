//! Opens the sources and sinks of a job, or its sinks alone where it is rehearsed.

use super::error::JobError;
use super::event::{Event, Mail};
use super::recovery::replay::LostBatches;
use super::run::cutter::NamedSources;
use crate::batch::BatchTime;
use crate::batch::sink::{Incarnation, Recovered, WaitingBatch};
use crate::sink::lane::NamedSink;
use crate::sink::{self, SinkConnectors};
use crate::source::{OpenContext, SourceConnectors};
use crate::topology::plan::{Plan, SinkPlan, SourcePlan};

/// Makes the sinks of a plan, each in its own context; nothing is touched.
pub(super) fn open_sinks(
    plan: &Plan,
    connectors: &SinkConnectors,
    context: impl Fn(&SinkPlan) -> sink::OpenContext,
) -> Result<Vec<NamedSink>, JobError> {
    let open = |sink: &SinkPlan| {
        let failed = |error| JobError::OpenSink {
            sink: sink.name.clone(),
            error,
        };
        connectors.open(sink, &context(sink)).map_err(failed)
    };
    plan.sinks.iter().map(open).collect()
}

/// Opens the sources of a plan, which receive from now on and tell the job when they have ended.
pub(super) fn open_sources(
    plan: &Plan,
    connectors: &SourceConnectors,
    context: &OpenContext,
    mail: &Mail,
) -> Result<NamedSources, JobError> {
    let open = |source: &SourcePlan| {
        let name = source.name.clone();
        let mail = mail.clone();
        match connectors.open(source, context) {
            Ok(mut source) => {
                source.on_end(Box::new(move || mail.tell(Event::SourceEnded)));
                Ok((name, source))
            }
            Err(error) => Err(JobError::OpenSource {
                source_name: name,
                error,
            }),
        }
    };
    plan.sources.iter().map(open).collect()
}

/// What sinks found when they recovered.
pub(super) struct RecoveredSinks {
    /// The newest batch that any of them shows.
    pub(super) newest: Option<BatchTime>,
    /// What they must be given again.
    pub(super) lost: LostBatches,
}

/// Makes sinks ready, each with the batches of which it may not have shown all.
pub(super) fn recover(
    sinks: &[NamedSink],
    incarnation: Incarnation,
    waiting: impl Fn(&str) -> Vec<WaitingBatch>,
) -> Result<RecoveredSinks, JobError> {
    let mut all = RecoveredSinks {
        newest: None,
        lost: LostBatches::new(),
    };
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

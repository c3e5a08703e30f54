//! Opens the sources and sinks of a job, or its sinks alone where it is rehearsed.

use super::error::JobError;
use super::event::{Event, Mail};
use super::run::cutter::NamedSources;
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

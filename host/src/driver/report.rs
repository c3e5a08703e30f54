//! How what happens to a job shows in its status and in the log.

use std::time::Duration;

use tracing::{info, warn};

use super::run::batch::CommittedBatch;
use super::run::clock::Now;
use super::versions::succession::VersionEvent;
use crate::batch::Digest;
use crate::dataflow::NodeReport;
use crate::observe::status::{
    BatchStatus, Board, CandidateStatus, OperatorStatus, Status, SwapEvent, SwapRecord,
};
use crate::topology::describe;
use crate::topology::plan::{Plan, SourcePlan, StreamPlan};

/// What is known before the first batch.
#[must_use]
pub fn first(plan: &Plan, workers: usize) -> Status {
    let source = |source: &SourcePlan| OperatorStatus {
        name: source.name.clone(),
        function: source.transport.name().to_owned(),
        ..OperatorStatus::default()
    };
    let stream = |stream: &StreamPlan| OperatorStatus {
        name: stream.name.clone(),
        function: describe::functions(stream).collect::<Vec<_>>().join(", "),
        ..OperatorStatus::default()
    };
    let sources = plan.sources.iter().map(source);
    Status {
        job: plan.name.clone(),
        pid: std::process::id(),
        state: "running".to_owned(),
        interval_ms: u64::try_from(plan.settings.batch.as_millis()).unwrap_or(u64::MAX),
        workers,
        operators: sources.chain(plan.streams.iter().map(stream)).collect(),
        ..Status::default()
    }
}

/// Shows a committed batch in the status.
pub fn committed(board: &mut Board, plan: &Plan, batch: &CommittedBatch) {
    let CommittedBatch {
        batch: time,
        report,
        processing,
        ..
    } = batch;
    let status = &mut board.status;
    let (sources, streams) = status.operators.split_at_mut(plan.sources.len());
    let sources = sources.iter_mut().zip(&report.sources);
    for (operator, figures) in sources.chain(streams.iter_mut().zip(&report.streams)) {
        add(operator, figures);
    }
    board.committed(BatchStatus {
        time: *time,
        records: report.sources.iter().map(|source| source.records_out).sum(),
        scheduling_delay_us: micros(batch.scheduling_delay),
        processing_us: micros(*processing),
    });
    let interval = plan.settings.batch;
    if *processing > interval && batch.has_input {
        warn!(batch = %time, elapsed = ?processing, limit = ?interval, "batch missed its interval");
    }
}

fn add(operator: &mut OperatorStatus, figures: &NodeReport) {
    operator.records += figures.records_in;
    operator.output += figures.records_out;
    operator.rejected += figures.rejected;
    operator.guest_ns += figures.guest_ns;
    operator.host_ns += figures.host_ns;
    for (name, amount) in &figures.counters {
        operator.count(name, *amount);
    }
    for sample in &figures.samples {
        warn!(operator = operator.name, "rejected {sample}");
        operator.sample(sample.to_string());
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Says at the end of a job what was received and is in no batch.
pub fn ended(status: &Status) {
    for (source, figures) in &status.sources {
        if figures.dropped_bytes > 0 {
            warn!(
                source,
                bytes = figures.dropped_bytes,
                "the beginning of a record was dropped, because its connection broke or the job stopped before its end came"
            );
        }
    }
}

/// Shows a change of plugin versions in the status.
pub fn version(status: &mut Status, event: &VersionEvent) {
    match event {
        VersionEvent::Live {
            plugin,
            digest,
            batch,
            probation,
            ..
        } => {
            let shown = status.plugins.entry(plugin.clone()).or_default();
            shown.digest = digest.to_string();
            shown.since = *batch;
            shown.probation = *probation;
            shown.candidate = None;
            if let Some(batch) = *batch {
                status.remember(record(plugin, *digest, SwapEvent::Live { batch }));
            }
        }
        VersionEvent::Passed { plugin, left } => {
            status.plugins.entry(plugin.clone()).or_default().probation = *left;
        }
        VersionEvent::Refused {
            plugin,
            digest,
            reason,
        } => {
            let reason = reason.clone();
            status.remember(record(plugin, *digest, SwapEvent::Refused { reason }));
        }
        VersionEvent::Waits {
            plugin,
            digest,
            reason,
        } => {
            status.plugins.entry(plugin.clone()).or_default().candidate = Some(CandidateStatus {
                digest: digest.map_or_else(String::new, |digest| digest.to_string()),
                reason: reason.clone(),
            });
        }
        // What becomes of it is told when it is tried.
        VersionEvent::RefusalForgotten { .. } => {}
        VersionEvent::WaitsNoMore { plugin } => {
            status.plugins.entry(plugin.clone()).or_default().candidate = None;
        }
    }
}

/// Says a change of plugin versions in the log, where it is one that a user waits for.
pub fn log_version(event: &VersionEvent) {
    match event {
        VersionEvent::Live {
            plugin,
            digest,
            batch: Some(batch),
            ..
        } => info!(plugin, digest = digest.short(), %batch, "plugin is live"),
        VersionEvent::Refused {
            plugin,
            digest,
            reason,
        } => warn!(plugin, digest = digest.short(), "refused: {reason}"),
        _ => {}
    }
}

fn record(plugin: &str, digest: Digest, event: SwapEvent) -> SwapRecord {
    let (plugin, digest) = (plugin.to_owned(), digest.to_string());
    SwapRecord {
        at_ms: Now::read().wall_ms,
        plugin,
        digest,
        event,
    }
}

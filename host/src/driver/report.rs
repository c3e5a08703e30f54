//! How what happens to a job shows in its status and in the log.

use tracing::{info, warn};

use super::run::cadence::Now;
use super::versions::succession::VersionEvent;
use crate::batch::Digest;
use crate::observe::status::{CandidateStatus, Status, SwapEvent, SwapRecord};

/// Shows a change of plugin versions in the status.
pub fn version(status: &mut Status, event: &VersionEvent) {
    match event {
        VersionEvent::Live {
            plugin,
            digest,
            batch,
            probation,
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
        VersionEvent::WaitsNoMore { plugin } => {
            status.plugins.entry(plugin.clone()).or_default().candidate = None;
        }
    }
}

/// Says a change of plugin versions in the log, where it is one that a user waits for.
#[expect(
    clippy::needless_pass_by_value,
    reason = "it is handed to listeners, which own events"
)]
pub fn log_version(event: VersionEvent) {
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

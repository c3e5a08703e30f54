//! The newest checkpoint of a job: where the job stood, what ran, and what streams held.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::text::write_record;
use crate::cli::error::{CliError, Fault};
use crate::cli::show;
use crate::dataflow::{Frozen, FrozenPart, Piece, PieceKind, StreamForm};
use crate::driver::directory::job_of;
use crate::driver::recovery::checkpoint::{JobCheckpoint, Loaded, newest};
use crate::journal::{Checkpoints, Directory, Manifest};
use crate::topology::problem::with_causes;

/// What of it is shown.
pub(super) fn describe(path: &Path, keys: usize) -> Result<String, CliError> {
    let dir = job_directory(path)?;
    let job = job_of(&dir).map_err(|error| {
        let dir = dir.display();
        CliError::new(Fault::Usage, format!("no job has run in `{dir}`: {error}"))
            .hint("give the directory of a job, such as `.dshost/NAME`")
    })?;
    let checkpoints = Checkpoints::new(Arc::new(Directory::open(&dir)), job);
    let found = newest(&checkpoints).map_err(|error| CliError::job(&error))?;
    let mut out = String::new();
    for error in &found.passed_over {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "cannot be used: {}", with_causes(error));
    }
    let Some((manifest, Loaded { frozen, .. })) = found.checkpoint else {
        let _ = writeln!(out, "no checkpoint yet");
        return Ok(out);
    };
    standing(&mut out, &manifest);
    streams(&mut out, &manifest, &frozen, keys);
    Ok(out)
}

/// The job's directory that is meant: itself, its folder of checkpoints, or what holds only one.
fn job_directory(path: &Path) -> Result<PathBuf, CliError> {
    if path.join("incarnation").exists() {
        return Ok(path.to_owned());
    }
    if let Some(above) = path
        .parent()
        .filter(|above| above.join("incarnation").exists())
    {
        return Ok(above.to_owned());
    }
    let entries = std::fs::read_dir(path).map_err(|error| CliError::job(&error))?;
    let below = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let mut jobs: Vec<PathBuf> = below
        .filter(|below| below.join("incarnation").exists())
        .collect();
    jobs.sort();
    match &jobs[..] {
        [one] => Ok(one.clone()),
        [] => Ok(path.to_owned()),
        many => {
            let names = many.iter().map(|path| path.display().to_string());
            Err(CliError::new(
                Fault::Usage,
                format!("{} jobs lie in `{}`", many.len(), path.display()),
            )
            .details(names)
            .hint("give one of them"))
        }
    }
}

/// Where the job stood, and what ran.
fn standing(out: &mut String, manifest: &Manifest<JobCheckpoint>) {
    let JobCheckpoint { history, .. } = &manifest.job;
    let last = history
        .last
        .map_or_else(|| "none".to_owned(), |last| last.to_string());
    let _ = writeln!(out, "batch       {last}");
    let _ = writeln!(out, "made at     {} ms", manifest.job.at_ms);
    let _ = writeln!(
        out,
        "by          start {} of job {}",
        manifest.incarnation.number, manifest.incarnation.job
    );
    let _ = writeln!(
        out,
        "covers      the log up to group {}",
        manifest.position.0
    );
    let _ = writeln!(
        out,
        "not run     {} batches that were cut",
        history.cut.len()
    );
    let _ = writeln!(out, "\nplugins");
    for (plugin, digest) in &history.programs {
        let probation = history.probation.get(plugin);
        let probation = probation.map_or_else(String::new, |probation| {
            format!("  on probation for {} batches", probation.left)
        });
        let _ = writeln!(out, "  {plugin}  {digest}{probation}");
    }
    for (plugin, refused) in &history.refused {
        let (digest, reason) = (refused.digest, &refused.reason);
        let _ = writeln!(out, "  {plugin}  {digest}  refused: {reason}");
    }
    let _ = writeln!(out, "\nsources");
    for (source, lanes) in &history.lanes {
        let _ = writeln!(out, "  {source}  {} lanes", lanes.len());
        for part in lanes.values().take(MOST_LANES) {
            let upto = part.upto.as_number();
            let upto = upto.map_or_else(String::new, |upto| format!("  up to {upto}"));
            let _ = writeln!(out, "    {}{upto}", part.lane);
        }
        if lanes.len() > MOST_LANES {
            let _ = writeln!(out, "    …");
        }
    }
}

/// Lanes of a source that are shown.
const MOST_LANES: usize = 20;

/// What streams held.
fn streams(out: &mut String, manifest: &Manifest<JobCheckpoint>, frozen: &Frozen, keys: usize) {
    let mut bytes: BTreeMap<&str, u64> = BTreeMap::new();
    for part in &manifest.parts {
        let size: u64 = part.files.iter().map(|file| file.bytes).sum();
        *bytes.entry(&part.stream).or_default() += size;
    }
    let mut parts: BTreeMap<&str, Vec<&FrozenPart>> = BTreeMap::new();
    for part in &frozen.parts {
        parts.entry(&part.form.stream).or_default().push(part);
    }
    let _ = writeln!(out, "\nstreams");
    for (stream, parts) in parts {
        let records = |part: &&FrozenPart| -> usize {
            let pieces = part.held.pieces().filter(|piece| shown(piece.kind));
            pieces.map(|piece| piece.chunk.len()).sum()
        };
        let records: usize = parts.iter().map(records).sum();
        let size = show::bytes(bytes.get(stream).copied().unwrap_or_default());
        let form = &parts[0].form;
        let _ = writeln!(
            out,
            "  {stream}  {}{}, {} partitions, {} {}, {size}",
            form.op,
            state(form),
            parts.len(),
            show::grouped(records as u64),
            if form.state.is_some() {
                "keys"
            } else {
                "records"
            },
        );
        let pieces = parts.iter().flat_map(|part| part.held.pieces());
        let lines = pieces.filter(|piece| shown(piece.kind)).flat_map(lines);
        for line in lines.take(keys) {
            let _ = writeln!(out, "    {line}");
        }
        if records > keys {
            let _ = writeln!(out, "    …");
        }
    }
}

/// What the states of a stream are.
fn state(form: &StreamForm) -> String {
    form.state.map_or_else(String::new, |state| {
        format!(
            ", state ({}, {}) of version {}",
            state.key, state.state, state.version
        )
    })
}

/// Whether it holds records, and not what is known of others.
const fn shown(kind: PieceKind) -> bool {
    !matches!(kind, PieceKind::Times)
}

/// The records of a piece as text, each with the batch that it came in where that is kept.
fn lines(piece: Piece) -> impl Iterator<Item = String> {
    let batch = piece.kind.batch();
    let batch = batch.map_or_else(String::new, |batch| format!("{batch}  "));
    (0..piece.chunk.len()).map(move |index| {
        let mut text = Vec::new();
        write_record(&mut text, &piece.chunk, index);
        format!("{batch}{}", String::from_utf8_lossy(&text).escape_debug())
    })
}

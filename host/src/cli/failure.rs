//! How the errors of a job read, each with its exit code, its details and a hint.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::build::BuildError;
use super::error::{CliError, Fault};
use super::load;
use super::new::NewError;
use crate::batch::Digest;
use crate::batch::function::Trap;
use crate::dataflow::{Failure, FailureKind};
use crate::driver::JobError;
use crate::driver::failure::trouble::{BatchError, Blamed, Trouble};
use crate::driver::versions::deployment::ComposeError;
use crate::driver::versions::initial::InitialErrorKind;
use crate::driver::versions::load::PluginsError;
use crate::plugin::LoadError;
use crate::topology::problem::with_causes;

/// A job's error as the user sees it.
pub(super) fn describe(error: &JobError, topology: &Path) -> CliError {
    match error {
        JobError::Plugins(error) => plugins(error, topology),
        JobError::OpenSource { error: cause, .. } | JobError::LostSource { error: cause, .. } => {
            CliError::job(error).maybe_hint(cause.hint.clone())
        }
        JobError::OpenSink { error: cause, .. } => {
            CliError::job(error).maybe_hint(cause.hint.clone())
        }
        JobError::Publish(cause) => CliError::job(error).maybe_hint(cause.hint()),
        JobError::Batch(error) => batch(error),
        JobError::Recovery(cause) => {
            CliError::job(error).maybe_hint(cause.hint().or_else(|| disk(error)))
        }
        JobError::Directory(_) => CliError::job(error).maybe_hint(disk(error)),
        JobError::Threads(_) | JobError::TemporaryDirectory(_) => CliError::job(error),
    }
}

/// What is wrong with the plugins of a topology.
pub(super) fn plugins(error: &PluginsError, topology: &Path) -> CliError {
    match error {
        PluginsError::Engine(_) => CliError::job(error),
        PluginsError::Keep(_) => CliError::job(error).maybe_hint(disk(error)),
        PluginsError::Load(errors) => load_errors(errors, topology),
        PluginsError::Compose(ComposeError(problems)) => {
            load::problems(&problems.clone().in_file(topology))
        }
        PluginsError::Swap(_) => CliError::usage(error),
        PluginsError::Initial(error) => match &error.kind {
            InitialErrorKind::Lines(problems) => load::problems(problems),
            other => CliError::usage(error).maybe_hint(other.hint()),
        },
    }
}

fn load_errors(errors: &[LoadError], topology: &Path) -> CliError {
    let missing = errors.iter().any(LoadError::is_missing);
    let error = match errors {
        [one] => CliError::usage(one),
        many => CliError::new(
            Fault::Usage,
            format!("{} plugins cannot be loaded", many.len()),
        )
        .details(many.iter().map(|error| with_causes(error))),
    };
    let hint = errors.iter().find_map(LoadError::hint);
    if missing {
        error.hint(format!("build it: `dshost build {}`", topology.display()))
    } else {
        error.maybe_hint(hint)
    }
}

pub(super) fn batch(error: &BatchError) -> CliError {
    let described = CliError::job(error);
    match &error.trouble {
        Trouble::Dataflow { failure, .. } => dataflow(described, failure),
        Trouble::Guilty(blamed) => guilty(described, blamed)
            .hint("`on_error = \"skip\"` counts and samples such records instead, `\"dead_letter\"` also keeps them"),
        Trouble::Deadly(_) => described
            .hint("when what ended it is mended, `dshost run --retry` tries the batch again"),
        Trouble::Record(_) => described.maybe_hint(disk(error)),
        Trouble::TooMuchGuilty(blamed) => guilty(described, blamed),
        Trouble::Sink { error, .. } => described.maybe_hint(error.hint.clone()),
    }
}

/// What the user can do where the last cause is that a disk does not do what it was asked.
fn disk(error: &(dyn Error + 'static)) -> Option<String> {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    let cause = cause.downcast_ref::<io::Error>()?;
    Some(match cause.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "free some space on its disk and start the job again: it goes on where it stood"
                .to_owned()
        }
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "the job needs a directory that it may write to".to_owned()
        }
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists => {
            "a file stands where a directory is to be".to_owned()
        }
        _ if cause.raw_os_error() == Some(libc::EIO) => {
            "the disk may be broken; once it is not, start the job again: it goes on where it stood"
                .to_owned()
        }
        _ => return None,
    })
}

fn guilty(described: CliError, blamed: &Blamed) -> CliError {
    let key = blamed.key.iter().map(|key| format!("key `{key}`"));
    described
        .details(key)
        .details(trap(blamed.plugin, &blamed.trap))
}

/// The version of a plugin that trapped, and what it said.
fn trap(plugin: Digest, trap: &Trap) -> Vec<String> {
    let backtrace = trap.backtrace.iter().map(|line| format!("  {line}"));
    std::iter::once(format!("plugin version {plugin}"))
        .chain(backtrace)
        .collect()
}

/// What went wrong with a build; cargo has said the rest.
pub(super) fn build(error: &BuildError) -> CliError {
    CliError::job(error).maybe_hint(error.hint())
}

/// A folder that cannot be begun.
pub(super) fn new(error: &NewError) -> CliError {
    let described = match error {
        NewError::Name { .. } => CliError::usage(error),
        NewError::Exists { .. } | NewError::Io { .. } => CliError::job(error),
    };
    described.maybe_hint(error.hint())
}

fn dataflow(described: CliError, failure: &Failure) -> CliError {
    match &failure.kind {
        FailureKind::Trap(call) => described.details(trap(call.plugin, &call.trap)),
        FailureKind::Rejected(_) => {
            described.hint("`on_error = \"skip\"` counts and samples such records instead, `\"dead_letter\"` also keeps them")
        }
        FailureKind::Source(error) => described.maybe_hint(error.hint.clone()),
        FailureKind::Sink(error) => described.maybe_hint(error.hint.clone()),
        FailureKind::TooLarge { limit, .. } => {
            let smaller = "a smaller `max_bytes_per_batch` gives smaller batches";
            described.hint(match limit.key() {
                Some(key) => format!("a larger `{key}` allows more, {smaller}"),
                None => smaller.to_owned(),
            })
        }
    }
}

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
use crate::control::socket::ControlError;
use crate::dataflow::{Failure, FailureKind};
use crate::driver::JobError;
use crate::driver::directory::DirectoryError;
use crate::driver::failure::trouble::{BatchError, Blamed, Trouble};
use crate::driver::recovery::start::RecoveryError;
use crate::driver::versions::deployment::ComposeError;
use crate::driver::versions::initial::InitialErrorKind;
use crate::driver::versions::load::PluginsError;
use crate::plugin::LoadError;
use crate::topology::problem::with_causes;

/// A job's error as the user sees it.
pub(super) fn describe(error: &JobError, topology: &Path) -> CliError {
    let described = match error {
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
        JobError::Directory(DirectoryError::InUse(_)) => {
            CliError::job(error).hint("`dshost status` shows it; stop it first")
        }
        JobError::Directory(_) => CliError::job(error).maybe_hint(disk(error)),
        JobError::RootLost(_) | JobError::Threads(_) | JobError::TemporaryDirectory(_) => {
            CliError::job(error)
        }
    };
    match fault(error) {
        // A plugin or a topology that is wrong is told as such.
        Fault::Job => described,
        fault => described.of(fault),
    }
}

/// Whether another start may go better than one that ended with `error`.
fn fault(error: &JobError) -> Fault {
    let may_pass = match error {
        JobError::Directory(DirectoryError::InUse(_)) => return Fault::Fenced,
        // What a disk could not keep once this start does not trust again, but the next may.
        JobError::RootLost(_) | JobError::Threads(_) => true,
        JobError::OpenSource { error, .. } | JobError::LostSource { error, .. } => {
            error.is_passing()
        }
        JobError::OpenSink { error, .. } => !error.lasting,
        JobError::Batch(error) | JobError::Recovery(RecoveryError::Replay(error)) => {
            may_batch_pass(&error.trouble)
        }
        JobError::Recovery(RecoveryError::Input { error, .. }) => error.is_passing(),
        // It was asked to stop, and what is missing is told: whoever asked decides.
        JobError::Publish(_) => false,
        JobError::Directory(_)
        | JobError::Plugins(_)
        | JobError::Recovery(_)
        | JobError::TemporaryDirectory(_) => may_system_pass(error),
    };
    if may_pass { Fault::Again } else { Fault::Job }
}

/// Whether another start may commit a batch with which this one ended.
fn may_batch_pass(trouble: &Trouble) -> bool {
    match trouble {
        // A journal that failed once is not trusted again by this start, but by the next.
        Trouble::Record(error) => may_system_pass(error),
        Trouble::Sink { error, .. } => !error.lasting,
        Trouble::Dataflow { failure, .. } => match &failure.kind {
            FailureKind::Sink(error) => !error.lasting,
            FailureKind::Source(error) => error.is_passing(),
            FailureKind::Trap(_) | FailureKind::Rejected(_) | FailureKind::TooLarge { .. } => false,
        },
        Trouble::Guilty(_) | Trouble::TooMuchGuilty(_) | Trouble::Deadly(_) => false,
    }
}

/// Whether the system refused something that it may grant the next time: a disk that was full or
/// failed, no memory, no file descriptor. Not what somebody must mend: missing rights, a path that
/// is something else, and all that is no error of the system.
fn may_system_pass(error: &(dyn Error + 'static)) -> bool {
    last_cause(error).is_some_and(|error| {
        !matches!(
            error.kind(),
            ErrorKind::PermissionDenied
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::NotFound
                | ErrorKind::NotADirectory
                | ErrorKind::IsADirectory
                | ErrorKind::AlreadyExists
                | ErrorKind::InvalidInput
                | ErrorKind::InvalidData
                | ErrorKind::UnexpectedEof
                | ErrorKind::InvalidFilename
                | ErrorKind::Unsupported
        )
    })
}

/// The last cause of an error, where it is one of the system's.
fn last_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.last()?.downcast_ref()
}

/// The control socket of a job that cannot be made.
pub(super) fn control(error: &ControlError) -> CliError {
    let described = CliError::job(error);
    match may_system_pass(error) {
        true => described.of(Fault::Again),
        false => described,
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
    let cause = last_cause(error)?;
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

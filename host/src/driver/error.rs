//! Why a job cannot start or go on.

use crate::batch::sink::SinkError;
use crate::batch::source::SourceError;
use crate::journal::StorageError;
use crate::sink::lane::PublishError;

use super::directory::DirectoryError;
use super::failure::trouble::BatchError;
use super::recovery::start::RecoveryError;
use super::versions::load::PluginsError;

/// A job that cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Its directory is in use or unusable.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Its plugins cannot be loaded or do not fit.
    #[error(transparent)]
    Plugins(#[from] PluginsError),
    /// A source cannot be opened.
    #[error("cannot open source `{source_name}`: {error}")]
    OpenSource {
        /// The source.
        source_name: String,
        /// Why.
        error: SourceError,
    },
    /// A sink cannot be opened.
    #[error("cannot open sink `{sink}`: {error}")]
    OpenSink {
        /// The sink.
        sink: String,
        /// Why.
        error: SinkError,
    },
    /// A source can never deliver again.
    #[error("source `{source_name}` failed: {error}")]
    LostSource {
        /// The source.
        source_name: String,
        /// Why.
        error: SourceError,
    },
    /// A sink can never publish again, or got no further while the job was to stop.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// A batch cannot be committed.
    #[error(transparent)]
    Batch(#[from] BatchError),
    /// It cannot go on where an earlier start ended.
    #[error(transparent)]
    Recovery(#[from] RecoveryError),
    /// What it is given may be gone after a crash, so that no checkpoint can be made.
    #[error("the job's root cannot be trusted any more")]
    RootLost(#[source] StorageError),
    /// The system gives no threads.
    #[error("cannot start the job's threads")]
    Threads(#[source] std::io::Error),
    /// There is no place for the files of a rehearsal.
    #[error("cannot make a temporary directory")]
    TemporaryDirectory(#[source] std::io::Error),
}

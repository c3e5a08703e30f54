//! Why a plugin could not be made ready to run.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::batch::function::Trap;

use crate::plugin::engine::EngineError;
use crate::plugin::load::imports::ImportError;
use crate::plugin::load::signature::DescriptionError;
use crate::plugin::wire;

/// The largest stack limit: the threads that call guests have 2 MiB, and the host needs its part.
pub(crate) const MAX_STACK_BYTES: usize = 1024 * 1024;

/// A plugin that could not be made ready to run.
#[derive(Debug, thiserror::Error)]
#[error("cannot load plugin `{plugin}` from `{}`", path.display())]
pub struct LoadError {
    /// The plugin's name.
    pub plugin: String,
    /// Its file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: Box<LoadErrorKind>,
}

impl LoadError {
    pub(super) fn new(plugin: &str, path: &Path, kind: LoadErrorKind) -> Self {
        Self {
            plugin: plugin.to_owned(),
            path: path.to_owned(),
            kind: Box::new(kind),
        }
    }
}

/// Why a plugin could not be made ready to run.
#[derive(Debug, thiserror::Error)]
pub enum LoadErrorKind {
    /// The file cannot be opened or read.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    /// A version that a batch ran is wanted, and it is not kept.
    #[error("it is not kept: {0}")]
    NotKept(&'static str),
    /// A directory, a pipe, a device.
    #[error("it is {0}, not a file")]
    NotAFile(&'static str),
    /// A link that leads out of the plugin directory.
    #[error("it leads out of the plugin directory, to `{}`", .0.display())]
    Elsewhere(PathBuf),
    /// The file passes `limits.component`.
    #[error("it is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A file of no bytes.
    #[error("it is empty")]
    Empty,
    /// Something else than wasm.
    #[error("it is not WebAssembly but {0}")]
    NotWasm(&'static str),
    /// Wasm of a version that nobody writes.
    #[error("it is neither a component nor a core module of WebAssembly 1")]
    UnknownVersion,
    /// Broken, truncated, or with features that are off.
    #[error("it is not valid: {0}")]
    Invalid(String),
    /// It asks for more memory or larger tables at its start than any instance gets.
    #[error("it needs more than an instance can have: {0}")]
    TooNeedy(String),
    /// A core module that cannot be turned into a component.
    #[error("it is a core module that cannot be made a component: {0}")]
    NoComponent(String),
    /// Compiling passed `limits.compile`.
    #[error("it did not compile within {} s", limit.as_secs_f64())]
    CompileTime {
        /// The limit.
        limit: Duration,
    },
    /// Earlier compilations passed their time and are still going on.
    #[error("{0} earlier compilations passed their time and are still going on")]
    CompilersBusy(usize),
    /// The compiler itself failed.
    #[error("the compiler failed")]
    Compiler,
    /// `limits.stack` is larger than a thread has.
    #[error("its stack limit of {asked} bytes is more than the {MAX_STACK_BYTES} there are")]
    Stack {
        /// The limit asked for.
        asked: usize,
    },
    /// No engine for its limits.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It imports what it may not.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// It does not export the contract.
    #[error("it does not export `{interface}@{}`", wire::VERSION)]
    NotAPlugin {
        /// The interface.
        interface: &'static str,
    },
    /// It exports the contract in another version.
    #[error(
        "it exports `{found}`, but this dshost speaks version {}",
        wire::VERSION
    )]
    Version {
        /// What it exports.
        found: String,
    },
    /// An export has another type than the contract's.
    #[error("its `{function}` has another type than it should: {detail}")]
    Export {
        /// The function.
        function: &'static str,
        /// What differs.
        detail: String,
    },
    /// It trapped, or did not end, when asked what it holds.
    #[error("it could not say what it holds")]
    Describe(#[source] Trap),
    /// What it says of itself makes no sense.
    #[error(transparent)]
    Description(#[from] DescriptionError),
}

impl LoadError {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(&*self.kind, LoadErrorKind::Unreadable(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// Whether it may go well the next time, with the same file.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(*self.kind, LoadErrorKind::CompilersBusy(_))
    }

    /// Whether nothing is known of the file, because the system does not give it, or not what it takes.
    #[must_use]
    pub fn is_of_system(&self) -> bool {
        match &*self.kind {
            LoadErrorKind::Unreadable(error) => error.kind() != io::ErrorKind::NotFound,
            _ => self.is_passing(),
        }
    }

    /// What the user can do, if anything is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.kind.hint()
    }
}

impl LoadErrorKind {
    /// What the user can do, if anything is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => {
                "`dshost build TOPOLOGY` builds the plugins of a topology"
            }
            Self::Unreadable(_) => "check the file's permissions",
            Self::Elsewhere(_) => "copy the file into the directory",
            Self::NotAFile(_) => "a plugin is one file, `NAME.wasm`",
            Self::TooLarge { .. } => {
                "strip it of debug information, or raise `component` under `[plugins.limits]`"
            }
            Self::Empty | Self::Invalid(_) => "it may be half written; build it again",
            Self::NotWasm("the text form of WebAssembly") => {
                "translate it first, for instance with `wasm-tools parse`"
            }
            Self::NotWasm(_) | Self::UnknownVersion => {
                "build it with `dshost build`, or for the target `wasm32-wasip2`"
            }
            Self::NoComponent(_) | Self::NotAPlugin { .. } => {
                "is it a library (`crate-type = [\"cdylib\"]`) with `plugin!(…)` in it?"
            }
            Self::TooNeedy(what) if what.starts_with("memory") => {
                "raise `memory` under `[plugins.limits]`"
            }
            Self::CompileTime { .. } => "raise `compile` under `[plugins.limits]`",
            Self::CompilersBusy(_) => "try again later",
            Self::Stack { .. } => "lower `stack` under `[plugins.limits]`",
            Self::Import(error) => error.hint(),
            Self::Version { .. } | Self::Export { .. } | Self::Description(_) => {
                "rebuild it with the SDK of this dshost"
            }
            Self::NotKept(_)
            | Self::TooNeedy(_)
            | Self::Compiler
            | Self::Engine(_)
            | Self::Describe(_) => {
                return None;
            }
        };
        Some(hint.to_owned())
    }
}

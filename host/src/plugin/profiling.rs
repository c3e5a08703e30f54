//! The names of guests' functions, for a profiler outside the process.
//!
//! A guest's machine code lies in no file that `perf` could look names up in, so wasmtime writes
//! down which function lies where whenever code is loaded, compiled now or long ago. The code
//! itself is the same with it and without, and so are its entries in the cache. The names are those
//! of the component's name section; a function without one is called by its number.

use std::path::PathBuf;
use std::process;

use wasmtime::ProfilingStrategy;

use crate::plugin::engine::EngineError;

/// Where `perf` looks for maps; nothing can tell it another place.
const MAPS: &str = "/tmp";

/// Whether the names of guests' functions are written down, and in which form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profiling {
    /// They are not.
    #[default]
    Off,
    /// An address, a size and a name a line, in `/tmp/perf-PID.map`. It is read when samples are
    /// shown, so code that took the place of other code since lends it its name.
    PerfMap,
    /// In `jit-PID.dump` in the current directory, with the machine code and the time from which on
    /// it was there, for `perf inject --jit`.
    JitDump,
}

impl Profiling {
    pub(super) const fn strategy(self) -> ProfilingStrategy {
        match self {
            Self::Off => ProfilingStrategy::None,
            Self::PerfMap => ProfilingStrategy::PerfMap,
            Self::JitDump => ProfilingStrategy::JitDump,
        }
    }

    /// The file that the names of this process are written to.
    #[must_use]
    pub fn file(self) -> Option<PathBuf> {
        let process = process::id();
        match self {
            Self::Off => None,
            Self::PerfMap => Some(PathBuf::from(format!("{MAPS}/perf-{process}.map"))),
            Self::JitDump => {
                let dir = std::env::current_dir().unwrap_or_default();
                Some(dir.join(format!("jit-{process}.dump")))
            }
        }
    }

    /// Opens the file, which stays open for all engines of this process: an engine that then cannot
    /// be made fails for another reason.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub(super) fn begin(self) -> Result<(), EngineError> {
        let Some(path) = self.file() else {
            return Ok(());
        };
        let mut config = wasmtime::Config::new();
        config.profiler(self.strategy());
        match wasmtime::Engine::new(&config) {
            Ok(_) => Ok(()),
            Err(source) => Err(EngineError::Profiling { path, source }),
        }
    }
}

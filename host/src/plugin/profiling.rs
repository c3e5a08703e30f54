//! The names of guests' functions, for a profiler outside the process.
//!
//! A guest's machine code lies in no file that `perf` could look names up in, so wasmtime writes
//! down which function lies where whenever code is loaded, compiled now or long ago. The code
//! itself is the same with it and without, and so are its entries in the cache. The names are those
//! of the component's name section; a function without one is called by its number.
//!
//! wasmtime's other form for `perf`, jitdump, is not offered: each module of a component names all
//! code of it there, and the last one, which knows only numbers, wins.

use std::path::PathBuf;
use std::process;

use wasmtime::ProfilingStrategy;

/// Where `perf` looks for maps; it cannot be told another place.
const MAPS: &str = "/tmp";

/// Names that cannot be written down.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the names of guests' functions for a profiler to `{}`", path.display())]
pub struct ProfilingError {
    path: PathBuf,
    source: wasmtime::Error,
}

/// Whether the names of guests' functions are written down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profiling {
    /// They are not.
    #[default]
    Off,
    /// An address, a size and a name a line, in `/tmp/perf-PID.map`. It is read when samples are
    /// shown, so code that has taken the place of other code since lends it its names.
    PerfMap,
}

impl Profiling {
    pub(super) const fn strategy(self) -> ProfilingStrategy {
        match self {
            Self::Off => ProfilingStrategy::None,
            Self::PerfMap => ProfilingStrategy::PerfMap,
        }
    }

    /// The file that the names of this process are written to.
    #[must_use]
    pub fn file(self) -> Option<PathBuf> {
        match self {
            Self::Off => None,
            Self::PerfMap => Some(PathBuf::from(format!("{MAPS}/perf-{}.map", process::id()))),
        }
    }

    /// Opens the file, which stays open for all engines of this process: an engine that then cannot
    /// be made fails for another reason.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub(super) fn begin(self) -> Result<(), ProfilingError> {
        let Some(path) = self.file() else {
            return Ok(());
        };
        let mut config = wasmtime::Config::new();
        config.profiler(self.strategy());
        match wasmtime::Engine::new(&config) {
            Ok(_) => Ok(()),
            Err(source) => Err(ProfilingError { path, source }),
        }
    }
}

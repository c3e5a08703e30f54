//! A file becomes a component, or is refused with the reason.
//!
//! In this order, each step failing as early as it can: read (size-capped) → told apart → taken
//! from the cache, or compiled within a time → imports linked → exports looked up → described.
//! Nothing here runs on the batch path; whoever calls [`Engine::load`] does so from a thread of its
//! own.

pub(crate) mod component;
pub(crate) mod error;
pub(crate) mod file;
pub mod signature;

pub(in crate::plugin) mod compile;
mod imports;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use crate::topology::plan::Limits;

use crate::plugin::engine::Engine;
use crate::plugin::load::compile::{Binary, code};
use crate::plugin::load::component::Component;
use crate::plugin::load::error::{LoadError, LoadErrorKind, MAX_STACK_BYTES};

impl Engine {
    /// Loads a plugin's bytes; `path` is where they come from. Takes as long as a compilation does;
    /// not for the batch path.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn load_bytes(
        &self,
        plugin: &str,
        path: &Path,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Arc<Component>, LoadError> {
        self.load_kind(plugin, bytes, limits)
            .map_err(|kind| LoadError::new(plugin, path, kind))
    }

    fn load_kind(
        &self,
        plugin: &str,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Arc<Component>, LoadErrorKind> {
        if bytes.len() > limits.component {
            return Err(LoadErrorKind::TooLarge {
                limit: limits.component,
            });
        }
        if limits.stack > MAX_STACK_BYTES {
            return Err(LoadErrorKind::Stack {
                asked: limits.stack,
            });
        }
        let binary = Binary::new(bytes)?;
        let wasm = self.with_stack(limits.stack)?;
        let code = code(self, &wasm, &binary, limits.compile)?;
        Component::new(self, &code, plugin, &binary, limits).map(Arc::new)
    }
}

// === Reading ===

/// Reads a regular file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, LoadErrorKind> {
    // A pipe is opened without waiting for a writer, and then refused.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(LoadErrorKind::Unreadable)?;
    let kind = file.metadata().map_err(LoadErrorKind::Unreadable)?;
    if kind.is_dir() {
        return Err(LoadErrorKind::NotAFile("a directory"));
    }
    if !kind.is_file() {
        return Err(LoadErrorKind::NotAFile("a pipe, a socket or a device"));
    }
    let mut bytes = Vec::new();
    // A byte more than the limit says that there is more; the length on disk may change meanwhile.
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(LoadErrorKind::Unreadable)?;
    if bytes.len() > limit {
        return Err(LoadErrorKind::TooLarge { limit });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.wasm");
        std::fs::write(&file, [1, 2, 3]).unwrap();
        assert_eq!(read(&file, 3).unwrap(), [1, 2, 3]);
        assert!(matches!(
            read(&file, 2),
            Err(LoadErrorKind::TooLarge { limit: 2 })
        ));
        assert!(matches!(
            read(dir.path(), 9),
            Err(LoadErrorKind::NotAFile("a directory"))
        ));
        assert!(matches!(
            read(&dir.path().join("none"), 9),
            Err(LoadErrorKind::Unreadable(_))
        ));
        assert!(matches!(
            read(Path::new("/dev/null"), 9),
            Err(LoadErrorKind::NotAFile("a pipe, a socket or a device"))
        ));
    }
}

//! A plugin's file, read once: what is hashed is what is loaded.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::Digest;
use crate::plugin::engine::Engine;
use crate::plugin::load::component::Component;
use crate::plugin::load::error::{LoadError, LoadErrorKind};
use crate::plugin::load::read;
use crate::topology::plan::Limits;

/// The content of a component file, in memory.
#[derive(Clone, Debug)]
pub struct ComponentFile {
    plugin: String,
    path: PathBuf,
    bytes: Vec<u8>,
    digest: Digest,
}

impl ComponentFile {
    /// Where plugin `plugin` lies in a plugin directory.
    #[must_use]
    pub fn path(dir: &Path, plugin: &str) -> PathBuf {
        dir.join(format!("{plugin}.wasm"))
    }

    /// Reads the file of `plugin` in a plugin directory. A link must not lead out of the directory.
    ///
    /// # Errors
    ///
    /// It cannot be read, is no file, is too large, or lies elsewhere.
    pub fn read(dir: &Path, plugin: &str, limits: &Limits) -> Result<Self, LoadError> {
        let path = Self::path(dir, plugin);
        stays_inside(dir, &path)
            .map_err(|kind| LoadError {
                plugin: plugin.to_owned(),
                path: path.clone(),
                kind: Box::new(kind),
            })
            .and_then(|()| Self::open(plugin, &path, limits))
    }

    /// Reads any file as the plugin `plugin`.
    ///
    /// # Errors
    ///
    /// It cannot be read, is no file, or is too large.
    pub fn open(plugin: &str, path: &Path, limits: &Limits) -> Result<Self, LoadError> {
        let (plugin, path) = (plugin.to_owned(), path.to_owned());
        match read(&path, limits.component) {
            Ok(bytes) => Ok(Self::of(&plugin, &path, bytes)),
            Err(kind) => Err(LoadError {
                plugin,
                path,
                kind: Box::new(kind),
            }),
        }
    }

    /// What was read as the plugin `plugin`; `path` is where it comes from.
    #[must_use]
    pub fn of(plugin: &str, path: &Path, bytes: Vec<u8>) -> Self {
        Self {
            plugin: plugin.to_owned(),
            path: path.to_owned(),
            digest: Digest::of(&bytes),
            bytes,
        }
    }

    /// Its content.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of its content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl Engine {
    /// Compiles and checks what was read. Takes as long as a compilation does; not for the batch
    /// path.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn load(&self, file: &ComponentFile, limits: &Limits) -> Result<Arc<Component>, LoadError> {
        self.load_bytes(&file.plugin, &file.path, &file.bytes, limits)
    }
}

fn stays_inside(dir: &Path, path: &Path) -> Result<(), LoadErrorKind> {
    let real_dir = dir.canonicalize().map_err(LoadErrorKind::Unreadable)?;
    let real_path = path.canonicalize().map_err(LoadErrorKind::Unreadable)?;
    if real_path.starts_with(real_dir) {
        Ok(())
    } else {
        Err(LoadErrorKind::Elsewhere(real_path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_out_of_the_directory_is_no_plugin() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("plugins");
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        std::os::unix::fs::symlink("../secret", dir.join("p.wasm")).unwrap();
        let error = ComponentFile::read(&dir, "p", &Limits::default()).unwrap_err();
        assert!(
            matches!(*error.kind, LoadErrorKind::Elsewhere(_)),
            "{error:?}"
        );
        std::fs::write(dir.join("real"), "x").unwrap();
        std::fs::remove_file(dir.join("p.wasm")).unwrap();
        std::os::unix::fs::symlink("real", dir.join("p.wasm")).unwrap();
        assert!(ComponentFile::read(&dir, "p", &Limits::default()).is_ok());
    }
}

//! The components that a job needs, by digest, in its root: a version that a plan names can be
//! loaded again when its file is gone or is another.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tracing::warn;

use crate::batch::Digest;
use crate::journal::{Storage, StorageError, create_by_content};
use crate::plugin::{ComponentFile, LoadError, LoadErrorKind};

/// Where components lie in the root.
const FOLDER: &str = "plugins";

/// Keeps components.
#[derive(Clone, Debug)]
pub struct ComponentStore {
    root: Arc<dyn Storage>,
}

impl ComponentStore {
    /// One in a job's root.
    #[must_use]
    pub const fn new(root: Arc<dyn Storage>) -> Self {
        Self { root }
    }

    /// Keeps the bytes of a component, if they are not kept already.
    ///
    /// # Errors
    ///
    /// The storage's; the version must not be run then.
    pub fn keep(&self, file: &ComponentFile) -> Result<(), StorageError> {
        create_by_content(&*self.root, &name(file.digest()), file.bytes()).map(drop)
    }

    /// The version `digest` of `plugin`.
    ///
    /// # Errors
    ///
    /// It is not kept, or damaged, or cannot be read.
    pub fn get(&self, plugin: &str, digest: Digest) -> Result<ComponentFile, LoadError> {
        let name = name(digest);
        let path = PathBuf::from(&name);
        let file = self.root.get(&name).map_err(|error| {
            let error = io::Error::new(error.source.kind(), error);
            LoadErrorKind::Unreadable(error)
        });
        let file = file.and_then(|bytes| match bytes {
            Some(bytes) => Ok(ComponentFile::of(plugin, &path, bytes)),
            None => Err(LoadErrorKind::NotKept("the job's directory has lost it")),
        });
        let file = file.and_then(|file| match file.digest() == digest {
            true => Ok(file),
            false => Err(LoadErrorKind::NotKept("what stands there is damaged")),
        });
        file.map_err(|kind| LoadError {
            plugin: plugin.to_owned(),
            path,
            kind: Box::new(kind),
        })
    }

    /// Lets go of all components but those that are `named`. What stays in spite of it costs room
    /// only.
    pub fn retain(&self, named: &BTreeSet<Digest>) {
        let named: BTreeSet<String> = named.iter().map(|digest| file_name(*digest)).collect();
        let removed = self.root.list(FOLDER).and_then(|kept| {
            let gone = kept.iter().filter(|kept| !named.contains(*kept));
            gone.map(|gone| format!("{FOLDER}/{gone}"))
                .try_for_each(|gone| self.root.delete(&gone))
        });
        if let Err(error) = removed {
            warn!(%error, cause = %error.source, "plugin versions that nobody needs stay");
        }
    }
}

fn name(digest: Digest) -> String {
    format!("{FOLDER}/{}", file_name(digest))
}

fn file_name(digest: Digest) -> String {
    format!("{digest}.wasm")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Directory;

    fn file(content: &[u8]) -> ComponentFile {
        ComponentFile::of("p", &PathBuf::from("p.wasm"), content.to_vec())
    }

    #[test]
    fn a_version_is_there_as_long_as_it_is_named_and_what_is_damaged_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let store = ComponentStore::new(Arc::new(Directory::open(dir.path())));
        let (one, other) = (file(b"one"), file(b"other"));
        for file in [&one, &other, &one] {
            store.keep(file).unwrap();
        }
        assert_eq!(store.get("p", one.digest()).unwrap().bytes(), b"one");
        store.retain(&BTreeSet::from([other.digest()]));
        let gone = store.get("p", one.digest()).unwrap_err();
        assert!(gone.to_string().contains("plugins/"), "{gone}");
        let path = dir.path().join(name(other.digest()));
        std::fs::write(&path, "anoth").unwrap();
        let damaged = store.get("p", other.digest()).unwrap_err();
        assert!(format!("{:?}", damaged.kind).contains("damaged"));
        store.keep(&other).unwrap();
        assert_eq!(store.get("p", other.digest()).unwrap().bytes(), b"other");
    }
}

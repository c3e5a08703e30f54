//! The root of a job: objects with names, each created once.
//!
//! There is no append, no rename and no change, so that a directory and an object store serve alike,
//! and so that who creates a name first has it: the one promise on which fencing rests.
//!
//! **Invariant:** an object is there whole and durable, or not at all.

pub mod directory;

use std::fmt;
use std::io;

use tracing::warn;

/// The bytes of a name that is allowed, beside letters and digits.
const NAME_MARKS: &[u8] = b"-_.";

/// Where a root lies. Every call may take as long as a disk or a network does: none of it belongs
/// into the dataflow.
///
/// A name is made of parts that `/` separates; a part has ASCII letters, digits and `-_.`, and does
/// not begin with a point.
pub trait Storage: Send + Sync + fmt::Debug {
    /// Creates an object. It is durable once this returns, whoever created it.
    ///
    /// # Errors
    ///
    /// It may have been created all the same, whole: who must know reads it.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Creation, StorageError>;

    /// The bytes of an object, if it is there.
    ///
    /// # Errors
    ///
    /// It cannot be told, or cannot be read.
    fn get(&self, name: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// The objects whose names are `folder`, `/` and one more part, without `folder`, ascending.
    ///
    /// # Errors
    ///
    /// It cannot be told.
    fn list(&self, folder: &str) -> Result<Vec<String>, StorageError>;

    /// Deletes an object; also one that is not there. It may come back after a crash.
    ///
    /// # Errors
    ///
    /// It may have been deleted all the same.
    fn delete(&self, name: &str) -> Result<(), StorageError>;
}

/// Who created an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creation {
    /// This call.
    New,
    /// Another call before it; what it wrote stands.
    Exists,
}

/// Creates an object whose name says its content, so that one that is there already is the same. One
/// that is damaged is replaced.
///
/// # Errors
///
/// Those of the storage.
pub fn create_by_content(
    root: &dyn Storage,
    name: &str,
    bytes: &[u8],
) -> Result<Creation, StorageError> {
    let creation = root.create(name, bytes)?;
    if creation == Creation::New || root.get(name)?.is_some_and(|there| there == bytes) {
        return Ok(creation);
    }
    warn!(name, "an object is damaged, and is written again");
    root.delete(name)?;
    root.create(name, bytes)
}

/// Storage that does not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("cannot {act} `{name}`")]
pub struct StorageError {
    /// What was attempted: `create`, `read`, `list`, `delete`.
    pub act: &'static str,
    /// The object, and where it lies.
    pub name: String,
    /// Why.
    #[source]
    pub source: io::Error,
    /// What may become of it.
    pub fate: StorageFate,
}

/// What may become of a storage that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StorageFate {
    /// It may do the same another time: a disk may have room again.
    Passing,
    /// What it was given may be gone after a crash, and it cannot be asked: this process must not create
    /// anything there any more, and end.
    Lost,
}

/// Whether an object may have this name.
fn is_name(name: &str) -> bool {
    let is_part = |part: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || NAME_MARKS.contains(&byte);
        !part.is_empty() && !part.starts_with('.') && part.bytes().all(known)
    };
    name.split('/').all(is_part)
}

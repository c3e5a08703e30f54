//! What survives the process.
//!
//! [`storage`] is the contract of a job's root, where what is one per job lies: objects that are
//! created once, whole, and never changed; and a directory as such.
//!
//! Start reading at [`storage::Storage`].

pub mod storage;

pub use storage::directory::Directory;
pub use storage::{Creation, Storage, StorageError};

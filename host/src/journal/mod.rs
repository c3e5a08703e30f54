//! What survives the process.
//!
//! [`disk`] is the file system as the journal sees it, real or simulated. [`storage`] is the contract
//! of a job's root, where what is one per job lies: objects that are created once, whole, and never
//! changed; and a directory as such. [`local`] is the logs of one process, in segments of a directory.
//!
//! | where | what |
//! |---|---|
//! | `disk` | the file system, and one that forgets and fails |
//! | `storage` | the root of a job |
//! | `frame`, `segment` | a record in a file, and a file of them |
//! | `compression` | whether what sources received is compressed |
//! | `local` | what sources received and what the job decided, in the files of one directory |
//! | `checkpoint` | what the job held at a place of its log, in its root |
//!
//! Start reading at [`storage::Storage`], then [`local::LocalLog`].

pub mod checkpoint;
pub mod disk;
pub mod local;
pub mod storage;

mod compression;
mod frame;
mod segment;

pub use checkpoint::{
    CheckpointError, CheckpointFile, CheckpointPart, Checkpoints, KEPT, Manifest, Newest,
};
pub use local::{BlockName, JournalError, LocalLog, LogGroup, LogPosition};
pub use storage::directory::Directory;
pub use storage::{Creation, Storage, StorageError, StorageFate, create_by_content};

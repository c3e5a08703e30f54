//! The directory of a job: one process at a time holds it.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::topology::plan::Plan;

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It cannot be made or opened.
    #[error("cannot use the job's directory `{}`", .0.display())]
    Unusable(PathBuf, #[source] std::io::Error),
    /// Another process runs the job.
    #[error("the job's directory `{}` is in use by another process", .0.display())]
    InUse(PathBuf),
}

/// Where the job's lock and control socket live, also where nothing else is kept.
#[must_use]
pub fn job_directory(plan: &Plan, folder: &Path) -> PathBuf {
    let beside = || folder.join(".dshost");
    plan.settings
        .checkpoint
        .clone()
        .unwrap_or_else(beside)
        .join(&plan.name)
}

/// The locked directory of a running job; free again when it is dropped.
#[derive(Debug)]
pub struct JobDirectory {
    path: PathBuf,
    lock: File,
}

impl JobDirectory {
    /// Makes the directory where it is missing, and locks it.
    ///
    /// # Errors
    ///
    /// It cannot be used, or another process holds it.
    pub fn lock(path: &Path) -> Result<Self, DirectoryError> {
        let fail = |error| DirectoryError::Unusable(path.to_owned(), error);
        std::fs::create_dir_all(path).map_err(fail)?;
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        let lock = options.open(path.join("lock")).map_err(fail)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                lock,
            }),
            Err(std::fs::TryLockError::WouldBlock) => Err(DirectoryError::InUse(path.to_owned())),
            Err(std::fs::TryLockError::Error(error)) => Err(fail(error)),
        }
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for JobDirectory {
    fn drop(&mut self) {
        // Closing the file would release it too; this says so.
        let _ = self.lock.unlock();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_refused_until_the_first_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/job");
        let first = JobDirectory::lock(&path).unwrap();
        let second = JobDirectory::lock(&path);
        assert!(matches!(second, Err(DirectoryError::InUse(_))));
        drop(first);
        JobDirectory::lock(&path).unwrap();
    }
}

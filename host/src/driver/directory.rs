//! The directory of a job: one process at a time holds it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::batch::sink::{Incarnation, JobId};
use crate::journal::disk::Disk;
use crate::journal::disk::real::RealDisk;
use crate::observe::fault::{DiskCall, disk};
use crate::topology::plan::Plan;

/// A directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It cannot be made or opened.
    #[error("cannot use the job's directory `{}`", .0.display())]
    Unusable(PathBuf, #[source] io::Error),
    /// Another process runs the job.
    #[error("the job's directory `{}` is in use by another process", .0.display())]
    InUse(PathBuf),
}

/// The file that holds what names the job, and the number of its last start.
const INCARNATION: &str = "incarnation";

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
        // Durably: what is kept in it must not go with it.
        RealDisk.make_dir(path).map_err(fail)?;
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

    /// Names this start of the job: the next one of the job that the directory belongs to, on disk
    /// before anything bears its name. A new directory is a new job.
    ///
    /// # Errors
    ///
    /// It cannot be read or written, or what stands there is no such name.
    pub fn incarnation(&self) -> Result<Incarnation, DirectoryError> {
        let path = self.path.join(INCARNATION);
        next_incarnation(&self.path).map_err(|error| DirectoryError::Unusable(path, error))
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

/// The job that a directory belongs to.
///
/// # Errors
///
/// None has run there, or what says so is damaged.
pub fn job_of(dir: &Path) -> io::Result<JobId> {
    let text = std::fs::read_to_string(dir.join(INCARNATION))?;
    parse(&text).map(|(job, _)| job)
}

/// The job and its last start.
fn parse(text: &str) -> io::Result<(JobId, u64)> {
    let parts = text.trim_end().split_once(' ');
    let parsed = parts.and_then(|(job, last)| Some((job.parse().ok()?, last.parse().ok()?)));
    parsed.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is damaged"))
}

fn next_incarnation(dir: &Path) -> io::Result<Incarnation> {
    let path = dir.join(INCARNATION);
    let (job, last) = match std::fs::read_to_string(&path) {
        Ok(text) => parse(&text)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            (JobId(getrandom::u64().map_err(io::Error::other)?), 0u64)
        }
        Err(error) => return Err(error),
    };
    let number = last + 1;
    let staged = dir.join(".incarnation.tmp");
    disk(DiskCall::Write, &staged)?;
    let mut file = File::create(&staged)?;
    writeln!(file, "{job} {number}")?;
    file.sync_all()?;
    std::fs::rename(&staged, &path)?;
    File::open(dir)?.sync_all()?;
    Ok(Incarnation { job, number })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_start_has_a_number_and_every_directory_is_a_job() {
        let dir = tempfile::tempdir().unwrap();
        let start = |job: &str| {
            let directory = JobDirectory::lock(&dir.path().join(job)).unwrap();
            directory.incarnation().unwrap()
        };
        let (first, second, other) = (start("a"), start("a"), start("b"));
        assert_eq!((first.number, second.number, other.number), (1, 2, 1));
        assert_eq!(first.job, second.job);
        assert_ne!(first.job, other.job);
        std::fs::write(dir.path().join("a/incarnation"), "ten").unwrap();
        let directory = JobDirectory::lock(&dir.path().join("a")).unwrap();
        let error = directory.incarnation().unwrap_err();
        assert!(error.to_string().ends_with("a/incarnation`"), "{error}");
    }

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

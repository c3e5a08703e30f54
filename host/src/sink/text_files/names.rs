//! What the directories of batches are called, published and before.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use crate::batch::sink::JobId;
use crate::batch::{BatchTime, Round};
use crate::topology::sinks::TextFilesKeys;
use serde::{Deserialize, Serialize};

/// Who wrote a directory: which attempt of which batch, in which start of which job. It stands in
/// the directory's `_SUCCESS`, and is the sink's receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Mark {
    /// The job.
    pub(super) job: JobId,
    /// The number of its start.
    pub(super) incarnation: u64,
    /// The batch.
    pub(super) batch: BatchTime,
    /// The attempt.
    pub(super) round: Round,
}

/// What the directories of a sink are called.
#[derive(Clone, Debug)]
pub struct DirectoryNames {
    parent: PathBuf,
    /// Up to the time.
    start: OsString,
    /// From behind the time.
    end: OsString,
}

impl DirectoryNames {
    /// Those of a sink of a topology, in `dir` where it names no other place.
    pub(crate) fn of(dir: &Path, keys: &TextFilesKeys) -> Self {
        Self::new(dir, keys.prefix.clone(), keys.suffix.as_deref())
    }

    /// `PREFIX-<ms>[.SUFFIX]`; without a prefix `<ms>[.SUFFIX]` in `dir`.
    #[must_use]
    pub fn new(dir: &Path, prefix: Option<PathBuf>, suffix: Option<&str>) -> Self {
        let (parent, start) = match prefix {
            Some(prefix) => {
                let mut start = prefix.file_name().unwrap_or_default().to_owned();
                start.push("-");
                let parent = prefix.parent().unwrap_or(dir).to_owned();
                (parent, start)
            }
            None => (dir.to_owned(), OsString::new()),
        };
        let end = suffix.map(|suffix| format!(".{suffix}"));
        Self {
            parent,
            start,
            end: end.unwrap_or_default().into(),
        }
    }

    /// The directory in which all stand.
    pub(super) fn parent(&self) -> &Path {
        &self.parent
    }

    /// Where a batch is when it is published.
    #[must_use]
    pub fn published(&self, batch: BatchTime) -> PathBuf {
        self.parent.join(self.name(batch))
    }

    /// Where a batch is before: `.NAME.JOB-INCARNATION-ROUND.tmp`, so that nobody else's is taken
    /// for it.
    pub(super) fn staged(&self, mark: &Mark) -> PathBuf {
        let Mark {
            job,
            incarnation,
            batch,
            round,
        } = mark;
        let mut name = OsString::from(".");
        name.push(self.name(*batch));
        name.push(format!(".{job}-{incarnation}-{round}.tmp"));
        self.parent.join(name)
    }

    fn name(&self, batch: BatchTime) -> OsString {
        let mut name = self.start.clone();
        name.push(batch.to_string());
        name.push(&self.end);
        name
    }

    /// The batch whose published directory has this name.
    pub(super) fn of_published(&self, name: &OsStr) -> Option<BatchTime> {
        self.batch(name.as_encoded_bytes())
    }

    /// Whose staging directory has this name.
    pub(super) fn of_staged(&self, name: &OsStr) -> Option<Mark> {
        let name = name.as_encoded_bytes();
        let name = name.strip_prefix(b".")?.strip_suffix(b".tmp")?;
        let dot = name.iter().rposition(|&byte| byte == b'.')?;
        let batch = self.batch(&name[..dot])?;
        let mut owner = str::from_utf8(&name[dot + 1..]).ok()?.split('-');
        let mark = Mark {
            job: owner.next()?.parse().ok()?,
            incarnation: owner.next()?.parse().ok()?,
            batch,
            round: owner.next()?.parse().ok()?,
        };
        owner.next().is_none().then_some(mark)
    }

    fn batch(&self, name: &[u8]) -> Option<BatchTime> {
        let time = name
            .strip_prefix(self.start.as_encoded_bytes())?
            .strip_suffix(self.end.as_encoded_bytes())?;
        let time = str::from_utf8(time).ok()?;
        let batch = BatchTime(time.parse().ok()?);
        (batch.to_string() == time).then_some(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_whose_it_is_and_nothing_else_is_taken_for_one() {
        let names = DirectoryNames::new("/".as_ref(), Some("out/counts".into()), Some("txt"));
        let mark = Mark {
            job: JobId(0xab),
            incarnation: 3,
            batch: BatchTime(7000),
            round: 12,
        };
        let staged = names.staged(&mark);
        let name = staged.file_name().unwrap();
        assert_eq!(name, ".counts-7000.txt.00000000000000ab-3-12.tmp");
        assert_eq!(names.of_staged(name), Some(mark));
        for other in [
            ".counts-7000.txt.tmp",
            ".counts-7000.00000000000000ab-3-12.tmp",
            ".words-7000.txt.00000000000000ab-3-12.tmp",
            ".counts-7000.txt.00000000000000ab-3.tmp",
            ".counts-7000.txt.00000000000000ab-3-12-1.tmp",
        ] {
            assert_eq!(names.of_staged(other.as_ref()), None, "{other}");
        }
        let batch = |name: &str| names.of_published(name.as_ref());
        assert_eq!(batch("counts-7000.txt"), Some(BatchTime(7000)));
        assert_eq!(batch("counts--5.txt"), Some(BatchTime(-5)));
        for other in ["counts-+7.txt", "counts-07.txt", "counts-7", "counts-.txt"] {
            assert_eq!(batch(other), None, "{other}");
        }
    }
}

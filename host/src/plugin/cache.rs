//! Compiled code, kept by the digest of the component it was made from.
//!
//! Loading compiled code is as trusting as running a program: it must have been written by us. So
//! the directory and every file must belong to this user and be writable by nobody else, and every
//! entry starts with a checksum of the rest. What does not hold is compiled again. Entries lie in a
//! directory named by everything that makes code incompatible: wasmtime's version and settings, the
//! processor, and the way this crate makes a component of a core module.

use std::fs::{self, DirBuilder, File};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;
use tracing::{debug, warn};
use xxhash_rust::xxh3::Xxh3;

use crate::batch::Digest;

/// Raised when an entry's layout, or what it is made from, changes.
const FORMAT: u32 = 1;

/// Bytes of the checksum at the start of an entry.
const CHECKSUM_BYTES: usize = 32;

/// The largest entry that is read back: about ten times the code of the largest component.
const MAX_ENTRY_BYTES: u64 = 1024 * 1024 * 1024;

/// Entries of one engine; when there are more, the oldest go.
const MAX_ENTRIES: usize = 256;

/// Permission bits that let others write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// Where compiled code is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CacheDir {
    /// `dshost` below `XDG_CACHE_HOME`, or below `~/.cache`.
    OfUser,
    /// `dshost` below this directory.
    At(PathBuf),
    /// Nowhere.
    Off,
}

/// A directory of compiled code.
#[derive(Debug)]
pub(super) struct Cache {
    dir: PathBuf,
}

impl Cache {
    /// Opens the cache, making its directory; none if it cannot be trusted or made, which is told.
    pub(super) fn open(dir: &CacheDir) -> Option<Self> {
        let parent = match dir {
            CacheDir::OfUser => of_user()?,
            CacheDir::At(dir) => dir.clone(),
            CacheDir::Off => return None,
        };
        let dir = parent.join("dshost");
        match make_own(&dir) {
            Ok(()) => Some(Self { dir }),
            Err(error) => {
                warn!(dir = %dir.display(), %error, "compiled code is not kept");
                None
            }
        }
    }

    /// The compiled code of `digest`, if there is an entry that can be trusted.
    pub(super) fn get(&self, engine: &wasmtime::Engine, digest: Digest) -> Option<Vec<u8>> {
        let path = self.entry(engine, digest);
        match read(&path) {
            Ok(code) => Some(code),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                warn!(path = %path.display(), %error, "compiled code is made anew");
                None
            }
        }
    }

    /// Keeps compiled code. A failure costs the next start a compilation, no more.
    pub(super) fn put(&self, engine: &wasmtime::Engine, digest: Digest, code: &[u8]) {
        let path = self.entry(engine, digest);
        let kept = write(&path, code).and_then(|()| match path.parent() {
            Some(dir) => prune(dir, MAX_ENTRIES),
            None => Ok(()),
        });
        if let Err(error) = kept {
            debug!(path = %path.display(), %error, "compiled code is not kept");
        }
    }

    fn entry(&self, engine: &wasmtime::Engine, digest: Digest) -> PathBuf {
        let mut hasher = Xxh3::new();
        FORMAT.hash(&mut hasher);
        engine.precompile_compatibility_hash().hash(&mut hasher);
        let compatible = format!("{:016x}", hasher.finish());
        self.dir.join(compatible).join(format!("{digest}.cwasm"))
    }
}

fn of_user() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CACHE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".cache")))
}

/// Makes `dir` for this user alone, or checks that it is so.
fn make_own(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let metadata = fs::symlink_metadata(dir)?;
    if !metadata.is_dir() {
        return Err(io::Error::other("it is not a directory"));
    }
    check_own(&metadata)
}

fn check_own(metadata: &fs::Metadata) -> io::Result<()> {
    if metadata.uid() != user() {
        return Err(io::Error::other("it belongs to another user"));
    }
    if metadata.permissions().mode() & WRITABLE_BY_OTHERS != 0 {
        return Err(io::Error::other("others may write to it"));
    }
    Ok(())
}

#[expect(
    unsafe_code,
    reason = "the standard library does not tell the user's id"
)]
fn user() -> u32 {
    // SAFETY: `geteuid` has no preconditions and always succeeds.
    unsafe { libc::geteuid() }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    if let Some(dir) = path.parent() {
        check_own(&fs::symlink_metadata(dir)?)?;
    }
    // Never through a link, and never waiting for the other end of a pipe.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)?;
    let metadata = file.metadata()?;
    check_own(&metadata)?;
    if !metadata.is_file() || metadata.len() > MAX_ENTRY_BYTES {
        return Err(io::Error::other("it is no file of compiled code"));
    }
    let mut entry = Vec::with_capacity(metadata.len() as usize);
    file.take(MAX_ENTRY_BYTES).read_to_end(&mut entry)?;
    let Some((checksum, code)) = entry.split_at_checked(CHECKSUM_BYTES) else {
        return Err(io::Error::other("it is cut off"));
    };
    if checksum != Digest::of(code).0 {
        return Err(io::Error::other("its checksum does not fit"));
    }
    entry.drain(..CHECKSUM_BYTES);
    Ok(entry)
}

fn write(path: &Path, code: &[u8]) -> io::Result<()> {
    let dir = path
        .parent()
        .expect("an entry lies in the directory of its engine");
    make_own(dir)?;
    // Whole or not at all, and readable by this user only, as temporary files are.
    let mut file = NamedTempFile::new_in(dir)?;
    file.write_all(&Digest::of(code).0)?;
    file.write_all(code)?;
    file.persist(path)?;
    Ok(())
}

/// Removes the oldest files of `dir` until there are no more than `most`.
fn prune(dir: &Path, most: usize) -> io::Result<()> {
    let mut entries = fs::read_dir(dir)?
        .map(|entry| entry.and_then(|entry| Ok((entry.metadata()?.modified()?, entry.path()))))
        .collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    let surplus = entries.len().saturating_sub(most);
    entries
        .iter()
        .take(surplus)
        .try_for_each(|(_, path)| fs::remove_file(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CODE: &[u8] = b"compiled";

    struct Fixture {
        engine: wasmtime::Engine,
        dir: tempfile::TempDir,
        digest: Digest,
    }

    impl Fixture {
        fn new() -> Self {
            Self {
                engine: wasmtime::Engine::default(),
                dir: tempfile::tempdir().unwrap(),
                digest: Digest::of(b"a component"),
            }
        }

        fn cache(&self) -> Option<Cache> {
            Cache::open(&CacheDir::At(self.dir.path().to_owned()))
        }

        fn filled(&self) -> (Cache, PathBuf) {
            let cache = self.cache().expect("a directory of our own");
            cache.put(&self.engine, self.digest, CODE);
            let path = cache.entry(&self.engine, self.digest);
            (cache, path)
        }

        fn get(&self, cache: &Cache) -> Option<Vec<u8>> {
            cache.get(&self.engine, self.digest)
        }
    }

    fn allow(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_was_put_is_found_again() {
        let fixture = Fixture::new();
        let (cache, path) = fixture.filled();
        assert_eq!(fixture.get(&cache).as_deref(), Some(CODE));
        assert_eq!(
            fs::metadata(path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(cache.get(&fixture.engine, Digest::of(b"another")), None);
    }

    #[test]
    fn another_engine_finds_nothing() {
        let fixture = Fixture::new();
        let (cache, _) = fixture.filled();
        let other = wasmtime::Engine::new(wasmtime::Config::new().epoch_interruption(true));
        assert_eq!(cache.get(&other.unwrap(), fixture.digest), None);
    }

    #[test]
    fn a_tampered_or_truncated_entry_is_not_used() {
        let fixture = Fixture::new();
        let (cache, path) = fixture.filled();
        let whole = fs::read(&path).unwrap();
        for length in [0, 31, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(fixture.get(&cache), None, "{length} bytes");
        }
        let mut tampered = whole.clone();
        *tampered.last_mut().unwrap() ^= 1;
        fs::write(&path, tampered).unwrap();
        assert_eq!(fixture.get(&cache), None);
        fs::write(&path, whole).unwrap();
        assert!(fixture.get(&cache).is_some());
    }

    #[test]
    fn what_others_may_write_is_not_used() {
        let fixture = Fixture::new();
        let (cache, path) = fixture.filled();
        allow(&path, 0o620);
        assert_eq!(fixture.get(&cache), None);
        allow(&path, 0o600);
        allow(path.parent().unwrap(), 0o777);
        assert_eq!(fixture.get(&cache), None);
        allow(path.parent().unwrap(), 0o700);
        allow(&cache.dir, 0o770);
        assert!(fixture.cache().is_none());
    }

    #[test]
    fn a_link_in_place_of_an_entry_is_not_followed() {
        let fixture = Fixture::new();
        let (cache, path) = fixture.filled();
        let elsewhere = fixture.dir.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        assert_eq!(fixture.get(&cache), None);
    }

    #[test]
    fn the_oldest_entries_go() {
        let dir = tempfile::tempdir().unwrap();
        for (age, name) in ["newest", "middle", "oldest"].into_iter().enumerate() {
            let file = File::create(dir.path().join(name)).unwrap();
            let age = std::time::Duration::from_secs(age as u64);
            file.set_modified(std::time::SystemTime::UNIX_EPOCH - age)
                .unwrap();
        }
        prune(dir.path(), 2).unwrap();
        assert!(!dir.path().join("oldest").exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_place_that_cannot_be_used_is_done_without() {
        let fixture = Fixture::new();
        fs::write(fixture.dir.path().join("dshost"), "a file").unwrap();
        assert!(fixture.cache().is_none());
        assert!(Cache::open(&CacheDir::Off).is_none());
    }
}

//! What the end-to-end tests share: the binary, guests, folders, waiting.

pub mod guests;
pub mod job;
pub mod scripted;

use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test gives up. No test asserts that something is fast.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// The `dshost` command, without the caller's environment.
pub fn dshost() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dshost"));
    command
        .env_remove("DSHOST_LOG")
        .env("NO_COLOR", "1")
        .stdin(Stdio::null());
    command
}

/// A folder with a topology and its plugins.
pub struct Folder {
    pub path: tempfile::TempDir,
}

impl Folder {
    /// With an empty plugin directory.
    pub fn new() -> Self {
        let path = tempfile::tempdir().unwrap();
        fs::create_dir(path.path().join("plugins")).unwrap();
        Self { path }
    }

    /// Writes `topology.toml` and gives its path.
    pub fn topology(&self, text: &str) -> PathBuf {
        self.file("topology.toml", text)
    }

    /// Writes a file and gives its path.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Puts the guest crate `guest` into the plugin directory as plugin `name`, the way `dshost
    /// build` does.
    pub fn install(&self, guest: &str, name: &str) {
        install(guest, &self.plugin(name));
    }

    /// Puts the same code in place of plugin `name` as another version: with a custom section that
    /// means nothing.
    pub fn install_again(&self, name: &str) {
        let mut component = fs::read(self.plugin(name)).unwrap();
        component.extend(b"\x00\x05\x04note");
        let staged = self.file(".staged.tmp", "");
        fs::write(&staged, component).unwrap();
        fs::rename(staged, self.plugin(name)).unwrap();
    }

    /// Where plugin `name` lies.
    pub fn plugin(&self, name: &str) -> PathBuf {
        self.path
            .path()
            .join("plugins")
            .join(format!("{name}.wasm"))
    }
}

/// Builds a guest and renames it to `path`.
pub fn install(guest: &str, path: &Path) {
    let built = guests::build(guest, guests::Target::Wasip2);
    let staged = path.with_file_name(format!(".{guest}-{}.tmp", std::process::id()));
    fs::copy(built, &staged).unwrap();
    fs::rename(staged, path).unwrap();
}

/// Runs a command to its end.
pub fn output(command: &mut Command) -> Output {
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    finish(Running { child })
}

/// A process that is ended with the test.
pub struct Running {
    pub child: Child,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Sends a signal to it.
    pub fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.child.id()).unwrap();
        // SAFETY: a plain system call; the child is ours and not yet waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }
}

/// Waits for the end of a process whose output is piped, within [`PATIENCE`].
pub fn finish(mut running: Running) -> Output {
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(mut pipe) = pipe {
                let _ = pipe.read_to_end(&mut bytes);
            }
            bytes
        })
    };
    let stdout = read(running.child.stdout.take().map(|pipe| Box::new(pipe) as _));
    let stderr = read(running.child.stderr.take().map(|pipe| Box::new(pipe) as _));
    let status = wait_for("the process to end", || running.child.try_wait().unwrap());
    Output {
        status,
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    }
}

/// The seeds of a test that goes by chance, each printed: `DSHOST_SEED` for one that is to be run again,
/// or `DSHOST_SEEDS` new ones, one unless it says more.
pub fn seeds() -> impl Iterator<Item = u64> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|number| number.parse().unwrap())
    };
    let (one, many): (Option<u64>, u64) =
        (number("DSHOST_SEED"), number("DSHOST_SEEDS").unwrap_or(1));
    let first = one.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let count = one.map_or(many, |_| 1);
    (0..count)
        .map(move |index| first.wrapping_add(index))
        .inspect(|seed| println!("DSHOST_SEED={seed}"))
}

/// Looks again and again until there is something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The job's connection; a job that failed never comes.
pub fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let (peer, _) = wait_for("the job to connect", || listener.accept().ok());
    peer.set_nonblocking(false).unwrap();
    peer
}

/// Standard error as text.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output as text.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Asserts that all `parts` stand in what a command said.
pub fn assert_said(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "`{part}` in:\n{said}");
    }
}

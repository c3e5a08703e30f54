//! `perf`, attached to this process: it samples what is recorded, and nothing between.

use std::fs;
use std::io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write, pipe};
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use command_fds::{CommandFdExt, FdMapping};
use dshost::plugin::Profiling;

/// CPU time from sample to sample.
pub const PERIOD_NS: u64 = 250_000;

/// The descriptors over which `perf` is told what to do, and answers.
const CONTROL: i32 = 3;
const ANSWERS: i32 = 4;

/// What `perf` cannot do.
#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    #[error(
        "`perf` is not installed: `apt install linux-perf` (Debian), `linux-tools-generic` (Ubuntu), \
         `dnf install perf`, `pacman -S perf`"
    )]
    Missing,
    #[error("cannot start `perf`")]
    Start(#[source] io::Error),
    #[error("`perf` ended:\n{}", .0.trim_end())]
    Ended(String),
    #[error("`perf` does not answer")]
    Control(#[source] io::Error),
    #[error("what `perf` has recorded cannot be kept")]
    Keep(#[source] io::Error),
}

/// What is recorded of this process, with threads that are started after it began.
pub struct Recorder {
    perf: Child,
    control: PipeWriter,
    answers: BufReader<PipeReader>,
    folder: tempfile::TempDir,
}

impl Recorder {
    /// Attaches `perf` to this process. Code that is loaded later is known to it only if it is loaded
    /// while something is recorded.
    ///
    /// # Errors
    ///
    /// There is no `perf`, or it may not look.
    pub fn attach() -> Result<Self, PerfError> {
        let folder = tempfile::tempdir().map_err(PerfError::Keep)?;
        let (told, control) = pipe().map_err(PerfError::Start)?;
        let (answers, answer) = pipe().map_err(PerfError::Start)?;
        let mut perf = Command::new("perf");
        perf.args(["record", "--quiet", "--no-buildid-cache", "--delay=-1"])
            .args(["--event=cpu-clock", &format!("--count={PERIOD_NS}")])
            .arg(format!("--control=fd:{CONTROL},{ANSWERS}"))
            .arg(format!("--pid={}", std::process::id()))
            .arg("--output")
            .arg(folder.path().join("perf.data"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mappings = [(told.into(), CONTROL), (answer.into(), ANSWERS)];
        let mappings = mappings.map(|(parent_fd, child_fd)| FdMapping {
            parent_fd,
            child_fd,
        });
        perf.fd_mappings(mappings.into())
            .map_err(|error| PerfError::Start(io::Error::other(error)))?;
        let child = perf.spawn().map_err(not_started)?;
        // Our copies of its ends go, so that its end is heard.
        drop(perf);
        let mut recorder = Self {
            perf: child,
            control,
            answers: BufReader::new(answers),
            folder,
        };
        // Answered once it is attached.
        recorder.tell("ping")?;
        Ok(recorder)
    }

    /// Does `work`, and samples it.
    ///
    /// # Errors
    ///
    /// `perf` has ended.
    pub fn record<T>(&mut self, work: impl FnOnce() -> T) -> Result<T, PerfError> {
        self.tell("enable")?;
        let done = work();
        self.tell("disable")?;
        Ok(done)
    }

    /// All samples, a line each, symbols of the host mangled.
    ///
    /// # Errors
    ///
    /// `perf` has failed.
    pub fn finish(mut self) -> Result<String, PerfError> {
        let stopped = self.control.write_all(b"stop\n");
        stopped.map_err(PerfError::Control)?;
        let (status, said) = self.ended()?;
        if !status.success() {
            return Err(PerfError::Ended(said));
        }
        let data = self.folder.path().join("perf.data");
        let script = Command::new("perf")
            .args(["script", "--no-demangle", "--fields=pid,tid,ip,sym,dso"])
            .arg("--input")
            .arg(data)
            .output();
        let Output {
            status,
            stdout,
            stderr,
        } = script.map_err(not_started)?;
        match status.success() {
            true => Ok(String::from_utf8_lossy(&stdout).into_owned()),
            false => Err(PerfError::Ended(
                String::from_utf8_lossy(&stderr).into_owned(),
            )),
        }
    }

    fn tell(&mut self, command: &str) -> Result<(), PerfError> {
        let mut answer = String::new();
        let told =
            writeln!(self.control, "{command}").and_then(|()| self.answers.read_line(&mut answer));
        match told {
            Ok(1..) => Ok(()),
            // It has gone.
            Ok(0) => Err(PerfError::Ended(self.ended()?.1)),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                Err(PerfError::Ended(self.ended()?.1))
            }
            Err(error) => Err(PerfError::Control(error)),
        }
    }

    /// Waits for its end; what it said.
    fn ended(&mut self) -> Result<(ExitStatus, String), PerfError> {
        let mut said = String::new();
        if let Some(mut stderr) = self.perf.stderr.take() {
            stderr
                .read_to_string(&mut said)
                .map_err(PerfError::Control)?;
        }
        let status = self.perf.wait().map_err(PerfError::Control)?;
        Ok((status, said))
    }
}

/// Whether there is a `perf`.
///
/// # Errors
///
/// There is none.
pub fn check() -> Result<(), PerfError> {
    let version = Command::new("perf").arg("--version").output();
    version.map(drop).map_err(not_started)
}

fn not_started(error: io::Error) -> PerfError {
    match error.kind() {
        io::ErrorKind::NotFound => PerfError::Missing,
        _ => PerfError::Start(error),
    }
}

/// Removes the map of guests' functions: what an earlier process of the same number has left would be
/// taken for ours.
pub fn forget_names() {
    if let Some(map) = Profiling::PerfMap.file() {
        // Where there is none, there is nothing to forget.
        let _ = fs::remove_file(map);
    }
}

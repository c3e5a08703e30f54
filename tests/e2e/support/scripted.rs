//! A job on clocks that stand still: the test says what is received before which cut, and how the
//! labels go on. So the output of a run that was killed is, byte for byte, that of one that was not.
//!
//! Start reading at [`Scripted::play`].

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use dshost::control::socket::{ControlError, ask_status, move_clock};
use dshost::driver::run::clock::CLOCK;
use dshost::observe::fault::CRASH_AT;
use dshost::observe::status::Status;

use super::job::server;
use super::{Folder, Running, dshost, finish, stderr, wait_for};

/// The interval of its batches, in milliseconds.
pub const INTERVAL: i64 = 10;

/// A batch of the script: its label, and the lines that are received for it.
pub type Step = (i64, &'static [&'static str]);

/// How the job gets its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file for each batch.
    Files,
    /// Over TCP, from a sender that goes on where it is told.
    Sent,
}

/// What sinks show: by the path below the folder, what is in a file.
pub type Shown = BTreeMap<PathBuf, String>;

/// A job, its script, and the input so far.
pub struct Scripted {
    pub folder: Folder,
    pub topology: PathBuf,
    script: &'static [Step],
    /// Each start has another number of workers, which makes no difference.
    starts: Cell<usize>,
    /// After each batch it is given time for a checkpoint.
    paced: bool,
    /// None: the input is files.
    sender: Option<Sender>,
}

/// How a start of the job went.
pub enum Played {
    /// It died.
    Died(Output),
    /// It has cut the last batch of the script.
    ToTheEnd(Running),
}

impl Scripted {
    /// A job of the `streams` and sinks that read the stream `lines`; everything that sinks write lies
    /// in `out`.
    pub fn new(input: Input, script: &'static [Step], settings: &str, streams: &str) -> Self {
        let folder = Folder::new();
        folder.install("ops", "ops");
        fs::create_dir(folder.path.path().join("in")).unwrap();
        let (sender, source) = match input {
            Input::Files => (None, "type = \"files\"\ndir = \"in\"".to_owned()),
            Input::Sent => {
                let (sender, source) = Sender::new(script);
                (Some(sender), format!("{source}\nack = true"))
            }
        };
        let topology = folder.topology(&format!(
            "[topology]\nname = \"scripted\"\nbatch = \"{INTERVAL}ms\"\n{settings}\n\
             [plugins]\ndir = \"plugins\"\n[source.lines]\n{source}\npartitions = 3\n{streams}"
        ));
        Self {
            folder,
            topology,
            script,
            starts: Cell::new(0),
            paced: false,
            sender,
        }
    }

    /// After each batch it is given time for a checkpoint.
    pub fn paced(mut self) -> Self {
        self.paced = true;
        self
    }

    /// Its directory.
    pub fn job(&self) -> PathBuf {
        self.folder.path.path().join(".dshost/scripted")
    }

    /// Starts it with its clocks stopped, the wall clock at `wall_ms`.
    pub fn start(&self, wall_ms: i64, prepare: impl FnOnce(&mut Command)) -> Running {
        self.sender.iter().for_each(|sender| sender.send(0));
        let mut command = dshost();
        let workers = 1 + self.starts.replace(self.starts.get() + 1) % 3;
        command.arg("run").arg(&self.topology);
        command.args(["--workers", &workers.to_string()]);
        command.env(CLOCK, wall_ms.to_string());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        prepare(&mut command);
        Running {
            child: command.spawn().unwrap(),
        }
    }

    /// Gives a job that has just started the rest of the script, from where it stands, until it dies or
    /// all is cut.
    pub fn play(&self, mut running: Running) -> Played {
        let mut began = None;
        loop {
            // It goes on with the first batch that it has not said in its log.
            let Some(open) = self.ask(&mut running, |job| move_clock(job, Duration::ZERO, 0))
            else {
                return Played::Died(finish(running));
            };
            let Some(next) = self.script.iter().position(|(label, _)| *label >= open.0) else {
                return Played::ToTheEnd(running);
            };
            let began = *began.get_or_insert(next);
            self.give(next);
            if !self.has_received(&mut running, began..next + 1) {
                return Played::Died(finish(running));
            }
            let checkpoints = self.checkpoints();
            let elapsed = Duration::from_millis(INTERVAL as u64);
            let (label, lines) = self.script[next];
            if self
                .ask(&mut running, |job| move_clock(job, elapsed, label))
                .is_none()
            {
                return Played::Died(finish(running));
            }
            // A cut may be said in the log some time after it was made, and one of nothing never is:
            // after a death what comes next would be received for this batch. A sender is told how far to
            // go.
            let waits = lines.is_empty() || self.sender.is_none();
            if waits && !self.has_committed(&mut running, label) {
                return Played::Died(finish(running));
            }
            if self.paced {
                self.let_checkpoint(&mut running, &checkpoints);
            }
        }
    }

    /// Plays a start of the job that is to die at a stage.
    pub fn dies(&self, crash: &str) {
        self.dies_once_ready(crash, |_| true);
    }

    /// The same, where its batches wait until its status shows something.
    pub fn dies_once_ready(&self, crash: &str, ready: impl FnMut(&Status) -> bool) {
        let mut running = self.start(0, |command| {
            command.env(CRASH_AT, crash);
        });
        self.is(&mut running, ready);
        let said = match self.play(running) {
            Played::Died(said) => said,
            // What is under way beside the batches gets there soon.
            Played::ToTheEnd(running) => finish(running),
        };
        let signal = said.status.signal();
        assert_eq!(signal, Some(libc::SIGKILL), "{crash}: {}", stderr(&said));
    }

    /// Plays the rest, and stops the job; what its sinks show then.
    pub fn finish(&self) -> Shown {
        let running = match self.play(self.start(0, |_| ())) {
            Played::ToTheEnd(running) => running,
            Played::Died(said) => panic!("{}", stderr(&said)),
        };
        running.signal(libc::SIGTERM);
        let said = finish(running);
        assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
        self.shown()
    }

    /// What its sinks show. What stands in a directory's `_SUCCESS` tells starts apart, and is left out.
    pub fn shown(&self) -> Shown {
        let mut shown = Shown::new();
        let out = self.folder.path.path().join("out");
        for dir in fs::read_dir(out).unwrap() {
            let dir = dir.unwrap().path();
            assert!(dir.join("_SUCCESS").exists(), "{}", dir.display());
            for file in fs::read_dir(&dir).unwrap() {
                let name = file.unwrap().file_name();
                let success = name == "_SUCCESS";
                let text = match success {
                    true => String::new(),
                    false => fs::read_to_string(dir.join(&name)).unwrap(),
                };
                shown.insert(Path::new(dir.file_name().unwrap()).join(name), text);
            }
        }
        shown
    }

    /// How many batches its sinks show, all together.
    pub fn published(&self) -> usize {
        let out = fs::read_dir(self.folder.path.path().join("out"));
        let names = out
            .into_iter()
            .flatten()
            .map(|dir| dir.unwrap().file_name());
        let shown = names.filter(|name| !name.to_string_lossy().starts_with('.'));
        shown.count()
    }

    /// Asks the job until it answers; none: it has died.
    pub fn ask<T>(
        &self,
        running: &mut Running,
        ask: impl Fn(&Path) -> Result<T, ControlError>,
    ) -> Option<T> {
        let job = self.job();
        wait_closely("the job to answer", || match ask(&job) {
            Ok(answer) => Some(Some(answer)),
            Err(_) => running.child.try_wait().unwrap().map(|_| None),
        })
    }

    /// The names of its checkpoints.
    fn checkpoints(&self) -> BTreeSet<OsString> {
        let found = fs::read_dir(self.job().join("checkpoints"));
        let found = found.into_iter().flatten();
        found.map(|entry| entry.unwrap().file_name()).collect()
    }

    /// Waits a while for other checkpoints than these: none may be due.
    fn let_checkpoint(&self, running: &mut Running, before: &BTreeSet<OsString>) {
        for _ in 0..100 {
            let is_over = running.child.try_wait().unwrap().is_some();
            if is_over || self.checkpoints() != *before {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Lets the job have the input of a step.
    pub fn give(&self, step: usize) {
        if let Some(sender) = &self.sender {
            return sender.send(bytes(&self.script[..=step]));
        }
        let text = text(self.script[step].1);
        if !text.is_empty() {
            let name = format!("{step:03}.txt");
            let (dir, staged) = (self.folder.path.path().join("in"), format!(".{name}"));
            // It lies there already where a start has died since.
            if !dir.join(&name).exists() {
                fs::write(dir.join(&staged), text).unwrap();
                fs::rename(dir.join(&staged), dir.join(&name)).unwrap();
            }
        }
    }

    /// Waits until this start of the job has received the input of these steps and no more; false: it
    /// has died.
    pub fn has_received(&self, running: &mut Running, steps: std::ops::Range<usize>) -> bool {
        let expected = bytes(&self.script[steps]) as u64;
        self.is(running, |status| {
            let received = status.sources[0].1.received_bytes;
            assert!(received <= expected, "{received} bytes of {expected}");
            received == expected
        })
    }

    /// Waits until a batch is committed; false: the job has died.
    pub fn has_committed(&self, running: &mut Running, label: i64) -> bool {
        self.is(running, |status| {
            status.last.is_some_and(|last| last.time.0 >= label)
        })
    }

    /// Waits until something is so; false: the job has died.
    pub fn is(&self, running: &mut Running, mut is: impl FnMut(&Status) -> bool) -> bool {
        wait_closely("the job's status", || {
            let status = self.ask(running, ask_status);
            status.map_or(Some(false), |status| is(&status).then_some(true))
        })
    }
}

/// As [`wait_for`], for what comes within a few milliseconds.
fn wait_closely<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..100 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    wait_for(what, look)
}

fn text(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// How many bytes the lines of some steps have.
fn bytes(steps: &[Step]) -> usize {
    let lines = steps.iter().flat_map(|(_, lines)| *lines);
    lines.map(|line| line.len() + 1).sum()
}

/// Sends the lines of the script, so many of their bytes as it may, from where each start of the job
/// says.
struct Sender {
    upto: Arc<(Mutex<usize>, Condvar)>,
}

impl Sender {
    fn new(script: &'static [Step]) -> (Self, String) {
        let (listener, source) = server();
        let upto = Arc::new((Mutex::new(0), Condvar::new()));
        let told = Arc::clone(&upto);
        std::thread::spawn(move || serve(&listener, script, &told));
        (Self { upto }, source)
    }

    fn send(&self, upto: usize) {
        let (limit, changed) = &*self.upto;
        *limit.lock().unwrap() = upto;
        changed.notify_all();
    }
}

fn serve(listener: &TcpListener, script: &[Step], upto: &Arc<(Mutex<usize>, Condvar)>) {
    let lines = script.iter().flat_map(|(_, lines)| *lines);
    let all: String = lines.map(|line| format!("{line}\n")).collect();
    for stream in listener.incoming() {
        let Ok(stream) = stream else { return };
        let (all, upto) = (all.clone(), Arc::clone(upto));
        // The job dies now and then, and its next start connects while this one still waits.
        std::thread::spawn(move || send(&stream, all.as_bytes(), &upto));
    }
}

fn send(mut stream: &TcpStream, all: &[u8], upto: &(Mutex<usize>, Condvar)) -> std::io::Result<()> {
    stream.write_all(b"the sender\n")?;
    let mut told = BufReader::new(stream.try_clone()?).lines();
    let from = told.next().ok_or(std::io::ErrorKind::UnexpectedEof)??;
    let mut sent: usize = from.parse().unwrap();
    let over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let ended = Arc::clone(&over);
    std::thread::spawn(move || {
        told.for_each(drop);
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    let (limit, changed) = upto;
    while !over.load(std::sync::atomic::Ordering::Relaxed) {
        let upto = *limit.lock().unwrap();
        if sent < upto {
            stream.write_all(&all[sent..upto])?;
            sent = upto;
        }
        let waits = |upto: &mut usize| *upto <= sent;
        let limit = limit.lock().unwrap();
        let waited = changed.wait_timeout_while(limit, Duration::from_millis(50), waits);
        drop(waited.unwrap());
    }
    Ok(())
}

//! The control socket: how `dshost status` and `dshost plugins` reach a running job.
//!
//! A Unix socket with mode 0600 in the job's directory. A request is one JSON line, and so is its
//! answer; a client may ask as often as it likes, and one that says nothing holds up nobody else.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tracing::debug;

use crate::batch::{BatchTime, Digest, whole_millis};
use crate::driver::event::{Answer, Mail, Request, RollbackState};
use crate::observe::mask::Masks;
use crate::observe::status::Status;

/// The longest request, in bytes.
const MAX_REQUEST: u64 = 64 * 1024;

/// The longest answer that a client reads, in bytes.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// Clients that are served at the same time; more wait.
const MAX_CLIENTS: usize = 64;

/// How long the job waits for a client that neither asks nor reads.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);

/// How long a client waits for the job, and a request for its answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause after a connection that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The name of the socket in the job's directory.
const SOCKET: &str = "control.sock";

/// A job that cannot be made reachable, or cannot be reached.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The socket cannot be made.
    #[error("cannot listen on `{}`", .0.display())]
    Listen(PathBuf, #[source] std::io::Error),
    /// No job listens.
    #[error("the job is not running: nothing listens on `{}`", .0.display())]
    NotRunning(PathBuf),
    /// The job listens but does not answer as it should.
    #[error("the job does not answer on `{}`", .0.display())]
    NoAnswer(PathBuf, #[source] std::io::Error),
    /// The job cannot do what it was asked.
    #[error("the job answers: {0}")]
    Refused(String),
}

/// The socket of a running job; removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket(PathBuf);

impl ControlSocket {
    /// Answers requests on `runtime`, as long as that lives, without what is masked. `directory` is the job's, which the
    /// caller holds the lock of.
    ///
    /// # Errors
    ///
    /// The socket cannot be made.
    pub fn serve(
        directory: &Path,
        runtime: &Handle,
        mail: Mail,
        masks: Masks,
    ) -> Result<Self, ControlError> {
        let path = directory.join(SOCKET);
        let fail = |error| ControlError::Listen(path.clone(), error);
        // The lock is held, so what lies there was left by a process that is gone.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        let directory = File::open(directory).map_err(fail)?;
        let inside = runtime.enter();
        let listener = UnixListener::bind(short_path(&directory)).map_err(fail)?;
        drop(inside);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(fail)?;
        runtime.spawn(accept(listener, mail, masks));
        Ok(Self(path))
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // A socket that stays behind is replaced at the next start.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The socket's path by way of the open directory: `sun_path` holds only 108 bytes.
fn short_path(directory: &File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", directory.as_raw_fd()))
}

// === The job's side ===

async fn accept(listener: UnixListener, mail: Mail, masks: Masks) {
    let clients = Arc::new(Semaphore::new(MAX_CLIENTS));
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&clients).acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (mail, masks) = (mail.clone(), masks.clone());
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, &mail, &masks).await {
                        debug!("a control connection failed: {error}");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                debug!("cannot accept a control connection: {error}");
                // It fails at once, again and again, while no descriptor is free.
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers one client until it leaves or says nothing for too long.
async fn serve(stream: tokio::net::UnixStream, mail: &Mail, masks: &Masks) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut reader = tokio::io::BufReader::new(reader);
    loop {
        let mut line = Vec::new();
        let mut bounded = (&mut reader).take(MAX_REQUEST);
        let read = bounded.read_until(b'\n', &mut line);
        // A line without an end is too long, or its sender has gone.
        match timeout(CLIENT_PATIENCE, read).await?? {
            0 => return Ok(()),
            _ if line.last() != Some(&b'\n') && line.len() as u64 == MAX_REQUEST => return Ok(()),
            _ => {}
        }
        let answer = match serde_json::from_slice(&line) {
            Ok(request) => ask(mail, request).await,
            Err(error) => Answer::Error(format!("not a request: {error}")),
        };
        let mut answer = serde_json::to_value(&answer)?;
        masks.json(&mut answer);
        let line = line_of(&answer)?;
        timeout(CLIENT_PATIENCE, writer.write_all(&line)).await??;
    }
}

async fn ask(mail: &Mail, request: Request) -> Answer {
    let (sender, answer) = oneshot::channel();
    let reply = move |answer| {
        // Who asked may have given up.
        let _ = sender.send(answer);
    };
    mail.ask(request, Box::new(reply));
    match timeout(PATIENCE, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Answer::Error("the job has just ended".to_owned()),
        Err(_) => Answer::Error(format!("the job gave no answer within {PATIENCE:?}")),
    }
}

fn line_of(message: &impl Serialize) -> std::io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    Ok(line)
}

// === The client's side ===

/// Asks the running job of a directory for its status.
///
/// # Errors
///
/// The job is not running, or does not answer.
pub fn ask_status(path: &Path) -> Result<Status, ControlError> {
    match request(path, &Request::Status)? {
        Answer::Status(status) => Ok(*status),
        Answer::Error(message) => Err(ControlError::Refused(message)),
        _ => Err(ControlError::Refused(OTHER.to_owned())),
    }
}

/// Asks the running job of a directory to go back to the version of a plugin before the last swap; the
/// version that its next batch takes.
///
/// # Errors
///
/// The job is not running, does not answer, or cannot do it.
pub fn ask_rollback(
    path: &Path,
    plugin: &str,
    state: RollbackState,
) -> Result<Digest, ControlError> {
    let plugin = plugin.to_owned();
    match request(path, &Request::Rollback { plugin, state })? {
        Answer::RolledBack(digest) => Ok(digest),
        Answer::Error(message) => Err(ControlError::Refused(message)),
        _ => Err(ControlError::Refused(OTHER.to_owned())),
    }
}

/// Moves the clocks of the running job of a directory, which a test has stopped
/// ([`crate::driver::run::clock`]): the monotonic one by `elapsed`, the wall clock to `wall_ms`. The label
/// of the interval that is open until then; if it is over, it is cut before the next request is answered.
///
/// # Errors
///
/// The job is not running, does not answer, or its clocks run by themselves.
pub fn move_clock(path: &Path, elapsed: Duration, wall_ms: i64) -> Result<BatchTime, ControlError> {
    let elapsed_ms = whole_millis(elapsed).unsigned_abs();
    let moved = Request::MoveClock {
        elapsed_ms,
        wall_ms,
    };
    match request(path, &moved)? {
        Answer::Open(label) => Ok(label),
        Answer::Error(message) => Err(ControlError::Refused(message)),
        _ => Err(ControlError::Refused(OTHER.to_owned())),
    }
}

/// What is said of an answer to another request.
const OTHER: &str = "it answered something else";

fn request(path: &Path, request: &Request) -> Result<Answer, ControlError> {
    let socket = path.join(SOCKET);
    let not_running = || ControlError::NotRunning(socket.clone());
    let directory = File::open(path).map_err(|_| not_running())?;
    let stream = UnixStream::connect(short_path(&directory)).map_err(|_| not_running())?;
    let ask = || -> std::io::Result<Answer> {
        // A little longer than the job's own side takes to say that it has no answer.
        stream.set_read_timeout(Some(PATIENCE * 2))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        (&stream).write_all(&line_of(request)?)?;
        let mut line = String::new();
        BufReader::new((&stream).take(MAX_ANSWER)).read_line(&mut line)?;
        Ok(serde_json::from_str(&line)?)
    };
    ask().map_err(|error| ControlError::NoAnswer(socket, patient(error)))
}

/// A time that ran out, in words.
fn patient(error: std::io::Error) -> std::io::Error {
    match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            std::io::Error::other(format!("there was no answer within {:?}", PATIENCE * 2))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::event::{Event, Inbox};

    /// A job that answers everything with its name, until its inbox is dropped.
    fn answering(inbox: Inbox) -> std::thread::JoinHandle<()> {
        std::thread::spawn(move || {
            while let Some(event) = inbox.next() {
                if let Event::Request { reply, .. } = event {
                    reply(Answer::Status(Box::new(Status {
                        job: "wordcount".to_owned(),
                        ..Status::default()
                    })));
                }
            }
        })
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap()
    }

    /// What is answered to a line.
    fn say(path: &Path, line: &[u8]) -> String {
        let directory = File::open(path).unwrap();
        let stream = UnixStream::connect(short_path(&directory)).unwrap();
        (&stream).write_all(line).unwrap();
        let mut answer = String::new();
        BufReader::new(&stream).read_line(&mut answer).unwrap();
        answer
    }

    #[test]
    fn a_running_job_answers_on_a_socket_of_its_user() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than a socket's path may be.
        let path = dir.path().join("deep".repeat(30)).join("job");
        std::fs::create_dir_all(&path).unwrap();
        let (runtime, (mail, inbox)) = (runtime(), Mail::new());
        let job = answering(inbox);
        let socket = ControlSocket::serve(&path, runtime.handle(), mail, Masks::default()).unwrap();
        assert_eq!(ask_status(&path).unwrap().job, "wordcount");
        let metadata = std::fs::metadata(path.join(SOCKET)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.join(SOCKET).exists());
        drop(runtime);
        job.join().unwrap();
    }

    #[test]
    fn clients_that_say_nothing_hold_up_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let (runtime, (mail, inbox)) = (runtime(), Mail::new());
        let _job = answering(inbox);
        let _socket =
            ControlSocket::serve(dir.path(), runtime.handle(), mail, Masks::default()).unwrap();
        let directory = File::open(dir.path()).unwrap();
        let silent = (0..MAX_CLIENTS - 1).map(|_| UnixStream::connect(short_path(&directory)));
        let silent: Vec<UnixStream> = silent.map(Result::unwrap).collect();
        assert_eq!(ask_status(dir.path()).unwrap().job, "wordcount");
        drop(silent);
    }

    #[test]
    fn a_job_that_does_not_run_is_said_to_be_so() {
        let dir = tempfile::tempdir().unwrap();
        assert!(matches!(
            ask_status(dir.path()),
            Err(ControlError::NotRunning(_))
        ));
    }

    #[test]
    fn nonsense_is_answered_with_an_error_and_a_job_that_has_ended_with_another() {
        let dir = tempfile::tempdir().unwrap();
        let runtime = runtime();
        let socket = ControlSocket::serve(
            dir.path(),
            runtime.handle(),
            Mail::nowhere(),
            Masks::default(),
        );
        let _socket = socket.unwrap();
        let answer = say(dir.path(), b"{\"command\":\"dance\"}\n");
        assert!(answer.contains("unknown variant `dance`"), "{answer}");
        let answer = say(dir.path(), b"{\"command\":\"status\"}\n");
        assert!(answer.contains("the job has just ended"), "{answer}");
        let answer = say(dir.path(), &vec![b' '; MAX_REQUEST as usize]);
        assert_eq!(answer, "", "a request without an end is not answered");
    }
}

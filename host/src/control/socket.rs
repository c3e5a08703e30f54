//! The control socket: how `dshost status` and `dshost plugins` reach a running job.
//!
//! A Unix socket with mode 0600 in the job's directory; a request is one JSON line, and so is its
//! answer.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::observe::status::{Status, StatusBoard};

/// The longest request, in bytes.
const MAX_REQUEST: u64 = 64 * 1024;

/// The longest answer that a client reads, in bytes.
const MAX_ANSWER: u64 = 16 * 1024 * 1024;

/// How long either side waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);

/// The pause after a connection that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The name of the socket in the job's directory.
const SOCKET: &str = "control.sock";

/// What can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "snake_case")]
pub enum Request {
    /// Everything that [`Status`] holds.
    Status,
}

/// What is answered.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// To [`Request::Status`].
    Status(Box<Status>),
    /// The request was not understood.
    Error(String),
}

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
}

/// The socket of a running job; removed when it is dropped.
#[derive(Debug)]
pub struct ControlSocket(PathBuf);

impl ControlSocket {
    /// Answers requests on a thread of its own, as long as the process lives. `directory` is the
    /// job's, which the caller holds the lock of.
    ///
    /// # Errors
    ///
    /// The socket cannot be made.
    pub fn serve(directory: &Path, board: StatusBoard) -> Result<Self, ControlError> {
        let path = directory.join(SOCKET);
        let fail = |error| ControlError::Listen(path.clone(), error);
        // The lock is held, so what lies there was left by a process that is gone.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(fail(error)),
            _ => {}
        }
        let directory = File::open(directory).map_err(fail)?;
        let listener = UnixListener::bind(short_path(&directory)).map_err(fail)?;
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).map_err(fail)?;
        std::thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || {
                for stream in listener.incoming() {
                    if let Err(error) = stream.and_then(|stream| answer(&stream, &board)) {
                        debug!("a control connection failed: {error}");
                        // Accepting fails at once, again and again, while no descriptor is free.
                        std::thread::sleep(ACCEPT_PAUSE);
                    }
                }
            })
            .map_err(fail)?;
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

fn answer(stream: &UnixStream, board: &StatusBoard) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_REQUEST)).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Ok(Request::Status) => Answer::Status(Box::new(board.read())),
        Err(error) => Answer::Error(format!("not a request: {error}")),
    };
    send(stream, &answer)
}

fn send(mut stream: &UnixStream, message: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    stream.write_all(&line)
}

/// Asks the job whose directory is `path` for its status.
///
/// # Errors
///
/// The job is not running, or does not answer.
pub fn ask_status(path: &Path) -> Result<Status, ControlError> {
    let socket = path.join(SOCKET);
    let not_running = || ControlError::NotRunning(socket.clone());
    let directory = File::open(path).map_err(|_| not_running())?;
    let stream = UnixStream::connect(short_path(&directory)).map_err(|_| not_running())?;
    let ask = || -> std::io::Result<Status> {
        stream.set_read_timeout(Some(PATIENCE))?;
        send(&stream, &Request::Status)?;
        let mut line = String::new();
        BufReader::new((&stream).take(MAX_ANSWER)).read_line(&mut line)?;
        match serde_json::from_str(&line)? {
            Answer::Status(status) => Ok(*status),
            Answer::Error(message) => Err(std::io::Error::other(message)),
        }
    };
    ask().map_err(|error| ControlError::NoAnswer(socket, patient(error)))
}

/// A time that ran out, in words.
fn patient(error: std::io::Error) -> std::io::Error {
    match error.kind() {
        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
            std::io::Error::other(format!("there was no answer within {PATIENCE:?}"))
        }
        _ => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_job_answers_on_a_socket_of_its_user() {
        let dir = tempfile::tempdir().unwrap();
        // Longer than a socket's path may be.
        let path = dir.path().join("deep".repeat(30)).join("job");
        std::fs::create_dir_all(&path).unwrap();
        let board = StatusBoard::new(Status {
            job: "wordcount".to_owned(),
            ..Status::default()
        });
        let socket = ControlSocket::serve(&path, board).unwrap();
        assert_eq!(ask_status(&path).unwrap().job, "wordcount");
        let metadata = std::fs::metadata(path.join(SOCKET)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        drop(socket);
        assert!(!path.join(SOCKET).exists());
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
    fn nonsense_is_answered_with_an_error() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        (&ours).write_all(b"{\"command\":\"dance\"}\n").unwrap();
        answer(&theirs, &StatusBoard::new(Status::default())).unwrap();
        let mut line = String::new();
        BufReader::new(&ours).read_line(&mut line).unwrap();
        assert!(line.contains("unknown variant `dance`"), "{line}");
    }
}

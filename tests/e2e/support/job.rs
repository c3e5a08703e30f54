//! Jobs of the real binary: a word count that runs, its input and its output.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use super::{Folder, PATIENCE, Running, accept, dshost, finish, stderr};

/// A word count of what a socket says, in batches of 100 ms.
pub fn word_count(source: &str) -> String {
    format!(
        r#"
[topology]
name = "words"
batch = "100ms"
workers = 2
[plugins]
dir = "plugins"
[source.lines]
{source}
[stream.words]
from = "lines"
op = "flat_map"
function = "wordcount/split"
[stream.pairs]
from = "words"
op = "map"
function = "wordcount/pair"
[stream.counts]
from = "pairs"
op = "reduce_by_key"
function = "wordcount/add"
[stream.sorted]
from = "counts"
op = "sort"
[sink.out]
from = "sorted"
type = "print"
count = 1000
"#
    )
}

/// A job that runs, its output line by line.
pub struct Job {
    pub running: Running,
    pub lines: Receiver<String>,
}

impl Job {
    pub fn start(topology: &Path) -> Self {
        let mut child = dshost()
            .arg("run")
            .arg(topology)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            running: Running { child },
            lines,
        }
    }

    /// The next count that is printed.
    pub fn next_count(&self) -> String {
        loop {
            let line = self
                .lines
                .recv_timeout(PATIENCE)
                .expect("a count is printed");
            if line.starts_with('(') {
                return line;
            }
        }
    }

    /// Stops it with SIGTERM; what it said to standard error.
    pub fn stop(self) -> (Option<i32>, String, Vec<String>) {
        self.running.signal(libc::SIGTERM);
        let output = finish(self.running);
        (
            output.status.code(),
            stderr(&output),
            self.lines.try_iter().collect(),
        )
    }
}

/// A word count of `folder` that runs, with its topology and the peer that sends it lines.
pub fn counting(folder: &Folder) -> (PathBuf, Job, TcpStream) {
    let (listener, source) = server();
    let topology = folder.topology(&word_count(&source));
    let job = Job::start(&topology);
    let peer = accept(&listener);
    (topology, job, peer)
}

/// Something to connect to.
pub fn server() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let source = format!("type = \"socket\"\naddress = \"127.0.0.1:{port}\"\nretry = \"50ms\"");
    (listener, source)
}

/// Runs a command with something on its standard input.
pub fn with_input(command: &mut Command, input: &[u8]) -> std::process::Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A job that fails early does not read to the end.
        let _ = stdin.write_all(&input);
    });
    let output = finish(Running { child });
    writer.join().unwrap();
    output
}

//! Jobs that are kept alive: `dshost run --supervise`, exit codes for who starts a job again, sockets
//! that are handed over, and what the service manager hears.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};
use dshost::observe::fault::CRASH_AT;
use serde_json::Value;

use crate::crash::{LINES, Place, all_lines};
use crate::support::job::{server, with_input, word_count};
use crate::support::{
    Folder, PATIENCE, Running, accept, assert_said, dshost, finish, output, stderr, wait_for,
};

/// A source that listens, on a port that the system chooses.
const LISTEN: &str = "type = \"socket\"\nmode = \"listen\"\naddress = \"127.0.0.1:0\"";

/// Lines that are shown as they are.
fn echo(source: &str) -> String {
    format!(
        "[topology]\nname = \"echo\"\nbatch = \"50ms\"\n[source.lines]\n{source}\n\
         [sink.out]\nfrom = \"lines\"\ntype = \"print\"\n"
    )
}

/// `dshost run --supervise` of a topology.
fn supervised(topology: &Path) -> Command {
    let mut command = dshost();
    command.args(["run", "--supervise"]).arg(topology);
    command
}

/// Starts it; what it says is read at its end.
pub(crate) fn start(command: &mut Command) -> Running {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    Running {
        child: child.spawn().unwrap(),
    }
}

/// A command in a shell that does something first, of which it takes the place.
fn in_shell_after(first: &str, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    let script = format!("{first}; exec \"$0\" \"$@\"");
    shell.args(["-c", &script]).arg(command.get_program());
    shell.args(command.get_args()).env("NO_COLOR", "1");
    shell
}

/// The status of the running job.
fn status(topology: &Path) -> Option<Value> {
    let said = output(dshost().args(["status", "--json"]).arg(topology));
    serde_json::from_slice(&said.stdout).ok()
}

/// The process of the job that runs, another one than `before`.
fn process(topology: &Path, before: Option<i32>) -> i32 {
    wait_for("the job to run", || {
        let pid = status(topology)?["pid"].as_i64()?;
        i32::try_from(pid).ok().filter(|pid| Some(*pid) != before)
    })
}

/// Where the source of the job listens.
fn address(topology: &Path) -> SocketAddr {
    wait_for("the source to listen", || {
        let status = status(topology)?;
        let state = status["sources"][0][1]["state"].as_str()?;
        let address = state.strip_prefix("listening on ")?.split_once(',')?.0;
        address.parse().ok()
    })
}

fn kill(pid: i32, signal: libc::c_int) {
    // SAFETY: a plain system call.
    assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
}

fn is_alive(pid: i32) -> bool {
    // SAFETY: a plain system call, which sends nothing.
    unsafe { libc::kill(pid, 0) == 0 }
}

/// Sends all lines, from where it is told after every break, until all are durable.
fn send(address: SocketAddr) {
    let all = all_lines();
    let mut durable = 0;
    while durable < all.len() {
        // It is never refused.
        let stream = TcpStream::connect(address).unwrap();
        // A break is no end.
        let _ = send_on(&stream, all.as_bytes(), &mut durable);
    }
}

fn send_on(mut stream: &TcpStream, all: &[u8], durable: &mut usize) -> std::io::Result<()> {
    stream.write_all(b"the sender\n")?;
    let mut told = BufReader::new(stream.try_clone()?).lines();
    let mut next = || -> std::io::Result<usize> {
        let number = told.next().ok_or(std::io::ErrorKind::UnexpectedEof)??;
        Ok(number.parse().unwrap())
    };
    *durable = next()?;
    for piece in all[*durable..].chunks(10) {
        stream.write_all(piece)?;
        std::thread::sleep(Duration::from_millis(10));
    }
    while *durable < all.len() {
        *durable = next()?;
    }
    Ok(())
}

#[test]
fn a_job_that_is_killed_again_and_again_loses_and_doubles_nothing_and_refuses_nobody() {
    let place = Place::of(Folder::new(), "60ms", &format!("{LISTEN}\nack = true"));
    // It starts over once only.
    let running = start(supervised(&place.topology).arg("--fresh"));
    let mut pid = process(&place.topology, None);
    let address = address(&place.topology);
    let sender = std::thread::spawn(move || send(address));
    for _ in 0..5 {
        let before = place.lines();
        wait_for("lines", || (place.lines() > before).then_some(()));
        kill(pid, libc::SIGKILL);
        pid = process(&place.topology, Some(pid));
    }
    assert!(place.lines() < LINES as usize, "it was killed on the way");
    let deadline = std::time::Instant::now() + PATIENCE;
    while !sender.is_finished() && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(20));
    }
    sender.join().unwrap();
    wait_for("all in the window", || {
        let shown = place.shown("held").into_values().flatten();
        shown.last().filter(|held| *held == LINES.to_string())
    });
    running.signal(libc::SIGTERM);
    let said = finish(running);
    assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
    place.check("killed under its supervisor");
    let said = stderr(&said);
    let again = said.matches("the job ended, it is started again").count();
    assert_eq!(again, 5, "{said}");
    assert_said(&said, &["SIGKILL"]);
}

#[test]
fn a_job_that_gets_nowhere_is_given_up() {
    let place = Place::new("10s");
    // Before its first batch is committed.
    let mut command = supervised(&place.topology);
    command.args(["--give-up-after", "3"]);
    let said = output(command.env(CRASH_AT, "Attempted:1"));
    let text = stderr(&said);
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert_said(
        &text,
        &[
            "dshost: gave up: the job ended 3 times within 120s without a commit between\n",
            "caused by: the last time: signal: 9 (SIGKILL)",
            "hint: ",
        ],
    );
    assert_eq!(text.matches("it is started again").count(), 2, "{text}");
    // A commit is progress.
    let mut command = supervised(&place.topology);
    command.args(["--give-up-after", "3"]);
    let running = start(command.env(CRASH_AT, "Committed:5"));
    wait_for("all lines", || {
        (place.lines() == LINES as usize).then_some(())
    });
    running.signal(libc::SIGTERM);
    let said = stderr(&finish(running));
    assert!(said.matches("it is started again").count() > 3, "{said}");
    assert!(!said.contains("gave up"), "{said}");
}

#[test]
fn an_end_for_good_is_the_end_of_the_supervisor() {
    let folder = Folder::new();
    let cases: [(&str, &str, i32, &str); 3] = [
        ("[topology]\nbatch = \"soon\"\n", "", 2, "topology.toml:2:9"),
        (
            &echo("type = \"stdin\"\nformat = \"json\"\non_error = \"fail\""),
            "{\n",
            1,
            "dshost: batch",
        ),
        (&echo("type = \"stdin\""), "line\n", 0, "done after"),
    ];
    for (text, input, code, part) in cases {
        let topology = folder.topology(text);
        let said = with_input(supervised(&topology).arg("--once"), input.as_bytes());
        let text = stderr(&said);
        assert_eq!(said.status.code(), Some(code), "{text}");
        assert_eq!(text.matches(part).count(), 1, "said once: {text}");
        assert!(!text.contains("started again"), "{text}");
    }
    // Another process has the job.
    let topology = folder.topology(&echo(LISTEN));
    let running = start(dshost().arg("run").arg(&topology));
    process(&topology, None);
    let fenced = output(&mut supervised(&topology));
    assert_eq!(fenced.status.code(), Some(76), "{}", stderr(&fenced));
    assert_said(&stderr(&fenced), &["in use by another process"]);
    drop(running);
    // Nobody could read it at the next start.
    let piped = output(&mut supervised(Path::new("/dev/null")));
    assert_eq!(piped.status.code(), Some(2), "{}", stderr(&piped));
    // Who started it does not want to hear of children.
    let topology = folder.topology(&echo("type = \"stdin\""));
    let mut deaf = in_shell_after("trap '' CHLD", supervised(&topology).arg("--once"));
    let said = with_input(&mut deaf, b"line\n");
    assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
}

#[test]
fn a_journal_on_a_full_disk_is_an_end_after_which_the_job_is_started_again() {
    // No file may become larger than a block of 512 bytes, which is as good as a full disk.
    let folder = Folder::new();
    let topology = folder
        .topology(&echo("type = \"stdin\"").replace("print", "text_files\"\nprefix = \"out/lines"));
    let mut command = dshost();
    command.args(["run", "--once"]).arg(&topology);
    let mut limited = in_shell_after("trap '' XFSZ; ulimit -f 8", &command);
    let input = "a line of some length\n".repeat(10_000);
    let said = with_input(&mut limited, input.as_bytes());
    assert_eq!(said.status.code(), Some(75), "{}", stderr(&said));
    // There is room again.
    let said = with_input(&mut command, b"");
    assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
}

#[test]
fn a_signal_to_the_whole_group_counts_once() {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let (listener, source) = server();
    let topology = folder.topology(&word_count(&source));
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        let running = start(supervised(&topology).process_group(0));
        let mut peer = accept(&listener);
        let pid = process(&topology, None);
        peer.write_all(b"the last words\n").unwrap();
        wait_for("the words", || {
            let received = status(&topology)?["sources"][0][1]["received_bytes"].as_u64()?;
            (received > 0).then_some(())
        });
        // As `timeout` does: first the process, then all.
        running.signal(signal);
        kill(-i32::try_from(running.child.id()).unwrap(), signal);
        let said = finish(running);
        let text = stderr(&said);
        assert_eq!(said.status.code(), Some(0), "{text}");
        assert_said(
            &text,
            &["stopping: what was received is processed", "done after"],
        );
        let shown = String::from_utf8(said.stdout).unwrap();
        assert_said(&shown, &["(last,1)"]);
        assert!(!is_alive(pid));
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let folder = Folder::new();
    let (listener, source) = server();
    let topology = folder.topology(&echo(&source));
    let mut running = start(&mut supervised(&topology));
    // Nobody reads it, so that it does not get published.
    let unread = running.child.stdout.take();
    let mut peer = accept(&listener);
    let pid = process(&topology, None);
    let mut line = vec![b'x'; 1 << 20];
    line.push(b'\n');
    peer.write_all(&line).unwrap();
    wait_for("the batch", || {
        let status = status(&topology)?;
        (status["operators"][0]["output"].as_u64()? > 0).then_some(())
    });
    running.signal(libc::SIGTERM);
    wait_for("the drain", || {
        (status(&topology)?["state"] == "draining").then_some(())
    });
    // What comes at once is taken for the same signal.
    wait_for("the end", || {
        running.signal(libc::SIGTERM);
        running.child.try_wait().unwrap()
    });
    let said = finish(running);
    assert_eq!(said.status.code(), Some(1), "{}", stderr(&said));
    assert_said(&stderr(&said), &["dshost: stopped at once"]);
    assert!(!is_alive(pid), "it leaves no process behind");
    drop(unread);
}

#[test]
fn a_job_whose_supervisor_is_killed_drains_and_ends() {
    let folder = Folder::new();
    let topology = folder.topology(&echo(LISTEN));
    let mut running = start(&mut supervised(&topology));
    let pid = process(&topology, None);
    let mut client = TcpStream::connect(address(&topology)).unwrap();
    client.write_all(b"the last line\n").unwrap();
    wait_for("the line", || {
        let received = status(&topology)?["sources"][0][1]["received_bytes"].as_u64()?;
        (received > 0).then_some(())
    });
    running.child.kill().unwrap();
    // Its output ends with the job, which has it open, too.
    let said = finish(running);
    assert!(said.status.code().is_none());
    assert_said(&stderr(&said), &["the supervisor is gone", "done after"]);
    assert_said(&String::from_utf8(said.stdout).unwrap(), &["the last line"]);
    wait_for("the job to be gone", || (!is_alive(pid)).then_some(()));
}

// === What is handed over ===

/// A command that inherits `sockets` as systemd would hand them over, under these names.
pub(crate) fn activated(command: &Command, names: &str, sockets: Vec<OwnedFd>) -> Command {
    let count = sockets.len();
    let first = format!("export LISTEN_PID=$$ LISTEN_FDS={count} LISTEN_FDNAMES={names}");
    let mut command = in_shell_after(&first, command);
    let mapped = (3..).zip(sockets);
    let mapped = mapped.map(|(child_fd, parent_fd)| FdMapping {
        parent_fd,
        child_fd,
    });
    command.fd_mappings(mapped.collect()).unwrap();
    command
}

fn run(topology: &Path) -> Command {
    let mut command = dshost();
    command.arg("run").arg(topology);
    command
}

#[test]
fn a_source_takes_over_the_socket_of_its_name() {
    let folder = Folder::new();
    let topology = folder.topology(&echo(LISTEN));
    for command in [run(&topology), supervised(&topology)] {
        let sockets = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let taken = sockets[0].local_addr().unwrap();
        // Before the job is there.
        let mut client = TcpStream::connect(taken).unwrap();
        client.write_all(b"waited for it\n").unwrap();
        let sockets = sockets.map(OwnedFd::from).into();
        let running = start(&mut activated(&command, "lines:other", sockets));
        assert_eq!(address(&topology), taken);
        wait_for("the line", || {
            let status = status(&topology)?;
            (status["operators"][0]["output"].as_u64()? > 0).then_some(())
        });
        running.signal(libc::SIGTERM);
        let said = finish(running);
        assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
        assert_said(
            &stderr(&said),
            &[
                "nobody takes over a socket: no source of this name listens",
                "other",
            ],
        );
        assert_said(&String::from_utf8(said.stdout).unwrap(), &["waited for it"]);
    }
}

#[test]
fn what_cannot_be_taken_over_is_told_and_what_is_for_others_is_left() {
    let folder = Folder::new();
    let topology = folder.topology(&echo("type = \"stdin\""));
    let mut command = run(&topology);
    command.arg("--once");
    let socket = || OwnedFd::from(TcpListener::bind("127.0.0.1:0").unwrap());
    let datagrams = OwnedFd::from(UdpSocket::bind("127.0.0.1:0").unwrap());
    let wrong = [
        (
            "lines",
            vec![datagrams],
            "`lines` is no TCP socket that listens",
        ),
        (
            "lines:lines",
            vec![socket(), socket()],
            "more than one socket is named `lines`",
        ),
        ("one:two", vec![socket()], "LISTEN_FDNAMES"),
    ];
    for (names, sockets, part) in wrong {
        let said = output(&mut activated(&command, names, sockets));
        assert_eq!(said.status.code(), Some(2), "{names}: {}", stderr(&said));
        let attempt = "cannot take over the sockets of `LISTEN_FDS`";
        assert_said(&stderr(&said), &[attempt, part]);
    }
    for others in [
        "LISTEN_PID=1 LISTEN_FDS=3 LISTEN_FDNAMES=a",
        "LISTEN_FDNAMES=a:b",
    ] {
        let mut command = in_shell_after(&format!("export {others}"), &command);
        let said = with_input(&mut command, b"line\n");
        assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
    }
}

// === What the service manager hears ===

/// A service manager's socket.
struct Manager {
    socket: UnixDatagram,
    dir: tempfile::TempDir,
}

impl Manager {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, dir }
    }

    /// The command, started by this manager, with a watchdog for its very process.
    fn starts(&self, command: &Command) -> Running {
        let first = "export WATCHDOG_USEC=100000 WATCHDOG_PID=$$";
        let mut command = in_shell_after(first, command);
        start(command.env("NOTIFY_SOCKET", self.dir.path().join("notify")))
    }

    /// Waits for a message with this line.
    fn hears(&self, line: &str) {
        let mut message = [0; 4096];
        loop {
            let length = self.socket.recv(&mut message).unwrap_or_else(|error| {
                panic!("waited for `{line}`: {error}");
            });
            let message = std::str::from_utf8(&message[..length]).unwrap();
            if message.lines().any(|said| said.starts_with(line)) {
                return;
            }
        }
    }
}

#[test]
fn the_service_manager_hears_how_a_job_is() {
    let folder = Folder::new();
    let topology = folder.topology(&echo(LISTEN));
    for command in [run(&topology), supervised(&topology)] {
        let manager = Manager::new();
        let running = manager.starts(&command);
        manager.hears("READY=1");
        manager.hears("STATUS=batch ");
        manager.hears("WATCHDOG=1");
        manager.hears("WATCHDOG=1");
        running.signal(libc::SIGTERM);
        manager.hears("STOPPING=1");
        let said = finish(running);
        assert_eq!(said.status.code(), Some(0), "{}", stderr(&said));
    }
}

#[test]
fn the_service_manager_hears_that_a_job_is_started_again() {
    let folder = Folder::new();
    let topology = folder.topology(&echo(LISTEN));
    let manager = Manager::new();
    let running = manager.starts(&supervised(&topology));
    manager.hears("READY=1");
    kill(process(&topology, None), libc::SIGKILL);
    manager.hears("STATUS=the job ended (signal: 9 (SIGKILL)), it is started again");
    manager.hears("READY=1");
    manager.hears("WATCHDOG=1");
    running.signal(libc::SIGTERM);
    manager.hears("STOPPING=1");
    assert_eq!(finish(running).status.code(), Some(0));
}

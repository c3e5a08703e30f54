//! `dshost run` with the real binary: sockets, signals, bad input.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::support::job::{Job, counting, server, with_input, word_count};
use crate::support::{
    Folder, PATIENCE, Running, accept, assert_said, dshost, finish, output, stderr, stdout,
};

#[test]
fn words_over_tcp_are_counted_and_printed_byte_for_byte() {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let (listener, source) = server();
    let topology = folder.topology(&word_count(&source).replace("100ms", "1s"));
    let child = dshost()
        .args(["run", "--once"])
        .arg(topology)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let running = Running { child };
    let mut peer = accept(&listener);
    peer.write_all(b"this is a test\nis it\r\nlast line without an end")
        .unwrap();
    drop(peer);
    let output = finish(running);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stdout(&output);
    let blocks: Vec<&str> = said.split_inclusive("\n\n").collect();
    let rule = "-".repeat(43);
    for block in &blocks {
        let mut lines = block.lines();
        assert_eq!(lines.next(), Some(&*rule));
        let time = lines.next().unwrap();
        let label = time
            .strip_prefix("Time: ")
            .and_then(|time| time.strip_suffix(" ms"))
            .unwrap();
        assert_eq!(
            label.parse::<i64>().unwrap() % 1000,
            0,
            "labels are whole intervals"
        );
        assert_eq!(lines.next(), Some(&*rule));
    }
    // The lines may have come in several batches.
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for line in said.lines().filter(|line| line.starts_with('(')) {
        let pair = line
            .strip_prefix('(')
            .and_then(|line| line.strip_suffix(')'));
        let (word, count) = pair.and_then(|pair| pair.split_once(',')).unwrap();
        *counts.entry(word).or_default() += count.parse::<u64>().unwrap();
    }
    let once = [
        "a", "an", "end", "it", "last", "line", "test", "this", "without",
    ];
    let mut expected: BTreeMap<&str, u64> = once.map(|word| (word, 1)).into();
    expected.insert("is", 2);
    assert_eq!(counts, expected);
}

#[test]
fn what_was_received_is_drained_on_sigterm() {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let (listener, source) = server();
    // Nothing is cut before the drain.
    let topology = folder.topology(&word_count(&source).replace("100ms", "1h"));
    let job = Job::start(&topology);
    let mut peer = accept(&listener);
    let sent = b"one two\ntwo\n";
    peer.write_all(sent).unwrap();
    crate::support::wait_for("the bytes to be received", || {
        let status = output(dshost().args(["status", "--json"]).arg(&topology));
        let status: serde_json::Value = serde_json::from_slice(&status.stdout).ok()?;
        (status["sources"][0][1]["received_bytes"] == sent.len()).then_some(())
    });
    let running = job.running;
    running.signal(libc::SIGTERM);
    let lines: Vec<String> = job
        .lines
        .iter()
        .filter(|line| line.starts_with('('))
        .collect();
    assert_eq!(lines, ["(one,1)", "(two,2)"]);
    assert!(finish(running).status.success());
}

#[test]
fn lines_that_are_no_text_are_counted_and_the_source_goes_on() {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let topology = folder.topology(&word_count("type = \"stdin\"\nmax_record = \"64KiB\""));
    let mut input = b"good\n\xff\xfe\nalso good\n".to_vec();
    input.extend(std::iter::repeat_n(b'x', 1 << 20));
    input.extend(b"\nend");
    let output = with_input(dshost().args(["run", "--once"]).arg(topology), &input);
    assert!(output.status.success(), "{}", stderr(&output));
    let mut total = BTreeMap::<String, u64>::new();
    for line in stdout(&output).lines().filter(|line| line.starts_with('(')) {
        let (word, count) = line[1..line.len() - 1].split_once(',').unwrap();
        *total.entry(word.to_owned()).or_default() += count.parse::<u64>().unwrap();
    }
    let total: Vec<(String, u64)> = total.into_iter().collect();
    let expected = [("also", 1), ("end", 1), ("good", 2)].map(|(word, n)| (word.to_owned(), n));
    assert_eq!(total, expected);
    assert!(stderr(&output).contains("rejected"), "{}", stderr(&output));
}

#[test]
fn wrong_input_is_told_with_a_hint_and_an_exit_code() {
    let folder = Folder::new();
    let run = |topology: &Path| output(dshost().args(["run", "--once"]).arg(topology));
    let cases: [(&str, i32, &[&str]); 4] = [
        ("", 2, &["topology.toml:1:1"]),
        (
            "[topology]\nbatch = \"soon\"\n",
            2,
            &["topology.toml:2:9", "hint"],
        ),
        (
            &word_count("type = \"stdin\""),
            2,
            &["wordcount", "dshost build"],
        ),
        (
            &word_count("type = \"socket\"\nmode = \"listen\"\naddress = \"127.0.0.1:0\""),
            2,
            &["--once", "listens for ever"],
        ),
    ];
    for (text, code, parts) in cases {
        let output = run(&folder.topology(text));
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_said(&said, parts);
    }
    let missing = run(&folder.path.path().join("nowhere.toml"));
    assert_eq!(missing.status.code(), Some(2));
    assert!(
        stderr(&missing).contains("cannot read"),
        "{}",
        stderr(&missing)
    );
}

#[test]
fn plugins_that_do_not_fit_are_told_by_file_and_line() {
    let folder = Folder::new();
    folder.install("ops", "wordcount");
    let topology = folder.topology(&word_count("type = \"stdin\""));
    for command in ["check", "run"] {
        let output = output(dshost().arg(command).arg(&topology));
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        let place = format!("{}:13:12: stream `words`", topology.display());
        assert_said(&said, &[&place]);
    }
}

#[test]
fn a_bad_name_is_a_wrong_command_line() {
    let output = output(dshost().args(["new", "topology", "no name"]));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
}

#[test]
fn a_port_in_use_and_a_second_process_are_told() {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let listen = format!("type = \"socket\"\nmode = \"listen\"\naddress = \"127.0.0.1:{port}\"");
    let topology = folder.topology(&word_count(&listen));
    let refused = output(dshost().arg("run").arg(&topology));
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        stderr(&refused).contains(&port.to_string()),
        "{}",
        stderr(&refused)
    );
    assert!(stderr(&refused).contains("in use"), "{}", stderr(&refused));

    let topology = folder.topology(&word_count("type = \"generate\"\nlines = true\nrate = 10"));
    let job = Job::start(&topology);
    job.next_count();
    let second = output(dshost().arg("run").arg(&topology));
    assert_eq!(second.status.code(), Some(76));
    assert!(
        stderr(&second).contains("another process"),
        "{}",
        stderr(&second)
    );
    assert_eq!(job.stop().0, Some(0));
    let gone = output(dshost().arg("status").arg(&topology));
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("not running"), "{}", stderr(&gone));
}

#[test]
fn any_number_of_clients_may_come_and_go() {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let port = {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap().port()
    };
    let listen = format!("type = \"socket\"\nmode = \"listen\"\naddress = \"127.0.0.1:{port}\"");
    let job = Job::start(&folder.topology(&word_count(&listen)));
    let connect =
        || crate::support::wait_for("the port", || TcpStream::connect(("127.0.0.1", port)).ok());
    let idle = connect();
    for word in ["first", "second"] {
        let mut client = connect();
        client.write_all(format!("{word}\n").as_bytes()).unwrap();
        drop(client);
        assert_eq!(job.next_count(), format!("({word},1)"));
    }
    drop(idle);
    assert_eq!(job.stop().0, Some(0));
}

#[test]
fn a_job_whose_reader_has_gone_ends_and_says_so() {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let topology = folder.topology(&word_count("type = \"generate\"\nlines = true\nrate = 10"));
    let mut child = dshost()
        .arg("run")
        .arg(&topology)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0u8; 1];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let output = finish(Running { child });
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("sink `out` failed: cannot print"), "{said}");
    assert!(said.contains("whatever read the output has gone"), "{said}");
}

#[test]
fn standard_output_that_is_closed_does_not_end_a_command_badly() {
    for arguments in [&["--help"][..], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = dshost()
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

#[test]
fn a_window_slides_also_where_the_process_was_stopped() {
    let folder = Folder::new();
    let (listener, source) = server();
    let topology = folder.topology(&format!(
        r#"
[topology]
batch = "100ms"
[source.lines]
{source}
[stream.recent]
from = "lines"
op = "window"
window = "2s"
slide = "2s"
[sink.now]
from = "lines"
type = "print"
[sink.then]
from = "recent"
type = "print"
"#
    ));
    let job = Job::start(&topology);
    let mut peer = accept(&listener);
    let printed = || while job.lines.recv_timeout(PATIENCE).expect("it is printed") != "found" {};
    peer.write_all(b"found\n").unwrap();
    printed();
    job.running.signal(libc::SIGSTOP);
    // Longer than the window: no interval is left at which it would still hold the line.
    std::thread::sleep(Duration::from_secs(5));
    job.running.signal(libc::SIGCONT);
    printed();
    let (code, said, _) = job.stop();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn the_beginning_of_a_line_that_a_stop_cuts_off_is_told_at_the_end() {
    let folder = Folder::new();
    folder.install("wordcount", "wordcount");
    let (_, job, mut peer) = counting(&folder);
    peer.write_all(b"whole\nhalf").unwrap();
    assert_eq!(job.next_count(), "(whole,1)");
    let (code, said, rest) = job.stop();
    assert_eq!(code, Some(0), "{said}");
    assert_said(&said, &["the beginning of a record was dropped", "bytes=4"]);
    assert!(
        !rest.iter().any(|line| line.starts_with("(half")),
        "{rest:?}"
    );
}

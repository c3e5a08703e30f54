//! The examples, as their READMEs say: built, tested, run.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::supervise::{activated, start};
use crate::support::guests::root;
use crate::support::{Folder, Running, accept, dshost, finish, output, stderr, stdout};

/// A copy of an example with its plugins beside it, so that tests do not write into the tree.
fn copy(example: &str, plugins: &[&str]) -> Folder {
    let folder = Folder::new();
    for file in ["topology.toml", "scenario.toml"] {
        let text = fs::read_to_string(root().join("examples").join(example).join(file)).unwrap();
        folder.file(file, &text);
    }
    for plugin in plugins {
        folder.install(plugin, plugin);
    }
    folder
}

#[test]
fn every_example_has_a_readme_and_a_scenario_that_holds() {
    let examples: [(&str, &[&str]); 6] = [
        ("access_logs", &["access", "counts"]),
        ("errors", &["lines"]),
        ("running_totals", &["counts", "wordcount"]),
        ("service", &["lines"]),
        ("sessions", &["sessions"]),
        ("wordcount", &["wordcount"]),
    ];
    let mut known: Vec<String> = fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    known.sort();
    assert_eq!(
        known,
        examples.map(|(example, _)| example),
        "every example is run here"
    );
    for (example, plugins) in examples {
        assert!(
            root()
                .join("examples")
                .join(example)
                .join("README.md")
                .exists()
        );
        let folder = copy(example, plugins);
        let scenario = folder.path.path().join("scenario.toml");
        let result = output(
            dshost()
                .args(["test", "--workers", "1,2,3,7"])
                .arg(scenario),
        );
        assert!(result.status.success(), "{example}:\n{}", stdout(&result));
        let topology = folder.path.path().join("topology.toml");
        let check = output(dshost().arg("check").arg(topology));
        assert!(check.status.success(), "{example}:\n{}", stderr(&check));
    }
}

/// Runs the copied example against `address` until a line of its output is `wanted`, then stops it.
fn run_until(folder: &Folder, address: (&str, &str), wanted: impl Fn(&str) -> bool) {
    let topology = folder.path.path().join("topology.toml");
    let text = fs::read_to_string(&topology).unwrap();
    assert!(text.contains(address.0), "the example has {}", address.0);
    fs::write(&topology, text.replace(address.0, address.1)).unwrap();
    let mut child = dshost()
        .arg("run")
        .arg(&topology)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let running = Running { child };
    assert!(
        lines.any(|line| wanted(&line.unwrap())),
        "the output ended without it"
    );
    running.signal(libc::SIGTERM);
    let rest = std::thread::spawn(move || lines.count());
    let ended = finish(running);
    assert!(ended.status.success(), "{}", stderr(&ended));
    rest.join().unwrap();
}

#[test]
fn the_word_count_counts_what_a_socket_says() {
    let folder = copy("wordcount", &["wordcount"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let peer = std::thread::spawn(move || {
        let mut peer = accept(&listener);
        peer.write_all(b"this is a test\n").unwrap();
        // Open until the job has gone.
        let _ = peer.read_to_end(&mut Vec::new());
    });
    run_until(&folder, ("127.0.0.1:9999", &address), |line| {
        line == "(this,1)"
    });
    peer.join().unwrap();
}

/// A generator of made-up lines, serving so many a second, and its address.
fn generator(name: &str, rate: &str) -> (Running, String) {
    let folder = Path::new(env!("CARGO_BIN_EXE_dshost")).with_file_name("examples");
    let mut child = Command::new(folder.join(name))
        .args(["127.0.0.1:0", rate])
        .stderr(Stdio::piped())
        .spawn()
        .expect("`cargo test` builds the examples; so does `cargo build --examples`");
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let running = Running { child };
    let serving = said.next().unwrap().unwrap();
    let address = serving.rsplit(' ').next().unwrap();
    (running, address.to_owned())
}

#[test]
fn the_errors_of_a_made_up_access_log_are_printed() {
    let folder = copy("errors", &["lines"]);
    let (_generator, address) = generator("access-logs", "200");
    run_until(&folder, ("127.0.0.1:7777", &address), |line| {
        line.contains("error: upstream")
    });
}

#[test]
fn a_made_up_access_log_is_analysed() {
    let folder = copy("access_logs", &["access", "counts"]);
    let (_generator, address) = generator("access-logs", "500");
    run_until(&folder, ("127.0.0.1:7777", &address), |line| {
        line.starts_with("(500,")
    });
}

#[test]
fn check_tells_types_functions_and_windows_of_every_stream() {
    let folder = copy("access_logs", &["access", "counts"]);
    let topology = folder.path.path().join("topology.toml");
    let told = stdout(&output(dshost().arg("check").arg(topology)));
    for line in [
        "  stream per_ip: (text, msgpack) = join of hits_per_ip, bytes_per_ip",
        "  stream per_code: (int64, int64) = update_state_by_key counts/running of responses, \
         state int64 of version 1",
        "  stream recent: (text, int64) = reduce_by_key_and_window counts/add, inverse counts/sub, \
         keep counts/not_zero of hits_per_ip, window 30s, every 10s",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}\n{told}");
    }
}

#[test]
fn made_up_clicks_are_sessions_that_are_open() {
    let folder = copy("sessions", &["sessions"]);
    let (_generator, address) = generator("clicks", "500");
    run_until(&folder, ("127.0.0.1:7778", &address), |line| {
        line == "6" || line == "7"
    });
}

#[test]
fn totals_of_made_up_words_run() {
    let folder = copy("running_totals", &["counts", "wordcount"]);
    run_until(&folder, ("rate = 5000", "rate = 20000"), |line| {
        let total = line.trim_end_matches(')').rsplit_once(',');
        total.is_some_and(|(_, total)| total.parse().is_ok_and(|total: u64| total > 20))
    });
}

/// What a unit file of the service example says.
fn unit(file: &str, key: &str) -> String {
    let path = root().join("examples/service").join(file);
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines();
    let value = lines.find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap().to_owned()
}

#[test]
fn the_service_runs_as_its_units_say() {
    let folder = copy("service", &["lines"]);
    let topology = folder.path.path().join("topology.toml");
    let start_line = unit("dshost-errors.service", "ExecStart");
    let mut words = start_line.split(' ');
    assert_eq!(words.next(), Some("/usr/local/bin/dshost"));
    let mut command = dshost();
    for word in words {
        match word.ends_with("topology.toml") {
            true => command.arg(&topology),
            false => command.arg(word),
        };
    }
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
    let name = unit("dshost-errors.socket", "FileDescriptorName");
    let mut running = start(&mut activated(&command, &name, vec![socket.into()]));
    client.write_all(b"a sender\nfine\nan error\n").unwrap();
    let mut lines = BufReader::new(running.child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "an error"));
    let rest = std::thread::spawn(move || lines.count());
    // A topology that is wrong is not tried again.
    fs::write(&topology, "[topology]\n").unwrap();
    let status = output(&mut command);
    let left = unit("dshost-errors.service", "RestartPreventExitStatus");
    assert!(
        left.split(' ')
            .any(|code| code.parse().ok() == status.status.code())
    );
    running.signal(libc::SIGTERM);
    assert_eq!(finish(running).status.code(), Some(0));
    rest.join().unwrap();
}

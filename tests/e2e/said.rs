//! What is said on standard error: its form, who may fail to hear it, and what ends a job.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, Output, Stdio};

use crate::support::job::with_input;
use crate::support::{Folder, Running, assert_said, dshost, finish, output, stderr, stdout};

/// Shows standard input; no plugin.
const ECHO: &str = "[topology]\nbatch = \"50ms\"\n[source.lines]\ntype = \"stdin\"\n\
                    [sink.out]\nfrom = \"lines\"\ntype = \"print\"\n";

/// Everything that was said, which is an object a line.
fn objects(said: &Output) -> Vec<serde_json::Value> {
    let said = stderr(said);
    let read = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("`{line}` of:\n{said}"));
    let objects: Vec<serde_json::Value> = said.lines().map(read).collect();
    for object in &objects {
        for field in ["timestamp", "level", "target"] {
            assert!(object[field].is_string(), "`{field}` of {object}");
        }
    }
    objects
}

#[test]
fn a_log_in_json_is_an_object_a_line_to_its_end() {
    let folder = Folder::new();
    let topology = folder.topology(&format!(
        "{ECHO}[stream.unread]\nfrom = \"lines\"\nop = \"count\"\n"
    ));
    let mut command = dshost();
    command.args(["run", "--log-format", "json"]).arg(&topology);
    let run = with_input(&mut command, b"a\nb\n");
    assert!(run.status.success(), "{}", stderr(&run));
    let objects = objects(&run);
    let of = |field: &str| {
        let mut with = objects.iter().filter(|object| !object[field].is_null());
        with.next()
            .unwrap_or_else(|| panic!("`{field}` in {objects:?}"))
    };
    assert_eq!(of("operator")["operator"], "lines");
    assert_eq!(of("operator")["output"], 2, "the closing table");
    assert_eq!(of("column")["level"], "WARN", "nothing reads `unread`");
    assert!(of("batches")["batches"].as_u64() >= Some(1));
}

#[test]
fn errors_in_json_are_objects_with_their_place_causes_and_hint() {
    let folder = Folder::new();
    let wrong = folder.topology(&ECHO.replace("print", "prnt"));
    let json = |arguments: &[&str]| {
        let mut command = dshost();
        output(command.args(["--log-format", "json"]).args(arguments))
    };
    let checked = json(&["check", wrong.to_str().unwrap()]);
    assert_eq!(checked.status.code(), Some(2));
    let all = objects(&checked);
    assert_eq!(
        (&all[0]["level"], &all[0]["line"], &all[0]["column"]),
        (&"ERROR".into(), &7.into(), &8.into()),
        "{all:?}"
    );
    assert!(
        all[0]["hint"].as_str().unwrap().contains("print"),
        "{all:?}"
    );

    let missing = json(&["check", "missing.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    let all = objects(&missing);
    assert_eq!(all[0]["message"], "cannot read `missing.toml`");
    assert_eq!(all[0]["causes"].as_array().unwrap().len(), 1);

    let unknown = json(&["dance"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert_eq!(objects(&unknown).len(), 1);
}

/// Runs in a shell that does something with standard error.
fn in_shell(script: &str, topology: &std::path::Path) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script, env!("CARGO_BIN_EXE_dshost")])
        .arg(topology)
        .stdin(Stdio::null())
        .env_remove("DSHOST_LOG");
    shell
}

#[test]
fn a_standard_error_that_cannot_be_written_changes_no_exit_code() {
    let folder = Folder::new();
    let good = folder.topology(ECHO);
    let wrong = folder.file("wrong.toml", "[topology]\n");
    for redirected in ["2>/dev/full", "2>&-"] {
        for format in ["text", "json"] {
            let script = |command: &str| {
                format!("\"$0\" {command} --log-format {format} \"$1\" {redirected}")
            };
            let mut run = in_shell(&script("run --log debug"), &good);
            let ran = with_input(&mut run, b"a\n");
            assert_eq!(ran.status.code(), Some(0), "{redirected} {format}");
            assert_said(&stdout(&ran), &["a\n"]);
            let checked = output(&mut in_shell(&script("check"), &wrong));
            assert_eq!(checked.status.code(), Some(2), "{redirected} {format}");
            let missing = output(&mut in_shell(&script("status"), &good));
            assert_eq!(missing.status.code(), Some(1), "{redirected} {format}");
        }
    }
}

#[test]
fn a_reader_of_the_output_that_leaves_changes_no_exit_code() {
    let folder = Folder::new();
    let topology = folder.topology(ECHO);
    for command in ["check", "graph"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = dshost()
            .arg(command)
            .arg(&topology)
            .stdout(writer)
            .status()
            .unwrap();
        assert_eq!(ended.code(), Some(0), "{command}");
        let full = File::create("/dev/full").unwrap();
        let ended = dshost()
            .arg(command)
            .arg(&topology)
            .stdout(full)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let ended = finish(Running { child: ended });
        assert_eq!(ended.status.code(), Some(1), "{command}");
        assert_said(&stderr(&ended), &["cannot write to standard output"]);
    }
}

#[test]
fn a_misspelt_log_level_is_refused() {
    let folder = Folder::new();
    let topology = folder.topology(ECHO);
    let check = |command: &mut Command| output(command.arg("check").arg(&topology));
    let by_flag = check(dshost().args(["--log", "wran"]));
    let by_environment = check(dshost().env("DSHOST_LOG", "wran"));
    for refused in [by_flag, by_environment] {
        assert_eq!(refused.status.code(), Some(2));
        assert_said(
            &stderr(&refused),
            &["there is no log level `wran`", "hint: did you mean `warn`?"],
        );
    }
    assert_eq!(check(dshost().env("DSHOST_LOG", "")).status.code(), Some(0));
}

/// Waits until a job says that it runs, by the first batch that it shows.
fn started(command: &mut Command) -> Running {
    let child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut running = Running { child };
    let mut first = [0; 1];
    let shown = running.child.stdout.as_mut().unwrap();
    std::io::Read::read_exact(shown, &mut first).unwrap();
    running
}

#[test]
fn a_terminal_that_goes_away_ends_a_job_like_sigterm() {
    let folder = Folder::new();
    let topology = folder.topology(ECHO);
    let mut command = dshost();
    command.arg("run").arg(&topology);
    // SAFETY: `signal` may be called between fork and exec; the tests themselves may run under
    // `nohup`.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_DFL);
            Ok(())
        });
    }
    let running = started(&mut command);
    running.signal(libc::SIGHUP);
    let ended = finish(running);
    assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
    assert_said(
        &stderr(&ended),
        &["stopping: what was received is processed"],
    );
}

#[test]
fn a_job_that_is_to_outlive_its_terminal_does() {
    let folder = Folder::new();
    let topology = folder.topology(ECHO);
    let mut command = dshost();
    command.arg("run").arg(&topology);
    // SAFETY: `signal` may be called between fork and exec; what `nohup` does.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGHUP, libc::SIG_IGN);
            Ok(())
        });
    }
    let mut running = started(&mut command);
    let ignored = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", running.child.id())).unwrap();
        let mask = status
            .lines()
            .find_map(|line| line.strip_prefix("SigIgn:\t"))
            .unwrap();
        u64::from_str_radix(mask, 16).unwrap() & 1 == 1
    };
    assert!(ignored(), "it stays ignored");
    running.signal(libc::SIGHUP);
    assert_eq!(running.child.try_wait().unwrap(), None);
    running.signal(libc::SIGTERM);
    let ended = finish(running);
    assert_eq!(ended.status.code(), Some(0), "{}", stderr(&ended));
}

#[test]
fn a_job_without_plugins_needs_no_directory_for_them() {
    let folder = Folder::new();
    std::fs::remove_dir(folder.path.path().join("plugins")).unwrap();
    let topology = folder.topology(ECHO);
    let running = started(dshost().arg("run").arg(&topology));
    running.signal(libc::SIGTERM);
    let ended = finish(running);
    assert_eq!(ended.status.code(), Some(0));
    assert!(!stderr(&ended).contains("WARN"), "{}", stderr(&ended));
}

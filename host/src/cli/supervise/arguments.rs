//! What a job is started with: what the supervisor was, without what concerns the supervisor.

use std::ffi::OsString;

use clap::ValueEnum;

use crate::cli::args::{GlobalArgs, RunArgs};
use crate::cli::values::GuestProfile;

/// The arguments of `dshost` that run the job in a process of its own.
pub(super) fn arguments(global: &GlobalArgs, run: &RunArgs) -> Vec<OsString> {
    let GlobalArgs {
        log,
        log_format,
        color,
    } = global;
    let RunArgs {
        topology,
        workers,
        once,
        stop_after,
        fresh,
        reset_state,
        retry,
        profile_guests,
    } = run;
    let mut arguments = vec!["run".to_owned()];
    arguments.extend(log.iter().map(|filter| format!("--log={filter}")));
    arguments.extend(name(log_format).map(|format| format!("--log-format={format}")));
    arguments.extend(name(color).map(|when| format!("--color={when}")));
    if *profile_guests != GuestProfile::Off {
        arguments.extend(name(profile_guests).map(|form| format!("--profile-guests={form}")));
    }
    arguments.extend(workers.map(|count| format!("--workers={count}")));
    arguments.extend(stop_after.map(|batches| format!("--stop-after={batches}")));
    let flags = [(once, "--once"), (fresh, "--fresh"), (retry, "--retry")];
    let flags = flags.into_iter().filter(|(is_set, _)| **is_set);
    arguments.extend(flags.map(|(_, flag)| flag.to_owned()));
    arguments.extend(
        reset_state
            .iter()
            .map(|stream| format!("--reset-state={stream}")),
    );
    arguments.push("--".to_owned());
    let mut arguments: Vec<OsString> = arguments.into_iter().map(OsString::from).collect();
    arguments.push(topology.into());
    arguments
}

fn name(value: &impl ValueEnum) -> Option<String> {
    let value = value.to_possible_value()?;
    Some(value.get_name().to_owned())
}

/// How a job is started again that has been open: what it was to let go of is gone, and must not
/// go again with what it has done since.
pub(super) fn going_on(run: &RunArgs) -> RunArgs {
    RunArgs {
        fresh: false,
        reset_state: Vec::new(),
        retry: false,
        ..run.clone()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};

    /// What the process is started with whose supervisor has the command line `line`, first and
    /// again.
    fn started(line: &str) -> [String; 2] {
        let cli = Cli::try_parse_from(line.split(' ')).unwrap();
        let Command::Run { job, .. } = cli.command else {
            panic!("it is `run`")
        };
        [job.clone(), going_on(&job)].map(|job| {
            let arguments = arguments(&cli.global, &job);
            let again = Cli::try_parse_from(
                std::iter::once(OsString::from("dshost")).chain(arguments.clone()),
            );
            let Command::Run { job: read, keeper } = again.unwrap().command else {
                panic!("it is `run`")
            };
            assert!(!keeper.supervise);
            assert_eq!(format!("{read:?}"), format!("{job:?}"));
            let arguments = arguments.iter().map(|one| one.to_str().unwrap());
            arguments.collect::<Vec<_>>().join(" ")
        })
    }

    #[test]
    fn a_job_is_started_as_its_supervisor_was() {
        let usual = "run --log-format=text --color=auto -- t.toml";
        assert_eq!(started("dshost run t.toml --supervise"), [usual, usual]);
        let all = "dshost --log debug run --supervise --give-up-after 3 --workers 2 --once \
                   --reset-state a --reset-state -b --retry --color never -- --t";
        assert_eq!(
            started(&all.replace("--reset-state -b", "--reset-state=-b")),
            [
                "run --log=debug --log-format=text --color=never --workers=2 --once --retry \
                 --reset-state=a --reset-state=-b -- --t",
                "run --log=debug --log-format=text --color=never --workers=2 --once -- --t",
            ]
        );
    }

    #[test]
    fn a_job_is_profiled_at_every_start() {
        let profiled = "run --log-format=text --color=auto --profile-guests=perf-map -- t.toml";
        let started = started("dshost run t.toml --supervise --profile-guests perf-map");
        assert_eq!(started, [profiled, profiled]);
    }

    #[test]
    fn a_job_that_starts_over_does_so_once() {
        let [first, again] = started("dshost run --fresh t.toml --supervise");
        assert!(first.contains("--fresh"), "{first}");
        assert!(!again.contains("--fresh"), "{again}");
    }
}

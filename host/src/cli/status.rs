//! `dshost status` and `dshost plugins`: what a running job tells of itself.

use std::io::Write;
use std::path::Path;

use super::args::StatusArgs;
use super::error::{CliError, Fault};
use super::{load, show};
use crate::control::socket::{ControlError, ask_status};
use crate::driver::directory::job_directory;
use crate::observe::status::Status;

/// Shows how a running job is doing.
pub(super) fn status(args: &StatusArgs) -> Result<(), CliError> {
    let status = ask(&args.topology)?;
    if args.json {
        print_json(&status)
    } else {
        print(&show::status(&status))
    }
}

/// Shows the plugin versions of a running job.
pub(super) fn plugins(args: &StatusArgs) -> Result<(), CliError> {
    let status = ask(&args.topology)?;
    if args.json {
        print_json(&serde_json::json!({ "plugins": status.plugins, "history": status.history }))
    } else {
        print(&show::plugins(&status))
    }
}

fn ask(topology: &Path) -> Result<Status, CliError> {
    let plan = load::plan(topology)?;
    ask_status(&job_directory(&plan, &load::folder(topology))).map_err(|error| match error {
        ControlError::NotRunning(_) => {
            CliError::job(&error).hint(format!("start it: `dshost run {}`", topology.display()))
        }
        _ => CliError::job(&error),
    })
}

fn print_json(value: &impl serde::Serialize) -> Result<(), CliError> {
    let text = serde_json::to_string_pretty(value).map_err(|error| CliError::job(&error))?;
    print(&format!("{text}\n"))
}

/// To standard output, which somebody may have closed.
pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = anstream::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::new(
            Fault::Job,
            format!("cannot write to standard output: {error}"),
        )),
        _ => Ok(()),
    }
}

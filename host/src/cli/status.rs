//! `dshost status` and `dshost plugins`: what a running job tells of itself.

use std::path::Path;

use super::args::StatusArgs;
use super::error::CliError;
use super::tell::Teller;
use super::{load, show};
use crate::control::socket::{ControlError, ask_status};
use crate::driver::directory::job_directory;
use crate::observe::status::Status;

/// Shows how a running job is doing.
pub(super) fn status(args: &StatusArgs, teller: &Teller) -> Result<(), CliError> {
    let status = ask(&args.topology, teller)?;
    if args.json {
        teller.print_json(&status)
    } else {
        teller.print(&show::status(&status))
    }
}

/// Shows the plugin versions of a running job.
pub(super) fn plugins(args: &StatusArgs, teller: &Teller) -> Result<(), CliError> {
    let status = ask(&args.topology, teller)?;
    if args.json {
        teller.print_json(
            &serde_json::json!({ "plugins": status.plugins, "history": status.history }),
        )
    } else {
        teller.print(&show::plugins(&status))
    }
}

fn ask(topology: &Path, teller: &Teller) -> Result<Status, CliError> {
    let plan = load::plan(topology, teller)?;
    ask_status(&job_directory(&plan, &load::folder(topology))).map_err(|error| match error {
        ControlError::NotRunning(_) => {
            CliError::job(&error).hint(format!("start it: `dshost run {}`", topology.display()))
        }
        _ => CliError::job(&error),
    })
}

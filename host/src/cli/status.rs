//! `dshost status` and `dshost plugins`: what a running job tells of itself.

use std::path::Path;

use super::args::{RollbackArgs, StatusArgs};
use super::error::CliError;
use super::tell::Teller;
use super::{load, show};
use crate::control::socket::{ControlError, ask_rollback, ask_status};
use crate::driver::directory::job_directory;
use crate::driver::event::RollbackState;
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

/// Lets a running job go back to the version of a plugin before the last swap.
pub(super) fn rollback(args: &RollbackArgs, teller: &Teller) -> Result<(), CliError> {
    let RollbackArgs {
        topology,
        plugin,
        with_state,
    } = args;
    let (state, how) = match with_state {
        true => (RollbackState::OfThen, ", with the state of then"),
        false => (RollbackState::OfNow, ""),
    };
    let digest = asked(topology, teller, |job| ask_rollback(job, plugin, state))?;
    teller.print(&format!(
        "plugin {plugin} goes back to {digest} at the next batch{how}\n"
    ))
}

fn ask(topology: &Path, teller: &Teller) -> Result<Status, CliError> {
    asked(topology, teller, ask_status)
}

/// What the job of a topology answers.
fn asked<T>(
    topology: &Path,
    teller: &Teller,
    ask: impl FnOnce(&Path) -> Result<T, ControlError>,
) -> Result<T, CliError> {
    let plan = load::plan(topology, teller)?;
    ask(&job_directory(&plan, &load::folder(topology))).map_err(|error| match error {
        ControlError::NotRunning(_) => {
            CliError::job(&error).hint(format!("start it: `dshost run {}`", topology.display()))
        }
        _ => CliError::job(&error),
    })
}

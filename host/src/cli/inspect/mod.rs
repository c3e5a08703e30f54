//! `dshost inspect`: what is in a component ([`component`]), or in the newest checkpoint of a job
//! ([`checkpoint`]).

mod checkpoint;
mod component;

use super::args::InspectArgs;
use super::error::CliError;
use super::tell::Teller;

/// Shows what is in a component or in a job's directory.
pub(super) fn inspect(args: &InspectArgs, teller: &Teller) -> Result<(), CliError> {
    if args.path.is_dir() {
        teller.print(&checkpoint::describe(&args.path, args.keys)?)
    } else {
        teller.print(&component::describe(&args.path)?)
    }
}

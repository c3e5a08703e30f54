//! Reads a topology for a command.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::thread;

use super::error::{CliError, Fault};
use super::tell::Teller;
use crate::topology::plan::Plan;
use crate::topology::problem::Problems;
use crate::topology::syntax::MAX_FILE_BYTES;
use crate::topology::{self, Options, Parsed};

/// The text of a topology or scenario file.
pub(super) fn text(path: &Path) -> Result<String, CliError> {
    let fail = |error: &dyn std::fmt::Display| {
        CliError::new(Fault::Usage, format!("cannot read `{}`", path.display()))
            .cause(error.to_string())
    };
    let mut bytes = Vec::new();
    // One byte more than allowed is enough to be refused; the rest of a huge file is not read.
    let limit = MAX_FILE_BYTES as u64 + 1;
    File::open(path)
        .and_then(|file| file.take(limit).read_to_end(&mut bytes))
        .map_err(|error| fail(&error))?;
    let text = topology::decode(path, &bytes).map_err(|wrong| problems(&wrong))?;
    Ok(text.to_owned())
}

/// A checked topology; its warnings are told.
pub(super) fn plan(path: &Path, teller: &Teller) -> Result<Plan, CliError> {
    let parsed = parse(path, teller)?;
    teller.problems(&parsed.warnings);
    Ok(parsed.plan)
}

/// A checked topology and its warnings.
pub(super) fn parse(path: &Path, teller: &Teller) -> Result<Parsed, CliError> {
    let text = text(path)?;
    let options = Options {
        environment: &|name| teller.environment(name),
        workers: cores(),
        observe: &[],
    };
    topology::parse(path, &text, &options).map_err(|wrong| problems(&wrong))
}

/// All that is wrong with a file, as it stands.
pub(super) fn problems(problems: &Problems) -> CliError {
    CliError::problems(problems)
}

/// The topology's folder.
pub(super) fn folder(topology: &Path) -> PathBuf {
    topology.parent().unwrap_or(Path::new("")).to_owned()
}

/// Whether every source of the plan comes to an end by itself.
pub(super) fn can_end(plan: &Plan) -> Result<(), CliError> {
    for source in &plan.sources {
        if let Some(endless) = source.transport.endless() {
            let (name, why) = (&source.name, endless.why);
            let message = format!("`--once` cannot run source `{name}`: {why}");
            return Err(CliError::new(Fault::Usage, message).hint(endless.hint));
        }
    }
    Ok(())
}

/// The machine's cores.
pub(super) fn cores() -> usize {
    thread::available_parallelism().map_or(1, Into::into)
}

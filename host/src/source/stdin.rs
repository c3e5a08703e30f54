//! Standard input, to its end.

use std::io::{self, Read};
use std::thread;

use tokio::runtime::Handle;

use super::OpenContext;
use super::buffer::Stopped;
use super::intake::{Inlet, Intake, Received, Receiver};
use crate::batch::source::SourceError;
use crate::topology::plan::SourcePlan;

/// Bytes read at once: what a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// Reads standard input on a thread of its own.
///
/// # Errors
///
/// There can be no thread.
pub fn open(plan: &SourcePlan, context: &OpenContext) -> Result<Received, SourceError> {
    read(plan, context, io::stdin())
}

/// The same for any input.
fn read(
    plan: &SourcePlan,
    context: &OpenContext,
    input: impl Read + Send + 'static,
) -> Result<Received, SourceError> {
    let intake = Intake::new(plan);
    intake.set_state("reading standard input");
    let inlet = intake.open();
    let (runtime, source) = (context.runtime.clone(), plan.name.clone());
    thread::Builder::new()
        .name(format!("source {source}"))
        .spawn(move || pump(input, inlet, &runtime, &source))
        .map_err(|error| SourceError {
            message: format!("source `{}` cannot start its thread: {error}", plan.name),
            hint: None,
        })?;
    Ok(Received::new(plan, intake, Box::new(Reading)))
}

/// A thread that may hang in a read for ever; it ends with the process, and what it reads later is lost.
struct Reading;

impl Receiver for Reading {
    fn stop(&mut self) {}
}

fn pump(mut input: impl Read, mut inlet: Inlet, runtime: &Handle, source: &str) {
    let mut bytes = vec![0; READ_BYTES];
    let intake = inlet.intake().clone();
    loop {
        match input.read(&mut bytes) {
            Ok(0) => {
                inlet.close();
                intake.set_state("standard input has ended");
                return intake.complete();
            }
            Ok(count) => match inlet.push(runtime, &bytes[..count]) {
                Ok(()) => {}
                Err(Stopped) => return,
            },
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                return intake.fail(SourceError {
                    message: format!("source `{source}` cannot read standard input: {error}"),
                    hint: None,
                });
            }
        }
    }
}

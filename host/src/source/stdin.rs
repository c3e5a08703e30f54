//! Standard input, to its end.

use std::io::{self, Read};
use std::thread;

use tokio::runtime::Handle;

use super::bytes::buffer::Stopped;
use super::bytes::intake::{Inlet, Intake, Received, Receiver};
use super::connector::{SourceConnector, keys};
use super::{OpenContext, no_thread};
use crate::batch::guarantee::{Delivery, Guarantee};
use crate::batch::source::{Source, SourceError};
use crate::topology::plan::SourcePlan;
use crate::topology::sources::StdinKeys;

/// Bytes read at once: what a pipe holds.
const READ_BYTES: usize = 64 * 1024;

/// Opens `type = "stdin"`.
pub(super) struct StdinConnector;

impl SourceConnector for StdinConnector {
    fn open(
        &self,
        plan: &SourcePlan,
        context: &OpenContext,
    ) -> Result<Box<dyn Source>, SourceError> {
        let StdinKeys = keys(plan)?;
        Ok(Box::new(read(plan, context, io::stdin())?))
    }

    fn guarantee(&self, _: &SourcePlan) -> Guarantee {
        Guarantee {
            delivery: Delivery::AtMostOnce,
            condition: "what was read and not journaled when the process dies is lost, the rest counts once",
        }
    }
}

/// Reads `input` on a thread of its own.
///
/// # Errors
///
/// There can be no thread.
fn read(
    plan: &SourcePlan,
    context: &OpenContext,
    input: impl Read + Send + 'static,
) -> Result<Received, SourceError> {
    let intake = Intake::new(plan);
    intake.set_state("reading standard input");
    let inlet = intake.open(format!("standard input {}", context.incarnation));
    let (runtime, source) = (context.runtime.clone(), plan.name.clone());
    thread::Builder::new()
        .name(format!("source {source}"))
        .spawn(move || pump(input, inlet, &runtime, &source))
        .map_err(|error| no_thread(plan, &error))?;
    Ok(Received::new(plan, intake, Box::new(Reading)))
}

/// A thread that may hang in a read for ever; it ends with the process, and what it reads later is
/// lost.
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
                return intake.fail(SourceError::lasting(format!(
                    "source `{source}` cannot read standard input: {error}"
                )));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::source::{Source, SourceErrorKind};
    use crate::source::testing::{self, context, cut_until, eventually};
    use crate::topology::plan::Format;

    #[test]
    fn it_ends_with_its_input_and_the_last_line_needs_no_end() {
        let (_runtime, context) = context(false);
        let plan = testing::plan(Format::Text);
        let mut source = read(&plan, &context, &b"a\nb\nc"[..]).unwrap();
        let (lines, _) = cut_until(&mut source, |_, cut| cut.ended);
        assert_eq!(lines, ["a", "b", "c"]);
    }

    #[test]
    fn no_more_is_read_than_the_buffer_holds() {
        const LINES: u64 = 1 << 20;
        let (_runtime, context) = context(false);
        let plan = SourcePlan {
            buffer: 100_000,
            ..testing::plan(Format::Text)
        };
        let input = io::repeat(b'\n').take(LINES);
        let mut source = read(&plan, &context, input).unwrap();
        let (lines, _) = cut_until(&mut source, |_, cut| {
            assert!(cut.bytes <= 100_000);
            cut.ended
        });
        assert_eq!(lines.len() as u64, LINES);
        assert_eq!(source.health().buffered_bytes, 0);
    }

    #[test]
    fn what_cannot_be_read_ends_the_job() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::PermissionDenied.into())
            }
        }
        let (_runtime, context) = context(false);
        let plan = testing::plan(Format::Text);
        let mut source = read(&plan, &context, Broken).unwrap();
        let error = eventually(|| source.cut().err());
        assert_eq!(
            error.message,
            "source `lines` cannot read standard input: permission denied"
        );
    }

    #[test]
    fn what_was_read_cannot_be_had_again_and_says_so() {
        let (_runtime, context) = context(false);
        let plan = testing::plan(Format::Text);
        let mut source = read(&plan, &context, &b"a\n"[..]).unwrap();
        let mut names = Vec::new();
        cut_until(&mut source, |_, cut| {
            names.extend(cut.parts.iter().map(|part| part.name.clone()));
            cut.ended
        });
        let error = source.open(&names[0], None).err().unwrap();
        assert_eq!(error.kind, SourceErrorKind::Lasting);
        assert_eq!(
            error.message,
            "source `lines` cannot give what came through `standard input 1` again"
        );
        assert!(error.hint.is_some());
    }
}

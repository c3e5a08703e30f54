//! Where records come from: one transport per file.
//!
//! A transport receives bytes on its own, into a bounded `buffer`; a cut turns what is whole into
//! partitions, which workers decode by the source's `format`. The contract is
//! [`crate::batch::source::Source`].
//!
//! A transport that receives (`socket`, `stdin`, `generate`) fills a lane of [`bytes`]; `files` needs
//! none of that: it knows where its bytes are, and a worker reads them.
//!
//! **Invariant:** partitions and chunks are cut by the data alone.
//! **Invariant:** what is held is bounded by `buffer`, whatever peers send.
//!
//! Start reading at [`open`].

use std::sync::Arc;

use ::bytes::Bytes;

use self::bytes::lane::{Lane, Share};
use self::format::{Decoder, Framing};
use crate::batch::position::LaneName;
use crate::batch::source::{Partition, Source, SourceError};
use crate::topology::plan::{After, SocketMode, SourcePlan, Transport};

mod bytes;
mod files;
mod format;
mod generate;
mod notice;
mod pace;
mod socket;
mod stdin;
#[cfg(test)]
mod testing;

/// What sources are given by their host.
#[derive(Clone, Debug)]
pub struct OpenContext {
    /// Where connections are served; sources need its `net` and `time` drivers.
    pub runtime: tokio::runtime::Handle,
    /// What the sources hold now is processed, and then they have ended (`--once`).
    pub once: bool,
}

/// What holds of a source, and a user might not expect; `dshost check` shows it.
#[must_use]
pub(crate) fn note(plan: &SourcePlan) -> Option<String> {
    match &plan.transport {
        Transport::Socket { .. } => {
            Some("what was sent but not yet read when the process dies is lost".to_owned())
        }
        Transport::Files {
            dir,
            after: After::Move(to),
            ..
        } if files::put_away::on_one_file_system(dir, to) == Some(false) => Some(format!(
            "files are copied to `{}`, because it is on another file system",
            to.display()
        )),
        _ => None,
    }
}

/// A source whose thread the system does not give.
fn no_thread(plan: &SourcePlan, error: &std::io::Error) -> SourceError {
    let source = &plan.name;
    SourceError::lasting(format!(
        "source `{source}` cannot start its thread: {error}"
    ))
}

/// The partitions that all bytes of a connection would give in one batch: for measurements.
#[must_use]
pub fn partitions_of_connection(plan: &SourcePlan, bytes: Bytes) -> Vec<Arc<dyn Partition>> {
    let lane = LaneName("connection".to_owned());
    let mut lane = Lane::new(lane, &Arc::new(Decoder::new(Framing::of(plan))));
    lane.receive(bytes);
    lane.close();
    let all = Share {
        bytes: u64::MAX,
        records: None,
    };
    let taken = lane.take(all, plan.partitions);
    taken.parts.into_iter().map(|part| part.data).collect()
}

/// Opens the source of a plan, which receives from now on.
///
/// # Errors
///
/// It can never deliver, because what it reads is not there or not to be had.
pub fn open(plan: &SourcePlan, context: &OpenContext) -> Result<Box<dyn Source>, SourceError> {
    Ok(match &plan.transport {
        Transport::Socket {
            address,
            mode: SocketMode::Connect,
            retry,
        } => Box::new(socket::connect(plan, address, *retry, context)),
        Transport::Socket {
            address,
            mode: SocketMode::Listen,
            ..
        } => Box::new(socket::listen(plan, address, context)?),
        Transport::Files {
            dir,
            pattern,
            decompress,
            existing,
            after,
        } => {
            let watched = files::Watched {
                dir,
                pattern,
                decompress: *decompress,
                existing: *existing,
                after,
            };
            Box::new(files::open(plan, watched, context)?)
        }
        Transport::Stdin => Box::new(stdin::open(plan, context)?),
        Transport::Generate { unit, count, seed } => {
            let made = generate::Made {
                unit: *unit,
                count: *count,
                seed: *seed,
            };
            Box::new(generate::open(plan, made, context)?)
        }
    })
}

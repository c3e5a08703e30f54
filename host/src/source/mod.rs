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

use crate::batch::source::{Source, SourceError};
use crate::topology::plan::{After, SocketMode, SourcePlan, Transport};

mod bytes;
mod files;
mod format;
mod generate;
pub mod memory;
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

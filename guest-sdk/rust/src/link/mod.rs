//! Functions that work chunk by chunk, and chains of them.
//!
//! A link takes the whole stage that the link before it left, loops over its columns, and leaves a
//! stage of its own. The loops are generic over the function, so the function is inlined into them;
//! only the step from link to link is a virtual call.

mod narrow;
mod whole;

pub use narrow::{filter, flat_map_values, map_records, map_values};
pub use whole::{each, two, whole};

use crate::column::{Broken, Lane, Sources, Stage};
use crate::context::Context;
use crate::refusal::Report;
use crate::shape::{Call, Link, output};
use crate::wit::chunks::Outcome;
use crate::wit::types;

/// Links in order, opened together.
pub struct Chain {
    links: Vec<Box<dyn Link>>,
    keyed: bool,
}

impl Chain {
    /// A chain of at least one link; `keyed`: the stream it reads has keys.
    pub fn new(links: Vec<Box<dyn Link>>, keyed: bool) -> Self {
        Self { links, keyed }
    }

    /// Sends a chunk through the chain.
    ///
    /// # Errors
    ///
    /// If the chunk is not what was agreed on.
    pub fn process(
        &self,
        context: Context,
        chunk: &types::Chunk,
        skip: &[types::RecordRef],
    ) -> Result<Outcome, Broken> {
        let mut report = Report::default();
        let call = Call {
            context,
            sources: Sources::of(chunk),
            bytes: bytes(&chunk.value),
        };
        let mut stage = Stage::input(chunk, self.keyed || chunk.key.is_some());
        for link in &self.links {
            stage = link.run(&call, stage, report.enter(skip))?;
        }
        let output = if self.links.iter().all(|link| link.only_filters()) {
            types::Output::Kept(kept(stage, &report))
        } else {
            types::Output::Chunk(output(stage))
        };
        Ok(Outcome {
            output,
            report: report.into(),
        })
    }
}

/// The numbers of the records that filters left.
fn kept(stage: Stage<'_>, report: &Report) -> Vec<u8> {
    match stage.value {
        Lane::Input {
            picks: Some(picks), ..
        } => picks.into_flattened(),
        // Nothing was dropped on the way.
        _ => (0..report.first_entered())
            .flat_map(u32::to_le_bytes)
            .collect(),
    }
}

/// Bytes of a column.
fn bytes(column: &types::Column) -> usize {
    match column {
        types::Column::Text(column) => column.data.len(),
        types::Column::Bytes(column) | types::Column::Msgpack(column) => column.data.len(),
        types::Column::Int64(buffer)
        | types::Column::Float64(buffer)
        | types::Column::Bool(buffer) => buffer.len(),
    }
}

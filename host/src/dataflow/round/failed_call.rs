//! A call that trapped, kept so that it can be made again beside the batch.

use std::sync::Arc;

use crate::batch::function::{Binding, Context, Request, Trap};
use crate::batch::units::UnitText;
use crate::batch::{Chunk, Column, FunctionName};

use super::call_site::CallSite;
use super::skips::LeftOut;

/// A call that trapped, with everything that is needed to make it again.
#[derive(Clone)]
pub struct FailedCall {
    /// Which call it was.
    pub site: CallSite,
    /// When and where; the same whenever it is made again.
    pub context: Context,
    /// The functions.
    pub binding: Arc<dyn Binding>,
    /// What they were given.
    pub request: Request,
    /// What was left out of it already.
    pub left_out: Option<LeftOut>,
    /// The stream and the function of each link.
    pub links: Vec<(usize, FunctionName)>,
    /// What a trap of it is blamed on.
    pub grain: Grain,
    /// The key of each group, if it is a fold by key.
    pub keys: Option<Column>,
    /// How it ended.
    pub trap: Trap,
}

/// What a trap is blamed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// A unit of the request.
    Unit,
    /// All of it: the function sees a whole partition or batch.
    Whole,
}

impl FailedCall {
    /// A unit of `request`, which is what a link of this call was given.
    #[must_use]
    pub fn unit_text(&self, request: &Request, unit: u32) -> UnitText {
        match (request, &self.keys) {
            (Request::Fold(groups, values), Some(keys)) => {
                let group = groups.numbers.get(unit as usize);
                let key = keys.take(&[group]);
                let value = values.value().take(&[unit]);
                Request::Chunk(Chunk::pairs(key, value)).unit_text(0)
            }
            _ => request.unit_text(unit as usize),
        }
    }
}

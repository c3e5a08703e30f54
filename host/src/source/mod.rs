//! stub
use crate::batch::source::*;
use crate::topology::plan::SourcePlan;
/// x
pub struct OpenContext {
    /// x
    pub runtime: tokio::runtime::Handle,
    /// x
    pub once: bool,
    /// x
    pub ended: Box<dyn Fn() + Send + Sync>,
}
/// x
pub fn open(_p: &SourcePlan, _c: OpenContext) -> Result<Box<dyn Source>, SourceError> {
    todo!()
}

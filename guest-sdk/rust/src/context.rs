//! What a function may know of its call.

/// When and where a call happens; the same in every replay of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The batch's label: the end of its interval, in epoch milliseconds.
    pub batch_time_ms: i64,
    /// The partition of the operator's stream.
    pub partition: u32,
}

impl From<crate::wit::types::Context> for Context {
    fn from(context: crate::wit::types::Context) -> Self {
        Self {
            batch_time_ms: context.batch_time_ms,
            partition: context.partition,
        }
    }
}

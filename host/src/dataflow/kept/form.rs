//! What a stream must be to go on with what is held.

use serde::{Deserialize, Serialize};

use crate::batch::{ColumnType, RecordType, whole_millis};
use crate::topology::plan::{Op, Plan};
use crate::topology::types::Types;

/// Keys and states of some version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateForm {
    /// The type of the keys.
    pub key: ColumnType,
    /// The type of the states.
    pub state: ColumnType,
    /// The version of the states, as the function says it.
    pub version: u32,
}

/// A stream that holds something, by what matters to it. It is in every part that is saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamForm {
    /// The stream's name.
    pub stream: String,
    /// Its operator, as in the topology.
    pub op: String,
    /// The partitions of its result; none for `window`, which has those of what it reads.
    pub partitions: Option<u32>,
    /// The length of its window, in milliseconds.
    pub window_ms: Option<i64>,
    /// The time between two firings of its window, in milliseconds.
    pub slide_ms: Option<i64>,
    /// Whether it takes out what leaves its window.
    pub inverse: bool,
    /// Whether it keeps the time of each key's last record, because it has a timeout.
    pub timed: bool,
    /// The type of a window's records.
    pub record: Option<RecordType>,
    /// What a stateful stream holds.
    pub state: Option<StateForm>,
}

impl StreamForm {
    /// That of `plan.streams[index]`, if it holds anything from batch to batch. A state is that of
    /// the function that is bound under `types`.
    pub(in crate::dataflow) fn new(plan: &Plan, types: &Types, index: usize) -> Option<Self> {
        let stream = &plan.streams[index];
        let window = stream.op.window();
        let timed = match &stream.op {
            Op::MapWithState(state) => state.timeout.is_some(),
            Op::UpdateStateByKey(_) => false,
            _ => {
                window?;
                false
            }
        };
        let state = || {
            let signature = types.states[index]?;
            Some(StateForm {
                key: types.takes[index].first()?.key?,
                state: signature.column_type,
                version: signature.version,
            })
        };
        let partitions = match stream.op {
            Op::Window(_) => None,
            Op::CountByWindow(_) | Op::ReduceByWindow(_) => Some(1),
            _ => Some(stream.partitions),
        };
        Some(Self {
            stream: stream.name.clone(),
            op: stream.op.name().to_owned(),
            partitions,
            window_ms: window.map(|window| whole_millis(window.length)),
            slide_ms: window.map(|_| whole_millis(stream.slide)),
            inverse: stream.inverse.is_some(),
            timed,
            record: window.map(|_| types.streams[index]),
            state: if window.is_none() { state() } else { None },
        })
    }
}

//! Columns on their way into a guest: Arrow's layout, one copy per buffer.

use crate::batch::column::Ranges;
use crate::batch::function::{Kind, States};
use crate::batch::{Chunk, Column, VarColumn};

use super::wire;

/// A chunk in the layout in which it crosses. What the guest answers may point into it.
pub(super) struct Input {
    key: Option<Column>,
    value: Column,
    keys: KeyCrossing,
}

/// Whether a call gets to see the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyCrossing {
    /// They cross.
    Lowered,
    /// No function of the chain looks at them, so they stay here.
    Withheld,
}

impl KeyCrossing {
    /// What a chain of these kinds gets to see.
    pub(super) fn of(kinds: &[Kind]) -> Self {
        match kinds.iter().all(|kind| kind.values_only()) {
            true => Self::Withheld,
            false => Self::Lowered,
        }
    }
}

impl Input {
    /// Compacts what is not yet so; columns that are compact are shared.
    pub(super) fn new(chunk: &Chunk, keys: KeyCrossing) -> Self {
        Self {
            key: chunk.key().map(|key| match keys {
                KeyCrossing::Lowered => key.compact(),
                KeyCrossing::Withheld => key.clone(),
            }),
            value: chunk.value().compact(),
            keys,
        }
    }

    /// The number of records.
    pub(super) fn len(&self) -> usize {
        self.value.len()
    }

    /// The records.
    pub(super) fn chunk(&self) -> Chunk {
        Chunk::new(self.key.clone(), self.value.clone())
    }

    /// The column that `side` names, if there is one.
    pub(super) fn column(&self, side: wire::Side) -> Option<&Column> {
        match side {
            wire::Side::Key => self.key.as_ref(),
            wire::Side::Value => Some(&self.value),
        }
    }

    /// The column that `side` names, if the guest has its bytes.
    pub(super) fn seen(&self, side: wire::Side) -> Option<&Column> {
        match (side, self.keys) {
            (wire::Side::Key, KeyCrossing::Withheld) => None,
            _ => self.column(side),
        }
    }

    /// The records as they cross.
    pub(super) fn lower(&self) -> wire::Chunk<'_> {
        wire::Chunk {
            key: self.seen(wire::Side::Key).map(column),
            value: column(&self.value),
        }
    }
}

/// States in the layout in which they cross.
pub(super) struct LoweredStates {
    present: Vec<u8>,
    values: Column,
}

impl LoweredStates {
    /// Compacts what is not yet so.
    pub(super) fn new(states: &States) -> Self {
        Self {
            present: states.present.iter().copied().map(u8::from).collect(),
            values: states.values.compact(),
        }
    }

    /// The states as they cross.
    pub(super) fn lower(&self) -> wire::States<'_> {
        wire::States {
            present: &self.present,
            values: column(&self.values),
        }
    }
}

/// A column as it crosses, which must be compact.
pub(super) fn column(column: &Column) -> wire::Column<'_> {
    match column {
        Column::Text(text) => wire::Column::Text(wire::TextColumn {
            offsets: offsets(text.column()),
            data: text.data(),
        }),
        Column::Bytes(var) => wire::Column::Bytes(bytes(var)),
        Column::Msgpack(var) => wire::Column::Msgpack(bytes(var)),
        Column::Int64(fixed) => wire::Column::Int64(fixed.bytes()),
        Column::Float64(fixed) => wire::Column::Float64(fixed.bytes()),
        Column::Bool(fixed) => wire::Column::Bool(fixed.bytes()),
    }
}

fn bytes(column: &VarColumn) -> wire::BytesColumn<'_> {
    wire::BytesColumn {
        offsets: offsets(column),
        data: column.data(),
    }
}

fn offsets(column: &VarColumn) -> &[u8] {
    match column.ranges() {
        Ranges::Offsets(offsets) => offsets.bytes(),
        Ranges::Slices { .. } => unreachable!("a compact column has offsets"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_of_a_column_crosses_without_its_surroundings() {
        let chunk = Chunk::pairs(
            Column::int64([1, 2, 3]),
            Column::text(["one", "two", "three"]),
        );
        let input = Input::new(&chunk.slice(1..2), KeyCrossing::Lowered);
        let lowered = input.lower();
        let wire::Column::Text(text) = lowered.value else {
            panic!("still text")
        };
        assert_eq!(text.data, "two");
        assert_eq!(text.offsets, [0, 0, 0, 0, 3, 0, 0, 0]);
        assert!(matches!(lowered.key, Some(wire::Column::Int64([2, ..]))));
    }

    #[test]
    fn withheld_keys_stay_here() {
        let chunk = Chunk::pairs(Column::int64([1]), Column::int64([2]));
        let input = Input::new(&chunk, KeyCrossing::Withheld);
        assert!(input.lower().key.is_none());
        assert!(input.seen(wire::Side::Key).is_none());
        assert_eq!(input.column(wire::Side::Key), Some(&Column::int64([1])));
    }
}

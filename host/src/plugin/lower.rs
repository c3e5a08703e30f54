//! Columns on their way into a guest: one copy per buffer.

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
    /// Copies what does not stand behind each other; all else is shared.
    pub(super) fn new(chunk: &Chunk, keys: KeyCrossing) -> Self {
        Self {
            key: chunk.key().map(|key| match keys {
                KeyCrossing::Lowered => key.aligned(),
                KeyCrossing::Withheld => key.clone(),
            }),
            value: chunk.value().aligned(),
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
    /// Copies what does not stand behind each other.
    pub(super) fn new(states: &States) -> Self {
        Self {
            present: states.present.iter().copied().map(u8::from).collect(),
            values: states.values.aligned(),
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

/// A column as it crosses, which must be [aligned](Column::aligned).
pub(super) fn column(column: &Column) -> wire::Column<'_> {
    match column {
        Column::Text(text) => {
            let wire::BytesColumn { offsets, gap, .. } = bytes(text.column());
            let data = text.data();
            wire::Column::Text(wire::TextColumn { offsets, gap, data })
        }
        Column::Bytes(var) => wire::Column::Bytes(bytes(var)),
        Column::Msgpack(var) => wire::Column::Msgpack(bytes(var)),
        Column::Int64(fixed) => wire::Column::Int64(fixed.bytes()),
        Column::Float64(fixed) => wire::Column::Float64(fixed.bytes()),
        Column::Bool(fixed) => wire::Column::Bool(fixed.bytes()),
    }
}

fn bytes(column: &VarColumn) -> wire::BytesColumn<'_> {
    let (offsets, gap) = column.dense().expect("an aligned column has offsets");
    wire::BytesColumn {
        offsets: offsets.bytes(),
        gap,
        data: column.data(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::TextBuffer;

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
    fn lines_cross_with_their_line_feeds_between_them() {
        let lines = TextBuffer::from_string(
            "a\n\nbc\n".to_owned(),
            [0, 2, 3, 6].into_iter().collect(),
            1,
        );
        let chunk = Chunk::single(Column::Text(lines.unwrap()));
        let input = Input::new(&chunk, KeyCrossing::Lowered);
        let wire::Column::Text(text) = input.lower().value else {
            panic!("still text")
        };
        assert_eq!((text.data, text.gap), ("a\n\nbc\n", 1));
        let some = Input::new(&chunk.take(&[0, 2]), KeyCrossing::Lowered);
        let wire::Column::Text(text) = some.lower().value else {
            panic!("still text")
        };
        assert_eq!((text.data, text.gap), ("abc", 0));
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

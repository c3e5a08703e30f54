//! A column collected element by element.

use bytes::Bytes;

use super::{Column, ColumnType, Fixed, TextBuffer, VarBuilder};

/// Collects elements of one type, given as their bytes, into a [`Column`].
#[derive(Debug)]
pub struct ColumnBuilder {
    column_type: ColumnType,
    var: VarBuilder,
    fixed: Vec<u8>,
}

impl ColumnBuilder {
    /// An empty column of `column_type` to come.
    #[must_use]
    pub fn new(column_type: ColumnType) -> Self {
        Self {
            column_type,
            var: VarBuilder::default(),
            fixed: Vec::new(),
        }
    }

    /// As [`ColumnBuilder::new`], with room for `elements` of `bytes` together.
    #[must_use]
    pub fn with_capacity(column_type: ColumnType, elements: usize, bytes: usize) -> Self {
        let (var, fixed) = match column_type.width() {
            None => (VarBuilder::with_capacity(elements, bytes), Vec::new()),
            Some(_) => (VarBuilder::default(), Vec::with_capacity(bytes)),
        };
        Self {
            column_type,
            var,
            fixed,
        }
    }

    /// Adds all elements of `column`.
    ///
    /// # Panics
    ///
    /// If `column` has another type: the plan's types rule that out.
    pub fn append(&mut self, column: &Column) {
        assert_eq!(
            self.column_type,
            column.column_type(),
            "columns of one stream have one type"
        );
        match column {
            Column::Text(TextBuffer { column: var, .. })
            | Column::Bytes(var)
            | Column::Msgpack(var) => var.for_each(|element| self.var.push(element)),
            Column::Int64(fixed) | Column::Float64(fixed) => {
                self.fixed.extend_from_slice(fixed.bytes());
            }
            Column::Bool(fixed) => self.fixed.extend_from_slice(fixed.bytes()),
        }
    }

    /// Adds element `index` of `column`.
    ///
    /// # Panics
    ///
    /// As [`ColumnBuilder::append`].
    pub fn append_one(&mut self, column: &Column, index: usize) {
        assert_eq!(
            self.column_type,
            column.column_type(),
            "columns of one stream have one type"
        );
        let element = column.element(index);
        match column {
            Column::Text(_) | Column::Bytes(_) | Column::Msgpack(_) => self.var.push(element),
            Column::Int64(_) | Column::Float64(_) | Column::Bool(_) => {
                self.fixed.extend_from_slice(element);
            }
        }
    }

    /// Bytes of all elements so far.
    #[must_use]
    pub fn size(&self) -> usize {
        self.var.data_len() + self.fixed.len()
    }

    /// The column.
    #[must_use]
    pub fn finish(self) -> Column {
        let fixed = Bytes::from(self.fixed);
        match self.column_type {
            ColumnType::Text => Column::Text(TextBuffer::whole(self.var.finish())),
            ColumnType::Bytes => Column::Bytes(self.var.finish()),
            ColumnType::Msgpack => Column::Msgpack(self.var.finish()),
            ColumnType::Int64 => Column::Int64(Fixed(fixed)),
            ColumnType::Float64 => Column::Float64(Fixed(fixed)),
            ColumnType::Bool => Column::Bool(Fixed(fixed)),
        }
    }
}

//! Values that are the same but for the rounding of floats, also of floats inside `MessagePack`.
//!
//! Two float64 are the same within [`FLOAT64`] relative, two f32 (only `MessagePack` has them)
//! within [`FLOAT32`]; relative to the largest of them and of the operands that they were computed
//! from, because that is what they were rounded at: `(a + b) - b` is as exact as `b` is large. NaN
//! is NaN. Maps are compared by key, whatever their order.

use super::canonical::canonical;
use super::msgpack::{MAX_DEPTH, Token};
use super::types::ColumnType;

/// How far two float64 may lie apart, relative to their size.
pub const FLOAT64: f64 = 1e-9;

/// The same for two f32.
pub const FLOAT32: f64 = 1e-5;

/// Whether two elements of columns of one type are the same but for rounding; `operands` are
/// elements of that type, too.
#[must_use]
pub fn nearly(column_type: ColumnType, left: &[u8], right: &[u8], operands: &[&[u8]]) -> bool {
    if left == right {
        return true;
    }
    match column_type {
        ColumnType::Float64 => {
            let operands = operands.iter().copied().filter_map(float64);
            let floats = float64(left).zip(float64(right));
            floats.is_some_and(|(left, right)| close(FLOAT64, left, right, operands))
        }
        ColumnType::Msgpack => {
            let operands: Vec<Tree<'_>> = operands.iter().filter_map(|one| Tree::of(one)).collect();
            let operands: Vec<&Tree<'_>> = operands.iter().collect();
            let trees = Tree::of(left).zip(Tree::of(right));
            trees.is_some_and(|(left, right)| left.nearly(&right, &operands))
        }
        ColumnType::Text | ColumnType::Bytes | ColumnType::Int64 | ColumnType::Bool => false,
    }
}

/// Whether no float of an element is infinite or NaN.
#[must_use]
pub fn is_finite(column_type: ColumnType, element: &[u8]) -> bool {
    match column_type {
        ColumnType::Float64 => float64(element).is_none_or(f64::is_finite),
        ColumnType::Msgpack => Tree::of(element).is_none_or(|tree| tree.is_finite()),
        ColumnType::Text | ColumnType::Bytes | ColumnType::Int64 | ColumnType::Bool => true,
    }
}

fn float64(element: &[u8]) -> Option<f64> {
    element.try_into().ok().map(f64::from_le_bytes)
}

fn close(tolerance: f64, left: f64, right: f64, operands: impl IntoIterator<Item = f64>) -> bool {
    if left.is_nan() || right.is_nan() {
        return left.is_nan() && right.is_nan();
    }
    if left.is_infinite() || right.is_infinite() {
        return left.total_cmp(&right).is_eq();
    }
    let sizes = operands.into_iter().filter(|operand| operand.is_finite());
    let size = sizes
        .chain([left, right])
        .fold(0.0, |size, one| one.abs().max(size));
    (left - right).abs() <= tolerance * size
}

/// A `MessagePack` value, taken apart.
#[derive(Debug)]
enum Tree<'a> {
    Float(f64, f64),
    /// Whatever sign it was written with.
    Integer(i128),
    Other(Token<'a>),
    Array(Vec<Self>),
    /// By the canonical form of the keys, ascending.
    Map(Vec<(Vec<u8>, Self)>),
}

impl<'a> Tree<'a> {
    /// The one value in `bytes`; none if they are something else.
    fn of(mut bytes: &'a [u8]) -> Option<Self> {
        let tree = Self::read(&mut bytes, MAX_DEPTH)?;
        bytes.is_empty().then_some(tree)
    }

    /// Takes a value off `input`; `depth` more levels are allowed.
    fn read(input: &mut &'a [u8], depth: usize) -> Option<Self> {
        Some(match Token::read(input).ok()? {
            Token::Float32(value) => Self::Float(value.into(), FLOAT32),
            Token::Float64(value) => Self::Float(value, FLOAT64),
            Token::Unsigned(value) => Self::Integer(value.into()),
            Token::Signed(value) => Self::Integer(value.into()),
            // Counts are foreign, but every value takes a byte of the input or ends the loop.
            Token::Array(count) => {
                let depth = depth.checked_sub(1)?;
                let values = (0..count).map(|_| Self::read(input, depth));
                Self::Array(values.collect::<Option<_>>()?)
            }
            Token::Map(count) => {
                let depth = depth.checked_sub(1)?;
                let mut entries = Vec::new();
                for _ in 0..count {
                    let start = *input;
                    Self::read(input, depth)?;
                    let mut key = Vec::new();
                    canonical(&start[..start.len() - input.len()], &mut key).ok()?;
                    entries.push((key, Self::read(input, depth)?));
                }
                entries.sort_by(|one, other| one.0.cmp(&other.0));
                Self::Map(entries)
            }
            other => Self::Other(other),
        })
    }

    /// Whether they are the same but for rounding; `operands` that have no value where these have
    /// one say nothing about it.
    fn nearly(&self, other: &Self, operands: &[&Self]) -> bool {
        match (self, other) {
            (Self::Float(left, tolerance), Self::Float(right, other)) => {
                let operands = operands.iter().filter_map(|operand| match operand {
                    Self::Float(value, _) => Some(*value),
                    _ => None,
                });
                close(tolerance.max(*other), *left, *right, operands)
            }
            (Self::Integer(left), Self::Integer(right)) => left == right,
            (Self::Other(left), Self::Other(right)) => left == right,
            (Self::Array(left), Self::Array(right)) => {
                left.len() == right.len()
                    && (0..)
                        .zip(left.iter().zip(right))
                        .all(|(at, (left, right))| {
                            let of = operands.iter().filter_map(|operand| operand.item(at));
                            left.nearly(right, &of.collect::<Vec<_>>())
                        })
            }
            (Self::Map(left), Self::Map(right)) => {
                left.len() == right.len()
                    && left.iter().zip(right).all(|((key, left), (other, right))| {
                        let of = operands.iter().filter_map(|operand| operand.entry(key));
                        key == other && left.nearly(right, &of.collect::<Vec<_>>())
                    })
            }
            _ => false,
        }
    }

    fn item(&self, index: usize) -> Option<&Self> {
        match self {
            Self::Array(values) => values.get(index),
            _ => None,
        }
    }

    fn entry(&self, key: &[u8]) -> Option<&Self> {
        match self {
            Self::Map(entries) => {
                let at = entries.binary_search_by(|(other, _)| other.as_slice().cmp(key));
                at.ok().map(|at| &entries[at].1)
            }
            _ => None,
        }
    }

    fn is_finite(&self) -> bool {
        match self {
            Self::Float(value, _) => value.is_finite(),
            Self::Array(values) => values.iter().all(Self::is_finite),
            Self::Map(entries) => entries.iter().all(|(_, value)| value.is_finite()),
            Self::Integer(_) | Self::Other(_) => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::*;

    fn floats(left: f64, right: f64, operands: &[f64]) -> bool {
        let bytes: Vec<[u8; 8]> = operands.iter().map(|one| one.to_le_bytes()).collect();
        let operands: Vec<&[u8]> = bytes.iter().map(<[u8; 8]>::as_slice).collect();
        let (left, right) = (left.to_le_bytes(), right.to_le_bytes());
        nearly(ColumnType::Float64, &left, &right, &operands)
    }

    fn values(left: &impl Serialize, right: &impl Serialize) -> bool {
        let bytes = |value: &[u8]| value.to_vec();
        let left = bytes(&rmp_serde::to_vec_named(left).unwrap());
        let right = bytes(&rmp_serde::to_vec_named(right).unwrap());
        nearly(ColumnType::Msgpack, &left, &right, &[])
    }

    #[test]
    fn floats_are_the_same_within_a_billionth() {
        assert!(floats(0.1 + 0.2, 0.3, &[]));
        assert!(floats(1.0, 1.0 + 0.9e-9, &[]));
        assert!(!floats(1.0, 1.0 + 1.1e-9, &[]));
        assert!(floats(f64::NAN, -f64::NAN, &[]));
        assert!(!floats(f64::NAN, 1.0, &[]));
        assert!(floats(0.0, -0.0, &[]));
        assert!(floats(f64::INFINITY, f64::INFINITY, &[]));
        assert!(!floats(f64::INFINITY, 1e308, &[]));
        assert!(!floats(f64::INFINITY, f64::NEG_INFINITY, &[]));
    }

    #[test]
    fn a_difference_is_measured_by_the_operands() {
        let (a, b) = (0.001, 1e9);
        assert!(!floats((a + b) - b, a, &[]));
        assert!(floats((a + b) - b, a, &[a, b]));
        assert!(!floats(2.0, 1.0, &[a, 3.0]));
        assert!(floats(2.0, 2.0, &[f64::INFINITY]));
    }

    #[test]
    fn floats_inside_msgpack_are_compared_where_they_lie() {
        let near = 0.1 + 0.2;
        assert!(values(&vec![(1, vec![near])], &vec![(1, vec![0.3])]));
        assert!(!values(&vec![(1, vec![near])], &vec![(2, vec![0.3])]));
        assert!(!values(&vec![0.3], &vec![0.3, 0.3]));
        assert!(values(&[f64::NAN], &[f64::NAN]));
        let map = |value: f64| BTreeMap::from([("of", vec![Some(value), None])]);
        assert!(values(&map(near), &map(0.3)));
        assert!(!values(&map(0.4), &map(0.3)));
        assert!(!values(&1.0, &1), "a float is no integer");
        let sum: f32 = [0.1f32; 10].iter().sum();
        assert!(values(&sum, &1.0f32), "f32 have fewer digits");
    }

    #[test]
    fn an_operand_counts_only_where_it_lies() {
        let encoded = |sum: f64, least: f64| rmp_serde::to_vec(&(sum, least)).unwrap();
        let operands = [encoded(1e9, 0.001), encoded(2e9, 0.002)];
        let operands: Vec<&[u8]> = operands.iter().map(Vec::as_slice).collect();
        let same = |left: &[u8], right: &[u8]| nearly(ColumnType::Msgpack, left, right, &operands);
        assert!(same(&encoded(0.1, 0.001), &encoded(0.2, 0.001)));
        assert!(!same(&encoded(0.1, 0.001), &encoded(0.1, 0.002)));
    }

    #[test]
    fn the_order_of_a_map_does_not_matter_nor_how_an_integer_is_written() {
        // {1: 2, "a": 3} and {"a": 3 in two bytes, 1: 2}.
        let one = [0x82, 1, 2, 0xa1, b'a', 3];
        let other = [0x82, 0xa1, b'a', 0xcc, 3, 1, 2];
        assert!(nearly(ColumnType::Msgpack, &one, &other, &[]));
        let wrong = [0x82, 0xa1, b'a', 0xcc, 4, 1, 2];
        assert!(!nearly(ColumnType::Msgpack, &one, &wrong, &[]));
    }
}

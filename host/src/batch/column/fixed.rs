//! Little-endian elements of a fixed width.

use bytes::Bytes;

use super::ColumnError;

/// Little-endian elements of `N` bytes in one shared buffer.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Fixed<const N: usize>(pub(super) Bytes);

/// `u32` offsets, indices, group numbers.
pub type U32s = Fixed<4>;

/// Elements that are compared with the first at once.
const UNIFORM_BLOCK: usize = 256;

impl<const N: usize> Fixed<N> {
    /// Takes a buffer of whole elements.
    ///
    /// # Errors
    ///
    /// [`ColumnError::Ragged`] if the last element is cut off.
    pub fn new(buffer: impl Into<Bytes>) -> Result<Self, ColumnError> {
        let buffer = buffer.into();
        if buffer.len().is_multiple_of(N) {
            Ok(Self(buffer))
        } else {
            Err(ColumnError::Ragged {
                bytes: buffer.len(),
                width: N,
            })
        }
    }

    /// The number of elements.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len() / N
    }

    /// Whether there are no elements.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The elements as little-endian bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// The elements, each as its `N` bytes.
    #[must_use]
    pub fn elements(&self) -> &[[u8; N]] {
        self.0.as_chunks().0
    }

    /// Elements `range`, sharing the buffer.
    #[must_use]
    pub fn slice(&self, range: std::ops::Range<usize>) -> Self {
        Self(self.0.slice(range.start * N..range.end * N))
    }

    /// The elements at `indices`.
    #[must_use]
    pub fn take(&self, indices: &[u32]) -> Self {
        let elements = self.elements();
        let mut buffer = Vec::with_capacity(indices.len() * N);
        for &index in indices {
            buffer.extend_from_slice(&elements[index as usize]);
        }
        Self(buffer.into())
    }

    /// As [`super::Column::repeat`].
    pub(super) fn repeat(&self, count: usize) -> Self {
        let one = match count {
            0 => &[],
            _ => self.elements()[0].as_slice(),
        };
        Self(one.repeat(count).into())
    }

    /// Whether all elements are the same; of none, no.
    pub(super) fn is_uniform(&self) -> bool {
        let elements = self.elements();
        let Some(first) = elements.first() else {
            return false;
        };
        // Without an early exit within a block, so it is vectorised.
        let same = |block: &[[u8; N]]| block.iter().fold(true, |all, one| all & (one == first));
        elements.chunks(UNIFORM_BLOCK).all(same)
    }

    /// As [`super::Column::choose`].
    pub(super) fn choose(&self, other: &Self, places: &[u32]) -> Self {
        let (one, other) = (self.elements(), other.elements());
        let mut buffer = Vec::with_capacity(places.len() * N);
        for &place in places {
            let place = place as usize;
            let element = one.get(place).unwrap_or_else(|| &other[place - one.len()]);
            buffer.extend_from_slice(element);
        }
        Self(buffer.into())
    }
}

impl<const N: usize> std::fmt::Debug for Fixed<N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fixed<{N}>[{}]", self.len())
    }
}

impl Fixed<4> {
    /// Element `index`.
    ///
    /// # Panics
    ///
    /// If there is no such element.
    #[must_use]
    pub fn get(&self, index: usize) -> u32 {
        u32::from_le_bytes(self.elements()[index])
    }

    /// The elements as numbers.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = u32> + ExactSizeIterator + '_ {
        self.elements()
            .iter()
            .map(|element| u32::from_le_bytes(*element))
    }
}

impl FromIterator<u32> for Fixed<4> {
    fn from_iter<I: IntoIterator<Item = u32>>(values: I) -> Self {
        Self(
            values
                .into_iter()
                .flat_map(u32::to_le_bytes)
                .collect::<Vec<_>>()
                .into(),
        )
    }
}

impl Fixed<8> {
    /// The elements as integers.
    pub fn iter_i64(&self) -> impl DoubleEndedIterator<Item = i64> + ExactSizeIterator + '_ {
        self.elements()
            .iter()
            .map(|element| i64::from_le_bytes(*element))
    }
}

//! The newest of what happens, as many as are kept.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Keeps the newest `KEPT` events, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ring<T, const KEPT: usize>(VecDeque<T>);

impl<T, const KEPT: usize> Default for Ring<T, KEPT> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T, const KEPT: usize> Ring<T, KEPT> {
    /// Adds the newest, forgetting the oldest where there are too many.
    pub fn push(&mut self, event: T) {
        if self.0.len() >= KEPT {
            self.0.pop_front();
        }
        self.0.push_back(event);
    }

    /// All that are kept, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.0.iter()
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing has happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay() {
        let mut ring = Ring::<u32, 3>::default();
        (0..10).for_each(|event| ring.push(event));
        assert!(ring.iter().eq(&[7, 8, 9]));
        let json = serde_json::to_string(&ring).unwrap();
        assert_eq!(json, "[7,8,9]");
        assert_eq!(serde_json::from_str::<Ring<u32, 3>>(&json).unwrap(), ring);
    }
}

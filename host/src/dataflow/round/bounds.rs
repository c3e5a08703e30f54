//! How much may be held at once, and which limit says so.
//!
//! Guests decide how much they make of a batch, so everything that holds records has a bound.

use crate::topology::plan::OperatorLimits;

use super::failure::{FailureKind, Limit};

/// The most that one call may be given or may give, in bytes. A column must stay below 4 GiB, and
/// slices that repeat can stand for far more than a guest's memory holds.
const CALL_BYTES: usize = 1024 * 1024 * 1024;

/// A limit and how much it allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    /// Which limit.
    pub limit: Limit,
    /// What it allows, in bytes.
    pub bytes: usize,
}

impl Bound {
    /// That of one call or column.
    pub(crate) const CALL: Self = Self::fixed(CALL_BYTES);

    /// One that no setting moves.
    #[must_use]
    pub(crate) const fn fixed(bytes: usize) -> Self {
        Self {
            limit: Limit::Fixed,
            bytes,
        }
    }

    /// The smaller of this and that of one call: for what is held in order to be one column.
    #[must_use]
    pub(crate) const fn of_call(self) -> Self {
        if self.bytes < CALL_BYTES {
            self
        } else {
            Self::CALL
        }
    }

    /// Says if `bytes` are too many.
    ///
    /// # Errors
    ///
    /// [`FailureKind::TooLarge`].
    pub(crate) fn check(self, bytes: usize) -> Result<(), FailureKind> {
        if bytes > self.bytes {
            return Err(FailureKind::TooLarge {
                bytes: bytes as u64,
                allowed: self.bytes as u64,
                limit: self.limit,
            });
        }
        Ok(())
    }
}

/// The bounds of the operators of one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Of what a wide operator holds of one batch.
    pub operator: Bound,
    /// Of what a window keeps from batch to batch.
    pub window: Bound,
    /// Of what the state of a stream takes.
    pub state: Bound,
}

impl Bounds {
    /// Those of a topology.
    #[must_use]
    pub(crate) const fn new(limits: &OperatorLimits) -> Self {
        const fn bound(limit: Limit, bytes: usize) -> Bound {
            Bound { limit, bytes }
        }
        Self {
            operator: bound(Limit::Operator, limits.operator),
            window: bound(Limit::Window, limits.window),
            state: bound(Limit::State, limits.state),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_a_limit_names_its_key() {
        let limits = OperatorLimits {
            operator: 10,
            ..OperatorLimits::default()
        };
        let bound = Bounds::new(&limits).operator;
        assert_eq!(bound.check(10), Ok(()));
        let error = bound.check(11).unwrap_err();
        assert_eq!(
            error.to_string(),
            "11 bytes would have to be held at once, `operator` of `[topology.limits]` allows 10"
        );
    }

    #[test]
    fn what_becomes_one_column_stays_below_what_a_column_can_hold() {
        let limits = OperatorLimits {
            operator: 8 * CALL_BYTES,
            window: 5,
            ..OperatorLimits::default()
        };
        let bounds = Bounds::new(&limits);
        assert_eq!(bounds.operator.of_call(), Bound::CALL);
        assert_eq!(bounds.window.of_call(), bounds.window);
    }
}

//! The state of one key, as `map_with_state` sees it, and what all stateful functions have in
//! common.

use crate::column::{Column, Lane, repeat};
use crate::probe::{Probe, Undecided};
use crate::wit::plugin::StateSignature;
use crate::wit::types::{self, Side};

/// The state of one key while a function is called with one of its records.
///
/// It belongs to the host, which keeps it from batch to batch; what a call does to it is undone if
/// the call refuses its record.
#[derive(Clone, Debug)]
pub struct State<S> {
    current: Option<S>,
    /// What there was before the call, once the call changes it.
    before: Option<Option<S>>,
    removed: bool,
    timing_out: bool,
    misuse: Option<&'static str>,
}

impl<S> State<S> {
    /// A state, or none: what a unit test hands to a function.
    pub const fn new(state: Option<S>) -> Self {
        Self {
            current: state,
            before: None,
            removed: false,
            timing_out: false,
            misuse: None,
        }
    }

    /// A state that is timing out: what a unit test hands to a function.
    pub fn expiring(state: S) -> Self {
        Self {
            timing_out: true,
            ..Self::new(Some(state))
        }
    }

    /// The state, if the key has any.
    #[must_use]
    pub const fn get(&self) -> Option<&S> {
        self.current.as_ref()
    }

    /// Whether the key has a state.
    #[must_use]
    pub const fn exists(&self) -> bool {
        self.current.is_some()
    }

    /// Whether this is the key's last call, without a value: the key had no record for the time
    /// that the topology allows, and is removed afterwards.
    #[must_use]
    pub const fn is_timing_out(&self) -> bool {
        self.timing_out
    }

    /// Gives the key a new state. After [`State::remove`], or while the state is timing out, that
    /// is a mistake: nothing changes, and the record is refused.
    pub fn update(&mut self, state: S) {
        if self.timing_out {
            self.misuse = Some("a state that is timing out cannot be updated");
        } else if self.removed {
            self.misuse = Some("a state that was removed cannot be updated");
        } else {
            self.replace(Some(state));
        }
    }

    /// Removes the key's state. While the state is timing out that is a mistake as well, since it
    /// is removed anyway.
    pub fn remove(&mut self) {
        if self.timing_out {
            self.misuse = Some("a state that is timing out cannot be removed");
        } else {
            self.removed = true;
            self.replace(None);
        }
    }

    /// The state as it is now.
    pub(crate) fn into_inner(self) -> Option<S> {
        self.current
    }

    fn replace(&mut self, state: Option<S>) {
        let before = std::mem::replace(&mut self.current, state);
        self.before.get_or_insert(before);
    }

    /// Ends a call that stands, and says whether it changed the state; or undoes it, because the
    /// state was misused.
    ///
    /// # Errors
    ///
    /// The misuse.
    pub(crate) fn commit(&mut self) -> Result<bool, &'static str> {
        match self.misuse {
            None => {
                self.removed = false;
                Ok(self.before.take().is_some())
            }
            Some(misuse) => {
                self.undo();
                Err(misuse)
            }
        }
    }

    /// Takes back what a call did.
    pub(crate) fn undo(&mut self) {
        if let Some(before) = self.before.take() {
            self.current = before;
        }
        self.removed = false;
        self.misuse = None;
    }
}

// === What stateful functions have in common ===

/// What holds a state: `Option<S>`, `State<S>`.
#[diagnostic::on_unimplemented(
    message = "the state of this function must be an `Option<S>` or a `State<S>`, not a `{Self}`"
)]
pub trait Holds {
    /// The state.
    type State;
}

impl<S> Holds for Option<S> {
    type State = S;
}

impl<S> Holds for State<S> {
    type State = S;
}

/// A function with state.
#[diagnostic::on_unimplemented(message = "this function has no state")]
pub trait Stateful {
    /// Its state.
    type State;
}

/// The type of the state that is held.
pub const fn held<H: Holds>(_: &Probe<H>) -> Probe<H::State> {
    Probe::of()
}

/// A state that is the same as that in `T`.
#[diagnostic::on_unimplemented(
    message = "the state that is returned differs from the state of the function",
    label = "this is another type"
)]
pub trait SameState<T> {}

impl<S> SameState<Self> for Probe<S> {}
impl<S> SameState<Undecided> for Probe<S> {}

/// Compiles where both are the same.
pub const fn same_state<A: SameState<B>, B>(_: &A, _: &B) {}

/// What a macro knows of a state.
#[derive(Clone, Copy, Debug)]
pub struct StateMeta {
    /// `version = N`.
    pub version: u32,
    /// `only_changed`.
    pub only_changed: bool,
}

impl StateMeta {
    /// What `describe` answers for a state in a column `S`.
    pub const fn signature<S: Column>(self) -> StateSignature {
        StateSignature {
            column_type: S::TYPE,
            version: self.version,
            only_changed: self.only_changed,
        }
    }
}

/// What becomes of a key, in a byte.
pub struct Verdicts;

impl Verdicts {
    /// The key is removed, or never was.
    pub const REMOVED: u8 = 0;
    /// The key's new state is among the states.
    pub const NEW: u8 = 1;
    /// The key's state stays as it is.
    pub const STAYS: u8 = 2;

    /// The verdict on a key that nothing happened to.
    pub const fn unchanged(present: bool) -> u8 {
        if present { Self::STAYS } else { Self::REMOVED }
    }
}

/// A whole column of a call that has no chunk.
pub const fn input_lane(column: &types::Column) -> Lane<'_> {
    Lane::input(Side::Value, Some(column))
}

/// A column that was built without sources to slice.
pub fn made(lane: Lane<'_>) -> types::Column {
    match lane {
        Lane::Made(column) => column,
        Lane::Repeated { element, count } => repeat(&element, count),
        Lane::Input { .. } | Lane::Slices { .. } => {
            unreachable!("without sources nothing is a slice of one")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_is_undone_leaves_the_state_as_it_was() {
        let mut state = State::new(Some(1));
        state.update(2);
        state.update(3);
        state.undo();
        assert_eq!(state.get(), Some(&1));
        state.remove();
        state.undo();
        assert!(state.exists());
    }

    #[test]
    fn a_call_that_stands_says_whether_it_changed_anything() {
        let mut state = State::new(None);
        assert_eq!(state.commit(), Ok(false));
        state.update("a");
        assert_eq!(state.commit(), Ok(true));
        assert_eq!(state.get(), Some(&"a"));
        assert_eq!(state.commit(), Ok(false));
    }

    #[test]
    fn an_update_after_a_removal_undoes_the_call() {
        let mut state = State::new(Some(1));
        state.remove();
        state.update(2);
        assert!(state.commit().is_err());
        assert_eq!(state.get(), Some(&1));
    }

    #[test]
    fn a_later_call_may_update_what_an_earlier_one_removed() {
        let mut state = State::new(Some(1));
        state.remove();
        assert_eq!(state.commit(), Ok(true));
        state.update(2);
        assert_eq!(state.commit(), Ok(true));
    }

    #[test]
    fn a_state_that_is_timing_out_is_only_read() {
        let mut state = State::expiring(1);
        state.update(2);
        assert!(state.is_timing_out());
        assert!(state.commit().is_err());
        assert_eq!(state.get(), Some(&1));
    }
}

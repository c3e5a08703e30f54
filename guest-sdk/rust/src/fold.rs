//! `reduce` and `inverse`: groups of values to one value each.
//!
//! A group's first value is its start. It is not even decoded until a second one comes, so a group of one
//! is answered as it came: for text, as a slice of the input.

use std::marker::PhantomData;
use std::mem;

use crate::column::{Broken, Sources, Stage, number};
use crate::context::Context;
use crate::definition::{Definition, Meta, Opened};
use crate::link::{Aside, output};
use crate::params::Parameters;
use crate::probe::Probe;
use crate::record::{NoKey, Reads, Writes};
use crate::refusal::{Fallible, Refusal, Report, Sure};
use crate::wit::folds::Outcome;
use crate::wit::types;

/// A function that folds, opened.
pub trait Fold {
    /// Folds `count` groups from the left: `numbers` holds a group per value.
    ///
    /// # Errors
    ///
    /// If the values are not what was agreed on.
    fn fold(
        &self,
        context: Context,
        groups: Groups<'_>,
        values: &types::Chunk,
        skip: &[types::RecordRef],
    ) -> Result<Outcome, Broken>;
}

/// Which group each value belongs to.
#[derive(Clone, Copy, Debug)]
pub struct Groups<'a> {
    /// A group per value.
    pub numbers: &'a [[u8; 4]],
    /// How many groups there are.
    pub count: u32,
}

// === What is folded into ===

/// The type that a fold gathers in, which may borrow from the call's input.
pub trait Total: 'static {
    /// The type.
    type Of<'a>;
}

/// A text of the input.
#[derive(Clone, Copy, Debug)]
pub struct BorrowedText;

/// Bytes of the input.
#[derive(Clone, Copy, Debug)]
pub struct BorrowedBytes;

/// A value of its own.
#[derive(Clone, Copy, Debug)]
pub struct Owned<V>(PhantomData<fn() -> V>);

impl Total for BorrowedText {
    type Of<'a> = &'a str;
}

impl Total for BorrowedBytes {
    type Of<'a> = &'a [u8];
}

impl<V: 'static> Total for Owned<V> {
    type Of<'a> = V;
}

impl<A: Total, B: Total> Total for (A, B) {
    type Of<'a> = (A::Of<'a>, B::Of<'a>);
}

/// What may stand in the place of a key's total.
pub trait MaybeKeyTotal {
    /// The total of a record with a value of `V`.
    type With<V: Total>: Total;
}

impl MaybeKeyTotal for NoKey {
    type With<V: Total> = V;
}

impl<K: Total> MaybeKeyTotal for K {
    type With<V: Total> = (K, V);
}

impl NoKey {
    /// No total.
    pub const fn total(&self) -> Self {
        Self
    }

    /// No type.
    pub const fn owned(&self) -> Self {
        Self
    }
}

impl Probe<&str> {
    /// What gathers such values.
    pub const fn total(&self) -> BorrowedText {
        BorrowedText
    }

    /// The type without its borrow.
    pub const fn owned(&self) -> Probe<String> {
        Probe::new()
    }
}

impl Probe<&[u8]> {
    /// What gathers such values.
    pub const fn total(&self) -> BorrowedBytes {
        BorrowedBytes
    }

    /// The type without its borrow.
    pub const fn owned(&self) -> Probe<Vec<u8>> {
        Probe::new()
    }
}

/// All other types are gathered as they are.
pub trait OtherTotal<V> {
    /// What gathers such values.
    fn total(&self) -> Owned<V>;

    /// The type without its borrow.
    fn owned(&self) -> Probe<V>;
}

impl<V> OtherTotal<V> for Probe<V> {
    fn total(&self) -> Owned<V> {
        Owned(PhantomData)
    }

    fn owned(&self) -> Self {
        Self::new()
    }
}

/// A type that is the same as `T`.
#[diagnostic::on_unimplemented(
    message = "the types of this function differ, and must be the same",
    label = "this is another type than that of the first value",
    note = "it takes two values of one type and returns that type; for text also `fn(String, &str) -> String`"
)]
pub trait Same<T> {}

impl<T> Same<Self> for Probe<T> {}
impl Same<Self> for NoKey {}

/// Compiles where the key types and the value types are the same.
pub const fn same<K: Same<L>, V: Same<W>, L, W>(_: &(K, V), _: &(L, W)) {}

/// A function that never refuses a record.
#[diagnostic::on_unimplemented(
    message = "`inverse` cannot return a `Result`",
    note = "what entered a total must be able to leave it again"
)]
pub trait NeverRefuses {}

impl NeverRefuses for Sure {}

/// Compiles where a function never refuses a record.
pub fn never_refuses(_: impl NeverRefuses) {}

/// What records of such keys and values are gathered in.
pub fn total_of<K: MaybeKeyTotal, V: Total>(_: K, _: V) -> PhantomData<K::With<V>> {
    PhantomData
}

// === Steps ===

/// A total, and why the value beside it is refused.
pub type Refused<A> = (A, Refusal);

/// How a total that is taken by value is kept when the function refuses the value beside it.
pub trait Steps<V, R> {
    /// Calls the function.
    ///
    /// # Errors
    ///
    /// If it refuses; the total comes back.
    fn step(self, total: V, call: impl FnOnce(V) -> R) -> Result<V, Refused<V>>;
}

impl<V> Steps<V, V> for Sure {
    #[inline]
    fn step(self, total: V, call: impl FnOnce(V) -> V) -> Result<V, Refused<V>> {
        Ok(call(total))
    }
}

impl<V: Clone, E: std::fmt::Display> Steps<V, Result<V, E>> for Fallible {
    #[inline]
    fn step(self, total: V, call: impl FnOnce(V) -> Result<V, E>) -> Result<V, Refused<V>> {
        let kept = total.clone();
        call(total).map_err(|error| (kept, Refusal::new(error)))
    }
}

// === The loop ===

struct Folding<T, A, P, F> {
    take: T,
    params: P,
    step: F,
    total: PhantomData<fn() -> A>,
}

/// What is known of a group.
enum Slot<I, V> {
    Empty,
    /// One value, as it came, and its number.
    First(u32, I),
    Total(V),
}

/// `reduce`, `inverse`: records of `T`, gathered in an `A`.
pub fn fold<T, A: Total, P: Parameters, F>(
    meta: Meta,
    (take, _, _): (T, PhantomData<A>, P),
    step: F,
) -> Definition
where
    T: for<'a> Reads<'a, A::Of<'a>> + for<'a> Writes<A::Of<'a>>,
    F: for<'a> Fn(
            A::Of<'a>,
            T::Item<'a>,
            &Aside<'a, P::Value>,
        ) -> Result<A::Of<'a>, Refused<A::Of<'a>>>
        + 'static,
{
    Definition::new::<T, T, P>(meta, move |params| {
        Opened::Fold(Box::new(Folding::<T, A, _, _> {
            take,
            params,
            step,
            total: PhantomData,
        }))
    })
}

impl<T, A: Total, P, F> Fold for Folding<T, A, P, F>
where
    T: for<'a> Reads<'a, A::Of<'a>> + for<'a> Writes<A::Of<'a>>,
    F: for<'a> Fn(A::Of<'a>, T::Item<'a>, &Aside<'a, P>) -> Result<A::Of<'a>, Refused<A::Of<'a>>>,
{
    fn fold(
        &self,
        context: Context,
        groups: Groups<'_>,
        values: &types::Chunk,
        skip: &[types::RecordRef],
    ) -> Result<Outcome, Broken> {
        let stage = Stage::input(values, values.key.is_some());
        let items = T::items(&stage)?;
        if T::count(&items) != groups.numbers.len() {
            return Err("there must be a group number per value".to_owned());
        }
        let aside = Aside {
            context: &context,
            params: &self.params,
        };
        let mut report = Report::default();
        let mut entry = report.enter(skip);
        entry.entered(T::count(&items));
        let mut slots: Vec<Slot<T::Item<'_>, A::Of<'_>>> = Vec::new();
        slots.resize_with(groups.count as usize, || Slot::Empty);
        for (index, (item, group)) in (0..).zip(T::iter(&items).zip(groups.numbers)) {
            if entry.skips(index) {
                continue;
            }
            let slot = &mut slots[number(*group)];
            let total = match mem::replace(slot, Slot::Empty) {
                Slot::Total(total) => Ok(total),
                Slot::First(first, start) => self.take.read(start).map_err(|error| (first, error)),
                Slot::Empty => {
                    *slot = Slot::First(index, item);
                    continue;
                }
            };
            *slot = match total.map(|total| (self.step)(total, item, &aside)) {
                Ok(Ok(total)) => Slot::Total(total),
                Ok(Err((total, refusal))) => {
                    entry.reject(index, refusal);
                    Slot::Total(total)
                }
                Err((first, refusal)) => {
                    // The start is no value: the fold begins with the next one.
                    entry.reject(first, refusal);
                    Slot::First(index, item)
                }
            };
        }
        let mut builder = T::builder(Sources::of(values), slots.len());
        for slot in slots {
            match slot {
                Slot::First(_, item) => T::copy(&mut builder, item),
                Slot::Total(total) => self
                    .take
                    .write(&mut builder, total)
                    .map_err(|refusal| refusal.reason().to_owned())?,
                Slot::Empty => return Err("every group must have a value".to_owned()),
            }
        }
        Ok(Outcome {
            output: output(T::finish(builder)),
            report: report.into(),
        })
    }
}

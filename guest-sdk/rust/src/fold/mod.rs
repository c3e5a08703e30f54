//! `reduce` and `inverse`: groups of values to one value each.
//!
//! A group's first value is its start. It is not even decoded until a second one comes, so a group
//! of one is answered as it came: for text, as a slice of the input.

mod total;

pub use total::{OtherTotal, Totals, never_refuses, same};

use std::marker::PhantomData;
use std::mem;

use crate::column::{Broken, Sources, Stage, number};
use crate::context::Context;
use crate::definition::{Definition, Meta, Opened};
use crate::params::Parameters;
use crate::record::Record;
use crate::refusal::{Entry, Fallible, Refusal, Report, Sure};
use crate::shape::{Aside, Fold, Groups, output};
use crate::wit::folds::Outcome;
use crate::wit::types;

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

struct Folding<A, P, F> {
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

/// A record, as it came.
#[derive(Clone, Copy)]
struct NumberedItem<I> {
    /// Its number in the input.
    index: u32,
    /// What it holds, not decoded yet.
    item: I,
}

/// The items of a fold that gathers in an `A`.
type ItemOf<'a, A> = <<A as Totals>::Record as Record>::Item<'a>;

/// The groups of such a fold.
type SlotOf<'a, A> = Slot<ItemOf<'a, A>, <A as Totals>::Of<'a>>;

/// `reduce`, `inverse`: records gathered in an `A`.
pub fn fold<A: Totals, P: Parameters, F>(meta: Meta, _: (A, P), step: F) -> Definition
where
    F: for<'a> Fn(
            A::Of<'a>,
            ItemOf<'a, A>,
            &Aside<'a, P::Value>,
        ) -> Result<A::Of<'a>, Refused<A::Of<'a>>>
        + 'static,
{
    Definition::new::<A::Record, A::Record, P>(meta, move |params| {
        Opened::Fold(Box::new(Folding::<A, _, _> {
            params,
            step,
            total: PhantomData,
        }))
    })
}

impl<A: Totals, P, F> Folding<A, P, F>
where
    F: for<'a> Fn(A::Of<'a>, ItemOf<'a, A>, &Aside<'a, P>) -> Result<A::Of<'a>, Refused<A::Of<'a>>>,
{
    /// Adds a record to a group.
    #[inline(always)]
    fn add<'a>(
        &self,
        slot: &mut SlotOf<'a, A>,
        numbered: NumberedItem<ItemOf<'a, A>>,
        aside: &Aside<'a, P>,
        entry: &mut Entry<'_>,
    ) {
        let NumberedItem { index, item } = numbered;
        let total = match mem::replace(slot, Slot::Empty) {
            Slot::Total(total) => Ok(total),
            Slot::First(first, start) => A::read(start).map_err(|refusal| (first, refusal)),
            Slot::Empty => {
                *slot = Slot::First(index, item);
                return;
            }
        };
        *slot = match total.map(|total| (self.step)(total, item, aside)) {
            Ok(Ok(total)) => Slot::Total(total),
            Ok(Err((total, refusal))) => {
                entry.reject(index, refusal);
                Slot::Total(total)
            }
            Err((first, refusal)) => {
                // The start is no value: the fold begins with this one.
                entry.reject(first, refusal);
                Slot::First(index, item)
            }
        };
    }

    /// Adds a record to a group so many times.
    #[inline(always)]
    fn add_repeatedly<'a>(
        &self,
        slot: &mut SlotOf<'a, A>,
        (numbered, times): (NumberedItem<ItemOf<'a, A>>, usize),
        aside: &Aside<'a, P>,
        entry: &mut Entry<'_>,
    ) {
        let mut left = times;
        let mut total = loop {
            match mem::replace(slot, Slot::Empty) {
                Slot::Total(total) => break total,
                other => *slot = other,
            }
            if left == 0 {
                return;
            }
            self.add(slot, numbered, aside, entry);
            left -= 1;
        };
        // The total stays where it is; what becomes of a sum is then a product.
        for _ in 0..left {
            total = match (self.step)(total, numbered.item, aside) {
                Ok(total) => total,
                Err((total, refusal)) => {
                    entry.reject(numbered.index, refusal);
                    total
                }
            };
        }
        *slot = Slot::Total(total);
    }
}

impl<A: Totals, P, F> Fold for Folding<A, P, F>
where
    F: for<'a> Fn(A::Of<'a>, ItemOf<'a, A>, &Aside<'a, P>) -> Result<A::Of<'a>, Refused<A::Of<'a>>>,
{
    fn fold(
        &self,
        context: Context,
        groups: Groups<'_>,
        values: &types::Chunk,
        skip: &[types::RecordRef],
    ) -> Result<Outcome, Broken> {
        let stage = Stage::input(values, values.key.is_some());
        let items = A::Record::items(&stage)?;
        let count = A::Record::count(&items);
        if count != groups.numbers.len() {
            return Err("there must be a group number per value".to_owned());
        }
        let once = groups.repeats.is_empty();
        if !once && groups.repeats.len() != count {
            return Err("there must be a number of times per value".to_owned());
        }
        let aside = Aside {
            context: &context,
            params: &self.params,
        };
        let mut report = Report::default();
        let mut entry = report.enter(skip);
        entry.entered(match once {
            true => count,
            false => groups.repeats.iter().copied().map(number).sum(),
        });
        let mut slots: Vec<SlotOf<'_, A>> = Vec::new();
        slots.resize_with(groups.count as usize, || Slot::Empty);
        let numbered = (0..).zip(A::Record::iter(&items)).zip(groups.numbers);
        for ((index, item), group) in numbered {
            if entry.skips(index) {
                continue;
            }
            let (slot, item) = (&mut slots[number(*group)], NumberedItem { index, item });
            match groups.repeats.get(index as usize) {
                None => self.add(slot, item, &aside, &mut entry),
                Some(times) => {
                    self.add_repeatedly(slot, (item, number(*times)), &aside, &mut entry);
                }
            }
        }
        let mut builder = A::Record::builder(Sources::of(values), slots.len());
        for slot in slots {
            match slot {
                Slot::First(_, item) => A::Record::copy(&mut builder, item),
                Slot::Total(total) => {
                    let written = A::write(&mut builder, total);
                    written.map_err(|refusal| refusal.reason().to_owned())?;
                }
                Slot::Empty => return Err("every group must have a value".to_owned()),
            }
        }
        Ok(Outcome {
            output: output(A::Record::finish(builder)),
            report: report.into(),
        })
    }
}

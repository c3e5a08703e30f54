//! `map_partitions`, `transform` and `transform_with`: all records of a partition or batch in one
//! call.

use std::cell::RefCell;
use std::marker::PhantomData;

use crate::column::{Broken, Sources, Stage};
use crate::context::Context;
use crate::definition::{Definition, Meta, Opened};
use crate::params::Parameters;
use crate::probe::Probe;
use crate::record::{Reads, Record};
use crate::refusal::{Entry, Refusal, Report};
use crate::shape::{Aside, BatchPair, Call, Link, output};
use crate::wit::{batch_pairs, types};

/// A parameter that takes all records: a `Vec` of them, or what is lent of one.
#[diagnostic::on_unimplemented(
    message = "this function must take all records at once, not a `{Self}`",
    label = "this is neither `Vec<T>` nor `&[T]`"
)]
pub trait All {
    /// The type of a record.
    type Record;
}

impl<T> All for Vec<T> {
    type Record = T;
}

/// The type of a record of a function that takes all of them.
pub const fn each<V: All>(_: &Probe<V>) -> Probe<V::Record> {
    Probe::of()
}

/// All records of a call's input.
pub struct Batch<'a, 's, 'e, T: Record> {
    take: T,
    items: &'s T::Items<'a>,
    entry: &'s RefCell<Entry<'e>>,
    /// The number of the first record.
    first: u32,
}

impl<'a, T: Record> Batch<'a, '_, '_, T> {
    /// The records as a function takes them; those that cannot be read are refused.
    pub fn read<R>(self) -> Vec<R>
    where
        T: Reads<'a, R>,
    {
        let mut entry = self.entry.borrow_mut();
        let mut records = Vec::with_capacity(T::count(self.items));
        for (index, item) in (self.first..).zip(T::iter(self.items)) {
            if entry.skips(index) {
                continue;
            }
            match self.take.read(item) {
                Ok(record) => records.push(record),
                Err(refusal) => entry.reject(index, refusal),
            }
        }
        records
    }
}

// === map_partitions, transform ===

struct Whole<T, G, P, F> {
    take: T,
    params: P,
    run: F,
    gives: PhantomData<G>,
}

/// `map_partitions`, `transform`: a closure that reads all records and appends what is made of
/// them.
pub fn whole<T: Record, G: Record, P: Parameters, F>(
    meta: Meta,
    (take, _, _): (T, G, P),
    run: F,
) -> Definition
where
    F: Fn(Batch<'_, '_, '_, T>, &mut G::Builder<'_>, &Aside<'_, P::Value>) -> Result<(), Refusal>
        + 'static,
{
    Definition::new::<T, G, P>(meta, move |params| {
        Opened::Link(Box::new(Whole::<T, G, _, _> {
            take,
            params,
            run,
            gives: PhantomData,
        }))
    })
}

impl<T: Record, G: Record, P, F> Link for Whole<T, G, P, F>
where
    F: Fn(Batch<'_, '_, '_, T>, &mut G::Builder<'_>, &Aside<'_, P>) -> Result<(), Refusal>,
{
    fn run<'a>(
        &self,
        call: &Call<'a>,
        stage: Stage<'a>,
        mut entry: Entry<'_>,
    ) -> Result<Stage<'a>, Broken> {
        let items = T::items(&stage)?;
        entry.entered(T::count(&items));
        let entry = RefCell::new(entry);
        let batch = Batch {
            take: self.take,
            items: &items,
            entry: &entry,
            first: 0,
        };
        let aside = Aside {
            context: &call.context,
            params: &self.params,
        };
        let mut builder = G::builder(call.sources, T::count(&items));
        if let Err(refusal) = (self.run)(batch, &mut builder, &aside) {
            G::truncate(&mut builder, 0);
            entry.borrow_mut().reject_all(refusal);
        }
        Ok(G::finish(builder))
    }
}

// === transform_with ===

struct Two<T, U, G, P, F> {
    takes: (T, U),
    params: P,
    run: F,
    gives: PhantomData<G>,
}

/// `transform_with`: a closure that reads two batches and appends what is made of them. Records are
/// numbered through both, the left ones first.
pub fn two<T: Record, U: Record, G: Record, P: Parameters, F>(
    meta: Meta,
    (takes, _, _): ((T, U), G, P),
    run: F,
) -> Definition
where
    F: Fn(
            (Batch<'_, '_, '_, T>, Batch<'_, '_, '_, U>),
            &mut G::Builder<'_>,
            &Aside<'_, P::Value>,
        ) -> Result<(), Refusal>
        + 'static,
{
    let input = vec![T::record_type(), U::record_type()];
    Definition::with::<P>(meta, input, G::record_type(), move |params| {
        Opened::BatchPair(Box::new(Two::<T, U, G, _, _> {
            takes,
            params,
            run,
            gives: PhantomData,
        }))
    })
}

impl<T: Record, U: Record, G: Record, P, F> BatchPair for Two<T, U, G, P, F>
where
    F: Fn(
        (Batch<'_, '_, '_, T>, Batch<'_, '_, '_, U>),
        &mut G::Builder<'_>,
        &Aside<'_, P>,
    ) -> Result<(), Refusal>,
{
    fn process(
        &self,
        context: Context,
        left: &types::Chunk,
        right: &types::Chunk,
    ) -> Result<batch_pairs::Outcome, Broken> {
        let stages = [left, right].map(|chunk| Stage::input(chunk, chunk.key.is_some()));
        let (lefts, rights) = (T::items(&stages[0])?, U::items(&stages[1])?);
        let (left, right) = (T::count(&lefts), U::count(&rights));
        let mut report = Report::default();
        let mut entry = report.enter(&[]);
        entry.entered(left + right);
        let entry = RefCell::new(entry);
        let left_batch = Batch {
            take: self.takes.0,
            items: &lefts,
            entry: &entry,
            first: 0,
        };
        let right_batch = Batch {
            take: self.takes.1,
            items: &rights,
            entry: &entry,
            first: u32::try_from(left).unwrap_or(u32::MAX),
        };
        let aside = Aside {
            context: &context,
            params: &self.params,
        };
        // Slices could not say of which of the two inputs they are.
        let mut builder = G::builder(Sources::default(), left + right);
        if let Err(refusal) = (self.run)((left_batch, right_batch), &mut builder, &aside) {
            G::truncate(&mut builder, 0);
            entry.borrow_mut().reject_all(refusal);
        }
        Ok(batch_pairs::Outcome {
            output: output(G::finish(builder)),
            report: report.into(),
        })
    }
}

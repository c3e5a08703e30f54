//! `map`, `flat_map`, `filter`, `map_values`, `flat_map_values`: record by record.
//!
//! The closures that the macros hand over take a record as it lies in its columns, and append what
//! the function gives for it to a builder. An error of a closure refuses the record; what was
//! appended for it is dropped.

use std::marker::PhantomData;

use crate::column::{Broken, Column, Stage, U32s};
use crate::definition::{Definition, Meta, Opened};
use crate::params::Parameters;
use crate::record::{Record, Unkeyed};
use crate::refusal::{Entry, Refusal};
use crate::shape::{Aside, Call, Link};
use crate::wit::plugin::Kind;

/// Bytes of input that one record of the output is expected to come from, where one may give many.
const BYTES_PER_RECORD: usize = 6;

/// A function of layouts `T` and `G` with its parameters.
struct Narrow<T, G, P, F> {
    params: P,
    each: F,
    layouts: PhantomData<(T, G)>,
}

impl<T, G, P, F> Narrow<T, G, P, F> {
    fn new(params: P, each: F) -> Self {
        Self {
            params,
            each,
            layouts: PhantomData,
        }
    }

    fn aside<'s>(&'s self, call: &'s Call<'_>) -> Aside<'s, P> {
        Aside {
            context: &call.context,
            params: &self.params,
        }
    }
}

/// Numbers a stage's records.
fn numbered<T>(items: impl Iterator<Item = T>) -> impl Iterator<Item = (u32, T)> {
    (0..).zip(items)
}

// === map, flat_map ===

struct MapRecords<T, G, P, F> {
    narrow: Narrow<T, G, P, F>,
    /// Whether it may give more records than it takes.
    many: bool,
}

/// `map`, `flat_map`: from whole records to whole records. The layouts are arguments so that a
/// macro need not name their types; likewise below.
pub fn map_records<T: Record, G: Record, P: Parameters, F>(
    meta: Meta,
    _: (T, G, P),
    each: F,
) -> Definition
where
    F: Fn(T::Item<'_>, &mut G::Builder<'_>, &Aside<'_, P::Value>) -> Result<(), Refusal> + 'static,
{
    Definition::new::<T, G, P>(meta, move |params| {
        let narrow = Narrow::<T, G, _, _>::new(params, each);
        let many = meta.kind == Kind::FlatMap;
        Opened::Link(Box::new(MapRecords { narrow, many }))
    })
}

impl<T: Record, G: Record, P, F> Link for MapRecords<T, G, P, F>
where
    F: Fn(T::Item<'_>, &mut G::Builder<'_>, &Aside<'_, P>) -> Result<(), Refusal>,
{
    fn run<'a>(
        &self,
        call: &Call<'a>,
        stage: Stage<'a>,
        mut entry: Entry<'_>,
    ) -> Result<Stage<'a>, Broken> {
        let items = T::items(&stage)?;
        let count = T::count(&items);
        entry.entered(count);
        let capacity = match self.many {
            true => count.max(call.bytes / BYTES_PER_RECORD),
            false => count,
        };
        let mut builder = G::builder(call.sources, capacity);
        let aside = self.narrow.aside(call);
        for (index, item) in numbered(T::iter(&items)) {
            if entry.skips(index) {
                continue;
            }
            let before = G::len(&builder);
            if let Err(refusal) = (self.narrow.each)(item, &mut builder, &aside) {
                G::truncate(&mut builder, before);
                entry.reject(index, refusal);
            }
        }
        Ok(G::finish(builder))
    }
}

// === filter ===

struct Filter<T, P, F>(Narrow<T, T, P, F>);

/// `filter`: the records for which the closure is true.
pub fn filter<T: Record, P: Parameters, F>(meta: Meta, _: (T, P), keeps: F) -> Definition
where
    F: Fn(T::Item<'_>, &Aside<'_, P::Value>) -> Result<bool, Refusal> + 'static,
{
    Definition::new::<T, T, P>(meta, |params| {
        let narrow = Narrow::<T, T, _, _>::new(params, keeps);
        Opened::Link(Box::new(Filter(narrow)))
    })
}

impl<T: Record, P, F> Link for Filter<T, P, F>
where
    F: Fn(T::Item<'_>, &Aside<'_, P>) -> Result<bool, Refusal>,
{
    fn run<'a>(
        &self,
        call: &Call<'a>,
        stage: Stage<'a>,
        mut entry: Entry<'_>,
    ) -> Result<Stage<'a>, Broken> {
        let items = T::items(&stage)?;
        let count = T::count(&items);
        entry.entered(count);
        let aside = self.0.aside(call);
        let mut kept = U32s::new();
        for (index, item) in numbered(T::iter(&items)) {
            if entry.skips(index) {
                continue;
            }
            match (self.0.each)(item, &aside) {
                Ok(true) => kept.push(index.to_le_bytes()),
                Ok(false) => {}
                Err(refusal) => entry.reject(index, refusal),
            }
        }
        drop(items);
        let all = kept.len() == count;
        Ok(if all { stage } else { stage.pick(&kept) })
    }

    fn only_filters(&self) -> bool {
        true
    }
}

// === map_values ===

struct Values<V, W, P, F>(Narrow<V, W, P, F>);

/// `map_values`: a value for a value; the keys stay where they are.
pub fn map_values<V: Column, W: Column, P: Parameters, F>(
    meta: Meta,
    _: (Unkeyed<V>, Unkeyed<W>, P),
    each: F,
) -> Definition
where
    F: Fn(V::Item<'_>, &mut W::Builder<'_>, &Aside<'_, P::Value>) -> Result<(), Refusal> + 'static,
{
    Definition::new::<Unkeyed<V>, Unkeyed<W>, P>(meta, |params| {
        let narrow = Narrow::<V, W, _, _>::new(params, each);
        Opened::Link(Box::new(Values(narrow)))
    })
}

impl<V: Column, W: Column, P, F> Link for Values<V, W, P, F>
where
    F: Fn(V::Item<'_>, &mut W::Builder<'_>, &Aside<'_, P>) -> Result<(), Refusal>,
{
    fn run<'a>(
        &self,
        call: &Call<'a>,
        stage: Stage<'a>,
        mut entry: Entry<'_>,
    ) -> Result<Stage<'a>, Broken> {
        let items = V::items(&stage.value)?;
        let count = V::count(&items);
        entry.entered(count);
        let mut builder = W::builder(call.sources, count);
        let aside = self.0.aside(call);
        // The keys to keep, from the first record on that is left out.
        let mut kept: Option<U32s> = None;
        let all_before = |index: u32| (0..index).map(u32::to_le_bytes).collect();
        for (index, item) in numbered(V::iter(&items)) {
            if entry.skips(index) {
                kept.get_or_insert_with(|| all_before(index));
                continue;
            }
            let before = W::len(&builder);
            match (self.0.each)(item, &mut builder, &aside) {
                Ok(()) => {
                    if let Some(kept) = &mut kept {
                        kept.push(index.to_le_bytes());
                    }
                }
                Err(refusal) => {
                    W::truncate(&mut builder, before);
                    entry.reject(index, refusal);
                    kept.get_or_insert_with(|| all_before(index));
                }
            }
        }
        let key = match kept {
            Some(kept) => stage.key.map(|key| key.pick(&kept)),
            None => stage.key,
        };
        let value = W::finish(builder);
        Ok(Stage { key, value })
    }
}

// === flat_map_values ===

struct ManyValues<V, W, P, F>(Narrow<V, W, P, F>);

/// `flat_map_values`: any number of values for a value, each with its key.
pub fn flat_map_values<V: Column, W: Column, P: Parameters, F>(
    meta: Meta,
    _: (Unkeyed<V>, Unkeyed<W>, P),
    each: F,
) -> Definition
where
    F: Fn(V::Item<'_>, &mut W::Builder<'_>, &Aside<'_, P::Value>) -> Result<(), Refusal> + 'static,
{
    Definition::new::<Unkeyed<V>, Unkeyed<W>, P>(meta, |params| {
        let narrow = Narrow::<V, W, _, _>::new(params, each);
        Opened::Link(Box::new(ManyValues(narrow)))
    })
}

impl<V: Column, W: Column, P, F> Link for ManyValues<V, W, P, F>
where
    F: Fn(V::Item<'_>, &mut W::Builder<'_>, &Aside<'_, P>) -> Result<(), Refusal>,
{
    fn run<'a>(
        &self,
        call: &Call<'a>,
        stage: Stage<'a>,
        mut entry: Entry<'_>,
    ) -> Result<Stage<'a>, Broken> {
        let items = V::items(&stage.value)?;
        let count = V::count(&items);
        entry.entered(count);
        let capacity = count.max(call.bytes / BYTES_PER_RECORD);
        let mut builder = W::builder(call.sources, capacity);
        let aside = self.0.aside(call);
        let mut keys = U32s::with_capacity(capacity);
        for (index, item) in numbered(V::iter(&items)) {
            if entry.skips(index) {
                continue;
            }
            let before = W::len(&builder);
            match (self.0.each)(item, &mut builder, &aside) {
                Ok(()) => keys.resize(W::len(&builder), index.to_le_bytes()),
                Err(refusal) => {
                    W::truncate(&mut builder, before);
                    entry.reject(index, refusal);
                }
            }
        }
        Ok(Stage {
            key: stage.key.map(|key| key.pick(&keys)),
            value: W::finish(builder),
        })
    }
}

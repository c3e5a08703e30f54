//! `update_state`: a key's new state from its values of a batch and its old state.
//!
//! The closure that the macro hands over is called once for all keys: it reads all values at once,
//! into the one `Vec` that each key is lent its part of, and calls the function key by key through
//! [`Updates::each`].

use std::marker::PhantomData;
use std::ops::Range;

use crate::column::{Broken, Column, Read, Sources, Write, number};
use crate::context::Context;
use crate::definition::{Definition, Meta, Opened};
use crate::params::Parameters;
use crate::record::{Keys, Unkeyed};
use crate::refusal::{Entry, Refusal, Report};
use crate::shape::{Aside, Grouped, Update};
use crate::state::{StateMeta, Verdicts, input_lane, made};
use crate::wit::types::{self, RecordType};
use crate::wit::updates::Outcome;

/// The keys of a call with their values and states.
pub struct Updates<'a, 's, K: Keys, V: Column, S: Column> {
    keys: &'s K::Items<'a>,
    offsets: &'s [[u8; 4]],
    values: &'s V::Items<'a>,
    present: &'s [u8],
    old: &'s S::Items<'a>,
    entry: Entry<'s>,
    /// Each key's part of what [`Updates::values`] read, or why it could not.
    parts: Vec<Result<Range<usize>, Refusal>>,
    verdicts: Vec<u8>,
    states: S::Builder<'s>,
}

impl<'a, K: Keys, V: Column, S: Column> Updates<'a, '_, K, V, S> {
    /// The values of all keys, in order.
    pub fn values<R>(&mut self) -> Vec<R>
    where
        V: Read<'a, R>,
    {
        let mut read = Vec::with_capacity(V::count(self.values));
        let mut items = V::iter(self.values);
        self.parts.reserve(self.offsets.len());
        for bounds in self.offsets.windows(2) {
            let count = number(bounds[1]).saturating_sub(number(bounds[0]));
            let first = read.len();
            let mut part = Ok(());
            for item in items.by_ref().take(count) {
                match V::read(item) {
                    Ok(value) => read.push(value),
                    Err(refusal) => part = part.and(Err(refusal)),
                }
            }
            self.parts.push(part.map(|()| first..read.len()));
        }
        read
    }

    /// Calls `update` for each key with its part of the values and its old state.
    pub fn each<T>(
        &mut self,
        mut update: impl FnMut(K::Item<'a>, Range<usize>, Option<T>) -> Result<Option<T>, Refusal>,
    ) where
        S: Read<'a, T> + Write<T>,
    {
        let mut old = S::iter(self.old);
        let parts = std::mem::take(&mut self.parts);
        let keys = K::iter(self.keys).zip(self.present).zip(parts);
        for (index, ((key, present), part)) in (0..).zip(keys) {
            let state = match present {
                0 => None,
                _ => old.next(),
            };
            let updated = part.and_then(|part| {
                let state = state.map(S::read).transpose()?;
                match update(key, part, state)? {
                    Some(state) => S::write(&mut self.states, state).map(|()| Verdicts::NEW),
                    None => Ok(Verdicts::REMOVED),
                }
            });
            self.verdicts.push(updated.unwrap_or_else(|refusal| {
                let at = index as usize;
                let records = records_of(&self.offsets[at..at + 2]);
                self.entry.reject_many(index, records as u32, refusal);
                Verdicts::unchanged(state.is_some())
            }));
        }
    }
}

/// What a key with the values between two offsets counts as: these, and one where there are none.
fn records_of(offsets: &[[u8; 4]]) -> usize {
    let [start, end] = [offsets[0], offsets[1]].map(number);
    end.saturating_sub(start).max(1)
}

impl<K: Keys, V: Column, S: Column> Updates<'_, '_, K, V, S> {
    /// A verdict per key, and the new states.
    fn finish(self) -> (Vec<u8>, types::Column) {
        (self.verdicts, made(S::finish(self.states)))
    }
}

struct Updating<K, V, S, P, F> {
    params: P,
    run: F,
    columns: PhantomData<(K, V, S)>,
}

/// `update_state`: a closure that reads all values and calls `Updates::each`.
pub fn update_state<K: Keys, V: Column, S: Column, P: Parameters, F>(
    meta: Meta,
    state: StateMeta,
    _: (K, Unkeyed<V>, Unkeyed<S>, P),
    run: F,
) -> Definition
where
    F: for<'a> Fn(&mut Updates<'a, '_, K, V, S>, &Aside<'a, P::Value>) + 'static,
{
    let record = |value| RecordType {
        key: K::column_type(),
        value,
    };
    let definition =
        Definition::with::<P>(meta, vec![record(V::TYPE)], record(S::TYPE), |params| {
            Opened::Update(Box::new(Updating::<K, V, S, _, _> {
                params,
                run,
                columns: PhantomData,
            }))
        });
    definition.with_state(state.signature::<S>())
}

impl<K: Keys, V: Column, S: Column, P, F> Update for Updating<K, V, S, P, F>
where
    F: for<'a> Fn(&mut Updates<'a, '_, K, V, S>, &Aside<'a, P>),
{
    fn update(
        &self,
        context: Context,
        keys: &types::Column,
        values: Grouped<'_>,
        old: &types::States,
    ) -> Result<Outcome, Broken> {
        let lanes = [keys, values.values, &old.values].map(input_lane);
        let keys = K::items(&lanes[0])?;
        let count = values.offsets.len().saturating_sub(1);
        if old.present.len() != count {
            return Err(format!(
                "{count} keys came with {} states",
                old.present.len()
            ));
        }
        let mut report = Report::default();
        let mut entry = report.enter(&[]);
        entry.entered(values.offsets.windows(2).map(records_of).sum());
        let mut updates = Updates::<K, V, S> {
            keys: &keys,
            offsets: values.offsets,
            values: &V::items(&lanes[1])?,
            present: &old.present,
            old: &S::items(&lanes[2])?,
            entry,
            parts: Vec::new(),
            verdicts: Vec::with_capacity(count),
            states: S::builder(Sources::default(), count),
        };
        let aside = Aside {
            context: &context,
            params: &self.params,
        };
        (self.run)(&mut updates, &aside);
        let (verdicts, states) = updates.finish();
        Ok(Outcome {
            verdicts,
            states,
            report: report.into(),
        })
    }
}

//! `map_with_state`: record by record, with the state of the record's key.
//!
//! Later records see what earlier ones did to the state. It is decoded when the first record of its
//! key comes, and encoded at the end of the call if it changed.

use std::marker::PhantomData;

use crate::column::{Broken, Column, Read, Sources, Write, number};
use crate::context::Context;
use crate::definition::{Definition, Meta, Opened};
use crate::params::Parameters;
use crate::probe::Probe;
use crate::record::{KeyColumn, Record, Unkeyed};
use crate::refusal::{Entry, Refusal, Report};
use crate::shape::{Aside, Numbered, Records, output};
use crate::state::{State, StateMeta, Verdicts, input_lane, made};
use crate::wit::records::Outcome;
use crate::wit::types::{self, RecordType};

struct Keeping<K, V, S, G, P, F, T> {
    params: P,
    each: F,
    columns: PhantomData<(K, V, S, G)>,
    state: PhantomData<fn() -> T>,
}

/// `map_with_state`: a closure that is called per record, appends what the function gives, and says
/// whether it gave anything.
pub fn map_with_state<K, V, S, G, P, F, T>(
    meta: Meta,
    state: StateMeta,
    _: (Unkeyed<K>, Unkeyed<V>, Unkeyed<S>, G, P),
    _: Probe<T>,
    each: F,
) -> Definition
where
    K: KeyColumn,
    V: Column,
    S: for<'a> Read<'a, T> + Write<T>,
    G: Record,
    P: Parameters,
    F: Fn(
            (<K as Column>::Item<'_>, Option<V::Item<'_>>),
            &mut State<T>,
            &mut G::Builder<'_>,
            &Aside<'_, P::Value>,
        ) -> Result<bool, Refusal>
        + 'static,
    T: 'static,
{
    let input = vec![RecordType {
        key: Some(K::TYPE),
        value: V::TYPE,
    }];
    let definition = Definition::with::<P>(meta, input, G::record_type(), |params| {
        Opened::Records(Box::new(Keeping::<K, V, S, G, _, _, T> {
            params,
            each,
            columns: PhantomData,
            state: PhantomData,
        }))
    });
    definition.with_state(state.signature::<S>())
}

/// The state of a key, on its way through a call.
enum Kept<I, T> {
    /// As it came.
    Unread(I),
    /// Read; whether it came with the call, and whether it changed.
    Read {
        state: State<T>,
        present: bool,
        changed: bool,
    },
}

/// What a call gathers, record by record.
struct Gathered<'s, G: Record> {
    builder: G::Builder<'s>,
    emitted: Vec<u8>,
    entry: Entry<'s>,
}

impl<K, V, S, G, P, F, T> Keeping<K, V, S, G, P, F, T>
where
    G: Record,
    K: KeyColumn,
    V: Column,
    F: Fn(
        (<K as Column>::Item<'_>, Option<V::Item<'_>>),
        &mut State<T>,
        &mut G::Builder<'_>,
        &Aside<'_, P>,
    ) -> Result<bool, Refusal>,
{
    /// One call of the function; gives whether it changed the state.
    fn call(
        &self,
        record: (<K as Column>::Item<'_>, Option<V::Item<'_>>),
        state: &mut State<T>,
        gathered: &mut Gathered<'_, G>,
        context: &Context,
    ) -> bool {
        let aside = Aside {
            context,
            params: &self.params,
        };
        let before = G::len(&gathered.builder);
        let called = (self.each)(record, state, &mut gathered.builder, &aside)
            .and_then(|emitted| Ok((emitted, state.commit().map_err(Refusal::new)?)));
        let changed = matches!(called, Ok((_, true)));
        if called.is_err() {
            state.undo();
            G::truncate(&mut gathered.builder, before);
        }
        gathered.end(called.map(|(emitted, _)| emitted));
        changed
    }
}

impl<'s, G: Record> Gathered<'s, G> {
    fn new(mut entry: Entry<'s>, records: usize) -> Self {
        entry.entered(records);
        Self {
            builder: G::builder(Sources::default(), records),
            emitted: Vec::with_capacity(records),
            entry,
        }
    }

    /// Ends a record: whether it gave an output, or why it is refused.
    fn end(&mut self, emitted: Result<bool, Refusal>) {
        let index = u32::try_from(self.emitted.len()).unwrap_or(u32::MAX);
        let emitted = emitted.unwrap_or_else(|refusal| {
            self.entry.reject(index, refusal);
            false
        });
        self.emitted.push(u8::from(emitted));
    }

    /// The outputs, and which records gave one.
    fn finish(self) -> (types::OutputChunk, Vec<u8>) {
        (output(G::finish(self.builder)), self.emitted)
    }
}

impl<I, T> Kept<I, T> {
    const fn read(state: State<T>, present: bool) -> Self {
        Self::Read {
            state,
            present,
            changed: false,
        }
    }

    /// What becomes of the key; a new state goes into `builder`.
    fn into_verdict<S: Write<T>>(self, builder: &mut S::Builder<'_>) -> Result<u8, Broken> {
        match self {
            Self::Unread(_) => Ok(Verdicts::STAYS),
            Self::Read {
                present,
                changed: false,
                ..
            } => Ok(Verdicts::unchanged(present)),
            Self::Read { state, .. } => match state.into_inner() {
                None => Ok(Verdicts::REMOVED),
                Some(state) => S::write(builder, state)
                    .map(|()| Verdicts::NEW)
                    .map_err(|refusal| refusal.reason().to_owned()),
            },
        }
    }
}

impl<K, V, S, G, P, F, T> Records for Keeping<K, V, S, G, P, F, T>
where
    K: KeyColumn,
    V: Column,
    S: for<'a> Read<'a, T> + Write<T>,
    G: Record,
    F: Fn(
        (<K as Column>::Item<'_>, Option<V::Item<'_>>),
        &mut State<T>,
        &mut G::Builder<'_>,
        &Aside<'_, P>,
    ) -> Result<bool, Refusal>,
{
    fn process(
        &self,
        context: Context,
        keys: &types::Column,
        old: &types::States,
        records: Numbered<'_>,
    ) -> Result<Outcome, Broken> {
        let lanes = [keys, records.values, &old.values].map(input_lane);
        let key_items = <K as Column>::items(&lanes[0])?;
        let keys: Vec<_> = <K as Column>::iter(&key_items).collect();
        let (values, states) = (V::items(&lanes[1])?, S::items(&lanes[2])?);
        if old.present.len() != keys.len() || V::count(&values) != records.numbers.len() {
            return Err("keys, states, numbers and values do not match".to_owned());
        }
        let mut states = S::iter(&states);
        let mut kept: Vec<Kept<S::Item<'_>, T>> = Vec::with_capacity(keys.len());
        for present in &old.present {
            let state = (*present != 0).then(|| states.next()).flatten();
            kept.push(state.map_or_else(|| Kept::read(State::new(None), false), Kept::Unread));
        }
        let mut report = Report::default();
        let mut gathered = Gathered::<G>::new(report.enter(&[]), V::count(&values));
        for (number_of_key, value) in records.numbers.iter().zip(V::iter(&values)) {
            let key = number(*number_of_key);
            if let Kept::Unread(item) = &kept[key] {
                match S::read(*item) {
                    Ok(state) => kept[key] = Kept::read(State::new(Some(state)), true),
                    Err(refusal) => gathered.end(Err(refusal)),
                }
            }
            if let Kept::Read { state, changed, .. } = &mut kept[key] {
                *changed |= self.call((keys[key], Some(value)), state, &mut gathered, &context);
            }
        }
        let mut builder = S::builder(Sources::default(), kept.len());
        let verdicts = kept
            .into_iter()
            .map(|kept| kept.into_verdict::<S>(&mut builder))
            .collect::<Result<_, _>>()?;
        let (output, emitted) = gathered.finish();
        Ok(Outcome {
            output,
            emitted,
            verdicts,
            states: made(S::finish(builder)),
            report: report.into(),
        })
    }

    fn time_out(
        &self,
        context: Context,
        keys: &types::Column,
        states: &types::Column,
    ) -> Result<Outcome, Broken> {
        let lanes = [keys, states].map(input_lane);
        let (keys, states) = (<K as Column>::items(&lanes[0])?, S::items(&lanes[1])?);
        let mut report = Report::default();
        let mut gathered = Gathered::<G>::new(report.enter(&[]), S::count(&states));
        for (key, state) in <K as Column>::iter(&keys).zip(S::iter(&states)) {
            match S::read(state) {
                Ok(state) => {
                    let mut state = State::expiring(state);
                    self.call((key, None), &mut state, &mut gathered, &context);
                }
                Err(refusal) => gathered.end(Err(refusal)),
            }
        }
        let (output, emitted) = gathered.finish();
        Ok(Outcome {
            output,
            emitted,
            // The host removes the keys, whatever is said about them here.
            verdicts: Vec::new(),
            states: made(S::finish(S::builder(Sources::default(), 0))),
            report: report.into(),
        })
    }
}

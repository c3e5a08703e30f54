//! The laws that functions of reduces must keep, tried on values of their own.
//!
//! `f` of a reduce must be commutative and associative, and where it has an inverse,
//! `inverse(f(a, b), b)` must be `a`: else a result depends on how a batch was cut into partitions,
//! or a window does not forget what left it. Results are compared with [`nearly`].
//!
//! A function that rejects a value there, or traps on it, breaks no law: what it refuses takes no
//! part in a fold, so nothing is claimed of it, and a law would have to hold for data that
//! never comes (a total beside a total, say). Nor is it asked to take infinity or NaN out again,
//! which floats cannot.
//!
//! This is pure over [`Binding`]; the values come from [`crate::driver::laws::samples`].

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::function::{Binding, Context, Function, Groups, Outcome, Request};
use crate::batch::nearly::{is_finite, nearly};
use crate::batch::text::record_excerpt;
use crate::batch::{Chunk, Column, Fixed};

/// Pairs, or triples, of values that a law is tried on.
const MAX_CASES: usize = 256;

/// Folds made in one call: so few that the reasons of everything that is rejected are told.
const FOLDS_PER_CALL: usize = 5;

/// How long the laws of one function may take; what was not tried by then is not tried.
const PATIENCE: Duration = Duration::from_secs(2);

/// A law of functions that reduce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// `f(a, b) = f(b, a)`.
    Commutative,
    /// `f(f(a, b), c) = f(a, f(b, c))`.
    Associative,
    /// `inverse(f(a, b), b) = a`.
    Inverse,
}

/// Values for which a law does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CounterExample {
    /// The law.
    pub law: Law,
    /// `a`, `b` and maybe `c`, as text.
    pub values: Vec<String>,
    /// What should be the same, as text.
    pub results: [String; 2],
}

impl Law {
    /// What a function is that does not keep it.
    #[must_use]
    pub const fn broken(self) -> &'static str {
        match self {
            Self::Commutative => "is not commutative",
            Self::Associative => "is not associative",
            Self::Inverse => "is not undone by its inverse",
        }
    }

    /// What the author can do.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            Self::Commutative | Self::Associative => {
                "a result must not depend on how a batch is cut; where the order of values matters, \
                 collect them with `group_by_key`, `glom` or `transform`"
            }
            Self::Inverse => {
                "a window with `inverse` takes out what leaves it; without `inverse` it is reduced anew"
            }
        }
    }

    /// What should be the same.
    #[must_use]
    pub const fn sides(self) -> [&'static str; 2] {
        match self {
            Self::Commutative => ["f(a, b)", "f(b, a)"],
            Self::Associative => ["f(f(a, b), c)", "f(a, f(b, c))"],
            Self::Inverse => ["a", "inverse(f(a, b), b)"],
        }
    }
}

impl fmt::Display for CounterExample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in ["a", "b", "c"].iter().zip(&self.values) {
            write!(f, "{name} = {value}, ")?;
        }
        let [left, right] = self.law.sides();
        let [this, that] = &self.results;
        write!(f, "but {left} = {this} and {right} = {that}")
    }
}

/// Tries the laws on `values`; the smallest counter-example to each that does not hold.
#[must_use]
pub fn check(
    reduce: &dyn Binding,
    inverse: Option<&dyn Binding>,
    values: &Chunk,
    context: &Context,
) -> Vec<CounterExample> {
    let values: Vec<Chunk> = (0..values.len())
        .map(|index| values.slice(index..index + 1))
        .collect();
    let until = Instant::now() + PATIENCE;
    let mut laws = Laws {
        reduce: Folder::new(reduce, context, until),
        inverse: inverse.map(|inverse| Folder::new(inverse, context, until)),
        values: &values,
    };
    let broken = [laws.commutative(), laws.associative(), laws.inverse()];
    broken.into_iter().flatten().collect()
}

struct Laws<'a> {
    reduce: Folder<'a>,
    inverse: Option<Folder<'a>>,
    /// A record each.
    values: &'a [Chunk],
}

/// The operands of a case and what should be the same, where it could be computed.
struct Case<'a> {
    operands: Vec<&'a Chunk>,
    results: Option<(Chunk, Chunk)>,
}

impl<'a> Laws<'a> {
    fn commutative(&mut self) -> Option<CounterExample> {
        let pairs = self.tuples::<2>();
        let there = self.reduce.fold_all(pairs.iter().map(|pair| pair.to_vec()));
        let back = self
            .reduce
            .fold_all(pairs.iter().map(|[a, b]| vec![*b, *a]));
        let cases = pairs.iter().zip(there.into_iter().zip(back));
        smallest(
            Law::Commutative,
            cases.map(|(pair, (there, back))| Case {
                operands: pair.to_vec(),
                results: there.zip(back),
            }),
        )
    }

    fn associative(&mut self) -> Option<CounterExample> {
        let triples = self.tuples::<3>();
        let left = self.reduce.fold_all(triples.iter().map(|abc| abc.to_vec()));
        let tails = self
            .reduce
            .fold_all(triples.iter().map(|[_, b, c]| vec![*b, *c]));
        let heads = triples.iter().map(|[a, ..]| *a);
        let right = self
            .reduce
            .fold_known(heads, &tails, |head, tail| [head, tail]);
        let cases = triples.iter().zip(left.into_iter().zip(right));
        smallest(
            Law::Associative,
            cases.map(|(triple, (left, right))| Case {
                operands: triple.to_vec(),
                results: left.zip(right),
            }),
        )
    }

    fn inverse(&mut self) -> Option<CounterExample> {
        let pairs = self.tuples::<2>();
        let totals = self.reduce.fold_all(pairs.iter().map(|pair| pair.to_vec()));
        let leaving = pairs.iter().map(|[_, b]| *b);
        let inverse = self.inverse.as_mut()?;
        let left = inverse.fold_known(leaving, &totals, |leaving, total| [total, leaving]);
        let cases = pairs
            .iter()
            .zip(left)
            .filter(|(pair, _)| pair.iter().copied().all(finite));
        smallest(
            Law::Inverse,
            cases.map(|(pair, left)| Case {
                operands: pair.to_vec(),
                results: left.map(|left| (pair[0].clone(), left)),
            }),
        )
    }

    /// So many tuples of values, each value in each place, equal ones together too; all tuples
    /// there are if those are few.
    fn tuples<const N: usize>(&self) -> Vec<[&'a Chunk; N]> {
        let values = self.values;
        let count = values.len();
        if count == 0 {
            return Vec::new();
        }
        let shifts = (MAX_CASES / count).clamp(1, count.saturating_pow(N as u32 - 1));
        // The first value of a tuple runs through all. How far behind it the others stand is
        // different for each shift, and after `count * count` shifts every way was there once.
        let behind = |shift: usize, place: usize| match place {
            0 => 0,
            1 => shift % count,
            _ => shift / count + 2 * (shift % count),
        };
        let tuple = |shift: usize, first: usize| {
            std::array::from_fn(|place| &values[(first + behind(shift, place)) % count])
        };
        (0..shifts)
            .flat_map(|shift| (0..count).map(move |first| (shift, first)))
            .map(|(shift, first)| tuple(shift, first))
            .collect()
    }
}

/// The counter-example that takes the least room among the `cases`, if there is one.
fn smallest<'a>(law: Law, cases: impl Iterator<Item = Case<'a>>) -> Option<CounterExample> {
    let broken = cases.filter_map(|case| {
        let (left, right) = case.results?;
        let same = same(&left, &right, &case.operands);
        (!same).then_some((case.operands, left, right))
    });
    let room = |operands: &[&Chunk]| operands.iter().map(|one| one.size()).sum::<usize>();
    let (operands, left, right) = broken.min_by_key(|(operands, ..)| room(operands))?;
    Some(CounterExample {
        law,
        values: operands.iter().map(|one| record_excerpt(one, 0)).collect(),
        results: [&left, &right].map(|result| record_excerpt(result, 0)),
    })
}

/// Whether two records are the same but for rounding.
fn same(left: &Chunk, right: &Chunk, operands: &[&Chunk]) -> bool {
    let column = |of: fn(&Chunk) -> Option<&Column>| match (of(left), of(right)) {
        (Some(left), Some(right)) => {
            let operands = operands.iter().filter_map(|operand| of(operand));
            let operands: Vec<&[u8]> = operands.map(|column| column.element(0)).collect();
            nearly(
                left.column_type(),
                left.element(0),
                right.element(0),
                &operands,
            )
        }
        (None, None) => true,
        _ => false,
    };
    column(Chunk::key) && column(|chunk| Some(chunk.value()))
}

fn finite(record: &Chunk) -> bool {
    let finite = |column: &Column| is_finite(column.column_type(), column.element(0));
    record.key().is_none_or(finite) && finite(record.value())
}

/// A function that folds small groups, in an instance of its own that says nothing to the log.
struct Folder<'a> {
    binding: Option<Arc<dyn Binding>>,
    instance: Option<Box<dyn Function>>,
    context: &'a Context,
    until: Instant,
}

impl<'a> Folder<'a> {
    fn new(binding: &dyn Binding, context: &'a Context, until: Instant) -> Self {
        Self {
            binding: binding.links().ok().and_then(|mut links| links.pop()),
            instance: None,
            context,
            until,
        }
    }

    /// Folds each group from the left; none where a value was rejected, where the function trapped,
    /// or where the time was up.
    fn fold_all<'c>(&mut self, groups: impl Iterator<Item = Vec<&'c Chunk>>) -> Vec<Option<Chunk>> {
        let groups: Vec<Vec<&Chunk>> = groups.collect();
        let calls = groups.chunks(FOLDS_PER_CALL);
        calls.flat_map(|groups| self.call(groups)).collect()
    }

    /// The same with a value and, where it is known, a result of another fold.
    fn fold_known<'c>(
        &mut self,
        values: impl Iterator<Item = &'c Chunk>,
        results: &'c [Option<Chunk>],
        pair: impl Fn(&'c Chunk, &'c Chunk) -> [&'c Chunk; 2],
    ) -> Vec<Option<Chunk>> {
        let both = values.zip(results);
        let known = both.filter_map(|(value, result)| Some(pair(value, result.as_ref()?)));
        let mut folded = self.fold_all(known.map(|pair| pair.to_vec())).into_iter();
        results
            .iter()
            .map(|result| result.as_ref().and_then(|_| folded.next().flatten()))
            .collect()
    }

    fn call(&mut self, groups: &[Vec<&Chunk>]) -> Vec<Option<Chunk>> {
        let nothing = vec![None; groups.len()];
        if Instant::now() >= self.until {
            return nothing;
        }
        let numbers: Vec<u32> = (0..)
            .zip(groups)
            .flat_map(|(number, group)| vec![number; group.len()])
            .collect();
        let values: Vec<Chunk> = groups.iter().flatten().map(|one| (*one).clone()).collect();
        let Some(first) = values.first() else {
            return nothing;
        };
        let bytes = numbers.iter().copied().flat_map(u32::to_le_bytes);
        let request = Request::Fold(
            Groups {
                numbers: Fixed::new(bytes.collect::<Vec<u8>>()).expect("numbers are whole"),
                repeats: Fixed::default(),
                count: groups.len() as u32,
            },
            Chunk::concat(first.record_type(), &values),
        );
        let Some(outcome) = self.request(&request) else {
            return nothing;
        };
        let rejected: u64 = outcome.report.links.iter().map(|link| link.rejected).sum();
        let told = &outcome.report.rejections;
        if rejected != told.len() as u64 {
            return nothing;
        }
        let rejected: Vec<Option<&u32>> = told
            .iter()
            .map(|one| numbers.get(one.at.index as usize))
            .collect();
        let result = |group: usize| {
            let whole = !rejected.contains(&Some(&(group as u32)));
            whole.then(|| outcome.chunk.slice(group..group + 1))
        };
        (0..groups.len()).map(result).collect()
    }

    fn request(&mut self, request: &Request) -> Option<Outcome> {
        let mut instance = match self.instance.take() {
            Some(instance) => instance,
            None => self.binding.as_ref()?.instantiate(self.context).ok()?,
        };
        let outcome = instance.call(self.context, request, &[]).ok()?;
        self.instance = Some(instance);
        Some(outcome)
    }
}

#[cfg(test)]
mod tests;

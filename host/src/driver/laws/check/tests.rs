//! Functions that keep the laws, and such that do not.

use std::collections::BTreeSet;

use super::*;
use crate::batch::function::{
    LinkCount, Outcome, RecordRef, Rejection, Report, Request, Trap, TrapKind,
};
use crate::batch::{BatchTime, Digest};

/// What a function says to two values.
enum Answer<T> {
    Value(T),
    Rejects,
    Traps,
}

type Step<T> = dyn Fn(T, T) -> Answer<T> + Send + Sync;

/// A fold made of a closure.
struct Closure<T>(Arc<Step<T>>);

impl<T> Clone for Closure<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A value that stands in a column.
trait Element: Clone + Send + 'static {
    fn read(column: &Column, index: usize) -> Self;
    fn column(values: Vec<Self>) -> Column;
}

impl Element for f64 {
    fn read(column: &Column, index: usize) -> Self {
        f64::from_le_bytes(column.element(index).try_into().unwrap())
    }

    fn column(values: Vec<Self>) -> Column {
        Column::float64(values)
    }
}

impl Element for String {
    fn read(column: &Column, index: usize) -> Self {
        String::from_utf8(column.element(index).to_vec()).unwrap()
    }

    fn column(values: Vec<Self>) -> Column {
        Column::text(values.iter().map(String::as_str))
    }
}

impl<T: Element> Binding for Closure<T> {
    fn instantiate(&self, _: &Context) -> Result<Box<dyn Function>, Trap> {
        Ok(Box::new(self.clone()))
    }

    fn digest(&self) -> Digest {
        Digest([0; 32])
    }

    fn links(&self) -> Result<Vec<Arc<dyn Binding>>, Trap> {
        Ok(vec![Arc::new(self.clone())])
    }
}

impl<T: Element> Function for Closure<T> {
    fn call(&mut self, _: &Context, request: &Request, _: &[RecordRef]) -> Result<Outcome, Trap> {
        let Request::Fold(groups, values) = request else {
            panic!("folds only")
        };
        let mut totals: Vec<Option<T>> = vec![None; groups.count as usize];
        let mut rejections = Vec::new();
        for (index, number) in (0..).zip(groups.numbers.iter()) {
            let total = &mut totals[number as usize];
            let value = T::read(values.value(), index as usize);
            let Some(before) = total.clone() else {
                *total = Some(value);
                continue;
            };
            match (self.0)(before, value) {
                Answer::Value(value) => *total = Some(value),
                Answer::Rejects => rejections.push(Rejection {
                    at: RecordRef { link: 0, index },
                    reason: "no".to_owned(),
                }),
                Answer::Traps => {
                    return Err(Trap {
                        kind: TrapKind::Trapped,
                        message: "no".to_owned(),
                        backtrace: Vec::new(),
                    });
                }
            }
        }
        let totals = totals.into_iter().map(Option::unwrap).collect();
        let count = LinkCount {
            records: values.len() as u64,
            rejected: rejections.len() as u64,
        };
        let report = Report {
            links: vec![count],
            rejections,
            counters: Vec::new(),
        };
        Ok(Outcome::records(Chunk::single(T::column(totals)), report))
    }
}

fn tries<T: Element>(
    reduce: impl Fn(T, T) -> Answer<T> + Send + Sync + 'static,
    inverse: Option<fn(T, T) -> T>,
    values: Vec<T>,
) -> Vec<String> {
    let reduce = Closure(Arc::new(reduce));
    let inverse = inverse.map(|inverse| {
        Closure(
            Arc::new(move |total, leaving| Answer::Value(inverse(total, leaving))) as Arc<Step<T>>,
        )
    });
    let context = Context {
        batch_time: BatchTime(1000),
        partition: 0,
        sequence: 0,
        seed: 0,
    };
    let inverse = inverse.as_ref().map(|inverse| inverse as &dyn Binding);
    let found = check(
        &reduce,
        inverse,
        &Chunk::single(T::column(values)),
        &context,
    );
    found
        .iter()
        .map(|one| format!("{}: {one}", one.law.broken()))
        .collect()
}

fn floats(
    reduce: impl Fn(f64, f64) -> f64 + Send + Sync + 'static,
    inverse: Option<fn(f64, f64) -> f64>,
    values: &[f64],
) -> Vec<String> {
    tries(
        move |a, b| Answer::Value(reduce(a, b)),
        inverse,
        values.to_vec(),
    )
}

#[test]
fn sums_and_extremes_keep_the_laws() {
    let values = [0.1, 0.2, 0.3, 1e9, -7.5, 0.0];
    let none = [""; 0];
    assert_eq!(floats(|a, b| a + b, Some(|a, b| a - b), &values), none);
    assert_eq!(floats(f64::max, None, &values), none);
    let special = [f64::NAN, f64::INFINITY, 1.0, -0.0];
    assert_eq!(floats(|a, b| a + b, Some(|a, b| a - b), &special), none);
    let many: Vec<f64> = (0..32).map(f64::from).collect();
    assert_eq!(floats(|a, b| a + b, Some(|a, b| a - b), &many), none);
}

#[test]
fn what_does_not_keep_them_is_shown_by_its_smallest_values() {
    let words = ["ccc", "bb", "a"].map(str::to_owned).to_vec();
    let joined = |a: String, b: String| Answer::Value(a + &b);
    assert_eq!(
        tries(joined, None, words),
        ["is not commutative: a = bb, b = a, but f(a, b) = bba and f(b, a) = abb"]
    );
    assert_eq!(
        floats(f64::midpoint, None, &[1.0, 2.0]),
        [
            "is not associative: a = 1.0, b = 1.0, c = 2.0, but f(f(a, b), c) = 1.5 and \
             f(a, f(b, c)) = 1.25"
        ]
    );
    assert_eq!(
        floats(|a, b| a + b, Some(|a, b| a - b + 1.0), &[5.0]),
        [
            "is not undone by its inverse: a = 5.0, b = 5.0, but a = 5.0 and inverse(f(a, b), b) = 6.0"
        ]
    );
    // One value alone shows it, too.
    assert_eq!(floats(|a, b| a - b, None, &[3.0]).len(), 1);
}

#[test]
fn what_a_function_refuses_breaks_no_law() {
    let up_to_ten = |a: f64, b: f64| match a + b {
        sum if sum > 10.0 => Answer::Rejects,
        sum => Answer::Value(sum),
    };
    let values = vec![1.0, 4.0, 6.0, 9.0];
    assert_eq!(tries(up_to_ten, None, values.clone()), [""; 0]);
    let traps = |a: f64, b: f64| match a + b {
        sum if sum > 10.0 => Answer::Traps,
        sum => Answer::Value(sum),
    };
    assert_eq!(tries(traps, None, values.clone()), [""; 0]);
    // What is left still shows what is wrong.
    let wrong = |a: f64, b: f64| match a + b {
        sum if sum > 10.0 => Answer::Rejects,
        _ => Answer::Value(a),
    };
    assert_eq!(tries(wrong, None, values).len(), 1);
}

#[test]
fn tuples_are_all_there_are_or_as_many_different_ones_as_allowed() {
    for (count, triples) in [(1, 1), (2, 8), (6, 216), (16, 256), (32, 256), (300, 300)] {
        let numbers: Vec<Chunk> = (0..count)
            .map(|number| Chunk::single(Column::int64([number])))
            .collect();
        let unused = Closure::<f64>(Arc::new(|_, _| Answer::Traps));
        let context = Context {
            batch_time: BatchTime(0),
            partition: 0,
            sequence: 0,
            seed: 0,
        };
        let laws = Laws {
            reduce: Folder::new(&unused, &context, Instant::now()),
            inverse: None,
            values: &numbers,
        };
        let text = |tuple: [&Chunk; 3]| tuple.map(|one| record_excerpt(one, 0));
        let different: BTreeSet<_> = laws.tuples::<3>().into_iter().map(text).collect();
        assert_eq!(different.len(), triples, "of {count}");
    }
}

//! Functions that keep the laws of reduces only but for rounding, and some that do not.

use dshost_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// Not associative.
#[reduce]
pub fn mean(a: f64, b: f64) -> f64 {
    f64::midpoint(a, b)
}

/// Takes out less than `add` put in.
#[inverse]
pub fn take_too_little(total: i64, leaving: i64) -> i64 {
    total - leaving / 2
}

/// Undoes `add_real`, but for rounding.
#[inverse]
pub fn take_real(total: f64, leaving: f64) -> f64 {
    total - leaving
}

/// Sums of numbers and of their squares.
#[derive(Serialize, Deserialize)]
pub struct Spread {
    sums: Vec<f64>,
}

#[map]
pub fn spread(number: f64) -> Spread {
    Spread {
        sums: vec![number, number * number],
    }
}

fn each(a: Spread, b: Spread, change: fn(f64, f64) -> f64) -> Spread {
    let pairs = a.sums.into_iter().zip(b.sums);
    Spread {
        sums: pairs.map(|(a, b)| change(a, b)).collect(),
    }
}

#[reduce]
pub fn add_spreads(a: Spread, b: Spread) -> Spread {
    each(a, b, |a, b| a + b)
}

#[inverse]
pub fn take_spread(total: Spread, leaving: Spread) -> Spread {
    each(total, leaving, |total, leaving| total - leaving)
}

//! A function of every kind that asks for the batch's context and for parameters.

use dshost_guest::prelude::*;
use serde::Deserialize;

/// What a stamp begins with.
#[derive(Deserialize)]
pub struct Mark {
    mark: String,
}

/// Who calls, when and where.
fn stamp(context: &Context, params: &Mark) -> String {
    let Context {
        batch_time_ms,
        partition,
    } = context;
    format!("{}@{batch_time_ms}/{partition}", params.mark)
}

// === One batch ===

#[map]
pub fn stamped_map(text: &str, context: &Context, params: &Mark) -> String {
    format!("{text} {}", stamp(context, params))
}

#[flat_map]
pub fn stamped_words(line: &str, context: &Context, params: &Mark) -> Vec<String> {
    let words = line.split(' ');
    words
        .map(|word| format!("{word} {}", stamp(context, params)))
        .collect()
}

/// Those that are a stamp of this very call.
#[filter]
pub fn is_stamp(text: &str, context: &Context, params: &Mark) -> bool {
    text == stamp(context, params)
}

#[map_values]
pub fn stamped_value(value: i64, context: &Context, params: &Mark) -> String {
    format!("{value} {}", stamp(context, params))
}

#[flat_map_values]
pub fn stamped_values(value: i64, context: &Context, params: &Mark) -> Vec<String> {
    (0..value)
        .map(|value| format!("{value} {}", stamp(context, params)))
        .collect()
}

#[map_partitions]
pub fn stamped_partition(words: Vec<&str>, context: &Context, params: &Mark) -> [String; 1] {
    [format!("{} {}", words.join("+"), stamp(context, params))]
}

#[transform]
pub fn stamped_batch(words: &[&str], context: &Context, params: &Mark) -> [String; 1] {
    [format!("{} {}", words.join("+"), stamp(context, params))]
}

#[transform_with]
pub fn stamped_pair(
    left: Vec<&str>,
    right: Vec<&str>,
    context: &Context,
    params: &Mark,
) -> [String; 1] {
    let both = format!("{}|{}", left.join("+"), right.join("+"));
    [format!("{both} {}", stamp(context, params))]
}

// === Folds and windows ===

/// Of a ring of numbers; and when it may be called.
#[derive(Deserialize)]
pub struct Ring {
    modulus: i64,
    last_batch_ms: i64,
}

impl Ring {
    /// A fold has no place for a stamp: it panics where there is none.
    fn number(&self, number: i64, context: &Context) -> i64 {
        let time = context.batch_time_ms;
        assert!(
            (1000..=self.last_batch_ms).contains(&time),
            "called at {time}"
        );
        number.rem_euclid(self.modulus)
    }
}

#[reduce]
pub fn add_in_ring(a: i64, b: i64, context: &Context, ring: &Ring) -> i64 {
    ring.number(a + b, context)
}

#[inverse]
pub fn sub_in_ring(total: i64, leaving: i64, context: &Context, ring: &Ring) -> i64 {
    ring.number(total - leaving, context)
}

/// Not 0 in the ring.
#[filter]
pub fn any_in_ring((_, number): (&str, i64), context: &Context, ring: &Ring) -> bool {
    ring.number(number, context) != 0
}

// === State ===

/// The sum, and when and where it was last touched.
#[update_state]
pub fn stamped_total(
    key: &str,
    values: &[i64],
    state: Option<String>,
    context: &Context,
    params: &Mark,
) -> Option<String> {
    let before = state.map_or(0, |state| {
        let number = state.split(' ').nth(1).map(str::parse);
        number.and_then(Result::ok).unwrap_or(0)
    });
    let total: i64 = before + values.iter().sum::<i64>();
    Some(format!("{key} {total} {}", stamp(context, params)))
}

#[map_with_state]
pub fn stamped_session(
    key: &str,
    value: Option<i64>,
    state: &mut State<i64>,
    context: &Context,
    params: &Mark,
) -> Option<String> {
    let total = state.get().copied().unwrap_or(0);
    let told = match value {
        Some(value) => {
            state.update(total + value);
            format!("{key} {}", total + value)
        }
        None => format!("{key} left with {total}"),
    };
    Some(format!("{told} {}", stamp(context, params)))
}

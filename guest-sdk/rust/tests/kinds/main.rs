//! Every kind of function, called as a host calls it: through the interfaces, but natively.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]
#![expect(
    clippy::needless_pass_by_value,
    reason = "shapes of functions that are allowed"
)]

mod columns;
mod described;
mod folds;
mod functions;
mod narrow;
mod states;
mod whole;

use dshost_guest::wit::chunks::Guest as _;
use dshost_guest::wit::types::{Chunk, Output, RecordRef};
use serde::Serialize;

use columns::{context, open, shown, told};
use functions::Plugin;

/// Opens and calls a chain; gives the answer and the report.
fn run(
    chain: &[&str],
    input: Chunk,
    params: Option<&[u8]>,
    skip: &[RecordRef],
) -> (String, String) {
    let handle = open::<Plugin>(chain, input.key.is_some(), params).unwrap();
    let outcome = Plugin::process(handle, context(), input.clone(), skip.to_vec()).unwrap();
    let answer = match &outcome.output {
        Output::Chunk(chunk) => shown(&input, chunk),
        Output::Kept(indices) => format!("kept {indices:?}"),
    };
    (answer, told(&outcome.report))
}

fn check(chain: &[&str], input: Chunk, answer: &str, report: &str) {
    assert_eq!(
        run(chain, input, None, &[]),
        (answer.to_owned(), report.to_owned())
    );
}

fn params<T: Serialize>(name: &str, value: T) -> Vec<u8> {
    rmp_serde::to_vec_named(&std::collections::BTreeMap::from([(name, value)])).unwrap()
}

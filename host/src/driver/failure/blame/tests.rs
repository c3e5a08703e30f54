//! What is found in a batch, and what is left out of the next attempt.

use std::path::Path;

use super::*;
use crate::batch::function::Request;
use crate::driver::testing::{call, chunk, traps_on};
use crate::topology::{Options, parse};

/// Two streams, `first` and `second`, with the given `on_error`s.
fn plan(on_error: [&str; 2]) -> Plan {
    let [first, second] = on_error;
    let text = format!(
        r#"
[topology]
batch = "1s"
[source.lines]
type = "stdin"
[stream.first]
from = "lines"
op = "map"
function = "p/f0"
on_error = "{first}"
[stream.second]
from = "first"
op = "map"
function = "p/f1"
on_error = "{second}"
[sink.out]
from = "second"
type = "print"
"#
    );
    let options = Options {
        environment: &|_| None,
        workers: 1,
        observe: &[],
    };
    parse(Path::new("t.toml"), &text, &options).unwrap().plan
}

fn search(plan: &Plan, call: FailedCall) -> Result<(usize, Skips), String> {
    let mut skips = Skips::default();
    Blame::default()
        .search(plan, BatchTime(1000), vec![call], &mut skips)
        .map(|found| (found, skips))
        .map_err(|trouble| trouble.to_string())
}

#[test]
fn what_is_found_in_a_chain_is_left_out_of_its_call() {
    let links = vec![traps_on(&[2, 5], &[]), traps_on(&[7], &[])];
    let call = call(links, Request::Chunk(chunk(0..9)));
    let site = call.site.clone();
    let (found, skips) = search(&plan(["skip", "skip"]), call).unwrap();
    assert_eq!((found, skips.len()), (3, 1));
    let Some(LeftOut::Units(units)) = skips.get(&site) else {
        panic!("single records")
    };
    let units: Vec<String> = units
        .iter()
        .map(|unit| {
            format!(
                "{}.{} {}: {}",
                unit.at.link, unit.at.index, unit.record, unit.reason
            )
        })
        .collect();
    assert_eq!(
        units,
        [
            "0.2 2: `p/f0` trapped: no",
            "0.5 5: `p/f0` trapped: no",
            "1.5 7: `p/f1` trapped: no"
        ]
    );
}

#[test]
fn the_on_error_of_the_link_that_traps_decides() {
    let links = || vec![traps_on(&[2], &[]), traps_on(&[7], &[])];
    let call = |links| call(links, Request::Chunk(chunk(0..9)));
    assert_eq!(
        search(&plan(["skip", "fail"]), call(links())).unwrap_err(),
        "stream `second`: record `7` was rejected: `p/f1` trapped: no"
    );
    assert_eq!(
        search(&plan(["fail", "skip"]), call(links())).unwrap_err(),
        "stream `first`: record `2` was rejected: `p/f0` trapped: no"
    );
    let links = vec![traps_on(&[2], &[]), traps_on(&[], &[])];
    assert_eq!(search(&plan(["skip", "fail"]), call(links)).unwrap().0, 1);
}

#[test]
fn a_batch_with_too_much_that_is_guilty_ends_the_job() {
    let guilty: &'static [i64] = (0..=MAX_LEFT_OUT as i64).collect::<Vec<_>>().leak();
    let links = |guilty| vec![traps_on(guilty, &[]), traps_on(&[], &[])];
    let input = || Request::Chunk(chunk(0..2000));
    let plan = plan(["skip", "skip"]);
    let (found, _) = search(&plan, call(links(&guilty[1..]), input())).unwrap();
    assert_eq!(found, MAX_LEFT_OUT);
    assert_eq!(
        search(&plan, call(links(guilty), input())).unwrap_err(),
        "functions trap on more than 1000 records of the batch; stream `first`: record `1000` was \
         rejected: `p/f0` trapped: no"
    );
}

//! The same records as JSON lines and as CSV: decoded, made a number by a function, and summed.

use std::fmt::Write;
use std::path::Path;

use bytes::Bytes;
use csv_core::{ReadRecordResult, Reader};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Deserialize;

use super::number;
use crate::compared::Comparison;
use crate::data;
use crate::native::{on_threads, pieces};

/// Records of the batch.
const VISITS: usize = 500_000;

/// The first row of the CSV.
const HEADER: &str = "user,page,country,cents,millis,ok\n";

/// The most bytes of a row, and the most fields.
const ROW: (usize, usize) = (1024, 16);

/// A visit, as `ops/orders.rs` has it.
#[derive(Deserialize)]
struct Visit<'a> {
    user: &'a str,
    page: &'a str,
    country: &'a str,
    cents: i64,
    millis: i64,
    ok: bool,
}

impl Visit<'_> {
    /// A number to which each field adds.
    fn weight(&self) -> i64 {
        let texts = self.user.len() + self.page.len() + self.country.len();
        texts as i64 + self.cents + self.millis + i64::from(self.ok)
    }
}

/// JSON lines, read by `serde_json` on the other side.
pub fn json(plugins: &Path) {
    println!("\n{VISITS} JSON lines of six fields: decode, a map, and a sum");
    let text = text(|visit| {
        let [user, page, country, cents, millis, ok] = visit;
        format!(
            "{{\"user\":\"{user}\",\"page\":\"{page}\",\"country\":\"{country}\",\
             \"cents\":{cents},\"millis\":{millis},\"ok\":{ok}}}\n"
        )
    });
    data::keep("visits.jsonl", text.as_bytes());
    let format = "format = \"json\"";
    compare(&topology(plugins, format, "ops/weight"), &text, |lines| {
        let visits = lines.lines().map(serde_json::from_str::<Visit<'_>>);
        visits.map(|visit| visit.expect("a visit").weight()).sum()
    });
}

/// CSV with a header, read by `csv-core` on the other side.
pub fn csv(plugins: &Path) {
    println!("\n{VISITS} rows of CSV with six fields: decode, a map, and a sum");
    let rows = text(|visit| visit.join(",") + "\n");
    let text = format!("{HEADER}{rows}");
    data::keep("visits.csv", text.as_bytes());
    let format = "format = \"csv\"\nheader = true";
    compare(
        &topology(plugins, format, "ops/weight_of_row"),
        &text,
        |rows| sum_of_rows(rows.strip_prefix(HEADER).unwrap_or(rows)),
    );
}

fn sum_of_rows(rows: &str) -> i64 {
    let (mut reader, mut input) = (Reader::new(), rows.as_bytes());
    let (mut bytes, mut ends) = ([0; ROW.0], [0; ROW.1]);
    let mut sum = 0;
    loop {
        let (result, read, _, fields) = reader.read_record(input, &mut bytes, &mut ends);
        input = &input[read..];
        match result {
            ReadRecordResult::Record => {
                let row = str::from_utf8(&bytes[..ends[fields - 1]]).expect("text");
                let field = |at: usize| &row[if at == 0 { 0 } else { ends[at - 1] }..ends[at]];
                let number = |at: usize| field(at).parse().expect("a number");
                let visit = Visit {
                    user: field(0),
                    page: field(1),
                    country: field(2),
                    cents: number(3),
                    millis: number(4),
                    ok: field(5) == "true",
                };
                sum += visit.weight();
            }
            ReadRecordResult::InputEmpty => {}
            ReadRecordResult::End => return sum,
            result => panic!("{result:?}"),
        }
    }
}

fn compare(topology: &str, text: &str, sum: impl Fn(&str) -> i64 + Sync) {
    let comparison = Comparison {
        topology: topology.to_owned(),
        result: "sum",
        inputs: vec![Bytes::from(text.to_owned())],
        records: VISITS,
        unit: "records",
    };
    comparison.run(
        |threads| -> i64 { on_threads(pieces(text, threads), &sum).iter().sum() },
        |performance, expected| assert_eq!(number(performance, "sum"), expected),
    );
}

/// All visits, each written by `line`.
fn text(line: impl Fn([String; 6]) -> String) -> String {
    let mut random = SmallRng::seed_from_u64(5);
    let mut text = String::new();
    for _ in 0..VISITS {
        let visit = [
            format!("user-{:06}", random.random_range(0..1_000_000)),
            format!("/articles/{}/comments", random.random_range(0..100_000)),
            format!("C{}", random.random_range(0..200)),
            random.random_range(0..100_000).to_string(),
            random.random_range(0..10_000).to_string(),
            random.random::<bool>().to_string(),
        ];
        text.write_str(&line(visit)).expect("a string takes all");
    }
    text
}

fn topology(plugins: &Path, format: &str, function: &str) -> String {
    let plugins = plugins.display();
    format!(
        r#"
[topology]
batch = "1s"
[plugins]
dir = "{plugins}"
[source.visits]
type = "stdin"
{format}
[stream.weights]
from = "visits"
op = "map"
function = "{function}"
[stream.sum]
from = "weights"
op = "reduce"
function = "ops/add"
"#
    )
}

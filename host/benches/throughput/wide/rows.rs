//! `MessagePack` records of twenty fields through three functions of `tests/guests/ops`.

use std::path::Path;

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::number;
use crate::compared::Comparison;
use crate::data;
use crate::native::on_threads;

/// Records of the batch: some 60 MB.
const ORDERS: usize = 200_000;

/// An order, as `ops/orders.rs` has it.
#[derive(Serialize, Deserialize)]
struct Order<'a> {
    id: i64,
    customer: &'a str,
    product: &'a str,
    category: &'a str,
    street: &'a str,
    city: &'a str,
    country: &'a str,
    postcode: &'a str,
    currency: &'a str,
    channel: &'a str,
    quantity: i64,
    cents: i64,
    discount: i64,
    weight: f64,
    latitude: f64,
    longitude: f64,
    rating: f64,
    paid: bool,
    shipped: bool,
    total: i64,
}

/// Sums what is paid.
pub fn sum(plugins: &Path) {
    println!("\n{ORDERS} records of twenty fields (MessagePack): map, filter, map, and a sum");
    let records = records();
    let bytes = Bytes::from(records.concat());
    println!("  {} bytes a record", bytes.len() / ORDERS);
    data::keep("orders.msgpack", &bytes);
    let comparison = Comparison {
        topology: topology(plugins),
        result: "sum",
        inputs: vec![bytes],
        records: ORDERS,
        unit: "records",
    };
    comparison.run(
        |threads| native(&records, threads),
        |performance, expected| assert_eq!(number(performance, "sum"), expected),
    );
}

/// Reads, and calls three functions, on `threads` threads.
fn native(records: &[Vec<u8>], threads: usize) -> i64 {
    let pieces = records.chunks(records.len().div_ceil(threads));
    let sums = on_threads(pieces, |records| {
        let orders = records
            .iter()
            .map(|record| rmp_serde::from_slice(record).expect("it was written as an order"));
        let priced = orders.map(priced);
        priced
            .filter(|order| order.paid)
            .map(|order| order.total)
            .sum::<i64>()
    });
    sums.iter().sum()
}

fn priced(mut order: Order<'_>) -> Order<'_> {
    order.total = order.quantity * order.cents - order.discount;
    order
}

fn records() -> Vec<Vec<u8>> {
    let mut random = SmallRng::seed_from_u64(4);
    let record = |id| {
        let mut pick = |what: &str, of: u32| format!("{what} {}", random.random_range(0..of));
        let texts = [
            pick("customer", 100_000),
            pick("product", 10_000),
            pick("category", 100),
            pick("a rather long street", 5000),
            pick("city", 1000),
            pick("country", 200),
            pick("", 99_999),
        ];
        let order = Order {
            id,
            customer: &texts[0],
            product: &texts[1],
            category: &texts[2],
            street: &texts[3],
            city: &texts[4],
            country: &texts[5],
            postcode: &texts[6],
            currency: "EUR",
            channel: "web",
            quantity: random.random_range(1..10),
            cents: random.random_range(1..100_000),
            discount: random.random_range(0..100),
            weight: random.random(),
            latitude: random.random(),
            longitude: random.random(),
            rating: random.random(),
            paid: random.random(),
            shipped: random.random(),
            total: 0,
        };
        rmp_serde::to_vec_named(&order).expect("an order can be written")
    };
    (0..ORDERS as i64).map(record).collect()
}

fn topology(plugins: &Path) -> String {
    let plugins = plugins.display();
    format!(
        r#"
[topology]
batch = "1s"
[plugins]
dir = "{plugins}"
[source.orders]
type = "stdin"
format = "msgpack"
[stream.priced]
from = "orders"
op = "map"
function = "ops/priced"
[stream.paid]
from = "priced"
op = "filter"
function = "ops/is_paid"
[stream.totals]
from = "paid"
op = "map"
function = "ops/order_total"
[stream.sum]
from = "totals"
op = "reduce"
function = "ops/add"
"#
    )
}

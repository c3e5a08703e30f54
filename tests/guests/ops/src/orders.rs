//! Records of many fields, and records that came as JSON or CSV.

use dshost_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// An order, with all that belongs to one.
#[derive(Serialize, Deserialize)]
pub struct Order<'a> {
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

/// The order with its total.
#[map]
pub fn priced(order: Order<'_>) -> Order<'_> {
    Order {
        total: order.quantity * order.cents - order.discount,
        ..order
    }
}

#[filter]
pub fn is_paid(order: &Order<'_>) -> bool {
    order.paid
}

#[map]
pub fn order_total(order: Order<'_>) -> i64 {
    order.total
}

/// A visit of a page.
#[derive(Deserialize)]
pub struct Visit<'a> {
    user: &'a str,
    page: &'a str,
    country: &'a str,
    cents: i64,
    millis: i64,
    ok: bool,
}

/// A number to which each field adds.
#[map]
pub fn weight(visit: Visit<'_>) -> i64 {
    let texts = visit.user.len() + visit.page.len() + visit.country.len();
    texts as i64 + visit.cents + visit.millis + i64::from(visit.ok)
}

/// A visit of which all fields are texts, as CSV has it.
#[derive(Deserialize)]
pub struct Row<'a> {
    user: &'a str,
    page: &'a str,
    country: &'a str,
    cents: &'a str,
    millis: &'a str,
    ok: &'a str,
}

/// The same of a row.
#[map]
pub fn weight_of_row(row: Row<'_>) -> Result<i64, std::num::ParseIntError> {
    Ok(weight(Visit {
        user: row.user,
        page: row.page,
        country: row.country,
        cents: row.cents.parse()?,
        millis: row.millis.parse()?,
        ok: row.ok == "true",
    }))
}

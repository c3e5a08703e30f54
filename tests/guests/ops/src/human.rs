//! A type that serde writes in two ways, wherever a value can stand.

use std::net::IpAddr;

use dshost_guest::prelude::*;
use serde::{Deserialize, Serialize};

/// An address in a record.
#[derive(Serialize, Deserialize)]
pub struct Visit {
    ip: IpAddr,
}

/// An address in parameters.
#[derive(Deserialize)]
pub struct Home {
    home: IpAddr,
}

/// The visit, as it came.
#[map]
pub fn visit(visit: Visit) -> Visit {
    visit
}

/// A visit by its address, and whether that is home.
#[map]
pub fn by_address(visit: Visit, home: &Home) -> (IpAddr, bool) {
    (visit.ip, visit.ip == home.home)
}

/// The address as a state: the key, once it was seen.
#[update_state]
pub fn seen(key: IpAddr, _: &[bool], _: Option<IpAddr>) -> Option<IpAddr> {
    Some(key)
}

//! `totals-mean` without the migration: it takes the states of that, and not those before it.

#[path = "../../totals/src/pair.rs"]
mod pair;
#[path = "../../totals-mean/src/seen.rs"]
mod seen;

use dshost_guest::prelude::*;

plugin!(pair::pair, seen::running);

#![allow(unused_variables, dead_code)]

use dshost_guest::prelude::*;

plugin!();

fn main() {}

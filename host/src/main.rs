//! dshost.
fn main() {}

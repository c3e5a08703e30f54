//! Lines of a key and a number, which all versions of `totals` take.

use dshost_guest::prelude::*;

#[map]
pub fn pair(line: &str) -> Result<(&str, i64), String> {
    let (key, value) = line.split_once(' ').ok_or("no value")?;
    let value = value
        .parse()
        .map_err(|_| format!("`{value}` is no number"))?;
    Ok((key, value))
}

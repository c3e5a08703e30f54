//! What is measured here, as files for other programs (`benches/beside`).

use std::path::Path;
use std::{env, fs};

/// Where files go; not set: there are none.
const FOLDER: &str = "DSHOST_BENCH_DATA";

/// Writes what a source is given to a file.
pub fn keep(name: &str, bytes: &[u8]) {
    if let Some(folder) = env::var_os(FOLDER) {
        let path = Path::new(&folder).join(name);
        fs::write(&path, bytes)
            .unwrap_or_else(|error| panic!("cannot write `{}`: {error}", path.display()));
    }
}

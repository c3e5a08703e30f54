//! Guests for tests: built when a test asks for them, once, by cargo itself.
//!
//! They have a target directory of their own, because the one of the tests is locked while cargo runs
//! them, and a file lock, because test binaries run at the same time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A target that guests are built for.
#[derive(Clone, Copy)]
pub enum Target {
    /// A component.
    Wasip2,
    /// A core module.
    Wasip1,
}

impl Target {
    fn triple(self) -> &'static str {
        match self {
            Self::Wasip2 => "wasm32-wasip2",
            Self::Wasip1 => "wasm32-wasip1",
        }
    }
}

/// Builds the workspace's guest crate `name` and gives the path of the file.
pub fn build(name: &str, target: Target) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let into = root.join("target/guests");
    fs::create_dir_all(&into).expect("the target directory can be written");
    let lock = File::create(into.join("build.lock")).expect("so can a file in it");
    lock.lock().expect("another build ends");
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--package", name])
        .args(["--target", target.triple()])
        .arg("--target-dir")
        .arg(&into)
        .current_dir(&root)
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cannot build guest `{name}`:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    into.join(target.triple())
        .join("release")
        .join(format!("{}.wasm", name.replace('-', "_")))
}

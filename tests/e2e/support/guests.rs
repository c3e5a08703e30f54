//! Guests for tests: all of them, built once for all tests, the way `dshost build` does.
//!
//! They have a target directory of their own, because the one of the tests is locked while cargo
//! runs them, and a file lock, because other test binaries may run at the same time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use dshost::cli::build::{self as builder, BuildOptions};

/// A target that guests are built for.
#[derive(Clone, Copy)]
pub enum Target {
    /// A component.
    Wasip2,
    /// A core module.
    Wasip1,
}

/// The folder of the workspace.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folder with all guests as components, `NAME.wasm` each.
pub fn components() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(build_components).clone()
}

fn build_components() -> PathBuf {
    let into = root().join("target/guests");
    let _lock = lock(&into);
    let mut crates = Vec::new();
    for folder in ["plugins", "tests/guests"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            crates.push(entry.unwrap().path());
        }
    }
    crates.sort();
    let options = BuildOptions {
        target_dir: Some(into.clone()),
        locked: true,
        quiet: true,
        ..BuildOptions::default()
    };
    builder::build(&crates, &into, &options).unwrap_or_else(|error| panic!("{error}"));
    into
}

/// Builds the guest crate `name` and gives the path of the file.
pub fn build(name: &str, target: Target) -> PathBuf {
    match target {
        Target::Wasip2 => components().join(format!("{name}.wasm")),
        Target::Wasip1 => build_core_module(name),
    }
}

/// What a toolchain of `wasm32-wasip1` makes, which the host turns into a component itself.
fn build_core_module(name: &str) -> PathBuf {
    let into = root().join("target/guests");
    let _lock = lock(&into);
    // Where it is missing and cannot be had, the build below says so.
    let _ = Command::new("rustup")
        .args(["target", "add", "wasm32-wasip1"])
        .output();
    let output = Command::new(env!("CARGO"))
        .args(["build", "--release", "--locked", "--package", name])
        .args(["--target", "wasm32-wasip1", "--target-dir"])
        .arg(&into)
        .current_dir(root())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cannot build guest `{name}`:\n{said}"
    );
    into.join("wasm32-wasip1/release")
        .join(format!("{}.wasm", name.replace('-', "_")))
}

fn lock(folder: &Path) -> File {
    fs::create_dir_all(folder).unwrap();
    let lock = File::create(folder.join("build.lock")).unwrap();
    lock.lock().unwrap();
    lock
}

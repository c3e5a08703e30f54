//! Cargo, rustc and rustup, as guests want them called.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{BuildError, TARGET};

/// Variables of a cargo around this process that would change what is built; the user's settings of
/// the machine (`CARGO_HOME`, `CARGO_NET_…`, `CARGO_HTTP_…`, `CARGO_REGISTRIES_…`) stay.
const FOREIGN_VARIABLES: [&str; 17] = [
    "CARGO_BIN_",
    "CARGO_BUILD_",
    "CARGO_CFG_",
    "CARGO_CRATE_NAME",
    "CARGO_ENCODED_RUSTFLAGS",
    "CARGO_FEATURE_",
    "CARGO_INCREMENTAL",
    "CARGO_MAKEFLAGS",
    "CARGO_MANIFEST_",
    "CARGO_PKG_",
    "CARGO_PRIMARY_PACKAGE",
    "CARGO_PROFILE_",
    "CARGO_TARGET_",
    "MAKEFLAGS",
    "OUT_DIR",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
];

/// The cargo that this process was started by, or the one on the path.
pub(super) fn cargo() -> Command {
    tool(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// A tool in an environment that holds nothing of a cargo around this process.
fn tool(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let foreign = name.to_str().is_some_and(is_foreign);
        if foreign {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

pub(super) fn is_foreign(name: &str) -> bool {
    FOREIGN_VARIABLES.iter().any(|foreign| {
        let family = foreign.ends_with('_');
        (family && name.starts_with(foreign)) || name == *foreign
    })
}

/// Installs the target for the toolchain of the folder `root`, if it is not there.
pub(super) fn install_target(root: &Path) -> Result<(), BuildError> {
    let mut rustc = tool(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.current_dir(root);
    rustc.args(["--print", "target-libdir", "--target", TARGET]);
    rustc.stderr(Stdio::inherit());
    let output = rustc.output().map_err(not_started(&rustc))?;
    let library = String::from_utf8_lossy(&output.stdout);
    if output.status.success() && Path::new(library.trim()).is_dir() {
        return Ok(());
    }
    let mut rustup = tool("rustup");
    rustup.current_dir(root);
    rustup.args(["target", "add", TARGET]);
    rustup.stdout(Stdio::null());
    let status = rustup.status().map_err(not_started(&rustup))?;
    if status.success() {
        Ok(())
    } else {
        Err(BuildError::NoTarget)
    }
}

pub(super) fn not_started(command: &Command) -> impl FnOnce(io::Error) -> BuildError + use<> {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let program = program.to_string_lossy().into_owned();
    |source| BuildError::NoProgram { program, source }
}

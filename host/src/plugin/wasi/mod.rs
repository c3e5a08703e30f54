//! The parts of WASI 0.2 that hold nothing: no arguments, no environment, no files, no waiting.
//!
//! Every guest that has a standard library imports some of them, so they are always linked, as far
//! as the component imports them and under the version it names. A function that could only be
//! reached through something that is not there (a file, a directory) is linked by its name and
//! traps.
//!
//! Each file is one package; its `define` gives a function its meaning.

mod cli;
mod clocks;
mod filesystem;
mod io;
mod random;

use wasmtime::component::{LinkerInstance, ResourceType};

use crate::plugin::guest::{Guest, HostTrap};

/// The packages, all of whose interfaces are inert.
pub(super) const PACKAGES: [&str; 5] = [
    "wasi:cli",
    "wasi:clocks",
    "wasi:filesystem",
    "wasi:io",
    "wasi:random",
];

/// Whether a function got a meaning.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Defined {
    Yes,
    No,
}

/// Links `function` of `interface` (as in `wasi:cli/stdout`, without a version).
pub(super) fn define(
    into: &mut LinkerInstance<'_, Guest>,
    interface: &str,
    function: &str,
) -> wasmtime::Result<()> {
    let (package, name) = interface.split_once('/').unwrap_or((interface, ""));
    let defined = match package {
        "wasi:cli" => cli::define(into, name, function)?,
        "wasi:clocks" => clocks::define(into, name, function)?,
        "wasi:filesystem" => filesystem::define(into, name, function)?,
        "wasi:io" => io::define(into, name, function)?,
        "wasi:random" => random::define(into, name, function)?,
        _ => Defined::No,
    };
    if defined == Defined::No {
        let name = format!("{interface}#{function}");
        into.func_new(function, move |_, _, _, _| {
            Err(HostTrap::Nothing(name.clone()).into())
        })?;
    }
    Ok(())
}

/// Links a resource type. Its handles carry no data but which standard stream they are.
pub(super) fn define_resource(
    into: &mut LinkerInstance<'_, Guest>,
    name: &str,
) -> wasmtime::Result<()> {
    // The names are unique over all of WASI 0.2, and one that several interfaces use is one type.
    let ty = match name {
        "error" => ResourceType::host::<io::Error>(),
        "pollable" => ResourceType::host::<io::Pollable>(),
        "input-stream" => ResourceType::host::<io::InputStream>(),
        "output-stream" => ResourceType::host::<io::OutputStream>(),
        "terminal-input" => ResourceType::host::<cli::TerminalInput>(),
        "terminal-output" => ResourceType::host::<cli::TerminalOutput>(),
        "descriptor" => ResourceType::host::<filesystem::Descriptor>(),
        _ => ResourceType::host::<Unknown>(),
    };
    into.resource(name, ty, |_, _| Ok(()))
}

/// A resource that no function here gives.
struct Unknown;

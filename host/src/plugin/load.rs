//! A file becomes a component, or is refused with the reason.
//!
//! In this order, each step failing as early as it can: read (size-capped) → told apart → taken from the
//! cache, or compiled within a time → imports linked → exports looked up → described. Nothing here runs on
//! the batch path; whoever calls [`Engine::load`] does so from a thread of its own.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tracing::{debug, warn};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wit_component::ComponentEncoder;

use crate::batch::Digest;
use crate::batch::function::Trap;
use crate::topology::plan::Limits;

use super::component::Component;
use super::engine::{Engine, EngineError};
use super::imports::ImportError;
use super::signature::DescriptionError;
use super::wire;

/// Compilations that passed their time and may go on: they cannot be stopped, only be left alone.
const MAX_ABANDONED: usize = 2;

/// The stack of a thread that compiles.
const COMPILER_STACK_BYTES: usize = 16 * 1024 * 1024;

/// The largest stack limit: the threads that call guests have 2 MiB, and the host needs its part.
pub const MAX_STACK_BYTES: usize = 1024 * 1024;

/// What wasmtime says of a component that asks for more than the pool's instances have; the error has no
/// type of its own.
const DOES_NOT_FIT: &str = "does not fit in pooling allocator requirements";

/// How a component and a core module begin: the magic number, then version and layer.
const MAGIC: &[u8] = b"\0asm";
const COMPONENT: [u8; 4] = [0x0d, 0x00, 0x01, 0x00];
const CORE_MODULE: [u8; 4] = [0x01, 0x00, 0x00, 0x00];

/// A plugin that could not be made ready to run.
#[derive(Debug, thiserror::Error)]
#[error("cannot load plugin `{plugin}` from `{}`", path.display())]
pub struct LoadError {
    /// The plugin's name.
    pub plugin: String,
    /// Its file.
    pub path: PathBuf,
    /// Why.
    #[source]
    pub kind: Box<LoadErrorKind>,
}

/// Why a plugin could not be made ready to run.
#[derive(Debug, thiserror::Error)]
pub enum LoadErrorKind {
    /// The file cannot be opened or read.
    #[error("it cannot be read")]
    Unreadable(#[source] io::Error),
    /// A directory, a pipe, a device.
    #[error("it is {0}, not a file")]
    NotAFile(&'static str),
    /// A link that leads out of the plugin directory.
    #[error("it leads out of the plugin directory, to `{}`", .0.display())]
    Elsewhere(PathBuf),
    /// The file passes `limits.component`.
    #[error("it is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// A file of no bytes.
    #[error("it is empty")]
    Empty,
    /// Something else than wasm.
    #[error("it is not WebAssembly but {0}")]
    NotWasm(&'static str),
    /// Wasm of a version that nobody writes.
    #[error("it is neither a component nor a core module of WebAssembly 1")]
    UnknownVersion,
    /// Broken, truncated, or with features that are off.
    #[error("it is not valid: {0}")]
    Invalid(String),
    /// It asks for more memory or larger tables at its start than any instance gets.
    #[error("it needs more than an instance can have: {0}")]
    TooNeedy(String),
    /// A core module that cannot be turned into a component.
    #[error("it is a core module that cannot be made a component: {0}")]
    NoComponent(String),
    /// Compiling passed `limits.compile`.
    #[error("it did not compile within {} s", limit.as_secs_f64())]
    CompileTime {
        /// The limit.
        limit: Duration,
    },
    /// Earlier compilations passed their time and are still going on.
    #[error("{0} earlier compilations passed their time and are still going on")]
    CompilersBusy(usize),
    /// The compiler itself failed.
    #[error("the compiler failed")]
    Compiler,
    /// `limits.stack` is larger than a thread has.
    #[error("its stack limit of {asked} bytes is more than the {MAX_STACK_BYTES} there are")]
    Stack {
        /// The limit asked for.
        asked: usize,
    },
    /// No engine for its limits.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// It imports what it may not.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// It does not export the contract.
    #[error("it does not export `{interface}@{}`", wire::VERSION)]
    NotAPlugin {
        /// The interface.
        interface: &'static str,
    },
    /// It exports the contract in another version.
    #[error(
        "it exports `{found}`, but this dshost speaks version {}",
        wire::VERSION
    )]
    Version {
        /// What it exports.
        found: String,
    },
    /// An export has another type than the contract's.
    #[error("its `{function}` has another type than it should: {detail}")]
    Export {
        /// The function.
        function: &'static str,
        /// What differs.
        detail: String,
    },
    /// It trapped, or did not end, when asked what it holds.
    #[error("it could not say what it holds")]
    Describe(#[source] Trap),
    /// What it says of itself makes no sense.
    #[error(transparent)]
    Description(#[from] DescriptionError),
}

impl LoadError {
    /// Whether there is no such file.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        matches!(&*self.kind, LoadErrorKind::Unreadable(error) if error.kind() == io::ErrorKind::NotFound)
    }

    /// What the user can do, if anything is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        self.kind.hint()
    }
}

impl LoadErrorKind {
    /// What the user can do, if anything is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Unreadable(error) if error.kind() == io::ErrorKind::NotFound => {
                "`dshost build TOPOLOGY` builds the plugins of a topology"
            }
            Self::Unreadable(_) => "check the file's permissions",
            Self::Elsewhere(_) => "copy the file into the directory",
            Self::NotAFile(_) => "a plugin is one file, `NAME.wasm`",
            Self::TooLarge { .. } => {
                "strip it of debug information, or raise `component` under `[plugins.limits]`"
            }
            Self::Empty | Self::Invalid(_) => "it may be half written; build it again",
            Self::NotWasm("the text form of WebAssembly") => {
                "translate it first, for instance with `wasm-tools parse`"
            }
            Self::NotWasm(_) | Self::UnknownVersion => {
                "build it with `dshost build`, or for the target `wasm32-wasip2`"
            }
            Self::NoComponent(_) | Self::NotAPlugin { .. } => {
                "is it a library (`crate-type = [\"cdylib\"]`) with `plugin!(…)` in it?"
            }
            Self::TooNeedy(_) => "raise `memory` under `[plugins.limits]`",
            Self::CompileTime { .. } => "raise `compile` under `[plugins.limits]`",
            Self::CompilersBusy(_) => "try again later",
            Self::Stack { .. } => "lower `stack` under `[plugins.limits]`",
            Self::Import(error) => error.hint(),
            Self::Version { .. } | Self::Export { .. } | Self::Description(_) => {
                "rebuild it with the SDK of this dshost"
            }
            Self::Compiler | Self::Engine(_) | Self::Describe(_) => return None,
        };
        Some(hint.to_owned())
    }
}

impl Engine {
    /// Loads a plugin's bytes; `path` is where they come from. Takes as long as a compilation does; not
    /// for the batch path.
    ///
    /// # Errors
    ///
    /// Why it is refused.
    pub fn load_bytes(
        &self,
        plugin: &str,
        path: &Path,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Arc<Component>, LoadError> {
        self.load_kind(plugin, bytes, limits)
            .map_err(|kind| LoadError {
                plugin: plugin.to_owned(),
                path: path.to_owned(),
                kind: Box::new(kind),
            })
    }

    fn load_kind(
        &self,
        plugin: &str,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<Arc<Component>, LoadErrorKind> {
        if bytes.len() > limits.component {
            return Err(LoadErrorKind::TooLarge {
                limit: limits.component,
            });
        }
        if limits.stack > MAX_STACK_BYTES {
            return Err(LoadErrorKind::Stack {
                asked: limits.stack,
            });
        }
        let form = Form::of(bytes)?;
        let engine = self.with_stack(limits.stack)?;
        let digest = Digest::of(bytes);
        let code = self.code(&engine, digest, form, bytes, limits)?;
        Component::new(self, code, plugin, digest, bytes.len(), limits).map(Arc::new)
    }

    /// Compiled code: from the cache, or compiled now and kept there.
    fn code(
        &self,
        engine: &wasmtime::Engine,
        digest: Digest,
        form: Form,
        bytes: &[u8],
        limits: &Limits,
    ) -> Result<wasmtime::component::Component, LoadErrorKind> {
        if let Some(code) = self.cache().and_then(|cache| cache.get(engine, digest)) {
            match deserialize(engine, &code) {
                Ok(component) => return Ok(component),
                Err(error) => {
                    warn!(%digest, error = format!("{error:#}"), "compiled code is made anew")
                }
            }
        }
        let component = compile(engine, form, bytes, limits.compile, self.abandoned())?;
        if let Some(cache) = self.cache() {
            match component.serialize() {
                Ok(code) => cache.put(engine, digest, &code),
                Err(error) => {
                    debug!(%digest, error = format!("{error:#}"), "compiled code is not kept")
                }
            }
        }
        Ok(component)
    }
}

#[expect(
    unsafe_code,
    reason = "compiled code cannot be checked, only be trusted"
)]
fn deserialize(
    engine: &wasmtime::Engine,
    code: &[u8],
) -> wasmtime::Result<wasmtime::component::Component> {
    // SAFETY: `code` comes from `Cache::get`, which gives only what `Component::serialize` gave: the
    // file and its directory belong to this user, nobody else may write to them, and the checksum fits.
    unsafe { wasmtime::component::Component::deserialize(engine, code) }
}

// === Reading ===

/// Reads a regular file of at most `limit` bytes.
pub(super) fn read(path: &Path, limit: usize) -> Result<Vec<u8>, LoadErrorKind> {
    // A pipe is opened without waiting for a writer, and then refused.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(LoadErrorKind::Unreadable)?;
    let kind = file.metadata().map_err(LoadErrorKind::Unreadable)?;
    if kind.is_dir() {
        return Err(LoadErrorKind::NotAFile("a directory"));
    }
    if !kind.is_file() {
        return Err(LoadErrorKind::NotAFile("a pipe, a socket or a device"));
    }
    let mut bytes = Vec::new();
    // A byte more than the limit says that there is more; the length on disk may change meanwhile.
    file.take(limit as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(LoadErrorKind::Unreadable)?;
    if bytes.len() > limit {
        return Err(LoadErrorKind::TooLarge { limit });
    }
    Ok(bytes)
}

/// What bytes begin like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Component,
    CoreModule,
}

impl Form {
    fn of(bytes: &[u8]) -> Result<Self, LoadErrorKind> {
        if bytes.is_empty() {
            return Err(LoadErrorKind::Empty);
        }
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            let text = std::str::from_utf8(bytes);
            return Err(match (bytes, text) {
                ([0x7f, b'E', b'L', b'F', ..], _) => LoadErrorKind::NotWasm("an ELF file"),
                (_, Ok(text)) if text.trim_start().starts_with('(') => {
                    LoadErrorKind::NotWasm("the text form of WebAssembly")
                }
                (_, Ok(_)) => LoadErrorKind::NotWasm("text"),
                _ => LoadErrorKind::NotWasm("something else"),
            });
        };
        match rest.first_chunk() {
            Some(&COMPONENT) => Ok(Self::Component),
            Some(&CORE_MODULE) => Ok(Self::CoreModule),
            Some(_) => Err(LoadErrorKind::UnknownVersion),
            None => Err(LoadErrorKind::Invalid("it ends in its header".to_owned())),
        }
    }
}

// === Compiling ===

/// Compiles on a thread of its own, for at most `limit`. A compilation cannot be stopped: one that passes
/// its time is left alone, and while too many of those go on, none is begun.
fn compile(
    engine: &wasmtime::Engine,
    form: Form,
    bytes: &[u8],
    limit: Duration,
    abandoned: &Arc<AtomicUsize>,
) -> Result<wasmtime::component::Component, LoadErrorKind> {
    let busy = abandoned.load(Ordering::Relaxed);
    if busy >= MAX_ABANDONED {
        return Err(LoadErrorKind::CompilersBusy(busy));
    }
    // Nothing is buffered: a result is received, or its sender learns that nobody waits any more.
    let (result, compiled) = mpsc::sync_channel(0);
    let (engine, bytes, left) = (engine.clone(), bytes.to_vec(), Arc::clone(abandoned));
    let work = move || {
        if result.send(compile_now(&engine, form, &bytes)).is_err() {
            left.fetch_sub(1, Ordering::Relaxed);
        }
    };
    thread::Builder::new()
        .name("compile".to_owned())
        .stack_size(COMPILER_STACK_BYTES)
        .spawn(work)
        .map_err(|_| LoadErrorKind::Compiler)?;
    match compiled.recv_timeout(limit) {
        Ok(component) => component,
        Err(RecvTimeoutError::Timeout) => {
            // Before `compiled` is dropped, so that the sender finds itself counted.
            abandoned.fetch_add(1, Ordering::Relaxed);
            warn!(?limit, "a compilation passed its time and is left alone");
            Err(LoadErrorKind::CompileTime { limit })
        }
        Err(RecvTimeoutError::Disconnected) => Err(LoadErrorKind::Compiler),
    }
}

fn compile_now(
    engine: &wasmtime::Engine,
    form: Form,
    bytes: &[u8],
) -> Result<wasmtime::component::Component, LoadErrorKind> {
    let component = match form {
        Form::Component => wasmtime::component::Component::new(engine, bytes),
        Form::CoreModule => wasmtime::component::Component::new(engine, componentise(bytes)?),
    };
    component.map_err(|error| {
        let text = format!("{error:#}");
        match text.contains(DOES_NOT_FIT) {
            true => LoadErrorKind::TooNeedy(error.root_cause().to_string()),
            false => LoadErrorKind::Invalid(text),
        }
    })
}

/// Makes a component of a core module of `wasm32-wasip1`, which carries its world in a custom section.
fn componentise(module: &[u8]) -> Result<Vec<u8>, LoadErrorKind> {
    ComponentEncoder::default()
        .validate(true)
        .module(module)
        .and_then(|encoder| {
            encoder.adapter(
                WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME,
                WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
            )
        })
        .and_then(|encoder| encoder.encode())
        .map_err(|error| LoadErrorKind::NoComponent(format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[expect(
        clippy::needless_pass_by_value,
        reason = "expectations are written in place"
    )]
    fn check_form(bytes: &[u8], expected: Expect) {
        let error = Form::of(bytes).expect_err("no wasm");
        expected.assert_eq(&error.to_string());
    }

    #[test]
    fn what_is_no_wasm_is_told_apart() {
        check_form(b"", expect!["it is empty"]);
        check_form(
            b"\x7fELF\x02",
            expect!["it is not WebAssembly but an ELF file"],
        );
        check_form(b"#!/bin/sh", expect!["it is not WebAssembly but text"]);
        check_form(
            b"\n(component)",
            expect!["it is not WebAssembly but the text form of WebAssembly"],
        );
        check_form(
            b"\xff\xfe",
            expect!["it is not WebAssembly but something else"],
        );
        check_form(
            b"\0asm\x0d",
            expect!["it is not valid: it ends in its header"],
        );
        check_form(
            b"\0asm\x02\0\0\0",
            expect!["it is neither a component nor a core module of WebAssembly 1"],
        );
    }

    #[test]
    fn only_regular_files_within_the_limit_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.wasm");
        std::fs::write(&file, [1, 2, 3]).unwrap();
        assert_eq!(read(&file, 3).unwrap(), [1, 2, 3]);
        assert!(matches!(
            read(&file, 2),
            Err(LoadErrorKind::TooLarge { limit: 2 })
        ));
        assert!(matches!(
            read(dir.path(), 9),
            Err(LoadErrorKind::NotAFile("a directory"))
        ));
        assert!(matches!(
            read(&dir.path().join("none"), 9),
            Err(LoadErrorKind::Unreadable(_))
        ));
        assert!(matches!(
            read(Path::new("/dev/null"), 9),
            Err(LoadErrorKind::NotAFile("a pipe, a socket or a device"))
        ));
    }
}

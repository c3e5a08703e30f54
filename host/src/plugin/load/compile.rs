//! Bytes of WebAssembly become machine code, from the cache or within a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tracing::{debug, warn};
use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER,
};
use wasmtime::component::Component;
use wit_component::ComponentEncoder;

use crate::batch::Digest;

use crate::plugin::engine::Engine;
use crate::plugin::load::error::LoadErrorKind;

/// Compilations that passed their time and may go on: they cannot be stopped, only be left alone.
const MAX_ABANDONED: usize = 2;

/// The name of a thread that compiles. A panic of the compiler ends that thread only, and the
/// plugin is refused.
pub const COMPILER_THREAD: &str = "compile";

/// The stack of a thread that compiles.
const COMPILER_STACK_BYTES: usize = 16 * 1024 * 1024;

/// What wasmtime says of a component that asks for more than the pool's instances have; the errors
/// have no type of their own.
const TOO_NEEDY: [&str; 2] = [
    "does not fit in pooling allocator requirements",
    "exceeds the configured maximum",
];

/// How a component and a core module begin: the magic number, then version and layer.
const MAGIC: &[u8] = b"\0asm";
const COMPONENT: [u8; 4] = [0x0d, 0x00, 0x01, 0x00];
const CORE_MODULE: [u8; 4] = [0x01, 0x00, 0x00, 0x00];

/// The bytes of a plugin, told apart by how they begin.
pub(super) struct Binary<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) digest: Digest,
    form: Form,
}

impl<'a> Binary<'a> {
    /// Tells `bytes` apart.
    ///
    /// # Errors
    ///
    /// What they are, if not WebAssembly.
    pub(super) fn new(bytes: &'a [u8]) -> Result<Self, LoadErrorKind> {
        Ok(Self {
            bytes,
            digest: Digest::of(bytes),
            form: Form::of(bytes)?,
        })
    }
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

/// The machine code of `binary` for `wasm`: from the cache of `engine`, or compiled now and kept
/// there.
///
/// # Errors
///
/// Why it cannot be compiled, or not within `limit`.
pub(super) fn code(
    engine: &Engine,
    wasm: &wasmtime::Engine,
    binary: &Binary<'_>,
    limit: Duration,
) -> Result<Component, LoadErrorKind> {
    let digest = binary.digest;
    if let Some(code) = engine.cache().and_then(|cache| cache.get(wasm, digest)) {
        match deserialize(wasm, &code) {
            Ok(component) => return Ok(component),
            Err(error) => {
                warn!(%digest, error = format!("{error:#}"), "compiled code is made anew");
            }
        }
    }
    let component = compile(wasm, binary, limit, engine.abandoned())?;
    if let Some(cache) = engine.cache() {
        match component.serialize() {
            Ok(code) => cache.put(wasm, digest, &code),
            Err(error) => {
                debug!(%digest, error = format!("{error:#}"), "compiled code is not kept");
            }
        }
    }
    Ok(component)
}

#[expect(
    unsafe_code,
    reason = "compiled code cannot be checked, only be trusted"
)]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `code` comes from `Cache::get`, which gives only what `Component::serialize` gave:
    // the file and its directory belong to this user, nobody else may write to them, and the
    // checksum fits.
    unsafe { Component::deserialize(engine, code) }
}

/// Compiles on a thread of its own, for at most `limit`. A compilation cannot be stopped: one that
/// passes its time is left alone, and while too many of those go on, none is begun.
fn compile(
    engine: &wasmtime::Engine,
    binary: &Binary<'_>,
    limit: Duration,
    abandoned: &Arc<AtomicUsize>,
) -> Result<Component, LoadErrorKind> {
    let busy = abandoned.load(Ordering::Relaxed);
    if busy >= MAX_ABANDONED {
        return Err(LoadErrorKind::CompilersBusy(busy));
    }
    // Nothing is buffered: a result is received, or its sender learns that nobody waits any more.
    let (result, compiled) = mpsc::sync_channel(0);
    let (engine, form) = (engine.clone(), binary.form);
    let (bytes, left) = (binary.bytes.to_vec(), Arc::clone(abandoned));
    let work = move || {
        if result.send(compile_now(&engine, form, &bytes)).is_err() {
            left.fetch_sub(1, Ordering::Relaxed);
        }
    };
    thread::Builder::new()
        .name(COMPILER_THREAD.to_owned())
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
) -> Result<Component, LoadErrorKind> {
    let component = match form {
        Form::Component => Component::new(engine, bytes),
        Form::CoreModule => Component::new(engine, componentise(bytes)?),
    };
    component.map_err(|error| {
        let text = format!("{error:#}");
        match TOO_NEEDY.iter().any(|words| text.contains(words)) {
            true => LoadErrorKind::TooNeedy(error.root_cause().to_string()),
            false => LoadErrorKind::Invalid(text),
        }
    })
}

/// Makes a component of a core module of `wasm32-wasip1`, which carries its world in a custom
/// section.
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
        .and_then(ComponentEncoder::encode)
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
}

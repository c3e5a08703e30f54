//! `wasi:cli`: a program without arguments, environment, input or terminal. What it prints goes to
//! the log.

use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, Resource};

use super::Defined;
use super::io::{InputStream, OutputStream};
use crate::plugin::guest::{Guest, HostTrap, Stdio};

/// A terminal to read from; there is none.
pub(super) struct TerminalInput;

/// A terminal to write to; there is none.
pub(super) struct TerminalOutput;

pub(super) fn define(
    into: &mut LinkerInstance<'_, Guest>,
    interface: &str,
    function: &str,
) -> wasmtime::Result<Defined> {
    match (interface, function) {
        ("environment", "get-environment") => {
            into.func_wrap(function, |_, (): ()| Ok((Vec::<(String, String)>::new(),)))
        }
        ("environment", "get-arguments") => {
            into.func_wrap(function, |_, (): ()| Ok((Vec::<String>::new(),)))
        }
        ("environment", "initial-cwd") => {
            into.func_wrap(function, |_, (): ()| Ok((None::<String>,)))
        }
        ("exit", "exit") => into.func_wrap(function, |_, (status,): (Result<(), ()>,)| {
            exit(u8::from(status.is_err()))
        }),
        ("exit", "exit-with-code") => into.func_wrap(function, |_, (code,): (u8,)| exit(code)),
        ("stdin", "get-stdin") => into.func_wrap(function, |_, (): ()| {
            Ok((Resource::<InputStream>::new_own(0),))
        }),
        ("stdout", "get-stdout") => output(into, function, Stdio::Out),
        ("stderr", "get-stderr") => output(into, function, Stdio::Err),
        ("terminal-stdin", "get-terminal-stdin") => {
            into.func_wrap(function, |_, (): ()| Ok((None::<Resource<TerminalInput>>,)))
        }
        ("terminal-stdout", "get-terminal-stdout") | ("terminal-stderr", "get-terminal-stderr") => {
            into.func_wrap(function, |_, (): ()| {
                Ok((None::<Resource<TerminalOutput>>,))
            })
        }
        _ => return Ok(Defined::No),
    }?;
    Ok(Defined::Yes)
}

fn exit(code: u8) -> wasmtime::Result<()> {
    Err(HostTrap::Exit(code).into())
}

fn output(into: &mut LinkerInstance<'_, Guest>, function: &str, to: Stdio) -> wasmtime::Result<()> {
    into.func_wrap(function, move |_: StoreContextMut<'_, Guest>, (): ()| {
        Ok((OutputStream::handle(to),))
    })
}

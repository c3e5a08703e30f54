//! `wasi:io`: input that is at its end, output that always has room, waits that are over.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource, WasmList};

use super::Defined;
use crate::plugin::guest::{Guest, HostTrap, Stdio};

/// Bytes that an output stream takes at once.
const WRITE_BYTES: u64 = 64 * 1024;

/// A failed operation, which does not occur.
pub(super) struct Error;

/// An event, which has happened.
pub(super) struct Pollable;

/// Standard input, which is at its end.
pub(super) struct InputStream;

/// Standard output or standard error.
pub(super) struct OutputStream;

impl OutputStream {
    /// A handle whose number says which stream it is.
    pub(super) fn handle(to: Stdio) -> Resource<Self> {
        Resource::new_own(match to {
            Stdio::Out => 1,
            Stdio::Err => 2,
        })
    }

    fn stdio(handle: &Resource<Self>) -> Stdio {
        match handle.rep() {
            1 => Stdio::Out,
            _ => Stdio::Err,
        }
    }
}

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<Error>),
    #[component(name = "closed")]
    Closed,
}

/// What a stream's function answers.
type Answer<T> = wasmtime::Result<(Result<T, StreamError>,)>;

pub(super) fn define(
    into: &mut LinkerInstance<'_, Guest>,
    interface: &str,
    function: &str,
) -> wasmtime::Result<Defined> {
    match (interface, function) {
        ("error", "[method]error.to-debug-string") => {
            into.func_wrap(function, |_, (_,): (Resource<Error>,)| Ok((String::new(),)))?;
            Ok(Defined::Yes)
        }
        ("poll", _) => poll(into, function),
        ("streams", _) => match function
            .strip_prefix("[method]input-stream.")
            .ok_or_else(|| function.strip_prefix("[method]output-stream."))
        {
            Ok(method) => input(into, function, method),
            Err(Some(method)) => output(into, function, method),
            Err(None) => Ok(Defined::No),
        },
        _ => Ok(Defined::No),
    }
}

fn poll(into: &mut LinkerInstance<'_, Guest>, function: &str) -> wasmtime::Result<Defined> {
    match function {
        "[method]pollable.ready" => {
            into.func_wrap(function, |_, (_,): (Resource<Pollable>,)| Ok((true,)))
        }
        "[method]pollable.block" => {
            into.func_wrap(function, |_, (_,): (Resource<Pollable>,)| Ok(()))
        }
        "poll" => into.func_wrap(function, |_, (events,): (Vec<Resource<Pollable>>,)| {
            if events.is_empty() {
                return Err(HostTrap::EmptyPoll.into());
            }
            // All of them; a list that was lifted has fewer elements than `u32` can count.
            Ok(((0..events.len() as u32).collect::<Vec<u32>>(),))
        }),
        _ => return Ok(Defined::No),
    }?;
    Ok(Defined::Yes)
}

fn input(
    into: &mut LinkerInstance<'_, Guest>,
    function: &str,
    method: &str,
) -> wasmtime::Result<Defined> {
    type Of = (Resource<InputStream>, u64);
    match method {
        "read" | "blocking-read" => into.func_wrap(function, |_, (_, _): Of| -> Answer<Vec<u8>> {
            Ok((Err(StreamError::Closed),))
        }),
        "skip" | "blocking-skip" => into.func_wrap(function, |_, (_, _): Of| -> Answer<u64> {
            Ok((Err(StreamError::Closed),))
        }),
        "subscribe" => into.func_wrap(function, |_, (_,): (Resource<InputStream>,)| Ok((now(),))),
        _ => return Ok(Defined::No),
    }?;
    Ok(Defined::Yes)
}

fn output(
    into: &mut LinkerInstance<'_, Guest>,
    function: &str,
    method: &str,
) -> wasmtime::Result<Defined> {
    type Of = Resource<OutputStream>;
    match method {
        "check-write" => into.func_wrap(function, |_, (_,): (Of,)| -> Answer<u64> {
            Ok((Ok(WRITE_BYTES),))
        }),
        "write" | "blocking-write-and-flush" => into.func_wrap(
            function,
            |mut store: StoreContextMut<'_, Guest>,
             (to, bytes): (Of, WasmList<u8>)|
             -> Answer<()> {
                // The length is guest-controlled: what it may be was told by `check-write`.
                if bytes.len() as u64 > WRITE_BYTES {
                    return Err(HostTrap::Write(bytes.len() as u64).into());
                }
                let bytes = bytes.as_le_slice(&store).to_vec();
                store.data_mut().write(OutputStream::stdio(&to), &bytes);
                Ok((Ok(()),))
            },
        ),
        "flush" | "blocking-flush" => {
            into.func_wrap(function, |_, (_,): (Of,)| -> Answer<()> { Ok((Ok(()),)) })
        }
        "write-zeroes" | "blocking-write-zeroes-and-flush" => {
            into.func_wrap(function, |_, (_, count): (Of, u64)| -> Answer<()> {
                // Zeroes are no text, so that nothing is lost when they are not written.
                if count > WRITE_BYTES {
                    return Err(HostTrap::Write(count).into());
                }
                Ok((Ok(()),))
            })
        }
        "splice" | "blocking-splice" => into.func_wrap(
            function,
            |_, (_, _, _): (Of, Resource<InputStream>, u64)| -> Answer<u64> {
                Ok((Err(StreamError::Closed),))
            },
        ),
        "subscribe" => into.func_wrap(function, |_, (_,): (Of,)| Ok((now(),))),
        _ => return Ok(Defined::No),
    }?;
    Ok(Defined::Yes)
}

/// An event that has happened.
pub(super) fn now() -> Resource<Pollable> {
    Resource::new_own(0)
}

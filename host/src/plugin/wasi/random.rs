//! `wasi:random`: dice that the call's seed has loaded, secure and insecure alike.

use wasmtime::StoreContextMut;
use wasmtime::component::LinkerInstance;

use super::Defined;
use crate::plugin::guest::{Guest, HostTrap};

/// Random bytes that one call may give.
const MAX_RANDOM_BYTES: u64 = 1024 * 1024;

pub(super) fn define(
    into: &mut LinkerInstance<'_, Guest>,
    interface: &str,
    function: &str,
) -> wasmtime::Result<Defined> {
    type Store<'a> = StoreContextMut<'a, Guest>;
    match (interface, function) {
        ("random", "get-random-bytes") | ("insecure", "get-insecure-random-bytes") => into
            .func_wrap(function, |mut store: Store<'_>, (count,): (u64,)| {
                // `count` is guest-controlled, and the bytes are made in the host's memory.
                if count > MAX_RANDOM_BYTES {
                    return Err(HostTrap::Random(count).into());
                }
                Ok((store.data_mut().dice().bytes(count as usize),))
            }),
        ("random", "get-random-u64") | ("insecure", "get-insecure-random-u64") => into
            .func_wrap(function, |mut store: Store<'_>, (): ()| {
                Ok((store.data_mut().dice().number(),))
            }),
        ("insecure-seed", "insecure-seed") => {
            into.func_wrap(function, |mut store: Store<'_>, (): ()| {
                let dice = store.data_mut().dice();
                Ok(((dice.number(), dice.number()),))
            })
        }
        _ => return Ok(Defined::No),
    }?;
    Ok(Defined::Yes)
}

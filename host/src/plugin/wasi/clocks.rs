//! `wasi:clocks`: it is batch time, and every moment waited for has come.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower};

use super::{Defined, io};
use crate::plugin::guest::Guest;

/// What both clocks can tell apart, in nanoseconds.
const RESOLUTION_NS: u32 = 1_000_000;

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

pub(super) fn define(
    into: &mut LinkerInstance<'_, Guest>,
    interface: &str,
    function: &str,
) -> wasmtime::Result<Defined> {
    match (interface, function) {
        ("monotonic-clock", "now") => {
            into.func_wrap(function, |store: StoreContextMut<'_, Guest>, (): ()| {
                Ok((store.data().now_ms().saturating_mul(1_000_000),))
            })
        }
        ("monotonic-clock", "resolution") => {
            into.func_wrap(function, |_, (): ()| Ok((u64::from(RESOLUTION_NS),)))
        }
        ("monotonic-clock", "subscribe-instant" | "subscribe-duration") => {
            into.func_wrap(function, |_, (_,): (u64,)| Ok((io::now(),)))
        }
        ("wall-clock", "now") => {
            into.func_wrap(function, |store: StoreContextMut<'_, Guest>, (): ()| {
                let now = store.data().now_ms();
                Ok((Datetime {
                    seconds: now / 1000,
                    nanoseconds: (now % 1000) as u32 * 1_000_000,
                },))
            })
        }
        ("wall-clock", "resolution") => into.func_wrap(function, |_, (): ()| {
            Ok((Datetime {
                seconds: 0,
                nanoseconds: RESOLUTION_NS,
            },))
        }),
        _ => return Ok(Defined::No),
    }?;
    Ok(Defined::Yes)
}

//! The end of an instance, in words.

use std::ops::RangeInclusive;

use wasmtime::WasmBacktrace;

use crate::batch::function::{Trap, TrapKind};

use super::escape::escape;
use super::guest::{Guest, HostTrap};

/// Characters of the message, and of each line of the backtrace, that are kept.
const MAX_MESSAGE_CHARACTERS: usize = 1024;

/// Digits of a crate's number: 16, without zeros at the beginning.
const HASH_DIGITS: RangeInclusive<usize> = 9..=16;

/// What wasmtime says when a guest returned more than its store's fuel for that; the error's type
/// is private.
const RETURNED_TOO_MUCH: &str = "fuel allocated for hostcalls has been exhausted";

/// Why a call into `guest` ended with `error`.
pub(super) fn trap(error: &wasmtime::Error, guest: &mut Guest) -> Trap {
    guest.end();
    let words = guest.last_words.take();
    let (kind, what) = kind(error, guest);
    let message = match spoken(&words) {
        // The instruction by which a panic ends says nothing more.
        Some(spoken) if is_unreachable(error) && kind == TrapKind::Trapped => spoken,
        Some(spoken) if kind != TrapKind::Time => format!("{what}: {spoken}"),
        _ => what,
    };
    let frames = error
        .downcast_ref::<WasmBacktrace>()
        .map(ToString::to_string)
        .unwrap_or_default();
    // The first line of wasmtime's text is a heading.
    let frames = frames
        .lines()
        .skip(1)
        .map(|line| escape(&without_hashes(line.trim()), MAX_MESSAGE_CHARACTERS));
    Trap {
        kind,
        message: escape(&message, MAX_MESSAGE_CHARACTERS),
        backtrace: frames.chain(words.iter().cloned()).collect(),
    }
}

/// A frame without the numbers behind names of crates (`core[6d9e98711c484d2e]`), which tell those of
/// one name apart and are others in every build.
fn without_hashes(frame: &str) -> String {
    let is_hash = |text: &str| {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        HASH_DIGITS.contains(&text.len()) && text.bytes().all(hex)
    };
    let mut told = String::with_capacity(frame.len());
    let mut rest = frame;
    while let Some((before, behind)) = rest.split_once('[') {
        told.push_str(before);
        rest = match behind.split_once(']') {
            Some((within, behind)) if is_hash(within) => behind,
            _ => {
                told.push('[');
                behind
            }
        };
    }
    told + rest
}

fn is_unreachable(error: &wasmtime::Error) -> bool {
    error.downcast_ref() == Some(&wasmtime::Trap::UnreachableCodeReached)
}

fn kind(error: &wasmtime::Error, guest: &Guest) -> (TrapKind, String) {
    if let Some(end) = error.downcast_ref::<HostTrap>() {
        return (TrapKind::Trapped, end.to_string());
    }
    let limits = &guest.limits;
    let trap = error.downcast_ref::<wasmtime::Trap>();
    match trap {
        Some(wasmtime::Trap::Interrupt) => {
            return (
                TrapKind::Time,
                format!(
                    "it did not end within its time limit of {} s",
                    limits.call.as_secs_f64()
                ),
            );
        }
        Some(wasmtime::Trap::StackOverflow) => {
            return (
                TrapKind::Stack,
                format!("its stack passed the limit of {} bytes", limits.stack),
            );
        }
        _ => {}
    }
    if guest.meter.refused() {
        return (
            TrapKind::Memory,
            format!(
                "it wanted more memory than its limit of {} bytes",
                limits.memory
            ),
        );
    }
    let cause = error.root_cause().to_string();
    if cause.contains(RETURNED_TOO_MUCH) {
        return (
            TrapKind::Memory,
            format!(
                "it returned more than its limit of {} bytes",
                limits.returned
            ),
        );
    }
    match trap {
        Some(trap) => {
            let text = trap.to_string();
            let text = text.strip_prefix("wasm trap: ").unwrap_or(&text).to_owned();
            let kind = match trap {
                // The guest's own end; all other traps are raised while values cross.
                wasmtime::Trap::StringOutOfBounds
                | wasmtime::Trap::ListOutOfBounds
                | wasmtime::Trap::InvalidDiscriminant
                | wasmtime::Trap::InvalidChar
                | wasmtime::Trap::UnalignedPointer => TrapKind::BrokenPromise,
                _ => TrapKind::Trapped,
            };
            (kind, text)
        }
        // No trap of the code: the canonical ABI refused what it handed over.
        None => (TrapKind::BrokenPromise, cause),
    }
}

/// The line in which the guest said what went wrong: a Rust panic's, else the last.
fn spoken(words: &[String]) -> Option<String> {
    match words.iter().position(|line| line.contains("panicked at ")) {
        Some(at) => {
            let place = words[at]
                .split_once("panicked at ")
                .map_or("", |(_, place)| place.trim_end_matches(':'));
            let message = words.get(at + 1).map_or("", String::as_str);
            Some(format!("panicked at {place}: {message}"))
        }
        None => words.last().cloned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_told_without_what_differs_from_build_to_build() {
        let frame = "0x5a2f - p.wasm!<words[d6749086dcc15dbb]::split as core[9d1e98711c484d2]::X<[u8]>>::run";
        assert_eq!(
            without_hashes(frame),
            "0x5a2f - p.wasm!<words::split as core::X<[u8]>>::run"
        );
        for plain in ["wasm[0]::function[12]", "f::<[u8; 4]>", "half[d6749086", ""] {
            assert_eq!(without_hashes(plain), plain);
        }
    }

    #[test]
    fn a_panic_is_told_with_its_place() {
        let words = [
            "thread 'main' (1) panicked at src/lib.rs:3:5:",
            "no such word",
            "note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace",
        ];
        assert_eq!(
            spoken(&words.map(str::to_owned)).as_deref(),
            Some("panicked at src/lib.rs:3:5: no such word")
        );
        assert_eq!(
            spoken(&["ValueError: bad".to_owned()]).as_deref(),
            Some("ValueError: bad")
        );
        assert_eq!(spoken(&[]), None);
    }
}

//! The tests that need more than one layer, most of them with the real binary.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod at_rest;
mod clocks;
mod commands;
mod crash;
mod damage;
mod dead_letters;
mod disk;
mod examples;
mod files;
mod laws;
mod layers;
mod msgpack;
mod plugin;
mod poison;
mod profiling;
mod rate;
mod run;
mod said;
mod scenarios;
mod secrets;
mod sinks;
mod stages;
mod state;
mod supervise;
mod support;
mod versions;

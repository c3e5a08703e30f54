//! The tests that need more than one layer, most of them with the real binary.

mod examples;
mod layers;
mod plugin;
mod run;
mod scenarios;
mod support;

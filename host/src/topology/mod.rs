//! The topology file: text becomes a spec, a spec becomes a plan, and all errors are told at once.

pub mod plan;
pub mod types;

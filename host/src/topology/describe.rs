//! A stream in words, as `check`, `graph` and `status` tell it.

use std::time::Duration;

use super::plan::StreamPlan;
use super::units::show_duration;
use crate::batch::function::Role;

/// The functions of a stream; those besides the main one with the key that names them.
pub fn functions(stream: &StreamPlan) -> impl Iterator<Item = String> {
    stream.functions().map(|(role, name)| match role {
        Role::Main => name.to_string(),
        Role::Inverse | Role::Keep => format!("{} {name}", role.name()),
    })
}

/// The window of a stream, and its slide where that is not `batch`.
#[must_use]
pub fn pace(stream: &StreamPlan, batch: Duration) -> Option<String> {
    let slide = show_duration(stream.slide);
    match stream.op.window() {
        Some(window) => Some(format!(
            "window {}, every {slide}",
            show_duration(window.length)
        )),
        None => (stream.slide != batch).then(|| format!("every {slide}")),
    }
}

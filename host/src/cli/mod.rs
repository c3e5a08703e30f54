//! What the commands do, and the only place where errors become text.

pub mod build;
pub mod new;

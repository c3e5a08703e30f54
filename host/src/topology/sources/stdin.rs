//! `type = "stdin"`: standard input.

use std::sync::Arc;

use super::spec::{SourceSpec, SourceType};
use crate::topology::plan::Transport;
use crate::topology::problem::listed;
use crate::topology::reader::Reader;

/// Standard input has no keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StdinKeys;

impl Transport for StdinKeys {
    fn name(&self) -> &'static str {
        TYPE.name
    }
}

pub(super) const TYPE: SourceType = SourceType {
    name: "stdin",
    keys: &[],
    read: |_, _, _| Some(Arc::new(StdinKeys)),
    check,
};

/// Tells of sources that share standard input.
fn check(reader: &mut Reader<'_>, sources: &[SourceSpec]) {
    let is_stdin = |source: &&SourceSpec| {
        let plan = source.plan.as_ref();
        plan.is_some_and(|plan| plan.keys::<StdinKeys>().is_some())
    };
    let mut readers = sources.iter().filter(is_stdin);
    let Some(first) = readers.next() else {
        return;
    };
    for second in readers {
        let names = listed([first.name.as_str(), second.name.as_str()]);
        let message = format!("sources {names} both read standard input");
        reader.wrong_hint(
            second.at,
            &message,
            "let one source read it, and streams share that",
        );
    }
}

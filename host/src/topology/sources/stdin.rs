//! `type = "stdin"`: standard input.

use super::spec::{SourceSpec, SourceType};
use crate::topology::plan::Transport;
use crate::topology::problem::listed;
use crate::topology::reader::Reader;

pub(super) const TYPE: SourceType = SourceType {
    name: "stdin",
    keys: &[],
    read: |_, _, _| Some(Transport::Stdin),
    check,
};

/// Tells of sources that share standard input.
fn check(reader: &mut Reader<'_>, sources: &[SourceSpec]) {
    let is_stdin = |source: &&SourceSpec| {
        let transport = source.plan.as_ref().map(|plan| &plan.transport);
        matches!(transport, Some(Transport::Stdin))
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

//! The sink of dead letters: what is rejected where `on_error` is `dead_letter`. No `[sink.NAME]` says
//! so; a topology has it as soon as a source or stream writes any.

use std::path::PathBuf;
use std::sync::Arc;

use crate::topology::item::Offset;
use crate::topology::plan::{Settings, SinkPlan, Target};
use crate::topology::reader::Reader;

/// The name of the sink, which nothing else may have then.
pub(in crate::topology) const NAME: &str = "dead_letters";

/// A directory with a directory per batch that has dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DeadLettersKeys {
    /// The outer directory.
    pub dir: PathBuf,
}

impl Target for DeadLettersKeys {
    fn name(&self) -> &'static str {
        NAME
    }
}

/// The sink of a job called `job`, in which the source or stream at `buries` writes dead letters.
pub(in crate::topology) fn plan(
    reader: &mut Reader<'_>,
    job: &str,
    settings: &Settings,
    buries: Offset,
) -> Option<SinkPlan> {
    let in_directory = |dir: &PathBuf| dir.join(job).join(NAME);
    let beside = || settings.checkpoint.as_ref().map(in_directory);
    let Some(dir) = settings.dead_letters.clone().or_else(beside) else {
        let message = "dead letters have no place, because `checkpoint` is `false`";
        let hint = "say where: `dead_letters = \"DIR\"` under `[topology]`";
        reader.wrong_hint(buries, message, hint);
        return None;
    };
    Some(SinkPlan {
        name: NAME.to_owned(),
        from: None,
        target: Arc::new(DeadLettersKeys { dir }),
    })
}

//! Where the records of a stream go: one target per file.
//!
//! A sink stages what the workers give it, makes it safe in `prepare`, and shows it in `publish`;
//! the contract is [`crate::batch::sink::Sink`]. The records of a batch appear in partition order,
//! whatever the order in which workers staged them.
//!
//! **Invariant:** before `publish` nothing of a batch is visible, after it all of it.
//!
//! Start reading at [`open`].

use std::path::PathBuf;
use std::sync::Arc;

use crate::batch::sink::{Sink, SinkError};
use crate::topology::plan::{SinkPlan, Target};

pub mod observe;
pub mod print;
pub mod text_files;

use observe::{Observe, Observed};
use print::{Output, Print};
use text_files::TextFiles;

/// What sinks are given by their host.
#[derive(Clone)]
pub struct OpenContext {
    /// Where `print` writes; [`print::stdout`] for a job.
    pub output: Output,
    /// Where `text_files` without a prefix makes its directories.
    pub dir: PathBuf,
    /// Where observers put what they saw.
    pub observed: Observed,
}

/// Makes the sink of a plan.
///
/// # Errors
///
/// It can never work, because the place it writes to cannot be made or read.
pub fn open(plan: &SinkPlan, context: &OpenContext) -> Result<Arc<dyn Sink>, SinkError> {
    Ok(match &plan.target {
        Target::Print { count } => Arc::new(Print::new(*count, Arc::clone(&context.output))),
        Target::TextFiles { prefix, suffix } => {
            let names = text_files::Names::new(&context.dir, prefix.clone(), suffix.as_deref());
            Arc::new(TextFiles::open(names)?)
        }
        Target::Observe => Arc::new(Observe::new(&plan.name, context.observed.clone())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{BatchTime, Chunk, Column};
    use crate::topology::plan::Upstream;

    #[test]
    fn each_target_has_its_sink() {
        let dir = tempfile::tempdir().unwrap();
        let context = OpenContext {
            output: print::stdout(),
            dir: dir.path().to_owned(),
            observed: Observed::default(),
        };
        let open = |target| {
            let plan = SinkPlan {
                name: "seen".into(),
                from: Upstream::Source(0),
                target,
            };
            open(&plan, &context).unwrap()
        };
        open(Target::Print { count: 1 });
        let files = open(Target::TextFiles {
            prefix: Some(dir.path().join("out/counts")),
            suffix: None,
        });
        files.prepare(BatchTime(5)).unwrap();
        files.publish(BatchTime(5)).unwrap();
        assert!(dir.path().join("out/counts-5/_SUCCESS").exists());

        let observer = open(Target::Observe);
        let chunk = Chunk::single(Column::int64([7]));
        observer.stage(BatchTime(5), 0, &chunk).unwrap();
        observer.prepare(BatchTime(5)).unwrap();
        observer.publish(BatchTime(5)).unwrap();
        let seen = context.observed.take("seen", BatchTime(5));
        assert_eq!(seen, Some(vec![vec![chunk]]));
    }
}

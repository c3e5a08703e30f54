//! Where the records of a stream go: one target per file.
//!
//! A sink stages what the workers give it, makes it safe in `prepare`, and shows it in `publish`;
//! the contract is [`crate::batch::sink::Sink`]. The records of a batch appear in partition order,
//! whatever the order in which workers staged them. Each sink works behind a lane ([`lane`]).
//!
//! **Invariant:** before `publish` nothing of a batch is visible, after it all of it.
//!
//! Start reading at [`open`].

use std::path::PathBuf;
use std::sync::Arc;

use crate::batch::sink::Sink;
use crate::topology::plan::{SinkPlan, Target};

pub mod lane;
pub mod observe;
pub mod print;
pub mod text_files;

use lane::{NamedSink, PublishQueue};
use observe::{Observed, Observer};
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

/// Makes the sink of a plan. Nothing is touched before it recovers.
#[must_use]
pub fn open(plan: &SinkPlan, context: &OpenContext) -> NamedSink {
    let (sink, queue): (Arc<dyn Sink>, PublishQueue) = match &plan.target {
        Target::Print { count } => {
            let print = Print::new(*count, Arc::clone(&context.output));
            (Arc::new(print), PublishQueue::Console)
        }
        Target::TextFiles { prefix, suffix } => {
            let names =
                text_files::DirectoryNames::new(&context.dir, prefix.clone(), suffix.as_deref());
            (Arc::new(TextFiles::new(names)), PublishQueue::Own)
        }
        Target::Observe => {
            let observer = Observer::new(&plan.name, context.observed.clone());
            (Arc::new(observer), PublishQueue::Own)
        }
    };
    let name = plan.name.clone();
    NamedSink { name, sink, queue }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::sink::{Incarnation, JobId, Staged};
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
            open(&plan, &context)
        };
        let print = open(Target::Print { count: 1 });
        assert_eq!(print.queue, PublishQueue::Console);
        let files = open(Target::TextFiles {
            prefix: Some(dir.path().join("out/counts")),
            suffix: None,
        });
        assert!(!dir.path().join("out").exists(), "opening touches nothing");
        let (job, number, batch) = (JobId(1), 1, BatchTime(5));
        files
            .sink
            .recover(None, Incarnation { job, number })
            .unwrap();
        let prepared = files.sink.prepare(batch, 1).unwrap();
        files.sink.publish(batch, &prepared).unwrap();
        assert!(dir.path().join("out/counts-5/_SUCCESS").exists());

        let observer = open(Target::Observe);
        let chunk = Chunk::single(Column::int64([7]));
        let at = Staged {
            batch,
            round: 1,
            partition: 0,
            sequence: 0,
        };
        observer.sink.stage(at, &chunk).unwrap();
        let prepared = observer.sink.prepare(batch, 1).unwrap();
        observer.sink.publish(batch, &prepared).unwrap();
        let seen = context.observed.take("seen", batch);
        assert_eq!(seen, Some(vec![vec![chunk]]));
    }
}

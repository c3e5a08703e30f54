//! Where the records of a stream go: one target per file.
//!
//! A sink stages what the workers give it, makes it safe in `prepare`, and shows it in `publish`;
//! the contract is [`crate::batch::sink::Sink`]. The records of a batch appear in partition order,
//! whatever the order in which workers staged them. Each sink works behind a lane ([`lane`]).
//!
//! **Invariant:** before `publish` nothing of a batch is visible, after it all of it.
//!
//! Each target is opened by its connector; one table ([`SinkConnectors`]) has them all.
//!
//! Start reading at [`SinkConnectors::open`].

use std::path::PathBuf;

mod connector;
mod dead_letters;
pub mod lane;
pub mod observe;
pub mod print;
mod table;
pub mod text_files;

pub use connector::SinkConnector;
use observe::Observed;
use print::Output;
pub use table::SinkConnectors;

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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::lane::PublishQueue;
    use super::*;
    use crate::batch::sink::{Incarnation, JobId, Staged};
    use crate::batch::{BatchTime, Chunk, Column};
    use crate::topology::plan::{Observe, SinkPlan, Target, Upstream};
    use crate::topology::sinks::{PrintKeys, TextFilesKeys};

    #[test]
    fn each_target_has_its_sink() {
        let dir = tempfile::tempdir().unwrap();
        let context = OpenContext {
            output: print::stdout(),
            dir: dir.path().to_owned(),
            observed: Observed::default(),
        };
        let open = |target: Arc<dyn Target>| {
            let plan = SinkPlan {
                name: "seen".into(),
                from: Some(Upstream::Source(0)),
                target,
            };
            SinkConnectors::default().open(&plan, &context).unwrap()
        };
        let print = open(Arc::new(PrintKeys { count: 1 }));
        assert_eq!(print.queue, PublishQueue::Console);
        let files = open(Arc::new(TextFilesKeys {
            prefix: Some(dir.path().join("out/counts")),
            suffix: None,
        }));
        assert!(!dir.path().join("out").exists(), "opening touches nothing");
        let (job, number, batch) = (JobId(1), 1, BatchTime(5));
        files
            .sink
            .recover(&[], Incarnation { job, number })
            .unwrap();
        let prepared = files.sink.prepare(batch, 1).unwrap();
        files.sink.publish(batch, &prepared).unwrap();
        assert!(dir.path().join("out/counts-5/_SUCCESS").exists());

        let observer = open(Arc::new(Observe));
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

//! A source and a sink of a program's own, in a job.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::*;
use crate::batch::guarantee::{Delivery, Guarantee};
use crate::batch::sink::{Prepared, Recovered, Sink, SinkError, Staged, WaitingBatch};
use crate::batch::source::{Source, SourceError};
use crate::batch::{BatchTime, Chunk, Round};
use crate::driver::testing;
use crate::plugin::Profiling;
use crate::sink::SinkConnector;
use crate::source::SourceConnector;
use crate::topology::plan::{SourcePlan, Target, Transport};
use crate::topology::sources::{GenerateKeys, GenerateUnit};

/// The keys of a source of so many words.
#[derive(Debug)]
struct Words(u64);

impl Transport for Words {
    fn name(&self) -> &'static str {
        "words"
    }
}

struct WordsConnector;

impl SourceConnector for WordsConnector {
    fn open(
        &self,
        plan: &SourcePlan,
        context: &OpenContext,
    ) -> Result<Box<dyn Source>, SourceError> {
        let Words(count) = plan.keys().unwrap();
        let made = GenerateKeys {
            unit: GenerateUnit::Words,
            count: Some(*count),
            seed: 7,
        };
        let plan = SourcePlan {
            transport: Arc::new(made),
            ..plan.clone()
        };
        SourceConnectors::default().open(&plan, context)
    }

    fn guarantee(&self, _: &SourcePlan) -> Guarantee {
        Guarantee {
            delivery: Delivery::AtMostOnce,
            condition: "in a test",
        }
    }
}

/// The keys of a sink that counts.
#[derive(Debug)]
struct Counted;

impl Target for Counted {
    fn name(&self) -> &'static str {
        "counted"
    }
}

/// Counts the records of published batches.
#[derive(Clone, Default)]
struct Counter {
    staged: Arc<Mutex<BTreeMap<(BatchTime, Round), u64>>>,
    published: Arc<Mutex<BTreeMap<BatchTime, Prepared>>>,
}

impl SinkConnector for Counter {
    fn open(&self, _: &SinkPlan, _: &sink::OpenContext) -> Result<Arc<dyn Sink>, SinkError> {
        Ok(Arc::new(self.clone()))
    }
}

impl Sink for Counter {
    fn recover(&self, _: &[WaitingBatch], _: Incarnation) -> Result<Recovered, SinkError> {
        Ok(Recovered::default())
    }

    fn stage(&self, at: Staged, chunk: &Chunk) -> Result<(), SinkError> {
        let mut staged = self.staged.lock().unwrap();
        *staged.entry((at.batch, at.round)).or_default() += chunk.len() as u64;
        Ok(())
    }

    fn prepare(&self, batch: BatchTime, round: Round) -> Result<Prepared, SinkError> {
        let count = self.staged.lock().unwrap().remove(&(batch, round));
        Ok(Prepared::new(count.unwrap_or_default().to_be_bytes()).unwrap())
    }

    fn publish(&self, batch: BatchTime, what: &Prepared) -> Result<(), SinkError> {
        self.published.lock().unwrap().insert(batch, what.clone());
        Ok(())
    }

    fn discard(&self, batch: BatchTime, round: Round) {
        self.staged.lock().unwrap().remove(&(batch, round));
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee {
            delivery: Delivery::AtLeastOnce,
            condition: "while the process lives",
        }
    }
}

/// A plan whose source and sink are a program's own.
fn plan() -> Plan {
    let plan = testing::plan("[sink.out]\nfrom = \"lines\"\ntype = \"print\"\n");
    let mut plan = Arc::unwrap_or_clone(plan);
    plan.settings.batch = Duration::from_millis(10);
    plan.settings.checkpoint = None;
    plan.sources[0].transport = Arc::new(Words(1000));
    plan.sinks[0].target = Arc::new(Counted);
    plan
}

fn options(folder: &Path, connectors: Connectors) -> JobOptions {
    JobOptions {
        workers: 1,
        once: true,
        folder: folder.to_owned(),
        console: Arc::new(Mutex::new(std::io::sink())),
        connectors,
        past: PastOptions::default(),
        stop_after: None,
        profiling: Profiling::Off,
    }
}

#[test]
fn a_program_runs_a_source_and_a_sink_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let counter = Counter::default();
    let connectors = Connectors {
        sources: SourceConnectors::default().with("words", WordsConnector),
        sinks: SinkConnectors::default().with("counted", counter.clone()),
        ..Connectors::default()
    };
    let job = Job::open(plan(), options(folder.path(), connectors)).unwrap();
    job.run().unwrap();
    let published = counter.published.lock().unwrap();
    let counts = published.values().map(Prepared::bytes);
    let counts = counts.map(|bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
    assert_eq!(counts.sum::<u64>(), 1000);
}

#[test]
fn what_no_connector_opens_is_told_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let told = |connectors| {
        let opened = Job::open(plan(), options(folder.path(), connectors));
        opened.err().unwrap().to_string()
    };
    assert_eq!(
        told(Connectors::default()),
        "cannot open sink `out`: this program has no connector `counted` for sinks"
    );
    let sinks = SinkConnectors::default().with("counted", Counter::default());
    let connectors = Connectors {
        sinks,
        ..Connectors::default()
    };
    assert_eq!(
        told(connectors),
        "cannot open source `lines`: this program has no connector `words` for sources"
    );
}

//! What the tests of sources share.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use super::OpenContext;
use crate::batch::Column;
use crate::batch::source::{Cut, Decoded, Part, Partition, Source};
use crate::topology::plan::{Format, OnError, SourcePlan};
use crate::topology::sources::StdinKeys;

/// A runtime for a test's receivers, and a context that names it.
pub(super) fn context(once: bool) -> (Runtime, OpenContext) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let context = OpenContext {
        runtime: runtime.handle().clone(),
        once,
        incarnation: 1,
        behind: None,
        listeners: Arc::default(),
    };
    (runtime, context)
}

/// How long a test waits for what must happen before it fails.
const PATIENCE: Duration = Duration::from_secs(60);

/// A plan with small limits; of which transport, nobody asks.
pub(super) fn plan(format: Format) -> SourcePlan {
    SourcePlan {
        name: "lines".into(),
        transport: Arc::new(StdinKeys),
        format,
        delimiter: None,
        max_record: 1 << 20,
        rate: None,
        buffer: 1 << 26,
        max_bytes_per_batch: 1 << 26,
        partitions: 4,
        on_error: OnError::Skip,
    }
}

/// What parts hold.
pub(super) fn data(parts: &[Part]) -> Vec<Arc<dyn Partition>> {
    parts.iter().map(|part| Arc::clone(&part.data)).collect()
}

/// All that a partition decodes to.
pub(super) fn decoded(partition: &dyn Partition) -> Vec<Decoded> {
    partition.chunks().collect::<Result<_, _>>().unwrap()
}

/// The records of a partition, as bytes, and how many were rejected.
pub(super) fn records(partition: &dyn Partition) -> (Vec<Vec<u8>>, u64) {
    let mut found = Vec::new();
    let mut rejected = 0;
    for decoded in decoded(partition) {
        rejected += decoded.rejected;
        match decoded.chunk.value() {
            Column::Text(text) => found.extend(text.column().iter().map(<[u8]>::to_vec)),
            Column::Bytes(values) | Column::Msgpack(values) => {
                found.extend(values.iter().map(<[u8]>::to_vec));
            }
            other => panic!("no source gives {}", other.column_type()),
        }
    }
    (found, rejected)
}

/// The records of all partitions as text, and how many were rejected.
pub(super) fn texts(partitions: &[Arc<dyn Partition>]) -> (Vec<String>, u64) {
    let mut texts = Vec::new();
    let mut rejected = 0;
    for partition in partitions {
        let (found, wrong) = records(&**partition);
        rejected += wrong;
        texts.extend(
            found
                .into_iter()
                .map(|text| String::from_utf8(text).unwrap()),
        );
    }
    (texts, rejected)
}

/// What `attempt` gives once it gives something.
pub(super) fn eventually<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = attempt() {
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "it never came");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Cuts until `enough`; gives all parts so far.
pub(super) fn parts_until(
    source: &mut dyn Source,
    enough: impl Fn(&[Part], &Cut) -> bool,
) -> Vec<Part> {
    let mut parts = Vec::new();
    eventually(|| {
        let mut cut = source.cut().unwrap();
        parts.append(&mut cut.parts);
        enough(&parts, &cut).then_some(())
    });
    parts
}

/// Cuts to the end; gives all parts.
pub(super) fn all_parts(source: &mut dyn Source) -> Vec<Part> {
    parts_until(source, |_, cut| cut.ended)
}

/// Cuts until the records so far satisfy `enough`; gives them with the number rejected.
pub(super) fn cut_until(
    source: &mut dyn Source,
    mut enough: impl FnMut(&[String], &Cut) -> bool,
) -> (Vec<String>, u64) {
    let mut all = Vec::new();
    let mut rejected = 0;
    eventually(|| {
        let cut = source.cut().unwrap();
        let (found, wrong) = texts(&data(&cut.parts));
        all.extend(found);
        rejected += wrong;
        enough(&all, &cut).then_some(())
    });
    (all, rejected)
}

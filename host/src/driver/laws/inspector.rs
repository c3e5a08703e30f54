//! Tries the laws of the functions that a job folds with, beside its batches.
//!
//! `dshost run` does so on a thread of its own, for the first batches of each version, and says so
//! once if one does not hold; a rehearsal does so at its end, and fails.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use tracing::{debug, warn};

use crate::batch::{Digest, FunctionName};
use crate::driver::laws::check::{CounterExample, check};
use crate::driver::laws::samples::FoldSample;
use crate::topology::plan::Plan;

/// Batches whose samples may wait; those beyond are not looked at.
const MAX_WAITING: usize = 16;

/// Functions of which is remembered what was said.
const MAX_TOLD: usize = 1000;

/// How long the end of a job waits for what is being looked at.
const PATIENCE: Duration = Duration::from_secs(5);

/// A function that does not keep a law.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The stream that reduces with it.
    pub stream: String,
    /// The function.
    pub function: FunctionName,
    /// Its plugin's version.
    pub digest: Digest,
    /// What shows it.
    pub example: CounterExample,
}

/// Which laws the functions of a sample do not keep.
#[must_use]
pub fn inspect(plan: &Plan, sample: &FoldSample) -> Vec<Broken> {
    let stream = &plan.streams[sample.stream];
    let Some(function) = &stream.function else {
        return Vec::new();
    };
    let (reduce, inverse) = (&*sample.pair.reduce, sample.pair.inverse.as_deref());
    let broken = check(reduce, inverse, &sample.values, &sample.context);
    let broken = broken.into_iter().map(|example| Broken {
        stream: stream.name.clone(),
        function: function.clone(),
        digest: sample.pair.reduce.digest(),
        example,
    });
    broken.collect()
}

/// Looks at samples on a thread of its own.
pub struct Inspector {
    plan: Arc<Plan>,
    thread: Option<Thread>,
}

struct Thread {
    samples: SyncSender<Vec<FoldSample>>,
    /// Ends with the thread.
    done: Receiver<()>,
}

impl Inspector {
    /// One that has nothing to do yet.
    #[must_use]
    pub const fn new(plan: Arc<Plan>) -> Self {
        Self { plan, thread: None }
    }

    /// Looks at samples when there is time.
    pub fn look_at(&mut self, samples: Vec<FoldSample>) {
        if samples.is_empty() {
            return;
        }
        if self.thread.is_none() {
            self.thread = Thread::start(&self.plan);
        }
        if let Some(thread) = &self.thread {
            // Where too many wait, the next batch of the version shows as much.
            let _ = thread.samples.try_send(samples);
        }
    }
}

impl Thread {
    /// None if the system gives no thread: a job runs as well without.
    fn start(plan: &Arc<Plan>) -> Option<Self> {
        let plan = Arc::clone(plan);
        let (samples, waiting) = sync_channel::<Vec<FoldSample>>(MAX_WAITING);
        let (ends, done) = channel();
        let run = move || {
            let _ends = ends;
            let mut told = BTreeSet::new();
            for sample in waiting.iter().flatten() {
                let begun = Instant::now();
                for broken in inspect(&plan, &sample) {
                    tell(&broken, &mut told);
                }
                let operator = &plan.streams[sample.stream].name;
                debug!(operator, elapsed = ?begun.elapsed(), "laws tried");
            }
        };
        let thread = std::thread::Builder::new().name("laws".to_owned());
        match thread.spawn(run) {
            Ok(_) => Some(Self { samples, done }),
            Err(error) => {
                warn!("the laws of functions are not looked at: {error}");
                None
            }
        }
    }
}

impl Drop for Inspector {
    fn drop(&mut self) {
        if let Some(Thread { samples, done }) = self.thread.take() {
            drop(samples);
            // It ends by hanging up; where a function takes its time, the job does not wait for it.
            let _ = done.recv_timeout(PATIENCE);
        }
    }
}

/// Says it once per function, version and law.
fn tell(broken: &Broken, told: &mut BTreeSet<String>) {
    let Broken {
        stream,
        function,
        digest,
        example,
    } = broken;
    let law = example.law.broken();
    if told.len() < MAX_TOLD && told.insert(format!("{function} {digest} {law}")) {
        warn!(
            operator = stream,
            %function,
            %digest,
            "`{function}` {law}: {example}; results depend on how batches are cut"
        );
    }
}

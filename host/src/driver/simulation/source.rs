//! Sources that account for what they give: what a process was given and what it said of it outlives
//! the process, as files and senders do.
//!
//! | kind | what it can give again |
//! |---|---|
//! | files | any position that was not acknowledged |
//! | senders | nothing; what is to be had again must have been kept |
//! | resuming senders | what they were not told is durable, and they go on where they are told to |

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::batch::position::{LaneName, PartName, Position};
use crate::batch::source::{
    Cut, Decoded, Keep, KeptBytes, Part, Partition, Source, SourceError, SourceHealth,
};
use crate::batch::{Chunk, Column};

/// How a source gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// What it gave can be read again until it is acknowledged.
    Files,
    /// What it gave nobody can send again.
    Senders,
    /// What it gave and did not say is durable is sent again.
    Resuming,
}

/// What outlives a process; clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Supply(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    name: String,
    kind: Kind,
    /// So many lines there are.
    lines: u64,
    /// Lines were given up to here.
    given: u64,
    /// Whether it was ever cut, so that no start begins with it a second time.
    is_begun: bool,
    /// What lies before is kept by nobody but the job.
    acknowledged: u64,
    /// What lies before is durable, as the job said.
    durable: u64,
    /// Lines before that were given to a process that died before it said that they are durable.
    excused: Vec<std::ops::Range<u64>>,
    random: SmallRng,
}

/// The most lines of a part.
const MAX_PART: u64 = 3;

impl Supply {
    /// One of so many lines.
    pub(super) fn new(name: &str, kind: Kind, lines: u64, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            name: name.to_owned(),
            kind,
            lines,
            given: 0,
            is_begun: false,
            acknowledged: 0,
            durable: 0,
            excused: Vec::new(),
            random: SmallRng::seed_from_u64(seed),
        })))
    }

    /// Opens it for a process, with what the job says lies behind it.
    ///
    /// # Panics
    ///
    /// If the job has forgotten the source, or what it said is durable.
    pub(super) fn open(&self, incarnation: u64, behind: Option<&[PartName]>) -> Counted {
        let mut state = self.lock();
        let lane = LaneName(match state.kind {
            Kind::Files => "file".to_owned(),
            Kind::Resuming => "sender".to_owned(),
            Kind::Senders => format!("connection {incarnation}"),
        });
        let name = &state.name;
        assert!(
            behind.is_some() || !state.is_begun,
            "source `{name}` is forgotten"
        );
        let last = behind.unwrap_or_default();
        let last = last.iter().find(|part| part.lane == lane);
        let behind = last.map_or(0, |part| part.upto.as_number().unwrap());
        let next = match state.kind {
            Kind::Senders => state.given,
            Kind::Files | Kind::Resuming => behind,
        };
        let (name, durable) = (&state.name, state.durable);
        assert!(
            state.kind == Kind::Senders || (durable <= next && next <= state.given),
            "source `{name}` goes on at {next}, and {durable} lines are durable, as was said"
        );
        state.given = next;
        Counted {
            supply: self.clone(),
            lane,
            next,
            stopped: false,
        }
    }

    /// The process that it was open for is gone.
    pub(super) fn orphan(&self) {
        let mut state = self.lock();
        if state.kind == Kind::Senders {
            let lost = state.durable.max(state.excused_upto())..state.given;
            state.excused.push(lost);
        }
    }

    /// Whether a job that died may have lost a line.
    pub(super) fn excuses(&self, line: u64) -> bool {
        let state = self.lock();
        state.excused.iter().any(|lines| lines.contains(&line))
    }

    /// Its name.
    pub(super) fn name(&self) -> String {
        self.lock().name.clone()
    }

    /// How many lines it has.
    pub(super) fn lines(&self) -> u64 {
        self.lock().lines
    }

    /// Whether all its lines were given.
    pub(super) fn is_given(&self) -> bool {
        let state = self.lock();
        state.given == state.lines
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing dies while it holds it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn excused_upto(&self) -> u64 {
        self.excused.last().map_or(0, |lines| lines.end)
    }

    fn text(&self, lines: std::ops::Range<u64>) -> Vec<String> {
        let name = &self.name;
        lines.map(|line| format!("{name}:{line}")).collect()
    }
}

/// A source that a process has open.
pub(super) struct Counted {
    supply: Supply,
    lane: LaneName,
    /// The next line that it gives.
    next: u64,
    stopped: bool,
}

impl Source for Counted {
    fn cut(&mut self) -> Result<Cut, SourceError> {
        let mut state = self.supply.lock();
        state.is_begun = true;
        let mut parts = Vec::new();
        let count = match self.stopped {
            true => 0,
            false => state.random.random_range(0..3),
        };
        for _ in 0..count {
            let left = state.lines - self.next;
            let taken = state.random.random_range(0..=MAX_PART).min(left);
            if taken == 0 {
                break;
            }
            let lines = self.next..self.next + taken;
            let texts = state.text(lines.clone());
            let keep: Arc<dyn Keep> = Arc::new(Kept {
                texts: texts.clone(),
                resumes: state.kind == Kind::Resuming,
            });
            parts.push(Part {
                name: PartName {
                    lane: self.lane.clone(),
                    from: Position::number(lines.start),
                    upto: Position::number(lines.end),
                    facts: Vec::new(),
                },
                data: Arc::new(Lines(texts)),
                kept: (state.kind != Kind::Files).then_some(keep),
            });
            self.next = lines.end;
        }
        state.given = state.given.max(self.next);
        Ok(Cut {
            bytes: parts.len() as u64,
            parts,
            held_back: false,
            ended: self.stopped,
        })
    }

    fn open(
        &mut self,
        part: &PartName,
        kept: Option<Bytes>,
    ) -> Result<Arc<dyn Partition>, SourceError> {
        let state = self.supply.lock();
        let (from, upto) = (part.from.as_number(), part.upto.as_number());
        let (from, upto) = (from.unwrap(), upto.unwrap());
        let texts = state.text(from..upto);
        match (state.kind, kept) {
            (Kind::Files, None) if from < state.acknowledged => Err(SourceError::changed(format!(
                "line {from} is asked for, and {} are acknowledged",
                state.acknowledged
            ))),
            (Kind::Files, None) => Ok(Arc::new(Lines(texts))),
            (Kind::Files, Some(_)) => Err(SourceError::lasting("files are kept for nothing")),
            (_, None) => Err(SourceError::lasting(format!(
                "lines {from} to {upto} are not kept"
            ))),
            (_, Some(kept)) if kept == texts.join("\n") => Ok(Arc::new(Lines(texts))),
            (_, Some(_)) => Err(SourceError::lasting("what is kept is something else")),
        }
    }

    fn durable(&mut self, upto: &[(LaneName, Position)]) {
        if std::thread::panicking() {
            return;
        }
        let mut state = self.supply.lock();
        for (_, position) in upto.iter().filter(|(lane, _)| *lane == self.lane) {
            state.durable = state.durable.max(position.as_number().unwrap());
        }
    }

    fn acknowledge(&mut self, upto: &[(LaneName, Position)]) {
        if std::thread::panicking() {
            return;
        }
        let mut state = self.supply.lock();
        for (_, position) in upto.iter().filter(|(lane, _)| *lane == self.lane) {
            state.acknowledged = state.acknowledged.max(position.as_number().unwrap());
        }
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn health(&self) -> SourceHealth {
        SourceHealth::default()
    }
}

/// Lines of a part.
struct Lines(Vec<String>);

impl Partition for Lines {
    fn chunks(&self) -> Box<dyn Iterator<Item = Result<Decoded, SourceError>>> {
        let texts = self.0.iter().map(String::as_str);
        let decoded = Decoded {
            chunk: Chunk::single(Column::text(texts)),
            rejected: 0,
            samples: Vec::new(),
            undecoded: Vec::new(),
        };
        Box::new(std::iter::once(Ok(decoded)))
    }
}

/// What must be kept of a part.
struct Kept {
    texts: Vec<String>,
    resumes: bool,
}

impl Keep for Kept {
    fn keep(&self) -> KeptBytes {
        KeptBytes(vec![self.texts.join("\n").into()])
    }

    fn resumes(&self) -> bool {
        self.resumes
    }
}

//! What an operator is: a plain struct that takes chunks and sends chunks.
//!
//! Capabilities, frontiers, stashing and channels are the business of [`super::drive`]; so an
//! operator is tested by calling it.

use std::sync::Arc;

use crate::batch::RecordType;
use crate::dataflow::kept::{FreezeNumber, HeldPart, KeptStream};
use crate::dataflow::round::bounds::Bounds;
use crate::dataflow::round::control::Verdict;
use crate::dataflow::round::failed_call::FailedCall;
use crate::dataflow::round::failure::{Failure, FailureKind, Node};
use crate::dataflow::round::letters::DeadLetters;
use crate::dataflow::round::observer::RoundWatch;
use crate::dataflow::round::partitions::Partitions;
use crate::dataflow::round::placement::Placement;
use crate::dataflow::round::plan::RoundPlan;
use crate::dataflow::round::report::Tally;
use crate::topology::plan::Upstream;
use crate::topology::types::Types;

use super::parcel::Parcel;
use crate::dataflow::round::placement::WorkerNumber;

/// One half or the whole of a stream's operator, of a source or of a sink, on one worker.
///
/// A round's life: `begin`, any number of `pull` and `chunk`, `finish` once nothing more can come,
/// and later `verdict`. After an error neither `chunk` nor `finish` is called until the next
/// `begin`, which therefore starts from nothing.
pub(crate) trait Operator {
    /// A round starts. What an attempt left behind is forgotten. An operator with a window takes
    /// part whenever what it reads fires, and must ask whether its own stream does.
    fn begin(&mut self, attempt: &Arc<Attempt>);

    /// Makes a chunk's worth of output out of nothing (sources only), and says whether there is
    /// more.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn pull(&mut self, out: &mut Output) -> Result<More, Failure> {
        let _ = out;
        Ok(More::Nothing)
    }

    /// Takes a parcel from input `port`.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn chunk(&mut self, port: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure>;

    /// All input of the round was taken.
    ///
    /// # Errors
    ///
    /// The attempt fails.
    fn finish(&mut self, out: &mut Output) -> Result<(), Failure>;

    /// The round is decided: memory held for it can go, and changes of what is kept from batch to
    /// batch take effect or vanish. Called for every round, also for one in which the operator had
    /// no work or failed.
    fn verdict(&mut self, verdict: Verdict);

    /// What is held as of the last commit, by partition of this worker; asked for when no round is
    /// open. It shares what it can, and stays as it is while the operator goes on. What changes from
    /// then on the freeze after this `number` will be the first to have.
    fn freeze(&mut self, number: FreezeNumber) -> Vec<HeldPart> {
        let _ = number;
        Vec::new()
    }

    /// Goes on with what was held, of which an operator takes the partitions that are its worker's.
    /// Called at most once, before the first `begin`; it was found to fit.
    fn restore(&mut self, kept: &KeptStream, worker: WorkerNumber) {
        let _ = (kept, worker);
    }
}

/// Whether a source has more to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum More {
    /// Not in this round.
    Nothing,
    /// Another `pull` gives more.
    Something,
}

/// One attempt of a batch as a worker sees it.
#[derive(Debug)]
pub(crate) struct Attempt {
    /// The driver's plan.
    pub plan: Arc<RoundPlan>,
    /// Which worker decodes which part.
    pub placement: Arc<Placement>,
    /// By `Plan::streams`: whether it fires.
    pub fires: Vec<bool>,
    /// Who is told of calls.
    pub watch: RoundWatch,
    /// Record types under the plugins of this round.
    pub types: Arc<Types>,
    /// How many partitions every stream has.
    pub partitions: Partitions,
}

impl Attempt {
    /// Whether a source or stream gives anything at this batch.
    #[must_use]
    pub(crate) fn fires(&self, upstream: Upstream) -> bool {
        match upstream {
            Upstream::Source(_) => true,
            Upstream::Stream(stream) => self.fires[stream],
        }
    }

    /// The type of the records of a source or stream.
    #[must_use]
    pub(crate) fn record_type(&self, upstream: Upstream) -> RecordType {
        match upstream {
            Upstream::Source(source) => self.types.sources[source],
            Upstream::Stream(stream) => self.types.streams[stream],
        }
    }
}

/// Where an operator's results go, and what it tells of its work.
pub(crate) struct Output {
    node: Node,
    bounds: Bounds,
    parcels: Vec<Parcel>,
    tally: Tally,
    trapped: Option<FailedCall>,
    letters: Vec<DeadLetters>,
}

impl Output {
    /// The output of an operator that works for `node` and may hold so much.
    #[must_use]
    pub(crate) fn new(node: Node, bounds: Bounds) -> Self {
        Self {
            node,
            bounds,
            parcels: Vec::new(),
            tally: Tally::default(),
            trapped: None,
            letters: Vec::new(),
        }
    }

    /// How much the operator may hold.
    #[must_use]
    pub(crate) const fn bounds(&self) -> &Bounds {
        &self.bounds
    }

    /// Hands a parcel on.
    pub(crate) fn send(&mut self, parcel: Parcel) {
        self.parcels.push(parcel);
    }

    /// What was done so far in this round.
    pub(crate) fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// So many keys had no record for too long.
    pub(in crate::dataflow) fn timed_out(&mut self, keys: usize) {
        self.tally.node(self.node).timed_out += keys as u64;
    }

    /// Takes what was sent.
    pub(crate) fn take_parcels(&mut self) -> Vec<Parcel> {
        std::mem::take(&mut self.parcels)
    }

    /// Takes what was tallied.
    pub(crate) fn take_tally(&mut self) -> Tally {
        std::mem::take(&mut self.tally)
    }

    /// Writes records aside that were rejected.
    pub(in crate::dataflow) fn bury(&mut self, letters: DeadLetters) {
        self.letters.push(letters);
    }

    /// What was buried and not taken yet.
    pub(in crate::dataflow) const fn letters(&mut self) -> &mut Vec<DeadLetters> {
        &mut self.letters
    }

    /// Remembers the call whose trap is the operator's failure.
    pub(in crate::dataflow) fn trap(&mut self, call: FailedCall) {
        self.trapped = Some(call);
    }

    /// The call whose trap is the operator's failure.
    pub(in crate::dataflow) const fn trapped(&mut self) -> &mut Option<FailedCall> {
        &mut self.trapped
    }

    /// A failure of the operator.
    #[must_use]
    pub(crate) const fn failed(&self, partition: u32, kind: FailureKind) -> Failure {
        Failure {
            node: self.node,
            partition,
            kind,
        }
    }
}

//! The life of one operator on one worker, round by round, without timely.
//!
//! Parcels of a round that is not open yet are stashed. After a failure of this operator, or when
//! the round is lost elsewhere, or when its stream does not fire, input is drained and nothing is
//! computed; the round still ends in the usual way. The token `C` is what keeps the round open for
//! receivers: it is dropped once the operator has finished and its last parcels are sent.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::batch::Round;
use crate::batch::sink::Staged;
use crate::dataflow::kept::FreezeNumber;
use crate::dataflow::round::control::{Begin, Verdict};
use crate::dataflow::round::failure::{Failure, FailureKind, Node};
use crate::dataflow::round::plan::RoundPlan;

use super::local::Local;
use super::operator::{Attempt, More, Operator, Output};
use super::parcel::Parcel;

/// An operator and where it is in its life.
pub(in crate::dataflow) struct Machine<C> {
    operator: Box<dyn Operator>,
    node: Node,
    local: Rc<Local>,
    open: Option<Open<C>>,
    /// Parcels of rounds to come, in order of arrival.
    stash: Vec<(Round, usize, Parcel)>,
}

/// The round that is open.
struct Open<C> {
    attempt: Arc<Attempt>,
    token: C,
    output: Output,
    state: Progress,
}

/// When a source wants to be pulled again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataflow) enum Turn {
    /// Not in this round.
    Never,
    /// At once.
    Next,
    /// When others have caught up: too much is in flight.
    Later,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It may make output out of nothing, and takes input.
    Pulling,
    /// It takes input.
    Taking,
    /// It drops input.
    Draining,
}

impl<C> Machine<C> {
    pub(in crate::dataflow) fn new(
        mut operator: Box<dyn Operator>,
        node: Node,
        local: Rc<Local>,
    ) -> Self {
        if let Node::Stream(index) = node
            && let Some(kept) = local.kept(index)
        {
            operator.restore(&kept, local.worker);
        }
        Self {
            operator,
            node,
            local,
            open: None,
            stash: Vec::new(),
        }
    }

    /// The round of `begin` opens; `token` keeps it open.
    pub(in crate::dataflow) fn begin(&mut self, begin: &Begin, token: C) {
        debug_assert!(self.open.is_none(), "one attempt is open at a time");
        let attempt = self.local.attempt(begin);
        let state = if self.works(&attempt) {
            self.operator.begin(&attempt);
            Progress::Pulling
        } else {
            Progress::Draining
        };
        let round = attempt.plan.round;
        self.open = Some(Open {
            attempt,
            token,
            output: Output::new(self.node, self.local.bounds),
            state,
        });
        for (_, port, parcel) in self
            .stash
            .extract_if(.., |(of, ..)| *of == round)
            .collect::<Vec<_>>()
        {
            self.take(port, parcel);
        }
    }

    /// The round that was open last is decided.
    pub(in crate::dataflow) fn verdict(&mut self, verdict: Verdict) {
        self.operator.verdict(verdict);
    }

    /// Between two rounds: what the operator holds is handed to the engine, under a number.
    pub(in crate::dataflow) fn freeze(&mut self, number: FreezeNumber) {
        debug_assert!(self.open.is_none(), "no attempt is open");
        let parts = match self.node {
            Node::Stream(_) => self.operator.freeze(number),
            Node::Source(_) | Node::Sink(_) => Vec::new(),
        };
        self.local.froze(number, self.node, parts);
    }

    /// A parcel of `round` has arrived at input `port`.
    pub(in crate::dataflow) fn receive(&mut self, round: Round, port: usize, parcel: Parcel) {
        match &self.open {
            Some(open) if open.attempt.plan.round == round => self.take(port, parcel),
            _ => self.stash.push((round, port, parcel)),
        }
    }

    /// Gives a source its turn, and says when it wants another.
    pub(in crate::dataflow) fn pull(&mut self) -> Turn {
        if self.state() != Some(Progress::Pulling) {
            return Turn::Never;
        }
        if self.local.congested() {
            return Turn::Later;
        }
        match self.run(Operator::pull) {
            Some(More::Something) => Turn::Next,
            Some(More::Nothing) => {
                self.set(Progress::Taking);
                Turn::Never
            }
            None => Turn::Never,
        }
    }

    /// Ends a turn: finishes the round if all its input has `passed`, and sends what there is to
    /// send.
    pub(in crate::dataflow) fn settle(
        &mut self,
        passed: impl FnOnce(Round) -> bool,
        send: impl FnOnce(&C, Vec<Parcel>),
    ) {
        let Some(open) = &self.open else { return };
        let finished = open.state != Progress::Pulling && passed(open.attempt.plan.round);
        if finished {
            self.run(Operator::finish);
        }
        let Some(open) = &mut self.open else { return };
        let parcels = open.output.take_parcels();
        if !parcels.is_empty() {
            send(&open.token, parcels);
        }
        if finished {
            self.local.finished(open.output.take_tally());
            self.open = None;
        }
    }

    fn take(&mut self, port: usize, parcel: Parcel) {
        self.run(|operator, out| operator.chunk(port, parcel, out));
    }

    /// Calls the operator and measures it, unless there is nothing to compute any more.
    fn run<R>(
        &mut self,
        call: impl FnOnce(&mut (dyn Operator + 'static), &mut Output) -> Result<R, Failure>,
    ) -> Option<R> {
        if self.state()? == Progress::Draining {
            return None;
        }
        let open = self.open.as_mut()?;
        let start = Instant::now();
        let guest = open.output.tally().guest_time();
        let result = call(&mut *self.operator, &mut open.output);
        open.output.tally().host(self.node, start.elapsed(), guest);
        let result = result.and_then(|result| stage_letters(&self.local, open).map(|()| result));
        match result {
            Ok(result) => Some(result),
            Err(failure) => {
                if let Some(call) = open.output.trapped().take() {
                    open.attempt.watch.trapped(call);
                }
                self.local.fail(failure);
                self.set(Progress::Draining);
                None
            }
        }
    }

    /// Where the open round is; draining from the moment it is lost anywhere.
    fn state(&mut self) -> Option<Progress> {
        let open = self.open.as_mut()?;
        if open.state != Progress::Draining && self.local.drains(open.attempt.plan.round) {
            self.set(Progress::Draining);
        }
        self.open.as_ref().map(|open| open.state)
    }

    fn set(&mut self, state: Progress) {
        if let Some(open) = &mut self.open {
            open.state = state;
            if state == Progress::Draining {
                open.output.take_parcels();
            }
        }
    }

    /// Whether the operator has work in a round: a window takes what it reads also when it gives
    /// nothing itself.
    fn works(&self, attempt: &Attempt) -> bool {
        let Node::Stream(index) = self.node else {
            return true;
        };
        let stream = &self.local.plan.streams[index];
        let reads = || stream.from.iter().any(|from| attempt.fires(*from));
        attempt.fires[index] || (stream.op.window().is_some() && reads())
    }
}

/// Stages what an operator has buried in the plan's sink of dead letters.
fn stage_letters<C>(local: &Local, open: &mut Open<C>) -> Result<(), Failure> {
    if open.output.letters().is_empty() {
        // Nearly always, and this is asked after every call of an operator.
        return Ok(());
    }
    let buried = std::mem::take(open.output.letters());
    let Some(sink) = local.plan.dead_letters() else {
        debug_assert!(false, "a plan that buries has a sink for it");
        return Ok(());
    };
    let RoundPlan { batch, round, .. } = *open.attempt.plan;
    for letters in buried {
        let partition = letters
            .site
            .letter_partition(&local.plan, &open.attempt.partitions);
        let at = Staged {
            batch,
            round,
            partition,
            sequence: letters.site.sequence,
        };
        let letters = letters.letters(&local.plan, batch);
        open.output.tally().node(Node::Sink(sink)).records_in += letters.len() as u64;
        let staged = local.environment.stage(sink, at, &letters);
        staged.map_err(|error| Failure {
            node: Node::Sink(sink),
            partition,
            kind: FailureKind::Sink(error),
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::flow::Flow;
    use crate::dataflow::machine::local::ProcessShared;
    use crate::dataflow::round::bounds::Bound;
    use crate::dataflow::round::observer::Unobserved;
    use crate::dataflow::round::placement::WorkerNumber;
    use crate::dataflow::testing::{INT, Job, chunk, parcel};
    use std::cell::{Cell, RefCell};

    /// Sends every parcel on; fails at a record `-1`.
    struct Forward;

    impl Operator for Forward {
        fn begin(&mut self, _: &Arc<Attempt>) {}

        fn chunk(&mut self, _: usize, parcel: Parcel, out: &mut Output) -> Result<(), Failure> {
            if parcel.chunk == chunk(INT, &["-1"]) {
                let kind = Bound::fixed(1).check(2).unwrap_err();
                return Err(out.failed(parcel.partition, kind));
            }
            out.send(parcel);
            Ok(())
        }

        fn finish(&mut self, out: &mut Output) -> Result<(), Failure> {
            out.send(parcel(9, 0, true, chunk(INT, &["9"])));
            Ok(())
        }

        fn verdict(&mut self, _: Verdict) {}
    }

    /// Tells when it is dropped.
    struct Token(Rc<Cell<bool>>);

    impl Drop for Token {
        fn drop(&mut self) {
            self.0.set(true);
        }
    }

    struct Bench {
        machine: Machine<Token>,
        flow: Flow,
        local: Rc<Local>,
        sent: RefCell<Vec<String>>,
        closed: Rc<Cell<bool>>,
    }

    impl Bench {
        fn new() -> Self {
            let mut job = Job::new();
            job.source(INT);
            let plan = Arc::new(job.plan.clone());
            let flow = Flow::default();
            let process =
                ProcessShared::new(plan, job.world(), Arc::new(Unobserved), flow.clone(), 1);
            let worker = WorkerNumber { index: 0, of: 1 };
            let local = Rc::new(Local::new(Arc::new(process), worker, None));
            local.enlist();
            Self {
                machine: Machine::new(Box::new(Forward), Node::Source(0), Rc::clone(&local)),
                flow,
                local,
                sent: RefCell::default(),
                closed: Rc::default(),
            }
        }

        fn begin(&mut self, round: Round) {
            let begin = Begin {
                plan: Arc::new(Job::new().round(round)),
                placement: Arc::default(),
                partitions: Job::new().attempt(&[]).partitions.clone(),
            };
            self.closed.set(false);
            self.machine.begin(&begin, Token(Rc::clone(&self.closed)));
        }

        fn receive(&mut self, round: Round, value: &str) {
            self.machine
                .receive(round, 0, parcel(0, 0, false, chunk(INT, &[value])));
        }

        /// Ends a turn and gives what was sent.
        fn settle(&mut self, passed: bool) -> Vec<String> {
            assert_eq!(self.machine.pull(), Turn::Never);
            let sent = &self.sent;
            self.machine.settle(
                |_| passed,
                |_, parcels| {
                    let records = parcels
                        .iter()
                        .flat_map(|parcel| crate::dataflow::testing::records(&parcel.chunk));
                    sent.borrow_mut().extend(records);
                },
            );
            self.sent.take()
        }
    }

    #[test]
    fn what_comes_before_its_round_waits_for_it() {
        let mut bench = Bench::new();
        bench.receive(1, "1");
        bench.receive(2, "2");
        assert!(bench.settle(true).is_empty());
        bench.begin(1);
        assert_eq!(bench.settle(false), ["1"]);
        bench.receive(1, "3");
        assert_eq!(bench.settle(true), ["3", "9"]);
        bench.begin(2);
        assert_eq!(bench.settle(true), ["2", "9"]);
    }

    #[test]
    fn a_round_stays_open_until_all_its_input_has_passed() {
        let mut bench = Bench::new();
        bench.begin(1);
        assert!(bench.settle(false).is_empty());
        assert!(!bench.closed.get());
        assert!(bench.local.take_report(1).is_none());
        assert_eq!(bench.settle(true), ["9"]);
        assert!(bench.closed.get());
        assert!(bench.local.take_report(1).is_some());
    }

    #[test]
    fn after_a_failure_input_is_drained_and_the_round_still_ends() {
        let mut bench = Bench::new();
        bench.begin(1);
        for value in ["1", "-1", "2"] {
            bench.receive(1, value);
        }
        assert!(
            bench.settle(false).is_empty(),
            "what was not sent yet is dropped"
        );
        assert!(bench.settle(true).is_empty(), "`finish` is not called");
        let told = bench.local.take_report(1).unwrap();
        assert_eq!(told.failures.len(), 1);
        bench.begin(2);
        bench.receive(2, "4");
        assert_eq!(bench.settle(true), ["4", "9"]);
    }

    #[test]
    fn a_source_waits_while_more_is_in_flight_than_may_be() {
        let mut bench = Bench::new();
        bench.begin(1);
        let limit = bench.local.plan.settings.limits.in_flight;
        let held = bench.flow.hold(limit + 1);
        assert_eq!(bench.machine.pull(), Turn::Later);
        assert_eq!(bench.machine.pull(), Turn::Later);
        drop(held);
        assert_eq!(bench.machine.pull(), Turn::Never);
    }
}

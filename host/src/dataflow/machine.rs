//! The life of one operator on one worker, round by round, without timely.
//!
//! Parcels of a round that is not open yet are stashed. After a failure of this operator, or when the round
//! is lost elsewhere, or when its stream does not fire, input is drained and nothing is computed; the round
//! still ends in the usual way. The token `C` is what keeps the round open for receivers: it is dropped once
//! the operator has finished and its last parcels are sent.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use crate::batch::Round;

use super::control::{Begin, Verdict};
use super::failure::{Failure, Node};
use super::local::Local;
use super::operator::{Attempt, More, Operator, Output};
use super::parcel::Parcel;

/// An operator and where it is in its life.
pub(super) struct Machine<C> {
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
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It may make output out of nothing, and takes input.
    Pulling,
    /// It takes input.
    Taking,
    /// It drops input.
    Draining,
}

impl<C> Machine<C> {
    pub(super) fn new(operator: Box<dyn Operator>, node: Node, local: Rc<Local>) -> Self {
        Self {
            operator,
            node,
            local,
            open: None,
            stash: Vec::new(),
        }
    }

    /// The round of `begin` opens; `token` keeps it open.
    pub(super) fn begin(&mut self, begin: &Begin, token: C) {
        debug_assert!(self.open.is_none(), "one attempt is open at a time");
        let attempt = self.local.attempt(begin);
        let state = if self.fires(&attempt) {
            self.operator.begin(&attempt);
            State::Pulling
        } else {
            State::Draining
        };
        let round = attempt.plan.round;
        self.open = Some(Open {
            attempt,
            token,
            output: Output::new(self.node),
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
    pub(super) fn verdict(&mut self, verdict: Verdict) {
        self.operator.verdict(verdict);
    }

    /// A parcel of `round` has arrived at input `port`.
    pub(super) fn receive(&mut self, round: Round, port: usize, parcel: Parcel) {
        match &self.open {
            Some(open) if open.attempt.plan.round == round => self.take(port, parcel),
            _ => self.stash.push((round, port, parcel)),
        }
    }

    /// Gives a source its turn, and says whether it wants another.
    pub(super) fn pull(&mut self) -> More {
        if self.state() != Some(State::Pulling) {
            return More::Nothing;
        }
        if self.local.congested() {
            return More::Something;
        }
        match self.run(Operator::pull) {
            Some(More::Something) => More::Something,
            Some(More::Nothing) => {
                self.set(State::Taking);
                More::Nothing
            }
            None => More::Nothing,
        }
    }

    /// Ends a turn: finishes the round if all its input has `passed`, and sends what there is to send.
    pub(super) fn settle(
        &mut self,
        passed: impl FnOnce(Round) -> bool,
        send: impl FnOnce(&C, Vec<Parcel>),
    ) {
        let Some(open) = &self.open else { return };
        let finished = open.state != State::Pulling && passed(open.attempt.plan.round);
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
        if self.state()? == State::Draining {
            return None;
        }
        let open = self.open.as_mut()?;
        let start = Instant::now();
        let guest = open.output.tally().guest_time();
        let result = call(&mut *self.operator, &mut open.output);
        open.output.tally().host(self.node, start.elapsed(), guest);
        match result {
            Ok(result) => Some(result),
            Err(failure) => {
                self.local.fail(failure);
                self.set(State::Draining);
                None
            }
        }
    }

    /// Where the open round is; draining from the moment it is lost anywhere.
    fn state(&mut self) -> Option<State> {
        let open = self.open.as_mut()?;
        if open.state != State::Draining && self.local.drains(open.attempt.plan.round) {
            self.set(State::Draining);
        }
        self.open.as_ref().map(|open| open.state)
    }

    fn set(&mut self, state: State) {
        if let Some(open) = &mut self.open {
            open.state = state;
            if state == State::Draining {
                open.output.take_parcels();
            }
        }
    }

    fn fires(&self, attempt: &Attempt) -> bool {
        match self.node {
            Node::Stream(stream) => attempt.plan.fires[stream],
            Node::Source(_) | Node::Sink(_) => true,
        }
    }
}

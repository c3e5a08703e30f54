//! One worker thread: it builds the dataflow of the plan, then steps it until it ends.
//!
//! All workers build exactly the same operators in the same order. Only worker 0 holds an input,
//! the control stream; it takes the engine's commands between two steps. An idle worker is parked,
//! and woken by its peers or, worker 0, by the engine.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError};
use std::sync::{Arc, Mutex};

use timely::communication::Push;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::channels::Message;
use timely::dataflow::channels::pact::{DistributorPact, Exchange, Pipeline};
use timely::dataflow::channels::pushers::exchange::Distributor;
use timely::dataflow::operators::{Capability, Input, Operator as _};
use timely::dataflow::{InputHandle, Scope, Stream};
use timely::worker::Worker;

use crate::batch::Round;
use crate::dataflow::graph;
use crate::dataflow::kept::{FreezeNumber, Restored};
use crate::dataflow::machine::drive::{ControlStream, Site};
use crate::dataflow::machine::local::{Local, ProcessShared};
use crate::dataflow::round::control::{Begin, Control, Verdict};
use crate::dataflow::round::placement::WorkerNumber;
use crate::dataflow::round::report::{Decided, RoundReport, WorkerReport};

/// What the engine tells worker 0.
#[derive(Debug)]
pub(super) enum EngineCommand {
    Begin(Begin),
    Verdict(Verdict),
    Freeze(FreezeNumber),
    Stop,
}

/// What every worker is given.
pub(super) struct Setup {
    pub(super) process: Arc<ProcessShared>,
    /// What the operators go on with, once for each worker, which takes it.
    pub(super) restored: Mutex<Vec<Option<Arc<Restored>>>>,
    /// Taken by worker 0.
    pub(super) engine: Mutex<Option<EngineLink>>,
}

/// Worker 0's connection to the engine.
pub(super) struct EngineLink {
    pub(super) commands: Receiver<EngineCommand>,
    pub(super) decided: Sender<Decided>,
}

type ControlInput = InputHandle<Round, CapacityContainerBuilder<Vec<(u64, Control)>>>;

/// Builds the dataflow and runs it to its end.
pub(super) fn run(worker: &mut Worker, setup: &Setup) {
    if let Some(mut commander) = build(worker, setup) {
        while let ControlFlow::Continue(taken) = commander.pass_on() {
            if taken == Taken::Nothing {
                worker.step_or_park(None);
            }
        }
    }
    while worker.step_or_park(None) {}
}

/// Builds the dataflow; what passes commands on, on worker 0.
pub(super) fn build(worker: &mut Worker, setup: &Setup) -> Option<Commander> {
    let link = match worker.index() {
        0 => setup
            .engine
            .lock()
            .expect("no worker panics while it holds it")
            .take(),
        _ => None,
    };
    let restored = setup
        .restored
        .lock()
        .expect("no worker panics while it holds it")
        .pop()
        .flatten();
    let (commands, decided) = match link {
        Some(link) => (Some(link.commands), Some(link.decided)),
        None => (None, None),
    };
    let local = Rc::new(Local::new(
        Arc::clone(&setup.process),
        WorkerNumber {
            index: worker.index(),
            of: worker.peers(),
        },
        restored,
    ));
    let input = worker.dataflow(|scope: Scope<'_, Round>| {
        let (input, commands) = scope.new_input::<Vec<(u64, Control)>>();
        let site = Site {
            scope,
            control: broadcast(commands),
            local: Rc::clone(&local),
        };
        graph::build(&site);
        local.built();
        report(&site, decided);
        input
    });
    // The others hold no input: dropping theirs leaves the control stream to worker 0.
    Some(Commander {
        peers: worker.peers() as u64,
        input,
        commands: commands?,
    })
}

/// Passes the engine's commands on to all workers.
pub(super) struct Commander {
    peers: u64,
    input: ControlInput,
    commands: Receiver<EngineCommand>,
}

/// What came of looking for a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    Command,
    Nothing,
}

impl Commander {
    /// Passes a command on, if there is one; breaks off where the engine stops or is gone.
    pub(super) fn pass_on(&mut self) -> ControlFlow<(), Taken> {
        match self.commands.try_recv() {
            Ok(EngineCommand::Begin(begin)) => {
                let round = begin.plan.round;
                self.input.advance_to(round);
                self.send(&Control::Begin(begin));
                self.input.advance_to(round + 1);
            }
            Ok(EngineCommand::Verdict(verdict)) => {
                self.send(&Control::Verdict(verdict));
                self.input.flush();
            }
            Ok(EngineCommand::Freeze(number)) => {
                self.send(&Control::Freeze(number));
                self.input.flush();
            }
            Ok(EngineCommand::Stop) | Err(TryRecvError::Disconnected) => {
                return ControlFlow::Break(());
            }
            Err(TryRecvError::Empty) => return ControlFlow::Continue(Taken::Nothing),
        }
        ControlFlow::Continue(Taken::Command)
    }

    fn send(&mut self, message: &Control) {
        for peer in 0..self.peers {
            self.input.send((peer, message.clone()));
        }
    }
}

/// Sends each message on at once: timely's own exchange keeps what is flushed until the time
/// advances, and between two rounds it does not.
struct ByPeer;

impl Distributor<Vec<(u64, Control)>> for ByPeer {
    fn partition<T: Clone, P: Push<Message<T, Vec<(u64, Control)>>>>(
        &mut self,
        container: &mut Vec<(u64, Control)>,
        time: &T,
        pushers: &mut [P],
    ) {
        for (peer, message) in container.drain(..) {
            let pusher = &mut pushers[peer as usize];
            Message::push_at(&mut vec![(peer, message)], time.clone(), pusher);
            pusher.done();
        }
    }

    fn flush<T: Clone, P: Push<Message<T, Vec<(u64, Control)>>>>(&mut self, _: &T, _: &mut [P]) {}
}

/// Brings each message to the worker it is addressed to, from where all its operators read it.
fn broadcast<'scope>(
    commands: Stream<'scope, Round, Vec<(u64, Control)>>,
) -> ControlStream<'scope> {
    commands.unary::<CapacityContainerBuilder<Vec<Control>>, _, _, _>(
        DistributorPact(|_workers| ByPeer),
        "control",
        |_, _| {
            |input, output| {
                input.for_each(|time, messages| {
                    let messages = messages.drain(..).map(|(_, message)| message);
                    output.session(&time).give_iterator(messages);
                });
            }
        },
    )
}

/// Sends each worker's report to worker 0, which decides the round when it has all of them: a
/// worker reports when the frontiers of all its operators have passed the round.
fn report<'scope>(site: &Site<'scope>, decided: Option<Sender<Decided>>) {
    let local = Rc::clone(&site.local);
    let scope = site.scope;
    let reports = site
        .control
        .clone()
        .unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(Pipeline, "report", move |_, info| {
            local.report_through(scope.activator_for(info.address));
            let mut open: Option<Capability<Round>> = None;
            move |input, output| {
                input.for_each(|time, messages| {
                    for message in messages.drain(..) {
                        if let Control::Begin(begin) = message {
                            local.attempt(&begin);
                            open = Some(time.retain(0));
                        }
                    }
                });
                if let Some(capability) = &open
                    && let Some(report) = local.take_report(*capability.time())
                {
                    output.session(capability).give(report);
                    open = None;
                }
            }
        });
    let peers = site.scope.peers();
    let mut told: Vec<WorkerReport> = Vec::new();
    reports.sink(
        Exchange::new(|_: &WorkerReport| 0),
        "decide",
        move |(input, _)| {
            input.for_each(|time, reports| {
                // One round is open at a time, so all reports that come are of it.
                told.append(reports);
                if told.len() == peers {
                    let decision = decide(*time.time(), told.drain(..));
                    if let Some(decided) = &decided {
                        // The engine may be gone already; then nobody waits.
                        let _ = decided.send(decision);
                    }
                }
            });
        },
    );
}

fn decide(round: Round, told: impl Iterator<Item = WorkerReport>) -> Decided {
    let mut report = RoundReport::default();
    let mut failures = Vec::new();
    for worker in told {
        failures.extend(worker.failures);
        report.merge(worker.report);
    }
    failures.sort_by_key(|failure| (failure.node, failure.partition));
    Decided {
        round,
        failures,
        report,
    }
}

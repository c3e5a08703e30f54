//! The one timely operator that drives every [`Operator`]: capabilities, frontiers and channels are
//! here and nowhere else.
//!
//! Port 0 is the control stream, which is not ordered with the data, so a [`Machine`] stashes what
//! comes before its `Begin`. The capability to send in a round is the one `Begin` came with; it is
//! held until the frontiers of all data inputs have passed the round and the operator has finished.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use timely::container::NoopBuilder;
use timely::dataflow::channels::pact::{DistributorPact, Pipeline};
use timely::dataflow::operators::generic::OutputBuilder;
use timely::dataflow::operators::generic::builder_rc::OperatorBuilder;
use timely::dataflow::operators::{Capability, InputCapability};
use timely::dataflow::{Scope, Stream};
use timely::progress::frontier::MutableAntichain;
use timely::progress::operate::FrontierInterest;
use timely::scheduling::Activator;

use crate::batch::Round;
use crate::dataflow::round::control::Control;
use crate::dataflow::round::failure::Node;

use super::container::{ByTarget, Parcels};
use super::life::{Machine, Turn};
use super::local::Local;
use super::operator::Operator;
use super::parcel::Parcel;

/// The control stream of a worker.
pub(in crate::dataflow) type ControlStream<'scope> = Stream<'scope, Round, Vec<Control>>;

/// The output of an operator, to be read by any number of others.
#[derive(Clone)]
pub(in crate::dataflow) struct Outlet<'scope> {
    stream: Stream<'scope, Round, Parcels>,
    /// How many operators read it; an exchanged parcel goes to one worker for each.
    readers: Rc<Cell<usize>>,
}

/// An input of an operator.
pub(in crate::dataflow) struct Inlet<'scope> {
    /// What it reads.
    pub(in crate::dataflow) from: Outlet<'scope>,
    /// How parcels come.
    pub(in crate::dataflow) route: Route,
}

/// How parcels come from one operator to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataflow) enum Route {
    /// Within the worker.
    Straight,
    /// To the worker that has the parcel's target, which is one of so many partitions.
    Exchange(u32),
}

/// Where operators are added.
#[derive(Clone)]
pub(in crate::dataflow) struct Site<'scope> {
    pub(in crate::dataflow) scope: Scope<'scope, Round>,
    pub(in crate::dataflow) control: ControlStream<'scope>,
    pub(in crate::dataflow) local: Rc<Local>,
}

impl<'scope> Site<'scope> {
    /// Adds an operator whose output others read.
    pub(in crate::dataflow) fn operator(
        &self,
        node: Node,
        operator: Box<dyn Operator>,
        inlets: Vec<Inlet<'scope>>,
    ) -> Outlet<'scope> {
        let local = Rc::clone(&self.local);
        let mut parts = self.parts(node, operator, inlets, FrontierInterest::IfCapability);
        let (output, stream) = parts.builder.new_output::<Parcels>();
        let mut output = OutputBuilder::<Round, NoopBuilder<Parcels>>::from(output);
        let readers = Rc::new(Cell::new(0));
        let outlet = Outlet {
            stream,
            readers: Rc::clone(&readers),
        };
        let send = move |capability: &Capability<Round>, parcels: Vec<Parcel>| {
            let bytes: usize = parcels.iter().map(|parcel| parcel.chunk.size()).sum();
            local.sent(bytes * readers.get());
            output
                .activate()
                .session_with_builder(capability)
                .give_container(&mut Parcels(parcels));
        };
        parts.build(|time| time.retain(0), send);
        outlet
    }

    /// Adds an operator that nobody reads.
    pub(in crate::dataflow) fn sink(
        &self,
        node: Node,
        operator: Box<dyn Operator>,
        inlet: Inlet<'scope>,
    ) {
        // It holds no capability, which would be timely's sign that a round is open.
        let parts = self.parts(node, operator, vec![inlet], FrontierInterest::Always);
        parts.build(|_| (), |(), _| {});
    }

    fn parts(
        &self,
        node: Node,
        operator: Box<dyn Operator>,
        inlets: Vec<Inlet<'scope>>,
        interest: FrontierInterest,
    ) -> Unbuilt<'scope> {
        let mut builder = OperatorBuilder::new(format!("{node:?}"), self.scope);
        let mut input = builder.new_input(self.control.clone(), Pipeline);
        builder.set_notify_for(CONTROL, FrontierInterest::Never);
        let control: ControlPort = Box::new(move |take| {
            input.for_each(|time, messages| {
                messages.drain(..).for_each(|message| take(&time, message));
            });
        });
        let mut ports = Vec::with_capacity(inlets.len());
        for inlet in inlets {
            ports.push(connect(&mut builder, inlet, &self.local));
            builder.set_notify_for(ports.len(), interest);
        }
        self.local.enlist();
        Unbuilt {
            activator: self.scope.activator_for(builder.operator_info().address),
            machine: (operator, node, Rc::clone(&self.local)),
            builder,
            control,
            ports,
        }
    }
}

/// How long a source waits before it looks again whether others have caught up; far less than they
/// need for what may be in flight.
const CATCHING_UP: Duration = Duration::from_micros(500);

/// The control stream's port; data ports follow.
const CONTROL: usize = 0;

/// Takes all messages that have arrived, each with the time it came with.
type ControlPort = Box<dyn FnMut(&mut dyn FnMut(&InputCapability<Round>, Control))>;

/// Takes all parcels that have arrived at one input.
type DataPort = Box<dyn FnMut(&mut dyn FnMut(Round, Parcel))>;

/// An operator that is about to be built.
struct Unbuilt<'scope> {
    builder: OperatorBuilder<'scope, Round>,
    control: ControlPort,
    ports: Vec<DataPort>,
    machine: (Box<dyn Operator>, Node, Rc<Local>),
    activator: Activator,
}

impl Unbuilt<'_> {
    /// Builds it; `token` makes what keeps a round open of the time its `Begin` came with.
    fn build<C: 'static>(
        self,
        token: impl Fn(&InputCapability<Round>) -> C + 'static,
        mut send: impl FnMut(&C, Vec<Parcel>) + 'static,
    ) {
        let (operator, node, local) = self.machine;
        let mut machine = Machine::new(operator, node, local);
        let (mut control, mut ports, activator) = (self.control, self.ports, self.activator);
        // The initial capabilities are dropped: every later one follows from a `Begin`.
        self.builder.build(move |_| {
            move |frontiers: &[MutableAntichain<Round>]| {
                control(&mut |time, message| match message {
                    Control::Begin(begin) => machine.begin(&begin, token(time)),
                    Control::Verdict(verdict) => machine.verdict(verdict),
                    Control::Freeze(number) => machine.freeze(number),
                });
                for (port, take) in ports.iter_mut().enumerate() {
                    take(&mut |round, parcel| machine.receive(round, port, parcel));
                }
                match machine.pull() {
                    Turn::Never => {}
                    Turn::Next => activator.activate(),
                    Turn::Later => activator.activate_after(CATCHING_UP),
                }
                let inputs = &frontiers[CONTROL + 1..];
                let passed = |round| inputs.iter().all(|frontier| !frontier.less_equal(&round));
                machine.settle(passed, &mut send);
            }
        });
    }
}

fn connect<'scope>(
    builder: &mut OperatorBuilder<'scope, Round>,
    inlet: Inlet<'scope>,
    local: &Rc<Local>,
) -> DataPort {
    inlet.from.readers.set(inlet.from.readers.get() + 1);
    let local = Rc::clone(local);
    match inlet.route {
        Route::Straight => {
            let mut input = builder.new_input(inlet.from.stream, Pipeline);
            Box::new(move |take| {
                input.for_each(|time, parcels| hand_over(&local, *time.time(), parcels, take));
            })
        }
        Route::Exchange(partitions) => {
            let pact = DistributorPact(move |_workers| ByTarget { partitions });
            let mut input = builder.new_input(inlet.from.stream, pact);
            Box::new(move |take| {
                input.for_each(|time, parcels| hand_over(&local, *time.time(), parcels, take));
            })
        }
    }
}

/// Hands parcels that have arrived to their operator; they are no longer in flight.
fn hand_over(
    local: &Local,
    round: Round,
    parcels: &mut Parcels,
    take: &mut dyn FnMut(Round, Parcel),
) {
    let bytes = parcels.0.iter().map(|parcel| parcel.chunk.size()).sum();
    local.taken(bytes);
    for parcel in parcels.0.drain(..) {
        take(round, parcel);
    }
}

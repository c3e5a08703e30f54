//! A call of any shape, and what it is made with.

use std::sync::Arc;
use std::time::Instant;

use crate::batch::function::{
    Context, Function, Groups, Kind, Outcome, Program, Request, Role, Segment, Trap,
};
use crate::batch::{Chunk, FunctionName, RecordType};
use crate::dataflow::machine::operator::{Attempt, Output};
use crate::dataflow::round::bounds::Bound;
use crate::dataflow::round::call_site::{CallSite, Half};
use crate::dataflow::round::environment::Environment;
use crate::dataflow::round::failed_call::{FailedCall, Grain};
use crate::dataflow::round::failure::{Failure, FailureKind, Limit, Node, Trapped};
use crate::dataflow::round::letters::RejectSite;
use crate::dataflow::round::plan::RoundPlan;
use crate::dataflow::round::skips::LeftOut;
use crate::topology::plan::{OnError, Op, Plan};

use super::left_out::{Asked, nothing};
use super::rejects::Rejects;
use super::seed::seed;

/// Whether a function is called where there are no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dataflow) enum Empty {
    /// There is nothing to do.
    Skip,
    /// It may make something of nothing.
    Call,
}

/// One stream of a stage.
#[derive(Clone, Debug)]
pub(super) struct StageLink {
    pub(super) stream: usize,
    pub(super) name: Arc<str>,
    on_error: OnError,
    pub(super) function: Option<FunctionName>,
    /// Whether its records may have other keys than those it was given.
    pub(super) makes_keys: bool,
    grain: Grain,
}

/// The functions of one half of a stage.
pub(in crate::dataflow) struct Caller {
    stage: usize,
    pub(super) role: Role,
    pub(super) half: Half,
    empty: Empty,
    links: Vec<StageLink>,
    environment: Arc<dyn Environment>,
    /// What the open round runs.
    open: Option<(Arc<Attempt>, Program)>,
}

/// `Plan::stages()[number]`, which is made of `streams`.
#[derive(Clone, Copy, Debug)]
pub(in crate::dataflow) struct StageStreams<'a> {
    pub(in crate::dataflow) number: usize,
    pub(in crate::dataflow) streams: &'a [usize],
}

/// Which functions of a stage are called, and by which half of its operator.
#[derive(Clone, Copy, Debug)]
pub(in crate::dataflow) struct FunctionUse {
    pub(in crate::dataflow) role: Role,
    pub(in crate::dataflow) half: Half,
}

/// The functions of a stage at work on one partition of one attempt.
#[derive(Default)]
pub(in crate::dataflow) struct Run {
    pub(super) partition: u32,
    /// Chunks or folds so far.
    pub(super) calls: u32,
    /// By segment of the program.
    instances: Vec<Option<Box<dyn Function>>>,
}

impl Run {
    pub(in crate::dataflow) fn new(partition: u32) -> Self {
        Self {
            partition,
            ..Self::default()
        }
    }

    /// At a chunk of a partition whose calls are made elsewhere.
    pub(in crate::dataflow) fn at(partition: u32, sequence: u32) -> Self {
        Self {
            partition,
            calls: sequence,
            ..Self::default()
        }
    }

    pub(in crate::dataflow) const fn partition(&self) -> u32 {
        self.partition
    }
}

/// A segment of the program, and the links it covers.
#[derive(Clone, Copy)]
pub(super) struct ProgramPart<'a> {
    /// Whose program it is.
    pub(super) caller: &'a Caller,
    index: usize,
    pub(super) segment: &'a Segment,
    pub(super) links: &'a [StageLink],
}

impl ProgramPart<'_> {
    pub(super) fn node(&self) -> Node {
        Node::Stream(self.links[0].stream)
    }

    /// A call that ended with `trap`.
    fn failed(self, site: CallSite, context: Context, request: &Request, trap: Trap) -> FailedCall {
        let link = |link: &StageLink| Some((link.stream, link.function.clone()?));
        FailedCall {
            left_out: self.caller.attempt().plan.skip.get(&site).cloned(),
            site,
            context,
            binding: Arc::clone(&self.segment.binding),
            request: request.clone().once(),
            links: self.links.iter().filter_map(link).collect(),
            grain: self.links[0].grain,
            keys: None,
            trap,
        }
    }
}

impl Caller {
    /// The functions that a stage calls in one use of them.
    pub(in crate::dataflow) fn new(
        plan: &Plan,
        stage: StageStreams<'_>,
        function: FunctionUse,
        environment: Arc<dyn Environment>,
    ) -> Self {
        let StageStreams { number, streams } = stage;
        let FunctionUse { role, half } = function;
        let link = |&stream: &usize| {
            let of = &plan.streams[stream];
            StageLink {
                stream,
                name: of.name.as_str().into(),
                on_error: of.on_error,
                function: of.function_as(role).cloned(),
                makes_keys: !matches!(of.op, Op::Filter | Op::MapValues | Op::FlatMapValues),
                grain: match of.op.kind_as(role).is_some_and(Kind::sees_all) {
                    true => Grain::Whole,
                    false => Grain::Unit,
                },
            }
        };
        Self {
            stage: number,
            role,
            half,
            empty: Empty::Skip,
            links: streams.iter().map(link).collect(),
            environment,
            open: None,
        }
    }

    /// The same, called also where there are no records.
    pub(in crate::dataflow) fn also_for_nothing(self) -> Self {
        Self {
            empty: Empty::Call,
            ..self
        }
    }

    /// A round begins.
    pub(in crate::dataflow) fn begin(&mut self, attempt: &Arc<Attempt>) {
        let program = self
            .environment
            .program(&attempt.plan, self.stage, self.role);
        self.open = Some((Arc::clone(attempt), program));
    }

    /// The round is over.
    pub(in crate::dataflow) fn end(&mut self) {
        self.open = None;
    }

    /// What the first function takes of its first input.
    pub(in crate::dataflow) fn takes(&self) -> RecordType {
        self.program()[0].takes[0]
    }

    /// The last stream of the stage.
    pub(in crate::dataflow) fn last(&self) -> Node {
        Node::Stream(self.links[self.links.len() - 1].stream)
    }

    /// Sends a chunk through all functions of the stage. What comes out of the last is counted by
    /// the operator that sends it on.
    ///
    /// # Errors
    ///
    /// A trap, or a record that may not be rejected.
    pub(in crate::dataflow) fn process(
        &self,
        run: &mut Run,
        input: &Chunk,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        let mut chunk = input.clone();
        let mut first = 0;
        for (index, segment) in self.program().iter().enumerate() {
            let links = &self.links[first..first + segment.links];
            first += segment.links;
            let part = ProgramPart {
                caller: self,
                index,
                segment,
                links,
            };
            let given = chunk.len();
            chunk = part.convert_to(run, &chunk, segment.takes[0], out)?;
            // The function counts those that reach it.
            out.tally().node(part.node()).records_in += (given - chunk.len()) as u64;
            if chunk.is_empty() && self.empty == Empty::Skip {
                chunk = Chunk::empty(segment.gives);
                continue;
            }
            let request = Request::Chunk(chunk.clone());
            let outcome = self.call(part, run, &request, out)?;
            for (link, count) in links.iter().zip(&outcome.report.links) {
                out.tally().node(Node::Stream(link.stream)).records_in += count.records;
            }
            for (link, count) in links.iter().zip(outcome.report.links.iter().skip(1)) {
                out.tally().node(Node::Stream(link.stream)).records_out += count.records;
            }
            part.account(run, &request, &outcome.report, out)?;
            chunk = self.canonical(part, run, outcome.chunk, out)?;
            if first < self.links.len() {
                let last = Node::Stream(links[links.len() - 1].stream);
                out.tally().node(last).records_out += chunk.len() as u64;
            }
        }
        run.calls += 1;
        Ok(chunk)
    }

    /// Makes one batch of two (`transform_with`), which may be empty.
    ///
    /// # Errors
    ///
    /// As [`Caller::process`].
    pub(in crate::dataflow) fn process_batch_pair(
        &self,
        run: &mut Run,
        left: &Chunk,
        right: &Chunk,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        let part = self.only();
        let takes = part.segment.takes.clone();
        let left = part.convert_to(run, left, takes[0], out)?;
        let right = part.convert_to(run, right, takes[1], out)?;
        let records = (left.len() + right.len()) as u64;
        out.tally().node(part.node()).records_in += records;
        let request = Request::BatchPair(left, right);
        let outcome = self.call(part, run, &request, out)?;
        part.account(run, &request, &outcome.report, out)?;
        let chunk = self.canonical(part, run, outcome.chunk, out)?;
        run.calls += 1;
        Ok(chunk)
    }

    /// Folds `values` with the one function of the stage: a record per group, of the type of
    /// `values`.
    ///
    /// # Errors
    ///
    /// As [`Caller::process`].
    pub(in crate::dataflow) fn fold(
        &self,
        run: &mut Run,
        groups: Groups,
        values: &Chunk,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        let part = self.only();
        let mut request = Request::Fold(groups, values.clone());
        if part.rejects(&part.links[0], run).buries() || self.left_out(part, run).is_some() {
            // Records that are told by their numbers are told apart.
            request = request.once();
        }
        let outcome = self.call(part, run, &request, out)?;
        part.account(run, &request, &outcome.report, out)?;
        let (watch, stream) = (&self.attempt().watch, part.links[0].stream);
        if self.role == Role::Main && watch.wants_folds(stream) {
            let context = context(&self.attempt().plan, &self.site(part, run));
            watch.folded(stream, &context, values);
        }
        run.calls += 1;
        Ok(outcome.chunk)
    }

    fn program(&self) -> &[Segment] {
        self.open.as_ref().map_or(&[], |(_, program)| program)
    }

    pub(super) fn only(&self) -> ProgramPart<'_> {
        ProgramPart {
            caller: self,
            index: 0,
            segment: &self.program()[0],
            links: &self.links,
        }
    }

    pub(super) fn attempt(&self) -> &Attempt {
        let (attempt, _) = self.open.as_ref().expect("calls happen in an open round");
        attempt
    }

    pub(super) fn site(&self, part: ProgramPart<'_>, run: &Run) -> CallSite {
        CallSite {
            stream: Arc::clone(&part.links[0].name),
            role: self.role,
            half: self.half,
            partition: run.partition,
            sequence: run.calls,
        }
    }

    /// What is to be left out of the next call.
    pub(super) fn left_out(&self, part: ProgramPart<'_>, run: &Run) -> Option<&LeftOut> {
        let skip = &self.attempt().plan.skip;
        (!skip.is_empty())
            .then(|| skip.get(&self.site(part, run)))
            .flatten()
    }

    /// Calls the instance of `part`, made if need be, and measures it.
    pub(super) fn call(
        &self,
        part: ProgramPart<'_>,
        run: &mut Run,
        request: &Request,
        out: &mut Output,
    ) -> Result<Outcome, Failure> {
        let plan = &self.attempt().plan;
        let site = self.site(part, run);
        let context = context(plan, &site);
        let left_out = self.left_out(part, run);
        let Some(asked) = Asked::new(request, left_out) else {
            let Some(LeftOut::All { reason }) = left_out else {
                unreachable!("only a call that is left out whole has nothing to ask")
            };
            return Ok(nothing(part.segment.gives, request.units(), reason));
        };
        run.instances.resize_with(self.program().len(), || None);
        let binding = &part.segment.binding;
        let start = Instant::now();
        let result = match &mut run.instances[part.index] {
            Some(function) => function.call(&context, &asked.request, &asked.skip),
            slot => binding.instantiate(&context).and_then(|function| {
                slot.insert(function)
                    .call(&context, &asked.request, &asked.skip)
            }),
        };
        out.tally().guest(part.node(), start.elapsed());
        let kind = match result {
            Ok(outcome) if size(&outcome) <= Bound::CALL.bytes => return Ok(asked.told(outcome)),
            Ok(outcome) => FailureKind::TooLarge {
                bytes: size(&outcome) as u64,
                allowed: Bound::CALL.bytes as u64,
                limit: Limit::Fixed,
            },
            Err(trap) => {
                let call = part.failed(site.clone(), context, request, trap);
                let kind = FailureKind::Trap(Box::new(Trapped {
                    trap: call.trap.clone(),
                    plugin: binding.digest(),
                    functions: call.links.iter().map(|(_, name)| name.clone()).collect(),
                    site,
                }));
                out.trap(call);
                kind
            }
        };
        Err(Failure {
            node: part.node(),
            partition: run.partition,
            kind,
        })
    }
}

/// Bytes that a call gave.
fn size(outcome: &Outcome) -> usize {
    let states = outcome.changes.as_ref();
    outcome.chunk.size() + states.map_or(0, |changes| changes.states.size())
}

/// When and where the call at `site` happens.
fn context(plan: &RoundPlan, site: &CallSite) -> Context {
    Context {
        batch_time: plan.batch,
        partition: site.partition,
        sequence: site.sequence,
        seed: seed(plan.seed, plan.batch, site),
    }
}

impl ProgramPart<'_> {
    /// Where `link` rejects records in the call that is next.
    pub(super) fn rejects(&self, link: &StageLink, run: &Run) -> Rejects {
        let digest = self.segment.binding.digest();
        Rejects {
            site: RejectSite {
                node: Node::Stream(link.stream),
                half: self.caller.half,
                partition: run.partition,
                sequence: run.calls,
                function: link.function.clone().map(|function| (function, digest)),
            },
            on_error: link.on_error,
        }
    }
}

//! The operators of windows.

use std::sync::Arc;

use crate::batch::function::Role;
use crate::dataflow::calls::Caller;
use crate::dataflow::control::Half;
use crate::dataflow::count::Count;
use crate::dataflow::count_by_value::CountByValue;
use crate::dataflow::drive::Outlet;
use crate::dataflow::failure::Node;
use crate::dataflow::operator::Operator;
use crate::dataflow::reduce::Reduce;
use crate::dataflow::reduce_by_key::Combine;
use crate::dataflow::scatter::Scatter;
use crate::dataflow::windows::{
    Aggregate, CountByWindow, Frame, Functions, GroupByKeyAndWindow, Ones, Partaking,
    ReduceByKeyAndWindow, ReduceByWindow, Running, RunningTotal, Sliding, Window,
};
use crate::topology::plan::{DEFAULT_REFRESH, OnError, Op, StreamPlan};

use super::Graph;

/// A window that is being added: a stage of a single stream.
#[derive(Clone, Copy)]
struct Place<'p> {
    stage: usize,
    stream: usize,
    plan: &'p StreamPlan,
    frame: Frame,
}

impl<'scope> Graph<'_, 'scope> {
    /// Adds the operators of a stream with a window.
    pub(super) fn window(&self, stage: usize, stream: usize) -> Outlet<'scope> {
        let plan = &self.site.local.plan.streams[stream];
        let frame = Frame::new(stream, plan);
        let at = Place {
            stage,
            stream,
            plan,
            frame,
        };
        match &plan.op {
            Op::CountByWindow(_) => {
                // It counts from the first record on, also from one that no window holds.
                self.sliding(at, Box::new(Count::new(stream)), CountByWindow::default())
            }
            Op::ReduceByWindow(_) => self.reduce_by_window(at),
            Op::ReduceByKeyAndWindow(_) => self.reduce_by_key_and_window(at),
            Op::GroupByKeyAndWindow(_) => {
                let before = Scatter::new(stream, plan.partitions);
                self.sliding(at, at.partaking(before), GroupByKeyAndWindow::new(stream))
            }
            Op::CountByValueAndWindow(_) => {
                let before = CountByValue::new(stream, plan.on_error, plan.partitions);
                // Ones are never rejected.
                let after = Running::new((stream, OnError::Fail), Ones, at.refresh());
                self.sliding(at, at.partaking(before), after)
            }
            _ => {
                let window = Window::new(stream, plan.from[0], frame);
                let inlet = self.straight(plan.from[0]);
                let node = Node::Stream(stream);
                self.site.operator(node, Box::new(window), vec![inlet])
            }
        }
    }

    fn reduce_by_window(&self, at: Place<'_>) -> Outlet<'scope> {
        let before = Reduce::new(at.stream, self.caller(at, Role::Main, Half::Before));
        let before = at.partaking(before);
        let reduce = self.caller(at, Role::Main, Half::After);
        if at.plan.inverse.is_none() {
            return self.sliding(at, before, ReduceByWindow::new(reduce));
        }
        let inverse = self.caller(at, Role::Inverse, Half::After);
        let total = RunningTotal::new(
            (at.stream, at.plan.on_error),
            (reduce, inverse),
            at.refresh(),
        );
        self.sliding(at, before, total)
    }

    fn reduce_by_key_and_window(&self, at: Place<'_>) -> Outlet<'scope> {
        let combine = self.caller(at, Role::Main, Half::Before);
        let before = at.partaking(Combine::new(at.stream, at.plan.partitions, combine));
        let reduce = self.caller(at, Role::Main, Half::After);
        if at.plan.inverse.is_none() {
            return self.sliding(at, before, ReduceByKeyAndWindow::new(at.stream, reduce));
        }
        let keep = at.plan.keep.as_ref();
        let functions = Functions {
            reduce,
            inverse: self.caller(at, Role::Inverse, Half::After),
            keep: keep.map(|_| self.caller(at, Role::Keep, Half::After)),
        };
        let stream = (at.stream, at.plan.on_error);
        self.sliding(at, before, Running::new(stream, functions, at.refresh()))
    }

    /// Adds the two halves of a window.
    fn sliding(
        &self,
        at: Place<'_>,
        before: Box<dyn Operator>,
        aggregate: impl Aggregate + 'static,
    ) -> Outlet<'scope> {
        let partitions = match at.plan.op {
            Op::CountByWindow(_) | Op::ReduceByWindow(_) => 1,
            _ => at.plan.partitions,
        };
        let after = Sliding::new(at.stream, self.targets(partitions), at.frame, aggregate);
        let inlets = vec![self.straight(at.plan.from[0])];
        self.wide(at.stream, (inlets, before), (partitions, Box::new(after)))
    }

    fn caller(&self, at: Place<'_>, role: Role, half: Half) -> Caller {
        let local = &self.site.local;
        let environment = Arc::clone(&local.environment);
        let stage = (at.stage, &[at.stream][..]);
        Caller::new(&local.plan, stage, (role, half), environment)
    }
}

impl Place<'_> {
    /// Lets the half before the exchange rest at batches that no window holds.
    fn partaking(&self, before: impl Operator + 'static) -> Box<dyn Operator> {
        Box::new(Partaking::new(self.frame, before))
    }

    /// Slides between two reductions anew.
    fn refresh(&self) -> u32 {
        let window = self.plan.op.window();
        let given = window.and_then(|window| window.refresh);
        given.unwrap_or(DEFAULT_REFRESH)
    }
}

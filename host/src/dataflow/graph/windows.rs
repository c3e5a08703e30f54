//! Operators with a window.

use crate::batch::function::Role;
use crate::dataflow::machine::drive::Outlet;
use crate::dataflow::machine::operator::Operator;
use crate::dataflow::ops::count::Count;
use crate::dataflow::ops::count_by_value::CountByValue;
use crate::dataflow::ops::reduce::Reduce;
use crate::dataflow::ops::reduce_by_key::Combine;
use crate::dataflow::ops::scatter::Scatter;
use crate::dataflow::round::call_site::Half;
use crate::dataflow::windows::{
    Aggregate, CountByWindow, Frame, Functions, GroupByKeyAndWindow, Ones, Partaking,
    ReduceByKeyAndWindow, ReduceByWindow, RunningByKey, RunningTotal, Sliding, WindowOperator,
};
use crate::topology::plan::{DEFAULT_REFRESH, OnError, Op};

use super::wiring::{AfterExchange, BeforeExchange, Graph, Stage};

/// A window that is being added: a stage of a single stream.
#[derive(Clone, Copy)]
struct WindowPlace<'p> {
    stage: Stage<'p>,
    frame: Frame,
}

impl<'scope> Graph<'_, 'scope> {
    /// Adds the operators of a stream with a window.
    pub(super) fn window(&self, stage: Stage<'_>) -> Outlet<'scope> {
        let (stream, plan) = (stage.first, stage.plan);
        let frame = Frame::new(plan);
        let at = WindowPlace { stage, frame };
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
                let after = RunningByKey::new(stream, OnError::Fail, Ones, at.refresh());
                self.sliding(at, at.partaking(before), after)
            }
            _ => self.narrow(stage, WindowOperator::new(stream, plan.from[0], frame)),
        }
    }

    fn reduce_by_window(&self, at: WindowPlace<'_>) -> Outlet<'scope> {
        let stage = at.stage;
        let before = Reduce::new(stage.first, self.caller(stage, Role::Main, Half::Before));
        let before = at.partaking(before);
        let reduce = self.caller(stage, Role::Main, Half::After);
        if stage.plan.inverse.is_none() {
            return self.sliding(at, before, ReduceByWindow::new(reduce));
        }
        let inverse = self.caller(stage, Role::Inverse, Half::After);
        let total = RunningTotal::new(
            stage.first,
            stage.plan.on_error,
            reduce,
            inverse,
            at.refresh(),
        );
        self.sliding(at, before, total)
    }

    fn reduce_by_key_and_window(&self, at: WindowPlace<'_>) -> Outlet<'scope> {
        let (stage, plan) = (at.stage, at.stage.plan);
        let combine = self.caller(stage, Role::Main, Half::Before);
        let before = at.partaking(Combine::new(stage.first, plan.partitions, combine));
        let reduce = self.caller(stage, Role::Main, Half::After);
        if plan.inverse.is_none() {
            let after = ReduceByKeyAndWindow::new(stage.first, reduce);
            return self.sliding(at, before, after);
        }
        let keep = plan.keep.as_ref();
        let functions = Functions {
            reduce,
            inverse: self.caller(stage, Role::Inverse, Half::After),
            keep: keep.map(|_| self.caller(stage, Role::Keep, Half::After)),
        };
        let after = RunningByKey::new(stage.first, plan.on_error, functions, at.refresh());
        self.sliding(at, before, after)
    }

    /// Adds the two halves of a window.
    fn sliding(
        &self,
        at: WindowPlace<'_>,
        before: Box<dyn Operator>,
        aggregate: impl Aggregate + 'static,
    ) -> Outlet<'scope> {
        let stage = at.stage;
        let partitions = match stage.plan.op {
            Op::CountByWindow(_) | Op::ReduceByWindow(_) => 1,
            _ => stage.plan.partitions,
        };
        let after = Sliding::new(stage.first, self.targets(partitions), at.frame, aggregate);
        let before = BeforeExchange {
            inlets: self.inlets(stage),
            operator: before,
        };
        let operator = Box::new(after);
        self.wide(
            stage,
            before,
            AfterExchange {
                partitions,
                operator,
            },
        )
    }
}

impl WindowPlace<'_> {
    /// Lets the half before the exchange rest at batches that no window holds.
    fn partaking(&self, before: impl Operator + 'static) -> Box<dyn Operator> {
        Box::new(Partaking::new(self.frame, before))
    }

    /// Slides between two reductions anew.
    fn refresh(&self) -> u32 {
        let window = self.stage.plan.op.window();
        let given = window.and_then(|window| window.refresh);
        given.unwrap_or(DEFAULT_REFRESH)
    }
}

//! Operators by key, with and without state.

use crate::batch::function::Role;
use crate::dataflow::machine::drive::{Inlet, Outlet};
use crate::dataflow::ops::cogroup::Cogroup;
use crate::dataflow::ops::count_by_value::{CountByValue, Sum};
use crate::dataflow::ops::gather::{Gather, Make};
use crate::dataflow::ops::group_by_key::GroupByKey;
use crate::dataflow::ops::join::JoinPairs;
use crate::dataflow::ops::reduce_by_key::{Combine, MergeKeys};
use crate::dataflow::ops::scatter::Scatter;
use crate::dataflow::round::call_site::Half;
use crate::dataflow::state::{Admit, MapWithState, UpdateStateByKey};
use crate::topology::plan;

use super::wiring::{Graph, Stage, exchanged};

impl<'scope> Graph<'_, 'scope> {
    pub(super) fn reduce_by_key(&self, stage: Stage<'_>) -> Outlet<'scope> {
        let partitions = stage.plan.partitions;
        let before = self.caller(stage, Role::Main, Half::Before);
        let merge = MergeKeys(self.caller(stage, Role::Main, Half::After));
        let before = Combine::new(stage.first, partitions, before);
        let after = Gather::new(stage.first, self.targets(partitions), 1, merge);
        self.halves(stage, before, partitions, after)
    }

    pub(super) fn count_by_value(&self, stage: Stage<'_>) -> Outlet<'scope> {
        let partitions = stage.plan.partitions;
        let before = CountByValue::new(stage.first, stage.plan.on_error, partitions);
        let after = Gather::new(stage.first, self.targets(partitions), 1, Sum);
        self.halves(stage, before, partitions, after)
    }

    pub(super) fn group_by_key(&self, stage: Stage<'_>) -> Outlet<'scope> {
        self.scattered(stage, GroupByKey)
    }

    pub(super) fn join(&self, stage: Stage<'_>, kind: plan::Join) -> Outlet<'scope> {
        self.scattered(stage, JoinPairs::new(kind))
    }

    pub(super) fn cogroup(&self, stage: Stage<'_>) -> Outlet<'scope> {
        self.scattered(stage, Cogroup)
    }

    pub(super) fn update_state_by_key(&self, stage: Stage<'_>) -> Outlet<'scope> {
        let caller = self.caller(stage, Role::Main, Half::After);
        let store = self.store(stage.first);
        self.stateful(stage, UpdateStateByKey::new(stage.first, store, caller))
    }

    pub(super) fn map_with_state(&self, stage: Stage<'_>, state: &plan::State) -> Outlet<'scope> {
        let caller = self.caller(stage, Role::Main, Half::After);
        let store = self.store(stage.first);
        self.stateful(stage, MapWithState::new(state.timeout, store, caller))
    }

    /// Adds the two halves of a stateful operator.
    fn stateful(&self, stage: Stage<'_>, make: impl Make + 'static) -> Outlet<'scope> {
        let partitions = stage.plan.partitions;
        let before = self.caller(stage, Role::Main, Half::Before);
        let admit = Admit::new(stage.first, partitions, before);
        let after = Gather::new(stage.first, self.targets(partitions), 1, make);
        self.halves(stage, admit, partitions, after)
    }

    /// Adds an operator by key that combines nothing before the exchange: each of its inputs is
    /// scattered, and what comes is gathered.
    fn scattered(&self, stage: Stage<'_>, make: impl Make + 'static) -> Outlet<'scope> {
        let (node, partitions) = (stage.node(), stage.plan.partitions);
        let scattered = stage.plan.from.iter().map(|from| {
            let scatter = Scatter::new(stage.first, partitions);
            let inlet = self.straight(*from);
            let outlet = self.site.operator(node, Box::new(scatter), vec![inlet]);
            exchanged(outlet, partitions)
        });
        let inlets: Vec<Inlet<'scope>> = scattered.collect();
        let gather = Gather::new(stage.first, self.targets(partitions), inlets.len(), make);
        self.site.operator(node, Box::new(gather), inlets)
    }
}

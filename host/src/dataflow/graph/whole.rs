//! Operators whose result is one partition, and `repartition`, which deals one out again.

use crate::batch::function::Role;
use crate::dataflow::machine::drive::{Inlet, Outlet};
use crate::dataflow::ops::count::{Count, Total};
use crate::dataflow::ops::gather::{Gather, Make};
use crate::dataflow::ops::reduce::{Last, Reduce};
use crate::dataflow::ops::repartition::{Deal, Dealer};
use crate::dataflow::ops::sort::{MergeSorted, SortParts};
use crate::dataflow::ops::transform::Transform;
use crate::dataflow::ops::transform_with::TransformWith;
use crate::dataflow::round::call_site::Half;
use crate::topology::plan;

use super::wiring::{Graph, Stage, exchanged};

impl<'scope> Graph<'_, 'scope> {
    pub(super) fn count(&self, stage: Stage<'_>) -> Outlet<'scope> {
        let total = Total::new(stage.first, self.targets(1));
        self.halves(stage, Count::new(stage.first), 1, total)
    }

    pub(super) fn reduce(&self, stage: Stage<'_>) -> Outlet<'scope> {
        let before = self.caller(stage, Role::Main, Half::Before);
        let last = Last(self.caller(stage, Role::Main, Half::After));
        let after = Gather::new(stage.first, self.targets(1), 1, last);
        self.halves(stage, Reduce::new(stage.first, before), 1, after)
    }

    pub(super) fn sort(&self, stage: Stage<'_>, settings: plan::Sort) -> Outlet<'scope> {
        let merge = MergeSorted(settings);
        let after = Gather::new(stage.first, self.targets(1), 1, merge);
        self.halves(stage, SortParts::new(stage.first, settings), 1, after)
    }

    pub(super) fn transform(&self, stage: Stage<'_>) -> Outlet<'scope> {
        let caller = self.caller(stage, Role::Main, Half::After);
        self.gathered(stage, Transform::new(stage.plan.from[0], caller))
    }

    pub(super) fn transform_with(&self, stage: Stage<'_>) -> Outlet<'scope> {
        let from = [stage.plan.from[0], stage.plan.from[1]];
        let caller = self.caller(stage, Role::Main, Half::After);
        self.gathered(stage, TransformWith::new(from, caller))
    }

    pub(super) fn repartition(&self, stage: Stage<'_>) -> Outlet<'scope> {
        let partitions = stage.plan.partitions;
        let dealer = Dealer::new(stage.first, partitions, self.targets(1));
        let inlet = exchanged(self.outlet(stage.plan.from[0]), 1);
        let node = stage.node();
        let dealt = self.site.operator(node, Box::new(dealer), vec![inlet]);
        let inlet = exchanged(dealt, partitions);
        self.site.operator(node, Box::new(Deal), vec![inlet])
    }

    /// Adds an operator that makes one partition of all that the stage reads.
    fn gathered(&self, stage: Stage<'_>, make: impl Make + 'static) -> Outlet<'scope> {
        let from = stage.plan.from.iter();
        let inlets: Vec<Inlet<'scope>> =
            from.map(|from| exchanged(self.outlet(*from), 1)).collect();
        let gather = Gather::new(stage.first, self.targets(1), inlets.len(), make);
        self.site.operator(stage.node(), Box::new(gather), inlets)
    }
}

//! Operators that work where their input is.

use crate::batch::function::Role;
use crate::dataflow::machine::drive::Outlet;
use crate::dataflow::ops::chain::ChainOperator;
use crate::dataflow::ops::glom::Glom;
use crate::dataflow::ops::map_partitions::MapPartitions;
use crate::dataflow::ops::union::Union;
use crate::dataflow::round::call_site::Half;
use crate::dataflow::state::Snapshots;
use crate::topology::plan::Upstream;

use super::wiring::{Graph, Stage};

impl<'scope> Graph<'_, 'scope> {
    pub(super) fn chain(&self, stage: Stage<'_>) -> Outlet<'scope> {
        let caller = self.caller(stage, Role::Main, Half::Before);
        self.narrow(stage, ChainOperator::new(caller))
    }

    pub(super) fn map_partitions(&self, stage: Stage<'_>) -> Outlet<'scope> {
        let caller = self.caller(stage, Role::Main, Half::Before);
        let operator = MapPartitions::new(stage.first, stage.plan.from[0], caller);
        self.narrow(stage, operator)
    }

    pub(super) fn union(&self, stage: Stage<'_>) -> Outlet<'scope> {
        self.narrow(stage, Union::new(stage.first, stage.plan.from.clone()))
    }

    pub(super) fn glom(&self, stage: Stage<'_>) -> Outlet<'scope> {
        self.narrow(stage, Glom::new(stage.first))
    }

    pub(super) fn snapshots(&self, stage: Stage<'_>) -> Outlet<'scope> {
        let Upstream::Stream(of) = stage.plan.from[0] else {
            unreachable!("a source has no snapshots")
        };
        self.narrow(stage, Snapshots::new(stage.first, self.store(of)))
    }
}

//! States of an older version, brought to today's in an instance that serves nothing else.

use std::sync::Arc;

use wasmtime::component::TypedFunc;

use crate::batch::Column;
use crate::batch::function::{Migrated, Trap};

use super::call::Typed;
use super::{answered, start_trap};
use crate::plugin::chain::Chain;
use crate::plugin::guest::new_store;
use crate::plugin::lower::column;
use crate::plugin::wire;

type Migrate =
    TypedFunc<(&'static str, u32, wire::Column<'static>), (Result<wire::Migrated, String>,)>;

/// Brings `states` of version `from` of the one function of `chain` to today's version.
pub(in crate::plugin) fn migrate(
    chain: &Chain,
    from: u32,
    states: &Column,
) -> Result<Migrated, Trap> {
    let component = &chain.component;
    let function = chain.links[0].function.as_str();
    let Some(migration) = component.migration(function, from) else {
        return Err(Trap::broken_promise(format!(
            "the plugin has no migration of `{function}` from state version {from}"
        )));
    };
    if migration.column_type != states.column_type() {
        return Err(Trap::broken_promise(format!(
            "the migration of `{function}` from state version {from} takes {}, not {}",
            migration.column_type,
            states.column_type()
        )));
    }
    let states = states.aligned();
    let mut store = new_store(
        component.pre.engine(),
        &chain.limits,
        Arc::clone(&chain.voice),
    );
    let instance = component
        .pre
        .instantiate(&mut store)
        .map_err(|error| start_trap(&error, &mut store))?;
    let migrate: Migrate = Typed {
        instance: &instance,
        store: &mut store,
    }
    .named("migrate", component.exports.migrate)?;
    let answer = migrate.call(&mut store, (function, from, column(&states)));
    let (migrated, _) = answered(&mut store, answer)?;
    chain.promise.migrated(states.len(), migrated)
}

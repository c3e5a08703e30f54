//! States of an older version brought to today's.

use crate::column::{Broken, Column, Sources};
use crate::definition::Migration;
use crate::record::Unkeyed;
use crate::refusal::Refusal;
use crate::state::{input_lane, made};
use crate::wit::plugin::{self, Migrated};
use crate::wit::types;

/// What a macro knows of a migration.
#[derive(Clone, Copy, Debug)]
pub struct MigrationMeta {
    /// The stateful function.
    pub function: &'static str,
    /// The version that is taken.
    pub from: u32,
}

/// A migration by a closure that appends the new state for an old one, and says whether there is
/// any.
pub fn migrate<Old: Column, New: Column, F>(
    meta: MigrationMeta,
    _: (Unkeyed<Old>, Unkeyed<New>),
    convert: F,
) -> Migration
where
    F: Fn(Old::Item<'_>, &mut New::Builder<'_>) -> Result<bool, Refusal> + 'static,
{
    Migration {
        signature: plugin::Migration {
            function: meta.function.to_owned(),
            from_version: meta.from,
            column_type: Old::TYPE,
        },
        run: Box::new(move |states| run::<Old, New>(states, convert)),
    }
}

fn run<Old: Column, New: Column>(
    states: &types::Column,
    convert: impl Fn(Old::Item<'_>, &mut New::Builder<'_>) -> Result<bool, Refusal>,
) -> Result<Migrated, Broken> {
    let lane = input_lane(states);
    let items = Old::items(&lane)?;
    let mut builder = New::builder(Sources::default(), Old::count(&items));
    let mut kept = Vec::with_capacity(Old::count(&items));
    for (index, item) in Old::iter(&items).enumerate() {
        let keeps = convert(item, &mut builder)
            .map_err(|refusal| format!("state {index}: {}", refusal.reason()))?;
        kept.push(u8::from(keeps));
    }
    Ok(Migrated {
        kept,
        states: made(New::finish(builder)),
    })
}

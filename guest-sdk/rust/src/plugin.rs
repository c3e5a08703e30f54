//! A plugin as the host sees it: described, opened, called.
//!
//! Opened functions live in a table of the instance, because a call names one by its number; an instance has
//! one thread. The table is the only state of this crate that outlives a call.

use std::cell::RefCell;

use crate::definition::{Definition, Item, Opened};
use crate::link::Chain;
use crate::wit::plugin::{Binding, Description, Info, Kind};
use crate::wit::types::{self, ColumnType, RecordType};
use crate::wit::{folds, narrow, plugin};

/// What `plugin!` makes of its list of functions.
pub trait Plugin {
    /// The crate's name.
    const NAME: &'static str;
    /// The crate's version.
    const VERSION: &'static str;

    /// The functions.
    fn items() -> Vec<Item>;
}

/// What a handle stands for.
enum Ready {
    Chain(Chain),
    Fold(Box<dyn crate::fold::Fold>),
}

thread_local! {
    static OPENED: RefCell<Vec<Ready>> = const { RefCell::new(Vec::new()) };
}

impl<P: Plugin> plugin::Guest for P {
    fn describe() -> Description {
        crate::logging::install();
        describe::<P>()
    }

    fn open(chain: Vec<Binding>) -> Result<u32, String> {
        crate::logging::install();
        let ready = open(P::items(), &chain)?;
        OPENED.with_borrow_mut(|opened| {
            opened.push(ready);
            u32::try_from(opened.len() - 1).map_err(|_| "too many functions are open".to_owned())
        })
    }

    fn migrate(
        function: String,
        from_version: u32,
        states: types::Column,
    ) -> Result<plugin::Migrated, String> {
        let _ = states;
        Err(format!(
            "there is no migration of `{function}` from version {from_version}"
        ))
    }
}

impl<P: Plugin> narrow::Guest for P {
    fn process(
        handle: u32,
        context: types::Context,
        input: types::Chunk,
        skip: Vec<types::RecordRef>,
    ) -> Result<narrow::Outcome, String> {
        with(handle, |ready| match ready {
            Ready::Chain(chain) => chain.process(context.into(), &input, &skip),
            Ready::Fold(_) => Err(wrong_interface(handle)),
        })
    }
}

impl<P: Plugin> folds::Guest for P {
    fn fold(
        handle: u32,
        context: types::Context,
        numbers: Vec<u8>,
        count: u32,
        values: types::Chunk,
        skip: Vec<types::RecordRef>,
    ) -> Result<folds::Outcome, String> {
        let groups = crate::fold::Groups {
            numbers: numbers.as_chunks().0,
            count,
        };
        with(handle, |ready| match ready {
            Ready::Fold(fold) => fold.fold(context.into(), groups, &values, &skip),
            Ready::Chain(_) => Err(wrong_interface(handle)),
        })
    }
}

/// Calls what `handle` stands for.
fn with<R>(handle: u32, call: impl FnOnce(&Ready) -> Result<R, String>) -> Result<R, String> {
    OPENED.with_borrow(|opened| match opened.get(handle as usize) {
        Some(ready) => call(ready),
        None => Err(format!("{handle} is the handle of nothing")),
    })
}

fn wrong_interface(handle: u32) -> String {
    format!("handle {handle} is called through another interface")
}

// === describe ===

fn describe<P: Plugin>() -> Description {
    let info = |name: &str, value: &str| Info {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let functions = P::items().into_iter().map(|item| match item {
        Item::Function(definition) => definition.signature,
    });
    Description {
        functions: functions.collect(),
        migrations: Vec::new(),
        info: vec![
            info("language", "rust"),
            info("sdk", concat!("dshost-guest ", env!("CARGO_PKG_VERSION"))),
            info("name", P::NAME),
            info("version", P::VERSION),
        ],
    }
}

// === open ===

fn open(items: Vec<Item>, chain: &[Binding]) -> Result<Ready, String> {
    let mut definitions: Vec<_> = items
        .into_iter()
        .map(|item| match item {
            Item::Function(definition) => definition,
        })
        .collect();
    let mut links = Vec::with_capacity(chain.len());
    let mut keyed = false;
    for (number, binding) in chain.iter().enumerate() {
        let found = definitions
            .iter()
            .position(|definition| definition.signature.name == binding.function)
            .ok_or_else(|| format!("there is no function `{}`", binding.function))?;
        let definition = definitions.swap_remove(found);
        let _ = (number, &definition);
        let name = binding.function.clone();
        check_input(&definition, binding)?;
        if number == 0 {
            keyed = binding.input.iter().any(|input| input.key.is_some());
        }
        let opened = (definition.open)(binding.params.as_deref())
            .map_err(|error| format!("cannot open `{name}`: {error}"))?;
        match opened {
            Opened::Link(link) => links.push(link),
            Opened::Fold(fold) => return Ok(Ready::Fold(fold)),
        }
    }
    Ok(Ready::Chain(Chain::new(links, keyed)))
}

fn check_input(definition: &Definition, binding: &Binding) -> Result<(), String> {
    let _ = (
        definition,
        binding,
        Kind::Map,
        ColumnType::Text,
        None::<RecordType>,
    );
    Ok(())
}

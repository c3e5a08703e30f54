//! A plugin as the host sees it: described, opened, called.
//!
//! Opened functions live in a table of the instance, because a call names one by its number; an
//! instance has one thread. The table is the only state of this crate that outlives a call.

use std::cell::RefCell;

use crate::definition::{Item, Opened};
use crate::link::Chain;
use crate::refusal;
use crate::shape::{BatchPair, Fold, Grouped, Groups, Numbered, Records, Update};
use crate::wit::plugin::{self, Binding, Description, Function, Info, Kind, Migrated, Naming};
use crate::wit::types::{self, RecordType};
use crate::wit::{batch_pairs, chunks, folds, records, updates};

/// What `plugin!` makes of its list of functions.
pub trait Plugin {
    /// The crate's name.
    const NAME: &'static str;
    /// The crate's version.
    const VERSION: &'static str;

    /// The names of its functions and migrations.
    const NAMES: &'static [&'static str];

    /// The function or migration of that name.
    fn item(name: &str) -> Option<Item>;
}

/// What a handle stands for.
enum Ready {
    Chain(Chain),
    BatchPair(Box<dyn BatchPair>),
    Fold(Box<dyn Fold>),
    Update(Box<dyn Update>),
    Records(Box<dyn Records>),
}

/// Functions that are open.
struct OpenChain {
    ready: Ready,
    /// Which of the records that they refuse are named.
    naming: Naming,
}

thread_local! {
    static OPENED: RefCell<Vec<OpenChain>> = const { RefCell::new(Vec::new()) };
}

/// Calls what `handle` stands for.
fn with<R>(handle: u32, call: impl FnOnce(&Ready) -> Result<R, String>) -> Result<R, String> {
    OPENED.with_borrow(|opened| match opened.get(handle as usize) {
        Some(open) => {
            refusal::name(open.naming);
            call(&open.ready)
        }
        None => Err(format!("{handle} is the handle of nothing")),
    })
}

fn wrong_interface<R>(_: &Ready) -> Result<R, String> {
    Err("the function is called through another interface".to_owned())
}

// === The interfaces ===

impl<P: Plugin> plugin::Guest for P {
    fn describe() -> Description {
        crate::logging::install();
        describe::<P>()
    }

    fn open(chain: Vec<Binding>) -> Result<u32, String> {
        crate::logging::install();
        let ready = open::<P>(&chain)?;
        let naming = chain
            .first()
            .map_or(Naming::FirstFew, |link| link.rejections);
        OPENED.with_borrow_mut(|opened| {
            opened.push(OpenChain { ready, naming });
            u32::try_from(opened.len() - 1).map_err(|_| "too many functions are open".to_owned())
        })
    }

    fn migrate(
        function: String,
        from_version: u32,
        states: types::Column,
    ) -> Result<Migrated, String> {
        crate::logging::install();
        let mut migrations = items::<P>().filter_map(|item| match item {
            Item::Function(_) => None,
            Item::Migration(migration) => Some(migration),
        });
        let found = migrations.find(|migration| {
            let signature = &migration.signature;
            signature.function == function && signature.from_version == from_version
        });
        match found {
            Some(migration) => (migration.run)(&states),
            None => Err(format!(
                "there is no migration of `{function}` from version {from_version}"
            )),
        }
    }
}

impl<P: Plugin> chunks::Guest for P {
    fn process(
        handle: u32,
        context: types::Context,
        input: types::Chunk,
        skip: Vec<types::RecordRef>,
    ) -> Result<chunks::Outcome, String> {
        with(handle, |ready| match ready {
            Ready::Chain(chain) => chain.process(context.into(), &input, &skip),
            other => wrong_interface(other),
        })
    }
}

impl<P: Plugin> batch_pairs::Guest for P {
    fn process(
        handle: u32,
        context: types::Context,
        left: types::Chunk,
        right: types::Chunk,
    ) -> Result<batch_pairs::Outcome, String> {
        with(handle, |ready| match ready {
            Ready::BatchPair(pair) => pair.process(context.into(), &left, &right),
            other => wrong_interface(other),
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
        repeats: Vec<u8>,
        skip: Vec<types::RecordRef>,
    ) -> Result<folds::Outcome, String> {
        let groups = Groups {
            numbers: numbers.as_chunks().0,
            count,
            repeats: repeats.as_chunks().0,
        };
        with(handle, |ready| match ready {
            Ready::Fold(fold) => fold.fold(context.into(), groups, &values, &skip),
            other => wrong_interface(other),
        })
    }
}

impl<P: Plugin> updates::Guest for P {
    fn update(
        handle: u32,
        context: types::Context,
        keys: types::Column,
        offsets: Vec<u8>,
        values: types::Column,
        old: types::States,
    ) -> Result<updates::Outcome, String> {
        let values = Grouped {
            offsets: offsets.as_chunks().0,
            values: &values,
        };
        with(handle, |ready| match ready {
            Ready::Update(update) => update.update(context.into(), &keys, values, &old),
            other => wrong_interface(other),
        })
    }
}

impl<P: Plugin> records::Guest for P {
    fn process(
        handle: u32,
        context: types::Context,
        keys: types::Column,
        old: types::States,
        numbers: Vec<u8>,
        values: types::Column,
    ) -> Result<records::Outcome, String> {
        let records = Numbered {
            numbers: numbers.as_chunks().0,
            values: &values,
        };
        with(handle, |ready| match ready {
            Ready::Records(function) => function.process(context.into(), &keys, &old, records),
            other => wrong_interface(other),
        })
    }

    fn time_out(
        handle: u32,
        context: types::Context,
        keys: types::Column,
        states: types::Column,
    ) -> Result<records::Outcome, String> {
        with(handle, |ready| match ready {
            Ready::Records(function) => function.time_out(context.into(), &keys, &states),
            other => wrong_interface(other),
        })
    }
}

// === describe ===

fn items<P: Plugin>() -> impl Iterator<Item = Item> {
    P::NAMES.iter().filter_map(|name| P::item(name))
}

fn describe<P: Plugin>() -> Description {
    let (mut functions, mut migrations) = (Vec::new(), Vec::new());
    for item in items::<P>() {
        match item {
            Item::Function(function) => functions.push(function.signature),
            Item::Migration(migration) => migrations.push(migration.signature),
        }
    }
    let info = |name: &str, value: &str| Info {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    Description {
        functions,
        migrations,
        info: vec![
            info("language", "rust"),
            info("sdk", concat!("dshost-guest ", env!("CARGO_PKG_VERSION"))),
            info("name", P::NAME),
            info("version", P::VERSION),
        ],
    }
}

// === open ===

fn open<P: Plugin>(chain: &[Binding]) -> Result<Ready, String> {
    let Some(first) = chain.first() else {
        return Err("there is nothing to open".to_owned());
    };
    let keyed = first.input.iter().any(|input| input.key.is_some());
    let mut links = Vec::with_capacity(chain.len());
    for binding in chain {
        let name = &binding.function;
        let Some(Item::Function(function)) = P::item(name) else {
            return Err(format!("there is no function `{name}`"));
        };
        check(&function.signature, binding, chain.len())?;
        let opened = (function.open)(binding.params.as_deref())
            .map_err(|error| format!("cannot open `{name}`: {error}"))?;
        match opened {
            Opened::Link(link) => links.push(link),
            Opened::BatchPair(pair) => return Ok(Ready::BatchPair(pair)),
            Opened::Fold(fold) => return Ok(Ready::Fold(fold)),
            Opened::Update(update) => return Ok(Ready::Update(update)),
            Opened::Records(records) => return Ok(Ready::Records(records)),
        }
    }
    Ok(Ready::Chain(Chain::new(links, keyed)))
}

/// Checks that a binding fits the function. The host has done so before; a host that has not shall
/// be told now, not by a trap in the middle of a batch.
fn check(function: &Function, binding: &Binding, links: usize) -> Result<(), String> {
    let name = &function.name;
    let chains = matches!(
        function.kind,
        Kind::Map | Kind::FlatMap | Kind::Filter | Kind::MapValues | Kind::FlatMapValues
    );
    if links > 1 && !chains {
        return Err(format!("`{name}` cannot be a link of a chain"));
    }
    // Where the function names no key it takes any, if it is of a kind that looks past keys.
    let any_key = matches!(
        function.kind,
        Kind::MapValues | Kind::FlatMapValues | Kind::UpdateState
    );
    let fits = |wanted: &RecordType, given: &RecordType| {
        let key = (wanted.key.is_none() && any_key) || wanted.key == given.key;
        key && wanted.value == given.value
    };
    let all = function.input.len() == binding.input.len()
        && function
            .input
            .iter()
            .zip(&binding.input)
            .all(|(wanted, given)| fits(wanted, given));
    if all {
        Ok(())
    } else {
        Err(format!(
            "`{name}` takes {:?} and would be given {:?}",
            function.input, binding.input
        ))
    }
}

//! A component that is compiled, linked and described: one version of a plugin.

use std::sync::Arc;

use wasmtime::Store;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{ComponentExportIndex, InstancePre, TypedFunc};

use crate::batch::Digest;
use crate::batch::function::Signature;
use crate::topology::plan::Limits;

use crate::plugin::engine::Engine;
use crate::plugin::guest::{Guest, new_store};
use crate::plugin::load::compile::Binary;
use crate::plugin::load::error::LoadErrorKind;
use crate::plugin::load::imports::{self, link};
use crate::plugin::load::signature::{self, Description, Migration};
use crate::plugin::trap::trap;
use crate::plugin::voice::Voice;
use crate::plugin::wire;

/// The interface that every plugin exports.
const PLUGIN: &str = "dshost:plugin/plugin";

/// One version of a plugin, ready to be bound.
pub struct Component {
    plugin: String,
    digest: Digest,
    size: usize,
    imports: Vec<String>,
    description: Description,
    pub(in crate::plugin) pre: InstancePre<Guest>,
    pub(in crate::plugin) exports: Exports,
    /// Keeps the clock going that ends the calls.
    _engine: Engine,
}

/// Where the functions of the contract stand in the component; those of shapes it does not have are
/// none.
pub(in crate::plugin) struct Exports {
    describe: ComponentExportIndex,
    pub(in crate::plugin) open: ComponentExportIndex,
    pub(in crate::plugin) migrate: Option<ComponentExportIndex>,
    pub(in crate::plugin) chunks: Option<ComponentExportIndex>,
    pub(in crate::plugin) batch_pairs: Option<ComponentExportIndex>,
    pub(in crate::plugin) folds: Option<ComponentExportIndex>,
    pub(in crate::plugin) updates: Option<ComponentExportIndex>,
    pub(in crate::plugin) records: Option<ComponentExportIndex>,
    pub(in crate::plugin) time_out: Option<ComponentExportIndex>,
}

impl Component {
    pub(super) fn new(
        engine: &Engine,
        code: &wasmtime::component::Component,
        plugin: &str,
        binary: &Binary<'_>,
        limits: &Limits,
    ) -> Result<Self, LoadErrorKind> {
        let wasm = code.engine();
        let imports = code
            .component_type()
            .imports(wasm)
            .map(|(name, _)| name.to_owned())
            .collect();
        let pre = link(wasm, code)?
            .instantiate_pre(code)
            .map_err(|error| imports::ImportError::Type(format!("{error:#}")))?;
        let exports = Exports::find(code)?;
        let description = describe(&pre, &exports, plugin, limits)?;
        Ok(Self {
            plugin: plugin.to_owned(),
            digest: binary.digest,
            size: binary.bytes.len(),
            imports,
            description,
            pre,
            exports,
            _engine: engine.clone(),
        })
    }

    /// The plugin's name.
    #[must_use]
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// The digest of the file: the name of this version.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The file's size in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// What it imports, with versions.
    #[must_use]
    pub fn imports(&self) -> &[String] {
        &self.imports
    }

    /// Its functions.
    #[must_use]
    pub fn signatures(&self) -> &[Signature] {
        &self.description.functions
    }

    /// The function `name`.
    #[must_use]
    pub fn signature(&self, name: &str) -> Option<&Signature> {
        self.signatures()
            .iter()
            .find(|signature| signature.name == name)
    }

    /// The conversions of old state that it has.
    #[must_use]
    pub fn migrations(&self) -> &[Migration] {
        &self.description.migrations
    }

    /// The conversion of states of version `from` of `function`.
    #[must_use]
    pub fn migration(&self, function: &str, from: u32) -> Option<&Migration> {
        self.migrations()
            .iter()
            .find(|migration| migration.function == function && migration.from_version == from)
    }

    /// What else it says of itself, as names and values.
    #[must_use]
    pub fn info(&self) -> &[(String, String)] {
        &self.description.info
    }
}

impl std::fmt::Debug for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Component")
            .field("plugin", &self.plugin)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Exports {
    fn find(code: &wasmtime::component::Component) -> Result<Self, LoadErrorKind> {
        let function = |interface: &str, function: &str| {
            let name = format!("{interface}@{}", wire::VERSION);
            let instance = code.get_export_index(None, &name)?;
            code.get_export_index(Some(&instance), function)
        };
        let required = |name| {
            function(PLUGIN, name).ok_or_else(|| match other_version(code) {
                Some(found) => LoadErrorKind::Version { found },
                None => LoadErrorKind::NotAPlugin { interface: PLUGIN },
            })
        };
        Ok(Self {
            describe: required("describe")?,
            open: required("open")?,
            migrate: function(PLUGIN, "migrate"),
            chunks: function("dshost:plugin/chunks", "process"),
            batch_pairs: function("dshost:plugin/batch-pairs", "process"),
            folds: function("dshost:plugin/folds", "fold"),
            updates: function("dshost:plugin/updates", "update"),
            records: function("dshost:plugin/records", "process"),
            time_out: function("dshost:plugin/records", "time-out"),
        })
    }
}

/// The contract as the component exports it, if in a version of its own.
fn other_version(code: &wasmtime::component::Component) -> Option<String> {
    let component = code.component_type();
    let found = component.exports(code.engine()).find(|(name, export)| {
        matches!(export.ty, ComponentItem::ComponentInstance(_))
            && name.split_once('@').is_some_and(|(interface, version)| {
                interface == PLUGIN && !imports::same_version(version)
            })
    });
    found.map(|(name, _)| name.to_owned())
}

/// Asks the component once what it holds, in an instance of its own.
fn describe(
    pre: &InstancePre<Guest>,
    exports: &Exports,
    plugin: &str,
    limits: &Limits,
) -> Result<Description, LoadErrorKind> {
    let voice = Arc::new(Voice::new(plugin, limits.log_lines));
    let mut store = new_store(pre.engine(), limits, voice);
    let ended = |store: &mut Store<Guest>, error: &wasmtime::Error| {
        LoadErrorKind::Describe(trap(error, store.data_mut()))
    };
    let instance = pre
        .instantiate(&mut store)
        .map_err(|error| ended(&mut store, &error))?;
    let describe: TypedFunc<(), (wire::Description,)> = instance
        .get_typed_func(&mut store, exports.describe)
        .map_err(|error| LoadErrorKind::Export {
            function: "describe",
            detail: format!("{error:#}"),
        })?;
    let (description,) = describe
        .call(&mut store, ())
        .map_err(|error| ended(&mut store, &error))?;
    store.data_mut().end();
    Ok(signature::check(description)?)
}

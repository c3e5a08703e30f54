//! What a component asks for, and what it gets.
//!
//! Imports are of three classes. *Inert* ones (WASI 0.2 as far as it holds nothing,
//! [`crate::plugin::wasi`]) and `dshost:plugin/host` are always linked, each under the exact name and
//! version that the component imports. *Granted* ones would come from the topology's `allow`; there
//! are none yet. Everything else refuses the component, by name.

use tracing::Level;
use wasmtime::component::types::{ComponentInstance, ComponentItem};
use wasmtime::component::{Component, ComponentType, Lift, Linker, LinkerInstance, WasmStr};
use wasmtime::{Engine, StoreContextMut};

use crate::plugin::guest::{Guest, HostTrap, counter_name};
use crate::plugin::{wasi, wire};

/// An import that keeps a component from being linked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Neither inert nor granted.
    #[error("it imports `{0}`, which this topology does not grant")]
    NotGranted(String),
    /// The contract in a version that is not spoken here.
    #[error("it imports `{import}`, but this dshost speaks version {ours} of `dshost:plugin`")]
    Version {
        /// The import.
        import: String,
        /// The version spoken here.
        ours: &'static str,
    },
    /// A function of the contract's `host` interface that this dshost does not have.
    #[error("it imports `{0}`, which this dshost does not offer")]
    NotOffered(String),
    /// The import exists, but not with this type.
    #[error("what it imports has another type here: {0}")]
    Type(String),
}

impl ImportError {
    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NotGranted(import)
                if import.starts_with("wasi:sockets/") || import.starts_with("wasi:http/") =>
            {
                "a plugin has no network; rebuild it without `std::net` and HTTP clients"
            }
            Self::NotGranted(_) => {
                "a plugin may import `dshost:plugin/host` and the parts of WASI 0.2 that hold nothing"
            }
            Self::Version { .. } | Self::NotOffered(_) | Self::Type(_) => {
                "rebuild it with the SDK of this dshost"
            }
        }
    }
}

/// The class of an import.
#[derive(Debug, PartialEq, Eq)]
enum Class<'a> {
    /// `wasi:cli/stdout`, without its version.
    Inert(&'a str),
    /// `dshost:plugin/host`.
    Host,
    /// A part of the contract that is declared and not yet available.
    NotYet,
    /// `dshost:plugin/types`, which holds types only.
    Types,
}

/// A linker that has all that `component` imports, and nothing else.
///
/// # Errors
///
/// The first import that is refused.
pub(super) fn link(engine: &Engine, component: &Component) -> Result<Linker<Guest>, ImportError> {
    let mut linker = Linker::new(engine);
    for (name, import) in component.component_type().imports(engine) {
        let class = class(name)?;
        // An import of the right name that is no instance is no interface.
        let ComponentItem::ComponentInstance(instance) = import.ty else {
            return Err(ImportError::NotGranted(name.to_owned()));
        };
        let mut into = linker.instance(name).map_err(|error| wrong_type(&error))?;
        match class {
            Class::Inert(interface) => {
                link_inert(engine, &mut into, interface, &instance)
                    .map_err(|error| wrong_type(&error))?;
            }
            Class::Host => link_host(engine, &mut into, name, &instance)?,
            Class::NotYet => {
                link_not_yet(engine, &mut into, name, &instance)
                    .map_err(|error| wrong_type(&error))?;
            }
            Class::Types => {}
        }
    }
    Ok(linker)
}

fn wrong_type(error: &wasmtime::Error) -> ImportError {
    ImportError::Type(format!("{error:#}"))
}

fn class(import: &str) -> Result<Class<'_>, ImportError> {
    let not_granted = || ImportError::NotGranted(import.to_owned());
    let (interface, version) = import.split_once('@').ok_or_else(not_granted)?;
    let (package, name) = interface.split_once('/').ok_or_else(not_granted)?;
    if package == wire::PACKAGE {
        if !same_version(version) {
            return Err(ImportError::Version {
                import: import.to_owned(),
                ours: wire::VERSION,
            });
        }
        return match name {
            "host" => Ok(Class::Host),
            "types" => Ok(Class::Types),
            "tables" | "accumulators" => Ok(Class::NotYet),
            _ => Err(ImportError::NotOffered(import.to_owned())),
        };
    }
    let released = version
        .strip_prefix("0.2.")
        .is_some_and(|patch| patch.parse::<u32>().is_ok());
    if wasi::PACKAGES.contains(&package) && released {
        return Ok(Class::Inert(interface));
    }
    Err(not_granted())
}

/// Whether `version` differs from ours in the patch level at most.
pub(super) fn same_version(version: &str) -> bool {
    let minor = |version: &str| version.rsplit_once('.').map(|(minor, _)| minor.to_owned());
    minor(version) == minor(wire::VERSION)
}

/// Functions that are there to be linked with, and end a call.
fn link_not_yet(
    engine: &Engine,
    into: &mut LinkerInstance<'_, Guest>,
    interface: &str,
    instance: &ComponentInstance,
) -> wasmtime::Result<()> {
    let functions = instance.exports(engine);
    let functions =
        functions.filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
    for (function, _) in functions {
        let name = format!("{interface}#{function}");
        into.func_new(function, move |_, _, _, _| {
            Err(HostTrap::NotYet(name.clone()).into())
        })?;
    }
    Ok(())
}

fn link_inert(
    engine: &Engine,
    into: &mut LinkerInstance<'_, Guest>,
    interface: &str,
    instance: &ComponentInstance,
) -> wasmtime::Result<()> {
    for (name, item) in instance.exports(engine) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => wasi::define(into, interface, name)?,
            ComponentItem::Resource(_) => wasi::define_resource(into, name)?,
            // Types have no definition.
            _ => {}
        }
    }
    Ok(())
}

#[derive(Clone, Copy, ComponentType, Lift)]
#[component(enum)]
#[repr(u8)]
#[expect(dead_code, reason = "only lifting makes them")]
enum LogLevel {
    #[component(name = "error")]
    Error,
    #[component(name = "warn")]
    Warn,
    #[component(name = "info")]
    Info,
    #[component(name = "debug")]
    Debug,
    #[component(name = "trace")]
    Trace,
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::ERROR,
            LogLevel::Warn => Self::WARN,
            LogLevel::Info => Self::INFO,
            LogLevel::Debug => Self::DEBUG,
            LogLevel::Trace => Self::TRACE,
        }
    }
}

fn link_host(
    engine: &Engine,
    into: &mut LinkerInstance<'_, Guest>,
    import: &str,
    instance: &ComponentInstance,
) -> Result<(), ImportError> {
    for (name, item) in instance.exports(engine) {
        match (name, item.ty) {
            ("log", ComponentItem::ComponentFunc(_)) => into.func_wrap(
                name,
                |store: StoreContextMut<'_, Guest>, (level, message): (LogLevel, WasmStr)| {
                    // A borrowed string where it is UTF-8, so a long one costs no memory.
                    let message = message.to_str(&store)?;
                    store.data().log(level.into(), &message);
                    Ok(())
                },
            ),
            ("counter", ComponentItem::ComponentFunc(_)) => into.func_wrap(
                name,
                |mut store: StoreContextMut<'_, Guest>, (name, amount): (WasmStr, u64)| {
                    let name = counter_name(&name.to_str(&store)?);
                    store.data_mut().count(name, amount);
                    Ok(())
                },
            ),
            (_, ComponentItem::ComponentFunc(_)) => {
                return Err(ImportError::NotOffered(format!("{import}#{name}")));
            }
            _ => Ok(()),
        }
        .map_err(|error| wrong_type(&error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_told_apart_by_name_and_version() {
        let not_granted = |name: &str| Err(ImportError::NotGranted(name.to_owned()));
        assert_eq!(
            class("wasi:cli/stdout@0.2.12"),
            Ok(Class::Inert("wasi:cli/stdout"))
        );
        assert_eq!(class("dshost:plugin/host@0.1.0"), Ok(Class::Host));
        assert_eq!(class("dshost:plugin/types@0.1.7"), Ok(Class::Types));
        for name in [
            "wasi:sockets/tcp@0.2.0",
            "wasi:http/types@0.2.0",
            "wasi:cli/stdout@0.3.0",
            "wasi:cli/stdout@0.2.0-rc-2023-11-10",
            "wasi:cli/stdout",
            "run",
            "my:own/thing@1.0.0",
        ] {
            assert_eq!(class(name), not_granted(name));
        }
        assert!(matches!(
            class("dshost:plugin/host@0.2.0"),
            Err(ImportError::Version { .. })
        ));
        assert_eq!(class("dshost:plugin/tables@0.1.0"), Ok(Class::NotYet));
        assert!(matches!(
            class("dshost:plugin/chairs@0.1.0"),
            Err(ImportError::NotOffered(_))
        ));
    }
}

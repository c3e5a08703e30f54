//! What is in a component.

use std::fmt::Write;
use std::path::Path;

use crate::batch::function::Signature;
use crate::cli::error::CliError;
use crate::cli::show;
use crate::plugin::{Component, ComponentFile, Engine, EngineConfig};
use crate::topology::plan::Limits;

/// Functions, types, docs, imports and size of a component.
pub(super) fn describe(path: &Path) -> Result<String, CliError> {
    let limits = Limits::default();
    let name = path.file_stem().unwrap_or_default().to_string_lossy();
    let engine = Engine::new(EngineConfig::default()).map_err(|error| CliError::job(&error))?;
    let component = ComponentFile::open(&name, path, &limits)
        .and_then(|file| engine.load(&file, &limits))
        .map_err(|error| CliError::usage(&error).maybe_hint(error.hint()))?;
    Ok(described(&component))
}

fn described(component: &Component) -> String {
    let mut out = String::new();
    let size = u64::try_from(component.size()).unwrap_or(u64::MAX);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{}  {}", component.digest(), show::bytes(size));
    for (name, value) in component.info() {
        let _ = writeln!(out, "{name}: {value}");
    }
    let _ = writeln!(out, "\nfunctions");
    for signature in component.signatures() {
        function(&mut out, component, signature);
    }
    let _ = writeln!(out, "\nimports");
    for import in component.imports() {
        let _ = writeln!(out, "  {import}");
    }
    out
}

fn function(out: &mut String, component: &Component, signature: &Signature) {
    let input: Vec<String> = signature.input.iter().map(ToString::to_string).collect();
    let params = if signature.params { ", params" } else { "" };
    let _ = writeln!(
        out,
        "  {} {}({}{params}) -> {}",
        signature.kind,
        signature.name,
        input.join(", "),
        signature.output,
    );
    if let Some(state) = signature.state {
        let changed = match state.only_changed {
            true => ", only keys with values",
            false => "",
        };
        let _ = writeln!(
            out,
            "      state {}, version {}{changed}",
            state.column_type, state.version
        );
    }
    let migrations = component.migrations().iter();
    for migration in migrations.filter(|one| one.function == signature.name) {
        let _ = writeln!(
            out,
            "      migrates from version {}, {}",
            migration.from_version, migration.column_type
        );
    }
    for line in signature.doc.lines() {
        let _ = writeln!(out, "      {}", line.trim());
    }
}

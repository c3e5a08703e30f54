//! `dshost graph`: the topology as a picture.
//!
//! A plan becomes a [`Picture`] (boxes of text and arrows between them), which becomes SVG
//! ([`svg`], laid out by [`layout`]), or text for programs that lay out by themselves
//! ([`mermaid`], [`dot`]). People look before they build, so a plugin that is missing costs the
//! types, not the picture.

mod dot;
mod layout;
mod mermaid;
mod picture;
mod svg;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::args::{GraphArgs, GraphFormat};
use super::check::standing;
use super::error::{CliError, Fault};
use super::load;
use super::tell::Teller;
use picture::Picture;

/// Draws the topology.
pub(super) fn graph(args: &GraphArgs, teller: &Teller) -> Result<(), CliError> {
    let plan = load::plan(&args.topology, teller)?;
    let types = standing(&plan).map(|standing| Arc::clone(&standing.deployment.types));
    if let Err(error) = &types {
        let what = error.to_string();
        let first = what.lines().next().unwrap_or_default();
        teller.note(&format!("drawn without types, because {first}"));
    }
    let picture = Picture::new(&plan, types.as_deref().ok());
    let text = match format(args)? {
        GraphFormat::Svg => svg::draw(&picture),
        GraphFormat::Mermaid => mermaid::write(&picture),
        GraphFormat::Dot => dot::write(&picture, &plan.name),
    };
    match &args.output {
        None => teller.print(&text),
        Some(path) => fs::write(path, teller.masks().text(&text).as_ref()).map_err(|error| {
            let message = format!("cannot write `{}`", path.display());
            CliError::new(Fault::Job, message).cause(error.to_string())
        }),
    }
}

/// The format that was asked for, or that the file's name says.
fn format(args: &GraphArgs) -> Result<GraphFormat, CliError> {
    let of_name = args.output.as_deref().and_then(Path::extension);
    match (args.format, of_name.and_then(|name| name.to_str())) {
        (Some(format), _) => Ok(format),
        (None, Some("svg")) => Ok(GraphFormat::Svg),
        (None, Some("mmd" | "mermaid" | "md")) => Ok(GraphFormat::Mermaid),
        (None, Some("dot" | "gv")) => Ok(GraphFormat::Dot),
        (None, Some(other)) => Err(CliError::new(
            Fault::Usage,
            format!("nothing is known to be drawn into a `.{other}` file"),
        )
        .hint("name it `.svg`, `.mmd` or `.dot`, or say `--format`")),
        (None, None) => Ok(GraphFormat::Svg),
    }
}

#[cfg(test)]
mod tests;

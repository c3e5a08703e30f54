//! `dshost check`: everything that `run` would check before the first batch.

use std::path::Path;

use super::args::TopologyArgs;
use super::error::CliError;
use super::tell::Teller;
use super::{failure, load};
use crate::driver::JobError;
use crate::driver::versions::deployment::{Deployment, Standing};
use crate::driver::versions::load::{PluginsError, load_plugins, plugin_engine};
use crate::plugin::Profiling;
use crate::sink::{self, SinkConnectors};
use crate::source::SourceConnectors;
use crate::topology::describe;
use crate::topology::plan::{Instances, Plan};

/// Checks the topology and its plugins, and tells the types of its streams.
pub(super) fn check(args: &TopologyArgs, teller: &Teller) -> Result<(), CliError> {
    let plan = load::plan(&args.topology, teller)?;
    let standing = standing(&plan)
        .map_err(|error| failure::describe(&JobError::Plugins(error), &args.topology))?;
    teller.print(&told(&args.topology, &plan, &standing))
}

/// The plan's plugins, bound to it.
pub(super) fn standing(plan: &Plan) -> Result<Standing, PluginsError> {
    let engine = plugin_engine(plan, 1, Profiling::Off)?;
    let deployment = Deployment::compose(plan, load_plugins(plan, &engine)?.components)?;
    Ok(Standing::first(plan, deployment)?)
}

fn told(topology: &Path, plan: &Plan, standing: &Standing) -> String {
    let types = &standing.deployment.types;
    let mut out = format!("{}: ok\n", topology.display());
    let connectors = SourceConnectors::default();
    for (source, record) in plan.sources.iter().zip(&types.sources) {
        let guarantee = connectors.guarantee(source);
        let guarantee = guarantee.map_or_else(String::new, |guarantee| format!(", {guarantee}"));
        out.push_str(&format!("  source {}: {record}{guarantee}\n", source.name));
    }
    for (index, (stream, record)) in plan.streams.iter().zip(&types.streams).enumerate() {
        let from: Vec<&str> = stream
            .from
            .iter()
            .map(|&upstream| plan.name_of(upstream))
            .collect();
        let functions: Vec<String> = describe::functions(stream).collect();
        let functions = match &functions[..] {
            [] => String::new(),
            functions => format!(" {}", functions.join(", ")),
        };
        let pace = describe::pace(stream, plan.settings.batch);
        let pace = pace.map_or_else(String::new, |pace| format!(", {pace}"));
        out.push_str(&format!(
            "  stream {}: {record} = {}{functions} of {}{pace}{}\n",
            stream.name,
            stream.op.name(),
            from.join(", "),
            state(index, standing),
        ));
    }
    // Opening a sink touches nothing.
    let context = sink::OpenContext {
        output: sink::print::stdout(),
        dir: load::folder(topology),
        observed: sink::observe::Observed::default(),
    };
    for sink in &plan.sinks {
        let from = sink.from.map(|from| plan.name_of(from));
        let from = from.unwrap_or("what is rejected");
        let opened = SinkConnectors::default().open(sink, &context);
        let guarantee = match opened {
            Ok(opened) => opened.sink.guarantee().to_string(),
            Err(error) => error.to_string(),
        };
        out.push_str(&format!("  sink {}: of {from}, {guarantee}\n", sink.name));
    }
    for note in notes(plan) {
        out.push_str(&format!("  note: {note}\n"));
    }
    out
}

/// What a stream holds from batch to batch, if that is a state.
fn state(stream: usize, standing: &Standing) -> String {
    let Some(state) = standing.deployment.types.states[stream] else {
        return String::new();
    };
    let mut out = format!(", state {} of version {}", state.column_type, state.version);
    if let Some(initial) = standing.initial.of(stream) {
        out.push_str(&format!(", {} keys to start with", initial.len()));
    }
    out
}

/// What holds, and a user might not expect.
fn notes(plan: &Plan) -> Vec<String> {
    let mut notes = Vec::new();
    if plan.settings.checkpoint.is_none() {
        notes.push("nothing survives the end of the process: `checkpoint = false`".to_owned());
    }
    let connectors = SourceConnectors::default();
    for source in &plan.sources {
        let note = connectors.note(source);
        notes.extend(note.map(|note| format!("source `{}`: {note}", source.name)));
    }
    for plugin in &plan.plugins.used {
        if plugin.instances == Instances::Job {
            notes.push(format!(
                "plugin `{}` keeps its instances: a replay is only as deterministic as it is",
                plugin.name
            ));
        }
    }
    notes
}

//! `dshost dev`: build and run, and build again at every save of a plugin's source.
//!
//! The running job takes what is built like any other new version: by watching its plugin
//! directory.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tracing::{info, warn};

use super::args::RunArgs;
use super::build::{BuildOptions, build};
use super::error::{CliError, Fault};
use super::inherited::Inherited;
use super::tell::Teller;
use super::{failure, load, run};

/// How long a burst of saves must be over before it is built.
const QUIET: Duration = Duration::from_millis(150);

/// Builds, runs, and builds again at every save.
pub(super) fn dev(args: &RunArgs, teller: &Teller) -> Result<(), CliError> {
    let plan = load::plan(&args.topology, teller)?;
    let (crates, into) = (plan.plugins.build, plan.plugins.dir);
    if crates.is_empty() {
        return Err(CliError::new(
            Fault::Usage,
            format!(
                "`{}` names no guest crates to build",
                args.topology.display()
            ),
        )
        .hint("list them: `build = [\"../my-plugin\"]` under `[plugins]`"));
    }
    build(&crates, &into, &BuildOptions::default()).map_err(|error| failure::build(&error))?;
    let (watcher, saves) = watch(&crates)?;
    std::thread::Builder::new()
        .name("builder".to_owned())
        .spawn(move || rebuild(&crates, &into, &saves))
        .map_err(|error| CliError::job(&error))?;
    let result = run::run(args, Inherited::default(), teller);
    // Until here saves were heard.
    drop(watcher);
    result
}

/// Hears saves in the crates' sources and manifests.
fn watch(crates: &[PathBuf]) -> Result<(notify::RecommendedWatcher, Receiver<()>), CliError> {
    let (hints, saves) = sync_channel(1);
    let heard = move |event: notify::Result<notify::Event>| {
        let Ok(event) = event else { return };
        let changes = event.kind.is_modify() || event.kind.is_create() || event.kind.is_remove();
        if changes && event.paths.iter().any(|path| is_source(path)) {
            // One hint that waits is as good as many.
            let _ = hints.try_send(());
        }
    };
    let fail = |error: notify::Error| {
        CliError::job(&error).hint("`dshost run` and `dshost build` do the same by hand")
    };
    let mut watcher = notify::recommended_watcher(heard).map_err(fail)?;
    for folder in crates {
        // Not the whole crate: its `target` changes with every build.
        watcher
            .watch(folder, RecursiveMode::NonRecursive)
            .map_err(fail)?;
        let sources = folder.join("src");
        if sources.is_dir() {
            watcher
                .watch(&sources, RecursiveMode::Recursive)
                .map_err(fail)?;
        }
    }
    Ok((watcher, saves))
}

fn is_source(path: &Path) -> bool {
    let is = |wanted: &str| {
        path.extension()
            .is_some_and(|extension| extension == wanted)
    };
    is("rs") || path.file_name().is_some_and(|name| name == "Cargo.toml")
}

/// Builds after every burst of saves. A build that fails changes nothing; cargo has said why.
fn rebuild(crates: &[PathBuf], into: &Path, saves: &Receiver<()>) {
    while saves.recv().is_ok() {
        while saves.recv_timeout(QUIET).is_ok() {}
        match build(crates, into, &BuildOptions::default()) {
            Ok(built) => info!(plugins = built.len(), "built, the next batch uses it"),
            Err(error) => warn!("not built, the old version runs on: {error}"),
        }
    }
}

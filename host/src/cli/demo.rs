//! `dshost demo`: the whole story in half a minute.
//!
//! A word count runs over TCP; on the way its `split` is edited and built again, and the job takes
//! it between two batches. Everything lives in a temporary directory.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::build::{BuildOptions, build};
use super::error::{CliError, Fault};
use super::stop::Stopper;
use super::tell::Teller;
use super::{failure, load, new, run};
use crate::driver::event::{Event, Mail};
use crate::driver::{Connectors, Job, JobOptions, PastOptions};
use crate::observe::status::Status;
use crate::plugin::Profiling;
use crate::sink::print;

/// What is fed, line by line, again and again.
const TEXT: &str = include_str!("demo.txt");

/// The plugin, as `dshost new plugin` would begin it, with words as they are written …
const BEFORE: &str = "line.split_whitespace()";

/// … and edited: without punctuation, which merges `be,` with `be`.
const AFTER: &str =
    "line.split(|c: char| !c.is_alphanumeric() && c != '\\'').filter(|word| !word.is_empty())";

/// Between two lines.
const LINE_PAUSE: Duration = Duration::from_millis(20);

/// Batches shown before the swap and after it.
const BATCHES_SHOWN: u64 = 3;

/// How long any one step may take before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs it.
pub(super) fn demo(teller: &Teller) -> Result<(), CliError> {
    let folder = tempfile::tempdir().map_err(|error| CliError::job(&error))?;
    let plugins = folder.path().join("plugins");
    teller.heading("1. a plugin: `split`, `pair` and `add` in Rust, compiled to a component");
    let plugin = new::plugin("words", folder.path())
        .map_err(|error| failure::new(&error))?
        .folder;
    build_demo(&plugin, &plugins)?;

    teller.heading("2. a job that counts the words of each half second, over TCP");
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| CliError::job(&error))?;
    let address = listener
        .local_addr()
        .map_err(|error| CliError::job(&error))?;
    let topology = folder.path().join("topology.toml");
    fs::write(&topology, topology_text(address)).map_err(|error| CliError::job(&error))?;
    let plan = load::plan(&topology, teller)?;
    let options = JobOptions {
        workers: plan.settings.workers,
        once: false,
        folder: folder.path().to_owned(),
        console: print::stdout(),
        connectors: Connectors::default(),
        past: PastOptions::default(),
        stop_after: None,
        profiling: Profiling::Off,
    };
    let describe = |error| failure::describe(&error, &topology);
    let job = Job::open(plan, options).map_err(describe)?;
    let mail = job.mail();
    // It ends with the process, or when the job closes the connection.
    thread::spawn(move || feed(&listener));

    let story = {
        let (plugin, plugins) = (plugin.clone(), plugins.clone());
        let teller = teller.clone();
        thread::spawn(move || {
            let result = tell(&mail, &plugin, &plugins, &teller);
            mail.tell(Event::Stop);
            result
        })
    };
    let ended = Stopper::listen(None).run(job).map_err(describe)?;
    match story.join() {
        Ok(result) => result?,
        Err(panic) => std::panic::resume_unwind(panic),
    }
    teller.heading("4. drained and done; what went through it:");
    run::summarize(&ended.status, teller);
    teller.heading("now your own: `dshost new topology clicks && dshost dev clicks/topology.toml`");
    Ok(())
}

/// The part that goes on beside the running job.
fn tell(mail: &Mail, plugin: &Path, plugins: &Path, teller: &Teller) -> Result<(), CliError> {
    let before = status_of(mail)?;
    wait(mail, "the first batches", |status| {
        status.batches >= BATCHES_SHOWN
    })?;
    teller.heading("3. `split` is edited to drop punctuation, and built again; the job runs on …");
    let source = plugin.join("src/lib.rs");
    let edit = |text: String| fs::write(&source, text.replace(BEFORE, AFTER));
    fs::read_to_string(&source)
        .and_then(edit)
        .map_err(|error| CliError::job(&error))?;
    build_demo(plugin, plugins)?;
    let swapped = |plugins: &std::collections::BTreeMap<String, _>| -> Option<String> {
        let plugin: &crate::observe::status::PluginStatus = plugins.get("words")?;
        let old = &before.plugins.get("words")?.digest;
        (plugin.digest != *old).then(|| plugin.since.map(|batch| batch.to_string()))?
    };
    wait(mail, "the swap", |status| {
        swapped(&status.plugins).is_some()
    })?;
    let status = status_of(mail)?;
    let since = swapped(&status.plugins).unwrap_or_default();
    teller.heading(&format!(
        "   … and counts with the new code from batch {since} on"
    ));
    let until = status.batches + BATCHES_SHOWN;
    wait(mail, "the batches after the swap", |status| {
        status.batches >= until
    })
}

fn status_of(mail: &Mail) -> Result<Status, CliError> {
    let ended = || CliError::new(Fault::Job, "the job has ended early".to_owned());
    mail.status().ok_or_else(ended)
}

fn wait(mail: &Mail, what: &str, done: impl Fn(&Status) -> bool) -> Result<(), CliError> {
    let begun = Instant::now();
    while !done(&status_of(mail)?) {
        if begun.elapsed() > PATIENCE {
            return Err(CliError::new(
                Fault::Job,
                format!("waited {PATIENCE:?} for {what}"),
            ));
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

fn build_demo(plugin: &Path, into: &Path) -> Result<(), CliError> {
    build(&[plugin.to_owned()], into, &BuildOptions::default())
        .map(drop)
        .map_err(|error| failure::build(&error))
}

/// Serves the text to whoever connects, at a steady rate.
fn feed(listener: &TcpListener) {
    for stream in listener.incoming().flatten() {
        // A client that leaves is no error.
        let _ = feed_client(stream);
    }
}

fn feed_client(mut stream: TcpStream) -> std::io::Result<()> {
    for line in TEXT.lines().cycle() {
        writeln!(stream, "{line}")?;
        thread::sleep(LINE_PAUSE);
    }
    Ok(())
}

fn topology_text(address: SocketAddr) -> String {
    format!(
        r#"[topology]
name = "demo"
batch = "500ms"
partitions = 4

[plugins]
dir = "plugins"

[source.lines]
type = "socket"
address = "{address}"

[stream.words]
from = "lines"
op = "flat_map"
function = "words/split"

[stream.pairs]
from = "words"
op = "map"
function = "words/pair"

[stream.counts]
from = "pairs"
op = "reduce_by_key"
function = "words/add"

[stream.top]
from = "counts"
op = "sort"
by = "value"
descending = true
limit = 8

[sink.console]
from = "top"
type = "print"
"#
    )
}

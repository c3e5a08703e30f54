//! What a command says: its result on standard output, and on standard error, beside the log lines,
//! errors, warnings, notes, the closing table.
//!
//! For people it is text as it stands; with `--log-format json` what goes to standard error is an
//! object a line, with the fields that log lines have (`timestamp`, `level`, `message`, `target`), so that whoever reads
//! the log reads all of it.
//!
//! **Invariant:** a standard error that cannot be written to changes nothing: no exit code, and no
//! job.
//! **Invariant:** nothing that came from the environment by `${VAR}` is said.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::Write;
use std::panic::PanicHookInfo;
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::args::LogFormat;
use super::error::{CliError, Fault};
use super::show;
use crate::observe::log;
use crate::observe::mask::Masks;
use crate::observe::status::OperatorStatus;
use crate::topology::Problems;
use crate::topology::problem::Severity;

/// Says things in the form that was asked for.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    format: LogFormat,
    masks: Masks,
}

impl Teller {
    /// Speaks the way log lines look.
    pub(super) fn new(format: LogFormat) -> Self {
        Self {
            format,
            masks: Masks::default(),
        }
    }

    /// What it does not show; the same for all its clones.
    pub(super) const fn masks(&self) -> &Masks {
        &self.masks
    }

    /// The environment, for `${VAR}`: what it gives is masked from then on. What is not Unicode is
    /// as good as unset.
    pub(super) fn environment(&self, name: &str) -> Option<String> {
        let value = std::env::var(name).ok()?;
        self.masks.hide(&value, &format!("${{{name}}}"));
        Some(value)
    }

    /// The result of a command, to standard output, which somebody may have closed.
    pub(super) fn print(&self, text: &str) -> Result<(), CliError> {
        let mut out = anstream::stdout();
        let text = self.masks.text(text);
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::new(
                Fault::Job,
                format!("cannot write to standard output: {error}"),
            )),
            _ => Ok(()),
        }
    }

    /// The same for a value, as JSON.
    pub(super) fn print_json(&self, value: &impl Serialize) -> Result<(), CliError> {
        let fail = |error| CliError::job(&error);
        let mut value = serde_json::to_value(value).map_err(fail)?;
        self.masks.json(&mut value);
        let text = serde_json::to_string_pretty(&value).map_err(fail)?;
        // It holds nothing any more that is to be masked, and must stay JSON.
        Self::new(self.format).print(&format!("{text}\n"))
    }

    /// Why a command ends; the exit code that says so.
    pub(super) fn error(&self, error: &CliError) -> ExitCode {
        match (self.format, &error.problems) {
            (LogFormat::Text, Some(problems)) => self.text(&format!("{problems}\n")),
            (LogFormat::Text, None) => {
                let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
                self.text(&format!("{red}dshost{red:#}: {error}\n"));
            }
            (LogFormat::Json, Some(problems)) => self.problems(problems),
            (LogFormat::Json, None) => {
                let mut object = object("ERROR", &error.message);
                object.insert("causes".to_owned(), json!(error.causes));
                object.insert("details".to_owned(), json!(error.details));
                object.insert("hint".to_owned(), json!(error.hint));
                self.line(object);
            }
        }
        error.exit_code()
    }

    /// All that is wrong with a file, or worth a look.
    pub(super) fn problems(&self, problems: &Problems) {
        if problems.is_empty() {
            return;
        }
        if self.format == LogFormat::Text {
            return self.text(&format!("{problems}\n"));
        }
        for problem in problems.list() {
            let level = match problem.severity {
                Severity::Error => "ERROR",
                Severity::Warning => "WARN",
            };
            let mut object = object(level, &problem.message);
            object.insert("file".to_owned(), json!(problems.file().to_string_lossy()));
            if let Some(place) = problem.place {
                object.insert("line".to_owned(), json!(place.line));
                object.insert("column".to_owned(), json!(place.column));
            }
            object.insert("hint".to_owned(), json!(problem.hint));
            self.line(object);
        }
        if problems.untold() > 0 {
            self.line(object(
                "ERROR",
                &format!("… and {} more", problems.untold()),
            ));
        }
    }

    /// A line of text that nobody needs to act on.
    pub(super) fn note(&self, what: &str) {
        match self.format {
            LogFormat::Text => self.text(&format!("note: {what}\n")),
            LogFormat::Json => self.line(object("INFO", what)),
        }
    }

    /// The next part of what is shown.
    pub(super) fn heading(&self, what: &str) {
        let bold = Style::new().bold();
        match self.format {
            LogFormat::Text => self.text(&format!("\n{bold}{what}{bold:#}\n")),
            LogFormat::Json => self.line(object("INFO", what)),
        }
    }

    /// What went through each operator.
    pub(super) fn operators(&self, operators: &[OperatorStatus]) {
        if self.format == LogFormat::Text {
            return self.text(&show::operators(operators));
        }
        for operator in operators {
            let mut object = object("INFO", "what went through an operator");
            if let Ok(Value::Object(figures)) = serde_json::to_value(operator) {
                let figures = figures.into_iter();
                object.extend(figures.map(|(name, value)| match name.as_str() {
                    "name" => ("operator".to_owned(), value),
                    _ => (name, value),
                }));
            }
            self.line(object);
        }
    }

    /// A thread that panicked.
    pub(super) fn panic(&self, panic: &PanicHookInfo<'_>) {
        let message = panic.payload_as_str().unwrap_or("no text");
        if self.format == LogFormat::Text {
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("without a name").to_owned();
            let place = panic
                .location()
                .map(ToString::to_string)
                .unwrap_or_default();
            self.text(&format!(
                "\nthread `{thread}` panicked at {place}:\n{message}\n"
            ));
            let backtrace = Backtrace::capture();
            if backtrace.status() == BacktraceStatus::Captured {
                self.text(&format!("{backtrace}\n"));
            }
            return;
        }
        let mut object = object("ERROR", &format!("a thread panicked: {message}"));
        object.insert("thread".to_owned(), json!(std::thread::current().name()));
        let place = panic.location().map(ToString::to_string);
        object.insert("location".to_owned(), json!(place));
        self.line(object);
    }

    /// A command line that cannot be read.
    pub(super) fn wrong_usage(&self, error: &clap::Error) {
        match self.format {
            // Where it cannot be written, nobody waits for it.
            LogFormat::Text => drop(error.print()),
            LogFormat::Json => {
                let said = error.to_string();
                let said = said.trim_end();
                self.line(object(
                    "ERROR",
                    said.strip_prefix("error: ").unwrap_or(said),
                ));
            }
        }
    }

    fn line(&self, mut object: Map<String, Value>) {
        let is_empty =
            |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
        object.retain(|_, value| !is_empty(value));
        let mut object = Value::Object(object);
        self.masks.json(&mut object);
        // Nobody may be there to read it.
        let _ = writeln!(std::io::stderr(), "{object}");
    }

    fn text(&self, text: &str) {
        // Nobody may be there to read it.
        let _ = anstream::stderr().write_all(self.masks.text(text).as_bytes());
    }
}

/// The fields that every line has.
fn object(level: &str, message: &str) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("timestamp".to_owned(), json!(log::timestamp()));
    object.insert("level".to_owned(), json!(level));
    object.insert("message".to_owned(), json!(message));
    object.insert("target".to_owned(), json!("dshost"));
    object
}

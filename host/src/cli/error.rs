//! The only place where errors become text.
//!
//! ```text
//! dshost: cannot load plugin `enrich` from `plugins/enrich.wasm`
//!   caused by: it imports `wasi:sockets/tcp@0.2.0`, which this topology does not grant
//!   hint: a plugin has no network; rebuild it without `std::net`
//! ```

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use crate::topology::Problems;

/// Why a command ends without having done what it was asked; each fault has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The job, a test or a build failed, and would fail again.
    Job,
    /// The command line, the topology or a plugin is wrong.
    Usage,
    /// What stood in the way may be gone at the next start, which goes on where this one ended.
    Again,
    /// Another process has the job.
    Fenced,
}

impl Fault {
    /// What the process ends with; 75 is `EX_TEMPFAIL` of `sysexits.h`.
    pub(super) const fn exit_code(self) -> u8 {
        match self {
            Self::Job => 1,
            Self::Usage => 2,
            Self::Again => 75,
            Self::Fenced => 76,
        }
    }
}

/// An error as the user sees it.
#[derive(Debug)]
pub(super) struct CliError {
    fault: Fault,
    pub(super) message: String,
    pub(super) causes: Vec<String>,
    pub(super) hint: Option<String>,
    /// Lines that stand as they are, below: such as a guest's backtrace.
    pub(super) details: Vec<String>,
    /// All that is wrong with a file, which stands for itself, in place of the message.
    pub(super) problems: Option<Box<Problems>>,
}

impl CliError {
    /// An error without causes.
    #[must_use]
    pub(super) fn new(fault: Fault, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            fault,
            message,
            causes: Vec::new(),
            hint: None,
            details: Vec::new(),
            problems: None,
        }
    }

    /// The job failed, and why.
    #[must_use]
    pub(super) fn job(error: &dyn Error) -> Self {
        Self::from_error(Fault::Job, error)
    }

    /// The user's input is wrong, and why.
    #[must_use]
    pub(super) fn usage(error: &dyn Error) -> Self {
        Self::from_error(Fault::Usage, error)
    }

    fn from_error(fault: Fault, error: &dyn Error) -> Self {
        let mut this = Self::new(fault, error.to_string());
        let mut cause = error.source();
        while let Some(error) = cause {
            this.causes.push(error.to_string());
            cause = error.source();
        }
        this
    }

    /// The same for another fault.
    #[must_use]
    pub(super) const fn of(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }

    /// Names what lies behind it.
    #[must_use]
    pub(super) fn cause(mut self, cause: impl Into<String>) -> Self {
        self.causes.push(cause.into());
        self
    }

    /// All that is wrong with a file.
    #[must_use]
    pub(super) fn problems(problems: &Problems) -> Self {
        let mut this = Self::new(Fault::Usage, problems.to_string());
        this.problems = Some(Box::new(problems.clone()));
        this
    }

    /// Says what the user can do.
    #[must_use]
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says what the user can do, if anybody knows.
    #[must_use]
    pub(super) fn maybe_hint(mut self, hint: Option<impl Into<String>>) -> Self {
        self.hint = hint.map(Into::into);
        self
    }

    /// Adds lines that stand as they are.
    #[must_use]
    pub(super) fn details(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.details.extend(lines);
        self
    }

    /// What the process ends with.
    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.fault.exit_code())
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for cause in &self.causes {
            write!(f, "\n  caused by: {}", cause.replace('\n', "\n  "))?;
        }
        for line in &self.details {
            write!(f, "\n  {line}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn an_error_shows_what_was_attempted_then_the_cause_then_a_hint() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read `t.toml`")]
        struct Outer(#[source] std::io::Error);

        let error = Outer(std::io::Error::other("the disk is on fire"));
        let error = CliError::usage(&error)
            .details(["at line 1".to_owned()])
            .hint("pour water");
        expect![[r#"
            cannot read `t.toml`
              caused by: the disk is on fire
              at line 1
              hint: pour water"#]]
        .assert_eq(&error.to_string());
    }
}

//! What is wrong with a file, said so that it can be mended: where, what, and a hint.
//!
//! A pass never stops at its first problem; it records it in [`Problems`] and goes on with what it
//! knows. What follows only from a problem already told is not told again.
//!
//! **Invariant:** no message holds a value that came from the environment.
//! **Invariant:** a message is one line of printable characters, whatever the file holds.

use std::fmt;
use std::path::{Path, PathBuf};

use super::plan::Place;

/// Problems told per file; of more, only the number is told.
pub const MAX_PROBLEMS: usize = 100;

/// Characters of a foreign name that a message repeats.
const MAX_QUOTED_CHARS: usize = 80;

/// Known names that a hint lists when none is near.
const MAX_LISTED: usize = 12;

/// Names compared with an unknown one in search of the nearest.
const MAX_COMPARED: usize = 1000;

/// Whether a problem keeps the topology from running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It does.
    Error,
    /// It is only worth a look.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where; none if it concerns the file as a whole.
    pub place: Option<Place>,
    /// What is wrong, in one line.
    pub message: String,
    /// What would be right, in one line.
    pub hint: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

/// All that is wrong with one file, or all that is worth a look.
#[derive(Clone, Debug, Default, PartialEq, Eq, thiserror::Error)]
pub struct Problems {
    file: PathBuf,
    list: Vec<Problem>,
    untold: usize,
}

// === impl Problem ===

impl Problem {
    /// An error.
    #[must_use]
    pub fn error(place: Option<Place>, message: &str) -> Self {
        Self {
            place,
            message: printable(message),
            hint: None,
            severity: Severity::Error,
        }
    }

    /// A warning.
    #[must_use]
    pub fn warning(place: Option<Place>, message: &str) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(place, message)
        }
    }

    /// With what would be right.
    #[must_use]
    pub fn hint(mut self, hint: impl AsRef<str>) -> Self {
        self.hint = Some(printable(hint.as_ref()));
        self
    }

    /// With the known name nearest to `unknown` as hint, or the known names if none is near.
    #[must_use]
    pub fn suggest<'n>(self, unknown: &str, known: impl IntoIterator<Item = &'n str>) -> Self {
        let known: Vec<&str> = known.into_iter().take(MAX_COMPARED).collect();
        let Some(nearest) = nearest(unknown, &known) else {
            return self.list(&known);
        };
        self.hint(format!("did you mean {}?", quoted(nearest)))
    }

    /// With `known` as hint, if there are any.
    fn list(self, known: &[&str]) -> Self {
        match known {
            [] => self,
            [one] => self.hint(format!("it can only be {}", quoted(one))),
            _ => {
                let named = known.iter().take(MAX_LISTED).map(|name| quoted(name));
                let more = if known.len() > MAX_LISTED {
                    ", …"
                } else {
                    ""
                };
                let named: Vec<String> = named.collect();
                self.hint(format!("one of {}{more}", named.join(", ")))
            }
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = self.place {
            write!(f, "{}:{}: ", place.line, place.column)?;
        }
        if self.severity == Severity::Warning {
            f.write_str("warning: ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

// === impl Problems ===

impl Problems {
    /// None yet, of `file`; of no named file if the path is empty.
    #[must_use]
    pub fn new(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            list: Vec::new(),
            untold: 0,
        }
    }

    /// A single one.
    #[must_use]
    pub fn one(file: &Path, problem: Problem) -> Self {
        let mut problems = Self::new(file);
        problems.add(problem);
        problems
    }

    /// The same problems, told of `file`.
    #[must_use]
    pub fn in_file(mut self, file: &Path) -> Self {
        file.clone_into(&mut self.file);
        self
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// What there is to tell, at most [`MAX_PROBLEMS`].
    #[must_use]
    pub fn list(&self) -> &[Problem] {
        &self.list
    }

    /// The file; empty where none is named.
    #[must_use]
    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// How many more there are than [`Self::list`] has.
    #[must_use]
    pub(crate) const fn untold(&self) -> usize {
        self.untold
    }

    /// Adds one.
    pub fn add(&mut self, problem: Problem) {
        self.add_with(|| problem);
    }

    /// Adds one that is worked out only if it is told: searching the nearest name costs.
    pub(super) fn add_with(&mut self, problem: impl FnOnce() -> Problem) {
        if self.list.len() >= MAX_PROBLEMS {
            self.untold += 1;
            return;
        }
        let problem = problem();
        if !self.list.contains(&problem) {
            self.list.push(problem);
        }
    }

    /// The same, by position.
    #[must_use]
    pub(super) fn sorted(mut self) -> Self {
        self.list.sort_by_key(|problem| problem.place);
        self
    }

    /// Nothing if there are none, else all by position.
    ///
    /// # Errors
    ///
    /// The problems.
    pub fn into_result(self) -> Result<(), Self> {
        match self.is_empty() {
            true => Ok(()),
            false => Err(self.sorted()),
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.list.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            if !self.file.as_os_str().is_empty() {
                write!(f, "{}:", self.file.display())?;
                if problem.place.is_none() {
                    f.write_str(" ")?;
                }
            }
            write!(f, "{problem}")?;
        }
        if self.untold > 0 {
            write!(f, "\n… and {} more", self.untold)?;
        }
        Ok(())
    }
}

// === Words ===

/// An error and its causes in one line.
#[must_use]
pub fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// A name as messages show it: in backticks, and not endless.
#[must_use]
pub fn quoted(name: &str) -> String {
    let mut shown: String = name.chars().take(MAX_QUOTED_CHARS).collect();
    if shown.len() < name.len() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// Names in backticks, as `a, b and c`.
#[must_use]
pub(super) fn listed<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    match names.as_slice() {
        [rest @ .., before, last] => {
            let rest: String = rest.iter().map(|name| format!("{name}, ")).collect();
            format!("{rest}{before} and {last}")
        }
        [one] => one.clone(),
        [] => String::new(),
    }
}

/// The name that was probably meant: at most a third of its letters wrong.
pub(crate) fn nearest<'n>(unknown: &str, known: &[&'n str]) -> Option<&'n str> {
    // The unknown name is foreign and may be megabytes long, where the distance costs the product.
    if unknown.len() > MAX_QUOTED_CHARS {
        return None;
    }
    known
        .iter()
        .filter(|name| name.len() <= MAX_QUOTED_CHARS)
        .map(|name| (strsim::damerau_levenshtein(unknown, name), *name))
        .filter(|(distance, name)| *distance <= 1.max(name.len() / 3) && name.len() > 1)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Keeps what a terminal could take for a command out of a message: names come from the file.
fn printable(text: &str) -> String {
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn at(line: usize, column: usize) -> Option<Place> {
        Some(Place { line, column })
    }

    #[test]
    fn problems_are_told_by_position_each_once() {
        let mut problems = Problems::new(Path::new("t.toml"));
        problems.add(Problem::error(at(3, 1), "second").hint("do this"));
        problems.add(Problem::error(at(1, 9), "first"));
        problems.add(Problem::error(at(1, 9), "first"));
        problems.add(Problem::error(None, "of the file"));
        let told = problems.into_result().unwrap_err().to_string();
        expect![[r"
            t.toml: of the file
            t.toml:1:9: first
            t.toml:3:1: second
              hint: do this"]]
        .assert_eq(&told);
    }

    #[test]
    fn a_flood_of_problems_is_counted() {
        let mut problems = Problems::new(Path::new("t.toml"));
        for line in 0..MAX_PROBLEMS + 7 {
            problems.add(Problem::error(at(line, 1), "wrong"));
        }
        let told = problems.to_string();
        assert_eq!(told.lines().count(), MAX_PROBLEMS + 1);
        assert!(told.ends_with("… and 7 more"), "{told}");
    }

    #[test]
    fn the_nearest_name_is_proposed_and_else_all_are_listed() {
        let hint = |unknown: &str, known: &[&str]| {
            let problem = Problem::error(None, "x").suggest(unknown, known.iter().copied());
            problem.hint.unwrap_or_default()
        };
        assert_eq!(hint("linse", &["words", "lines"]), "did you mean `lines`?");
        assert_eq!(hint("tot", &["words", "lines"]), "one of `words`, `lines`");
        assert_eq!(hint("tot", &["words"]), "it can only be `words`");
        assert_eq!(hint("tot", &[]), "");
    }

    #[test]
    fn a_message_holds_no_terminal_command_and_no_endless_name() {
        let problem = Problem::error(None, &format!("{} is wrong", quoted("\u{1b}[2J\n")));
        assert_eq!(problem.message, "`\\u{1b}[2J\\n` is wrong");
        assert_eq!(quoted(&"x".repeat(1_000_000)).chars().count(), 83);
    }
}

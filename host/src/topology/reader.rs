//! Walks a parsed file and says what is wrong with it, with positions.
//!
//! A [`Reader`] holds what every element needs: the text for positions, the environment, the
//! directory that paths are relative to, and the problems found. A value of the wrong type is told
//! at once and then counts as absent.
//!
//! **Invariant:** what the environment gave is in [`Text::value`] only; messages show
//! [`Text::raw`].

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::item::{Item, Offset};
use super::plan::Place;
use super::problem::{Problem, Problems, quoted};
use super::units;

/// Looks up a variable of the environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

const DURATION_HINT: &str =
    "write a duration such as `\"500ms\"`, `\"30s\"`, `\"10m\"` or `\"1h\"`";

const SIZE_HINT: &str = "write a size such as `\"512B\"`, `\"64KiB\"`, `\"256MiB\"` or `\"1GiB\"`";

/// What reading any element takes.
pub(super) struct Reader<'a> {
    lines: Lines<'a>,
    base: &'a Path,
    /// For `${VAR}`, which is left as it is where there is none.
    pub environment: Option<Environment<'a>>,
    /// The errors found so far.
    pub problems: Problems,
    /// What was found worth a look.
    pub warnings: Problems,
}

/// Where lines start in a text.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    /// The last answer, from which the next is counted: a line may be megabytes long.
    last: Cell<(Offset, Place)>,
}

/// A text of the file.
#[derive(Clone)]
pub(super) struct Text<'t> {
    /// As it stands in the file; for messages.
    pub raw: &'t str,
    /// With what the environment holds for it.
    pub value: Cow<'t, str>,
    /// Where it stands.
    pub at: Offset,
}

/// A duration of the file.
#[derive(Clone, PartialEq)]
pub(super) struct Located {
    /// The duration.
    pub duration: Duration,
    /// As it stands in the file; for messages.
    pub raw: String,
    /// Where it stands.
    pub at: Offset,
}

// === impl Lines ===

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0).chain(ends.map(|(end, _)| end + 1));
        Self {
            text,
            starts: starts.collect(),
            last: Cell::default(),
        }
    }

    /// Line and column, in characters, of a byte.
    pub(super) fn place(&self, at: Offset) -> Place {
        let end = self.text.floor_char_boundary(at.0);
        let line = self.starts.partition_point(|start| *start <= end);
        let (start, column) = match self.last.get() {
            (last, place) if place.line == line && last.0 <= end => (last.0, place.column),
            _ => (self.starts[line - 1], 1),
        };
        let before = &self.text[start..end];
        // A byte order mark is no character that an editor shows.
        let before = match start {
            0 => before.strip_prefix('\u{feff}').unwrap_or(before),
            _ => before,
        };
        let column = column + before.chars().count();
        let place = Place { line, column };
        self.last.set((Offset(end), place));
        place
    }
}

// === impl Reader ===

impl<'a> Reader<'a> {
    /// Reads `text` of `file`.
    pub(super) fn new(file: &'a Path, text: &'a str, environment: Option<Environment<'a>>) -> Self {
        Self {
            lines: Lines::new(text),
            base: file.parent().unwrap_or(Path::new("")),
            environment,
            problems: Problems::new(file),
            warnings: Problems::new(file),
        }
    }

    pub(super) fn place(&self, at: Offset) -> Place {
        self.lines.place(at)
    }

    // --- Telling ---

    /// Tells an error.
    pub(super) fn wrong(&mut self, at: Offset, message: &str) {
        let place = self.place(at);
        self.problems
            .add_with(|| Problem::error(Some(place), message));
    }

    /// Tells an error, and what would be right.
    pub(super) fn wrong_hint(&mut self, at: Offset, message: &str, hint: &str) {
        let lines = &self.lines;
        self.problems
            .add_with(|| Problem::error(Some(lines.place(at)), message).hint(hint));
    }

    /// Tells that `name` is none of `known`.
    pub(super) fn unknown<'n>(
        &mut self,
        at: Offset,
        message: &str,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        let lines = &self.lines;
        self.problems
            .add_with(|| Problem::error(Some(lines.place(at)), message).suggest(name, known));
    }

    /// Tells that something known cannot be had yet.
    pub(super) fn later(&mut self, at: Offset, what: &str) {
        self.wrong(at, &format!("{what} is not yet available"));
    }

    /// Tells what is only worth a look.
    pub(super) fn warn(&mut self, at: Offset, message: &str, hint: &str) {
        let lines = &self.lines;
        self.warnings
            .add_with(|| Problem::warning(Some(lines.place(at)), message).hint(hint));
    }

    fn wrong_type(&mut self, item: &Item<'_>, wanted: &str) {
        let given = type_name(item.value);
        self.wrong(item.at, &format!("{} is {given}, not {wanted}", item.name));
    }

    // --- Reading values ---

    pub(super) fn text<'t>(&mut self, item: &Item<'t>) -> Option<Text<'t>> {
        let DeValue::String(raw) = item.value else {
            self.wrong_type(item, "a text");
            return None;
        };
        let value = self.substituted(raw, item)?;
        Some(Text {
            raw,
            value,
            at: item.at,
        })
    }

    pub(super) fn duration(&mut self, item: &Item<'_>) -> Option<Duration> {
        self.with_unit(item, "a duration", DURATION_HINT, units::duration)
    }

    /// A duration, as it stands in the file.
    pub(super) fn located(&mut self, item: &Item<'_>) -> Option<Located> {
        let duration = self.duration(item)?;
        Some(Located {
            duration,
            raw: item.value.as_str().unwrap_or_default().to_owned(),
            at: item.at,
        })
    }

    pub(super) fn size(&mut self, item: &Item<'_>) -> Option<usize> {
        self.with_unit(item, "a size", SIZE_HINT, units::size)
    }

    fn with_unit<T>(
        &mut self,
        item: &Item<'_>,
        wanted: &str,
        hint: &str,
        read: fn(&str) -> Result<T, units::UnitError>,
    ) -> Option<T> {
        if !matches!(item.value, DeValue::String(_)) {
            let given = type_name(item.value);
            let message = format!("{} is {given}, not {wanted}", item.name);
            self.wrong_hint(item.at, &message, hint);
            return None;
        }
        let text = self.text(item)?;
        match read(&text.value) {
            Ok(value) => Some(value),
            Err(error) => {
                let message = format!("{} is {}, which {error}", item.name, quoted(text.raw));
                self.wrong_hint(item.at, &message, hint);
                None
            }
        }
    }

    /// An integer within `range`, of which every number fits into `T`.
    pub(super) fn integer<T: TryFrom<u64>>(
        &mut self,
        item: &Item<'_>,
        range: RangeInclusive<u64>,
    ) -> Option<T> {
        let DeValue::Integer(integer) = item.value else {
            self.wrong_type(item, "an integer");
            return None;
        };
        let value = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        let value = value.and_then(|value| u64::try_from(value).ok());
        let value = value.filter(|value| range.contains(value));
        let value = value.and_then(|value| T::try_from(value).ok());
        if value.is_none() {
            let shown = quoted(&integer.to_string());
            let message = format!("{} is {shown}, which is out of range", item.name);
            let hint = match *range.end() {
                u64::MAX => format!("it is {} or more", range.start()),
                end => format!("it is {} to {end}", range.start()),
            };
            self.wrong_hint(item.at, &message, &hint);
        }
        value
    }

    /// Refuses a `value` outside `range`.
    pub(super) fn within<T: PartialOrd>(
        &mut self,
        item: &Item<'_>,
        value: T,
        range: &RangeInclusive<T>,
        show: fn(&T) -> String,
    ) -> Option<T> {
        if range.contains(&value) {
            return Some(value);
        }
        let message = format!("{} is out of range", item.name);
        let hint = format!("it is {} to {}", show(range.start()), show(range.end()));
        self.wrong_hint(item.at, &message, &hint);
        None
    }

    /// A number that is not negative.
    pub(super) fn number(&mut self, item: &Item<'_>) -> Option<f64> {
        let number = match item.value {
            DeValue::Integer(integer) => {
                let integer = i64::from_str_radix(integer.as_str(), integer.radix());
                integer.ok().map(|integer| integer as f64)
            }
            DeValue::Float(float) => float.as_str().parse().ok(),
            _ => {
                self.wrong_type(item, "a number");
                return None;
            }
        };
        let number = number.filter(|number: &f64| number.is_finite() && *number >= 0.0);
        if number.is_none() {
            let message = format!("{} is no number from 0 on", item.name);
            self.wrong(item.at, &message);
        }
        number
    }

    pub(super) fn boolean(&mut self, item: &Item<'_>) -> Option<bool> {
        let value = item.value.as_bool();
        if value.is_none() {
            self.wrong_type(item, "`true` or `false`");
        }
        value
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &mut self,
        item: &Item<'_>,
        choices: &[(&'static str, T)],
    ) -> Option<T> {
        let text = self.text(item)?;
        let found = choices.iter().find(|(name, _)| *name == text.value);
        if found.is_none() {
            let message = format!("{} cannot be {}", item.name, quoted(text.raw));
            let names = choices.iter().map(|(name, _)| *name);
            // What the environment gave is not compared: the nearest name would tell of it.
            self.unknown(text.at, &message, text.raw, names);
        }
        found.map(|(_, value)| *value)
    }

    /// A path, relative to the file.
    pub(super) fn path(&mut self, item: &Item<'_>) -> Option<PathBuf> {
        let text = self.text(item)?;
        if text.value.is_empty() || text.value.contains('\0') {
            self.wrong(text.at, &format!("{} is no path", item.name));
            return None;
        }
        Some(self.base.join(text.value.as_ref()))
    }

    /// A path, relative to the file, that the host chose.
    pub(super) fn default_path(&self, path: &str) -> PathBuf {
        self.base.join(path)
    }

    /// The elements of an array.
    pub(super) fn items<'t>(&mut self, item: &Item<'t>) -> Option<Vec<Item<'t>>> {
        let DeValue::Array(array) = item.value else {
            self.wrong_type(item, "an array");
            return None;
        };
        let name: Rc<str> = format!("an element of {}", item.name).into();
        let element = |element: &'t Spanned<DeValue<'t>>| Item {
            key: "",
            key_at: Offset(element.span().start),
            name: Rc::clone(&name),
            at: Offset(element.span().start),
            value: element.get_ref(),
        };
        Some(array.iter().map(element).collect())
    }

    /// Puts the environment into `${VAR}`; `$${` is a plain `${`.
    fn substituted<'t>(&mut self, raw: &'t str, item: &Item<'_>) -> Option<Cow<'t, str>> {
        let Some(environment) = self.environment.filter(|_| raw.contains("${")) else {
            return Some(Cow::Borrowed(raw));
        };
        let mut value = String::new();
        let mut rest = raw;
        while let Some(start) = rest.find("${") {
            let (before, after) = (&rest[..start], &rest[start + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                value.push_str(before);
                value.push_str("${");
                rest = after;
                continue;
            }
            value.push_str(before);
            let Some((name, after)) = after.split_once('}') else {
                let message = format!("{} has a `${{` without a `}}`", item.name);
                self.wrong_hint(item.at, &message, "write `$${` for a plain `${`");
                return None;
            };
            let Some(found) = environment(name) else {
                let name = quoted(name);
                let message = format!("{} needs {name}, which is not set", item.name);
                let hint = "set it in the environment; a plain `${` is written `$${`";
                self.wrong_hint(item.at, &message, hint);
                return None;
            };
            value.push_str(&found);
            rest = after;
        }
        value.push_str(rest);
        Some(Cow::Owned(value))
    }
}

/// What a value is, in words.
pub(super) const fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a float",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

//! What a plugin says of itself, checked before anyone believes or prints it.

use std::collections::BTreeSet;

use crate::batch::function::{Kind, Signature, StateSignature};
use crate::batch::{ColumnType, RecordType};

use super::escape::{escape, is_unprintable};
use super::wire;

/// Functions, migrations and info pairs of one plugin, each.
const MAX_ENTRIES: usize = 1024;

/// Characters of a name.
const MAX_NAME_CHARACTERS: usize = 128;

/// Characters of a description or of an info value that are kept.
const MAX_TEXT_CHARACTERS: usize = 4096;

/// All that a plugin holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Its functions, in its own order; the names are distinct.
    pub functions: Vec<Signature>,
    /// The conversions of old state that it has.
    pub migrations: Vec<Migration>,
    /// Open-ended: `language`, `sdk`, `version` … as names and values.
    pub info: Vec<(String, String)>,
}

/// A conversion of old state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// The stateful function.
    pub function: String,
    /// The state version that it takes.
    pub from_version: u32,
    /// The column type of that version.
    pub column_type: ColumnType,
}

/// A description that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DescriptionError {
    /// More of something than any plugin has.
    #[error("it lists {count} {what}, more than {MAX_ENTRIES}")]
    TooMany {
        /// Functions, migrations or info pairs.
        what: &'static str,
        /// How many.
        count: usize,
    },
    /// A name that nobody could write in a topology.
    #[error(
        "`{0}` is no name: it is empty, too long, or has a character that does not belong there"
    )]
    Name(String),
    /// Two functions of one name.
    #[error("it has two functions named `{0}`")]
    Duplicate(String),
    /// A signature that its kind does not have.
    #[error("function `{function}` of kind {kind} {problem}")]
    Signature {
        /// The function.
        function: String,
        /// Its kind.
        kind: Kind,
        /// What does not fit.
        problem: &'static str,
    },
    /// A migration for a function that has no state, or is not there.
    #[error("it migrates the state of `{0}`, which has none")]
    Migration(String),
}

/// Takes what `describe` answered.
///
/// # Errors
///
/// The first thing that makes no sense.
pub(super) fn check(description: wire::Description) -> Result<Description, DescriptionError> {
    let wire::Description {
        functions,
        migrations,
        info,
    } = description;
    // Guest-controlled lists: bounded before anything is made of them.
    let counts = [
        ("functions", functions.len()),
        ("migrations", migrations.len()),
        ("info pairs", info.len()),
    ];
    if let Some(&(what, count)) = counts.iter().find(|(_, count)| *count > MAX_ENTRIES) {
        return Err(DescriptionError::TooMany { what, count });
    }
    let functions: Vec<Signature> = functions
        .into_iter()
        .map(function)
        .collect::<Result<_, _>>()?;
    let mut names = BTreeSet::new();
    for signature in &functions {
        if !names.insert(signature.name.as_str()) {
            return Err(DescriptionError::Duplicate(signature.name.clone()));
        }
    }
    let migrations = migrations
        .into_iter()
        .map(|migration| {
            let stateful = functions
                .iter()
                .any(|signature| signature.name == migration.function && signature.state.is_some());
            if !stateful {
                let name = escape(&migration.function, MAX_NAME_CHARACTERS);
                return Err(DescriptionError::Migration(name));
            }
            Ok(Migration {
                function: migration.function,
                from_version: migration.from_version,
                column_type: migration.column_type.into(),
            })
        })
        .collect::<Result<_, _>>()?;
    let info = info
        .into_iter()
        .map(|info| Ok((name(info.name)?, text(&info.value))))
        .collect::<Result<_, _>>()?;
    Ok(Description {
        functions,
        migrations,
        info,
    })
}

fn function(function: wire::Function) -> Result<Signature, DescriptionError> {
    let signature = Signature {
        name: name(function.name)?,
        kind: function.kind.into(),
        input: function.input.into_iter().map(Into::into).collect(),
        output: function.output.into(),
        state: function.state.map(|state| StateSignature {
            column_type: state.column_type.into(),
            version: state.version,
            only_changed: state.only_changed,
        }),
        params: function.params,
        doc: text(&function.doc),
    };
    match problem(&signature) {
        None => Ok(signature),
        Some(problem) => Err(DescriptionError::Signature {
            function: signature.name,
            kind: signature.kind,
            problem,
        }),
    }
}

/// What is wrong with a signature, as the end of a sentence.
fn problem(signature: &Signature) -> Option<&'static str> {
    let Signature {
        kind,
        input,
        output,
        state,
        ..
    } = signature;
    let stateful = matches!(kind, Kind::UpdateState | Kind::MapWithState);
    let wrong_key = |record: &RecordType| record.key.is_some_and(|key| !key.can_be_key());
    match (kind, input.as_slice()) {
        (Kind::TransformWith, [_, _]) => {}
        (Kind::TransformWith, _) => return Some("must take two inputs"),
        (_, [_]) => {}
        _ => return Some("must take one input"),
    }
    if input.iter().any(wrong_key) || wrong_key(output) {
        return Some("has keys of float64, which is no key");
    }
    if stateful != state.is_some() {
        return Some(if stateful {
            "must say what its state is"
        } else {
            "cannot have state"
        });
    }
    if state.is_some_and(|state| state.version == 0) {
        return Some("counts the versions of its state from 1, not from 0");
    }
    match kind {
        Kind::Filter | Kind::Reduce | Kind::Inverse if *output != input[0] => {
            Some("must give what it takes")
        }
        Kind::MapValues | Kind::FlatMapValues if input[0].key.or(output.key).is_some() => {
            Some("cannot have keys in its types")
        }
        _ => None,
    }
}

fn name(name: String) -> Result<String, DescriptionError> {
    let wrong = |character: char| {
        is_unprintable(character) || character.is_whitespace() || matches!(character, '/' | '`')
    };
    let length = name.chars().take(MAX_NAME_CHARACTERS + 1).count();
    if length == 0 || length > MAX_NAME_CHARACTERS || name.contains(wrong) {
        return Err(DescriptionError::Name(escape(&name, MAX_NAME_CHARACTERS)));
    }
    Ok(name)
}

/// A text of several lines, cut and made printable.
fn text(text: &str) -> String {
    let cut: String = text.chars().take(MAX_TEXT_CHARACTERS).collect();
    let lines: Vec<String> = cut
        .lines()
        .map(|line| escape(line, MAX_TEXT_CHARACTERS))
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    const TEXT: wire::RecordType = wire::RecordType {
        key: None,
        value: wire::ColumnType::Text,
    };

    fn upper() -> wire::Function {
        wire::Function {
            name: "upper".to_owned(),
            kind: wire::Kind::Map,
            input: vec![TEXT],
            output: TEXT,
            state: None,
            params: false,
            doc: "Shouts.\nLoud \u{1b}[1m".to_owned(),
        }
    }

    fn described(functions: Vec<wire::Function>) -> Result<Description, DescriptionError> {
        check(wire::Description {
            functions,
            migrations: Vec::new(),
            info: Vec::new(),
        })
    }

    #[expect(
        clippy::needless_pass_by_value,
        reason = "expectations are written in place"
    )]
    fn check_refused(change: impl FnOnce(&mut wire::Function), expected: Expect) {
        let mut function = upper();
        change(&mut function);
        let error = described(vec![function]).expect_err("refused");
        expected.assert_eq(&error.to_string());
    }

    #[test]
    fn a_description_is_made_printable() {
        let description = described(vec![upper()]).unwrap();
        assert_eq!(description.functions[0].doc, "Shouts.\nLoud \\u{1b}[1m");
    }

    #[test]
    fn names_are_fit_to_be_written_in_a_topology() {
        for name in [
            "",
            "a/b",
            "a b",
            "\u{1b}[31mred",
            "a\u{202e}b",
            &"x".repeat(129),
        ] {
            let function = wire::Function {
                name: name.to_owned(),
                ..upper()
            };
            let error = described(vec![function]).expect_err("refused");
            assert!(matches!(error, DescriptionError::Name(_)), "{error}");
        }
        assert_eq!(
            described(vec![upper(), upper()]),
            Err(DescriptionError::Duplicate("upper".to_owned()))
        );
    }

    #[test]
    fn signatures_fit_their_kinds() {
        check_refused(
            |function| function.input.clear(),
            expect!["function `upper` of kind map must take one input"],
        );
        check_refused(
            |function| function.kind = wire::Kind::TransformWith,
            expect!["function `upper` of kind transform_with must take two inputs"],
        );
        check_refused(
            |function| function.output.key = Some(wire::ColumnType::Float64),
            expect!["function `upper` of kind map has keys of float64, which is no key"],
        );
        check_refused(
            |function| function.kind = wire::Kind::UpdateState,
            expect!["function `upper` of kind update_state must say what its state is"],
        );
        check_refused(
            |function| {
                function.kind = wire::Kind::Filter;
                function.output.value = wire::ColumnType::Int64;
            },
            expect!["function `upper` of kind filter must give what it takes"],
        );
        check_refused(
            |function| {
                function.kind = wire::Kind::MapValues;
                function.input[0].key = Some(wire::ColumnType::Text);
            },
            expect!["function `upper` of kind map_values cannot have keys in its types"],
        );
    }

    #[test]
    fn the_number_of_entries_is_bounded() {
        let many = vec![upper(); MAX_ENTRIES + 1];
        assert_eq!(
            described(many),
            Err(DescriptionError::TooMany {
                what: "functions",
                count: MAX_ENTRIES + 1
            })
        );
    }
}

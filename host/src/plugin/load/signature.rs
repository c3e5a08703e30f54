//! What a plugin says of itself, checked before anyone believes or prints it.

use std::collections::BTreeSet;

use crate::batch::function::{Kind, Signature, StateSignature};
use crate::batch::{ColumnType, RecordType};

use crate::plugin::escape::{escape, is_unprintable};
use crate::plugin::wire;

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
    /// A migration from a version that cannot be an old one.
    #[error("it migrates the state of `{function}` from version {from}, {problem}")]
    MigrationFrom {
        /// The stateful function.
        function: String,
        /// The version.
        from: u32,
        /// What does not fit.
        problem: &'static str,
    },
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
    let mut taken = BTreeSet::new();
    let migrations = migrations
        .into_iter()
        .map(|one| {
            let migration = migration(one, &functions)?;
            let Migration {
                function,
                from_version: from,
                ..
            } = &migration;
            match taken.insert((function.clone(), *from)) {
                true => Ok(migration),
                false => Err(DescriptionError::MigrationFrom {
                    function: function.clone(),
                    from: *from,
                    problem: "twice",
                }),
            }
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

fn migration(
    migration: wire::Migration,
    functions: &[Signature],
) -> Result<Migration, DescriptionError> {
    let wire::Migration {
        function,
        from_version: from,
        column_type,
    } = migration;
    let named = functions.iter().find(|known| known.name == function);
    let Some(state) = named.and_then(|known| known.state) else {
        let name = escape(&function, MAX_NAME_CHARACTERS);
        return Err(DescriptionError::Migration(name));
    };
    let wrong = |problem| DescriptionError::MigrationFrom {
        function: function.clone(),
        from,
        problem,
    };
    match from {
        0 => Err(wrong("but versions count from 1")),
        _ if from == state.version => Err(wrong("which is today's")),
        _ => Ok(Migration {
            function,
            from_version: from,
            column_type: column_type.into(),
        }),
    }
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
        Kind::UpdateState
            if output.key != input[0].key
                || state.is_some_and(|state| state.column_type != output.value) =>
        {
            Some("must give the key it takes and its state")
        }
        Kind::MapWithState if input[0].key.is_none() => Some("must take keys"),
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
mod tests;

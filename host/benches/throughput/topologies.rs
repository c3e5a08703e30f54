//! The topologies that are measured.

use std::path::Path;

/// The functions of a word count.
#[derive(Clone, Copy)]
pub struct Words {
    split: &'static str,
    pair: &'static str,
    add: &'static str,
}

impl Words {
    /// The plugin that is shipped.
    pub const SHIPPED: Self = Self {
        split: "wordcount/split",
        pair: "wordcount/pair",
        add: "wordcount/add",
    };

    /// One that splits by the standard library's function.
    pub const SPLIT_WHITESPACE: Self = Self {
        split: "ops/split_whitespace",
        pair: "ops/one",
        add: "ops/add",
    };
}

/// A word count in batches of `batch`, whose lines come from `source` (the keys of its table).
pub fn word_count(plugins: &Path, batch: &str, source: &str) -> String {
    word_count_by(Words::SHIPPED, plugins, batch, source)
}

/// The same by functions of choice.
pub fn word_count_by(functions: Words, plugins: &Path, batch: &str, source: &str) -> String {
    let plugins = plugins.display();
    let Words { split, pair, add } = functions;
    format!(
        r#"
[topology]
batch = "{batch}"
[plugins]
dir = "{plugins}"
[source.lines]
{source}
[stream.words]
from = "lines"
op = "flat_map"
function = "{split}"
[stream.pairs]
from = "words"
op = "map"
function = "{pair}"
[stream.counts]
from = "pairs"
op = "reduce_by_key"
function = "{add}"
"#
    )
}

/// A filter that keeps the lines with `needle` in them.
pub fn filter(plugins: &Path, needle: &str) -> String {
    let plugins = plugins.display();
    format!(
        r#"
[topology]
batch = "1s"
[plugins]
dir = "{plugins}"
[source.lines]
type = "stdin"
[stream.kept]
from = "lines"
op = "filter"
function = "lines/contains"
params = {{ word = "{needle}" }}
"#
    )
}

/// A running count of words by `function`, the pairs made by a guest.
pub fn running_count(plugins: &Path, function: &str) -> String {
    let operator = format!("op = \"update_state_by_key\"\nfunction = \"{function}\"");
    by_word(plugins, &operator)
}

/// Sums word by word, with a timeout of a day.
pub fn sessions(plugins: &Path) -> String {
    let operator = "op = \"map_with_state\"\nfunction = \"ops/sums\"\ntimeout = \"24h\"";
    by_word(plugins, operator)
}

fn by_word(plugins: &Path, operator: &str) -> String {
    let plugins = plugins.display();
    format!(
        r#"
[topology]
batch = "1s"
checkpoint = false
allow_state_loss = true
[plugins]
dir = "{plugins}"
[source.words]
type = "stdin"
[stream.pairs]
from = "words"
op = "map"
function = "wordcount/pair"
[stream.counts]
from = "pairs"
{operator}
"#
    )
}

/// Counts of words over a window of so many batches, which slides with every batch.
pub fn windowed_count(plugins: &Path, batches: usize, inverse: bool) -> String {
    let inverse = if inverse {
        "\ninverse = \"wordcount/sub\""
    } else {
        ""
    };
    let operator = format!(
        "op = \"reduce_by_key_and_window\"\nfunction = \"wordcount/add\"{inverse}\n\
         window = \"{batches}s\"\npartitions = 2"
    );
    by_word(plugins, &operator)
}

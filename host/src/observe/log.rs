//! Logs: through `tracing`, to standard error, as lines for people or as JSON.
//!
//! **Invariant:** a standard error that cannot be written to (closed, on a full disk, a terminal
//! that is gone) loses lines and changes nothing else.

use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::mask::{MaskedStderr, Masks};

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineFormat {
    /// For people; with colours or without.
    Text {
        /// Use ANSI colours.
        colors: bool,
    },
    /// An object a line.
    Json,
}

/// A filter of log lines that says nothing which could be meant.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// A word that is no level. `tracing` would take it for a target, and show nothing else.
    #[error("there is no log level `{0}`")]
    Level(String),
    /// Something else that `tracing` cannot read.
    #[error("`{filter}` is no filter of log lines")]
    Syntax {
        /// The filter.
        filter: String,
        /// What `tracing` says.
        #[source]
        source: ParseError,
    },
}

/// Sends all logs to standard error from now on, without what is masked. A second call changes nothing.
///
/// # Errors
///
/// `filter` is not a level, nor a list of `target=level`.
pub fn init(filter: &str, format: LineFormat, masks: Masks) -> Result<(), FilterError> {
    let registry = tracing_subscriber::registry().with(parse(filter)?);
    // What cannot be written would else be told by a macro that panics where it cannot write.
    let layer = tracing_subscriber::fmt::layer()
        .with_writer(MaskedStderr {
            masks,
            json: format == LineFormat::Json,
        })
        .log_internal_errors(false);
    // Only the first call can succeed, and which format won matters to nobody.
    let _ = match format {
        LineFormat::Text { colors } => registry
            .with(layer.with_ansi(colors).with_target(false))
            .try_init(),
        LineFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    Ok(())
}

/// The time as log lines show it.
#[must_use]
pub(crate) fn timestamp() -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    text
}

fn parse(filter: &str) -> Result<EnvFilter, FilterError> {
    let parts: Vec<&str> = filter.split(',').map(str::trim).collect();
    let is_word = |part: &&&str| !part.is_empty() && !part.contains(['=', '[', '{', '}', ']']);
    let mut words = parts.iter().filter(is_word);
    if let Some(word) = words.find(|word| word.parse::<LevelFilter>().is_err()) {
        return Err(FilterError::Level((*word).to_owned()));
    }
    let syntax = |source| FilterError::Syntax {
        filter: filter.to_owned(),
        source,
    };
    EnvFilter::builder().parse(parts.join(",")).map_err(syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_or_targets_with_levels_are_a_filter() {
        for filter in [
            "warn",
            "DEBUG",
            "off",
            "info,dshost::sink=trace",
            " warn , wasmtime=error ",
            "dshost[batch{attempt=2}]=debug",
        ] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
    }

    #[test]
    fn a_misspelt_level_is_refused_wherever_it_stands() {
        for filter in ["wran", "info,debgu", "dshost"] {
            let error = parse(filter).expect_err(filter);
            assert!(matches!(error, FilterError::Level(_)), "{filter}: {error}");
        }
        for filter in ["dshost=wran", "info,dshost::sink=debgu"] {
            let error = parse(filter).expect_err(filter);
            assert!(
                matches!(error, FilterError::Syntax { .. }),
                "{filter}: {error}"
            );
        }
    }
}

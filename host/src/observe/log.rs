//! Logs: through `tracing`, to standard error, as lines for people or as JSON.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// For people; with colours or without.
    Text {
        /// Use ANSI colours.
        colors: bool,
    },
    /// An object a line.
    Json,
}

/// Sends all logs to standard error from now on. A second call changes nothing.
///
/// # Errors
///
/// `filter` is not a filter of `tracing`.
pub fn init(filter: &str, format: Format) -> Result<(), ParseError> {
    let filter = EnvFilter::builder().parse(filter)?;
    let registry = tracing_subscriber::registry().with(filter);
    let layer = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    // Only the first call can succeed, and which format won matters to nobody.
    let _ = match format {
        Format::Text { colors } => registry
            .with(layer.with_ansi(colors).with_target(false))
            .try_init(),
        Format::Json => registry.with(layer.json().flatten_event(true)).try_init(),
    };
    Ok(())
}

//! Tables for people: the status of a job, its plugins, the summary at its end.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use crate::observe::status::{OperatorStatus, PluginStatus, Status, SwapEvent};

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const RED: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));

/// Hexadecimal digits of a digest that people are shown.
const DIGEST_DIGITS: usize = 12;

/// How a job is doing.
#[must_use]
pub(super) fn status(status: &Status) -> String {
    let mut out = String::new();
    let seconds = status.uptime_ms / 1000;
    line(
        &mut out,
        format_args!(
            "{BOLD}{}{BOLD:#}  {} for {}:{:02}:{:02}, pid {}, {} workers, a batch every {} ms",
            status.job,
            status.state,
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
            status.pid,
            status.workers,
            status.interval_ms,
        ),
    );
    if let Some(last) = status.last {
        line(
            &mut out,
            format_args!(
                "last batch {}: {} records in {}, scheduling delay {}",
                last.time,
                grouped(last.records),
                micros(last.processing_us),
                micros(last.scheduling_delay_us),
            ),
        );
    }
    line(
        &mut out,
        format_args!(
            "{} batches committed, {} attempts aborted, {} queued; {} records/s, {} a batch",
            grouped(status.batches),
            status.aborted,
            status.queued,
            grouped(status.recent.records_per_second as u64),
            micros(status.recent.processing_us),
        ),
    );
    out.push('\n');
    for (name, source) in &status.sources {
        line(
            &mut out,
            format_args!(
                "source {name}: {}; {} received, {} buffered{}{}",
                source.state,
                bytes(source.received_bytes),
                bytes(source.buffered_bytes),
                if source.dropped_bytes > 0 {
                    format!(
                        ", {} dropped of records without an end",
                        bytes(source.dropped_bytes)
                    )
                } else {
                    String::new()
                },
                match (&source.trouble, source.bounded_to) {
                    (Some(trouble), _) => format!("; {trouble}, trying again"),
                    (None, Some(most)) => {
                        format!("; slowed to {} a batch, the job is behind", bytes(most))
                    }
                    (None, None) => String::new(),
                },
            ),
        );
    }
    out.push('\n');
    out.push_str(&operators(&status.operators));
    rejected_samples(&mut out, &status.operators);
    out
}

/// What went through each operator.
#[must_use]
pub(super) fn operators(operators: &[OperatorStatus]) -> String {
    let mut rows = vec![
        [
            "operator", "function", "records", "out", "rejected", "guest", "host",
        ]
        .map(str::to_owned),
    ];
    rows.extend(operators.iter().map(|operator| {
        [
            operator.name.clone(),
            operator.function.clone(),
            grouped(operator.records),
            grouped(operator.output),
            grouped(operator.rejected),
            micros(operator.guest_ns / 1000),
            micros(operator.host_ns / 1000),
        ]
    }));
    let mut out = table(&rows, 2);
    for operator in operators {
        for (name, value) in &operator.counters {
            line(
                &mut out,
                format_args!("counter {}/{name}: {}", operator.name, grouped(*value)),
            );
        }
    }
    out
}

fn rejected_samples(out: &mut String, operators: &[OperatorStatus]) {
    for operator in operators
        .iter()
        .filter(|operator| !operator.samples.is_empty())
    {
        line(
            out,
            format_args!("\nlast rejected by {BOLD}{}{BOLD:#}:", operator.name),
        );
        for sample in operator.samples.iter() {
            line(out, format_args!("  {RED}{sample}{RED:#}"));
        }
    }
}

/// The plugin versions of a job.
#[must_use]
pub(super) fn plugins(status: &Status) -> String {
    let mut rows = vec![["plugin", "in use", "since batch", "state", "waiting"].map(str::to_owned)];
    rows.extend(status.plugins.iter().map(|(name, plugin)| {
        let waiting = plugin
            .candidate
            .as_ref()
            .map_or_else(String::new, |candidate| {
                format!(
                    "{} ({})",
                    short(&candidate.digest),
                    first_line(&candidate.reason)
                )
            });
        let since = plugin
            .since
            .map_or_else(|| "the start".to_owned(), |batch| batch.to_string());
        [
            name.clone(),
            short(&plugin.digest).to_owned(),
            since,
            standing(plugin),
            waiting,
        ]
    }));
    let mut out = table(&rows, rows[0].len());
    if !status.history.is_empty() {
        line(&mut out, format_args!("\n{BOLD}history{BOLD:#}"));
    }
    for swap in status.history.iter() {
        let digest = short(&swap.digest);
        match &swap.event {
            SwapEvent::Live { batch } => {
                line(
                    &mut out,
                    format_args!("  {} {digest} live from batch {batch}", swap.plugin),
                );
            }
            SwapEvent::Refused { reason } => line(
                &mut out,
                format_args!(
                    "  {} {digest} {RED}refused{RED:#}: {}",
                    swap.plugin,
                    reason.replace('\n', "\n    "),
                ),
            ),
        }
    }
    out
}

fn standing(plugin: &PluginStatus) -> String {
    match plugin.probation {
        0 => "trusted".to_owned(),
        1 => "on probation, 1 batch to go".to_owned(),
        left => format!("on probation, {left} batches to go"),
    }
}

/// Columns of equal width, the first `left` of them flush left; the first row is the head.
fn table<const N: usize>(rows: &[[String; N]], left: usize) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter()
            .map(|row| width(&row[column]))
            .max()
            .unwrap_or(0)
    });
    let mut out = String::new();
    for (number, row) in rows.iter().enumerate() {
        let mut text = String::new();
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column] - width(cell));
            let (before, after) = if column < left {
                ("", &*pad)
            } else {
                (&*pad, "")
            };
            text.push_str(before);
            text.push_str(cell);
            text.push_str(after);
            text.push_str("  ");
        }
        if number == 0 {
            line(&mut out, format_args!("{DIM}{}{DIM:#}", text.trim_end()));
        } else {
            line(&mut out, format_args!("{}", text.trim_end()));
        }
    }
    out
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

fn short(digest: &str) -> &str {
    digest.get(..DIGEST_DIGITS).unwrap_or("unread")
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// `1234567` as `1 234 567`.
#[must_use]
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A duration with a unit that suits it.
#[must_use]
pub(super) fn micros(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.2} s", micros as f64 / 1e6),
    }
}

/// A size with a unit that suits it.
#[must_use]
pub(super) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit < UNITS.len() - 1 {
        size /= 1024.0;
        unit += 1;
    }
    if unit == 0 {
        format!("{bytes} B")
    } else {
        format!("{size:.1} {}", UNITS[unit])
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn numbers_and_units_are_easy_to_read() {
        assert_eq!([grouped(7), grouped(1_234_567)], ["7", "1 234 567"]);
        assert_eq!(
            [micros(7), micros(1500), micros(2_500_000)],
            ["7 µs", "1.5 ms", "2.50 s"]
        );
        assert_eq!(
            [bytes(7), bytes(1536), bytes(3 << 30)],
            ["7 B", "1.5 KiB", "3.0 GiB"]
        );
    }

    #[test]
    fn operators_stand_in_columns() {
        let operator = OperatorStatus {
            name: "words".to_owned(),
            function: "wordcount/split".to_owned(),
            records: 1000,
            output: 10_000,
            guest_ns: 1_500_000,
            ..OperatorStatus::default()
        };
        let shown = anstream::adapter::strip_str(&operators(&[operator])).to_string();
        expect![[r#"
            operator  function         records     out  rejected   guest  host
            words     wordcount/split    1 000  10 000         0  1.5 ms  0 µs
        "#]]
        .assert_eq(&shown);
    }
}

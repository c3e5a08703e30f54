//! `dshost test`: scenarios, a line each, and a diff for each that fails.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};

use super::args::TestArgs;
use super::error::CliError;
use super::tell::Teller;
use super::{expect, failure, load};
use crate::driver::laws::inspector::Broken;
use crate::driver::rehearsal::{Performance, Rehearsal, RehearsalOptions};
use crate::topology::plan::Plan;
use crate::topology::scenario::{self, Expected, Scenario, ScenarioBatch, Topology};
use crate::topology::value::Value;
use crate::topology::{self, Options};

const GREEN: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Green)));
const RED: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const BOLD: Style = Style::new().bold();

/// Rows that one side of a difference shows.
const MAX_ROWS_SHOWN: usize = 20;

/// Runs every scenario with every count of workers.
pub(super) fn test(args: &TestArgs, teller: &Teller) -> Result<ExitCode, CliError> {
    let (mut passed, mut failed) = (0, 0);
    for path in &args.scenarios {
        match run_file(path, args, teller) {
            Ok(lines) => {
                teller.print(&lines)?;
                passed += 1;
            }
            Err(lines) => {
                teller.print(&lines)?;
                failed += 1;
            }
        }
    }
    teller.print(&format!("{passed} passed, {failed} failed\n"))?;
    Ok(ExitCode::from(u8::from(failed > 0)))
}

/// What to print: of a scenario that passed, or of one that failed.
fn run_file(path: &Path, args: &TestArgs, teller: &Teller) -> Result<String, String> {
    let fail = |text: &str| format!("{RED}failed{RED:#} {}\n{}", path.display(), indent(text));
    let rehearsed = Rehearsed::read(path, teller).map_err(|error| fail(&error.to_string()))?;
    let perform = |options| perform(&rehearsed, options, args.restarts).map_err(|text| fail(&text));
    let counts = if args.workers.is_empty() {
        vec![rehearsed.scenario.workers]
    } else {
        args.workers.clone()
    };
    if args.update {
        // What comes out does not depend on the workers: one run says it.
        let options = RehearsalOptions {
            workers: counts[0],
            fresh_instances: false,
            durable: rehearsed.restarts(args.restarts),
            profiling: args.profile_guests.into(),
        };
        let (performances, _) = perform(options)?;
        let changes = expect::update(path, &rehearsed.scenario, &performances)
            .map_err(|error| fail(&error.to_string()))?;
        return Ok(format!(
            "{GREEN}updated{GREEN:#} {}: {changes} expectations rewritten\n",
            path.display()
        ));
    }
    for &workers in &counts {
        let lives: &[bool] = if args.fresh_instances {
            &[false, true]
        } else {
            &[false]
        };
        for &fresh_instances in lives {
            let options = RehearsalOptions {
                workers,
                fresh_instances,
                durable: rehearsed.restarts(args.restarts),
                profiling: args.profile_guests.into(),
            };
            let (performances, broken) = perform(options)?;
            let differences = compare(&rehearsed.scenario, &performances) + &laws(&broken);
            if !differences.is_empty() {
                let instances = if fresh_instances {
                    ", an instance per call"
                } else {
                    ""
                };
                return Err(format!(
                    "{RED}failed{RED:#} {} ({workers} workers{instances})\n{}",
                    path.display(),
                    indent(&differences),
                ));
            }
        }
    }
    Ok(format!("{GREEN}ok{GREEN:#} {}\n", path.display()))
}

/// A scenario and the plan of its topology.
struct Rehearsed<'p> {
    /// The scenario's file.
    path: &'p Path,
    scenario: Scenario,
    plan: Plan,
}

impl<'p> Rehearsed<'p> {
    fn read(path: &'p Path, teller: &Teller) -> Result<Self, CliError> {
        let text = load::text(path)?;
        let environment = |name: &str| teller.environment(name);
        let scenario =
            scenario::parse(path, &text, &environment).map_err(|wrong| load::problems(&wrong))?;
        let plan = match &scenario.topology {
            Topology::Inline(parsed) => parsed.plan.clone(),
            Topology::File(topology) => {
                let text = load::text(topology)?;
                let observe = scenario.observed();
                let options = Options {
                    environment: &environment,
                    workers: scenario.workers,
                    observe: &observe,
                };
                let parsed = topology::parse(topology, &text, &options)
                    .map_err(|wrong| load::problems(&wrong))?;
                scenario
                    .check(path, &parsed.plan)
                    .map_err(|wrong| load::problems(&wrong))?;
                parsed.plan
            }
        };
        Ok(Self {
            path,
            scenario,
            plan,
        })
    }

    /// Whether it is started again on the way; `all`: before every batch.
    fn restarts(&self, all: bool) -> bool {
        all || self.scenario.batches.iter().any(|batch| batch.restart)
    }

    /// The file of its topology.
    fn topology(&self) -> &Path {
        match &self.scenario.topology {
            Topology::File(topology) => topology,
            Topology::Inline(_) => self.path,
        }
    }
}

/// Runs all batches of a scenario, with a restart before each if `restarts`; what they gave, and the laws that do not hold for
/// their data.
fn perform(
    rehearsed: &Rehearsed<'_>,
    options: RehearsalOptions,
    restarts: bool,
) -> Result<(Vec<Performance>, Vec<Broken>), String> {
    let describe = |error: &CliError| error.to_string();
    let topology = rehearsed.topology();
    let mut rehearsal = Rehearsal::start(rehearsed.plan.clone(), options)
        .map_err(|error| describe(&failure::describe(&error, topology)))?;
    let (mut performances, mut workers) = (Vec::new(), options.workers);
    for (index, batch) in rehearsed.scenario.batches.iter().enumerate() {
        let at = |text: String| format!("batch {}: {text}", index + 1);
        if batch.restart || restarts {
            // It goes on with any number of workers.
            if restarts {
                workers = other_workers(workers);
            }
            rehearsal = rehearsal
                .restart(workers)
                .map_err(|error| at(describe(&failure::describe(&error, topology))))?;
        }
        if !batch.swap.is_empty() {
            let changes: Vec<(String, PathBuf)> = batch
                .swap
                .iter()
                .map(|swap| (swap.name.clone(), swap.value.clone()))
                .collect();
            rehearsal
                .swap(&changes, options)
                .map_err(|error| at(describe(&failure::plugins(&error, topology))))?;
        }
        let input: BTreeMap<String, Vec<Vec<Value>>> = batch
            .input
            .iter()
            .map(|input| (input.name.clone(), input.value.clone()))
            .collect();
        let performance = rehearsal
            .batch(&input)
            .map_err(|error| at(describe(&failure::batch(&error))))?;
        performances.push(performance);
    }
    let broken = rehearsal.broken_laws();
    Ok((performances, broken))
}

/// Another number of workers than before: 1, 2 or 3.
const fn other_workers(before: usize) -> usize {
    before % 3 + 1
}

/// The laws that functions do not keep, with what shows it.
fn laws(broken: &[Broken]) -> String {
    let mut out = String::new();
    for Broken {
        stream,
        function,
        example,
        ..
    } in broken
    {
        let law = example.law.broken();
        line(
            &mut out,
            format_args!("{BOLD}{stream}{BOLD:#}: `{function}` {law}"),
        );
        for (name, value) in ["a", "b", "c"].iter().zip(&example.values) {
            line(&mut out, format_args!("    {name} = {value}"));
        }
        let [left, right] = example.law.sides();
        let width = left.len().max(right.len());
        let [this, that] = &example.results;
        line(
            &mut out,
            format_args!("  {RED}- {left:width$} = {this}{RED:#}"),
        );
        line(
            &mut out,
            format_args!("  {GREEN}+ {right:width$} = {that}{GREEN:#}"),
        );
        line(&mut out, format_args!("  hint: {}", example.law.hint()));
    }
    out
}

/// What differs from the expectations, for people; empty if nothing does.
fn compare(scenario: &Scenario, performances: &[Performance]) -> String {
    let mut out = String::new();
    for (index, (batch, performance)) in scenario.batches.iter().zip(performances).enumerate() {
        let differences = compare_batch(batch, performance);
        if !differences.is_empty() {
            line(&mut out, format_args!("{BOLD}batch {}{BOLD:#}", index + 1));
            out.push_str(&indent(&differences));
        }
    }
    out
}

fn compare_batch(batch: &ScenarioBatch, performance: &Performance) -> String {
    let mut out = String::new();
    for expected in &batch.expect {
        let name = &expected.name;
        let rows = performance.rows.get(name);
        let text = performance.texts.get(name);
        match (&expected.value, rows, text) {
            (Expected::Nothing, None, None) => {}
            (Expected::Nothing, _, _) => {
                line(&mut out, format_args!("{name}: fires, and should not"));
            }
            (Expected::Rows(wanted), Some(rows), _) => {
                rows_differ(&mut out, name, wanted, rows, batch.ordered);
            }
            (Expected::Text(wanted), _, Some(text)) => text_differs(&mut out, name, wanted, text),
            (Expected::Rows(_) | Expected::Text(_), _, _) => {
                line(&mut out, format_args!("{name}: does not fire, and should"));
            }
        }
    }
    for expected in &batch.rejected {
        let rejected = performance
            .rejected
            .get(&expected.name)
            .copied()
            .unwrap_or_default();
        if rejected != expected.value {
            line(
                &mut out,
                format_args!(
                    "{}: {rejected} records rejected, and should be {}",
                    expected.name, expected.value,
                ),
            );
        }
    }
    out
}

fn rows_differ(out: &mut String, name: &str, wanted: &[Value], rows: &[Value], ordered: bool) {
    let (missing, extra) = expect::difference(wanted, rows);
    if missing.is_empty() && extra.is_empty() {
        if ordered && !expect::same_order(wanted, rows) {
            line(out, format_args!("{name}: the order differs"));
            show_rows(out, "-", RED, wanted);
            show_rows(out, "+", GREEN, rows);
        }
        return;
    }
    line(
        out,
        format_args!(
            "{name}: {} missing (-), {} too many (+)",
            missing.len(),
            extra.len()
        ),
    );
    show_rows(out, "-", RED, &missing);
    show_rows(out, "+", GREEN, &extra);
}

fn show_rows(out: &mut String, sign: &str, style: Style, rows: &[Value]) {
    for row in rows.iter().take(MAX_ROWS_SHOWN) {
        line(
            out,
            format_args!("  {style}{sign} {}{style:#}", expect::toml(row)),
        );
    }
    if rows.len() > MAX_ROWS_SHOWN {
        line(
            out,
            format_args!(
                "  {style}{sign} … {} more{style:#}",
                rows.len() - MAX_ROWS_SHOWN
            ),
        );
    }
}

fn text_differs(out: &mut String, name: &str, wanted: &str, text: &str) {
    if wanted == text {
        return;
    }
    line(out, format_args!("{name}: the text differs"));
    for change in similar::TextDiff::from_lines(wanted, text).iter_all_changes() {
        let (sign, style) = match change.tag() {
            similar::ChangeTag::Delete => ("-", RED),
            similar::ChangeTag::Insert => ("+", GREEN),
            similar::ChangeTag::Equal => (" ", Style::new()),
        };
        let shown = change.value().trim_end_matches('\n');
        line(out, format_args!("  {style}{sign} {shown}{style:#}"));
    }
}

fn indent(text: &str) -> String {
    text.lines().fold(String::new(), |mut out, one| {
        line(&mut out, format_args!("  {one}"));
        out
    })
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_changes_the_number_of_workers() {
        for before in 1..=64 {
            let after = other_workers(before);
            assert!(after != before && (1..=3).contains(&after), "{before}");
        }
    }
}

//! Made-up text at a steady rate: to try things without anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;

use super::bytes::facts::{Facts, byte_range};
use super::bytes::intake::{Inlet, Intake, Received, Receiver};
use super::bytes::replay;
use super::connector::{SourceConnector, keys};
use super::pace::Pace;
use super::{OpenContext, no_thread};
use crate::batch::guarantee::{Delivery, Guarantee};
use crate::batch::position::LaneName;
use crate::batch::source::{Source, SourceError};
use crate::topology::plan::SourcePlan;
use crate::topology::sources::{GenerateKeys, GenerateUnit};

/// Time between two helpings where there is a rate.
const TICK: Duration = Duration::from_millis(5);

/// The most units made at once.
const HELPING: u64 = 1024;

/// The name of its only lane.
const LANE: &str = "generated";

/// Words of a line.
const LINE_WORDS: usize = 10;

/// Opens `type = "generate"`.
pub(super) struct GenerateConnector;

impl SourceConnector for GenerateConnector {
    fn open(
        &self,
        plan: &SourcePlan,
        context: &OpenContext,
    ) -> Result<Box<dyn Source>, SourceError> {
        Ok(Box::new(open(plan, *keys(plan)?, context)?))
    }

    fn guarantee(&self, _: &SourcePlan) -> Guarantee {
        Guarantee {
            delivery: Delivery::ExactlyOnce,
            condition: "records are made again from their numbers",
        }
    }
}

/// Makes text on a thread of its own.
///
/// # Errors
///
/// There can be no thread, or `once` is asked for without a count.
fn open(
    plan: &SourcePlan,
    made: GenerateKeys,
    context: &OpenContext,
) -> Result<Received, SourceError> {
    if context.once && made.count.is_none() {
        return Err(SourceError::lasting(format!(
            "source `{}` generates without end, so `--once` would never end",
            plan.name
        ))
        .hint("give it a `count`"));
    }
    let intake = Intake::new(plan);
    intake.set_state("generating");
    let stopped = Arc::new(AtomicBool::new(false));
    let mut maker = Maker {
        words: Words::new(made.seed),
        unit: made.unit,
        left: made.count,
        pace: plan.rate.map(Pace::new),
        stopped: Arc::clone(&stopped),
    };
    let inlet = match context.behind(&plan.name, LANE) {
        None => intake.open(LANE),
        Some(part) => {
            maker.skip(byte_range(part)?.end)?;
            let header = Facts::decode(&part.facts)?.header;
            let header = header.map(|header| replay::bytes(text(made), header).ok_or_else(changed));
            intake.open_behind(part, header.transpose()?)?
        }
    };
    let runtime = context.runtime.clone();
    thread::Builder::new()
        .name(format!("source {}", plan.name))
        .spawn(move || maker.run(inlet, &runtime))
        .map_err(|error| no_thread(plan, &error))?;
    let received = Received::new(plan, intake, Box::new(Making { made, stopped }));
    Ok(received.without_pace())
}

/// The thread that makes text, and what it makes.
struct Making {
    made: GenerateKeys,
    stopped: Arc<AtomicBool>,
}

impl Receiver for Making {
    fn stop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn again(&self, _: &LaneName) -> Option<Box<dyn Iterator<Item = Bytes>>> {
        Some(Box::new(text(self.made)))
    }
}

/// All that a source with these keys ever makes.
fn text(made: GenerateKeys) -> impl Iterator<Item = Bytes> {
    let GenerateKeys { unit, count, seed } = made;
    let mut words = Words::new(seed);
    let mut left = count.unwrap_or(u64::MAX);
    std::iter::from_fn(move || {
        let next = left.min(HELPING);
        left -= next;
        let mut text = String::new();
        words.units(unit, next, &mut text);
        (next > 0).then(|| text.into())
    })
}

/// What was made before is not what these keys make.
fn changed() -> SourceError {
    SourceError::changed("what was generated before is not what would be generated now")
        .hint("the source was given other keys than before")
}

struct Maker {
    words: Words,
    unit: GenerateUnit,
    left: Option<u64>,
    pace: Option<Pace>,
    stopped: Arc<AtomicBool>,
}

impl Maker {
    fn run(mut self, mut inlet: Inlet, runtime: &Handle) {
        let mut text = String::new();
        while self.left != Some(0) && !self.stopped.load(Ordering::Relaxed) {
            let due = self.due();
            text.clear();
            self.words.units(self.unit, due, &mut text);
            self.left = self.left.map(|left| left - due);
            if inlet.push(runtime, text.as_bytes()).is_err() {
                return;
            }
            if due < HELPING && self.left != Some(0) {
                thread::sleep(TICK);
            }
        }
        let intake = inlet.intake().clone();
        inlet.close();
        intake.set_state("all generated");
        intake.complete();
    }
}

impl Maker {
    /// Makes the first `bytes` again, for nobody.
    fn skip(&mut self, bytes: u64) -> Result<(), SourceError> {
        let (mut passed, mut text) = (0, String::new());
        while passed < bytes && self.left != Some(0) {
            text.clear();
            self.words.units(self.unit, 1, &mut text);
            self.left = self.left.map(|left| left - 1);
            passed += text.len() as u64;
        }
        match passed == bytes {
            true => Ok(()),
            false => Err(changed()),
        }
    }

    /// The units of the next helping; a smaller one than [`HELPING`] is all that is due now.
    fn due(&mut self) -> u64 {
        let due = match &mut self.pace {
            None => HELPING,
            Some(pace) => {
                let due = pace.allowance();
                pace.give_back(due.saturating_sub(HELPING));
                due.min(HELPING)
            }
        };
        due.min(self.left.unwrap_or(u64::MAX))
    }
}

/// Words drawn evenly from [`VOCABULARY`].
struct Words(u64);

impl Words {
    const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// SplitMix64 (Steele, Lea and Flood, 2014): fixed for ever, as the same seed must give the
    /// same text.
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Adds so many units, a line each.
    fn units(&mut self, unit: GenerateUnit, count: u64, text: &mut String) {
        for _ in 0..count {
            match unit {
                GenerateUnit::Lines => self.line(text),
                GenerateUnit::Words => self.word(text),
            }
            text.push('\n');
        }
    }

    fn word(&mut self, text: &mut String) {
        let index = self.next() % VOCABULARY.len() as u64;
        text.push_str(VOCABULARY[index as usize]);
    }

    fn line(&mut self, text: &mut String) {
        for index in 0..LINE_WORDS {
            if index > 0 {
                text.push(' ');
            }
            self.word(text);
        }
    }
}

/// Common words of English.
const VOCABULARY: [&str; 96] = [
    "the", "of", "and", "to", "in", "a", "is", "that", "for", "it", "as", "was", "with", "be",
    "by", "on", "not", "he", "his", "but", "at", "are", "this", "have", "from", "or", "had", "an",
    "they", "which", "one", "you", "were", "all", "her", "she", "there", "would", "their", "we",
    "him", "been", "has", "when", "who", "will", "no", "more", "if", "out", "so", "up", "said",
    "what", "its", "about", "than", "into", "them", "can", "only", "other", "time", "new", "some",
    "could", "these", "two", "may", "first", "then", "do", "any", "like", "my", "now", "over",
    "such", "our", "man", "me", "even", "most", "made", "after", "also", "well", "did", "many",
    "before", "must", "years", "back", "through", "much", "where",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::expect;

    use super::*;
    use crate::batch::position::{PartName, Position};
    use crate::batch::source::{Part, SourceErrorKind};
    use crate::source::testing::{self, all_parts, context, cut_until, eventually};
    use crate::topology::plan::Format;

    fn generate(made: GenerateKeys, rate: Option<u64>) -> Vec<String> {
        let (_runtime, context) = context(true);
        let plan = SourcePlan {
            rate,
            ..testing::plan(Format::Text)
        };
        let mut source = open(&plan, made, &context).unwrap();
        cut_until(&mut source, |_, cut| cut.ended).0
    }

    const LINES: GenerateKeys = GenerateKeys {
        unit: GenerateUnit::Lines,
        count: Some(3),
        seed: 7,
    };

    #[test]
    fn the_same_seed_gives_the_same_text() {
        let lines = generate(LINES, None);
        expect![[r#"
            did only these now them even this one could been
            when over our not is from man do what many
            man such which you me it must new we which"#]]
        .assert_eq(&lines.join("\n"));
        assert_eq!(generate(LINES, Some(10_000)), lines);
        assert_ne!(generate(GenerateKeys { seed: 8, ..LINES }, None), lines);
        let words = GenerateKeys {
            unit: GenerateUnit::Words,
            ..LINES
        };
        assert!(lines[0].starts_with(&generate(words, None).join(" ")));
    }

    #[test]
    fn the_count_is_exact() {
        let made = GenerateKeys {
            count: Some(100_001),
            ..LINES
        };
        assert_eq!(generate(made, None).len(), 100_001);
    }

    #[test]
    fn a_stop_ends_it() {
        let (_runtime, context) = context(false);
        let made = GenerateKeys {
            count: None,
            ..LINES
        };
        let plan = testing::plan(Format::Text);
        let mut source = open(&plan, made, &context).unwrap();
        eventually(|| (source.cut().unwrap().bytes > 0).then_some(()));
        source.stop();
        cut_until(&mut source, |_, cut| cut.ended);
    }

    #[test]
    fn without_a_count_once_would_not_end() {
        let (_runtime, context) = context(true);
        let made = GenerateKeys {
            count: None,
            ..LINES
        };
        let plan = testing::plan(Format::Text);
        let error = open(&plan, made, &context).err().unwrap();
        assert_eq!(error.hint.as_deref(), Some("give it a `count`"));
    }

    #[test]
    fn a_part_is_made_again_by_its_name() {
        let (_runtime, context) = context(true);
        let made = GenerateKeys {
            count: Some(20_000),
            ..LINES
        };
        let plan = SourcePlan {
            max_bytes_per_batch: 300_000,
            ..testing::plan(Format::Csv { header: true })
        };
        let mut first = open(&plan, made, &context).unwrap();
        let parts = all_parts(&mut first);
        assert!(parts.len() > 4);
        drop(first);
        let mut second = open(&plan, made, &context).unwrap();
        for Part { name, data, .. } in parts.iter().rev() {
            let saved = serde_json::from_str(&serde_json::to_string(name).unwrap()).unwrap();
            let again = second.open(&saved, None).unwrap();
            assert_eq!(testing::records(&*again), testing::records(&**data));
        }
        let less = GenerateKeys {
            count: Some(10),
            ..LINES
        };
        let mut other = open(&plan, less, &context).unwrap();
        let error = other.open(&parts[3].name, None).err().unwrap();
        assert_eq!(error.kind, SourceErrorKind::Changed);
    }

    #[test]
    fn a_start_goes_on_behind_the_last_part() {
        for format in [Format::Text, Format::Csv { header: true }] {
            let (_runtime, first_start) = context(true);
            let made = GenerateKeys {
                count: Some(20_000),
                ..LINES
            };
            let plan = SourcePlan {
                max_bytes_per_batch: 300_000,
                ..testing::plan(format)
            };
            let all = |context: &OpenContext| {
                let mut source = open(&plan, made, context).unwrap();
                all_parts(&mut source)
            };
            let whole = all(&first_start);
            let at = whole.len() / 2;
            let going_on = |part: &PartName| {
                let behind = BTreeMap::from([(plan.name.clone(), vec![part.clone()])]);
                OpenContext {
                    behind: Some(Arc::new(behind)),
                    incarnation: 2,
                    ..first_start.clone()
                }
            };
            let records = |parts: &[Part]| -> Vec<Vec<u8>> {
                let records = parts.iter().map(|part| testing::records(&*part.data).0);
                records.flatten().collect()
            };
            let rest = all(&going_on(&whole[at].name));
            assert_eq!(records(&rest), records(&whole[at + 1..]), "{format:?}");
            assert_eq!(rest[0].name.from, whole[at].name.upto);
            assert_eq!(all(&going_on(&whole[whole.len() - 1].name)).len(), 0);
            let other = PartName {
                from: Position::number(0),
                upto: Position::number(12_345),
                ..whole[at].name.clone()
            };
            let error = open(&plan, made, &going_on(&other)).err().unwrap();
            assert_eq!(error.kind, SourceErrorKind::Changed);
        }
    }
}

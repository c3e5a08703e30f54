//! What the functions with state do when they are called, and the migrations.

use super::Hostile;
use super::calls::{columns, counted, len, pairs, values};
use super::dshost::plugin::types::{
    BytesColumn, Column, Context, OutputColumn, RecordRef, Rejection, Report, Side, States,
};
use super::exports::dshost::plugin::plugin::Migrated;
use super::exports::dshost::plugin::{records, updates};
use super::functions::chain;

impl updates::Guest for Hostile {
    /// Each key's new state is the sum of its values; a key without values is kept or removed.
    fn update(
        handle: u32,
        _: Context,
        _: Column,
        offsets: Vec<u8>,
        values: Column,
        old: States,
    ) -> Result<updates::Outcome, String> {
        let name = chain(handle)[0].clone();
        let values = ints(&values);
        let ends = u32s(&offsets);
        let (mut verdicts, mut states) = (Vec::new(), Vec::new());
        for (key, range) in ends.windows(2).enumerate() {
            if range[0] == range[1] {
                verdicts.push(2 * old.present[key]);
                continue;
            }
            verdicts.push(1);
            states.push(values[range[0] as usize..range[1] as usize].iter().sum());
        }
        let records = ends.windows(2).map(|range| (range[1] - range[0]).max(1));
        let mut report = counted(1, records.sum());
        match name.as_str() {
            "update-refuses" => return Err("not today".to_owned()),
            "update-panics" => panic!("no state is good enough"),
            "update-loops" => forever(),
            "update-changes-rejected" => report = rejecting(report),
            "update-rejects-many" => report.links[0].rejected = 2,
            "update-rejects-unknown" => {
                report = rejecting(report);
                report.rejections[0].at.index = old.present.len() as u32;
            }
            "update-counts-wrong" => report.links[0].records += 1,
            "update-keeps-nothing" => {
                verdicts.fill(2);
                states.clear();
            }
            "update-too-few-states" => drop(states.pop()),
            "update-too-few-verdicts" => drop(verdicts.pop()),
            "update-too-many-states" => states.push(0),
            "update-verdict-of-3" => verdicts[1] = 3,
            _ => {}
        }
        let states = match name.as_str() {
            "update-other-type" => Column::Bool(vec![0; states.len()]),
            "update-ragged-states" => Column::Int64(vec![0; 7]),
            "update-msgpack-trailing" => msgpack(&states),
            _ => column(&states),
        };
        Ok(updates::Outcome {
            verdicts,
            states,
            report,
        })
    }
}

impl records::Guest for Hostile {
    /// Each record's output is its value, and the last value of a key is its state.
    fn process(
        handle: u32,
        _: Context,
        _: Column,
        old: States,
        numbers: Vec<u8>,
        given: Column,
    ) -> Result<records::Outcome, String> {
        let mut last = vec![None; old.present.len()];
        for (number, value) in u32s(&numbers).iter().zip(ints(&given)) {
            last[*number as usize] = Some(value);
        }
        let unchanged = old.present.iter().map(|present| 2 * present);
        let verdicts = last
            .iter()
            .zip(unchanged)
            .map(|(last, unchanged)| match last {
                Some(_) => 1,
                None => unchanged,
            });
        let states: Vec<i64> = last.iter().flatten().copied().collect();
        let mut outcome = records::Outcome {
            emitted: vec![1; len(&given) as usize],
            verdicts: verdicts.collect(),
            states: column(&states),
            report: counted(1, len(&given)),
            output: values(columns(given)),
        };
        spoil(&chain(handle)[0], &mut outcome);
        match chain(handle)[0].as_str() {
            "records-too-few-states" => outcome.states = column(&states[1..]),
            "records-too-few-verdicts" => drop(outcome.verdicts.pop()),
            _ => {}
        }
        Ok(outcome)
    }

    /// Each key's output is its state; what is said of the states is nonsense.
    fn time_out(
        handle: u32,
        _: Context,
        keys: Column,
        states: Column,
    ) -> Result<records::Outcome, String> {
        let mut outcome = records::Outcome {
            emitted: vec![1; len(&keys) as usize],
            verdicts: vec![9; 9],
            states: Column::Bool(vec![7]),
            report: counted(1, len(&keys)),
            output: values(columns(states)),
        };
        spoil(&chain(handle)[0], &mut outcome);
        Ok(outcome)
    }
}

/// Makes the outputs wrong.
fn spoil(name: &str, outcome: &mut records::Outcome) {
    let count = outcome.emitted.len();
    match name {
        "records-emitted-of-2" => outcome.emitted[0] = 2,
        "records-other-output" => outcome.output = values(columns(Column::Bool(vec![0; count]))),
        "records-output-uncounted" => outcome.emitted[0] = 0,
        "records-pairs" => {
            let column = columns(Column::Int64(vec![0; 8 * count]));
            outcome.output = pairs(column);
        }
        "records-rejected-and-emitted" => {
            outcome.report = rejecting(counted(1, count as u32));
        }
        "records-same" => outcome.output = values(OutputColumn::Same(Side::Value)),
        "records-too-few-emitted" => drop(outcome.emitted.pop()),
        _ => {}
    }
}

/// The length of each text; an empty one goes.
pub fn migrate(function: &str, from: u32, old: &Column) -> Result<Migrated, String> {
    assert_eq!(from, 1, "the host asks for what there is");
    let Column::Text(text) = old else {
        unreachable!("it takes text")
    };
    let lengths: Vec<i64> = u32s(&text.offsets)
        .windows(2)
        .map(|range| i64::from(range[1] - range[0]))
        .collect();
    let states: Vec<i64> = lengths
        .iter()
        .copied()
        .filter(|length| *length > 0)
        .collect();
    let mut migrated = Migrated {
        kept: lengths.iter().map(|length| u8::from(*length > 0)).collect(),
        states: column(&states),
    };
    match function {
        "migrate-kept-of-2" => migrated.kept[0] = 2,
        "migrate-loops" => forever(),
        "migrate-other-type" => migrated.states = old.clone(),
        "migrate-panics" => panic!("it was better before"),
        "migrate-refuses" => return Err("not today".to_owned()),
        "migrate-too-few" => drop(migrated.kept.pop()),
        "migrate-too-few-states" => migrated.states = column(&states[1..]),
        _ => {}
    }
    Ok(migrated)
}

/// The same, and the first record is rejected.
fn rejecting(mut report: Report) -> Report {
    report.links[0].rejected = 1;
    report.rejections.push(Rejection {
        at: RecordRef { link: 0, index: 0 },
        reason: "no".to_owned(),
    });
    report
}

fn forever() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

// === Values ===

fn ints(column: &Column) -> Vec<i64> {
    let Column::Int64(bytes) = column else {
        unreachable!("it takes integers")
    };
    let number = |bytes: &[u8]| i64::from_le_bytes(bytes.try_into().expect("eight bytes"));
    bytes.chunks_exact(8).map(number).collect()
}

fn u32s(bytes: &[u8]) -> Vec<u32> {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("four bytes"));
    bytes.chunks_exact(4).map(number).collect()
}

fn column(values: &[i64]) -> Column {
    Column::Int64(values.iter().copied().flat_map(i64::to_le_bytes).collect())
}

/// A state of two bytes each, of which the second is one too many.
fn msgpack(states: &[i64]) -> Column {
    let ends = (0..=states.len() as u32).map(|count| 2 * count);
    Column::Msgpack(BytesColumn {
        offsets: ends.flat_map(u32::to_le_bytes).collect(),
        gap: 0,
        data: vec![1; 2 * states.len()],
    })
}

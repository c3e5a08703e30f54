//! What a request is made of: units that can be left out of it one by one, when a function traps on
//! some.
//!
//! A unit is a record of a chunk, a value of a fold, a key of an update or of a time-out. Where the
//! guest is not asked to leave units out itself, a request is made [without them](Request::only),
//! and what comes back is [spread](Outcome::spread) over the whole again.

use super::chunk::Chunk;
use super::column::{Column, Fixed, U32s, VarColumn};
use super::function::{
    Change, Changes, Groups, Outcome, Records, Request, States, TimeOut, Update,
};
use super::text::record_excerpt;

impl Request {
    /// The number of its units.
    #[must_use]
    pub fn units(&self) -> usize {
        match self {
            Self::Chunk(chunk) => chunk.len(),
            Self::BatchPair(left, right) => left.len() + right.len(),
            Self::Fold(_, values) => values.len(),
            Self::Update(update) => update.keys.len(),
            Self::Records(records) => records.values.len(),
            Self::TimeOut(time_out) => time_out.keys.len(),
        }
    }

    /// The records that a unit stands for.
    ///
    /// # Panics
    ///
    /// If there is no such unit.
    #[must_use]
    pub fn records_of(&self, unit: u32) -> u64 {
        match self {
            Self::Update(update) => update.records_of(unit as usize),
            Self::Fold(groups, _) if !groups.repeats.is_empty() => {
                groups.repeats.get(unit as usize).into()
            }
            _ => 1,
        }
    }

    /// Some units, which ascend, as the records that they stand for, with their keys where the request
    /// has any: of a key to be updated one for each of its values, and nil where it has none. As many
    /// chunks as there are types of records, at most two.
    ///
    /// # Panics
    ///
    /// If there is no such unit.
    #[must_use]
    pub fn records_of_units(&self, units: &[u32]) -> Vec<UnitRecords> {
        let one = |records: Chunk| {
            let units = units.to_vec();
            vec![UnitRecords { records, units }]
        };
        match self {
            Self::Chunk(chunk) | Self::Fold(_, chunk) => one(chunk.take(units)),
            Self::BatchPair(left, right) => {
                let middle = units.partition_point(|unit| (*unit as usize) < left.len());
                let (of_left, of_right) = units.split_at(middle);
                let right_at = of_right.iter().map(|unit| unit - left.len() as u32);
                let right_at: Vec<u32> = right_at.collect();
                let two = [
                    (left.take(of_left), of_left),
                    (right.take(&right_at), of_right),
                ];
                let two = two.into_iter().map(|(records, units)| UnitRecords {
                    records,
                    units: units.to_vec(),
                });
                two.filter(|some| !some.units.is_empty()).collect()
            }
            Self::Update(update) => update.records_of_keys(units),
            Self::Records(records) => {
                let keys = units.iter().map(|unit| records.numbers.get(*unit as usize));
                let keys = records.keys.take(&keys.collect::<Vec<u32>>());
                one(Chunk::pairs(keys, records.values.take(units)))
            }
            Self::TimeOut(time_out) => one(Chunk::pairs(
                time_out.keys.take(units),
                time_out.states.take(units),
            )),
        }
    }

    /// The same with only the units `kept`, which ascend. Groups of a fold are numbered anew in
    /// order of appearance, and keys of which no record is left are left out.
    ///
    /// # Panics
    ///
    /// If there is no such unit.
    #[must_use]
    pub fn only(&self, kept: &[u32]) -> Self {
        match self {
            Self::Chunk(chunk) => Self::Chunk(chunk.take(kept)),
            Self::BatchPair(left, right) => {
                let (of_left, of_right) =
                    kept.split_at(kept.partition_point(|unit| (*unit as usize) < left.len()));
                let of_right: Vec<u32> = of_right
                    .iter()
                    .map(|unit| unit - left.len() as u32)
                    .collect();
                Self::BatchPair(left.take(of_left), right.take(&of_right))
            }
            Self::Fold(groups, values) => Self::Fold(groups.only(kept), values.take(kept)),
            Self::Update(update) => Self::Update(update.only(kept)),
            Self::Records(records) => Self::Records(records.only(kept)),
            Self::TimeOut(TimeOut { keys, states }) => Self::TimeOut(TimeOut {
                keys: keys.take(kept),
                states: states.take(kept),
            }),
        }
    }
}

/// Units of a request as records.
#[derive(Clone, Debug, PartialEq)]
pub struct UnitRecords {
    /// The records.
    pub records: Chunk,
    /// The unit of each, ascending.
    pub units: Vec<u32>,
}

/// A unit as a message tells it: cut and escaped ([`super::text::excerpt`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitText {
    /// Its key, where there is one.
    pub key: Option<String>,
    /// The whole of it, a pair as `(key,value)`.
    pub record: String,
}

impl Request {
    /// A unit as text.
    ///
    /// # Panics
    ///
    /// If there is no such unit.
    #[must_use]
    pub fn unit_text(&self, unit: usize) -> UnitText {
        let text = |record: Chunk| UnitText {
            key: record
                .key()
                .map(|key| record_excerpt(&Chunk::single(key.clone()), 0)),
            record: record_excerpt(&record, 0),
        };
        match self {
            Self::Update(update) => {
                let record = record_excerpt(&Chunk::single(update.keys.take(&[unit as u32])), 0);
                UnitText {
                    key: Some(record.clone()),
                    record,
                }
            }
            _ => {
                let records = self.records_of_units(&[unit as u32]).swap_remove(0);
                text(records.records)
            }
        }
    }
}

impl Groups {
    fn only(&self, kept: &[u32]) -> Self {
        let mut renumbered: Vec<Option<u32>> = vec![None; self.count as usize];
        let mut count = 0;
        let numbers = kept.iter().map(|&value| {
            let group = &mut renumbered[self.numbers.get(value as usize) as usize];
            *group.get_or_insert_with(|| {
                count += 1;
                count - 1
            })
        });
        let numbers = numbers.collect::<Vec<u32>>();
        let repeats = match self.repeats.is_empty() {
            true => U32s::default(),
            false => self.repeats.take(kept),
        };
        Self {
            numbers: u32s(numbers),
            count,
            repeats,
        }
    }
}

impl States {
    /// Those of the keys `kept`.
    fn only(&self, kept: &[u32]) -> Self {
        let mut places = Vec::with_capacity(self.present.len());
        let mut place = 0;
        for present in &self.present {
            places.push(place);
            place += u32::from(*present);
        }
        let present = |key: &&u32| self.present[**key as usize];
        let values: Vec<u32> = kept
            .iter()
            .filter(present)
            .map(|key| places[*key as usize])
            .collect();
        Self {
            present: kept.iter().map(|key| present(&key)).collect(),
            values: self.values.take(&values),
        }
    }
}

impl Update {
    /// The values of a key; a key without any is called all the same, and counts as one record.
    ///
    /// # Panics
    ///
    /// If there is no such key.
    #[must_use]
    pub fn records_of(&self, key: usize) -> u64 {
        u64::from((self.offsets.get(key + 1) - self.offsets.get(key)).max(1))
    }

    /// Keys with each of their values, then those without any.
    fn records_of_keys(&self, keys: &[u32]) -> Vec<UnitRecords> {
        let (mut valued, mut values, mut bare) = (Vec::new(), Vec::new(), Vec::new());
        for &key in keys {
            let of_key = self.offsets.get(key as usize)..self.offsets.get(key as usize + 1);
            if of_key.is_empty() {
                bare.push(key);
            }
            valued.extend(std::iter::repeat_n(key, of_key.len()));
            values.extend(of_key);
        }
        let nil = [rmp::Marker::Null.to_u8()];
        let nils = bare.iter().map(|_| &nil[..]);
        let nils = Column::Msgpack(VarColumn::from_iter(nils));
        let both = [
            UnitRecords {
                records: Chunk::pairs(self.keys.take(&valued), self.values.take(&values)),
                units: valued,
            },
            UnitRecords {
                records: Chunk::pairs(self.keys.take(&bare), nils),
                units: bare,
            },
        ];
        both.into_iter()
            .filter(|some| !some.units.is_empty())
            .collect()
    }

    fn only(&self, kept: &[u32]) -> Self {
        let mut offsets = vec![0];
        let mut values = Vec::new();
        for &key in kept {
            let key = key as usize;
            values.extend(self.offsets.get(key)..self.offsets.get(key + 1));
            offsets.push(values.len() as u32);
        }
        Self {
            keys: self.keys.take(kept),
            offsets: u32s(offsets),
            values: self.values.take(&values),
            old: self.old.only(kept),
        }
    }
}

impl Records {
    /// The keys that the records `kept` have, ascending.
    fn keys_of(&self, kept: &[u32]) -> Vec<u32> {
        let mut has = vec![false; self.keys.len()];
        for &record in kept {
            has[self.numbers.get(record as usize) as usize] = true;
        }
        (0..)
            .zip(has)
            .filter(|(_, has)| *has)
            .map(|(key, _)| key)
            .collect()
    }

    fn only(&self, kept: &[u32]) -> Self {
        let keys = self.keys_of(kept);
        let number = |record: &u32| {
            let key = self.numbers.get(*record as usize);
            keys.partition_point(|other| *other < key) as u32
        };
        Self {
            keys: self.keys.take(&keys),
            old: self.old.only(&keys),
            numbers: u32s(kept.iter().map(number).collect::<Vec<u32>>()),
            values: self.values.take(kept),
        }
    }
}

impl Outcome {
    /// What this outcome of `request.only(kept)` means for the whole of `request`: rejections have
    /// the numbers of their units there, and the state of a key that was left out stays.
    #[must_use]
    pub fn spread(mut self, request: &Request, kept: &[u32]) -> Self {
        for rejection in &mut self.report.rejections {
            let index = &mut rejection.at.index;
            *index = kept.get(*index as usize).copied().unwrap_or(*index);
        }
        let (keys, present) = match request {
            Request::Update(update) => (kept.to_vec(), &update.old.present),
            Request::Records(records) => (records.keys_of(kept), &records.old.present),
            _ => return self,
        };
        self.changes = self.changes.map(|Changes { verdicts, states }| {
            let stays = |present: &bool| match present {
                true => Change::Keep,
                false => Change::Remove,
            };
            let mut all: Vec<Change> = present.iter().map(stays).collect();
            for (key, verdict) in keys.into_iter().zip(verdicts) {
                all[key as usize] = verdict;
            }
            Changes {
                verdicts: all,
                states,
            }
        });
        self
    }
}

fn u32s(numbers: Vec<u32>) -> U32s {
    let bytes: Vec<u8> = numbers.into_iter().flat_map(u32::to_le_bytes).collect();
    Fixed::new(bytes).expect("numbers are whole")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Column;
    use crate::batch::function::{RecordRef, Rejection, Report};

    fn update() -> Request {
        Request::Update(Update {
            keys: Column::text(["a", "b", "c"]),
            offsets: u32s(vec![0, 2, 2, 3]),
            values: Column::int64([1, 2, 3]),
            old: States {
                present: vec![true, false, true],
                values: Column::int64([10, 30]),
            },
        })
    }

    #[test]
    fn a_key_stands_for_its_values_and_for_itself_where_it_has_none() {
        let records = update().records_of_units(&[0, 1]);
        let nil = VarColumn::from_iter([&[0xc0][..]]);
        let (of_a, of_b) = (Column::text(["a", "a"]), Column::text(["b"]));
        let expected = [
            (Chunk::pairs(of_a, Column::int64([1, 2])), vec![0, 0]),
            (Chunk::pairs(of_b, Column::Msgpack(nil)), vec![1]),
        ];
        let expected = expected.map(|(records, units)| UnitRecords { records, units });
        assert_eq!(records, expected);
    }

    #[test]
    fn the_units_of_two_batches_are_those_of_the_first_then_those_of_the_second() {
        let (left, right) = (Column::text(["a", "b"]), Column::int64([7, 8]));
        let pair = Request::BatchPair(Chunk::single(left), Chunk::single(right));
        let records = pair.records_of_units(&[1, 3]);
        let expected = [
            (Chunk::single(Column::text(["b"])), vec![1]),
            (Chunk::single(Column::int64([8])), vec![3]),
        ];
        let expected = expected.map(|(records, units)| UnitRecords { records, units });
        assert_eq!(records, expected);
    }

    #[test]
    fn an_update_keeps_values_and_states_with_their_keys() {
        let Request::Update(without) = update().only(&[1, 2]) else {
            panic!("still an update")
        };
        assert_eq!(without.keys, Column::text(["b", "c"]));
        assert_eq!(without.offsets, u32s(vec![0, 0, 1]));
        assert_eq!(without.values, Column::int64([3]));
        assert_eq!(without.old.present, [false, true]);
        assert_eq!(without.old.values, Column::int64([30]));
    }

    #[test]
    fn the_state_of_a_key_that_was_left_out_stays() {
        let rejection = |index| Rejection {
            at: RecordRef { link: 0, index },
            reason: "no".to_owned(),
        };
        let outcome = Outcome {
            chunk: Chunk::single(Column::int64([])),
            changes: Some(Changes {
                verdicts: vec![Change::Set, Change::Remove],
                states: Column::int64([7]),
            }),
            report: Report {
                rejections: vec![rejection(1)],
                ..Report::default()
            },
        };
        let spread = outcome.clone().spread(&update(), &[1, 2]);
        let verdicts = spread.changes.unwrap().verdicts;
        assert_eq!(verdicts, [Change::Keep, Change::Set, Change::Remove]);
        assert_eq!(spread.report.rejections, [rejection(2)]);
        let spread = outcome.spread(&update(), &[0, 2]);
        let verdicts = spread.changes.unwrap().verdicts;
        assert_eq!(
            verdicts,
            [Change::Set, Change::Remove, Change::Remove],
            "a key without state has none"
        );
    }

    #[test]
    fn keys_without_records_are_left_out_and_the_others_numbered_anew() {
        let request = Request::Records(Records {
            keys: Column::int64([7, 8, 9]),
            old: States {
                present: vec![true, true, false],
                values: Column::int64([70, 80]),
            },
            numbers: u32s(vec![2, 0, 1, 2]),
            values: Column::int64([1, 2, 3, 4]),
        });
        let Request::Records(without) = request.only(&[0, 2, 3]) else {
            panic!("still records")
        };
        assert_eq!(without.keys, Column::int64([8, 9]));
        assert_eq!(without.numbers, u32s(vec![1, 0, 1]));
        assert_eq!(without.old.present, [true, false]);
        assert_eq!(without.old.values, Column::int64([80]));
    }

    #[test]
    fn groups_are_numbered_in_order_of_appearance() {
        let groups = Groups {
            numbers: u32s(vec![0, 1, 2, 0, 1]),
            count: 3,
            repeats: U32s::default(),
        };
        let values = Chunk::single(Column::int64([1, 2, 3, 4, 5]));
        let Request::Fold(groups, values) = Request::Fold(groups, values).only(&[2, 3, 4]) else {
            panic!("still a fold")
        };
        assert_eq!((groups.numbers, groups.count), (u32s(vec![0, 1, 2]), 3));
        assert_eq!(values, Chunk::single(Column::int64([3, 4, 5])));
    }
}

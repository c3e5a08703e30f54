//! Folds values into one per group, in bounded pieces.
//!
//! Values are collected until there are [`FOLD_VALUES`] of them (or [`FOLD_BYTES`]), or as many as
//! were folded before, so that many groups do not make it quadratic; then one call folds them, with
//! what was folded before in front, so that each group goes on from its own. A group that has one
//! value needs no call. A value that comes many times may be collected once, with how often.

use crate::batch::chunk::ChunkBuilder;
use crate::batch::column::U32s;
use crate::batch::function::Groups;
use crate::batch::group::Numbers;
use crate::batch::{Chunk, Column, Fixed, RecordType};
use crate::dataflow::calls::{Caller, Run};
use crate::dataflow::machine::operator::Output;
use crate::dataflow::round::failure::Failure;

/// Values collected for a call.
const FOLD_VALUES: usize = 256 * 1024;

/// Bytes of values collected for a call.
const FOLD_BYTES: usize = 32 * 1024 * 1024;

/// Times that a value is folded in one call: each is a call of the function, and all together have
/// the time of one.
const FOLD_REPEATED: usize = 1024 * 1024;

/// The values of one partition on their way to one per group.
pub(in crate::dataflow) struct Folding {
    run: Run,
    record_type: RecordType,
    /// The folded values of groups `0..folded`, then the values collected.
    values: ChunkBuilder,
    /// The group of each of them.
    numbers: Numbers,
    /// How often each of them stands there; empty: once.
    repeats: Vec<u32>,
    folded: usize,
    folded_bytes: usize,
    /// The groups of the call that trapped, in the order of its numbers.
    trapped: Vec<u32>,
}

impl Folding {
    /// No groups yet, of values of `record_type`.
    pub(in crate::dataflow) fn new(partition: u32, record_type: RecordType) -> Self {
        Self::within(Run::new(partition), record_type)
    }

    /// The same, as a part of what a function does in a partition.
    pub(in crate::dataflow) fn within(run: Run, record_type: RecordType) -> Self {
        Self {
            run,
            record_type,
            values: ChunkBuilder::new(record_type),
            numbers: Numbers::new(),
            repeats: Vec::new(),
            folded: 0,
            folded_bytes: 0,
            trapped: Vec::new(),
        }
    }

    /// Tells the call that trapped, if one did, and the values that were buried, which keys their
    /// groups have; `keys` finds those of some groups as [`Folding::add`] numbers them.
    pub(in crate::dataflow) fn name_groups(
        &self,
        keys: impl Fn(&[u32]) -> Column,
        out: &mut Output,
    ) {
        if let Some(call) = out.trapped() {
            call.keys = Some(keys(&self.trapped));
        }
        for letters in out.letters() {
            letters.name_groups(|groups| keys(groups));
        }
    }

    /// Where calls happen.
    pub(in crate::dataflow) const fn run(&self) -> &Run {
        &self.run
    }

    /// What the function did, to go on from.
    pub(in crate::dataflow) fn into_run(self) -> Run {
        self.run
    }

    /// Whether there are no values.
    pub(in crate::dataflow) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// Collects `values`; `group` appends a number for each, a new group's being one more than any
    /// before, and says how many groups there are now.
    pub(in crate::dataflow) fn add(
        &mut self,
        values: &Chunk,
        group: impl FnOnce(&mut Numbers) -> usize,
        caller: &Caller,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let bound = out.bounds().operator.of_call();
        bound
            .check(self.values.size() + values.size())
            .map_err(|kind| out.failed(self.run.partition(), kind))?;
        let groups = group(&mut self.numbers);
        self.values.append(values);
        if !self.repeats.is_empty() {
            self.repeats.resize(self.numbers.len(), 1);
        }
        let pending = self.numbers.len() - self.folded;
        let pending_bytes = self.values.size() - self.folded_bytes;
        if pending >= FOLD_VALUES.max(self.folded)
            || pending_bytes >= FOLD_BYTES.max(self.folded_bytes)
        {
            self.fold_early(groups, caller, out)?;
        }
        Ok(())
    }

    /// Whether `value`, which came so many times, should be added before it comes more often: a call
    /// with it that traps is made again with each of them.
    pub(in crate::dataflow) fn is_enough(&self, value: &Chunk, times: usize) -> bool {
        times >= FOLD_REPEATED.max(self.folded)
            || times.saturating_mul(value.size()) >= FOLD_BYTES.max(self.folded_bytes)
    }

    /// Folds `value` so many times into each group: `counts` has a number for every group there is.
    pub(in crate::dataflow) fn add_repeated(
        &mut self,
        value: &Chunk,
        counts: &[u32],
        caller: &Caller,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let before = self.numbers.len();
        self.repeats.resize(before, 1);
        for (number, count) in (0u32..).zip(counts).filter(|(_, count)| **count > 0) {
            self.numbers.push(number.to_le_bytes());
            self.repeats.push(*count);
        }
        let added = self.repeats.len() - before;
        self.values.append(&value.repeat(added));
        self.fold_early(counts.len(), caller, out)
    }

    /// Folds what was collected, to go on from.
    fn fold_early(
        &mut self,
        groups: usize,
        caller: &Caller,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let folded = self.fold(groups, caller, out)?;
        self.values.append(&folded);
        self.numbers
            .extend((0..groups as u32).map(u32::to_le_bytes));
        self.folded = groups;
        self.folded_bytes = self.values.size();
        Ok(())
    }

    /// One value for each of so many groups, in order of their numbers.
    pub(in crate::dataflow) fn finish(
        &mut self,
        groups: usize,
        caller: &Caller,
        out: &mut Output,
    ) -> Result<Chunk, Failure> {
        self.fold(groups, caller, out)
    }

    /// Takes all values and folds them.
    fn fold(&mut self, groups: usize, caller: &Caller, out: &mut Output) -> Result<Chunk, Failure> {
        let empty = ChunkBuilder::new(self.record_type);
        let values = std::mem::replace(&mut self.values, empty).finish();
        let numbers = std::mem::take(&mut self.numbers);
        let repeats: U32s = std::mem::take(&mut self.repeats).into_iter().collect();
        if numbers.len() == groups && repeats.iter().all(|times| times == 1) {
            // Numbers ascend as groups appear, so the values stand in their order already.
            return Ok(values);
        }
        let mut sizes = vec![0u32; groups];
        numbers.iter().for_each(|number| sizes[index(number)] += 1);
        for (number, times) in numbers.iter().zip(repeats.iter()) {
            sizes[index(number)] += times - 1;
        }
        let several = sizes.iter().filter(|size| **size > 1).count();
        if several == groups {
            let all = as_groups(numbers, groups, repeats);
            let folded = caller.fold(&mut self.run, all, &values, out);
            return folded.inspect_err(|_| self.trapped = (0..groups as u32).collect());
        }
        let split = Split::new(&numbers, &sizes);
        let buried = out.letters().len();
        let repeats = match repeats.is_empty() {
            true => repeats,
            false => repeats.take(&split.records),
        };
        let folded = caller.fold(
            &mut self.run,
            as_groups(split.numbers, several, repeats),
            &values.take(&split.records),
            out,
        );
        let folded = folded.inspect_err(|_| self.trapped = several_of(&sizes))?;
        if out.letters().len() > buried {
            let several = several_of(&sizes);
            let of_call = out.letters()[buried..].iter_mut();
            of_call.for_each(|letters| letters.renumber(&several));
        }
        let mut merged = ChunkBuilder::new(self.record_type);
        for place in &split.places {
            match *place {
                FoldPlace::Alone(record) => merged.append_one(&values, record as usize),
                FoldPlace::Folded(group) => merged.append_one(&folded, group as usize),
            }
        }
        Ok(merged.finish())
    }
}

/// The values of groups that have several, apart from those that are alone.
struct Split {
    /// The records of groups with several, in order.
    records: Vec<u32>,
    /// Their groups, numbered anew in the old order.
    numbers: Numbers,
    /// Where each group's result is found, by the old number.
    places: Vec<FoldPlace>,
}

#[derive(Clone, Copy)]
enum FoldPlace {
    /// The value is this record.
    Alone(u32),
    /// The value is the result of this group, by the new number.
    Folded(u32),
}

impl Split {
    fn new(numbers: &Numbers, sizes: &[u32]) -> Self {
        let mut next = 0;
        let mut places: Vec<FoldPlace> = sizes
            .iter()
            .map(|&size| {
                if size == 1 {
                    return FoldPlace::Alone(0);
                }
                next += 1;
                FoldPlace::Folded(next - 1)
            })
            .collect();
        let mut split = Self {
            records: Vec::new(),
            numbers: Numbers::new(),
            places: Vec::new(),
        };
        for (record, number) in (0..).zip(numbers) {
            match &mut places[index(number)] {
                FoldPlace::Alone(at) => *at = record,
                FoldPlace::Folded(group) => {
                    split.records.push(record);
                    split.numbers.push(group.to_le_bytes());
                }
            }
        }
        split.places = places;
        split
    }
}

/// The groups that have several values.
fn several_of(sizes: &[u32]) -> Vec<u32> {
    let groups = (0..).zip(sizes).filter(|(_, size)| **size > 1);
    groups.map(|(group, _)| group).collect()
}

fn index(number: &[u8; 4]) -> usize {
    u32::from_le_bytes(*number) as usize
}

fn as_groups(numbers: Numbers, count: usize, repeats: U32s) -> Groups {
    Groups {
        numbers: Fixed::new(numbers.into_flattened()).expect("numbers are whole"),
        count: count as u32,
        repeats,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataflow::round::call_site::Half;
    use crate::dataflow::testing::{Double, INT, Job, chunk, output, records};
    use crate::topology::plan::Op;

    /// Folds `values` into the groups that `numbers` says, added in pieces of `length`.
    fn fold(numbers: &[u32], values: &Chunk, length: usize) -> (Vec<String>, Double) {
        let mut job = Job::new();
        let source = job.source(INT);
        let list = Double::fold(|a, b| {
            (a.parse::<i64>().unwrap() * 10 + b.parse::<i64>().unwrap()).to_string()
        });
        let stream = job.function(Op::Reduce, source, (INT, INT), &list);
        let mut caller = job.caller(stream, Half::Before);
        caller.begin(&job.attempt(&[1]));
        let mut out = output();
        let mut folding = Folding::new(0, INT);
        let mut groups = 0;
        for (at, numbers) in (0..).step_by(length).zip(numbers.chunks(length)) {
            let piece = values.slice(at..at + numbers.len());
            let group = |all: &mut Numbers| {
                all.extend(numbers.iter().map(|number| number.to_le_bytes()));
                groups = numbers
                    .iter()
                    .fold(groups, |most, number| most.max(*number as usize + 1));
                groups
            };
            folding.add(&piece, group, &caller, &mut out).unwrap();
        }
        let folded = folding.finish(groups, &caller, &mut out).unwrap();
        (records(&folded), list)
    }

    #[test]
    fn groups_of_one_stay_out_of_the_call() {
        let values = chunk(INT, &["1", "2", "3", "4", "5"]);
        let (folded, list) = fold(&[0, 1, 2, 1, 3], &values, 2);
        assert_eq!(folded, ["1", "24", "3", "5"]);
        assert_eq!(list.count(), (1, 1));
        let (folded, list) = fold(&[0, 1, 2, 3, 4], &values, 2);
        assert_eq!(folded, ["1", "2", "3", "4", "5"]);
        assert_eq!(list.count(), (0, 0));
    }

    #[test]
    fn a_group_goes_on_where_the_call_before_left_it() {
        let many = FOLD_VALUES + 20_000;
        let numbers: Vec<u32> = (0..many as u32).map(|at| at % 1000).collect();
        let values = Chunk::single(Column::int64((0..many).map(|at| i64::from(at >= many - 3))));
        let (folded, list) = fold(&numbers, &values, 10_000);
        let last = (many - 1) % 1000;
        for (group, value) in folded.iter().enumerate() {
            let expected = if (last - 2..=last).contains(&group) {
                "1"
            } else {
                "0"
            };
            assert_eq!(value, expected, "group {group}");
        }
        assert_eq!(list.count(), (1, 2));
    }
}

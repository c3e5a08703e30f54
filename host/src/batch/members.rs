//! Which records belong to each group.

use super::group::Numbers;

/// The records of each group, in their order: what a grouping is when the values are wanted, and
/// not only a number for each.
#[derive(Debug, Default)]
pub struct Members {
    /// Those of group `g` are `records[starts[g]..starts[g + 1]]`.
    starts: Vec<u32>,
    records: Vec<u32>,
}

impl Members {
    /// Of `groups` groups, where `numbers` holds each record's, all below `groups`.
    #[must_use]
    pub fn new(numbers: &Numbers, groups: usize) -> Self {
        let index = |number: &[u8; 4]| u32::from_le_bytes(*number) as usize;
        let mut starts = vec![0u32; groups + 1];
        for number in numbers {
            starts[index(number) + 1] += 1;
        }
        for group in 0..groups {
            starts[group + 1] += starts[group];
        }
        let mut next = starts.clone();
        let mut records = vec![0; numbers.len()];
        for (record, number) in (0..).zip(numbers) {
            let at = &mut next[index(number)];
            records[*at as usize] = record;
            *at += 1;
        }
        Self { starts, records }
    }

    /// The records of group `group`; none for a group beyond those there are.
    #[must_use]
    pub fn of(&self, group: usize) -> &[u32] {
        match (self.starts.get(group), self.starts.get(group + 1)) {
            (Some(start), Some(end)) => &self.records[*start as usize..*end as usize],
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stand_in_order_by_group() {
        let numbers: Numbers = [1u32, 0, 1, 3].map(u32::to_le_bytes).to_vec();
        let members = Members::new(&numbers, 4);
        let of: Vec<&[u32]> = (0..5).map(|group| members.of(group)).collect();
        assert_eq!(of, [&[1][..], &[0, 2], &[], &[3], &[]]);
    }
}

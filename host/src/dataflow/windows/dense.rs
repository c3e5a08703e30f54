//! Some of many groups, numbered anew.

/// No number.
pub(super) const NONE: u32 = u32::MAX;

/// Numbers some of many groups anew, in the order in which they are met.
#[derive(Debug)]
pub(super) struct Dense {
    /// By group: its new number, or [`NONE`].
    numbers: Vec<u32>,
    /// The groups, by new number.
    order: Vec<u32>,
}

impl Dense {
    /// None of so many groups yet.
    pub(super) fn new(groups: usize) -> Self {
        Self {
            numbers: vec![NONE; groups],
            order: Vec::new(),
        }
    }

    /// The new number of a group, which may be met for the first time.
    pub(super) fn meet(&mut self, group: u32) -> u32 {
        let number = &mut self.numbers[group as usize];
        if *number == NONE {
            // Groups are numbered by `u32`.
            *number = self.order.len() as u32;
            self.order.push(group);
        }
        *number
    }

    /// The new number of a group, if it was met.
    pub(super) fn get(&self, group: u32) -> Option<u32> {
        Some(self.numbers[group as usize]).filter(|number| *number != NONE)
    }

    /// The groups that were met, in order.
    pub(super) fn order(&self) -> &[u32] {
        &self.order
    }
}

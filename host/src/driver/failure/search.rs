//! Finds the records on which a call traps, by making it again in fresh instances.
//!
//! The call's functions are taken one by one, in the order of their chain. The smallest beginning
//! of a function's input that traps ends with the guilty record; it is left out, and the search goes
//! on behind it until the function comes to the end of its input, which gives the input of the next
//! one. So all that is guilty in a call is found in one go. Where records have nothing to do with
//! each other, those that are known to pass are not called again.
//!
//! Nobody is blamed for a trap that does not happen again, or that happens only to many records
//! together (of memory, or of time): the guilty record must trap also where nothing but its own
//! group or key comes before it. A function of a whole partition or batch is blamed with all of it,
//! whatever the trap: there is nothing less that it could be called with.
//!
//! This is pure over [`Binding`]; what follows from a find is decided in [`crate::driver::failure::blame`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::function::{Binding, Outcome, RecordRef, Request, Trap, TrapKind};
use crate::batch::units::UnitText;
use crate::dataflow::{FailedCall, Grain, LeftOut};

/// How often functions may be called per batch to find what is guilty.
const PROBES: u32 = 100_000;

/// How long finding what is guilty may take per batch. A call that runs into its time limit costs
/// that limit each time it is made again.
const PATIENCE: Duration = Duration::from_secs(600);

/// The length of the first stretch that is tried; as long as there is no trap, each is twice as long
/// as the one before.
const FIRST_STRETCH: usize = 16;

/// Into how many parts a stretch is cut to find where in it a call traps.
const PARTS: usize = 2;

/// The same where a trap is dear, because it comes with the time limit: of the parts only one ever
/// traps.
const PARTS_OF_TIME: usize = 16;

/// What is left of [`PROBES`] and [`PATIENCE`] for a batch. When it is used up, nothing more is
/// found: the attempts that fail from then on count, and the job ends with the trap.
#[derive(Debug)]
pub struct Budget {
    probes: u32,
    /// Counts from the first probe.
    until: Option<Instant>,
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            probes: PROBES,
            until: None,
        }
    }
}

impl Budget {
    fn spend(&mut self) -> bool {
        let now = Instant::now();
        let until = *self.until.get_or_insert(now + PATIENCE);
        match self.probes.checked_sub(1) {
            Some(left) if now < until => {
                self.probes = left;
                true
            }
            _ => false,
        }
    }
}

/// Something that is guilty of a trap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Find {
    /// The link that traps on it.
    pub link: usize,
    /// A unit of the link's input; none: all of it.
    pub unit: Option<(RecordRef, UnitText)>,
    /// How many records, values or keys it stands for.
    pub units: usize,
    /// How the function ends on it.
    pub trap: Trap,
}

/// A search among the records of one call.
pub struct Search<'a> {
    call: &'a FailedCall,
    budget: &'a mut Budget,
    links: Vec<Arc<dyn Binding>>,
    /// The link that is looked at; beyond the last: the search is over.
    link: usize,
    /// What that link is given.
    request: Request,
    /// What was left out of links before this search began. What was left out of a later link is
    /// void once something new is found in an earlier one, because records have other numbers then.
    known: Vec<RecordRef>,
    /// The units of this link that are left in, ascending.
    kept: Vec<u32>,
    /// So many of them are known to pass.
    passed: usize,
    /// How the link traps somewhere behind those.
    hunted: Option<TrapKind>,
}

/// The budget is used up.
struct BudgetSpent;

impl<'a> Search<'a> {
    /// A search that has not begun.
    pub fn new(call: &'a FailedCall, budget: &'a mut Budget) -> Self {
        let known = match &call.left_out {
            Some(LeftOut::Units(units)) => units.iter().map(|unit| unit.at).collect(),
            Some(LeftOut::All { .. }) | None => Vec::new(),
        };
        let mut search = Self {
            call,
            budget,
            // A plugin that cannot even be bound any more blames nobody.
            links: call.binding.links().unwrap_or_default(),
            link: 0,
            request: call.request.clone(),
            known,
            kept: Vec::new(),
            passed: 0,
            hunted: None,
        };
        search.enter();
        search
    }

    /// What was left out before and still is: nothing of the links after the one in which something
    /// was found.
    #[must_use]
    pub fn known(&self) -> &[RecordRef] {
        &self.known
    }

    /// The next find, in the order of the links and of their records.
    pub fn next_find(&mut self) -> Option<Find> {
        let find = self.search().ok().flatten();
        if find.is_none() {
            self.link = self.links.len();
        }
        find
    }

    fn search(&mut self) -> Result<Option<Find>, BudgetSpent> {
        while self.link < self.links.len() {
            if self.hunted.is_some() {
                if self.hunt()? {
                    return self.convict();
                }
                self.hunted = None;
            }
            match self.probe(&self.kept.clone())? {
                Ok(outcome) => {
                    self.request = Request::Chunk(outcome.chunk);
                    self.link += 1;
                    self.enter();
                }
                Err(trap) if self.call.grain == Grain::Whole => return Ok(self.whole(trap)),
                // It traps, and on nothing in it.
                Err(_) if self.passed == self.kept.len() => return Ok(None),
                Err(trap) => self.hunted = Some(trap.kind),
            }
        }
        Ok(None)
    }

    /// Begins with the link at hand.
    fn enter(&mut self) {
        let link = self.link as u32;
        let known = self.known.iter().filter(|at| at.link == link);
        let mut left_out = known.map(|at| at.index).peekable();
        self.kept = (0..self.request.units() as u32)
            .filter(|unit| left_out.next_if_eq(unit).is_none())
            .collect();
        self.passed = 0;
        self.hunted = None;
    }

    /// Blames all of the call.
    fn whole(&mut self, trap: Trap) -> Option<Find> {
        let find = Find {
            link: self.link,
            unit: None,
            units: self.request.units(),
            trap,
        };
        let starts = self.starts();
        self.link = self.links.len();
        starts.then_some(find)
    }

    /// Goes on to where the next trap is: the unit behind those that pass. False if there is none.
    fn hunt(&mut self) -> Result<bool, BudgetSpent> {
        let mut step = FIRST_STRETCH;
        let mut traps = loop {
            if self.passed == self.kept.len() {
                return Ok(false);
            }
            let end = self.kept.len().min(self.passed + step);
            if self.passes(end)? {
                step *= 2;
            } else {
                break end;
            }
        };
        let parts = match self.hunted {
            Some(TrapKind::Time) => PARTS_OF_TIME,
            _ => PARTS,
        };
        while traps - self.passed > 1 {
            let step = (traps - self.passed).div_ceil(parts);
            for end in (self.passed + step..traps).step_by(step) {
                if !self.passes(end)? {
                    traps = end;
                    break;
                }
            }
        }
        Ok(true)
    }

    /// Whether the units that end before `end` pass, those being known that pass.
    fn passes(&mut self, end: usize) -> Result<bool, BudgetSpent> {
        let begin = match &self.request {
            // A value adds to those of its group, a record finds the state that others left.
            Request::Fold(..) | Request::Records(_) => 0,
            _ => self.passed,
        };
        let stretch = self.kept[begin..end].to_vec();
        match self.probe(&stretch)? {
            Ok(_) => self.passed = end,
            Err(trap) => {
                self.hunted = Some(trap.kind);
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Blames the unit behind those that pass, if it is at fault itself.
    fn convict(&mut self) -> Result<Option<Find>, BudgetSpent> {
        if self.passed == 0 && !self.starts() {
            return Ok(None);
        }
        let Some(alone) = self.alone(self.passed) else {
            return Ok(None);
        };
        let Err(trap) = self.probe(&alone)? else {
            return Ok(None);
        };
        let at = RecordRef {
            link: self.link as u32,
            index: self.kept.remove(self.passed),
        };
        self.known.retain(|known| known.link <= at.link);
        Ok(Some(Find {
            link: self.link,
            unit: Some((at, self.call.unit_text(&self.request, at.index))),
            units: 1,
            trap,
        }))
    }

    /// The unit at `place` among the kept ones, with what must come before it: what its group or
    /// its key had before, which may be what it traps on; of a trap that many can bring about
    /// together, only what it cannot be called without. None if it cannot be left out.
    fn alone(&self, place: usize) -> Option<Vec<u32>> {
        let unit = self.kept[place];
        let together = matches!(self.hunted, Some(TrapKind::Time | TrapKind::Memory));
        let (numbers, fold) = match &self.request {
            Request::Fold(groups, _) => (&groups.numbers, true),
            Request::Records(records) => (&records.numbers, false),
            _ => return Some(vec![unit]),
        };
        let number = |unit: u32| numbers.get(unit as usize);
        let of_group = |before: &u32| number(*before) == number(unit);
        let mut before: Vec<u32> = self.kept[..place]
            .iter()
            .copied()
            .filter(of_group)
            .collect();
        if fold && before.is_empty() {
            // The first of a group is not even looked at before the second comes.
            return None;
        }
        if together {
            before.truncate(usize::from(fold));
        }
        before.push(unit);
        Some(before)
    }

    /// Whether the link can be started at all.
    fn starts(&self) -> bool {
        self.links[self.link]
            .instantiate(&self.call.context)
            .is_ok()
    }

    /// Calls the link with some units of its input, in a fresh instance.
    fn probe(&mut self, units: &[u32]) -> Result<Result<Outcome, Trap>, BudgetSpent> {
        if !self.budget.spend() {
            return Err(BudgetSpent);
        }
        let request = self.request.only(units);
        let context = &self.call.context;
        let instance = self.links[self.link].instantiate(context);
        Ok(instance.and_then(|mut function| function.call(context, &request, &[])))
    }
}

#[cfg(test)]
mod tests;

//! Counts: every record that entered a link has left it, or was rejected there.

use crate::batch::function::{Kind, LinkCount, RecordRef, Rejection, Report, Trap};

use super::{Naming, Promise, broken};
use crate::plugin::escape::escape;
use crate::plugin::wire;

/// Rejections of one call that are kept with their reasons, unless all are asked for; all are
/// counted.
const MAX_REASONS: usize = 32;

/// Characters of a reason that are kept.
const MAX_REASON_CHARACTERS: usize = 512;

/// How many records there must be.
#[derive(Clone, Copy)]
pub(super) enum Records {
    Exactly(u64),
    AtMost(u64),
    Any,
}

impl Records {
    /// The same without `skipped` records.
    fn without(self, skipped: u64) -> Self {
        match self {
            Self::Exactly(count) => Self::Exactly(count.saturating_sub(skipped)),
            Self::AtMost(count) => Self::AtMost(count.saturating_sub(skipped)),
            Self::Any => Self::Any,
        }
    }

    /// What `kind` makes of `count` records, none of them rejected.
    fn after(kind: Kind, count: u64) -> Self {
        match kind {
            Kind::Map | Kind::MapValues => Self::Exactly(count),
            Kind::Filter => Self::AtMost(count),
            _ => Self::Any,
        }
    }

    pub(super) fn check(self, what: &str, count: u64) -> Result<(), Trap> {
        match self {
            Self::Exactly(expected) if count != expected => {
                broken(format!("{what} {count} records where {expected} are due"))
            }
            Self::AtMost(most) if count > most => broken(format!(
                "{what} {count} records where at most {most} are due"
            )),
            _ => Ok(()),
        }
    }
}

impl Promise {
    /// Checks the counts link by link; gives the report, and how many records must have come out.
    pub(super) fn report(
        &self,
        records: usize,
        skip: &[RecordRef],
        report: wire::Report,
    ) -> Result<(Report, Records), Trap> {
        let kinds = &self.kinds;
        if report.links.len() != kinds.len() {
            return broken(format!(
                "it counted {} links where there are {}",
                report.links.len(),
                kinds.len()
            ));
        }
        let mut due = Records::Exactly(records as u64);
        let mut links = Vec::with_capacity(kinds.len());
        for (index, (kind, link)) in kinds.iter().zip(&report.links).enumerate() {
            let skipped = skip.iter().filter(|at| at.link as usize == index).count() as u64;
            let count = LinkCount {
                records: link.records.into(),
                rejected: link.rejected.into(),
            };
            due.without(skipped)
                .check(&format!("link {index} counted"), count.records)?;
            let Some(passed) = count.records.checked_sub(count.rejected) else {
                return broken(format!(
                    "it rejected {} of {} records",
                    count.rejected, count.records
                ));
            };
            due = Records::after(*kind, passed);
            links.push(count);
        }
        let rejections = self.rejections(&links, skip, report.rejections)?;
        let report = Report {
            links,
            rejections,
            counters: Vec::new(),
        };
        Ok((report, due))
    }

    /// The rejections, checked against the counts, their reasons cut and made printable; the first
    /// few of them where no more are asked for.
    fn rejections(
        &self,
        links: &[LinkCount],
        skip: &[RecordRef],
        rejections: Vec<wire::Rejection>,
    ) -> Result<Vec<Rejection>, Trap> {
        let counted: u64 = links.iter().map(|link| link.rejected).sum();
        // A function of a whole partition or batch may fail on nothing, which is no record.
        let on_nothing = |(kind, link): (&Kind, &LinkCount)| kind.sees_all() && link.records == 0;
        let nothing: Vec<bool> = self.kinds.iter().zip(links).map(on_nothing).collect();
        let failures = nothing.iter().filter(|nothing| **nothing).count() as u64;
        // How many there are is guest-controlled: never more than there were records.
        if rejections.len() as u64 > counted + failures {
            return broken(format!(
                "it gave reasons for {} rejections of {counted}",
                rejections.len()
            ));
        }
        let most = match self.naming {
            Naming::FirstFew => MAX_REASONS,
            Naming::All => usize::MAX,
        };
        let skipped: Vec<u64> = (0..links.len())
            .map(|link| skip.iter().filter(|at| at.link as usize == link).count() as u64)
            .collect();
        let mut kept = Vec::with_capacity(rejections.len().min(most));
        for wire::Rejection { at, reason } in rejections.into_iter().take(most) {
            let link = at.link as usize;
            let known = links
                .get(link)
                .is_some_and(|count| u64::from(at.index) < count.records + skipped[link]);
            let nothing = at.index == 0 && nothing.get(link) == Some(&true);
            if !known && !nothing {
                return broken(format!(
                    "it rejected record {} of link {}, which did not come",
                    at.index, at.link
                ));
            }
            kept.push(Rejection {
                at: RecordRef {
                    link: at.link,
                    index: at.index,
                },
                reason: escape(&reason, MAX_REASON_CHARACTERS),
            });
        }
        Ok(kept)
    }

    /// Checks that all rejections are named where that is asked for, each once; what an index names
    /// counts as so many records.
    pub(super) fn names(
        &self,
        report: &Report,
        records_of: impl Fn(u32) -> u64,
    ) -> Result<(), Trap> {
        if self.naming == Naming::FirstFew {
            return Ok(());
        }
        for (link, (kind, count)) in (0..).zip(self.kinds.iter().zip(&report.links)) {
            let of_link = report.rejections.iter().filter(|one| one.at.link == link);
            let mut named: Vec<u32> = of_link.map(|one| one.at.index).collect();
            if kind.sees_all() && count.rejected == count.records && !named.is_empty() {
                // It failed: the last reason is that of all it has not named.
                continue;
            }
            named.sort_unstable();
            if let Some(twice) = named.windows(2).find(|pair| pair[0] == pair[1]) {
                return broken(format!("it rejected record {} twice", twice[0]));
            }
            let records: u64 = named.into_iter().map(&records_of).sum();
            if records != count.rejected {
                return broken(format!(
                    "it rejected {} records and named {records}",
                    count.rejected
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::{ColumnType, RecordType};

    fn promise(kinds: &[Kind], naming: Naming) -> Promise {
        Promise {
            kinds: kinds.to_vec(),
            gives: RecordType::single(ColumnType::Text),
            state: None,
            returned: 1000,
            depth: 4,
            naming,
        }
    }

    /// What is wrong with a report of three records, of which `rejected` are, with reasons for
    /// those in `named`, where all must be named.
    fn named(kind: Kind, rejected: u32, named: &[u32]) -> Option<String> {
        let links = vec![wire::LinkCount {
            records: 3,
            rejected,
        }];
        let rejections = named.iter().map(|&index| wire::Rejection {
            at: wire::RecordRef { link: 0, index },
            reason: String::new(),
        });
        let report = wire::Report {
            links,
            rejections: rejections.collect(),
        };
        let promise = promise(&[kind], Naming::All);
        let (report, _) = promise.report(3, &[], report).unwrap();
        promise.names(&report, |_| 1).err().map(|trap| trap.message)
    }

    #[test]
    fn where_all_rejections_are_to_be_named_none_is_missing_and_none_comes_twice() {
        assert_eq!(named(Kind::Map, 2, &[2, 0]), None);
        let missing = named(Kind::Map, 2, &[1]).unwrap();
        assert_eq!(missing, "it rejected 2 records and named 1");
        let twice = named(Kind::Map, 2, &[1, 1]).unwrap();
        assert_eq!(twice, "it rejected record 1 twice");
        // A whole batch fails for one reason.
        assert_eq!(named(Kind::Transform, 3, &[0]), None);
        assert_eq!(named(Kind::Transform, 3, &[0, 0]), None);
        assert!(named(Kind::Transform, 2, &[0]).is_some());
        assert!(named(Kind::Transform, 3, &[]).is_some());
    }

    #[test]
    fn only_the_first_reasons_are_kept() {
        let links = [LinkCount {
            records: 100,
            rejected: 100,
        }];
        let rejected = (0..100).map(|index| wire::Rejection {
            at: wire::RecordRef { link: 0, index },
            reason: "x".repeat(10_000),
        });
        let promise = promise(&[Kind::Map], Naming::FirstFew);
        let kept = promise.rejections(&links, &[], rejected.collect()).unwrap();
        assert_eq!(kept.len(), MAX_REASONS);
        assert_eq!(kept[0].reason.chars().count(), MAX_REASON_CHARACTERS + 1);
    }

    proptest! {
        #[test]
        fn any_counts_come_to_an_end(links: Vec<(u32, u32)>, at: (u32, u32)) {
            let links = links.iter().map(|&(records, rejected)| wire::LinkCount {
                records,
                rejected,
            });
            let rejection = wire::Rejection {
                at: wire::RecordRef { link: at.0, index: at.1 },
                reason: String::new(),
            };
            let given = wire::Report {
                links: links.collect(),
                rejections: vec![rejection],
            };
            for naming in [Naming::FirstFew, Naming::All] {
                let promise = promise(&[Kind::Map, Kind::Filter], naming);
                if let Ok((report, _)) = promise.report(3, &[], given.clone()) {
                    let _ = promise.names(&report, |_| 1);
                }
            }
        }
    }
}

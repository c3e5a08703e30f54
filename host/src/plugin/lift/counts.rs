//! Counts: every record that entered a link has left it, or was rejected there.

use crate::batch::function::{Kind, LinkCount, RecordRef, Rejection, Report, Trap};

use super::broken;
use crate::plugin::escape::escape;
use crate::plugin::wire;

/// Rejections of one call that are kept with their reasons; all are counted.
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

/// Checks the counts link by link; gives the report, and how many records must have come out.
pub(super) fn report(
    kinds: &[Kind],
    records: usize,
    skip: &[RecordRef],
    report: wire::Report,
) -> Result<(Report, Records), Trap> {
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
    let rejections = rejections(kinds, &links, skip, report.rejections)?;
    let report = Report {
        links,
        rejections,
        counters: Vec::new(),
    };
    Ok((report, due))
}

/// The first rejections, checked against the counts, their reasons cut and made printable.
fn rejections(
    kinds: &[Kind],
    links: &[LinkCount],
    skip: &[RecordRef],
    rejections: Vec<wire::Rejection>,
) -> Result<Vec<Rejection>, Trap> {
    let counted: u64 = links.iter().map(|link| link.rejected).sum();
    // A function of a whole partition or batch may fail on nothing, which is no record.
    let on_nothing = |(kind, link): (&Kind, &LinkCount)| kind.sees_all() && link.records == 0;
    let nothing: Vec<bool> = kinds.iter().zip(links).map(on_nothing).collect();
    let failures = nothing.iter().filter(|nothing| **nothing).count() as u64;
    if rejections.len() as u64 > counted + failures {
        return broken(format!(
            "it gave reasons for {} rejections of {counted}",
            rejections.len()
        ));
    }
    let mut kept = Vec::with_capacity(rejections.len().min(MAX_REASONS));
    // How many there are is guest-controlled: what is beyond the first few is not looked at.
    for wire::Rejection { at, reason } in rejections.into_iter().take(MAX_REASONS) {
        let skipped = skip.iter().filter(|skip| skip.link == at.link).count() as u64;
        let known = links
            .get(at.link as usize)
            .is_some_and(|link| u64::from(at.index) < link.records + skipped);
        let nothing = at.index == 0 && nothing.get(at.link as usize) == Some(&true);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        let kept = rejections(&[Kind::Map], &links, &[], rejected.collect()).unwrap();
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
            let _ = report(&[Kind::Map, Kind::Filter], 3, &[], given);
        }
    }
}

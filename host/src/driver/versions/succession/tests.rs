//! Who succeeds whom: candidates judged against the version that runs, all of them values.

use super::*;
use crate::driver::testing::{Version, deployment, map, plan, update};

const TWO: &str = "[stream.a]\nfrom = \"lines\"\nop = \"map\"\nfunction = \"p/f\"\n\
                   [stream.b]\nfrom = \"a\"\nop = \"map\"\nfunction = \"q/f\"\n\
                   [sink.out]\nfrom = \"b\"\ntype = \"print\"\n";

/// A state of int64 by keys of text, from pairs that `p/pair` makes.
const STATE: &str = "[stream.pairs]\nfrom = \"lines\"\nop = \"map\"\nfunction = \"p/pair\"\n\
                     [stream.totals]\nfrom = \"pairs\"\nop = \"update_state_by_key\"\n\
                     function = \"p/total\"\n\
                     [sink.out]\nfrom = \"totals\"\ntype = \"print\"\n";

const ALL: fn(usize) -> bool = |_| true;

fn standing(deployment: Deployment) -> Standing {
    Standing {
        deployment: Arc::new(deployment),
        initial: Arc::default(),
    }
}

/// Versions `p` and `q` of the plugins of [`TWO`].
fn two(plan: &Plan, p: u8, q: u8) -> Standing {
    let version = |number| Version::new(number, vec![map("f")]);
    standing(deployment(plan, vec![("p", version(p)), ("q", version(q))]))
}

fn totals(plan: &Plan, number: u8, version: u32) -> Standing {
    let pair = crate::batch::function::Signature {
        output: crate::batch::RecordType::pair(
            crate::batch::ColumnType::Text,
            crate::batch::ColumnType::Int64,
        ),
        ..map("pair")
    };
    let plugin = Version::new(number, vec![pair, update("total", version)]).migrating_from(1);
    standing(deployment(plan, vec![("p", plugin)]))
}

fn digests(standing: &Standing) -> Vec<u8> {
    standing
        .deployment
        .digests()
        .into_values()
        .map(|digest| digest.0[0])
        .collect()
}

fn live(events: &[VersionEvent]) -> Vec<String> {
    let live = |event: &VersionEvent| match event {
        VersionEvent::Live { plugin, digest, .. } => Some(format!("{plugin} {}", digest.0[0])),
        _ => None,
    };
    events.iter().filter_map(live).collect()
}

/// A batch with input that is committed.
fn commit(succession: &mut Succession, time: i64) -> Standing {
    let ran = succession.bind(BatchTime(time));
    succession.hold(&ran.deployment, ALL);
    succession.passed(true);
    ran
}

#[test]
fn a_new_version_can_be_fallen_back_from_for_three_batches_with_input() {
    let plan = plan(TWO);
    let mut succession = Succession::new(Arc::clone(&plan), two(&plan, 1, 1));
    succession.propose(two(&plan, 2, 1)).unwrap();
    assert_eq!(
        digests(succession.current()),
        [1, 1],
        "not before the boundary"
    );
    for batch in 0..PROBATION_BATCHES {
        let ran = succession.bind(BatchTime(i64::from(batch)));
        assert_eq!(digests(&ran), [2, 1]);
        assert_eq!(succession.fallback("p").map(digests), Some(vec![1, 1]));
        assert!(succession.fallback("q").is_none(), "it is the same in both");
        // A batch without input proves nothing.
        succession.passed(false);
        succession.passed(true);
    }
    assert!(succession.fallback("p").is_none());
}

#[test]
fn what_is_rolled_back_is_refused_until_its_file_changes_and_takes_what_waits_with_it() {
    let plan = plan(TWO);
    let mut succession = Succession::new(Arc::clone(&plan), two(&plan, 1, 1));
    succession.propose(two(&plan, 2, 2)).unwrap();
    let _ = succession.bind(BatchTime(1));
    succession.propose(two(&plan, 2, 3)).unwrap();
    succession.take_events();
    succession.roll_back(BatchTime(1), "p", "it trapped");
    assert_eq!(digests(succession.current()), [1, 1]);
    assert_eq!(live(&succession.take_events()), ["p 1", "q 1"]);
    assert_eq!(succession.dropped(), 1);
    assert_eq!(digests(&succession.bind(BatchTime(2))), [1, 1]);

    succession.propose(two(&plan, 2, 1)).unwrap();
    assert_eq!(digests(&succession.bind(BatchTime(3))), [1, 1], "refused");
    succession.forget_refusal("p");
    succession.propose(two(&plan, 2, 1)).unwrap();
    assert_eq!(digests(&succession.bind(BatchTime(4))), [2, 1]);
}

#[test]
fn a_swap_back_to_what_is_proven_is_on_no_probation() {
    let plan = plan(TWO);
    let mut succession = Succession::new(Arc::clone(&plan), two(&plan, 1, 1));
    for p in [2, 1] {
        succession.propose(two(&plan, p, 1)).unwrap();
        let _ = succession.bind(BatchTime(i64::from(p)));
    }
    assert!(succession.fallback("p").is_none());
    let events = succession.take_events();
    let last = events.last().unwrap();
    assert!(
        matches!(last, VersionEvent::Live { probation: 0, .. }),
        "{last:?}"
    );
}

#[test]
fn what_ran_before_a_second_swap_on_probation_stays_the_fallback() {
    let plan = plan(TWO);
    let mut succession = Succession::new(Arc::clone(&plan), two(&plan, 1, 1));
    for p in [2, 3] {
        succession.propose(two(&plan, p, 1)).unwrap();
        let _ = succession.bind(BatchTime(i64::from(p)));
    }
    assert_eq!(succession.fallback("p").map(digests), Some(vec![1, 1]));
}

#[test]
fn a_state_needs_a_migration_once_something_is_held() {
    let plan = plan(STATE);
    let mut succession = Succession::new(Arc::clone(&plan), totals(&plan, 1, 2));
    // Nothing is held yet, so any version will do.
    assert!(succession.check(&totals(&plan, 2, 9).deployment).is_ok());
    commit(&mut succession, 1);
    let breaks = succession.propose(totals(&plan, 2, 3)).unwrap_err();
    assert!(
        breaks.to_string().contains("states of version 2"),
        "{breaks}"
    );
}

#[test]
fn a_migration_is_on_probation_for_the_batch_that_does_it_alone() {
    let plan = plan(STATE);
    let mut succession = Succession::new(Arc::clone(&plan), totals(&plan, 1, 1));
    commit(&mut succession, 1);
    succession.propose(totals(&plan, 2, 2)).unwrap();
    let ran = succession.bind(BatchTime(2));
    // Its stream does not fire: the old states are untouched.
    succession.hold(&ran.deployment, |_| false);
    succession.passed(true);
    assert_eq!(succession.fallback("p").map(digests), Some(vec![1]));
    commit(&mut succession, 3);
    assert!(
        succession.fallback("p").is_none(),
        "there is nothing to go back to"
    );
}

#[test]
fn a_proposal_that_the_first_states_rule_out_is_dropped() {
    let plan = plan(STATE);
    let mut succession = Succession::new(Arc::clone(&plan), totals(&plan, 1, 2));
    let ran = succession.bind(BatchTime(1));
    succession.propose(totals(&plan, 2, 3)).unwrap();
    succession.hold(&ran.deployment, ALL);
    assert_eq!(succession.dropped(), 1);
    assert_eq!(digests(&succession.bind(BatchTime(2))), [1]);
}

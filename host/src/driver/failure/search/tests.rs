//! Searches over functions that trap on some records.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::batch::function::{Groups, Records, States, TrapKind, Update};
use crate::batch::{Chunk, Column, Fixed};
use crate::dataflow::Guilty;
use crate::driver::testing::{Body, call, chunk, ints, traps_on};

fn numbers(numbers: &[u32]) -> Fixed<4> {
    let bytes = numbers.iter().copied().flat_map(u32::to_le_bytes);
    Fixed::new(bytes.collect::<Vec<u8>>()).unwrap()
}

/// What is found, as `link.index record`.
fn finds(call: &FailedCall) -> Vec<String> {
    let mut budget = Budget::default();
    let mut search = Search::new(call, &mut budget);
    let mut finds = Vec::new();
    while let Some(find) = search.next_find() {
        finds.push(match find.unit {
            Some((at, text)) => {
                assert_eq!(at.link as usize, find.link);
                format!("{}.{} {}", at.link, at.index, text.record)
            }
            None => format!("{} all {}", find.link, find.units),
        });
        assert!(finds.len() <= 100, "it ends");
    }
    finds
}

#[test]
fn every_guilty_record_is_found_whatever_its_place() {
    for guilty in [&[0][..], &[99], &[41], &[0, 1, 50, 98, 99]] {
        let call = call(vec![traps_on(guilty, &[])], Request::Chunk(chunk(0..100)));
        let expected: Vec<String> = guilty.iter().map(|one| format!("0.{one} {one}")).collect();
        assert_eq!(finds(&call), expected);
    }
}

#[test]
fn a_chain_is_searched_link_by_link_with_numbers_of_what_enters_each() {
    // Of 0..10 the first link is guilty of 3 and lets no 0 through: the second one is given
    // 1 2 4 5 6 7 8 9, and its guilty 5 is the fourth of them.
    let links = vec![
        traps_on(&[3], &[0]),
        traps_on(&[5, 9], &[]),
        traps_on(&[], &[]),
    ];
    let call = call(links, Request::Chunk(chunk(0..10)));
    assert_eq!(finds(&call), ["0.3 3", "1.3 5", "1.7 9"]);
}

#[test]
fn what_was_left_out_stays_so_and_is_void_in_later_links_once_something_is_found_before_them() {
    let at = |link, index| RecordRef { link, index };
    let guilty = |at| Guilty {
        at,
        record: String::new(),
        reason: String::new(),
    };
    let links = || vec![traps_on(&[1, 3], &[]), traps_on(&[5], &[])];
    let mut call = call(links(), Request::Chunk(chunk(0..10)));
    let known = [at(0, 1), at(1, 2)];
    call.left_out = Some(LeftOut::Units(known.map(guilty).to_vec()));
    let mut budget = Budget::default();
    let mut search = Search::new(&call, &mut budget);
    assert_eq!(search.known(), known);
    assert_eq!(search.next_find().unwrap().unit.unwrap().0, at(0, 3));
    assert_eq!(search.known(), [at(0, 1)]);
    assert_eq!(search.next_find().unwrap().unit.unwrap().0, at(1, 3));
    assert_eq!(search.next_find(), None);
}

#[test]
fn many_records_that_only_trap_together_blame_nobody() {
    for kind in [TrapKind::Memory, TrapKind::Time, TrapKind::Trapped] {
        let crowded: Arc<Body> = Arc::new(move |request| match request.units() > 60 {
            true => Err(kind),
            false => Ok(chunk([])),
        });
        let call = call(vec![crowded], Request::Chunk(chunk(0..100)));
        assert_eq!(finds(&call), [""; 0], "{kind:?}");
    }
}

#[test]
fn a_trap_that_does_not_happen_again_blames_nobody() {
    let call = call(vec![traps_on(&[], &[])], Request::Chunk(chunk(0..100)));
    assert_eq!(finds(&call), [""; 0]);
}

#[test]
fn a_trap_of_time_is_met_a_few_times_only() {
    let slow: Arc<Body> = Arc::new(|request| match request {
        Request::Chunk(input) if ints(input).contains(&5000) => Err(TrapKind::Time),
        _ => Ok(chunk([])),
    });
    let traps = Arc::new(AtomicUsize::new(0));
    let counting: Arc<Body> = {
        let traps = Arc::clone(&traps);
        Arc::new(move |request| {
            slow(request).inspect_err(|_| {
                traps.fetch_add(1, Ordering::Relaxed);
            })
        })
    };
    let call = call(vec![counting], Request::Chunk(chunk(0..10_000)));
    assert_eq!(finds(&call), ["0.5000 5000"]);
    // The whole, a stretch, a part of each of three sizes, and alone.
    assert_eq!(traps.load(Ordering::Relaxed), 6);
}

#[test]
fn a_search_ends_with_its_budget_and_goes_on_in_the_next_attempt() {
    let call = call(
        vec![traps_on(&[10, 20], &[])],
        Request::Chunk(chunk(0..100)),
    );
    let mut budget = Budget {
        probes: 10,
        until: None,
    };
    let mut search = Search::new(&call, &mut budget);
    assert!(search.next_find().is_some());
    assert_eq!(search.next_find(), None);
    assert_eq!(search.next_find(), None);
    assert_eq!(budget.probes, 0);
}

/// Sums the values of each group; traps where one passes `most`.
fn sums(most: i64) -> Arc<Body> {
    Arc::new(move |request| {
        let Request::Fold(Groups { numbers, count, .. }, values) = request else {
            panic!("folds only")
        };
        let mut sums: Vec<Option<i64>> = vec![None; *count as usize];
        for (number, value) in numbers.iter().zip(ints(values)) {
            let sum = &mut sums[number as usize];
            *sum = Some(match *sum {
                Some(sum) if sum + value > most => return Err(TrapKind::Trapped),
                Some(sum) => sum + value,
                None => value,
            });
        }
        Ok(chunk(sums.into_iter().map(Option::unwrap)))
    })
}

#[test]
fn of_a_fold_a_value_is_found_that_is_not_the_first_of_its_group() {
    let groups = Groups {
        numbers: numbers(&[0, 1, 0, 1, 0, 0]),
        repeats: Fixed::default(),
        count: 2,
    };
    let fold = Request::Fold(groups, chunk([100, 1, 5, 2, 3, 4]));
    let mut call = call(vec![sums(107)], fold);
    // 100 + 5 + 3 is too much, and so is 100 + 5 + 4, whatever the other group holds.
    assert_eq!(finds(&call), ["0.4 3", "0.5 4"]);
    call.keys = Some(Column::text(["a", "b"]));
    assert_eq!(finds(&call), ["0.4 (a,3)", "0.5 (a,4)"]);
}

#[test]
fn all_of_a_call_that_sees_everything_is_blamed() {
    let mut call = call(vec![traps_on(&[7], &[])], Request::Chunk(chunk(0..10)));
    call.grain = Grain::Whole;
    assert_eq!(finds(&call), ["0 all 10"]);
}

#[test]
fn of_an_update_a_key_is_found_and_of_records_a_record_after_those_of_its_key() {
    let update: Arc<Body> = Arc::new(|request| match request {
        Request::Update(update) if ints(&Chunk::single(update.values.clone())).contains(&6) => {
            Err(TrapKind::Trapped)
        }
        _ => Ok(chunk([])),
    });
    let old = |keys: usize| States {
        present: vec![false; keys],
        values: Column::int64([]),
    };
    let request = Request::Update(Update {
        keys: Column::text(["a", "b", "c"]),
        offsets: numbers(&[0, 2, 3, 4]),
        values: Column::int64([4, 5, 6, 7]),
        old: old(3),
    });
    assert_eq!(finds(&call(vec![update], request)), ["0.1 b"]);

    // The third record of a key is one too many.
    let records: Arc<Body> = Arc::new(|request| {
        let Request::Records(records) = request else {
            panic!("records only")
        };
        let of_key = |key| records.numbers.iter().filter(|of| *of == key).count();
        match (0..records.keys.len() as u32).any(|key| of_key(key) > 2) {
            true => Err(TrapKind::Trapped),
            false => Ok(chunk([])),
        }
    });
    let request = Request::Records(Records {
        keys: Column::text(["a", "b"]),
        old: old(2),
        numbers: numbers(&[0, 1, 0, 1, 1]),
        values: Column::int64([1, 2, 3, 4, 5]),
    });
    assert_eq!(finds(&call(vec![records], request)), ["0.4 (b,5)"]);
}

//! What is cut of several lanes.

use super::*;
use crate::source::testing;
use crate::topology::plan::Format;

struct Nothing;

impl Receiver for Nothing {
    fn stop(&mut self) {}
}

#[test]
fn what_lanes_leave_of_their_shares_is_for_those_with_more() {
    for (whole, most, expected) in [
        (vec![], 10, 10),
        (vec![100], 10, 10),
        (vec![100, 100], 11, 6),
        (vec![100, 1], 10, 9),
        (vec![1, 100, 2, 100], 13, 5),
        (vec![u64::MAX, 0], 10, 10),
        // All of it has room.
        (vec![3, 4], 10, 7),
        (vec![3, 4], u64::MAX, u64::MAX - 3),
        (vec![7; 3], 0, 0),
    ] {
        assert_eq!(fair_share(whole.clone(), most), expected, "{whole:?}");
    }
}

#[test]
fn a_bound_holds_over_all_lanes_and_what_it_holds_back_is_told() {
    let plan = testing::plan(Format::Text);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let intake = Intake::new(&plan);
    let mut source = Received::new(&plan, Arc::clone(&intake), Box::new(Nothing));
    let mut lanes = ["much", "little"].map(|name| intake.open(name));
    lanes[0]
        .push(runtime.handle(), &b"much\n".repeat(100))
        .unwrap();
    lanes[1].push(runtime.handle(), b"little\n").unwrap();
    let mut next = |bound| {
        source.bound(bound);
        let cut = source.cut().unwrap();
        let lanes = cut.positions();
        let lanes = lanes.into_iter().map(|(lane, _)| lane.0);
        (cut.bytes, cut.held_back, lanes.collect::<Vec<_>>())
    };
    let both = vec!["much".to_owned(), "little".to_owned()];
    let much = vec!["much".to_owned()];
    assert_eq!(next(Some(107)), (107, true, both.clone()));
    // A record is given however little is wanted.
    assert_eq!(next(Some(1)), (5, true, much.clone()));
    lanes[1].push(runtime.handle(), b"little\n").unwrap();
    assert_eq!(next(Some(1)), (12, true, both));
    // All of it has room, or there is no bound: nothing is held back.
    assert_eq!(next(Some(385)), (385, true, much.clone()));
    assert_eq!(next(Some(5)), (5, false, much));
    assert_eq!(next(Some(5)), (0, false, vec![]));
    lanes[0]
        .push(runtime.handle(), &b"much\n".repeat(100))
        .unwrap();
    assert!(!next(None).1);
}

#[test]
fn a_lane_that_opens_after_the_stop_holds_up_no_end() {
    let plan = testing::plan(Format::Text);
    let intake = Intake::new(&plan);
    let mut source = Received::new(&plan, Arc::clone(&intake), Box::new(Nothing));
    source.stop();
    let _late = intake.open("late");
    assert!(source.cut().unwrap().ended);
}

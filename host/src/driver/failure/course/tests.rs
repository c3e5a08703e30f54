//! What follows from failures of sources.

use super::*;
use crate::batch::source::SourceError;
use crate::driver::testing::{deployment, plan};

fn judge() -> (Judge, Course) {
    let plan = plan("[sink.out]\nfrom = \"lines\"\ntype = \"print\"\n");
    let first = Standing::first(&plan, deployment(&plan, Vec::new())).unwrap();
    let versions = Versions::new(Arc::clone(&plan), first.clone(), Arc::new(|_| {}));
    let course = Course::new(BatchTime(1000), first);
    (Judge::new(plan, versions), course)
}

fn trouble(judge: &Judge, error: SourceError) -> Trouble {
    let failure = Failure {
        node: Node::Source(0),
        partition: 0,
        kind: FailureKind::Source(error),
    };
    judge.trouble(vec![failure]).unwrap()
}

#[test]
fn a_part_that_cannot_be_read_for_now_is_waited_for_and_ends_no_job() {
    let (judge, mut course) = judge();
    for _ in 0..100 {
        let trouble = trouble(&judge, SourceError::passing("permission denied"));
        let pause = judge.after(&mut course, trouble, Vec::new()).unwrap();
        assert_eq!((pause, course.attempt), (SOURCE_PAUSE, 1));
    }
}

#[test]
fn a_part_that_has_changed_or_is_lost_is_not_tried_again() {
    for error in [SourceError::changed("new"), SourceError::lasting("gone")] {
        let (judge, mut course) = judge();
        let trouble = trouble(&judge, error);
        assert!(judge.after(&mut course, trouble, Vec::new()).is_err());
    }
}

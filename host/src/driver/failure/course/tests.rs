//! What follows from failures, attempt by attempt: values in, decisions out.

use super::*;
use crate::batch::Digest;
use crate::batch::function::{Request, Trap};
use crate::batch::sink::SinkError;
use crate::batch::source::SourceError;
use crate::dataflow::{LeftOut, Limit, Rejected, Sample, Trapped};
use crate::driver::testing::{Version, call, chunk, deployment, map, plan, traps_on};
use crate::driver::versions::deployment::Deployment;

const BATCH: BatchTime = BatchTime(1000);

/// A chain of two streams, of a plugin each.
const TWO: &str = "[stream.a]\nfrom = \"lines\"\nop = \"map\"\nfunction = \"p/f0\"\non_error = \"skip\"\n\
                   [stream.b]\nfrom = \"a\"\nop = \"map\"\nfunction = \"q/f\"\n\
                   [sink.out]\nfrom = \"b\"\ntype = \"print\"\n";

/// Versions of the plugins of [`TWO`].
fn two(plan: &Plan, p: u8, q: u8) -> Deployment {
    let p = Version::new(p, vec![map("f0")]);
    let q = Version::new(q, vec![map("f")]);
    deployment(plan, vec![("p", p), ("q", q)])
}

/// A batch that is about to be attempted, by the version 1 of both plugins.
struct Bench {
    versions: Versions,
    judge: Judge,
    course: Course,
}

impl Bench {
    fn new() -> Self {
        let plan = plan(TWO);
        let first = Standing::first(&plan, two(&plan, 1, 1)).unwrap();
        let versions = Versions::new(Arc::clone(&plan), first, Arc::new(|_| {}));
        Self::of(plan, versions)
    }

    /// The same with version `p` and `q` on probation.
    fn on_probation(p: u8, q: u8) -> Self {
        let Self {
            versions, judge, ..
        } = Self::new();
        versions.propose(two(&judge.plan, p, q)).unwrap();
        Self::of(judge.plan, versions)
    }

    fn of(plan: Arc<Plan>, versions: Versions) -> Self {
        let course = Course::new(BATCH, versions.bind(BATCH));
        let judge = Judge::new(plan, versions.clone());
        Self {
            versions,
            judge,
            course,
        }
    }

    /// What the first numbers of the digests of `p` and `q` are that the next attempt runs.
    fn runs(&self) -> [u8; 2] {
        let digests = self.course.standing.deployment.digests();
        ["p", "q"].map(|plugin| digests[plugin].0[0])
    }

    fn failed(&mut self, node: Node, kind: FailureKind) -> Result<Duration, Trouble> {
        self.failed_with(vec![failure(node, kind)], Vec::new())
    }

    fn failed_with(
        &mut self,
        failures: Vec<Failure>,
        calls: Vec<FailedCall>,
    ) -> Result<Duration, Trouble> {
        let trouble = self.judge.trouble(failures).expect("something failed");
        self.judge.after(&mut self.course, trouble, calls)
    }
}

const fn failure(node: Node, kind: FailureKind) -> Failure {
    Failure {
        node,
        partition: 0,
        kind,
    }
}

/// A call of [`TWO`]'s first function on 0 to 9, which traps on some.
fn trapping(guilty: &'static [i64]) -> FailedCall {
    call(vec![traps_on(guilty, &[])], Request::Chunk(chunk(0..10)))
}

fn trap(plugin: &str) -> FailureKind {
    let (plugin, function) = (plugin.to_owned(), "f0".to_owned());
    FailureKind::Trap(Box::new(Trapped {
        trap: Trap::broken_promise("no"),
        plugin: Digest([0; 32]),
        functions: vec![FunctionName { plugin, function }],
        site: trapping(&[]).site,
    }))
}

fn rejected() -> FailureKind {
    FailureKind::Rejected(Sample {
        partition: 0,
        sequence: 0,
        index: 0,
        what: Rejected::Nothing,
        reason: "no".to_owned(),
    })
}

const fn too_large() -> FailureKind {
    FailureKind::TooLarge {
        bytes: 2,
        allowed: 1,
        limit: Limit::Operator,
    }
}

fn sink(lasting: bool) -> FailureKind {
    FailureKind::Sink(SinkError {
        message: "full".to_owned(),
        hint: None,
        lasting,
    })
}

#[test]
fn a_part_that_cannot_be_read_for_now_is_waited_for_and_ends_no_job() {
    let mut bench = Bench::new();
    for _ in 0..100 {
        let error = SourceError::passing("permission denied");
        let pause = bench.failed(Node::Source(0), FailureKind::Source(error));
        assert_eq!((pause.unwrap(), bench.course.attempt), (SOURCE_PAUSE, 1));
    }
}

#[test]
fn what_would_be_so_again_is_not_tried_again() {
    let cases = [
        (
            Node::Source(0),
            FailureKind::Source(SourceError::changed("new")),
        ),
        (
            Node::Source(0),
            FailureKind::Source(SourceError::lasting("gone")),
        ),
        (Node::Sink(0), sink(true)),
        (Node::Stream(0), rejected()),
    ];
    for (node, kind) in cases {
        let told = Bench::on_probation(2, 2).failed(node, kind.clone());
        assert!(told.is_err(), "{kind}");
    }
}

#[test]
fn a_sink_is_tried_again_with_growing_pauses_as_often_as_is_allowed() {
    let mut bench = Bench::on_probation(2, 2);
    for attempt in 1..bench.judge.plan.settings.attempts {
        let pause = bench.failed(Node::Sink(0), sink(false)).unwrap();
        assert_eq!(pause, SINK_PAUSE * attempt);
        assert_eq!(bench.runs(), [2, 2], "it is no version's fault");
    }
    assert!(bench.failed(Node::Sink(0), sink(false)).is_err());
    assert!(bench.course.convicted().is_none());
}

#[test]
fn a_version_on_probation_that_traps_is_convicted_by_what_ran_before() {
    let mut bench = Bench::on_probation(2, 2);
    let calls = vec![trapping(&[3])];
    let pause = bench.failed_with(vec![failure(Node::Stream(0), trap("p"))], calls);
    assert_eq!(pause.unwrap(), Duration::ZERO);
    assert_eq!((bench.runs(), bench.course.attempt), ([1, 1], 2));
    assert!(bench.course.skips.is_empty(), "nobody looks for a record");
    let suspect = bench.course.convicted().expect("it is refused");
    assert_eq!(suspect.plugin, "p");
    bench.versions.roll_back(BATCH, "p", &suspect.reason);
    assert!(bench.versions.is_refused("p", Digest([2; 32])));
}

#[test]
fn where_both_versions_trap_the_record_is_at_fault_and_the_new_one_stays() {
    let mut bench = Bench::on_probation(2, 1);
    let traps = || vec![failure(Node::Stream(0), trap("p"))];
    bench.failed_with(traps(), vec![trapping(&[3])]).unwrap();
    assert_eq!(bench.runs(), [1, 1]);
    let attempt = bench.course.attempt;
    bench.failed_with(traps(), vec![trapping(&[3])]).unwrap();
    assert_eq!(bench.runs(), [2, 1]);
    assert_eq!(bench.course.attempt, attempt, "a find is no attempt");
    let left_out = bench.course.skips.get(&trapping(&[]).site);
    let Some(LeftOut::Units(units)) = left_out else {
        panic!("{left_out:?}")
    };
    assert_eq!(
        units.iter().map(|unit| &unit.record).collect::<Vec<_>>(),
        ["3"]
    );
    // Whatever fails later in the batch, the proven version had its try.
    bench.failed_with(traps(), vec![trapping(&[5])]).unwrap();
    assert_eq!(bench.runs(), [2, 1]);
    assert!(bench.course.convicted().is_none());
}

#[test]
fn where_the_old_version_fails_for_another_reason_the_new_one_goes_on() {
    let mut bench = Bench::on_probation(2, 1);
    bench.failed(Node::Stream(0), trap("p")).unwrap();
    assert_eq!(bench.runs(), [1, 1]);
    bench.failed(Node::Stream(1), trap("q")).unwrap();
    assert_eq!((bench.runs(), bench.course.attempt), ([2, 1], 3));
    assert!(bench.course.convicted().is_none());
}

#[test]
fn what_the_old_version_rejects_the_new_one_may_not() {
    let mut bench = Bench::on_probation(2, 1);
    bench.failed(Node::Stream(0), trap("p")).unwrap();
    bench.failed(Node::Stream(0), rejected()).unwrap();
    assert_eq!(bench.runs(), [2, 1]);
}

#[test]
fn what_is_too_large_may_be_the_fault_of_any_function_before_it() {
    for (p, q, guilty) in [(2, 1, "p"), (1, 2, "q"), (2, 2, "q")] {
        let mut bench = Bench::on_probation(p, q);
        bench.failed(Node::Stream(1), too_large()).unwrap();
        let suspect = bench.course.convicted().expect("a suspect");
        assert_eq!(suspect.plugin, guilty, "its own function first");
    }
    let mut bench = Bench::on_probation(1, 2);
    bench.failed(Node::Stream(0), too_large()).unwrap();
    assert_eq!(bench.runs(), [1, 2], "what comes later is at no fault");
}

#[test]
fn of_several_failures_the_one_that_a_new_version_may_have_made_says_what_follows() {
    let mut bench = Bench::on_probation(1, 2);
    let failures = vec![
        failure(Node::Stream(0), rejected()),
        failure(Node::Stream(1), trap("q")),
    ];
    bench.failed_with(failures, Vec::new()).unwrap();
    assert_eq!(bench.runs(), [1, 1]);
}

#[test]
fn a_trap_that_nothing_is_found_for_ends_the_job_after_so_many_attempts() {
    let mut bench = Bench::new();
    for _ in 1..bench.judge.plan.settings.attempts {
        bench.failed(Node::Stream(0), trap("p")).unwrap();
    }
    assert!(bench.failed(Node::Stream(0), trap("p")).is_err());
}

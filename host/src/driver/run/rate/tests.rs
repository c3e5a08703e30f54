//! Who may give how much, told by values.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn control() -> RateControl {
    RateControl::new(BackPressure::default(), SECOND, 1)
}

/// All that a source had.
const fn all(bytes: u64) -> Given {
    Given {
        bytes,
        held_back: false,
    }
}

/// Cuts a batch of so many bytes, in records of ten, which takes so many milliseconds; the bound
/// of the next.
fn run(control: &mut RateControl, bytes: u64, delay: u64, took: u64) -> Option<u64> {
    let batch = BatchTime(control.sources[0].records as i64 + 1);
    let bound = control.bounds(Instant::now())[0];
    let held_back = bound.is_some_and(|bound| bytes >= bound);
    control.cut(batch, vec![Given { bytes, held_back }], Instant::now());
    end(control, batch, bytes, (delay, took))
}

/// Runs a batch that was cut.
fn end(
    control: &mut RateControl,
    batch: BatchTime,
    bytes: u64,
    (delay, took): (u64, u64),
) -> Option<u64> {
    let now = Instant::now();
    control.begun(batch, now);
    control.processed(&ProcessedBatch {
        batch,
        scheduling_delay: Duration::from_millis(delay),
        processing: Duration::from_millis(took),
        records: vec![bytes / 10],
    });
    control.bounds(now)[0]
}

#[test]
fn a_job_that_keeps_up_is_not_bounded() {
    let mut control = control();
    assert_eq!(run(&mut control, 10, 0, 1), None);
    assert_eq!(run(&mut control, 1_000_000, 0, 900), None);
    assert_eq!(run(&mut control, 0, 0, 1), None);
}

#[test]
fn the_very_first_batch_bounds_the_second() {
    let mut control = control();
    assert_eq!(run(&mut control, 10_000_000, 0, 4_000), Some(2_500_000));
}

#[test]
fn a_batch_that_still_runs_bounds_what_is_cut_meanwhile() {
    let mut control = control();
    let begun = Instant::now();
    control.cut(BatchTime(1), vec![all(10_000_000)], Instant::now());
    control.begun(BatchTime(1), begun);
    assert_eq!(control.bounds(begun + SECOND), [None]);
    let after = |seconds| control.bounds(begun + seconds * SECOND)[0].unwrap();
    assert_eq!(after(2), 5_000_000);
    assert_eq!(after(10), 1_000_000);
    // Never less than a hundred records, of whatever size.
    assert_eq!(after(1_000_000), 10_000);
}

#[test]
fn a_batch_that_waits_bounds_what_is_cut_meanwhile() {
    let mut control = control();
    let cut_at = Instant::now();
    // The first one holds nothing, and takes long.
    control.cut(BatchTime(1), vec![all(0)], cut_at);
    control.cut(BatchTime(2), vec![all(10_000_000)], cut_at);
    control.cut(BatchTime(3), vec![all(20_000_000)], cut_at + SECOND);
    control.begun(BatchTime(1), cut_at);
    assert_eq!(control.bounds(cut_at + SECOND), [None]);
    assert_eq!(control.bounds(cut_at + 4 * SECOND), [Some(2_500_000)]);
    // As soon as it runs, that counts.
    let begun = cut_at + 8 * SECOND;
    control.begun(BatchTime(2), begun);
    assert_eq!(control.bounds(begun + SECOND), [None]);
    assert_eq!(control.bounds(begun + 2 * SECOND), [Some(5_000_000)]);
}

#[test]
fn what_has_piled_up_is_worked_off() {
    let mut control = control();
    run(&mut control, 10_000_000, 0, 4_000);
    // Processed at the same speed, with two seconds of delay: a fifth of two intervals less.
    let bound = run(&mut control, 2_500_000, 2_000, 1_000);
    assert_eq!(bound, Some(1_500_000));
    // Without a delay it is the speed itself.
    assert_eq!(run(&mut control, 1_500_000, 500, 600), Some(2_250_000));
}

#[test]
fn what_trickles_in_while_others_are_worked_off_is_no_measure_of_speed() {
    let mut control = control();
    run(&mut control, 10_000_000, 0, 4_000);
    // So much has piled up that next to nothing is wanted.
    assert_eq!(run(&mut control, 2_500_000, 20_000, 1_000), Some(1_000));
    assert_eq!(run(&mut control, 1_000, 20_000, 10), Some(1_000));
    // It is worked off.
    assert_eq!(run(&mut control, 1_000, 0, 10), Some(2_500_000));
}

#[test]
fn a_batch_that_was_cut_before_more_was_allowed_says_nothing_of_what_a_source_has() {
    let mut control = control();
    run(&mut control, 10_000_000, 0, 4_000);
    assert_eq!(run(&mut control, 2_500_000, 20_000, 1_000), Some(1_000));
    let small = [BatchTime(7_000_000), BatchTime(8_000_000)];
    let given = Given {
        bytes: 1_000,
        held_back: true,
    };
    for batch in small {
        control.cut(batch, vec![given], Instant::now());
    }
    assert_eq!(end(&mut control, small[0], 1_000, (0, 10)), Some(2_500_000));
    assert_eq!(end(&mut control, small[1], 1_000, (0, 10)), Some(2_500_000));
}

#[test]
fn a_small_batch_that_takes_long_holds_back_no_burst() {
    let mut control = control();
    // A hundred records, or less.
    for (bytes, took) in [(1_000, 3_000), (10, 60_000), (10, 1)] {
        assert_eq!(run(&mut control, bytes, 0, took), None);
    }
    // Nor does one that still runs.
    let begun = Instant::now();
    control.cut(BatchTime(5_000), vec![all(10)], Instant::now());
    control.begun(BatchTime(5_000), begun);
    assert_eq!(control.bounds(begun + 10 * SECOND), [None]);
    end(&mut control, BatchTime(5_000), 10, (0, 10_000));
    assert_eq!(run(&mut control, 50_000_000, 10_000, 500), Some(1_000));
    // One that is as small because of its bound does count.
    assert_eq!(run(&mut control, 1_000, 0, 1_000), Some(1_000));
}

#[test]
fn what_others_take_is_not_taken_for_the_first_batch_of_a_start() {
    let mut control = control();
    let begun = Instant::now();
    control.cut(BatchTime(9), vec![all(10_000_000)], begun);
    // Of an earlier start: the first of this one waits for it.
    control.begun(BatchTime(3), begun + 50 * SECOND);
    assert_eq!(control.bounds(begun + 100 * SECOND), [Some(100_000)]);
    control.begun(BatchTime(9), begun + 100 * SECOND);
    // A window that fires before it.
    control.processed(&ProcessedBatch {
        batch: BatchTime(8),
        scheduling_delay: Duration::ZERO,
        processing: SECOND,
        records: vec![0],
    });
    let bounds = control.bounds(begun + 104 * SECOND);
    assert_eq!(bounds, [Some(2_500_000)]);
}

#[test]
fn a_bound_that_holds_nothing_back_is_none_any_more() {
    let mut control = control();
    run(&mut control, 10_000_000, 0, 4_000);
    assert!(run(&mut control, 2_500_000, 0, 900).is_some());
    assert_eq!(run(&mut control, 1_000_000, 0, 400), None);
}

#[test]
fn an_empty_batch_says_nothing_of_speed() {
    let mut control = control();
    run(&mut control, 10_000_000, 0, 4_000);
    let bound = run(&mut control, 0, 3_000, 1);
    assert_eq!(bound, Some(2_500_000));
    assert_eq!(run(&mut control, 0, 0, 1), None);
}

#[test]
fn the_bound_is_never_below_the_least_rate_and_never_less_than_a_byte() {
    let mut control = control();
    assert_eq!(
        run(&mut control, 100_000, 1_000_000, 1_000_000),
        Some(1_000)
    );
    let settings = BackPressure {
        min_rate: 0.0,
        ..BackPressure::default()
    };
    let mut control = RateControl::new(settings, SECOND, 1);
    assert_eq!(run(&mut control, 10, 1_000_000, 1_000_000), Some(1));
}

#[test]
fn whatever_is_told_there_is_a_bound_to_go_on_with() {
    for times in [(0, 0), (0, u64::MAX), (u64::MAX, 0), (u64::MAX, u64::MAX)] {
        for bytes in [1, u64::MAX] {
            let huge = BackPressure {
                proportional: f64::MAX,
                integral: f64::MAX,
                derivative: f64::MAX,
                min_rate: 1.0,
            };
            let mut control = RateControl::new(huge, Duration::from_millis(1), 1);
            for batch in 0..5 {
                let held_back = batch > 0;
                control.cut(
                    BatchTime(batch),
                    vec![Given { bytes, held_back }],
                    Instant::now(),
                );
                let bound = end(&mut control, BatchTime(batch), bytes, times);
                assert!(bound.is_none_or(|bound| bound > 0));
            }
        }
    }
}

/// What Spark tests its estimator with: batches of 20 ms, by elements, processing and delay in
/// milliseconds, with the settings and what is expected of all but the first.
#[test]
fn the_cases_of_spark_hold() {
    let steps = 1..50_u64;
    let cases = |given: fn(u64) -> (u64, u64, u64)| steps.clone().map(given);
    let check = |settings, cases: &mut dyn Iterator<Item = (u64, u64, u64)>, expected| {
        let interval = Duration::from_millis(20);
        let mut control = RateControl::new(settings, interval, 1);
        for (index, (bytes, took, delay)) in cases.enumerate() {
            let batch = BatchTime(index as i64);
            control.cut(
                batch,
                vec![Given {
                    bytes,
                    held_back: true,
                }],
                Instant::now(),
            );
            end(&mut control, batch, bytes * 10, (delay, took));
            let rate = control.sources[0].bound.unwrap();
            let expected: fn(f64) -> std::ops::RangeInclusive<f64> = expected;
            let speed = bytes as f64 / took as f64 * 1000.0;
            assert!(expected(speed).contains(&rate), "{index}: {rate}");
        }
    };
    let settings = |integral, min_rate| BackPressure {
        integral,
        min_rate,
        ..BackPressure::default()
    };
    // It is never less than the least rate, whatever piles up.
    check(settings(1.0, 5.0), &mut cases(|_| (1, 20, 100)), |_| {
        5.0..=5.0
    });
    // Where nothing piles up it follows the speed, up and down.
    let speed = |speed: f64| speed - 1e-6..=speed + 1e-6;
    check(settings(1.0, 10.0), &mut cases(|n| (n * 20, 20, 0)), speed);
    check(
        settings(1.0, 10.0),
        &mut cases(|n| ((51 - n) * 20, 20, 0)),
        speed,
    );
    // Where something has piled up it stays below.
    check(
        settings(0.01, 10.0),
        &mut cases(|n| (n * 619 % 1000 + 1, 20, 1 + n % 18)),
        |speed| 0.0..=speed.max(10.0),
    );
}

#[test]
fn a_constant_speed_is_found_whatever_it_was_before() {
    let mut control = control();
    let mut bound = run(&mut control, 50_000_000, 0, 20_000).unwrap();
    let mut delay = 0;
    for _ in 0..20 {
        // A million bytes a second, and batches wait for each other.
        let took = bound / 1_000;
        delay = (delay + took).saturating_sub(1_000);
        bound = run(&mut control, bound, delay, took).unwrap_or(bound);
    }
    assert!((800_000..=1_000_000).contains(&bound), "{bound}");
}

/// A job whose batches cost so much whatever they hold, and so much a byte; times in seconds.
struct System {
    interval: f64,
    fixed: f64,
    per_byte: f64,
    /// Bytes a second that come.
    load: f64,
}

/// How the last quarter of a run went.
#[derive(Debug)]
struct Outcome {
    /// Bytes a second that were processed.
    throughput: f64,
    /// From a cut to its commit, in seconds, at most.
    delay: f64,
}

impl System {
    /// Batches that wait at most; then intervals grow.
    const MOST_WAITING: usize = 64;

    fn run(&self, intervals: u32) -> Outcome {
        let begin = Instant::now();
        let at = |seconds: f64| begin + Duration::from_secs_f64(seconds);
        let interval = Duration::from_secs_f64(self.interval);
        let mut control = RateControl::new(BackPressure::default(), interval, 1);
        let mut waiting: VecDeque<(f64, u64)> = VecDeque::new();
        let mut running: Option<(f64, f64, u64)> = None;
        let (mut came, mut free, mut processed, mut delay) = (0.0, 0.0, 0.0, 0.0_f64);
        for tick in 1..=intervals {
            let now = f64::from(tick) * self.interval;
            loop {
                if let Some((cut, start, bytes)) = running {
                    let took = self.fixed + self.per_byte * bytes as f64;
                    if start + took > now {
                        break;
                    }
                    control.processed(&ProcessedBatch {
                        batch: label(cut),
                        scheduling_delay: Duration::from_secs_f64(start - cut),
                        processing: Duration::from_secs_f64(took),
                        records: vec![bytes / 10],
                    });
                    free = start + took;
                    if tick > intervals / 4 * 3 {
                        processed += bytes as f64;
                        delay = delay.max(free - cut);
                    }
                }
                running = waiting.pop_front().map(|(cut, bytes)| {
                    let start = free.max(cut);
                    control.begun(label(cut), at(start));
                    (cut, start, bytes)
                });
                if running.is_none() {
                    break;
                }
            }
            came += self.load * self.interval;
            if waiting.len() < Self::MOST_WAITING {
                let bound = control.bounds(at(now))[0].map_or(came, |bound| bound as f64);
                let bytes = came.min(bound) as u64;
                let held_back = came > bound;
                control.cut(label(now), vec![Given { bytes, held_back }], at(now));
                came -= bytes as f64;
                waiting.push_back((now, bytes));
            }
        }
        let throughput = processed / (f64::from(intervals / 4) * self.interval);
        Outcome { throughput, delay }
    }
}

fn label(cut: f64) -> BatchTime {
    BatchTime((cut * 1e6) as i64)
}

#[test]
fn where_slowing_cannot_help_a_job_does_what_it_can() {
    let slow_disk = |load| System {
        interval: 0.010,
        fixed: 0.015,
        per_byte: 1e-8,
        load,
    };
    // Larger batches would be through with it.
    let outcome = slow_disk(2e7).run(20_000);
    assert!(outcome.throughput > 1.9e7, "{outcome:?}");
    // A hundred megabytes a second would be all that it can if nothing were fixed.
    let outcome = slow_disk(3e8).run(20_000);
    assert!(outcome.throughput > 4.5e7, "{outcome:?}");
    let waits = (System::MOST_WAITING + 2) as f64;
    assert!(outcome.delay < waits * 2.1 * 0.015, "{outcome:?}");
}

#[test]
fn a_load_of_three_times_what_a_job_can_leaves_a_bounded_delay() {
    for (interval, fixed, possible) in [(1.0, 0.0, 1e8), (1.0, 0.1, 0.9e8), (0.010, 0.005, 0.5e8)] {
        let system = System {
            interval,
            fixed,
            per_byte: 1e-8,
            load: 3e8,
        };
        let outcome = system.run(1_000);
        let throughput = outcome.throughput / possible;
        assert!((0.9..1.05).contains(&throughput), "{interval}: {outcome:?}");
        assert!(outcome.delay < 2.5 * interval, "{interval}: {outcome:?}");
    }
}

//! What a guest can see of the world, and how loud it may be.

use std::io::Write;
use std::sync::{Arc, Mutex};

use dshost::batch::function::{Context, TrapKind};
use dshost::batch::{Chunk, Column};
use dshost::plugin::{CacheDir, Engine, EngineConfig};
use expect_test::expect;
use tracing_subscriber::fmt::MakeWriter;

use super::{Process as _, bind, call, context, guests, hostile, link, load, start, texts};

#[test]
fn a_guest_sees_batch_time_and_nothing_else() {
    let outcome = call("world-seen", &Chunk::single(Column::text(["?"]))).unwrap();
    let Column::Text(seen) = outcome.chunk.value() else {
        panic!("still text")
    };
    expect!["now 1550474364000, waited 0, arguments 0, variables 0, file false, seed 14414102219897103485"].assert_eq(seen.get(0));
}

#[test]
fn the_dice_are_loaded_by_the_seed() {
    let seen = |seed| seen("world-seen", seed);
    assert_eq!(seen(1), seen(1));
    assert_ne!(seen(1), seen(2));
}

#[test]
fn a_guest_is_started_at_the_time_of_its_first_call_with_dice_of_its_own() {
    let in_open = seen("world-seen-in-open", 1);
    assert!(in_open.starts_with("now 1550474364000,"), "{in_open}");
    assert_eq!(in_open, seen("world-seen-in-open", 1));
    assert_ne!(in_open, seen("world-seen-in-open", 2));
    assert_ne!(in_open, seen("world-seen", 1));
}

/// What a function sees of the world whose first call has `seed`.
fn seen(function: &str, seed: u64) -> String {
    let component = hostile();
    let context = Context { seed, ..context(0) };
    let binding = bind(&component, vec![link(&component, function)]).unwrap();
    let mut instance = binding.instantiate(&context).unwrap();
    let input = Chunk::single(Column::text(["?"]));
    let outcome = instance.process(&context, &input, &[]).unwrap();
    let Column::Text(seen) = outcome.chunk.value() else {
        panic!("still text")
    };
    seen.get(0).to_owned()
}

#[test]
fn without_address_space_for_a_pool_instances_are_made_on_demand() {
    // Slots of 4 GiB and more, twice as many as fit into 128 TiB.
    let engine = Engine::new(EngineConfig {
        instances: 1 << 16,
        cache: CacheDir::Off,
        ..EngineConfig::default()
    })
    .unwrap();
    let path = guests::build("hostile", guests::Target::Wasip2);
    let component = load(&engine, &path).unwrap();
    let call = |function| {
        let link = link(&component, function);
        start(&component, vec![link]).process(&context(0), &texts(), &[])
    };
    assert_eq!(call("answer-same").unwrap().chunk, texts());
    assert_eq!(call("exhaust-memory").unwrap_err().kind, TrapKind::Memory);
    assert_eq!(call("recurse").unwrap_err().kind, TrapKind::Stack);
}

#[test]
fn a_guest_that_sleeps_goes_on_at_once() {
    // An hour, in a call of at most a second.
    let outcome = call("loop-sleeping", &texts()).unwrap();
    assert_eq!(outcome.chunk, texts());
}

#[test]
fn counters_are_told_with_the_outcome_and_bounded() {
    let counters = call("count-flood", &texts()).unwrap().report.counters;
    assert_eq!(counters.len(), 64);
    assert!(
        counters.contains(&("counter-0".to_owned(), 1)),
        "{counters:?}"
    );
}

#[test]
fn what_a_guest_logs_is_printable_and_bounded() {
    let logged = |function| logged(|| drop(call(function, &texts()).unwrap()));
    let colours = logged("log-colours");
    expect![[r#"
        WARN guest: \u{1b}[2Jred\nforged line operator="log-colours"
    "#]]
    .assert_eq(colours.trim_start());
    for function in ["log-flood", "print-flood"] {
        let log = logged(function);
        let lines = log
            .lines()
            .filter(|line| line.contains("line") || line.contains("printed"));
        // The limit of the tests, and a word about the rest.
        assert_eq!(lines.count(), 11, "{log}");
        assert!(log.contains("dropped=9990"), "{log}");
    }
}

/// What is logged by `run`, a line each.
fn logged(run: impl FnOnce()) -> String {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .without_time()
        .with_ansi(false)
        .with_max_level(tracing::Level::INFO)
        .finish();
    tracing::subscriber::with_default(subscriber, run);
    let bytes = log.0.lock().expect("nobody panics with it").clone();
    String::from_utf8(bytes).expect("logs are text")
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0
            .lock()
            .expect("nobody panics with it")
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

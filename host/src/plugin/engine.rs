//! The engine: one per process, with the clock that ends calls.
//!
//! Wasm code is interrupted by epochs: a thread raises the epoch every [`TICK`], and each call has
//! a deadline in epochs. Stores come from a pool that is sized by the plan, whose address space is
//! reserved once; where it cannot be (under `ulimit -v`), instances are made on demand, with
//! explicit bounds checks, slower and smaller.
//!
//! The stack limit belongs to a whole wasmtime engine, so there is one of those for each limit in
//! use; nearly always that is one.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{info, warn};
use wasmtime::{
    Config, Enabled, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig,
    WasmBacktraceDetails,
};

use crate::plugin::cache::{Cache, CacheDir};
use crate::plugin::profiling::{Profiling, ProfilingError};

/// How exactly the time of a call is limited.
pub const TICK: Duration = Duration::from_millis(10);

/// Instances beyond those of the plan: for descriptions, checks and replacements.
const SPARE_INSTANCES: usize = 16;

/// Core instances of one component: a guest with an adapter has four, a linked Python some twenty.
const CORE_INSTANCES: usize = 24;

/// Memories of one component.
const MEMORIES: usize = 2;

/// Tables of one component.
const TABLES: usize = 8;

/// Elements of one table: functions that a module calls indirectly.
const TABLE_ELEMENTS: usize = 128 * 1024;

/// Bytes of an instance's memory that stay mapped for the next one, instead of being faulted in
/// again.
const RESIDENT_BYTES: usize = 256 * 1024;

/// Frames of a guest's backtrace; of a Rust panic the first dozen are its own machinery.
const MAX_FRAMES: NonZeroUsize = NonZeroUsize::new(40).expect("not zero");

/// What the plan needs.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Instances alive at the same time, at most: about two for each stage and worker.
    pub instances: usize,
    /// The largest memory limit of a plugin, in bytes.
    pub memory: usize,
    /// Where compiled code is kept.
    pub cache: CacheDir,
    /// What a profiler outside is told of guests.
    pub profiling: Profiling,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            instances: 64,
            memory: 256 * 1024 * 1024,
            cache: CacheDir::OfUser,
            profiling: Profiling::Off,
        }
    }
}

/// An engine that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// This machine cannot run wasm at all, or has no thread for the clock.
    #[error("cannot set up the WebAssembly engine")]
    Setup(#[source] wasmtime::Error),
    /// The names of guests' functions cannot be written down.
    #[error(transparent)]
    Profiling(#[from] ProfilingError),
}

/// Compiles components and runs their instances. Clones are the same engine.
#[derive(Clone)]
pub struct Engine(Arc<Shared>);

struct Shared {
    config: EngineConfig,
    cache: Option<Cache>,
    /// By stack limit.
    engines: Mutex<BTreeMap<usize, wasmtime::Engine>>,
    /// Compilations that passed their time and are still running.
    abandoned: Arc<AtomicUsize>,
    ticker: Ticker,
}

impl Engine {
    /// An engine for the plan, its clock running.
    ///
    /// # Errors
    ///
    /// If this machine cannot run wasm at all, has no thread for the clock, or no room for what a
    /// profiler is told.
    pub fn new(config: EngineConfig) -> Result<Self, EngineError> {
        config.profiling.begin()?;
        let cache = Cache::open(&config.cache);
        let ticker = Ticker::start().map_err(|error| EngineError::Setup(error.into()))?;
        let engine = Self(Arc::new(Shared {
            config,
            cache,
            engines: Mutex::default(),
            abandoned: Arc::default(),
            ticker,
        }));
        engine.with_stack(crate::topology::plan::Limits::default().stack)?;
        Ok(engine)
    }

    /// The wasmtime engine whose guests have `stack` bytes.
    pub(super) fn with_stack(&self, stack: usize) -> Result<wasmtime::Engine, EngineError> {
        let shared = &*self.0;
        // An engine is put in whole, so a poisoned lock hides nothing.
        let mut engines = shared
            .engines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = engines.get(&stack) {
            return Ok(engine.clone());
        }
        let engine = make(&shared.config, stack)?;
        shared.ticker.add(&engine);
        engines.insert(stack, engine.clone());
        Ok(engine)
    }

    /// The cache of compiled code, if there is one.
    pub(super) fn cache(&self) -> Option<&Cache> {
        self.0.cache.as_ref()
    }

    /// Compilations that passed their time and are still running.
    pub(super) fn abandoned(&self) -> &Arc<AtomicUsize> {
        &self.0.abandoned
    }
}

/// Epochs after which a call of `limit` has had its time: rounded up, and one more because the
/// first may end at once.
pub(super) fn deadline(limit: Duration) -> u64 {
    let ticks = limit.as_nanos().div_ceil(TICK.as_nanos());
    u64::try_from(ticks)
        .unwrap_or(u64::MAX / 2)
        .min(u64::MAX / 2)
        + 1
}

fn make(config: &EngineConfig, stack: usize) -> Result<wasmtime::Engine, EngineError> {
    let mut pooled = common(config, stack);
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config)));
    match wasmtime::Engine::new(&pooled) {
        Ok(engine) => return Ok(engine),
        Err(error) => {
            warn!(
                instances = config.instances,
                error = format!("{error:#}"),
                "no address space for a pool of instances, so they are made on demand"
            );
        }
    }
    let mut on_demand = common(config, stack);
    // What is not reserved needs no address space; the bounds checks that replace it cost time.
    on_demand
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_reservation(0)
        .memory_guard_size(0)
        .memory_reservation_for_growth(1024 * 1024);
    wasmtime::Engine::new(&on_demand).map_err(EngineError::Setup)
}

fn common(engine: &EngineConfig, stack: usize) -> Config {
    let mut config = Config::new();
    config
        .profiler(engine.profiling.strategy())
        .epoch_interruption(true)
        .max_wasm_stack(stack)
        .cranelift_opt_level(OptLevel::Speed)
        .concurrency_support(false)
        .wasm_component_model(true)
        .wasm_simd(true)
        // The same answer on every machine.
        .relaxed_simd_deterministic(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .wasm_backtrace_max_frames(Some(MAX_FRAMES));
    config
}

fn pool(config: &EngineConfig) -> PoolingAllocationConfig {
    let instances = config.instances.saturating_add(SPARE_INSTANCES);
    let count = |each: usize| u32::try_from(instances.saturating_mul(each)).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    // What one component may take is bounded, so that none takes what others need.
    pool.total_component_instances(count(1))
        .max_core_instances_per_component(CORE_INSTANCES as u32)
        .total_core_instances(count(CORE_INSTANCES))
        .max_memories_per_component(MEMORIES as u32)
        .total_memories(count(MEMORIES))
        .max_tables_per_component(TABLES as u32)
        .total_tables(count(TABLES))
        .max_tables_per_module(TABLES as u32)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(config.memory)
        .linear_memory_keep_resident(RESIDENT_BYTES)
        // Where the kernel says which pages were written, only those are zeroed.
        .pagemap_scan(Enabled::Auto)
        .table_keep_resident(RESIDENT_BYTES);
    pool
}

/// Raises the epoch of every engine until it is dropped.
struct Ticker {
    engines: Arc<Mutex<Vec<wasmtime::Engine>>>,
    /// Gone when the thread is to end.
    running: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    fn start() -> io::Result<Self> {
        let engines: Arc<Mutex<Vec<wasmtime::Engine>>> = Arc::default();
        let (running, ended) = mpsc::channel::<()>();
        let ticked = Arc::clone(&engines);
        let thread = thread::Builder::new()
            .name("epochs".to_owned())
            .spawn(move || {
                while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                    let engines = ticked.lock().unwrap_or_else(PoisonError::into_inner);
                    engines.iter().for_each(wasmtime::Engine::increment_epoch);
                }
            })?;
        Ok(Self {
            engines,
            running: Some(running),
            thread: Some(thread),
        })
    }

    fn add(&self, engine: &wasmtime::Engine) {
        let mut engines = self.engines.lock().unwrap_or_else(PoisonError::into_inner);
        engines.push(engine.clone());
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        drop(self.running.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            info!("the thread that limits the time of calls had ended before");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_rounded_up() {
        assert_eq!(deadline(Duration::from_millis(10)), 2);
        assert_eq!(deadline(Duration::from_millis(11)), 3);
        assert_eq!(deadline(Duration::from_nanos(1)), 2);
        assert!(deadline(Duration::MAX) < u64::MAX);
    }

    #[test]
    fn a_stack_limit_has_one_engine() {
        let engine = Engine::new(EngineConfig {
            instances: 1,
            cache: CacheDir::Off,
            ..EngineConfig::default()
        })
        .unwrap();
        let small = engine.with_stack(64 * 1024).unwrap();
        assert!(wasmtime::Engine::same(
            &small,
            &engine.with_stack(64 * 1024).unwrap()
        ));
        assert!(!wasmtime::Engine::same(
            &small,
            &engine.with_stack(128 * 1024).unwrap()
        ));
    }
}

//! The sandbox against a guest that breaks every promise, and components that should not be let in.

mod hostile;
mod kept_out;
mod states;
mod world;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::support::guests;
use dshost::batch::function::{Binding, Context, Function, Outcome, RecordRef, Request, Trap};
use dshost::batch::{BatchTime, Chunk, Column, RecordType};
use dshost::plugin::{
    BindError, CacheDir, ChainRequest, Component, ComponentFile, Engine, EngineConfig, Link,
    LoadError, Naming,
};
use dshost::topology::plan::Limits;

const MIB: usize = 1024 * 1024;

/// The commonest call.
trait Process {
    fn process(
        &mut self,
        context: &Context,
        input: &Chunk,
        skip: &[RecordRef],
    ) -> Result<Outcome, Trap>;
}

impl Process for Box<dyn Function> {
    fn process(
        &mut self,
        context: &Context,
        input: &Chunk,
        skip: &[RecordRef],
    ) -> Result<Outcome, Trap> {
        self.call(context, &Request::Chunk(input.clone()), skip)
    }
}

/// Limits that a test can wait for.
fn limits() -> Limits {
    Limits {
        memory: 16 * MIB,
        call: Duration::from_secs(1),
        returned: MIB,
        log_lines: 10,
        ..Limits::default()
    }
}

fn engine() -> Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    let make = || {
        Engine::new(EngineConfig {
            cache: CacheDir::Off,
            ..EngineConfig::default()
        })
        .expect("this machine runs wasm")
    };
    ENGINE.get_or_init(make).clone()
}

/// Loads a component file.
fn load(engine: &Engine, path: &Path) -> Result<Arc<Component>, LoadError> {
    let file = ComponentFile::open("hostile", path, &limits())?;
    engine.load(&file, &limits())
}

/// The guest `hostile`, loaded once.
fn hostile() -> Arc<Component> {
    static HOSTILE: OnceLock<Arc<Component>> = OnceLock::new();
    let make = || {
        let path = guests::build("hostile", guests::Target::Wasip2);
        load(&engine(), &path).expect("it is hostile only when it is called")
    };
    Arc::clone(HOSTILE.get_or_init(make))
}

/// The types that the functions of `component` take, without keys.
fn link(component: &Component, function: &str) -> Link {
    let signature = component.signature(function).expect("a known function");
    Link {
        function: function.to_owned(),
        input: signature.input.clone(),
        params: None,
    }
}

fn bind(component: &Arc<Component>, links: Vec<Link>) -> Result<Arc<dyn Binding>, BindError> {
    component.bind(ChainRequest {
        operator: links[0].function.clone(),
        links,
        limits: limits(),
        naming: Naming::FirstFew,
    })
}

fn start(component: &Arc<Component>, links: Vec<Link>) -> Box<dyn Function> {
    let binding = bind(component, links).expect("it can be bound");
    binding
        .instantiate(&context(0))
        .expect("it can be instantiated")
}

fn context(sequence: u32) -> Context {
    Context {
        batch_time: BatchTime(1_550_474_364_000),
        partition: 0,
        sequence,
        seed: 7,
    }
}

fn texts() -> Chunk {
    Chunk::single(Column::text(["one and", "poison é", "three"]))
}

/// Calls a fresh instance of one function once.
fn call(function: &str, input: &Chunk) -> Result<Outcome, Trap> {
    let component = hostile();
    let mut link = link(&component, function);
    if let Some(key) = input.record_type().key {
        link.input[0] = RecordType::pair(key, link.input[0].value);
    }
    start(&component, vec![link]).process(&context(0), input, &[])
}

fn path() -> &'static Path {
    Path::new("plugins/test.wasm")
}

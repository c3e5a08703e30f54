//! User functions as sandboxed WebAssembly components: the only place that knows wasmtime.
//!
//! A file becomes a [`Component`] ([`load`]): its size is capped, its bytes are compiled off the
//! batch path and kept by digest ([`cache`]), its imports are linked to things that hold nothing or
//! it is refused (`load/imports`, `wasi`), and it is asked once what it holds ([`load::signature`]). A
//! component and a list of functions become a [`Binding`](crate::batch::function::Binding)
//! ([`bind`]), and a binding makes instances (`instance`), each with a store of its own. A call
//! lowers the chunk's columns, a copy each (`lower`), and believes nothing that comes back
//! (`lift`).
//!
//! **Invariant:** an instance that trapped, or broke a promise, is never called again.
//! **Invariant:** nothing waits inside a host function, so an epoch ends every call.
//! **Invariant:** what a guest says is bounded, and free of control characters before anyone prints
//! it.
//!
//! Start reading at [`engine`], then [`load`], then `instance`.

pub mod bind;
pub mod cache;
pub mod engine;
pub mod load;
pub mod profiling;

mod chain;
mod escape;
mod guest;
mod instance;
mod lift;
mod lower;
mod trap;
mod voice;
mod wasi;
mod wire;

pub use bind::{BindError, ChainRequest};
pub use cache::CacheDir;
pub use chain::Link;
pub use engine::{Engine, EngineConfig, EngineError};
pub use lift::Naming;
pub use load::compile::COMPILER_THREAD;
pub use load::component::Component;
pub use load::error::{LoadError, LoadErrorKind};
pub use load::file::ComponentFile;
pub use profiling::Profiling;

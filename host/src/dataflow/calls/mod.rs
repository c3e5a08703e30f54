//! Calls into functions: conversion before, accounting after, instances in between. Shared by all
//! operators that bind a function.
//!
//! Instances belong to a [`Run`]: one partition of one attempt. One is made when the first chunk
//! with records needs it, and dropped with the run.
//!
//! | where | what |
//! |---|---|
//! | `caller` | a call of any shape, and what it is made with |
//! | `conversion`, `accounts` | before and after it |
//! | `keep`, `state` | calls of a window's `keep`, of functions with state |
//! | `left_out` | a call without the records on which it would trap |
//! | `rejects` | what becomes of records that are refused, by functions and by the host |
//! | `seed` | the dice of a call |

mod accounts;
mod caller;
mod conversion;
mod keep;
mod left_out;
pub(super) mod rejects;
pub(super) mod seed;
mod state;

pub(super) use caller::{Caller, FunctionUse, Run, StageStreams};

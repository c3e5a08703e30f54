//! Calls into functions: conversion before, accounting after, instances in between. Shared by all
//! operators that bind a function.
//!
//! Instances belong to a [`Run`]: one partition of one attempt. One is made when the first chunk with
//! records needs it, and dropped with the run.

use std::sync::Arc;
use std::time::Instant;

use crate::batch::convert::{self, NOT_EXACT};
use crate::batch::function::{Context, Function, Groups, Outcome, Program, RecordRef, Report, Segment, Trap};
use crate::batch::msgpack::canonical_column;
use crate::batch::{Chunk, Column, ColumnType, FunctionName, RecordType};
use crate::topology::plan::{OnError, Op, Plan};

use super::control::{CallSite, Half};
use super::environment::Environment;
use super::failure::{Failure, FailureKind, Node, Sample, excerpt, excerpt_of};
use super::operator::{Attempt, Output};
use super::seed::seed;

/// The most that one call may be given or may give, in bytes. A column must stay below 4 GiB, and slices
/// that repeat can stand for far more than a guest's memory holds.
pub(super) const CALL_BYTES: usize = 1024 * 1024 * 1024;

/// One stream of a stage.
#[derive(Clone, Debug)]
struct Link {
    stream: usize,
    on_error: OnError,
    function: Option<FunctionName>,
    /// Whether it makes keys, which must be canonical then.
    makes_keys: bool,
}

/// Whether a function is called where there are no records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Empty {
    /// There is nothing to do.
    Skip,
    /// It may make something of nothing.
    Call,
}

/// The functions of one half of a stage.
pub(super) struct Caller {
    stage: usize,
    half: Half,
    empty: Empty,
    links: Vec<Link>,
    environment: Arc<dyn Environment>,
    /// What the open round runs.
    open: Option<(Arc<Attempt>, Program)>,
}

/// The functions of a stage at work on one partition of one attempt.
#[derive(Default)]
pub(super) struct Run {
    partition: u32,
    /// Calls so far, of every segment alike.
    calls: u32,
    /// By segment.
    instances: Vec<Option<Box<dyn Function>>>,
}

impl Run {
    pub(super) fn new(partition: u32) -> Self {
        Self {
            partition,
            ..Self::default()
        }
    }
}

/// A segment of the program, and which links it covers.
#[derive(Clone, Copy)]
struct Part<'a> {
    index: usize,
    segment: &'a Segment,
    links: &'a [Link],
}

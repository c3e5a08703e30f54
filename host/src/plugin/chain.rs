//! A chain: functions of one component that feed each other, called as one.
//!
//! It is made by [`super::bind`], shared by all its instances, and never changes.

use std::sync::Arc;

use crate::batch::RecordType;
use crate::topology::plan::Limits;

use super::lift::Promise;
use super::load::component::Component;
use super::lower::KeyCrossing;
use super::voice::Voice;

/// One function of a chain.
#[derive(Clone, Debug)]
pub struct Link {
    /// Its name in the plugin.
    pub function: String,
    /// The types of the streams it reads, keys included: one, or two for `transform_with`.
    pub input: Vec<RecordType>,
    /// One `MessagePack` map.
    pub params: Option<Vec<u8>>,
}

/// The shape of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Chunks,
    BatchPairs,
    Folds,
    Updates,
    Records,
}

/// What all instances of one binding share.
pub(super) struct Chain {
    pub(super) component: Arc<Component>,
    pub(super) links: Vec<Link>,
    pub(super) limits: Limits,
    pub(super) shape: Shape,
    pub(super) keys: KeyCrossing,
    pub(super) promise: Promise,
    pub(super) voice: Arc<Voice>,
}

impl Chain {
    /// Link `index` as a chain of its own, which says nothing to the log.
    pub(super) fn alone(&self, index: usize) -> Self {
        let kind = self.promise.kinds[index];
        let gives = match self.links.get(index + 1) {
            Some(next) => next.input[0],
            None => self.promise.gives,
        };
        Self {
            component: Arc::clone(&self.component),
            links: vec![self.links[index].clone()],
            keys: KeyCrossing::of(&[kind]),
            promise: Promise {
                kinds: vec![kind],
                gives,
                ..self.promise.clone()
            },
            voice: Arc::new(Voice::silent()),
            limits: self.limits.clone(),
            shape: self.shape,
        }
    }
}

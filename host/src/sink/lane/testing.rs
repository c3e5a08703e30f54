//! Lanes without threads, for tests in which everything happens in one, in an order that can be had
//! again: who asks a sink to stage or prepare does it, and what is committed is published when the test
//! says so, or when somebody waits for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::ledger::{LaneNews, Ledger};
use super::named::NamedSink;
use super::publisher::{Publisher, Publishing};
use super::stager::{Stager, Staging};
use super::{LaneOptions, SinkLanes, queues};

/// What publishes, by queue, until its end.
pub(crate) struct Hands(Mutex<Vec<Option<Publishing>>>);

impl SinkLanes {
    /// Those of sinks that have recovered, and what publishes for them.
    pub(crate) fn by_hand(
        sinks: Vec<NamedSink>,
        options: LaneOptions,
        tell: impl Fn(LaneNews) + Send + Sync + 'static,
    ) -> (Self, Arc<Hands>) {
        let (queues, count) = queues(&sinks);
        let ledger = Ledger::new(count, sinks.len(), options.patience, Box::new(tell));
        let ledger = Arc::new(ledger);
        let stagers = sinks.iter().enumerate().map(|(index, sink)| {
            let staging = Staging::new(index, sink.clone(), Arc::clone(&ledger));
            Stager::Caller(Mutex::new(Some(staging)))
        });
        let stagers = stagers.collect();
        let publishers = (0..count).map(|queue| {
            let ledger = Arc::clone(&ledger);
            Publisher::new(queue, &sinks, ledger, options.metrics.clone())
        });
        let (publishers, publishing): (_, Vec<Publishing>) = publishers.unzip();
        let hands = publishing.into_iter().map(Some).collect();
        let hands = Arc::new(Hands(Mutex::new(hands)));
        let helping = Arc::downgrade(&hands);
        let help = move || {
            let hands = helping.upgrade().expect("who waits has hands");
            let helps = (0..hands.queues()).any(|queue| hands.publish(queue));
            assert!(helps, "nobody does what is waited for");
        };
        let is_first = ledger.helper.set(Box::new(help)).is_ok();
        assert!(is_first, "there is one helper");
        let lanes = Self {
            sinks,
            stagers,
            publishers,
            queues,
            ledger,
            flow: options.flow,
        };
        (lanes, hands)
    }
}

impl Hands {
    /// How many queues there are.
    pub(crate) fn queues(&self) -> usize {
        self.lock().len()
    }

    /// Publishes the next batch of a queue; whether there was anything to do.
    pub(crate) fn publish(&self, queue: usize) -> bool {
        let mut hands = self.lock();
        let Some(publishing) = &hands[queue] else {
            return false;
        };
        let Some(order) = publishing.next() else {
            return false;
        };
        if publishing.obey(order).is_break() {
            hands[queue] = None;
        }
        true
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Publishing>>> {
        // A process that died while it published is over.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

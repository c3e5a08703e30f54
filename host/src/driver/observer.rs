//! How a job tells whoever started it how it gets on.

use std::time::{Duration, Instant};

use crate::observe::status::Status;

/// Is told how a job gets on, by the thread that decides, which goes on when it returns: it must
/// not wait.
pub trait JobObserver: Send {
    /// What earlier starts left is recovered, the sources are open, and batches are cut from now
    /// on.
    fn running(&mut self) {}

    /// A batch is committed; the status as it is now, but for what is filled in when it is read.
    fn committed(&mut self, _status: &Status) {}

    /// What was received is processed, and then the job ends.
    fn draining(&mut self) {}

    /// The thread that decides is not stuck. Told every [`JobObserver::alive_every`], from
    /// [`JobObserver::running`] on, also while a batch takes long or a sink is down.
    fn alive(&mut self) {}

    /// How often it wants to hear that; none: never.
    fn alive_every(&self) -> Option<Duration> {
        None
    }
}

/// Nobody is told.
pub struct Unobserved;

impl JobObserver for Unobserved {}

/// An observer, and when it is to hear next that the thread that decides is alive.
pub(super) struct Pulse {
    observer: Box<dyn JobObserver>,
    next: Option<Instant>,
}

impl Pulse {
    /// One that beats from now on.
    pub(super) fn new(observer: Box<dyn JobObserver>) -> Self {
        let next = observer.alive_every().map(|_| Instant::now());
        Self { observer, next }
    }

    /// Beats, if it is time.
    pub(super) fn beat(&mut self, now: Instant) {
        if self.next.is_some_and(|next| next <= now) {
            self.observer.alive();
            self.next = self.observer.alive_every().map(|every| now + every);
        }
    }

    /// How long until it beats next; none: it never does.
    pub(super) fn left(&self, now: Instant) -> Option<Duration> {
        let next = self.next?;
        Some(next.saturating_duration_since(now))
    }

    /// Whom it tells.
    pub(super) fn observer(&mut self) -> &mut dyn JobObserver {
        &mut *self.observer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    const EVERY: Duration = Duration::from_secs(1);

    struct Counting(Arc<AtomicU32>);

    impl JobObserver for Counting {
        fn alive(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }

        fn alive_every(&self) -> Option<Duration> {
            Some(EVERY)
        }
    }

    #[test]
    fn it_beats_once_an_interval_however_often_it_could() {
        let beats = Arc::new(AtomicU32::new(0));
        let mut pulse = Pulse::new(Box::new(Counting(Arc::clone(&beats))));
        let start = pulse.next.unwrap();
        for (after_ms, expected) in [
            (0, 1),
            (999, 1),
            (1000, 2),
            (1001, 2),
            (60_000, 3),
            (60_001, 3),
        ] {
            let now = start + Duration::from_millis(after_ms);
            pulse.beat(now);
            assert_eq!(beats.load(Ordering::Relaxed), expected, "{after_ms} ms");
            assert!(pulse.left(now) > Some(Duration::ZERO));
        }
    }

    #[test]
    fn nobody_is_woken_for_nobody() {
        assert_eq!(Pulse::new(Box::new(Unobserved)).left(Instant::now()), None);
    }
}

//! The signals that ask a job to end: SIGINT, SIGTERM, and SIGHUP.

use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What comes so soon after a signal is the same one: some who stop a process signal it, and then
/// its whole group (`timeout(1)`).
const SAME_SIGNAL: Duration = Duration::from_millis(200);

/// Hears them.
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// A terminal that went away; none where the job is to outlive it (`nohup`).
    hangup: Option<Signal>,
    /// When the last came.
    last: Option<Instant>,
}

impl Signals {
    /// Hears them from now on: none of them ends the process by itself any more, also once this is
    /// dropped.
    ///
    /// # Errors
    ///
    /// They cannot be heard, or this is not called within a runtime.
    pub(super) fn listen() -> std::io::Result<Self> {
        let hangup = match is_ignored(libc::SIGHUP) {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup,
            last: None,
        })
    }

    /// The next of any of them. Nothing is lost if it is given up.
    pub(super) async fn next(&mut self) {
        loop {
            self.any().await;
            let now = Instant::now();
            let is_same = |last: Instant| now.duration_since(last) < SAME_SIGNAL;
            if !self.last.is_some_and(is_same) {
                self.last = Some(now);
                return;
            }
        }
    }

    async fn any(&mut self) {
        let hangup = async {
            match &mut self.hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = hangup => {}
        }
    }
}

/// Whether who started the process asked for a signal to be ignored.
fn is_ignored(signal: libc::c_int) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: no new action is given, so nothing is changed; the old one is written to `action`,
    // which is as large as it must be and zeroed, a valid value, before.
    let action = unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

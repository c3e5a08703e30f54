//! Who is told that a source has received all it ever will.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use crate::batch::source::EndNotice;

/// Tells the end once, whichever comes first: the end, or who asks for it.
#[derive(Default)]
pub(super) struct Notice(Mutex<NoticeState>);

#[derive(Default)]
enum NoticeState {
    #[default]
    Open,
    Asked(EndNotice),
    Ended,
}

impl Notice {
    /// Has the end told to `notice`; at once, if it is there already.
    pub(super) fn ask(&self, notice: EndNotice) {
        let ended = {
            let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            match *state {
                NoticeState::Ended => Some(notice),
                NoticeState::Open | NoticeState::Asked(_) => {
                    *state = NoticeState::Asked(notice);
                    None
                }
            }
        };
        if let Some(notice) = ended {
            notice();
        }
    }

    /// Says that the end is there.
    pub(super) fn tell(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = std::mem::replace(&mut *state, NoticeState::Ended);
        drop(state);
        if let NoticeState::Asked(notice) = before {
            notice();
        }
    }
}

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notice")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn the_end_is_told_once_whether_it_comes_before_or_after_the_question() {
        for ended_first in [false, true] {
            let (notice, told) = (Notice::default(), Arc::new(AtomicU32::new(0)));
            let count = Arc::clone(&told);
            if ended_first {
                notice.tell();
            }
            notice.ask(Box::new(move || {
                count.fetch_add(1, Ordering::Relaxed);
            }));
            notice.tell();
            notice.tell();
            assert_eq!(told.load(Ordering::Relaxed), 1);
        }
    }
}

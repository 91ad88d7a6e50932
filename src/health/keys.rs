//! The keys of a provider: which is used next, and how long those rest that were limited or
//! refused.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::moved::Moved;
use crate::session::Session;

/// The keys, by their places. Without keys there is one place.
#[derive(Debug)]
pub(super) struct Keys {
    began: Instant,
    rests: Vec<Rest>,
    /// How many calls have been permitted: keys are used in turn where there is no session.
    calls: AtomicUsize,
    /// The keys of sessions whose own key could not be used.
    moved: Moved,
}

/// The rest of a key.
#[derive(Debug, Default)]
struct Rest {
    /// In milliseconds since the state began.
    until: AtomicU64,
    /// When the call was made that was refused, in the count of calls.
    asked: AtomicU64,
}

impl Keys {
    /// So many keys, of which none rests.
    pub(super) fn new(count: usize, began: Instant) -> Keys {
        Keys {
            began,
            rests: (0..count.max(1)).map(|_| Rest::default()).collect(),
            calls: AtomicUsize::new(0),
            moved: Moved::default(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.rests.len()
    }

    /// The key was not taken by the call `asked`.
    pub(super) fn rest(&self, key: usize, asked: u64, until: Instant) {
        let until = (until - self.began).as_millis();
        let rest = &self.rests[key];
        rest.asked.fetch_max(asked, Ordering::Relaxed);
        rest.until.fetch_max(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The key was taken, by a call that knows of the rest only if it was made later.
    pub(super) fn wake(&self, key: usize, asked: u64) {
        let rest = &self.rests[key];
        if rest.asked.load(Ordering::Relaxed) < asked {
            rest.until.store(0, Ordering::Relaxed);
        }
    }

    /// How long each key rests.
    pub(super) fn rests_left(&self, now: Instant) -> impl Iterator<Item = Duration> {
        let now = now - self.began;
        let until = |rest: &Rest| Duration::from_millis(rest.until.load(Ordering::Relaxed));
        self.rests.iter().map(move |rest| until(rest).saturating_sub(now))
    }

    /// The key of the session, or without one the next key in turn, that does not rest; else the
    /// one that rests least. Keys may be of different accounts, whose caches are their own: a
    /// session keeps to its key, and once that was refused to the next.
    pub(super) fn next(&self, session: Option<Session>, now: Instant) -> usize {
        let count = self.count();
        if count == 1 {
            return 0;
        }
        let left: Vec<Duration> = self.rests_left(now).collect();
        let Some(session) = session else {
            let first = self.calls.fetch_add(1, Ordering::Relaxed) % count;
            let in_turn = (0..count).map(|i| (first + i) % count);
            return in_turn.min_by_key(|key| left[*key]).unwrap_or(0);
        };
        let preferred = |key: &usize| Reverse(session.preference(*key));
        let own = (0..count).min_by_key(preferred).unwrap_or(0);
        let kept = self.moved.place(session, now).unwrap_or(own);
        if left.get(kept).is_some_and(Duration::is_zero) {
            return kept;
        }
        let next = (0..count).min_by_key(|key| (left[*key], preferred(key))).unwrap_or(own);
        self.moved.moves(session, next, own, now);
        next
    }
}

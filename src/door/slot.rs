//! Places that are counted, and given back by being dropped.

use std::sync::atomic::{AtomicUsize, Ordering};

/// A place among those that `taken` counts.
#[derive(Debug)]
pub struct Slot<'a>(&'a AtomicUsize);

impl Slot<'_> {
    /// Takes a place, or `None` where `max` are taken.
    pub fn take(taken: &AtomicUsize, max: usize) -> Option<Slot<'_>> {
        taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| (n < max).then_some(n + 1))
            .is_ok()
            .then(|| Slot(taken))
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

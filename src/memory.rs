//! The memory that messages may take together, without IO: a share for each, which grows with what
//! comes from its client and from the provider, as far as there is something left.
//!
//! What a message costs is more than its bytes: they are kept as they came, read into what they
//! mean, and written again for the other side. `tests/it/cost.rs` measures that it is no more than
//! what is counted here.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::bytes::count;
use crate::error::Error;

/// Memory is taken in steps of this many bytes.
const STEP: usize = 64 << 10;

/// How often each byte of an answer is held at once. A request is held once, as it came: what it
/// takes beside that is counted while it is read.
pub const COPIES: usize = 4;

/// What there is to keep for each value beside its bytes, of which a comma, a bracket or a brace
/// tells. Those in texts are counted too, which costs less than to tell them apart.
const VALUE_BYTES: usize = 32;

/// What a message in flight takes besides, most of it the stack of its thread and the system's
/// buffers of both its sockets when they are full: 64 answers through TLS that came faster than
/// their clients read took 119 KiB each.
pub const IN_FLIGHT: usize = 120 << 10;

/// What a document costs at most, whatever it holds: what has more values is refused by their
/// number.
const TIMES: usize = 8;
const FREE: usize = 1 << 20;

/// Bytes that all messages may hold together.
#[derive(Debug)]
pub struct Budget {
    total: usize,
    left: AtomicUsize,
}

/// Bytes taken from the budget, given back when dropped.
#[derive(Debug)]
pub struct Share {
    budget: Arc<Budget>,
    bytes: AtomicUsize,
}

impl Budget {
    /// A budget of so many bytes, all of them free.
    pub fn new(bytes: usize) -> Budget {
        Budget { total: bytes, left: AtomicUsize::new(bytes) }
    }

    /// A share of it, which holds nothing yet.
    pub fn share(self: &Arc<Budget>) -> Share {
        Share { budget: Arc::clone(self), bytes: AtomicUsize::new(0) }
    }

    /// How many are free.
    pub fn left(&self) -> usize {
        self.left.load(Ordering::Relaxed)
    }
}

impl Share {
    /// Takes as much as `bytes` need, in whole steps unless that is more than `most`.
    ///
    /// # Errors
    /// Others hold it, or there is not so much at all.
    pub fn grow_to(&self, bytes: usize, most: usize) -> Result<(), Error> {
        let held = self.bytes.load(Ordering::Relaxed);
        if bytes <= held {
            return Ok(());
        }
        if bytes > self.budget.total {
            let reason = "there is not so much memory as this message would take".to_owned();
            return Err(Error::Refused { status: 413, reason });
        }
        self.take(bytes.next_multiple_of(STEP).min(most.max(bytes)) - held)
    }

    /// Takes as much as `bytes` need and this moment does not, if half of all is left then. Whether
    /// it is held.
    pub fn grow_in_plenty(&self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes.load(Ordering::Relaxed));
        let has_plenty = self.budget.left().saturating_sub(more) >= self.budget.total / 2;
        more == 0 || (has_plenty && self.take(more).is_ok())
    }

    /// Takes so many more.
    ///
    /// # Errors
    /// Others hold it.
    pub fn take(&self, more: usize) -> Result<(), Error> {
        let left = &self.budget.left;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(more))
            .map_err(|_| none_left())?;
        self.bytes.fetch_add(more, Ordering::Relaxed);
        Ok(())
    }

    /// Gives all back.
    fn give_back(&self) {
        let held = self.bytes.swap(0, Ordering::Relaxed);
        self.budget.left.fetch_add(held, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Gives all of a share back when dropped, whoever else still knows it.
#[derive(Debug)]
pub struct Loan(pub Arc<Share>);

impl Drop for Loan {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// The most that it costs to read a JSON document, or this part of it, and to write it for the
/// other side.
pub fn cost(json: &[u8]) -> usize {
    // A bit is all that the brackets differ in.
    let values = count(json, |word| word.is(b',') | word.with(b'[' ^ b'{').is(b'{'));
    (COPIES * json.len() + VALUE_BYTES * values).min(TIMES * json.len() + FREE)
}

/// The longest body of a request that there is room for in `bytes`, if nearly all of it is text,
/// which is sent from where it came.
pub fn longest(bytes: usize) -> usize {
    bytes.saturating_sub(IN_FLIGHT)
}

/// What a client is told whose message there is no memory for.
pub fn none_left() -> Error {
    let reason = "there is no memory left for another message of that size".to_owned();
    Error::Refused { status: 529, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_takes_no_more_than_is_left_and_gives_all_back() {
        let budget = Arc::new(Budget::new(200_000));
        let (one, other) = (budget.share(), budget.share());
        assert_eq!(one.grow_to(1, 200_000), Ok(()));
        assert_eq!(budget.left(), 200_000 - STEP);
        assert_eq!(one.grow_to(STEP, 200_000), Ok(()));
        assert_eq!(one.take(100_000), Ok(()));
        assert_eq!(other.take(100_000).unwrap_err().status(), 529);
        assert_eq!(other.grow_to(100_001, 200_000).unwrap_err().status(), 529);
        assert_eq!(other.grow_to(200_001, 300_000).unwrap_err().status(), 413);
        assert_eq!(budget.left(), 100_000 - STEP);
        let one = Arc::new(one);
        drop(Loan(Arc::clone(&one)));
        assert_eq!(other.grow_to(200_000, 200_000), Ok(()));
        drop((one, other));
        assert_eq!(budget.left(), 200_000);
    }
}

//! Blocks that no thread keeps, for whichever wants one next: the door reads bodies that workers
//! free, and a long message frees more than a thread keeps.
//!
//! Each size has a list, whose head is taken away for as long as one thread looks at it. Nobody
//! waits for it: who does not find it asks the system. What has not been wanted for a while is
//! given back.

use std::alloc::{GlobalAlloc, System};
#[cfg(test)]
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::{CLASSES, KEPT_CLASSES, class_bytes, class_layout, link, next};

/// How much is kept in all: a part of what messages may take, between these.
const PART: usize = 32;
const LEAST_BYTES: usize = 4 << 20;
const MOST_BYTES: usize = 16 << 20;

/// How often [`Spare::tend`] looks until it gives back what nobody has wanted meanwhile. Who asks
/// less often than that does not miss it, and after a rush the memory is soon free.
const QUIET: usize = 3;

/// Blocks of one size, each linked to the next.
struct List {
    /// The first of them, or [`taken`].
    head: AtomicPtr<u8>,
    /// How many there are, and the fewest that there were since some were given back. Only who has
    /// the head changes them.
    count: AtomicUsize,
    fewest: AtomicUsize,
}

/// Blocks of one size that are linked, from the first to the last.
pub(super) struct Chain {
    pub first: *mut u8,
    pub last: *mut u8,
    pub count: usize,
}

/// In the place of a head that a thread has.
fn taken() -> *mut u8 {
    ptr::dangling_mut()
}

impl List {
    const fn new() -> List {
        List {
            head: AtomicPtr::new(ptr::null_mut()),
            count: AtomicUsize::new(0),
            fewest: AtomicUsize::new(0),
        }
    }

    /// Has `f` change the list, from its head to the new one and how many there are, unless another
    /// thread is at it.
    fn change<T>(&self, f: impl FnOnce(*mut u8, usize) -> (*mut u8, usize, T)) -> Option<T> {
        let head = self.head.swap(taken(), Ordering::Acquire);
        if head == taken() {
            return None;
        }
        let (head, count, value) = f(head, self.count.load(Ordering::Relaxed));
        self.count.store(count, Ordering::Relaxed);
        if count < self.fewest.load(Ordering::Relaxed) {
            self.fewest.store(count, Ordering::Relaxed);
        }
        self.head.store(head, Ordering::Release);
        Some(value)
    }

    fn is_empty(&self) -> bool {
        self.head.load(Ordering::Relaxed).is_null()
    }

    /// Takes up to `most` blocks off the list.
    fn take(&self, most: usize) -> Option<Chain> {
        if self.is_empty() || most == 0 {
            return None;
        }
        self.change(|first, count| {
            if first.is_null() {
                return (first, count, None);
            }
            let mut chain = Chain { first, last: first, count: 1 };
            // SAFETY: what is linked here are blocks of one class that nobody uses.
            let mut rest = unsafe { next(first) };
            while chain.count < most && !rest.is_null() {
                chain.last = rest;
                // SAFETY: as above.
                rest = unsafe { next(rest) };
                chain.count += 1;
            }
            // SAFETY: as above; the chain ends here.
            unsafe { link(chain.last, ptr::null_mut()) };
            (rest, count - chain.count, Some(chain))
        })?
    }

    /// Puts blocks on it.
    fn put(&self, chain: &Chain) -> bool {
        let put = self.change(|head, count| {
            // SAFETY: it is a block of a class that nobody uses.
            unsafe { link(chain.last, head) };
            (chain.first, count + chain.count, ())
        });
        put.is_some()
    }

    /// The fewest blocks that there were since this was asked last.
    fn unwanted(&self) -> usize {
        self.change(|head, count| (head, count, self.fewest.swap(count, Ordering::Relaxed)))
            .unwrap_or(0)
    }
}

/// Lists of blocks.
pub(super) struct Spare {
    lists: [List; CLASSES],
    bytes: AtomicUsize,
    most_bytes: AtomicUsize,
    looks: AtomicUsize,
}

impl Spare {
    pub(super) const fn new() -> Spare {
        Spare {
            lists: [const { List::new() }; CLASSES],
            bytes: AtomicUsize::new(0),
            most_bytes: AtomicUsize::new(LEAST_BYTES),
            looks: AtomicUsize::new(0),
        }
    }

    /// Keeps as much from now on as fits messages that may take `bytes`.
    pub(super) fn keep_for(&self, bytes: usize) {
        self.most_bytes.store((bytes / PART).clamp(LEAST_BYTES, MOST_BYTES), Ordering::Relaxed);
    }

    /// Up to `most` blocks of a class, if some are here.
    pub(super) fn take(&self, class: usize, most: usize) -> Option<Chain> {
        let chain = self.lists[class].take(most)?;
        self.bytes.fetch_sub(chain.count * class_bytes(class), Ordering::Relaxed);
        Some(chain)
    }

    /// Keeps blocks of a class that nobody uses any more, unless there is enough.
    pub(super) fn put(&self, class: usize, chain: &Chain) -> bool {
        let bytes = chain.count * class_bytes(class);
        let most = self.most_bytes.load(Ordering::Relaxed);
        let has_room = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= most;
        if has_room && self.lists[class].put(chain) {
            return true;
        }
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    /// Whether there is no block of a class.
    pub(super) fn lacks(&self, class: usize) -> bool {
        self.lists[class].is_empty()
    }

    /// Gives back what has not been wanted lately.
    pub(super) fn tend(&self) {
        if (self.looks.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(QUIET) {
            for (class, list) in self.lists.iter().enumerate() {
                self.give_back(class, list.unwanted());
            }
        }
    }

    /// Gives back what is large, since a larger block is wanted than any that is kept.
    pub(super) fn make_room(&self) {
        (KEPT_CLASSES..CLASSES).for_each(|class| self.give_back(class, usize::MAX));
    }

    fn give_back(&self, class: usize, most: usize) {
        let Some(chain) = self.take(class, most) else { return };
        let mut block = chain.first;
        while !block.is_null() {
            // SAFETY: it was the system's, by this layout, and nobody else has it.
            unsafe {
                let after = next(block);
                System.dealloc(block, class_layout(class));
                block = after;
            }
        }
    }
}

#[cfg(not(test))]
static SPARE: Spare = Spare::new();

/// The blocks that are kept.
#[cfg(not(test))]
pub(super) fn with_spare<T>(f: impl FnOnce(&Spare) -> T) -> T {
    f(&SPARE)
}

// Tests run beside each other, and some count.
#[cfg(test)]
thread_local! {
    static SPARE: Spare = const { Spare::new() };
    static SHARED: Cell<Option<&'static Spare>> = const { Cell::new(None) };
}

/// Those of this test's thread, or what it shares with others.
#[cfg(test)]
pub(super) fn with_spare<T>(f: impl FnOnce(&Spare) -> T) -> T {
    match SHARED.get() {
        Some(spare) => f(spare),
        None => SPARE.with(f),
    }
}

/// From now on this thread uses `spare`.
#[cfg(test)]
pub(super) fn share(spare: &'static Spare) {
    SHARED.set(Some(spare));
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn block(class: usize) -> *mut u8 {
        // SAFETY: no class has the size 0.
        unsafe { System.alloc(class_layout(class)) }
    }

    fn put(spare: &Spare, class: usize, block: *mut u8) -> bool {
        spare.put(class, &Chain { first: block, last: block, count: 1 })
    }

    fn kept(spare: &Spare) -> usize {
        spare.bytes.load(Ordering::Relaxed)
    }

    /// All that is kept of a class, which is given back.
    fn drain(spare: &Spare, class: usize) -> usize {
        let blocks = std::iter::from_fn(|| spare.take(class, 1));
        blocks
            .map(|chain| {
                // SAFETY: it was allocated by that layout, and is nobody's.
                unsafe { System.dealloc(chain.first, class_layout(class)) };
            })
            .count()
    }

    #[test]
    fn what_is_kept_is_bounded_and_of_its_size() {
        let spare = Spare::new();
        let (small, large) = (3, CLASSES - 12);
        let (least, most) = (LEAST_BYTES / class_bytes(large), MOST_BYTES / class_bytes(large));
        assert!(spare.lacks(small) && spare.take(small, 9).is_none());
        for _ in 0..least {
            assert!(put(&spare, large, block(large)));
        }
        // One that would not be kept.
        assert!(!put(&spare, large, ptr::dangling_mut()));
        assert_eq!(kept(&spare), least * class_bytes(large));
        assert_eq!((drain(&spare, large - 1), drain(&spare, large)), (0, least));
        for _ in 0..1000 {
            assert!(put(&spare, small, block(small)));
        }
        assert_eq!(kept(&spare), 1000 * class_bytes(small));
        let chain = spare.take(small, 300).unwrap();
        assert_eq!((chain.count, kept(&spare)), (300, 700 * class_bytes(small)));
        assert!(spare.put(small, &chain) && !spare.lacks(small));
        assert_eq!((drain(&spare, small), kept(&spare)), (1000, 0));
        spare.keep_for(usize::MAX);
        for _ in 0..most {
            assert!(put(&spare, large, block(large)));
        }
        assert!(!put(&spare, large, ptr::dangling_mut()));
        spare.make_room();
        assert_eq!((kept(&spare), drain(&spare, large)), (0, 0));
    }

    #[test]
    fn what_nobody_wants_is_given_back() {
        let spare = Spare::new();
        let (wanted, other) = (23, 29);
        for class in [wanted, wanted, wanted, other] {
            assert!(put(&spare, class, block(class)));
        }
        let use_and_tend = || {
            for _ in 0..QUIET {
                // Two of the three are in use at once.
                let chain = spare.take(wanted, 2).unwrap();
                assert!(spare.put(wanted, &chain));
                spare.tend();
            }
        };
        // They came in the first while, so they are looked at in the second.
        use_and_tend();
        assert_eq!(kept(&spare), 3 * class_bytes(wanted) + class_bytes(other));
        use_and_tend();
        assert_eq!(kept(&spare), 2 * class_bytes(wanted));
        (0..2 * QUIET).for_each(|_| spare.tend());
        assert_eq!(kept(&spare), 0);
    }

    /// Threads that take and put as fast as they can never have the same block.
    #[test]
    fn a_block_is_one_threads_at_a_time() {
        let spare = Spare::new();
        thread::scope(|scope| {
            for id in 1..=4_u8 {
                let spare = &spare;
                scope.spawn(move || {
                    for round in 0..2000 {
                        let class = 20 + round % 3;
                        let taken = spare.take(class, 1).map(|chain| chain.first);
                        let taken = taken.unwrap_or_else(|| block(class));
                        // SAFETY: it has that size, and is this thread's alone.
                        let bytes = unsafe {
                            taken.write_bytes(id, class_bytes(class));
                            std::slice::from_raw_parts(taken, class_bytes(class))
                        };
                        assert!(bytes.iter().all(|byte| *byte == id));
                        if !put(spare, class, taken) {
                            // SAFETY: it was allocated by that layout.
                            unsafe { System.dealloc(taken, class_layout(class)) };
                        }
                    }
                });
            }
        });
        assert!((20..23).map(|class| drain(&spare, class)).sum::<usize>() > 0);
        assert_eq!(kept(&spare), 0);
    }
}

//! Large blocks, kept for whichever thread wants one next: the door reads bodies that workers free.
//!
//! There are few, so each has its place, which is one word that threads exchange: nobody waits. A
//! size that nobody has wanted for a while is given back.

use std::alloc::{GlobalAlloc, System};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use super::{class_bytes, class_layout};

/// The classes of such blocks: from 1 KiB to 2 MiB.
pub(super) const FIRST: usize = 20;
pub(super) const CLASSES: usize = 44;

/// How many blocks of a size are kept, and how much in all.
const PLACES: usize = 16;
const KEPT_BYTES: usize = 4 << 20;

/// How often [`Spare::tend`] sees that a size has not been wanted until it is given back.
const QUIET: usize = 30;

/// Places for blocks.
pub(super) struct Spare {
    places: [[AtomicPtr<u8>; PLACES]; CLASSES],
    /// How often each class has been seen without a use in between.
    quiet: [AtomicUsize; CLASSES],
    bytes: AtomicUsize,
}

impl Spare {
    pub(super) const fn new() -> Spare {
        Spare {
            places: [const { [const { AtomicPtr::new(ptr::null_mut()) }; PLACES] }; CLASSES],
            quiet: [const { AtomicUsize::new(0) }; CLASSES],
            bytes: AtomicUsize::new(0),
        }
    }

    /// A block of a class, if one is here.
    pub(super) fn take(&self, class: usize) -> Option<*mut u8> {
        let class = class.checked_sub(FIRST)?;
        self.quiet[class].store(0, Ordering::Relaxed);
        self.places[class].iter().find_map(|place| self.empty(place, class))
    }

    /// What is in a place, which then is free.
    fn empty(&self, place: &AtomicPtr<u8>, class: usize) -> Option<*mut u8> {
        // Most are empty, and are only looked at.
        if place.load(Ordering::Relaxed).is_null() {
            return None;
        }
        let block = place.swap(ptr::null_mut(), Ordering::Acquire);
        if block.is_null() {
            return None;
        }
        self.bytes.fetch_sub(class_bytes(class + FIRST), Ordering::Relaxed);
        Some(block)
    }

    /// Keeps a block of a class that nobody uses any more, unless there is enough.
    pub(super) fn put(&self, class: usize, block: *mut u8) -> bool {
        let Some(class) = class.checked_sub(FIRST) else { return false };
        let bytes = class_bytes(class + FIRST);
        if self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes <= KEPT_BYTES {
            for place in &self.places[class] {
                let (empty, order) = (ptr::null_mut(), Ordering::Release);
                if place.compare_exchange(empty, block, order, Ordering::Relaxed).is_ok() {
                    return true;
                }
            }
        }
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        false
    }

    /// Gives back the sizes that have not been wanted lately.
    pub(super) fn tend(&self) {
        for class in 0..CLASSES {
            if self.quiet[class].fetch_add(1, Ordering::Relaxed) < QUIET {
                continue;
            }
            for place in &self.places[class] {
                if let Some(block) = self.empty(place, class) {
                    // SAFETY: it was the system's, by this layout, and nobody else has it.
                    unsafe { System.dealloc(block, class_layout(class + FIRST)) };
                }
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
}

/// Those of this test.
#[cfg(test)]
pub(super) fn with_spare<T>(f: impl FnOnce(&Spare) -> T) -> T {
    SPARE.with(f)
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn block(class: usize) -> *mut u8 {
        // SAFETY: no class has the size 0.
        unsafe { System.alloc(class_layout(class)) }
    }

    fn kept(spare: &Spare) -> usize {
        spare.bytes.load(Ordering::Relaxed)
    }

    /// All that is kept of a class, which is given back.
    fn drain(spare: &Spare, class: usize) -> usize {
        let blocks: Vec<*mut u8> = std::iter::from_fn(|| spare.take(class)).collect();
        for block in &blocks {
            // SAFETY: it was allocated by that layout, and is nobody's.
            unsafe { System.dealloc(*block, class_layout(class)) };
        }
        blocks.len()
    }

    #[test]
    fn what_is_kept_is_bounded_and_of_its_size() {
        let spare = Spare::new();
        let (small, large) = (FIRST, FIRST + CLASSES - 1);
        assert!((1000..1025).contains(&class_bytes(FIRST - 1)));
        assert!((2_097_000..=2 << 20).contains(&class_bytes(large)));
        assert!(!spare.put(FIRST - 1, ptr::dangling_mut()) && spare.take(FIRST - 1).is_none());
        for _ in 0..PLACES {
            assert!(spare.put(small, block(small)));
        }
        // None of either would be kept.
        assert!(!spare.put(small, ptr::dangling_mut()));
        assert!(spare.put(large, block(large)));
        // Two and what there is are too many bytes.
        assert!(!spare.put(large, ptr::dangling_mut()));
        assert_eq!(kept(&spare), PLACES * class_bytes(small) + class_bytes(large));
        assert_eq!((drain(&spare, small + 1), drain(&spare, small)), (0, PLACES));
        assert_eq!((drain(&spare, large), kept(&spare)), (1, 0));
    }

    #[test]
    fn what_nobody_wants_is_given_back() {
        let spare = Spare::new();
        let (wanted, other) = (FIRST + 3, FIRST + 9);
        assert!(spare.put(wanted, block(wanted)) && spare.put(other, block(other)));
        for _ in 0..=QUIET {
            let block = spare.take(wanted).unwrap();
            assert!(spare.put(wanted, block));
            spare.tend();
        }
        assert_eq!(kept(&spare), class_bytes(wanted));
        for _ in 0..=QUIET {
            spare.tend();
        }
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
                        let class = FIRST + round % 3;
                        let taken = spare.take(class).unwrap_or_else(|| block(class));
                        // SAFETY: it has that size, and is this thread's alone.
                        let bytes = unsafe {
                            taken.write_bytes(id, class_bytes(class));
                            std::slice::from_raw_parts(taken, class_bytes(class))
                        };
                        assert!(bytes.iter().all(|byte| *byte == id));
                        if !spare.put(class, taken) {
                            // SAFETY: it was allocated by that layout.
                            unsafe { System.dealloc(taken, class_layout(class)) };
                        }
                    }
                });
            }
        });
        (0..3).for_each(|class| assert!(drain(&spare, FIRST + class) <= PLACES));
        assert_eq!(kept(&spare), 0);
    }
}

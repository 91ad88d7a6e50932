//! The memory of the threads that answer messages.
//!
//! A message takes hundreds of small blocks and gives them all back. musl's allocator has one lock
//! for all threads and returns pages to the system as soon as it can, to ask for them again a
//! moment later, so those threads keep what they free for their next message, and hand on what
//! others allocate for them. Before a long wait they rest: what was kept is left to others, and the
//! pages of the stack that only the beginning of a message needs go back. What is more than a
//! thread keeps, and large blocks, as bodies are, are kept for all threads together.

#![expect(unsafe_code, reason = "an allocator hands out memory as addresses")]

mod spare;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

use self::spare::{Chain, Spare, with_spare};

/// How much a thread keeps, and how much of that may be large blocks: a text that grows leaves some
/// behind, and the small ones of each event are to find room all the same.
const KEPT_BYTES: usize = 128 << 10;
const KEPT_WITH_LARGE: usize = 96 << 10;

/// The sizes of blocks that are kept, up to 8 MiB: four to every doubling, less what musl's
/// allocator writes beside each. A thread keeps those of up to 64 KiB.
const CLASSES: usize = 72;
const KEPT_CLASSES: usize = 44;
const LARGEST: usize = class_bytes(CLASSES - 1);

/// How many blocks of a small size are handed on together, and the classes of those: up to a
/// kilobyte.
const CHAIN: usize = 8;
const SMALL_CLASSES: usize = 20;

/// No block is cached that wants more than every block has, and than every block has that is as
/// long: the tables of maps want that.
const ALIGNMENT: usize = 8;
const ALIGNMENT_OF_LONGER: usize = 2 * size_of::<usize>();

/// How far below its frame the stack is in use while [`rest`] gives the rest back: by the system
/// call, and a build without optimization. A stream has no less of its stack for as long as it
/// lasts.
const STACK_MARGIN: usize = 1 << 10;
const PAGE: usize = 4 << 10;

/// The system's allocator, which threads that [`keep`] ask less often.
#[derive(Debug, Clone, Copy, Default)]
pub struct Allocator;

/// What a thread keeps: a list of free blocks for each size, linked through their first words.
struct Kept {
    lists: [*mut u8; KEPT_CLASSES],
    counts: [usize; KEPT_CLASSES],
    bytes: usize,
    is_on: bool,
}

/// Also for this crate's own tests, so that they try it and can count.
#[cfg(test)]
#[global_allocator]
static TRIED: Allocator = Allocator;

/// How often a thread has asked for memory, and how often it was not what the thread had kept.
#[cfg(test)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// Times in all.
    pub all: usize,
    /// Those of them that the system was asked.
    pub of_system: usize,
    /// Those of them for a large block.
    pub large_of_system: usize,
}

#[cfg(test)]
thread_local! {
    static ASKED: Cell<Asked> =
        const { Cell::new(Asked { all: 0, of_system: 0, large_of_system: 0 }) };
}

/// How often this thread has asked so far.
#[cfg(test)]
pub fn asked() -> Asked {
    ASKED.get()
}

/// Counts that memory is asked for.
#[cfg(test)]
fn count() {
    let asked = ASKED.get();
    ASKED.set(Asked { all: asked.all + 1, ..asked });
}

#[cfg(not(test))]
fn count() {}

/// Counts that the system is asked for it.
#[cfg(test)]
fn count_of_system(bytes: usize) {
    let mut asked = ASKED.get();
    asked.of_system += 1;
    asked.large_of_system += usize::from(bytes > class_bytes(SMALL_CLASSES - 1));
    ASKED.set(asked);
}

#[cfg(not(test))]
fn count_of_system(_: usize) {}

thread_local! {
    // It has no destructor, so it can be reached for as long as the thread runs: see `Keeping`.
    static KEPT: UnsafeCell<Kept> = const {
        UnsafeCell::new(Kept {
            lists: [ptr::null_mut(); KEPT_CLASSES],
            counts: [0; KEPT_CLASSES],
            bytes: 0,
            is_on: false,
        })
    };
    /// Where this thread's stack ends, as far down as it may go.
    static STACK_END: Cell<usize> = const { Cell::new(0) };
}

/// The size of a class: 12, 28, 44, 60, 76, 92, 108, 124, 156, ...
const fn class_bytes(class: usize) -> usize {
    let units = if class < 8 { class + 1 } else { (4 + class % 4 + 1) << (class / 4 - 1) };
    units * 16 - 4
}

/// The smallest class that a block of this layout fits in, if it is kept at all.
fn class_of(layout: Layout) -> Option<usize> {
    let is_aligned = layout.align() <= ALIGNMENT.max(ALIGNMENT_OF_LONGER.min(layout.size()));
    if layout.size() > LARGEST || !is_aligned {
        return None;
    }
    let units = (layout.size() + 4).div_ceil(16);
    if units <= 8 {
        return Some(units - 1);
    }
    // Of the doubling that ends with the next power of two, the quarter.
    let doubling = (units - 1).ilog2() as usize;
    Some((doubling - 1) * 4 + ((units - 1) >> (doubling - 2)) - 4)
}

fn class_layout(class: usize) -> Layout {
    Layout::from_size_align(class_bytes(class), ALIGNMENT).expect("the sizes are small")
}

/// The link of a free block to the next.
///
/// # Safety
/// The block is of a class, and nobody else's.
unsafe fn next(block: *mut u8) -> *mut u8 {
    // SAFETY: the smallest class has room for an address.
    unsafe { block.cast::<*mut u8>().read_unaligned() }
}

/// Sets it.
///
/// # Safety
/// As for [`next`].
unsafe fn link(block: *mut u8, to: *mut u8) {
    // SAFETY: the smallest class has room for an address.
    unsafe { block.cast::<*mut u8>().write_unaligned(to) };
}

impl Kept {
    /// A block of a class that is kept here or for all.
    fn take(&mut self, class: usize) -> Option<*mut u8> {
        if let Some(block) = self.pop(class) {
            return Some(block);
        }
        if class >= SMALL_CLASSES {
            return with_spare(|spare| spare.take(class, 1)).map(|chain| chain.first);
        }
        if !self.is_on {
            return None;
        }
        let chain = with_spare(|spare| spare.take(class, CHAIN))?;
        self.lists[class] = chain.first;
        self.counts[class] = chain.count;
        self.bytes += chain.count * class_bytes(class);
        self.pop(class)
    }

    fn pop(&mut self, class: usize) -> Option<*mut u8> {
        let block = *self.lists.get(class)?;
        if block.is_null() {
            return None;
        }
        // SAFETY: a kept block is this thread's alone.
        self.lists[class] = unsafe { next(block) };
        self.counts[class] -= 1;
        self.bytes -= class_bytes(class);
        Some(block)
    }

    /// Keeps a block of a class, here or for all, unless there is enough.
    fn put(&mut self, class: usize, block: *mut u8) -> bool {
        let is_small = class < SMALL_CLASSES;
        let most = if is_small { KEPT_BYTES } else { KEPT_WITH_LARGE };
        let has_room = class < KEPT_CLASSES && self.bytes + class_bytes(class) <= most;
        if !self.is_on || !has_room {
            let chain = Chain { first: block, last: block, count: 1 };
            return (self.is_on || !is_small) && with_spare(|spare| spare.put(class, &chain));
        }
        // SAFETY: nobody uses the block any more.
        unsafe { link(block, self.lists[class]) };
        self.lists[class] = block;
        self.counts[class] += 1;
        self.bytes += class_bytes(class);
        // The door allocates what workers free.
        if is_small && self.counts[class] >= 2 * CHAIN {
            with_spare(|spare| {
                if spare.lacks(class) {
                    self.hand_on(class, spare);
                }
            });
        }
        true
    }

    /// Hands some blocks of a class on to all, unless they have enough. Returns whether it has.
    fn hand_on(&mut self, class: usize, spare: &Spare) -> bool {
        let chain = self.cut(class);
        let is_put = spare.put(class, &chain);
        if !is_put {
            // SAFETY: the chain is still this thread's.
            unsafe { link(chain.last, self.lists[class]) };
            self.lists[class] = chain.first;
            self.counts[class] += chain.count;
            self.bytes += chain.count * class_bytes(class);
        }
        is_put
    }

    /// Takes some blocks of a class of which there are any.
    fn cut(&mut self, class: usize) -> Chain {
        let first = self.lists[class];
        let mut chain = Chain { first, last: first, count: 1 };
        let most = self.counts[class].min(CHAIN);
        // SAFETY: there are so many, and all are this thread's.
        unsafe {
            while chain.count < most {
                chain.last = next(chain.last);
                chain.count += 1;
            }
            self.lists[class] = next(chain.last);
        }
        self.counts[class] -= chain.count;
        self.bytes -= chain.count * class_bytes(class);
        chain
    }

    /// Leaves to others what is kept, and to the system what is too much for them.
    fn give_back(&mut self) {
        for class in 0..KEPT_CLASSES {
            while self.counts[class] > 0 && with_spare(|spare| self.hand_on(class, spare)) {}
            while let Some(block) = self.pop(class) {
                // SAFETY: every block of a class was the system's, by this layout.
                unsafe { System.dealloc(block, class_layout(class)) };
            }
        }
    }
}

fn with_kept<T>(f: impl FnOnce(&mut Kept) -> T) -> T {
    // SAFETY: only this thread reaches it, and `f` is of this module and allocates nothing.
    KEPT.with(|kept| f(unsafe { &mut *kept.get() }))
}

/// Before a block is asked for that is larger than all that are kept.
fn make_room(bytes: usize) {
    if bytes > LARGEST {
        with_spare(Spare::make_room);
    }
}

/// A block of a class that is kept.
fn kept(class: usize) -> Option<*mut u8> {
    with_kept(|kept| kept.take(class))
}

// SAFETY: blocks are the system's, of at least the size that was asked for. Which class a block has
// follows from its layout alone, so any thread may free it, and one that was kept is handed out for
// its own class.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        let Some(class) = class_of(layout) else {
            count_of_system(layout.size());
            make_room(layout.size());
            // SAFETY: as the caller promises.
            return unsafe { System.alloc(layout) };
        };
        kept(class).unwrap_or_else(|| {
            count_of_system(class_bytes(class));
            // SAFETY: no class has the size 0.
            unsafe { System.alloc(class_layout(class)) }
        })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        let class = class_of(layout);
        match class.and_then(kept) {
            Some(block) => {
                // SAFETY: a block of its class has that size.
                unsafe { block.write_bytes(0, layout.size()) };
                block
            }
            None => {
                count_of_system(layout.size());
                // SAFETY: as the caller promises; no class has the size 0.
                unsafe { System.alloc_zeroed(class.map_or(layout, class_layout)) }
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = class_of(layout) else {
            // SAFETY: as the caller promises.
            return unsafe { System.dealloc(block, layout) };
        };
        if !with_kept(|kept| kept.put(class, block)) {
            // SAFETY: it was allocated by this layout.
            unsafe { System.dealloc(block, class_layout(class)) };
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        let wanted = Layout::from_size_align(size, layout.align()).expect("the caller has checked");
        match (class_of(layout), class_of(wanted)) {
            (Some(is), Some(wanted)) if is == wanted => block,
            // SAFETY: as the caller promises; the blocks differ, and both have the smaller size.
            (Some(_), Some(_)) => unsafe {
                let moved = self.alloc(wanted);
                if !moved.is_null() {
                    ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                    self.dealloc(block, layout);
                }
                moved
            },
            (is, wanted) => {
                count_of_system(size);
                make_room(size);
                let layout = is.map_or(layout, class_layout);
                // SAFETY: the system has it by the layout of its class, or by its own.
                unsafe { System.realloc(block, layout, wanted.map_or(size, class_bytes)) }
            }
        }
    }
}

/// For as long as it lives, its thread keeps what it frees.
#[derive(Debug)]
pub struct Keeping(());

/// From now on this thread keeps what it frees.
pub fn keep() -> Keeping {
    STACK_END.set(stack_end().unwrap_or(0));
    with_kept(|kept| kept.is_on = true);
    Keeping(())
}

impl Drop for Keeping {
    fn drop(&mut self) {
        STACK_END.set(0);
        with_kept(|kept| {
            kept.is_on = false;
            kept.give_back();
        });
    }
}

/// A long wait begins: gives back what this thread keeps, and the pages of the stack below this
/// frame.
#[inline(never)]
pub fn rest() {
    let end = STACK_END.get();
    if end == 0 {
        return;
    }
    with_kept(Kept::give_back);
    let mark = 0u8;
    let unused = (ptr::from_ref(&mark).addr().saturating_sub(STACK_MARGIN)) / PAGE * PAGE;
    if unused > end {
        // SAFETY: these pages are of this thread's stack and below all of its frames: what they
        // hold is of functions that have returned, and nobody reads it again.
        unsafe {
            libc::madvise(ptr::without_provenance_mut(end), unused - end, libc::MADV_DONTNEED)
        };
    }
}

/// From now on as much is kept for all threads together as fits messages that may take `bytes`.
pub fn keep_for(bytes: usize) {
    with_spare(|spare| spare.keep_for(bytes));
}

/// Gives back what is kept for all and has not been wanted lately. It is called every few seconds.
pub fn tend() {
    with_spare(Spare::tend);
}

/// The lowest address of this thread's stack. Elsewhere than on Linux nothing is told, since there
/// a hint to give pages back need not do so.
#[cfg(not(target_os = "linux"))]
fn stack_end() -> Option<usize> {
    None
}

/// The lowest address of this thread's stack.
#[cfg(target_os = "linux")]
fn stack_end() -> Option<usize> {
    // SAFETY: plain calls about this thread, which fill what they are given.
    unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &raw mut attributes) != 0 {
            return None;
        }
        let (mut end, mut bytes) = (ptr::null_mut(), 0);
        let known =
            libc::pthread_attr_getstack(&raw const attributes, &raw mut end, &raw mut bytes);
        libc::pthread_attr_destroy(&raw mut attributes);
        (known == 0).then(|| end.addr().next_multiple_of(PAGE))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use super::*;

    fn layout(size: usize) -> Layout {
        Layout::from_size_align(size, ALIGNMENT).unwrap()
    }

    fn kept_bytes() -> usize {
        with_kept(|kept| kept.bytes)
    }

    #[test]
    fn every_size_fits_its_class_and_not_the_one_before() {
        for size in 1..=LARGEST {
            let class = class_of(layout(size)).unwrap();
            assert!(class_bytes(class) >= size, "{size}");
            assert!(class == 0 || class_bytes(class - 1) < size, "{size}");
        }
        assert_eq!(class_of(layout(LARGEST + 1)), None);
        assert_eq!(class_of(Layout::from_size_align(8, 64).unwrap()), None);
        assert_eq!(class_of(Layout::from_size_align(8, 16).unwrap()), None);
        let table = Layout::from_size_align(600, ALIGNMENT_OF_LONGER).unwrap();
        assert!(class_of(table).is_some());
        // SAFETY: the size is not 0; the block is freed by the layout it was asked for.
        unsafe {
            let block = Allocator.alloc(table);
            assert_eq!(block.addr() & (ALIGNMENT_OF_LONGER - 1), 0);
            Allocator.dealloc(block, table);
        }
    }

    #[test]
    fn classes_of_small_blocks_end_at_a_kilobyte() {
        assert!((900..1100).contains(&class_bytes(SMALL_CLASSES - 1)));
    }

    /// One thread allocates what another frees, as the door and the workers do.
    #[test]
    fn what_others_free_comes_back() {
        static ALL: Spare = Spare::new();
        let _keeping = keep();
        spare::share(&ALL);
        let size = 700;
        let (send, receive) = mpsc::sync_channel::<usize>(1);
        let worker = thread::spawn(move || {
            let _keeping = keep();
            spare::share(&ALL);
            for block in receive {
                // SAFETY: it was allocated by that layout, and nobody else has it.
                unsafe {
                    Allocator.dealloc(ptr::with_exposed_provenance_mut(block), layout(size));
                };
            }
        });
        let before = asked();
        for _ in 0..10_000 {
            // SAFETY: the size is not 0; the block is used within it.
            let block = unsafe { Allocator.alloc(layout(size)) };
            // SAFETY: as above.
            unsafe { block.write_bytes(1, size) };
            send.send(block.expose_provenance()).unwrap();
        }
        let of_system = asked().of_system - before.of_system;
        drop(send);
        worker.join().unwrap();
        // Most come back; a chain may be on its way.
        assert!(of_system < 5_000, "{of_system} of 10,000 were the system's");
    }

    #[test]
    fn what_is_freed_is_used_again_within_its_bound() {
        let _keeping = keep();
        // SAFETY: every block is used by the layout it was asked for, and freed once.
        unsafe {
            let first = Allocator.alloc(layout(100));
            Allocator.dealloc(first, layout(100));
            let again = Allocator.alloc(layout(108));
            assert_eq!(first, again);
            Allocator.dealloc(again, layout(108));
            let blocks: Vec<_> = (0..300).map(|_| Allocator.alloc(layout(1000))).collect();
            for block in blocks {
                Allocator.dealloc(block, layout(1000));
                assert!(kept_bytes() <= KEPT_BYTES + CHAIN * class_bytes(SMALL_CLASSES - 1));
            }
        }
        assert!(kept_bytes() > KEPT_BYTES / 2);
        rest();
        assert_eq!(kept_bytes(), 0);
    }

    /// A seeded walk over sizes, with threads that free what others have allocated.
    #[test]
    fn blocks_keep_their_content_whoever_frees_them() {
        static ALL: Spare = Spare::new();
        struct Block(*mut u8, usize, u8);
        // SAFETY: a block is used by one thread at a time.
        unsafe impl Send for Block {}
        fn check(block: &Block) {
            // SAFETY: the block is that large, and was filled.
            let bytes = unsafe { std::slice::from_raw_parts(block.0, block.1) };
            assert!(bytes.iter().all(|byte| *byte == block.2));
        }
        let (send, receive) = mpsc::channel::<Block>();
        let other = thread::spawn(move || {
            let _keeping = keep();
            spare::share(&ALL);
            for block in receive {
                check(&block);
                // SAFETY: it was allocated by that layout, and nobody else has it.
                unsafe { Allocator.dealloc(block.0, layout(block.1)) };
            }
        });
        let _keeping = keep();
        spare::share(&ALL);
        let mut state = 7u64;
        let mut random = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as usize % below
        };
        let mut blocks: Vec<Block> = Vec::new();
        for round in 0..20_000 {
            let most = [64, 2000, 100_000][random(3)];
            let size = 1 + random(most * if round % 500 == 0 { 40 } else { 1 });
            let fill = round as u8;
            // SAFETY: sizes are not 0, and blocks are used within them.
            unsafe {
                if blocks.len() < 50 || random(2) == 0 {
                    let block = Block(Allocator.alloc_zeroed(layout(size)), size, fill);
                    check(&Block(block.0, size, 0));
                    block.0.write_bytes(fill, size);
                    blocks.push(block);
                } else if random(2) == 0 {
                    let block = &mut blocks[random(50)];
                    check(block);
                    block.0 = Allocator.realloc(block.0, layout(block.1), size);
                    check(&Block(block.0, size.min(block.1), block.2));
                    block.1 = size;
                    block.0.write_bytes(block.2, size);
                } else {
                    send.send(blocks.swap_remove(random(50))).unwrap();
                }
            }
        }
        for block in blocks {
            send.send(block).unwrap();
        }
        drop(send);
        other.join().unwrap();
    }

    /// How many pages of this thread's stack the system has.
    fn stack_pages() -> usize {
        let end = STACK_END.get();
        let here = ptr::from_ref(&end).addr() / PAGE * PAGE;
        let mut pages = vec![0u8; (here - end) / PAGE];
        // SAFETY: the range is the stack below this page, and there is a byte for each of its
        // pages.
        let known = unsafe {
            libc::mincore(ptr::without_provenance_mut(end), here - end, pages.as_mut_ptr().cast())
        };
        if known == 0 { pages.iter().filter(|page| **page & 1 == 1).count() } else { 0 }
    }

    #[inline(never)]
    fn deep(left: usize) -> u64 {
        let frame = std::hint::black_box([left as u64; 1000]);
        if left == 0 { 0 } else { deep(left - 1) + frame[left] }
    }

    #[test]
    fn the_stack_that_is_not_in_use_goes_back() {
        let sizes = thread::Builder::new()
            .stack_size(512 << 10)
            .spawn(|| {
                let _keeping = keep();
                std::hint::black_box(deep(20));
                let before = stack_pages();
                rest();
                let after = stack_pages();
                // It can be used again.
                std::hint::black_box(deep(20));
                (before, after)
            })
            .unwrap()
            .join()
            .unwrap();
        assert!(sizes.0 >= 40 && sizes.1 <= 8, "{sizes:?}");
    }
}

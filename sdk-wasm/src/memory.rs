//! The module's allocator, and what is left of a panic.
//!
//! The standard allocator and panic machinery together weigh more than most of what a page loads from us. A page has
//! one thread and few sizes, so blocks are powers of two: a freed one waits in its list for the next of its size.
//! Nothing here runs natively, where tests use the standard ones.

use core::alloc::{GlobalAlloc, Layout};
use core::arch::wasm32;
use core::cell::UnsafeCell;
use core::panic::PanicInfo;
use core::ptr;

/// A page of WebAssembly memory, in bytes.
const PAGE: usize = 64 << 10;
/// Pages fetched at once at least.
const PAGES: usize = 4;
/// The smallest block, and the alignment of all larger ones.
const LEAST: usize = 16;

struct Heap {
    /// The first free block of each power of two; the next one stands in its first word.
    free: [*mut u8; 32],
    /// Memory never given out yet.
    next: usize,
    end: usize,
}

struct Allocator(UnsafeCell<Heap>);

// SAFETY: the module is built without threads: it has one.
unsafe impl Sync for Allocator {}

#[global_allocator]
static ALLOCATOR: Allocator =
    Allocator(UnsafeCell::new(Heap { free: [ptr::null_mut(); 32], next: 0, end: 0 }));

/// Which power of two holds this; 32 and more if none does.
fn power(layout: Layout) -> u32 {
    usize::BITS - (layout.size().max(LEAST) - 1).leading_zeros()
}

// SAFETY: a block is given out from fresh memory or from the list it was freed to, whole, and from one of them only.
// It is at least as large as asked for, and aligned to 16 bytes; a stricter alignment is refused.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let power = power(layout);
        // SAFETY: one thread, and no call out of here.
        let heap = unsafe { &mut *self.0.get() };
        let Some(free) = heap.free.get_mut(power as usize) else { return ptr::null_mut() };
        if layout.align() > LEAST {
            return ptr::null_mut();
        }
        if !free.is_null() {
            let block = *free;
            // SAFETY: a free block holds the address of the next one, written by `dealloc`.
            *free = unsafe { block.cast::<*mut u8>().read() };
            return block;
        }
        let size = 1 << power;
        if heap.end - heap.next < size {
            let pages = size.div_ceil(PAGE).max(PAGES);
            let before = wasm32::memory_grow(0, pages);
            if before == usize::MAX {
                return ptr::null_mut();
            }
            if before * PAGE != heap.end {
                heap.next = before * PAGE;
            }
            heap.end = (before + pages) * PAGE;
        }
        let block = heap.next;
        heap.next += size;
        block as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: one thread, and no call out of here.
        let heap = unsafe { &mut *self.0.get() };
        if let Some(free) = heap.free.get_mut(power(layout) as usize) {
            // SAFETY: the block is ours again, aligned, and has room for an address.
            unsafe { block.cast::<*mut u8>().write(*free) };
            *free = block;
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller's size and alignment made a layout before.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        if power(new) == power(layout) {
            return block;
        }
        // SAFETY: both are whole blocks, of which the smaller size is copied.
        unsafe {
            let moved = self.alloc(new);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    wasm32::unreachable()
}

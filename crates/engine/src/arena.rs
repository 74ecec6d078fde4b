//! Memory that grows without limit and never moves: the reason why searches need no lock.
//!
//! ```text
//! slot 0 .. 1023 | 1024 .. 3071 | 3072 .. 7167 | ...      buckets of doubling size, each allocated once
//!                       ^ len: slots below it are there to be read
//! ```
//! One [`Writer`] appends; any number of [`Arena`] handles read what lies below `len`. A slot is `width` elements,
//! and a slot never spans two buckets. Plain elements do not change once they are appended; elements that change are
//! atomics. All of this file's unsafe code rests on those three sentences.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use crate::error::{Error, Result};

const FIRST_BITS: u32 = 10;
const BUCKETS: usize = 32;
/// Slots start on a line of the cache whenever their width allows.
const ALIGN: usize = 64;

/// Types whose all-zero bytes are a value, and that need no drop.
///
/// # Safety
/// Zeroed memory must be a valid value of the type, and forgetting a value must be fine.
pub(crate) unsafe trait Zeroed: Send + Sync {}
// SAFETY: integers, floats and atomics of them are valid when zeroed and own nothing.
unsafe impl Zeroed for u8 {}
// SAFETY: as above.
unsafe impl Zeroed for u32 {}
// SAFETY: as above.
unsafe impl Zeroed for u64 {}
// SAFETY: as above.
unsafe impl Zeroed for f32 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU32 {}
// SAFETY: as above.
unsafe impl Zeroed for AtomicU64 {}

struct Shared<T: Zeroed> {
    buckets: [AtomicPtr<T>; BUCKETS],
    len: AtomicUsize,
    width: usize,
}

/// A reader's handle.
pub(crate) struct Arena<T: Zeroed>(Arc<Shared<T>>);

/// The one handle that appends.
pub(crate) struct Writer<T: Zeroed> {
    arena: Arena<T>,
    reserved: usize,
}

impl<T: Zeroed> Clone for Arena<T> {
    fn clone(&self) -> Self {
        Arena(Arc::clone(&self.0))
    }
}

/// The bucket of a slot, and its place there.
#[inline(always)]
fn place(slot: usize) -> (usize, usize) {
    let shifted = slot + (1 << FIRST_BITS);
    let top = shifted.ilog2();
    ((top - FIRST_BITS) as usize, shifted - (1 << top))
}

fn bucket_slots(bucket: usize) -> usize {
    1 << (FIRST_BITS as usize + bucket)
}

fn layout<T>(bucket: usize, width: usize) -> Option<Layout> {
    let bytes = bucket_slots(bucket).checked_mul(width)?.checked_mul(size_of::<T>())?;
    Layout::from_size_align(bytes, ALIGN).ok()
}

impl<T: Zeroed> Arena<T> {
    /// Slots that can be read.
    pub fn len(&self) -> usize {
        self.0.len.load(Ordering::Acquire)
    }

    /// Bytes that the slots take.
    pub fn bytes(&self) -> usize {
        self.len() * self.0.width * size_of::<T>()
    }

    /// The elements of a slot; panics when it was never appended.
    #[inline(always)]
    pub fn get(&self, slot: usize) -> &[T] {
        assert!(slot < self.len(), "slot {slot} of {}", self.len());
        let (bucket, at) = place(slot);
        let base = self.0.buckets[bucket].load(Ordering::Acquire);
        // SAFETY: `slot < len` was appended, so its bucket is allocated, holds `at * width + width` elements, lives as
        // long as `self`, and its elements are atomics or will not be written again.
        unsafe { std::slice::from_raw_parts(base.add(at * self.0.width), self.0.width) }
    }
}

impl<T: Zeroed + Copy> Arena<T> {
    /// The element of a slot of width 1.
    #[inline(always)]
    pub fn value(&self, slot: usize) -> T {
        self.get(slot)[0]
    }
}

impl<T: Zeroed> Writer<T> {
    pub fn new(width: usize) -> Writer<T> {
        let shared = Shared {
            buckets: [const { AtomicPtr::new(std::ptr::null_mut()) }; BUCKETS],
            len: AtomicUsize::new(0),
            width,
        };
        Writer { arena: Arena(Arc::new(shared)), reserved: 0 }
    }

    /// A handle for readers.
    pub fn reader(&self) -> Arena<T> {
        self.arena.clone()
    }

    /// Slots appended.
    pub fn len(&self) -> usize {
        self.arena.len()
    }

    /// Allocates what `more` further slots need, so that appending them cannot fail.
    pub fn reserve(&mut self, more: usize) -> Result<()> {
        let wanted = self.len() + more;
        while self.reserved < wanted {
            let (bucket, _) = place(self.reserved);
            let bytes = bucket_slots(bucket).saturating_mul(self.arena.0.width * size_of::<T>());
            let layout =
                layout::<T>(bucket, self.arena.0.width).ok_or_else(|| Error::memory(bytes, "growing arrays"))?;
            // SAFETY: the layout has a size: widths and element sizes are at least one.
            let memory = unsafe { alloc_zeroed(layout) };
            if memory.is_null() {
                return Err(Error::memory(bytes, "growing arrays"));
            }
            self.arena.0.buckets[bucket].store(memory.cast(), Ordering::Release);
            self.reserved += bucket_slots(bucket);
        }
        Ok(())
    }

    /// Appends `more` zeroed slots.
    pub fn grow(&mut self, more: usize) -> Result<()> {
        self.reserve(more)?;
        self.arena.0.len.store(self.len() + more, Ordering::Release);
        Ok(())
    }
}

impl<T: Zeroed + Copy> Writer<T> {
    /// Appends one slot.
    pub fn push(&mut self, elements: &[T]) -> Result<()> {
        assert_eq!(elements.len(), self.arena.0.width);
        self.reserve(1)?;
        let slot = self.len();
        let (bucket, at) = place(slot);
        let base = self.arena.0.buckets[bucket].load(Ordering::Relaxed);
        // SAFETY: `reserve` allocated the bucket; the slot is at or past `len`, so no reader looks at it, and `&mut
        // self` is the only writer. The source cannot overlap memory that nobody else has a reference to.
        unsafe { std::ptr::copy_nonoverlapping(elements.as_ptr(), base.add(at * elements.len()), elements.len()) };
        self.arena.0.len.store(slot + 1, Ordering::Release);
        Ok(())
    }
}

impl<T: Zeroed> Drop for Shared<T> {
    fn drop(&mut self) {
        for (bucket, pointer) in self.buckets.iter_mut().enumerate() {
            let memory = *pointer.get_mut();
            if let (false, Some(layout)) = (memory.is_null(), layout::<T>(bucket, self.width)) {
                // SAFETY: allocated in `reserve` with this very layout, freed once, and no handle is left.
                unsafe { dealloc(memory.cast(), layout) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_stay_where_they_are_while_the_arena_grows() {
        let mut writer = Writer::<u32>::new(3);
        let reader = writer.reader();
        writer.push(&[1, 2, 3]).unwrap();
        let first = reader.get(0).as_ptr();
        for i in 1..20_000_u32 {
            writer.push(&[i, i + 1, i + 2]).unwrap();
        }
        assert_eq!(reader.get(0).as_ptr(), first);
        assert_eq!(reader.len(), 20_000);
        assert!((1..20_000).all(|i| reader.get(i) == [i as u32, i as u32 + 1, i as u32 + 2]));
        assert_eq!(reader.bytes(), 240_000);
    }

    #[test]
    fn grown_slots_are_zero_and_shared() {
        let mut writer = Writer::<AtomicU32>::new(2);
        writer.grow(5000).unwrap();
        let reader = writer.reader();
        reader.get(4999)[1].store(7, Ordering::Relaxed);
        assert_eq!(writer.reader().get(4999)[1].load(Ordering::Relaxed), 7);
        assert_eq!(reader.get(0)[0].load(Ordering::Relaxed), 0);
    }

    #[test]
    #[should_panic(expected = "slot 1 of 1")]
    fn a_slot_past_the_end_is_refused() {
        let mut writer = Writer::<u8>::new(1);
        writer.push(&[1]).unwrap();
        writer.reader().get(1);
    }

    #[test]
    fn a_size_that_no_machine_has_is_an_error() {
        let mut writer = Writer::<u64>::new(usize::MAX / 8);
        assert_eq!(writer.reserve(1).unwrap_err().code, crate::error::Code::Memory);
    }
}

//! Memory that grows without limit and never moves: the reason why searches need no lock.
//!
//! ```text
//! base (any number of slots) | 1024 slots | 2048 | 4096 | ...      buckets of doubling size, each allocated once
//!                                  ^ len: slots below it are there to be read
//! ```
//! One [`Writer`] appends; any number of [`Arena`] handles read what lies below `len`. A slot is `width` elements,
//! and a slot never spans two buckets. Plain elements do not change once they are appended; elements that change are
//! atomics. The base is what a checkpoint's file holds, mapped. All of this file's unsafe code rests on those four
//! sentences.

use std::ops::Range;
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::Result;
use crate::memory::Block;

const FIRST_BITS: u32 = 10;
const BUCKETS: usize = 32;

/// What an arena's slots are made of.
///
/// # Safety
/// Any bytes must be a valid value of the type, and forgetting a value must be fine.
pub(crate) unsafe trait Element: Send + Sync + Sized {
    /// Appends the bytes of `elements`, as a file holds them.
    fn write(elements: &[Self], out: &mut Vec<u8>);
}

// SAFETY: a byte is a byte, and owns nothing.
unsafe impl Element for u8 {
    fn write(elements: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(elements);
    }
}
// SAFETY: any bytes are an integer, which owns nothing.
unsafe impl Element for u32 {
    fn write(elements: &[u32], out: &mut Vec<u8>) {
        elements.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
    }
}
// SAFETY: as above.
unsafe impl Element for u64 {
    fn write(elements: &[u64], out: &mut Vec<u8>) {
        elements.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
    }
}
// SAFETY: any bytes are a float, if only NaN.
unsafe impl Element for f32 {
    fn write(elements: &[f32], out: &mut Vec<u8>) {
        elements.iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
    }
}
// SAFETY: an atomic has the bytes of what it holds.
unsafe impl Element for AtomicU32 {
    fn write(elements: &[AtomicU32], out: &mut Vec<u8>) {
        elements.iter().for_each(|x| out.extend_from_slice(&x.load(Ordering::Relaxed).to_le_bytes()));
    }
}
// SAFETY: as above.
unsafe impl Element for AtomicU64 {
    fn write(elements: &[AtomicU64], out: &mut Vec<u8>) {
        elements.iter().for_each(|x| out.extend_from_slice(&x.load(Ordering::Relaxed).to_le_bytes()));
    }
}

struct Shared<T: Element> {
    /// The first `first` slots.
    base: *mut T,
    first: usize,
    buckets: [AtomicPtr<T>; BUCKETS],
    len: AtomicUsize,
    width: usize,
    /// What the pointers point into.
    blocks: Mutex<Vec<Arc<Block>>>,
}

// SAFETY: the pointers are into blocks that live as long; elements may be read and sent from any thread.
unsafe impl<T: Element> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Element> Sync for Shared<T> {}

/// A reader's handle.
pub(crate) struct Arena<T: Element>(Arc<Shared<T>>);

/// The one handle that appends.
pub(crate) struct Writer<T: Element> {
    arena: Arena<T>,
    reserved: usize,
}

impl<T: Element> Clone for Arena<T> {
    fn clone(&self) -> Self {
        Arena(Arc::clone(&self.0))
    }
}

/// The bucket of a slot past the base, and its place there.
#[inline(always)]
fn place(slot: usize) -> (usize, usize) {
    let shifted = slot + (1 << FIRST_BITS);
    let top = shifted.ilog2();
    ((top - FIRST_BITS) as usize, shifted - (1 << top))
}

fn bucket_slots(bucket: usize) -> usize {
    1 << (FIRST_BITS as usize + bucket)
}

impl<T: Element> Arena<T> {
    /// Slots that can be read.
    pub fn len(&self) -> usize {
        self.0.len.load(Ordering::Acquire)
    }

    /// Bytes that the slots take on the heap.
    pub fn bytes(&self) -> usize {
        (self.len() - self.0.mapped()) * self.0.width * size_of::<T>()
    }

    /// Appends the bytes of some slots, as a file holds them; panics when one was never appended.
    pub fn write(&self, slots: Range<usize>, out: &mut Vec<u8>) {
        slots.for_each(|slot| T::write(self.get(slot), out));
    }

    /// Bytes of a slot in a file.
    pub fn slot_bytes(&self) -> usize {
        self.0.width * size_of::<T>()
    }

    /// The elements of a slot; panics when it was never appended.
    #[inline(always)]
    pub fn get(&self, slot: usize) -> &[T] {
        self.window().get(slot)
    }

    /// The slots that can be read now, for many looks at them.
    #[inline(always)]
    pub fn window(&self) -> Window<'_, T> {
        let shared = &*self.0;
        Window { shared, base: shared.base, first: shared.first, width: shared.width, len: self.len() }
    }
}

/// The slots that could be read at one moment.
pub(crate) struct Window<'a, T: Element> {
    shared: &'a Shared<T>,
    /// What never changes of an arena, where a loop has it at hand.
    base: *mut T,
    first: usize,
    width: usize,
    len: usize,
}

impl<T: Element> Clone for Window<'_, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Element> Copy for Window<'_, T> {}

impl<'a, T: Element> Window<'a, T> {
    /// The elements of a slot; panics when it is past the end.
    #[inline(always)]
    pub fn get(self, slot: usize) -> &'a [T] {
        assert!(slot < self.len, "slot {slot} of {}", self.len);
        let (base, at) = if slot < self.first { (self.base, slot) } else { self.shared.past(slot - self.first) };
        // SAFETY: `slot < len` was appended, so its bucket is there, holds `at * width + width` elements, lives as
        // long as the arena, and its elements are atomics or will not be written again.
        unsafe { std::slice::from_raw_parts(base.add(at * self.width), self.width) }
    }
}

impl<T: Element> Shared<T> {
    /// The bucket of a slot that was reserved, and the slot's place there.
    #[inline(always)]
    fn place(&self, slot: usize) -> (*mut T, usize) {
        if slot < self.first { (self.base, slot) } else { self.past(slot - self.first) }
    }

    /// The same for a slot by its place past the base.
    #[inline(always)]
    fn past(&self, slot: usize) -> (*mut T, usize) {
        let (bucket, at) = place(slot);
        (self.buckets[bucket].load(Ordering::Acquire), at)
    }

    /// Slots that lie in a file.
    fn mapped(&self) -> usize {
        let blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
        if blocks.first().is_some_and(|block| block.is_mapped()) { self.first } else { 0 }
    }
}

impl<T: Element + Copy> Arena<T> {
    /// The element of a slot of width 1.
    #[inline(always)]
    pub fn value(&self, slot: usize) -> T {
        self.get(slot)[0]
    }
}

impl<T: Element> Writer<T> {
    pub fn new(width: usize) -> Writer<T> {
        Writer::on(std::ptr::null_mut(), 0, width, Vec::new())
    }

    /// `slots` of them, zeroed, in one piece.
    pub fn zeroed(slots: usize, width: usize, what: &str) -> Result<Writer<T>> {
        let bytes = slots.saturating_mul(width).saturating_mul(size_of::<T>());
        let block = Arc::new(Block::zeroed(bytes, what)?);
        Ok(Writer::on(block.base().cast(), slots, width, vec![block]))
    }

    /// The slots that a block holds from byte `offset` on; `None` where they do not lie inside of it, aligned.
    pub fn mapped(block: &Arc<Block>, offset: usize, slots: usize, width: usize) -> Option<Writer<T>> {
        let bytes = slots.checked_mul(width)?.checked_mul(size_of::<T>())?;
        if !offset.is_multiple_of(align_of::<T>()) || offset.checked_add(bytes)? > block.len() {
            return None;
        }
        // SAFETY: inside of the block, as just checked.
        let base = unsafe { block.base().add(offset) };
        Some(Writer::on(base.cast(), slots, width, vec![Arc::clone(block)]))
    }

    /// Blocks are aligned to a line of the cache, so every element is where its type allows it.
    fn on(base: *mut T, first: usize, width: usize, blocks: Vec<Arc<Block>>) -> Writer<T> {
        let shared = Shared {
            base,
            first,
            buckets: [const { AtomicPtr::new(std::ptr::null_mut()) }; BUCKETS],
            len: AtomicUsize::new(first),
            width,
            blocks: Mutex::new(blocks),
        };
        Writer { arena: Arena(Arc::new(shared)), reserved: first }
    }

    /// The slots.
    pub fn arena(&self) -> &Arena<T> {
        &self.arena
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
        let shared = &*self.arena.0;
        while self.reserved < wanted {
            let (bucket, _) = place(self.reserved - shared.first);
            let bytes = bucket_slots(bucket).saturating_mul(self.arena.slot_bytes());
            let block = Arc::new(Block::zeroed(bytes, "growing arrays")?);
            shared.buckets[bucket].store(block.base().cast(), Ordering::Release);
            shared.blocks.lock().unwrap_or_else(PoisonError::into_inner).push(block);
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

impl<T: Element + Copy> Writer<T> {
    /// Appends one slot.
    pub fn push(&mut self, elements: &[T]) -> Result<()> {
        assert_eq!(elements.len(), self.arena.0.width);
        self.reserve(1)?;
        let slot = self.len();
        let (base, at) = self.arena.0.place(slot);
        // SAFETY: `reserve` allocated the bucket; the slot is at or past `len`, so no reader looks at it, and `&mut
        // self` is the only writer. The source cannot overlap memory that nobody else has a reference to.
        unsafe { std::ptr::copy_nonoverlapping(elements.as_ptr(), base.add(at * elements.len()), elements.len()) };
        self.arena.0.len.store(slot + 1, Ordering::Release);
        Ok(())
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

    #[test]
    fn a_base_is_read_in_place_and_grown_past() {
        let block = Arc::new(Block::zeroed(4096, "a test").unwrap());
        let mut writer = Writer::<AtomicU32>::mapped(&block, 64, 5, 3).unwrap();
        let reader = writer.reader();
        assert_eq!(reader.len(), 5);
        writer.grow(3000).unwrap();
        for slot in 0..3005 {
            reader.get(slot)[2].store(slot as u32, Ordering::Relaxed);
        }
        let mut bytes = Vec::new();
        reader.write(0..3005, &mut bytes);
        assert_eq!(bytes.len(), 3005 * reader.slot_bytes());
        for (slot, bytes) in bytes.chunks(12).enumerate() {
            assert_eq!(bytes[8..], (slot as u32).to_le_bytes());
        }
        let again = Writer::<AtomicU32>::mapped(&block, 64, 5, 3).unwrap();
        assert_eq!(again.reader().get(4)[2].load(Ordering::Relaxed), 4);
    }

    #[test]
    fn a_base_that_is_not_inside_of_its_block_is_refused() {
        let block = Arc::new(Block::zeroed(4096, "a test").unwrap());
        let inside = |offset, slots, width| Writer::<u64>::mapped(&block, offset, slots, width).is_some();
        assert!(inside(0, 512, 1) && inside(4096, 0, 1) && inside(4088, 1, 1));
        assert!(!inside(0, 513, 1) && !inside(4, 1, 1) && !inside(usize::MAX - 7, 1, 1));
        assert!(!inside(0, usize::MAX, 2) && !inside(0, usize::MAX / 8, 1));
    }
}

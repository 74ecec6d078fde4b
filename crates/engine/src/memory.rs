//! Bytes of a fixed size and place, aligned to a line of the cache: zeros from the system, or a file.
//!
//! A block hands out its address and its length; who may touch which of its bytes is the business of its owner
//! (`arena.rs`, `storage/segment.rs`).

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::fs::File;
use std::io;

use crate::error::{Error, Result};

#[cfg(target_endian = "big")]
compile_error!("files are read where they lie, in little-endian order");

/// Blocks start on a line of the cache.
pub(crate) const ALIGN: usize = 64;

/// What is asked of the allocator. More would be zeroed byte by byte; at this alignment large blocks come zeroed from
/// the system, and take memory only as they are written.
const ASKED: usize = 16;

/// Large blocks lie on pages of this size where the system has them: a walk goes to a thousand places at random, and
/// with small pages the CPU would look up as many addresses.
#[cfg(target_os = "linux")]
const HUGE: usize = 2 << 20;

/// Where a block's bytes come from.
enum Source {
    /// The allocator's own address.
    Heap(*mut u8),
    /// The system's zeros, at an address of its own.
    #[cfg(target_os = "linux")]
    Huge(#[expect(dead_code, reason = "held for its pages")] memmap2::MmapMut),
    /// A file's pages. Writing to them changes this process's copy, never the file.
    Copied(#[expect(dead_code, reason = "held for its pages")] memmap2::MmapMut),
    /// A file's pages, read only, as others write them.
    Shared(#[expect(dead_code, reason = "held for its pages")] memmap2::Mmap),
}

/// Bytes that stay where they are.
pub(crate) struct Block {
    source: Source,
    /// The first byte, on a multiple of [`ALIGN`].
    base: *mut u8,
    len: usize,
}

// SAFETY: a block owns its bytes; who may touch which of them is the business of its owner.
unsafe impl Send for Block {}
// SAFETY: as above; a block itself hands out no reference.
unsafe impl Sync for Block {}

impl Block {
    /// `len` zeros; `what` names their use where there is no memory.
    pub fn zeroed(len: usize, what: &str) -> Result<Block> {
        #[cfg(test)]
        if shortage::strikes() {
            return Err(Error::memory(len, what));
        }
        #[cfg(target_os = "linux")]
        if len >= 2 * HUGE {
            return Block::huge(len).ok_or_else(|| Error::memory(len, what));
        }
        let layout = Block::layout(len).ok_or_else(|| Error::memory(len, what))?;
        // SAFETY: the layout's size is at least one.
        let memory = unsafe { alloc_zeroed(layout) };
        if memory.is_null() {
            return Err(Error::memory(len, what));
        }
        // SAFETY: the layout has room for `len` bytes behind the largest such offset.
        let base = unsafe { memory.add(memory.align_offset(ALIGN)) };
        Ok(Block { source: Source::Heap(memory), base, len })
    }

    #[cfg(target_os = "linux")]
    fn huge(len: usize) -> Option<Block> {
        let mut map = memmap2::MmapMut::map_anon(len.checked_add(HUGE)?).ok()?;
        let from = map.as_ptr().align_offset(HUGE);
        // Where the system has no such pages, small ones do. Miri knows no advice.
        if cfg!(not(miri)) {
            let _ = map.advise_range(memmap2::Advice::HugePage, from, len);
        }
        // SAFETY: `from` is less than what the map has beyond `len`.
        let base = unsafe { map.as_mut_ptr().add(from) };
        Some(Block { source: Source::Huge(map), base, len })
    }

    /// The first `len` bytes of a file, to read.
    pub fn shared(file: &File, len: usize) -> io::Result<Block> {
        // SAFETY: the folder's lock keeps other writers away, and files are never shortened. That nobody else truncates
        // them is asked of the user.
        let map = unsafe { memmap2::MmapOptions::new().len(len).map(file)? };
        let base = map.as_ptr().cast_mut();
        Ok(Block { source: Source::Shared(map), base, len })
    }

    /// The first `len` bytes of a file, to read and to change in memory alone.
    pub fn copied(file: &File, len: usize) -> io::Result<Block> {
        // SAFETY: as in `shared`; and the file is not written any more.
        let mut map = unsafe { memmap2::MmapOptions::new().len(len).map_copy(file)? };
        let base = map.as_mut_ptr();
        Ok(Block { source: Source::Copied(map), base, len })
    }

    fn layout(len: usize) -> Option<Layout> {
        Layout::from_size_align(len.checked_add(ALIGN)?, ASKED).ok()
    }

    pub fn base(&self) -> *mut u8 {
        self.base
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether the bytes are a file's.
    pub fn is_mapped(&self) -> bool {
        matches!(self.source, Source::Copied(_) | Source::Shared(_))
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        if let (Source::Heap(memory), Some(layout)) = (&self.source, Block::layout(self.len)) {
            // SAFETY: allocated in `zeroed` with this very layout, freed once.
            unsafe { dealloc(*memory, layout) };
        }
    }
}

/// Lets one block of a thread's be refused.
#[cfg(test)]
pub(crate) mod shortage {
    use std::cell::Cell;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// So many more blocks are made before one is refused; `None`: all are made.
    pub fn after(blocks: Option<usize>) {
        LEFT.set(blocks);
    }

    /// Whether none was refused yet.
    pub fn is_to_come() -> bool {
        LEFT.get().is_some()
    }

    pub fn strikes() -> bool {
        let left = LEFT.get();
        LEFT.set(left.and_then(|left| left.checked_sub(1)));
        left == Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_any_size_are_aligned_or_refused() {
        for len in [0, 1, 63, 64, 1000, 100_000, (4 << 20) - 1, 4 << 20, (6 << 20) + 1] {
            let block = Block::zeroed(len, "a test").unwrap();
            assert!(block.base().addr().is_multiple_of(ALIGN) && block.len() == len && !block.is_mapped());
            // SAFETY: the block's own bytes, which nobody else looks at.
            let bytes = unsafe { std::slice::from_raw_parts_mut(block.base(), len) };
            // Miri takes minutes to look at millions of them.
            let all = if cfg!(miri) { bytes.len().min(1000) } else { bytes.len() };
            assert!(bytes[..all].iter().all(|&byte| byte == 0));
            bytes.fill(1);
        }
        for len in [usize::MAX, isize::MAX as usize] {
            assert_eq!(Block::zeroed(len, "a test").err().unwrap().code, crate::error::Code::Memory);
        }
    }
}

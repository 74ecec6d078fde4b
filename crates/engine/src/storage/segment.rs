//! A segment's memory: written once, from the front, by one writer; read by anybody below what was written.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::memory::Block;

/// Bytes of one owner, aligned to [`crate::memory::ALIGN`]: a frame while it is filled.
pub(crate) struct Buffer(Block);

impl Buffer {
    pub fn new(len: usize) -> Result<Buffer> {
        Block::zeroed(len, "a write").map(Buffer)
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: `len` bytes, zeroed at birth, owned by `self`.
        unsafe { std::slice::from_raw_parts(self.0.base(), self.0.len()) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.0.base(), self.0.len()) }
    }

    /// `count` floats from byte `offset`; panics outside of the buffer, or between two floats.
    pub fn floats(&self, offset: usize, count: usize) -> &[f32] {
        as_floats(&self.bytes()[offset..offset + count * 4])
    }

    /// Copies `count` floats from `source` to byte `offset`.
    ///
    /// # Safety
    /// `source` is readable for `count` floats during the call. Another thread may be writing to them: what arrives is
    /// then some mixture of floats, and only the copy is looked at.
    pub unsafe fn copy_floats(&mut self, offset: usize, source: *const f32, count: usize) {
        assert!(
            count.checked_mul(4).and_then(|bytes| bytes.checked_add(offset)).is_some_and(|end| end <= self.0.len())
        );
        // SAFETY: the caller answers for the source, the assertion for the target; a buffer of the engine's own cannot
        // overlap the caller's memory.
        unsafe { std::ptr::copy_nonoverlapping(source.cast::<u8>(), self.0.base().add(offset), count * 4) };
    }
}

/// Bytes that live until the last view of them: allocated in full, written from the front, never moved.
pub(crate) struct Segment {
    name: String,
    block: Block,
    /// What the block is a mapping of.
    file: Option<File>,
    /// Where the next frame goes; only the log's writer looks at it.
    end: AtomicUsize,
    /// What lies below may be read, and is not written again.
    readable: AtomicUsize,
    /// Held while bytes are stored. The log has one writer: nobody ever waits for it.
    storing: Mutex<()>,
    /// Held while bytes are made durable: why that failed.
    unsynced: Mutex<Option<Error>>,
}

impl Segment {
    /// Zeros on the heap.
    pub fn heap(name: &str, len: usize) -> Result<Segment> {
        Ok(Segment::of(name, Block::zeroed(len, "the log")?, None, 0))
    }

    /// A file of `len` bytes, of which `readable` were written before.
    pub fn mapped(name: &str, file: File, len: usize, readable: usize) -> io::Result<Segment> {
        Ok(Segment::of(name, Block::shared(&file, len)?, Some(file), readable))
    }

    fn of(name: &str, block: Block, file: Option<File>, readable: usize) -> Segment {
        let (end, readable) = (AtomicUsize::new(readable), AtomicUsize::new(readable));
        Segment { name: name.into(), block, file, end, readable, storing: Mutex::default(), unsynced: Mutex::default() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn len(&self) -> usize {
        self.block.len()
    }

    pub fn is_mapped(&self) -> bool {
        self.block.is_mapped()
    }

    /// Where the next frame goes.
    pub fn end(&self) -> usize {
        self.end.load(Ordering::Relaxed)
    }

    pub fn written(&self) -> usize {
        self.readable.load(Ordering::Acquire)
    }

    /// Says, before anybody else has the segment, that its frames end here.
    pub fn settle(&self, end: usize) {
        assert!(end <= self.len());
        self.end.store(end, Ordering::Relaxed);
        self.readable.store(end, Ordering::Release);
    }

    /// Writes `bytes` behind what is there; nobody reads them before [`Segment::publish`]. Panics when they do not fit.
    pub fn store(&self, bytes: &[u8]) -> Result<()> {
        let _storing = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let at = self.end();
        assert!(bytes.len() <= self.len() - at, "the log chose a segment that is too short");
        match &self.file {
            // SAFETY: the bytes at and past `end` are inside the block, which is memory of its own, and nobody reads
            // them: they are not published. The lock makes this the only thread that writes.
            None => unsafe {
                std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.block.base().add(at), bytes.len());
            },
            Some(file) => {
                write_at(file, bytes, at as u64).map_err(|error| Error::io(&format!("write {}", self.name), &error))?;
            }
        }
        self.end.store(at + bytes.len(), Ordering::Relaxed);
        Ok(())
    }

    /// Lets everybody read what was stored.
    pub fn publish(&self) {
        self.readable.store(self.end(), Ordering::Release);
    }

    /// Runs a sync, one at a time, and none after one that failed: the system tells of a failure only once, and whoever
    /// asks next would take the bytes for durable.
    pub fn syncing(&self, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        let mut failed = self.unsynced.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.is_none() {
            *failed = sync().err();
        }
        failed.clone().map_or(Ok(()), Err)
    }

    /// Makes what was stored durable.
    pub fn sync(&self) -> Result<()> {
        let sync = self.file.as_ref().map_or(Ok(()), File::sync_data);
        sync.map_err(|error| Error::io(&format!("sync {}", self.name), &error))
    }

    /// `len` bytes from `offset`; panics past what was written.
    #[inline(always)]
    pub fn bytes(&self, offset: usize, len: usize) -> &[u8] {
        assert!(
            offset.checked_add(len).is_some_and(|end| end <= self.written()),
            "{len} bytes at {offset} of a segment"
        );
        // SAFETY: below `readable`, so inside of the segment and not written again.
        unsafe { std::slice::from_raw_parts(self.block.base().add(offset), len) }
    }

    /// `count` floats from byte `offset`; panics past what was written, or between two floats.
    #[inline(always)]
    pub fn floats(&self, offset: usize, count: usize) -> &[f32] {
        as_floats(self.bytes(offset, count * 4))
    }
}

/// Aligned bytes as the floats they are; panics between two floats.
#[inline(always)]
fn as_floats(bytes: &[u8]) -> &[f32] {
    assert!(bytes.as_ptr().addr().is_multiple_of(4));
    // SAFETY: aligned as asserted, inside of one slice, and any four bytes are a float.
    unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast::<f32>(), bytes.len() / 4) }
}

#[cfg(unix)]
fn write_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn write_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ALIGN;

    fn append(segment: &Segment, bytes: &[u8]) {
        segment.store(bytes).unwrap();
        segment.publish();
    }

    #[test]
    fn what_was_appended_is_read_beside_the_next_append() {
        let segment = Segment::heap("log", 64 * 40).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| (0..40).for_each(|i| append(&segment, &[i; 64])));
            while segment.written() < segment.len() {
                let written = segment.written();
                assert!(segment.bytes(0, written).iter().enumerate().all(|(at, &x)| usize::from(x) == at / 64));
            }
        });
        assert_eq!(segment.floats(64, 16), [f32::from_le_bytes([1; 4]); 16]);
        assert!(segment.bytes(0, 1).as_ptr().addr().is_multiple_of(ALIGN));
    }

    #[test]
    #[should_panic(expected = "65 bytes at 0 of a segment")]
    fn bytes_past_what_was_written_are_refused() {
        let segment = Segment::heap("log", 128).unwrap();
        append(&segment, &[1; 64]);
        segment.bytes(0, 65);
    }

    #[test]
    fn a_sync_that_failed_is_not_tried_again() {
        let segment = Segment::heap("log", 64).unwrap();
        segment.syncing(|| Ok(())).unwrap();
        let failed = || Err(Error::new(crate::error::Code::Io, "once"));
        assert!(segment.syncing(failed).is_err() && segment.syncing(|| Ok(())).is_err());
    }

    #[test]
    #[should_panic(expected = "too short")]
    fn more_than_the_segment_holds_is_refused() {
        Segment::heap("log", 64).unwrap().store(&[0; 65]).unwrap();
    }

    #[test]
    fn a_buffer_takes_floats_where_they_fit() {
        let mut buffer = Buffer::new(128).unwrap();
        // SAFETY: an array of two floats.
        unsafe { buffer.copy_floats(120, [1.5_f32, -2.0].as_ptr(), 2) };
        assert_eq!(buffer.floats(120, 2), [1.5, -2.0]);
        assert!(buffer.bytes()[..120].iter().all(|&byte| byte == 0));
    }
}

//! Where files come from. Every access of the log to memory or files goes through here, so that whatever can go wrong
//! on a disk can be made to go wrong in a test.
//!
//! What is assumed of a disk: bytes of a file are durable once [`Disk::sync`] or [`Disk::put`] returned; names once
//! [`Disk::sync_names`] did; a rename happens or does not; before that, any part of what was written may be there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::error::{Code, Error, Result};
use crate::memory::Block;
use crate::storage::segment::Segment;

/// A folder of files.
pub(crate) trait Disk: Send + Sync {
    /// The names in the folder.
    fn list(&self) -> Result<Vec<String>>;
    /// The bytes of a file of at most `limit` of them; `None` when there is no such file.
    fn get(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>>;
    /// Writes a whole file and syncs it; an older one of this name is gone.
    fn put(&self, name: &str, bytes: &[u8]) -> Result<()>;
    /// Gives a file another name; a file that had it is gone.
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> Result<()>;
    /// Makes created, renamed and removed names durable.
    fn sync_names(&self) -> Result<()>;
    /// A new segment of `len` zeros, allocated in full and synced, or the error that nothing was taken.
    fn create(&self, name: &str, len: usize) -> Result<Arc<Segment>>;
    /// A segment that was created before, with `len` bytes.
    fn open(&self, name: &str, len: usize) -> Result<Arc<Segment>>;
    /// The bytes of a segment that nobody writes any more, to be changed in memory alone.
    fn map(&self, name: &str, len: usize) -> Result<Arc<Block>>;
    /// Whether what is written here is there when the collection is opened again.
    fn lasts(&self) -> bool;
    /// Writes `bytes` behind what the segment holds; they can be read once [`Segment::publish`] is called.
    fn append(&self, segment: &Segment, bytes: &[u8]) -> Result<()>;
    /// Makes what was appended durable.
    fn sync(&self, segment: &Segment) -> Result<()>;
}

/// Memory of this process: the folder of a collection without a path.
#[derive(Default)]
pub(crate) struct Heap {
    files: Mutex<HashMap<String, HeapFile>>,
}

enum HeapFile {
    Bytes(Vec<u8>),
    Segment(Arc<Segment>),
}

impl Heap {
    fn files<T>(&self, body: impl FnOnce(&mut HashMap<String, HeapFile>) -> T) -> T {
        body(&mut self.files.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

impl Disk for Heap {
    fn list(&self) -> Result<Vec<String>> {
        Ok(self.files(|files| files.keys().cloned().collect()))
    }

    fn get(&self, name: &str, _: usize) -> Result<Option<Vec<u8>>> {
        Ok(self.files(|files| match files.get(name) {
            Some(HeapFile::Bytes(bytes)) => Some(bytes.clone()),
            _ => None,
        }))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        self.files(|files| files.insert(name.into(), HeapFile::Bytes(bytes.to_vec())));
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.files(|files| {
            if let Some(file) = files.remove(from) {
                files.insert(to.into(), file);
            }
        });
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.files(|files| files.remove(name));
        Ok(())
    }

    fn sync_names(&self) -> Result<()> {
        Ok(())
    }

    fn create(&self, name: &str, len: usize) -> Result<Arc<Segment>> {
        let segment = Arc::new(Segment::heap(name, len)?);
        self.files(|files| files.insert(name.into(), HeapFile::Segment(Arc::clone(&segment))));
        Ok(segment)
    }

    fn open(&self, name: &str, _: usize) -> Result<Arc<Segment>> {
        self.files(|files| match files.get(name) {
            Some(HeapFile::Segment(segment)) => Ok(Arc::clone(segment)),
            _ => Err(Error::new(Code::Corrupt, format!("{name} is missing"))),
        })
    }

    fn map(&self, name: &str, _: usize) -> Result<Arc<Block>> {
        Err(Error::new(Code::Internal, format!("{name} is in memory already")))
    }

    fn lasts(&self) -> bool {
        false
    }

    fn append(&self, segment: &Segment, bytes: &[u8]) -> Result<()> {
        segment.store(bytes)
    }

    fn sync(&self, _: &Segment) -> Result<()> {
        Ok(())
    }
}

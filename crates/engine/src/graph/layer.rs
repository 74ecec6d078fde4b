//! One layer's links.
//!
//! A record is `count, links x capacity`, and on upper layers two words more: the slot's node, and its slot on the
//! layer below. A link is a slot of the same layer; its top bit marks it protected.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use crate::arena::{Arena, Writer};
use crate::error::Result;
use crate::storage::checkpoint::{Checkpoint, Section};

/// The mark of a link that is never pruned.
pub(crate) const PROTECTED: u32 = 1 << 31;

/// A reader's handle.
#[derive(Clone)]
pub(crate) struct Layer {
    records: Arena<AtomicU32>,
    capacity: usize,
    upper: bool,
    /// Where records go before they change, while a checkpoint is being written.
    frozen: Arc<ArcSwapOption<Frozen>>,
}

/// The one handle that appends slots.
pub(crate) struct LayerWriter {
    layer: Layer,
    records: Writer<AtomicU32>,
}

/// Words of a record.
fn width(capacity: usize, upper: bool) -> usize {
    1 + capacity + if upper { 2 } else { 0 }
}

/// Slots that are kept together.
const CHUNK: usize = 512;

/// The records of a layer as they were at one moment: those that changed since are kept here.
pub(crate) struct Frozen {
    pub slots: usize,
    chunks: Vec<Mutex<Chunk>>,
}

enum Chunk {
    /// As it was; the first change keeps it.
    Unchanged,
    Kept(Vec<u8>),
    /// Nobody needs it any more.
    Taken,
}

impl Frozen {
    fn lock(&self, chunk: usize) -> MutexGuard<'_, Chunk> {
        self.chunks[chunk].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn copy(&self, records: &Arena<AtomicU32>, chunk: usize, out: &mut Vec<u8>) {
        records.write(chunk * CHUNK..(chunk * CHUNK + CHUNK).min(self.slots), out);
    }

    /// Called before a slot changes.
    fn keep(&self, records: &Arena<AtomicU32>, slot: usize) {
        if slot >= self.slots {
            return;
        }
        let mut chunk = self.lock(slot / CHUNK);
        if matches!(*chunk, Chunk::Unchanged) {
            let mut bytes = Vec::new();
            self.copy(records, slot / CHUNK, &mut bytes);
            *chunk = Chunk::Kept(bytes);
        }
    }

    /// Appends a chunk's bytes as they were; each may be taken once.
    fn take(&self, records: &Arena<AtomicU32>, chunk: usize, out: &mut Vec<u8>) {
        let mut held = self.lock(chunk);
        match std::mem::replace(&mut *held, Chunk::Taken) {
            Chunk::Kept(bytes) => out.extend_from_slice(&bytes),
            // Nobody changes it before this lock is released.
            Chunk::Unchanged | Chunk::Taken => self.copy(records, chunk, out),
        }
    }
}

impl Layer {
    /// What a checkpoint keeps as `name`: the records as they were when they were frozen, chunk by chunk.
    pub fn section<'a>(&'a self, name: &str, frozen: &'a Frozen) -> Section<'a> {
        Section::new(name, self.records.slot_bytes(), frozen.slots, CHUNK, move |slots, out| {
            frozen.take(&self.records, slots.start / CHUNK, out);
        })
    }

    /// Most links of a slot.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The slot's links, marks and all. None leads past the layer's end, whatever a file says.
    #[inline(always)]
    pub fn marked_links(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        let slots = self.records.len() as u32;
        self.words(slot).filter(move |link| link & !PROTECTED < slots)
    }

    #[inline(always)]
    fn words(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        let record = self.records.get(slot as usize);
        let count = (record[0].load(Ordering::Acquire) as usize).min(self.capacity);
        record[1..=count].iter().map(|link| link.load(Ordering::Relaxed))
    }

    /// The slots that the slot links to; who follows them leaves out those past the end of its view.
    #[inline(always)]
    pub fn links(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        self.words(slot).map(|link| link & !PROTECTED)
    }

    /// Asks for the record to be brought near.
    #[inline(always)]
    pub fn prefetch(&self, slot: u32) {
        auspex_kernel::prefetch(self.records.get(slot as usize));
    }

    /// Whether slots of the layer differ from nodes.
    #[inline(always)]
    pub fn is_upper(&self) -> bool {
        self.upper
    }

    /// The node of a slot.
    #[inline(always)]
    pub fn node(&self, slot: u32) -> u32 {
        if self.upper { self.records.get(slot as usize)[self.capacity + 1].load(Ordering::Relaxed) } else { slot }
    }

    /// The slot on the layer below; only on upper layers.
    pub fn down(&self, slot: u32) -> u32 {
        self.records.get(slot as usize)[self.capacity + 2].load(Ordering::Relaxed)
    }

    /// Replaces a slot's links. Readers meanwhile see some mixture of old and new.
    pub fn set_links(&self, slot: u32, links: &[u32]) {
        if let Some(frozen) = &*self.frozen.load() {
            frozen.keep(&self.records, slot as usize);
        }
        let record = self.records.get(slot as usize);
        for (word, &link) in record[1..=self.capacity].iter().zip(links) {
            word.store(link, Ordering::Relaxed);
        }
        record[0].store(links.len().min(self.capacity) as u32, Ordering::Release);
    }

    pub fn bytes(&self) -> usize {
        self.records.bytes()
    }
}

impl LayerWriter {
    pub fn new(capacity: usize, upper: bool) -> LayerWriter {
        LayerWriter::of(Writer::new(width(capacity, upper)), capacity, upper)
    }

    /// The layer that a checkpoint kept as `name`.
    pub fn load(checkpoint: &Checkpoint, name: &str, capacity: usize, upper: bool) -> Result<LayerWriter> {
        Ok(LayerWriter::of(checkpoint.arena(name, width(capacity, upper))?, capacity, upper))
    }

    fn of(records: Writer<AtomicU32>, capacity: usize, upper: bool) -> LayerWriter {
        let layer = Layer { records: records.reader(), capacity, upper, frozen: Arc::default() };
        LayerWriter { layer, records }
    }

    /// Keeps the records of the layer as they are now, until [`LayerWriter::thaw`]. Only between two writes.
    pub fn freeze(&self) -> Arc<Frozen> {
        let chunks = (0..self.len().div_ceil(CHUNK)).map(|_| Mutex::new(Chunk::Unchanged)).collect();
        let frozen = Arc::new(Frozen { slots: self.len(), chunks });
        self.layer.frozen.store(Some(Arc::clone(&frozen)));
        frozen
    }

    /// Lets records change again without being kept.
    pub fn thaw(&self) {
        self.layer.frozen.store(None);
    }

    pub fn reader(&self) -> Layer {
        self.layer.clone()
    }

    pub fn len(&self) -> usize {
        self.records.len()
    }

    pub fn reserve(&mut self, more: usize) -> Result<()> {
        self.records.reserve(more)
    }

    /// Appends a slot without links for `node`, which is slot `down` on the layer below.
    pub fn push(&mut self, node: u32, down: u32) -> Result<u32> {
        let slot = self.len() as u32;
        self.records.grow(1)?;
        if self.layer.upper {
            let record = self.layer.records.get(slot as usize);
            record[self.layer.capacity + 1].store(node, Ordering::Relaxed);
            record[self.layer.capacity + 2].store(down, Ordering::Relaxed);
        }
        Ok(slot)
    }
}

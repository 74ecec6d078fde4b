//! One layer's links.
//!
//! A record is as many words as a slot may have links: with the usual 32 of layer 0, two lines of the cache. A link is a
//! slot of the same layer plus one, 0 where there is none; its top bit marks it protected. On upper layers each slot has
//! a place besides: its node, and its slot on the layer below.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;

use crate::arena::{Arena, Window, Writer};
use crate::error::Result;
use crate::storage::checkpoint::{Checkpoint, Section};

/// The mark of a link that is never pruned.
pub(crate) const PROTECTED: u32 = 1 << 31;

/// A reader's handle.
#[derive(Clone)]
pub(crate) struct Layer {
    records: Arena<AtomicU32>,
    /// Node, and slot on the layer below; of upper layers only.
    places: Arena<u32>,
    capacity: usize,
    upper: bool,
    /// Where records go before they change, while a checkpoint is being written.
    frozen: Arc<ArcSwapOption<Frozen>>,
}

/// The one handle that appends slots.
pub(crate) struct LayerWriter {
    layer: Layer,
    records: Writer<AtomicU32>,
    places: Writer<u32>,
}

/// What a checkpoint calls the links and the places of a layer.
pub(crate) fn links_name(layer: usize) -> String {
    format!("links-{layer}")
}

pub(crate) fn places_name(layer: usize) -> String {
    format!("places-{layer}")
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
    /// What a checkpoint keeps of the layer of this number: the records as they were when they were frozen, chunk by
    /// chunk.
    pub fn sections<'a>(&'a self, number: usize, frozen: &'a Frozen) -> impl Iterator<Item = Section<'a>> {
        let links =
            Section::new(&links_name(number), self.records.slot_bytes(), frozen.slots, CHUNK, move |slots, out| {
                frozen.take(&self.records, slots.start / CHUNK, out);
            });
        let places = self.upper.then(|| Section::of(&places_name(number), &self.places, frozen.slots));
        std::iter::once(links).chain(places)
    }

    /// Most links of a slot.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The slot's links, marks and all. None leads past the layer's end, whatever a file says.
    #[inline(always)]
    pub fn marked_links(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        let slots = self.records.len() as u32;
        self.window().words(slot).filter(move |link| link & !PROTECTED < slots)
    }

    /// The slots that the slot links to; who follows them leaves out those past the end of its view.
    #[inline(always)]
    pub fn links(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        self.window().of(slot)
    }

    /// The links as a walk reads them.
    #[inline(always)]
    pub fn window(&self) -> Links<'_> {
        Links { records: self.records.window() }
    }

    /// Whether slots of the layer differ from nodes.
    #[inline(always)]
    pub fn is_upper(&self) -> bool {
        self.upper
    }

    /// The node of a slot.
    #[inline(always)]
    pub fn node(&self, slot: u32) -> u32 {
        if self.upper { self.places.get(slot as usize)[0] } else { slot }
    }

    /// The slot on the layer below; only on upper layers.
    pub fn down(&self, slot: u32) -> u32 {
        self.places.get(slot as usize)[1]
    }

    /// Replaces a slot's links. Readers meanwhile see some mixture of old and new.
    pub fn set_links(&self, slot: u32, links: &[u32]) {
        if let Some(frozen) = &*self.frozen.load() {
            frozen.keep(&self.records, slot as usize);
        }
        let links = links.iter().map(|link| link + 1).chain(std::iter::repeat(0));
        for (word, link) in self.records.get(slot as usize).iter().zip(links) {
            word.store(link, Ordering::Relaxed);
        }
    }

    pub fn bytes(&self) -> usize {
        self.records.bytes() + self.places.bytes()
    }
}

/// A layer's links, for a walk over the slots that there were when it began.
#[derive(Clone, Copy)]
pub(crate) struct Links<'a> {
    records: Window<'a, AtomicU32>,
}

impl<'a> Links<'a> {
    /// The slot's links with their marks.
    #[inline(always)]
    fn words(self, slot: u32) -> impl Iterator<Item = u32> + 'a {
        // What a reader sees of a slot of its view was written before the view; what changed since leads to slots that
        // are in the view, or past its end.
        let words = self.records.get(slot as usize).iter();
        words.map(|word| word.load(Ordering::Relaxed)).take_while(|&word| word != 0).map(|word| word - 1)
    }

    /// The slots that the slot links to; who follows them leaves out those past the end of its view.
    #[inline(always)]
    pub fn of(self, slot: u32) -> impl Iterator<Item = u32> + 'a {
        self.words(slot).map(|link| link & !PROTECTED)
    }

    /// Asks for a slot's links to be brought near.
    #[inline(always)]
    pub fn prefetch(self, slot: u32) {
        auspex_kernel::prefetch(self.records.get(slot as usize));
    }
}

impl LayerWriter {
    pub fn new(capacity: usize, upper: bool) -> LayerWriter {
        LayerWriter::of(Writer::new(capacity), Writer::new(2), capacity, upper)
    }

    /// The layer of this number that a checkpoint kept.
    pub fn load(checkpoint: &Checkpoint, number: usize, capacity: usize) -> Result<LayerWriter> {
        let (links, places) = (links_name(number), places_name(number));
        let (records, upper) = (checkpoint.arena(&links, capacity)?, number > 0);
        let places = if upper { checkpoint.arena(&places, 2)? } else { Writer::new(2) };
        if upper && places.len() != records.len() {
            return Err(checkpoint.lacks(&links));
        }
        Ok(LayerWriter::of(records, places, capacity, upper))
    }

    fn of(records: Writer<AtomicU32>, places: Writer<u32>, capacity: usize, upper: bool) -> LayerWriter {
        let (links, nodes) = (records.reader(), places.reader());
        let layer = Layer { records: links, places: nodes, capacity, upper, frozen: Arc::default() };
        LayerWriter { layer, records, places }
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
        if self.layer.upper {
            self.places.reserve(more)?;
        }
        self.records.reserve(more)
    }

    /// Appends a slot without links for `node`, which is slot `down` on the layer below.
    pub fn push(&mut self, node: u32, down: u32) -> Result<u32> {
        let slot = self.len() as u32;
        if self.layer.upper {
            self.places.push(&[node, down])?;
        }
        self.records.grow(1)?;
        Ok(slot)
    }
}

//! One layer's links.
//!
//! A record is `count, links x capacity`, and on upper layers two words more: the slot's node, and its slot on the
//! layer below. A link is a slot of the same layer; its top bit marks it protected.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::arena::{Arena, Writer};
use crate::error::Result;

/// The mark of a link that is never pruned.
pub(crate) const PROTECTED: u32 = 1 << 31;

/// A reader's handle.
#[derive(Clone)]
pub(crate) struct Layer {
    records: Arena<AtomicU32>,
    capacity: usize,
    upper: bool,
}

/// The one handle that appends slots.
pub(crate) struct LayerWriter {
    layer: Layer,
    records: Writer<AtomicU32>,
}

impl Layer {
    /// Most links of a slot.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// The slot's links, marks and all.
    #[inline(always)]
    pub fn marked_links(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        let record = self.records.get(slot as usize);
        let count = (record[0].load(Ordering::Acquire) as usize).min(self.capacity);
        record[1..=count].iter().map(|link| link.load(Ordering::Relaxed))
    }

    /// The slots that the slot links to.
    #[inline(always)]
    pub fn links(&self, slot: u32) -> impl Iterator<Item = u32> + '_ {
        self.marked_links(slot).map(|link| link & !PROTECTED)
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
        let records = Writer::new(1 + capacity + if upper { 2 } else { 0 });
        LayerWriter { layer: Layer { records: records.reader(), capacity, upper }, records }
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

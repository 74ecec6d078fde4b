//! The graph: which rows lie near which, in layers, and how to walk it.
//!
//! ```text
//! layer 2    s0 ------ s1                     slots of a layer, in order of arrival
//!            |down     |down
//! layer 1    s0 - s1 - s3 ...                 m links a slot
//!            |         |
//! layer 0    n0 n1 n2 n3 n4 n5 n6 ...         2m links a node; a slot of layer 0 is a node
//!            |head
//! rows       r0 -> r7 -> r9                   rows with equal vectors share a node: a chain, newest first
//! ```
//! Links are atomics changed in place: a searcher that reads a list half old and half new still reads slots that
//! exist, and skips those past its view. Slot 0 of the highest layer is the entry point.
//!
//! **Protected links.** Every slot but a layer's first has a parent, an earlier slot; the links between the two, in both
//! directions, carry a mark in their top bit and are never pruned. They span each layer, so every node can be reached
//! from the entry point after any history of writes.
//!
//! | file | what it does |
//! | --- | --- |
//! | `layer`  | records of links, read and written |
//! | `search` | the walk, and the candidate list that drives it |
//! | `filtered` | the walk among nodes that match a filter |
//! | `select` | the diversity rule |
//! | `batch`  | links a batch of rows: find on the frozen graph, then apply |
//! | `bulk`   | builds a whole graph at once, from all pairs inside of leaves |
//! | `quality` | measures such a graph, and chooses links anew where they fall short |
//! | `partition` | cuts rows into overlapping leaves of near ones |
//! | `check`  | what must hold of any graph |

pub(crate) mod batch;
pub(crate) mod bulk;
pub(crate) mod check;
pub(crate) mod filtered;
pub(crate) mod layer;
pub(crate) mod partition;
pub(crate) mod quality;
pub(crate) mod search;
pub(crate) mod select;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::arena::{Arena, Window, Writer};
use crate::codes::Codes;
use crate::error::Result;
use crate::graph::layer::{Frozen, Layer, LayerWriter};
use crate::graph::quality::Quality;
use crate::graph::search::Walk;
use crate::rows::Tombstones;
use crate::spares::Spares;
use crate::storage::checkpoint::{Checkpoint, Section};

/// Highest number of layers. At m = 2 that is reached by one node in 32,768; levels above it are cut.
pub(crate) const LAYERS: usize = 16;

/// The mark of a head that is not its node's only row.
pub(crate) const CHAINED: u32 = 1 << 31;

/// A reader's handle on the graph.
#[derive(Clone)]
pub(crate) struct Graph {
    pub layers: [Layer; LAYERS],
    /// The newest row of each node; [`CHAINED`] where there are older ones.
    heads: Arena<AtomicU32>,
    /// The next older row with the same vector, plus one; 0 ends the chain.
    next_same: Arena<AtomicU32>,
}

/// The graph as of one view: what lies past the counts is not looked at.
#[derive(Clone)]
pub(crate) struct GraphView {
    pub graph: Graph,
    pub codes: Codes,
    /// Slots of each layer; layer 0's are the nodes.
    pub slots: [u32; LAYERS],
    pub quality: Quality,
}

impl GraphView {
    pub fn nodes(&self) -> u32 {
        self.slots[0]
    }

    /// Layers that have slots.
    pub fn height(&self) -> usize {
        self.slots.iter().take_while(|&&slots| slots > 0).count()
    }

    /// The node's rows below `rows`, newest first, dead ones too.
    #[inline(always)]
    pub fn rows_of(&self, node: u32, rows: u32) -> impl Iterator<Item = u32> + '_ {
        let head = self.graph.heads.get(node as usize)[0].load(Ordering::Acquire);
        std::iter::successors(Some(head & !CHAINED), move |&row| {
            if head & CHAINED == 0 {
                return None;
            }
            // A chain leads to older rows only, whatever a file says.
            self.graph.next_same.get(row as usize)[0]
                .load(Ordering::Acquire)
                .checked_sub(1)
                .filter(|&older| older < row)
        })
        .filter(move |&row| row < rows)
    }

    /// The newest rows of nodes, for many looks at them.
    pub fn heads(&self) -> Heads<'_> {
        Heads(self.graph.heads.window())
    }

    /// Whether one of the node's rows can be returned.
    pub fn is_live(&self, node: u32, rows: u32, tombstones: &Tombstones) -> bool {
        self.rows_of(node, rows).any(|row| !tombstones.contains(row))
    }

    /// What a checkpoint keeps of the graph as it was when there were `count` rows, and its layers were frozen.
    pub fn sections<'a>(&'a self, count: u32, frozen: &'a [Arc<Frozen>]) -> Vec<Section<'a>> {
        let heads = move |nodes: Range<usize>, out: &mut Vec<u8>| {
            for node in nodes {
                let mut rows = self.rows_of(node as u32, count);
                let head = rows.next().unwrap_or(0);
                let mark = if rows.next().is_some() { CHAINED } else { 0 };
                out.extend_from_slice(&(head | mark).to_le_bytes());
            }
        };
        let chained = self.graph.next_same.len().min(count as usize);
        let mut sections = self.codes.sections(self.nodes() as usize);
        sections.push(Section::new("heads", 4, self.nodes() as usize, 8192, heads));
        sections.push(Section::of("next_same", &self.graph.next_same, chained));
        let layers = self.graph.layers.iter().zip(frozen).enumerate();
        sections.extend(layers.flat_map(|(i, (layer, frozen))| layer.sections(i, frozen)));
        sections
    }

    pub fn bytes(&self) -> usize {
        let links: usize = self.graph.layers.iter().map(Layer::bytes).sum();
        links + self.codes.bytes() + self.graph.heads.bytes() + self.graph.next_same.bytes()
    }
}

/// The newest row of each node that there was when the window was made.
pub(crate) struct Heads<'a>(Window<'a, AtomicU32>);

impl Heads<'_> {
    /// The node's row, if it has but one.
    #[inline(always)]
    pub fn only(&self, node: u32) -> Option<u32> {
        Some(self.0.get(node as usize)[0].load(Ordering::Acquire)).filter(|head| head & CHAINED == 0)
    }
}

/// The one handle that appends to the graph.
pub(crate) struct GraphWriter {
    pub layers: [LayerWriter; LAYERS],
    heads: Writer<AtomicU32>,
    next_same: Writer<AtomicU32>,
    /// Memory of walks: it grows with the graph, and making it new costs as much as a walk.
    pub walks: Spares<Walk>,
}

impl GraphWriter {
    pub fn new(m: usize) -> GraphWriter {
        let layers = std::array::from_fn(|layer| LayerWriter::new(if layer == 0 { 2 * m } else { m }, layer > 0));
        GraphWriter { layers, heads: Writer::new(1), next_same: Writer::new(1), walks: Spares::default() }
    }

    /// The graph that a checkpoint kept.
    pub fn load(checkpoint: &Checkpoint, m: usize) -> Result<GraphWriter> {
        let mut layers = Vec::with_capacity(LAYERS);
        for i in 0..LAYERS {
            layers.push(LayerWriter::load(checkpoint, i, if i == 0 { 2 * m } else { m })?);
        }
        let (heads, next_same): (Writer<AtomicU32>, _) =
            (checkpoint.arena("heads", 1)?, checkpoint.arena("next_same", 1)?);
        let fits = layers.windows(2).all(|pair| pair[1].len() <= pair[0].len()) && layers[0].len() == heads.len();
        let layers = layers.try_into().ok().filter(|_| fits).ok_or_else(|| checkpoint.lacks("heads"))?;
        Ok(GraphWriter { layers, heads, next_same, walks: Spares::default() })
    }

    /// Keeps every layer as it is now for a checkpoint, until [`GraphWriter::thaw`]. Only between two writes.
    pub fn freeze(&self) -> Vec<Arc<Frozen>> {
        self.layers.iter().map(LayerWriter::freeze).collect()
    }

    pub fn thaw(&self) {
        self.layers.iter().for_each(LayerWriter::thaw);
    }

    pub fn graph(&self) -> Graph {
        let layers = std::array::from_fn(|layer| self.layers[layer].reader());
        Graph { layers, heads: self.heads.reader(), next_same: self.next_same.reader() }
    }

    pub fn slots(&self) -> [u32; LAYERS] {
        std::array::from_fn(|layer| self.layers[layer].len() as u32)
    }

    pub fn nodes(&self) -> u32 {
        self.heads.len() as u32
    }

    /// Allocates what `more` rows need when each becomes a node, so that linking them cannot fail. Upper layers
    /// are as high as their levels say.
    pub fn reserve(&mut self, rows: usize, more: usize, levels: &[usize]) -> Result<()> {
        self.heads.reserve(more)?;
        self.next_same.reserve((rows + more).saturating_sub(self.next_same.len()))?;
        for (layer, writer) in self.layers.iter_mut().enumerate() {
            writer.reserve(levels.iter().filter(|&&level| level >= layer).count())?;
        }
        Ok(())
    }

    /// Makes room in the chains for rows below `rows`.
    fn cover(&mut self, rows: u32) -> Result<()> {
        let more = (rows as usize).saturating_sub(self.next_same.len());
        self.next_same.grow(more)
    }

    /// Appends a node for `row`.
    fn push_node(&mut self, row: u32) -> Result<u32> {
        let node = self.nodes();
        self.heads.grow(1)?;
        self.heads.reader().get(node as usize)[0].store(row, Ordering::Release);
        Ok(node)
    }

    /// Puts a row in front of its node's chain.
    fn chain(&self, node: u32, row: u32) {
        let heads = self.heads.reader();
        let head = &heads.get(node as usize)[0];
        let older = head.load(Ordering::Relaxed) & !CHAINED;
        debug_assert!(older < row);
        self.next_same.reader().get(row as usize)[0].store(older + 1, Ordering::Release);
        head.store(row | CHAINED, Ordering::Release);
    }
}

/// The level of a row's node: at least `l` for one row in `m^l`. A function of the row's number and the seed.
pub(crate) fn level(row: u32, m: usize, seed: u64) -> usize {
    let mut x = crate::codes::mix(seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ u64::from(row));
    let limit = u64::MAX / m as u64;
    let mut level = 0;
    while x < limit && level < LAYERS - 1 {
        level += 1;
        x = x.wrapping_mul(m as u64);
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_row_in_m_reaches_each_next_level() {
        for m in [2, 16, 33] {
            let mut counts = [0_usize; LAYERS];
            for row in 0..200_000 {
                counts[level(row, m, 42)] += 1;
            }
            let first: usize = counts[1..].iter().sum();
            let second: usize = counts[2..].iter().sum();
            let near = |count: usize, wanted: f64| (count as f64 / wanted - 1.0).abs() < 0.15;
            assert!(near(first, 200_000.0 / m as f64), "{m}: {counts:?}");
            assert!(near(second, 200_000.0 / (m * m) as f64), "{m}: {counts:?}");
        }
    }
}

//! The graph and its codes, kept up with the rows; absent while there are so few rows that reading all is faster.

use std::sync::Arc;

use auspex_kernel::Kernels;

use crate::codes::{Calibration, CodesWriter};
use crate::error::{Code, Result};
use crate::graph::batch::{Context, Group, link, step};
use crate::graph::bulk;
use crate::graph::layer::Frozen;
use crate::graph::partition::Block;
use crate::graph::quality::{self, Quality};
use crate::graph::{GraphView, GraphWriter, level};
use crate::options::{Config, Metric, Quantization};
use crate::rows::{Rows, norm};
use crate::storage::checkpoint::Checkpoint;
use crate::token::Token;

/// Live rows from which on there is a graph.
pub(crate) const GRAPH_FROM: usize = 1024;

/// Rows from which on a graph is built at once,
const BULK_FROM: usize = 1024;
/// and how many times as many there may be already: linking a row costs that many times as much as building with it.
const BULK_SHARE: usize = 3;

/// The one handle that changes the index.
pub(crate) struct Index {
    graph: GraphWriter,
    codes: CodesWriter,
    /// As it was when the graph was built.
    quality: Quality,
}

impl Index {
    /// The first index, of `numbers`, which ascend, are all live rows and at least [`GRAPH_FROM`], and with room for
    /// `rows` of them. `None` without the memory for a graph: the scan answers, and the next write tries again.
    pub fn first(context: &Context, numbers: &[u32], rows: usize, token: &Token) -> Result<Option<Index>> {
        if let Some(index) = Index::built(context, numbers)? {
            token.advance(numbers.len() as u64);
            return Ok(Some(index));
        }
        let mut index = Index::new(context, numbers);
        if index.reserve(context.config.m, context.config.seed, 0, rows).is_err() {
            return Ok(None);
        }
        index.link_in_steps(context, numbers, token)?;
        Ok(Some(index))
    }

    /// An index without nodes, calibrated to `numbers`.
    fn new(context: &Context, numbers: &[u32]) -> Index {
        let (config, rows) = (context.config, context.rows);
        let longest = if config.metric == Metric::Dot {
            numbers.iter().fold(0.0, |longest: f64, &row| longest.max(norm(rows.vector(row))))
        } else {
            0.0
        };
        let calibration = Calibration::of(rows, numbers, longest, config.seed);
        let calibrated = (numbers.len(), longest);
        let codes =
            CodesWriter::new(config.quantization, calibration, calibrated, rows, context.kernels, config.metric);
        Index { graph: GraphWriter::new(config.m), codes, quality: Quality::GOOD }
    }

    /// The index that a checkpoint kept.
    pub fn load(config: &Config, checkpoint: &Checkpoint, rows: &Rows, kernels: &'static Kernels) -> Result<Index> {
        let codes = CodesWriter::load(checkpoint, rows, kernels, config.metric)?;
        let read = codes.codes().quantization();
        if read != config.quantization && read != Quantization::None {
            return Err(checkpoint.lacks("quantization"));
        }
        let graph = GraphWriter::load(checkpoint, config.m)?;
        if graph.nodes() as usize != codes.len() {
            return Err(checkpoint.lacks("codes"));
        }
        let quality = match ["found", "width", "blurred"].map(|name| checkpoint.number(name)) {
            [Ok(found), Ok(width), Ok(blurred)] => {
                let (found, width) = (found.min(1000) as u32, width.clamp(1, 1000) as u32);
                Quality { found, width, blurred: blurred > 0 }
            }
            // Version 0.1.0 measured nothing.
            _ => Quality::GOOD,
        };
        Ok(Index { graph, codes, quality })
    }

    /// Keeps the links as they are for a checkpoint, until [`Index::thaw`]. Only between two writes.
    pub fn freeze(&self) -> (Vec<Arc<Frozen>>, serde_json::Value) {
        let mut facts = self.codes.facts();
        facts["found"] = self.quality.found.into();
        facts["width"] = self.quality.width.into();
        facts["blurred"] = u64::from(self.quality.blurred).into();
        (self.graph.freeze(), facts)
    }

    pub fn thaw(&self) {
        self.graph.thaw();
    }

    /// Allocates what linking rows `first .. first + more` needs.
    pub fn reserve(&mut self, m: usize, seed: u64, first: usize, more: usize) -> Result<()> {
        let levels: Vec<usize> = (first..first + more).map(|row| level(row as u32, m, seed)).collect();
        self.graph.reserve(first, more, &levels)?;
        self.codes.reserve(more)
    }

    /// Links `numbers`, which ascend: all at once or step by step, whichever costs less.
    pub fn extend(&mut self, context: &Context, numbers: &[u32], token: &Token) -> Result<()> {
        match self.rebuilt(context, numbers)? {
            Some(fresh) => {
                *self = fresh;
                token.advance(numbers.len() as u64);
                Ok(())
            }
            None => self.link_in_steps(context, numbers, token),
        }
    }

    fn link_in_steps(&mut self, context: &Context, mut numbers: &[u32], token: &Token) -> Result<()> {
        self.codes.see(context.rows);
        while !numbers.is_empty() {
            (context.go_on)()?;
            let (now, later) = numbers.split_at(step(self.graph.nodes() as usize).min(numbers.len()));
            let mut group = Group::new(context, self.codes.codes(), now)?;
            if let Some(newer) = self.recalibrated(context, now, numbers.len(), &group) {
                self.codes = newer;
                group = Group::new(context, self.codes.codes(), now)?;
            }
            link(context, &mut self.graph, &mut self.codes, group)?;
            token.advance(now.len() as u64);
            numbers = later;
        }
        Ok(())
    }

    /// The index with `more` rows, built anew, where they are so many beside those that are there that it costs less than
    /// linking them; `None` where they are not, or where the memory for it is missing. Counts alone decide.
    fn rebuilt(&self, context: &Context, more: &[u32]) -> Result<Option<Index>> {
        let nodes = self.graph.nodes();
        if more.len() < BULK_FROM || more.len() < nodes as usize / BULK_SHARE {
            return Ok(None);
        }
        let view = self.view();
        let mut numbers: Vec<u32> = (0..nodes).flat_map(|node| view.rows_of(node, u32::MAX)).collect();
        numbers.sort_unstable();
        numbers.extend_from_slice(more);
        Index::built(context, &numbers)
    }

    /// The index of `numbers`, which ascend, built at once; `None` where the memory for it is missing.
    fn built(context: &Context, numbers: &[u32]) -> Result<Option<Index>> {
        let config = context.config;
        let mut fresh = Index::new(context, numbers);
        let rows = numbers.last().map_or(0, |&last| last as usize + 1);
        // Levels are a function of the rows, so what was reserved for linking has the right sizes here too.
        let made = fresh
            .reserve(config.m, config.seed, 0, rows)
            .and_then(|()| bulk::build(context, &mut fresh.graph, &mut fresh.codes, numbers))
            .and_then(|()| quality::improve(context, &mut fresh.graph, &mut fresh.codes));
        match made {
            Ok(quality) => Ok(Some(Index { quality, ..fresh })),
            Err(error) if error.code == Code::Memory => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The codes under a new calibration, where the rows of `batch` ask for one and the memory is there, with room for
    /// the `more` rows that this write still links.
    fn recalibrated(&mut self, context: &Context, batch: &[u32], more: usize, group: &Group) -> Option<CodesWriter> {
        let view = self.view();
        let heads = || (0..view.nodes()).filter_map(|node| view.rows_of(node, u32::MAX).next()).collect::<Vec<u32>>();
        let all = || heads().into_iter().chain(batch.iter().copied()).collect();
        let outgrown = self.codes.outgrown(context.rows, all, group.moments(), context.config.seed);
        let Some(mut newer) = outgrown else {
            self.codes.confirm();
            return None;
        };
        newer.reserve(view.nodes() as usize + more).ok()?;
        for some in heads().chunks(4096) {
            let block = Block::encode(newer.codes(), context.rows, some, context.workers).ok()?;
            for ((i, moments), &row) in block.moments.iter().enumerate().zip(some) {
                newer.push_code(row, block.code(i), moments).ok()?;
            }
        }
        Some(newer)
    }

    /// What searches may read from now on.
    pub fn view(&self) -> Arc<GraphView> {
        let (graph, codes) = (self.graph.graph(), self.codes.codes().clone());
        Arc::new(GraphView { graph, codes, slots: self.graph.slots(), quality: self.quality })
    }
}

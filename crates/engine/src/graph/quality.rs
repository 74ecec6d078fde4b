//! How well a graph is walked that was built at once: measured on a sample of its nodes, and what follows from it.
//!
//! ```text
//! sample    nodes drawn with the seed, and the nearest of each among all, by comparing all
//! blurred   so many of them lie nearer together than codes can tell: walks read the rows' own floats, and links are
//!           chosen anew by these, from what a search finds
//! found     the share of their ten nearest that a search finds; where it is low, how much wider it would have to be
//! ```
//! Everything is counted or compared by exact keys, so what follows is the same for any number of threads and on any
//! instruction set.

use crate::codes::{CodesWriter, QueryCode, doubt};
use crate::error::Result;
use crate::exact;
use crate::graph::batch::Context;
use crate::graph::bulk::{Apart, Reach, connect};
use crate::graph::search::{Candidate, Walk, search};
use crate::graph::{GraphView, GraphWriter};
use crate::options::{Metric, Quantization};
use crate::spares::Spares;

/// Nodes in a sample.
const SAMPLE: u64 = 64;
/// Nearest that searches must find.
const WANTED: usize = 10;
/// Nearest known of each. Where codes cannot tell so many apart, a walk that holds as many is lost among them.
const KNOWN: usize = 64;
/// Candidates that the measured searches hold: what searches hold by default.
pub(crate) const EF: usize = 64;
/// Shares of the sample: blurred from which on codes will not do, and found below which a graph falls short.
const BLURRED: f64 = 0.05;
const FOUND: f64 = 0.9;
/// Times that links are chosen anew, at most, while each time finds so much more.
const PASSES: usize = 4;
const MORE: f64 = 0.01;
/// Times as many candidates as the default that are tried, at most.
const WIDEST: u32 = 16;
/// Parts that rows are compared in, at most.
const PARTS: usize = 64;

/// What was measured of a graph when it was built.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Quality {
    /// Share of their ten nearest that searches of a sample found, in thousandths.
    pub found: u32,
    /// So many times as many candidates find nine in ten; twice [`WIDEST`] where none of those tried does.
    pub width: u32,
    /// Whether codes could not tell rows apart, and walks read floats instead.
    pub blurred: bool,
}

impl Quality {
    /// Of a graph that was not measured: nothing speaks against it.
    pub const GOOD: Quality = Quality { found: 1000, width: 1, blurred: false };

    /// What the user should know.
    pub fn notices(self) -> impl Iterator<Item = String> {
        let blurred = "codes cannot tell rows apart that lie so near each other: searches read the rows' own floats, as \
                       with quantization none";
        self.blurred.then(|| blurred.to_string()).into_iter().chain(self.shortfall())
    }

    fn shortfall(self) -> Option<String> {
        let needs = match self.width {
            1 => return None,
            width if width > WIDEST => format!("not even {} finds 9 of 10", EF as u32 * WIDEST),
            width => format!("{} finds 9 of 10", EF as u32 * width),
        };
        let found = f64::from(self.found) / 1000.0;
        Some(format!(
            "the rows have so little structure that searches at efSearch {EF} find {found:.2} of the ten nearest of a \
             sample, where {needs}: raise efSearch, or ask for exact"
        ))
    }
}

/// The nearest known of a node: keys and nodes, nearest first.
type Nearest = Vec<(f32, u32)>;

/// Nodes, and what is near them.
struct Sample {
    /// Of each node the row that stands for it.
    rows: Vec<u32>,
    nodes: Vec<u32>,
    /// Their vectors as queries.
    queries: Vec<Vec<f32>>,
    nearest: Vec<Nearest>,
}

impl Sample {
    /// `None` where there are so few nodes that a search sees most of them.
    fn of(context: &Context, view: &GraphView) -> Option<Sample> {
        let count = view.nodes();
        if (count as usize) < 4 * KNOWN {
            return None;
        }
        let rows: Vec<u32> = (0..count).filter_map(|node| view.rows_of(node, u32::MAX).next()).collect();
        let draw = |i: u64| (crate::codes::mix(context.config.seed ^ i) % u64::from(count)) as u32;
        let nodes: Vec<u32> = (0..SAMPLE).map(draw).collect();
        let query = |&node: &u32| {
            let mut query = Vec::new();
            exact::normalise(context.config.metric, context.rows.vector(rows[node as usize]), &mut query);
            query
        };
        let queries: Vec<Vec<f32>> = nodes.iter().map(query).collect();
        let nearest = scan(context, &rows, &queries);
        Some(Sample { rows, nodes, queries, nearest })
    }

    /// Share of the sample whose nearest codes with this step cannot tell apart.
    fn blurred(&self, context: &Context, step: f64) -> f64 {
        let reach = doubt(step);
        let blurred = self.nearest.iter().filter(|nearest| {
            let [near, far] = [nearest[0].1, nearest[nearest.len() - 1].1].map(|node| self.rows[node as usize]);
            apart(context, near, far) <= reach
        });
        blurred.count() as f64 / self.nearest.len() as f64
    }

    /// Share of the nearest that searches find which hold `ef` candidates.
    fn found(&self, context: &Context, view: &GraphView, ef: usize) -> f64 {
        let mut found = vec![0_usize; self.nodes.len()];
        let state = || (Walk::default(), QueryCode::default());
        context.workers.for_each_chunk(&mut found, 4, state, |(walk, code), first, piece| {
            for (i, found) in piece.iter_mut().enumerate() {
                let (query, nearest) = (&self.queries[first + i], &self.nearest[first + i]);
                view.codes.prepare(query, code);
                search(view, &view.codes.query_scorer(code), ef, None, walk);
                // Of nodes that are equally far, any will do.
                let limit = nearest[WANTED - 1].0;
                let near = walk.pool.sorted().iter().map(|candidate| self.rows[candidate.slot() as usize]);
                *found = near.filter(|&row| key(context, query, row) <= limit).count().min(WANTED);
            }
        });
        found.iter().sum::<usize>() as f64 / (WANTED * found.len()) as f64
    }
}

/// What a row is ordered by for a query.
fn key(context: &Context, query: &[f32], row: u32) -> f32 {
    let vector = context.rows.vector(row);
    let raw = match context.config.metric {
        Metric::L2 => context.kernels.l2_squared_f32(query, vector),
        _ => context.kernels.dot_f32(query, vector),
    };
    exact::key(context.config.metric, raw, context.rows.inverse_norm(row))
}

/// How far two rows are apart, of length one for cosine.
fn apart(context: &Context, a: u32, b: u32) -> f64 {
    let [a, b] = [a, b].map(|row| (context.rows.vector(row), f64::from(context.rows.inverse_norm(row))));
    let squares = a.0.iter().zip(b.0).map(|(&x, &y)| (f64::from(x) * a.1 - f64::from(y) * b.1).powi(2));
    squares.sum::<f64>().sqrt()
}

/// The [`KNOWN`] nearest nodes of each query, by comparing all.
fn scan(context: &Context, rows: &[u32], queries: &[Vec<f32>]) -> Vec<Nearest> {
    let len = rows.len().div_ceil(PARTS);
    let mut parts: Vec<Vec<Nearest>> = vec![vec![Vec::new(); queries.len()]; rows.len().div_ceil(len)];
    context.workers.for_each_chunk(
        &mut parts,
        1,
        || (),
        |(), part, lists| {
            let first = part * len;
            for (i, four) in rows[first..(first + len).min(rows.len())].chunks(4).enumerate() {
                let row = |j: usize| four[j.min(four.len() - 1)];
                let vectors = [0, 1, 2, 3].map(|j| context.rows.vector(row(j)));
                for (query, list) in queries.iter().zip(&mut lists[0]) {
                    let raw = match context.config.metric {
                        Metric::L2 => context.kernels.l2_squared_f32_x4(query, vectors),
                        _ => context.kernels.dot_f32_x4(query, vectors),
                    };
                    for (j, &raw) in raw.iter().enumerate().take(four.len()) {
                        let key = exact::key(context.config.metric, raw, context.rows.inverse_norm(row(j)));
                        offer(list, (key, (first + 4 * i + j) as u32));
                    }
                }
            }
        },
    );
    let mut nearest = vec![Vec::new(); queries.len()];
    for lists in parts {
        for (nearest, list) in nearest.iter_mut().zip(lists) {
            list.into_iter().for_each(|entry| offer(nearest, entry));
        }
    }
    nearest
}

/// Puts an entry in its place, if it is among the nearest.
fn offer(nearest: &mut Nearest, entry: (f32, u32)) {
    let after = |other: &(f32, u32)| other.0.total_cmp(&entry.0).then(other.1.cmp(&entry.1)).is_lt();
    if nearest.len() == KNOWN && nearest.last().is_some_and(after) {
        return;
    }
    nearest.truncate(KNOWN - 1);
    nearest.insert(nearest.partition_point(after), entry);
}

/// Looks at a graph that was just built, and does what can be done for it. Says what the graph and its codes are then.
pub(crate) fn improve(context: &Context, graph: &mut GraphWriter, codes: &mut CodesWriter) -> Result<Quality> {
    let view = |graph: &GraphWriter, codes: &CodesWriter| GraphView {
        graph: graph.graph(),
        codes: codes.codes().clone(),
        slots: graph.slots(),
        quality: Quality::GOOD,
    };
    let mut now = view(graph, codes);
    let Some(sample) = Sample::of(context, &now) else { return Ok(Quality::GOOD) };
    let scale = codes.codes().scale();
    let blurred = sample.blurred(context, scale * now.codes.quantization().step()) > BLURRED;
    if blurred {
        let exact = codes.by_floats(&sample.rows, context.rows)?;
        *codes = exact;
        now = view(graph, codes);
    }
    let mut found = sample.found(context, &now, EF);
    // Links were chosen by codes of 8 bits, whatever is walked.
    if now.codes.has_floats() && sample.blurred(context, scale * Quantization::Sq8.step()) > BLURRED {
        for _ in 0..PASSES {
            (context.go_on)()?;
            relink(context, &now)?;
            let more = sample.found(context, &now, EF);
            let enough = more < found + MORE;
            found = more;
            if enough {
                break;
            }
        }
    }
    let mut width = 1;
    let mut wider = found;
    while wider < FOUND && width <= WIDEST {
        width *= 2;
        wider = if width <= WIDEST { sample.found(context, &now, EF * width as usize) } else { 0.0 };
    }
    Ok(Quality { found: (found * 1000.0) as u32, width, blurred })
}

/// Chooses the links of every layer anew, each slot's from what a search for it finds.
fn relink(context: &Context, view: &GraphView) -> Result<()> {
    let walks: Spares<Walk> = Spares::default();
    for layer in (0..view.height()).rev() {
        let (links, slots) = (&view.graph.layers[layer], view.slots[layer]);
        let find = |slot: usize, reach: Reach, found: &mut Vec<Candidate>| {
            // A search has looked as far as it goes.
            if reach != Reach::Near {
                return;
            }
            let mut walk = walks.lend();
            let scorer = view.codes.scorer(links.node(slot as u32));
            let mut entry = 0;
            for above in (layer + 1..view.height()).rev() {
                let links = &view.graph.layers[above];
                entry = links.down(walk.descend(links, view.slots[above], &scorer, entry));
            }
            walk.search_layer(links, slots, &scorer, entry, context.config.ef_construction + 1, None);
            let near = walk.pool.sorted().iter().filter(|candidate| candidate.slot() != slot as u32);
            found.clear();
            found.extend(near.map(|candidate| Candidate::new(candidate.distance(), candidate.slot())));
        };
        connect(context, Nodes { view, layer }, links, find)?;
    }
    Ok(())
}

/// Slots of a layer, compared by what stands for their nodes.
#[derive(Clone, Copy)]
struct Nodes<'a> {
    view: &'a GraphView,
    layer: usize,
}

impl Nodes<'_> {
    fn node(&self, slot: u32) -> u32 {
        self.view.graph.layers[self.layer].node(slot)
    }
}

impl Apart for Nodes<'_> {
    fn count(self) -> usize {
        self.view.slots[self.layer] as usize
    }

    fn prefetch(self, slot: u32) {
        self.view.codes.prefetch(self.node(slot));
    }

    fn distances(self, slot: usize, others: &[u32; 4]) -> [f32; 4] {
        let mut distances = [0.0; 4];
        let others = others.map(|other| self.node(other));
        crate::codes::Scorer::score(&self.view.codes.scorer(self.node(slot as u32)), &others, &mut distances);
        distances
    }
}

//! Links a batch of rows, in two steps that searches run beside:
//!
//! ```text
//! find   each row's nearest nodes, on the graph as it was (parallel, reads only)
//! apply  number the new nodes; add their nearest among each other; choose links (parallel); write them;
//!        group the links back by target, and prune each target that overflows once (parallel)
//! ```
//! Each parallel step writes what depends on its own item alone, and the rest is in order: the graph is the same
//! whatever the number of threads. The idea is ParlayANN's (2024).

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use auspex_kernel::Kernels;
use xxhash_rust::xxh3::xxh3_64;

use crate::codes::{Codes, CodesWriter, Encoded, Moments, squared};
use crate::error::Result;
use crate::graph::layer::PROTECTED;
use crate::graph::search::{Candidate, Walk};
use crate::graph::select::{add_links, select_neighbors};
use crate::graph::{GraphView, GraphWriter, LAYERS, level};
use crate::options::Config;
use crate::rows::Rows;
use crate::workers::Workers;

/// Rows that are linked in one step, at most: more share less of each other's neighborhood, fewer share the threads.
const LARGEST_STEP: usize = 2048;
const SMALLEST_STEP: usize = 256;

/// Nearest candidates among which links are chosen, for each link: farther ones are seldom taken.
const CANDIDATES: usize = 4;

/// What linking works with.
pub(crate) struct Context<'a> {
    pub config: &'a Config,
    pub rows: &'a Rows,
    pub kernels: &'static Kernels,
    pub workers: Workers,
}

/// How many of the next rows to link in one step beside `nodes` nodes: never many more than there are to find.
pub(crate) fn step(nodes: usize) -> usize {
    nodes.clamp(SMALLEST_STEP, LARGEST_STEP)
}

/// A row that may become a node.
struct Newcomer {
    row: u32,
    level: usize,
    encoded: Encoded,
    /// A node whose vector is the same, byte for byte.
    same: Option<u32>,
    /// Nearest slots found, by layer.
    found: Vec<Vec<Candidate>>,
    /// Own slot, by layer.
    slots: Vec<u32>,
    /// Links chosen, by layer.
    chosen: Vec<Vec<Candidate>>,
}

/// The codes of `numbers`, and of equal vectors only the first: the others name its place in the list.
pub(crate) struct Group {
    newcomers: Vec<Newcomer>,
    /// Index of each row's newcomer.
    members: Vec<(u32, usize)>,
}

impl Group {
    /// Encodes `numbers`, which ascend.
    pub fn new(context: &Context, codes: &Codes, numbers: &[u32]) -> Group {
        let mut first: HashMap<u64, Vec<usize>> = HashMap::with_capacity(numbers.len());
        let mut members = Vec::with_capacity(numbers.len());
        let mut rows: Vec<u32> = Vec::with_capacity(numbers.len());
        for &row in numbers {
            let vector = context.rows.vector(row);
            let known = first.entry(hash(vector)).or_default();
            let at = known.iter().copied().find(|&i| same(context.rows.vector(rows[i]), vector)).unwrap_or_else(|| {
                known.push(rows.len());
                rows.push(row);
                rows.len() - 1
            });
            members.push((row, at));
        }
        let encoded = codes.encode_all(context.rows, &rows, context.workers);
        let newcomers = rows
            .into_iter()
            .zip(encoded)
            .map(|(row, encoded)| {
                let level = level(row, context.config.m, context.config.seed);
                let (found, chosen) = (vec![Vec::new(); level + 1], vec![Vec::new(); level + 1]);
                Newcomer { row, level, encoded, same: None, found, slots: Vec::new(), chosen }
            })
            .collect();
        Group { newcomers, members }
    }

    /// The codes, for a look at how well the calibration holds them.
    pub fn encoded(&self) -> impl Iterator<Item = &Encoded> + Clone {
        self.newcomers.iter().map(|newcomer| &newcomer.encoded)
    }
}

/// Of a vector's bytes.
pub(super) fn hash(vector: &[f32]) -> u64 {
    // Through the bits, in a buffer on the stack: equal bytes, equal hash.
    let mut state = 0;
    let mut bytes = [0_u8; 256];
    for chunk in vector.chunks(64) {
        for (place, x) in bytes.chunks_exact_mut(4).zip(chunk) {
            place.copy_from_slice(&x.to_le_bytes());
        }
        state = xxh3_64(&bytes[..chunk.len() * 4]) ^ crate::codes::mix(state);
    }
    state
}

/// Whether two vectors have the same bytes.
pub(super) fn same(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits())
}

/// Links the group's rows into the graph. Memory for them must have been reserved.
pub(crate) fn link(
    context: &Context,
    graph: &mut GraphWriter,
    codes: &mut CodesWriter,
    mut group: Group,
) -> Result<()> {
    let Some(&(last, _)) = group.members.last() else {
        return Ok(());
    };
    graph.cover(last + 1)?;
    let frozen = GraphView { graph: graph.graph(), codes: codes.codes().clone(), slots: graph.slots() };
    find(context, &frozen, &mut group.newcomers);

    let first = frozen.slots;
    let mut nodes = Vec::with_capacity(group.newcomers.len());
    for newcomer in &mut group.newcomers {
        nodes.push(match newcomer.same {
            Some(node) => node,
            None => number(graph, codes, newcomer)?,
        });
    }
    for &(row, at) in &group.members {
        if row != group.newcomers[at].row || group.newcomers[at].same.is_some() {
            graph.chain(nodes[at], row);
        }
    }
    let mut fresh: Vec<Newcomer> = group.newcomers.into_iter().filter(|newcomer| newcomer.same.is_none()).collect();
    if fresh.is_empty() {
        return Ok(());
    }
    let grown = GraphView { graph: graph.graph(), codes: codes.codes().clone(), slots: graph.slots() };
    for (layer, &first) in first.iter().enumerate().filter(|&(layer, &first)| grown.slots[layer] > first) {
        choose(context, &grown, layer, &mut fresh);
        apply(context, &grown, layer, first, &fresh);
    }
    Ok(())
}

/// Step one: the nearest slots of each newcomer on each of its layers, and whether its vector is there already.
fn find(context: &Context, frozen: &GraphView, newcomers: &mut [Newcomer]) {
    if frozen.nodes() == 0 {
        return;
    }
    let ef = context.config.ef_construction;
    context.workers.for_each_chunk(newcomers, 8, Walk::default, |walk, _, piece| {
        for newcomer in piece {
            let scorer = frozen.codes.scorer_of(&newcomer.encoded);
            let mut entry = 0;
            for layer in (0..frozen.height()).rev() {
                let (links, slots) = (&frozen.graph.layers[layer], frozen.slots[layer]);
                if layer > newcomer.level {
                    entry = links.down(walk.descend(links, slots, &scorer, entry));
                    continue;
                }
                walk.search_layer(links, slots, &scorer, entry, ef, None);
                newcomer.found[layer].extend(walk.pool.sorted().iter().map(|c| Candidate::new(c.distance(), c.slot())));
                if layer > 0 {
                    entry = links.down(walk.pool.sorted()[0].slot());
                }
            }
            let vector = context.rows.vector(newcomer.row);
            newcomer.same = newcomer.found[0]
                .iter()
                .take_while(|candidate| candidate.distance() == 0.0)
                .map(|candidate| candidate.slot())
                .find(|&node| {
                    frozen.rows_of(node, u32::MAX).next().is_some_and(|row| same(context.rows.vector(row), vector))
                });
        }
    });
}

/// Gives a newcomer its node, and a slot on each of its layers.
fn number(graph: &mut GraphWriter, codes: &mut CodesWriter, newcomer: &mut Newcomer) -> Result<u32> {
    let node = graph.push_node(newcomer.row)?;
    codes.push(&newcomer.encoded)?;
    let mut down = node;
    for layer in graph.layers.iter_mut().take(newcomer.level + 1) {
        down = layer.push(node, down)?;
        newcomer.slots.push(down);
    }
    Ok(node)
}

/// The links of each newcomer on one layer: from what it found, and from the newcomers nearest to it.
fn choose(context: &Context, grown: &GraphView, layer: usize, fresh: &mut [Newcomer]) {
    let links = &grown.graph.layers[layer];
    let stride = grown.codes.stride();
    let members: Vec<&Newcomer> = fresh.iter().filter(|newcomer| newcomer.level >= layer).collect();
    let mut block = Vec::with_capacity(members.len() * stride);
    for member in &members {
        block.extend_from_slice(&member.encoded.code);
    }
    let facts = |member: &&Newcomer| (member.slots[layer], member.encoded.moments);
    let facts: Vec<(u32, Moments)> = members.iter().map(facts).collect();
    let near = links.capacity();
    context.workers.for_each_chunk(
        fresh,
        16,
        || (vec![0_u32; facts.len()], Vec::new()),
        |(dots, nearest): &mut (Vec<u32>, Vec<Candidate>), _, piece| {
            for newcomer in piece.iter_mut().filter(|newcomer| newcomer.level >= layer) {
                let own = newcomer.slots[layer];
                context.kernels.dot_centered_u8_many(&newcomer.encoded.code, &block, stride, dots);
                nearest.clear();
                let mut limit = Candidate::new(f32::INFINITY, 0);
                let mine = newcomer.encoded.moments;
                for (&(slot, other), &dot) in facts.iter().zip(dots.iter()) {
                    let sums = [dot, other.squares, other.sum];
                    let distance = squared(mine.squares, sums, (mine.extra, other.extra));
                    let candidate = Candidate::new(distance, slot);
                    if candidate < limit && slot != own {
                        nearest.push(candidate);
                        if nearest.len() == 2 * near {
                            nearest.select_nth_unstable(near);
                            nearest.truncate(near);
                            limit = nearest.iter().copied().max().unwrap_or(limit);
                        }
                    }
                }
                nearest.sort_unstable();
                nearest.truncate(near);
                let found = &mut newcomer.found[layer];
                found.extend_from_slice(nearest);
                found.sort_unstable();
                let found = &found[..found.len().min(CANDIDATES * context.config.m)];
                select_neighbors(&grown.codes, links, found, context.config.m, |_| false, &mut newcomer.chosen[layer]);
            }
        },
    );
}

/// Writes the newcomers' links on one layer, and the links back to them.
fn apply(context: &Context, grown: &GraphView, layer: usize, first: u32, fresh: &[Newcomer]) {
    let links = &grown.graph.layers[layer];
    let mut parents = Parents { links, first, adopted: HashMap::new() };
    // Target, source with its mark, distance.
    let mut back: Vec<(u32, u32, f32)> = Vec::new();
    let mut own = Vec::new();
    for newcomer in fresh.iter().filter(|newcomer| newcomer.level >= layer) {
        let slot = newcomer.slots[layer];
        let parent = parents.adopt(slot, &newcomer.chosen[layer], &newcomer.found[layer]);
        own.clear();
        own.extend(newcomer.chosen[layer].iter().map(|candidate| candidate.slot()));
        for candidate in newcomer.chosen[layer].iter().filter(|candidate| Some(candidate.slot()) != parent) {
            back.push((candidate.slot(), slot, candidate.distance()));
        }
        if let Some(parent) = parent {
            match own.iter_mut().find(|link| **link == parent) {
                Some(link) => *link |= PROTECTED,
                None => {
                    own.truncate(links.capacity() - 1);
                    own.push(parent | PROTECTED);
                }
            }
            back.push((parent, slot | PROTECTED, grown.codes.distance(links.node(parent), links.node(slot))));
        }
        links.set_links(slot, &own);
    }
    back.sort_unstable_by_key(|&(target, source, _)| (target, source & !PROTECTED));
    let mut groups: Vec<&[(u32, u32, f32)]> = back.chunk_by(|a, b| a.0 == b.0).collect();
    context.workers.for_each_chunk(
        &mut groups,
        16,
        || (Vec::new(), Vec::new()),
        |(newcomers, list), _, piece| {
            for group in piece.iter() {
                newcomers.clear();
                newcomers.extend(group.iter().map(|&(_, source, distance)| (source, distance)));
                if add_links(&grown.codes, links, group[0].0, newcomers, list) {
                    links.set_links(group[0].0, list);
                }
            }
        },
    );
}

/// Finds each slot its parent: the nearest earlier slot that can protect one more link.
struct Parents<'a> {
    links: &'a crate::graph::layer::Layer,
    first: u32,
    adopted: HashMap<u32, usize>,
}

impl Parents<'_> {
    fn adopt(&mut self, slot: u32, chosen: &[Candidate], found: &[Candidate]) -> Option<u32> {
        let before = slot.checked_sub(1)?;
        let near = chosen.iter().chain(found).map(|candidate| candidate.slot());
        // The slot just before has no children yet, so it always has room.
        let parent = near.filter(|&other| other < slot).find(|&other| self.has_room(other)).unwrap_or(before);
        *self.adopted.entry(parent).or_default() += 1;
        Some(parent)
    }

    /// Protected links may fill half of a list: the rest is for the diversity rule.
    fn has_room(&self, slot: u32) -> bool {
        let there = if slot < self.first {
            self.links.marked_links(slot).filter(|link| link & PROTECTED != 0).count()
        } else {
            usize::from(slot > 0)
        };
        let adopted = self.adopted.get(&slot).copied().unwrap_or(0);
        there + adopted < (self.links.capacity() / 2).max(2)
    }
}

/// One number that tells whether two graphs are the same, word for word.
pub(crate) fn fingerprint(view: &GraphView) -> u64 {
    let mut state = 0;
    let mut take = |word: u32| state = crate::codes::mix(state ^ u64::from(word));
    for layer in 0..LAYERS {
        take(view.slots[layer]);
        for slot in 0..view.slots[layer] {
            view.graph.layers[layer].marked_links(slot).for_each(&mut take);
            take(view.graph.layers[layer].node(slot));
        }
    }
    for node in 0..view.nodes() {
        take(view.graph.heads.get(node as usize)[0].load(Ordering::Relaxed));
        view.rows_of(node, u32::MAX).for_each(&mut take);
    }
    state
}

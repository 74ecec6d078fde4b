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

use auspex_kernel::Kernels;
use xxhash_rust::xxh3::xxh3_64;

use crate::codes::{Codes, CodesWriter, Moments, same};
use crate::error::Result;
use crate::graph::bulk::{Pairs, further};
use crate::graph::layer::PROTECTED;
use crate::graph::partition::{Block, in_order, partition};
use crate::graph::quality::Quality;
use crate::graph::search::{Candidate, Walk};
use crate::graph::select::{Lists, select_neighbors};
use crate::graph::{GraphView, GraphWriter, LAYERS, level};
use crate::options::Config;
use crate::rows::Rows;
use crate::spares::Spares;
use crate::workers::Workers;

/// Rows that are linked in one step, at most: more share less of each other's neighborhood, fewer share the threads.
const LARGEST_STEP: usize = 8192;
const SMALLEST_STEP: usize = 256;

/// Newcomers that a thread takes at a time: a batch of a hundred is shared evenly, and a single row wakes no thread.
const PIECE: usize = 8;

/// Nearest candidates among which links are chosen, for each link: farther ones are seldom taken.
const CANDIDATES: usize = 4;

/// Nearest rows of the step that a row keeps of each of its leaves: there may be none near it in the graph.
const NEAREST: usize = 16;

/// What linking works with.
pub(crate) struct Context<'a> {
    pub config: &'a Config,
    pub rows: &'a Rows,
    pub kernels: &'static Kernels,
    pub workers: Workers,
    /// Asked between steps; its error ends the work, of which nothing is left then.
    pub go_on: &'a (dyn Fn() -> Result<()> + Sync),
}

/// How many of the next rows to link in one step beside `nodes` nodes: never many more than there are to find.
pub(crate) fn step(nodes: usize) -> usize {
    nodes.clamp(SMALLEST_STEP, LARGEST_STEP)
}

/// A row that may become a node.
struct Newcomer {
    row: u32,
    level: usize,
    /// A node whose vector is the same, byte for byte.
    same: Option<u32>,
    /// Nearest slots found, by layer.
    found: Vec<Vec<Candidate>>,
    /// Own slot, by layer.
    slots: Vec<u32>,
    /// Links chosen, by layer.
    chosen: Vec<Vec<Candidate>>,
}

/// Rows to be linked in one step, near ones one behind the other: their walks meet the same nodes, and so they become
/// nodes that lie together. Of equal vectors only the first has a code; the others name its place.
pub(crate) struct Group {
    block: Block,
    newcomers: Vec<Newcomer>,
    /// Index of each row's newcomer.
    members: Vec<(u32, u32)>,
}

impl Group {
    /// Encodes `numbers`, which ascend.
    pub fn new(context: &Context, codes: &Codes, numbers: &[u32]) -> Result<Group> {
        let mut first: HashMap<u64, Vec<u32>> = HashMap::with_capacity(numbers.len());
        let mut members = Vec::with_capacity(numbers.len());
        let mut rows: Vec<u32> = Vec::with_capacity(numbers.len());
        for &row in numbers {
            let vector = context.rows.vector(row);
            let known = first.entry(hash(vector)).or_default();
            let is_same = |&i: &u32| same(context.rows.vector(rows[i as usize]), vector);
            let at = known.iter().copied().find(is_same).unwrap_or_else(|| {
                known.push(rows.len() as u32);
                rows.push(row);
                rows.len() as u32 - 1
            });
            members.push((row, at));
        }
        let arrived = Block::encode(codes, context.rows, &rows, context.workers)?;
        let order = in_order(&arrived, context.kernels, context.workers, context.config.seed);
        let block = arrived.gather(&order, context.workers)?;
        let mut places = vec![0; order.len()];
        for (place, &i) in order.iter().enumerate() {
            places[i as usize] = place as u32;
        }
        members.iter_mut().for_each(|(_, at)| *at = places[*at as usize]);
        let newcomer = |&i: &u32| {
            let row = rows[i as usize];
            let level = level(row, context.config.m, context.config.seed);
            let (found, chosen) = (vec![Vec::new(); level + 1], vec![Vec::new(); level + 1]);
            Newcomer { row, level, same: None, found, slots: Vec::new(), chosen }
        };
        Ok(Group { block, newcomers: order.iter().map(newcomer).collect(), members })
    }

    /// What is known of the codes, for a look at how well the calibration holds them.
    pub fn moments(&self) -> &[Moments] {
        &self.block.moments
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
    let frozen =
        GraphView { graph: graph.graph(), codes: codes.codes().clone(), slots: graph.slots(), quality: Quality::GOOD };
    find(context, &frozen, &graph.walks, &group.block, &mut group.newcomers);

    let first = frozen.slots;
    let mut nodes = Vec::with_capacity(group.newcomers.len());
    let mut fresh: Vec<u32> = Vec::with_capacity(group.newcomers.len());
    for (i, newcomer) in group.newcomers.iter_mut().enumerate() {
        nodes.push(match newcomer.same {
            Some(node) => node,
            None => {
                fresh.push(i as u32);
                let node = graph.push_node(newcomer.row)?;
                codes.push_code(newcomer.row, group.block.code(i), &group.block.moments[i])?;
                let mut down = node;
                for layer in graph.layers.iter_mut().take(newcomer.level + 1) {
                    down = layer.push(node, down)?;
                    newcomer.slots.push(down);
                }
                node
            }
        });
    }
    for &(row, at) in &group.members {
        let newcomer = &group.newcomers[at as usize];
        if row != newcomer.row || newcomer.same.is_some() {
            graph.chain(nodes[at as usize], row);
        }
    }
    if fresh.len() < group.newcomers.len() {
        group.block = group.block.gather(&fresh, context.workers)?;
        group.newcomers.retain(|newcomer| newcomer.same.is_none());
    }
    let grown =
        GraphView { graph: graph.graph(), codes: codes.codes().clone(), slots: graph.slots(), quality: Quality::GOOD };
    for (layer, &first) in first.iter().enumerate().filter(|&(layer, &first)| grown.slots[layer] > first) {
        choose(context, &grown, layer, &group.block, &mut group.newcomers)?;
        apply(context, &grown, layer, first, &group.newcomers);
    }
    Ok(())
}

/// Step one: the nearest slots of each newcomer on each of its layers, and whether its vector is there already.
fn find(context: &Context, frozen: &GraphView, walks: &Spares<Walk>, block: &Block, newcomers: &mut [Newcomer]) {
    if frozen.nodes() == 0 {
        return;
    }
    let ef = context.config.ef_construction;
    context.workers.for_each_chunk(
        newcomers,
        PIECE,
        || walks.lend(),
        |walk, first, piece| {
            for (i, newcomer) in piece.iter_mut().enumerate() {
                let scorer = frozen.codes.scorer_of(newcomer.row, block.code(first + i), &block.moments[first + i]);
                let mut entry = 0;
                for layer in (0..frozen.height()).rev() {
                    let (links, slots) = (&frozen.graph.layers[layer], frozen.slots[layer]);
                    if layer > newcomer.level {
                        entry = links.down(walk.descend(links, slots, &scorer, entry));
                        continue;
                    }
                    walk.search_layer(links, slots, &scorer, entry, ef, None);
                    newcomer.found[layer]
                        .extend(walk.pool.sorted().iter().map(|c| Candidate::new(c.distance(), c.slot())));
                    if layer > 0 {
                        entry = links.down(walk.pool.sorted()[0].slot());
                    }
                }
                let vector = context.rows.vector(newcomer.row);
                newcomer.same = newcomer.found[0]
                    .iter()
                    .take_while(|candidate| candidate.distance() <= frozen.codes.alike())
                    .map(|candidate| candidate.slot())
                    .find(|&node| {
                        frozen.rows_of(node, u32::MAX).next().is_some_and(|row| same(context.rows.vector(row), vector))
                    });
            }
        },
    );
}

/// The links of each newcomer on one layer: from what it found, and from the newcomers nearest to it.
fn choose(context: &Context, grown: &GraphView, layer: usize, block: &Block, newcomers: &mut [Newcomer]) -> Result<()> {
    let links = &grown.graph.layers[layer];
    let reaches = |newcomer: &Newcomer| newcomer.level >= layer;
    let members: Vec<u32> = (0..).zip(newcomers.iter()).filter(|(_, n)| reaches(n)).map(|(i, _)| i).collect();
    let slots: Vec<u32> = members.iter().map(|&i| newcomers[i as usize].slots[layer]).collect();
    let upper;
    let block = if layer == 0 {
        block
    } else {
        upper = block.gather(&members, context.workers)?;
        &upper
    };
    let seed = context.config.seed.wrapping_add(u64::from(slots[0]));
    let leaves = partition(block, context.kernels, context.workers, seed);
    let pairs = Pairs::compare(block, context, &leaves, NEAREST)?;
    context.workers.for_each_chunk(newcomers, PIECE, Vec::new, |near: &mut Vec<Candidate>, first, piece| {
        for (i, newcomer) in piece.iter_mut().enumerate().filter(|(_, newcomer)| reaches(newcomer)) {
            let Ok(place) = members.binary_search(&((first + i) as u32)) else { continue };
            let (found, chosen) = (&mut newcomer.found[layer], &mut newcomer.chosen[layer]);
            let mut select = |near: &[Candidate], most: usize| {
                found.extend(near.iter().map(|c| Candidate::new(c.distance(), slots[c.slot() as usize])));
                found.sort_unstable();
                found.dedup_by_key(|candidate| candidate.slot());
                let found = &found[..found.len().min(most)];
                select_neighbors(&grown.codes, links, found, links.capacity() - 1, |_| false, chosen);
                chosen.len()
            };
            pairs.of(place, near);
            if let Some(reach) = further(context, select(near, CANDIDATES * context.config.m)) {
                pairs.add(context, block, place, reach, near);
                select(near, usize::MAX);
            }
        }
    });
    Ok(())
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
        32,
        || (Vec::new(), Lists::default()),
        |(newcomers, lists), _, piece| {
            let window = links.window();
            for (i, group) in piece.iter().enumerate() {
                // The next target's neighbors, and the links of the one after it, are on their way meanwhile.
                if let Some(after) = piece.get(i + 2) {
                    window.prefetch(after[0].0);
                }
                if let Some(next) = piece.get(i + 1) {
                    let near = window.of(next[0].0).filter(|&slot| slot < grown.slots[layer]);
                    near.for_each(|slot| grown.codes.prefetch(links.node(slot)));
                }
                newcomers.clear();
                newcomers.extend(group.iter().map(|&(_, source, distance)| (source, distance)));
                if lists.add(&grown.codes, links, group[0].0, newcomers) {
                    links.set_links(group[0].0, &lists.links);
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
        view.rows_of(node, u32::MAX).for_each(&mut take);
    }
    state
}

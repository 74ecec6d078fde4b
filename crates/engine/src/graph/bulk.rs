//! Builds a whole graph from a set of rows at once.
//!
//! ```text
//! distinct   equal vectors become one node; encode the others
//! partition  overlapping leaves of near rows; nodes are numbered from leaf to leaf, so that neighbors lie together
//! compare    all pairs inside each leaf: the NEAREST of each row there
//! connect    of a row's nearest in all its leaves choose links; find each slot a parent; add the links back, and prune
//!            lists that overflow once
//! ```
//! and the same for each upper layer, with the nodes whose level reaches it. What is built is a graph like any other:
//! batches are linked into it as if it had been linked row by row.
//!
//! Each parallel step writes what depends on its own item alone: the graph is the same whatever the number of threads.
//! Building from pairs inside of partitions is the idea of PiPNN (2026).

use auspex_kernel::{Columns, Kernels, Nearest, TILE, decoded, prefetch};

use crate::codes::{CodesWriter, same};
use crate::error::Result;
use crate::graph::batch::{Context, hash};
use crate::graph::layer::{Layer, PROTECTED};
use crate::graph::partition::{Block, HOME, Leaves, NO_DOTS, Panels, partition, reserved};
use crate::graph::search::Candidate;
use crate::graph::select::{Neighbors, select};
use crate::graph::{GraphWriter, LAYERS, level};
use crate::options::Metric;

/// Nearest rows that a row keeps of each of its leaves, at least, and with an `m` of 16.
const NEAREST: usize = 10;
/// Nearest rows of all its leaves that a row chooses its links from, likewise.
const CANDIDATES: usize = 40;
/// A row that chose fewer links than this from its nearest looks at all rows of its leaves: its nearest are all in one
/// place, and no link would lead out of it, or in.
const FEW: usize = 6;
/// With `dot`, queries come from far off, and more links must lead far: one that chose fewer than this looks at its home.
const FEW_DOT: usize = 12;
/// An upper layer of so few slots is compared in one piece, and all that it has are candidates: its links must lead from
/// every cluster to every other, and the nearest few would all be of the same.
const WHOLE: usize = 1024;
/// Rows that are asked for before the one that is compared.
const AHEAD: usize = 16;
/// Links that a list which overflows is pruned from, the protected apart.
const OVERFLOW: usize = 128;

/// Links `numbers`, which ascend, into `graph` and `codes`, which are empty. Memory for them must have been reserved;
/// when there is none for the building itself, that is the error.
pub(crate) fn build(
    context: &Context,
    graph: &mut GraphWriter,
    codes: &mut CodesWriter,
    numbers: &[u32],
) -> Result<()> {
    let Some(&last) = numbers.last() else {
        return Ok(());
    };
    let workers = context.workers;
    let (mut rows, repeated) = distinct(context, numbers)?;
    let (block, mut leaves) = {
        let block = Block::encode(codes.codes(), context.rows, &rows, workers)?;
        (context.go_on)()?;
        let leaves = partition(&block, context.kernels, workers, context.config.seed);
        (context.go_on)()?;
        let order: Vec<u32> =
            leaves.members.iter().filter(|&member| member & HOME != 0).map(|member| member & !HOME).collect();
        rows = order.iter().map(|&i| rows[i as usize]).collect();
        let block = block.gather(&order, workers)?;
        (block, renumbered(leaves, &order))
    };
    graph.cover(last + 1)?;
    for (i, &row) in rows.iter().enumerate() {
        graph.push_node(row)?;
        codes.push_code(row, block.code(i), &block.moments[i])?;
    }
    chain(graph, &rows, &repeated);

    let mut members: Vec<u32> = Vec::new();
    for layer in 0..LAYERS {
        let at_least = |node: &u32| level(rows[*node as usize], context.config.m, context.config.seed) >= layer;
        let writer = &mut graph.layers[layer];
        let upper = if layer == 0 {
            (0..rows.len() as u32).try_for_each(|node| writer.push(node, node).map(|_| ()))?;
            None
        } else {
            let mut next = Vec::new();
            for (below, &node) in members.iter().enumerate().filter(|(_, node)| at_least(node)) {
                writer.push(node, if layer == 1 { node } else { below as u32 })?;
                next.push(node);
            }
            members = next;
            if members.is_empty() {
                break;
            }
            let block = block.gather(&members, workers)?;
            if block.len() <= WHOLE {
                let slots = 0..block.len() as u32;
                let find = |slot: usize, reach: Reach, found: &mut Vec<Candidate>| {
                    if reach == Reach::Near {
                        found.clear();
                        nearest(context, &block, slot, slots.clone(), None, found);
                        found.sort_unstable();
                    }
                };
                let rows = Rows { block: &block, kernels: context.kernels };
                connect(context, rows, &graph.layers[layer].reader(), find)?;
                continue;
            }
            let seed = context.config.seed.wrapping_add(layer as u64);
            leaves = partition(&block, context.kernels, workers, seed);
            Some(block)
        };
        let block = upper.as_ref().unwrap_or(&block);
        let pairs = Pairs::compare(block, context, &leaves, for_links(context, NEAREST).min(TILE))?;
        (context.go_on)()?;
        let find = |slot: usize, reach: Reach, found: &mut Vec<Candidate>| match reach {
            Reach::Near => pairs.of(slot, found),
            further => pairs.add(context, block, slot, further, found),
        };
        connect(context, Rows { block, kernels: context.kernels }, &graph.layers[layer].reader(), find)?;
        if layer == 0 {
            members = (0..rows.len() as u32).collect();
        }
    }
    Ok(())
}

/// A row, and the first row whose vector is the same.
type Repeated = (u32, u32);

/// The rows whose vectors are not those of an earlier row, and the others.
fn distinct(context: &Context, numbers: &[u32]) -> Result<(Vec<u32>, Vec<Repeated>)> {
    let mut hashed = reserved(numbers.len(), (0_u64, 0_u32))?;
    context.workers.for_each_chunk(
        &mut hashed,
        1024,
        || (),
        |(), first, piece| {
            for (hashed, &row) in piece.iter_mut().zip(&numbers[first..]) {
                *hashed = (hash(context.rows.vector(row)), row);
            }
        },
    );
    hashed.sort_unstable();
    let mut repeated = Vec::new();
    for equal in hashed.chunk_by(|a, b| a.0 == b.0).filter(|equal| equal.len() > 1) {
        let mut firsts: Vec<u32> = Vec::new();
        for &(_, row) in equal {
            let vector = context.rows.vector(row);
            match firsts.iter().find(|&&first| same(context.rows.vector(first), vector)) {
                Some(&first) => repeated.push((row, first)),
                None => firsts.push(row),
            }
        }
    }
    drop(hashed);
    repeated.sort_unstable();
    let mut later = repeated.iter().map(|&(row, _)| row).peekable();
    let rows = numbers.iter().copied().filter(|row| later.next_if_eq(row).is_none()).collect();
    Ok((rows, repeated))
}

/// Puts the repeated rows, which ascend, into their nodes' chains.
fn chain(graph: &GraphWriter, rows: &[u32], repeated: &[Repeated]) {
    if repeated.is_empty() {
        return;
    }
    let mut nodes: Vec<(u32, u32)> = rows.iter().enumerate().map(|(node, &row)| (row, node as u32)).collect();
    nodes.sort_unstable();
    for &(row, first) in repeated {
        if let Ok(at) = nodes.binary_search_by_key(&first, |&(row, _)| row) {
            graph.chain(nodes[at].1, row);
        }
    }
}

/// The leaves by the places of their rows in `order`.
fn renumbered(mut leaves: Leaves, order: &[u32]) -> Leaves {
    let mut place = vec![0; order.len()];
    for (i, &row) in order.iter().enumerate() {
        place[row as usize] = i as u32;
    }
    for member in &mut leaves.members {
        *member = place[(*member & !HOME) as usize] | (*member & HOME);
    }
    leaves
}

/// How far to look for a slot's candidates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Near,
    Home,
    Leaves,
}

/// Where to look for more candidates when so few links were chosen from the nearest.
pub(super) fn further(context: &Context, chosen: usize) -> Option<Reach> {
    let few = if context.config.metric == Metric::Dot { FEW_DOT } else { FEW };
    (chosen < few).then_some(if chosen < FEW { Reach::Leaves } else { Reach::Home })
}

/// More where a row has more than 32 links to fill.
fn for_links(context: &Context, candidates: usize) -> usize {
    candidates.max(candidates * context.config.m / 16)
}

/// What comparing all pairs in the leaves gave.
pub(super) struct Pairs<'a> {
    leaves: &'a Leaves,
    /// The nearest `kept` keys of each member.
    keys: Vec<u32>,
    kept: usize,
    /// How many of a slot's nearest are candidates.
    most: usize,
    /// Where each slot is a member: its places in the leaves, and which leaves, from `firsts[slot]` on.
    places: Vec<(u32, u32)>,
    firsts: Vec<u32>,
}

#[derive(Default)]
struct Scratch {
    panels: Panels,
    lists: Vec<[Nearest; TILE]>,
}

impl<'a> Pairs<'a> {
    pub fn compare(block: &Block, context: &Context, leaves: &'a Leaves, kept: usize) -> Result<Pairs<'a>> {
        let mut keys = reserved(leaves.members.len() * kept, u32::MAX)?;
        let mut each: Vec<&mut [u32]> = Vec::with_capacity(leaves.count());
        let mut rest = keys.as_mut_slice();
        for leaf in 0..leaves.count() {
            let (own, others) = rest.split_at_mut(leaves.leaf(leaf).len() * kept);
            each.push(own);
            rest = others;
        }
        context.workers.for_each_chunk(&mut each, 1, Scratch::default, |scratch, first, piece| {
            for (i, out) in piece.iter_mut().enumerate() {
                compare_leaf(block, context.kernels, leaves.leaf(first + i), kept, scratch, out);
            }
        });
        let mut firsts = reserved(block.len() + 1, 0_u32)?;
        for &member in &leaves.members {
            firsts[(member & !HOME) as usize] += 1;
        }
        let mut total = 0;
        for first in &mut firsts {
            (*first, total) = (total, total + *first);
        }
        let mut places = reserved(leaves.members.len(), (0, 0))?;
        let mut next = firsts.clone();
        for leaf in 0..leaves.count() {
            for place in leaves.starts[leaf]..leaves.starts[leaf + 1] {
                let slot = (leaves.members[place as usize] & !HOME) as usize;
                places[next[slot] as usize] = (place, leaf as u32);
                next[slot] += 1;
            }
        }
        Ok(Pairs { leaves, keys, kept, most: for_links(context, CANDIDATES), places, firsts })
    }

    /// The nearest rows that a slot met, sorted, each once.
    pub fn of(&self, slot: usize, found: &mut Vec<Candidate>) {
        found.clear();
        for &(place, leaf) in &self.places[self.firsts[slot] as usize..self.firsts[slot + 1] as usize] {
            let members = self.leaves.leaf(leaf as usize);
            let own = (place - self.leaves.starts[leaf as usize]) as usize;
            let near = decoded(&self.keys[place as usize * self.kept..][..self.kept], own);
            found.extend(near.map(|(distance, i)| Candidate::new(distance, members[i] & !HOME)));
        }
        found.sort_unstable();
        found.dedup();
        found.truncate(self.most);
    }

    /// Adds the nearest rows of the slot's home, or of all its leaves: as many as a search would find.
    pub fn add(&self, context: &Context, block: &Block, slot: usize, reach: Reach, found: &mut Vec<Candidate>) {
        let ef = context.config.ef_construction;
        let mut limit = None;
        for &(place, leaf) in &self.places[self.firsts[slot] as usize..self.firsts[slot + 1] as usize] {
            if reach == Reach::Leaves || self.leaves.members[place as usize] & HOME != 0 {
                let others = self.leaves.leaf(leaf as usize).iter().map(|member| member & !HOME);
                // What is further off than so many rows of one leaf is not among the nearest.
                let own = nearest(context, block, slot, others, limit, found);
                limit = limit.or(own);
            }
        }
        found.sort_unstable_by_key(|candidate| (candidate.slot(), *candidate));
        found.dedup_by_key(|candidate| candidate.slot());
        found.sort_unstable();
        found.truncate(ef);
    }
}

/// Adds to `found` those of `others` that are nearer to a slot than `limit`; without one the nearest, as many as a search
/// would find, and gives the farthest of them.
fn nearest(
    context: &Context,
    block: &Block,
    slot: usize,
    others: impl ExactSizeIterator<Item = u32> + Clone,
    limit: Option<Candidate>,
    found: &mut Vec<Candidate>,
) -> Option<Candidate> {
    let before = found.len();
    let mut four = [slot as u32; 4];
    let count = others.len();
    let mut next = others.clone().skip(AHEAD);
    for (i, other) in others.enumerate() {
        if let Some(next) = next.next() {
            prefetch(block.code(next as usize));
        }
        four[i % 4] = other;
        if i % 4 == 3 || i + 1 == count {
            let distances = block.distances(context.kernels, slot, &four);
            let scored = four.iter().zip(distances).take(i % 4 + 1).filter(|&(&other, _)| other != slot as u32);
            let scored = scored.map(|(&other, distance)| Candidate::new(distance, other));
            found.extend(scored.filter(|&candidate| limit.is_none_or(|limit| candidate < limit)));
        }
    }
    let ef = context.config.ef_construction;
    if limit.is_some() || found.len() - before <= ef {
        return None;
    }
    let farthest = *found[before..].select_nth_unstable(ef - 1).1;
    found.truncate(before + ef);
    Some(farthest)
}

/// The nearest of each member of a leaf among the others.
fn compare_leaf(block: &Block, kernels: &Kernels, leaf: &[u32], kept: usize, scratch: &mut Scratch, out: &mut [u32]) {
    let Scratch { panels, lists } = scratch;
    panels.fill(block, leaf.iter().map(|member| member & !HOME));
    lists.clear();
    lists.resize(panels.count(), [Nearest::NONE; TILE]);
    let mut dots = NO_DOTS;
    for a in 0..panels.count() {
        for b in a..panels.count() {
            kernels.tile_dots(panels.panel(a), panels.panel(b), &mut dots);
            let (before, after) = lists.split_at_mut(b.max(a + 1));
            let back = if a == b { Columns::Same } else { Columns::Mutual(&mut after[0]) };
            let (rows, columns) = ((&panels.facts[a], a * TILE), (&panels.facts[b], b * TILE));
            kernels.tile_offer(&dots, kept, rows, &mut before[a], columns, back);
        }
    }
    for (i, out) in out.chunks_exact_mut(kept).enumerate() {
        out.copy_from_slice(&lists[i / TILE][i % TILE].0.0[..kept]);
    }
}

/// Slots of a layer that know how far they are from each other.
pub(super) trait Apart: Copy + Sync {
    /// How many.
    fn count(self) -> usize;
    /// Asks for what is compared of a slot to be brought near.
    fn prefetch(self, slot: u32);
    /// Squared distances of a slot to others.
    fn distances(self, slot: usize, others: &[u32; 4]) -> [f32; 4];
}

/// Chooses the links of all slots of a layer from the candidates that `find` gives, nearest first, and writes them once
/// all are chosen. Where few are chosen, `find` is asked to add what lies further off.
pub(super) fn connect<S: Apart>(
    context: &Context,
    slots: S,
    layer: &Layer,
    find: impl Fn(usize, Reach, &mut Vec<Candidate>) + Sync,
) -> Result<()> {
    (context.go_on)()?;
    let (workers, capacity) = (context.workers, layer.capacity());
    let count = slots.count();
    // A slot's record: how many links it chose, and which.
    let record = capacity + 1;
    let mut forward = reserved(count * record, 0_u32)?;
    workers.for_each_chunk(
        &mut forward,
        64 * record,
        || (Vec::new(), Vec::new()),
        |(found, chosen), first, piece| {
            for (i, record) in piece.chunks_exact_mut(capacity + 1).enumerate() {
                let slot = first / (capacity + 1) + i;
                find(slot, Reach::Near, found);
                select(Slots(slots), found, capacity, |_| false, chosen);
                if let Some(reach) = further(context, chosen.len()) {
                    find(slot, reach, found);
                    select(Slots(slots), found, capacity, |_| false, chosen);
                }
                record[0] = chosen.len() as u32;
                record[1..].iter_mut().zip(chosen.iter()).for_each(|(link, chosen)| *link = chosen.slot());
            }
        },
    );
    (context.go_on)()?;
    adopt(&mut forward, capacity);

    // The links back, by target.
    let links = |slot: usize| {
        let record = &forward[slot * record..][..record];
        &record[1..=record[0] as usize]
    };
    let mut firsts = reserved(count + 1, 0_u32)?;
    for slot in 0..count {
        links(slot).iter().for_each(|link| firsts[(link & !PROTECTED) as usize] += 1);
    }
    let mut total = 0;
    for first in &mut firsts {
        (*first, total) = (total, total + *first);
    }
    let mut sources = reserved(total as usize, 0_u32)?;
    let mut next = firsts.clone();
    for slot in 0..count {
        for link in links(slot) {
            let next = &mut next[(link & !PROTECTED) as usize];
            sources[*next as usize] = slot as u32 | (link & PROTECTED);
            *next += 1;
        }
    }
    drop(next);
    let mut each = vec![(); count];
    workers.for_each_chunk(&mut each, 64, Merge::default, |merge, first, piece| {
        for slot in first..first + piece.len() {
            merge.links(links(slot), &sources[firsts[slot] as usize..firsts[slot + 1] as usize]);
            merge.prune(slots, slot, capacity);
            layer.set_links(slot as u32, &merge.links);
        }
    });
    Ok(())
}

/// Gives each slot but the first its parent, an earlier slot, and marks it among the links that the slot chose.
fn adopt(forward: &mut [u32], capacity: usize) {
    let record = capacity + 1;
    let count = forward.len() / record;
    // Protected links: to the parent, and to children.
    let mut protected = vec![1_u8; count];
    let most = (capacity / 2).clamp(2, 255) as u8;
    for slot in 1..count {
        let links = |slot: usize| {
            let record = &forward[slot * record..][..record];
            record[1..=record[0] as usize].iter().map(|link| link & !PROTECTED)
        };
        let can = |other: &u32| (*other as usize) < slot && protected[*other as usize] < most;
        let second = || links(slot).flat_map(|near| links(near as usize)).find(can);
        // The slot just before has no children yet, so it has room.
        let parent = links(slot).find(can).or_else(second).unwrap_or(slot as u32 - 1);
        protected[parent as usize] += 1;
        let own = &mut forward[slot * record..][..record];
        let chosen = own[0] as usize;
        if let Some(link) = own[1..=chosen].iter_mut().find(|link| **link == parent) {
            *link |= PROTECTED;
        } else {
            own[0] = (chosen + 1).min(capacity) as u32;
            own[own[0] as usize] = parent | PROTECTED;
        }
    }
}

/// The links of a slot, put together.
#[derive(Default)]
struct Merge {
    links: Vec<u32>,
    candidates: Vec<Candidate>,
    chosen: Vec<Candidate>,
}

impl Merge {
    /// The links that the slot chose, and those of slots that chose it.
    fn links(&mut self, own: &[u32], back: &[u32]) {
        self.links.clear();
        self.links.extend_from_slice(own);
        for &link in back {
            match self.links[..own.len()].iter_mut().find(|known| (**known ^ link) & !PROTECTED == 0) {
                Some(known) => *known |= link,
                None => self.links.push(link),
            }
        }
    }

    /// Cuts a list that overflows to the capacity.
    fn prune(&mut self, slots: impl Apart, slot: usize, capacity: usize) {
        if self.links.len() <= capacity {
            return;
        }
        self.links.sort_unstable_by_key(|link| link & !PROTECTED);
        self.candidates.clear();
        for four in self.links.chunks(4) {
            let others: [u32; 4] = std::array::from_fn(|i| four[i.min(four.len() - 1)] & !PROTECTED);
            let distances = slots.distances(slot, &others);
            self.candidates.extend(others.iter().zip(distances).take(four.len()).map(|(&o, d)| Candidate::new(d, o)));
        }
        self.candidates.sort_unstable();
        let links = &self.links;
        let marked = |slot: u32| {
            links.binary_search_by_key(&slot, |link| link & !PROTECTED).is_ok_and(|at| links[at] & PROTECTED != 0)
        };
        let mut rank = 0;
        self.candidates.retain(|candidate| {
            rank += 1;
            rank <= OVERFLOW || marked(candidate.slot())
        });
        select(Slots(slots), &self.candidates, capacity, marked, &mut self.chosen);
        let chosen = self.chosen.iter().map(|c| if marked(c.slot()) { c.slot() | PROTECTED } else { c.slot() });
        self.links = chosen.collect();
    }
}

/// Slots as the diversity rule sees them.
struct Slots<S>(S);

impl<S: Apart> Neighbors for Slots<S> {
    #[inline(always)]
    fn prefetch(&self, slot: u32) {
        self.0.prefetch(slot);
    }

    #[inline(always)]
    fn all(&self, slot: u32, taken: &[Candidate], is_far: impl Fn(f32) -> bool) -> bool {
        taken.chunks(4).all(|four| {
            let others = std::array::from_fn(|i| four[i.min(four.len() - 1)].slot());
            self.0.distances(slot as usize, &others).into_iter().all(&is_far)
        })
    }

    /// The list that the rule keeps is all it takes.
    #[inline(always)]
    fn push(&mut self, _: u32) {}
}

/// Rows of a block.
#[derive(Clone, Copy)]
struct Rows<'a> {
    block: &'a Block,
    kernels: &'a Kernels,
}

impl Apart for Rows<'_> {
    #[inline(always)]
    fn count(self) -> usize {
        self.block.len()
    }

    #[inline(always)]
    fn prefetch(self, slot: u32) {
        prefetch(self.block.code(slot as usize));
    }

    #[inline(always)]
    fn distances(self, slot: usize, others: &[u32; 4]) -> [f32; 4] {
        self.block.distances(self.kernels, slot, others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::mix;
    use crate::graph::partition::block;
    use crate::graph::select::SLACK;

    fn truth(block: &Block, a: u32, b: u32) -> f32 {
        let codes = block.code(a as usize).iter().zip(block.code(b as usize));
        let squares: u32 = codes.map(|(&a, &b)| u32::from(a.abs_diff(b)).pow(2)).sum();
        let extra = block.moments[a as usize].extra - block.moments[b as usize].extra;
        squares as f32 + extra * extra
    }

    /// Rows of few codes, so that many are equally far, with and without one more coordinate.
    fn blocks() -> impl Iterator<Item = Block> {
        [(2, 0.0), (5, 0.0), (255, 0.0), (5, 3.5)].into_iter().map(|(codes, extra)| {
            let code = move |row: usize, i: usize| (mix((row * 64 + i) as u64) % codes) as u8;
            block(600, code, move |row| extra * (row % 3) as f32)
        })
    }

    #[test]
    fn a_leaf_gives_the_nearest_of_each_row() {
        let kernels = auspex_kernel::kernels().unwrap();
        for block in blocks() {
            for count in [1, 2, 16, 17, 599] {
                let leaf: Vec<u32> = (0..count).map(|i| (i as u32 * 7 % 600) | (i as u32 % 2 * HOME)).collect();
                let mut out = vec![0; count * NEAREST];
                compare_leaf(&block, kernels, &leaf, NEAREST, &mut Scratch::default(), &mut out);
                for (i, keys) in out.chunks(NEAREST).enumerate() {
                    let near: Vec<(f32, usize)> = decoded(keys, i).collect();
                    let mut all: Vec<(f32, usize)> = (0..count)
                        .filter(|&j| j != i)
                        .map(|j| (truth(&block, leaf[i] & !HOME, leaf[j] & !HOME), i ^ j))
                        .map(|(d, tie)| (f32::from_bits(d.to_bits() & !1023), tie))
                        .collect();
                    all.sort_unstable_by(|a, b| a.partial_cmp(b).unwrap());
                    let all: Vec<(f32, usize)> = all.into_iter().take(NEAREST).map(|(d, tie)| (d, tie ^ i)).collect();
                    assert_eq!(near, all, "row {i} of {count}");
                }
            }
        }
    }

    #[test]
    fn links_are_chosen_as_the_rule_says() {
        let kernels = auspex_kernel::kernels().unwrap();
        let mut chosen = Vec::new();
        for block in blocks() {
            for slot in 0..100_u32 {
                let mut candidates: Vec<Candidate> = (0..60_u32)
                    .map(|i| (slot + 1 + i * 9) % 600)
                    .map(|other| Candidate::new(truth(&block, slot, other), other))
                    .collect();
                candidates.sort_unstable();
                for (max, every) in [(32, 0), (5, 0), (16, 7), (16, 4)] {
                    let protected = |slot: u32| every > 0 && slot.is_multiple_of(every);
                    select(Slots(Rows { block: &block, kernels }), &candidates, max, protected, &mut chosen);
                    let mut wanted: Vec<Candidate> = Vec::new();
                    for (i, &c) in candidates.iter().enumerate() {
                        let owed = candidates[i..].iter().filter(|c| protected(c.slot())).count();
                        let diverse = wanted.iter().all(|o| SLACK * truth(&block, c.slot(), o.slot()) > c.distance());
                        if protected(c.slot()) || (wanted.len() + owed < max && diverse) {
                            wanted.push(c);
                        }
                    }
                    assert_eq!(chosen, wanted, "slot {slot}, at most {max}");
                }
            }
        }
    }
}

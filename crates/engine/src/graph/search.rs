//! The walk (Malkov and Yashunin 2018, algorithm 2), over whatever can score nodes.
//!
//! ```text
//! candidates: the ef nearest seen so far, sorted; each is expanded once, nearest first
//! while a candidate is unexpanded:
//!     for each link not visited: score it; keep it if it is nearer than the farthest candidate
//! ```
//! Nodes that may not be returned (dead ones) are walked through from a queue of their own and take no candidate's place.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use crate::codes::Scorer;
use crate::graph::GraphView;
use crate::graph::layer::Layer;

/// A slot and its distance, packed so that one comparison of integers orders by distance, then by slot.
/// The lowest bit tells an expanded candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Candidate(u64);

impl Candidate {
    #[inline(always)]
    pub fn new(distance: f32, slot: u32) -> Candidate {
        let bits = distance.to_bits();
        let ordered = bits ^ if bits >> 31 == 1 { u32::MAX } else { 1 << 31 };
        Candidate(u64::from(ordered) << 32 | u64::from(slot) << 1)
    }

    #[inline(always)]
    pub fn slot(self) -> u32 {
        self.0 as u32 >> 1
    }

    #[inline(always)]
    pub fn distance(self) -> f32 {
        let ordered = (self.0 >> 32) as u32;
        f32::from_bits(ordered ^ if ordered >> 31 == 1 { 1 << 31 } else { u32::MAX })
    }
}

/// The nearest candidates, sorted, at most `limit`.
#[derive(Default)]
pub(crate) struct Pool {
    sorted: Vec<Candidate>,
    limit: usize,
    /// No candidate before it is unexpanded.
    cursor: usize,
}

impl Pool {
    fn reset(&mut self, limit: usize) {
        self.sorted.clear();
        self.limit = limit;
        self.cursor = 0;
    }

    pub fn sorted(&self) -> &[Candidate] {
        &self.sorted
    }

    #[inline(always)]
    fn is_full(&self) -> bool {
        self.sorted.len() >= self.limit
    }

    /// What a newcomer must be nearer than.
    #[inline(always)]
    fn worst(&self) -> Candidate {
        if self.is_full() { self.sorted[self.sorted.len() - 1] } else { Candidate(u64::MAX) }
    }

    /// Takes a candidate that is nearer than the worst.
    #[inline(always)]
    fn insert(&mut self, candidate: Candidate) {
        if !self.is_full() {
            self.sorted.push(candidate);
        }
        let at = self.sorted.partition_point(|&other| other < candidate);
        let last = self.sorted.len() - 1;
        self.sorted.copy_within(at..last, at + 1);
        self.sorted[at] = candidate;
        self.cursor = self.cursor.min(at);
    }

    /// The nearest candidate that was not expanded.
    #[inline(always)]
    fn peek(&mut self) -> Option<Candidate> {
        while self.cursor < self.sorted.len() && self.sorted[self.cursor].0 & 1 == 1 {
            self.cursor += 1;
        }
        self.sorted.get(self.cursor).copied()
    }

    #[inline(always)]
    fn take(&mut self) {
        self.sorted[self.cursor].0 |= 1;
        self.cursor += 1;
    }
}

/// Slots that were seen in this walk, in the order in which they were: a bit each, so that they stay near, and a list by
/// which the next walk clears them.
#[derive(Default)]
pub(crate) struct Visited {
    bits: Vec<u64>,
    /// The first `len` are the ones seen; there is room for one more.
    seen: Vec<u32>,
    len: usize,
}

impl Visited {
    pub fn reset(&mut self, slots: usize) {
        for &slot in &self.seen[..self.len] {
            self.bits[slot as usize / 64] = 0;
        }
        self.len = 0;
        if self.bits.len() * 64 < slots {
            // New ones, which the system gives zeroed: of what no walk touches nothing becomes memory.
            self.bits = vec![0; slots.next_power_of_two().div_ceil(64)];
            self.seen = vec![0; self.bits.len() * 64 + 1];
        }
    }

    /// Those that were marked since they were cleared, in that order.
    #[inline(always)]
    pub fn seen(&self) -> &[u32] {
        &self.seen[..self.len]
    }

    /// Marks slots. Those that were not marked are the last ones of `seen`, from the place that it returns.
    #[inline(always)]
    pub fn mark(&mut self, slots: impl Iterator<Item = u32>) -> usize {
        let first = self.len;
        let mut len = first;
        for slot in slots {
            // Half of the slots are marked, at random: a branch would be mispredicted.
            let word = &mut self.bits[slot as usize / 64];
            let fresh = *word >> (slot % 64) & 1 ^ 1;
            *word |= 1 << (slot % 64);
            self.seen[len] = slot;
            len += fresh as usize;
        }
        self.len = len;
        first
    }
}

/// What a walk did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub visited: u64,
    pub distances: u64,
    pub rescored: u64,
}

impl Counts {
    /// Adds what another walk did.
    pub fn add(&mut self, other: &Counts) {
        self.visited += other.visited;
        self.distances += other.distances;
        self.rescored += other.rescored;
    }
}

/// The memory of a walk, used again and again.
#[derive(Default)]
pub(crate) struct Walk {
    pub pool: Pool,
    pub counts: Counts,
    visited: Visited,
    /// Nearest first: nodes to walk through that may not be returned.
    through: BinaryHeap<Reverse<Candidate>>,
    nodes: Vec<u32>,
    distances: Vec<f32>,
}

impl Walk {
    /// The nearest slot of a layer that can be reached by going to a nearer neighbor as long as there is one.
    pub fn descend(&mut self, layer: &Layer, slots: u32, scorer: &impl Scorer, entry: u32) -> u32 {
        let links = layer.window();
        self.visited.reset(slots as usize);
        let mut best = Candidate(u64::MAX);
        let mut first = self.visited.mark(std::iter::once(entry));
        self.score(layer, scorer, first..self.visited.len);
        loop {
            let fresh = self.visited.seen[first..self.visited.len].iter().zip(&self.distances);
            match fresh.map(|(&slot, &distance)| Candidate::new(distance, slot)).min() {
                Some(near) if near < best => best = near,
                _ => return best.slot(),
            }
            self.counts.visited += 1;
            first = self.visited.mark(links.of(best.slot()).filter(|&slot| slot < slots));
            self.score(layer, scorer, first..self.visited.len);
        }
    }

    /// The node of layer 0 that the upper layers lead to.
    pub fn descend_to(&mut self, view: &GraphView, scorer: &impl Scorer) -> u32 {
        let mut entry = 0;
        for layer in (1..view.height()).rev() {
            let slot = self.descend(&view.graph.layers[layer], view.slots[layer], scorer, entry);
            entry = view.graph.layers[layer].down(slot);
        }
        entry
    }

    /// Fills the pool with the `ef` nearest slots that `accept` takes, walking from `entry`.
    ///
    /// A candidate's neighbors are scored after the next candidate is expanded: until then they are on their way from
    /// memory.
    pub fn search_layer(
        &mut self,
        layer: &Layer,
        slots: u32,
        scorer: &impl Scorer,
        entry: u32,
        ef: usize,
        accept: Option<&dyn Fn(u32) -> bool>,
    ) {
        let links = layer.window();
        self.pool.reset(ef.min(slots as usize));
        self.visited.reset(slots as usize);
        self.through.clear();
        let mut scored = self.visited.mark(std::iter::once(entry));
        let mut next = None;
        loop {
            let brought = self.visited.len;
            if let Some(next) = next {
                self.visited.mark(links.of(next).filter(|&slot| slot < slots));
                if !layer.is_upper() {
                    scorer.prefetch(&self.visited.seen[brought..self.visited.len]);
                }
                self.counts.visited += 1;
            }
            // Chosen before what was brought is scored, so that its links have time to come.
            next = self.next().map(Candidate::slot);
            if let Some(next) = next {
                links.prefetch(next);
            }
            if scored < brought {
                self.score(layer, scorer, scored..brought);
                self.keep(layer, scored..brought, accept);
                scored = brought;
            } else if next.is_none() && brought == self.visited.len {
                return;
            }
        }
    }

    /// The nearest unexpanded candidate, of those to return and those to walk through.
    #[inline(always)]
    fn next(&mut self) -> Option<Candidate> {
        let kept = self.pool.peek();
        if let Some(&Reverse(through)) = self.through.peek()
            && through < self.pool.worst()
            && kept.is_none_or(|kept| through < kept)
        {
            self.through.pop();
            return Some(through);
        }
        if kept.is_some() {
            self.pool.take();
        }
        kept
    }

    /// Scores slots by their places among those seen.
    #[inline(always)]
    fn score(&mut self, layer: &Layer, scorer: &impl Scorer, places: Range<usize>) {
        let slots = &self.visited.seen[places];
        if self.distances.len() < slots.len() {
            self.distances.resize(slots.len(), 0.0);
        }
        let distances = &mut self.distances[..slots.len()];
        if layer.is_upper() {
            self.nodes.clear();
            self.nodes.extend(slots.iter().map(|&slot| layer.node(slot)));
            scorer.score(&self.nodes, distances);
        } else {
            scorer.score(slots, distances);
        }
        self.counts.distances += slots.len() as u64;
    }

    /// Takes into the pool what was scored and is near enough.
    #[inline(always)]
    fn keep(&mut self, layer: &Layer, places: Range<usize>, accept: Option<&dyn Fn(u32) -> bool>) {
        let mut worst = self.pool.worst();
        for (&slot, &distance) in self.visited.seen[places].iter().zip(&self.distances) {
            let candidate = Candidate::new(distance, slot);
            if candidate >= worst {
                continue;
            }
            if accept.is_none_or(|accept| accept(layer.node(slot))) {
                self.pool.insert(candidate);
                worst = self.pool.worst();
            } else {
                self.through.push(Reverse(candidate));
            }
        }
    }
}

/// Fills the walk's pool with the nearest nodes of the whole graph.
pub(crate) fn search(
    view: &GraphView,
    scorer: &impl Scorer,
    ef: usize,
    accept: Option<&dyn Fn(u32) -> bool>,
    walk: &mut Walk,
) {
    let entry = walk.descend_to(view, scorer);
    walk.search_layer(&view.graph.layers[0], view.slots[0], scorer, entry, ef, accept);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_order_by_distance_then_slot() {
        let distances = [f32::NEG_INFINITY, -2.5, -0.0, 0.0, 1e-45, 1.0, 1e30, f32::INFINITY];
        for pair in distances.windows(2) {
            assert!(Candidate::new(pair[0], 9) < Candidate::new(pair[1], 3), "{pair:?}");
        }
        assert!(Candidate::new(1.0, 3) < Candidate::new(1.0, 4));
        for d in distances {
            let candidate = Candidate::new(d, (1 << 31) - 1);
            assert_eq!((candidate.distance().to_bits(), candidate.slot()), (d.to_bits(), (1 << 31) - 1));
        }
    }

    #[test]
    fn a_pool_keeps_the_nearest_and_expands_each_once() {
        let mut pool = Pool::default();
        pool.reset(3);
        let offer = |pool: &mut Pool, distance: f32, slot: u32| {
            let candidate = Candidate::new(distance, slot);
            let near = candidate < pool.worst();
            if near {
                pool.insert(candidate);
            }
            near
        };
        for (i, d) in [5.0, 1.0, 4.0, 2.0, 9.0, 3.0].into_iter().enumerate() {
            assert_eq!(offer(&mut pool, d, i as u32), i != 4);
        }
        assert_eq!(pool.sorted().iter().map(|c| c.distance()).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
        assert!(!offer(&mut pool, 3.0, 6));
        assert_eq!(pool.sorted().iter().map(|c| c.slot()).collect::<Vec<_>>(), [1, 3, 5]);
        assert_eq!(pool.peek().unwrap().slot(), 1);
        pool.take();
        assert_eq!(pool.peek().unwrap().slot(), 3);
        assert!(offer(&mut pool, 0.5, 7));
        assert_eq!(pool.peek().unwrap().slot(), 7);
    }

    #[test]
    fn a_walk_sees_each_slot_once_and_the_next_walk_sees_it_again() {
        let mut visited = Visited::default();
        for slots in [10, 64, 1000, 100] {
            visited.reset(slots);
            assert_eq!(visited.mark([3, 0, 3, 9].into_iter()), 0);
            assert_eq!(visited.mark([9, 7, slots as u32 - 3].into_iter()), 3);
            let fresh: &[u32] = if slots == 10 { &[] } else { &[slots as u32 - 3] };
            assert_eq!(visited.seen[..visited.len], [&[3, 0, 9, 7], fresh].concat());
        }
    }
}

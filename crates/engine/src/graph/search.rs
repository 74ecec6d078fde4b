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

    #[inline(always)]
    fn insert(&mut self, candidate: Candidate) {
        if candidate >= self.worst() {
            return;
        }
        if self.is_full() {
            self.sorted.pop();
        }
        let at = self.sorted.partition_point(|&other| other < candidate);
        self.sorted.insert(at, candidate);
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

/// Slots that were seen in this walk; starting the next one clears nothing.
#[derive(Default)]
pub(crate) struct Visited {
    marks: Vec<u16>,
    epoch: u16,
}

impl Visited {
    fn reset(&mut self, slots: usize) {
        if self.marks.len() < slots {
            self.marks.resize(slots.next_power_of_two(), 0);
        }
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.marks.fill(0);
            self.epoch = 1;
        }
    }

    /// Marks a slot; true when it was not marked.
    #[inline(always)]
    fn mark(&mut self, slot: u32) -> bool {
        let mark = &mut self.marks[slot as usize];
        let fresh = *mark != self.epoch;
        *mark = self.epoch;
        fresh
    }
}

/// What a walk did.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub visited: u64,
    pub distances: u64,
    pub rescored: u64,
}

/// The memory of a walk, used again and again.
#[derive(Default)]
pub(crate) struct Walk {
    pub pool: Pool,
    pub counts: Counts,
    visited: Visited,
    /// Nearest first: nodes to walk through that may not be returned.
    through: BinaryHeap<Reverse<Candidate>>,
    slots: Vec<u32>,
    nodes: Vec<u32>,
    distances: Vec<f32>,
}

impl Walk {
    /// The nearest slot of a layer that can be reached by going to a nearer neighbor as long as there is one.
    pub fn descend(&mut self, layer: &Layer, slots: u32, scorer: &impl Scorer, entry: u32) -> u32 {
        self.slots.clear();
        self.slots.push(entry);
        self.score(layer, scorer);
        let mut best = Candidate::new(self.distances[0], entry);
        loop {
            self.slots.clear();
            self.slots.extend(layer.links(best.slot()).filter(|&slot| slot < slots));
            self.score(layer, scorer);
            self.counts.visited += 1;
            let near = self.slots.iter().zip(&self.distances).map(|(&slot, &d)| Candidate::new(d, slot)).min();
            match near {
                Some(near) if near < best => best = near,
                _ => return best.slot(),
            }
        }
    }

    /// Fills the pool with the `ef` nearest slots that `accept` takes, walking from `entry`.
    pub fn search_layer(
        &mut self,
        layer: &Layer,
        slots: u32,
        scorer: &impl Scorer,
        entry: u32,
        ef: usize,
        accept: Option<&dyn Fn(u32) -> bool>,
    ) {
        self.pool.reset(ef.min(slots as usize));
        self.visited.reset(slots as usize);
        self.through.clear();
        self.slots.clear();
        self.visited.mark(entry);
        self.slots.push(entry);
        self.score(layer, scorer);
        self.keep(accept);
        while let Some(next) = self.next() {
            self.counts.visited += 1;
            self.slots.clear();
            for slot in layer.links(next.slot()) {
                if slot < slots && self.visited.mark(slot) {
                    self.slots.push(slot);
                }
            }
            if self.slots.is_empty() {
                continue;
            }
            self.score(layer, scorer);
            self.keep(accept);
            if let Some(next) = self.pool.peek() {
                layer.prefetch(next.slot());
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

    #[inline(always)]
    fn score(&mut self, layer: &Layer, scorer: &impl Scorer) {
        self.nodes.clear();
        self.nodes.extend(self.slots.iter().map(|&slot| layer.node(slot)));
        self.distances.resize(self.nodes.len(), 0.0);
        scorer.score(&self.nodes, &mut self.distances);
        self.counts.distances += self.nodes.len() as u64;
    }

    #[inline(always)]
    fn keep(&mut self, accept: Option<&dyn Fn(u32) -> bool>) {
        for ((&slot, &node), &distance) in self.slots.iter().zip(&self.nodes).zip(&self.distances) {
            let candidate = Candidate::new(distance, slot);
            if candidate >= self.pool.worst() {
                continue;
            }
            if accept.is_none_or(|accept| accept(node)) {
                self.pool.insert(candidate);
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
    let mut entry = 0;
    for layer in (1..view.height()).rev() {
        let slot = walk.descend(&view.graph.layers[layer], view.slots[layer], scorer, entry);
        entry = view.graph.layers[layer].down(slot);
    }
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
        for (i, d) in [5.0, 1.0, 4.0, 2.0, 9.0, 3.0].into_iter().enumerate() {
            pool.insert(Candidate::new(d, i as u32));
        }
        assert_eq!(pool.sorted().iter().map(|c| c.distance()).collect::<Vec<_>>(), [1.0, 2.0, 3.0]);
        pool.insert(Candidate::new(3.0, 6));
        assert_eq!(pool.sorted().iter().map(|c| c.slot()).collect::<Vec<_>>(), [1, 3, 5]);
        assert_eq!(pool.peek().unwrap().slot(), 1);
        pool.take();
        assert_eq!(pool.peek().unwrap().slot(), 3);
        pool.insert(Candidate::new(0.5, 7));
        assert_eq!(pool.peek().unwrap().slot(), 7);
    }

    #[test]
    fn visited_marks_survive_the_epochs_wrap() {
        let mut visited = Visited::default();
        for round in 0..70_000 {
            visited.reset(10);
            assert!(visited.mark(3) && !visited.mark(3));
            // Marked in the first walk, and next in one that has its number again.
            assert!(round % 65_535 != 0 || visited.mark(5), "walk {round}");
        }
    }
}

//! Which neighbors become links (Malkov and Yashunin 2018, algorithm 4, with the slack of DiskANN's alpha).
//!
//! Nearest first, a candidate is taken unless a neighbor already taken is so much nearer to it than the node itself is:
//! links then point in different directions instead of all into one cluster.

use crate::codes::{Codes, Scorer, Taken};
use crate::graph::layer::{Layer, PROTECTED};
use crate::graph::search::Candidate;

/// A candidate `c` is dropped for a neighbor `o` when `SLACK * d(c, o) <= d(c, node)`, in squared distances. With `<=`,
/// of many candidates in one place only the first is taken.
pub(super) const SLACK: f32 = 1.2;

/// Candidates whose codes are asked for before the one that is looked at.
const AHEAD: usize = 4;

/// Neighbors that were taken, wherever their codes lie.
pub(super) trait Neighbors {
    /// Asks for a candidate's code to be brought near.
    fn prefetch(&self, slot: u32);
    /// Whether `is_far` holds for the distances of a candidate to all of them, which are `taken`.
    fn all(&self, slot: u32, taken: &[Candidate], is_far: impl Fn(f32) -> bool) -> bool;
    /// Hears of one more that was taken.
    fn push(&mut self, slot: u32);
}

/// Nodes of the graph, by their slots of a layer.
struct Nodes<'a> {
    codes: &'a Codes,
    layer: &'a Layer,
    taken: Taken<'a>,
}

impl Neighbors for Nodes<'_> {
    #[inline(always)]
    fn prefetch(&self, slot: u32) {
        self.codes.prefetch(self.layer.node(slot));
    }

    #[inline(always)]
    fn all(&self, slot: u32, _: &[Candidate], is_far: impl Fn(f32) -> bool) -> bool {
        self.taken.all(self.layer.node(slot), is_far)
    }

    #[inline(always)]
    fn push(&mut self, slot: u32) {
        self.taken.push(self.layer.node(slot));
    }
}

/// Chooses at most `max` of the sorted `candidates`, which are slots of `layer`, into `chosen`. Candidates that
/// `protected` names are always taken; their mark is left to the caller.
pub(crate) fn select_neighbors(
    codes: &Codes,
    layer: &Layer,
    candidates: &[Candidate],
    max: usize,
    protected: impl Fn(u32) -> bool,
    chosen: &mut Vec<Candidate>,
) {
    select(Nodes { codes, layer, taken: Taken::new(codes, max) }, candidates, max, protected, chosen);
}

/// The rule itself, over whatever can say how far candidates are from each other.
#[inline(always)]
pub(super) fn select(
    mut taken: impl Neighbors,
    candidates: &[Candidate],
    max: usize,
    protected: impl Fn(u32) -> bool,
    chosen: &mut Vec<Candidate>,
) {
    chosen.clear();
    let mut owed = candidates.iter().filter(|candidate| protected(candidate.slot())).count();
    for (i, &candidate) in candidates.iter().enumerate() {
        if let Some(later) = candidates.get(i + AHEAD) {
            taken.prefetch(later.slot());
        }
        let must = protected(candidate.slot());
        if must {
            owed -= 1;
        } else if chosen.len() + owed >= max {
            if owed == 0 {
                return;
            }
            continue;
        }
        if must || taken.all(candidate.slot(), chosen, |distance| SLACK * distance > candidate.distance()) {
            chosen.push(candidate);
            taken.push(candidate.slot());
        }
    }
}

/// So many newcomers at most enter a full list one by one; more are chosen anew together with those that are there.
const ONE_BY_ONE: usize = 4;

/// The memory of [`Lists::add`], used again and again.
#[derive(Default)]
pub(crate) struct Lists {
    /// The list that comes out.
    pub links: Vec<u32>,
    added: Vec<(Candidate, u32)>,
    entries: Vec<(Candidate, u32)>,
    candidates: Vec<Candidate>,
    chosen: Vec<Candidate>,
    nodes: Vec<u32>,
    distances: Vec<f32>,
}

impl Lists {
    /// The links of `slot` after `newcomers` ask to be among them, each a link with its mark and its distance. Returns
    /// false when nothing changes.
    pub fn add(&mut self, codes: &Codes, layer: &Layer, slot: u32, newcomers: &[(u32, f32)]) -> bool {
        self.links.clear();
        self.links.extend(layer.marked_links(slot));
        self.added.clear();
        let mut changed = false;
        for &(link, distance) in newcomers {
            match self.links.iter_mut().find(|known| (**known ^ link) & !PROTECTED == 0) {
                Some(known) => {
                    changed |= *known != *known | link;
                    *known |= link & PROTECTED;
                }
                None => self.added.push((Candidate::new(distance, link & !PROTECTED), link & PROTECTED)),
            }
        }
        if self.links.len() + self.added.len() <= layer.capacity() {
            self.links.extend(self.added.iter().map(|(candidate, mark)| candidate.slot() | mark));
            return changed || !self.added.is_empty();
        }
        self.nodes.clear();
        self.nodes.extend(self.links.iter().map(|link| layer.node(link & !PROTECTED)));
        self.score(&codes.scorer(layer.node(slot)));
        let there = self.links.iter().zip(&self.distances);
        self.entries.clear();
        self.entries.extend(there.map(|(link, &d)| (Candidate::new(d, link & !PROTECTED), link & PROTECTED)));
        if self.added.len() <= ONE_BY_ONE {
            self.entries.sort_unstable();
            self.added.sort_unstable();
            for i in 0..self.added.len() {
                changed |= self.enter(codes, layer, self.added[i]);
            }
            self.links.clear();
            self.links.extend(self.entries.iter().map(|(candidate, mark)| candidate.slot() | mark));
            return changed;
        }
        self.entries.append(&mut self.added);
        self.entries.sort_unstable();
        self.candidates.clear();
        self.candidates.extend(self.entries.iter().map(|&(candidate, _)| candidate));
        let marked: Vec<u32> = self.entries.iter().filter(|(_, mark)| *mark != 0).map(|(c, _)| c.slot()).collect();
        let protected = |slot: u32| marked.contains(&slot);
        select_neighbors(codes, layer, &self.candidates, layer.capacity(), protected, &mut self.chosen);
        let mark = |slot: u32| if protected(slot) { slot | PROTECTED } else { slot };
        self.links.clear();
        self.links.extend(self.chosen.iter().map(|candidate| mark(candidate.slot())));
        true
    }

    /// Lets one more into a full list, which is sorted, by the diversity rule: not one that is nearer to a nearer entry; it
    /// puts out farther entries that are nearer to it, or else the farthest. Returns whether it is in.
    fn enter(&mut self, codes: &Codes, layer: &Layer, (newcomer, mark): (Candidate, u32)) -> bool {
        let scorer = codes.scorer(layer.node(newcomer.slot()));
        let place = self.entries.partition_point(|(entry, _)| *entry < newcomer);
        let full = self.entries.len() >= layer.capacity();
        if mark == 0 {
            let free = |(_, mark): &(Candidate, u32)| *mark == 0;
            if full && !self.entries[place..].iter().any(free) {
                return false;
            }
            let mut distances = [0.0; 8];
            let occluded = self.entries[..place].chunks(8).any(|some| {
                let nodes: [u32; 8] = std::array::from_fn(|i| layer.node(some[i.min(some.len() - 1)].0.slot()));
                scorer.score(&nodes[..some.len()], &mut distances[..some.len()]);
                distances[..some.len()].iter().any(|&d| SLACK * d <= newcomer.distance())
            });
            if occluded {
                return false;
            }
        }
        self.nodes.clear();
        self.nodes.extend(self.entries[place..].iter().map(|(entry, _)| layer.node(entry.slot())));
        self.score(&scorer);
        self.entries.insert(place, (newcomer, mark));
        let (mut at, distances) = (0, &self.distances);
        self.entries.retain(|(entry, mark)| {
            at += 1;
            *mark != 0 || at <= place + 1 || SLACK * distances[at - place - 2] > entry.distance()
        });
        if self.entries.len() > layer.capacity()
            && let Some(farthest) = self.entries.iter().rposition(|(_, mark)| *mark == 0)
        {
            return self.entries.remove(farthest).0 != newcomer;
        }
        true
    }

    /// The distances of `nodes`.
    fn score(&mut self, scorer: &impl Scorer) {
        self.distances.resize(self.nodes.len(), 0.0);
        scorer.score(&self.nodes, &mut self.distances);
    }
}

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

/// The links of `slot` after `newcomers` ask to be among them, each a link with its mark and its distance. Returns
/// false when nothing changes.
pub(crate) fn add_links(
    codes: &Codes,
    layer: &Layer,
    slot: u32,
    newcomers: &[(u32, f32)],
    links: &mut Vec<u32>,
) -> bool {
    links.clear();
    links.extend(layer.marked_links(slot));
    let old = links.len();
    let mut changed = false;
    let mut added: Vec<Candidate> = Vec::new();
    for &(link, distance) in newcomers {
        match links.iter_mut().find(|known| **known & !PROTECTED == link & !PROTECTED) {
            Some(known) => {
                changed |= *known != *known | link;
                *known |= link & PROTECTED;
            }
            None => {
                changed = true;
                links.push(link);
                added.push(Candidate::new(distance, link & !PROTECTED));
            }
        }
    }
    if links.len() <= layer.capacity() {
        return changed;
    }
    let nodes: Vec<u32> = links[..old].iter().map(|link| layer.node(link & !PROTECTED)).collect();
    let mut distances = vec![0.0; old];
    codes.scorer(layer.node(slot)).score(&nodes, &mut distances);
    let mut candidates = added;
    candidates.extend(links[..old].iter().zip(&distances).map(|(link, &d)| Candidate::new(d, link & !PROTECTED)));
    candidates.sort_unstable();
    let marked: Vec<u32> = links.iter().filter(|&link| link & PROTECTED != 0).map(|link| link & !PROTECTED).collect();
    let mut chosen = Vec::new();
    select_neighbors(codes, layer, &candidates, layer.capacity(), |slot| marked.contains(&slot), &mut chosen);
    links.clear();
    links.extend(chosen.iter().map(|c| if marked.contains(&c.slot()) { c.slot() | PROTECTED } else { c.slot() }));
    true
}

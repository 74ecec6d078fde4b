//! Hits that are near the query and far from one another: maximal marginal relevance (Carbonell and Goldstein 1998).
//!
//! ```text
//! the nearest row, then again and again the row of those left with the least
//!     lambda * distance to the query - (1 - lambda) * distance to the nearest hit so far
//! ```
//! With a similarity of one minus the distance that is their formula. Hits keep the order in which they were chosen.

use crate::error::Result;
use crate::exact;
use crate::query::{Neighbor, Scratch, Search};
use crate::token::Token;

impl Search<'_> {
    /// The hits among the nearest rows, which come nearest first.
    pub(crate) fn diverse(
        &self,
        nearest: &[Neighbor],
        hits: usize,
        lambda: f64,
        scratch: &mut Scratch,
        token: &Token,
    ) -> Result<Vec<Neighbor>> {
        let metric = self.config.metric;
        let mut left: Vec<Neighbor> = nearest.to_vec();
        let mut rows: Vec<u32> = left.iter().map(|hit| hit.1).collect();
        // Of each row left the distance to the nearest hit.
        let mut gaps = vec![f32::INFINITY; left.len()];
        let mut chosen: Vec<Neighbor> = Vec::new();
        while chosen.len() < hits && !left.is_empty() {
            token.check()?;
            let cost = |i: usize| lambda * f64::from(left[i].0) - (1.0 - lambda) * f64::from(gaps[i]);
            // The first of equals, which is the nearest; and nothing is far from no hits.
            let best = if chosen.is_empty() {
                0
            } else {
                (1..left.len()).fold(0, |a, b| if cost(b) < cost(a) { b } else { a })
            };
            let hit = left.remove(best);
            gaps.remove(best);
            rows.remove(best);
            chosen.push(hit);
            exact::normalise(metric, self.view.rows.vector(hit.1), &mut scratch.query);
            let mut gaps = gaps.iter_mut();
            self.for_each_key(&scratch.query, &rows, |_, key| {
                if let Some(gap) = gaps.next() {
                    *gap = gap.min(exact::distance(metric, key));
                }
            });
        }
        Ok(chosen)
    }
}

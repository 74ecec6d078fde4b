//! The full scan: a plan of its own, and the truth that every other plan is held against.

use std::cmp::Ordering;

use auspex_kernel::Kernels;

use crate::error::{Code, Error, Result};
use crate::options::{MAX_DIM, MAX_K, Metric, whole};
use crate::rows::{check_vector, norm};
use crate::token::Token;
use crate::view::View;
use crate::workers::Workers;

/// Rows scored at a time: their floats stay in the cache while several queries read them.
const BLOCK: usize = 128;
/// Queries that share a pass over the rows.
const TOGETHER: usize = 16;

/// What rows are ordered by: squared l2, one minus the cosine, or the negated product. Smaller is nearer.
#[inline(always)]
pub(crate) fn key(metric: Metric, raw: f32, inverse_norm: f32) -> f32 {
    match metric {
        Metric::L2 => raw,
        // Not `-raw`: a product of zero is a distance of zero, not of minus zero.
        Metric::Dot => 0.0 - raw,
        Metric::Cosine => (1.0 - raw * inverse_norm).clamp(0.0, 2.0),
    }
}

/// The distance that users see, from the key.
#[inline(always)]
pub(crate) fn distance(metric: Metric, key: f32) -> f32 {
    if metric == Metric::L2 { key.sqrt() } else { key }
}

/// The query as the kernels take it: of length one for cosine.
pub(crate) fn normalise(metric: Metric, query: &[f32], out: &mut Vec<f32>) {
    out.clear();
    if metric == Metric::Cosine {
        let over = 1.0 / norm(query);
        out.extend(query.iter().map(|&x| (f64::from(x) * over) as f32));
    } else {
        out.extend_from_slice(query);
    }
}

/// The `k` nearest rows of those it was shown, ordered by the distance that users see: two squares can have one root.
pub(crate) struct Top {
    metric: Metric,
    k: usize,
    /// Distance and row.
    entries: Vec<(f32, u32)>,
    /// No row whose key is larger can be among them.
    limit: f32,
}

impl Default for Top {
    fn default() -> Top {
        Top { metric: Metric::L2, k: 0, entries: Vec::new(), limit: f32::INFINITY }
    }
}

impl Top {
    pub fn reset(&mut self, metric: Metric, k: usize) {
        self.metric = metric;
        self.k = k;
        self.entries.clear();
        self.limit = f32::INFINITY;
    }

    /// Makes room for as many rows as it holds at most, so that showing it rows cannot fail.
    pub fn reserve(&mut self, k: usize) -> Result<()> {
        let most = 2 * k + 64;
        let more = most.saturating_sub(self.entries.len());
        self.entries.try_reserve(more).map_err(|_| Error::memory(most * size_of::<(f32, u32)>(), "hits"))
    }

    /// Shows it a row. `tie` orders rows that are equally far.
    #[inline(always)]
    pub fn push(&mut self, key: f32, row: u32, tie: impl Fn(u32, u32) -> Ordering) {
        if key <= self.limit {
            self.entries.push((distance(self.metric, key), row));
            if self.entries.len() >= 2 * self.k + 64 {
                self.shrink(tie);
            }
        }
    }

    #[cold]
    fn shrink(&mut self, tie: impl Fn(u32, u32) -> Ordering) {
        let order = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then_with(|| tie(a.1, b.1));
        self.entries.select_nth_unstable_by(self.k - 1, order);
        self.entries.truncate(self.k);
        let farthest = self.entries[self.k - 1].0;
        // A root and its square are each rounded: keys a little above the square have the same root.
        self.limit =
            if self.metric == Metric::L2 { farthest * farthest * (1.0 + 8.0 * f32::EPSILON) } else { farthest };
    }

    /// The rows, nearest first.
    pub fn finish(&mut self, tie: impl Fn(u32, u32) -> Ordering) -> &[(f32, u32)] {
        self.entries.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then_with(|| tie(a.1, b.1)));
        self.entries.truncate(self.k);
        &self.entries
    }
}

/// Shows the rows of the view that `hits` takes to the `tops` of all `queries`, which are normalised.
pub(crate) fn scan(
    view: &View,
    kernels: &Kernels,
    metric: Metric,
    queries: &[&[f32]],
    hits: impl Fn(u32) -> bool,
    tops: &mut [Top],
    token: &Token,
) -> Result<()> {
    let mut raw = [0.0_f32; BLOCK];
    let tie = |a: u32, b: u32| view.rows.id(a).cmp(view.rows.id(b));
    let mut row = 0;
    while row < view.count {
        token.check()?;
        let (count, floats) = view.rows.run(row, view.count);
        for (block, rows) in floats.chunks(BLOCK * queries[0].len()).zip((row..row + count).step_by(BLOCK)) {
            for (query, top) in queries.iter().zip(tops.iter_mut()) {
                let raw = &mut raw[..block.len() / query.len()];
                if metric == Metric::L2 {
                    kernels.l2_squared_f32_many(query, block, raw);
                } else {
                    kernels.dot_f32_many(query, block, raw);
                }
                for (row, &raw) in (rows..).zip(raw.iter()) {
                    let key = key(metric, raw, view.rows.inverse_norm(row));
                    if key <= top.limit && hits(row) {
                        top.push(key, row, tie);
                    }
                }
            }
        }
        row += count;
    }
    Ok(())
}

/// The exact neighbors of queries among vectors: hit `h < counts[q]` of query `q` is at `q * k + h`; beyond that
/// distances are NaN and rows 0.
pub struct ExactHits {
    /// Hits kept for each query.
    pub k: usize,
    /// Hits of each query: `k`, or the number of vectors if that is less.
    pub counts: Vec<u32>,
    /// Indices of vectors, nearest first, ties by index.
    pub rows: Vec<u32>,
    /// Their distances.
    pub distances: Vec<f32>,
}

/// The exact neighbors of each query among `vectors`, both row-major with `dim` floats a row.
///
/// # Errors
/// An argument is out of its range, or a vector is one that the metric cannot order.
pub fn exact_search(
    vectors: &[f32],
    queries: &[f32],
    dim: f64,
    metric: Option<&str>,
    k: f64,
    token: &Token,
) -> Result<ExactHits> {
    let dim = whole("dim", dim, 1, MAX_DIM)?;
    let k = whole("k", k, 1, MAX_K)?;
    let metric = Metric::parse(metric)?;
    for (name, floats) in [("vectors", vectors), ("queries", queries)] {
        if !floats.len().is_multiple_of(dim) {
            let message = format!("{name} has {} floats, which is not a multiple of dim {dim}", floats.len());
            return Err(Error::new(Code::Dimension, message));
        }
        for (i, vector) in floats.chunks(dim).enumerate() {
            check_vector(vector, metric, || format!("{name}[{i}]"))?;
        }
    }
    let kernels = crate::kernels()?;
    let (count, asked) = (vectors.len() / dim, queries.len() / dim);
    let found = k.min(count);
    let mut hits = ExactHits {
        k,
        counts: vec![found as u32; asked],
        rows: sized(asked, k, 0)?,
        distances: sized(asked, k, f32::NAN)?,
    };
    let inverse: Vec<f32> = if metric == Metric::Cosine {
        vectors.chunks(dim).map(|vector| (1.0 / norm(vector)) as f32).collect()
    } else {
        Vec::new()
    };
    token.begin(asked as u64);
    let mut groups: Vec<_> = queries
        .chunks(TOGETHER * dim)
        .zip(hits.rows.chunks_mut(TOGETHER * k).zip(hits.distances.chunks_mut(TOGETHER * k)))
        .collect();
    Workers::search(0)?.for_each_chunk(
        &mut groups,
        1,
        || vec![0.0_f32; BLOCK],
        |raw, _, groups| {
            for (queries, (rows, distances)) in groups.iter_mut() {
                let mut prepared = vec![Vec::new(); queries.len() / dim];
                let mut tops: Vec<Top> = Vec::new();
                for (query, out) in queries.chunks(dim).zip(&mut prepared) {
                    normalise(metric, query, out);
                    let mut top = Top::default();
                    top.reset(metric, k);
                    tops.push(top);
                }
                for (b, block) in vectors.chunks(BLOCK * dim).enumerate() {
                    if token.is_cancelled() {
                        return;
                    }
                    for (query, top) in prepared.iter().zip(&mut tops) {
                        let raw = &mut raw[..block.len() / dim];
                        if metric == Metric::L2 {
                            kernels.l2_squared_f32_many(query, block, raw);
                        } else {
                            kernels.dot_f32_many(query, block, raw);
                        }
                        for (row, &raw) in (b * BLOCK..).zip(raw.iter()) {
                            let inverse = inverse.get(row).copied().unwrap_or(1.0);
                            top.push(key(metric, raw, inverse), row as u32, |a, b| a.cmp(&b));
                        }
                    }
                }
                for (i, top) in tops.iter_mut().enumerate() {
                    for (h, &(distance, row)) in top.finish(|a, b| a.cmp(&b)).iter().enumerate() {
                        rows[i * k + h] = row;
                        distances[i * k + h] = distance;
                    }
                }
                token.advance((queries.len() / dim) as u64);
            }
        },
    );
    token.check()?;
    Ok(hits)
}

/// `rows * k` values, or the error that there is no memory for them.
pub(crate) fn sized<T: Clone>(rows: usize, k: usize, value: T) -> Result<Vec<T>> {
    let bytes = rows.saturating_mul(k).saturating_mul(size_of::<T>());
    let mut out = Vec::new();
    if bytes > isize::MAX as usize || out.try_reserve_exact(rows * k).is_err() {
        return Err(Error::memory(bytes, "hits"));
    }
    out.resize(rows * k, value);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_at_one_distance_are_ordered_by_the_tie_though_their_squares_differ() {
        // Four neighboring squares, two roots.
        let square = |ulps: u32| f32::from_bits(2.0_f32.to_bits() + ulps);
        for k in [1, 3, 8, 20] {
            let keys: Vec<f32> = (0..300).rev().map(|i| square(i % 4)).collect();
            let mut wanted: Vec<(f32, u32)> = keys.iter().map(|key| key.sqrt()).zip(0..).collect();
            wanted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
            wanted.truncate(k);
            let mut top = Top::default();
            top.reset(Metric::L2, k);
            keys.iter().zip(0..).for_each(|(&key, row)| top.push(key, row, |a, b| a.cmp(&b)));
            assert_eq!(top.finish(|a, b| a.cmp(&b)), wanted);
        }
        // The tie's first come last.
        let mut top = Top::default();
        top.reset(Metric::Cosine, 2);
        (0..300).for_each(|row| top.push(0.5, row, |a, b| b.cmp(&a)));
        assert_eq!(top.finish(|a, b| b.cmp(&a)), [(0.5, 299), (0.5, 298)]);
    }

    #[test]
    fn the_limit_admits_every_key_with_the_root_of_the_farthest() {
        for scale in [1e-44, 1e-40, 1e-30, 1.0, 1.5, 3e7, 1e36_f32] {
            for ulps in 0..64 {
                let key = f32::from_bits(scale.to_bits() + ulps);
                let mut top = Top::default();
                top.reset(Metric::L2, 1);
                (0..66).for_each(|row| top.push(key, row, |a, b| a.cmp(&b)));
                let mut equal = key;
                while equal.sqrt() == key.sqrt() {
                    assert!(equal <= top.limit, "{equal:e} after {key:e}");
                    equal = f32::from_bits(equal.to_bits() + 1);
                }
            }
        }
    }

    #[test]
    fn a_product_of_zero_is_at_distance_zero() {
        assert_eq!(key(Metric::Dot, 0.0, 1.0).to_bits(), 0.0_f32.to_bits());
    }
}

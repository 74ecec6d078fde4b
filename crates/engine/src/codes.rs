//! Compact copies of the vectors, one byte a dimension, in one geometry: squared l2.
//!
//! ```text
//! x (cosine: x / |x|)  ->  c[i] = round((x[i] - offset[i]) / scale), 0 to 255
//! |a - b|^2 ~ scale^2 * (norm_a + norm_b - 2 dot(a, b)          norm = sum of c^2
//!                        + (extra_a - extra_b)^2)               dot only
//! ```
//! For `dot`, rows get one more coordinate, sqrt(ceiling^2 - |x|^2), so that all are equally long and nearest means
//! largest inner product. The extra coordinate stays out of the code: a query has 0 there, and needs only the product.
//!
//! The walk reads a query through [`QueryCode`], which has a range of its own: no query is ever clamped to the rows'.
//! Building compares rows by their codes alone ([`RowScorer`]).

use std::ops::Range;
use std::sync::Arc;

use auspex_kernel::{Kernels, Weights, prefetch};

use crate::arena::{Arena, Writer};
use crate::error::Result;
use crate::options::{MAX_DIM, Metric};
use crate::rows::{Rows, norm};
use crate::storage::checkpoint::{Checkpoint, Section};

const LINE: usize = 64;
const SAMPLE: usize = 2048;
/// Share of a sample that may lie outside of a dimension's range, at each end.
const TAIL: f64 = 0.0005;
/// Calibrate again when more than this share of all encoded values were clamped,
const CLAMPED: f64 = 0.01;
/// or when the rows have doubled and a range moved by more than this share of the scale's.
const MOVED: f32 = 0.1;
/// Coordinates of a query that are looked at together.
const LANES: usize = 16;
/// Nodes that are scored by one call.
const TOGETHER: usize = 32;

/// What can say how far nodes are from the thing searched for. Smaller is nearer.
pub(crate) trait Scorer {
    /// `out[i]` = the distance of `nodes[i]`.
    fn score(&self, nodes: &[u32], out: &mut [f32]);
    /// Asks for what scoring `nodes` reads to be brought near.
    fn prefetch(&self, nodes: &[u32]);
}

/// How floats become codes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Calibration {
    offset: Vec<f32>,
    scale: f32,
    /// `dot`: a power of two, at least as long as the longest row.
    ceiling: f64,
}

impl Calibration {
    /// From a seeded sample of `rows`, which must not be empty.
    pub fn of(rows: &Rows, numbers: &[u32], longest: f64, seed: u64) -> Calibration {
        let count = numbers.len().min(SAMPLE);
        let sample: Vec<u32> = if numbers.len() <= SAMPLE {
            numbers.to_vec()
        } else {
            (0..count as u64).map(|i| numbers[(mix(seed ^ i) % numbers.len() as u64) as usize]).collect()
        };
        let dim = rows.vector(numbers[0]).len();
        let cut = (count as f64 * TAIL) as usize;
        let mut column = vec![0.0_f32; count];
        let mut offset = Vec::with_capacity(dim);
        let mut widest = 0.0_f32;
        for i in 0..dim {
            for (x, &row) in column.iter_mut().zip(&sample) {
                *x = rows.vector(row)[i] * rows.inverse_norm(row);
            }
            let low = *column.select_nth_unstable_by(cut, f32::total_cmp).1;
            let high = *column.select_nth_unstable_by(count - 1 - cut, f32::total_cmp).1;
            offset.push(low);
            widest = widest.max(high - low);
        }
        // Equal rows have no range. They get the smallest one that floats of their size can tell apart, so that rows
        // unlike them are clamped and ask for another calibration.
        let largest = offset.iter().fold(0.0_f32, |largest, x| largest.max(x.abs()));
        let scale = (widest / 255.0).max(largest * 1e-6).max(1e-30);
        Calibration { offset, scale, ceiling: ceiling(longest) }
    }

    /// Writes the code of `vector * factor`; the padding stays as it is. Returns how many values were clamped.
    fn encode(&self, vector: &[f32], factor: f32, code: &mut [u8]) -> usize {
        let over = 1.0 / self.scale;
        let mut clamped = 0;
        for ((c, &x), &offset) in code.iter_mut().zip(vector).zip(&self.offset) {
            let place = (x * factor - offset) * over + 0.5;
            clamped += usize::from(!(0.0..256.0).contains(&place));
            *c = place as u8;
        }
        clamped
    }

    /// Whether the ranges of `newer` lie elsewhere by more than a tenth.
    fn moved(&self, newer: &Calibration) -> bool {
        let limit = self.scale * 255.0 * MOVED;
        (newer.scale - self.scale).abs() > self.scale * MOVED
            || self.offset.iter().zip(&newer.offset).any(|(a, b)| (a - b).abs() > limit)
    }
}

/// The least power of two that is not below `length`. By its bits: a logarithm may round to the wrong side of one, and
/// differently on another system.
fn ceiling(length: f64) -> f64 {
    f64::from_bits(length.max(f64::MIN_POSITIVE).to_bits().next_multiple_of(1 << 52))
}

/// A number that looks random, from one that does not (splitmix64's finaliser).
pub(crate) fn mix(x: u64) -> u64 {
    let mut z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A reader's handle on the codes of all nodes.
#[derive(Clone)]
pub(crate) struct Codes {
    calibration: Arc<Calibration>,
    codes: Arena<u8>,
    /// `dot` only: the extra coordinate.
    extras: Option<Arena<f32>>,
    kernels: &'static Kernels,
    metric: Metric,
}

/// The one handle that appends codes.
pub(crate) struct CodesWriter {
    reader: Codes,
    codes: Writer<u8>,
    extras: Option<Writer<f32>>,
    clamped: usize,
    /// Nodes at the last calibration.
    calibrated: usize,
    longest: f64,
}

/// What is known of a code besides its bytes.
#[derive(Clone, Copy, Default)]
pub(crate) struct Moments {
    pub squares: u32,
    pub extra: f32,
    pub length: f64,
    pub clamped: u32,
}

impl Codes {
    /// Bytes of a code, padding included.
    pub fn stride(&self) -> usize {
        self.calibration.offset.len().next_multiple_of(LINE)
    }

    /// Writes the code of a row into `code`, whose padding is zero.
    pub fn encode_into(&self, rows: &Rows, row: u32, code: &mut [u8]) -> Moments {
        let vector = rows.vector(row);
        let clamped = self.calibration.encode(vector, rows.inverse_norm(row), code) as u32;
        let squares = self.kernels.moments_u8(code).1;
        let (mut extra, mut length) = (0.0, 0.0);
        if self.metric == Metric::Dot {
            length = norm(vector);
            let rest = (self.calibration.ceiling * self.calibration.ceiling - length * length).max(0.0);
            extra = (rest.sqrt() / f64::from(self.calibration.scale)) as f32;
        }
        Moments { squares, extra, length, clamped }
    }

    /// What a checkpoint keeps of the first `nodes` codes.
    pub fn sections(&self, nodes: usize) -> Vec<Section<'_>> {
        let offsets = |range: Range<usize>, out: &mut Vec<u8>| {
            self.calibration.offset[range].iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
        };
        let mut sections = vec![
            Section::new("offsets", 4, self.calibration.offset.len(), MAX_DIM, offsets),
            Section::of("codes", &self.codes, nodes),
        ];
        sections.extend(self.extras.iter().map(|extras| Section::of("extras", extras, nodes)));
        sections
    }

    /// Whether a node's code is the one that its row has under this calibration.
    pub fn agrees(&self, rows: &Rows, row: u32, node: u32) -> bool {
        let mut code = vec![0; self.stride()];
        self.encode_into(rows, row, &mut code);
        code == self.codes.get(node as usize)
    }

    /// Prepares a query for the walk. For cosine it must be normalised.
    pub fn prepare(&self, query: &[f32], code: &mut QueryCode) {
        let calibration = &*self.calibration;
        let metric = self.metric;
        // What is left of a coordinate once the offset, which all rows share, is taken out.
        let own = |(&x, &offset): (&f32, &f32)| if metric == Metric::Dot { x } else { x - offset };
        // Sixteen at a time, each with sums of its own: one definition for every instruction set, and no chain of additions.
        let (mut low, mut high) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        let (mut norm, mut shift) = ([0.0_f64; LANES], [0.0_f64; LANES]);
        for (query, offset) in query.chunks(LANES).zip(calibration.offset.chunks(LANES)) {
            for (i, pair) in query.iter().zip(offset).enumerate() {
                let y = own(pair);
                (low[i], high[i]) = (if y < low[i] { y } else { low[i] }, if y > high[i] { y } else { high[i] });
                norm[i] += f64::from(y) * f64::from(y);
                shift[i] += f64::from(*pair.0) * f64::from(*pair.1);
            }
        }
        let low = low.into_iter().fold(f32::INFINITY, f32::min);
        let high = high.into_iter().fold(f32::NEG_INFINITY, f32::max);
        let (norm, shift) = (norm.iter().sum::<f64>(), shift.iter().sum::<f64>());
        let step = (high - low) / 255.0;
        let step = if step > f32::MIN_POSITIVE { step } else { 0.0 };
        let over = if step > 0.0 { 1.0 / step } else { 0.0 };
        code.code.resize(query.len(), 0);
        for (c, pair) in code.code.iter_mut().zip(query.iter().zip(&calibration.offset)) {
            // The cast to an integer of 32 bits is one instruction, that to one of 8 is not.
            *c = ((own(pair) - low) * over + 0.5) as i32 as u8;
        }
        // The rows' padding is 0, and so is its product with anything.
        code.code.resize(self.stride(), 0);
        let (scale, low, step) = (f64::from(calibration.scale), f64::from(low), f64::from(step));
        let (base, times, squares) =
            if metric == Metric::Dot { (-shift, 1.0, 0.0) } else { (norm, 2.0, scale * scale) };
        code.weights = Weights {
            base: base as f32,
            per_square: squares as f32,
            // The kernel's products are those of the query's code less 128.
            per_sum: (times * scale * (low + 128.0 * step)) as f32,
            per_dot: (times * scale * step) as f32,
        };
        // Rounding is uniform over a step; along any one direction its deviation is the step's over the root of 12.
        code.squared = metric != Metric::Dot;
        let lengths = if code.squared { (1.0, 1.0) } else { (norm.sqrt(), calibration.ceiling) };
        let (of_rows, of_query) = (scale * lengths.0, step * lengths.1);
        // Not `hypot`, whose last bit differs between systems.
        code.doubt = (4.0 / 12.0_f64.sqrt() * (of_rows * of_rows + of_query * of_query).sqrt()) as f32;
    }

    /// Asks for a node's code to be brought near.
    #[inline(always)]
    pub fn prefetch(&self, node: u32) {
        prefetch(self.codes.get(node as usize));
    }

    #[inline(always)]
    fn prefetch_all(&self, nodes: &[u32]) {
        let codes = self.codes.window();
        nodes.iter().for_each(|&node| prefetch(codes.get(node as usize)));
    }

    /// Squared distance of two nodes, in units of the scale.
    pub fn distance(&self, a: u32, b: u32) -> f32 {
        let mut out = [0.0];
        self.scorer(a).score(&[b], &mut out);
        out[0]
    }

    /// Scores nodes against a node.
    #[inline(always)]
    pub fn scorer(&self, node: u32) -> RowScorer<'_> {
        let code = self.codes.get(node as usize);
        RowScorer { codes: self, code, squares: self.kernels.moments_u8(code).1, extra: self.extra(node) }
    }

    /// Scores nodes against a row that is not a node yet.
    pub fn scorer_of<'a>(&'a self, code: &'a [u8], moments: &Moments) -> RowScorer<'a> {
        RowScorer { codes: self, code, squares: moments.squares, extra: moments.extra }
    }

    #[inline(always)]
    fn extra(&self, node: u32) -> f32 {
        self.extras.as_ref().map_or(0.0, |extras| extras.value(node as usize))
    }

    /// Scores nodes against a query.
    pub fn query_scorer<'a>(&'a self, query: &'a QueryCode) -> QueryScorer<'a> {
        QueryScorer { codes: self, query }
    }

    pub fn bytes(&self) -> usize {
        self.codes.bytes() + self.extras.as_ref().map_or(0, Arena::bytes)
    }

    /// Gives `score` the codes of nodes and where their distances belong.
    #[inline(always)]
    fn gather(&self, nodes: &[u32], out: &mut [f32], score: impl Fn(&[&[u8]], &mut [f32])) {
        let codes = self.codes.window();
        let mut rows: [&[u8]; TOGETHER] = [&[]; TOGETHER];
        for (nodes, out) in nodes.chunks(TOGETHER).zip(out.chunks_mut(TOGETHER)) {
            for (row, &node) in rows.iter_mut().zip(nodes) {
                *row = codes.get(node as usize);
            }
            score(&rows[..nodes.len()], out);
        }
    }
}

/// The squared distance of two codes with the extra coordinates of `dot`.
#[inline(always)]
pub(crate) fn extended(distance: f32, a: f32, b: f32) -> f32 {
    let extra = a - b;
    distance + extra * extra
}

/// A query as the walk reads it.
#[derive(Default)]
pub(crate) struct QueryCode {
    code: Vec<u8>,
    weights: Weights,
    doubt: f32,
    squared: bool,
}

impl QueryCode {
    /// How far a candidate may seem, and yet be as near as one that seems to be at `distance`: four standard
    /// deviations of what rounding does to a distance.
    pub fn reach(&self, distance: f32) -> f32 {
        if self.squared { (distance.max(0.0).sqrt() + self.doubt).powi(2) } else { distance + self.doubt }
    }
}

/// Scores nodes against a query: squared l2 of the query and the code, or the negated inner product.
pub(crate) struct QueryScorer<'a> {
    codes: &'a Codes,
    query: &'a QueryCode,
}

impl Scorer for QueryScorer<'_> {
    #[inline(always)]
    fn score(&self, nodes: &[u32], out: &mut [f32]) {
        let QueryCode { code, weights, .. } = self.query;
        let kernels = self.codes.kernels;
        self.codes.gather(nodes, out, |rows, out| kernels.weighted_u8_gather(code, *weights, rows, out));
    }

    #[inline(always)]
    fn prefetch(&self, nodes: &[u32]) {
        self.codes.prefetch_all(nodes);
    }
}

/// Scores nodes against a row's code: squared l2 in units of the scale.
pub(crate) struct RowScorer<'a> {
    codes: &'a Codes,
    code: &'a [u8],
    squares: u32,
    extra: f32,
}

impl Scorer for RowScorer<'_> {
    #[inline(always)]
    fn score(&self, nodes: &[u32], out: &mut [f32]) {
        let kernels = self.codes.kernels;
        self.codes.gather(nodes, out, |rows, out| kernels.l2_squared_u8_gather(self.code, self.squares, rows, out));
        if let Some(extras) = &self.codes.extras {
            for (out, &node) in out.iter_mut().zip(nodes) {
                *out = extended(*out, self.extra, extras.value(node as usize));
            }
        }
    }

    #[inline(always)]
    fn prefetch(&self, nodes: &[u32]) {
        self.codes.prefetch_all(nodes);
    }
}

/// Nodes that others are held against, one after the other.
pub(crate) struct Taken<'a> {
    codes: &'a Codes,
    rows: Vec<&'a [u8]>,
    extras: Vec<f32>,
}

impl<'a> Taken<'a> {
    pub fn new(codes: &'a Codes, most: usize) -> Taken<'a> {
        Taken { codes, rows: Vec::with_capacity(most), extras: Vec::with_capacity(most) }
    }

    pub fn push(&mut self, node: u32) {
        self.rows.push(self.codes.codes.get(node as usize));
        self.extras.push(self.codes.extra(node));
    }

    /// Whether `is_far` holds for the distances of the node to all of them, as [`RowScorer`] gives them.
    #[inline(always)]
    pub fn all(&self, node: u32, is_far: impl Fn(f32) -> bool) -> bool {
        let scorer = self.codes.scorer(node);
        let mut distances = [0.0; 4];
        self.rows.chunks(4).zip(self.extras.chunks(4)).all(|(rows, extras)| {
            let distances = &mut distances[..rows.len()];
            self.codes.kernels.l2_squared_u8_gather(scorer.code, scorer.squares, rows, distances);
            distances.iter().zip(extras).all(|(&d, &extra)| is_far(extended(d, scorer.extra, extra)))
        })
    }
}

impl CodesWriter {
    /// No codes yet, under `calibration`, which was made from `calibrated` rows of at most length `longest`.
    pub fn new(
        calibration: Calibration,
        calibrated: usize,
        longest: f64,
        kernels: &'static Kernels,
        metric: Metric,
    ) -> CodesWriter {
        let codes = Writer::new(calibration.offset.len().next_multiple_of(LINE));
        let extras = (metric == Metric::Dot).then(|| Writer::new(1));
        CodesWriter::of(calibration, (codes, extras), (0, calibrated, longest), kernels, metric)
    }

    /// The codes that a checkpoint kept.
    pub fn load(checkpoint: &Checkpoint, dim: usize, kernels: &'static Kernels, metric: Metric) -> Result<CodesWriter> {
        let offset: Vec<f32> =
            checkpoint.bytes("offsets").chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect();
        let scale = u32::try_from(checkpoint.number("scale")?).map_err(|_| checkpoint.lacks("scale"))?;
        let (scale, ceiling) = (f32::from_bits(scale), f64::from_bits(checkpoint.number("ceiling")?));
        let calibration = Calibration { offset, scale, ceiling };
        let codes: Writer<u8> = checkpoint.arena("codes", dim.next_multiple_of(LINE))?;
        let extras: Option<Writer<f32>> = (metric == Metric::Dot).then(|| checkpoint.arena("extras", 1)).transpose()?;
        let nodes = codes.len();
        let whole = extras.as_ref().is_none_or(|extras| extras.len() == nodes);
        if calibration.offset.len() != dim || !whole {
            return Err(checkpoint.lacks("codes"));
        }
        let counts = (checkpoint.number("clamped")? as usize, checkpoint.number("calibrated")? as usize);
        let longest = f64::from_bits(checkpoint.number("longest")?);
        Ok(CodesWriter::of(calibration, (codes, extras), (counts.0, counts.1, longest), kernels, metric))
    }

    /// What a checkpoint keeps beside the sections.
    pub fn facts(&self) -> serde_json::Value {
        serde_json::json!({
            "scale": self.reader.calibration.scale.to_bits(),
            "ceiling": self.reader.calibration.ceiling.to_bits(),
            "clamped": self.clamped,
            "calibrated": self.calibrated,
            "longest": self.longest.to_bits(),
        })
    }

    fn of(
        calibration: Calibration,
        (codes, extras): (Writer<u8>, Option<Writer<f32>>),
        (clamped, calibrated, longest): (usize, usize, f64),
        kernels: &'static Kernels,
        metric: Metric,
    ) -> CodesWriter {
        let reader = Codes {
            calibration: Arc::new(calibration),
            codes: codes.reader(),
            extras: extras.as_ref().map(Writer::reader),
            kernels,
            metric,
        };
        CodesWriter { reader, codes, extras, clamped, calibrated, longest }
    }

    pub fn codes(&self) -> &Codes {
        &self.reader
    }

    pub fn len(&self) -> usize {
        self.codes.len()
    }

    pub fn reserve(&mut self, more: usize) -> Result<()> {
        self.codes.reserve(more)?;
        self.extras.as_mut().map_or(Ok(()), |extras| extras.reserve(more))
    }

    /// Appends the code of the next node.
    pub fn push_code(&mut self, code: &[u8], moments: &Moments) -> Result<()> {
        self.codes.push(code)?;
        if let Some(extras) = &mut self.extras {
            extras.push(&[moments.extra])?;
        }
        self.clamped += moments.clamped as usize;
        self.longest = self.longest.max(moments.length);
        Ok(())
    }

    /// The calibration that should take this one's place once `batch` is in, if any. `numbers` lists all rows, the
    /// batch's too. Only the rows decide, never time.
    pub fn outgrown(
        &self,
        rows: &Rows,
        numbers: impl FnOnce() -> Vec<u32>,
        batch: &[Moments],
        seed: u64,
    ) -> Option<CodesWriter> {
        let nodes = self.codes.len() + batch.len();
        let clamped = self.clamped + batch.iter().map(|row| row.clamped as usize).sum::<usize>();
        let dim = self.reader.calibration.offset.len();
        let longest = batch.iter().fold(self.longest, |longest, row| longest.max(row.length));
        let too_long = longest > self.reader.calibration.ceiling && self.reader.metric == Metric::Dot;
        let clamps = clamped as f64 > CLAMPED * (nodes * dim) as f64;
        if !too_long && !clamps && nodes < self.calibrated * 2 {
            return None;
        }
        let numbers = numbers();
        let newer = Calibration::of(rows, &numbers, longest, seed);
        if !too_long && !clamps && !self.reader.calibration.moved(&newer) {
            return None;
        }
        Some(CodesWriter::new(newer, nodes, longest, self.reader.kernels, self.reader.metric))
    }

    /// Takes note that the calibration still holds for so many nodes.
    pub fn confirm(&mut self) {
        if self.codes.len() >= self.calibrated * 2 {
            self.calibrated = self.codes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_is_the_least_power_of_two_that_is_not_below() {
        let next = |x: f64| f64::from_bits(x.to_bits() + 1);
        for power in [1.0, 1024.0, 0.25, (1_u64 << 62) as f64] {
            assert_eq!(ceiling(power), power);
            assert_eq!(ceiling(next(power)), 2.0 * power);
            assert_eq!(ceiling(power * 0.75), power);
        }
        assert_eq!(ceiling(0.0), f64::MIN_POSITIVE);
    }
}

//! What the walk reads of the rows, and how far rows are from each other, in one geometry: squared l2.
//!
//! ```text
//! quantization   a node's code                            a query is held against
//! sq8            c, one byte a dimension                  the code
//! sq4            round(c / 17), half a byte               the code
//! f16            the place that c rounds, as a half       the code
//! none           nothing                                  the row's floats, in the log
//! ```
//! Building compares by c: a batch's own rows have it while they are linked, and with sq8 all nodes have. With the others
//! nodes know their row, whose floats stand for them.
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
//! Building compares rows by [`RowScorer`], in units of the scale.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use auspex_kernel::{Kernels, Weights, prefetch, to_half};

use crate::arena::{Arena, Writer};
use crate::error::Result;
use crate::exact;
use crate::options::{MAX_DIM, Metric, Quantization};
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
/// Steps of a code of 8 bits in one of 4.
const COARSER: u8 = 17;
/// What halves count from: then the range's ends are as far from 0 as they can be near.
const MIDDLE: f32 = 127.5;
/// No coordinate of a query is further off, in units of the scale: squares stay floats.
const FARTHEST: f32 = 1e15;
/// Squared distance of two directions below which their vectors may be the same, byte for byte.
const ALIKE: f32 = 1e-5;

/// What can say how far nodes are from the thing searched for. Smaller is nearer.
pub(crate) trait Scorer {
    /// `out[i]` = the distance of `nodes[i]`.
    fn score(&self, nodes: &[u32], out: &mut [f32]);
    /// Asks for what scoring `nodes` reads to be brought near.
    fn prefetch(&self, nodes: &[u32]);
}

impl Quantization {
    /// Bytes of a node's code.
    fn code_bytes(self, dim: usize) -> usize {
        match self {
            Quantization::None => 0,
            Quantization::F16 => dim.next_multiple_of(LINE / 2) * 2,
            Quantization::Sq8 => dim.next_multiple_of(LINE),
            Quantization::Sq4 => dim.next_multiple_of(LINE) / 2,
        }
    }

    /// What a code's coordinate is rounded to, in units of the scale.
    pub fn step(self) -> f64 {
        match self {
            Quantization::None => 0.0,
            // At the ends of the range, where halves are farthest apart.
            Quantization::F16 => 1.0 / 16.0,
            Quantization::Sq8 => 1.0,
            Quantization::Sq4 => f64::from(COARSER),
        }
    }
}

/// Four standard deviations of what rounding to `step` does to a distance. It is uniform over a step, so along any one
/// direction its deviation is the step's over the root of 12.
pub(crate) fn doubt(step: f64) -> f64 {
    4.0 / 12.0_f64.sqrt() * step
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

/// Whether two vectors have the same bytes.
pub(crate) fn same(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(x, y)| x.to_bits() == y.to_bits())
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
    quantization: Quantization,
    calibration: Arc<Calibration>,
    codes: Arena<u8>,
    /// `dot` only: the extra coordinate.
    extras: Option<Arena<f32>>,
    /// What stands for nodes whose code is not of 8 bits.
    sources: Option<Sources>,
    kernels: &'static Kernels,
    metric: Metric,
}

/// The floats of nodes.
#[derive(Clone)]
struct Sources {
    /// Of each node one of its rows.
    rows: Arena<u32>,
    vectors: Rows,
}

impl Sources {
    /// The node's vector as it was given, and one over its length (cosine).
    #[inline(always)]
    fn get(&self, node: u32) -> (&[f32], f32) {
        let row = self.rows.value(node as usize);
        (self.vectors.vector(row), self.vectors.inverse_norm(row))
    }
}

/// The one handle that appends codes.
pub(crate) struct CodesWriter {
    reader: Codes,
    arrays: Arrays,
    clamped: usize,
    /// The code that is being made.
    code: Vec<u8>,
    /// Nodes at the last calibration.
    calibrated: usize,
    longest: f64,
}

/// What is appended to.
struct Arrays {
    codes: Writer<u8>,
    extras: Option<Writer<f32>>,
    sources: Option<Writer<u32>>,
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
    /// What the walk reads.
    pub fn quantization(&self) -> Quantization {
        self.quantization
    }

    /// Whether nodes are compared by their floats.
    pub fn has_floats(&self) -> bool {
        self.sources.is_some()
    }

    /// What a code of 8 bits is rounded to.
    pub fn scale(&self) -> f64 {
        f64::from(self.calibration.scale)
    }

    /// Bytes of a code of 8 bits a dimension, padding included.
    pub fn stride(&self) -> usize {
        self.calibration.offset.len().next_multiple_of(LINE)
    }

    /// Writes the code of 8 bits of a row into `code`, whose padding is zero.
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

    /// Makes the code that a node of a row has of the row's code of 8 bits.
    fn convert(&self, rows: &Rows, row: u32, eight: &[u8], out: &mut Vec<u8>) {
        out.clear();
        match self.quantization {
            Quantization::None => {}
            Quantization::Sq8 => out.extend_from_slice(eight),
            Quantization::Sq4 => {
                let four = |code: u8| code.saturating_add(COARSER / 2) / COARSER;
                for codes in eight.as_chunks::<LINE>().0 {
                    let (low, high) = codes.split_at(LINE / 2);
                    out.extend(low.iter().zip(high).map(|(&low, &high)| four(low) | four(high) << 4));
                }
            }
            Quantization::F16 => {
                let (over, factor) = (1.0 / self.calibration.scale, rows.inverse_norm(row));
                for (&x, &offset) in rows.vector(row).iter().zip(&self.calibration.offset) {
                    out.extend_from_slice(&to_half((x * factor - offset) * over - MIDDLE).to_le_bytes());
                }
                out.resize(self.codes.slot_bytes(), 0);
            }
        }
    }

    /// What a checkpoint keeps of the first `nodes` codes.
    pub fn sections(&self, nodes: usize) -> Vec<Section<'_>> {
        let offsets = |range: Range<usize>, out: &mut Vec<u8>| {
            self.calibration.offset[range].iter().for_each(|x| out.extend_from_slice(&x.to_le_bytes()));
        };
        let mut sections = vec![Section::new("offsets", 4, self.calibration.offset.len(), MAX_DIM, offsets)];
        if self.quantization != Quantization::None {
            sections.push(Section::of("codes", &self.codes, nodes));
        }
        sections.extend(self.extras.iter().map(|extras| Section::of("extras", extras, nodes)));
        sections.extend(self.sources.iter().map(|sources| Section::of("sources", &sources.rows, nodes)));
        sections
    }

    /// Whether a node's code is the one that its row has under this calibration.
    pub fn agrees(&self, rows: &Rows, row: u32, node: u32) -> bool {
        let (mut eight, mut code) = (vec![0; self.stride()], Vec::new());
        self.encode_into(rows, row, &mut eight);
        self.convert(rows, row, &eight, &mut code);
        let is_source = |sources: &Sources| same(sources.get(node).0, rows.vector(row));
        code == self.codes.get(node as usize) && self.sources.as_ref().is_none_or(is_source)
    }

    /// Distance up to which rows may be the same.
    pub fn alike(&self) -> f32 {
        let exact = self.quantization == Quantization::Sq8 || self.metric != Metric::Cosine;
        if exact { 0.0 } else { ALIKE / (self.calibration.scale * self.calibration.scale) }
    }

    /// Prepares a query for the walk. For cosine it must be normalised.
    pub fn prepare(&self, query: &[f32], code: &mut QueryCode) {
        code.floats.clear();
        (code.squared, code.doubt) = (false, 0.0);
        match self.quantization {
            Quantization::None => code.floats.extend_from_slice(query),
            Quantization::F16 => self.prepare_halves(query, code),
            Quantization::Sq8 | Quantization::Sq4 => self.prepare_codes(query, code),
        }
    }

    /// What the distance of a query to a code is made of, and how far rounding may change it.
    fn prepare_halves(&self, query: &[f32], code: &mut QueryCode) {
        let Calibration { offset, scale, .. } = &*self.calibration;
        let step = Quantization::F16.step() * f64::from(*scale);
        code.squared = self.metric != Metric::Dot;
        if code.squared {
            let over = 1.0 / scale;
            let place = |(x, offset): (&f32, &f32)| ((x - offset) * over - MIDDLE).clamp(-FARTHEST, FARTHEST);
            code.floats.extend(query.iter().zip(offset).map(place));
            code.weights = Weights { per_dot: scale * scale, ..Weights::default() };
            code.doubt = doubt(step) as f32;
        } else {
            code.floats.extend_from_slice(query);
            let low = |(&x, &offset): (&f32, &f32)| f64::from(x) * f64::from(offset + MIDDLE * scale);
            let base = query.iter().zip(offset).map(low).sum::<f64>();
            code.weights = Weights { base: -base as f32, per_dot: -scale, ..Weights::default() };
            code.doubt = (doubt(step) * norm(query)) as f32;
        }
        code.floats.resize(self.codes.slot_bytes() / 2, 0.0);
    }

    fn prepare_codes(&self, query: &[f32], code: &mut QueryCode) {
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
        let scale = f64::from(calibration.scale) * self.quantization.step();
        let (low, step) = (f64::from(low), f64::from(step));
        let (base, times, squares) =
            if metric == Metric::Dot { (-shift, 1.0, 0.0) } else { (norm, 2.0, scale * scale) };
        code.weights = Weights {
            base: base as f32,
            per_square: squares as f32,
            // The kernel's products are those of the query's code less 128.
            per_sum: (times * scale * (low + 128.0 * step)) as f32,
            per_dot: (times * scale * step) as f32,
        };
        code.squared = metric != Metric::Dot;
        let lengths = if code.squared { (1.0, 1.0) } else { (norm.sqrt(), calibration.ceiling) };
        let (of_rows, of_query) = (scale * lengths.0, step * lengths.1);
        // Not `hypot`, whose last bit differs between systems.
        code.doubt = doubt((of_rows * of_rows + of_query * of_query).sqrt()) as f32;
    }

    /// Asks for what building reads of a node to be brought near.
    #[inline(always)]
    pub fn prefetch(&self, node: u32) {
        match &self.sources {
            None => prefetch(self.codes.get(node as usize)),
            Some(sources) => prefetch(sources.get(node).0),
        }
    }

    #[inline(always)]
    fn prefetch_codes(&self, nodes: &[u32]) {
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
        let extra = self.extra(node);
        let by = match &self.sources {
            None => {
                let code = self.codes.get(node as usize);
                By::Code { code, squares: self.kernels.moments_u8(code).1 }
            }
            Some(sources) => self.by_floats(sources, sources.get(node)),
        };
        RowScorer { codes: self, by, extra }
    }

    /// Scores nodes against a row that is not a node yet.
    pub fn scorer_of<'a>(&'a self, row: u32, code: &'a [u8], moments: &Moments) -> RowScorer<'a> {
        let by = match &self.sources {
            None => By::Code { code, squares: moments.squares },
            Some(sources) => self.by_floats(sources, (sources.vectors.vector(row), sources.vectors.inverse_norm(row))),
        };
        RowScorer { codes: self, by, extra: moments.extra }
    }

    /// The floats of a row, as rows are compared with it.
    fn by_floats<'a>(&'a self, sources: &'a Sources, (vector, inverse): (&'a [f32], f32)) -> By<'a> {
        // Where its products with any row are floats it can be taken as it is.
        let usual = 2.0_f32.powi(-20)..2.0_f32.powi(20);
        let (vector, factor) = if usual.contains(&inverse) {
            (Cow::Borrowed(vector), inverse)
        } else {
            (Cow::Owned(vector.iter().map(|x| x * inverse).collect()), 1.0)
        };
        By::Floats { sources, vector, factor }
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
        let sources = self.sources.as_ref().map_or(0, |sources| sources.rows.bytes());
        self.codes.bytes() + self.extras.as_ref().map_or(0, Arena::bytes) + sources
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
    /// `f16` and `none`: what is held against a node's floats.
    floats: Vec<f32>,
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
        let QueryCode { code, floats, weights, .. } = self.query;
        let Codes { kernels, metric, .. } = self.codes;
        match (self.codes.quantization, &self.codes.sources) {
            (Quantization::None, Some(sources)) => {
                for (nodes, out) in nodes.chunks(4).zip(out.chunks_mut(4)) {
                    let rows: [_; 4] = std::array::from_fn(|i| sources.get(nodes[i.min(nodes.len() - 1)]));
                    let vectors = rows.map(|(vector, _)| vector);
                    let raw = match metric {
                        Metric::L2 => kernels.l2_squared_f32_x4(floats, vectors),
                        _ => kernels.dot_f32_x4(floats, vectors),
                    };
                    for ((out, raw), (_, inverse)) in out.iter_mut().zip(raw).zip(rows) {
                        *out = exact::key(*metric, raw, inverse);
                    }
                }
            }
            (Quantization::F16, _) => self.codes.gather(nodes, out, |rows, out| {
                match metric {
                    Metric::Dot => kernels.dot_f16_gather(floats, rows, out),
                    _ => kernels.l2_squared_f16_gather(floats, rows, out),
                }
                out.iter_mut().for_each(|out| *out = weights.base + weights.per_dot * *out);
            }),
            (Quantization::Sq4, _) => {
                self.codes.gather(nodes, out, |rows, out| kernels.weighted_u4_gather(code, *weights, rows, out));
            }
            _ => self.codes.gather(nodes, out, |rows, out| kernels.weighted_u8_gather(code, *weights, rows, out)),
        }
    }

    #[inline(always)]
    fn prefetch(&self, nodes: &[u32]) {
        match &self.codes.sources {
            Some(sources) if self.codes.quantization == Quantization::None => {
                nodes.iter().for_each(|&node| prefetch(sources.get(node).0));
            }
            _ => self.codes.prefetch_codes(nodes),
        }
    }
}

/// Scores nodes against a row: squared l2 in units of the scale.
pub(crate) struct RowScorer<'a> {
    codes: &'a Codes,
    by: By<'a>,
    extra: f32,
}

/// What of a row is compared.
enum By<'a> {
    Code { code: &'a [u8], squares: u32 },
    Floats { sources: &'a Sources, vector: Cow<'a, [f32]>, factor: f32 },
}

impl RowScorer<'_> {
    /// The distances of at most four vectors, each with one over its length (cosine), but for the extra coordinate.
    #[inline(always)]
    fn of_floats(&self, vector: &[f32], factor: f32, others: &[(&[f32], f32)]) -> [f32; 4] {
        let Codes { calibration, kernels, metric, .. } = self.codes;
        let other = |i: usize| others[i.min(others.len() - 1)];
        let vectors = [other(0).0, other(1).0, other(2).0, other(3).0];
        let over = 1.0 / calibration.scale;
        if *metric == Metric::Cosine {
            let dots = kernels.dot_f32_x4(vector, vectors);
            std::array::from_fn(|i| (2.0 - 2.0 * (dots[i] * factor * other(i).1)).max(0.0) * over * over)
        } else {
            kernels.l2_squared_f32_x4(vector, vectors).map(|squares| squares * over * over)
        }
    }
}

impl Scorer for RowScorer<'_> {
    #[inline(always)]
    fn score(&self, nodes: &[u32], out: &mut [f32]) {
        let Codes { kernels, extras, .. } = self.codes;
        match &self.by {
            By::Code { code, squares } => {
                self.codes.gather(nodes, out, |rows, out| kernels.l2_squared_u8_gather(code, *squares, rows, out));
            }
            By::Floats { sources, vector, factor } => {
                for (nodes, out) in nodes.chunks(4).zip(out.chunks_mut(4)) {
                    let others: [_; 4] = std::array::from_fn(|i| sources.get(nodes[i.min(nodes.len() - 1)]));
                    let distances = self.of_floats(vector, *factor, &others);
                    out.iter_mut().zip(distances).for_each(|(out, distance)| *out = distance);
                }
            }
        }
        if let Some(extras) = extras {
            for (out, &node) in out.iter_mut().zip(nodes) {
                *out = extended(*out, self.extra, extras.value(node as usize));
            }
        }
    }

    #[inline(always)]
    fn prefetch(&self, nodes: &[u32]) {
        match &self.by {
            By::Code { .. } => self.codes.prefetch_codes(nodes),
            By::Floats { sources, .. } => nodes.iter().for_each(|&node| prefetch(sources.get(node).0)),
        }
    }
}

/// Nodes that others are held against, one after the other.
pub(crate) struct Taken<'a> {
    codes: &'a Codes,
    rows: Vec<&'a [u8]>,
    floats: Vec<(&'a [f32], f32)>,
    extras: Vec<f32>,
}

impl<'a> Taken<'a> {
    pub fn new(codes: &'a Codes, most: usize) -> Taken<'a> {
        let by_code = if codes.sources.is_none() { most } else { 0 };
        let (rows, floats) = (Vec::with_capacity(by_code), Vec::with_capacity(most - by_code));
        Taken { codes, rows, floats, extras: Vec::with_capacity(most) }
    }

    pub fn push(&mut self, node: u32) {
        match &self.codes.sources {
            None => self.rows.push(self.codes.codes.get(node as usize)),
            Some(sources) => self.floats.push(sources.get(node)),
        }
        self.extras.push(self.codes.extra(node));
    }

    /// Whether `is_far` holds for the distances of the node to all of them, as [`RowScorer`] gives them.
    #[inline(always)]
    pub fn all(&self, node: u32, is_far: impl Fn(f32) -> bool) -> bool {
        let scorer = self.codes.scorer(node);
        let far = |distances: &[f32], extras: &[f32]| {
            distances.iter().zip(extras).all(|(&d, &extra)| is_far(extended(d, scorer.extra, extra)))
        };
        match &scorer.by {
            By::Code { code, squares } => {
                let mut distances = [0.0; 4];
                self.rows.chunks(4).zip(self.extras.chunks(4)).all(|(rows, extras)| {
                    let distances = &mut distances[..rows.len()];
                    self.codes.kernels.l2_squared_u8_gather(code, *squares, rows, distances);
                    far(distances, extras)
                })
            }
            By::Floats { vector, factor, .. } => {
                let mut fours = self.floats.chunks(4).zip(self.extras.chunks(4));
                fours.all(|(others, extras)| far(&scorer.of_floats(vector, *factor, others), extras))
            }
        }
    }
}

impl CodesWriter {
    /// No codes yet, under `calibration`, which was made from `calibrated` of `rows`, of at most length `longest`.
    pub fn new(
        quantization: Quantization,
        calibration: Calibration,
        (calibrated, longest): (usize, f64),
        rows: &Rows,
        kernels: &'static Kernels,
        metric: Metric,
    ) -> CodesWriter {
        let arrays = Arrays {
            codes: Writer::new(quantization.code_bytes(rows.dim())),
            extras: (metric == Metric::Dot).then(|| Writer::new(1)),
            sources: (quantization != Quantization::Sq8).then(|| Writer::new(1)),
        };
        CodesWriter::of(quantization, calibration, arrays, (0, calibrated, longest), rows, kernels, metric)
    }

    /// The codes that a checkpoint kept.
    pub fn load(
        checkpoint: &Checkpoint,
        rows: &Rows,
        kernels: &'static Kernels,
        metric: Metric,
    ) -> Result<CodesWriter> {
        let dim = rows.dim();
        let offset: Vec<f32> =
            checkpoint.bytes("offsets").chunks_exact(4).map(|x| f32::from_le_bytes([x[0], x[1], x[2], x[3]])).collect();
        let scale = u32::try_from(checkpoint.number("scale")?).map_err(|_| checkpoint.lacks("scale"))?;
        let (scale, ceiling) = (f32::from_bits(scale), f64::from_bits(checkpoint.number("ceiling")?));
        if !(scale.is_finite() && scale > 0.0) {
            return Err(checkpoint.lacks("scale"));
        }
        let calibration = Calibration { offset, scale, ceiling };
        // Version 0.1.0 had but one.
        let place = checkpoint.number("quantization").unwrap_or(Quantization::Sq8 as u64);
        let known = usize::try_from(place).ok().and_then(|place| Quantization::ALL.get(place));
        let quantization = *known.ok_or_else(|| checkpoint.lacks("quantization"))?;
        let extras: Option<Writer<f32>> = (metric == Metric::Dot).then(|| checkpoint.arena("extras", 1)).transpose()?;
        let has_sources = quantization != Quantization::Sq8;
        let sources: Option<Writer<u32>> = has_sources.then(|| checkpoint.arena("sources", 1)).transpose()?;
        let mut codes: Writer<u8> = Writer::new(0);
        match (quantization, &sources) {
            // As many as the file has sources: a number that it only names may be of any size.
            (Quantization::None, Some(sources)) => codes.grow(sources.len())?,
            _ => codes = checkpoint.arena("codes", quantization.code_bytes(dim))?,
        }
        let nodes = codes.len();
        let whole = extras.as_ref().is_none_or(|extras| extras.len() == nodes)
            && sources.as_ref().is_none_or(|sources| sources.len() == nodes);
        if calibration.offset.len() != dim || !whole {
            return Err(checkpoint.lacks("codes"));
        }
        let counts = (checkpoint.number("clamped")? as usize, checkpoint.number("calibrated")? as usize);
        let longest = f64::from_bits(checkpoint.number("longest")?);
        let arrays = Arrays { codes, extras, sources };
        let counts = (counts.0, counts.1, longest);
        Ok(CodesWriter::of(quantization, calibration, arrays, counts, rows, kernels, metric))
    }

    /// What a checkpoint keeps beside the sections.
    pub fn facts(&self) -> serde_json::Value {
        serde_json::json!({
            "quantization": self.reader.quantization as u64,
            "scale": self.reader.calibration.scale.to_bits(),
            "ceiling": self.reader.calibration.ceiling.to_bits(),
            "clamped": self.clamped,
            "calibrated": self.calibrated,
            "longest": self.longest.to_bits(),
        })
    }

    fn of(
        quantization: Quantization,
        calibration: Calibration,
        arrays: Arrays,
        (clamped, calibrated, longest): (usize, usize, f64),
        rows: &Rows,
        kernels: &'static Kernels,
        metric: Metric,
    ) -> CodesWriter {
        let sources = |sources: &Writer<u32>| Sources { rows: sources.reader(), vectors: rows.clone() };
        let reader = Codes {
            quantization,
            calibration: Arc::new(calibration),
            codes: arrays.codes.reader(),
            extras: arrays.extras.as_ref().map(Writer::reader),
            sources: arrays.sources.as_ref().map(sources),
            kernels,
            metric,
        };
        CodesWriter { reader, arrays, clamped, code: Vec::new(), calibrated, longest }
    }

    pub fn codes(&self) -> &Codes {
        &self.reader
    }

    /// The same nodes without codes, each made of one of `rows`: walks read these.
    pub fn by_floats(&self, rows: &[u32], vectors: &Rows) -> Result<CodesWriter> {
        let Codes { calibration, kernels, metric, extras, .. } = &self.reader;
        let (none, counts) = (Quantization::None, (self.calibrated, self.longest));
        let mut writer = CodesWriter::new(none, (**calibration).clone(), counts, vectors, kernels, *metric);
        writer.reserve(rows.len())?;
        for (node, &row) in rows.iter().enumerate() {
            let extra = extras.as_ref().map_or(0.0, |extras| extras.value(node));
            writer.push_code(row, &[], &Moments { extra, ..Moments::default() })?;
        }
        writer.clamped = self.clamped;
        Ok(writer)
    }

    /// Lets nodes be made of rows that came since, and be read by who takes [`CodesWriter::codes`] from now on.
    pub fn see(&mut self, rows: &Rows) {
        if let Some(sources) = &mut self.reader.sources {
            sources.vectors = rows.clone();
        }
    }

    pub fn len(&self) -> usize {
        self.arrays.codes.len()
    }

    pub fn reserve(&mut self, more: usize) -> Result<()> {
        let Arrays { codes, extras, sources } = &mut self.arrays;
        codes.reserve(more)?;
        extras.as_mut().map_or(Ok(()), |extras| extras.reserve(more))?;
        sources.as_mut().map_or(Ok(()), |sources| sources.reserve(more))
    }

    /// Appends the code of the next node, which is made of a row with this code of 8 bits.
    pub fn push_code(&mut self, row: u32, eight: &[u8], moments: &Moments) -> Result<()> {
        let Arrays { codes, extras, sources } = &mut self.arrays;
        match (&self.reader.sources, sources) {
            (Some(reader), Some(sources)) => {
                self.reader.convert(&reader.vectors, row, eight, &mut self.code);
                codes.push(&self.code)?;
                sources.push(&[row])?;
            }
            _ => codes.push(eight)?,
        }
        if let Some(extras) = extras {
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
        let nodes = self.len() + batch.len();
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
        let Codes { quantization, kernels, metric, .. } = self.reader;
        Some(CodesWriter::new(quantization, newer, (nodes, longest), rows, kernels, metric))
    }

    /// Takes note that the calibration still holds for so many nodes.
    pub fn confirm(&mut self) {
        if self.len() >= self.calibrated * 2 {
            self.calibrated = self.len();
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

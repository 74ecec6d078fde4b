//! All pairs of two groups of sixteen rows, and the nearest that each row has seen.
//!
//! ```text
//!   panel of 16 rows        line t holds codes 4t .. 4t + 4 of all of them: row 0, row 1, ... row 15
//!   two panels              -> 16 x 16 dot products                         tile_dots: exact
//!   dot products, norms     -> 16 x 16 keys: a float's bits, rounded down, and whom it belongs to
//!   keys                    -> those below a row's limit enter its list     tile_offer
//! ```
//! A key orders by distance, and of equal distances by `i ^ j`: which of many rows in one place become neighbors then
//! differs from row to row, and `j` is `key ^ i` in its lowest bits. So one key serves both rows of a pair.

use std::array::from_fn;

use crate::lanes::Lanes;

/// Rows of a panel.
pub const TILE: usize = 16;

/// Rows that keys can tell apart.
pub const TILE_ROWS: usize = 1 << INDEX_BITS;

/// Longest codes whose squared distance is less than 2^31.
pub(crate) const LONGEST: usize = 32_768;

const INDEX_BITS: u32 = 10;

/// The bits of a key that are the distance's: no sign, so that what is not a number lies behind all numbers.
const DISTANCE_BITS: u32 = (u32::MAX >> 1) & !(TILE_ROWS as u32 - 1);

/// Sixteen times four codes: a line of a panel.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Line(pub [u8; 64]);

/// A number for each row of a panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub struct Sixteen<T>(pub [T; TILE]);

/// Dot products of the rows of two panels.
pub type Dots = [Sixteen<u32>; TILE];

/// What makes distances of dot products: `norm_a + norm_b - 2 dot + (extra_a - extra_b)^2`.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The sum of each row's squared codes.
    pub norms: Sixteen<u32>,
    /// One coordinate more. Infinite where there is no row: it is then nobody's neighbor.
    pub extras: Sixteen<f32>,
}

impl Facts {
    /// No rows.
    pub const NONE: Facts = Facts { norms: Sixteen([0; TILE]), extras: Sixteen([f32::INFINITY; TILE]) };
}

/// The nearest rows that a row has seen, nearest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nearest(pub Sixteen<u32>);

impl Nearest {
    /// None yet.
    pub const NONE: Nearest = Nearest(Sixteen([f32::INFINITY.to_bits(); TILE]));

    /// Distance and number of each row that row `i` has seen; the distance has lost its ten lowest bits.
    pub fn rows(&self, i: usize) -> impl Iterator<Item = (f32, usize)> + '_ {
        decoded(&self.0.0, i)
    }
}

/// [`Nearest::rows`] of keys that were copied.
pub fn decoded(keys: &[u32], i: usize) -> impl Iterator<Item = (f32, usize)> + '_ {
    let near = keys.iter().take_while(|&&key| key < f32::INFINITY.to_bits());
    near.map(move |&key| (f32::from_bits(key & DISTANCE_BITS), (key as usize ^ i) & (TILE_ROWS - 1)))
}

/// Whose lists a tile is offered to.
#[derive(Debug)]
pub enum Columns<'a> {
    /// The rows' only: the columns are not to know.
    Silent,
    /// The rows' only, as rows and columns are the same; a row is not its own neighbor.
    Same,
    /// Both.
    Mutual(&'a mut [Nearest; TILE]),
}

impl Line {
    /// The bytes of lines, one behind the other.
    pub fn bytes(lines: &[Line]) -> &[u8] {
        // SAFETY: a line is 64 bytes without padding, so `lines` are that many bytes, borrowed as long.
        unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), size_of_val(lines)) }
    }

    /// The bytes of lines, to be written.
    pub fn bytes_mut(lines: &mut [Line]) -> &mut [u8] {
        // SAFETY: as above; any bytes are lines.
        unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), size_of_val(lines)) }
    }
}

/// Writes a row's code, filled up with zeros, into place `lane` of a panel.
pub fn pack(panel: &mut [Line], lane: usize, code: &[u8]) {
    let (words, rest) = code.as_chunks::<4>();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().copied().chain((!rest.is_empty()).then_some(last));
    for (line, word) in panel.iter_mut().zip(words.chain(std::iter::repeat([0; 4]))) {
        line.0.as_chunks_mut::<4>().0[lane] = word;
    }
}

/// Sixteen numbers of 32 bits.
pub(crate) trait Tiles: Lanes {
    type Words: Copy;

    /// All dot products of two panels of equally many lines.
    fn dots(self, a: &[Line], b: &[Line], out: &mut Dots);
    /// The distances `norm + norms - 2 dots + (extra - extras)^2`, each step a rounding of its own, as bits of floats,
    /// masked with `mask`, and in the bits below `tag ^ lane`.
    fn keys(self, dots: &Sixteen<u32>, norm: u32, extra: f32, facts: &Facts, mask: u32, tag: u32) -> Self::Words;
    fn splat(self, word: u32) -> Self::Words;
    fn load_words(self, from: &Sixteen<u32>) -> Self::Words;
    fn store_words(self, words: Self::Words) -> Sixteen<u32>;
    /// Bit `j` tells whether `a[j] < b[j]`; both are less than 2^31.
    fn below(self, a: Self::Words, b: Self::Words) -> u32;
    /// Puts a word where it belongs in a sorted list, whose last word is lost: `min(l[j], max(l[j - 1], word))`.
    fn insert(self, list: &mut Sixteen<u32>, word: u32);
}

/// Everything that a tile is offered with.
pub(crate) struct Offer<'a> {
    pub dots: &'a Dots,
    /// Length of the lists.
    pub k: usize,
    /// Facts and number of the first row of each panel.
    pub rows: (&'a Facts, usize),
    pub columns: (&'a Facts, usize),
}

/// Offers each row the columns, and each column the rows.
#[inline(always)]
pub(crate) fn offer<T: Tiles>(t: T, offer: &Offer, lists: &mut [Nearest; TILE], columns: Columns) {
    let (facts, first) = offer.rows;
    let last = offer.k - 1;
    let (mut back, same) = match columns {
        Columns::Silent => (None, false),
        Columns::Same => (None, true),
        Columns::Mutual(back) => (Some(back), false),
    };
    let mut limits: Sixteen<u32> = Sixteen(from_fn(|j| back.as_ref().map_or(0, |back| back[j].0.0[last])));
    for (r, (dots, list)) in offer.dots.iter().zip(lists).enumerate() {
        let tag = ((first + r) ^ offer.columns.1) & (TILE_ROWS - 1);
        let (norm, extra) = (facts.norms.0[r], facts.extras.0[r]);
        let keys = t.keys(dots, norm, extra, offer.columns.0, DISTANCE_BITS, tag as u32);
        let mut near = t.below(keys, t.splat(list.0.0[last]));
        let mut near_back = t.below(keys, t.load_words(&limits));
        if same {
            near &= !(1 << r);
        }
        if near | near_back == 0 {
            continue;
        }
        let words = t.store_words(keys);
        while near != 0 {
            t.insert(&mut list.0, words.0[near.trailing_zeros() as usize % TILE]);
            near &= near - 1;
        }
        if let Some(back) = &mut back {
            while near_back != 0 {
                let lane = near_back.trailing_zeros() as usize % TILE;
                t.insert(&mut back[lane].0, words.0[lane]);
                limits.0[lane] = back[lane].0.0[last];
                near_back &= near_back - 1;
            }
        }
    }
}

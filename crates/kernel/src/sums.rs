//! The definition of every sum, once for all instruction sets.
//!
//! ```text
//!   Term      what is added:  L2 (a - b)^2      Dot a * b
//!   Element   to what:        f32 -> f32        u8 -> u32, exact
//!             for how many:   one row, four rows (four chains of additions hide each other's latency), many rows
//! ```

use crate::lanes::{CODES, FLOATS, Lanes, PACKED};
use crate::prefetch;

/// What a sum adds up.
pub(crate) trait Term: Copy {
    /// Whether the codes' terms are those of [`Lanes::add_products`].
    const PRODUCTS: bool;
    /// `s` and the terms of sixteen elements.
    fn floats<L: Lanes>(l: L, s: L::Floats, a: L::Floats, b: L::Floats) -> L::Floats;
    /// `s` and the terms of sixty-four codes.
    fn codes<L: Lanes>(l: L, s: L::Sums, a: L::Codes, b: L::Codes) -> L::Sums;
}

/// Squared differences.
#[derive(Clone, Copy)]
pub(crate) struct L2;

/// Products.
#[derive(Clone, Copy)]
pub(crate) struct Dot;

impl Term for L2 {
    const PRODUCTS: bool = false;

    #[inline(always)]
    fn floats<L: Lanes>(l: L, s: L::Floats, a: L::Floats, b: L::Floats) -> L::Floats {
        let difference = l.sub(a, b);
        l.add(s, l.mul(difference, difference))
    }

    #[inline(always)]
    fn codes<L: Lanes>(l: L, s: L::Sums, a: L::Codes, b: L::Codes) -> L::Sums {
        l.add_squares(s, a, b)
    }
}

impl Term for Dot {
    const PRODUCTS: bool = true;

    #[inline(always)]
    fn floats<L: Lanes>(l: L, s: L::Floats, a: L::Floats, b: L::Floats) -> L::Floats {
        l.add(s, l.mul(a, b))
    }

    #[inline(always)]
    fn codes<L: Lanes>(l: L, s: L::Sums, a: L::Codes, b: L::Codes) -> L::Sums {
        l.add_products(s, a, b)
    }
}

/// Products of codes, the first ones less 128. Exact modulo 2^32: the sum of an `i32` as a `u32`.
#[derive(Clone, Copy)]
pub(crate) struct Centered;

impl Term for Centered {
    const PRODUCTS: bool = false;

    #[inline(always)]
    fn floats<L: Lanes>(l: L, s: L::Floats, a: L::Floats, b: L::Floats) -> L::Floats {
        Dot::floats(l, s, a, b)
    }

    #[inline(always)]
    fn codes<L: Lanes>(l: L, s: L::Sums, a: L::Codes, b: L::Codes) -> L::Sums {
        l.add_centered(s, a, b)
    }
}

/// What vectors are made of. All slices of a call have one length.
pub(crate) trait Element: Copy + Sized {
    /// The type of a sum.
    type Sum: Copy;
    /// The sum over `a` and `b`.
    fn one<L: Lanes, T: Term>(l: L, a: &[Self], b: &[Self]) -> Self::Sum;
    /// The sums over `q` and each row. `hint` is called for every 64 bytes of a row.
    fn four<L: Lanes, T: Term>(l: L, q: &[Self], rows: [&[Self]; 4], hint: impl FnMut()) -> [Self::Sum; 4];
    /// `1 - a.b / sqrt(a.a * b.b)`
    fn cosine<L: Lanes>(l: L, a: &[Self], b: &[Self]) -> f32;
}

impl Element for f32 {
    type Sum = f32;

    #[inline(always)]
    fn one<L: Lanes, T: Term>(l: L, a: &[f32], b: &[f32]) -> f32 {
        let (a, a_tail) = a.as_chunks::<FLOATS>();
        let (b, b_tail) = b.as_chunks::<FLOATS>();
        let mut s = l.zero();
        for (a, b) in a.iter().zip(b) {
            s = T::floats(l, s, l.load(a), l.load(b));
        }
        if !a_tail.is_empty() {
            s = T::floats(l, s, l.load_part(a_tail), l.load_part(b_tail));
        }
        settled(l.sum(s))
    }

    #[inline(always)]
    fn four<L: Lanes, T: Term>(l: L, q: &[f32], rows: [&[f32]; 4], mut hint: impl FnMut()) -> [f32; 4] {
        let (q, q_tail) = q.as_chunks::<FLOATS>();
        let [(a, a_tail), (b, b_tail), (c, c_tail), (d, d_tail)] = rows.map(|row| row.as_chunks::<FLOATS>());
        let mut s = [l.zero(); 4];
        for ((((q, a), b), c), d) in q.iter().zip(a).zip(b).zip(c).zip(d) {
            let q = l.load(q);
            for (s, row) in s.iter_mut().zip([a, b, c, d]) {
                hint();
                *s = T::floats(l, *s, q, l.load(row));
            }
        }
        if !q_tail.is_empty() {
            let q = l.load_part(q_tail);
            for (s, tail) in s.iter_mut().zip([a_tail, b_tail, c_tail, d_tail]) {
                hint();
                *s = T::floats(l, *s, q, l.load_part(tail));
            }
        }
        l.sum_x4(s).map(settled)
    }

    #[inline(always)]
    fn cosine<L: Lanes>(l: L, a: &[f32], b: &[f32]) -> f32 {
        let (a, a_tail) = a.as_chunks::<FLOATS>();
        let (b, b_tail) = b.as_chunks::<FLOATS>();
        let mut s = [l.zero(); 3];
        for (a, b) in a.iter().zip(b) {
            s = three_floats(l, s, l.load(a), l.load(b));
        }
        if !a_tail.is_empty() {
            s = three_floats(l, s, l.load_part(a_tail), l.load_part(b_tail));
        }
        let [ab, aa, bb, _] = l.sum_x4([s[0], s[1], s[2], l.zero()]);
        cosine(ab.into(), aa.into(), bb.into())
    }
}

impl Element for u8 {
    type Sum = u32;

    #[inline(always)]
    fn one<L: Lanes, T: Term>(l: L, a: &[u8], b: &[u8]) -> u32 {
        let (a, a_tail) = a.as_chunks::<CODES>();
        let (b, b_tail) = b.as_chunks::<CODES>();
        let (mut s, mut sum_a) = (l.none(), l.none());
        for (a, b) in a.iter().zip(b) {
            let a = l.load_codes(a);
            s = T::codes(l, s, a, l.load_codes(b));
            sum_a = offset::<L, T>(l, sum_a, a);
        }
        if !a_tail.is_empty() {
            let a = l.load_codes_part(a_tail);
            s = T::codes(l, s, a, l.load_codes_part(b_tail));
            sum_a = offset::<L, T>(l, sum_a, a);
        }
        l.total(restored::<L, T>(l, s, sum_a))
    }

    #[inline(always)]
    fn four<L: Lanes, T: Term>(l: L, q: &[u8], rows: [&[u8]; 4], mut hint: impl FnMut()) -> [u32; 4] {
        let (q, q_tail) = q.as_chunks::<CODES>();
        let [(a, a_tail), (b, b_tail), (c, c_tail), (d, d_tail)] = rows.map(|row| row.as_chunks::<CODES>());
        let (mut s, mut sum_q) = ([l.none(); 4], l.none());
        for ((((q, a), b), c), d) in q.iter().zip(a).zip(b).zip(c).zip(d) {
            let q = l.load_codes(q);
            for (s, row) in s.iter_mut().zip([a, b, c, d]) {
                hint();
                *s = T::codes(l, *s, q, l.load_codes(row));
            }
            sum_q = offset::<L, T>(l, sum_q, q);
        }
        if !q_tail.is_empty() {
            let q = l.load_codes_part(q_tail);
            for (s, tail) in s.iter_mut().zip([a_tail, b_tail, c_tail, d_tail]) {
                hint();
                *s = T::codes(l, *s, q, l.load_codes_part(tail));
            }
            sum_q = offset::<L, T>(l, sum_q, q);
        }
        for s in &mut s {
            *s = restored::<L, T>(l, *s, sum_q);
        }
        l.total_x4(s)
    }

    #[inline(always)]
    fn cosine<L: Lanes>(l: L, a: &[u8], b: &[u8]) -> f32 {
        let (a, a_tail) = a.as_chunks::<CODES>();
        let (b, b_tail) = b.as_chunks::<CODES>();
        let mut s = [l.none(); 5];
        for (a, b) in a.iter().zip(b) {
            s = five_codes(l, s, l.load_codes(a), l.load_codes(b));
        }
        if !a_tail.is_empty() {
            s = five_codes(l, s, l.load_codes_part(a_tail), l.load_codes_part(b_tail));
        }
        let [ab, aa, bb, sum_a, sum_b] = s;
        let ab = restored::<L, Dot>(l, ab, sum_a);
        let aa = restored::<L, Dot>(l, aa, sum_a);
        let bb = restored::<L, Dot>(l, bb, sum_b);
        let [ab, aa, bb, _] = l.total_x4([ab, aa, bb, l.none()]);
        cosine(ab.into(), aa.into(), bb.into())
    }
}

/// [`many`] asks for rows at least this many bytes ahead of those that it reads: what memory delivers in the time that
/// it takes to answer.
const AHEAD: usize = 4_096;

/// Of `q` and each of four rows, wherever they lie: the sums of `(q - 128) * b`, modulo 2^32, of `b * b`, and of `b`.
#[inline(always)]
pub(crate) fn gather_four<L: Lanes>(l: L, q: &[u8], rows: [&[u8]; 4]) -> [[u32; 4]; 3] {
    let (q, q_tail) = q.as_chunks::<CODES>();
    let [(a, a_tail), (b, b_tail), (c, c_tail), (d, d_tail)] = rows.map(|row| row.as_chunks::<CODES>());
    let mut s = [[l.none(); 4]; 3];
    for ((((q, a), b), c), d) in q.iter().zip(a).zip(b).zip(c).zip(d) {
        let rows = [l.load_codes(a), l.load_codes(b), l.load_codes(c), l.load_codes(d)];
        s = add_four(l, s, l.load_codes(q), rows);
    }
    if !q_tail.is_empty() {
        let [a, b, c, d] = [a_tail, b_tail, c_tail, d_tail];
        let rows = [l.load_codes_part(a), l.load_codes_part(b), l.load_codes_part(c), l.load_codes_part(d)];
        s = add_four(l, s, l.load_codes_part(q_tail), rows);
    }
    totals(l, s)
}

/// [`gather_four`] where the rows' codes have four bits; the length of `q` is a multiple of 64.
#[inline(always)]
pub(crate) fn gather_four_nibbles<L: Lanes>(l: L, q: &[u8], rows: [&[u8]; 4]) -> [[u32; 4]; 3] {
    let (q, _) = q.as_chunks::<CODES>();
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<PACKED>().0);
    let mut s = [[l.none(); 4]; 3];
    for ((((q, a), b), c), d) in q.iter().zip(a).zip(b).zip(c).zip(d) {
        let rows = [l.load_nibbles(a), l.load_nibbles(b), l.load_nibbles(c), l.load_nibbles(d)];
        s = add_four(l, s, l.load_codes(q), rows);
    }
    totals(l, s)
}

/// The sums over `q` and each of four rows of halves; the length of `q` is a multiple of 16.
#[inline(always)]
pub(crate) fn four_halves<L: Lanes, T: Term>(l: L, q: &[f32], rows: [&[u8]; 4]) -> [f32; 4] {
    let (q, _) = q.as_chunks::<FLOATS>();
    let [a, b, c, d] = rows.map(|row| row.as_chunks::<PACKED>().0);
    let mut s = [l.zero(); 4];
    for ((((q, a), b), c), d) in q.iter().zip(a).zip(b).zip(c).zip(d) {
        let q = l.load(q);
        for (s, row) in s.iter_mut().zip([a, b, c, d]) {
            *s = T::floats(l, *s, q, l.load_halves(row));
        }
    }
    l.sum_x4(s).map(settled)
}

/// The numbers that [`add_four`] has added up.
#[inline(always)]
fn totals<L: Lanes>(l: L, s: [[L::Sums; 4]; 3]) -> [[u32; 4]; 3] {
    let (dots, mut squares, sums) = (l.total_x4(s[0]), l.total_x4(s[1]), l.total_x4(s[2]));
    for (squares, sum) in squares.iter_mut().zip(sums) {
        *squares = squares.wrapping_add(sum.wrapping_mul(128));
    }
    [dots, squares, sums]
}

/// What [`gather_four`] gives, as distances.
pub(crate) trait Finish: Copy {
    fn finish(self, dots: [u32; 4], squares: [u32; 4], sums: [u32; 4]) -> [f32; 4];
}

/// What the distances of a query to codes are made of:
/// `base + per_square * sum of b * b - (per_sum * sum of b + per_dot * sum of (q - 128) * b)`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weights {
    /// What all distances share.
    pub base: f32,
    /// For each unit of the sum of `b * b`.
    pub per_square: f32,
    /// For each unit of the sum of `b`, taken off.
    pub per_sum: f32,
    /// For each unit of the sum of `(q - 128) * b`, taken off.
    pub per_dot: f32,
}

impl Finish for Weights {
    #[inline(always)]
    fn finish(self, dots: [u32; 4], squares: [u32; 4], sums: [u32; 4]) -> [f32; 4] {
        let mut out = [0.0; 4];
        for (((out, dot), squares), sum) in out.iter_mut().zip(dots).zip(squares).zip(sums) {
            let product = self.per_sum * sum as f32 + self.per_dot * dot.cast_signed() as f32;
            *out = self.base + self.per_square * squares as f32 - product;
        }
        out
    }
}

/// The sum of `(q - b)^2`, exact before it becomes a float, from the sum of `q * q`:
/// `q.q + b.b - 2 q.b = q.q + b.b - 2 (q - 128).b - 256 sum(b)`, modulo 2^32 and less than that.
#[derive(Clone, Copy)]
pub(crate) struct Squares(pub u32);

impl Finish for Squares {
    #[inline(always)]
    fn finish(self, dots: [u32; 4], squares: [u32; 4], sums: [u32; 4]) -> [f32; 4] {
        let mut out = [0.0; 4];
        for (((out, dot), squares), sum) in out.iter_mut().zip(dots).zip(squares).zip(sums) {
            let product = dot.wrapping_add(sum.wrapping_mul(128)).wrapping_mul(2);
            *out = self.0.wrapping_add(squares).wrapping_sub(product) as f32;
        }
        out
    }
}

/// `s` and, for each row: the centered product with `q`, the centered product with itself, the sum.
#[inline(always)]
fn add_four<L: Lanes>(
    l: L,
    [dots, squares, sums]: [[L::Sums; 4]; 3],
    q: L::Codes,
    rows: [L::Codes; 4],
) -> [[L::Sums; 4]; 3] {
    let [a, b, c, d] = rows;
    [
        [
            l.add_centered(dots[0], q, a),
            l.add_centered(dots[1], q, b),
            l.add_centered(dots[2], q, c),
            l.add_centered(dots[3], q, d),
        ],
        [
            l.add_centered(squares[0], a, a),
            l.add_centered(squares[1], b, b),
            l.add_centered(squares[2], c, c),
            l.add_centered(squares[3], d, d),
        ],
        [l.add_codes(sums[0], a), l.add_codes(sums[1], b), l.add_codes(sums[2], c), l.add_codes(sums[3], d)],
    ]
}

/// The sums over `q` and the `out.len()` rows that begin every `stride` elements.
#[inline(always)]
pub(crate) fn many<L: Lanes, T: Term, E: Element>(l: L, q: &[E], rows: &[E], stride: usize, out: &mut [E::Sum]) {
    let row = |i: usize| &rows[i * stride..][..q.len()];
    let (fours, rest) = out.as_chunks_mut::<4>();
    let done = 4 * fours.len();
    let ahead = 4 * stride * (AHEAD / size_of::<E>()).div_ceil(4 * stride.max(1));
    for (i, sums) in fours.iter_mut().enumerate() {
        let four = [row(4 * i), row(4 * i + 1), row(4 * i + 2), row(4 * i + 3)];
        // One line for every 64 bytes read, in the order of memory, which suits it better than four rows by turns.
        let mut next = four[0].as_ptr().wrapping_add(ahead).cast::<u8>();
        *sums = E::four::<L, T>(l, q, four, || {
            prefetch::line(next);
            next = next.wrapping_add(64);
        });
    }
    for (i, sum) in rest.iter_mut().enumerate() {
        *sum = E::one::<L, T>(l, q, row(done + i));
    }
}

/// The sum of the codes and the sum of their squares.
#[inline(always)]
pub(crate) fn moments_u8<L: Lanes>(l: L, a: &[u8]) -> (u32, u32) {
    let (a, tail) = a.as_chunks::<CODES>();
    let mut sum = l.none();
    let mut squares = l.none();
    for a in a {
        let a = l.load_codes(a);
        (sum, squares) = (l.add_codes(sum, a), l.add_products(squares, a, a));
    }
    if !tail.is_empty() {
        let a = l.load_codes_part(tail);
        (sum, squares) = (l.add_codes(sum, a), l.add_products(squares, a, a));
    }
    (l.total(sum), l.total(restored::<L, Dot>(l, squares, sum)))
}

#[inline(always)]
fn three_floats<L: Lanes>(l: L, s: [L::Floats; 3], a: L::Floats, b: L::Floats) -> [L::Floats; 3] {
    [Dot::floats(l, s[0], a, b), Dot::floats(l, s[1], a, a), Dot::floats(l, s[2], b, b)]
}

#[inline(always)]
fn five_codes<L: Lanes>(l: L, s: [L::Sums; 5], a: L::Codes, b: L::Codes) -> [L::Sums; 5] {
    [
        l.add_products(s[0], a, b),
        l.add_products(s[1], a, a),
        l.add_products(s[2], b, b),
        offset::<L, Dot>(l, s[3], a),
        offset::<L, Dot>(l, s[4], b),
    ]
}

/// Counts what [`Lanes::add_products`] leaves out.
#[inline(always)]
fn offset<L: Lanes, T: Term>(l: L, sum_a: L::Sums, a: L::Codes) -> L::Sums {
    if T::PRODUCTS && L::OFFSET { l.add_codes(sum_a, a) } else { sum_a }
}

/// Puts it back.
#[inline(always)]
fn restored<L: Lanes, T: Term>(l: L, s: L::Sums, sum_a: L::Sums) -> L::Sums {
    if T::PRODUCTS && L::OFFSET { l.add_128_times(s, sum_a) } else { s }
}

/// In f64, where no product or root of float sums overflows or vanishes: the distance of a vector to itself is 0.
#[inline(always)]
fn cosine(ab: f64, aa: f64, bb: f64) -> f32 {
    let norms = aa * bb;
    if norms == 0.0 { 1.0 } else { settled((1.0 - ab / norms.sqrt()) as f32) }
}

/// NaN with the same bits everywhere: which operand's bits survive an addition depends on the instruction and on the
/// order that the compiler gave its operands.
#[inline(always)]
fn settled(sum: f32) -> f32 {
    if sum.is_nan() { f32::NAN } else { sum }
}

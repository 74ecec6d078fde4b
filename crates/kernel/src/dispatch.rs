//! One table of function pointers for each instruction set, and the choice of one of them, once.

use std::fmt;
use std::sync::OnceLock;

use crate::isa::{ISA_VARIABLE, Isa, IsaError, choose, require};
use crate::lanes::{CODES, FLOATS};
use crate::scalar;
use crate::sums::{Squares, Weights};
use crate::tile::{Columns, Dots, Facts, LONGEST, Line, Nearest, Offer, TILE};

/// The longest codes: 65,536 products of 255 with 255 are still less than 2^32.
pub const MAX_CODES: usize = 65_536;

// The rows' addresses stand alone, and the length once, so that all arguments of `Four` travel in registers.
pub(crate) type Single<E, R> = unsafe fn(*const E, usize) -> R;
pub(crate) type Pair<E, R> = unsafe fn(*const E, *const E, usize) -> R;
pub(crate) type Four<E, R> = unsafe fn(*const E, *const E, *const E, *const E, *const E, usize) -> [R; 4];
pub(crate) type Gather<F> = unsafe fn(F, &[u8], &[&[u8]], &mut [f32]);
pub(crate) type Halves = unsafe fn(&[f32], &[&[u8]], &mut [f32]);
pub(crate) type Many<E, R> = unsafe fn(&[E], &[E], usize, &mut [R]);

/// The distances on one instruction set. Every set gives the same bits.
///
/// Vectors may have any length, also 0, and any address. Two vectors of different lengths are a defect of the caller
/// and panic; so do codes longer than [`MAX_CODES`].
pub struct Kernels {
    /// The instruction set.
    pub isa: Isa,
    pub(crate) l2_squared_f32: Pair<f32, f32>,
    pub(crate) dot_f32: Pair<f32, f32>,
    pub(crate) cosine_f32: Pair<f32, f32>,
    pub(crate) l2_squared_f32_x4: Four<f32, f32>,
    pub(crate) dot_f32_x4: Four<f32, f32>,
    pub(crate) l2_squared_f32_many: Many<f32, f32>,
    pub(crate) dot_f32_many: Many<f32, f32>,
    pub(crate) l2_squared_u8: Pair<u8, u32>,
    pub(crate) dot_u8: Pair<u8, u32>,
    pub(crate) cosine_u8: Pair<u8, f32>,
    pub(crate) moments_u8: Single<u8, (u32, u32)>,
    pub(crate) l2_squared_u8_x4: Four<u8, u32>,
    pub(crate) dot_centered_u8: Pair<u8, u32>,
    pub(crate) l2_squared_u8_many: Many<u8, u32>,
    pub(crate) dot_centered_u8_many: Many<u8, u32>,
    pub(crate) l2_squared_u8_gather: Gather<Squares>,
    pub(crate) weighted_u8_gather: Gather<Weights>,
    pub(crate) weighted_u4_gather: Gather<Weights>,
    pub(crate) l2_squared_f16_gather: Halves,
    pub(crate) dot_f16_gather: Halves,
    pub(crate) tile_dots: unsafe fn(&[Line], &[Line], &mut Dots),
    pub(crate) tile_offer: unsafe fn(&Offer, &mut [Nearest; TILE], Columns),
}

/// The kernels for this process: the best that the machine has, or the one that `AUSPEX_ISA` forces. The machine and the
/// variable are looked at once.
///
/// # Errors
/// `AUSPEX_ISA` is not one of `scalar`, `avx2`, `avx512` and `neon`, or this machine does not have it.
pub fn kernels() -> Result<&'static Kernels, IsaError> {
    static CHOSEN: OnceLock<Result<&'static Kernels, IsaError>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let forced = std::env::var_os(ISA_VARIABLE);
        choose(forced.as_deref(), Isa::available()).map(table)
    });
    chosen.clone()
}

/// The kernels of `isa`, for comparisons; `AUSPEX_ISA` has no say.
///
/// # Errors
/// This machine does not have it.
pub fn kernels_for(isa: Isa) -> Result<&'static Kernels, IsaError> {
    require(isa, Isa::available()).map(table)
}

/// The table of an instruction set that is here.
fn table(isa: Isa) -> &'static Kernels {
    match isa {
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => &crate::avx2::AVX2,
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => &crate::avx512::AVX512,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon if std::arch::is_aarch64_feature_detected!("dotprod") => &crate::neon::NEON_UDOT,
        #[cfg(target_arch = "aarch64")]
        Isa::Neon => &crate::neon::NEON,
        _ => &scalar::SCALAR,
    }
}

impl Kernels {
    /// The sum of `(a - b)^2`.
    #[inline]
    pub fn l2_squared_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        pair(self.l2_squared_f32, a, b)
    }

    /// The sum of `a * b`.
    #[inline]
    pub fn dot_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        pair(self.dot_f32, a, b)
    }

    /// `1 - a.b / sqrt(a.a * b.b)`: the three sums as [`Kernels::dot_f32`], then in f64, rounded to f32 at the end. 1 if
    /// `a.a` or `b.b` is 0. The distance of a vector to itself is 0; rounding may leave others a little below 0.
    #[inline]
    pub fn cosine_f32(&self, a: &[f32], b: &[f32]) -> f32 {
        pair(self.cosine_f32, a, b)
    }

    /// [`Kernels::l2_squared_f32`] of `q` and each row, to the bit.
    #[inline]
    pub fn l2_squared_f32_x4(&self, q: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
        four(self.l2_squared_f32_x4, q, rows)
    }

    /// [`Kernels::dot_f32`] of `q` and each row, to the bit.
    #[inline]
    pub fn dot_f32_x4(&self, q: &[f32], rows: [&[f32]; 4]) -> [f32; 4] {
        four(self.dot_f32_x4, q, rows)
    }

    /// [`Kernels::l2_squared_f32`] of `q` and each of the `out.len()` rows that follow one another in `rows`, to the bit.
    #[inline]
    pub fn l2_squared_f32_many(&self, q: &[f32], rows: &[f32], out: &mut [f32]) {
        many(self.l2_squared_f32_many, q, rows, q.len(), out);
    }

    /// [`Kernels::dot_f32`] of `q` and each of the `out.len()` rows that follow one another in `rows`, to the bit.
    #[inline]
    pub fn dot_f32_many(&self, q: &[f32], rows: &[f32], out: &mut [f32]) {
        many(self.dot_f32_many, q, rows, q.len(), out);
    }

    /// The sum of `(a - b)^2`.
    #[inline]
    pub fn l2_squared_u8(&self, a: &[u8], b: &[u8]) -> u32 {
        assert_codes(a);
        pair(self.l2_squared_u8, a, b)
    }

    /// The sum of `a * b`.
    #[inline]
    pub fn dot_u8(&self, a: &[u8], b: &[u8]) -> u32 {
        assert_codes(a);
        pair(self.dot_u8, a, b)
    }

    /// `1 - a.b / sqrt(a.a * b.b)`: the three sums exact, the rest in f64, rounded to f32 at the end. 1 if `a.a` or
    /// `b.b` is 0.
    #[inline]
    pub fn cosine_u8(&self, a: &[u8], b: &[u8]) -> f32 {
        assert_codes(a);
        pair(self.cosine_u8, a, b)
    }

    /// The sum of the codes, and the sum of their squares.
    #[inline]
    pub fn moments_u8(&self, a: &[u8]) -> (u32, u32) {
        assert_codes(a);
        // SAFETY: a table is handed out only where its instruction set is (`table`); the length is that of `a`.
        unsafe { (self.moments_u8)(a.as_ptr(), a.len()) }
    }

    /// [`Kernels::l2_squared_u8`] of `q` and each row.
    #[inline]
    pub fn l2_squared_u8_x4(&self, q: &[u8], rows: [&[u8]; 4]) -> [u32; 4] {
        assert_codes(q);
        four(self.l2_squared_u8_x4, q, rows)
    }

    /// [`Kernels::l2_squared_u8`] of `q` and the first `q.len()` codes of each of the `out.len()` rows that begin every
    /// `stride` codes of `rows`.
    #[inline]
    pub fn l2_squared_u8_many(&self, q: &[u8], rows: &[u8], stride: usize, out: &mut [u32]) {
        assert_codes(q);
        many(self.l2_squared_u8_many, q, rows, stride, out);
    }

    /// The sum of `(q - 128) * b`, an `i32` as a `u32`.
    #[inline]
    pub fn dot_centered_u8(&self, q: &[u8], b: &[u8]) -> u32 {
        assert_codes(q);
        pair(self.dot_centered_u8, q, b)
    }

    /// [`Kernels::dot_centered_u8`] of `q` and the first `q.len()` codes of each of the `out.len()` rows that begin every
    /// `stride` codes of `rows`.
    #[inline]
    pub fn dot_centered_u8_many(&self, q: &[u8], rows: &[u8], stride: usize, out: &mut [u32]) {
        assert_codes(q);
        many(self.dot_centered_u8_many, q, rows, stride, out);
    }

    /// [`Kernels::l2_squared_u8`] of `q` and each of the rows, wherever they lie, rounded to floats; `squares` is the sum of
    /// `q * q`.
    #[inline]
    pub fn l2_squared_u8_gather(&self, q: &[u8], squares: u32, rows: &[&[u8]], out: &mut [f32]) {
        check_gather(q, rows, q.len(), out);
        // SAFETY: a table is handed out only where its instruction set is (`table`); the rows were looked at.
        unsafe { (self.l2_squared_u8_gather)(Squares(squares), q, rows, out) }
    }

    /// What [`Weights`] make of `q` and each of the rows, wherever they lie.
    #[inline]
    pub fn weighted_u8_gather(&self, q: &[u8], weights: Weights, rows: &[&[u8]], out: &mut [f32]) {
        check_gather(q, rows, q.len(), out);
        // SAFETY: a table is handed out only where its instruction set is (`table`); the rows were looked at.
        unsafe { (self.weighted_u8_gather)(weights, q, rows, out) }
    }

    /// The same of rows whose codes have four bits. The length of `q` is a multiple of 64.
    #[inline]
    pub fn weighted_u4_gather(&self, q: &[u8], weights: Weights, rows: &[&[u8]], out: &mut [f32]) {
        assert!(q.len().is_multiple_of(CODES), "a length that is no multiple of 64");
        check_gather(q, rows, q.len() / 2, out);
        // SAFETY: a table is handed out only where its instruction set is (`table`); the rows were looked at.
        unsafe { (self.weighted_u4_gather)(weights, q, rows, out) }
    }

    /// [`Kernels::l2_squared_f32`] of `q` and each of the rows of little-endian halves, wherever they lie, to the bit. The
    /// length of `q` is a multiple of 16.
    #[inline]
    pub fn l2_squared_f16_gather(&self, q: &[f32], rows: &[&[u8]], out: &mut [f32]) {
        gather_halves(self.l2_squared_f16_gather, q, rows, out);
    }

    /// [`Kernels::dot_f32`] of such.
    #[inline]
    pub fn dot_f16_gather(&self, q: &[f32], rows: &[&[u8]], out: &mut [f32]) {
        gather_halves(self.dot_f16_gather, q, rows, out);
    }

    /// [`Kernels::dot_u8`] of each row of panel `a` and each of panel `b`: `out[i][j]`. Panels of different lengths, or
    /// of more than 8,192 lines, are a defect of the caller and panic.
    #[inline]
    pub fn tile_dots(&self, a: &[Line], b: &[Line], out: &mut Dots) {
        assert!(a.len() == b.len() && a.len() <= LONGEST / 4, "panels of different lengths, or too long");
        // SAFETY: a table is handed out only where its instruction set is (`table`).
        unsafe { (self.tile_dots)(a, b, out) }
    }

    /// Offers the columns of a tile to the lists of its rows, and the rows to those of its columns; a list is the `k`
    /// least keys that were offered. Facts come with the number of their panel's first row, a multiple of 16.
    #[inline]
    pub fn tile_offer(
        &self,
        dots: &Dots,
        k: usize,
        rows: (&Facts, usize),
        lists: &mut [Nearest; TILE],
        columns: (&Facts, usize),
        back: Columns,
    ) {
        assert!((1..=TILE).contains(&k) && (rows.1 | columns.1).is_multiple_of(TILE), "no list is that long");
        // SAFETY: a table is handed out only where its instruction set is (`table`).
        unsafe { (self.tile_offer)(&Offer { dots, k, rows, columns }, lists, back) }
    }
}

impl fmt::Debug for Kernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernels").field("isa", &self.isa).finish_non_exhaustive()
    }
}

#[inline(always)]
fn assert_codes(a: &[u8]) {
    assert!(a.len() <= MAX_CODES, "more than 65,536 codes");
}

#[inline(always)]
fn pair<E, R>(entry: Pair<E, R>, a: &[E], b: &[E]) -> R {
    let n = a.len();
    assert!(b.len() == n, "vectors of different lengths");
    // SAFETY: a table is handed out only where its instruction set is (`table`); both have `n` elements.
    unsafe { entry(a.as_ptr(), b.as_ptr(), n) }
}

#[inline(always)]
fn four<E, R>(entry: Four<E, R>, q: &[E], [a, b, c, d]: [&[E]; 4]) -> [R; 4] {
    let n = q.len();
    assert!(a.len() == n && b.len() == n && c.len() == n && d.len() == n, "vectors of different lengths");
    // SAFETY: a table is handed out only where its instruction set is (`table`); all have `n` elements.
    unsafe { entry(q.as_ptr(), a.as_ptr(), b.as_ptr(), c.as_ptr(), d.as_ptr(), n) }
}

#[inline(always)]
fn check_gather<T>(q: &[T], rows: &[&[u8]], bytes: usize, out: &[f32]) {
    assert!(q.len() <= MAX_CODES, "more than 65,536 codes");
    assert!(rows.len() == out.len(), "fewer rows than results");
    assert!(rows.iter().all(|row| row.len() == bytes), "vectors of different lengths");
}

#[inline(always)]
fn gather_halves(entry: Halves, q: &[f32], rows: &[&[u8]], out: &mut [f32]) {
    assert!(q.len().is_multiple_of(FLOATS), "a length that is no multiple of 16");
    check_gather(q, rows, q.len() * 2, out);
    // SAFETY: a table is handed out only where its instruction set is (`table`); the rows were looked at.
    unsafe { entry(q, rows, out) }
}

#[inline(always)]
fn many<E, R>(entry: Many<E, R>, q: &[E], rows: &[E], stride: usize, out: &mut [R]) {
    let Some(last) = out.len().checked_sub(1) else { return };
    let end = last.checked_mul(stride).and_then(|begin| begin.checked_add(q.len()));
    assert!(stride >= q.len() && end.is_some_and(|end| end <= rows.len()), "fewer rows than results");
    // SAFETY: a table is handed out only where its instruction set is (`table`).
    unsafe { entry(q, rows, stride, out) }
}

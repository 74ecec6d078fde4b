//! The outermost functions: the only ones with `#[target_feature]`, and the only ones called through a pointer.
//!
//! They are named op_type_isa and are all unsafe for the same reasons: the CPU must have the instruction set, and an
//! address must be that of as many elements as the length says.

use std::marker::PhantomData;
use std::slice::from_raw_parts;

use crate::lanes::Lanes;
use crate::sums::{self, Element, Finish, Term, Weights};

/// [`Element::one`] from addresses.
///
/// # Safety
/// The CPU has the instruction set of `L`; each address is that of `n` elements.
#[inline(always)]
pub(crate) unsafe fn one<L: Lanes, T: Term, E: Element>(a: *const E, b: *const E, n: usize) -> E::Sum {
    // SAFETY: the caller's.
    unsafe { E::one::<L, T>(L::new(), from_raw_parts(a, n), from_raw_parts(b, n)) }
}

/// [`Element::four`] from addresses.
///
/// # Safety
/// The CPU has the instruction set of `L`; each address is that of `n` elements.
#[inline(always)]
pub(crate) unsafe fn four<L: Lanes, T: Term, E: Element>(
    q: *const E,
    [a, b, c, d]: [*const E; 4],
    n: usize,
) -> [E::Sum; 4] {
    // SAFETY: the caller's.
    unsafe {
        let rows = [from_raw_parts(a, n), from_raw_parts(b, n), from_raw_parts(c, n), from_raw_parts(d, n)];
        E::four::<L, T>(L::new(), from_raw_parts(q, n), rows, || ())
    }
}

/// What makes distances of four rows. A trait, not a closure: all of it must become part of the entry function.
trait Score: Copy {
    fn score(self, rows: [&[u8]; 4]) -> [f32; 4];
}

/// The distances of row after row, each of `len` bytes.
///
/// # Safety
/// `rows` and `out` are equally many, and each row has `len` bytes.
#[inline(always)]
unsafe fn by_four(score: impl Score, rows: &[&[u8]], len: usize, out: &mut [f32]) {
    // SAFETY: the caller's. That all lengths are the same is lost on the compiler otherwise.
    let row = |row: &[u8]| unsafe { from_raw_parts(row.as_ptr(), len) };
    let (fours, rest) = rows.as_chunks::<4>();
    let (outs, rest_out) = out.as_chunks_mut::<4>();
    for (&[a, b, c, d], out) in fours.iter().zip(outs) {
        *out = score.score([row(a), row(b), row(c), row(d)]);
    }
    if let [first, others @ ..] = rest {
        let at = |i: usize| row(others.get(i).unwrap_or(first));
        let distances = score.score([row(first), at(0), at(1), at(2)]);
        rest_out.iter_mut().zip(distances).for_each(|(out, distance)| *out = distance);
    }
}

/// Of codes of eight bits.
#[derive(Clone, Copy)]
struct Bytes<'a, L, F>(L, F, &'a [u8]);

impl<L: Lanes, F: Finish> Score for Bytes<'_, L, F> {
    #[inline(always)]
    fn score(self, rows: [&[u8]; 4]) -> [f32; 4] {
        let [dots, squares, sums] = sums::gather_four(self.0, self.2, rows);
        self.1.finish(dots, squares, sums)
    }
}

/// Of codes of four bits.
#[derive(Clone, Copy)]
struct Nibbles<'a, L, F>(L, F, &'a [u8]);

impl<L: Lanes, F: Finish> Score for Nibbles<'_, L, F> {
    #[inline(always)]
    fn score(self, rows: [&[u8]; 4]) -> [f32; 4] {
        let [dots, squares, sums] = sums::gather_four_nibbles(self.0, self.2, rows);
        self.1.finish(dots, squares, sums)
    }
}

/// Of floats of sixteen bits.
#[derive(Clone, Copy)]
struct Halves<'a, L, T>(L, PhantomData<T>, &'a [f32]);

impl<L: Lanes, T: Term> Score for Halves<'_, L, T> {
    #[inline(always)]
    fn score(self, rows: [&[u8]; 4]) -> [f32; 4] {
        sums::four_halves::<L, T>(self.0, self.2, rows)
    }
}

/// [`sums::gather_four`] of row after row, finished.
///
/// # Safety
/// The CPU has the instruction set of `L`; `rows` and `out` are equally many, and each row has the length of `q`.
#[inline(always)]
pub(crate) unsafe fn gather<L: Lanes, F: Finish>(finish: F, q: &[u8], rows: &[&[u8]], out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe { by_four(Bytes(L::new(), finish, q), rows, q.len(), out) }
}

/// [`sums::gather_four_nibbles`] of row after row, finished.
///
/// # Safety
/// The CPU has the instruction set of `L`; `rows` and `out` are equally many, and each row has half the length of `q`.
#[inline(always)]
pub(crate) unsafe fn gather_nibbles<L: Lanes>(finish: Weights, q: &[u8], rows: &[&[u8]], out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe { by_four(Nibbles(L::new(), finish, q), rows, q.len() / 2, out) }
}

/// [`sums::four_halves`] of row after row.
///
/// # Safety
/// The CPU has the instruction set of `L`; `rows` and `out` are equally many, and each row has two bytes for each of `q`.
#[inline(always)]
pub(crate) unsafe fn gather_halves<L: Lanes, T: Term>(q: &[f32], rows: &[&[u8]], out: &mut [f32]) {
    // SAFETY: the caller's.
    unsafe { by_four(Halves(L::new(), PhantomData::<T>, q), rows, q.len() * 2, out) }
}

/// [`sums::many`].
///
/// # Safety
/// The CPU has the instruction set of `L`.
#[inline(always)]
pub(crate) unsafe fn many<L: Lanes, T: Term, E: Element>(q: &[E], rows: &[E], stride: usize, out: &mut [E::Sum]) {
    // SAFETY: the caller's.
    sums::many::<L, T, E>(unsafe { L::new() }, q, rows, stride, out);
}

/// [`Element::cosine`] from addresses.
///
/// # Safety
/// The CPU has the instruction set of `L`; each address is that of `n` elements.
#[inline(always)]
pub(crate) unsafe fn cosine<L: Lanes, E: Element>(a: *const E, b: *const E, n: usize) -> f32 {
    // SAFETY: the caller's.
    unsafe { E::cosine(L::new(), from_raw_parts(a, n), from_raw_parts(b, n)) }
}

/// [`sums::moments_u8`] from an address.
///
/// # Safety
/// The CPU has the instruction set of `L`; the address is that of `n` codes.
#[inline(always)]
pub(crate) unsafe fn moments_u8<L: Lanes>(a: *const u8, n: usize) -> (u32, u32) {
    // SAFETY: the caller's.
    unsafe { sums::moments_u8(L::new(), from_raw_parts(a, n)) }
}

/// The entry functions of an instruction set, and the table of them.
macro_rules! entries {
    (
        $table:ident: $isa:expr, $lanes:ty, #[$features:meta]
        $l2_f32:ident $dot_f32:ident $cosine_f32:ident
        $l2_f32_x4:ident $dot_f32_x4:ident
        $l2_f32_many:ident $dot_f32_many:ident
        $l2_u8:ident $dot_u8:ident $cosine_u8:ident $moments_u8:ident
        $l2_u8_x4:ident $centered_u8:ident
        $l2_u8_many:ident $centered_u8_many:ident $l2_u8_gather:ident $weighted_u8_gather:ident
        $weighted_u4_gather:ident $l2_f16_gather:ident $dot_f16_gather:ident
        $tile_dots:ident $tile_offer:ident
    ) => {
        pub(crate) static $table: $crate::dispatch::Kernels = $crate::dispatch::Kernels {
            isa: $isa,
            l2_squared_f32: $l2_f32,
            dot_f32: $dot_f32,
            cosine_f32: $cosine_f32,
            l2_squared_f32_x4: $l2_f32_x4,
            dot_f32_x4: $dot_f32_x4,
            l2_squared_f32_many: $l2_f32_many,
            dot_f32_many: $dot_f32_many,
            l2_squared_u8: $l2_u8,
            dot_u8: $dot_u8,
            cosine_u8: $cosine_u8,
            moments_u8: $moments_u8,
            l2_squared_u8_x4: $l2_u8_x4,
            dot_centered_u8: $centered_u8,
            l2_squared_u8_many: $l2_u8_many,
            dot_centered_u8_many: $centered_u8_many,
            l2_squared_u8_gather: $l2_u8_gather,
            weighted_u8_gather: $weighted_u8_gather,
            weighted_u4_gather: $weighted_u4_gather,
            l2_squared_f16_gather: $l2_f16_gather,
            dot_f16_gather: $dot_f16_gather,
            tile_dots: $tile_dots,
            tile_offer: $tile_offer,
        };

        $crate::entries::entries!(@one $l2_f32, #[$features] $lanes, L2, f32 => f32);
        $crate::entries::entries!(@one $dot_f32, #[$features] $lanes, Dot, f32 => f32);
        $crate::entries::entries!(@one $l2_u8, #[$features] $lanes, L2, u8 => u32);
        $crate::entries::entries!(@one $dot_u8, #[$features] $lanes, Dot, u8 => u32);
        $crate::entries::entries!(@four $l2_f32_x4, #[$features] $lanes, L2, f32 => f32);
        $crate::entries::entries!(@four $dot_f32_x4, #[$features] $lanes, Dot, f32 => f32);
        $crate::entries::entries!(@four $l2_u8_x4, #[$features] $lanes, L2, u8 => u32);
        $crate::entries::entries!(@one $centered_u8, #[$features] $lanes, Centered, u8 => u32);
        $crate::entries::entries!(@many $l2_f32_many, #[$features] $lanes, L2, f32 => f32);
        $crate::entries::entries!(@many $dot_f32_many, #[$features] $lanes, Dot, f32 => f32);
        $crate::entries::entries!(@many $l2_u8_many, #[$features] $lanes, L2, u8 => u32);
        $crate::entries::entries!(@many $centered_u8_many, #[$features] $lanes, Centered, u8 => u32);
        $crate::entries::entries!(@cosine $cosine_f32, #[$features] $lanes, f32);
        $crate::entries::entries!(@cosine $cosine_u8, #[$features] $lanes, u8);

        $crate::entries::entries!(@gather $l2_u8_gather, #[$features] $lanes, $crate::sums::Squares);
        $crate::entries::entries!(@gather $weighted_u8_gather, #[$features] $lanes, $crate::sums::Weights);

        $crate::entries::entries!(@halves $l2_f16_gather, #[$features] $lanes, L2);
        $crate::entries::entries!(@halves $dot_f16_gather, #[$features] $lanes, Dot);

        #[$features]
        unsafe fn $weighted_u4_gather(finish: $crate::sums::Weights, q: &[u8], rows: &[&[u8]], out: &mut [f32]) {
            // SAFETY: the contract of all entry functions, and of this one's caller.
            unsafe { $crate::entries::gather_nibbles::<$lanes>(finish, q, rows, out) }
        }

        #[$features]
        unsafe fn $moments_u8(a: *const u8, n: usize) -> (u32, u32) {
            // SAFETY: the contract of all entry functions.
            unsafe { $crate::entries::moments_u8::<$lanes>(a, n) }
        }

        #[$features]
        unsafe fn $tile_dots(a: &[$crate::tile::Line], b: &[$crate::tile::Line], out: &mut $crate::tile::Dots) {
            use $crate::{lanes::Lanes, tile::Tiles};
            // SAFETY: the contract of all entry functions.
            unsafe { <$lanes as Lanes>::new() }.dots(a, b, out);
        }

        #[$features]
        unsafe fn $tile_offer(
            offer: &$crate::tile::Offer,
            lists: &mut [$crate::tile::Nearest; $crate::tile::TILE],
            columns: $crate::tile::Columns,
        ) {
            // SAFETY: the contract of all entry functions.
            $crate::tile::offer(unsafe { <$lanes as $crate::lanes::Lanes>::new() }, offer, lists, columns);
        }
    };
    (@one $name:ident, #[$features:meta] $lanes:ty, $term:ident, $e:ty => $sum:ty) => {
        #[$features]
        unsafe fn $name(a: *const $e, b: *const $e, n: usize) -> $sum {
            // SAFETY: the contract of all entry functions.
            unsafe { $crate::entries::one::<$lanes, $crate::sums::$term, $e>(a, b, n) }
        }
    };
    (@four $name:ident, #[$features:meta] $lanes:ty, $term:ident, $e:ty => $sum:ty) => {
        #[$features]
        unsafe fn $name(q: *const $e, a: *const $e, b: *const $e, c: *const $e, d: *const $e, n: usize) -> [$sum; 4] {
            // SAFETY: the contract of all entry functions.
            unsafe { $crate::entries::four::<$lanes, $crate::sums::$term, $e>(q, [a, b, c, d], n) }
        }
    };
    (@many $name:ident, #[$features:meta] $lanes:ty, $term:ident, $e:ty => $sum:ty) => {
        #[$features]
        unsafe fn $name(q: &[$e], rows: &[$e], stride: usize, out: &mut [$sum]) {
            // SAFETY: the contract of all entry functions.
            unsafe { $crate::entries::many::<$lanes, $crate::sums::$term, $e>(q, rows, stride, out) }
        }
    };
    (@gather $name:ident, #[$features:meta] $lanes:ty, $finish:ty) => {
        #[$features]
        unsafe fn $name(finish: $finish, q: &[u8], rows: &[&[u8]], out: &mut [f32]) {
            // SAFETY: the contract of all entry functions, and of this one's caller.
            unsafe { $crate::entries::gather::<$lanes, $finish>(finish, q, rows, out) }
        }
    };
    (@halves $name:ident, #[$features:meta] $lanes:ty, $term:ident) => {
        #[$features]
        unsafe fn $name(q: &[f32], rows: &[&[u8]], out: &mut [f32]) {
            // SAFETY: the contract of all entry functions, and of this one's caller.
            unsafe { $crate::entries::gather_halves::<$lanes, $crate::sums::$term>(q, rows, out) }
        }
    };
    (@cosine $name:ident, #[$features:meta] $lanes:ty, $e:ty) => {
        #[$features]
        unsafe fn $name(a: *const $e, b: *const $e, n: usize) -> f32 {
            // SAFETY: the contract of all entry functions.
            unsafe { $crate::entries::cosine::<$lanes, $e>(a, b, n) }
        }
    };
}
pub(crate) use entries;

//! Plain Rust: slow beside the others, and right.

use crate::half::from_half;
use crate::isa::Isa;
use crate::lanes::{CODES, FLOATS, Lanes, PACKED, padded};
use crate::tile::{Dots, Facts, Line, Sixteen, TILE, Tiles};

#[derive(Clone, Copy)]
pub(crate) struct Scalar;

impl Lanes for Scalar {
    type Floats = [f32; FLOATS];
    type Codes = [u8; CODES];
    type Sums = u32;

    const OFFSET: bool = false;

    #[inline(always)]
    unsafe fn new() -> Self {
        Scalar
    }

    #[inline(always)]
    fn zero(self) -> Self::Floats {
        [0.0; FLOATS]
    }

    #[inline(always)]
    fn load(self, from: &[f32; FLOATS]) -> Self::Floats {
        *from
    }

    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Self::Floats {
        padded(from)
    }

    #[inline(always)]
    fn load_halves(self, from: &[u8; PACKED]) -> Self::Floats {
        std::array::from_fn(|j| from_half(u16::from_le_bytes([from[2 * j], from[2 * j + 1]])))
    }

    #[inline(always)]
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|j| a[j] + b[j])
    }

    #[inline(always)]
    fn sub(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|j| a[j] - b[j])
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        std::array::from_fn(|j| a[j] * b[j])
    }

    #[inline(always)]
    fn sum(self, s: Self::Floats) -> f32 {
        let s: [f32; 8] = std::array::from_fn(|j| s[j] + s[j + 8]);
        let s: [f32; 4] = std::array::from_fn(|j| s[j] + s[j + 4]);
        let s: [f32; 2] = std::array::from_fn(|j| s[j] + s[j + 2]);
        s[0] + s[1]
    }

    #[inline(always)]
    fn sum_x4(self, s: [Self::Floats; 4]) -> [f32; 4] {
        s.map(|s| self.sum(s))
    }

    #[inline(always)]
    fn none(self) -> u32 {
        0
    }

    #[inline(always)]
    fn load_codes(self, from: &[u8; CODES]) -> Self::Codes {
        *from
    }

    #[inline(always)]
    fn load_codes_part(self, from: &[u8]) -> Self::Codes {
        padded(from)
    }

    #[inline(always)]
    fn load_nibbles(self, from: &[u8; PACKED]) -> Self::Codes {
        std::array::from_fn(|j| from[j % PACKED] >> (j / PACKED * 4) & 15)
    }

    #[inline(always)]
    fn add_products(self, s: u32, a: Self::Codes, b: Self::Codes) -> u32 {
        s + a.iter().zip(b).map(|(&a, b)| u32::from(a) * u32::from(b)).sum::<u32>()
    }

    #[inline(always)]
    fn add_centered(self, s: u32, a: Self::Codes, b: Self::Codes) -> u32 {
        let sum: i32 = a.iter().zip(b).map(|(&a, b)| (i32::from(a) - 128) * i32::from(b)).sum();
        s.wrapping_add_signed(sum)
    }

    #[inline(always)]
    fn add_squares(self, s: u32, a: Self::Codes, b: Self::Codes) -> u32 {
        s + a.iter().zip(b).map(|(&a, b)| u32::from(a.abs_diff(b)).pow(2)).sum::<u32>()
    }

    #[inline(always)]
    fn add_codes(self, s: u32, a: Self::Codes) -> u32 {
        s + a.iter().map(|&a| u32::from(a)).sum::<u32>()
    }

    #[inline(always)]
    fn add_128_times(self, s: u32, t: u32) -> u32 {
        s + 128 * t
    }

    #[inline(always)]
    fn total(self, s: u32) -> u32 {
        s
    }

    #[inline(always)]
    fn total_x4(self, s: [u32; 4]) -> [u32; 4] {
        s
    }
}

impl Tiles for Scalar {
    type Words = [u32; TILE];

    #[inline(always)]
    fn dots(self, a: &[Line], b: &[Line], out: &mut Dots) {
        out.fill(Sixteen([0; TILE]));
        for (a, b) in a.iter().zip(b) {
            let (a, b) = (a.0.as_chunks::<4>().0, b.0.as_chunks::<4>().0);
            for (dots, a) in out.iter_mut().zip(a) {
                for (dot, b) in dots.0.iter_mut().zip(b) {
                    *dot += a.iter().zip(b).map(|(&a, &b)| u32::from(a) * u32::from(b)).sum::<u32>();
                }
            }
        }
    }

    #[inline(always)]
    fn keys(self, dots: &Sixteen<u32>, norm: u32, extra: f32, facts: &Facts, mask: u32, tag: u32) -> [u32; TILE] {
        std::array::from_fn(|j| {
            let codes = norm.wrapping_add(facts.norms.0[j]).wrapping_sub(dots.0[j].wrapping_mul(2));
            let extra = extra - facts.extras.0[j];
            let squared = extra * extra;
            ((codes as f32 + squared).to_bits() & mask) | (tag ^ j as u32)
        })
    }

    #[inline(always)]
    fn splat(self, word: u32) -> [u32; TILE] {
        [word; TILE]
    }

    #[inline(always)]
    fn load_words(self, from: &Sixteen<u32>) -> [u32; TILE] {
        from.0
    }

    #[inline(always)]
    fn store_words(self, words: [u32; TILE]) -> Sixteen<u32> {
        Sixteen(words)
    }

    #[inline(always)]
    fn below(self, a: [u32; TILE], b: [u32; TILE]) -> u32 {
        (0..TILE).map(|j| u32::from(a[j] < b[j]) << j).sum()
    }

    #[inline(always)]
    fn insert(self, list: &mut Sixteen<u32>, word: u32) {
        let old = list.0;
        list.0 = std::array::from_fn(|j| old[j].min(if j == 0 { word } else { old[j - 1].max(word) }));
    }
}

crate::entries::entries! {
    SCALAR: Isa::Scalar, Scalar, #[inline(never)]
    l2_squared_f32_scalar dot_f32_scalar cosine_f32_scalar
    l2_squared_f32_x4_scalar dot_f32_x4_scalar
    l2_squared_f32_many_scalar dot_f32_many_scalar
    l2_squared_u8_scalar dot_u8_scalar cosine_u8_scalar moments_u8_scalar
    l2_squared_u8_x4_scalar dot_centered_u8_scalar
    l2_squared_u8_many_scalar dot_centered_u8_many_scalar l2_squared_u8_gather_scalar weighted_u8_gather_scalar
    weighted_u4_gather_scalar l2_squared_f16_gather_scalar dot_f16_gather_scalar
    tile_dots_scalar tile_offer_scalar
}

//! NEON: sixteen floats or sixty-four codes in four registers.

use std::arch::aarch64::*;
use std::arch::asm;

use crate::isa::Isa;
use crate::lanes::{CODES, FLOATS, Lanes, PACKED, padded};
use crate::tile::{Dots, Facts, Line, Sixteen, TILE, Tiles};

/// With the dot product instructions (`UDOT`, ARMv8.2) or without them.
#[derive(Clone, Copy)]
pub(crate) struct Neon<const UDOT: bool>(());

impl<const UDOT: bool> Lanes for Neon<UDOT> {
    /// Elements 0..4, 4..8, 8..12 and 12..16.
    type Floats = [float32x4_t; 4];
    type Codes = [uint8x16_t; 4];
    type Sums = uint32x4_t;

    const OFFSET: bool = false;

    #[inline(always)]
    unsafe fn new() -> Self {
        Neon(())
    }

    #[inline(always)]
    fn zero(self) -> Self::Floats {
        // SAFETY: `self` exists, so there is NEON.
        unsafe { [vdupq_n_f32(0.0); 4] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; FLOATS]) -> Self::Floats {
        let (quarters, _) = from.as_chunks::<4>();
        // SAFETY: `self` exists, so there is NEON; a quarter is the four floats that are loaded.
        let quarter = |i: usize| unsafe { vld1q_f32(quarters[i].as_ptr()) };
        [quarter(0), quarter(1), quarter(2), quarter(3)]
    }

    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Self::Floats {
        let (quarters, rest) = from.as_chunks::<4>();
        let mut floats = self.zero();
        // SAFETY: `self` exists, so there is NEON; four floats are loaded from a quarter, single ones from the rest.
        unsafe {
            for (floats, quarter) in floats.iter_mut().zip(quarters) {
                *floats = vld1q_f32(quarter.as_ptr());
            }
            let last = &mut floats[quarters.len()];
            if let Some(float) = rest.first() {
                *last = vld1q_lane_f32::<0>(float, *last);
            }
            if let Some(float) = rest.get(1) {
                *last = vld1q_lane_f32::<1>(float, *last);
            }
            if let Some(float) = rest.get(2) {
                *last = vld1q_lane_f32::<2>(float, *last);
            }
        }
        floats
    }

    #[inline(always)]
    fn load_halves(self, from: &[u8; PACKED]) -> Self::Floats {
        let (quarters, _) = from.as_chunks::<8>();
        // SAFETY: `self` exists, so there is NEON; a quarter is the eight bytes that are loaded.
        let quarter = |i: usize| unsafe { widen_halves(vld1_u8(quarters[i].as_ptr())) };
        [quarter(0), quarter(1), quarter(2), quarter(3)]
    }

    #[inline(always)]
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: `self` exists, so there is NEON.
        unsafe { [vaddq_f32(a[0], b[0]), vaddq_f32(a[1], b[1]), vaddq_f32(a[2], b[2]), vaddq_f32(a[3], b[3])] }
    }

    #[inline(always)]
    fn sub(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: `self` exists, so there is NEON.
        unsafe { [vsubq_f32(a[0], b[0]), vsubq_f32(a[1], b[1]), vsubq_f32(a[2], b[2]), vsubq_f32(a[3], b[3])] }
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: `self` exists, so there is NEON.
        unsafe { [vmulq_f32(a[0], b[0]), vmulq_f32(a[1], b[1]), vmulq_f32(a[2], b[2]), vmulq_f32(a[3], b[3])] }
    }

    #[inline(always)]
    fn sum(self, s: Self::Floats) -> f32 {
        // SAFETY: `self` exists, so there is NEON.
        unsafe {
            let s = sum_16(s);
            let s = vadd_f32(vget_low_f32(s), vget_high_f32(s));
            vget_lane_f32::<0>(vpadd_f32(s, s))
        }
    }

    #[inline(always)]
    fn sum_x4(self, s: [Self::Floats; 4]) -> [f32; 4] {
        // SAFETY: `self` exists, so there is NEON; the array takes the four floats stored.
        unsafe {
            let ab = halves(sum_16(s[0]), sum_16(s[1]));
            let cd = halves(sum_16(s[2]), sum_16(s[3]));
            let mut sums = [0.0; 4];
            vst1q_f32(sums.as_mut_ptr(), vpaddq_f32(ab, cd));
            sums
        }
    }

    #[inline(always)]
    fn none(self) -> uint32x4_t {
        // SAFETY: `self` exists, so there is NEON.
        unsafe { vdupq_n_u32(0) }
    }

    #[inline(always)]
    fn load_codes(self, from: &[u8; CODES]) -> Self::Codes {
        let (quarters, _) = from.as_chunks::<16>();
        // SAFETY: `self` exists, so there is NEON; a quarter is the sixteen bytes that are loaded.
        let quarter = |i: usize| unsafe { vld1q_u8(quarters[i].as_ptr()) };
        [quarter(0), quarter(1), quarter(2), quarter(3)]
    }

    #[inline(always)]
    fn load_codes_part(self, from: &[u8]) -> Self::Codes {
        self.load_codes(&padded(from))
    }

    #[inline(always)]
    fn load_nibbles(self, from: &[u8; PACKED]) -> Self::Codes {
        let (halves, _) = from.as_chunks::<16>();
        // SAFETY: `self` exists, so there is NEON; a half is the sixteen bytes that are loaded.
        unsafe {
            let (a, b) = (vld1q_u8(halves[0].as_ptr()), vld1q_u8(halves[1].as_ptr()));
            let low = vdupq_n_u8(15);
            [vandq_u8(a, low), vandq_u8(b, low), vshrq_n_u8::<4>(a), vshrq_n_u8::<4>(b)]
        }
    }

    #[inline(always)]
    fn add_products(self, s: uint32x4_t, a: Self::Codes, b: Self::Codes) -> uint32x4_t {
        let mut s = s;
        for (a, b) in a.into_iter().zip(b) {
            // SAFETY: `self` exists, so there is NEON, and UDOT if it says so.
            s = unsafe { if UDOT { udot(s, a, b) } else { multiply_widen_add(s, a, b) } };
        }
        s
    }

    #[inline(always)]
    fn add_centered(self, s: uint32x4_t, a: Self::Codes, b: Self::Codes) -> uint32x4_t {
        let sum = self.add_codes(self.none(), b);
        // SAFETY: `self` exists, so there is NEON.
        unsafe { vsubq_u32(self.add_products(s, a, b), vshlq_n_u32::<7>(sum)) }
    }

    #[inline(always)]
    fn add_squares(self, s: uint32x4_t, a: Self::Codes, b: Self::Codes) -> uint32x4_t {
        // SAFETY: `self` exists, so there is NEON.
        let difference = |i: usize| unsafe { vabdq_u8(a[i], b[i]) };
        let differences = [difference(0), difference(1), difference(2), difference(3)];
        self.add_products(s, differences, differences)
    }

    #[inline(always)]
    fn add_codes(self, s: uint32x4_t, a: Self::Codes) -> uint32x4_t {
        let mut s = s;
        for a in a {
            // SAFETY: `self` exists, so there is NEON.
            s = unsafe { vpadalq_u16(s, vpaddlq_u8(a)) };
        }
        s
    }

    #[inline(always)]
    fn add_128_times(self, s: uint32x4_t, t: uint32x4_t) -> uint32x4_t {
        // SAFETY: `self` exists, so there is NEON.
        unsafe { vaddq_u32(s, vshlq_n_u32::<7>(t)) }
    }

    #[inline(always)]
    fn total(self, s: uint32x4_t) -> u32 {
        // SAFETY: `self` exists, so there is NEON.
        unsafe { vaddvq_u32(s) }
    }

    #[inline(always)]
    fn total_x4(self, [a, b, c, d]: [uint32x4_t; 4]) -> [u32; 4] {
        // SAFETY: `self` exists, so there is NEON; the array takes the four numbers stored.
        unsafe {
            let mut totals = [0; 4];
            vst1q_u32(totals.as_mut_ptr(), vpaddq_u32(vpaddq_u32(a, b), vpaddq_u32(c, d)));
            totals
        }
    }
}

/// `s[j] + s[j + 8]`, `+ 4`.
///
/// # Safety
/// There is NEON.
#[inline(always)]
unsafe fn sum_16(s: [float32x4_t; 4]) -> float32x4_t {
    // SAFETY: the caller's.
    unsafe { vaddq_f32(vaddq_f32(s[0], s[2]), vaddq_f32(s[1], s[3])) }
}

/// `s[j] + s[j + 2]` for two sums of four, side by side.
///
/// # Safety
/// There is NEON.
#[inline(always)]
unsafe fn halves(a: float32x4_t, b: float32x4_t) -> float32x4_t {
    // SAFETY: the caller's.
    unsafe {
        let low = vcombine_f32(vget_low_f32(a), vget_low_f32(b));
        let high = vcombine_f32(vget_high_f32(a), vget_high_f32(b));
        vaddq_f32(low, high)
    }
}

/// Four floats of 16 bits as floats. The intrinsic is not stable, the instruction is.
///
/// # Safety
/// There is NEON.
#[inline(always)]
unsafe fn widen_halves(halves: uint8x8_t) -> float32x4_t {
    let floats: float32x4_t;
    // SAFETY: the caller's; the instruction touches nothing but its two registers.
    unsafe {
        asm!(
            "fcvtl {floats:v}.4s, {halves:v}.4h",
            floats = out(vreg) floats,
            halves = in(vreg) halves,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    floats
}

/// `s` and the products of four neighbours each. The intrinsic is not stable, the instruction is.
///
/// # Safety
/// The CPU has the dot product instructions.
#[inline]
#[target_feature(enable = "neon,dotprod")]
unsafe fn udot(s: uint32x4_t, a: uint8x16_t, b: uint8x16_t) -> uint32x4_t {
    let mut s = s;
    // SAFETY: the caller's; the instruction touches nothing but its three registers.
    unsafe {
        asm!(
            "udot {s:v}.4s, {a:v}.16b, {b:v}.16b",
            s = inout(vreg) s,
            a = in(vreg) a,
            b = in(vreg) b,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    s
}

/// The same without the instruction.
///
/// # Safety
/// There is NEON.
#[inline(always)]
unsafe fn multiply_widen_add(s: uint32x4_t, a: uint8x16_t, b: uint8x16_t) -> uint32x4_t {
    // SAFETY: the caller's. A product of codes is less than 2^16.
    unsafe {
        let low = vmull_u8(vget_low_u8(a), vget_low_u8(b));
        let high = vmull_high_u8(a, b);
        vpadalq_u16(vpadalq_u16(s, low), high)
    }
}

impl<const UDOT: bool> Tiles for Neon<UDOT> {
    /// Words 0..4, 4..8, 8..12 and 12..16.
    type Words = [uint32x4_t; 4];

    #[inline(always)]
    fn dots(self, a: &[Line], b: &[Line], out: &mut Dots) {
        const ROWS: usize = 4;
        for (first, out) in out.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
            let mut s = [[self.none(); 4]; ROWS];
            for (a, b) in a.iter().zip(b) {
                let words = &a.0.as_chunks::<4>().0.as_chunks::<ROWS>().0[first];
                let b = self.load_codes(&b.0);
                for (s, &word) in s.iter_mut().zip(words) {
                    // SAFETY: `self` exists, so there is NEON, and UDOT if it says so.
                    unsafe {
                        let word = vreinterpretq_u8_u32(vdupq_n_u32(u32::from_le_bytes(word)));
                        for (s, b) in s.iter_mut().zip(b) {
                            *s = if UDOT { udot(*s, b, word) } else { multiply_add_fours(*s, b, word) };
                        }
                    }
                }
            }
            for (s, out) in s.into_iter().zip(out) {
                *out = self.store_words(s);
            }
        }
    }

    #[inline(always)]
    fn keys(self, dots: &Sixteen<u32>, norm: u32, extra: f32, facts: &Facts, mask: u32, tag: u32) -> Self::Words {
        let (norms, dots) = (self.load_words(&facts.norms), self.load_words(dots));
        let extras = self.load(&facts.extras.0);
        // SAFETY: `self` exists, so there is NEON; four words are loaded from the array.
        unsafe {
            let lanes = vld1q_u32([0, 1, 2, 3].as_ptr());
            std::array::from_fn(|i| {
                let norms = vaddq_u32(norms[i], vdupq_n_u32(norm));
                let codes = vsubq_u32(norms, vshlq_n_u32::<1>(dots[i]));
                let extra = vsubq_f32(vdupq_n_f32(extra), extras[i]);
                let distances = vaddq_f32(vcvtq_f32_u32(codes), vmulq_f32(extra, extra));
                let tags = veorq_u32(vdupq_n_u32(tag ^ 4 * i as u32), lanes);
                vorrq_u32(vandq_u32(vreinterpretq_u32_f32(distances), vdupq_n_u32(mask)), tags)
            })
        }
    }

    #[inline(always)]
    fn splat(self, word: u32) -> Self::Words {
        // SAFETY: `self` exists, so there is NEON.
        unsafe { [vdupq_n_u32(word); 4] }
    }

    #[inline(always)]
    fn load_words(self, from: &Sixteen<u32>) -> Self::Words {
        // SAFETY: `self` exists, so there is NEON; each load is of four words of the sixteen.
        [0, 4, 8, 12].map(|at| unsafe { vld1q_u32(from.0.as_ptr().add(at)) })
    }

    #[inline(always)]
    fn store_words(self, words: Self::Words) -> Sixteen<u32> {
        let mut out = Sixteen([0; TILE]);
        for (words, out) in words.into_iter().zip(out.0.as_chunks_mut::<4>().0) {
            // SAFETY: `self` exists, so there is NEON; the store is of four words.
            unsafe { vst1q_u32(out.as_mut_ptr(), words) };
        }
        out
    }

    #[inline(always)]
    fn below(self, a: Self::Words, b: Self::Words) -> u32 {
        // SAFETY: `self` exists, so there is NEON; sixteen bytes are loaded from the array.
        unsafe {
            let narrow = |i: usize| vmovn_u32(vcltq_u32(a[i], b[i]));
            let low = vmovn_u16(vcombine_u16(narrow(0), narrow(1)));
            let high = vmovn_u16(vcombine_u16(narrow(2), narrow(3)));
            let weights = vld1_u8([1, 2, 4, 8, 16, 32, 64, 128].as_ptr());
            u32::from(vaddv_u8(vand_u8(low, weights))) | u32::from(vaddv_u8(vand_u8(high, weights))) << 8
        }
    }

    #[inline(always)]
    fn insert(self, list: &mut Sixteen<u32>, word: u32) {
        let words = self.load_words(list);
        // SAFETY: `self` exists, so there is NEON.
        unsafe {
            let word = vdupq_n_u32(word);
            let mut last = vdupq_n_u32(0);
            *list = self.store_words(words.map(|words| {
                let before = vextq_u32::<3>(last, words);
                last = words;
                vminq_u32(words, vmaxq_u32(before, word))
            }));
        }
    }
}

/// `s` and the products of four neighbours each, without the instruction.
///
/// # Safety
/// There is NEON.
#[inline(always)]
unsafe fn multiply_add_fours(s: uint32x4_t, a: uint8x16_t, b: uint8x16_t) -> uint32x4_t {
    // SAFETY: the caller's. A product of codes is less than 2^16.
    unsafe {
        let low = vpaddlq_u16(vmull_u8(vget_low_u8(a), vget_low_u8(b)));
        let high = vpaddlq_u16(vmull_high_u8(a, b));
        vaddq_u32(s, vpaddq_u32(low, high))
    }
}

crate::entries::entries! {
    NEON: Isa::Neon, Neon<false>, #[target_feature(enable = "neon")]
    l2_squared_f32_neon dot_f32_neon cosine_f32_neon
    l2_squared_f32_x4_neon dot_f32_x4_neon
    l2_squared_f32_many_neon dot_f32_many_neon
    l2_squared_u8_neon dot_u8_neon cosine_u8_neon moments_u8_neon
    l2_squared_u8_x4_neon dot_centered_u8_neon
    l2_squared_u8_many_neon dot_centered_u8_many_neon l2_squared_u8_gather_neon weighted_u8_gather_neon
    weighted_u4_gather_neon l2_squared_f16_gather_neon dot_f16_gather_neon
    tile_dots_neon tile_offer_neon
}

crate::entries::entries! {
    NEON_UDOT: Isa::Neon, Neon<true>, #[target_feature(enable = "neon,dotprod")]
    l2_squared_f32_neon_udot dot_f32_neon_udot cosine_f32_neon_udot
    l2_squared_f32_x4_neon_udot dot_f32_x4_neon_udot
    l2_squared_f32_many_neon_udot dot_f32_many_neon_udot
    l2_squared_u8_neon_udot dot_u8_neon_udot cosine_u8_neon_udot moments_u8_neon_udot
    l2_squared_u8_x4_neon_udot dot_centered_u8_neon_udot
    l2_squared_u8_many_neon_udot dot_centered_u8_many_neon_udot l2_squared_u8_gather_neon_udot weighted_u8_gather_neon_udot
    weighted_u4_gather_neon_udot l2_squared_f16_gather_neon_udot dot_f16_gather_neon_udot
    tile_dots_neon_udot tile_offer_neon_udot
}

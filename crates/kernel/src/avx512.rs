//! AVX-512 with VNNI: sixteen floats or sixty-four codes in a register.

use std::arch::x86_64::*;

use crate::avx2::{sum_4_x4, sum_8, total_8};
use crate::isa::Isa;
use crate::lanes::{CODES, FLOATS, Lanes, PACKED};
use crate::tile::{Dots, Facts, Line, Sixteen, TILE, Tiles};

#[derive(Clone, Copy)]
pub(crate) struct Avx512(());

impl Lanes for Avx512 {
    type Floats = __m512;
    type Codes = __m512i;
    type Sums = __m512i;

    /// VNNI multiplies u8 by i8.
    const OFFSET: bool = true;

    #[inline(always)]
    unsafe fn new() -> Self {
        Avx512(())
    }

    #[inline(always)]
    fn zero(self) -> __m512 {
        // SAFETY: `self` exists, so there is AVX-512.
        unsafe { _mm512_setzero_ps() }
    }

    #[inline(always)]
    fn load(self, from: &[f32; FLOATS]) -> __m512 {
        // SAFETY: `self` exists, so there is AVX-512; the array is the sixteen floats that are loaded.
        unsafe { _mm512_loadu_ps(from.as_ptr()) }
    }

    #[inline(always)]
    fn load_part(self, from: &[f32]) -> __m512 {
        let mask = (1 << from.len()) - 1;
        // SAFETY: `self` exists, so there is AVX-512; only elements within `from` are loaded.
        unsafe { _mm512_maskz_loadu_ps(mask, from.as_ptr()) }
    }

    #[inline(always)]
    fn load_halves(self, from: &[u8; PACKED]) -> __m512 {
        // SAFETY: `self` exists, so there is AVX-512; the array is the 32 bytes that are loaded.
        unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(from.as_ptr().cast())) }
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so there is AVX-512.
        unsafe { _mm512_add_ps(a, b) }
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so there is AVX-512.
        unsafe { _mm512_sub_ps(a, b) }
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        // SAFETY: `self` exists, so there is AVX-512.
        unsafe { _mm512_mul_ps(a, b) }
    }

    #[inline(always)]
    fn sum(self, s: __m512) -> f32 {
        // SAFETY: `self` exists, so there is AVX-512, and with it AVX2.
        unsafe { sum_8(_mm256_add_ps(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps::<1>(s))) }
    }

    #[inline(always)]
    fn sum_x4(self, [a, b, c, d]: [__m512; 4]) -> [f32; 4] {
        // SAFETY: `self` exists, so there is AVX-512, and with it AVX2.
        unsafe {
            // a0..8 b0..8 + a8..16 b8..16
            let ab = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(a, b), _mm512_shuffle_f32x4::<0xee>(a, b));
            let cd = _mm512_add_ps(_mm512_shuffle_f32x4::<0x44>(c, d), _mm512_shuffle_f32x4::<0xee>(c, d));
            // a0..4 b0..4 c0..4 d0..4 + a4..8 b4..8 c4..8 d4..8
            let s = _mm512_add_ps(_mm512_shuffle_f32x4::<0x88>(ab, cd), _mm512_shuffle_f32x4::<0xdd>(ab, cd));
            sum_4_x4(_mm512_castps512_ps256(s), _mm512_extractf32x8_ps::<1>(s))
        }
    }

    #[inline(always)]
    fn none(self) -> __m512i {
        // SAFETY: `self` exists, so there is AVX-512.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    fn load_codes(self, from: &[u8; CODES]) -> __m512i {
        // SAFETY: `self` exists, so there is AVX-512; the array is the sixty-four bytes that are loaded.
        unsafe { _mm512_loadu_si512(from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_codes_part(self, from: &[u8]) -> __m512i {
        let mask = (1 << from.len()) - 1;
        // SAFETY: `self` exists, so there is AVX-512; only bytes within `from` are loaded.
        unsafe { _mm512_maskz_loadu_epi8(mask, from.as_ptr().cast()) }
    }

    #[inline(always)]
    fn load_nibbles(self, from: &[u8; PACKED]) -> __m512i {
        // SAFETY: `self` exists, so there is AVX-512; the array is the 32 bytes that are loaded.
        unsafe {
            let bytes = _mm256_loadu_si256(from.as_ptr().cast());
            let both = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(bytes), _mm256_srli_epi16::<4>(bytes));
            _mm512_and_si512(both, _mm512_set1_epi8(15))
        }
    }

    #[inline(always)]
    fn add_products(self, s: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` exists, so there is AVX-512 with VNNI.
        unsafe { _mm512_dpbusd_epi32(s, a, _mm512_xor_si512(b, _mm512_set1_epi8(-128))) }
    }

    #[inline(always)]
    fn add_centered(self, s: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` exists, so there is AVX-512 with VNNI.
        unsafe { _mm512_dpbusd_epi32(s, b, _mm512_xor_si512(a, _mm512_set1_epi8(-128))) }
    }

    #[inline(always)]
    fn add_squares(self, s: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` exists, so there is AVX-512 with VNNI.
        unsafe {
            let low = _mm512_set1_epi16(0xff);
            let even = _mm512_sub_epi16(_mm512_and_si512(a, low), _mm512_and_si512(b, low));
            let odd = _mm512_sub_epi16(_mm512_srli_epi16::<8>(a), _mm512_srli_epi16::<8>(b));
            _mm512_dpwssd_epi32(_mm512_dpwssd_epi32(s, even, even), odd, odd)
        }
    }

    #[inline(always)]
    fn add_codes(self, s: __m512i, a: __m512i) -> __m512i {
        // SAFETY: `self` exists, so there is AVX-512 with VNNI.
        unsafe { _mm512_dpbusd_epi32(s, a, _mm512_set1_epi8(1)) }
    }

    #[inline(always)]
    fn add_128_times(self, s: __m512i, t: __m512i) -> __m512i {
        // SAFETY: `self` exists, so there is AVX-512.
        unsafe { _mm512_add_epi32(s, _mm512_slli_epi32::<7>(t)) }
    }

    #[inline(always)]
    fn total(self, s: __m512i) -> u32 {
        // SAFETY: `self` exists, so there is AVX-512, and with it AVX2.
        unsafe { total_8(_mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64::<1>(s))) }
    }

    #[inline(always)]
    fn total_x4(self, [a, b, c, d]: [__m512i; 4]) -> [u32; 4] {
        // SAFETY: `self` exists, so there is AVX-512, and with it AVX2; the array takes the four numbers stored.
        unsafe {
            // a b a b in every quarter, then a b c d
            let ab = _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let cd = _mm512_add_epi32(_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            let s = _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
            let s = _mm256_add_epi32(_mm512_castsi512_si256(s), _mm512_extracti64x4_epi64::<1>(s));
            let s = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256::<1>(s));
            let mut totals = [0; 4];
            _mm_storeu_si128(totals.as_mut_ptr().cast(), s);
            totals
        }
    }
}

impl Tiles for Avx512 {
    type Words = __m512i;

    #[inline(always)]
    fn dots(self, a: &[Line], b: &[Line], out: &mut Dots) {
        // SAFETY: `self` exists, so there is AVX-512 with VNNI; a line is the 64 bytes that are loaded, or sixteen words.
        unsafe {
            // VNNI multiplies u8 by i8: with `b - 128`, 128 times the sum of `a` is missing.
            let mut s = [_mm512_setzero_si512(); TILE];
            let mut sums = _mm512_setzero_si512();
            for (a, b) in a.iter().zip(b) {
                let words = a.0.as_ptr().cast::<i32>();
                let b = _mm512_xor_si512(_mm512_load_si512(b.0.as_ptr().cast()), _mm512_set1_epi8(-128));
                for (i, s) in s.iter_mut().enumerate() {
                    *s = _mm512_dpbusd_epi32(*s, _mm512_set1_epi32(*words.add(i)), b);
                }
                sums = _mm512_dpbusd_epi32(sums, _mm512_load_si512(words.cast()), _mm512_set1_epi8(1));
            }
            let missing = self.store_words(_mm512_slli_epi32::<7>(sums));
            for ((s, missing), out) in s.into_iter().zip(missing.0).zip(out) {
                *out = self.store_words(_mm512_add_epi32(s, self.splat(missing)));
            }
        }
    }

    #[inline(always)]
    fn keys(self, dots: &Sixteen<u32>, norm: u32, extra: f32, facts: &Facts, mask: u32, tag: u32) -> __m512i {
        // SAFETY: `self` exists, so there is AVX-512; the loads are of sixteen aligned numbers.
        unsafe {
            let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
            let norms = _mm512_add_epi32(self.load_words(&facts.norms), self.splat(norm));
            let codes = _mm512_sub_epi32(norms, _mm512_slli_epi32::<1>(self.load_words(dots)));
            let extra = _mm512_sub_ps(_mm512_set1_ps(extra), _mm512_load_ps(facts.extras.0.as_ptr()));
            let distances = _mm512_add_ps(_mm512_cvtepi32_ps(codes), _mm512_mul_ps(extra, extra));
            let tags = _mm512_xor_si512(self.splat(tag), lanes);
            _mm512_or_si512(_mm512_and_si512(_mm512_castps_si512(distances), self.splat(mask)), tags)
        }
    }

    #[inline(always)]
    fn splat(self, word: u32) -> __m512i {
        // SAFETY: `self` exists, so there is AVX-512.
        unsafe { _mm512_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    fn load_words(self, from: &Sixteen<u32>) -> __m512i {
        // SAFETY: `self` exists, so there is AVX-512; the load is of sixteen aligned words.
        unsafe { _mm512_load_si512(from.0.as_ptr().cast()) }
    }

    #[inline(always)]
    fn store_words(self, words: __m512i) -> Sixteen<u32> {
        let mut out = Sixteen([0; TILE]);
        // SAFETY: `self` exists, so there is AVX-512; the store is of sixteen aligned words.
        unsafe { _mm512_store_si512(out.0.as_mut_ptr().cast(), words) };
        out
    }

    #[inline(always)]
    fn below(self, a: __m512i, b: __m512i) -> u32 {
        // SAFETY: `self` exists, so there is AVX-512.
        unsafe { u32::from(_mm512_cmplt_epu32_mask(a, b)) }
    }

    #[inline(always)]
    fn insert(self, list: &mut Sixteen<u32>, word: u32) {
        let (list_words, word) = (self.load_words(list), self.splat(word));
        // SAFETY: `self` exists, so there is AVX-512.
        unsafe {
            let before = _mm512_alignr_epi32::<15>(list_words, _mm512_setzero_si512());
            *list = self.store_words(_mm512_min_epu32(list_words, _mm512_max_epu32(before, word)));
        }
    }
}

crate::entries::entries! {
    AVX512: Isa::Avx512, Avx512, #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    l2_squared_f32_avx512 dot_f32_avx512 cosine_f32_avx512
    l2_squared_f32_x4_avx512 dot_f32_x4_avx512
    l2_squared_f32_many_avx512 dot_f32_many_avx512
    l2_squared_u8_avx512 dot_u8_avx512 cosine_u8_avx512 moments_u8_avx512
    l2_squared_u8_x4_avx512 dot_centered_u8_avx512
    l2_squared_u8_many_avx512 dot_centered_u8_many_avx512 l2_squared_u8_gather_avx512 weighted_u8_gather_avx512
    weighted_u4_gather_avx512 l2_squared_f16_gather_avx512 dot_f16_gather_avx512
    tile_dots_avx512 tile_offer_avx512
}

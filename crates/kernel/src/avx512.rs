//! AVX-512 with VNNI: sixteen floats or sixty-four codes in a register.

use std::arch::x86_64::*;

use crate::avx2::{sum_4_x4, sum_8, total_8};
use crate::isa::Isa;
use crate::lanes::{CODES, FLOATS, Lanes};

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
    fn add_products(self, s: __m512i, a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: `self` exists, so there is AVX-512 with VNNI.
        unsafe { _mm512_dpbusd_epi32(s, a, _mm512_xor_si512(b, _mm512_set1_epi8(-128))) }
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

crate::entries::entries! {
    AVX512: Isa::Avx512, Avx512, #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    l2_squared_f32_avx512 dot_f32_avx512 cosine_f32_avx512
    l2_squared_f32_x4_avx512 dot_f32_x4_avx512
    l2_squared_f32_many_avx512 dot_f32_many_avx512
    l2_squared_u8_avx512 dot_u8_avx512 cosine_u8_avx512 moments_u8_avx512
    l2_squared_u8_x4_avx512 dot_u8_gather_avx512
    l2_squared_u8_many_avx512 dot_u8_many_avx512
}

//! AVX2 with F16C: sixteen floats in two registers, sixty-four codes widened to 16 bits in four.

use std::arch::x86_64::*;

use crate::isa::Isa;
use crate::lanes::{CODES, FLOATS, Lanes, PACKED};
use crate::tile::{Dots, Facts, Line, Sixteen, TILE, Tiles};

#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Lanes for Avx2 {
    /// Elements 0..8 and 8..16.
    type Floats = [__m256; 2];
    type Codes = [__m256i; 4];
    type Sums = __m256i;

    const OFFSET: bool = false;

    #[inline(always)]
    unsafe fn new() -> Self {
        Avx2(())
    }

    #[inline(always)]
    fn zero(self) -> Self::Floats {
        // SAFETY: `self` exists, so there is AVX2.
        unsafe { [_mm256_setzero_ps(); 2] }
    }

    #[inline(always)]
    fn load(self, from: &[f32; FLOATS]) -> Self::Floats {
        // SAFETY: `self` exists, so there is AVX2; both halves lie within the array.
        unsafe { [_mm256_loadu_ps(from.as_ptr()), _mm256_loadu_ps(from.as_ptr().add(8))] }
    }

    #[inline(always)]
    fn load_part(self, from: &[f32]) -> Self::Floats {
        // SAFETY: `self` exists, so there is AVX2; the floats are as many as the length says.
        unsafe { words(from.as_ptr().cast(), from.len()).map(|words| _mm256_castsi256_ps(words)) }
    }

    #[inline(always)]
    fn load_halves(self, from: &[u8; PACKED]) -> Self::Floats {
        let (halves, _) = from.as_chunks::<16>();
        // SAFETY: `self` exists, so there is AVX2 with F16C; sixteen bytes are loaded for each half of the floats.
        [0, 1].map(|i| unsafe { _mm256_cvtph_ps(_mm_loadu_si128(halves[i].as_ptr().cast())) })
    }

    #[inline(always)]
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: `self` exists, so there is AVX2.
        unsafe { [_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn sub(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: `self` exists, so there is AVX2.
        unsafe { [_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats {
        // SAFETY: `self` exists, so there is AVX2.
        unsafe { [_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])] }
    }

    #[inline(always)]
    fn sum(self, s: Self::Floats) -> f32 {
        // SAFETY: `self` exists, so there is AVX2.
        unsafe { sum_8(_mm256_add_ps(s[0], s[1])) }
    }

    #[inline(always)]
    fn sum_x4(self, s: [Self::Floats; 4]) -> [f32; 4] {
        // SAFETY: `self` exists, so there is AVX2.
        unsafe {
            let [a, b, c, d] = s.map(|s| _mm256_add_ps(s[0], s[1]));
            let ab = _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(a, b), _mm256_permute2f128_ps::<0x31>(a, b));
            let cd = _mm256_add_ps(_mm256_permute2f128_ps::<0x20>(c, d), _mm256_permute2f128_ps::<0x31>(c, d));
            sum_4_x4(ab, cd)
        }
    }

    #[inline(always)]
    fn none(self) -> __m256i {
        // SAFETY: `self` exists, so there is AVX2.
        unsafe { _mm256_setzero_si256() }
    }

    #[inline(always)]
    fn load_codes(self, from: &[u8; CODES]) -> Self::Codes {
        let (quarters, _) = from.as_chunks::<16>();
        // SAFETY: `self` exists, so there is AVX2; a quarter is the 16 bytes that are loaded.
        let widened = |i: usize| unsafe { _mm256_cvtepu8_epi16(_mm_loadu_si128(quarters[i].as_ptr().cast())) };
        [widened(0), widened(1), widened(2), widened(3)]
    }

    #[inline(always)]
    fn load_codes_part(self, from: &[u8]) -> Self::Codes {
        let (whole, rest) = from.as_chunks::<4>();
        let code = |i: usize| rest.get(i).copied().unwrap_or(0);
        let last = i32::from_le_bytes([code(0), code(1), code(2), 0]);
        // SAFETY: `self` exists, so there is AVX2; four codes make a word.
        unsafe {
            let [low, high] = words(whole.as_ptr().cast(), whole.len());
            let [low_last, high_last] = positions().map(|position| {
                let here = _mm256_cmpeq_epi32(position, _mm256_set1_epi32(whole.len() as i32));
                _mm256_and_si256(here, _mm256_set1_epi32(last))
            });
            let (low, high) = (_mm256_or_si256(low, low_last), _mm256_or_si256(high, high_last));
            [
                _mm256_cvtepu8_epi16(_mm256_castsi256_si128(low)),
                _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(low)),
                _mm256_cvtepu8_epi16(_mm256_castsi256_si128(high)),
                _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(high)),
            ]
        }
    }

    #[inline(always)]
    fn load_nibbles(self, from: &[u8; PACKED]) -> Self::Codes {
        // SAFETY: `self` exists, so there is AVX2; the array is the 32 bytes that are loaded.
        unsafe {
            let (bytes, mask) = (_mm256_loadu_si256(from.as_ptr().cast()), _mm256_set1_epi8(15));
            let low = _mm256_and_si256(bytes, mask);
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(bytes), mask);
            [
                _mm256_cvtepu8_epi16(_mm256_castsi256_si128(low)),
                _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(low)),
                _mm256_cvtepu8_epi16(_mm256_castsi256_si128(high)),
                _mm256_cvtepu8_epi16(_mm256_extracti128_si256::<1>(high)),
            ]
        }
    }

    #[inline(always)]
    fn add_products(self, s: __m256i, a: Self::Codes, b: Self::Codes) -> __m256i {
        // SAFETY: `self` exists, so there is AVX2. Two products of codes are less than 2^31.
        unsafe {
            let low = _mm256_add_epi32(_mm256_madd_epi16(a[0], b[0]), _mm256_madd_epi16(a[1], b[1]));
            let high = _mm256_add_epi32(_mm256_madd_epi16(a[2], b[2]), _mm256_madd_epi16(a[3], b[3]));
            _mm256_add_epi32(s, _mm256_add_epi32(low, high))
        }
    }

    #[inline(always)]
    fn add_centered(self, s: __m256i, a: Self::Codes, b: Self::Codes) -> __m256i {
        // SAFETY: `self` exists, so there is AVX2.
        self.add_products(s, a.map(|a| unsafe { _mm256_sub_epi16(a, _mm256_set1_epi16(128)) }), b)
    }

    #[inline(always)]
    fn add_squares(self, s: __m256i, a: Self::Codes, b: Self::Codes) -> __m256i {
        // SAFETY: `self` exists, so there is AVX2.
        let difference = |i: usize| unsafe { _mm256_sub_epi16(a[i], b[i]) };
        let differences = [difference(0), difference(1), difference(2), difference(3)];
        self.add_products(s, differences, differences)
    }

    #[inline(always)]
    fn add_codes(self, s: __m256i, a: Self::Codes) -> __m256i {
        // SAFETY: `self` exists, so there is AVX2. Four codes are less than 2^15.
        unsafe {
            let fours = _mm256_add_epi16(_mm256_add_epi16(a[0], a[1]), _mm256_add_epi16(a[2], a[3]));
            _mm256_add_epi32(s, _mm256_madd_epi16(fours, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    fn add_128_times(self, s: __m256i, t: __m256i) -> __m256i {
        // SAFETY: `self` exists, so there is AVX2.
        unsafe { _mm256_add_epi32(s, _mm256_slli_epi32::<7>(t)) }
    }

    #[inline(always)]
    fn total(self, s: __m256i) -> u32 {
        // SAFETY: `self` exists, so there is AVX2.
        unsafe { total_8(s) }
    }

    #[inline(always)]
    fn total_x4(self, [a, b, c, d]: [__m256i; 4]) -> [u32; 4] {
        // SAFETY: `self` exists, so there is AVX2; the array takes the four numbers stored.
        unsafe {
            // a b c d in each half
            let s = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
            let s = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256::<1>(s));
            let mut totals = [0; 4];
            _mm_storeu_si128(totals.as_mut_ptr().cast(), s);
            totals
        }
    }
}

/// 0 to 15.
///
/// # Safety
/// There is AVX2.
#[inline(always)]
unsafe fn positions() -> [__m256i; 2] {
    // SAFETY: the caller's.
    unsafe { [_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)] }
}

/// `n` words of 32 bits, fewer than 16, and zeros behind them.
///
/// # Safety
/// There is AVX2, and `from` is the address of `n` words, aligned or not.
#[inline(always)]
unsafe fn words(from: *const i32, n: usize) -> [__m256i; 2] {
    // SAFETY: the caller's; words from `n` on are masked out, so nothing is read behind the last one.
    unsafe {
        let [low, high] = positions().map(|position| _mm256_cmpgt_epi32(_mm256_set1_epi32(n as i32), position));
        [_mm256_maskload_epi32(from, low), _mm256_maskload_epi32(from.wrapping_add(8), high)]
    }
}

/// `s[j] + s[j + 4]`, `+ 2`, `+ 1`.
///
/// # Safety
/// There is AVX2.
#[inline(always)]
pub(crate) unsafe fn sum_8(s: __m256) -> f32 {
    // SAFETY: the caller's.
    unsafe {
        let s = _mm_add_ps(_mm256_castps256_ps128(s), _mm256_extractf128_ps::<1>(s));
        let s = _mm_add_ps(s, _mm_movehl_ps(s, s));
        _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)))
    }
}

/// `s[j] + s[j + 2]`, `+ 1` for four sums of four: `[a, b]` and `[c, d]`.
///
/// # Safety
/// There is AVX2.
#[inline(always)]
pub(crate) unsafe fn sum_4_x4(ab: __m256, cd: __m256) -> [f32; 4] {
    // SAFETY: the caller's; the array takes the four floats stored.
    unsafe {
        // a0 a1 c0 c1 | b0 b1 d0 d1  +  a2 a3 c2 c3 | b2 b3 d2 d3
        let s = _mm256_add_ps(_mm256_shuffle_ps::<0x44>(ab, cd), _mm256_shuffle_ps::<0xee>(ab, cd));
        // a a c c | b b d d
        let s = _mm256_add_ps(s, _mm256_permute_ps::<0xb1>(s));
        let s = _mm_blend_ps::<0b1010>(_mm256_castps256_ps128(s), _mm256_extractf128_ps::<1>(s));
        let mut sums = [0.0; 4];
        _mm_storeu_ps(sums.as_mut_ptr(), s);
        sums
    }
}

/// The sum of eight.
///
/// # Safety
/// There is AVX2.
#[inline(always)]
pub(crate) unsafe fn total_8(s: __m256i) -> u32 {
    // SAFETY: the caller's.
    unsafe {
        let s = _mm_add_epi32(_mm256_castsi256_si128(s), _mm256_extracti128_si256::<1>(s));
        let s = _mm_add_epi32(s, _mm_shuffle_epi32::<0x4e>(s));
        _mm_cvtsi128_si32(_mm_add_epi32(s, _mm_shuffle_epi32::<0xb1>(s))).cast_unsigned()
    }
}

impl Tiles for Avx2 {
    /// Words 0..8 and 8..16.
    type Words = [__m256i; 2];

    #[inline(always)]
    fn dots(self, a: &[Line], b: &[Line], out: &mut Dots) {
        const ROWS: usize = 4;
        for (first, out) in out.as_chunks_mut::<ROWS>().0.iter_mut().enumerate() {
            // SAFETY: `self` exists, so there is AVX2; a line is the 64 bytes that are loaded.
            unsafe {
                let low = _mm256_set1_epi32(0xff_00ff);
                let mut s = [[_mm256_setzero_si256(); 2]; ROWS];
                for (a, b) in a.iter().zip(b) {
                    let words = &a.0.as_chunks::<4>().0.as_chunks::<ROWS>().0[first];
                    // Codes 0 and 2 of each row, and 1 and 3, as words of 16 bits.
                    let b = [0, 32].map(|at| _mm256_load_si256(b.0.as_ptr().add(at).cast()));
                    let even = b.map(|b| _mm256_and_si256(b, low));
                    let odd = b.map(|b| _mm256_srli_epi16::<8>(b));
                    for (s, &word) in s.iter_mut().zip(words) {
                        let word = _mm256_set1_epi32(i32::from_le_bytes(word));
                        let (word_even, word_odd) = (_mm256_and_si256(word, low), _mm256_srli_epi16::<8>(word));
                        for half in 0..2 {
                            let products = _mm256_add_epi32(
                                _mm256_madd_epi16(word_even, even[half]),
                                _mm256_madd_epi16(word_odd, odd[half]),
                            );
                            s[half] = _mm256_add_epi32(s[half], products);
                        }
                    }
                }
                for (s, out) in s.into_iter().zip(out) {
                    *out = self.store_words(s);
                }
            }
        }
    }

    #[inline(always)]
    fn keys(self, dots: &Sixteen<u32>, norm: u32, extra: f32, facts: &Facts, mask: u32, tag: u32) -> [__m256i; 2] {
        let (norms, dots) = (self.load_words(&facts.norms), self.load_words(dots));
        let norm = self.splat(norm);
        // SAFETY: `self` exists, so there is AVX2; eight floats are loaded from each half of sixteen.
        unsafe {
            let lanes = positions();
            std::array::from_fn(|half| {
                let norms = _mm256_add_epi32(norms[half], norm[half]);
                let codes = _mm256_sub_epi32(norms, _mm256_slli_epi32::<1>(dots[half]));
                let extras = _mm256_load_ps(facts.extras.0.as_ptr().add(8 * half));
                let extra = _mm256_sub_ps(_mm256_set1_ps(extra), extras);
                let distances = _mm256_add_ps(_mm256_cvtepi32_ps(codes), _mm256_mul_ps(extra, extra));
                let tags = _mm256_xor_si256(_mm256_set1_epi32(tag.cast_signed()), lanes[half]);
                let mask = _mm256_set1_epi32(mask.cast_signed());
                _mm256_or_si256(_mm256_and_si256(_mm256_castps_si256(distances), mask), tags)
            })
        }
    }

    #[inline(always)]
    fn splat(self, word: u32) -> [__m256i; 2] {
        // SAFETY: `self` exists, so there is AVX2.
        unsafe { [_mm256_set1_epi32(word.cast_signed()); 2] }
    }

    #[inline(always)]
    fn load_words(self, from: &Sixteen<u32>) -> [__m256i; 2] {
        // SAFETY: `self` exists, so there is AVX2; each load is of eight aligned words of the sixteen.
        [0, 8].map(|at| unsafe { _mm256_load_si256(from.0.as_ptr().add(at).cast()) })
    }

    #[inline(always)]
    fn store_words(self, words: [__m256i; 2]) -> Sixteen<u32> {
        let mut out = Sixteen([0; TILE]);
        // SAFETY: `self` exists, so there is AVX2; each store is of eight aligned words of the sixteen.
        unsafe {
            _mm256_store_si256(out.0.as_mut_ptr().cast(), words[0]);
            _mm256_store_si256(out.0.as_mut_ptr().add(8).cast(), words[1]);
        }
        out
    }

    #[inline(always)]
    fn below(self, a: [__m256i; 2], b: [__m256i; 2]) -> u32 {
        // SAFETY: `self` exists, so there is AVX2.
        let bits = |half: usize| unsafe {
            _mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(b[half], a[half]))).cast_unsigned()
        };
        bits(0) | bits(1) << 8
    }

    #[inline(always)]
    fn insert(self, list: &mut Sixteen<u32>, word: u32) {
        let (words, word) = (self.load_words(list), self.splat(word)[0]);
        // SAFETY: `self` exists, so there is AVX2; words 7..15 lie within the list.
        unsafe {
            let up = _mm256_permutevar8x32_epi32(words[0], _mm256_setr_epi32(0, 0, 1, 2, 3, 4, 5, 6));
            let before = _mm256_blend_epi32::<1>(up, _mm256_setzero_si256());
            let before_high = _mm256_loadu_si256(list.0.as_ptr().add(7).cast());
            *list = self.store_words([
                _mm256_min_epu32(words[0], _mm256_max_epu32(before, word)),
                _mm256_min_epu32(words[1], _mm256_max_epu32(before_high, word)),
            ]);
        }
    }
}

crate::entries::entries! {
    AVX2: Isa::Avx2, Avx2, #[target_feature(enable = "avx2,f16c")]
    l2_squared_f32_avx2 dot_f32_avx2 cosine_f32_avx2
    l2_squared_f32_x4_avx2 dot_f32_x4_avx2
    l2_squared_f32_many_avx2 dot_f32_many_avx2
    l2_squared_u8_avx2 dot_u8_avx2 cosine_u8_avx2 moments_u8_avx2
    l2_squared_u8_x4_avx2 dot_centered_u8_avx2
    l2_squared_u8_many_avx2 dot_centered_u8_many_avx2 l2_squared_u8_gather_avx2 weighted_u8_gather_avx2
    weighted_u4_gather_avx2 l2_squared_f16_gather_avx2 dot_f16_gather_avx2
    tile_dots_avx2 tile_offer_avx2
}

//! What an instruction set is to the algorithms: sixteen floats and sixty-four codes at a time.

/// Floats in one step of a sum.
pub(crate) const FLOATS: usize = 16;

/// Codes in one step of a sum.
pub(crate) const CODES: usize = 64;

/// Bytes of so many codes of four bits, and of sixteen floats of 16 bits.
pub(crate) const PACKED: usize = 32;

/// Registers of an instruction set. A value of the type is the proof that the CPU has it.
///
/// Every function of an implementation is `#[inline(always)]`, so that it becomes part of an entry function with the
/// set's `#[target_feature]`; only there do the intrinsics become single instructions.
pub(crate) trait Lanes: Copy {
    /// Sixteen floats, or sixteen partial sums.
    type Floats: Copy;
    /// Sixty-four codes, in the form in which they are multiplied.
    type Codes: Copy;
    /// Partial sums of integers, modulo 2^32: as the total is less, it is exact.
    type Sums: Copy;

    /// Whether [`Lanes::add_products`] takes its second codes as `b - 128`, and so leaves out 128 times the sum of the
    /// first.
    const OFFSET: bool;

    /// # Safety
    /// The CPU has the instruction set.
    unsafe fn new() -> Self;

    /// Sixteen zeros.
    fn zero(self) -> Self::Floats;
    /// Sixteen floats from memory.
    fn load(self, from: &[f32; FLOATS]) -> Self::Floats;
    /// Fewer than sixteen, and zeros behind them.
    fn load_part(self, from: &[f32]) -> Self::Floats;
    /// Sixteen floats of 16 bits from memory, little-endian, as floats.
    fn load_halves(self, from: &[u8; PACKED]) -> Self::Floats;
    /// a + b
    fn add(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// a - b
    fn sub(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// a * b
    fn mul(self, a: Self::Floats, b: Self::Floats) -> Self::Floats;
    /// The tree: `s[j] + s[j + 8]`, then `+ 4`, `+ 2`, `+ 1`.
    fn sum(self, s: Self::Floats) -> f32;
    /// The tree for four at once.
    fn sum_x4(self, s: [Self::Floats; 4]) -> [f32; 4];

    /// Partial sums that are 0.
    fn none(self) -> Self::Sums;
    /// Sixty-four codes from memory.
    fn load_codes(self, from: &[u8; CODES]) -> Self::Codes;
    /// Fewer than sixty-four, and zeros behind them.
    fn load_codes_part(self, from: &[u8]) -> Self::Codes;
    /// Sixty-four codes of four bits from memory: the low halves of the bytes, then the high ones.
    fn load_nibbles(self, from: &[u8; PACKED]) -> Self::Codes;
    /// `s` and the sum of `a * b`, less 128 times the sum of `a` if [`Lanes::OFFSET`].
    fn add_products(self, s: Self::Sums, a: Self::Codes, b: Self::Codes) -> Self::Sums;
    /// `s` and the sum of `(a - 128) * b`.
    fn add_centered(self, s: Self::Sums, a: Self::Codes, b: Self::Codes) -> Self::Sums;
    /// `s` and the sum of `(a - b)^2`.
    fn add_squares(self, s: Self::Sums, a: Self::Codes, b: Self::Codes) -> Self::Sums;
    /// `s` and the sum of `a`.
    fn add_codes(self, s: Self::Sums, a: Self::Codes) -> Self::Sums;
    /// `s + 128 * t`
    fn add_128_times(self, s: Self::Sums, t: Self::Sums) -> Self::Sums;
    /// All partial sums together.
    fn total(self, s: Self::Sums) -> u32;
    /// [`Lanes::total`] of four at once.
    fn total_x4(self, s: [Self::Sums; 4]) -> [u32; 4];
}

/// `from`, and zeros behind it up to `N`.
#[inline(always)]
pub(crate) fn padded<T: Copy + Default, const N: usize>(from: &[T]) -> [T; N] {
    let mut to = [T::default(); N];
    to[..from.len()].copy_from_slice(from);
    to
}

//! Numbers of 16 bits (IEEE 754 binary16): what becomes of a float, and the float that they stand for.

/// The largest.
pub(crate) const MOST: f32 = 65_504.0;

/// The half nearest to `x`, ties to even; beyond the largest the largest. `x` is a number.
#[must_use]
pub fn to_half(x: f32) -> u16 {
    let bits = x.to_bits();
    let sign = (bits >> 16) as u16 & 0x8000;
    let size = f32::from_bits(bits & 0x7fff_ffff).min(MOST);
    sign | if size < 2.0_f32.powi(-14) {
        // In units of the least half: adding 2^23 leaves no bit for what is less than one, and rounds as it should.
        ((size * 2.0_f32.powi(24) + 8_388_608.0) - 8_388_608.0) as u16
    } else {
        // The exponent counts from 15, not from 127, and thirteen bits are rounded away.
        let bits = size.to_bits() - (112 << 23);
        ((bits + 0xfff + (bits >> 13 & 1)) >> 13) as u16
    }
}

/// The float that a half is, exactly.
#[must_use]
pub fn from_half(half: u16) -> f32 {
    let sign = u32::from(half & 0x8000) << 16;
    let (exponent, fraction) = (u32::from(half >> 10 & 31), u32::from(half & 1023));
    let size = match exponent {
        0 => (fraction as f32 * 2.0_f32.powi(-24)).to_bits(),
        31 => 0x7f80_0000 | fraction << 13,
        _ => (exponent + 112) << 23 | fraction << 13,
    };
    f32::from_bits(sign | size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_is_the_nearest_to_its_float() {
        let numbers = || (0..=0x7bff_u16).flat_map(|half| [half, half | 0x8000]);
        assert!(numbers().all(|half| to_half(from_half(half)) == half));
        for half in 0..0x7bff_u16 {
            let (low, high) = (from_half(half), from_half(half + 1));
            let middle = f32::midpoint(low, high);
            let even = half + half % 2;
            assert_eq!([low, middle, high].map(to_half), [half, even, half + 1]);
            let (below, above) = (f32::from_bits(middle.to_bits() - 1), f32::from_bits(middle.to_bits() + 1));
            assert_eq!(
                [below, above, -below, -above].map(to_half),
                [half, half + 1, half | 0x8000, (half + 1) | 0x8000]
            );
        }
        assert_eq!([1.0, -2.0, MOST, 1e30, -1e30].map(to_half), [0x3c00, 0xc000, 0x7bff, 0x7bff, 0xfbff]);
    }
}

//! What the tests share.

use auspex_kernel::{Isa, Kernels, kernels_for};

/// The truth.
pub fn scalar() -> &'static Kernels {
    kernels_for(Isa::Scalar).unwrap()
}

/// The kernels of every instruction set of this machine, scalar among them.
pub fn kernels_here() -> impl Iterator<Item = &'static Kernels> {
    Isa::available().iter().map(|&isa| kernels_for(isa).unwrap())
}

/// Offsets at which vectors begin in a buffer; few where code is interpreted, by miri or an emulator.
pub fn offsets() -> impl Iterator<Item = usize> {
    let slow = cfg!(miri) || std::env::var_os("AUSPEX_TEST_EMULATOR").is_some();
    (0..16).step_by(if slow { 5 } else { 1 })
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Between -4 and 4.
    pub fn float(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 21) as f32 - 4.0
    }
}

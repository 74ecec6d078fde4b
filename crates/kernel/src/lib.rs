//! Distances between vectors and between codes, on the instruction set of the machine.
//!
//! Which numbers are added in which order is written once, in `sums.rs`; an instruction set only says what sixteen
//! floats and sixty-four codes are to it. So all of them give the same bits, and the graph built on one machine is
//! the graph built on any other.
//!
//! ```text
//!   Kernels::dot_f32(a, b)          checks the lengths, follows one function pointer
//!      │
//!   dot_f32_avx512(a, b, n)         the only #[target_feature]: everything below is inlined into it
//!      │
//!   sums: one::<f32, Dot>           the algorithm, safe and generic over Lanes
//!      │
//!   Lanes for Avx512                a register, a load, a multiplication, the tree
//! ```
//!
//! | file | what it holds |
//! | --- | --- |
//! | `isa.rs` | the instruction sets, which of them are here, which one `AUSPEX_ISA` asks for |
//! | `dispatch.rs` | [`Kernels`]: one table of function pointers for each, chosen once |
//! | `entries.rs` | what the tables point to, written by one macro |
//! | `sums.rs` | the definition of every sum, for one row, four rows and many |
//! | `tile.rs` | all pairs of two groups of sixteen rows, and each row's nearest |
//! | `half.rs` | floats of 16 bits |
//! | `lanes.rs` | the trait below which the hardware may differ |
//! | `scalar.rs` `avx2.rs` `avx512.rs` `neon.rs` | its implementations |
//! | `prefetch.rs` | hints to the cache |
//!
//! # Float sums
//!
//! There are sixteen partial sums. Number `j` takes the elements `j`, `j + 16`, `j + 32`, and so on, in this order,
//! each with a multiplication, a rounding, an addition and a rounding: nothing is fused. A length that is no multiple
//! of 16 is filled up with zeros. At the end `s[j] + s[j + 8]` makes eight of them, then `+ 4`, `+ 2`, `+ 1` make one.
//! A sum that is not a number is always [`f32::NAN`], whose bits are the same everywhere.
//!
//! # Code sums
//!
//! Sums over codes are exact integers, whatever the order, up to [`MAX_CODES`] codes. Codes of four bits lie two in a byte:
//! of each 64, byte `i` has code `i` in its low half, and code `i + 32` in the other.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod dispatch;
mod entries;
mod half;
mod isa;
mod lanes;
#[cfg(target_arch = "aarch64")]
mod neon;
mod prefetch;
mod scalar;
mod sums;
mod tile;

pub use dispatch::{Kernels, MAX_CODES, kernels, kernels_for};
pub use half::{from_half, to_half};
pub use isa::{ISA_VARIABLE, Isa, IsaError};
pub use prefetch::prefetch;
pub use sums::Weights;
pub use tile::{Columns, Dots, Facts, Line, Nearest, Sixteen, TILE, TILE_ROWS, decoded, pack};

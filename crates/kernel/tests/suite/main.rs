//! The kernels as the engine calls them, in one program: `cargo test -p auspex-kernel --test suite tile::` runs those of one
//! file.

mod agreement;
mod common;
mod forced;
#[cfg(all(target_os = "linux", not(miri)))]
mod guarded;
mod tile;

//! The time of every kernel, on every instruction set of this machine, with all data in the first-level cache, and of
//! those over many rows also with rows that come from memory.
//!
//! ```text
//! cargo bench -p auspex-kernel                          everything
//! cargo bench -p auspex-kernel -- 'avx512/.*_x4/128'    what matches the regular expression
//! ```
//!
//! `time` is that of one distance, in the best of many short runs. In place of a throughput stands the time as a multiple of the load bound, that is of
//! loading both vectors from the first-level cache with the widest registers of this machine and doing nothing else;
//! where that is not known, bytes loaded a second.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use auspex_kernel::{Isa, Kernels, kernels_for};
use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{BenchmarkId, Criterion, Throughput};

const DIMENSIONS: [usize; 5] = [100, 128, 384, 768, 1536];

/// Rows for the kernels that read many: a multiple of 4 that fits the cache with the query.
fn rows_in_cache(row_bytes: usize) -> usize {
    (24 * 1024 / row_bytes).min(64) / 4 * 4
}

/// A sample is the best of so many runs, short enough that some are left alone by the rest of the machine.
const RUNS: u64 = 64;

/// Rows that come from memory: more bytes than the caches have.
const MEMORY: usize = 96 << 20;

/// The best of many short runs, in nanoseconds for each of the `per_call` things that a call does.
#[cfg(target_arch = "x86_64")]
fn best(per_call: usize, call: impl Fn()) -> f64 {
    let run = || {
        let start = Instant::now();
        (0..1000).for_each(|_| call());
        start.elapsed()
    };
    let best = (0..1000).map(|_| run()).min().unwrap_or(Duration::MAX);
    best.as_secs_f64() * 1e9 / (1000 * per_call) as f64
}

/// The time to load 64 bytes, in nanoseconds, with the widest registers of this machine.
#[cfg(target_arch = "x86_64")]
fn load_64_bytes() -> Option<f64> {
    macro_rules! sixteen_loads {
        ($instruction:literal, $register:literal, $step:literal, $at:expr) => {
            // SAFETY: loads from the 1,024 bytes behind the pointer, changes only clobbered registers, and the caller has
            // checked that the CPU has these registers.
            unsafe {
                std::arch::asm!(
                    concat!($instruction, " ", $register, "0, [{0}]"),
                    concat!($instruction, " ", $register, "1, [{0} + ", $step, "]"),
                    concat!($instruction, " ", $register, "2, [{0} + 2*", $step, "]"),
                    concat!($instruction, " ", $register, "3, [{0} + 3*", $step, "]"),
                    concat!($instruction, " ", $register, "0, [{0} + 4*", $step, "]"),
                    concat!($instruction, " ", $register, "1, [{0} + 5*", $step, "]"),
                    concat!($instruction, " ", $register, "2, [{0} + 6*", $step, "]"),
                    concat!($instruction, " ", $register, "3, [{0} + 7*", $step, "]"),
                    concat!($instruction, " ", $register, "0, [{0} + 8*", $step, "]"),
                    concat!($instruction, " ", $register, "1, [{0} + 9*", $step, "]"),
                    concat!($instruction, " ", $register, "2, [{0} + 10*", $step, "]"),
                    concat!($instruction, " ", $register, "3, [{0} + 11*", $step, "]"),
                    concat!($instruction, " ", $register, "0, [{0} + 12*", $step, "]"),
                    concat!($instruction, " ", $register, "1, [{0} + 13*", $step, "]"),
                    concat!($instruction, " ", $register, "2, [{0} + 14*", $step, "]"),
                    concat!($instruction, " ", $register, "3, [{0} + 15*", $step, "]"),
                    in(reg) $at, out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _,
                    options(nostack, readonly, preserves_flags)
                );
            }
        };
    }
    #[repr(align(64))]
    struct Lines([u8; 1024]);
    let lines = Lines([0; 1024]);
    let at = black_box(&lines).0.as_ptr();
    match Isa::available()[0] {
        Isa::Avx512 => Some(best(16, || sixteen_loads!("vmovups", "zmm", "64", at))),
        Isa::Avx2 => Some(best(8, || sixteen_loads!("vmovups", "ymm", "32", at))),
        _ => None,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn load_64_bytes() -> Option<f64> {
    None
}

/// Nanoseconds that loading 64 bytes takes, measured once.
static LOAD: OnceLock<Option<f64>> = OnceLock::new();

/// Wall time, with throughputs as multiples of the load bound.
struct LoadBound;

impl Measurement for LoadBound {
    type Intermediate = Instant;
    type Value = Duration;

    fn start(&self) -> Instant {
        Instant::now()
    }

    fn end(&self, start: Instant) -> Duration {
        start.elapsed()
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_secs_f64() * 1e9
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        &LoadBound
    }
}

impl ValueFormatter for LoadBound {
    fn scale_values(&self, typical: f64, values: &mut [f64]) -> &'static str {
        let (unit, size) = if typical < 1e3 { ("ns", 1.0) } else { ("us", 1e3) };
        values.iter_mut().for_each(|ns| *ns /= size);
        unit
    }

    fn scale_throughputs(&self, _: f64, throughput: &Throughput, values: &mut [f64]) -> &'static str {
        let Throughput::Bytes(bytes) = *throughput else { unreachable!("every line counts bytes") };
        match LOAD.get_or_init(load_64_bytes) {
            Some(load) => {
                values.iter_mut().for_each(|ns| *ns /= load * bytes as f64 / 64.0);
                "x the load bound"
            }
            None => {
                values.iter_mut().for_each(|ns| *ns = bytes as f64 / *ns);
                "GB/s"
            }
        }
    }

    fn scale_for_machines(&self, _: &mut [f64]) -> &'static str {
        "ns"
    }
}

/// The lines of one instruction set.
struct Table<'a> {
    criterion: &'a mut Criterion<LoadBound>,
}

impl Table<'_> {
    /// `call` computes `per_call` distances, each from two vectors of `row_bytes`.
    fn line(&mut self, k: &Kernels, name: &str, n: usize, row_bytes: usize, per_call: usize, mut call: impl FnMut()) {
        let mut group = self.criterion.benchmark_group(k.isa.name());
        group.throughput(Throughput::Bytes(2 * row_bytes as u64));
        group.bench_function(BenchmarkId::new(name, n), |bencher| {
            bencher.iter_custom(|calls| {
                let run = calls.div_ceil(RUNS);
                let elapsed = (0..calls.div_ceil(run)).map(|_| {
                    let start = Instant::now();
                    (0..run).for_each(|_| call());
                    start.elapsed()
                });
                elapsed.min().unwrap_or_default().mul_f64(calls as f64 / (run * per_call as u64) as f64)
            });
        });
        group.finish();
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .with_measurement(LoadBound)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200))
        .sample_size(20)
        .without_plots()
        .configure_from_args();
    let memory = aligned(MEMORY, |i| (i % 64) as u8);
    // SAFETY: any four bytes are a float, and the bytes are aligned to a cache line.
    let (_, floats, _) = unsafe { memory.align_to::<f32>() };
    let mut table = Table { criterion: &mut criterion };
    for n in DIMENSIONS {
        for &isa in Isa::available() {
            let k = kernels_for(isa).unwrap();
            lines_f32(&mut table, k, n, floats);
            lines_u8(&mut table, k, n, memory);
        }
    }
    criterion.final_summary();
}

/// `n` elements that begin with a cache line.
fn aligned<T: Copy>(n: usize, element: impl Fn(usize) -> T) -> &'static [T] {
    let all: &[T] = Vec::leak((0..n + 64).map(&element).collect());
    let begin = all.as_ptr().align_offset(64);
    &all[begin..][..n]
}

fn lines_f32(table: &mut Table, k: &Kernels, n: usize, memory: &[f32]) {
    let many = rows_in_cache(4 * n);
    let q = aligned(n, |i| i as f32);
    let rows = aligned(many * n, |i| (i * 7 % 64) as f32);
    let row = |i: usize| &rows[i * n..][..n];
    let four = [row(0), row(1), row(2), row(3)];
    let mut out = vec![0.0; many];

    type Single = fn(&Kernels, &[f32], &[f32]) -> f32;
    let single: [(&str, Single); 3] = [
        ("l2_squared_f32", Kernels::l2_squared_f32),
        ("dot_f32", Kernels::dot_f32),
        ("cosine_f32", Kernels::cosine_f32),
    ];
    for (name, f) in single {
        table.line(k, name, n, 4 * n, 4, || four.iter().for_each(|row| _ = black_box(f(k, black_box(q), row))));
    }
    table.line(k, "l2_squared_f32_x4", n, 4 * n, 4, || _ = black_box(k.l2_squared_f32_x4(black_box(q), four)));
    table.line(k, "dot_f32_x4", n, 4 * n, 4, || _ = black_box(k.dot_f32_x4(black_box(q), four)));
    table.line(k, "l2_squared_f32_many", n, 4 * n, many, || k.l2_squared_f32_many(q, black_box(rows), &mut out));
    table.line(k, "dot_f32_many", n, 4 * n, many, || k.dot_f32_many(q, black_box(rows), &mut out));
    let many = memory.len() / n;
    let (rows, mut out) = (&memory[..many * n], vec![0.0; many]);
    table.line(k, "l2_squared_f32_many_memory", n, 4 * n, many, || k.l2_squared_f32_many(q, rows, &mut out));
    table.line(k, "dot_f32_many_memory", n, 4 * n, many, || k.dot_f32_many(q, rows, &mut out));
}

fn lines_u8(table: &mut Table, k: &Kernels, n: usize, memory: &[u8]) {
    let many = rows_in_cache(n);
    let q = aligned(n, |i| i as u8);
    let stride = n.next_multiple_of(64);
    let rows = aligned(many * stride, |i| (i * 7) as u8);
    let row = |i: usize| &rows[i * stride..][..n];
    let four = [row(0), row(1), row(2), row(3)];
    let mut out = vec![0; many];

    type Single = fn(&Kernels, &[u8], &[u8]) -> u32;
    let single: [(&str, Single); 2] = [("l2_squared_u8", Kernels::l2_squared_u8), ("dot_u8", Kernels::dot_u8)];
    for (name, f) in single {
        table.line(k, name, n, n, 4, || four.iter().for_each(|row| _ = black_box(f(k, black_box(q), row))));
    }
    table.line(k, "cosine_u8", n, n, 4, || four.iter().for_each(|row| _ = black_box(k.cosine_u8(black_box(q), row))));
    table.line(k, "moments_u8", n, n, 4, || four.iter().for_each(|row| _ = black_box(k.moments_u8(black_box(row)))));
    table.line(k, "l2_squared_u8_x4", n, n, 4, || _ = black_box(k.l2_squared_u8_x4(black_box(q), four)));
    table.line(k, "l2_squared_u8_gather", n, n, 4, || k.l2_squared_u8_gather(black_box(q), 0, &four, &mut [0.0; 4]));
    table.line(k, "l2_squared_u8_many", n, n, many, || {
        k.l2_squared_u8_many(q, black_box(rows), stride, &mut out);
    });
    table.line(k, "dot_centered_u8_many", n, n, many, || k.dot_centered_u8_many(q, black_box(rows), stride, &mut out));
    let many = memory.len() / stride;
    let mut out = vec![0; many];
    table.line(k, "l2_squared_u8_many_memory", n, n, many, || k.l2_squared_u8_many(q, memory, stride, &mut out));
    table.line(k, "dot_centered_u8_many_memory", n, n, many, || k.dot_centered_u8_many(q, memory, stride, &mut out));
}

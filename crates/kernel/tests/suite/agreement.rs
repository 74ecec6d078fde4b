//! Every instruction set gives the same bits as scalar, and scalar is right.

use crate::common;

use std::io::Write;

use auspex_kernel::{Isa, Kernels, MAX_CODES, Weights, from_half, to_half};
use common::{Random, kernels_here, scalar};
use proptest::prelude::*;

/// The dimensions that are compared; few under miri, which is slow.
fn dimensions() -> impl Iterator<Item = usize> {
    const FEW: [usize; 5] = [0, 1, 17, 64, 70];
    let all = (0..=300).chain([4_095, 4_096]);
    all.filter(|n| !cfg!(miri) || FEW.contains(n))
}

/// Rows in the buffers: enough for a group of four, the prefetched groups after it and a rest.
const ROWS: usize = 15;

/// Everything that `k` makes of `q` and the rows, as bits. Also checks that one, four and many agree.
fn every_f32(k: &Kernels, q: &[f32], rows: &[f32]) -> Vec<u32> {
    let n = q.len();
    let row = |i: usize| &rows[i * n..][..n];
    let mut bits = Vec::new();
    let mut many = [f32::INFINITY; ROWS];

    let l2: Vec<u32> = (0..ROWS).map(|i| k.l2_squared_f32(q, row(i)).to_bits()).collect();
    let dot: Vec<u32> = (0..ROWS).map(|i| k.dot_f32(q, row(i)).to_bits()).collect();
    for i in 0..ROWS - 3 {
        let four = [row(i), row(i + 1), row(i + 2), row(i + 3)];
        assert_eq!(k.l2_squared_f32_x4(q, four).map(f32::to_bits), l2[i..i + 4], "{k:?} l2 x4 {n}");
        assert_eq!(k.dot_f32_x4(q, four).map(f32::to_bits), dot[i..i + 4], "{k:?} dot x4 {n}");
    }
    for count in [ROWS, ROWS - 1, ROWS - 2, ROWS - 3, 1, 0] {
        k.l2_squared_f32_many(q, rows, &mut many[..count]);
        assert_eq!(many[..count].iter().map(|x| x.to_bits()).collect::<Vec<_>>(), l2[..count], "{k:?} l2 many {n}");
        k.dot_f32_many(q, rows, &mut many[..count]);
        assert_eq!(many[..count].iter().map(|x| x.to_bits()).collect::<Vec<_>>(), dot[..count], "{k:?} dot many {n}");
    }
    bits.extend(l2);
    bits.extend(dot);
    bits.extend((0..ROWS).map(|i| k.cosine_f32(q, row(i)).to_bits()));
    bits
}

/// The same for codes, with rows every `stride` codes.
fn every_u8(k: &Kernels, q: &[u8], rows: &[u8], stride: usize) -> Vec<u32> {
    let n = q.len();
    let row = |i: usize| &rows[i * stride..][..n];
    let mut bits = Vec::new();
    let mut many = [u32::MAX; ROWS];

    let l2: Vec<u32> = (0..ROWS).map(|i| k.l2_squared_u8(q, row(i))).collect();
    let dot: Vec<u32> = (0..ROWS).map(|i| k.dot_u8(q, row(i))).collect();
    let centered: Vec<u32> = (0..ROWS).map(|i| k.dot_centered_u8(q, row(i))).collect();
    for i in 0..ROWS {
        let sum = k.moments_u8(row(i)).0;
        assert_eq!(centered[i], dot[i].wrapping_sub(128 * sum), "{k:?} centered {n}");
    }
    for i in 0..ROWS - 3 {
        let four = [row(i), row(i + 1), row(i + 2), row(i + 3)];
        assert_eq!(k.l2_squared_u8_x4(q, four), l2[i..i + 4], "{k:?} l2 x4 {n}");
    }
    let all: Vec<&[u8]> = (0..ROWS).map(row).collect();
    let squares = k.moments_u8(q).1;
    let weights = Weights { base: 3.5, per_square: 0.25, per_sum: 0.75, per_dot: 1.5 };
    let mut gathered = [f32::NAN; ROWS];
    for count in 0..=ROWS {
        k.l2_squared_u8_gather(q, squares, &all[..count], &mut gathered[..count]);
        assert!(gathered[..count].iter().zip(&l2).all(|(&a, &b)| a == b as f32), "{k:?} l2 gather {n}");
        k.weighted_u8_gather(q, weights, &all[..count], &mut gathered[..count]);
        for (i, &distance) in gathered[..count].iter().enumerate() {
            let (sum, squares) = k.moments_u8(row(i));
            let product = 0.75 * sum as f32 + 1.5 * centered[i].cast_signed() as f32;
            assert_eq!(distance, 3.5 + 0.25 * squares as f32 - product, "{k:?} weighted gather {n}");
        }
    }
    for count in [ROWS, ROWS - 1, ROWS - 2, ROWS - 3, 1, 0] {
        k.l2_squared_u8_many(q, rows, stride, &mut many[..count]);
        assert_eq!(many[..count], l2[..count], "{k:?} l2 many {n}");
        k.dot_centered_u8_many(q, rows, stride, &mut many[..count]);
        assert_eq!(many[..count], centered[..count], "{k:?} centered many {n}");
    }
    for i in 0..ROWS {
        let (sum, squares) = k.moments_u8(row(i));
        bits.extend([sum, squares, k.cosine_u8(q, row(i)).to_bits()]);
    }
    bits.extend(l2);
    bits.extend(dot);
    bits
}

fn compare_f32(q: &[f32], rows: &[f32], what: &str) {
    let truth = every_f32(scalar(), q, rows);
    for k in kernels_here() {
        assert_eq!(every_f32(k, q, rows), truth, "{k:?} on {what}, {} dimensions", q.len());
    }
}

fn compare_u8(q: &[u8], rows: &[u8], stride: usize, what: &str) {
    let truth = every_u8(scalar(), q, rows, stride);
    for k in kernels_here() {
        assert_eq!(every_u8(k, q, rows, stride), truth, "{k:?} on {what}, {} dimensions", q.len());
    }
}

#[test]
fn f32_agrees_in_every_dimension_at_every_offset() {
    let mut random = Random(1);
    for n in dimensions() {
        let buffer: Vec<f32> = (0..16 + n * (ROWS + 1)).map(|_| random.float()).collect();
        for offset in common::offsets() {
            let (q, rows) = buffer[offset..].split_at(n);
            compare_f32(q, &rows[..n * ROWS], &format!("offset {offset}"));
        }
    }
}

#[test]
fn u8_agrees_in_every_dimension_at_every_offset() {
    let mut random = Random(2);
    for n in dimensions() {
        let stride = n.next_multiple_of(64);
        let buffer: Vec<u8> = (0..16 + n + stride * ROWS).map(|_| random.next() as u8).collect();
        for offset in common::offsets() {
            let (q, rows) = buffer[offset..].split_at(n);
            // The last row may end where its codes end, and rows may touch.
            let touching = &rows[..n * ROWS];
            let apart = &rows[..stride * (ROWS - 1) + n];
            compare_u8(q, touching, n, &format!("offset {offset}"));
            compare_u8(q, apart, stride, &format!("offset {offset}, stride {stride}"));
        }
    }
}

/// Reading behind an end, or before a beginning, would be a fault here.
#[test]
#[cfg(all(target_os = "linux", not(miri)))]
fn nothing_else_is_read() {
    let (floats, float_rows) = (crate::guarded::guarded(300, 0.5_f32), crate::guarded::guarded(300 * ROWS, 1.5_f32));
    let (codes, code_rows) = (crate::guarded::guarded(300, 3_u8), crate::guarded::guarded(320 * ROWS, 5_u8));
    for n in 0..=300 {
        compare_f32(&floats[floats.len() - n..], &float_rows[float_rows.len() - n * ROWS..], "the end");
        compare_f32(&floats[..n], &float_rows[..n * ROWS], "the beginning");
        let stride = n.next_multiple_of(64);
        let bytes = if n == 0 { 0 } else { stride * (ROWS - 1) + n };
        compare_u8(&codes[codes.len() - n..], &code_rows[code_rows.len() - bytes..], stride, "the end");
        compare_u8(&codes[..n], &code_rows[..bytes], stride, "the beginning");
    }
}

#[test]
fn f32_agrees_on_extreme_values() {
    let extremes = [
        0.0,
        -0.0,
        f32::NAN,
        -f32::NAN,
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0xffc1_2345),
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::MAX,
        f32::MIN,
        1e19,
        -1e19,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        -f32::from_bits(0x7f_ffff),
        1e-22,
        1.0,
        -3.5,
    ];
    let mut random = Random(3);
    for n in dimensions().filter(|&n| n <= 130) {
        // All sorts, finite ones, small ones, and one special among ordinary ones.
        for sort in 0..8 {
            let draw = |random: &mut Random| match sort {
                0 | 1 => extremes[random.below(extremes.len())],
                2 => extremes[8 + random.below(10)],
                3 => extremes[12 + random.below(4)],
                _ if random.below(4 * n.max(1)) == 0 => extremes[random.below(extremes.len())],
                _ => random.float(),
            };
            let values: Vec<f32> = (0..n * (ROWS + 1)).map(|_| draw(&mut random)).collect();
            let (q, rows) = values.split_at(n);
            compare_f32(q, rows, &format!("extremes {sort}"));
        }
    }
}

#[test]
fn u8_agrees_on_extreme_codes() {
    let mut random = Random(4);
    for n in dimensions() {
        for few in [&[0, 255][..], &[127, 128], &[255], &[0], &[0, 1, 127, 128, 254, 255]] {
            let codes: Vec<u8> = (0..n * (ROWS + 1)).map(|_| few[random.below(few.len())]).collect();
            let (q, rows) = codes.split_at(n);
            compare_u8(q, rows, n, &format!("codes of {few:?}"));
        }
    }
}

/// Codes of four bits, two in a byte.
fn nibbles(codes: &[u8]) -> Vec<u8> {
    codes.chunks_exact(64).flat_map(|codes| (0..32).map(|i| codes[i] | codes[i + 32] << 4)).collect()
}

#[test]
fn codes_of_four_bits_are_those_of_eight() {
    let mut random = Random(9);
    let weights = Weights { base: 3.5, per_square: 0.25, per_sum: 0.75, per_dot: 1.5 };
    for n in dimensions().map(|n| n.next_multiple_of(64)) {
        let q: Vec<u8> = (0..n).map(|_| random.next() as u8).collect();
        let rows: Vec<Vec<u8>> = (0..ROWS).map(|_| (0..n).map(|_| random.next() as u8 & 15).collect()).collect();
        let packed: Vec<Vec<u8>> = rows.iter().map(|row| nibbles(row)).collect();
        let (rows, packed): (Vec<&[u8]>, Vec<&[u8]>) =
            (rows.iter().map(Vec::as_slice).collect(), packed.iter().map(Vec::as_slice).collect());
        for k in kernels_here() {
            let (mut wanted, mut got) = ([0.0; ROWS], [0.0; ROWS]);
            for count in 0..=ROWS {
                scalar().weighted_u8_gather(&q, weights, &rows[..count], &mut wanted[..count]);
                k.weighted_u4_gather(&q, weights, &packed[..count], &mut got[..count]);
                assert_eq!(wanted[..count], got[..count], "{k:?} {n}");
            }
        }
    }
}

#[test]
fn halves_are_their_floats() {
    let mut random = Random(10);
    for n in dimensions().map(|n| n.next_multiple_of(16)) {
        let q: Vec<f32> = (0..n).map(|_| random.float()).collect();
        // Any that is a number, the least ones among them.
        let any = |random: &mut Random| to_half(from_half(random.next() as u16 & 0xfbff));
        let rows: Vec<Vec<u16>> = (0..ROWS).map(|_| (0..n).map(|_| any(&mut random)).collect()).collect();
        let bytes: Vec<Vec<u8>> = rows.iter().map(|row| row.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
        let bytes: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
        let floats: Vec<Vec<f32>> = rows.iter().map(|row| row.iter().map(|&x| from_half(x)).collect()).collect();
        for k in kernels_here() {
            let mut got = [0.0; ROWS];
            for count in 0..=ROWS {
                k.l2_squared_f16_gather(&q, &bytes[..count], &mut got[..count]);
                let l2 = |(got, row): (&f32, &Vec<f32>)| got.to_bits() == scalar().l2_squared_f32(&q, row).to_bits();
                assert!(got[..count].iter().zip(&floats).all(l2), "{k:?} {n}");
                k.dot_f16_gather(&q, &bytes[..count], &mut got[..count]);
                let dot = |(got, row): (&f32, &Vec<f32>)| got.to_bits() == scalar().dot_f32(&q, row).to_bits();
                assert!(got[..count].iter().zip(&floats).all(dot), "{k:?} {n}");
            }
        }
    }
}

#[test]
fn scalar_f32_is_close_to_f64() {
    let mut random = Random(5);
    for n in dimensions() {
        let a: Vec<f32> = (0..n).map(|_| random.float()).collect();
        let b: Vec<f32> = (0..n).map(|_| random.float()).collect();
        let sum =
            |term: fn(f64, f64) -> f64| -> f64 { a.iter().zip(&b).map(|(&a, &b)| term(a.into(), b.into())).sum() };
        let (aa, bb) = (sum(|a, _| a * a), sum(|_, b| b * b));
        // Each of at most n / 16 + 6 roundings is off by at most half a unit in the last place.
        let tolerance = |magnitude: f64| magnitude * (n as f64 / 16.0 + 6.0) * f64::from(f32::EPSILON);
        let close = |got: f32, expected: f64, magnitude: f64| {
            let off = (f64::from(got) - expected).abs();
            assert!(off <= tolerance(magnitude), "{got} for {expected}, {n} dimensions");
        };
        close(scalar().l2_squared_f32(&a, &b), sum(|a, b| (a - b) * (a - b)), sum(|a, b| (a - b) * (a - b)));
        close(scalar().dot_f32(&a, &b), sum(|a, b| a * b), sum(|a, b| (a * b).abs()));
        if n > 0 {
            let cosine = 1.0 - sum(|a, b| a * b) / (aa * bb).sqrt();
            close(scalar().cosine_f32(&a, &b), cosine, 4.0);
            assert_eq!(scalar().cosine_f32(&a, &a), 0.0, "{n} dimensions");
        }
    }
}

#[test]
fn scalar_f32_is_the_documented_sum() {
    let mut random = Random(6);
    for n in dimensions() {
        let a: Vec<f32> = (0..n).map(|_| random.float()).collect();
        let b: Vec<f32> = (0..n).map(|_| random.float()).collect();
        let mut s = [0.0_f32; 16];
        for i in 0..n.next_multiple_of(16) {
            let (a, b) = (a.get(i).unwrap_or(&0.0), b.get(i).unwrap_or(&0.0));
            let product = a * b;
            s[i % 16] += product;
        }
        for width in [8, 4, 2, 1] {
            for j in 0..width {
                s[j] += s[j + width];
            }
        }
        assert_eq!(scalar().dot_f32(&a, &b).to_bits(), s[0].to_bits(), "{n} dimensions");
    }
}

#[test]
fn scalar_u8_is_exact() {
    let mut random = Random(7);
    for n in dimensions() {
        let a: Vec<u8> = (0..n).map(|_| random.next() as u8).collect();
        let b: Vec<u8> = (0..n).map(|_| random.next() as u8).collect();
        let sum =
            |term: fn(u64, u64) -> u64| -> u64 { a.iter().zip(&b).map(|(&a, &b)| term(a.into(), b.into())).sum() };
        assert_eq!(u64::from(scalar().l2_squared_u8(&a, &b)), sum(|a, b| a.abs_diff(b).pow(2)));
        assert_eq!(u64::from(scalar().dot_u8(&a, &b)), sum(|a, b| a * b));
        let (codes, squares) = scalar().moments_u8(&a);
        assert_eq!((u64::from(codes), u64::from(squares)), (sum(|a, _| a), sum(|a, _| a * a)));
        let (ab, aa, bb) = (sum(|a, b| a * b) as f64, sum(|a, _| a * a) as f64, sum(|_, b| b * b) as f64);
        let cosine = if aa * bb == 0.0 { 1.0 } else { 1.0 - ab / (aa * bb).sqrt() };
        assert!((f64::from(scalar().cosine_u8(&a, &b)) - cosine).abs() < 1e-6, "{n} dimensions");
    }
}

#[test]
fn scalar_one_four_and_many_agree() {
    let mut random = Random(8);
    for n in dimensions().filter(|&n| n <= 300) {
        let floats: Vec<f32> = (0..n * (ROWS + 1)).map(|_| random.float()).collect();
        every_f32(scalar(), &floats[..n], &floats[n..]);
        let codes: Vec<u8> = (0..n + (n + 7) * ROWS).map(|_| random.next() as u8).collect();
        every_u8(scalar(), &codes[..n], &codes[n..], n + 7);
    }
}

#[test]
fn the_longest_codes_do_not_overflow() {
    let full = vec![255; MAX_CODES];
    let empty = vec![0; MAX_CODES];
    let most = 65_536 * 255 * 255;
    for k in kernels_here() {
        assert_eq!(k.dot_u8(&full, &full), most, "{k:?}");
        assert_eq!(k.l2_squared_u8(&full, &empty), most, "{k:?}");
        assert_eq!(k.l2_squared_u8(&empty, &full), most, "{k:?}");
        let mut gathered = [0.0; 3];
        k.l2_squared_u8_gather(&full, most, &[&full, &empty, &full], &mut gathered);
        assert_eq!(gathered, [0.0, most as f32, 0.0], "{k:?}");
        k.l2_squared_u8_gather(&empty, 0, &[&full, &empty, &full], &mut gathered);
        assert_eq!(gathered, [most as f32, 0.0, most as f32], "{k:?}");
        assert_eq!(k.dot_centered_u8(&empty, &full).cast_signed(), -65_536 * 128 * 255, "{k:?}");
        assert_eq!(k.l2_squared_u8_x4(&empty, [&full, &empty, &full, &full]), [most, 0, most, most], "{k:?}");
        assert_eq!(k.moments_u8(&full), (65_536 * 255, most), "{k:?}");
        assert_eq!(k.cosine_u8(&full, &full), 0.0, "{k:?}");
    }
}

#[test]
fn the_cosine_of_nothing_is_1() {
    for k in kernels_here() {
        for n in [0, 1, 16, 100] {
            let (zeros, ones) = (vec![0.0; n], vec![1.0; n]);
            assert_eq!(k.cosine_f32(&zeros, &ones), 1.0, "{k:?}");
            assert_eq!(k.cosine_f32(&zeros, &zeros), 1.0, "{k:?}");
            assert_eq!(k.cosine_u8(&vec![0; n], &vec![1; n]), 1.0, "{k:?}");
        }
        // Squares whose product neither vanishes nor overflows.
        for scale in [1e-18, 1e18] {
            let (a, b) = ([scale, scale], [scale, -scale]);
            assert_eq!(k.cosine_f32(&a, &a), 0.0, "{k:?}");
            assert_eq!(k.cosine_f32(&a, &b), 1.0, "{k:?}");
        }
    }
}

#[test]
fn not_a_number_has_one_form() {
    for k in kernels_here() {
        for nan in [f32::NAN, -f32::NAN, f32::from_bits(0xffff_ffff), f32::from_bits(0x7f80_0001)] {
            for n in [1, 7, 16, 33] {
                let (a, b) = (vec![nan; n], vec![1.0; n]);
                assert_eq!(k.l2_squared_f32(&a, &b).to_bits(), f32::NAN.to_bits(), "{k:?}");
                assert_eq!(k.dot_f32(&b, &a).to_bits(), f32::NAN.to_bits(), "{k:?}");
                assert_eq!(k.cosine_f32(&a, &b).to_bits(), f32::NAN.to_bits(), "{k:?}");
            }
        }
        let infinities = [f32::INFINITY; 20];
        assert_eq!(k.l2_squared_f32(&infinities, &infinities).to_bits(), f32::NAN.to_bits(), "{k:?}");
    }
}

#[test]
fn no_fused_step() {
    // (1 + 2^-12)^2 = 1 + 2^-11 + 2^-24 rounds to 1 + 2^-11, and a fused step would keep the 2^-24.
    let x = 1.0 + 2.0_f32.powi(-12);
    let rounded = 1.0 + 2.0_f32.powi(-11);
    let mut a = [0.0; 32];
    let mut b = [0.0; 32];
    (a[0], b[0]) = (rounded, -1.0);
    (a[16], b[16]) = (x, x);
    for k in kernels_here() {
        assert_eq!(k.dot_f32(&a, &b), 0.0, "{k:?}");
    }
}

fn rest<T>(slice: &[T]) -> &[T] {
    &slice[1..]
}

const F: &[f32] = &[0.0; 32];
const C: &[u8] = &[0; 256];

/// Calls with lengths that do not fit.
const WRONG: &[fn(&Kernels)] = &[
    |k| _ = k.l2_squared_f32(F, rest(F)),
    |k| _ = k.dot_f32(rest(F), F),
    |k| _ = k.cosine_f32(F, rest(F)),
    |k| _ = k.l2_squared_f32_x4(F, [F, F, F, rest(F)]),
    |k| _ = k.dot_f32_x4(F, [F, rest(F), F, F]),
    |k| k.l2_squared_f32_many(F, rest(F), &mut [0.0]),
    |k| k.dot_f32_many(rest(F), F, &mut [0.0; 2]),
    |k| _ = k.l2_squared_u8(C, rest(C)),
    |k| _ = k.dot_u8(rest(C), C),
    |k| _ = k.cosine_u8(C, rest(C)),
    |k| _ = k.l2_squared_u8_x4(C, [rest(C), C, C, C]),
    |k| k.l2_squared_u8_gather(C, 0, &[C, rest(C)], &mut [0.0; 2]),
    |k| k.l2_squared_u8_gather(C, 0, &[C], &mut [0.0; 2]),
    |k| k.weighted_u8_gather(rest(C), Weights::default(), &[C], &mut [0.0]),
    |k| k.weighted_u4_gather(C, Weights::default(), &[C], &mut [0.0]),
    |k| k.weighted_u4_gather(&C[..32], Weights::default(), &[&C[..16]], &mut [0.0]),
    |k| k.l2_squared_f16_gather(F, &[&C[..63]], &mut [0.0]),
    |k| k.dot_f16_gather(F, &[&C[..64]], &mut [0.0; 2]),
    |k| k.dot_f16_gather(&F[..8], &[&C[..16]], &mut [0.0]),
    |k| k.l2_squared_u8_many(&C[..100], C, 128, &mut [0; 3]),
    |k| k.dot_centered_u8_many(&C[..100], C, 128, &mut [0; 3]),
    |k| k.dot_centered_u8_many(&C[..100], C, 99, &mut [0; 2]),
    |k| k.dot_centered_u8_many(&C[..100], C, usize::MAX, &mut [0; 3]),
    |k| _ = k.moments_u8(&[0; MAX_CODES + 1]),
    |k| _ = k.dot_u8(&[0; MAX_CODES + 1], &[0; MAX_CODES + 1]),
    |k| _ = k.l2_squared_u8(&[0; MAX_CODES + 1], &[0; MAX_CODES + 1]),
    |k| _ = k.cosine_u8(&[0; MAX_CODES + 1], &[0; MAX_CODES + 1]),
    |k| _ = k.l2_squared_u8_x4(&[0; MAX_CODES + 1], [&[0; MAX_CODES + 1]; 4]),
    |k| k.l2_squared_u8_gather(&[0; MAX_CODES + 1], 0, &[&[0; MAX_CODES + 1]], &mut [0.0]),
    |k| k.l2_squared_u8_many(&[0; MAX_CODES + 1], &[0; MAX_CODES + 1], MAX_CODES + 1, &mut [0]),
    |k| k.dot_centered_u8_many(&[0; MAX_CODES + 1], &[0; MAX_CODES + 1], MAX_CODES + 1, &mut [0]),
];

#[test]
fn wrong_lengths_panic() {
    for k in kernels_here() {
        for (i, call) in WRONG.iter().enumerate() {
            assert!(std::panic::catch_unwind(|| call(k)).is_err(), "{k:?} call {i}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 500 }, failure_persistence: None, ..Default::default() })]

    #[test]
    fn any_bits_as_floats_agree(bits in prop::collection::vec(any::<u32>(), 0..4_000)) {
        let n = bits.len() / (ROWS + 1);
        let floats: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
        let (q, rows) = floats.split_at(n);
        compare_f32(q, &rows[..n * ROWS], "any bits");
    }

    #[test]
    fn floats_of_one_size_agree(
        floats in prop::collection::vec(-1.0_f32..1.0, 0..8_000),
        exponent in -30_i32..30,
    ) {
        let n = floats.len() / (ROWS + 1);
        let floats: Vec<f32> = floats.into_iter().map(|x| x * 2.0_f32.powi(exponent)).collect();
        let (q, rows) = floats.split_at(n);
        compare_f32(q, &rows[..n * ROWS], "one size");
    }

    #[test]
    fn any_codes_agree(codes in prop::collection::vec(any::<u8>(), 0..8_000), gap in 0..70_usize) {
        let stride = codes.len() / (ROWS + 1);
        let n = stride.saturating_sub(gap);
        let (q, rows) = codes.split_at(n);
        compare_u8(q, &rows[..stride * ROWS], stride, "any codes");
    }
}

#[test]
fn every_instruction_set_is_named() {
    let here: Vec<_> = kernels_here().map(|k| k.isa).collect();
    let names = |wanted: bool| -> Vec<&str> {
        Isa::ALL.iter().filter(|isa| here.contains(isa) == wanted).map(|isa| isa.name()).collect()
    };
    let (run, absent) = (names(true).join(", "), names(false).join(", "));
    #[cfg(target_arch = "aarch64")]
    let run = format!("{run} (udot: {})", std::arch::is_aarch64_feature_detected!("dotprod"));
    // Not println!, which shows nothing of a test that passes.
    writeln!(std::io::stderr(), "instruction sets run: {run}; NOT run, not on this machine: {absent}").unwrap();
    assert_eq!(here, Isa::available());
}

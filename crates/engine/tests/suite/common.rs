//! What the suites share: data sets, collections filled from them, recall.
#![allow(dead_code)]

use std::path::PathBuf;
use std::sync::Arc;

use auspex_engine::{Collection, Options, Result, SearchOptions, Token, Write, Written};

/// Options for `dim` floats and a metric; the rest are defaults.
pub fn options(dim: usize, metric: &str) -> Options {
    Options { dim: Some(dim as f64), metric: Some(metric.into()), ..Options::default() }
}

/// Rows with ids and vectors, as one upsert.
pub fn upsert(collection: &Collection, ids: Vec<String>, vectors: &[f32]) -> Result<Written> {
    let mut draft = collection.draft(ids, None)?;
    // SAFETY: a slice of that many floats.
    unsafe { draft.fill(vectors.as_ptr(), vectors.len())? };
    commit(collection, Write::Upsert(draft))
}

/// One write.
pub fn commit(collection: &Collection, write: Write) -> Result<Written> {
    collection.commit(vec![(write, Arc::default())]).remove(0)
}

/// Rows `first..` of `vectors`, whose ids are their numbers, in batches.
pub fn fill(collection: &Collection, vectors: &[f32], batch: usize) {
    let dim = collection.dim();
    for (i, part) in vectors.chunks(batch * dim).enumerate() {
        let ids = (0..part.len() / dim).map(|row| (i * batch + row).to_string()).collect();
        upsert(collection, ids, part).unwrap();
    }
}

/// The ids of the hits of one query, as numbers.
pub fn ids(collection: &Collection, query: &[f32], k: usize, ef: usize, exact: bool) -> Vec<u32> {
    let asked = SearchOptions { k: Some(k as f64), ef_search: Some(ef as f64), exact, ..SearchOptions::default() };
    let hits = collection.search(query, &asked, &Token::default()).unwrap();
    (0..hits.len()).map(|i| hits.id(i).parse().unwrap()).collect()
}

/// Mean share of the `k` nearest that a search at `ef` finds. `truth` has `width` row numbers a query.
pub fn recall(collection: &Collection, queries: &[f32], truth: &[u32], width: usize, k: usize, ef: usize) -> f64 {
    let mut found = 0;
    let mut asked = 0;
    for (query, truth) in queries.chunks(collection.dim()).zip(truth.chunks(width)) {
        let hits = ids(collection, query, k, ef, false);
        found += hits.iter().filter(|row| truth[..k].contains(row)).count();
        asked += k;
    }
    found as f64 / asked as f64
}

/// Mean share of hits at `ef` that are as near as the `k` nearest by the exact scan: of rows that are equally far,
/// any will do.
pub fn recall_of_scan(collection: &Collection, queries: &[f32], k: usize, ef: usize) -> f64 {
    let distances = |query: &[f32], exact: bool| {
        let asked = SearchOptions { k: Some(k as f64), ef_search: Some(ef as f64), exact, ..SearchOptions::default() };
        collection.search(query, &asked, &Token::default()).unwrap().distances
    };
    let (mut found, mut asked) = (0, 0);
    for query in queries.chunks(collection.dim()) {
        let exact = distances(query, true);
        found += distances(query, false).iter().filter(|d| exact.last().is_some_and(|last| *d <= last)).count();
        asked += exact.len();
    }
    found as f64 / asked as f64
}

/// A seeded stream of numbers (splitmix64).
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// From 0 to 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    /// Mean 0, variance 1, near enough.
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.unit()).sum::<f32>() - 6.0
    }

    pub fn vectors(&mut self, rows: usize, dim: usize) -> Vec<f32> {
        (0..rows * dim).map(|_| self.normal()).collect()
    }

    /// Rows around `clusters` centres on `latent` dimensions, like real descriptors.
    pub fn clustered(&mut self, rows: usize, dim: usize, clusters: usize) -> Vec<f32> {
        let latent = 16.min(dim);
        let centres = self.vectors(clusters, latent);
        let mixing = self.vectors(latent, dim);
        let mut out = Vec::with_capacity(rows * dim);
        for _ in 0..rows {
            let centre = self.below(clusters) * latent;
            let z: Vec<f32> = (0..latent).map(|i| 1.2 * centres[centre + i] + self.normal()).collect();
            for j in 0..dim {
                let x: f32 = (0..latent).map(|i| z[i] * mixing[i * dim + j]).sum();
                out.push(x + 0.3 * self.normal());
            }
        }
        out
    }
}

/// An array of a `.npy` file, as floats.
pub struct Npy {
    pub rows: usize,
    pub width: usize,
    pub values: Vec<f32>,
}

/// Reads `.npy` files of u8, f16, f32 and i32, as floats.
pub fn npy(path: &std::path::Path) -> Npy {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let text = std::str::from_utf8(&bytes[10..header]).unwrap();
    let shape = text.split('(').nth(1).unwrap().split(')').next().unwrap();
    let shape: Vec<usize> = shape.split(',').filter_map(|part| part.trim().parse().ok()).collect();
    let body = &bytes[header..];
    let word = |c: &[u8]| [c[0], c[1], c[2], c[3]];
    let values = if text.contains("u1") {
        body.iter().map(|&x| f32::from(x)).collect()
    } else if text.contains("f2") {
        body.chunks(2).map(|c| half(u16::from_le_bytes([c[0], c[1]]))).collect()
    } else if text.contains("f4") {
        body.chunks(4).map(|c| f32::from_le_bytes(word(c))).collect()
    } else {
        body.chunks(4).map(|c| i32::from_le_bytes(word(c)) as f32).collect()
    };
    Npy { rows: shape[0], width: shape.get(1).copied().unwrap_or(1), values }
}

fn half(bits: u16) -> f32 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f32::from(bits & 1023));
    let size = if exponent == 0 {
        fraction * 2.0_f32.powi(-24)
    } else {
        (1.0 + fraction / 1024.0) * 2.0_f32.powi(exponent - 15)
    };
    if bits >> 15 == 1 { -size } else { size }
}

/// A data set: `base`, `query`, `gt`.
pub struct Set {
    pub base: Npy,
    pub query: Npy,
    pub truth: Vec<u32>,
    pub width: usize,
}

/// The folder of full data sets: `AUSPEX_DATA`, or the one beside the checkout.
pub fn data_folder() -> PathBuf {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("AUSPEX_DATA").map_or(beside, PathBuf::from);
    assert!(folder.is_dir(), "there is no folder {}: AUSPEX_DATA names that of the full sets", folder.display());
    folder
}

/// A full data set.
pub fn set(name: &str, base: &str, query: &str) -> Set {
    let folder = data_folder();
    let gt = npy(&folder.join(format!("{name}.gt.npy")));
    Set {
        base: npy(&folder.join(format!("{name}.{base}.npy"))),
        query: npy(&folder.join(format!("{name}.{query}.npy"))),
        truth: gt.values.iter().map(|&x| x as u32).collect(),
        width: gt.width,
    }
}

/// 100,000 SIFT descriptors, l2.
pub fn sift() -> Set {
    set("sift128-100k", "base.u8", "query.u8")
}

/// 20,000 sentence embeddings, cosine.
pub fn wordnet() -> Set {
    set("wordnet384-20k", "base.f16", "query")
}

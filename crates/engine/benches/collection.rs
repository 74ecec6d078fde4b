//! What the engine takes for builds, writes and searches, with clustered rows of 128 floats in memory.
//!
//! ```text
//! cargo bench -p auspex-engine                  everything, in a minute or two
//! cargo bench -p auspex-engine -- search        what matches the regular expression
//! cargo bench -p auspex-engine -- --save-baseline before; ... -- --baseline before
//! ```
//!
//! Builds use all threads, searches one. Recall stands beside speed in `npm run bench`; counts of what algorithms do are
//! in `tests/golden.json`.

#[path = "../tests/suite/common.rs"]
mod common;

use std::hint::black_box;
use std::time::Duration;

use auspex_engine::{Collection, SearchOptions, Token};
use common::{Random, fill, options, upsert};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput};

const DIM: usize = 128;
const ROWS: usize = 20_000;
const K: f64 = 10.0;

fn main() {
    let mut criterion = Criterion::default().without_plots().configure_from_args();
    let mut random = Random(1);
    let rows = random.clustered(ROWS + 1000, DIM, 200);
    // Rows and queries of the same clusters.
    let (base, queries) = rows.split_at(ROWS * DIM);

    let mut group = criterion.benchmark_group("build");
    group.sample_size(10).measurement_time(Duration::from_secs(5)).throughput(Throughput::Elements(ROWS as u64));
    for batch in [ROWS, 1000, 100] {
        group.bench_function(BenchmarkId::new("rows a batch", batch), |bencher| {
            bencher.iter(|| built(base, batch));
        });
    }
    group.finish();

    let collection = built(base, ROWS);
    let mut group = criterion.benchmark_group("search");
    for ef_search in [16, 32, 64, 128, 256] {
        let asked = SearchOptions { k: Some(K), ef_search: Some(f64::from(ef_search)), ..SearchOptions::default() };
        search(&mut group, BenchmarkId::new("efSearch", ef_search), &collection, queries, &asked);
    }
    let exact = SearchOptions { k: Some(K), exact: true, ..SearchOptions::default() };
    search(&mut group, BenchmarkId::from_parameter("exact"), &collection, queries, &exact);
    let hundred = &queries[..100 * DIM];
    let asked = SearchOptions { k: Some(K), ..SearchOptions::default() };
    group.throughput(Throughput::Elements(100));
    group.bench_function("batch of 100", |bencher| {
        bencher.iter(|| collection.search_batch(black_box(hundred), &asked, &Token::default()).unwrap());
    });
    group.finish();

    // Changes the rows, so it comes last.
    let mut group = criterion.benchmark_group("upsert");
    let mut next = 0;
    group.bench_function("one row", |bencher| {
        bencher.iter(|| {
            let vector = &queries[next % 1000 * DIM..][..DIM];
            upsert(&collection, vec![format!("new {next}")], vector).unwrap();
            next += 1;
        });
    });
    group.finish();
    criterion.final_summary();
}

fn built(rows: &[f32], batch: usize) -> Collection {
    let collection = Collection::open(&options(DIM, "l2")).unwrap();
    fill(&collection, rows, batch);
    collection
}

/// One query after another.
fn search(
    group: &mut BenchmarkGroup<WallTime>,
    id: BenchmarkId,
    collection: &Collection,
    queries: &[f32],
    asked: &SearchOptions,
) {
    let mut each = queries.chunks_exact(DIM).cycle();
    group.bench_function(id, |bencher| {
        bencher.iter(|| collection.search(black_box(each.next().unwrap()), asked, &Token::default()).unwrap());
    });
}

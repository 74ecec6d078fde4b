//! Recall on real rows: floors on the fixtures of this repository, and on the full sets where they are.

use crate::common;

use auspex_engine::{Collection, Options};
use common::{Random, Set, fill, npy, options, recall, recall_of_scan};

/// The first rows of the full sets, kept in the repository.
fn fixture(name: &str) -> (Vec<f32>, Vec<f32>, usize) {
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let base = npy(&folder.join(format!("{name}.base.npy")));
    let query = npy(&folder.join(format!("{name}.query.npy")));
    (base.values, query.values, base.width)
}

fn filled(options: &Options, rows: &[f32], batch: usize) -> Collection {
    let collection = Collection::open(options).unwrap();
    fill(&collection, rows, batch);
    assert_eq!(collection.problems().unwrap(), Vec::<String>::new());
    collection
}

/// Recall at 1, 10 (default efSearch) and 100 (efSearch 200) against the exact scan.
fn floors(collection: &Collection, queries: &[f32], floors: [f64; 3], what: &str) {
    for ((k, ef), floor) in [(1, 64), (10, 64), (100, 200)].into_iter().zip(floors) {
        let got = recall_of_scan(collection, queries, k, ef);
        println!("{what}: recall@{k} {got:.4} at efSearch {ef}");
        assert!(got >= floor, "{what}: recall@{k} is {got:.4}, below {floor}");
    }
}

#[test]
fn real_rows_are_found_with_every_metric_and_batch() {
    let (rows, queries, dim) = fixture("sift128-5k");
    for metric in ["l2", "cosine", "dot"] {
        for batch in [100, 1000, 5000] {
            let collection = filled(&options(dim, metric), &rows, batch);
            floors(&collection, &queries, [0.98, 0.98, 0.98], &format!("sift128-5k, {metric}, batches of {batch}"));
        }
    }
    let (rows, queries, dim) = fixture("wordnet384-2k");
    for metric in ["cosine", "dot"] {
        let collection = filled(&options(dim, metric), &rows, 500);
        floors(&collection, &queries, [0.98, 0.98, 0.98], &format!("wordnet384-2k, {metric}"));
    }
}

#[test]
fn rows_in_the_order_of_their_clusters_are_found() {
    let mut random = Random(3);
    let dim = 32;
    let mut rows = Vec::new();
    for _ in 0..40 {
        let centre: Vec<f32> = (0..dim).map(|_| 8.0 * random.normal()).collect();
        for _ in 0..250 {
            rows.extend(centre.iter().map(|x| x + random.normal()));
        }
    }
    let queries: Vec<f32> = (0..100).flat_map(|i| rows[i * 100 * dim..][..dim].to_vec()).collect();
    for batch in [100, 2000] {
        let collection = filled(&options(dim, "l2"), &rows, batch);
        floors(&collection, &queries, [0.97, 0.97, 0.98], &format!("cluster order, batches of {batch}"));
    }
}

#[test]
fn rows_whose_norms_grow_a_hundredfold_are_found() {
    let (rows, queries, dim) = fixture("sift128-5k");
    let count = rows.len() / dim;
    let grown: Vec<f32> =
        rows.iter().enumerate().map(|(i, x)| x * 100.0_f32.powf((i / dim) as f32 / count as f32)).collect();
    for (metric, floor) in [("cosine", 0.97), ("dot", 0.97), ("l2", 0.97)] {
        let collection = filled(&options(dim, metric), &grown, 500);
        let mut random = Random(1);
        let scaled: Vec<f32> = queries
            .chunks(dim)
            .flat_map(|query| {
                let by = 100.0_f32.powf(random.unit());
                query.iter().map(move |x| x * by).collect::<Vec<f32>>()
            })
            .collect();
        floors(&collection, &scaled, [floor; 3], &format!("norms growing, {metric}"));
    }
}

#[test]
fn a_first_batch_of_equal_rows_spoils_nothing() {
    let (rows, queries, dim) = fixture("sift128-5k");
    let mut all = vec![7.0; 1500 * dim];
    all.extend_from_slice(&rows);
    for metric in ["l2", "cosine", "dot"] {
        let collection = filled(&options(dim, metric), &all, 1500);
        floors(&collection, &queries, [0.97, 0.97, 0.97], &format!("equal rows first, {metric}"));
    }
}

#[test]
fn queries_far_from_all_rows_are_answered() {
    let mut random = Random(9);
    let rows: Vec<f32> = random.vectors(4000, 24).iter().map(|x| x.abs() + 1.0).collect();
    let queries: Vec<f32> = random.vectors(50, 24).iter().map(|x| x * 50.0 - 20.0).collect();
    for metric in ["l2", "cosine", "dot"] {
        let collection = filled(&options(24, metric), &rows, 1000);
        floors(&collection, &queries, [0.95, 0.93, 0.97], &format!("far queries, {metric}"));
    }
}

#[test]
fn recall_does_not_depend_on_the_batch() {
    let (rows, queries, dim) = fixture("sift128-5k");
    let at = |batch: usize| {
        let collection = filled(&options(dim, "l2"), &rows, batch);
        recall_of_scan(&collection, &queries, 10, 32)
    };
    let figures = [1, 64, 5000].map(at);
    let spread = figures.iter().copied().fold(0.0, f64::max) - figures.iter().copied().fold(1.0, f64::min);
    println!("recall@10 at efSearch 32 by batches of 1, 64, 5000: {figures:.4?}");
    assert!(spread <= 0.01, "{figures:?}");
}

/// The gates on a full set, whose exact neighbors come with it.
fn full(set: &Set, metric: &str, floors: [f64; 3]) {
    let collection = filled(&options(set.base.width, metric), &set.base.values, 10_000);
    for ((k, ef), floor) in [(1, 64), (10, 64), (100, 200)].into_iter().zip(floors) {
        let got = recall(&collection, &set.query.values, &set.truth, set.width, k, ef);
        println!("{} rows, {metric}: recall@{k} {got:.4} at efSearch {ef}", set.base.rows);
        assert!(got >= floor, "recall@{k} is {got:.4}, below {floor}");
    }
}

#[test]
#[ignore = "deep: builds the full set"]
fn deep_full_sift128_100k() {
    full(&common::sift(), "l2", [0.97, 0.97, 0.98]);
}

#[test]
#[ignore = "deep: builds the full set"]
fn deep_full_wordnet384_20k() {
    full(&common::wordnet(), "cosine", [0.97, 0.97, 0.98]);
}

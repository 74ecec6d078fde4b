//! Graphs that are built at once: what must hold of any graph holds, near rows are found, and writes go on.

use crate::common;

use auspex_engine::{Collection, Options, Write};
use common::{Random, commit, fill, options, recall_of_scan};

/// Rows that arrive in one write.
fn built(options: &Options, rows: &[f32]) -> Collection {
    let collection = Collection::open(options).unwrap();
    fill(&collection, rows, rows.len() / collection.dim());
    sound(&collection);
    collection
}

fn sound(collection: &Collection) {
    assert_eq!(collection.problems().unwrap(), Vec::<String>::new());
    assert_eq!(collection.stats().unwrap().unreachable, 0);
}

/// Shapes of data, each a name and rows.
fn shapes(count: usize, dim: usize) -> Vec<(&'static str, Vec<f32>)> {
    let mut random = Random(17);
    let centres = random.vectors(20, dim);
    let mut around = |spread: f32| -> Vec<f32> {
        (0..count * dim).map(|i| centres[i / dim % 20 * dim + i % dim] + spread * random.normal()).collect()
    };
    let (narrow, narrower) = (around(0.03), around(0.0003));
    let mut random = Random(18);
    let far =
        (0..count * dim).map(|i| if (i / dim).is_multiple_of(2) { 1e6 } else { -1e6 } + random.normal()).collect();
    let few = (0..count * dim).map(|i| (i / dim % 30 * (i % dim + 1) % 11) as f32 + 1.0).collect();
    let line = (0..count * dim).map(|i| ((i / dim * 31 + i % dim * 17) % 1009) as f32 + 1.0).collect();
    vec![
        ("random", random.vectors(count, dim)),
        ("clusters", random.clustered(count, dim, 40)),
        ("clusters that are narrow", narrow),
        ("clusters that codes cannot tell apart within", narrower),
        ("two that are far apart", far),
        ("few distinct rows", few),
        ("a line", line),
        ("all rows alike", vec![0.5; count * dim]),
    ]
}

const METRICS: [&str; 3] = ["l2", "cosine", "dot"];

/// Every shape with every metric, of each dimension in turn or of all.
fn sound_graphs(all: bool) {
    for (m, metric) in METRICS.into_iter().enumerate() {
        for (d, dim) in [1, 2, 24, 100].into_iter().enumerate() {
            for (s, (shape, rows)) in shapes(3000, dim).into_iter().enumerate() {
                if all || (m + s) % 4 == d {
                    let rows: Vec<f32> = rows.iter().map(|&x| if x == 0.0 { 1.0 } else { x }).collect();
                    println!("{metric}, {dim} dimensions: {shape}");
                    built(&options(dim, metric), &rows);
                }
            }
        }
    }
    for (o, (m, ef)) in [(2, 1), (3, 200), (64, 10)].into_iter().enumerate() {
        let options = Options { m: Some(m.into()), ef_construction: Some(ef.into()), ..options(24, "l2") };
        for (s, (_, rows)) in shapes(2500, 24).into_iter().enumerate() {
            if all || s % 3 == o {
                built(&options, &rows);
            }
        }
    }
}

#[test]
fn any_shape_of_data_makes_a_sound_graph() {
    sound_graphs(false);
}

#[test]
#[ignore = "deep: every shape in every dimension"]
fn deep_any_shape_of_data_makes_a_sound_graph() {
    sound_graphs(true);
}

/// Shapes with one metric each in turn, or with all.
fn pairs(shapes: Vec<(&'static str, Vec<f32>)>, all: bool) -> Vec<(&'static str, &'static str, Vec<f32>)> {
    let pair = |(s, (shape, rows)): (usize, (&'static str, Vec<f32>))| {
        let metrics = (0..3).filter(move |m| all || *m == s % 3);
        metrics.map(move |m| (METRICS[m], shape, rows.clone()))
    };
    shapes.into_iter().enumerate().flat_map(pair).collect()
}

fn as_good_as_row_by_row(all: bool) {
    let told_apart = shapes(6000, 32).into_iter().take(4).collect();
    for (metric, shape, rows) in pairs(told_apart, all) {
        let queries: Vec<f32> = rows.chunks(32).step_by(60).flatten().map(|x| x * 1.01).collect();
        let at_once = built(&options(32, metric), &rows);
        let in_steps = Collection::open(&options(32, metric)).unwrap();
        fill(&in_steps, &rows, 1000);
        let [at_once, in_steps] = [&at_once, &in_steps].map(|c| recall_of_scan(c, &queries, 10, 64));
        println!("{metric}, {shape}: recall@10 {at_once:.4} at once, {in_steps:.4} in steps");
        assert!(at_once >= in_steps - 0.02, "{metric}, {shape}: {at_once} < {in_steps}");
    }
}

#[test]
fn recall_is_that_of_linking_row_by_row() {
    as_good_as_row_by_row(false);
}

#[test]
#[ignore = "deep: every shape with every metric"]
fn deep_recall_is_that_of_linking_row_by_row() {
    as_good_as_row_by_row(true);
}

fn same_graphs(all: bool) {
    for (metric, shape, rows) in pairs(shapes(6000, 16), all) {
        let graph = |threads: f64| {
            let options = Options { threads: Some(threads), ..options(16, metric) };
            built(&options, &rows).fingerprint().unwrap()
        };
        let one = graph(1.0);
        assert!([2.0, 4.0].into_iter().all(|threads| graph(threads) == one), "{metric}: {shape}");
    }
}

#[test]
fn any_number_of_threads_builds_the_same_graph_at_once() {
    same_graphs(false);
}

#[test]
#[ignore = "deep: every shape with every metric"]
fn deep_any_number_of_threads_builds_the_same_graph_at_once() {
    same_graphs(true);
}

#[test]
fn writes_go_on_after_a_graph_was_built_at_once() {
    let mut random = Random(5);
    for metric in METRICS {
        let rows = random.clustered(14_000, 20, 50);
        let collection = built(&options(20, metric), &rows[..4000 * 20]);
        // Small ones that are linked, and one that is so large that the graph is built anew.
        let mut at = 4000;
        for count in [1, 100, 1000, 300, 8000, 50, 549] {
            let ids = (at..at + count).map(|row| row.to_string()).collect();
            common::upsert(&collection, ids, &rows[at * 20..(at + count) * 20]).unwrap();
            commit(&collection, Write::Delete((at..at + count / 10).map(|row| row.to_string()).collect())).unwrap();
            sound(&collection);
            at += count;
        }
        assert_eq!(at, 14_000);
        let queries: Vec<f32> = rows.chunks(20).step_by(140).flatten().map(|x| x * 1.01).collect();
        let recall = recall_of_scan(&collection, &queries, 10, 64);
        println!("{metric}: recall@10 {recall:.4}");
        assert!(recall >= 0.95, "{metric}: {recall}");
        let replayed = collection.fingerprint().unwrap();
        assert_eq!(collection.replayed().unwrap().fingerprint().unwrap(), replayed);
    }
}

#[test]
fn equal_rows_share_a_node_of_a_graph_built_at_once() {
    let mut rows = Random(2).vectors(2000, 8);
    let again = rows.clone();
    rows.extend(again);
    (0..3000).for_each(|_| rows.extend_from_slice(&[9.0; 8]));
    for metric in METRICS {
        let collection = built(&options(8, metric), &rows);
        assert_eq!(collection.stats().unwrap().layers[0], 2001);
        let near = common::ids(&collection, &rows[8 * 77..8 * 78], 2, 64, false);
        assert!(metric == "dot" || near == [2077, 77] || near == [77, 2077], "{metric}: {near:?}");
    }
}

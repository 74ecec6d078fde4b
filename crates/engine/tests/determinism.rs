//! The same log, options and seed give the same graph and the same answers.

mod common;

use auspex_engine::{Collection, Options, SearchOptions, Write};
use common::{Random, commit, fill, ids, options, upsert};

/// Inserts, replacements and deletes in batches of several sizes.
fn history(options: &Options) -> Collection {
    let collection = Collection::open(options).unwrap();
    let dim = collection.dim();
    let mut random = Random(11);
    let rows = random.clustered(6000, dim, 40);
    fill(&collection, &rows[..4000 * dim], 1700);
    for i in 0..20 {
        let some: Vec<String> = (0..50).map(|_| random.below(6000).to_string()).collect();
        let vectors = random.clustered(50, dim, 5);
        upsert(&collection, some, &vectors).unwrap();
        commit(&collection, Write::Delete((0..30).map(|_| random.below(4000).to_string()).collect())).unwrap();
        upsert(&collection, vec![format!("{}", 10_000 + i)], &rows[(4000 + i) * dim..][..dim]).unwrap();
    }
    assert_eq!(collection.problems().unwrap(), Vec::<String>::new());
    collection
}

#[test]
fn any_number_of_threads_builds_the_same_graph() {
    for metric in ["l2", "cosine", "dot"] {
        let graphs: Vec<u64> = [1.0, 2.0, 4.0, 0.0]
            .into_iter()
            .map(|threads| history(&Options { threads: Some(threads), ..options(20, metric) }).fingerprint().unwrap())
            .collect();
        assert!(graphs.windows(2).all(|pair| pair[0] == pair[1]), "{metric}: {graphs:x?}");
        assert_ne!(graphs[0], 0);
    }
}

#[test]
fn the_seed_and_the_options_tell_graphs_apart() {
    let base = history(&options(20, "l2")).fingerprint().unwrap();
    assert_ne!(base, history(&Options { seed: Some(43.0), ..options(20, "l2") }).fingerprint().unwrap());
    assert_ne!(base, history(&Options { m: Some(12.0), ..options(20, "l2") }).fingerprint().unwrap());
}

#[test]
fn replaying_the_log_gives_the_same_graph_and_answers() {
    for metric in ["l2", "cosine", "dot"] {
        let first = history(&options(20, metric));
        let second = first.replayed().unwrap();
        assert_eq!(first.fingerprint().unwrap(), second.fingerprint().unwrap());
        assert_eq!(first.len(), second.len());
        for query in Random(5).vectors(50, 20).chunks(20) {
            assert_eq!(ids(&first, query, 10, 64, false), ids(&second, query, 10, 64, false));
            assert_eq!(ids(&first, query, 10, 64, true), ids(&second, query, 10, 64, true));
        }
        // The log has passed to the second; the first can still be read.
        upsert(&second, vec!["77777".into()], &[1.0; 20]).unwrap();
        assert_eq!(second.len(), first.len() + 1);
        assert!(!first.has("77777").unwrap() && upsert(&first, vec!["1".into()], &[1.0; 20]).is_err());
    }
}

/// A golden value: the graph of this history, on every instruction set and machine. A change of it is a change of
/// algorithm.
#[test]
fn the_graph_is_the_same_on_every_instruction_set() {
    let graph = history(&options(20, "l2")).fingerprint().unwrap();
    println!("{} {graph:x}", auspex_engine::info().unwrap().isa);
    assert_eq!(graph, GOLDEN);
}

const GOLDEN: u64 = 0x8434_3ea6_5e71_8532;

/// Golden counts: slots read, distances computed and rows scored again by 100 walks, on every instruction set and machine.
/// A change of them is a change of algorithm.
#[test]
fn walks_do_the_same_work_on_every_instruction_set() {
    for (metric, golden) in [("l2", (9164, 89108, 2000)), ("cosine", (8972, 75391, 2000)), ("dot", (9235, 64381, 2000))]
    {
        let collection = history(&options(20, metric));
        let mut sums = (0, 0, 0);
        for query in Random(5).clustered(100, 20, 10).chunks(20) {
            let ran = collection.explain(query, &SearchOptions::default()).unwrap();
            assert_eq!(ran.plan, "graph");
            sums = (sums.0 + ran.visited, sums.1 + ran.distances, sums.2 + ran.rescored);
        }
        assert_eq!(sums, golden, "{metric}");
    }
}

/// Golden values where every reason to calibrate again occurs: equal rows first, then norms that grow, and a drift.
#[test]
fn drifting_rows_give_the_same_graph_on_every_instruction_set() {
    for (metric, golden) in
        [("l2", 0x9734_abec_93ff_e57f), ("cosine", 0xd0a5_139a_8c85_a722), ("dot", 0x451d_c3ac_277d_03db)]
    {
        let collection = Collection::open(&options(12, metric)).unwrap();
        let mut rows = vec![0.5_f32; 1100 * 12];
        for (i, x) in Random(21).clustered(5000, 12, 10).into_iter().enumerate() {
            let row = (i / 12) as f32;
            rows.push(x * (1.0 + row / 50.0) + row / 100.0);
        }
        fill(&collection, &rows, 300);
        assert_eq!(collection.problems().unwrap(), Vec::<String>::new());
        let graph = collection.fingerprint().unwrap();
        assert_eq!(graph, golden, "{metric}: {graph:#018x}");
    }
}

//! The same log, options and seed give the same graph and the same answers.

use crate::common;

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

/// What algorithms do, counted: the same on every instruction set and machine, so that a change of `golden.json` in a
/// review is a change of algorithm, seen. `AUSPEX_GOLDEN=write cargo test -p auspex-engine --test suite golden` writes the
/// file anew.
#[test]
fn golden_counts_are_what_they_were() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.json");
    let counted = format!("{:#}\n", serde_json::json!({ "builds": builds(), "drifts": drifts() }));
    if std::env::var_os("AUSPEX_GOLDEN").is_some_and(|what| what == "write") {
        std::fs::write(path, &counted).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap();
    assert_eq!(counted, golden, "on {}", auspex_engine::info().unwrap().isa);
}

/// A graph made by batches of all sizes, and 100 walks over it: slots read, distances computed, rows scored again.
fn builds() -> serde_json::Value {
    let build = |(metric, kind): (&str, &str)| {
        let collection = history(&Options { quantization: Some(kind.into()), ..options(20, metric) });
        let mut sums = (0, 0, 0);
        for query in Random(5).clustered(100, 20, 10).chunks(20) {
            let ran = collection.explain(query, &SearchOptions::default()).unwrap();
            assert_eq!(ran.plan, "graph");
            sums = (sums.0 + ran.visited, sums.1 + ran.distances, sums.2 + ran.rescored);
        }
        let stats = collection.stats().unwrap();
        let counts = serde_json::json!({
            "graph": format!("{:016x}", collection.fingerprint().unwrap()),
            "layers": stats.layers,
            "meanDegree": stats.mean_degree,
            "visited": sums.0,
            "distances": sums.1,
            "rescored": sums.2,
        });
        (format!("{metric}, {kind}"), counts)
    };
    let kinds = [("l2", "sq8"), ("cosine", "sq8"), ("dot", "sq8"), ("l2", "none"), ("cosine", "f16"), ("dot", "sq4")];
    kinds.map(build).into_iter().collect()
}

/// Where every reason to calibrate again occurs: equal rows first, then norms that grow, and a drift.
fn drifts() -> serde_json::Value {
    let drift = |metric: &str| {
        let collection = Collection::open(&options(12, metric)).unwrap();
        let mut rows = vec![0.5_f32; 1100 * 12];
        for (i, x) in Random(21).clustered(5000, 12, 10).into_iter().enumerate() {
            let row = (i / 12) as f32;
            rows.push(x * (1.0 + row / 50.0) + row / 100.0);
        }
        fill(&collection, &rows, 300);
        assert_eq!(collection.problems().unwrap(), Vec::<String>::new());
        (metric.to_string(), serde_json::json!(format!("{:016x}", collection.fingerprint().unwrap())))
    };
    ["l2", "cosine", "dot"].map(drift).into_iter().collect()
}

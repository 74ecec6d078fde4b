//! Shapes of data that codes or links fall short on: what is done about it, and that it is said.

use crate::common;

use std::time::{SystemTime, UNIX_EPOCH};

use auspex_engine::{Collection, Explain, Options, SearchOptions, Token};
use common::{Random, fill, options, recall_of_scan, upsert};

const DIM: usize = 64;

/// Rows around `centres` centres, `spread` away from them, one after the other.
fn around(rows: usize, centres: usize, spread: f32, seed: u64) -> Vec<f32> {
    let mut random = Random(seed);
    let middles = random.vectors(centres, DIM);
    (0..rows * DIM).map(|i| middles[i / DIM % centres * DIM + i % DIM] + spread * random.normal()).collect()
}

fn built(options: &Options, rows: &[f32]) -> Collection {
    let collection = Collection::open(options).unwrap();
    fill(&collection, rows, rows.len() / collection.dim());
    assert_eq!(collection.problems().unwrap(), Vec::<String>::new());
    collection
}

fn explain(collection: &Collection, query: &[f32], ef: usize) -> Explain {
    let asked = SearchOptions { ef_search: Some(ef as f64), ..SearchOptions::default() };
    collection.explain(query, &asked).unwrap()
}

/// Some of the rows, a little off.
fn near(rows: &[f32]) -> Vec<f32> {
    rows.chunks(DIM).step_by(67).flatten().copied().collect()
}

fn notices(collection: &Collection) -> Vec<String> {
    collection.stats().unwrap().notices
}

#[test]
fn rows_that_codes_cannot_tell_apart_are_told_apart_by_their_floats() {
    for (rows, metric, kind, read) in [
        (around(3000, 10, 1e-3, 2), "l2", "sq8", "none"),
        (around(3000, 10, 1e-3, 2), "cosine", "sq4", "none"),
        // Finer than codes of 8 bits, by which links were chosen.
        (around(3000, 10, 1e-3, 2), "l2", "f16", "f16"),
        // As good as equal.
        (around(3000, 20, 1e-5, 3), "l2", "f16", "none"),
    ] {
        let collection = built(&Options { quantization: Some(kind.into()), ..options(DIM, metric) }, &rows);
        let recall = recall_of_scan(&collection, &near(&rows), 10, 64);
        let ran = explain(&collection, &rows[..DIM], 64);
        println!("{metric}, {kind}: recall@10 {recall:.4}, {ran:?}");
        assert!(recall >= 0.95, "{metric}, {kind}: {recall}");
        assert_eq!((ran.plan, ran.quantization), ("graph", Some(read)), "{metric}, {kind}");
        let said = notices(&collection).iter().any(|notice| notice.starts_with("codes cannot tell rows apart"));
        assert_eq!(said, read != kind, "{metric}, {kind}");
    }
}

#[test]
fn what_was_found_out_is_the_same_for_any_threads_and_after_another_opening() {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos();
    let path = std::env::temp_dir().join(format!("auspex-quality-{}-{now}", std::process::id()));
    let rows = around(2500, 10, 1e-3, 4);
    let graph = |threads: f64, path: Option<String>| {
        built(&Options { threads: Some(threads), path, ..options(DIM, "l2") }, &rows)
    };
    let first = graph(1.0, None);
    let on_disk = graph(2.0, Some(path.to_str().unwrap().into()));
    let (fingerprint, said) = (first.fingerprint().unwrap(), notices(&first));
    assert!(!said.is_empty());
    assert_eq!((on_disk.fingerprint().unwrap(), notices(&on_disk)), (fingerprint, said.clone()));
    on_disk.close().unwrap();
    let open = Options { path: Some(path.to_str().unwrap().into()), ..Options::default() };
    let again = Collection::open(&open).unwrap();
    again.settle();
    assert_eq!((again.fingerprint().unwrap(), notices(&again)), (fingerprint, said.clone()));
    assert_eq!(again.verify(&Token::default()).unwrap(), []);
    // Rows that come later are compared by floats as well, and are found.
    for c in [&again, &first] {
        let more = around(700, 10, 1e-3, 4).iter().map(|x| x + 1e-4).collect::<Vec<f32>>();
        upsert(c, (0..700).map(|i| format!("more {i}")).collect(), &more).unwrap();
        assert_eq!(explain(c, &rows[..DIM], 64).quantization, Some("none"));
    }
    assert_eq!(again.fingerprint().unwrap(), first.fingerprint().unwrap());
    let replayed = first.replayed().unwrap();
    assert_eq!((replayed.fingerprint().unwrap(), notices(&replayed)), (again.fingerprint().unwrap(), said));
    again.close().unwrap();
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn rows_without_structure_are_scanned_where_that_is_faster_and_said_to_be_hard() {
    let hard = "the rows have so little structure";
    let rows = Random(5).vectors(9000, 256);
    let collection = built(&options(256, "l2"), &rows);
    let (said, ran) = (notices(&collection), explain(&collection, &rows[..256], 64));
    println!("9,000 rows: {} {said:?}", ran.plan);
    assert!(said.len() == 1 && said[0].starts_with(hard), "{said:?}");
    assert_eq!((ran.plan, ran.quantization), ("graph", Some("sq8")));
    // Of a narrow cluster those have the largest products that lie farthest out. A walk that finds nine in ten would hold
    // so many candidates that reading all rows is faster.
    let rows = around(3000, 10, 1e-3, 2);
    let collection = built(&options(DIM, "dot"), &rows);
    let (said, ran) = (notices(&collection), explain(&collection, &rows[..DIM], 64));
    println!("3,000 rows of narrow clusters: {} {said:?}", ran.plan);
    assert!(said.len() == 2 && said[1].starts_with(hard), "{said:?}");
    assert_eq!((ran.plan, ran.quantization), ("exact", None));
    assert_eq!(recall_of_scan(&collection, &near(&rows), 10, 64), 1.0);
}

#[test]
fn of_rows_with_structure_nothing_is_said() {
    for (metric, kind) in [("l2", "sq4"), ("cosine", "none"), ("dot", "sq8")] {
        let kind = Options { quantization: Some(kind.into()), ..options(DIM, metric) };
        let collection = built(&kind, &Random(6).clustered(3000, DIM, 30));
        let ran = explain(&collection, &[0.5; DIM], 64);
        assert_eq!((ran.plan, ran.quantization), ("graph", kind.quantization.as_deref()), "{metric}");
        assert_eq!(notices(&collection), Vec::<String>::new(), "{metric}");
    }
    // Equal rows are one node, however many; nothing is to be told apart.
    let alike = built(&options(DIM, "l2"), &vec![0.5; 3000 * DIM]);
    assert_eq!(notices(&alike), Vec::<String>::new());
}

//! Rows that are gone give their room back, and nothing else changes: contents, order, answers, reachability, recall.

use crate::common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use auspex_engine::{Code, Collection, Options, SearchOptions, Token, Update, Write};
use common::{Random, commit, options, recall_of_scan, upsert};

const DIM: usize = 8;

fn names(rows: std::ops::Range<usize>) -> Vec<String> {
    rows.map(|row| row.to_string()).collect()
}

fn contents(collection: &Collection) -> Vec<(String, Vec<f32>, String)> {
    let mut cursor = collection.cursor(None).unwrap();
    let mut rows = Vec::new();
    loop {
        // A page ends after so many bytes of metadata.
        let page = cursor.next(usize::MAX).unwrap();
        if page.is_empty() {
            return rows;
        }
        rows.extend((0..page.len()).map(|i| (page.id(i).into(), page.vector(i).to_vec(), page.metadata(i).into())));
    }
}

#[test]
fn compaction_keeps_rows_and_their_order_and_gives_bytes_back() {
    let collection = Collection::open(&options(DIM, "l2")).unwrap();
    let mut random = Random(1);
    upsert(&collection, names(0..4000), &random.vectors(4000, DIM)).unwrap();
    upsert(&collection, names(100..400), &random.vectors(300, DIM)).unwrap();
    commit(&collection, Write::Delete(names(1000..1600))).unwrap();
    let before = contents(&collection);
    let freed = collection.compact(&Token::default()).unwrap();
    assert_eq!(contents(&collection), before);
    let stats = collection.stats().unwrap();
    assert_eq!((stats.rows, stats.deleted, stats.unreachable), (3400, 0, 0));
    assert!(freed > 0 || stats.disk == 0, "{freed}");
    assert!(collection.problems().unwrap().is_empty());
    upsert(&collection, names(0..10), &random.vectors(10, DIM)).unwrap();
    assert_eq!(collection.len(), 3400);
}

#[test]
fn a_quarter_of_dead_rows_goes_by_itself_at_the_same_write_whatever_the_threads() {
    let run = |threads: f64| {
        let collection = Collection::open(&Options { threads: Some(threads), ..options(DIM, "cosine") }).unwrap();
        let mut random = Random(2);
        for round in 0..18 {
            upsert(&collection, names(round * 500..round * 500 + 1000), &random.vectors(1000, DIM)).unwrap();
            if round % 3 == 2 {
                commit(&collection, Write::Delete(names(round * 400..round * 450))).unwrap();
            }
        }
        collection.settle();
        let stats = collection.stats().unwrap();
        assert!(stats.deleted * 3 < stats.rows + 3072, "{} dead beside {}", stats.deleted, stats.rows);
        assert_eq!(stats.notices, Vec::<String>::new());
        (collection.fingerprint().unwrap(), contents(&collection))
    };
    let first = run(1.0);
    assert!(first == run(2.0) && first == run(4.0));
}

#[test]
fn compaction_runs_beside_writes_and_searches() {
    let collection = Collection::open(&options(DIM, "l2")).unwrap();
    let mut random = Random(3);
    let mut truth = BTreeMap::new();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..12 {
                collection.compact(&Token::default()).unwrap();
            }
            ended.store(true, Ordering::Release);
        });
        scope.spawn(|| {
            while !ended.load(Ordering::Acquire) {
                let hits = collection.search(&[0.5; DIM], &SearchOptions::default(), &Token::default()).unwrap();
                assert!((0..hits.len()).all(|i| !hits.id(i).is_empty()));
            }
        });
        let mut round = 0;
        while !ended.load(Ordering::Acquire) || round < 40 {
            let first = random.below(3000);
            let vectors = random.vectors(200, DIM);
            upsert(&collection, names(first..first + 200), &vectors).unwrap();
            truth.extend(names(first..first + 200).into_iter().zip(vectors.chunks(DIM).map(<[f32]>::to_vec)));
            let gone = random.below(3000);
            commit(&collection, Write::Delete(names(gone..gone + 80))).unwrap();
            names(gone..gone + 80).iter().for_each(|id| drop(truth.remove(id)));
            if round % 25 == 24 {
                commit(&collection, Write::Clear).unwrap();
                truth.clear();
            }
            round += 1;
        }
    });
    collection.settle();
    let there: BTreeMap<String, Vec<f32>> =
        contents(&collection).into_iter().map(|(id, vector, _)| (id, vector)).collect();
    assert_eq!(there, truth);
    assert!(collection.problems().unwrap().is_empty());
}

#[test]
fn a_compaction_that_is_cancelled_changes_nothing() {
    let collection = Collection::open(&options(DIM, "l2")).unwrap();
    upsert(&collection, names(0..3000), &Random(4).vectors(3000, DIM)).unwrap();
    commit(&collection, Write::Delete(names(0..500))).unwrap();
    let (graph, rows) = (collection.fingerprint().unwrap(), contents(&collection));
    let token = Token::default();
    token.cancel();
    assert!(collection.compact(&token).is_err());
    assert_eq!((collection.fingerprint().unwrap(), contents(&collection)), (graph, rows));
    collection.close().unwrap();
    assert_eq!(collection.compact(&Token::default()).unwrap_err().code, Code::Closed);
}

#[test]
fn clear_empties_and_update_changes_what_it_names() {
    let path = std::env::temp_dir().join(format!("auspex-clear-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    let stored = || Options { path: Some(path.to_str().unwrap().into()), ..options(DIM, "l2") };
    let collection = Collection::open(&stored()).unwrap();
    upsert(&collection, names(0..2000), &Random(5).vectors(2000, DIM)).unwrap();
    assert_eq!(commit(&collection, Write::Clear).unwrap().deleted, 2000);
    assert!(collection.is_empty() && contents(&collection).is_empty());
    assert_eq!(commit(&collection, Write::Clear).unwrap().deleted, 0);
    upsert(&collection, names(5..7), &Random(6).vectors(2, DIM)).unwrap();
    let update = |vector, set: &str, remove: &[&str]| {
        Write::Update(Update { id: "5".into(), vector, set: set.into(), remove: format!("{remove:?}") })
    };
    assert_eq!(commit(&collection, update(None, r#"{"a":1,"b":"x"}"#, &[])).unwrap().updated, 1);
    assert_eq!(commit(&collection, update(Some(vec![2.0; DIM]), "{}", &["a"])).unwrap().updated, 1);
    assert_eq!(commit(&collection, update(Some(vec![2.0; 3]), "{}", &[])).unwrap_err().code, Code::Dimension);
    // The rows that were cleared may be on their way out.
    collection.settle();
    let before = collection.stats().unwrap().deleted;
    assert_eq!(commit(&collection, update(None, r#"{"b":"x"}"#, &["none"])).unwrap().updated, 1);
    assert_eq!(collection.stats().unwrap().deleted, before, "an update that changes nothing wrote a row");
    let unknown = Update { id: "none".into(), vector: None, set: "{}".into(), remove: "[]".into() };
    assert_eq!(commit(&collection, Write::Update(unknown)).unwrap().updated, 0);
    let expected = vec![
        ("6".to_string(), Random(6).vectors(2, DIM)[DIM..].to_vec(), "{}".to_string()),
        ("5".to_string(), vec![2.0; DIM], r#"{"b":"x"}"#.to_string()),
    ];
    assert_eq!(contents(&collection), expected);
    collection.close().unwrap();
    let again = Collection::open(&stored()).unwrap();
    assert_eq!(contents(&again), expected);
    again.close().unwrap();
    std::fs::remove_dir_all(&path).unwrap();
}

/// Recall and reachability after a history, against a collection made of the same rows at once.
fn as_good_as_new(collection: &Collection, queries: &[f32], what: &str) {
    collection.settle();
    assert!(collection.problems().unwrap().is_empty(), "{what}");
    let fresh = Collection::open(&options(collection.dim(), "l2")).unwrap();
    let rows = contents(collection);
    let vectors: Vec<f32> = rows.iter().flat_map(|row| row.1.clone()).collect();
    upsert(&fresh, rows.into_iter().map(|row| row.0).collect(), &vectors).unwrap();
    for ef in [20, 40, 80] {
        let (now, new) = (recall_of_scan(collection, queries, 10, ef), recall_of_scan(&fresh, queries, 10, ef));
        assert!(now >= new - 0.01, "{what}: recall {now} at efSearch {ef}, fresh {new}");
    }
}

#[test]
fn replacing_all_rows_twice_in_random_order_costs_no_recall() {
    let (rows, dim) = (6000, 24);
    let collection = Collection::open(&options(dim, "l2")).unwrap();
    let mut random = Random(7);
    let vectors = random.clustered(3 * rows, dim, 60);
    upsert(&collection, names(0..rows), &vectors[..rows * dim]).unwrap();
    for pass in 1..3 {
        let mut order: Vec<usize> = (0..rows).collect();
        (1..rows).rev().for_each(|i| order.swap(i, random.below(i + 1)));
        for some in order.chunks(150) {
            let ids = some.iter().map(|row| row.to_string()).collect();
            let part: Vec<f32> =
                some.iter().flat_map(|row| vectors[(pass * rows + row) * dim..][..dim].to_vec()).collect();
            upsert(&collection, ids, &part).unwrap();
        }
    }
    as_good_as_new(&collection, &random.clustered(200, dim, 60), "replaced twice");
}

fn sliding(step: usize, rounds: usize) {
    let (window, dim) = (4 * step, 24);
    let collection = Collection::open(&options(dim, "l2")).unwrap();
    let mut random = Random(8);
    for round in 0..rounds {
        upsert(&collection, names(round * step..(round + 1) * step), &random.clustered(step, dim, 40)).unwrap();
        if round * step >= window {
            commit(&collection, Write::Delete(names((round * step - window)..(round + 1) * step - window))).unwrap();
        }
    }
    as_good_as_new(&collection, &random.clustered(200, dim, 40), "sliding");
}

#[test]
fn a_sliding_window_costs_no_recall() {
    sliding(1000, 25);
}

#[test]
#[ignore = "deep: twenty steps of ten thousand rows"]
fn deep_a_sliding_window_of_ten_thousand_costs_no_recall() {
    sliding(10_000, 20);
}

#[test]
fn a_search_that_runs_meanwhile_keeps_what_it_found() {
    let collection = Collection::open(&options(DIM, "l2")).unwrap();
    upsert(&collection, names(0..3000), &Random(9).vectors(3000, DIM)).unwrap();
    let hits = Arc::new(collection.search(&[0.5; DIM], &SearchOptions::default(), &Token::default()).unwrap());
    let ids: Vec<String> = (0..hits.len()).map(|i| hits.id(i).into()).collect();
    commit(&collection, Write::Delete(names(0..2900))).unwrap();
    collection.compact(&Token::default()).unwrap();
    assert!((0..hits.len()).all(|i| hits.id(i) == ids[i]));
}

fn folder(name: &str) -> (std::path::PathBuf, Options) {
    let path = std::env::temp_dir().join(format!("auspex-compaction-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    let stored = Options { path: Some(path.to_str().unwrap().into()), ..options(DIM, "l2") };
    (path, stored)
}

#[test]
fn rows_with_long_metadata_are_not_put_into_one_frame() {
    let (path, stored) = folder("long");
    let collection = Collection::open(&stored).unwrap();
    let metadata = format!("[{{\"text\":\"{}\"}}]", "x".repeat(500_000));
    for name in names(0..50) {
        let mut draft = collection.draft(vec![name], Some(&metadata)).unwrap();
        // SAFETY: an array of that many floats.
        unsafe { draft.fill([0.5; DIM].as_ptr(), DIM).unwrap() };
        commit(&collection, Write::Insert(draft)).unwrap();
    }
    assert_eq!(collection.compact(&Token::default()).unwrap(), 0, "nothing is dead");
    commit(&collection, Write::Delete(vec!["0".into()])).unwrap();
    let before = contents(&collection);
    collection.compact(&Token::default()).unwrap();
    assert_eq!(contents(&collection), before);
    // A segment is as long as its first frame, when that is long.
    let len = std::fs::metadata(path.join("log-2-0001")).unwrap().len();
    assert!(len < 10 << 20, "{len}");
    collection.close().unwrap();
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_compaction_that_failed_is_not_tried_again_at_each_write() {
    let (path, stored) = folder("failing");
    let collection = Collection::open(&stored).unwrap();
    upsert(&collection, names(0..8192), &Random(10).vectors(8192, DIM)).unwrap();
    collection.close().unwrap();
    let log = path.join("log-1-0001");
    let mut bytes = std::fs::read(&log).unwrap();
    // In a block of nothing but vectors: neither opening nor deleting other rows reads it.
    bytes[130_000] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let collection = Collection::open(&stored).unwrap();
    for round in 0..20 {
        let first = 1000 + round * 10;
        let gone = if round == 0 { first..first + 2090 } else { first + 2080..first + 2090 };
        commit(&collection, Write::Delete(names(gone))).unwrap();
        collection.settle();
    }
    let notices = collection.stats().unwrap().notices;
    assert_eq!(notices.len(), 1, "{notices:?}");
    drop(collection);
    std::fs::remove_dir_all(&path).unwrap();
}

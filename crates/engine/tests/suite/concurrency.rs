//! Searches beside a writer: they see whole writes, and nothing that is gone.

use crate::common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use auspex_engine::{Collection, SearchOptions, Token, Write};
use common::{Random, commit, options, upsert};

const DIM: usize = 12;
const GROUP: usize = 20;

/// Writers replace whole groups of rows, each group in one write with one mark in its metadata; readers must never
/// see a group with two marks, a row twice, or a row whose vector is not the one of its mark.
fn whole_writes(rounds: u64) {
    let collection = Collection::open(&options(DIM, "l2")).unwrap();
    let groups = 150;
    let vector = |group: usize, i: usize, mark: u64| -> Vec<f32> {
        (0..DIM).map(|j| ((group * 31 + i * 7 + j) % 97) as f32 + mark as f32 / 64.0).collect()
    };
    let write = |group: usize, mark: u64| {
        let ids = (0..GROUP).map(|i| format!("{group}/{i}")).collect();
        let metadata: Vec<String> = (0..GROUP).map(|_| format!("{{\"mark\":{mark}}}")).collect();
        let mut draft = collection.draft(ids, Some(&format!("[{}]", metadata.join(",")))).unwrap();
        let vectors: Vec<f32> = (0..GROUP).flat_map(|i| vector(group, i, mark)).collect();
        // SAFETY: a vector of that many floats.
        unsafe { draft.fill(vectors.as_ptr(), vectors.len()).unwrap() };
        commit(&collection, Write::Upsert(draft)).unwrap();
    };
    (0..groups).for_each(|group| write(group, 0));
    let done = AtomicBool::new(false);
    let searches = AtomicU64::new(0);
    let mark = |text: &str| -> u64 { text["{\"mark\":".len()..text.len() - 1].parse().unwrap() };
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (done, searches, collection) = (&done, &searches, &collection);
            scope.spawn(move || {
                let mut random = Random(reader);
                while !done.load(Ordering::Relaxed) {
                    let group = random.below(groups);
                    let ids: Vec<String> = (0..GROUP).map(|i| format!("{group}/{i}")).collect();
                    let found = collection.get(&ids).unwrap();
                    let first = mark(found.metadata(0));
                    for i in 0..GROUP {
                        assert!(found.is_some(i));
                        assert_eq!(mark(found.metadata(i)), first, "half a write");
                        assert_eq!(found.vector(i), vector(group, i, first));
                    }
                    let exact = random.below(8) == 0;
                    let asked =
                        SearchOptions { k: Some(30.0), ef_search: Some(48.0), exact, ..SearchOptions::default() };
                    let hits = collection.search(found.vector(3), &asked, &Token::default()).unwrap();
                    assert_eq!(hits.len(), 30);
                    let mut seen: Vec<&str> = (0..hits.len()).map(|i| hits.id(i)).collect();
                    seen.sort_unstable();
                    seen.dedup();
                    assert_eq!(seen.len(), 30, "a row twice");
                    for i in 0..hits.len() {
                        let (group, row) = hits.id(i).split_once('/').unwrap();
                        let wanted = vector(group.parse().unwrap(), row.parse().unwrap(), mark(hits.metadata(i)));
                        assert_eq!(hits.vector(i), wanted);
                    }
                    searches.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut random = Random(99);
        for round in 1..=rounds {
            write(random.below(groups), round);
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(searches.load(Ordering::Relaxed) > 0);
    assert_eq!(collection.problems().unwrap(), Vec::<String>::new());
    assert_eq!(collection.len(), groups * GROUP);
    assert!(collection.stats().unwrap().max_wait_ms < 1000.0);
}

#[test]
fn readers_see_whole_writes() {
    whole_writes(400);
}

#[test]
#[ignore = "deep: 1,500 rounds of writes beside reads"]
fn deep_readers_see_whole_writes() {
    whole_writes(1500);
}

#[test]
fn a_deleted_row_never_comes_back() {
    let collection = Collection::open(&options(DIM, "l2")).unwrap();
    let rows = Random(5).clustered(4000, DIM, 10);
    common::fill(&collection, &rows, 1000);
    let gone = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (gone, collection, rows) = (&gone, &collection, &rows);
        scope.spawn(move || {
            for row in 0..1500_u64 {
                commit(collection, Write::Delete(vec![row.to_string()])).unwrap();
                gone.store(row + 1, Ordering::Release);
            }
        });
        for reader in 0..2 {
            scope.spawn(move || {
                let mut random = Random(reader);
                while gone.load(Ordering::Relaxed) < 1500 {
                    let before = gone.load(Ordering::Acquire);
                    let query = &rows[random.below(4000) * DIM..][..DIM];
                    for row in common::ids(collection, query, 10, 64, random.below(10) == 0) {
                        assert!(u64::from(row) >= before, "row {row} came back after {before} were gone");
                    }
                }
            });
        }
    });
    assert_eq!(collection.len(), 2500);
}

#[test]
fn closing_ends_new_calls_and_spares_running_ones() {
    let collection = Arc::new(Collection::open(&options(DIM, "l2")).unwrap());
    let rows = Random(5).clustered(3000, DIM, 10);
    common::fill(&collection, &rows, 3000);
    let hits = collection.search(&rows[..DIM], &SearchOptions::default(), &Token::default()).unwrap();
    let mut cursor = collection.cursor(None).unwrap();
    collection.close().unwrap();
    collection.close().unwrap();
    assert!(collection.is_closed() && collection.is_empty());
    assert_eq!(hits.id(0), "0");
    assert_eq!(cursor.next(5000).unwrap().len(), 3000);
    assert!(upsert(&collection, vec!["x".into()], &[1.0; DIM]).is_err());
    assert!(collection.stats().is_err() && collection.has("0").is_err());
}

#[test]
fn closing_beside_a_write_is_final() {
    let rows = Random(5).clustered(6000, DIM, 10);
    for round in 0..10 {
        let collection = Collection::open(&options(DIM, "l2")).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let ids = (0..6000).map(|i| i.to_string()).collect();
                // Before the close or after it: either answer is right.
                drop(upsert(&collection, ids, &rows));
            });
            std::thread::sleep(std::time::Duration::from_millis(5 * round));
            collection.close().unwrap();
            assert!(collection.is_closed() && collection.is_empty() && collection.has("0").is_err());
        });
        assert!(collection.is_closed() && collection.is_empty() && collection.has("0").is_err());
    }
}

#[test]
fn writes_of_many_threads_are_all_there() {
    let collection = Collection::open(&options(DIM, "cosine")).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..4_usize {
            let collection = &collection;
            scope.spawn(move || {
                let mut random = Random(writer as u64);
                for batch in 0..20 {
                    let ids = (0..50).map(|i| (writer * 1000 + batch * 50 + i).to_string()).collect();
                    upsert(collection, ids, &random.vectors(50, DIM)).unwrap();
                }
            });
        }
    });
    assert_eq!(collection.len(), 4000);
    assert_eq!(collection.problems().unwrap(), Vec::<String>::new());
    let replayed = collection.replayed().unwrap();
    assert_eq!(replayed.fingerprint().unwrap(), collection.fingerprint().unwrap());
}

//! Random operations against a map, with the exact scan as the judge of answers.

use crate::common;

use std::collections::BTreeMap;

use auspex_engine::{Code, Collection, SearchOptions, Token, Write};
use common::{Random, commit, ids, options, upsert};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Operation {
    Insert(Vec<u8>),
    Upsert(Vec<u8>),
    Delete(Vec<u8>),
    Search(u8),
    Replay,
    Compact,
    Clear,
}

fn operation() -> impl Strategy<Value = Operation> {
    let some = || prop::collection::vec(any::<u8>(), 1..40);
    prop_oneof![
        2 => some().prop_map(Operation::Insert),
        6 => some().prop_map(Operation::Upsert),
        3 => some().prop_map(Operation::Delete),
        6 => (1_u8..30).prop_map(Operation::Search),
        1 => Just(Operation::Replay),
        1 => (0_u8..4).prop_map(|n| if n == 0 { Operation::Clear } else { Operation::Compact }),
    ]
}

const DIM: usize = 6;

struct Model {
    rows: BTreeMap<String, Vec<f32>>,
    random: Random,
}

impl Model {
    /// Vectors on a coarse grid: equal ones are frequent.
    fn vectors(&mut self, count: usize) -> Vec<f32> {
        (0..count * DIM).map(|_| self.random.below(4) as f32 + 0.5).collect()
    }

    fn nearest(&self, metric: &str, query: &[f32], k: usize) -> Vec<(f64, &str)> {
        let mut all: Vec<(f64, &str)> = self
            .rows
            .iter()
            .map(|(id, row)| {
                let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
                    row.iter().zip(query).map(|(&a, &b)| f(f64::from(a), f64::from(b))).sum()
                };
                let product = sum(&|a, b| a * b);
                let distance = match metric {
                    "l2" => sum(&|a, b| (a - b) * (a - b)).sqrt(),
                    "dot" => -product,
                    _ => 1.0 - product / (sum(&|a, _| a * a) * sum(&|_, b| b * b)).sqrt(),
                };
                (distance, id.as_str())
            })
            .collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(b.1)));
        all.truncate(k);
        all
    }
}

fn names(some: &[u8], spread: u16) -> Vec<String> {
    some.iter().enumerate().map(|(i, &x)| ((u16::from(x) * 7 + i as u16) % spread).to_string()).collect()
}

fn run(metric: &str, seed: u64, start: usize, operations: &[Operation]) {
    let mut collection = Collection::open(&options(DIM, metric)).unwrap();
    let mut model = Model { rows: BTreeMap::new(), random: Random(seed) };
    let first: Vec<String> = (0..start).map(|i| i.to_string()).collect();
    let vectors = model.vectors(start);
    upsert(&collection, first.clone(), &vectors).unwrap();
    model.rows.extend(first.into_iter().zip(vectors.chunks(DIM).map(<[f32]>::to_vec)));
    let spread = (start as u16 + 200).max(300);
    for operation in operations {
        match operation {
            Operation::Insert(some) => {
                let ids = names(some, spread);
                let mut unique = ids.clone();
                unique.sort();
                unique.dedup();
                let free = unique.len() == ids.len() && ids.iter().all(|id| !model.rows.contains_key(id));
                let vectors = model.vectors(ids.len());
                let mut draft = collection.draft(ids.clone(), None).unwrap();
                // SAFETY: a slice of that many floats.
                unsafe { draft.fill(vectors.as_ptr(), vectors.len()).unwrap() };
                match commit(&collection, Write::Insert(draft)) {
                    Ok(written) => {
                        assert!(free);
                        assert_eq!(written.inserted as usize, ids.len());
                        model.rows.extend(ids.into_iter().zip(vectors.chunks(DIM).map(<[f32]>::to_vec)));
                    }
                    Err(error) => assert!(!free && error.code == Code::Exists, "{error}"),
                }
            }
            Operation::Upsert(some) => {
                let ids = names(some, spread);
                let vectors = model.vectors(ids.len());
                let before = model.rows.len();
                let written = upsert(&collection, ids.clone(), &vectors).unwrap();
                model.rows.extend(ids.into_iter().zip(vectors.chunks(DIM).map(<[f32]>::to_vec)));
                assert_eq!(written.inserted as usize, model.rows.len() - before);
            }
            Operation::Delete(some) => {
                let ids = names(some, spread);
                let before = model.rows.len();
                let written = commit(&collection, Write::Delete(ids.clone())).unwrap();
                ids.iter().for_each(|id| drop(model.rows.remove(id)));
                assert_eq!(written.deleted as usize, before - model.rows.len());
            }
            Operation::Search(k) => {
                let query = model.vectors(1);
                let all = model.nearest(metric, &query, model.rows.len());
                let wanted = &all[..all.len().min(*k as usize)];
                for exact in [true, false] {
                    // A list so short that a thousand rows are walked, not scanned.
                    let asked = SearchOptions {
                        k: Some(f64::from(*k)),
                        ef_search: Some(40.0),
                        exact,
                        ..SearchOptions::default()
                    };
                    let hits = collection.search(&query, &asked, &Token::default()).unwrap();
                    assert_eq!(hits.len(), wanted.len());
                    for (i, nearest) in wanted.iter().enumerate() {
                        let row = &model.rows[hits.id(i)];
                        assert_eq!(hits.vector(i), row.as_slice());
                        let own = all.iter().find(|(_, id)| *id == hits.id(i)).unwrap().0;
                        assert!((f64::from(hits.distances[i]) - own).abs() < 1e-4, "{metric} exact {exact}");
                        // The scan finds the nearest; what a walk misses is held down by the recall gates.
                        assert!(!exact || (own - nearest.0).abs() < 1e-4, "{metric}");
                    }
                    for (pair, i) in hits.distances.windows(2).zip(0..) {
                        assert!(pair[0] < pair[1] || pair[0] == pair[1] && hits.id(i) < hits.id(i + 1));
                    }
                }
            }
            Operation::Compact => {
                collection.compact(&Token::default()).unwrap();
                assert_eq!(collection.stats().unwrap().deleted, 0);
            }
            Operation::Clear => {
                let written = commit(&collection, Write::Clear).unwrap();
                assert_eq!(written.deleted as usize, model.rows.len());
                model.rows.clear();
            }
            Operation::Replay => {
                collection.settle();
                let replayed = collection.replayed().unwrap();
                assert_eq!(replayed.fingerprint().unwrap(), collection.fingerprint().unwrap());
                collection = replayed;
            }
        }
        assert_eq!(collection.len(), model.rows.len());
    }
    assert_eq!(collection.problems().unwrap(), Vec::<String>::new());
    let mut cursor = collection.cursor(None).unwrap();
    let mut listed = 0;
    loop {
        let page = cursor.next(37).unwrap();
        if page.is_empty() {
            break;
        }
        for i in 0..page.len() {
            assert_eq!(page.vector(i), model.rows[page.id(i)].as_slice());
            listed += 1;
        }
    }
    assert_eq!(listed, model.rows.len());
    let all: Vec<String> = (0..spread).map(|i| i.to_string()).collect();
    let found = collection.get(&all).unwrap();
    for (i, id) in all.iter().enumerate() {
        assert_eq!(found.is_some(i), model.rows.contains_key(id));
        assert_eq!(collection.has(id).unwrap(), model.rows.contains_key(id));
    }
}

fn property(cases: u32, length: usize) {
    let metric = prop::sample::select(vec!["l2", "cosine", "dot"]);
    let start = prop::sample::select(vec![0_usize, 900, 1500]);
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(metric in metric, seed in any::<u64>(), start in start, operations in prop::collection::vec(operation(), 1..length))| {
        run(metric, seed, start, &operations);
    });
}

#[test]
fn random_operations_agree_with_a_map() {
    property(60, 60);
}

#[test]
#[ignore = "deep: 20,000 operations and more"]
fn deep_many_random_operations_agree_with_a_map() {
    property(250, 200);
}

#[test]
fn similar_leaves_out_the_row_and_nothing_else() {
    let collection = Collection::open(&options(2, "l2")).unwrap();
    upsert(&collection, vec!["1".into(), "2".into(), "3".into()], &[1.0, 1.0, 1.0, 1.0, 5.0, 5.0]).unwrap();
    let asked = SearchOptions::default();
    let hits = collection.similar("1", &asked, &Token::default()).unwrap();
    assert_eq!((0..hits.len()).map(|i| hits.id(i)).collect::<Vec<_>>(), ["2", "3"]);
    let error = collection.similar("9", &asked, &Token::default()).err().unwrap();
    assert_eq!((error.code, error.message.as_str()), (Code::NotFound, "no row has the id \"9\""));
    assert_eq!(ids(&collection, &[5.0, 5.0], 2, 64, false), [3, 1]);
}

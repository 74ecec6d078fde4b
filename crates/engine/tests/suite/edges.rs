//! Numbers at their limits: sizes, values, counts.

use crate::common;

use std::sync::Arc;

use auspex_engine::{Code, Collection, Options, SearchOptions, Token, Write, exact_search};
use common::{Random, commit, fill, ids, options, recall_of_scan, upsert};

fn open(dim: usize, metric: &str) -> Collection {
    Collection::open(&options(dim, metric)).unwrap()
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

#[test]
fn no_rows_and_one_row() {
    for metric in ["l2", "cosine", "dot"] {
        let collection = open(3, metric);
        assert!(ids(&collection, &[1.0, 2.0, 3.0], 10, 64, false).is_empty());
        assert_eq!(collection.explain(&[1.0; 3], &SearchOptions::default()).unwrap().plan, "empty");
        assert_eq!(upsert(&collection, vec![], &[]).unwrap().inserted, 0);
        upsert(&collection, names(1), &[1.0, 2.0, 3.0]).unwrap();
        assert_eq!(ids(&collection, &[1.0, 2.0, 3.0], 10, 64, false), [0]);
        let similar = collection.similar("0", &SearchOptions::default(), &Token::default()).unwrap();
        assert!(similar.is_empty());
        commit(&collection, Write::Delete(names(1))).unwrap();
        assert!(collection.is_empty() && ids(&collection, &[1.0; 3], 10, 64, true).is_empty());
    }
}

#[test]
fn one_dimension_and_the_most() {
    let line = open(1, "l2");
    fill(&line, &(0..3000).map(|i| i as f32).collect::<Vec<f32>>(), 700);
    assert_eq!(ids(&line, &[1500.2], 3, 64, false), [1500, 1501, 1499]);
    let mut random = Random(4);
    for metric in ["l2", "cosine", "dot"] {
        let wide = open(4096, metric);
        let rows = random.clustered(1300, 4096, 10);
        fill(&wide, &rows, 650);
        assert_eq!(wide.problems().unwrap(), Vec::<String>::new());
        assert!(recall_of_scan(&wide, &rows[..20 * 4096], 10, 64) >= 0.9, "{metric}");
    }
}

#[test]
fn k_beyond_the_rows_gives_all_of_them() {
    let collection = open(4, "l2");
    fill(&collection, &Random(1).vectors(2000, 4), 2000);
    assert_eq!(ids(&collection, &[0.0; 4], 5000, 64, false).len(), 2000);
    let asked = SearchOptions { k: Some(1_000_000.0), ..SearchOptions::default() };
    assert_eq!(collection.search_batch(&[0.0; 8], &asked, &Token::default()).unwrap().counts, [2000, 2000]);
}

#[test]
fn thousands_of_equal_rows_share_a_node_and_all_come_back() {
    for metric in ["l2", "cosine", "dot"] {
        let collection = open(8, metric);
        let mut rows = Random(2).vectors(2000, 8);
        (0..3000).for_each(|_| rows.extend_from_slice(&[9.0; 8]));
        fill(&collection, &rows, 800);
        let stats = collection.stats().unwrap();
        assert_eq!((stats.rows, stats.layers[0], stats.unreachable), (5000, 2001, 0));
        let near = ids(&collection, &[9.0; 8], 100, 100, false);
        assert!(near.len() == 100 && near.iter().all(|&row| row >= 2000), "{metric}: {near:?}");
        // All but one of them go; that one is still found.
        commit(&collection, Write::Delete((2000..4999).map(|i| i.to_string()).collect())).unwrap();
        assert_eq!(ids(&collection, &[9.0; 8], 1, 64, false), [4999]);
    }
}

#[test]
fn of_rows_that_are_equally_far_the_first_ids_are_hits() {
    for metric in ["l2", "cosine", "dot"] {
        let collection = open(3, metric);
        let names = (0..500).rev().map(|i| format!("{i:03}")).collect();
        upsert(&collection, names, &[0.1, 0.7, 0.3].repeat(500)).unwrap();
        assert_eq!(ids(&collection, &[0.1, 0.7, 0.3], 3, 64, true), [0, 1, 2], "{metric}");
    }
}

#[test]
fn a_cosine_distance_is_never_below_zero_or_above_two() {
    let collection = open(7, "cosine");
    let rows = Random(6).vectors(400, 7);
    fill(&collection, &rows, 400);
    for query in rows.chunks(7) {
        let opposite: Vec<f32> = query.iter().map(|x| -x).collect();
        let asked = SearchOptions { k: Some(400.0), ..SearchOptions::default() };
        let far = collection.search(&opposite, &asked, &Token::default()).unwrap();
        assert!(far.distances.iter().all(|distance| (0.0..=2.0).contains(distance)));
        let near = collection.search(query, &asked, &Token::default()).unwrap();
        assert!(near.distances.iter().all(|distance| (0.0..=2.0).contains(distance)));
    }
}

#[test]
fn the_plan_follows_from_live_rows_and_the_list() {
    let collection = open(4, "l2");
    let rows = Random(1).vectors(3000, 4);
    let plan = |ef: f64| {
        let asked = SearchOptions { ef_search: Some(ef), ..SearchOptions::default() };
        collection.explain(&rows[..4], &asked).unwrap().plan
    };
    fill(&collection, &rows[..1000 * 4], 1000);
    commit(&collection, Write::Delete(names(900))).unwrap();
    upsert(&collection, (1000..1100).map(|i| i.to_string()).collect(), &rows[4000..4400]).unwrap();
    assert!(collection.stats().unwrap().layers.is_empty(), "a graph of 200 rows");
    fill(&collection, &rows[..1030 * 4], 1030);
    assert_eq!(collection.stats().unwrap().layers[0], 1100);
    assert_eq!((plan(64.0), plan(40.0)), ("exact", "graph"));
    fill(&collection, &rows, 3000);
    assert_eq!((plan(64.0), plan(200.0)), ("graph", "exact"));
}

#[test]
fn rows_that_codes_cannot_tell_apart_keep_nodes_of_their_own() {
    let collection = open(4, "l2");
    let mut rows = Random(2).vectors(2000, 4);
    (0..40).for_each(|i| rows.extend([0.25 + i as f32 * 1e-6, 0.5, 0.5, 0.5]));
    // In several writes: each meets codes equal to its own in the graph.
    fill(&collection, &rows, 505);
    assert_eq!(collection.stats().unwrap().layers[0], 2040);
    assert_eq!(ids(&collection, &rows[2017 * 4..][..4], 3, 64, false)[0], 2017);
}

#[test]
fn deleting_most_rows_leaves_k_hits() {
    let collection = open(16, "l2");
    let rows = Random(3).clustered(6000, 16, 20);
    fill(&collection, &rows, 2000);
    commit(&collection, Write::Delete((0..4000).map(|i| i.to_string()).collect())).unwrap();
    for query in rows.chunks(16).step_by(300) {
        let near = ids(&collection, query, 10, 64, false);
        assert!(near.len() == 10 && near.iter().all(|&row| row >= 4000));
    }
    assert!(recall_of_scan(&collection, &rows[..100 * 16], 10, 64) >= 0.97);
    assert_eq!(collection.problems().unwrap(), Vec::<String>::new());
}

#[test]
fn walks_go_through_dead_rows_and_no_further_than_they_must() {
    // As many dead as stay where they are, beside as few live ones as are worth a walk.
    let rows = Random(3).clustered(1400, 16, 20);
    let collection = open(16, "l2");
    fill(&collection, &rows, 1400);
    let asked = SearchOptions { k: Some(10.0), ef_search: Some(16.0), exact: false, ..SearchOptions::default() };
    let visits = || -> u64 {
        let explained = rows.chunks(16).step_by(7).map(|query| collection.explain(query, &asked).unwrap());
        explained.map(|ran| if ran.plan == "graph" { ran.visited } else { panic!("{ran:?}") }).sum()
    };
    let before = visits();
    let gone: Vec<String> = (0..1400).filter(|row| row % 7 < 5).map(|row| row.to_string()).collect();
    commit(&collection, Write::Delete(gone)).unwrap();
    assert_eq!(collection.stats().unwrap().deleted, 1000);
    assert!(recall_of_scan(&collection, &rows[..200 * 16], 10, 16) >= 0.9);
    let after = visits();
    assert!(after > before && after < 6 * before, "{before} slots read, then {after}");
}

#[test]
fn subnormal_and_huge_values_are_ordered_or_refused() {
    for metric in ["l2", "cosine", "dot"] {
        let collection = open(4, metric);
        let tiny: Vec<f32> = (1..=2000).flat_map(|i| [i as f32 * 1e-42, 1e-20, 0.0, -0.0]).collect();
        fill(&collection, &tiny, 500);
        assert_eq!(ids(&collection, &tiny[..4], 10, 64, false).len(), 10);
        let huge: Vec<f32> = (0..1000).flat_map(|i| [1e18 * (i as f32 / 2000.0), -1e18, 1e18, i as f32]).collect();
        let other = open(4, metric);
        fill(&other, &huge, 500);
        assert_eq!(other.problems().unwrap(), Vec::<String>::new());
        assert!(recall_of_scan(&other, &huge[..40], 10, 64) >= 0.9, "{metric}");
    }
    let limit = open(2, "l2");
    let error = upsert(&limit, names(2), &[1.0, 1.0, 3e38, 3e38]).unwrap_err();
    assert_eq!(error.code, Code::NotFinite);
    assert!(error.message.starts_with("vectors[1] has length"), "{}", error.message);
    assert!(limit.is_empty());
}

#[test]
fn a_refused_write_changes_nothing() {
    let collection = open(2, "cosine");
    upsert(&collection, names(2), &[1.0, 0.0, 0.0, 1.0]).unwrap();
    for (vectors, code) in [
        ([1.0, f32::NAN, 1.0, 1.0], Code::NotFinite),
        ([1.0, 1.0, f32::INFINITY, 1.0], Code::NotFinite),
        ([1.0, 1.0, 0.0, 0.0], Code::ZeroVector),
    ] {
        assert_eq!(upsert(&collection, vec!["0".into(), "9".into()], &vectors).unwrap_err().code, code);
    }
    let mut draft = collection.draft(vec!["5".into(), "1".into()], None).unwrap();
    // SAFETY: an array of four floats.
    unsafe { draft.fill([1.0_f32; 4].as_ptr(), 4).unwrap() };
    let error = commit(&collection, Write::Insert(draft)).unwrap_err();
    assert_eq!(error.message, "ids[1] is \"1\", which is taken; upsert() replaces rows");
    let token = Arc::new(Token::default());
    token.cancel();
    let aborted = collection.commit(vec![(Write::Delete(names(2)), token)]).remove(0);
    assert_eq!(aborted.unwrap_err().code, Code::Aborted);
    assert_eq!(collection.len(), 2);
    assert_eq!(collection.get(&names(1)).unwrap().vector(0), [1.0, 0.0]);
    assert!(!collection.has("5").unwrap() && !collection.has("9").unwrap());
}

#[test]
fn rows_drafted_for_another_dimension_are_refused_and_the_collection_goes_on() {
    let collection = open(2, "l2");
    for (dim, metric) in [(3, "l2"), (1, "cosine")] {
        let mut draft = open(dim, metric).draft(names(2), None).unwrap();
        // SAFETY: a vector of that many floats.
        unsafe { draft.fill(vec![1.0_f32; 2 * dim].as_ptr(), 2 * dim).unwrap() };
        let error = commit(&collection, Write::Upsert(draft)).unwrap_err();
        assert_eq!(error.code, Code::Dimension, "{}", error.message);
    }
    upsert(&collection, names(1), &[1.0, 2.0]).unwrap();
    assert_eq!(collection.len(), 1);
}

#[test]
fn a_write_is_done_when_all_of_its_rows_are() {
    let collection = open(2, "l2");
    let rows = Random(4).vectors(2000, 2);
    let put = |range: std::ops::Range<usize>| {
        let ids = range.clone().map(|i| i.to_string()).collect();
        let mut draft = collection.draft(ids, None).unwrap();
        let some = &rows[range.start * 2..range.end * 2];
        // SAFETY: a slice of that many floats.
        unsafe { draft.fill(some.as_ptr(), some.len()).unwrap() };
        Write::Upsert(draft)
    };
    // Without a graph, with the first one (which links older rows too), with one, and without rows.
    for (write, total) in [(put(0..1000), 1000), (put(1000..1100), 100), (put(1000..2000), 1000)]
        .into_iter()
        .chain([(Write::Delete(names(70)), 70), (Write::Delete(names(70)), 0)])
    {
        let token = Arc::new(Token::default());
        collection.commit(vec![(write, Arc::clone(&token))]).remove(0).unwrap();
        assert_eq!((token.done(), token.total()), (total, total));
    }
}

#[test]
fn what_cannot_be_searched_for_is_named() {
    let collection = open(3, "cosine");
    let error =
        |query: &[f32]| collection.search(query, &SearchOptions::default(), &Token::default()).err().unwrap().message;
    assert_eq!(error(&[1.0]), "query has 1 floats; the collection has dim 3");
    assert_eq!(error(&[0.0; 3]), "query is all zeros; with metric cosine a vector needs a direction");
    assert_eq!(error(&[1.0, f32::NAN, 0.0]), "query[1] is NaN; every number must be finite (and fit a 32-bit float)");
    for bad in [0.0, -1.0, 1.5, f64::NAN, 2147483648.0, 9007199254740992.0] {
        for asked in [
            SearchOptions { k: Some(bad), ..SearchOptions::default() },
            SearchOptions { ef_search: Some(bad), ..SearchOptions::default() },
        ] {
            let error = collection.search(&[1.0; 3], &asked, &Token::default()).err().unwrap();
            assert_eq!(error.code, Code::Argument, "{}", error.message);
        }
    }
    collection.close().unwrap();
    assert_eq!(error(&[1.0; 3]), "the collection is closed");
    assert_eq!(upsert(&collection, names(1), &[1.0; 3]).unwrap_err().code, Code::Closed);
}

#[test]
fn exact_search_orders_by_distance_then_index() {
    let vectors = [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 3.0, 4.0];
    let hits = exact_search(&vectors, &[0.0, 0.0], 2.0, Some("l2"), 3.0, &Token::default()).unwrap();
    assert_eq!((hits.rows, hits.counts), (vec![0, 2, 1], vec![3]));
    let all = exact_search(&vectors, &[0.0; 4], 2.0, Some("l2"), 6.0, &Token::default()).unwrap();
    assert_eq!(all.counts, [4, 4]);
    assert_eq!(all.distances[3], 5.0);
    assert!(all.distances[4].is_nan() && all.distances[5].is_nan());
    let wrong = exact_search(&vectors, &[0.0; 3], 2.0, Some("l2"), 3.0, &Token::default()).err().unwrap();
    assert_eq!(wrong.message, "queries has 3 floats, which is not a multiple of dim 2");
    assert!(exact_search(&[], &[], 2.0, None, 3.0, &Token::default()).unwrap().rows.is_empty());
    let token = Token::default();
    token.cancel();
    let stopped = exact_search(&vectors, &[0.0; 2], 2.0, Some("l2"), 3.0, &token).err().unwrap();
    assert_eq!(stopped.code, Code::Aborted);
}

#[test]
fn options_of_any_size_build_a_sound_graph() {
    let rows = Random(8).clustered(3000, 12, 30);
    for (m, ef) in [(2.0, 1.0), (3.0, 10.0), (5.0, 40.0), (64.0, 200.0), (128.0, 100.0)] {
        let some = Options { m: Some(m), ef_construction: Some(ef), ..options(12, "l2") };
        let collection = Collection::open(&some).unwrap();
        fill(&collection, &rows, 900);
        assert_eq!(collection.problems().unwrap(), Vec::<String>::new(), "m {m}");
    }
}

#[test]
fn every_row_of_a_collection_without_structure_can_be_reached() {
    let collection = open(64, "l2");
    fill(&collection, &Random(6).vectors(8000, 64), 3000);
    let stats = collection.stats().unwrap();
    assert_eq!((stats.unreachable, stats.rows), (0, 8000));
}

#[test]
#[ignore = "deep: five hundred graphs"]
fn deep_many_small_graphs_leave_nothing_unreachable() {
    many_small_graphs(0..500);
}

#[test]
#[ignore = "long: ten thousand graphs"]
fn long_many_small_graphs_leave_nothing_unreachable() {
    many_small_graphs(500..10_500);
}

fn many_small_graphs(rounds: std::ops::Range<u64>) {
    for round in rounds {
        let mut random = Random(77 + round);
        let dim = 1 + random.below(12);
        let rows = 1024 + random.below(300);
        let metric = ["l2", "cosine", "dot"][random.below(3)];
        let threads = 1.0 + random.below(16) as f64;
        let m = 2.0 + random.below(15) as f64;
        let some = Options {
            m: Some(m),
            threads: Some(threads),
            ef_construction: Some(20.0),
            seed: Some(round as f64),
            ..options(dim, metric)
        };
        let collection = Collection::open(&some).unwrap();
        let clusters = 1 + random.below(20);
        let vectors = random.clustered(rows, dim, clusters);
        fill(&collection, &vectors, 1 + random.below(rows));
        assert_eq!(collection.problems().unwrap(), Vec::<String>::new(), "round {round}");
    }
}

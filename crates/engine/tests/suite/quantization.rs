//! What the walk may read, and indexes that are built anew: each kind finds what the scan finds, by the same graph
//! wherever it is made, and goes on as if nothing had happened.

use crate::common;

use std::path::PathBuf;

use auspex_engine::{Code, Collection, Options, Rebuild, SearchOptions, Token, Write};
use common::{Random, Set, commit, fill, ids, options, recall, recall_of_scan, upsert};

const KINDS: [&str; 4] = ["none", "f16", "sq8", "sq4"];

fn of_kind(dim: usize, metric: &str, kind: &str) -> Options {
    Options { quantization: Some(kind.into()), ..options(dim, metric) }
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("auspex-quantization-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn sound(collection: &Collection) {
    assert_eq!(collection.problems().unwrap(), Vec::<String>::new());
    assert_eq!(collection.verify(&Token::default()).unwrap(), []);
}

const ROWS: usize = 1900;

/// Built at once, then linked in batches, with deletes; norms that grow, so that codes are calibrated again.
fn history(options: &Options) -> Collection {
    let collection = Collection::open(options).unwrap();
    let dim = collection.dim();
    let mut rows = Random(3).clustered(ROWS, dim, 20);
    for (i, x) in rows.iter_mut().enumerate() {
        *x *= 1.0 + (i / dim) as f32 / 500.0;
    }
    fill(&collection, &rows[..1100 * dim], 1100);
    for (i, part) in rows[1100 * dim..].chunks(300 * dim).enumerate() {
        let first = 1100 + i * 300;
        let ids = (0..part.len() / dim).map(|row| (first + row).to_string()).collect();
        upsert(&collection, ids, part).unwrap();
        commit(&collection, Write::Delete((first..first + 20).map(|row| row.to_string()).collect())).unwrap();
    }
    // Equal rows share a node.
    upsert(&collection, (0..200).map(|i| (10_000 + i).to_string()).collect(), &rows[..200 * dim]).unwrap();
    collection
}

fn near(dim: usize) -> Vec<f32> {
    Random(3).clustered(ROWS, dim, 20).chunks(dim).step_by(40).flatten().map(|x| x * 1.7).collect()
}

#[test]
fn every_kind_finds_what_the_scan_finds() {
    // Lines of codes that are filled, and such that are not.
    for (metric, dim) in [("l2", 24), ("l2", 100), ("cosine", 64), ("dot", 40)] {
        for kind in KINDS {
            let collection = history(&of_kind(dim, metric, kind));
            sound(&collection);
            let recall = recall_of_scan(&collection, &near(dim), 10, 64);
            println!("{metric}, {dim} dimensions, {kind}: recall@10 {recall:.4}");
            assert!(recall >= 0.97, "{metric}, {dim}, {kind}: {recall}");
            let nodes = collection.stats().unwrap().layers[0];
            assert_eq!(nodes as usize, ROWS, "equal rows have nodes of their own: {metric}, {dim}, {kind}");
        }
    }
}

#[test]
fn every_kind_gives_one_graph_for_any_number_of_threads_and_replays() {
    for (metric, kind) in [("l2", "none"), ("cosine", "sq4"), ("dot", "f16")] {
        let graph = |threads: f64| history(&Options { threads: Some(threads), ..of_kind(20, metric, kind) });
        let (one, two) = (graph(1.0), graph(2.0));
        let first = one.fingerprint().unwrap();
        assert_eq!(first, two.fingerprint().unwrap(), "{metric}, {kind}");
        assert_eq!(first, two.replayed().unwrap().fingerprint().unwrap(), "{metric}, {kind}");
    }
}

#[test]
fn every_kind_is_opened_again_as_it_was() {
    for (kind, metric) in KINDS.into_iter().zip(["dot", "l2", "cosine", "dot"]) {
        let path = folder(&format!("again-{kind}"));
        let on_disk = Options { path: Some(path.to_str().unwrap().into()), ..of_kind(40, metric, kind) };
        let collection = history(&on_disk);
        let (graph, queries) = (collection.fingerprint().unwrap(), near(40));
        let found = |c: &Collection| queries.chunks(40).map(|q| ids(c, q, 10, 64, false)).collect::<Vec<_>>();
        let before = found(&collection);
        collection.close().unwrap();
        let again = Collection::open(&Options { quantization: None, dim: None, ..on_disk.clone() }).unwrap();
        assert_eq!((again.fingerprint().unwrap(), found(&again)), (graph, before), "{kind}");
        again.settle();
        sound(&again);
        assert_eq!(again.stats().unwrap().notices, Vec::<String>::new());
        upsert(&again, vec!["new".into()], &queries[..40]).unwrap();
        assert!(recall_of_scan(&again, &queries, 10, 64) >= 0.97, "{kind}");
        again.close().unwrap();
        let other = if kind == "sq8" { "none" } else { "sq8" };
        let refused = Collection::open(&Options { quantization: Some(other.into()), ..on_disk }).err().unwrap();
        assert_eq!(refused.code, Code::Argument);
        let wanted = format!(
            "quantization is {other}, and the collection was made with {kind}; leave it out, or change it by rebuild()"
        );
        assert_eq!(refused.message, wanted);
        std::fs::remove_dir_all(&path).unwrap();
    }
    let unknown = Collection::open(&of_kind(4, "l2", "pq")).err().unwrap();
    assert_eq!(unknown.message, "quantization is \"pq\"; it is one of \"none\", \"f16\", \"sq8\", \"sq4\"");
}

#[test]
fn less_is_kept_of_a_row_as_the_kind_says() {
    let ram = |kind: &str| {
        let collection = Collection::open(&of_kind(128, "l2", kind)).unwrap();
        fill(&collection, &Random(4).clustered(2000, 128, 30), 2000);
        (collection.stats().unwrap().ram as f64 / 2000.0).round()
    };
    let [none, f16, sq8, sq4] = KINDS.map(ram);
    // Beside the code, a node that has none of 8 bits knows its row.
    assert_eq!([f16 - none, sq4 - none, sq8 - none], [256.0, 64.0, 128.0 - 4.0]);
}

fn changed(kind: &str) -> Rebuild {
    Rebuild { quantization: Some(kind.into()), ..Rebuild::default() }
}

#[test]
fn an_index_that_is_built_anew_is_that_of_a_collection_made_so() {
    for (i, kind) in KINDS.into_iter().enumerate() {
        let path = folder(&format!("anew-{kind}"));
        let in_memory = i % 2 == 0;
        let place = (!in_memory).then(|| path.to_str().unwrap().to_owned());
        let collection = history(&Options { path: place.clone(), ..of_kind(32, "l2", KINDS[(i + 1) % 4]) });
        let queries = near(32);
        let exact = |c: &Collection| queries.chunks(32).map(|q| ids_of_scan(c, q)).collect::<Vec<_>>();
        let before = (collection.len(), exact(&collection));
        let token = Token::default();
        let changes = Rebuild { m: Some(12.0), ef_construction: Some(80.0), ..changed(kind) };
        collection.rebuild(&changes, &token).unwrap();
        assert_eq!((collection.len(), exact(&collection)), before);
        assert_eq!((token.done(), token.total()), (2 * before.0 as u64, 2 * before.0 as u64));
        assert_eq!(collection.stats().unwrap().deleted, 0);
        sound(&collection);
        // The same rows, written at once into a collection that was made so.
        let made = Options { m: Some(12.0), ef_construction: Some(80.0), ..of_kind(32, "l2", kind) };
        let fresh = Collection::open(&made).unwrap();
        let mut rows = collection.cursor(None).unwrap();
        let rows = rows.next(usize::MAX).unwrap();
        let names = (0..rows.len()).map(|row| rows.id(row).to_owned()).collect();
        let vectors: Vec<f32> = (0..rows.len()).flat_map(|row| rows.vector(row).to_vec()).collect();
        upsert(&fresh, names, &vectors).unwrap();
        assert_eq!(collection.fingerprint().unwrap(), fresh.fingerprint().unwrap(), "{kind}");
        // And it goes on like that one, after another opening too.
        for c in [&collection, &fresh] {
            let more: Vec<f32> = vectors[..500 * 32].iter().map(|x| x * 1.01).collect();
            upsert(c, (0..500).map(|i| format!("more {i}")).collect(), &more).unwrap();
        }
        let graph = fresh.fingerprint().unwrap();
        assert_eq!(collection.fingerprint().unwrap(), graph, "{kind}");
        if in_memory {
            assert_eq!(collection.replayed().unwrap().fingerprint().unwrap(), graph);
            continue;
        }
        collection.close().unwrap();
        let again = Collection::open(&Options { path: place.clone(), ..made.clone() }).unwrap();
        assert_eq!(again.fingerprint().unwrap(), graph, "{kind}");
        again.settle();
        sound(&again);
        again.close().unwrap();
        let stale = Collection::open(&Options { path: place, ..of_kind(32, "l2", KINDS[(i + 1) % 4]) });
        assert_eq!(stale.err().unwrap().code, Code::Argument);
        std::fs::remove_dir_all(&path).unwrap();
    }
}

fn ids_of_scan(collection: &Collection, query: &[f32]) -> Vec<String> {
    let asked = SearchOptions { exact: true, ..SearchOptions::default() };
    let hits = collection.search(query, &asked, &Token::default()).unwrap();
    (0..hits.len()).map(|i| hits.id(i).to_owned()).collect()
}

#[test]
fn rebuilding_runs_beside_writes_and_searches() {
    let collection = Collection::open(&options(24, "l2")).unwrap();
    let rows = Random(6).clustered(4000, 24, 40);
    fill(&collection, &rows[..2000 * 24], 2000);
    std::thread::scope(|scope| {
        let rebuilding = scope.spawn(|| {
            for kind in KINDS {
                collection.rebuild(&changed(kind), &Token::default()).unwrap();
            }
        });
        for (i, part) in rows[2000 * 24..].chunks(50 * 24).enumerate() {
            let first = 2000 + i * 50;
            upsert(&collection, (first..first + part.len() / 24).map(|id| id.to_string()).collect(), part).unwrap();
            commit(&collection, Write::Delete((first - 2000..first - 1995).map(|id| id.to_string()).collect()))
                .unwrap();
            assert_eq!(ids(&collection, &part[..24], 1, 64, true).len(), 1);
        }
        rebuilding.join().unwrap();
    });
    collection.rebuild(&changed("sq4"), &Token::default()).unwrap();
    assert_eq!(collection.len(), 4000 - 40 * 5);
    sound(&collection);
    let recall = recall_of_scan(&collection, &rows[..100 * 24], 10, 64);
    assert!(recall >= 0.97, "{recall}");
}

#[test]
fn a_rebuild_that_fails_changes_nothing() {
    let path = folder("fails");
    let on_disk = Options { path: Some(path.to_str().unwrap().into()), ..options(24, "l2") };
    let collection = Collection::open(&on_disk).unwrap();
    fill(&collection, &Random(6).clustered(8000, 24, 40), 8000);
    let files = || {
        let mut names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|file| file.unwrap().file_name()).collect();
        names.sort();
        names
    };
    collection.settle();
    let before = (collection.fingerprint().unwrap(), files());
    let same = || assert_eq!((collection.fingerprint().unwrap(), files()), before);
    let bad = |changes: Rebuild, message: &str| {
        let refused = collection.rebuild(&changes, &Token::default()).unwrap_err();
        assert_eq!((refused.code, refused.message.as_str()), (Code::Argument, message));
        same();
    };
    bad(Rebuild { m: Some(1.0), ..Rebuild::default() }, "m is 1; it must be a whole number from 2 to 128");
    bad(changed("pq"), "quantization is \"pq\"; it is one of \"none\", \"f16\", \"sq8\", \"sq4\"");
    let cancelled = Token::default();
    cancelled.cancel();
    assert_eq!(collection.rebuild(&changed("sq4"), &cancelled).unwrap_err().code, Code::Aborted);
    same();
    // While rows are copied, and while they are linked.
    for share in [0.1, 1.0] {
        let token = Token::default();
        let refused = std::thread::scope(|scope| {
            let rebuilding = scope.spawn(|| collection.rebuild(&changed("sq4"), &token));
            while token.total() == 0 || (token.done() as f64) < share * 8000.0 {
                std::thread::sleep(std::time::Duration::from_micros(200));
            }
            token.cancel();
            rebuilding.join().unwrap()
        });
        assert_eq!(refused.unwrap_err().code, Code::Aborted, "{share}");
        same();
    }
    let reader = Collection::open(&Options { mode: Some("readonly".into()), ..on_disk.clone() }).unwrap();
    assert_eq!(reader.rebuild(&changed("sq4"), &Token::default()).unwrap_err().code, Code::ReadOnly);
    // What it does is seen by readers, and nothing of it is left once it has ended.
    collection.rebuild(&changed("sq4"), &Token::default()).unwrap();
    collection.settle();
    assert!(reader.refresh().unwrap());
    assert_eq!(reader.fingerprint().unwrap(), collection.fingerprint().unwrap());
    reader.close().unwrap();
    collection.close().unwrap();
    assert_eq!(collection.rebuild(&changed("sq4"), &Token::default()).unwrap_err().code, Code::Closed);
    assert!(files().iter().all(|name| !name.to_string_lossy().contains("log-1-")), "{:?}", files());
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn fields_that_are_changed_have_columns() {
    let collection = Collection::open(&options(4, "l2")).unwrap();
    let names = (0..2000).map(|i| i.to_string()).collect();
    let metadata: Vec<String> = (0..2000).map(|i| format!("{{\"n\":{},\"t\":\"x\"}}", i % 10)).collect();
    let mut draft = collection.draft(names, Some(&format!("[{}]", metadata.join(",")))).unwrap();
    let floats = Random(2).vectors(2000, 4);
    // SAFETY: a slice of that many floats.
    unsafe { draft.fill(floats.as_ptr(), floats.len()).unwrap() };
    commit(&collection, Write::Insert(draft)).unwrap();
    let (bare, count) = (collection.stats().unwrap().ram, |c: &Collection| c.count("{\"n\":3}", &Token::default()));
    assert_eq!(count(&collection).unwrap(), 200);
    let fields = Some(vec![("n".to_string(), "number".to_string())]);
    collection.rebuild(&Rebuild { fields, ..Rebuild::default() }, &Token::default()).unwrap();
    assert_eq!(count(&collection).unwrap(), 200);
    assert!(collection.stats().unwrap().ram > bare + 2 * 2000);
    collection.rebuild(&Rebuild { fields: Some(Vec::new()), ..Rebuild::default() }, &Token::default()).unwrap();
    assert_eq!((count(&collection).unwrap(), collection.stats().unwrap().ram), (200, bare));
}

/// CPU seconds of this thread, and of all of this process, where the system tells them: others use the machine as well.
fn cpu() -> Option<(f64, f64)> {
    let words = |path: &str| Some(std::fs::read_to_string(path).ok()?.rsplit(')').next()?.to_owned());
    let nanoseconds: f64 = words("/proc/thread-self/schedstat")?.split_whitespace().next()?.parse().ok()?;
    let process = words("/proc/self/stat")?;
    let ticks = process.split_whitespace().skip(11).take(2).map(|word| word.parse().unwrap_or(0.0));
    Some((nanoseconds / 1e9, ticks.sum::<f64>() / 100.0))
}

/// Of each kind what it takes and finds on a full set: the table of docs/performance.md.
fn table(name: &str, set: &Set, metric: &str, floor: f64) {
    let (dim, rows) = (set.base.width, set.base.rows as f64);
    let collection = Collection::open(&options(dim, metric)).unwrap();
    fill(&collection, &set.base.values, set.base.rows);
    println!("\n| {name} | rows built a CPU second | linked, by 1,000 | bytes a row | efSearch 32 | 64 | 128 |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    let more: Vec<f32> = set.base.values[..4000 * dim].iter().map(|x| x * 1.01).collect();
    let mut hits = auspex_engine::Hits::new();
    for kind in KINDS {
        let begun = cpu();
        collection.rebuild(&changed(kind), &Token::default()).unwrap();
        let built = begun.zip(cpu()).map_or(f64::NAN, |(from, to)| rows / (to.1 - from.1));
        let bytes = collection.stats().unwrap().ram as f64 / rows - 4.0 * dim as f64;
        let begun = cpu();
        for (i, part) in more.chunks(1000 * dim).enumerate() {
            upsert(&collection, (0..1000).map(|row| format!("more {i} {row}")).collect(), part).unwrap();
        }
        let linked = begun.zip(cpu()).map_or(f64::NAN, |(from, to)| 4000.0 / (to.1 - from.1));
        let gone = (0..4000).map(|row| format!("more {} {}", row / 1000, row % 1000)).collect();
        commit(&collection, Write::Delete(gone)).unwrap();
        print!("| {kind} | {:.0} K | {:.1} K | {bytes:.0} |", built / 1000.0, linked / 1000.0);
        for ef in [32, 64, 128] {
            let found = recall(&collection, &set.query.values, &set.truth, set.width, 10, ef);
            let asked = SearchOptions { ef_search: Some(ef as f64), ..SearchOptions::default() };
            let mut pass = || {
                let begun = cpu();
                for query in set.query.values.chunks(dim) {
                    collection.search_into(query, &asked, &Token::default(), &mut hits).unwrap();
                }
                begun.zip(cpu()).map_or(f64::NAN, |(from, to)| (to.0 - from.0) * 1e6 / set.query.rows as f64)
            };
            let us = (0..3).map(|_| pass()).fold(f64::INFINITY, f64::min);
            print!(" {found:.3}, {us:.0} us |");
            assert!(ef < 64 || found >= floor, "{name}, {kind}: {found}");
        }
        println!();
    }
}

#[test]
#[ignore = "deep: builds the full set"]
fn deep_full_every_kind_on_sift128_100k() {
    table("sift128-100k, l2", &common::sift(), "l2", 0.97);
}

#[test]
#[ignore = "deep: builds the full set"]
fn deep_full_every_kind_on_wordnet384_20k() {
    table("wordnet384-20k, cosine", &common::wordnet(), "cosine", 0.97);
}

//! Searches by words, held against BM25 as it is defined, over histories of writes and whatever becomes of the files.

use crate::common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use auspex_engine::{Code, Collection, FusionOptions, Hits, Options, SearchOptions, Token, Update, Write};
use common::{Random, commit};

const DIM: usize = 2;

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("auspex-text-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn options(path: Option<&Path>) -> Options {
    let fields = [("title", "text"), ("tags", "text"), ("year", "number")];
    Options {
        path: path.map(|path| path.to_str().unwrap().into()),
        dim: Some(DIM as f64),
        metric: Some("l2".into()),
        durability: Some("relaxed".into()),
        fields: Some(fields.map(|(name, kind)| (name.into(), kind.into())).into()),
        ..Options::default()
    }
}

/// The words of each id; rows in the order in which they arrived.
#[derive(Default, Clone)]
struct Model {
    rows: Vec<(String, Vec<String>)>,
}

impl Model {
    fn put(&mut self, id: &str, words: Vec<String>) {
        self.remove(id);
        self.rows.push((id.into(), words));
    }

    fn remove(&mut self, id: &str) {
        self.rows.retain(|row| row.0 != id);
    }

    /// Ids and scores of every row that has a word of the query, best first, equal ones by arrival.
    fn search(&self, query: &[&str]) -> Vec<(String, f64)> {
        let rows: Vec<_> = self.rows.iter().filter(|row| !row.1.is_empty()).collect();
        let all = rows.len() as f64;
        let mean = rows.iter().map(|row| row.1.len()).sum::<usize>() as f64 / all;
        let mut found = Vec::new();
        for (id, words) in &rows {
            let mut score = 0.0;
            for word in query {
                let often = words.iter().filter(|own| own == word).count() as f64;
                let with = rows.iter().filter(|row| row.1.iter().any(|own| own == word)).count() as f64;
                let idf = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
                score += idf * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * words.len() as f64 / mean));
            }
            if words.iter().any(|own| query.contains(&own.as_str())) {
                found.push((id.clone(), score));
            }
        }
        found.sort_by(|a, b| b.1.total_cmp(&a.1));
        found
    }
}

const WORDS: [&str; 12] =
    ["of", "the", "sea", "wind", "salt", "storm", "harbour", "gull", "tide", "rope", "mast", "anchor"];

fn words(random: &mut Random) -> Vec<String> {
    // Common words come first; some rows have none.
    let word = |random: &mut Random| WORDS[random.below(12).min(random.below(12))].to_owned();
    (0..random.below(9)).map(|_| word(random)).collect()
}

fn metadata(words: &[String], year: usize) -> String {
    let (title, tags) = words.split_at(words.len() / 2);
    serde_json::json!({ "title": title.join("; "), "tags": tags, "body": "of the sea", "year": year }).to_string()
}

fn upsert(collection: &Collection, model: &mut Model, rows: Vec<(String, Vec<String>)>) {
    let texts: Vec<String> = rows.iter().map(|(id, words)| metadata(words, id.parse().unwrap())).collect();
    let ids: Vec<String> = rows.iter().map(|row| row.0.clone()).collect();
    let floats: Vec<f32> = ids.iter().flat_map(|id| [id.parse().unwrap(), 1.0]).collect();
    let mut draft = collection.draft(ids, Some(&format!("[{}]", texts.join(",")))).unwrap();
    // SAFETY: a vector of that many floats.
    unsafe { draft.fill(floats.as_ptr(), floats.len()).unwrap() };
    commit(collection, Write::Upsert(draft)).unwrap();
    rows.into_iter().for_each(|(id, words)| model.put(&id, words));
}

/// One write of any kind.
fn write(collection: &Collection, model: &mut Model, random: &mut Random) {
    let ids: Vec<String> = (0..1 + random.below(30)).map(|_| random.below(400).to_string()).collect();
    match random.below(20) {
        0 => {
            commit(collection, Write::Clear).unwrap();
            *model = Model::default();
        }
        1..=5 => {
            ids.iter().for_each(|id| model.remove(id));
            commit(collection, Write::Delete(ids)).unwrap();
        }
        6..=8 => {
            let (id, set) = (ids[0].clone(), serde_json::json!({ "title": "wind, WIND" }).to_string());
            let update = Update { id: id.clone(), vector: None, set, remove: r#"["tags"]"#.into() };
            let known = model.rows.iter().any(|row| row.0 == id);
            if commit(collection, Write::Update(update)).unwrap().updated == 1 {
                assert!(known);
                let same = vec!["wind".to_owned(); 2];
                // A row that has these very metadata is not written.
                if model.rows.iter().any(|row| row.0 == id && row.1 != same) {
                    model.put(&id, same);
                } else {
                    let unchanged = model.rows.iter().any(|row| row.0 == id);
                    assert!(unchanged);
                }
            }
        }
        _ => {
            let rows = ids.into_iter().map(|id| (id, words(random))).collect();
            upsert(collection, model, rows);
        }
    }
}

fn asked(k: usize) -> SearchOptions {
    SearchOptions { k: Some(k as f64), ..SearchOptions::default() }
}

fn find(collection: &Collection, text: &str, k: usize) -> Hits {
    collection.search_text(text, &asked(k), &Token::default()).unwrap()
}

const QUERIES: [&[&str]; 6] =
    [&["the"], &["anchor"], &["sea", "storm"], &["wind", "wind", "gull"], &["of", "the", "mast"], &["whale"]];

/// Every query finds what the model finds, with the same scores.
fn assert_agrees(collection: &Collection, model: &Model, what: &str) {
    for query in QUERIES {
        for k in [1, 10, 1000] {
            let (hits, truth) = (find(collection, &query.join(" - "), k), model.search(query));
            assert_eq!(hits.len(), truth.len().min(k), "{what}: {query:?}");
            let of: BTreeMap<&str, f64> = truth.iter().map(|(id, score)| (id.as_str(), *score)).collect();
            for (i, (_, score)) in truth.iter().take(k).enumerate() {
                let near = |other: f64| (hits.scores[i] - other).abs() < 1e-9 * other;
                let own = of.get(hits.id(i)).copied().unwrap_or(f64::NAN);
                assert!(
                    near(*score) && near(own),
                    "{what}: {query:?}, hit {i} is {} with {}",
                    hits.id(i),
                    hits.scores[i]
                );
                assert!(hits.distances[i].is_nan());
            }
            let arrival = |i: usize| model.rows.iter().position(|row| row.0 == hits.id(i)).unwrap();
            let by_arrival =
                (1..hits.len()).all(|i| hits.scores[i - 1] > hits.scores[i] || arrival(i - 1) < arrival(i));
            assert!(by_arrival, "{what}: {query:?}");
        }
    }
}

/// Two collections of the same rows answer the same, to the last bit.
fn assert_same(a: &Collection, b: &Collection) {
    for query in QUERIES {
        let (a, b) = (find(a, &query.join(" "), 1000), find(b, &query.join(" "), 1000));
        assert_eq!(a.scores, b.scores);
        assert!((0..a.len()).all(|i| a.id(i) == b.id(i)));
    }
}

#[test]
fn words_are_found_after_any_history_wherever_it_is_kept() {
    for seed in 0..6 {
        let path = folder(&format!("history-{seed}"));
        let mut random = Random(seed);
        let (mut model, mut collection) = (Model::default(), Collection::open(&options(Some(&path))).unwrap());
        let readonly = Options { mode: Some("readonly".into()), ..options(Some(&path)) };
        let reader = Collection::open(&readonly).unwrap();
        for round in 0..60 {
            write(&collection, &mut model, &mut random);
            let what = format!("seed {seed}, round {round}");
            match random.below(12) {
                0 => drop(collection.compact(&Token::default()).unwrap()),
                1 => collection.checkpoint().unwrap(),
                2 => {
                    collection.close().unwrap();
                    collection =
                        Collection::open(&Options { path: options(Some(&path)).path, ..Options::default() }).unwrap();
                    assert_eq!(collection.stats().unwrap().notices, Vec::<String>::new());
                }
                3 => {
                    reader.refresh().unwrap();
                    assert_agrees(&reader, &model, &what);
                }
                _ => {}
            }
            if round % 5 == 0 {
                assert_agrees(&collection, &model, &what);
            }
        }
        reader.refresh().unwrap();
        assert_same(&collection, &reader);
        let copy = folder(&format!("copy-{seed}"));
        collection.snapshot(copy.to_str().unwrap(), &Token::default()).unwrap();
        assert_same(&collection, &Collection::open(&options(Some(&copy))).unwrap());
        assert_eq!(collection.verify(&Token::default()).unwrap(), vec![]);
        let fresh = Collection::open(&options(None)).unwrap();
        upsert(&fresh, &mut Model::default(), model.rows.clone());
        assert_agrees(&collection, &model, "at the end");
        assert_same(&collection, &fresh);
        drop((collection, reader));
        std::fs::remove_dir_all(&path).unwrap();
        std::fs::remove_dir_all(&copy).unwrap();
    }
}

#[test]
fn a_damaged_text_index_is_made_again_and_nothing_else() {
    let path = folder("damage");
    let (mut model, mut random) = (Model::default(), Random(4));
    let collection = Collection::open(&options(Some(&path))).unwrap();
    // Words of their own make it larger than the blocks that have a checksum each.
    let own = |id: usize, words: Vec<String>| [words, vec![format!("{id}{}", "z".repeat(200))]].concat();
    for first in (0..1500).step_by(300) {
        let rows = (first..first + 300).map(|id| (id.to_string(), own(id, words(&mut random)))).collect();
        upsert(&collection, &mut model, rows);
    }
    commit(&collection, Write::Delete((0..200).map(|id| id.to_string()).collect())).unwrap();
    (0..200).for_each(|id| model.remove(&id.to_string()));
    let graph = collection.fingerprint().unwrap();
    collection.close().unwrap();
    let is_checkpoint = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with("index-");
    let file = std::fs::read_dir(&path).unwrap().map(|file| file.unwrap().path()).find(is_checkpoint).unwrap();
    let clean = std::fs::read(&file).unwrap();
    // Where the section begins and how long it is.
    let head = clean.windows(8).rposition(|bytes| bytes == b"\"text\":[").unwrap() + 8;
    let place = String::from_utf8_lossy(&clean[head..head + 40]).into_owned();
    let place: Vec<usize> = place.split([',', ']']).take(2).map(|number| number.parse().unwrap()).collect();
    let (start, len) = (place[0], place[1]);
    assert!(len > 3 << 16, "{len}");
    // Its first block of the file has other sections as well.
    for (at, alone) in [(start, false), (start + (1 << 16), true), (start + (1 << 17) + 12_345, true)] {
        let mut bytes = clean.clone();
        bytes[at] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let opened = Collection::open(&options(Some(&path))).unwrap();
        let notices = opened.stats().unwrap().notices;
        let what = if alone { "the text index was made again: " } else { "the checkpoint was made again " };
        assert!(notices.len() == 1 && notices[0].starts_with(what), "{notices:?}");
        assert_agrees(&opened, &model, "made again");
        assert!(!alone || opened.fingerprint().unwrap() == graph);
        while !opened.is_checked() {
            std::thread::yield_now();
        }
        let problems = opened.verify(&Token::default()).unwrap();
        assert!(problems.iter().all(|problem| problem.code == "files"), "{problems:?}");
        drop(opened);
    }
    // Whoever closes it leaves a whole one, though nothing was written.
    Collection::open(&options(Some(&path))).unwrap().close().unwrap();
    let opened = Collection::open(&options(Some(&path))).unwrap();
    assert_eq!(opened.stats().unwrap().notices, Vec::<String>::new());
    assert_agrees(&opened, &model, "written again");
    drop(opened);
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn filters_and_pages_choose_among_the_hits() {
    let (mut model, mut random) = (Model::default(), Random(8));
    let collection = Collection::open(&options(None)).unwrap();
    let rows = (0..900).map(|id| (id.to_string(), words(&mut random))).collect();
    upsert(&collection, &mut model, rows);
    let all = find(&collection, "the storm", 1000);
    // By a column, by metadata that have none, and by both.
    for (filter, takes) in [
        (r#"{"year":{"$lt":450}}"#, (|id| id < 450) as fn(usize) -> bool),
        (r#"{"body":"of the sea"}"#, |_| true),
        (r#"{"$or":[{"year":7},{"year":{"$gte":10}}],"body":{"$exists":true}}"#, |id| id == 7 || id >= 10),
        (r#"{"year":-1}"#, |_| false),
    ] {
        let expected: Vec<(&str, f64)> =
            (0..all.len()).filter(|&i| takes(all.id(i).parse().unwrap())).map(|i| (all.id(i), all.scores[i])).collect();
        for (k, offset) in [(1000, 0), (10, 0), (10, 10), (7, 400), (5, 2000)] {
            let options = SearchOptions { filter: Some(filter.into()), offset: Some(offset as f64), ..asked(k) };
            let hits = collection.search_text("the storm", &options, &Token::default()).unwrap();
            let found: Vec<(&str, f64)> = (0..hits.len()).map(|i| (hits.id(i), hits.scores[i])).collect();
            let page: Vec<_> = expected.iter().copied().skip(offset).take(k).collect();
            assert_eq!(found, page, "{filter} {k} {offset}");
        }
    }
}

#[test]
fn a_hybrid_search_adds_up_the_ranks_of_both_lists() {
    let (mut model, mut random) = (Model::default(), Random(15));
    let collection = Collection::open(&options(None)).unwrap();
    let rows = (0..400).map(|id| (id.to_string(), words(&mut random))).collect();
    upsert(&collection, &mut model, rows);
    let (query, text, token) = ([203.4, 1.0], "gull rope", Token::default());
    let filters = [None, Some(r#"{"year":{"$gte":150}}"#.to_owned())];
    let weights: [(Option<f64>, f64, f64); 4] =
        [(None, 1.0, 1.0), (Some(0.0), 1.0, 2.5), (Some(10.0), 0.0, 1.0), (None, 3.0, 0.0)];
    for (filter, (rrf_k, vector, fit)) in filters.iter().flat_map(|filter| weights.map(|weights| (filter, weights))) {
        for (k, offset) in [(10, 0), (10, 5), (150, 0), (1, 30)] {
            let options = SearchOptions { filter: filter.clone(), offset: Some(offset as f64), ..asked(k) };
            let fusion = FusionOptions { rrf_k, vector: Some(vector), text: Some(fit) };
            let hits = collection.search_hybrid(&query, text, &options, &fusion, &token).unwrap();
            let depth = SearchOptions { filter: filter.clone(), ..asked((k + offset).max(100)) };
            let near = collection.search(&query, &depth, &token).unwrap();
            let fits = collection.search_text(text, &depth, &token).unwrap();
            // By hand: of each id its score, its distance, and when it came.
            let mut fused: BTreeMap<usize, (f64, f32)> = BTreeMap::new();
            let rank = |weight: f64, i: usize| weight / (rrf_k.unwrap_or(60.0) + i as f64 + 1.0);
            for i in (0..near.len()).filter(|_| vector > 0.0) {
                fused.insert(near.id(i).parse().unwrap(), (rank(vector, i), near.distances[i]));
            }
            for i in (0..fits.len()).filter(|_| fit > 0.0) {
                fused.entry(fits.id(i).parse().unwrap()).or_insert((0.0, f32::NAN)).0 += rank(fit, i);
            }
            let mut expected: Vec<(usize, (f64, f32))> = fused.into_iter().collect();
            expected.sort_by(|a, b| b.1.0.total_cmp(&a.1.0));
            let page: Vec<_> = expected.into_iter().skip(offset).take(k).collect();
            assert_eq!(hits.len(), page.len());
            for (i, (id, (score, distance))) in page.into_iter().enumerate() {
                assert_eq!((hits.id(i), hits.scores[i]), (id.to_string().as_str(), score));
                assert!(hits.distances[i] == distance || hits.distances[i].is_nan() && distance.is_nan());
            }
        }
    }
}

#[test]
fn what_cannot_be_searched_for_is_refused() {
    let code = |result: auspex_engine::Result<Hits>, says: &str| {
        let error = result.err().unwrap();
        assert!(error.code == Code::Argument && error.message.contains(says), "{error}");
    };
    let without = Collection::open(&Options { fields: None, ..options(None) }).unwrap();
    let (query, token, fusion) = ([1.0, 1.0], Token::default(), FusionOptions::default());
    code(without.search_text("a", &asked(1), &token), "fields has no field of the type \"text\"");
    code(without.search_hybrid(&query, "a", &asked(1), &fusion, &token), "fields has no field");
    // Who only reads it is not told to change it.
    let path = folder("readonly");
    Collection::open(&Options { fields: None, ..options(Some(&path)) }).unwrap().close().unwrap();
    let reader = Options { fields: None, mode: Some("readonly".into()), ..options(Some(&path)) };
    let who = "by whoever writes to the collection";
    code(Collection::open(&reader).unwrap().search_text("a", &asked(1), &token), who);
    std::fs::remove_dir_all(&path).unwrap();
    let collection = Collection::open(&options(None)).unwrap();
    assert!(find(&collection, "a", 1).is_empty());
    code(collection.search_text(&"a".repeat((4 << 20) + 1), &asked(1), &token), "4194305 bytes");
    code(collection.search_text("a", &asked(0), &token), "k is 0");
    for (rrf_k, vector, text, says) in [
        (Some(-1.0), None, None, "rrfK is -1"),
        (Some(f64::NAN), None, None, "rrfK is NaN"),
        (None, Some(1e7), None, "weights.vector is 10000000"),
        (None, None, Some(f64::INFINITY), "weights.text is inf"),
        (None, Some(0.0), Some(0.0), "one of them must be greater"),
    ] {
        let fusion = FusionOptions { rrf_k, vector, text };
        code(collection.search_hybrid(&query, "a", &asked(1), &fusion, &token), says);
    }
    assert_eq!(collection.search_hybrid(&[1.0], "a", &asked(1), &fusion, &token).err().unwrap().code, Code::Dimension);
    let cancelled = Token::default();
    cancelled.cancel();
    assert_eq!(
        collection.search_hybrid(&query, "a", &asked(1), &fusion, &cancelled).err().unwrap().code,
        Code::Aborted
    );
    collection.close().unwrap();
    assert_eq!(collection.search_text("a", &asked(1), &token).err().unwrap().code, Code::Closed);
}

/// Words and columns that version 0.1 wrote. Newer tables of Unicode may cut the words anew, and find the same.
#[test]
fn what_format_1_wrote_of_words_opens_for_ever() {
    for kept in [true, false] {
        let path = folder("format-1-text");
        std::fs::create_dir_all(&path).unwrap();
        for file in std::fs::read_dir(format!("{}/tests/data/format-1-text", env!("CARGO_MANIFEST_DIR"))).unwrap() {
            let file = file.unwrap();
            if kept || !file.file_name().to_str().unwrap().starts_with("index-") {
                std::fs::copy(file.path(), path.join(file.file_name())).unwrap();
            }
        }
        let stored = Options { path: Some(path.to_str().unwrap().into()), ..Options::default() };
        let opened = Collection::open(&stored).unwrap();
        assert_eq!(opened.fields(), [("k".into(), "keyword"), ("n".into(), "number"), ("t".into(), "text")]);
        let count = |filter: &str| opened.count(filter, &Token::default()).unwrap();
        assert_eq!((opened.len(), count(r#"{"n":{"$gte":40}}"#), count(r#"{"k":"a"}"#)), (150, 110, 50));
        let found = |text: &str| find(&opened, text, 500).len();
        assert_eq!(["sea", "w3", "calm", "none"].map(found), [150, 15, 60, 0]);
        let notices = opened.stats().unwrap().notices;
        assert!(
            notices.iter().all(|notice| !kept || notice.starts_with("the text index was made again")),
            "{notices:?}"
        );
        std::fs::remove_dir_all(&path).unwrap();
    }
}

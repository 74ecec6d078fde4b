//! What a folder gives back: by its checkpoint, by the frames behind it, by all frames, and when its files are damaged.

use crate::common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use auspex_engine::{Code, Collection, Options, SearchOptions, Token, Write};
use common::{Random, commit, options, upsert};
use serde_json::{Value, json};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

const DIM: usize = 12;

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("auspex-reopen-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn at(path: &Path, metric: &str) -> Options {
    Options { path: Some(path.to_str().unwrap().into()), durability: Some("relaxed".into()), ..options(DIM, metric) }
}

/// The n-th write of a history: rows, replaced rows, rows equal to others, deletes.
fn write(collection: &Collection, n: u64) {
    let mut random = Random(n);
    let base = n as usize * 150;
    if n % 5 == 4 {
        let ids = (0..60).map(|_| random.below(base).to_string()).collect();
        commit(collection, Write::Delete(ids)).unwrap();
        return;
    }
    let ids: Vec<String> =
        (0..200).map(|i| if i < 50 { random.below(base + 1) } else { base + i - 50 }.to_string()).collect();
    let mut vectors: Vec<f32> = (0..200 * DIM).map(|_| random.unit() - 0.3).collect();
    vectors.copy_within(0..30 * DIM, 100 * DIM);
    upsert(collection, ids, &vectors).unwrap();
}

/// All that can be seen of two collections is the same, graph and answers.
fn assert_same(a: &Collection, b: &Collection) {
    assert_eq!(a.len(), b.len());
    assert_eq!(a.fingerprint().unwrap(), b.fingerprint().unwrap());
    assert!(a.problems().unwrap().is_empty() && b.problems().unwrap().is_empty());
    assert_same_rows(a, b);
    let mut random = Random(5);
    for _ in 0..40 {
        let query: Vec<f32> = (0..DIM).map(|_| random.unit() - 0.3).collect();
        let asked = SearchOptions { k: Some(10.0), ..SearchOptions::default() };
        let (a, b) = (a.search(&query, &asked, &Token::default()), b.search(&query, &asked, &Token::default()));
        let (a, b) = (a.unwrap(), b.unwrap());
        assert_eq!(a.distances, b.distances);
        assert!((0..a.len()).all(|i| a.id(i) == b.id(i)));
    }
}

/// Pages, lookups and exact searches answer the same.
fn assert_same_rows(a: &Collection, b: &Collection) {
    let (mut x, mut y) = (a.cursor(None).unwrap(), b.cursor(None).unwrap());
    loop {
        let (x, y) = (x.next(500).unwrap(), y.next(500).unwrap());
        assert_eq!(x.len(), y.len());
        assert!((0..x.len()).all(|i| x.id(i) == y.id(i) && x.vector(i) == y.vector(i)));
        if x.is_empty() {
            break;
        }
        let ids: Vec<String> = (0..x.len()).map(|i| x.id(i).to_owned()).collect();
        let found = b.get(&ids).unwrap();
        assert!((0..x.len()).all(|i| found.vector(i) == x.vector(i)));
    }
    let asked = SearchOptions { k: Some(20.0), exact: true, ..SearchOptions::default() };
    let (x, y) = (a.search(&[0.2; DIM], &asked, &Token::default()), b.search(&[0.2; DIM], &asked, &Token::default()));
    assert_eq!(x.unwrap().distances, y.unwrap().distances);
}

/// Until what opening left out is checked, which holds the folder.
fn wait(collection: &Collection) {
    while !collection.is_checked() {
        std::thread::yield_now();
    }
}

fn checkpoints(path: &Path) -> Vec<PathBuf> {
    let names = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("index-")).collect()
}

/// Collections that version 0.1 wrote, which every later one opens: with a checkpoint that is used, and without it.
#[test]
fn what_format_1_wrote_opens_for_ever() {
    for (name, live, dot) in [("format-1-few", 118, false), ("format-1-many", 1198, true)] {
        for kept in [true, false] {
            let path = folder(name);
            std::fs::create_dir_all(&path).unwrap();
            for file in std::fs::read_dir(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap() {
                let file = file.unwrap();
                if kept || !file.file_name().to_str().unwrap().starts_with("index-") {
                    std::fs::copy(file.path(), path.join(file.file_name())).unwrap();
                }
            }
            let stored = Options { path: Some(path.to_str().unwrap().into()), ..Options::default() };
            let opened = Collection::open(&stored).unwrap();
            assert_eq!((opened.len(), opened.dim()), (live, 3));
            let ids = ["r0", "r3", "r7", "r9", "r10", "r11", "late"].map(str::to_owned);
            let found = opened.get(&ids).unwrap();
            let there: Vec<Option<&str>> = (0..7).map(|i| found.is_some(i).then(|| found.metadata(i))).collect();
            let text = "{\"text\":\"ä 字 🙂\"}";
            assert_eq!(
                there,
                [Some("{}"), None, Some("{\"i\":1007}"), Some("{\"more\":true}"), Some("{\"i\":10}"), None, Some(text)]
            );
            let vector = |n: usize| (0..3).map(|i| ((n * 3 + i + 1) as f64).sin() as f32 * 8.0).collect::<Vec<f32>>();
            for (i, n) in [(0, 0), (2, 1007), (4, 10), (6, 2000)] {
                let same = found.vector(i).iter().zip(vector(n)).all(|(x, y)| (x - y).abs() < 1e-5);
                assert!(same, "{name}: {:?} of {}", found.vector(i), found.id(i));
            }
            let hits = opened.similar("r20", &SearchOptions::default(), &Token::default()).unwrap();
            assert!(hits.len() == 10 && hits.distances.is_sorted() && (dot || hits.distances[0] < 0.1));
            wait(&opened);
            let problems = opened.verify(&Token::default()).unwrap();
            assert!(problems.iter().all(|problem| !kept && problem.code == "files"), "{problems:?}");
            let notices = opened.stats().unwrap().notices;
            assert_eq!(notices.len(), usize::from(!kept), "{notices:?}");
            opened.close().unwrap();
            std::fs::remove_dir_all(&path).unwrap();
        }
    }
}

#[test]
fn a_collection_goes_on_as_if_it_had_never_been_closed() {
    for metric in ["l2", "cosine", "dot"] {
        let path = folder(metric);
        let twin = Collection::open(&options(DIM, metric)).unwrap();
        let mut collection = Collection::open(&at(&path, metric)).unwrap();
        for n in 0..45 {
            write(&collection, n);
            write(&twin, n);
            if n % 9 == 5 {
                collection.checkpoint().unwrap();
            }
            if n % 9 == 3 || n % 9 == 7 {
                // A compaction that the writes started ends in both, or it is begun at another write after the opening.
                twin.settle();
                collection.settle();
                // Closed, the checkpoint holds all; else frames follow the one before.
                if n % 9 == 3 {
                    collection.close().unwrap();
                }
                // A job that the writes asked for holds the folder.
                collection.settle();
                drop(collection);
                collection = Collection::open(&at(&path, metric)).unwrap();
                assert_same(&twin, &collection);
                wait(&collection);
            }
        }
        twin.settle();
        collection.settle();
        assert_same(&twin, &collection);
        assert_eq!(collection.stats().unwrap().notices, Vec::<String>::new());
        assert!(collection.stats().unwrap().layers.len() > 1, "no graph was tested");
        collection.close().unwrap();
        assert_eq!(checkpoints(&path).len(), 1, "one checkpoint, and none that is left over");
        std::fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn a_checkpoint_is_written_beside_writes_and_searches() {
    let path = folder("beside");
    let twin = Collection::open(&options(DIM, "l2")).unwrap();
    let collection = Collection::open(&at(&path, "l2")).unwrap();
    let mut n = 0;
    for round in 0..6 {
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Several, so that some are taken in the middle of what is written meanwhile.
                (0..3).for_each(|_| collection.checkpoint().unwrap());
                ended.store(true, Ordering::Release);
            });
            scope.spawn(|| {
                while !ended.load(Ordering::Acquire) {
                    collection.search(&[0.1; DIM], &SearchOptions::default(), &Token::default()).unwrap();
                }
            });
            let first = n;
            while !ended.load(Ordering::Acquire) || n < first + 5 {
                write(&collection, n);
                write(&twin, n);
                n += 1;
            }
        });
        if round % 2 == 1 {
            // As after a crash: the frames behind the last checkpoint are replayed. Not in the middle of a compaction,
            // which one of the two may have finished and the other not.
            twin.settle();
            collection.settle();
            let copy = folder("copy");
            std::fs::create_dir(&copy).unwrap();
            for entry in std::fs::read_dir(&path).unwrap() {
                let entry = entry.unwrap();
                std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
            }
            let opened = Collection::open(&at(&copy, "l2")).unwrap();
            assert_eq!(opened.stats().unwrap().notices, Vec::<String>::new());
            assert_same(&twin, &opened);
            std::fs::remove_dir_all(&copy).unwrap();
        }
    }
    std::fs::remove_dir_all(&path).unwrap();
}

/// A folder with a checkpoint and some frames behind it, and what it holds.
fn with_checkpoint(name: &str) -> (PathBuf, Collection) {
    let path = folder(name);
    let twin = Collection::open(&options(DIM, "cosine")).unwrap();
    let collection = Collection::open(&at(&path, "cosine")).unwrap();
    for n in 0..14 {
        write(&collection, n);
        write(&twin, n);
        if n == 11 {
            collection.checkpoint().unwrap();
        }
    }
    (path, twin)
}

#[test]
fn a_damaged_checkpoint_is_made_again() {
    let (path, twin) = with_checkpoint("damaged");
    let file = checkpoints(&path).remove(0);
    let bytes = std::fs::read(&file).unwrap();
    let mut random = Random(9);
    let mut noticed = 0;
    for round in 0..120 {
        let mut damaged = bytes.clone();
        match round % 4 {
            0 => drop(damaged.split_off(random.below(bytes.len()))),
            // The tail and the head, where every number matters.
            1 => damaged[bytes.len() - 1 - random.below(4096)] ^= 1 << random.below(8),
            _ => damaged[random.below(bytes.len())] ^= 1 << random.below(8),
        }
        if round == 3 {
            std::fs::remove_file(&file).unwrap();
        } else {
            std::fs::write(&file, &damaged).unwrap();
        }
        let opened = Collection::open(&at(&path, "cosine")).unwrap();
        assert_same_rows(&twin, &opened);
        wait(&opened);
        let notices = opened.stats().unwrap().notices;
        noticed += notices.len();
        // Replaying the log gives the same graph. An index made again from the rows gives another, as good.
        if notices.iter().any(|notice| notice.starts_with("the index")) {
            assert!(opened.problems().unwrap().is_empty() && opened.stats().unwrap().layers.len() > 1);
            assert_same_rows(&twin, &opened);
        } else {
            assert_same(&twin, &opened);
        }
        drop(opened);
        std::fs::write(&file, &bytes).unwrap();
    }
    assert!(noticed >= 90, "{noticed} of 120 were noticed; the rest may lie between the sections");
    std::fs::remove_dir_all(&path).unwrap();
}

/// Writes MANIFEST anew, with its checksum.
fn rewrite_manifest(path: &Path, change: impl FnOnce(&mut Value)) {
    let text = std::fs::read_to_string(path.join("MANIFEST")).unwrap();
    let mut body: Value = serde_json::from_str(text.split_once('\n').unwrap().1).unwrap();
    change(&mut body);
    let body = format!("{body}\n");
    std::fs::write(path.join("MANIFEST"), format!("auspex 1 {:016x}\n{body}", xxh3_64(body.as_bytes()))).unwrap();
}

/// Writes the head of the checkpoint anew, and makes every checksum right.
fn forge(path: &Path, change: impl FnOnce(&mut Value)) {
    let file = checkpoints(path).remove(0);
    let bytes = std::fs::read(&file).unwrap();
    let tail = bytes.len() - 64;
    let word = |at: usize| u64::from_le_bytes(bytes[tail + at..tail + at + 8].try_into().unwrap()) as usize;
    let (at, len) = (word(8), word(16));
    let mut head: Value = serde_json::from_slice(&bytes[at..at + len]).unwrap();
    change(&mut head);
    let head = head.to_string();
    let mut out = [&bytes[..at], head.as_bytes()].concat();
    out.resize(out.len().next_multiple_of(8), 0);
    let sums_at = out.len();
    let sums: Vec<u8> = out.chunks(64 * 1024).flat_map(|block| xxh3_64(block).to_le_bytes()).collect();
    out.extend_from_slice(&sums);
    out.resize((out.len() + 64).next_multiple_of(64), 0);
    let tail = out.len() - 64;
    out[tail..tail + 4].copy_from_slice(b"AXC1");
    for (i, word) in [at as u64, head.len() as u64, sums_at as u64, xxh3_64(&sums)].into_iter().enumerate() {
        out[tail + 8 + i * 8..tail + 16 + i * 8].copy_from_slice(&word.to_le_bytes());
    }
    rewrite_manifest(path, |body| {
        body["checkpoint"][1] = json!(out.len());
        let own = xxh3_64_with_seed(&out[tail..tail + 40], body["salt"].as_u64().unwrap());
        out[tail + 40..tail + 48].copy_from_slice(&own.to_le_bytes());
    });
    std::fs::write(file, out).unwrap();
}

#[test]
fn a_forged_checkpoint_is_made_again() {
    let path = folder("forged");
    for quantization in ["sq8", "f16", "none"] {
        type Change = fn(&mut Value);
        let changes: [(&str, Change); 9] = [
            ("nothing", |_| {}),
            ("no dead rows", |head| drop(head["sections"].as_object_mut().unwrap().remove("tombstones"))),
            ("dead rows of another size", |head| head["sections"]["tombstones"][2] = json!(8191)),
            ("replaced rows that live", |head| head["sections"]["tombstones"][1] = json!(0)),
            ("sources of any number", |head| head["sections"]["sources"] = json!([0, 1_u64 << 40, 0])),
            ("codes of any number", |head| head["sections"]["codes"] = json!([0, 1_u64 << 40, 0])),
            ("more codes than nodes", |head| head["sections"]["codes"] = json!([0, 1 << 30, 1])),
            ("no scale", |head| head["facts"]["scale"] = json!(0)),
            ("other codes", |head| {
                let other = head["facts"]["quantization"].as_u64().unwrap();
                head["facts"]["quantization"] = json!((other + 1) % 4);
            }),
        ];
        let _ = std::fs::remove_dir_all(&path);
        let made = Options { quantization: Some(quantization.into()), ..at(&path, "l2") };
        let collection = Collection::open(&made).unwrap();
        let twin = Collection::open(&Options { path: None, ..made.clone() }).unwrap();
        (0..10).for_each(|n| [&collection, &twin].into_iter().for_each(|each| write(each, n)));
        collection.close().unwrap();
        let files = std::fs::read_dir(&path).unwrap().map(|file| file.unwrap().path());
        let clean: Vec<(PathBuf, Vec<u8>)> = files.map(|file| (file.clone(), std::fs::read(file).unwrap())).collect();
        for (what, change) in changes {
            clean.iter().for_each(|(file, bytes)| std::fs::write(file, bytes).unwrap());
            forge(&path, change);
            let opened = Collection::open(&made).unwrap();
            wait(&opened);
            let notices = opened.stats().unwrap().notices;
            // What has no such section reads none.
            let unread = quantization == "sq8" && what.starts_with("sources")
                || quantization == "none" && what.starts_with("codes of any");
            let whole = what == "nothing" || unread;
            let told = |notice: &String| notice.starts_with("the checkpoint was made again from the log");
            assert_eq!(notices.iter().any(told), !whole, "{quantization}, {what}: {notices:?}");
            assert!(!whole || opened.fingerprint().unwrap() == twin.fingerprint().unwrap());
            assert_same_rows(&twin, &opened);
            assert!(opened.verify(&Token::default()).unwrap().iter().all(|problem| problem.code == "files"));
        }
    }
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_checkpoint_of_other_fields_is_made_again() {
    let path = folder("fields");
    let fields = |names: [(&str, &str); 2]| names.map(|(name, kind)| (name.to_owned(), kind.to_owned())).to_vec();
    let first = [("a", "text"), ("n", "number")];
    let collection = Collection::open(&Options { fields: Some(fields(first)), ..at(&path, "l2") }).unwrap();
    let metadata = vec![r#"{"a":"old words","b":"new ones","n":1,"o":2}"#; 300].join(",");
    let ids = (0..300).map(|id| id.to_string()).collect();
    let mut draft = collection.draft(ids, Some(&format!("[{metadata}]"))).unwrap();
    let floats = vec![1.0; 300 * DIM];
    // SAFETY: a vector of that many floats.
    unsafe { draft.fill(floats.as_ptr(), floats.len()).unwrap() };
    commit(&collection, Write::Insert(draft)).unwrap();
    collection.close().unwrap();
    for (then, words, filter) in [
        ([("b", "text"), ("n", "number")], ["new", "old"], r#"{"n":1}"#),
        ([("a", "text"), ("o", "number")], ["old", "new"], r#"{"o":2}"#),
        (first, ["words", "ones"], r#"{"n":1}"#),
    ] {
        rewrite_manifest(&path, |body| {
            body["fields"] = then.into_iter().collect();
        });
        let opened = Collection::open(&at(&path, "l2")).unwrap();
        let notices = opened.stats().unwrap().notices;
        assert_eq!(notices.len(), usize::from(then != first), "{then:?}: {notices:?}");
        let found = |word: &str| opened.search_text(word, &SearchOptions::default(), &Token::default()).unwrap().len();
        assert_eq!(words.map(found), [10, 0], "{then:?}");
        assert_eq!(opened.count(filter, &Token::default()).unwrap(), 300, "{then:?}");
    }
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn damage_of_the_log_behind_a_checkpoint_is_met_where_it_lies() {
    let (path, twin) = with_checkpoint("log");
    let log = path.join("log-1-0001");
    let clean = std::fs::read(&log).unwrap();
    let mut random = Random(3);
    let (mut met, mut same) = (0, 0);
    let all: Vec<String> = (0..2200).map(|i| i.to_string()).collect();
    for _ in 0..60 {
        let mut damaged = clean.clone();
        damaged[random.below(clean.len())] ^= 1 << random.below(8);
        std::fs::write(&log, &damaged).unwrap();
        let opened = match Collection::open(&at(&path, "cosine")) {
            Ok(opened) => opened,
            Err(error) => {
                assert_eq!(error.code, Code::Corrupt, "{error}");
                met += 1;
                continue;
            }
        };
        let mut failed = false;
        for some in all.chunks(100) {
            let truth = twin.get(some).unwrap();
            match opened.get(some) {
                Ok(found) => {
                    let equal = |i| found.id(i) == truth.id(i) && found.vector(i) == truth.vector(i);
                    assert!((0..some.len()).all(|i| found.is_some(i) == truth.is_some(i) && equal(i)));
                }
                Err(error) => {
                    assert_eq!(error.code, Code::Corrupt);
                    assert!(error.message.contains("log-1-0001"), "{error}");
                    failed = true;
                }
            }
        }
        if failed {
            met += 1;
            let asked = SearchOptions { exact: true, ..SearchOptions::default() };
            let scanned = opened.search(&[0.5; DIM], &asked, &Token::default());
            assert!(scanned.is_err() || opened.search(&[0.4; DIM], &asked, &Token::default()).is_ok());
        } else {
            same += 1;
            assert_same_rows(&twin, &opened);
        }
    }
    println!("{met} met, {same} harmless");
    assert!(met > 30);
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn opening_by_a_checkpoint_does_not_read_the_log() {
    let (path, twin) = with_checkpoint("unread");
    let collection = Collection::open(&at(&path, "cosine")).unwrap();
    collection.close().unwrap();
    // A vector in the middle of the log is damaged; opening and counting do not meet it.
    let log = path.join("log-1-0001");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[64 + 5] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    if let Ok(opened) = Collection::open(&at(&path, "cosine")) {
        assert_eq!(opened.len(), twin.len());
    }
    std::fs::remove_dir_all(&path).unwrap();
}

/// A folder whose checkpoint stands for one frame of 200 rows with ids of eight bytes, closed; then its log is damaged.
fn behind_a_checkpoint(name: &str, again: bool, damage: impl Fn(&mut [u8])) -> PathBuf {
    let path = folder(name);
    let ids = || (0..200).map(|row| format!("id-{row:05}")).collect::<Vec<_>>();
    let mut random = Random(4);
    let collection = Collection::open(&at(&path, "l2")).unwrap();
    upsert(&collection, ids(), &random.vectors(200, DIM)).unwrap();
    collection.checkpoint().unwrap();
    if again {
        upsert(&collection, ids(), &random.vectors(200, DIM)).unwrap();
    }
    drop(collection);
    let log = path.join("log-1-0001");
    let mut bytes = std::fs::read(&log).unwrap();
    damage(&mut bytes);
    std::fs::write(&log, &bytes).unwrap();
    path
}

fn in_an_id(bytes: &mut [u8]) {
    let at = bytes.windows(8).position(|some| some == b"id-00017").unwrap();
    bytes[at + 7] ^= 1;
}

#[test]
fn frames_are_not_replayed_over_ids_that_are_damaged() {
    // Else the row that had the id would be there beside the one that replaced it.
    let path = behind_a_checkpoint("replayed", true, in_an_id);
    let opened = Collection::open(&at(&path, "l2"));
    assert_eq!(opened.map(|opened| opened.len()).unwrap_err().code, Code::Corrupt);
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_row_whose_id_is_damaged_is_not_taken_for_missing() {
    let path = behind_a_checkpoint("similar", false, in_an_id);
    let opened = Collection::open(&at(&path, "l2")).unwrap();
    let similar = |id: &str| opened.similar(id, &SearchOptions::default(), &Token::default()).err().unwrap().code;
    assert_eq!((similar("id-00017"), similar("none")), (Code::Corrupt, Code::NotFound));
    drop(opened);
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_frame_header_of_any_bytes_is_damage() {
    for byte in [0_u8, 0x7F, 0xFF] {
        let path = behind_a_checkpoint("header", false, |bytes| bytes[4..64].fill(byte));
        let opened = Collection::open(&at(&path, "l2")).unwrap();
        assert_eq!(opened.get(&["id-00017".into()]).err().unwrap().code, Code::Corrupt);
        assert_eq!(opened.cursor(None).unwrap().next(10).err().unwrap().code, Code::Corrupt);
        drop(opened);
        std::fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn a_reader_does_not_follow_another_collection() {
    let path = folder("another");
    let write = |n| {
        let collection = Collection::open(&at(&path, "l2")).unwrap();
        upsert(&collection, (0..n).map(|row| row.to_string()).collect(), &Random(6).vectors(n, DIM)).unwrap();
        collection.close().unwrap();
    };
    write(3);
    let reader = Collection::open(&Options { mode: Some("readonly".into()), ..at(&path, "l2") }).unwrap();
    assert!(!reader.refresh().unwrap());
    std::fs::remove_dir_all(&path).unwrap();
    write(50);
    assert_eq!(reader.refresh().unwrap_err().code, Code::Corrupt);
    assert_eq!(reader.len(), 3);
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn files_of_the_user_are_left_alone() {
    let path = folder("user");
    drop(Collection::open(&at(&path, "l2")).unwrap());
    std::fs::write(path.join("log-book.txt"), "mine").unwrap();
    std::fs::write(path.join("log-9-0001"), "left over").unwrap();
    drop(Collection::open(&at(&path, "l2")).unwrap());
    assert!(path.join("log-book.txt").exists() && !path.join("log-9-0001").exists());
    std::fs::remove_dir_all(&path).unwrap();
}

/// Prints how long a large collection takes to open after a clean close, and its first search.
#[test]
#[ignore = "long: a million rows, 1 GB of disk"]
fn long_a_million_rows_open_at_once() {
    let (rows, dim) = (1_000_000, 128);
    let path = folder("million");
    let stored = || Options { dim: Some(dim as f64), ..at(&path, "l2") };
    let collection = Collection::open(&stored()).unwrap();
    common::fill(&collection, &Random(1).clustered(rows, dim, 2000), 500_000);
    collection.close().unwrap();
    for _ in 0..3 {
        let start = std::time::Instant::now();
        let opened = Collection::open(&stored()).unwrap();
        let open = start.elapsed();
        let query = Random(2).clustered(1, dim, 2000);
        let hits = opened.search(&query, &SearchOptions::default(), &Token::default()).unwrap();
        println!("{rows} rows open in {open:?}, first search answered after {:?}", start.elapsed());
        assert!(hits.len() == 10 && opened.len() == rows);
        wait(&opened);
        assert_eq!(opened.stats().unwrap().notices, Vec::<String>::new());
        opened.close().unwrap();
    }
    std::fs::remove_dir_all(&path).unwrap();
}

//! Readers that follow a writer, copies taken while writing, and a check that finds what is wrong.

use crate::common;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use auspex_engine::{Code, Collection, Options, SearchOptions, Token, Write};
use common::{Random, commit, options, upsert};

const DIM: usize = 10;

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("auspex-guard-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn at(path: &Path) -> Options {
    Options { path: Some(path.to_str().unwrap().into()), durability: Some("relaxed".into()), ..options(DIM, "l2") }
}

fn reader(path: &Path) -> Options {
    Options { path: Some(path.to_str().unwrap().into()), mode: Some("readonly".into()), ..Options::default() }
}

fn rows(first: usize, count: usize, seed: u64) -> (Vec<String>, Vec<f32>) {
    ((first..first + count).map(|row| row.to_string()).collect(), Random(seed).vectors(count, DIM))
}

fn contents(collection: &Collection) -> Vec<(String, Vec<f32>)> {
    let page = collection.cursor(None).unwrap().next(usize::MAX).unwrap();
    (0..page.len()).map(|i| (page.id(i).into(), page.vector(i).to_vec())).collect()
}

#[test]
fn a_reader_follows_the_writer_through_segments_checkpoints_and_generations() {
    let path = folder("follow");
    assert_eq!(Collection::open(&reader(&path)).err().unwrap().code, Code::NotFound);
    let writer = Collection::open(&at(&path)).unwrap();
    let follower = Collection::open(&reader(&path)).unwrap();
    assert!(follower.is_empty() && !follower.refresh().unwrap());
    let mut random = Random(1);
    for round in 0..40 {
        let (ids, vectors) = rows(random.below(4000), 100 + random.below(400), round);
        upsert(&writer, ids, &vectors).unwrap();
        match round % 8 {
            3 => drop(commit(&writer, Write::Delete(rows(random.below(4000), 200, 0).0)).unwrap()),
            5 => writer.checkpoint().unwrap(),
            7 => drop(writer.compact(&Token::default()).unwrap()),
            _ => {}
        }
        // A compaction that the writes made due would be something new at any moment.
        writer.settle();
        assert!(follower.refresh().unwrap());
        assert_eq!(contents(&follower), contents(&writer), "round {round}");
        assert!(!follower.refresh().unwrap());
        if round % 5 == 0 {
            let fresh = Collection::open(&reader(&path)).unwrap();
            assert_eq!(contents(&fresh), contents(&writer));
            fresh.close().unwrap();
        }
    }
    assert!(follower.problems().unwrap().is_empty() && follower.stats().unwrap().layers.len() > 1);
    writer.close().unwrap();
    // Nobody writes any more; a reader still opens, and still does not write.
    let late = Collection::open(&reader(&path)).unwrap();
    assert_eq!(contents(&late), contents(&follower));
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_reader_refuses_to_write_and_leaves_the_folder_as_it_is() {
    let path = folder("refuse");
    let writer = Collection::open(&at(&path)).unwrap();
    let (ids, vectors) = rows(0, 2000, 3);
    upsert(&writer, ids, &vectors).unwrap();
    let names = || {
        let mut names: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    let before = names();
    let follower = Collection::open(&reader(&path)).unwrap();
    let (ids, vectors) = rows(0, 1, 4);
    assert_eq!(upsert(&follower, ids, &vectors).unwrap_err().code, Code::ReadOnly);
    assert_eq!(commit(&follower, Write::Delete(vec!["none".into()])).unwrap_err().code, Code::ReadOnly);
    assert_eq!(commit(&follower, Write::Clear).unwrap_err().code, Code::ReadOnly);
    assert_eq!(follower.compact(&Token::default()).unwrap_err().code, Code::ReadOnly);
    assert!(follower.checkpoint().is_err());
    follower.flush().unwrap();
    follower.close().unwrap();
    assert_eq!(names(), before);
    let memory = Options { mode: Some("readonly".into()), ..options(DIM, "l2") };
    assert_eq!(Collection::open(&memory).err().unwrap().code, Code::Argument);
    writer.close().unwrap();
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_reader_sees_whole_writes_while_they_are_written() {
    let path = folder("beside");
    let writer = Collection::open(&at(&path)).unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..150 {
                // Every write holds 50 rows that say which one it is.
                let ids = (0..50).map(|i| i.to_string()).collect();
                upsert(&writer, ids, &vec![n as f32; 50 * DIM]).unwrap();
                if n % 60 == 59 {
                    writer.compact(&Token::default()).unwrap();
                }
            }
            ended.store(true, Ordering::Release);
        });
        let follower = Collection::open(&reader(&path)).unwrap();
        let mut last = -1.0;
        while !ended.load(Ordering::Acquire) {
            follower.refresh().unwrap();
            let there = contents(&follower);
            assert!(there.is_empty() || there.len() == 50);
            if let Some(first) = there.first() {
                assert!(there.iter().all(|row| row.1 == first.1) && first.1[0] >= last, "{} after {last}", first.1[0]);
                last = first.1[0];
            }
        }
    });
    writer.close().unwrap();
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn a_snapshot_is_a_whole_collection_of_one_moment() {
    for stored in [true, false] {
        let (path, copy) = (folder("snapshot"), folder("copy"));
        let made = if stored { at(&path) } else { options(DIM, "l2") };
        let collection = Collection::open(&made).unwrap();
        let (ids, vectors) = rows(0, 3000, 5);
        upsert(&collection, ids, &vectors).unwrap();
        commit(&collection, Write::Delete(rows(0, 300, 0).0)).unwrap();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                collection.snapshot(copy.to_str().unwrap(), &Token::default()).unwrap();
                ended.store(true, Ordering::Release);
            });
            let mut round = 0;
            while !ended.load(Ordering::Acquire) || round < 5 {
                let (ids, vectors) = rows(3000 + round * 20, 20, 9);
                upsert(&collection, ids, &vectors).unwrap();
                round += 1;
            }
        });
        let opened = Collection::open(&Options { path: Some(copy.to_str().unwrap().into()), ..Options::default() });
        let opened = opened.unwrap();
        let (there, all) = (contents(&opened), contents(&collection));
        assert!(there.len() >= 2700 && there[..] == all[..there.len()]);
        assert_eq!(opened.verify(&Token::default()).unwrap(), []);
        assert_eq!(opened.stats().unwrap().notices, Vec::<String>::new());
        let again = collection.snapshot(copy.to_str().unwrap(), &Token::default()).unwrap_err();
        assert!(matches!(again.code, Code::Argument | Code::Locked), "{again}");
        opened.close().unwrap();
        let token = Token::default();
        token.cancel();
        let ended = folder("ended");
        assert_eq!(collection.snapshot(ended.to_str().unwrap(), &token).unwrap_err().code, Code::Aborted);
        assert!(std::fs::read_dir(&ended).unwrap().all(|entry| entry.unwrap().file_name() == "LOCK"));
        collection.close().unwrap();
        for path in [path, copy, ended] {
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

#[test]
fn verify_names_what_is_wrong() {
    let path = folder("verify");
    let collection = Collection::open(&at(&path)).unwrap();
    let (ids, vectors) = rows(0, 3000, 6);
    upsert(&collection, ids, &vectors).unwrap();
    assert_eq!(collection.verify(&Token::default()).unwrap(), []);
    collection.close().unwrap();
    let damage = |name: &str, at: usize, codes: &[&str]| {
        let file = path.join(name);
        let clean = std::fs::read(&file).unwrap();
        let mut bytes = clean.clone();
        bytes[at] ^= 4;
        std::fs::write(&file, &bytes).unwrap();
        let opened = Collection::open(&reader(&path)).unwrap();
        let found: Vec<&str> = opened.verify(&Token::default()).unwrap().iter().map(|problem| problem.code).collect();
        assert!(codes.iter().all(|code| found.contains(code)), "{name} at {at}: {found:?}");
        opened.close().unwrap();
        std::fs::write(&file, &clean).unwrap();
    };
    damage("log-1-0001", 64 + 700 * DIM * 4, &["log"]);
    let index = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let index = index.into_iter().find(|name| name.starts_with("index-")).unwrap();
    damage(&index, 100, &["files"]);
    let opened = Collection::open(&reader(&path)).unwrap();
    assert_eq!(opened.verify(&Token::default()).unwrap(), []);
    let token = Token::default();
    token.cancel();
    assert_eq!(opened.verify(&token).unwrap_err().code, Code::Aborted);
    let asked = SearchOptions::default();
    assert_eq!(opened.search(&vectors[..DIM], &asked, &Token::default()).unwrap().id(0), "0");
    opened.close().unwrap();
    std::fs::remove_dir_all(&path).unwrap();
}

#[test]
fn who_closes_a_collection_that_is_being_closed_waits_as_well() {
    for round in 0..6 {
        let path = folder("twice");
        let collection = Collection::open(&at(&path)).unwrap();
        let (ids, vectors) = rows(0, 10_000, round);
        upsert(&collection, ids, &vectors).unwrap();
        let second = collection.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || collection.close().unwrap());
            while !second.is_closed() {
                std::thread::yield_now();
            }
            second.close().unwrap();
            // The last that closing does is to name the checkpoint that it took.
            let manifest = std::fs::read_to_string(path.join("MANIFEST")).unwrap();
            assert!(manifest.contains("\"checkpoint\":["), "round {round}: {manifest}");
        });
        std::fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn close_ends_what_was_called_for_and_waits_for_it() {
    let (path, copy) = (folder("ended"), folder("ended-copy"));
    let made = Collection::open(&at(&path)).unwrap();
    let (ids, vectors) = rows(0, 20_000, 1);
    upsert(&made, ids, &vectors).unwrap();
    commit(&made, Write::Delete((0..100).map(|id| id.to_string()).collect())).unwrap();
    made.close().unwrap();
    drop(made);
    for job in 0..3 {
        let collection = Collection::open(&at(&path)).unwrap();
        let (running, token, ended) = (collection.clone(), Token::default(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let result = match job {
                    0 => running.verify(&token).map(drop),
                    1 => running.compact(&token).map(drop),
                    _ => running.snapshot(copy.to_str().unwrap(), &token),
                };
                ended.store(true, Ordering::Release);
                assert!(result.is_ok() || result.unwrap_err().code == Code::Closed);
            });
            while token.total() == 0 {
                std::thread::yield_now();
            }
            collection.close().unwrap();
            // It has let go of the folder, but for what the thread has still to do.
            while !ended.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
        });
        drop((collection, running));
        Collection::open(&at(&path)).unwrap().close().unwrap();
    }
    std::fs::remove_dir_all(&path).unwrap();
}

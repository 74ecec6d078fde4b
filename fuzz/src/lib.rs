//! What the fuzzers run, as ordinary functions, so that a kept corpus replays without them (`tests/corpus.rs`).
//!
//! ```text
//! open        a folder of this format, damaged by edits; some with every checksum made right again
//! operations  writes, reads, checkpoints, compactions and reopenings, held against a map
//! ```
//! A panic anywhere is a finding, as is an answer that differs or an error of a kind that must not be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use auspex_engine::{Code, Collection, Filter, Options, Result, SearchOptions, Token, Update, Write};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

type Files = [(&'static str, &'static [u8]); 3];

macro_rules! folder {
    ($name:literal) => {
        [
            ("MANIFEST", include_bytes!(concat!("../../crates/engine/tests/data/", $name, "/MANIFEST")).as_slice()),
            ("log-1-0001", include_bytes!(concat!("../../crates/engine/tests/data/", $name, "/log-1-0001")).as_slice()),
            ("index-1-2", include_bytes!(concat!("../../crates/engine/tests/data/", $name, "/index-1-2")).as_slice()),
        ]
    };
}

/// A collection too small for a graph, one with a graph, and one with columns and words.
const FOLDERS: [Files; 3] = [folder!("format-1-few"), folder!("format-1-many"), folder!("format-1-text")];

const BLOCK: usize = 64 * 1024;

/// A folder that is gone when this is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Scratch {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.into() } else { std::env::temp_dir() };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Scratch(parent.join(format!("auspex-fuzz-{}-{number}", std::process::id())))
    }

    fn options(&self) -> Options {
        let path = self.0.to_str().map(str::to_owned);
        Options { path, durability: Some("relaxed".into()), threads: Some(1.0), ..Options::default() }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The input, a number at a time; zeros when it has ended.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn below(&mut self, n: usize) -> usize {
        if n <= 256 { usize::from(self.byte()) % n.max(1) } else { self.word() as usize % n }
    }
}

fn word64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

fn put64(bytes: &mut [u8], at: usize, word: u64) -> Option<()> {
    bytes.get_mut(at..at.checked_add(8)?)?.copy_from_slice(&word.to_le_bytes());
    Some(())
}

/// One edit of a file: bytes changed, or its end cut off or filled up.
fn edit(input: &mut Input, bytes: &mut Vec<u8>) {
    let how = input.byte();
    let at = match how & 1 {
        0 => input.below(bytes.len().max(1)),
        // Arrays begin on pages.
        _ => input.below(bytes.len() / 4096 + 1) * 4096 + input.below(128),
    };
    let value = match how / 2 % 6 {
        0 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (input.byte() % 8);
            }
            return;
        }
        1 => {
            bytes.truncate(at);
            return;
        }
        2 => {
            bytes.resize(bytes.len() + 1 + input.below(4096), input.byte());
            return;
        }
        3 => u64::from(input.byte()),
        4 => u64::from(input.word()),
        _ => [0, u64::MAX, 1 << 31, 1 << 63, 0x7fff_ffff, 1 << 32][input.below(6)],
    };
    // Numbers lie on multiples of four.
    let (at, len) = (at / 4 * 4, [4, 4, 8, 8][input.below(4)]);
    for (byte, new) in bytes.iter_mut().skip(at).take(len).zip(value.to_le_bytes()) {
        *byte = new;
    }
}

/// An edit of a number in a text.
fn edit_text(input: &mut Input, bytes: &mut Vec<u8>) {
    let (nth, how) = (input.below(32), input.byte());
    let digits: Vec<usize> = (20..bytes.len())
        .filter(|&i| bytes[i].is_ascii_digit() && !bytes[i - 1].is_ascii_digit() && bytes[i - 1] != b'.')
        .collect();
    let Some(&from) = digits.get(nth % digits.len().max(1)) else { return };
    let to = (from..bytes.len()).find(|&i| !bytes[i].is_ascii_digit()).unwrap_or(bytes.len());
    let value = match how % 4 {
        0 => u64::from(input.byte()),
        1 => u64::from(input.word()),
        2 => [0, u64::MAX, 1 << 31, 1 << 32, 1 << 53, 65_536][input.below(6)],
        _ => {
            let old: u64 = String::from_utf8_lossy(&bytes[from..to]).parse().unwrap_or(0);
            old.wrapping_add(u64::from(input.byte())).wrapping_sub(128)
        }
    };
    bytes.splice(from..to, value.to_string().into_bytes());
}

/// Makes the checksum of MANIFEST right.
fn repair_manifest(bytes: &mut Vec<u8>) -> Option<()> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    let sum = format!("auspex 1 {:016x}", xxh3_64(&bytes[end + 1..]));
    bytes.splice(..end, sum.into_bytes());
    Some(())
}

/// Makes the checksums of frames and their chain right. `original` says where frames are.
fn repair_log(bytes: &mut [u8], original: &[u8], salt: u64) {
    let mut link = 0_u32;
    for at in (0..original.len()).step_by(64).filter(|&at| original[at..].starts_with(b"AXF1")) {
        if repair_frame(bytes.get_mut(at..).unwrap_or_default(), salt, &mut link).is_none() {
            return;
        }
    }
}

fn repair_frame(frame: &mut [u8], salt: u64, link: &mut u32) -> Option<()> {
    let payload = usize::try_from(word64(frame, 32)?).ok().filter(|&payload| payload <= frame.len())?;
    let table = (64 + payload).next_multiple_of(8);
    let len = (table + payload.div_ceil(BLOCK) * 8).next_multiple_of(64);
    let sums: Vec<u64> = frame.get(64..64 + payload)?.chunks(BLOCK).map(xxh3_64).collect();
    for (i, &sum) in sums.iter().enumerate() {
        put64(frame, table + i * 8, sum)?;
    }
    frame.get_mut(28..32)?.copy_from_slice(&link.to_le_bytes());
    let sum = xxh3_64(frame.get(table..len)?);
    put64(frame, 48, sum)?;
    let own = xxh3_64_with_seed(frame.get(..56)?, salt);
    *link = own as u32;
    put64(frame, 56, own)
}

/// Makes the checksums of a checkpoint right.
fn repair_checkpoint(bytes: &mut [u8], salt: u64) -> Option<()> {
    let tail = bytes.len().checked_sub(64)?;
    let sums_at = usize::try_from(word64(bytes, tail + 24)?).ok().filter(|&at| at <= tail)?;
    let sums: Vec<u64> = bytes[..sums_at].chunks(BLOCK).map(xxh3_64).collect();
    for (i, &sum) in sums.iter().enumerate() {
        put64(bytes, sums_at + i * 8, sum)?;
    }
    let all = xxh3_64(bytes.get(sums_at..sums_at + sums.len() * 8)?);
    put64(bytes, tail + 32, all)?;
    let own = xxh3_64_with_seed(&bytes[tail..tail + 40], salt);
    put64(bytes, tail + 40, own)
}

fn salt(manifest: &[u8]) -> u64 {
    let text = String::from_utf8_lossy(manifest);
    let number = text.split("\"salt\":").nth(1).unwrap_or_default();
    number.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default().parse().unwrap_or_default()
}

/// Every row with its vector and metadata.
type Rows = BTreeMap<String, (Vec<u32>, String)>;

fn contents(collection: &Collection) -> Result<Rows> {
    let mut rows = Rows::new();
    let mut cursor = collection.cursor(None)?;
    loop {
        let page = cursor.next(500)?;
        if page.is_empty() {
            return Ok(rows);
        }
        for i in 0..page.len() {
            let vector = page.vector(i).iter().map(|x| x.to_bits()).collect();
            rows.insert(page.id(i).into(), (vector, page.metadata(i).into()));
        }
    }
}

fn upsert(collection: &Collection, ids: Vec<String>, floats: &[f32], metadata: Option<&str>) -> Result<Write> {
    let mut draft = collection.draft(ids, metadata)?;
    // SAFETY: a slice of that many floats.
    unsafe { draft.fill(floats.as_ptr(), floats.len())? };
    Ok(Write::Upsert(draft))
}

fn commit(collection: &Collection, write: Write) -> Result<auspex_engine::Written> {
    collection.commit(vec![(write, Arc::default())]).remove(0)
}

/// Errors that damage may be answered with.
fn is_told(code: Code) -> bool {
    matches!(code, Code::Corrupt | Code::Version | Code::NotFound | Code::Io | Code::Memory | Code::NoSpace)
}

/// The rows of a folder that nobody damaged.
fn undamaged(which: usize) -> &'static Rows {
    static ROWS: [OnceLock<Rows>; 3] = [const { OnceLock::new() }; 3];
    ROWS[which].get_or_init(|| {
        let plain = Scratch::new();
        std::fs::create_dir_all(&plain.0).expect("a folder");
        FOLDERS[which].iter().for_each(|file| std::fs::write(plain.0.join(file.0), file.1).expect("room for a file"));
        let opened = Collection::open(&plain.options()).expect("a folder that nobody damaged");
        let rows = contents(&opened).expect("rows");
        opened.close().expect("a close");
        rows
    })
}

/// Opens a folder whose files were edited, reads everything, writes, and opens it again.
pub fn open(data: &[u8]) {
    let mut input = Input(data);
    let how = input.byte();
    let which = if how & 0x70 == 0x50 { 2 } else { usize::from(how & 1) };
    let original = &FOLDERS[which];
    let (repaired, readonly) = (how & 2 != 0, how & 4 != 0);
    let mut files: Vec<Vec<u8>> = original.iter().map(|file| file.1.to_vec()).collect();
    for _ in 0..1 + input.below(4) {
        match (input.byte() % 8, repaired) {
            (0 | 1, false) => edit(&mut input, &mut files[0]),
            (0 | 1, true) => edit_text(&mut input, &mut files[0]),
            (2..=4, _) => {
                // Where there are frames.
                let end = original[1].1.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
                let end = end.min(files[1].len());
                let rest = files[1].split_off(end);
                edit(&mut input, &mut files[1]);
                files[1].extend(rest);
            }
            _ => edit(&mut input, &mut files[2]),
        }
    }
    let salt_now = salt(&files[0]);
    if repaired {
        let _ = repair_manifest(&mut files[0]);
        repair_log(&mut files[1], original[1].1, salt_now);
        let _ = repair_checkpoint(&mut files[2], salt_now);
    }
    let scratch = Scratch::new();
    std::fs::create_dir_all(&scratch.0).expect("a folder");
    for (file, bytes) in original.iter().zip(&files) {
        std::fs::write(scratch.0.join(file.0), bytes).expect("room for a file");
    }
    let mut options = scratch.options();
    options.if_missing = Some("error".into());
    options.mode = readonly.then(|| "readonly".into());
    let whole = (!repaired).then(|| undamaged(which));
    match Collection::open(&options) {
        Err(error) => told::<()>("opening", Err(error)),
        Ok(opened) => {
            used(&opened, whole);
            if how & 8 != 0 {
                told("compacting", opened.compact(&Token::default()));
            }
            told("closing", opened.close());
            drop(opened);
            told("opening again", Collection::open(&options).and_then(|again| again.close()));
        }
    }
}

/// An error of a call must be one that damage may be answered with.
fn told<T>(what: &str, done: Result<T>) {
    if let Err(error) = done {
        assert!(error.code == Code::ReadOnly || is_told(error.code), "{what}: {error:?}");
    }
}

/// Filters and words find the rows that have what is asked for, or say what is damaged.
fn asked(collection: &Collection, whole: Option<&Rows>) {
    for text in [r#"{"n":{"$gte":40}}"#, r#"{"$not":{"k":"a"}}"#, r#"{"t":{"$contains":"sea"},"n":{"$ne":7}}"#] {
        let filter = Filter::parse(text).expect("a filter");
        match collection.count(text, &Token::default()) {
            Ok(count) => assert!(whole.is_none_or(|whole| {
                whole.values().filter(|row| filter.matches(&row.1)).count() as u64 == count
            })),
            failed => told("counting", failed),
        }
    }
    if collection.fields().iter().any(|(_, kind)| *kind == "text") {
        for word in ["sea", "w3", "none"] {
            let asked = SearchOptions { k: Some(500.0), ..SearchOptions::default() };
            match collection.search_text(word, &asked, &Token::default()) {
                Ok(hits) => {
                    let has = |row: &(Vec<u32>, String)| row.1.split(['"', ' ']).any(|other| other == word);
                    let expected = |whole: &Rows| whole.values().filter(|row| has(row)).count() == hits.len();
                    assert!(whole.is_none_or(expected), "{word}");
                }
                failed => told("searching for words", failed),
            }
        }
    }
}

/// Whatever is asked, the answer is right, or says what is damaged. `whole`: what an answer must be.
fn used(collection: &Collection, whole: Option<&Rows>) {
    asked(collection, whole);
    match contents(collection) {
        Ok(rows) => assert!(whole.is_none_or(|whole| rows == *whole), "other rows came back"),
        failed => told("reading", failed),
    }
    let dim = collection.dim();
    let query = vec![1.5; dim];
    for exact in [true, false] {
        let asked = SearchOptions { k: Some(20.0), exact, ..SearchOptions::default() };
        match collection.search(&query, &asked, &Token::default()) {
            Ok(hits) => (0..hits.len()).for_each(|i| {
                // Whose checksums are right may hold any text.
                let known =
                    whole.is_none_or(|whole| whole.contains_key(hits.id(i)) && hits.metadata(i).starts_with('{'));
                assert!(known && hits.vector(i).len() == dim);
            }),
            failed => told("searching", failed),
        }
    }
    for id in ["r0", "r7", "r110", "late", "none"] {
        match collection.get(&[id.to_owned()]) {
            Ok(found) => assert!(whole.is_none_or(|whole| found.is_some(0) == whole.contains_key(id)), "{id}"),
            failed => told("getting", failed),
        }
        match collection.similar(id, &SearchOptions::default(), &Token::default()) {
            // A row whose checksums are right may hold any floats.
            Err(error) if whole.is_none() && matches!(error.code, Code::NotFinite | Code::ZeroVector) => {}
            done => told("similar", done),
        }
    }
    for done in [
        collection.stats().map(drop),
        collection.verify(&Token::default()).map(drop),
        collection.refresh().map(drop),
        commit(collection, Write::Delete(vec!["r1".into(), "late".into()])).map(drop),
        upsert(collection, vec!["r2".into(), "new".into()], &vec![0.5; 2 * dim], None)
            .and_then(|write| commit(collection, write))
            .map(drop),
        collection.flush(),
    ] {
        told("using", done);
    }
}

const DIM: usize = 3;

/// Writes, reads and housekeeping in the order that the input says, against a map.
pub fn operations(data: &[u8]) {
    let mut input = Input(data);
    let scratch = Scratch::new();
    let metric = ["cosine", "l2", "dot"][input.below(3)];
    let stored = input.byte() & 3 != 0;
    let options = |create: bool| {
        let made = Options { dim: Some(DIM as f64), metric: Some(metric.into()), ..scratch.options() };
        Options { path: made.path.clone().filter(|_| stored), if_missing: (!create).then(|| "error".into()), ..made }
    };
    let mut collection = Collection::open(&options(true)).expect("a new collection");
    let mut model = Rows::new();
    while !input.0.is_empty() {
        step(&collection, &mut input, &mut model);
        if stored && input.byte().is_multiple_of(16) {
            collection.close().expect("a close");
            drop(collection);
            collection = Collection::open(&options(false)).expect("what was closed opens");
            assert!(contents(&collection).expect("rows") == model, "other rows after opening again");
            assert_eq!(collection.stats().expect("figures").notices, Vec::<String>::new());
        }
    }
    collection.settle();
    assert!(contents(&collection).expect("rows") == model, "other rows at the end");
    assert_eq!(collection.verify(&Token::default()).expect("a report"), Vec::new());
    collection.close().expect("a close");
}

/// One operation.
fn step(collection: &Collection, input: &mut Input, model: &mut Rows) {
    let count = match input.byte() {
        0..=3 => 1100,
        n => 1 + usize::from(n) % 12,
    };
    let first = input.below(1500);
    let ids = || (first..first + count).map(|id| (id % 1500).to_string()).collect::<Vec<_>>();
    match input.byte() % 16 {
        0..=5 => {
            let seed = u64::from(input.byte());
            let floats: Vec<f32> = (0..count * DIM)
                .map(|i| {
                    ((i as u64 + 1).wrapping_mul(seed.wrapping_mul(2).wrapping_add(0x9e37_79b9)) >> 7 & 63) as f32 + 1.0
                })
                .collect();
            let text = seed.is_multiple_of(3).then(|| format!("{{\"n\":{seed}}}"));
            let metadata = text.as_ref().map(|text| format!("[{}]", vec![text.as_str(); count].join(",")));
            let write = upsert(collection, ids(), &floats, metadata.as_deref()).expect("a draft");
            let written = commit(collection, write).expect("an upsert");
            let known = ids().iter().filter(|id| model.contains_key(*id)).count();
            assert_eq!((written.updated as usize, written.inserted as usize), (known, count - known));
            for (id, vector) in ids().into_iter().zip(floats.chunks(DIM)) {
                let vector = vector.iter().map(|x| x.to_bits()).collect();
                model.insert(id, (vector, text.clone().unwrap_or("{}".into())));
            }
        }
        6..=8 => {
            let written = commit(collection, Write::Delete(ids())).expect("a delete");
            let gone = ids().iter().filter(|id| model.remove(*id).is_some()).count();
            assert_eq!(written.deleted as usize, gone);
        }
        9 | 10 => {
            let id = first.to_string();
            let vector = input.byte().is_multiple_of(2).then(|| vec![2.5, 1.0, f32::from(input.byte())]);
            let n = input.byte();
            let update = Update {
                id: id.clone(),
                vector: vector.clone(),
                set: format!("{{\"n\":{n}}}"),
                remove: if n.is_multiple_of(2) { r#"["m"]"#.into() } else { "[]".into() },
            };
            let written = commit(collection, Write::Update(update)).expect("an update");
            assert_eq!(written.updated == 1, model.contains_key(&id));
            if let Some(row) = model.get_mut(&id) {
                row.1 = format!("{{\"n\":{n}}}");
                if let Some(vector) = vector {
                    row.0 = vector.iter().map(|x| x.to_bits()).collect();
                }
            }
        }
        11 if count > 1000 || input.byte().is_multiple_of(4) => {
            let written = commit(collection, Write::Clear).expect("a clear");
            assert_eq!(written.deleted as usize, model.len());
            model.clear();
        }
        12 => drop(collection.compact(&Token::default()).expect("a compaction")),
        13 => match collection.checkpoint() {
            Err(error) if error.code != Code::Argument => panic!("{error}"),
            // In memory there is none, nor while the one before is checked.
            _ => {}
        },
        14 => {
            let found = collection.get(&ids()).expect("rows");
            for (i, id) in ids().iter().enumerate() {
                let there = found.is_some(i).then(|| {
                    (found.vector(i).iter().map(|x| x.to_bits()).collect::<Vec<_>>(), found.metadata(i).to_owned())
                });
                assert_eq!(there.as_ref(), model.get(id), "{id}");
            }
        }
        _ => {
            let query = [f32::from(input.byte()) + 1.0, 2.0, 3.0];
            for exact in [true, false] {
                let asked = SearchOptions { k: Some(7.0), exact, ..SearchOptions::default() };
                let hits = collection.search(&query, &asked, &Token::default()).expect("hits");
                assert!((0..hits.len()).all(|i| model.contains_key(hits.id(i))), "a row that is not there was found");
                assert!(!exact || hits.len() == model.len().min(7));
                assert!(hits.distances.is_sorted());
            }
        }
    }
}

//! A disk that fails, loses power and keeps what a real one might have kept. Every promise about writes is held
//! against a map of what was acknowledged.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::codes::mix;
use crate::error::{Code, Error, Result};
use crate::memory::{Block, shortage};
use crate::storage::disk::{Disk, Heap};
use crate::storage::frame::Draft;
use crate::storage::log::Log;
use crate::storage::manifest::MANIFEST;
use crate::storage::segment::Segment;
use crate::text::tests::truth;
use crate::{Collection, Filter, Options, Rebuild, SearchOptions, Token, Update, Write};

/// A file: what the running process sees, and what is sure to survive.
#[derive(Clone, Default)]
struct Inode {
    len: usize,
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last sync, in order: offset and bytes.
    pending: Vec<(usize, Vec<u8>)>,
    segment: Option<Arc<Segment>>,
}

#[derive(Clone)]
enum Naming {
    Link(String, usize),
    Rename(String, String),
    Unlink(String),
}

type Happening = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<Naming>,
    operations: usize,
    /// From this operation on, once or for good.
    fail: Option<(usize, Code, bool)>,
    /// Nothing happens any more, and every call fails.
    frozen: bool,
    /// What happens before the next file is opened whose name begins so.
    before_open: Option<(&'static str, Happening)>,
}

impl State {
    fn apply(names: &mut BTreeMap<String, usize>, naming: &Naming) {
        match naming {
            Naming::Link(name, inode) => drop(names.insert(name.clone(), *inode)),
            Naming::Rename(from, to) => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
            Naming::Unlink(name) => drop(names.remove(name)),
        }
    }

    fn name(&mut self, naming: Naming) {
        State::apply(&mut self.names, &naming);
        self.pending_names.push(naming);
    }

    fn create(&mut self, name: &str, inode: Inode) {
        self.inodes.push(inode);
        self.name(Naming::Link(name.into(), self.inodes.len() - 1));
    }
}

/// The disk.
#[derive(Default)]
struct Faulty(Mutex<State>);

impl Faulty {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Counts an operation, and lets it fail where the test wants it to.
    fn step(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let n = state.operations;
        state.operations += 1;
        if let Some((at, code, for_good)) = state.fail
            && (n == at || for_good && n > at)
        {
            return Err(Error::new(code, format!("operation {n} failed")));
        }
        if state.frozen { Err(Error::new(Code::Io, "frozen")) } else { Ok(state) }
    }

    /// What a power loss leaves: of unsynced names a prefix of what was done, of unsynced bytes any part, torn at 512.
    fn crash(&self, seed: u64) -> Faulty {
        let state = self.state();
        let mut x = seed;
        let mut random = move |n: usize| {
            x = mix(x);
            (x % n.max(1) as u64) as usize
        };
        let mut names = state.durable_names.clone();
        let kept = random(state.pending_names.len() + 1);
        state.pending_names[..kept].iter().for_each(|naming| State::apply(&mut names, naming));
        let mut inodes = Vec::new();
        for (number, inode) in state.inodes.iter().enumerate() {
            if !names.values().any(|&named| named == number) {
                inodes.push(Inode::default());
                continue;
            }
            let mut bytes = inode.durable.clone();
            bytes.resize(inode.len, 0);
            for (offset, write) in &inode.pending {
                let (how, cut) = (random(4), random(write.len() / 512 + 1) * 512);
                for (i, sector) in write.chunks(512).enumerate() {
                    let there = match how {
                        0 => false,
                        1 => true,
                        2 => i * 512 < cut,
                        _ => random(2) == 0,
                    };
                    if there {
                        bytes[offset + i * 512..][..sector.len()].copy_from_slice(sector);
                    }
                }
            }
            inodes.push(Inode { len: bytes.len(), seen: bytes.clone(), durable: bytes, ..Inode::default() });
        }
        let durable_names = names.clone();
        Faulty(Mutex::new(State { inodes, names, durable_names, ..State::default() }))
    }

    /// What the end of the process leaves: everything that was written.
    fn killed(&self) -> Faulty {
        let state = self.state();
        let names = state.names.clone();
        let inodes = state.inodes.iter().enumerate().map(|(number, inode)| {
            if !names.values().any(|&named| named == number) {
                return Inode::default();
            }
            Inode { len: inode.len, seen: inode.seen.clone(), durable: inode.seen.clone(), ..Inode::default() }
        });
        let inodes = inodes.collect();
        Faulty(Mutex::new(State { inodes, durable_names: names.clone(), names, ..State::default() }))
    }
}

impl Disk for Faulty {
    fn list(&self) -> Result<Vec<String>> {
        Ok(self.step()?.names.keys().cloned().collect())
    }

    fn get(&self, name: &str, _: usize) -> Result<Option<Vec<u8>>> {
        let state = self.step()?;
        Ok(state.names.get(name).map(|&inode| state.inodes[inode].seen.clone()))
    }

    fn put(&self, name: &str, bytes: &[u8]) -> Result<()> {
        // Three operations: create, write, sync.
        let mut state = self.step()?;
        let len = bytes.len();
        state.create(name, Inode { len, seen: bytes.to_vec(), pending: vec![(0, bytes.to_vec())], ..Inode::default() });
        let inode = state.inodes.len() - 1;
        drop(state);
        drop(self.step()?);
        let mut state = self.step()?;
        state.inodes[inode].durable = bytes.to_vec();
        state.inodes[inode].pending.clear();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.step()?.name(Naming::Rename(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, name: &str) -> Result<()> {
        self.step()?.name(Naming::Unlink(name.into()));
        Ok(())
    }

    fn sync_names(&self) -> Result<()> {
        let mut state = self.step()?;
        state.durable_names = state.names.clone();
        state.pending_names.clear();
        Ok(())
    }

    fn create(&self, name: &str, len: usize) -> Result<Arc<Segment>> {
        let segment = Arc::new(Segment::heap(name, len)?);
        let mut state = self.step()?;
        let zeros = vec![0; len];
        let inode =
            Inode { len, seen: zeros.clone(), durable: zeros, segment: Some(Arc::clone(&segment)), ..Inode::default() };
        state.create(name, inode);
        drop(state);
        drop(self.step()?);
        Ok(segment)
    }

    fn open(&self, name: &str, len: usize) -> Result<Arc<Segment>> {
        let happens = self.state().before_open.take_if(|(begin, _)| name.starts_with(*begin));
        if let Some((_, happens)) = happens {
            happens();
        }
        let mut state = self.step()?;
        let missing = || Error::new(Code::Corrupt, format!("{name} is missing"));
        let inode = *state.names.get(name).ok_or_else(missing)?;
        let inode = &mut state.inodes[inode];
        if inode.len != len {
            return Err(Error::corrupt(name, inode.len, "it has another length"));
        }
        let segment = Arc::new(Segment::heap(name, len)?);
        segment.store(&inode.seen)?;
        segment.publish();
        inode.segment = Some(Arc::clone(&segment));
        Ok(segment)
    }

    fn map(&self, name: &str, len: usize) -> Result<Arc<Block>> {
        let segment = self.open(name, len)?;
        let block = Block::zeroed(len, "a copy")?;
        // SAFETY: a block of `len` bytes that nobody else has, and a segment that has as many.
        unsafe { std::ptr::copy_nonoverlapping(segment.bytes(0, len).as_ptr(), block.base(), len) };
        Ok(Arc::new(block))
    }

    fn lasts(&self) -> bool {
        true
    }

    fn append(&self, segment: &Segment, bytes: &[u8]) -> Result<()> {
        let at = segment.end();
        let mut state = self.step()?;
        let of = |inode: &&mut Inode| inode.segment.as_ref().is_some_and(|own| std::ptr::eq(&**own, segment));
        let inode = state.inodes.iter_mut().find(of).ok_or_else(|| Error::new(Code::Io, "no such segment"))?;
        inode.seen[at..at + bytes.len()].copy_from_slice(bytes);
        inode.pending.push((at, bytes.to_vec()));
        drop(state);
        // A second step: the write may fail after its bytes are there.
        drop(self.step()?);
        segment.store(bytes)
    }

    fn sync(&self, segment: &Segment) -> Result<()> {
        let mut state = self.step()?;
        let of = |inode: &&mut Inode| inode.segment.as_ref().is_some_and(|own| std::ptr::eq(&**own, segment));
        if let Some(inode) = state.inodes.iter_mut().find(of) {
            for (at, bytes) in inode.pending.drain(..) {
                inode.durable[at..][..bytes.len()].copy_from_slice(&bytes);
            }
        }
        Ok(())
    }
}

const DIM: usize = 3;

fn options(durability: &str) -> Options {
    Options {
        dim: Some(DIM as f64),
        metric: Some("l2".into()),
        durability: Some(durability.into()),
        // Text that is too long for a column is among it, and what is no keyword; and words.
        fields: Some(
            [("t", "keyword"), ("u", "keyword"), ("w", "text")].map(|(name, kind)| (name.into(), kind.into())).to_vec(),
        ),
        ..Options::default()
    }
}

/// Of each id its vector and its metadata.
type Rows = BTreeMap<String, (Vec<f32>, Arc<str>)>;

/// Writes of a script, and what is there after each.
struct Script {
    collection: Collection,
    random: u64,
    now: Rows,
    /// States after each acknowledged write, oldest first; the write under way comes last.
    acknowledged: Rows,
    attempted: Option<Rows>,
    /// What `efSearch` may be kept: the one acknowledged last, and those that were tried since.
    tuned: Vec<usize>,
}

impl Script {
    fn below(&mut self, n: usize) -> usize {
        self.random = mix(self.random);
        (self.random % n as u64) as usize
    }

    /// A checkpoint, a compaction or a rebuild now and then; what fails in it changes nothing that can be seen.
    fn keep_house(&mut self) -> Result<()> {
        match self.below(24) {
            0..3 => self.collection.checkpoint(),
            3..6 => self.collection.compact(&Token::default()).map(drop),
            6..9 => {
                let ef = 1 + self.below(100);
                self.tuned.push(ef);
                self.collection.keep_ef_search(ef)?;
                self.tuned = vec![ef];
                Ok(())
            }
            9 => {
                let m = Some(4.0 + self.below(3) as f64);
                self.collection.rebuild(&Rebuild { m, ..Rebuild::default() }, &Token::default())
            }
            _ => Ok(()),
        }
    }

    /// One write; remembers what it would make of the rows. Metadata makes frames of several blocks now and then.
    fn write(&mut self) -> Result<()> {
        let count = 1 + self.below(12);
        let ids: Vec<String> = (0..count).map(|_| self.below(60).to_string()).collect();
        let mut next = self.now.clone();
        let kind = self.below(40);
        let write = if kind == 0 {
            next.clear();
            Write::Clear
        } else if kind < 5 {
            let id = ids[0].clone();
            let vector = vec![self.below(1000) as f32; DIM];
            if let Some(row) = next.get_mut(&id) {
                row.0.clone_from(&vector);
                if !row.1.contains("\"u\"") {
                    row.1 = row.1.replace('}', ",\"u\":1}").into();
                }
            }
            Write::Update(Update { id, vector: Some(vector), set: r#"{"u":1}"#.into(), remove: "[]".into() })
        } else if kind < 14 {
            ids.iter().for_each(|id| drop(next.remove(id)));
            Write::Delete(ids)
        } else {
            let vectors: Vec<f32> = (0..count * DIM).map(|_| self.below(1000) as f32).collect();
            let filler = "x".repeat(if self.below(8) == 0 { 40_000 } else { 20 });
            let text = |i: usize| format!("{{\"t\":\"{filler}{i}\",\"w\":\"w{i} x w{}\"}}", i / 3);
            let metadata: Vec<String> = (0..count).map(text).collect();
            let mut draft = self.collection.draft(ids.clone(), Some(&format!("[{}]", metadata.join(","))))?;
            // SAFETY: a vector of that many floats.
            unsafe { draft.fill(vectors.as_ptr(), vectors.len())? };
            next.extend(
                ids.into_iter().zip(vectors.chunks(DIM).map(<[f32]>::to_vec).zip(metadata.into_iter().map(Arc::from))),
            );
            Write::Upsert(draft)
        };
        self.attempted = Some(next.clone());
        let result = self.collection.commit(vec![(write, Arc::default())]).remove(0);
        if result.is_ok() {
            self.now = next;
            self.acknowledged = self.now.clone();
            self.attempted = None;
        }
        result.map(drop)
    }
}

/// What is there; and what its columns say of it must be what its metadata do.
fn contents(collection: &Collection) -> Rows {
    let read = |filter: Option<&str>| -> Rows {
        let page = collection.cursor(filter).unwrap().next(usize::MAX).unwrap();
        let row = |i| (page.id(i).to_owned(), (page.vector(i).to_vec(), page.metadata(i).into()));
        (0..page.len()).map(row).collect()
    };
    let rows = read(None);
    for text in [r#"{"u":1}"#, r#"{"t":{"$startsWith":"x","$contains":"x3"}}"#] {
        let filter = Filter::parse(text).unwrap();
        let matching = rows.iter().filter(|(_, (_, metadata))| filter.matches(metadata));
        assert_eq!(read(Some(text)), matching.map(|(id, row)| (id.clone(), row.clone())).collect(), "{text}");
    }
    rows
}

/// The words of the rows that are there are found, in these rows and no others, with the scores that BM25 gives.
fn words_agree(collection: &Collection, there: &Rows, what: &str) {
    let words = |metadata: &str| -> Vec<String> {
        let value: serde_json::Value = serde_json::from_str(metadata).unwrap();
        value["w"].as_str().unwrap_or("").split_whitespace().map(str::to_owned).collect()
    };
    let ids: Vec<&String> = there.keys().collect();
    let rows: BTreeMap<u32, Vec<String>> = (0..).zip(there.values().map(|row| words(&row.1))).collect();
    for query in ["w0", "w3 x w11", "none"] {
        let asked = SearchOptions { k: Some(100.0), ..SearchOptions::default() };
        let hits = collection.search_text(query, &asked, &Token::default()).unwrap();
        let query: Vec<String> = query.split(' ').map(str::to_owned).collect();
        let expected: BTreeMap<&String, f64> =
            truth(&rows, &query).into_iter().map(|hit| (ids[hit.row as usize], hit.score)).collect();
        assert_eq!(hits.len(), expected.len(), "{what}: {query:?}");
        for i in 0..hits.len() {
            let score = expected.get(&hits.id(i).to_owned()).copied().unwrap_or(f64::NAN);
            assert!((hits.scores[i] - score).abs() <= 1e-9 * score, "{what}: {query:?}, {}", hits.id(i));
        }
    }
}

fn start(disk: &Arc<Faulty>, durability: &str, seed: u64) -> Result<Script> {
    let collection = Collection::on(Arc::clone(disk) as Arc<dyn Disk>, &options(durability), true)?;
    let now = contents(&collection);
    let tuned = vec![collection.ef_search()];
    Ok(Script { collection, random: seed, acknowledged: now.clone(), now, attempted: None, tuned })
}

/// Opens what a crash left, and checks that it is the acknowledged state or the one that was being written.
fn check(disk: Faulty, script: &Script, what: &str) {
    let disk = Arc::new(disk);
    let opened = start(&disk, "commit", 1).unwrap_or_else(|error| panic!("{what}: {error}"));
    let there = contents(&opened.collection);
    let whole = there == script.acknowledged || script.attempted.as_ref() == Some(&there);
    assert!(whole, "{what}: {} rows, acknowledged {}", there.len(), script.acknowledged.len());
    let ef = opened.collection.ef_search();
    assert!(script.tuned.contains(&ef), "{what}: efSearch is {ef}, and {:?} were kept", script.tuned);
    words_agree(&opened.collection, &there, what);
    // It goes on, and what it adds is there after another opening.
    let mut opened = opened;
    for _ in 0..3 {
        opened.write().unwrap();
    }
    let again = start(&Arc::new(disk.killed()), "commit", 1).unwrap();
    assert_eq!(contents(&again.collection), opened.now, "{what}, opened twice");
    words_agree(&again.collection, &opened.now, what);
}

#[test]
fn operations_may_fail_once_or_for_good() {
    failing(7);
}

#[test]
#[ignore = "deep: every operation"]
fn deep_every_operation_may_fail_once_or_for_good() {
    failing(1);
}

/// Each `step`-th operation of a script fails in turn, in four ways.
fn failing(step: usize) {
    let writes = 40;
    let total = {
        let disk = Arc::new(Faulty::default());
        let mut script = start(&disk, "commit", 7).unwrap();
        for _ in 0..writes {
            script.write().unwrap();
            script.keep_house().unwrap();
        }
        script.collection.close().unwrap();
        disk.state().operations
    };
    assert!(total > 100, "{total}");
    let failures = AtomicUsize::new(0);
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..at_once {
            let failures = &failures;
            let some = (0..total).step_by(step).skip(first).step_by(at_once);
            scope.spawn(move || {
                for at in some {
                    failures.fetch_add(failing_at(at, writes), Relaxed);
                }
            });
        }
    });
    println!("{} operations failed, {} failures answered", total.div_ceil(step), failures.into_inner());
}

/// Operation `at` of the script fails, in four ways. Returns how many writes failed.
fn failing_at(at: usize, writes: usize) -> usize {
    let mut failures = 0;
    for (code, for_good) in [(Code::Io, false), (Code::Io, true), (Code::NoSpace, false), (Code::NoSpace, true)] {
        let disk = Arc::new(Faulty::default());
        disk.state().fail = Some((at, code, for_good));
        let Ok(mut script) = start(&disk, "commit", 7) else {
            // Nothing was made, or it is empty: either way the folder opens.
            let again = Arc::new(disk.killed());
            assert!(contents(&start(&again, "commit", 1).unwrap().collection).is_empty());
            failures += 1;
            continue;
        };
        let mut poisoned = false;
        for _ in 0..writes {
            match script.write() {
                Ok(()) => {
                    assert!(!poisoned, "a write went through after one had failed for good");
                    // It may fail without doubt about the log, or in doubt: then no write follows.
                    if script.keep_house().is_err_and(|error| error.message.contains("opened again")) {
                        poisoned = true;
                    }
                }
                Err(error) => {
                    failures += 1;
                    poisoned |= error.code == Code::Io;
                    assert!(matches!(error.code, Code::Io | Code::NoSpace), "{error}");
                    // Reads go on, and see what was acknowledged.
                    assert_eq!(contents(&script.collection), script.acknowledged);
                    words_agree(&script.collection, &script.acknowledged, "after a failure");
                    if error.code == Code::NoSpace {
                        script.attempted = None;
                    } else if script.attempted.is_some() {
                        break;
                    }
                }
            }
        }
        let what = format!("operation {at}, {code:?}, for good {for_good}");
        check(disk.killed(), &script, &what);
        for seed in 0..3 {
            check(disk.crash(seed), &script, &format!("{what}, power loss {seed}"));
        }
    }
    failures
}

/// Power is lost after each operation in turn; unsynced bytes are dropped, torn and reordered by seeds.
fn power_loss(seeds: u64) {
    let mut schedules = 0;
    for history in 0..seeds / 20 {
        let disk = Arc::new(Faulty::default());
        let mut script = start(&disk, "commit", history * 977 + 3).unwrap();
        for round in 0..20 {
            script.write().unwrap();
            script.keep_house().unwrap();
            if round == 13 {
                script.collection.close().unwrap();
                let rows = script.now.clone();
                script = start(&disk, "commit", history + 5).unwrap();
                assert_eq!(contents(&script.collection), rows);
            }
            let at = disk.state().operations + mix(history * 31 + round) as usize % 4;
            schedules += 1;
            let seed = history * 1000 + round;
            check(disk.crash(seed), &script, &format!("history {history}, round {round}"));
            if round == 19 {
                // The last write is cut off in its middle.
                disk.state().fail = Some((at, Code::Io, true));
                let _ = script.write();
                check(disk.crash(seed), &script, &format!("history {history}, cut at {at}"));
            }
        }
    }
    println!("{schedules} schedules, 0 acknowledged writes lost");
}

/// Power is lost in the middle of a write of many sectors: what is left of it is no frame.
#[test]
fn a_torn_write_is_there_wholly_or_not_at_all() {
    let mut torn = 0;
    for history in 0..6 {
        for cut in 0..10 {
            let disk = Arc::new(Faulty::default());
            let mut script = start(&disk, "commit", history).unwrap();
            for _ in 0..4 {
                script.write().unwrap();
            }
            {
                let mut state = disk.state();
                state.fail = Some((state.operations + cut, Code::Io, true));
            }
            while script.write().is_ok() {}
            for seed in 0..20 {
                check(disk.crash(seed), &script, &format!("history {history}, cut {cut}, seed {seed}"));
            }
            torn += 20;
        }
    }
    println!("{torn} torn writes");
}

#[test]
fn power_loss_keeps_every_acknowledged_write() {
    power_loss(400);
}

#[test]
#[ignore = "deep: ten thousand schedules"]
fn deep_power_loss_keeps_every_acknowledged_write() {
    power_loss(10_000);
}

#[test]
#[ignore = "long: a hundred thousand schedules"]
fn long_power_loss_keeps_every_acknowledged_write() {
    power_loss(100_000);
}

#[test]
fn relaxed_writes_survive_the_end_of_the_process() {
    for seed in 0..20 {
        let disk = Arc::new(Faulty::default());
        let mut script = start(&disk, "relaxed", seed).unwrap();
        for _ in 0..30 {
            script.write().unwrap();
        }
        check(disk.killed(), &script, "killed");
        script.collection.flush().unwrap();
        check(disk.crash(seed), &script, "power loss after a flush");
        script.collection.close().unwrap();
        check(disk.crash(seed), &script, "power loss after a close");
    }
}

/// The process ends at an operation, another one goes on with what the system has, and then power is lost.
#[test]
fn what_is_written_after_a_kill_survives_a_power_loss() {
    let run = |disk: &Arc<Faulty>| -> Result<()> {
        let mut script = start(disk, "commit", 7)?;
        for _ in 0..40 {
            script.write()?;
            script.keep_house()?;
        }
        Ok(())
    };
    let disk = Arc::new(Faulty::default());
    run(&disk).unwrap();
    let total = disk.state().operations;
    for at in (0..total).step_by(3) {
        let disk = Arc::new(Faulty::default());
        disk.state().fail = Some((at, Code::Io, true));
        let ended = run(&disk);
        // The last operations may be removals: what cannot be removed is left.
        assert!(ended.is_err() || at + 4 > total, "operation {at} of {total} failed and nobody said so");
        disk.state().fail = None;
        let mut script = start(&disk, "commit", at as u64).unwrap();
        for seed in 0..4 {
            script.write().unwrap();
            check(disk.crash(seed), &script, &format!("killed at {at}, power loss {seed}"));
        }
    }
}

fn put(log: &mut Log, row: u32, metadata: &str) {
    let metadata = format!("[{{\"text\":\"{metadata}\"}}]");
    log.append(Draft::new(DIM, None, vec![row.to_string()], Some(&metadata)).unwrap().frame, row).unwrap();
}

#[test]
fn a_log_whose_successor_may_be_in_force_has_no_other() {
    let disk = Arc::new(Faulty::default());
    let config = options("commit").validate(None).unwrap();
    let mut log = Log::create(Arc::clone(&disk) as Arc<dyn Disk>, &config, 5).unwrap();
    put(&mut log, 0, "");
    let mut newer = log.successor(&config).unwrap();
    put(&mut newer, 0, "");
    {
        // Its sync, three operations of MANIFEST.tmp, the rename; then the folder's sync.
        let mut state = disk.state();
        state.fail = Some((state.operations + 5, Code::Io, false));
    }
    assert_eq!(newer.succeed(&mut log).unwrap_err().code, Code::Io);
    assert!(disk.state().names.contains_key("log-2-0001"));
    // Filling another would put its frames over those that the next opening reads.
    assert_eq!(log.successor(&config).err().unwrap().code, Code::Io);
    newer.remove();
    assert!(disk.state().names.contains_key("log-2-0001"));
}

#[test]
fn an_audit_beside_the_writer_finds_nothing_wrong() {
    let disk = Arc::new(Faulty::default());
    let config = options("commit").validate(None).unwrap();
    let mut log = Log::create(Arc::clone(&disk) as Arc<dyn Disk>, &config, 5).unwrap();
    put(&mut log, 0, "");
    let reader = log.reader();
    (1..4).for_each(|row| put(&mut log, row, &"x".repeat(50_000)));
    assert!(log.manifest().segments.len() > 1);
    reader.audit_files(false).unwrap();
    let mut newer = log.successor(&config).unwrap();
    newer.succeed(&mut log).unwrap();
    assert!(reader.audit_files(false).is_err());
    reader.audit_files(true).unwrap();
}

#[test]
fn a_checkpoint_that_may_be_in_force_stays() {
    let disk = Arc::new(Faulty::default());
    let mut script = start(&disk, "commit", 3).unwrap();
    for _ in 0..20 {
        script.write().unwrap();
    }
    script.collection.checkpoint().unwrap();
    script.write().unwrap();
    // The last operations are: MANIFEST is renamed, the names are synced, the checkpoint before it is removed.
    let begun = disk.state().operations;
    let probe = Arc::new(disk.killed());
    {
        let script = start(&probe, "commit", 3).unwrap();
        probe.state().operations = begun;
        script.collection.checkpoint().unwrap();
    }
    let steps = probe.state().operations;
    for (before_end, stays) in [(2, true), (3, true), (4, false), (6, false)] {
        let disk = Arc::new(disk.killed());
        let script = start(&disk, "commit", 3).unwrap();
        {
            let mut state = disk.state();
            state.operations = begun;
            state.fail = Some((steps - before_end, Code::Io, false));
        }
        assert_eq!(script.collection.checkpoint().unwrap_err().code, Code::Io);
        assert_eq!(disk.state().names.contains_key("index-1-2"), stays, "{before_end} operations before the end");
        let again = start(&Arc::new(disk.killed()), "commit", 3).unwrap();
        assert_eq!(again.now, script.now);
        assert_eq!(again.collection.stats().unwrap().notices, Vec::<String>::new());
    }
}

#[test]
fn a_reader_takes_the_checkpoint_that_took_the_place_of_the_one_it_read_about() {
    let disk = Arc::new(Faulty::default());
    let mut script = start(&disk, "commit", 5).unwrap();
    for _ in 0..20 {
        script.write().unwrap();
    }
    script.collection.checkpoint().unwrap();
    let reading: Arc<dyn Disk> = Arc::clone(&disk) as Arc<dyn Disk>;
    let writer = script.collection.clone();
    disk.state().before_open = Some(("index-", Box::new(move || writer.checkpoint().unwrap())));
    let reader = Collection::to_read(&reading, &Options::default()).unwrap().unwrap();
    assert!(disk.state().before_open.is_none() && disk.state().names.contains_key("index-1-2"));
    assert_eq!(contents(&reader), script.now);
    assert_eq!(reader.stats().unwrap().notices, Vec::<String>::new());
}

/// Of two writes that were lost together the second may be whole. It stays lost when the first is written again.
#[test]
fn what_a_lost_write_left_behind_does_not_follow_one_like_it() {
    let upsert = |collection: &Collection, ids: &[&str]| -> Result<()> {
        let write = |id: &&str| {
            let draft = collection.draft(vec![(*id).to_owned()], None)?;
            Ok((Write::Upsert(draft), Arc::default()))
        };
        let writes: Result<Vec<_>> = ids.iter().map(write).collect();
        collection.commit(writes?).into_iter().try_for_each(|written| written.map(drop))
    };
    let disk = Arc::new(Faulty::default());
    let first = start(&disk, "commit", 1).unwrap();
    upsert(&first.collection, &["0"]).unwrap();
    first.collection.close().unwrap();
    let script = start(&disk, "commit", 1).unwrap();
    {
        // Two operations a frame, then the sync.
        let mut state = disk.state();
        state.fail = Some((state.operations + 4, Code::Io, false));
    }
    upsert(&script.collection, &["1", "2"]).unwrap_err();
    for seed in 0..40 {
        let disk = Arc::new(disk.crash(seed));
        let opened = start(&disk, "commit", 1).unwrap();
        if opened.now.len() > 1 {
            continue;
        }
        upsert(&opened.collection, &["1"]).unwrap();
        let again = start(&Arc::new(disk.killed()), "commit", 1).unwrap();
        assert_eq!(again.now.keys().collect::<Vec<_>>(), ["0", "1"], "seed {seed}");
    }
}

/// The n-th block of memory is refused, for every n: the call that needed it says so, and nothing has changed.
#[test]
fn every_block_of_memory_may_be_refused() {
    let mut refused = 0;
    for n in 0.. {
        let collection = Collection::on(Arc::new(Heap::default()), &options("commit"), true).unwrap();
        let (mut now, mut random) = (Rows::new(), 5_u64);
        let mut below = |n: u64| {
            random = mix(random);
            random % n
        };
        shortage::after(Some(n));
        let mut failed = 0;
        // A graph from the second write on; then rows replaced, deleted and written anew, and more of them.
        for count in [900, 300, 40, 0, 1, 1300, 7] {
            let ids: Vec<String> = (0..count).map(|_| below(4000).to_string()).collect();
            let vectors: Vec<f32> = (0..count * DIM).map(|_| below(1000) as f32).collect();
            for attempt in 0.. {
                assert!(attempt < 2, "block {n} was refused twice");
                let written = match count {
                    0 => collection.compact(&Token::default()).map(drop),
                    _ => collection.draft(ids.clone(), None).and_then(|mut draft| {
                        // SAFETY: a vector of that many floats.
                        unsafe { draft.fill(vectors.as_ptr(), vectors.len())? };
                        collection.commit(vec![(Write::Upsert(draft), Arc::default())]).remove(0).map(drop)
                    }),
                };
                match written {
                    Ok(()) => break,
                    Err(error) => assert_eq!(error.code, Code::Memory, "block {n}: {error}"),
                }
                failed += 1;
                assert_eq!(contents(&collection), now, "block {n}");
            }
            let rows = vectors.chunks(DIM).map(|vector| (vector.to_vec(), "{}".into()));
            now.extend(ids.into_iter().zip(rows));
            assert_eq!(contents(&collection), now, "block {n}");
        }
        if shortage::is_to_come() {
            shortage::after(None);
            break;
        }
        assert!(failed <= 1);
        refused += 1;
        assert_eq!(collection.problems().unwrap(), Vec::<String>::new(), "block {n}");
    }
    println!("{refused} blocks refused, one a run");
    assert!(refused > 20);
}

/// Every truncation and every flipped bit of a small collection: an error that names the file, or the same rows.
#[test]
fn damage_is_seen_or_harmless() {
    let disk = Arc::new(Faulty::default());
    let script = start(&disk, "commit", 11).unwrap();
    for i in 0..12 {
        let mut draft = script.collection.draft(vec![i.to_string()], Some("[{\"year\":1999}]")).unwrap();
        // SAFETY: an array of that many floats.
        unsafe { draft.fill([i as f32; DIM].as_ptr(), DIM).unwrap() };
        script.collection.commit(vec![(Write::Upsert(draft), Arc::default())]).remove(0).unwrap();
    }
    script.collection.commit(vec![(Write::Delete(vec!["3".into()]), Arc::default())]).remove(0).unwrap();
    let rows = contents(&script.collection);
    let metadata = script.collection.get(&["5".into()]).unwrap().metadata(0).to_owned();
    script.collection.close().unwrap();
    let clean = disk.killed();
    let (mut errors, mut same) = (0, 0);
    let mut probe = |damage: &dyn Fn(&mut HashMap<String, usize>, &mut State)| {
        let disk = clean.killed();
        {
            let mut state = disk.state();
            let mut names: HashMap<String, usize> = state.names.clone().into_iter().collect();
            damage(&mut names, &mut state);
        }
        match Collection::on(Arc::new(disk), &Options::default(), false) {
            Ok(opened) => {
                assert_eq!(contents(&opened), rows);
                assert_eq!(opened.get(&["5".into()]).unwrap().metadata(0), metadata);
                let asked = SearchOptions { exact: true, ..SearchOptions::default() };
                assert_eq!(opened.search(&[7.0; DIM], &asked, &Token::default()).unwrap().id(0), "7");
                same += 1;
                false
            }
            Err(error) => {
                assert!(matches!(error.code, Code::Corrupt | Code::Version | Code::NotFound), "{error}");
                errors += 1;
                true
            }
        }
    };
    let (lens, used) = {
        let state = clean.state();
        let lens: Vec<(String, usize)> =
            state.names.iter().map(|(name, &inode)| (name.clone(), state.inodes[inode].len)).collect();
        let segment = state.names["log-1-0001"];
        let used = state.inodes[segment].seen.iter().rposition(|&byte| byte != 0).unwrap() + 1;
        (lens, used)
    };
    assert!(used < 16 * 1024, "{used}");
    for (name, len) in &lens {
        let end = if name.starts_with("log") { used + 64 } else { *len };
        // Of MANIFEST every bit counts.
        let all = name == MANIFEST;
        for at in 0..end {
            for bit in 0..8 {
                let seen = probe(&|names, state| state.inodes[names[name]].seen[at] ^= 1 << bit);
                assert!(seen || !all, "bit {bit} of byte {at} of {name} is flipped, and nobody saw it");
            }
            let seen = probe(&|names, state| {
                let inode = &mut state.inodes[names[name]];
                inode.seen.truncate(at);
                inode.len = at;
            });
            assert!(seen || !all, "{name} is cut off at {at}, and nobody saw it");
        }
        assert!(probe(&|_, state| {
            state.names.remove(name);
        }));
    }
    println!("{errors} seen, {same} harmless");
    assert!(errors > 1000);
}

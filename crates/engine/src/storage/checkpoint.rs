//! A checkpoint's file: arrays as they lie in memory, mapped when the collection is opened.
//!
//! ```text
//! section, section, ...    each from a multiple of 4096: slots of one size, one behind the other
//! head                     JSON: where each section lies, and what else its owner wants to know again
//! checksums                xxh3 of each 64 KiB of all that
//! tail, 64 bytes           0 magic "AXC1"   8 where the head starts   16 its length   24 where the checksums start
//!                          32 xxh3 of the checksums   40 xxh3 of bytes 0..40, seeded with the collection's salt
//! ```
//! Nothing in here is needed: what is missing or damaged is derived from the log again. The file is written once, and
//! never changed: a section that is mapped to be changed is changed in memory alone.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use serde_json::{Map, Value, json};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::arena::{Arena, Element, Writer};
use crate::error::{Error, Result};
use crate::memory::{ALIGN, Block};
use crate::storage::disk::Disk;
use crate::storage::frame::{BLOCK, word64};
use crate::storage::segment::Segment;

const MAGIC: &[u8; 4] = b"AXC1";
const TAIL: usize = 64;
const PAGE: usize = 4096;
/// What is written at a time.
const PIECE: usize = 16 * BLOCK;

/// Appends the bytes of some slots.
type Write<'a> = Box<dyn Fn(Range<usize>, &mut Vec<u8>) + Send + Sync + 'a>;

/// An array on its way into a checkpoint.
pub(crate) struct Section<'a> {
    name: String,
    slot_bytes: usize,
    slots: usize,
    /// Slots that are asked for at a time: always from a multiple of it.
    step: usize,
    write: Write<'a>,
}

impl<'a> Section<'a> {
    pub fn new(
        name: &str,
        slot_bytes: usize,
        slots: usize,
        step: usize,
        write: impl Fn(Range<usize>, &mut Vec<u8>) + Send + Sync + 'a,
    ) -> Section<'a> {
        Section { name: name.into(), slot_bytes, slots, step, write: Box::new(write) }
    }

    /// The first `slots` slots of an arena.
    pub fn of<T: Element>(name: &str, arena: &'a Arena<T>, slots: usize) -> Section<'a> {
        let step = (BLOCK / arena.slot_bytes()).max(1);
        Section::new(name, arena.slot_bytes(), slots, step, |range, out| arena.write(range, out))
    }
}

/// Writes sections and facts into a file and syncs it; returns its length. `go_on` is asked now and then, and ends it
/// with [`crate::error::Code::Closed`].
pub(crate) fn write(
    disk: &dyn Disk,
    name: &str,
    salt: u64,
    facts: &Value,
    sections: &[Section],
    go_on: &dyn Fn() -> bool,
) -> Result<usize> {
    let mut at = 0_usize;
    let mut places = Map::new();
    for section in sections {
        places.insert(section.name.clone(), json!([at, section.slots, section.slot_bytes]));
        at = (at + section.slots * section.slot_bytes).next_multiple_of(PAGE);
    }
    let head = json!({ "sections": places, "facts": facts }).to_string();
    let sums_at = (at + head.len()).next_multiple_of(8);
    let tail_at = sums_at + sums_at.div_ceil(BLOCK) * 8;
    let len = (tail_at + TAIL).next_multiple_of(ALIGN);
    let result = (|| {
        let mut out = Out { disk, segment: disk.create(name, len)?, pending: Vec::new(), sums: Vec::new(), at: 0 };
        for section in sections {
            for from in (0..section.slots).step_by(section.step) {
                (section.write)(from..(from + section.step).min(section.slots), &mut out.pending);
                out.drain(PIECE)?;
                if !go_on() {
                    return Err(Error::closed());
                }
            }
            out.fill_to(PAGE);
        }
        out.pending.extend_from_slice(head.as_bytes());
        out.fill_to(8);
        out.drain(1)?;
        debug_assert_eq!(out.at, sums_at);
        let mut end: Vec<u8> = out.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        let sums = xxh3_64(&end);
        end.resize(len - sums_at, 0);
        let tail = end.len() - TAIL;
        end[tail..tail + 4].copy_from_slice(MAGIC);
        for (i, word) in [at as u64, head.len() as u64, sums_at as u64, sums].into_iter().enumerate() {
            end[tail + 8 + i * 8..tail + 16 + i * 8].copy_from_slice(&word.to_le_bytes());
        }
        let own = xxh3_64_with_seed(&end[tail..tail + 40], salt);
        end[tail + 40..tail + 48].copy_from_slice(&own.to_le_bytes());
        disk.append(&out.segment, &end)?;
        disk.sync(&out.segment)
    })();
    match result {
        Ok(()) => Ok(len),
        Err(error) => {
            // Nobody knows of the file; what cannot be removed the next writer sweeps.
            let _ = disk.remove(name);
            Err(error)
        }
    }
}

/// What is on its way to the disk.
struct Out<'a> {
    disk: &'a dyn Disk,
    segment: Arc<Segment>,
    pending: Vec<u8>,
    sums: Vec<u64>,
    /// Bytes that went out.
    at: usize,
}

impl Out<'_> {
    fn fill_to(&mut self, multiple: usize) {
        let end = (self.at + self.pending.len()).next_multiple_of(multiple);
        self.pending.resize(end - self.at, 0);
    }

    /// Writes what there is of whole pieces of `least` bytes; the last piece of all may be shorter than a block.
    fn drain(&mut self, least: usize) -> Result<()> {
        let whole = if least == 1 { self.pending.len() } else { self.pending.len() / least * least };
        self.sums.extend(self.pending[..whole].chunks(BLOCK).map(xxh3_64));
        self.disk.append(&self.segment, &self.pending[..whole])?;
        self.pending.drain(..whole);
        self.at += whole;
        Ok(())
    }
}

/// A checkpoint that was found whole so far as it was looked at.
pub(crate) struct Checkpoint {
    file: Arc<Segment>,
    /// The same bytes, to be changed in memory.
    block: Arc<Block>,
    facts: Value,
    sections: BTreeMap<String, Place>,
    sums_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Place {
    at: usize,
    slots: usize,
    slot_bytes: usize,
}

impl Place {
    fn end(self) -> Option<usize> {
        self.slots.checked_mul(self.slot_bytes)?.checked_add(self.at)
    }
}

impl Checkpoint {
    /// Maps a checkpoint, and reads its head.
    pub fn open(disk: &dyn Disk, name: &str, len: usize, salt: u64) -> Result<Checkpoint> {
        let bad = |at: usize, what: &str| Error::corrupt(name, at, what);
        if len < TAIL + 8 {
            return Err(bad(0, "it is too short"));
        }
        let file = disk.open(name, len)?;
        let bytes = file.bytes(0, len);
        let tail = &bytes[len - TAIL..];
        if &tail[..4] != MAGIC || word64(tail, 40) != xxh3_64_with_seed(&tail[..40], salt) {
            return Err(bad(len - TAIL, "its tail does not hold"));
        }
        let word = |at: usize| usize::try_from(word64(tail, at)).unwrap_or(usize::MAX);
        let (head_at, head_len, sums_at) = (word(8), word(16), word(24));
        let sums_end = sums_at.saturating_add(sums_at.div_ceil(BLOCK) * 8);
        if head_at.checked_add(head_len).is_none_or(|end| end > sums_at) || sums_end > len - TAIL {
            return Err(bad(len - TAIL, "its parts do not fit"));
        }
        if word64(tail, 32) != xxh3_64(&bytes[sums_at..sums_end]) {
            return Err(bad(sums_at, "a checksum does not match"));
        }
        let block = disk.map(name, len)?;
        let mut found =
            Checkpoint { file: Arc::clone(&file), block, facts: Value::Null, sections: BTreeMap::new(), sums_at };
        found.check(head_at..head_at + head_len)?;
        let mut head: Value = serde_json::from_slice(&bytes[head_at..head_at + head_len])
            .map_err(|error| bad(head_at, &error.to_string()))?;
        found.facts = head["facts"].take();
        for (name, place) in head["sections"].as_object().into_iter().flatten() {
            let word = |i: usize| place.get(i).and_then(Value::as_u64).and_then(|word| usize::try_from(word).ok());
            let place = (|| Some(Place { at: word(0)?, slots: word(1)?, slot_bytes: word(2)? }))();
            let place = place.filter(|place| place.end().is_some_and(|end| end <= head_at));
            found.sections.insert(name.clone(), place.ok_or_else(|| bad(head_at, "a section lies outside"))?);
        }
        Ok(found)
    }

    /// A number among the facts.
    pub fn number(&self, name: &str) -> Result<u64> {
        self.facts[name].as_u64().ok_or_else(|| self.lacks(name))
    }

    /// Another fact.
    pub fn fact(&self, name: &str) -> Option<&Value> {
        self.facts.get(name)
    }

    /// An error: what `name` names is missing, or is not what it should be.
    pub fn lacks(&self, name: &str) -> Error {
        Error::corrupt(self.file.name(), self.sums_at, &format!("{name} is missing or of the wrong size"))
    }

    /// Slots of a section; 0 when it is not there.
    pub fn slots(&self, name: &str) -> usize {
        self.sections.get(name).map_or(0, |place| place.slots)
    }

    /// A section as an arena that can be appended to.
    pub fn arena<T: Element>(&self, name: &str, width: usize) -> Result<Writer<T>> {
        let place = self.sections.get(name).filter(|place| place.slot_bytes == width * size_of::<T>());
        let place = place.ok_or_else(|| self.lacks(name))?;
        Writer::mapped(&self.block, place.at, place.slots, width).ok_or_else(|| self.lacks(name))
    }

    /// A section's bytes, as they are in the file.
    pub fn bytes(&self, name: &str) -> &[u8] {
        let place = self.sections.get(name).copied().unwrap_or(Place { at: 0, slots: 0, slot_bytes: 0 });
        self.file.bytes(place.at, place.slots * place.slot_bytes)
    }

    /// Where a section's bytes are.
    pub fn part(&self, name: &str) -> Option<(Arc<Segment>, Range<usize>)> {
        let place = self.sections.get(name)?;
        Some((Arc::clone(&self.file), place.at..place.end()?))
    }

    /// Checks the sections whose names `wanted` takes against their checksums.
    pub fn verify(&self, wanted: impl Fn(&str) -> bool, go_on: &dyn Fn() -> bool) -> Result<()> {
        for (name, place) in self.sections.iter().filter(|(name, _)| wanted(name)) {
            let end = place.end().ok_or_else(|| self.lacks(name))?;
            for from in (place.at..end).step_by(PIECE) {
                self.check(from..end.min(from + PIECE))?;
                if !go_on() {
                    return Err(Error::closed());
                }
            }
        }
        Ok(())
    }

    /// Checks the blocks that have bytes in a range.
    fn check(&self, range: Range<usize>) -> Result<()> {
        for block in range.start / BLOCK..range.end.div_ceil(BLOCK) {
            let from = block * BLOCK;
            let bytes = self.file.bytes(from, BLOCK.min(self.sums_at - from));
            if word64(self.file.bytes(self.sums_at + block * 8, 8), 0) != xxh3_64(bytes) {
                return Err(Error::corrupt(self.file.name(), from, "a checksum does not match"));
            }
        }
        Ok(())
    }

    /// Bytes of the file.
    pub fn len(&self) -> usize {
        self.file.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;
    use crate::ids::Ids;
    use crate::rows::Tombstones;
    use crate::storage::folder::Folder;

    fn folder(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("auspex-checkpoint-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        Folder::open(&path, true).unwrap().unwrap()
    }

    fn sections() -> Vec<Section<'static>> {
        let words = |slots: Range<usize>, out: &mut Vec<u8>| {
            slots.for_each(|slot| (0..33).for_each(|i| out.extend_from_slice(&((slot * 33 + i) as u32).to_le_bytes())));
        };
        vec![
            Section::new("words", 33 * 4, 20_000, 512, words),
            Section::new("none", 8, 0, 1, |_, _| {}),
            Section::new("bytes", 1, 5, 2, |slots, out| out.extend(slots.map(|slot| slot as u8))),
        ]
    }

    #[test]
    fn what_was_written_is_mapped_again() {
        let disk = folder("mapped");
        let len = write(&disk, "index-1-1", 7, &json!({ "rows": 12 }), &sections(), &|| true).unwrap();
        let found = Checkpoint::open(&disk, "index-1-1", len, 7).unwrap();
        found.verify(|_| true, &|| true).unwrap();
        assert_eq!((found.number("rows").unwrap(), found.slots("words"), found.len()), (12, 20_000, len));
        let words = found.arena::<u32>("words", 33).unwrap().reader();
        assert!((0..20_000).all(|slot| words.get(slot).iter().enumerate().all(|(i, &x)| x as usize == slot * 33 + i)));
        assert_eq!(found.bytes("bytes"), [0, 1, 2, 3, 4]);
        assert_eq!(found.arena::<u64>("none", 1).unwrap().len(), 0);
        assert!(found.arena::<u32>("words", 32).is_err() && found.arena::<u8>("missing", 1).is_err());
        assert!(Checkpoint::open(&disk, "index-1-1", len, 8).is_err(), "another collection's");
    }

    #[test]
    fn what_is_mapped_to_be_changed_is_not_changed_in_the_file() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let disk = folder("changed");
        let len = write(&disk, "index-1-1", 7, &Value::Null, &sections(), &|| true).unwrap();
        let found = Checkpoint::open(&disk, "index-1-1", len, 7).unwrap();
        let words = found.arena::<AtomicU32>("words", 33).unwrap().reader();
        words.get(19_999)[32].store(7, Ordering::Relaxed);
        assert_eq!(words.get(19_999)[32].load(Ordering::Relaxed), 7);
        found.verify(|_| true, &|| true).unwrap();
    }

    #[test]
    fn tables_that_cannot_be_searched_are_refused_whatever_their_checksum() {
        let disk = folder("forged");
        let load = |words: [u64; 64], dead: [u8; 8192]| {
            let ids = move |slots: Range<usize>, out: &mut Vec<u8>| {
                words[slots].iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            };
            let tombstones = move |_: Range<usize>, out: &mut Vec<u8>| out.extend_from_slice(&dead);
            let sections = [Section::new("ids", 8, 64, 64, ids), Section::new("tombstones", 8192, 1, 1, tombstones)];
            let len = write(&disk, "index-1-1", 7, &Value::Null, &sections, &|| true).unwrap();
            let found = Checkpoint::open(&disk, "index-1-1", len, 7).unwrap();
            (Ids::load(&found, 100).map(|(_, words)| words), Tombstones::load(&found, 100).map(|dead| dead.len()))
        };
        let used = |words: usize, row: u64| std::array::from_fn(|i| if i < words { 9 << 32 | row } else { 0 });
        let dead = |row: usize| std::array::from_fn(|i| if i == row / 8 { 1 << (row % 8) } else { 0 });
        assert_eq!(load(used(32, 100), dead(99)), (Ok(32), Ok(1)));
        assert!(load(used(33, 1), dead(0)).0.is_err(), "fuller than half");
        assert!(load(used(1, 0), dead(0)).0.is_err() && load(used(1, 101), dead(0)).0.is_err(), "no row");
        assert!(load(used(1, 1), dead(100)).1.is_err(), "a row to come is dead");
    }

    #[test]
    fn a_write_that_is_ended_leaves_no_file() {
        let disk = folder("ended");
        let ended = write(&disk, "index-1-1", 7, &Value::Null, &sections(), &|| false);
        assert_eq!(ended.unwrap_err().code, Code::Closed);
        assert_eq!(disk.list().unwrap(), Vec::<String>::new());
    }
}

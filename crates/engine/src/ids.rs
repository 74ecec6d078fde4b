//! From a user's id to its newest row, without a lock.
//!
//! An open-addressing table of `hash << 32 | row + 1` words, ordered by hash, so that doubling it is one sweep. The
//! writer replaces a word when an id gets a new row; a reader whose view is older follows `Rows::superseded` back to
//! the row that its view knows. A dead row keeps its word until the table doubles.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use xxhash_rust::xxh3::xxh3_64;

use crate::arena::Writer;
use crate::error::Result;
use crate::rows::Rows;
use crate::storage::checkpoint::{Checkpoint, Section};

const SMALLEST_BITS: u32 = 6;

/// The table.
pub(crate) struct Ids {
    slots: Writer<AtomicU64>,
    bits: u32,
}

/// The part of an id's hash that the table keeps.
pub(crate) fn hash(id: &str) -> u32 {
    (xxh3_64(id.as_bytes()) >> 32) as u32
}

impl Ids {
    /// A table with room for `entries` of them, filled to half at most.
    pub fn with_room(entries: usize) -> Result<Ids> {
        let bits = entries.saturating_mul(2).next_power_of_two().ilog2().max(SMALLEST_BITS);
        Ok(Ids { slots: Writer::zeroed(1 << bits, 1, "the table of ids")?, bits })
    }

    /// The table that a checkpoint kept of `rows` rows, and its words in use. It is not fuller than half: a search for
    /// an empty word ends.
    pub fn load(checkpoint: &Checkpoint, rows: usize) -> Result<(Ids, usize)> {
        let slots: Writer<AtomicU64> = checkpoint.arena("ids", 1)?;
        if !slots.len().is_power_of_two() || slots.len() < 1 << SMALLEST_BITS {
            return Err(checkpoint.lacks("ids"));
        }
        let ids = Ids { bits: slots.len().ilog2(), slots };
        let used = || (0..ids.slots.len()).map(|slot| ids.slot(slot).load(Ordering::Relaxed)).filter(|&word| word != 0);
        let words = used().count();
        if !ids.has_room(words) || used().any(|word| !(1..=rows).contains(&(word as u32 as usize))) {
            return Err(checkpoint.lacks("ids"));
        }
        Ok((ids, words))
    }

    /// What a checkpoint keeps: the table as it was when there were `count` rows. A word only ever changes to a newer
    /// row, from an older one of the same id or from none.
    pub fn sections<'a>(&'a self, rows: &'a Rows, count: u32) -> Vec<Section<'a>> {
        let write = move |slots: Range<usize>, out: &mut Vec<u8>| {
            for slot in slots {
                let word = self.slot(slot).load(Ordering::Acquire);
                let newest = (word as u32).checked_sub(1);
                let older = std::iter::successors(newest, |&row| rows.superseded(row)).find(|&row| row < count);
                let word = older.map_or(0, |row| word >> 32 << 32 | u64::from(row + 1));
                out.extend_from_slice(&word.to_le_bytes());
            }
        };
        vec![Section::new("ids", 8, self.slots.len(), 8192, write)]
    }

    fn slot(&self, slot: usize) -> &AtomicU64 {
        &self.slots.arena().get(slot)[0]
    }

    /// Whether `entries` fit without doubling.
    pub fn has_room(&self, entries: usize) -> bool {
        entries * 2 <= self.slots.len()
    }

    pub fn bytes(&self) -> usize {
        self.slots.arena().bytes()
    }

    /// Where the words with this hash begin; the words run on from there to the first empty one.
    fn start(&self, hash: u32) -> usize {
        (hash >> (32 - self.bits.min(32))) as usize
    }

    /// The rows whose ids have this hash, nearest slot first.
    pub fn candidates(&self, hash: u32) -> impl Iterator<Item = (usize, u32)> + '_ {
        let (start, mask) = (self.start(hash), self.slots.len() - 1);
        (0..self.slots.len())
            .map(move |step| (start + step) & mask)
            .map(|slot| (slot, self.slot(slot).load(Ordering::Acquire)))
            .take_while(|&(_, word)| word != 0)
            .filter(move |&(_, word)| (word >> 32) as u32 == hash)
            .map(|(slot, word)| (slot, (word as u32) - 1))
    }

    /// Makes `row` the row of the id in `slot`. The row must be readable by whoever finds it there.
    pub fn replace(&self, slot: usize, hash: u32, row: u32) {
        self.slot(slot).store(u64::from(hash) << 32 | u64::from(row + 1), Ordering::Release);
    }

    /// Adds an id that is not in the table; there must be room.
    pub fn insert(&self, hash: u32, row: u32) {
        let mask = self.slots.len() - 1;
        let mut slot = self.start(hash);
        while self.slot(slot).load(Ordering::Relaxed) != 0 {
            slot = (slot + 1) & mask;
        }
        self.replace(slot, hash, row);
    }

    /// Every hash and row in the table.
    pub fn entries(&self) -> impl Iterator<Item = (u32, u32)> + '_ {
        (0..self.slots.len())
            .map(|slot| self.slot(slot).load(Ordering::Relaxed))
            .filter(|&word| word != 0)
            .map(|word| ((word >> 32) as u32, word as u32 - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_found_by_the_hash_of_their_id() {
        let ids = Ids::with_room(1000).unwrap();
        for row in 0..1000 {
            ids.insert(hash(&row.to_string()), row);
        }
        for row in 0..1000 {
            assert!(ids.candidates(hash(&row.to_string())).any(|(_, found)| found == row));
        }
        assert_eq!(ids.candidates(hash("none")).count(), 0);
        assert_eq!(ids.entries().count(), 1000);
    }

    #[test]
    fn other_hashes_in_a_run_are_passed_over() {
        let ids = Ids::with_room(8).unwrap();
        for row in 0..8 {
            ids.insert(row % 2, row);
        }
        assert_eq!(ids.candidates(1).map(|(_, row)| row).collect::<Vec<_>>(), [1, 3, 5, 7]);
    }

    #[test]
    fn a_table_is_never_fuller_than_half() {
        let ids = Ids::with_room(100).unwrap();
        assert!(ids.has_room(100) && ids.has_room(128) && !ids.has_room(129));
        assert_eq!(ids.bytes(), 256 * 8);
    }

    #[test]
    fn equal_hashes_stand_side_by_side_and_wrap_around() {
        let ids = Ids::with_room(8).unwrap();
        for row in 0..8 {
            ids.insert(u32::MAX, row);
        }
        let rows: Vec<u32> = ids.candidates(u32::MAX).map(|(_, row)| row).collect();
        assert_eq!(rows, (0..8).collect::<Vec<_>>());
    }
}

//! The words of some rows that follow one another, turned around: of each word its rows, and how often each has it.
//!
//! ```text
//! head      6 u32        first row, rows, words, bytes of the words, bytes of the postings, 0
//! lengths   u32 a row    its words, each as often as it is there
//! ends      u32 a word   where its bytes end
//! rows      u32 a word   rows that have it
//! ends      u32 a word   where its postings end
//! words                  sorted, one behind the other
//! postings               of each row that has the word: rows passed over, doubled, and 1 more where it has the word more
//!                        than once; then how often, less 2; numbers of 7 bits a byte, low ones first, the top bit of a
//!                        byte set where more follow
//! ```
//! A block is these bytes, on the heap or where a checkpoint is mapped, and never changes. Every place in them is
//! checked, when it is opened or when it is used: bytes that nobody wrote have other words, never others' bytes.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::storage::frame::word32;
use crate::storage::segment::Segment;

/// Most rows of a block.
pub(crate) const ROWS: usize = 1 << 16;
const HEAD: usize = 24;

/// The words of some rows.
pub(crate) struct Block {
    bytes: Bytes,
    pub first: u32,
    pub count: usize,
    words: usize,
    word_bytes: usize,
    posting_bytes: usize,
}

enum Bytes {
    Heap(Vec<u8>),
    Mapped(Arc<Segment>, Range<usize>),
}

impl Block {
    pub fn bytes(&self) -> &[u8] {
        match &self.bytes {
            Bytes::Heap(bytes) => bytes,
            Bytes::Mapped(file, range) => file.bytes(range.start, range.len()),
        }
    }

    /// Bytes on the heap.
    pub fn heap(&self) -> usize {
        if let Bytes::Heap(bytes) = &self.bytes { bytes.len() } else { 0 }
    }

    /// The block that begins at a byte of a file and ends before `end`.
    pub fn mapped(file: &Arc<Segment>, at: usize, end: usize) -> Option<Block> {
        let head = file.bytes(at, end.checked_sub(at).filter(|&len| len >= HEAD).map(|_| HEAD)?);
        let numbers: [u32; 5] = std::array::from_fn(|i| word32(head, i * 4));
        let [_, count, words, word_bytes, posting_bytes] = numbers.map(|number| number as usize);
        // The sum of five numbers of 32 bits.
        let len = HEAD as u64
            + [4 * count as u64, 12 * words as u64, word_bytes as u64, posting_bytes as u64].iter().sum::<u64>();
        if !(1..=ROWS).contains(&count) || len > (end - at) as u64 {
            return None;
        }
        let bytes = Bytes::Mapped(Arc::clone(file), at..at + len as usize);
        let block = Block { bytes, first: numbers[0], count, words, word_bytes, posting_bytes };
        // No byte is in two words: so what is made of a block is never much larger than it.
        let holds = |kind: usize, bytes: usize| {
            let ends = || (0..words).map(|word| block.number(kind, word));
            ends().is_sorted() && ends().next_back().unwrap_or(0) == bytes
        };
        (holds(0, word_bytes) && holds(2, posting_bytes)).then_some(block)
    }

    /// Words of a row, each as often as it is there.
    #[inline]
    pub fn length(&self, row: usize) -> u32 {
        word32(self.bytes(), HEAD + row.min(self.count - 1) * 4)
    }

    /// One of the three arrays of numbers of words: `kind` 0 where words end, 1 how many rows they have, 2 where postings end.
    fn number(&self, kind: usize, word: usize) -> usize {
        word32(self.bytes(), HEAD + (self.count + kind * self.words + word) * 4) as usize
    }

    /// Bytes of the words, or of the postings, that an array says are one word's.
    fn part(&self, kind: usize, word: usize, from: usize, len: usize) -> &[u8] {
        let start = word.checked_sub(1).map_or(0, |before| self.number(kind, before));
        self.bytes()[from..from + len].get(start..self.number(kind, word)).unwrap_or_default()
    }

    fn word(&self, word: usize) -> &[u8] {
        self.part(0, word, HEAD + (self.count + 3 * self.words) * 4, self.word_bytes)
    }

    /// The rows that have a word.
    pub fn postings(&self, word: usize) -> Postings<'_> {
        let from = HEAD + (self.count + 3 * self.words) * 4 + self.word_bytes;
        Postings { bytes: self.part(2, word, from, self.posting_bytes), next: 0, count: self.count }
    }

    /// How many rows have a word, dead ones too.
    pub fn rows_with(&self, word: usize) -> usize {
        self.number(1, word).min(self.count)
    }

    /// The number of a word.
    pub fn find(&self, word: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.words);
        while low < high {
            let middle = low.midpoint(high);
            match self.word(middle).cmp(word) {
                Ordering::Equal => return Some(middle),
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// Every word, in order.
    pub fn words(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.words).map(|word| self.word(word))
    }

    /// The block of the rows of both, `later` following this one.
    pub fn merged(&self, later: &Block) -> Block {
        let mut out = Parts { first: self.first, ..Parts::default() };
        for block in [self, later] {
            out.lengths.extend((0..block.count).map(|row| block.length(row)));
        }
        let (mut i, mut j) = (0, 0);
        while i < self.words || j < later.words {
            let order = match (i < self.words, j < later.words) {
                (true, true) => self.word(i).cmp(later.word(j)),
                (true, false) => Ordering::Less,
                (false, _) => Ordering::Greater,
            };
            let (mut rows, mut next) = (0, 0);
            if order != Ordering::Greater {
                let postings = self.postings(i);
                out.postings.extend_from_slice(postings.bytes);
                out.words.extend_from_slice(self.word(i));
                rows = self.rows_with(i);
                // Where the later rows' numbers go on from.
                next = if order == Ordering::Equal { postings.last().map_or(0, |(row, _)| row + 1) } else { 0 };
                i += 1;
            }
            if order != Ordering::Less {
                if order == Ordering::Greater {
                    out.words.extend_from_slice(later.word(j));
                }
                let mut rest = later.postings(j).bytes;
                if let Some(first) = number(&mut rest) {
                    let passed = (first >> 1) as usize + self.count - next;
                    push(&mut out.postings, (passed as u32) << 1 | first & 1);
                    out.postings.extend_from_slice(rest);
                }
                rows += later.rows_with(j);
                j += 1;
            }
            out.end_word(rows);
        }
        out.finish()
    }
}

/// The parts of a block on its way.
#[derive(Default)]
struct Parts {
    first: u32,
    lengths: Vec<u32>,
    word_ends: Vec<u32>,
    rows: Vec<u32>,
    posting_ends: Vec<u32>,
    words: Vec<u8>,
    postings: Vec<u8>,
}

impl Parts {
    fn end_word(&mut self, rows: usize) {
        self.word_ends.push(self.words.len() as u32);
        self.rows.push(rows as u32);
        self.posting_ends.push(self.postings.len() as u32);
    }

    fn finish(self) -> Block {
        let Parts { first, lengths, word_ends, rows, posting_ends, words, postings } = self;
        let (count, number) = (lengths.len(), word_ends.len());
        let head = [first, count as u32, number as u32, words.len() as u32, postings.len() as u32, 0];
        let mut bytes = Vec::with_capacity(HEAD + (count + 3 * number) * 4 + words.len() + postings.len());
        for numbers in [&head[..], &lengths, &word_ends, &rows, &posting_ends] {
            numbers.iter().for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
        }
        bytes.extend_from_slice(&words);
        bytes.extend_from_slice(&postings);
        let (word_bytes, posting_bytes) = (words.len(), postings.len());
        Block { bytes: Bytes::Heap(bytes), first, count, words: number, word_bytes, posting_bytes }
    }
}

/// The rows that have a word, by their places in the block, ascending, and how often each has it.
pub(crate) struct Postings<'a> {
    bytes: &'a [u8],
    next: usize,
    count: usize,
}

impl Iterator for Postings<'_> {
    type Item = (usize, u32);

    #[inline]
    fn next(&mut self) -> Option<(usize, u32)> {
        let first = number(&mut self.bytes)?;
        let row = self.next + (first >> 1) as usize;
        let often = if first & 1 == 1 { number(&mut self.bytes)?.saturating_add(2) } else { 1 };
        self.next = row + 1;
        (row < self.count).then_some((row, often))
    }
}

/// Takes a number from the front.
#[inline(always)]
fn number(bytes: &mut &[u8]) -> Option<u32> {
    let (&low, rest) = bytes.split_first()?;
    *bytes = rest;
    if low < 0x80 {
        return Some(u32::from(low));
    }
    let mut value = u32::from(low & 0x7f);
    for shift in [7, 14, 21, 28] {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u32::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(value);
        }
    }
    None
}

fn push(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes rows one by one and makes a block of them.
#[derive(Default)]
pub(crate) struct Builder {
    numbers: HashMap<Box<str>, usize>,
    words: Vec<Growing>,
    lengths: Vec<u32>,
    /// Words of all rows, each as often as it is there.
    pub taken: usize,
}

/// A word's postings; the newest row's are still counted.
#[derive(Default)]
struct Growing {
    bytes: Vec<u8>,
    rows: usize,
    /// The row behind the last one written.
    next: usize,
    row: usize,
    often: u32,
}

impl Growing {
    fn write(&mut self) {
        if self.often > 0 {
            push(&mut self.bytes, ((self.row - self.next) as u32) << 1 | u32::from(self.often > 1));
            if self.often > 1 {
                push(&mut self.bytes, self.often - 2);
            }
            (self.next, self.often, self.rows) = (self.row + 1, 0, self.rows + 1);
        }
    }
}

impl Builder {
    /// Begins the next row.
    pub fn row(&mut self) {
        self.lengths.push(0);
    }

    /// Adds a word to the row that was begun last.
    pub fn word(&mut self, word: &str) {
        let Some(row) = self.lengths.len().checked_sub(1) else { return };
        let number = match self.numbers.get(word) {
            Some(&number) => number,
            None => {
                self.words.push(Growing::default());
                self.numbers.insert(word.into(), self.words.len() - 1);
                self.words.len() - 1
            }
        };
        let growing = &mut self.words[number];
        if growing.row != row {
            growing.write();
            growing.row = row;
        }
        growing.often += 1;
        self.lengths[row] += 1;
        self.taken += 1;
    }

    /// Rows so far.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// The block of the rows, the first of which has this number.
    pub fn finish(self, first: u32) -> Block {
        let mut sorted: Vec<(Box<str>, usize)> = self.numbers.into_iter().collect();
        sorted.sort_unstable();
        let mut words = self.words;
        let mut out = Parts { first, lengths: self.lengths, ..Parts::default() };
        for (word, number) in sorted {
            words[number].write();
            out.words.extend_from_slice(word.as_bytes());
            out.postings.extend_from_slice(&words[number].bytes);
            out.end_word(words[number].rows);
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn block(first: usize, rows: &[Vec<String>]) -> Block {
        let mut builder = Builder::default();
        for row in rows {
            builder.row();
            row.iter().for_each(|word| builder.word(word));
        }
        builder.finish(first as u32)
    }

    type Truth = BTreeMap<Vec<u8>, Vec<(usize, u32)>>;

    fn truth(rows: &[Vec<String>]) -> Truth {
        let mut truth = Truth::new();
        for (i, row) in rows.iter().enumerate() {
            for word in row {
                let postings = truth.entry(word.clone().into_bytes()).or_default();
                match postings.last_mut().filter(|last| last.0 == i) {
                    Some(last) => last.1 += 1,
                    None => postings.push((i, 1)),
                }
            }
        }
        truth
    }

    fn content(block: &Block) -> Truth {
        block.words().enumerate().map(|(i, word)| (word.to_vec(), block.postings(i).collect())).collect()
    }

    fn rows() -> impl Strategy<Value = Vec<Vec<String>>> {
        let word = prop_oneof![3 => "[ab]{1,2}", 1 => "[a-z\u{e9}]{1,12}"];
        prop::collection::vec(prop::collection::vec(word, 0..12), 1..300)
    }

    proptest! {
        #[test]
        fn a_block_has_its_rows_words_and_a_merged_one_those_of_both(rows in rows(), cut in any::<prop::sample::Index>()) {
            let whole = block(7, &rows);
            prop_assert_eq!(content(&whole), truth(&rows));
            let lengths: Vec<usize> = (0..rows.len()).map(|row| whole.length(row) as usize).collect();
            prop_assert_eq!(lengths, rows.iter().map(Vec::len).collect::<Vec<usize>>());
            for (word, postings) in truth(&rows) {
                let found = whole.find(&word).unwrap();
                prop_assert_eq!(whole.rows_with(found), postings.len());
            }
            prop_assert!(whole.find(b"").is_none() && whole.find(b"zzzzzzzzzzzzzzz").is_none());
            let at = cut.index(rows.len());
            if at > 0 {
                let merged = block(7, &rows[..at]).merged(&block(7 + at, &rows[at..]));
                prop_assert!(merged.bytes() == whole.bytes());
            }
        }

        #[test]
        fn bytes_that_nobody_wrote_are_refused_or_harmless(
            rows in rows(),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            end in any::<prop::sample::Index>(),
        ) {
            let written = block(0, &rows);
            let mut bytes = written.bytes().to_vec();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            for bytes in [&bytes[..], &bytes[..end.index(bytes.len())]] {
                let file = Segment::heap("index-1-1", bytes.len().max(1)).unwrap();
                file.store(bytes).unwrap();
                file.publish();
                let Some(read) = Block::mapped(&Arc::new(file), 0, bytes.len()) else { continue };
                for (word, name) in read.words().enumerate() {
                    read.find(name);
                    let rows: Vec<usize> = read.postings(word).map(|(row, _)| row).collect();
                    prop_assert!(rows.is_sorted_by(|a, b| a < b) && rows.iter().all(|&row| row < read.count));
                    prop_assert!(read.rows_with(word) <= read.count);
                }
                // Merging reads the same bytes.
                read.merged(&written);
                written.merged(&read);
            }
        }
    }

    #[test]
    fn numbers_of_any_size_are_read_as_they_were_written() {
        for n in [0, 1, 127, 128, 16_383, 16_384, 1 << 21, 1 << 28, u32::MAX] {
            let mut bytes = Vec::new();
            push(&mut bytes, n);
            assert_eq!(number(&mut &bytes[..]), Some(n));
            assert_eq!(number(&mut &bytes[..bytes.len() - 1]), None);
        }
        assert_eq!(number(&mut &[0xff; 9][..]), None);
    }
}

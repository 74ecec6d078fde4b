//! Which rows have these words, and how well they fit: BM25 over the text fields of the rows that are alive.
//!
//! ```text
//! row      the words of all its text fields, one bag
//! blocks   rows that follow one another, of each word its rows: each write adds one, those of like size are merged
//! score    sum over the query's words of   weight * often / (often + K1 * (1 - B + B * length / mean length))
//!          weight = times in the query * (K1 + 1) * ln(1 + (rows - rows with it + 0.5) / (rows with it + 0.5))
//! ```
//! Rows, lengths and rows with a word are counted over the live rows that have words, whatever the blocks and the history: a
//! collection of the same rows gives the same scores, to the last bit. So dead rows, which stay in the blocks, are left out
//! of the counts; sums go over the words in one order; and the logarithm is the same on every system.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use crate::data::{Datum, Names};
use crate::error::{Error, Result};
use crate::exact::sized;
use crate::options::Fields;
use crate::postings::{Block, Builder, ROWS};
use crate::rows::{Rows, Tombstones};
use crate::storage::checkpoint::{Checkpoint, Section};
use crate::storage::frame::BLOCK;
use crate::token::Token;
use crate::view::View;
use crate::words;

/// How soon a word that is there more often counts no more.
const K1: f64 = 1.2;
/// How much a row's length counts.
const B: f64 = 0.75;
/// Words of a row that count.
const MOST_WORDS: usize = 1 << 20;
/// Words from which on a block takes no more rows while it is made.
const FULL: usize = 1 << 20;
/// Bytes from which on a block is left as it is.
const LARGE: usize = 1 << 28;
/// What a checkpoint calls them.
pub(crate) const SECTION: &str = "text";
/// What the section begins with.
const HEAD: usize = 16;

/// The words of the rows of one moment.
#[derive(Clone, Default)]
pub(crate) struct Text {
    names: Names,
    blocks: Vec<Arc<Block>>,
    /// Live rows that have words.
    rows: u64,
    /// Their words, each as often as it is there.
    words: u64,
}

/// A row found, and how well it fits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scored {
    pub row: u32,
    pub score: f64,
}

impl Scored {
    /// Better ones first, and of those that are as good the row that came first.
    pub fn order(&self, other: &Scored) -> std::cmp::Ordering {
        other.score.total_cmp(&self.score).then(self.row.cmp(&other.row))
    }
}

/// A word of a query.
struct Asked {
    word: String,
    /// Live rows that have it.
    rows: u64,
    weight: f64,
}

impl Text {
    /// The text of these fields, of no rows.
    pub fn new(fields: &Fields) -> Text {
        Text { names: Names::of(fields.texts()), ..Text::default() }
    }

    /// Whether there are no text fields.
    pub fn is_empty(&self) -> bool {
        self.names.len() == 0
    }

    /// Forgets every row.
    pub fn clear(&mut self) {
        *self = Text { names: std::mem::take(&mut self.names), ..Text::default() };
    }

    /// Adds rows that follow those that are there, or those that were cleared. All are alive.
    pub fn extend(&mut self, rows: &Rows, numbers: Range<u32>) {
        self.add(numbers, |row| Some(rows.metadata(row)));
    }

    /// Adds rows; those without metadata have no words.
    fn add<'a>(&mut self, numbers: Range<u32>, metadata: impl Fn(u32) -> Option<&'a str>) {
        let mut first = numbers.start;
        while first < numbers.end {
            let block = self.block(first..numbers.end, &metadata);
            first += block.count as u32;
            (0..block.count).for_each(|row| self.count(block.length(row)));
            self.push(block);
        }
    }

    /// A block of as many of these rows as it takes.
    fn block<'a>(&self, numbers: Range<u32>, metadata: &impl Fn(u32) -> Option<&'a str>) -> Block {
        let mut builder = Builder::default();
        for row in numbers.clone() {
            if builder.len() == ROWS || builder.taken >= FULL {
                break;
            }
            builder.row();
            if let Some(metadata) = metadata(row) {
                self.read(metadata, &mut builder);
            }
        }
        builder.finish(numbers.start)
    }

    /// Reads the words of a row: those of every text, and of every array of texts, in its text fields.
    fn read(&self, metadata: &str, builder: &mut Builder) {
        let mut left = MOST_WORDS;
        let mut take = |value: &Datum| {
            if let Datum::Text(text) = value {
                words::each(&String::from_utf8_lossy(text), &mut |word| {
                    if left > 0 {
                        builder.word(word);
                        left -= 1;
                    }
                    left > 0
                });
            }
        };
        for datum in self.names.read(metadata) {
            match &datum {
                Datum::List(elements) => elements.iter().for_each(&mut take),
                value => take(value),
            }
        }
    }

    fn push(&mut self, mut block: Block) {
        while let Some(last) = self.blocks.last().filter(|last| {
            let fit = last.count + block.count <= ROWS && last.bytes().len() + block.bytes().len() <= LARGE;
            fit && last.count <= block.count
        }) {
            block = last.merged(&block);
            self.blocks.pop();
        }
        self.blocks.push(Arc::new(block));
    }

    fn count(&mut self, length: u32) {
        self.rows += u64::from(length > 0);
        self.words += u64::from(length);
    }

    /// Takes note that a row is dead, which it was not before.
    pub fn remove(&mut self, row: u32) {
        let at = self.blocks.partition_point(|block| block.first <= row);
        let Some(block) = at.checked_sub(1).map(|at| &self.blocks[at]) else { return };
        let place = (row - block.first) as usize;
        if place < block.count {
            let length = block.length(place);
            self.rows = self.rows.saturating_sub(u64::from(length > 0));
            self.words = self.words.saturating_sub(u64::from(length));
        }
    }

    /// The best `k` rows that live, of those that `hits` takes, best first. `dead` are the others, of the same moment.
    pub fn search(
        &self,
        dead: &Tombstones,
        query: &str,
        k: usize,
        hits: impl Fn(u32) -> bool,
        token: &Token,
    ) -> Result<Vec<Scored>> {
        let asked = self.asked(dead, query, token)?;
        let mean = self.words as f64 / self.rows.max(1) as f64;
        // What is still to come from each word on, at most; a little more, since sums are rounded.
        let mut to_come = vec![0.0; asked.len() + 1];
        for i in (0..asked.len()).rev() {
            to_come[i] = to_come[i + 1] + asked[i].weight * (1.0 + 1e-9);
        }
        let mut best = Best { k, entries: Vec::new(), limit: f64::NEG_INFINITY };
        let most = self.blocks.iter().map(|block| block.count).max().unwrap_or(0);
        let mut scores = sized(most, 1, 0.0_f64)?;
        let mut found: Vec<usize> = Vec::new();
        for block in &self.blocks {
            for (asked, &to_come) in asked.iter().zip(&to_come) {
                token.check()?;
                let Some(word) = block.find(asked.word.as_bytes()) else { continue };
                // A row that has only words from here on cannot be among the best.
                let closed = to_come < best.limit;
                for (row, often) in block.postings(word) {
                    if scores[row] == 0.0 {
                        if closed {
                            continue;
                        }
                        found.push(row);
                    }
                    scores[row] += score(asked.weight, often, block.length(row), mean);
                }
            }
            for place in found.drain(..) {
                let scored = Scored { row: block.first + place as u32, score: std::mem::take(&mut scores[place]) };
                if scored.score >= best.limit && !dead.contains(scored.row) && hits(scored.row) {
                    best.push(scored);
                }
            }
            // So that the next block can pass over what is too common.
            if best.entries.len() > k {
                best.shrink();
            }
        }
        best.shrink();
        Ok(best.entries)
    }

    /// The words of a query, rare ones first: the order in which they are summed up.
    fn asked(&self, dead: &Tombstones, query: &str, token: &Token) -> Result<Vec<Asked>> {
        let mut times: HashMap<String, u32> = HashMap::new();
        words::each(query, &mut |word| {
            *times.entry(word.to_owned()).or_default() += 1;
            !token.is_cancelled()
        });
        let mut asked = Vec::with_capacity(times.len());
        for (word, times) in times {
            token.check()?;
            let rows = self.blocks.iter().map(|block| live_with(block, &word, dead)).sum::<u64>().min(self.rows);
            if rows > 0 {
                let (all, with) = (self.rows as f64, rows as f64);
                let weight = f64::from(times) * (K1 + 1.0) * libm::log(1.0 + (all - with + 0.5) / (with + 0.5));
                asked.push(Asked { word, rows, weight });
            }
        }
        asked.sort_unstable_by(|a, b| a.rows.cmp(&b.rows).then_with(|| a.word.cmp(&b.word)));
        Ok(asked)
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.heap()).sum()
    }

    /// What a checkpoint keeps.
    pub fn section(&self) -> Option<Section<'_>> {
        if self.is_empty() {
            return None;
        }
        let mut starts = Vec::with_capacity(self.blocks.len());
        let mut len = HEAD;
        for block in &self.blocks {
            starts.push(len);
            len += block.bytes().len();
        }
        Some(Section::new(SECTION, 1, len, BLOCK, move |range: Range<usize>, out: &mut Vec<u8>| {
            let mut part = |from: usize, bytes: &[u8]| {
                let inside = |at: usize| at.clamp(from, from + bytes.len()) - from;
                out.extend_from_slice(&bytes[inside(range.start)..inside(range.end)]);
            };
            part(0, &words::rules());
            self.blocks.iter().zip(&starts).for_each(|(block, &start)| part(start, block.bytes()));
        }))
    }

    /// What a checkpoint kept of `rows` rows. Unlike other sections this one is checked here: what it lacks the rows
    /// have, and nothing else need be made again.
    pub fn load(fields: &Fields, checkpoint: &Checkpoint, rows: usize, dead: &Tombstones) -> Result<Text> {
        let mut text = Text::new(fields);
        if text.is_empty() {
            return Ok(text);
        }
        checkpoint.verify(|section| section == SECTION, &|| true)?;
        let (file, range) = checkpoint.part(SECTION).ok_or_else(|| checkpoint.lacks(SECTION))?;
        let (mut at, end) = (range.start + HEAD, range.end);
        if at > end || file.bytes(range.start, HEAD) != words::rules() {
            return Err(Error::corrupt(file.name(), range.start, "its text has other words"));
        }
        // What was cleared has no block, and every row behind that one.
        let mut next = None;
        while at < end {
            let block = Block::mapped(&file, at, end).ok_or_else(|| checkpoint.lacks(SECTION))?;
            if next.is_some_and(|next| next != block.first as usize) {
                return Err(checkpoint.lacks(SECTION));
            }
            next = Some(block.first as usize + block.count);
            at += block.bytes().len();
            text.blocks.push(Arc::new(block));
        }
        let first = text.blocks.first().map_or(rows, |block| block.first as usize);
        if next.unwrap_or(rows) != rows || (0..first).any(|row| !dead.contains(row as u32)) {
            return Err(checkpoint.lacks(SECTION));
        }
        for block in text.blocks.clone() {
            let live = (0..block.count).filter(|&row| !dead.contains(block.first + row as u32));
            live.for_each(|row| text.count(block.length(row)));
        }
        Ok(text)
    }

    /// The text of the first `count` rows, made from those that live.
    pub fn of_rows(fields: &Fields, rows: &Rows, count: u32, dead: &Tombstones) -> Result<Text> {
        let mut text = Text::new(fields);
        let before = rows.damage().map_or(0, |(times, _)| times);
        text.add(0..count, |row| (!dead.contains(row)).then(|| rows.metadata(row)));
        match rows.damage() {
            Some((times, error)) if times != before => Err(error),
            _ => Ok(text),
        }
    }

    /// The first row of a block whose words are not those of its live rows. Only inside of [`View::checked`].
    pub fn strange(&self, view: &View, go_on: &dyn Fn() -> Result<()>) -> Result<Option<u32>> {
        let live = |row: u32| view.is_live(row);
        for block in &self.blocks {
            go_on()?;
            // As many words as the block has may be more than one takes at once.
            let mut truth = Text { names: self.names.clone(), ..Text::default() };
            let numbers = block.first..block.first + block.count as u32;
            truth.add(numbers.clone(), |row| live(row).then(|| view.rows.metadata(row)));
            let made = truth.blocks.into_iter().reduce(|earlier, later| Arc::new(earlier.merged(&later)));
            let same = made.is_some_and(|made| {
                let lengths = |block: &Block| (0..block.count).map(|row| block.length(row)).collect::<Vec<u32>>();
                let (expected, there) = (lengths(&made), lengths(block));
                let long = numbers.zip(expected.iter().zip(&there)).all(|(row, (a, b))| a == b || !live(row));
                long && alive(&made, live).eq(alive(block, live))
            });
            if !same {
                return Ok(Some(block.first));
            }
        }
        Ok(None)
    }
}

/// Each word that live rows of a block have, with their places and how often they have it.
fn alive(block: &Block, live: impl Fn(u32) -> bool) -> impl Iterator<Item = (&[u8], Vec<(usize, u32)>)> {
    let of = move |number: usize| block.postings(number).filter(|&(row, _)| live(block.first + row as u32)).collect();
    block
        .words()
        .enumerate()
        .map(move |(number, word)| (word, of(number)))
        .filter(|(_, rows): &(_, Vec<_>)| !rows.is_empty())
}

/// Live rows of a block that have a word.
fn live_with(block: &Block, word: &str, dead: &Tombstones) -> u64 {
    let Some(word) = block.find(word.as_bytes()) else { return 0 };
    if dead.is_empty() {
        return block.rows_with(word) as u64;
    }
    block.postings(word).filter(|&(row, _)| !dead.contains(block.first + row as u32)).count() as u64
}

/// What a word adds to the score of a row: less than its weight.
#[inline(always)]
fn score(weight: f64, often: u32, length: u32, mean: f64) -> f64 {
    let often = f64::from(often);
    weight * (often / (often + K1 * (1.0 - B + B * f64::from(length) / mean)))
}

/// The best `k` of the rows that it was shown.
struct Best {
    k: usize,
    entries: Vec<Scored>,
    /// What is below this is not among them.
    limit: f64,
}

impl Best {
    fn push(&mut self, scored: Scored) {
        self.entries.push(scored);
        if self.entries.len() >= 2 * self.k + 64 {
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        self.entries.sort_unstable_by(Scored::order);
        self.entries.truncate(self.k);
        if self.entries.len() == self.k {
            self.limit = self.entries[self.k - 1].score;
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::{BTreeMap, HashSet};

    use proptest::prelude::*;

    use super::*;

    /// BM25 as it is defined, over rows and their words: every row that has one of the query's, best first.
    pub fn truth(rows: &BTreeMap<u32, Vec<String>>, query: &[String]) -> Vec<Scored> {
        let rows: Vec<(u32, &Vec<String>)> =
            rows.iter().filter(|row| !row.1.is_empty()).map(|(&row, words)| (row, words)).collect();
        let all = rows.len() as f64;
        let mean = rows.iter().map(|row| row.1.len()).sum::<usize>() as f64 / all;
        let mut scored: Vec<Scored> = Vec::new();
        for (row, words) in &rows {
            let mut score = 0.0;
            for word in query {
                let often = words.iter().filter(|own| *own == word).count() as f64;
                let with = rows.iter().filter(|row| row.1.contains(word)).count() as f64;
                let idf = (1.0 + (all - with + 0.5) / (with + 0.5)).ln();
                score += idf * often * 2.2 / (often + 1.2 * (0.25 + 0.75 * words.len() as f64 / mean));
            }
            if words.iter().any(|word| query.contains(word)) {
                scored.push(Scored { row: *row, score });
            }
        }
        scored.sort_unstable_by(Scored::order);
        scored
    }

    /// `found` are the first of `truth` but for what rounding decides, and rows that are as good stand by arrival.
    pub fn assert_agrees(found: &[Scored], truth: &[Scored], k: usize) {
        assert_eq!(found.len(), truth.len().min(k));
        let of: HashMap<u32, f64> = truth.iter().map(|hit| (hit.row, hit.score)).collect();
        for (found, truth) in found.iter().zip(truth) {
            let near = |other: f64| (found.score - other).abs() <= 1e-9 * other;
            assert!(near(truth.score) && of.get(&found.row).is_some_and(|&own| near(own)), "{found:?} {truth:?}");
        }
        assert!(found.is_sorted_by(|a, b| a.order(b).is_lt()));
    }

    fn fields() -> Fields {
        Fields::parse(&[("t".into(), "text".into()), ("u".into(), "text".into()), ("n".into(), "number".into())])
            .unwrap()
    }

    fn metadata(words: &[String]) -> String {
        // Some words in one field, some in an array in another, and some where they do not count.
        let (a, b) = words.split_at(words.len() / 2);
        serde_json::json!({ "t": a.join(" "), "u": [b.join(", "), 7, null], "v": "a b c", "n": 1 }).to_string()
    }

    /// Rows written in parts, some of them dead; the text, and what lives.
    fn history(rows: &[Vec<String>], cuts: &[usize], dead: &[usize]) -> (Text, Tombstones, BTreeMap<u32, Vec<String>>) {
        let texts: Vec<String> = rows.iter().map(|words| metadata(words)).collect();
        let (mut text, mut tombstones) = (Text::new(&fields()), Tombstones::default());
        let mut first = 0;
        for cut in cuts.iter().cycle() {
            let end = (first + cut).min(rows.len());
            text.add(first as u32..end as u32, |row| Some(&texts[row as usize]));
            first = end;
            if first == rows.len() {
                break;
            }
        }
        for &row in dead {
            if tombstones.insert(row as u32) {
                text.remove(row as u32);
            }
        }
        let live = (0..rows.len() as u32).filter(|&row| !tombstones.contains(row));
        let live = live.map(|row| (row, rows[row as usize].clone())).collect();
        (text, tombstones, live)
    }

    fn word() -> impl Strategy<Value = String> {
        prop_oneof![4 => "[a-e]", 2 => "[a-e]{2}", 1 => Just("\u{e9}t\u{e9}".to_owned())]
    }

    proptest! {
        #[test]
        fn scores_are_those_of_the_definition_whatever_the_history(
            rows in prop::collection::vec(prop::collection::vec(word(), 0..9), 1..120),
            cuts in prop::collection::vec(1..30_usize, 1..9),
            dead in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
            query in prop::collection::vec(word(), 0..5),
            k in 1..20_usize,
        ) {
            let dead: Vec<usize> = dead.iter().map(|row| row.index(rows.len())).collect();
            let (text, tombstones, live) = history(&rows, &cuts, &dead);
            let asked = query.join(" \u{1f600} ");
            let token = Token::default();
            let found = text.search(&tombstones, &asked, k, |_| true, &token).unwrap();
            assert_agrees(&found, &truth(&live, &query), k);
            // Some rows only, whose scores stay the same.
            let some = text.search(&tombstones, &asked, rows.len(), |row| row % 3 == 1, &token).unwrap();
            let all = text.search(&tombstones, &asked, rows.len(), |_| true, &token).unwrap();
            prop_assert!(all.iter().filter(|hit| hit.row % 3 == 1).eq(&some));
            // To the last bit the scores of a collection that never had more than the rows that live.
            let fresh: Vec<Vec<String>> = live.values().cloned().collect();
            let numbers: Vec<u32> = live.keys().copied().collect();
            if !fresh.is_empty() {
                let (text, none, _) = history(&fresh, &[fresh.len()], &[]);
                let mut same = text.search(&none, &asked, k, |_| true, &token).unwrap();
                same.iter_mut().for_each(|hit| hit.row = numbers[hit.row as usize]);
                prop_assert_eq!(same, found);
            }
        }
    }

    #[test]
    fn many_blocks_with_common_and_rare_words() {
        let rows = 15_000;
        let words = |row: u32| {
            let mut words = vec!["the".to_owned(); 1 + row as usize % 3];
            words.push(format!("w{}", row % 1000));
            words.extend((row % 5000 == 7).then(|| "rare".to_owned()));
            words
        };
        let texts: Vec<String> = (0..rows).map(|row| metadata(&words(row))).collect();
        let mut text = Text::new(&fields());
        // Each half of what is left, so that none is merged.
        for part in [0..8000, 8000..12_000, 12_000..14_000, 14_000..rows] {
            text.add(part, |row| Some(&texts[row as usize]));
        }
        assert_eq!(text.blocks.len(), 4);
        let live: BTreeMap<u32, Vec<String>> = (0..rows).map(|row| (row, words(row))).collect();
        for query in ["the", "rare the", "w7 the rare w999"] {
            let query: Vec<String> = query.split(' ').map(str::to_owned).collect();
            // What the definition gives, a row of each kind at a time.
            let kinds = |row: u32| (row % 3, row % 1000, row % 5000 == 7);
            let asked = |row: &u32| live[row].iter().any(|word| query.contains(word));
            let mut seen = HashSet::new();
            let of_kind: Vec<u32> = live.keys().copied().filter(|&row| seen.insert(kinds(row))).collect();
            let score_of = {
                let with = |word: &String| live.values().filter(|words| words.contains(word)).count() as f64;
                let all = f64::from(rows);
                let mean = live.values().map(Vec::len).sum::<usize>() as f64 / all;
                let weights: Vec<f64> =
                    query.iter().map(with).map(|with| 2.2 * (1.0 + (all - with + 0.5) / (with + 0.5)).ln()).collect();
                let score = |row: u32| -> f64 {
                    let own = &live[&row];
                    let of = |(word, weight): (&String, &f64)| {
                        let often = own.iter().filter(|known| *known == word).count() as f64;
                        weight * often / (often + 1.2 * (0.25 + 0.75 * own.len() as f64 / mean))
                    };
                    query.iter().zip(&weights).map(of).sum()
                };
                of_kind.iter().map(|&row| (kinds(row), score(row))).collect::<HashMap<_, f64>>()
            };
            let mut expected: Vec<Scored> =
                live.keys().filter(|row| asked(row)).map(|&row| Scored { row, score: score_of[&kinds(row)] }).collect();
            expected.sort_unstable_by(Scored::order);
            for k in [1, 4, 300] {
                let found =
                    text.search(&Tombstones::default(), &query.join(" "), k, |_| true, &Token::default()).unwrap();
                assert_agrees(&found, &expected, k);
            }
        }
    }

    #[test]
    fn blocks_are_merged_and_never_too_large() {
        let mut text = Text::new(&fields());
        let sizes = [1, 700, 3, 60_000, 65_536, 1, 1, 70_000];
        let mut next = 0;
        for size in sizes {
            text.add(next..next + size, |row| (row % 5000 == 0).then_some("{\"t\":\"a\"}"));
            next += size;
        }
        assert!(text.blocks.len() < sizes.len() && text.blocks.iter().all(|block| block.count <= ROWS));
        let found = text.search(&Tombstones::default(), "a", 100, |_| true, &Token::default()).unwrap();
        assert!(found.iter().map(|hit| hit.row).eq((0..next).step_by(5000)));
    }

    #[test]
    fn rows_and_queries_of_any_size_are_read() {
        let long = "a ".repeat(MOST_WORDS) + "behind";
        let texts = [metadata(&["x".repeat(1 << 20)]), serde_json::json!({ "t": long }).to_string(), "{}".into()];
        let mut text = Text::new(&fields());
        text.add(0..3, |row| Some(&texts[row as usize]));
        assert_eq!((text.rows, text.words), (2, 1 + MOST_WORDS as u64));
        let find = |query: &str| text.search(&Tombstones::default(), query, 9, |_| true, &Token::default()).unwrap();
        let rows = |query: &str| find(query).iter().map(|hit| hit.row).collect::<Vec<u32>>();
        assert_eq!(rows(&"x".repeat(2 << 20)), [0]);
        assert_eq!(rows(&long), [1]);
        assert_eq!((rows("behind"), rows(""), rows("\u{fffd} ?")), (vec![], vec![], vec![]));
        let many: String = (0..200_000).map(|n| format!("{n} ")).collect();
        assert_eq!(rows(&(many + "a")), [1]);
        let cancelled = Token::default();
        cancelled.cancel();
        assert!(text.search(&Tombstones::default(), "a", 9, |_| true, &cancelled).is_err());
    }
}

//! What rows have in the fields that the user declared, turned around: of each value its rows.
//!
//! ```text
//! rows      0 ........ 65,535 | 65,536 ... 98,303 | 98,304 ... | ...     blocks of rows that follow one another
//! a block   of each field     keys     the values that some row has, sorted:  kind, then bytes in the values' order
//!                             rows     of each key, numbers of the block's rows
//!                             missing, null, long     rows without the field, with a null, with text too long to be listed
//! ```
//! What a row has never changes, so a block never does: each write adds one of its rows, and blocks of like size are
//! merged until they are full. A view keeps those that it had. Dead rows stay in them and are left out by whoever asks.
//!
//! What is asked of fields that are not here, or of text too long to be, columns cannot answer. So the answer is two
//! sets of rows: those that may match, and among them those that surely do; between the two, metadata decide.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::data::{Datum, Names, Value};
use crate::error::Result;
use crate::filter::{Filter, Node, Test, contains};
use crate::options::Fields;
use crate::rows::Rows;
use crate::storage::checkpoint::{Checkpoint, Section};
use crate::storage::frame::{BLOCK, word32};

/// Most rows of a block: their numbers have 16 bits.
const ROWS: usize = 1 << 16;
/// Bytes of keys from which on a block is left as it is.
const KEYS: usize = 1 << 28;
/// Longest text that is listed, in bytes.
const LONGEST: usize = 1024;
/// What a checkpoint calls them.
const SECTION: &str = "columns";

/// A set of the rows of a block, or of a view, a bit each.
pub(crate) type Bits = Vec<u64>;

/// The columns of the rows of one moment.
#[derive(Clone, Default)]
pub(crate) struct Columns {
    names: Names,
    blocks: Vec<Arc<Block>>,
}

/// Some rows' columns, one a field.
struct Block {
    first: u32,
    count: usize,
    fields: Vec<Column>,
}

#[derive(Default)]
struct Column {
    /// Of each key, where its bytes end.
    key_ends: Vec<u32>,
    keys: Vec<u8>,
    /// Of each key, where its rows end.
    row_ends: Vec<u32>,
    rows: Vec<u16>,
    missing: Vec<u16>,
    null: Vec<u16>,
    long: Vec<u16>,
    /// Rows that have a key, where none has two of them; empty where one has.
    single: Bits,
}

/// The bytes of a key are ordered as the values are.
fn key_of(value: &Datum) -> Option<Vec<u8>> {
    let key = |kind: u8, bytes: &[u8]| [&[kind], bytes].concat();
    match value {
        Datum::Bool(value) => Some(key(0, &[u8::from(*value)])),
        Datum::Number(number) => Some(key(1, &ordered(*number))),
        Datum::Text(text) => Some(key(2, text)),
        _ => None,
    }
}

pub(crate) fn key_of_value(value: &Value) -> Vec<u8> {
    match value {
        Value::Bool(value) => vec![0, u8::from(*value)],
        Value::Number(number) => [&[1], &ordered(*number)[..]].concat(),
        Value::Text(text) => [&[2], &**text].concat(),
    }
}

/// A number as bytes whose order is that of numbers.
fn ordered(number: f64) -> [u8; 8] {
    let bits = number.to_bits();
    (bits ^ if bits >> 63 == 1 { u64::MAX } else { 1 << 63 }).to_be_bytes()
}

impl Column {
    /// The column of what some rows have in one field.
    fn of<'a: 'd, 'd>(data: impl Iterator<Item = &'d Datum<'a>>) -> Column {
        let mut column = Column::default();
        let mut entries: Vec<(Vec<u8>, u16)> = Vec::new();
        for (row, datum) in (0..=u16::MAX).zip(data) {
            let (mut long, mut null) = (false, false);
            let mut take = |value: &Datum| match (value, key_of(value)) {
                (Datum::Null, _) => null = true,
                (_, Some(key)) if key.len() <= LONGEST => entries.push((key, row)),
                (_, Some(_)) => long = true,
                // What is equal to nothing passes no test of values.
                (_, None) => {}
            };
            match datum {
                Datum::Missing => column.missing.push(row),
                Datum::List(elements) => elements.iter().for_each(take),
                value => take(value),
            }
            column.long.extend(long.then_some(row));
            column.null.extend(null.then_some(row));
        }
        entries.sort_unstable();
        entries.dedup();
        for same in entries.chunk_by(|a, b| a.0 == b.0) {
            column.push(&same[0].0, same.iter().map(|entry| entry.1));
        }
        column.finished()
    }

    /// The column, and what follows from its rows.
    fn finished(mut self) -> Column {
        let last = self.rows.iter().max().map_or(0, |&row| usize::from(row) + 1);
        let mut single = bits(last, false);
        set(&mut single, &self.rows);
        let rows: usize = single.iter().map(|word| word.count_ones() as usize).sum();
        self.single = if rows == self.rows.len() { single } else { Bits::new() };
        self
    }

    /// Appends a key that is greater than the others, and its rows.
    fn push(&mut self, key: &[u8], rows: impl Iterator<Item = u16>) {
        self.keys.extend_from_slice(key);
        self.key_ends.push(self.keys.len() as u32);
        self.rows.extend(rows);
        self.row_ends.push(self.rows.len() as u32);
    }

    /// The column of the rows of both; those of `later` come after `shift` others.
    fn merged(&self, later: &Column, shift: usize) -> Column {
        // Together they are at most ROWS, so the sum fits.
        let shifted = |rows: &[u16]| rows.iter().map(|&row| (usize::from(row) + shift) as u16).collect::<Vec<u16>>();
        let both = |a: &[u16], b: &[u16]| [a, &shifted(b)].concat();
        let mut column = Column {
            missing: both(&self.missing, &later.missing),
            null: both(&self.null, &later.null),
            long: both(&self.long, &later.long),
            ..Column::default()
        };
        let (mut i, mut j) = (0, 0);
        while i < self.len() || j < later.len() {
            let order = match (i < self.len(), j < later.len()) {
                (true, true) => self.key(i).cmp(later.key(j)),
                (true, false) => Ordering::Less,
                (false, _) => Ordering::Greater,
            };
            let mut rows = Vec::new();
            let key = if order == Ordering::Greater { later.key(j) } else { self.key(i) };
            if order != Ordering::Greater {
                rows.extend_from_slice(self.rows_of(i..i + 1));
                i += 1;
            }
            if order != Ordering::Less {
                rows.extend(shifted(later.rows_of(j..j + 1)));
                j += 1;
            }
            column.push(key, rows.into_iter());
        }
        column.finished()
    }

    /// Keys.
    fn len(&self) -> usize {
        self.key_ends.len()
    }

    fn key(&self, i: usize) -> &[u8] {
        let start = i.checked_sub(1).map_or(0, |before| self.key_ends[before]);
        &self.keys[start as usize..self.key_ends[i] as usize]
    }

    /// The rows of keys that follow one another; those of each ascend.
    fn rows_of(&self, keys: Range<usize>) -> &[u16] {
        if keys.is_empty() {
            return &[];
        }
        let start = keys.start.checked_sub(1).map_or(0, |before| self.row_ends[before]);
        &self.rows[start as usize..self.row_ends[keys.end - 1] as usize]
    }

    /// The first key that is not less than `bound`, or behind it.
    fn lower(&self, bound: &[u8]) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            if self.key(middle) < bound { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// The first key behind `bound`.
    fn upper(&self, bound: &[u8]) -> usize {
        let at = self.lower(bound);
        at + usize::from(at < self.len() && self.key(at) == bound)
    }

    /// Rows that may pass a test, and those that surely do.
    fn select(&self, test: &Test, count: usize) -> Selected {
        let mut sure = bits(count, false);
        match test {
            Test::Exists => {
                set(&mut sure, &self.missing);
                return Selected::exactly(sure).not(count);
            }
            Test::Null => {
                set(&mut sure, &self.missing);
                set(&mut sure, &self.null);
                return Selected::exactly(sure);
            }
            Test::Among(values) => {
                for value in values {
                    let key = key_of_value(value);
                    set(&mut sure, self.rows_of(self.lower(&key)..self.upper(&key)));
                }
            }
            Test::Ordered { side, or_equal, than } => {
                let key = key_of_value(than);
                let keys = match (side, or_equal) {
                    (Ordering::Less, true) => self.lower(&key[..1])..self.upper(&key),
                    (Ordering::Less, false) => self.lower(&key[..1])..self.lower(&key),
                    (_, true) => self.lower(&key)..self.lower(&[key[0] + 1]),
                    (_, false) => self.upper(&key)..self.lower(&[key[0] + 1]),
                };
                self.set_range(&mut sure, keys);
            }
            Test::StartsWith(start) => {
                let start = key_of_value(&Value::Text(start.clone()));
                let first = self.lower(&start);
                let more = (first..self.len()).take_while(|&i| self.key(i).starts_with(&start)).count();
                set(&mut sure, self.rows_of(first..first + more));
            }
            Test::Contains(part) => {
                for i in self.lower(&[2])..self.len() {
                    if contains(&self.key(i)[1..], part) {
                        set(&mut sure, self.rows_of(i..i + 1));
                    }
                }
            }
        }
        let mut can = sure.clone();
        set(&mut can, &self.long);
        Selected { can, sure }
    }

    /// Sets the rows of keys that follow one another: those, or where they are most, all but the others.
    fn set_range(&self, sure: &mut Bits, keys: Range<usize>) {
        let rows = self.rows_of(keys.clone());
        if rows.len() <= self.rows.len() / 2 || self.single.is_empty() {
            return set(sure, rows);
        }
        sure.iter_mut().zip(&self.single).for_each(|(word, single)| *word |= single);
        for others in [0..keys.start, keys.end..self.len()] {
            self.rows_of(others).iter().for_each(|&row| sure[usize::from(row) / 64] &= !(1 << (row % 64)));
        }
    }

    fn bytes(&self) -> usize {
        self.keys.len()
            + self.single.len() * 8
            + (self.key_ends.len() + self.row_ends.len()) * 4
            + (self.rows.len() + self.missing.len() + self.null.len() + self.long.len()) * 2
    }
}

fn set(bits: &mut Bits, rows: &[u16]) {
    rows.iter().for_each(|&row| bits[usize::from(row) / 64] |= 1 << (row % 64));
}

/// `count` bits.
fn bits(count: usize, all: bool) -> Bits {
    let mut bits = vec![if all { u64::MAX } else { 0 }; count.div_ceil(64)];
    if all && !count.is_multiple_of(64) {
        let last = bits.len() - 1;
        bits[last] = (1 << (count % 64)) - 1;
    }
    bits
}

/// Rows that may match, and those of them that surely do.
pub(crate) struct Selected {
    pub can: Bits,
    pub sure: Bits,
}

impl Selected {
    fn exactly(rows: Bits) -> Selected {
        Selected { can: rows.clone(), sure: rows }
    }

    fn not(self, count: usize) -> Selected {
        let flip = |rows: Bits| rows.iter().zip(bits(count, true)).map(|(&word, all)| !word & all).collect();
        Selected { can: flip(self.sure), sure: flip(self.can) }
    }

    fn join(mut self, other: &Selected, join: impl Fn(&mut u64, u64)) -> Selected {
        self.can.iter_mut().zip(&other.can).for_each(|(word, &other)| join(word, other));
        self.sure.iter_mut().zip(&other.sure).for_each(|(word, &other)| join(word, other));
        self
    }
}

impl Block {
    fn select(&self, node: &Node, columns: &[Option<usize>]) -> Selected {
        let all = |all| Selected::exactly(bits(self.count, all));
        match node {
            Node::All(nodes) => nodes
                .iter()
                .fold(all(true), |rows, node| rows.join(&self.select(node, columns), |word, other| *word &= other)),
            Node::Any(nodes) => nodes
                .iter()
                .fold(all(false), |rows, node| rows.join(&self.select(node, columns), |word, other| *word |= other)),
            Node::Not(node) => self.select(node, columns).not(self.count),
            Node::Has(field, test) => match columns[*field] {
                Some(column) => self.fields[column].select(test, self.count),
                None => Selected { can: bits(self.count, true), sure: bits(self.count, false) },
            },
        }
    }

    fn merged(&self, later: &Block) -> Block {
        let fields = self.fields.iter().zip(&later.fields).map(|(a, b)| a.merged(b, self.count)).collect();
        Block { first: self.first, count: self.count + later.count, fields }
    }

    fn bytes(&self) -> usize {
        self.fields.iter().map(Column::bytes).sum()
    }
}

impl Columns {
    /// Columns for these fields, of no rows.
    pub fn new(fields: &Fields) -> Columns {
        Columns { names: Names::of(fields.columns()), blocks: Vec::new() }
    }

    /// Whether there are any fields.
    pub fn is_empty(&self) -> bool {
        self.names.len() == 0
    }

    /// Rows before this one were cleared, and have no columns.
    pub fn first(&self) -> Option<u32> {
        self.blocks.first().map(|block| block.first)
    }

    /// Forgets every row.
    pub fn clear(&mut self) {
        self.blocks.clear();
    }

    /// Adds rows that follow those that are there, or those that were cleared.
    pub fn extend(&mut self, rows: &Rows, numbers: Range<u32>) {
        for first in numbers.clone().step_by(ROWS) {
            let some = first..numbers.end.min(first.saturating_add(ROWS as u32));
            self.add(first, some.map(|row| rows.metadata(row)));
        }
    }

    /// Adds at most [`ROWS`] rows with these metadata.
    fn add<'a>(&mut self, first: u32, metadata: impl Iterator<Item = &'a str>) {
        let data: Vec<Vec<Datum>> = metadata.map(|text| self.names.read(text)).collect();
        let column = |field: usize| Column::of(data.iter().map(|row| &row[field]));
        let fields = (0..self.names.len()).map(column).collect();
        self.push(Block { first, count: data.len(), fields });
    }

    fn push(&mut self, mut block: Block) {
        while let Some(last) = self.blocks.last().filter(|last| {
            let fit = last.count + block.count <= ROWS && last.bytes() + block.bytes() <= KEYS;
            fit && last.count <= block.count
        }) {
            block = last.merged(&block);
            self.blocks.pop();
        }
        self.blocks.push(Arc::new(block));
    }

    /// The rows below `count`, dead ones too, that may match a filter, and those of them that surely do. `None` where
    /// none of its fields has a column: then every row may.
    pub fn select(&self, filter: &Filter, count: usize) -> Result<Option<Selected>> {
        let columns: Vec<Option<usize>> = {
            let mut columns = vec![None; filter.names.len()];
            filter.names.iter().for_each(|(name, field)| columns[field] = self.names.find(name));
            columns
        };
        if columns.iter().all(Option::is_none) {
            return Ok(None);
        }
        let words = || crate::exact::sized(count.div_ceil(64), 1, 0);
        let mut rows = Selected { can: words()?, sure: words()? };
        for block in &self.blocks {
            let Selected { can, sure } = block.select(&filter.root, &columns);
            place(&can, block.first as usize, &mut rows.can);
            place(&sure, block.first as usize, &mut rows.sure);
        }
        Ok(Some(rows))
    }

    /// How many values rows have in a field, dead ones too, where all are listed and they are at most `most`.
    pub fn values(&self, field: &str, most: usize) -> Option<usize> {
        let field = self.names.find(field.as_bytes())?;
        let columns = || self.blocks.iter().map(|block| &block.fields[field]);
        if columns().any(|column| column.len() > most || !column.long.is_empty()) {
            return None;
        }
        let keys: BTreeSet<&[u8]> = columns().flat_map(|column| (0..column.len()).map(|i| column.key(i))).collect();
        Some(keys.len()).filter(|&values| values <= most)
    }

    /// Bytes on the heap.
    pub fn bytes(&self) -> usize {
        self.blocks.iter().map(|block| block.bytes()).sum()
    }

    /// What a checkpoint keeps.
    pub fn section(&self) -> Option<Section<'static>> {
        if self.is_empty() {
            return None;
        }
        let out = self.written();
        Some(Section::new(SECTION, 1, out.len(), BLOCK, move |range, to| to.extend_from_slice(&out[range])))
    }

    fn written(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let number = |out: &mut Vec<u8>, n: usize| out.extend_from_slice(&(n as u32).to_le_bytes());
        for block in &self.blocks {
            number(&mut out, block.first as usize);
            number(&mut out, block.count);
            for column in &block.fields {
                let Column { key_ends, keys, row_ends, rows, missing, null, long, .. } = column;
                number(&mut out, key_ends.len());
                for ends in [key_ends, row_ends] {
                    ends.iter().for_each(|&end| number(&mut out, end as usize));
                }
                for rows in [rows, missing, null, long] {
                    number(&mut out, rows.len());
                    rows.iter().for_each(|row| out.extend_from_slice(&row.to_le_bytes()));
                }
                number(&mut out, keys.len());
                out.extend_from_slice(keys);
            }
        }
        out
    }

    /// What a checkpoint kept of `rows` rows.
    pub fn load(fields: &Fields, checkpoint: &Checkpoint, rows: usize) -> Result<Columns> {
        let mut columns = Columns::new(fields);
        if columns.is_empty() {
            return Ok(columns);
        }
        columns.read(checkpoint.bytes(SECTION), rows).ok_or_else(|| checkpoint.lacks(SECTION))?;
        Ok(columns)
    }

    /// Takes blocks from bytes, whatever they are; `None` where they are not what [`Columns::section`] wrote.
    fn read(&mut self, bytes: &[u8], rows: usize) -> Option<()> {
        let mut bytes = Reader(bytes);
        // What was cleared has no block, and every row behind that one.
        let mut next = None;
        while !bytes.0.is_empty() {
            let (first, count) = (bytes.number()?, bytes.number()?);
            if count == 0 || count > ROWS || next.is_some_and(|next| next != first) {
                return None;
            }
            let fields = (0..self.names.len()).map(|_| bytes.column(count)).collect::<Option<Vec<Column>>>()?;
            self.blocks.push(Arc::new(Block { first: u32::try_from(first).ok()?, count, fields }));
            next = Some(first + count);
        }
        (next.unwrap_or(rows) == rows).then_some(())
    }
}

/// Puts the bits of a block where its rows are.
fn place(block: &Bits, first: usize, rows: &mut Bits) {
    let (at, shift) = (first / 64, first % 64);
    for (i, &word) in block.iter().enumerate().filter(|(_, word)| **word != 0) {
        // Rows past the end are newer than the view.
        if let Some(low) = rows.get_mut(at + i) {
            *low |= word << shift;
        }
        if let Some(high) = rows.get_mut(at + i + 1).filter(|_| shift > 0) {
            *high |= word >> (64 - shift);
        }
    }
}

/// What is left of a section's bytes.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<usize> {
        self.take(4).map(|bytes| word32(bytes, 0) as usize)
    }

    fn numbers(&mut self, count: usize) -> Option<Vec<u32>> {
        Some(self.take(count.checked_mul(4)?)?.chunks_exact(4).map(|bytes| word32(bytes, 0)).collect())
    }

    fn rows(&mut self, count: usize) -> Option<Vec<u16>> {
        let len = self.number()?;
        let bytes = self.take(len.checked_mul(2)?)?;
        let rows: Vec<u16> = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
        rows.iter().all(|&row| usize::from(row) < count).then_some(rows)
    }

    /// A column of a block of `count` rows. What holds of any column is checked: ends ascend to the end of what they
    /// count, rows are the block's, and no key is empty.
    fn column(&mut self, count: usize) -> Option<Column> {
        let len = self.number()?;
        let (key_ends, row_ends) = (self.numbers(len)?, self.numbers(len)?);
        let (rows, missing, null, long) = (self.rows(count)?, self.rows(count)?, self.rows(count)?, self.rows(count)?);
        let keys = self.number()?;
        let keys = self.take(keys)?.to_vec();
        let end = |ends: &[u32]| ends.last().map_or(0, |&end| end as usize);
        let holds = key_ends.first().is_none_or(|&end| end > 0)
            && key_ends.is_sorted_by(|a, b| a < b)
            && row_ends.is_sorted()
            && (end(&key_ends), end(&row_ends)) == (keys.len(), rows.len());
        holds.then(|| Column { key_ends, keys, row_ends, rows, missing, null, long, single: Bits::new() }.finished())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn columns(types: &[(&str, &str)]) -> Columns {
        let given: Vec<(String, String)> = types.iter().map(|&(name, kind)| (name.into(), kind.into())).collect();
        Columns::new(&Fields::parse(&given).unwrap())
    }

    /// The columns' answer agrees with each row's metadata, and leaves only those open that it must.
    fn check(columns: &Columns, rows: &[String], filter: &str, open: impl Fn(&str) -> bool) {
        let filter = Filter::parse(filter).unwrap();
        let Some(Selected { can, sure }) = columns.select(&filter, rows.len()).unwrap() else {
            assert!(filter.names.iter().all(|(name, _)| columns.names.find(name).is_none()));
            return;
        };
        for (row, text) in rows.iter().enumerate() {
            let bit = |bits: &Bits| bits[row / 64] >> (row % 64) & 1 == 1;
            let matches = filter.matches(text);
            assert!(!bit(&sure) || matches, "row {row} does not match, surely");
            assert!(bit(&can) || !matches, "row {row} matches, and cannot");
            assert!(bit(&can) == bit(&sure) || open(text), "row {row} is left open");
        }
        let past = rows.len() % 64;
        assert!(past == 0 || can.last().is_none_or(|last| last >> past == 0), "rows past the last");
    }

    fn scalar() -> impl Strategy<Value = String> {
        let text = "[ab\u{e9}\u{1f600}]{0,2}".prop_map(|text| format!("{text:?}"));
        let number = prop_oneof![
            (-3..4).prop_map(|n: i32| n.to_string()),
            any::<f64>().prop_map(|x| if x.is_finite() { x.to_string() } else { "1e999".into() })
        ];
        let others = prop::sample::select(vec!["true", "false", "null", "-0.0", "\"\\ud800\""]);
        prop_oneof![3 => text, 3 => number, 2 => others.prop_map(str::to_owned)]
    }

    fn value() -> impl Strategy<Value = String> {
        let list = prop::collection::vec(scalar(), 0..4).prop_map(|some| format!("[{}]", some.join(",")));
        let other = prop::sample::select(vec!["{\"a\":1}", "[[1]]", "[{},2]"]);
        prop_oneof![6 => scalar(), 3 => list, 1 => other.prop_map(str::to_owned)]
    }

    fn row() -> impl Strategy<Value = String> {
        prop::collection::vec(("[abc]", value()), 0..4).prop_map(|entries| {
            let entries: Vec<String> = entries.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
            format!("{{{}}}", entries.join(","))
        })
    }

    fn filter() -> impl Strategy<Value = String> {
        let finite = || scalar().prop_filter("an operand", |text| text != "1e999");
        let ordered = finite().prop_filter("ordered", |text| !matches!(&**text, "null" | "true" | "false"));
        let order = (prop::sample::select(vec!["$gt", "$gte", "$lt", "$lte"]), ordered);
        let among = prop::collection::vec(finite(), 0..4).prop_map(|some| format!("[{}]", some.join(",")));
        let condition = prop_oneof![
            (prop::sample::select(vec!["$eq", "$ne"]), finite()),
            (prop::sample::select(vec!["$in", "$nin"]), among),
            order,
            (Just("$exists"), prop::sample::select(vec!["true", "false"]).prop_map(str::to_owned)),
            (prop::sample::select(vec!["$startsWith", "$contains"]), "[ab]{0,2}".prop_map(|text| format!("{text:?}"))),
        ];
        let leaf = ("[abc]", condition).prop_map(|(name, (op, operand))| format!("{{{name:?}:{{{op:?}:{operand}}}}}"));
        leaf.prop_recursive(3, 12, 3, |inner| {
            let some = prop::collection::vec(inner.clone(), 0..3).prop_map(|some| some.join(","));
            prop_oneof![
                (prop::sample::select(vec!["$and", "$or"]), some).prop_map(|(op, some)| format!("{{{op:?}:[{some}]}}")),
                inner.prop_map(|inner| format!("{{\"$not\":{inner}}}")),
            ]
        })
    }

    proptest! {
        #[test]
        fn columns_answer_as_metadata_do(
            rows in prop::collection::vec(row(), 1..200),
            cuts in prop::collection::vec(1..40_usize, 1..20),
            filters in prop::collection::vec(filter(), 20),
        ) {
            let mut some = columns(&[("a", "keyword"), ("b", "number")]);
            let mut rest = &rows[..];
            for &cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at(cut.min(rest.len()));
                some.add((rows.len() - rest.len()) as u32, now.iter().map(String::as_str));
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            for filter in &filters {
                check(&some, &rows, filter, |_| filter.contains("\"c\""));
            }
            let mut again = columns(&[("a", "keyword"), ("b", "number")]);
            prop_assert!(again.read(&some.written(), rows.len()).is_some());
            prop_assert!(again.written() == some.written() && again.bytes() == some.bytes());
            filters.iter().for_each(|filter| check(&again, &rows, filter, |_| filter.contains("\"c\"")));
        }

        #[test]
        fn bytes_that_were_not_written_are_refused_or_harmless(
            rows in prop::collection::vec(row(), 1..40),
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
            end in any::<prop::sample::Index>(),
        ) {
            let mut some = columns(&[("a", "keyword"), ("b", "number")]);
            some.add(0, rows.iter().map(String::as_str));
            let mut bytes = some.written();
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            for bytes in [&bytes[..], &bytes[..end.index(bytes.len())]] {
                let mut again = columns(&[("a", "keyword"), ("b", "number")]);
                if again.read(bytes, rows.len()).is_some() {
                    for filter in [r#"{"a":{"$gte":"a","$contains":"b"}}"#, r#"{"$not":{"b":{"$lt":1}}}"#, r#"{"a":null}"#] {
                        let selected = again.select(&Filter::parse(filter).unwrap(), rows.len()).unwrap();
                        prop_assert!(selected.is_some());
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_are_merged_and_never_too_large() {
        let mut some = columns(&[("n", "number")]);
        let rows: Vec<String> = (0..150_000).map(|n| format!("{{\"n\":{}}}", n % 1000)).collect();
        let mut at = 0;
        for size in (0..).map(|n| [1, 700, 3, 60_000, 65_536, 1, 1][n % 7]) {
            let now = &rows[at..(at + size).min(rows.len())];
            some.add(at as u32, now.iter().map(String::as_str));
            at += now.len();
            if at == rows.len() {
                break;
            }
        }
        assert!(some.blocks.len() < 12 && some.blocks.iter().all(|block| block.count <= ROWS));
        for filter in [r#"{"n":{"$gte":990}}"#, r#"{"n":{"$ne":3}}"#, r#"{"n":{"$exists":false}}"#] {
            check(&some, &rows, filter, |_| false);
        }
    }

    #[test]
    fn text_that_is_too_long_is_left_to_the_metadata() {
        let mut some = columns(&[("a", "keyword[]")]);
        let rows: Vec<String> =
            [1, 1022, 1023, 1024, 5000].map(|n| format!("{{\"a\":[\"{}\",\"x\"]}}", "b".repeat(n))).into();
        some.add(0, rows.iter().map(String::as_str));
        let long = format!("{{\"a\":\"{}\"}}", "b".repeat(5000));
        for filter in
            [&long, r#"{"a":{"$startsWith":"bb"}}"#, r#"{"a":{"$nin":["b"]}}"#, r#"{"a":"x"}"#, r#"{"a":null}"#]
        {
            check(&some, &rows, filter, |row| row.len() > 1024);
        }
    }

    #[test]
    fn numbers_are_ordered_by_their_bytes() {
        let numbers =
            [f64::NEG_INFINITY, -1e300, -1.0, -5e-324, 0.0, 5e-324, 0.1, 1.0, 9.0, 10.0, f64::MAX, f64::INFINITY];
        assert!(numbers.windows(2).all(|pair| ordered(pair[0]) < ordered(pair[1])));
    }
}

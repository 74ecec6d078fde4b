//! Rows: what the user gave, numbered by arrival, read where the log holds it.
//!
//! A row's vector, id and metadata lie in the frame that brought it; here are only the places. Everything in this
//! file is appended to, so a reader that knows a count of rows may read below it without a lock.

use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use crate::arena::{Arena, Writer};
use crate::error::{Code, Error, Result};
use crate::memory::ALIGN;
use crate::options::{Config, MAX_ROWS, Metric};
use crate::storage::checkpoint::{Checkpoint, Section};
use crate::storage::frame::{self, BLOCK, Directory, HEADER, Header, Kind, vector_at};
use crate::storage::log::Place;
use crate::storage::manifest::Position;
use crate::storage::segment::Segment;

/// No row: the end of a chain.
pub(crate) const NO_ROW: u32 = u32::MAX;

/// Rows that carry a tombstone, by row number, as of one view.
#[derive(Clone, Default)]
pub(crate) struct Tombstones {
    chunks: Vec<Option<Arc<[u64; CHUNK_WORDS]>>>,
    count: usize,
}

const CHUNK_WORDS: usize = 1024;
const CHUNK_ROWS: usize = CHUNK_WORDS * 64;

impl Tombstones {
    #[inline(always)]
    pub fn contains(&self, row: u32) -> bool {
        let (chunk, at) = (row as usize / CHUNK_ROWS, row as usize % CHUNK_ROWS);
        match self.chunks.get(chunk) {
            Some(Some(words)) => words[at / 64] >> (at % 64) & 1 == 1,
            _ => false,
        }
    }

    /// The marks of rows `64 * i` to `64 * i + 63`.
    pub fn word(&self, i: usize) -> u64 {
        self.chunks.get(i / CHUNK_WORDS).and_then(Option::as_ref).map_or(0, |words| words[i % CHUNK_WORDS])
    }

    /// Marks a row; a chunk that a view still holds is copied first. Returns whether it was not marked before.
    pub fn insert(&mut self, row: u32) -> bool {
        if self.contains(row) {
            return false;
        }
        let (chunk, at) = (row as usize / CHUNK_ROWS, row as usize % CHUNK_ROWS);
        if self.chunks.len() <= chunk {
            self.chunks.resize(chunk + 1, None);
        }
        let words = self.chunks[chunk].get_or_insert_with(|| Arc::new([0; CHUNK_WORDS]));
        Arc::make_mut(words)[at / 64] |= 1 << (at % 64);
        self.count += 1;
        true
    }

    /// Every row below `rows`.
    pub fn all(rows: usize) -> Tombstones {
        let words = |chunk: usize| {
            let first = chunk * CHUNK_ROWS;
            Arc::new(std::array::from_fn(|i| match rows.saturating_sub(first + i * 64) {
                0 => 0,
                some if some < 64 => (1 << some) - 1,
                _ => u64::MAX,
            }))
        };
        Tombstones { chunks: (0..rows.div_ceil(CHUNK_ROWS)).map(|chunk| Some(words(chunk))).collect(), count: rows }
    }

    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn bytes(&self) -> usize {
        self.chunks.iter().flatten().count() * CHUNK_WORDS * 8
    }

    /// What a checkpoint keeps: every chunk.
    pub fn sections(&self) -> Vec<Section<'_>> {
        let write = |chunks: Range<usize>, out: &mut Vec<u8>| {
            for chunk in &self.chunks[chunks] {
                let words = chunk.as_deref().unwrap_or(&[0; CHUNK_WORDS]);
                words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
            }
        };
        vec![Section::new("tombstones", CHUNK_WORDS * 8, self.chunks.len(), 8, write)]
    }

    /// What a checkpoint kept, of `rows` rows.
    pub fn load(checkpoint: &Checkpoint, rows: usize) -> Result<Tombstones> {
        let mut tombstones = Tombstones::default();
        let bytes = checkpoint.bytes("tombstones");
        if checkpoint.part("tombstones").is_none() || !bytes.len().is_multiple_of(CHUNK_WORDS * 8) {
            return Err(checkpoint.lacks("tombstones"));
        }
        for chunk in bytes.chunks_exact(CHUNK_WORDS * 8) {
            let words: [u64; CHUNK_WORDS] = std::array::from_fn(|i| frame::word64(chunk, i * 8));
            let count = words.iter().map(|word| word.count_ones() as usize).sum::<usize>();
            tombstones.chunks.push((count > 0).then(|| Arc::new(words)));
            tombstones.count += count;
        }
        // A bit past the rows would be a row's that dies as it arrives.
        let past = rows..tombstones.chunks.len() * CHUNK_ROWS;
        if tombstones.chunks.len() > rows.div_ceil(CHUNK_ROWS)
            || past.into_iter().any(|row| tombstones.contains(row as u32))
        {
            return Err(checkpoint.lacks("tombstones"));
        }
        Ok(tombstones)
    }
}

/// A reader's handle on all rows.
#[derive(Clone)]
pub(crate) struct Rows {
    segments: Arc<Vec<Arc<Segment>>>,
    /// Index of the row's frame.
    frames_of: Arena<u32>,
    /// Of each frame that put rows: segment and byte in one word, and its first row.
    frames: Arena<u64>,
    /// The row that had the id before, or [`NO_ROW`].
    superseded: Arena<u32>,
    /// One over the vector's length: what turns an inner product into a cosine. Only for that metric.
    inverse_norms: Option<Arena<f32>>,
    dim: usize,
    unread: Option<Arc<Unread>>,
}

/// The one handle that appends rows.
pub(crate) struct RowsWriter {
    rows: Rows,
    frames_of: Writer<u32>,
    frames: Writer<u64>,
    superseded: Writer<u32>,
    inverse_norms: Option<Writer<f32>>,
}

fn pack(segment: usize, offset: usize) -> u64 {
    (segment as u64) << 32 | offset as u64
}

impl Rows {
    /// The row's frame (segment, byte) and its place among the frame's rows.
    #[inline(always)]
    fn place(&self, row: u32) -> (usize, usize, usize) {
        let frame = self.frames.get(self.frames_of.value(row as usize) as usize);
        ((frame[0] >> 32) as usize, frame[0] as u32 as usize, row.wrapping_sub(frame[1] as u32) as usize)
    }

    /// The vector as the user gave it: `dim` floats.
    #[inline(always)]
    pub fn vector(&self, row: u32) -> &[f32] {
        self.vectors(row, 1)
    }

    /// The vectors of `count` rows of one frame.
    #[inline(always)]
    fn vectors(&self, row: u32, count: usize) -> &[f32] {
        let (segment, frame, index) = self.place(row);
        let (offset, len) = (frame + vector_at(index, self.dim), count * self.dim);
        self.touch(segment, offset, len * 4);
        self.segments[segment].floats(offset, len)
    }

    /// Floats in a vector.
    pub fn dim(&self) -> usize {
        self.dim
    }

    #[inline(always)]
    pub fn inverse_norm(&self, row: u32) -> f32 {
        self.inverse_norms.as_ref().map_or(1.0, |norms| norms.value(row as usize))
    }

    /// What was written to a segment from a byte on.
    fn written_from(&self, segment: usize, offset: usize) -> &[u8] {
        let segment = &self.segments[segment];
        segment.bytes(offset, segment.written() - offset)
    }

    /// The directory of the row's frame, the frame's bytes, and the row's place in it. What the row's texts take is
    /// checked.
    fn in_frame(&self, row: u32) -> (Directory, &[u8], usize) {
        let (at, offset, index) = self.place(row);
        let bytes = self.written_from(at, offset);
        self.touch(at, offset, HEADER);
        let directory = Directory::at(bytes);
        if self.unread.is_some() {
            directory.parts(bytes, index, |part| self.touch(at, offset + part.start, part.len()));
        }
        (directory, bytes, index)
    }

    /// Asks for what says where the ids of rows lie to be brought near, for all of them at the same time. Nothing is checked: a
    /// damaged header decides only which address is asked for.
    pub fn prefetch_entries(&self, rows: &[u32]) {
        for &row in rows {
            let (at, offset, index) = self.place(row);
            let bytes = self.written_from(at, offset);
            if let Some(entry) = Directory::at(bytes).entry(bytes, index) {
                auspex_kernel::prefetch(entry);
            }
        }
    }

    pub fn id(&self, row: u32) -> &str {
        let (directory, bytes, index) = self.in_frame(row);
        directory.id(bytes, index).unwrap_or("")
    }

    /// The row's JSON object, as it was given.
    pub fn metadata(&self, row: u32) -> &str {
        let (directory, bytes, index) = self.in_frame(row);
        directory.metadata(bytes, index).unwrap_or("{}")
    }

    /// The row that had this row's id before it, if any: always an earlier one.
    pub fn superseded(&self, row: u32) -> Option<u32> {
        Some(self.superseded.value(row as usize)).filter(|&older| older < row)
    }

    /// Vectors from `row` on that lie behind one another, at most up to row `end`: how many, and their floats.
    pub fn run(&self, row: u32, end: u32) -> (u32, &[f32]) {
        let next = self.frames_of.value(row as usize) as usize + 1;
        let next = if next < self.frames.len() { self.frames.get(next)[1] as u32 } else { u32::MAX };
        let count = next.min(end).saturating_sub(row).max(1);
        (count, self.vectors(row, count as usize))
    }

    /// The same rows among all segments of the log, also those that brought none.
    pub fn among(&self, segments: Arc<Vec<Arc<Segment>>>) -> Rows {
        Rows { segments, ..self.clone() }
    }

    /// Bytes of the log, in use on the heap and allocated in mapped files, and of the places kept here.
    pub fn bytes(&self) -> (usize, usize, usize) {
        let heap = self.segments.iter().filter(|segment| !segment.is_mapped()).map(|segment| segment.written()).sum();
        let mapped = self.segments.iter().filter(|segment| segment.is_mapped()).map(|segment| segment.len()).sum();
        let norms = self.inverse_norms.as_ref().map_or(0, Arena::bytes);
        (heap, mapped, self.frames_of.bytes() + self.frames.bytes() + self.superseded.bytes() + norms)
    }

    /// What a checkpoint keeps of the rows below `count`.
    pub fn sections(&self, count: u32) -> Vec<Section<'_>> {
        let frames = count.checked_sub(1).map_or(0, |last| self.frames_of.value(last as usize) as usize + 1);
        let mut sections = vec![
            Section::of("frames_of", &self.frames_of, count as usize),
            Section::of("frames", &self.frames, frames),
            Section::of("superseded", &self.superseded, count as usize),
        ];
        sections.extend(self.inverse_norms.iter().map(|norms| Section::of("inverse_norms", norms, count as usize)));
        sections
    }

    /// Checks bytes of the log that were not read when it was opened, before they are used.
    #[inline(always)]
    fn touch(&self, segment: usize, offset: usize, len: usize) {
        if let Some(unread) = &self.unread {
            unread.touch(self, segment, offset, len);
        }
    }

    /// Checks all that the log has of a row, if it was not yet.
    pub fn check(&self, row: u32) {
        if self.unread.is_some() {
            self.in_frame(row);
            self.vector(row);
        }
    }

    /// How often bytes of the log were found damaged, and where at first.
    pub fn damage(&self) -> Option<(usize, Error)> {
        let unread = self.unread.as_ref()?;
        Some((unread.damaged.load(Ordering::Relaxed), unread.first.get()?.clone()))
    }
}

/// The frames that a checkpoint stands for: they were not read when the collection was opened, and are checked block
/// by block when they are first used.
pub(crate) struct Unread {
    salt: u64,
    /// Where they end.
    end: Position,
    /// How many of [`Rows::frames`] they are, and their rows.
    frames: usize,
    rows: u64,
    /// A byte for each block of each segment: not 0 once what lies there was checked.
    checked: Vec<Box<[AtomicU8]>>,
    damaged: AtomicUsize,
    first: OnceLock<Error>,
}

impl Unread {
    fn new(salt: u64, end: Position, (frames, rows): (usize, u64), segments: &[Arc<Segment>]) -> Unread {
        let blocks = |segment: &Arc<Segment>| (0..segment.len().div_ceil(BLOCK)).map(|_| AtomicU8::new(0)).collect();
        let checked = segments.iter().take(end.segment + 1).map(blocks).collect();
        Unread { salt, end, frames, rows, checked, damaged: AtomicUsize::new(0), first: OnceLock::new() }
    }

    #[inline(always)]
    fn touch(&self, rows: &Rows, segment: usize, offset: usize, len: usize) {
        if (segment, offset) >= (self.end.segment, self.end.offset) {
            return;
        }
        for block in offset / BLOCK..(offset + len).div_ceil(BLOCK) {
            let mark = self.checked.get(segment).and_then(|marks| marks.get(block));
            if mark.is_none_or(|mark| mark.load(Ordering::Relaxed) == 0) {
                self.check(rows, segment, block);
            }
        }
    }

    /// Checks what the frames have in a block of a segment.
    #[cold]
    fn check(&self, rows: &Rows, segment: usize, block: usize) {
        match self.find_damage(rows, segment, block) {
            None => {
                if let Some(mark) = self.checked.get(segment).and_then(|marks| marks.get(block)) {
                    mark.store(1, Ordering::Relaxed);
                }
            }
            Some(error) => {
                let _ = self.first.set(error);
                self.damaged.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    fn find_damage(&self, rows: &Rows, index: usize, block: usize) -> Option<Error> {
        let Some(segment) = rows.segments.get(index) else {
            return Some(Error::corrupt("the checkpoint", 0, "a row lies in a segment that is not there"));
        };
        let end = if index == self.end.segment { self.end.offset } else { segment.written() };
        let (from, to) = (block * BLOCK, (block * BLOCK + BLOCK).min(end));
        // The last frame that starts at or before the block, and those that start inside of it.
        let (mut low, mut high) = (0, self.frames);
        while low < high {
            let middle = low.midpoint(high);
            if rows.frames.get(middle)[0] <= pack(index, from) { low = middle + 1 } else { high = middle }
        }
        for frame in low.saturating_sub(1)..self.frames {
            let place = rows.frames.get(frame)[0];
            let (of, offset) = ((place >> 32) as usize, place as u32 as usize);
            if of < index {
                continue;
            }
            if of > index || offset >= to {
                break;
            }
            let bytes = segment.bytes(offset, end.saturating_sub(offset));
            let first = |frame| if frame < self.frames { rows.frames.get(frame)[1] } else { self.rows };
            let (first, count) = (first(frame), first(frame + 1) - first(frame));
            let header = match Header::read(bytes, self.salt) {
                Ok(header)
                    if header.frame_len() <= bytes.len()
                        && header.kind == Kind::Put
                        && (u64::from(header.first_row), u64::from(header.rows)) == (first, count)
                        && header.dim as usize == rows.dim =>
                {
                    header
                }
                Ok(_) => return Some(Error::corrupt(segment.name(), offset, "a frame of another kind or length")),
                Err(what) => return Some(Error::corrupt(segment.name(), offset, what)),
            };
            let part = from.saturating_sub(offset)..to.saturating_sub(offset).min(header.frame_len());
            if let Some(Err(at)) = (!part.is_empty()).then(|| frame::verify_part(&header, bytes, &part)) {
                return Some(Error::corrupt(segment.name(), offset + at, "a checksum does not match"));
            }
        }
        None
    }
}

impl RowsWriter {
    pub fn new(config: &Config) -> RowsWriter {
        let inverse_norms = (config.metric == Metric::Cosine).then(|| Writer::new(1));
        RowsWriter::of(config, Writer::new(1), Writer::new(2), Writer::new(1), inverse_norms)
    }

    fn of(
        config: &Config,
        frames_of: Writer<u32>,
        frames: Writer<u64>,
        superseded: Writer<u32>,
        inverse_norms: Option<Writer<f32>>,
    ) -> RowsWriter {
        let rows = Rows {
            segments: Arc::default(),
            frames_of: frames_of.reader(),
            frames: frames.reader(),
            superseded: superseded.reader(),
            inverse_norms: inverse_norms.as_ref().map(Writer::reader),
            dim: config.dim,
            unread: None,
        };
        RowsWriter { rows, frames_of, frames, superseded, inverse_norms }
    }

    /// The rows that a checkpoint stands for, in `segments` up to `end`.
    pub fn load(
        config: &Config,
        checkpoint: &Checkpoint,
        segments: Arc<Vec<Arc<Segment>>>,
        salt: u64,
        end: Position,
    ) -> Result<RowsWriter> {
        let norms = (config.metric == Metric::Cosine).then(|| checkpoint.arena("inverse_norms", 1)).transpose()?;
        let (frames_of, frames) = (checkpoint.arena("frames_of", 1)?, checkpoint.arena("frames", 2)?);
        let mut loaded = RowsWriter::of(config, frames_of, frames, checkpoint.arena("superseded", 1)?, norms);
        let count = loaded.len();
        if loaded.superseded.len() != count || loaded.inverse_norms.as_ref().is_some_and(|norms| norms.len() != count) {
            return Err(checkpoint.lacks("superseded"));
        }
        if !loaded.places_hold(checkpoint.bytes("frames_of"), &segments, end) {
            return Err(checkpoint.lacks("frames"));
        }
        loaded.rows.unread = Some(Arc::new(Unread::new(salt, end, (loaded.frames.len(), count as u64), &segments)));
        loaded.rows.segments = segments;
        Ok(loaded)
    }

    /// Whether every row has a place in the log before `end`, whoever wrote the checkpoint: frames ascend, each has room
    /// for the vectors of its rows, and rows are in the frame that `frames_of` names.
    fn places_hold(&self, frames_of: &[u8], segments: &[Arc<Segment>], end: Position) -> bool {
        let (count, frames) = (self.len() as u64, self.frames.len());
        let frame = |i: usize| self.rows.frames.get(i);
        let first = |i: usize| if i < frames { frame(i)[1] } else { count };
        let mut before = None;
        let mut of = frames_of.chunks_exact(4);
        let held = (0..frames).all(|i| {
            let (place, from, to) = (frame(i)[0], first(i), first(i + 1));
            let (segment, offset) = ((place >> 32) as usize, place as u32 as usize);
            let room = match segments.get(segment) {
                Some(_) if segment == end.segment => end.offset,
                Some(found) if segment < end.segment => found.written(),
                _ => return false,
            };
            let ascends = before.replace(place).map_or(from == 0, |before| before < place) && from < to && to <= count;
            let fits = offset.is_multiple_of(ALIGN)
                && ascends
                && (to - from) * self.rows.dim as u64 * 4 + (HEADER + offset) as u64 <= room as u64;
            fits && of.by_ref().take((to - from) as usize).all(|number| number == (i as u32).to_le_bytes())
        });
        held && first(frames) == count && (frames > 0 || count == 0)
    }

    /// Rows appended.
    pub fn len(&self) -> usize {
        self.frames_of.len()
    }

    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// Allocates what `more` rows of one frame need, so that appending them cannot fail.
    pub fn reserve(&mut self, more: usize) -> Result<()> {
        if more > MAX_ROWS - self.len() {
            let message = format!("{} rows and {more} more pass the limit of {MAX_ROWS}", self.len());
            return Err(Error::new(Code::Argument, message));
        }
        self.frames_of.reserve(more)?;
        self.frames.reserve(1)?;
        self.superseded.reserve(more)?;
        self.inverse_norms.as_mut().map_or(Ok(()), |norms| norms.reserve(more))
    }

    /// Appends the rows of a put that the log holds at `place`. Each one's [`RowsWriter::supersede`] follows.
    pub fn append(&mut self, segments: Arc<Vec<Arc<Segment>>>, header: &Header, place: Place) -> Result<()> {
        self.rows.segments = segments;
        let frame = self.frames.len() as u32;
        let at = pack(place.segment as usize, place.offset as usize);
        self.frames.push(&[at, u64::from(header.first_row)])?;
        for row in header.first_row..header.first_row + header.rows {
            self.frames_of.push(&[frame])?;
            if let Some(norms) = &mut self.inverse_norms {
                norms.push(&[(1.0 / norm(self.rows.vector(row))) as f32])?;
            }
        }
        Ok(())
    }

    /// Says of the next row which row had its id before.
    pub fn supersede(&mut self, row: Option<u32>) -> Result<()> {
        self.superseded.push(&[row.unwrap_or(NO_ROW)])
    }
}

/// The Euclidean length of a vector, summed in double precision over eight partial sums.
pub(crate) fn norm(vector: &[f32]) -> f64 {
    let mut sums = [0.0_f64; 8];
    for chunk in vector.chunks(8) {
        for (sum, &x) in sums.iter_mut().zip(chunk) {
            *sum += f64::from(x) * f64::from(x);
        }
    }
    ((sums[0] + sums[4]) + (sums[2] + sums[6]) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))).sqrt()
}

/// Longest vector for `l2` and `dot`: four times its square is still a float.
const LONGEST: f64 = (1_u64 << 62) as f64;
/// Longest and shortest vector for `cosine`: its length and one over it are normal floats with room to spare.
const LONGEST_DIRECTION: f64 = (1_u128 << 100) as f64;

/// Refuses a vector that the metric cannot order: `what` names it in the message.
pub(crate) fn check_vector(vector: &[f32], metric: Metric, what: impl Fn() -> String) -> Result<()> {
    let norm = norm(vector);
    if !norm.is_finite() {
        let (i, x) = vector.iter().enumerate().find(|(_, x)| !x.is_finite()).map_or((0, f32::NAN), |(i, &x)| (i, x));
        let message = format!("{}[{i}] is {x}; every number must be finite (and fit a 32-bit float)", what());
        return Err(Error::new(Code::NotFinite, message));
    }
    let longest = if metric == Metric::Cosine { LONGEST_DIRECTION } else { LONGEST };
    if norm > longest {
        let message = format!("{} has length {norm:e}; with metric {metric} the limit is {longest:e}", what());
        return Err(Error::new(Code::NotFinite, message));
    }
    if metric == Metric::Cosine && norm < 1.0 / LONGEST_DIRECTION {
        let why = if norm == 0.0 { "is all zeros".into() } else { format!("has length {norm:e}") };
        let message = format!("{} {why}; with metric cosine a vector needs a direction", what());
        return Err(Error::new(Code::ZeroVector, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tombstones_of_a_view_do_not_change_with_the_writers() {
        let mut newest = Tombstones::default();
        newest.insert(70_000);
        let view = newest.clone();
        newest.insert(70_001);
        newest.insert(3);
        newest.insert(3);
        assert!(view.contains(70_000) && !view.contains(70_001) && !view.contains(3));
        assert!(newest.contains(70_001) && newest.contains(3) && !newest.contains(1 << 20));
        assert_eq!((view.len(), newest.len()), (1, 3));
        assert_eq!((view.bytes(), newest.bytes()), (8192, 2 * 8192));
    }

    #[test]
    fn all_rows_are_those_below_the_count_and_no_others() {
        for rows in [0, 1, 63, 64, 65, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 70] {
            let all = Tombstones::all(rows);
            assert_eq!(all.len(), rows);
            assert!((0..rows as u32 + 200).all(|row| all.contains(row) == ((row as usize) < rows)), "{rows}");
        }
    }

    #[test]
    fn more_rows_than_a_collection_has_are_refused_before_memory_is_asked_for() {
        let options = crate::options::Options { dim: Some(3.0), ..Default::default() };
        let mut rows = RowsWriter::new(&options.validate(None).unwrap());
        assert_eq!(rows.reserve(MAX_ROWS + 1).unwrap_err().code, Code::Argument);
        rows.reserve(10).unwrap();
    }

    #[test]
    fn vectors_that_no_metric_can_order_are_refused() {
        let check = |vector: &[f32], metric| check_vector(vector, metric, || "vectors[4]".into());
        let code = |vector: &[f32], metric| check(vector, metric).unwrap_err().code;
        assert_eq!(code(&[0.0, f32::NAN], Metric::L2), Code::NotFinite);
        assert_eq!(code(&[f32::INFINITY, 0.0], Metric::Dot), Code::NotFinite);
        assert_eq!(code(&[f32::MAX, 0.0], Metric::L2), Code::NotFinite);
        assert_eq!(code(&[0.0, 0.0], Metric::Cosine), Code::ZeroVector);
        assert_eq!(code(&[1e-45, 0.0], Metric::Cosine), Code::ZeroVector);
        assert!(check(&[0.0, 0.0], Metric::L2).is_ok());
        assert!(check(&[1e-45, 0.0], Metric::L2).is_ok());
        assert!(check(&[1e25, -1e25], Metric::Cosine).is_ok());
        let longest = (1_u64 << 62) as f32;
        assert!(check(&[longest, 0.0], Metric::L2).is_ok());
        assert_eq!(code(&[longest, longest], Metric::L2), Code::NotFinite);
        let shortest = 1.0 / (1_u128 << 100) as f32;
        assert!(check(&[shortest, 0.0], Metric::Cosine).is_ok());
        assert_eq!(code(&[shortest / 2.0, 0.0], Metric::Cosine), Code::ZeroVector);
        let message = check(&[1.0, f32::NEG_INFINITY], Metric::Cosine).unwrap_err().message;
        assert_eq!(message, "vectors[4][1] is -inf; every number must be finite (and fit a 32-bit float)");
    }
}

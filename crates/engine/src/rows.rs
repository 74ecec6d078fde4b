//! Rows: what the user gave, numbered by arrival, read where the log holds it.
//!
//! A row's vector, id and metadata lie in the frame that brought it; here are only the places. Everything in this
//! file is appended to, so a reader that knows a count of rows may read below it without a lock.

use std::sync::Arc;

use crate::arena::{Arena, Writer};
use crate::error::{Code, Error, Result};
use crate::options::{Config, MAX_ROWS, Metric};
use crate::storage::frame::{Directory, Header};
use crate::storage::log::Place;
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

    /// Marks a row; a chunk that a view still holds is copied first.
    pub fn insert(&mut self, row: u32) {
        if self.contains(row) {
            return;
        }
        let (chunk, at) = (row as usize / CHUNK_ROWS, row as usize % CHUNK_ROWS);
        if self.chunks.len() <= chunk {
            self.chunks.resize(chunk + 1, None);
        }
        let words = self.chunks[chunk].get_or_insert_with(|| Arc::new([0; CHUNK_WORDS]));
        Arc::make_mut(words)[at / 64] |= 1 << (at % 64);
        self.count += 1;
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
}

/// A reader's handle on all rows.
#[derive(Clone)]
pub(crate) struct Rows {
    segments: Arc<Vec<Arc<Segment>>>,
    /// Segment and byte of the vector, in one word.
    vectors: Arena<u64>,
    /// Index of the frame, and the frames' places and first rows.
    frames_of: Arena<u32>,
    frames: Arena<u64>,
    first_rows: Arena<u32>,
    /// The row that had the id before, or [`NO_ROW`].
    superseded: Arena<u32>,
    /// One over the vector's length: what turns an inner product into a cosine. Only for that metric.
    inverse_norms: Option<Arena<f32>>,
    dim: usize,
}

/// The one handle that appends rows.
pub(crate) struct RowsWriter {
    rows: Rows,
    vectors: Writer<u64>,
    frames_of: Writer<u32>,
    frames: Writer<u64>,
    first_rows: Writer<u32>,
    superseded: Writer<u32>,
    inverse_norms: Option<Writer<f32>>,
}

fn pack(place: Place) -> u64 {
    u64::from(place.segment) << 32 | u64::from(place.offset)
}

impl Rows {
    /// The vector as the user gave it: `dim` floats.
    #[inline(always)]
    pub fn vector(&self, row: u32) -> &[f32] {
        let place = self.vectors.value(row as usize);
        self.segments[(place >> 32) as usize].floats(place as u32 as usize, self.dim)
    }

    #[inline(always)]
    pub fn inverse_norm(&self, row: u32) -> f32 {
        self.inverse_norms.as_ref().map_or(1.0, |norms| norms.value(row as usize))
    }

    /// What `read` makes of the row's frame, and of the row's place among those of the frame.
    fn in_frame<'a>(
        &'a self,
        row: u32,
        read: impl Fn(Directory, &'a [u8], usize) -> Option<&'a str>,
    ) -> Option<&'a str> {
        let frame = self.frames_of.value(row as usize) as usize;
        let place = self.frames.value(frame);
        let segment = &self.segments[(place >> 32) as usize];
        let offset = place as u32 as usize;
        let bytes = segment.bytes(offset, segment.written() - offset);
        let index = (row - self.first_rows.value(frame)) as usize;
        read(Directory::at(bytes), bytes, index)
    }

    pub fn id(&self, row: u32) -> &str {
        self.in_frame(row, |directory, bytes, index| directory.id(bytes, index)).unwrap_or("")
    }

    /// The row's JSON object, as it was given.
    pub fn metadata(&self, row: u32) -> &str {
        self.in_frame(row, |directory, bytes, index| directory.metadata(bytes, index)).unwrap_or("{}")
    }

    /// The row that had this row's id before it, if any.
    pub fn superseded(&self, row: u32) -> Option<u32> {
        Some(self.superseded.value(row as usize)).filter(|&row| row != NO_ROW)
    }

    /// Vectors from `row` on that lie behind one another, at most up to row `end`: how many, and their floats.
    pub fn run(&self, row: u32, end: u32) -> (u32, &[f32]) {
        let frame = self.frames_of.value(row as usize) as usize;
        let next = if frame + 1 < self.first_rows.len() { self.first_rows.value(frame + 1) } else { u32::MAX };
        let count = next.min(end) - row;
        let place = self.vectors.value(row as usize);
        let floats = self.segments[(place >> 32) as usize].floats(place as u32 as usize, count as usize * self.dim);
        (count, floats)
    }

    /// Bytes of the log, in use on the heap and allocated in mapped files, and of the places kept here.
    pub fn bytes(&self) -> (usize, usize, usize) {
        let heap = self.segments.iter().filter(|segment| !segment.is_mapped()).map(|segment| segment.written()).sum();
        let mapped = self.segments.iter().filter(|segment| segment.is_mapped()).map(|segment| segment.len()).sum();
        let norms = self.inverse_norms.as_ref().map_or(0, Arena::bytes);
        let places = self.vectors.bytes() + self.frames_of.bytes() + self.frames.bytes() + self.first_rows.bytes();
        (heap, mapped, places + self.superseded.bytes() + norms)
    }
}

impl RowsWriter {
    pub fn new(config: &Config) -> RowsWriter {
        let (vectors, frames_of, frames) = (Writer::new(1), Writer::new(1), Writer::new(1));
        let (first_rows, superseded) = (Writer::new(1), Writer::new(1));
        let inverse_norms = (config.metric == Metric::Cosine).then(|| Writer::new(1));
        let rows = Rows {
            segments: Arc::default(),
            vectors: vectors.reader(),
            frames_of: frames_of.reader(),
            frames: frames.reader(),
            first_rows: first_rows.reader(),
            superseded: superseded.reader(),
            inverse_norms: inverse_norms.as_ref().map(Writer::reader),
            dim: config.dim,
        };
        RowsWriter { rows, vectors, frames_of, frames, first_rows, superseded, inverse_norms }
    }

    /// Rows appended.
    pub fn len(&self) -> usize {
        self.vectors.len()
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
        self.vectors.reserve(more)?;
        self.frames_of.reserve(more)?;
        self.frames.reserve(1)?;
        self.first_rows.reserve(1)?;
        self.superseded.reserve(more)?;
        self.inverse_norms.as_mut().map_or(Ok(()), |norms| norms.reserve(more))
    }

    /// Appends the rows of a put that the log holds at `place`. `superseded` says which row each one replaces.
    pub fn append(&mut self, segments: Arc<Vec<Arc<Segment>>>, header: &Header, place: Place) -> Result<()> {
        self.rows.segments = segments;
        let directory = Directory::of(header);
        let frame = self.frames.len() as u32;
        self.frames.push(&[pack(place)])?;
        self.first_rows.push(&[header.first_row])?;
        for i in 0..header.rows as usize {
            let offset = place.offset + directory.vector(i) as u32;
            self.vectors.push(&[pack(Place { offset, ..place })])?;
            self.frames_of.push(&[frame])?;
            if let Some(norms) = &mut self.inverse_norms {
                let row = header.first_row + i as u32;
                let norm = norm(self.rows.segments[place.segment as usize].floats(offset as usize, self.rows.dim));
                debug_assert_eq!(norms.len(), row as usize);
                norms.push(&[(1.0 / norm) as f32])?;
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

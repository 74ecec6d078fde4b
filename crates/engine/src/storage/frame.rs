//! The bytes of a frame. A frame is a write, and a write is atomic.
//!
//! ```text
//! 0   magic "AXF1"        4   kind: 1 put, 2 delete, 3 clear   5   1: the next frame goes on with this one's rows
//! 8   sequence, from 1
//! 16  first row           20  rows                       24  floats a row (put)
//! 28  half of the checksum of the frame before it, 0 for the first
//! 32  payload bytes       40  sequence known durable     48  xxh3 of the block checksums
//! 56  xxh3 of bytes 0..56, seeded with the collection's salt
//! 64  payload             put: rows * dim f32, then (id end, metadata end) as u32 pairs, id bytes, metadata bytes
//!                         delete: u32 row numbers
//! ..  block checksums     xxh3 of each 64 KiB of the payload, from the next multiple of 8
//! ..  zeros to the next multiple of 64
//! ```
//! That frames are chained tells a frame from one that lay in its place before: what a lost write left behind may be
//! whole, and follow in number. Ends count from the start of their own bytes. A put lists effects: a row whose id is alive replaces it.

use std::ops::Range;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::error::{Code, Error, Result};
use crate::memory::ALIGN;
use crate::options::{MAX_DIM, MAX_ID_BYTES, MAX_WRITE_BYTES};
use crate::storage::segment::Buffer;

const MAGIC: &[u8; 4] = b"AXF1";
/// Bytes before the payload.
pub(crate) const HEADER: usize = 64;
pub(crate) const BLOCK: usize = 64 * 1024;
/// What a row without metadata reads back as.
pub(crate) const EMPTY: &str = "{}";

/// What a frame does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Put = 1,
    Delete = 2,
    Clear = 3,
}

/// A frame's header, read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub kind: Kind,
    pub sequence: u64,
    pub first_row: u32,
    pub rows: u32,
    pub dim: u32,
    pub payload: usize,
    pub synced: u64,
    /// [`Header::link`] of the frame before.
    pub previous: u32,
    /// Whether the index takes these rows together with the next frame's.
    pub more: bool,
    /// The header's own checksum.
    sum: u64,
}

impl Header {
    /// What the next frame names this one by.
    pub fn link(&self) -> u32 {
        self.sum as u32
    }

    /// Bytes of the whole frame.
    pub fn frame_len(&self) -> usize {
        frame_len(self.payload)
    }

    /// Reads and checks the first [`HEADER`] bytes of a frame; `Err` says what is wrong.
    pub fn read(bytes: &[u8], salt: u64) -> std::result::Result<Header, &'static str> {
        if bytes.len() < HEADER || &bytes[..4] != MAGIC || word64(bytes, 56) != xxh3_64_with_seed(&bytes[..56], salt) {
            return Err("there is no frame");
        }
        let kind = match bytes[4] {
            1 => Kind::Put,
            2 => Kind::Delete,
            3 => Kind::Clear,
            _ => return Err("a frame of an unknown kind"),
        };
        let (rows, dim) = (word32(bytes, 20), word32(bytes, 24));
        let header = Header {
            kind,
            sequence: word64(bytes, 8),
            first_row: word32(bytes, 16),
            rows,
            dim,
            payload: usize::try_from(word64(bytes, 32)).map_err(|_| "a frame too long")?,
            synced: word64(bytes, 40),
            previous: word32(bytes, 28),
            more: bytes[5] == 1,
            sum: word64(bytes, 56),
        };
        if dim as usize > MAX_DIM {
            return Err("a frame of too many dimensions");
        }
        let fixed = match kind {
            Kind::Put => u64::from(rows) * (u64::from(dim) * 4 + 8),
            Kind::Delete => u64::from(rows) * 4,
            Kind::Clear => 0,
        };
        let fits = header.payload as u64 >= fixed && header.payload <= MAX_WRITE_BYTES;
        if fits { Ok(header) } else { Err("a frame of wrong length") }
    }

    fn write(&mut self, bytes: &mut [u8], salt: u64) {
        let len = self.frame_len();
        let table = table_at(self.payload);
        let blocks = self.payload.div_ceil(BLOCK);
        for i in 0..blocks {
            let end = (HEADER + self.payload).min(HEADER + (i + 1) * BLOCK);
            let sum = xxh3_64(&bytes[HEADER + i * BLOCK..end]);
            bytes[table + i * 8..table + i * 8 + 8].copy_from_slice(&sum.to_le_bytes());
        }
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4] = self.kind as u8;
        bytes[5] = u8::from(self.more);
        bytes[8..16].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.first_row.to_le_bytes());
        bytes[20..24].copy_from_slice(&self.rows.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.dim.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.previous.to_le_bytes());
        bytes[32..40].copy_from_slice(&(self.payload as u64).to_le_bytes());
        bytes[40..48].copy_from_slice(&self.synced.to_le_bytes());
        let sums = xxh3_64(&bytes[table..len]);
        bytes[48..56].copy_from_slice(&sums.to_le_bytes());
        self.sum = xxh3_64_with_seed(&bytes[..56], salt);
        bytes[56..64].copy_from_slice(&self.sum.to_le_bytes());
    }
}

/// Checks the payload of a frame against its checksums; `bytes` is the whole frame. `Err` tells where it is damaged.
pub(crate) fn verify(header: &Header, bytes: &[u8]) -> std::result::Result<(), usize> {
    verify_part(header, bytes, &(0..header.frame_len()))
}

/// Checks the blocks of a frame that have bytes in `part`.
pub(crate) fn verify_part(header: &Header, bytes: &[u8], part: &Range<usize>) -> std::result::Result<(), usize> {
    let table = table_at(header.payload);
    if word64(bytes, 48) != xxh3_64(&bytes[table..header.frame_len()]) {
        return Err(table);
    }
    let (first, end) = (part.start.saturating_sub(HEADER) / BLOCK, part.end.saturating_sub(HEADER).div_ceil(BLOCK));
    for (i, block) in bytes[HEADER..HEADER + header.payload].chunks(BLOCK).enumerate().take(end).skip(first) {
        if word64(bytes, table + i * 8) != xxh3_64(block) {
            return Err(HEADER + i * BLOCK);
        }
    }
    Ok(())
}

/// A frame's place among the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Numbers {
    pub sequence: u64,
    /// The last frame known durable.
    pub synced: u64,
    /// [`Header::link`] of the frame before.
    pub previous: u32,
}

/// A frame that is not numbered yet.
pub(crate) struct Unnumbered {
    pub buffer: Buffer,
    pub more: bool,
    kind: Kind,
    rows: u32,
    dim: u32,
    payload: usize,
}

impl Unnumbered {
    /// The frame that deletes `rows`.
    pub fn delete(rows: &[u32]) -> Result<Unnumbered> {
        let payload = rows.len() * 4;
        let mut buffer = Buffer::new(frame_len(payload))?;
        for (i, row) in rows.iter().enumerate() {
            buffer.bytes_mut()[HEADER + i * 4..HEADER + i * 4 + 4].copy_from_slice(&row.to_le_bytes());
        }
        Ok(Unnumbered { buffer, more: false, kind: Kind::Delete, rows: rows.len() as u32, dim: 0, payload })
    }

    /// The frame that deletes every row there is.
    pub fn clear() -> Result<Unnumbered> {
        Ok(Unnumbered {
            buffer: Buffer::new(frame_len(0))?,
            more: false,
            kind: Kind::Clear,
            rows: 0,
            dim: 0,
            payload: 0,
        })
    }

    /// A frame that does what another one did; `bytes` is the other one.
    pub fn again(header: &Header, bytes: &[u8]) -> Result<Unnumbered> {
        let mut buffer = Buffer::new(header.frame_len())?;
        buffer.bytes_mut()[HEADER..HEADER + header.payload].copy_from_slice(&bytes[HEADER..HEADER + header.payload]);
        let Header { kind, rows, dim, payload, .. } = *header;
        Ok(Unnumbered { buffer, more: false, kind, rows, dim, payload })
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    pub fn rows(&self) -> usize {
        self.rows as usize
    }

    /// Floats of a row of a put.
    pub fn dim(&self) -> usize {
        self.dim as usize
    }

    /// The vector of row `index` of a put.
    pub fn vector(&self, index: usize) -> &[f32] {
        self.buffer.floats(HEADER + index * self.dim as usize * 4, self.dim as usize)
    }

    /// Writes header and checksums, and gives the frame's bytes.
    pub fn number(mut self, first_row: u32, numbers: &Numbers, salt: u64) -> (Header, Buffer) {
        let mut header = Header {
            kind: self.kind,
            sequence: numbers.sequence,
            first_row,
            rows: self.rows,
            dim: self.dim,
            payload: self.payload,
            synced: numbers.synced,
            previous: numbers.previous,
            more: self.more,
            sum: 0,
        };
        header.write(self.buffer.bytes_mut(), salt);
        (header, self.buffer)
    }
}

/// Rows on their way in: memory of the engine's own, sized for their vectors, ids and metadata, and filled by its maker.
pub struct Draft {
    pub(crate) frame: Unnumbered,
    pub(crate) ids: Vec<String>,
    /// Of rows of a stream the number of the first.
    first: Option<u64>,
}

impl Draft {
    pub(crate) fn new(dim: usize, first: Option<u64>, ids: Vec<String>, metadata: Option<&str>) -> Result<Draft> {
        for (i, id) in ids.iter().enumerate() {
            if id.is_empty() || id.len() > MAX_ID_BYTES {
                let (name, len) = (named(first, "ids", i), id.len());
                let message = format!("{name} has {len} bytes of UTF-8; it must have 1 to {MAX_ID_BYTES}");
                return Err(Error::new(Code::Argument, message));
            }
        }
        let metadata = split(metadata, ids.len())?;
        Ok(Draft { first, ..Draft::with(dim, ids, &metadata)? })
    }

    /// How errors name row `i` of `ids` or `vectors`.
    pub(crate) fn name(&self, many: &str, i: usize) -> String {
        named(self.first, many, i)
    }

    /// Room for rows whose metadata are JSON objects; there may be none at all.
    pub(crate) fn with(dim: usize, ids: Vec<String>, metadata: &[&str]) -> Result<Draft> {
        let id_bytes: usize = ids.iter().map(String::len).sum();
        let metadata_bytes: usize = metadata.iter().map(|text| text.len()).sum();
        let rows = ids.len();
        let payload = rows
            .checked_mul(dim * 4 + 8)
            .and_then(|fixed| fixed.checked_add(id_bytes)?.checked_add(metadata_bytes))
            .filter(|&bytes| bytes <= MAX_WRITE_BYTES)
            .ok_or_else(|| {
                let message =
                    format!("{rows} rows take more than 1 GiB, the limit of one call; load() takes any number");
                Error::new(Code::Argument, message)
            })?;
        let mut buffer = Buffer::new(frame_len(payload))?;
        let bytes = buffer.bytes_mut();
        let directory = HEADER + rows * dim * 4;
        let mut id_at = directory + rows * 8;
        let mut metadata_at = id_at + id_bytes;
        let (id_start, metadata_start) = (id_at, metadata_at);
        for i in 0..rows {
            let text = metadata.get(i).copied().unwrap_or_default();
            bytes[id_at..id_at + ids[i].len()].copy_from_slice(ids[i].as_bytes());
            id_at += ids[i].len();
            bytes[metadata_at..metadata_at + text.len()].copy_from_slice(text.as_bytes());
            metadata_at += text.len();
            let entry = directory + i * 8;
            bytes[entry..entry + 4].copy_from_slice(&((id_at - id_start) as u32).to_le_bytes());
            bytes[entry + 4..entry + 8].copy_from_slice(&((metadata_at - metadata_start) as u32).to_le_bytes());
        }
        let frame = Unnumbered { buffer, more: false, kind: Kind::Put, rows: rows as u32, dim: dim as u32, payload };
        Ok(Draft { frame, ids, first: None })
    }

    /// Rows that it holds.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.ids.len()
    }

    /// Sets the vector of row `index`, which has as many floats as the others.
    pub(crate) fn set(&mut self, index: usize, vector: &[f32]) {
        assert!(index < self.rows() && vector.len() == self.frame.dim());
        let at = vector_at(index, vector.len());
        // SAFETY: a slice of that many floats; the buffer checks its own end.
        unsafe { self.frame.buffer.copy_floats(at, vector.as_ptr(), vector.len()) };
    }

    /// Copies `count` floats from `source`: the one copy that a vector gets.
    ///
    /// # Errors
    /// [`Code::Dimension`] unless `count` is rows times dimension.
    ///
    /// # Safety
    /// `source` is readable for `count` floats during the call; other threads may be writing to them.
    pub unsafe fn fill(&mut self, source: *const f32, count: usize) -> Result<()> {
        let (rows, dim) = (self.rows(), self.frame.dim as usize);
        if count != rows * dim {
            let hint = if count == 0 { " (a length of 0 may mean that its buffer was transferred)" } else { "" };
            let message = format!("vectors has {count} floats{hint}; {rows} rows of dim {dim} have {}", rows * dim);
            return Err(Error::new(Code::Dimension, message));
        }
        // SAFETY: the caller answers for the source; `new` made room for exactly so many floats behind the header.
        unsafe { self.frame.buffer.copy_floats(HEADER, source, count) };
        Ok(())
    }
}

/// How errors name entry `i` of `ids` or `vectors`, which in a stream is that of a row behind its `first`.
fn named(first: Option<u64>, many: &str, i: usize) -> String {
    match first {
        None => format!("{many}[{i}]"),
        Some(first) => format!("rows[{}].{}", first.saturating_add(i as u64), many.trim_end_matches('s')),
    }
}

/// The rows' own JSON texts. A row without metadata has an empty one, or, where no row has any, none.
fn split(metadata: Option<&str>, rows: usize) -> Result<Vec<&str>> {
    let Some(text) = metadata else { return Ok(Vec::new()) };
    let parts: Vec<&serde_json::value::RawValue> = serde_json::from_str(text)
        .map_err(|error| Error::new(Code::Argument, format!("metadata is not a JSON array: {error}")))?;
    if parts.len() != rows {
        let message = format!("metadata has {} entries and ids has {rows}; they must be as many", parts.len());
        return Err(Error::new(Code::Argument, message));
    }
    let mut texts = Vec::with_capacity(parts.len());
    for (i, part) in parts.into_iter().enumerate() {
        match part.get() {
            "null" => texts.push(""),
            object if object.starts_with('{') => texts.push(object),
            other => {
                let start: String = other.chars().take(40).collect();
                return Err(Error::new(Code::Argument, format!("metadata[{i}] is {start}; it must be an object")));
            }
        }
    }
    Ok(texts)
}

/// Where a put keeps things, as offsets from the start of the frame.
pub(crate) struct Directory {
    rows: usize,
    dim: usize,
}

impl Directory {
    pub fn of(header: &Header) -> Directory {
        Directory { rows: header.rows as usize, dim: header.dim as usize }
    }

    /// Of a frame that starts with `bytes`. A header that is damaged makes no place that is too far to reckon with.
    pub fn at(bytes: &[u8]) -> Directory {
        Directory { rows: word32(bytes, 20) as usize, dim: (word32(bytes, 24) as usize).min(MAX_DIM) }
    }

    /// Tells of each part of the frame that the texts of row `index` are read from.
    pub fn parts(&self, bytes: &[u8], index: usize, mut visit: impl FnMut(Range<usize>)) {
        let entries = HEADER + self.rows * self.dim * 4;
        visit(entries + index.saturating_sub(1) * 8..entries + index * 8 + 8);
        visit(entries + self.rows.saturating_sub(1) * 8..self.ids());
        for (base, at) in [(Some(self.ids()), 0), (self.metadata_base(bytes), 4)] {
            if let Some(text) = base.and_then(|base| self.range(bytes, base, index, at)) {
                visit(text);
            }
        }
    }

    /// What the frame in `bytes` says of the texts of row `index`: where they end.
    pub fn entry<'a>(&self, bytes: &'a [u8], index: usize) -> Option<&'a [u8]> {
        let from = HEADER + self.rows * self.dim * 4 + index * 8;
        bytes.get(from..from + 8)
    }

    /// Id of row `index` of the frame in `bytes`; `None` where the frame's own offsets do not hold.
    pub fn id<'a>(&self, bytes: &'a [u8], index: usize) -> Option<&'a str> {
        self.text(bytes, self.ids(), index, 0)
    }

    /// Metadata of row `index` of the frame in `bytes`; `None` where the frame's own offsets do not hold.
    pub fn metadata<'a>(&self, bytes: &'a [u8], index: usize) -> Option<&'a str> {
        self.text(bytes, self.metadata_base(bytes)?, index, 4)
            .map(|object| if object.is_empty() { EMPTY } else { object })
    }

    /// Where the ids begin.
    fn ids(&self) -> usize {
        HEADER + self.rows * (self.dim * 4 + 8)
    }

    /// Where the metadata begin.
    fn metadata_base(&self, bytes: &[u8]) -> Option<usize> {
        Some(self.ids() + self.end(bytes, self.rows.checked_sub(1)?, 0)?)
    }

    /// The end that the entry of row `index` holds at byte `at`.
    fn end(&self, bytes: &[u8], index: usize, at: usize) -> Option<usize> {
        self.entry(bytes, index).map(|entry| word32(entry, at) as usize)
    }

    fn range(&self, bytes: &[u8], base: usize, index: usize, at: usize) -> Option<Range<usize>> {
        let from = if index == 0 { 0 } else { self.end(bytes, index - 1, at)? };
        Some(base + from..base + self.end(bytes, index, at)?)
    }

    fn text<'a>(&self, bytes: &'a [u8], base: usize, index: usize, at: usize) -> Option<&'a str> {
        std::str::from_utf8(bytes.get(self.range(bytes, base, index, at)?)?).ok()
    }
}

/// Where the vector of row `index` of a put starts.
pub(crate) fn vector_at(index: usize, dim: usize) -> usize {
    HEADER + index * dim * 4
}

/// The row numbers of a delete.
pub(crate) fn deleted_rows(header: &Header, bytes: &[u8]) -> Vec<u32> {
    (0..header.rows as usize).map(|i| word32(bytes, HEADER + i * 4)).collect()
}

fn table_at(payload: usize) -> usize {
    (HEADER + payload).next_multiple_of(8)
}

fn frame_len(payload: usize) -> usize {
    (table_at(payload) + payload.div_ceil(BLOCK) * 8).next_multiple_of(ALIGN)
}

pub(crate) fn word32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(crate) fn word64(bytes: &[u8], at: usize) -> u64 {
    u64::from(word32(bytes, at)) | u64::from(word32(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(rows: usize, dim: usize, metadata: Option<&str>) -> (Header, Buffer) {
        let ids = (0..rows).map(|i| format!("id-{i}")).collect();
        let floats: Vec<f32> = (0..rows * dim).map(|i| i as f32).collect();
        let mut draft = Draft::new(dim, None, ids, metadata).unwrap();
        // SAFETY: a vector of that many floats.
        unsafe { draft.fill(floats.as_ptr(), floats.len()).unwrap() };
        draft.frame.number(100, &Numbers { sequence: 7, synced: 6, previous: 9 }, 5)
    }

    #[test]
    fn a_put_reads_back_what_was_put() {
        let (header, buffer) = frame(3, 5, Some(r#"[{"a":1},null,{"b":"ü"}]"#));
        let bytes = buffer.bytes();
        assert_eq!(Header::read(bytes, 5), Ok(header));
        assert_eq!((header.sequence, header.synced, header.previous, header.first_row), (7, 6, 9, 100));
        assert!(Header::read(bytes, 6).is_err(), "another collection's frame");
        verify(&header, bytes).unwrap();
        let directory = Directory::of(&header);
        assert_eq!((directory.id(bytes, 0), directory.metadata(bytes, 0)), (Some("id-0"), Some(r#"{"a":1}"#)));
        assert_eq!((directory.id(bytes, 1), directory.metadata(bytes, 1)), (Some("id-1"), Some("{}")));
        assert_eq!((directory.id(bytes, 2), directory.metadata(bytes, 2)), (Some("id-2"), Some(r#"{"b":"ü"}"#)));
        assert_eq!(vector_at(2, 5), 64 + 40);
        assert_eq!(bytes.len() % 64, 0);
    }

    #[test]
    fn every_flipped_bit_is_seen() {
        let (header, mut buffer) = frame(2, 3, None);
        let used = table_at(header.payload) + 8;
        for at in 0..used {
            for bit in 0..8 {
                buffer.bytes_mut()[at] ^= 1 << bit;
                let seen = Header::read(buffer.bytes(), 5).is_ok_and(|header| verify(&header, buffer.bytes()).is_ok());
                assert!(!seen || (header.payload + HEADER..table_at(header.payload)).contains(&at), "byte {at}");
                buffer.bytes_mut()[at] ^= 1 << bit;
            }
        }
    }

    #[test]
    fn a_header_whose_counts_do_not_fit_its_payload_is_refused() {
        let (good, mut buffer) = frame(2, 3, None);
        for (rows, dim, payload) in [
            (3, 3, good.payload),
            (2, 4, 2 * 24 - 1),
            (u32::MAX, u32::MAX, good.payload),
            (1, MAX_DIM as u32 + 1, 1 << 20),
            (2, 3, MAX_WRITE_BYTES + 1),
            (2, 3, usize::MAX),
        ] {
            let bytes = buffer.bytes_mut();
            bytes[20..24].copy_from_slice(&u32::to_le_bytes(rows));
            bytes[24..28].copy_from_slice(&u32::to_le_bytes(dim));
            bytes[32..40].copy_from_slice(&(payload as u64).to_le_bytes());
            let own = xxh3_64_with_seed(&bytes[..56], 5);
            bytes[56..64].copy_from_slice(&own.to_le_bytes());
            assert!(Header::read(buffer.bytes(), 5).unwrap_err().starts_with("a frame of"), "{rows} {dim} {payload}");
        }
    }

    #[test]
    fn metadata_must_be_objects_and_as_many() {
        let ids = || vec!["a".to_string(), "b".to_string()];
        let message = |text: &str| Draft::new(2, None, ids(), Some(text)).err().unwrap().message;
        assert_eq!(message("[{}]"), "metadata has 1 entries and ids has 2; they must be as many");
        assert_eq!(message("[{},[1]]"), "metadata[1] is [1]; it must be an object");
        assert!(message("{").starts_with("metadata is not a JSON array: "));
    }

    #[test]
    fn ids_have_one_to_1024_bytes() {
        for (id, bytes) in [(String::new(), 0), ("ü".repeat(513), 1026)] {
            let error = Draft::new(2, None, vec!["a".into(), id], None).err().unwrap();
            assert_eq!(error.message, format!("ids[1] has {bytes} bytes of UTF-8; it must have 1 to 1024"));
        }
        assert!(Draft::new(2, None, vec!["ü".repeat(512)], None).is_ok());
    }

    #[test]
    fn a_wrong_count_of_floats_names_both_counts() {
        let mut draft = Draft::new(3, None, vec!["a".into()], None).unwrap();
        // SAFETY: no float is read where the count is wrong.
        let error = unsafe { draft.fill([0.0; 4].as_ptr(), 4) }.unwrap_err();
        assert_eq!(
            (error.code, error.message.as_str()),
            (Code::Dimension, "vectors has 4 floats; 1 rows of dim 3 have 3")
        );
    }

    #[test]
    fn more_than_a_call_may_hold_names_load() {
        let ids = (0..70_000).map(|i| i.to_string()).collect();
        assert!(Draft::new(4096, None, ids, None).err().unwrap().message.contains("load()"));
    }
}

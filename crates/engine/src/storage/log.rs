//! The log: segments in order, frames appended to the last one.
//!
//! ```text
//! append   room? else allocate a segment, seal the last one, name both in MANIFEST   (all before the first byte)
//!          write the frame
//! commit   one sync for all frames since the last
//! open     MANIFEST -> each segment's frames from a checkpoint's position on, in sequence, checked
//! ```
//! Reading stops at the first bad frame. If that frame was once known to be durable (MANIFEST says so, or its segment is
//! sealed behind it, or a later frame was written in that knowledge), the file is damaged. Else it is a write that never
//! finished, and the next frame takes its place. Frames are chained, so what lies behind it is none of them; but a frame
//! written again to the byte would have it follow, so where whole frames lie behind, the next goes into a new segment.

use std::sync::Arc;

use crate::error::{Code, Error, Result};
use crate::memory::ALIGN;
use crate::options::{Config, Durability};
use crate::storage::checkpoint::Checkpoint;
use crate::storage::disk::Disk;
use crate::storage::frame::{self, HEADER, Header, Numbers, Unnumbered};
use crate::storage::manifest::{self, Checkpointed, MANIFEST, MANIFEST_NEW, Manifest, Named, Position, Stored};
use crate::storage::segment::Segment;

const FIRST_SEGMENT: usize = 64 * 1024;
const LARGEST_SEGMENT: usize = 256 * 1024 * 1024;
/// Bytes that are copied at a time.
const COPIED: usize = 1 << 20;

/// A frame's place: the index of its segment, and the byte where it starts there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub segment: u32,
    pub offset: u32,
}

/// The log's writer.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    manifest: Manifest,
    segments: Arc<Vec<Arc<Segment>>>,
    durability: Durability,
    /// Frames appended, and of those the ones known durable.
    sequence: u64,
    durable: u64,
    /// [`Header::link`] of the last frame.
    link: u32,
    /// Why nothing more is written.
    poison: Option<Error>,
    /// Whether MANIFEST names this log; a successor waits for its day.
    named: bool,
    /// Whether frames of lost writes lie behind the last one, so that none may be put in front of them.
    littered: bool,
}

impl Log {
    /// A new log in an empty folder.
    pub fn create(disk: Arc<dyn Disk>, config: &Config, salt: u64) -> Result<Log> {
        let manifest = Manifest::new(config, salt);
        manifest.store(&*disk)?;
        Ok(Log::of(disk, manifest, config.durability, None, true))
    }

    fn of(disk: Arc<dyn Disk>, manifest: Manifest, durability: Durability, poison: Option<Error>, named: bool) -> Log {
        let (sequence, durable, link, littered) = (0, 0, 0, false);
        Log { disk, manifest, segments: Arc::default(), durability, sequence, durable, link, poison, named, littered }
    }

    /// The log that `manifest` names, and its frames from a position on, each checked against its checksums. A log that
    /// is only read may be written by another process meanwhile: a frame that is not whole is the end, for now.
    pub fn open(
        disk: Arc<dyn Disk>,
        manifest: Manifest,
        durability: Durability,
        from: Position,
        readonly: bool,
    ) -> Result<(Log, Vec<(Header, Place)>)> {
        let poison = readonly.then(|| Error::new(Code::ReadOnly, "the collection was opened with mode \"readonly\""));
        let mut log = Log::of(disk, manifest, durability, poison, true);
        let frames = log.read_from(from)?;
        let (sequence, durable) = (log.sequence, log.manifest.durable);
        if durable > sequence {
            let what = format!("{durable} writes were durable and {sequence} are there");
            let end = log.segments.last().map_or(0, |segment| segment.end());
            return Err(Error::corrupt(log.segments.last().map_or(MANIFEST, |segment| segment.name()), end, &what));
        }
        log.durable = durable;
        if !readonly {
            // The process before may have ended between a rename and the folder's sync: what is written from here on
            // is as durable as the MANIFEST that names it, and what it does not name is only then not needed.
            log.disk.sync_names()?;
            log.sweep();
        }
        Ok((log, frames))
    }

    /// Opens the segments from a position's on, and reads the frames behind it.
    fn read_from(&mut self, from: Position) -> Result<Vec<(Header, Place)>> {
        let Log { disk, manifest, .. } = self;
        let mut segments = (*self.segments).clone();
        segments.truncate(from.segment);
        let mut frames: Vec<(Header, Place)> = Vec::new();
        let mut littered = false;
        for (i, named) in manifest.segments.iter().enumerate().skip(segments.len()) {
            let segment = disk.open(&manifest.segment(i), named.len)?;
            let last = i + 1 == manifest.segments.len();
            if named.sealed.is_none() && !last {
                return Err(Error::corrupt(MANIFEST, 0, "a segment that is not the last is not sealed"));
            }
            let end = match named.sealed {
                Some(sealed) if i < from.segment => sealed,
                sealed => {
                    let end;
                    (end, littered) = read(&segment, i, manifest, sealed, from, self.poison.is_some(), &mut frames)?;
                    end
                }
            };
            segment.settle(end);
            segments.push(segment);
        }
        self.segments = Arc::new(segments);
        self.littered = littered;
        self.sequence = from.sequence + frames.len() as u64;
        self.link = frames.last().map_or(from.link, |(header, _)| header.link());
        Ok(frames)
    }

    /// The frames that another process added to a log that is only read; `None` when it wrote the log anew.
    pub fn follow(&mut self) -> Result<Option<Vec<(Header, Place)>>> {
        let missing = || Error::corrupt(MANIFEST, 0, "it is missing beside the log");
        let mut manifest = Manifest::load(&*self.disk)?.ok_or_else(missing)?;
        let from = self.position().0;
        loop {
            if manifest.salt != self.manifest.salt {
                return Err(Error::corrupt(MANIFEST, 0, "another collection took the place of the one that is read"));
            }
            if manifest.generation != self.manifest.generation || manifest.segments.len() < self.segments.len() {
                return Ok(None);
            }
            let before = std::mem::replace(&mut self.manifest, manifest);
            let failed = match self.read_from(from) {
                Ok(frames) => return Ok(Some(frames)),
                Err(error) => error,
            };
            // What it names may have gone since it was read: then there is another one.
            let named = std::mem::replace(&mut self.manifest, before);
            manifest = Manifest::load(&*self.disk)?.filter(|newer| *newer != named).ok_or(failed)?;
        }
    }

    /// Whether checkpoints may be kept beside this log.
    pub fn is_kept(&self) -> bool {
        self.disk.lasts() && !self.is_read_only()
    }

    /// Whether this log is read and never written.
    pub fn is_read_only(&self) -> bool {
        self.poison.as_ref().is_some_and(|error| error.code == Code::ReadOnly)
    }

    /// Removes what no manifest names: left by a writer that ended between two steps.
    fn sweep(&self) {
        let mut named: Vec<String> = (0..self.manifest.segments.len()).map(|i| self.manifest.segment(i)).collect();
        named.extend(self.manifest.checkpoint.map(|checkpoint| self.manifest.index(checkpoint.number)));
        for name in self.disk.list().unwrap_or_default() {
            let ours = ["log-", "index-"].iter().any(|kind| manifest::is_named(&name, kind));
            if name == MANIFEST_NEW || ours && !named.contains(&name) {
                // What cannot be removed takes room and nothing else.
                let _ = self.disk.remove(&name);
            }
        }
    }

    pub fn disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    /// The segments there are; a handle stays valid while the log grows, and sees what is appended to them.
    pub fn segments(&self) -> Arc<Vec<Arc<Segment>>> {
        Arc::clone(&self.segments)
    }

    /// Numbers a frame and appends it; [`Log::commit`] makes it durable. When this fails, the log's content is as it
    /// was; after a failure that leaves the disk in doubt, the log takes no more.
    pub fn append(&mut self, frame: Unnumbered, first_row: u32) -> Result<(Header, Place)> {
        self.writable()?;
        let len = frame.buffer.bytes().len();
        if self.littered || self.segments.last().is_none_or(|last| last.len() - last.end() < len) {
            self.allocate(len)?;
        }
        let segment = self.segments.len() - 1;
        let last = Arc::clone(&self.segments[segment]);
        let place = Place { segment: segment as u32, offset: last.end() as u32 };
        let (header, buffer) = {
            let numbers = Numbers { sequence: self.sequence + 1, synced: self.durable, previous: self.link };
            frame.number(first_row, &numbers, self.manifest.salt)
        };
        if let Err(error) = self.disk.append(&last, buffer.bytes()) {
            return Err(self.poisoned(&error));
        }
        self.sequence += 1;
        self.link = header.link();
        last.publish();
        Ok((header, place))
    }

    /// Makes what was appended as durable as the log is opened to be: one sync for any number of frames.
    pub fn commit(&mut self) -> Result<()> {
        match self.durability {
            Durability::Commit => self.sync(),
            Durability::Relaxed => self.writable(),
        }
    }

    /// Whether a write or a sync failed, so that nobody knows what is on the disk.
    pub fn is_in_doubt(&self) -> bool {
        self.poison.is_some() && !self.is_read_only()
    }

    /// Whether frames can be appended, and if not, why.
    pub fn writable(&self) -> Result<()> {
        self.poison.clone().map_or(Ok(()), Err)
    }

    fn poisoned(&mut self, error: &Error) -> Error {
        let message = if self.named {
            format!("{}; nothing more is written until the collection is opened again", error.message)
        } else {
            error.message.clone()
        };
        self.poison.insert(Error::new(Code::Io, message)).clone()
    }

    /// Adds a segment with room for `len` bytes. Until it is named nothing has changed.
    fn allocate(&mut self, len: usize) -> Result<()> {
        self.sync()?;
        let before = self.segments.last().map_or(FIRST_SEGMENT / 2, |last| last.len());
        let room = len.max((before * 2).min(LARGEST_SEGMENT));
        let mut next = self.manifest.clone();
        if let (Some(named), Some(segment)) = (next.segments.last_mut(), self.segments.last()) {
            named.sealed = Some(segment.end());
        }
        next.durable = self.durable;
        let name = next.segment(next.segments.len());
        next.segments.push(Named { len: room, sealed: None });
        let segment = self.disk.create(&name, room)?;
        let disk = Arc::clone(&self.disk);
        self.replace(next).inspect_err(|stored| {
            if let Stored::Kept(_) = stored {
                // Nobody knows of the file; if it cannot be removed, the next writer sweeps it.
                let _ = disk.remove(&name);
            }
        })?;
        self.littered = false;
        Arc::make_mut(&mut self.segments).push(segment);
        Ok(())
    }

    /// Puts a manifest in force that names new files. [`Stored::Unknown`]: it may be in force, so its files must stay,
    /// and the log takes no more.
    fn replace(&mut self, next: Manifest) -> std::result::Result<(), Stored> {
        let named = self.disk.sync_names().map_err(Stored::Kept);
        match named.and_then(|()| if self.named { next.store(&*self.disk) } else { Ok(()) }) {
            Ok(()) => {
                self.manifest = next;
                Ok(())
            }
            Err(Stored::Unknown(error)) => Err(Stored::Unknown(self.poisoned(&error))),
            kept => kept,
        }
    }

    /// Makes every frame durable.
    pub fn sync(&mut self) -> Result<()> {
        self.writable()?;
        if self.durable < self.sequence {
            if let Some(last) = self.segments.last().map(Arc::clone)
                && let Err(error) = last.syncing(|| self.disk.sync(&last))
            {
                return Err(self.poisoned(&error));
            }
            self.durable = self.sequence;
        }
        Ok(())
    }

    /// Makes every frame durable, and MANIFEST say so.
    pub fn close(&mut self) -> Result<()> {
        self.sync()?;
        if self.manifest.durable < self.durable {
            self.manifest.durable = self.durable;
            self.manifest.store(&*self.disk)?;
        }
        Ok(())
    }

    /// An empty log of the next generation, beside this one, of a collection that is so configured from then on. MANIFEST goes on naming this one. There is none of a log
    /// that takes no more frames: MANIFEST may name one already, whose files these would be.
    pub fn successor(&self, config: &Config) -> Result<Log> {
        self.writable()?;
        let manifest = self.manifest.successor(config);
        Ok(Log::of(Arc::clone(&self.disk), manifest, self.durability, None, false))
    }

    /// Makes MANIFEST name this log instead of the one before it, whose files are removed. When this fails, the one
    /// before is in force, or nobody knows, and it takes no more frames.
    pub fn succeed(&mut self, before: &mut Log) -> Result<()> {
        before.writable()?;
        self.sync()?;
        self.manifest.durable = self.durable;
        // It may have been tuned meanwhile.
        self.manifest.ef_search = before.manifest.ef_search;
        match self.manifest.store(&*self.disk) {
            Ok(()) => {}
            Err(Stored::Kept(error)) => return Err(error),
            Err(Stored::Unknown(error)) => {
                // Either may be the one that the next opening reads.
                self.named = true;
                return Err(before.poisoned(&error));
            }
        }
        self.named = true;
        before.named = false;
        before.remove();
        Ok(())
    }

    /// Removes the files of a log that MANIFEST does not name. What cannot be removed the next writer sweeps.
    pub fn remove(&self) {
        if self.named {
            return;
        }
        for i in 0..self.manifest.segments.len() {
            let _ = self.disk.remove(&self.manifest.segment(i));
        }
        if let Some(checkpoint) = self.manifest.checkpoint {
            let _ = self.disk.remove(&self.manifest.index(checkpoint.number));
        }
    }

    /// Checks every frame up to a position against its checksums.
    pub fn audit(&self, to: Position, go_on: &dyn Fn() -> Result<()>) -> Result<()> {
        let mut numbers = (0, 0);
        for (header, place) in self.frames(Position::default(), to)? {
            go_on()?;
            let segment = &self.segments[place.segment as usize];
            let bad = |at: usize, what| Error::corrupt(segment.name(), place.offset as usize + at, what);
            // A checkpoint that was forged may name a position past what its frames reach.
            if (place.offset as usize).checked_add(header.frame_len()).is_none_or(|end| end > segment.written()) {
                return Err(bad(0, "a frame that ends past its segment"));
            }
            let bytes = segment.bytes(place.offset as usize, header.frame_len());
            frame::verify(&header, bytes).map_err(|at| bad(at, "a checksum does not match"))?;
            if (header.sequence, header.previous) != (numbers.0 + 1, numbers.1) {
                return Err(bad(0, "a frame out of sequence"));
            }
            numbers = (header.sequence, header.link());
        }
        if numbers.0 != to.sequence {
            let what = format!("{} frames are there instead of {}", numbers.0, to.sequence);
            return Err(Error::corrupt(MANIFEST, 0, &what));
        }
        Ok(())
    }

    /// Copies the log up to a position into an empty folder, without its MANIFEST; returns that. `go_on` is told how many
    /// bytes of how many are copied.
    pub fn copy(
        &self,
        to: Position,
        target: &dyn Disk,
        go_on: &dyn Fn(usize, usize) -> Result<()>,
    ) -> Result<Manifest> {
        let mut manifest = Manifest { generation: 1, checkpoint: None, durable: to.sequence, ..self.manifest.clone() };
        manifest.segments.truncate(to.segment + 1);
        if let Some(last) = manifest.segments.last_mut() {
            last.sealed = None;
        }
        let end = |i: usize, named: &Named| {
            if i == to.segment { to.offset } else { named.sealed.unwrap_or(self.segments[i].end()) }
        };
        let all = manifest.segments.iter().enumerate().map(|(i, named)| end(i, named)).sum();
        let mut copied = 0;
        for (i, named) in manifest.segments.iter().enumerate() {
            let source = &self.segments[i];
            let copy = target.create(&manifest.segment(i), named.len)?;
            for piece in source.bytes(0, end(i, named)).chunks(COPIED) {
                go_on(copied, all)?;
                target.append(&copy, piece)?;
                copied += piece.len();
            }
            target.sync(&copy)?;
        }
        target.sync_names()?;
        Ok(manifest)
    }

    /// Bytes of its segments: of a file all, of memory what was written.
    pub fn bytes(&self) -> u64 {
        let taken = |segment: &Arc<Segment>| if segment.is_mapped() { segment.len() } else { segment.written() };
        self.segments.iter().map(|segment| taken(segment) as u64).sum()
    }

    /// A handle that reads what is there now, beside whoever writes.
    pub fn reader(&self) -> Log {
        let poison = Some(Error::new(Code::ReadOnly, "a reader of the log does not write"));
        let (disk, manifest) = (Arc::clone(&self.disk), self.manifest.clone());
        Log { disk, manifest, segments: Arc::clone(&self.segments), poison, ..*self }
    }

    /// The frames from one position to another, which are not read beyond their headers.
    pub fn frames(&self, from: Position, to: Position) -> Result<Vec<(Header, Place)>> {
        let mut frames = Vec::new();
        for (i, segment) in self.segments.iter().enumerate().take(to.segment + 1).skip(from.segment) {
            let mut offset = if i == from.segment { from.offset } else { 0 };
            let sealed = self.manifest.segments.get(i).and_then(|named| named.sealed);
            let end = if i == to.segment { to.offset } else { sealed.unwrap_or(segment.len()) };
            while offset < end {
                let bytes = segment.bytes(offset, end - offset);
                let header = Header::read(bytes, self.manifest.salt)
                    .map_err(|what| Error::corrupt(segment.name(), offset, what))?;
                frames.push((header, Place { segment: i as u32, offset: offset as u32 }));
                offset += header.frame_len();
            }
        }
        Ok(frames)
    }

    /// Checks that MANIFEST says what this log does, or has grown from that, and that every file that this log has is
    /// there in its length. Of a log that is followed its writer may have removed them meanwhile.
    pub fn audit_files(&self, followed: bool) -> Result<()> {
        let audited = self.audit_named();
        let Manifest { salt, generation, checkpoint, .. } = self.manifest;
        match Manifest::load(&*self.disk)? {
            Some(now)
                if followed && now.salt == salt && (now.generation, now.checkpoint) != (generation, checkpoint) =>
            {
                Ok(())
            }
            _ => audited,
        }
    }

    fn audit_named(&self) -> Result<()> {
        if Manifest::load(&*self.disk)?.is_none_or(|there| !there.continues(&self.manifest)) {
            return Err(Error::corrupt(MANIFEST, 0, "it is not what this collection wrote"));
        }
        for (i, named) in self.manifest.segments.iter().enumerate() {
            self.disk.open(&self.manifest.segment(i), named.len)?;
        }
        let Some(kept) = self.manifest.checkpoint else { return Ok(()) };
        let name = self.manifest.index(kept.number);
        Checkpoint::open(&*self.disk, &name, kept.len, self.manifest.salt)?.verify(|_| true, &|| true)
    }

    /// Whether every frame is known durable.
    pub fn is_durable(&self) -> bool {
        self.durable == self.sequence
    }

    /// Takes no more frames, for this reason.
    pub fn poison(&mut self, error: &Error) {
        self.poisoned(error);
    }

    /// Where the next frame goes, and the segment before it whose bytes may not be durable yet.
    pub fn position(&self) -> (Position, Option<Arc<Segment>>) {
        let last = self.segments.last().map(Arc::clone);
        let (segment, offset) = (self.segments.len().saturating_sub(1), last.as_ref().map_or(0, |last| last.end()));
        (Position { sequence: self.sequence, segment, offset, link: self.link }, last)
    }

    /// The checkpoint in force.
    pub fn checkpoint(&self) -> Option<Checkpointed> {
        self.manifest.checkpoint
    }

    /// Keeps what searches use that give no `efSearch`. [`Stored::Kept`]: nothing has changed.
    pub fn tune(&mut self, ef_search: usize) -> Result<()> {
        self.writable()?;
        let mut next = self.manifest.clone();
        next.ef_search = Some(ef_search);
        self.replace(next).map_err(Error::from)
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Puts a checkpoint in force, whose file is durable, as are the frames that it holds; the one before is removed.
    /// [`Stored::Kept`]: nobody knows of the file.
    pub fn adopt(&mut self, checkpoint: Checkpointed) -> std::result::Result<(), Stored> {
        self.writable().map_err(Stored::Kept)?;
        self.durable = self.durable.max(checkpoint.position.sequence);
        let mut next = self.manifest.clone();
        next.durable = self.durable;
        let before = next.checkpoint.replace(checkpoint);
        self.replace(next)?;
        if let Some(before) = before {
            // What cannot be removed, for it is mapped, the next writer sweeps.
            let _ = self.disk.remove(&self.manifest.index(before.number));
        }
        Ok(())
    }
}

/// Reads the frames of segment `index` into `frames`; returns where the last one ends, and whether other frames lie
/// behind it.
fn read(
    segment: &Segment,
    index: usize,
    manifest: &Manifest,
    sealed: Option<usize>,
    from: Position,
    readonly: bool,
    frames: &mut Vec<(Header, Place)>,
) -> Result<(usize, bool)> {
    let there = segment.written();
    if sealed.is_some_and(|sealed| sealed > there) {
        return Err(Error::corrupt(segment.name(), there, "its last frames are missing"));
    }
    let all = segment.bytes(0, sealed.unwrap_or(there));
    let mut offset = if index == from.segment { from.offset } else { 0 };
    if offset > all.len() {
        return Err(Error::corrupt(MANIFEST, 0, "its checkpoint is past the end of the log"));
    }
    while offset < all.len() {
        let next = from.sequence + frames.len() as u64 + 1;
        let link = frames.last().map_or(from.link, |(header, _)| header.link());
        let rest = &all[offset..];
        let found = Header::read(rest, manifest.salt).map_err(|what| (0, what)).and_then(|header| {
            if header.frame_len() > rest.len() {
                return Err((0, "a frame that is cut short"));
            }
            if header.sequence != next || header.previous != link {
                return Err((0, "a frame out of sequence"));
            }
            let bytes = &rest[..header.frame_len()];
            frame::verify(&header, bytes).map(|()| header).map_err(|at| (at, "a checksum does not match"))
        });
        match found {
            Ok(header) => {
                frames.push((header, Place { segment: index as u32, offset: offset as u32 }));
                offset += header.frame_len();
            }
            Err((at, what)) => {
                let promised = if readonly { None } else { promised(rest, manifest.salt) };
                if sealed.is_some() || manifest.durable >= next || promised >= Some(next) {
                    return Err(Error::corrupt(segment.name(), offset + at, what));
                }
                return Ok((offset, promised.is_some()));
            }
        }
    }
    Ok((offset, false))
}

/// Up to which sequence the frames behind a bad one knew that frames are durable; `None` when there are none.
fn promised(rest: &[u8], salt: u64) -> Option<u64> {
    let headers = rest.chunks_exact(ALIGN).skip(1);
    debug_assert_eq!(HEADER, ALIGN);
    headers.filter_map(|bytes| Header::read(bytes, salt).ok()).map(|header| header.synced).max()
}

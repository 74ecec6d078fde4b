//! The writer: takes a write through every part, one at a time, in an order in which nothing fails half done.
//!
//! ```text
//! admit (vectors, ids) -> reserve (memory) -> log -> rows, ids, tombstones -> index -> view
//!  may refuse             may refuse          may    cannot fail
//! ```

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use auspex_kernel::Kernels;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::columns::Columns;
use crate::compaction::{self, Before, Fixed};
use crate::error::{Code, Error, Result};
use crate::filter::Filter;
use crate::graph::batch::Context;
use crate::ids::{Ids, hash};
use crate::index::{GRAPH_FROM, Index};
use crate::keeper::{self, Snapshot};
use crate::matches::Matches;
use crate::options::{Config, Metric};
use crate::rows::{RowsWriter, Tombstones, check_vector};
use crate::storage::checkpoint::Checkpoint;
use crate::storage::disk::Disk;
use crate::storage::frame::{self, Directory, Draft, Header, Kind, Unnumbered};
use crate::storage::log::{Log, Place};
use crate::storage::manifest::{self, Position};
use crate::text::Text;
use crate::token::Token;
use crate::view::View;
use crate::workers::Workers;

/// The fact of a checkpoint that names the fields which its columns and its text are of.
const FIELDS: &str = "fields";

/// A write, ready to be committed.
pub enum Write {
    /// Adds rows; refused when an id is taken, or given twice.
    Insert(Draft),
    /// Adds rows, and replaces those that have their ids. Of an id given twice the last row stays.
    Upsert(Draft),
    /// Removes the rows with these ids; unknown ones are passed over.
    Delete(Vec<String>),
    /// Removes the rows that match a filter, which some row may fail to match.
    DeleteMatching(Filter),
    /// Changes a row: its vector, keys of its metadata, or both. Nothing is changed when the id is unknown.
    Update(Update),
    /// Removes every row.
    Clear,
}

/// What to change of a row.
pub struct Update {
    /// The row's id.
    pub id: String,
    /// Its new vector; `None` leaves the one it has.
    pub vector: Option<Vec<f32>>,
    /// Keys of its metadata to set, as the JSON text of an object.
    pub set: String,
    /// Keys of its metadata to remove, as the JSON text of an array of strings.
    pub remove: String,
}

impl Update {
    /// The whole row that takes the place of `row`; `None` where it is the same row.
    fn draft(&self, view: &View, row: u32, metric: Metric) -> Result<Option<Draft>> {
        view.rows.check(row);
        let before = view.rows.metadata(row);
        let metadata = merge(before, &self.set, &self.remove)?;
        let old = view.rows.vector(row);
        let vector = self.vector.as_deref().unwrap_or(old);
        if vector.len() != old.len() {
            let message = format!("vector has {} floats; the collection has dim {}", vector.len(), old.len());
            return Err(Error::new(Code::Dimension, message));
        }
        check_vector(vector, metric, || "vector".into())?;
        if self.vector.is_none() && metadata == before {
            return Ok(None);
        }
        let mut draft = Draft::with(old.len(), vec![self.id.clone()], &[&metadata])?;
        draft.set(0, vector);
        Ok(Some(draft))
    }
}

/// The JSON object `old` with the keys of `set`, and without those of `remove`. Keys and values stay as they are
/// written; new keys come last.
fn merge(old: &str, set: &str, remove: &str) -> Result<String> {
    let refused = |error| Error::new(Code::Argument, format!("metadata is not a JSON object: {error}"));
    let mut entries = serde_json::from_str::<Entries>(old).map_err(refused)?.0;
    let mut places: HashMap<_, usize> = entries.iter().enumerate().map(|(i, entry)| (name(entry.0), i)).collect();
    for entry in serde_json::from_str::<Entries>(set).map_err(refused)?.0 {
        match places.entry(name(entry.0)) {
            Slot::Occupied(known) => entries[*known.get()].1 = entry.1,
            Slot::Vacant(new) => {
                new.insert(entries.len());
                entries.push(entry);
            }
        }
    }
    let gone: Vec<&RawValue> = serde_json::from_str(remove).map_err(refused)?;
    let gone: HashSet<_> = gone.into_iter().map(name).collect();
    entries.retain(|entry| !gone.contains(&name(entry.0)));
    let texts: Vec<String> = entries.iter().map(|(key, value)| format!("{}:{}", key.get(), value.get())).collect();
    Ok(format!("{{{}}}", texts.join(",")))
}

/// What a key is known by: the text that it stands for, or, where that is no text (half of a surrogate pair), how it is
/// written.
fn name(key: &RawValue) -> std::result::Result<String, &str> {
    serde_json::from_str(key.get()).map_err(|_| key.get())
}

/// The entries of a JSON object, in their order.
struct Entries<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Vec<(&'de RawValue, &'de RawValue)>;
            fn expecting(&self, out: &mut fmt::Formatter) -> fmt::Result {
                out.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries)
            }
        }
        deserializer.deserialize_map(Object).map(Entries)
    }
}

/// What a write did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Written {
    /// Ids that were not there before.
    pub inserted: u32,
    /// Ids whose row was replaced.
    pub updated: u32,
    /// Ids that are gone.
    pub deleted: u32,
}

/// What only the writer touches.
pub(crate) struct Writer {
    /// What rows are taken in by, as long as this is the writer.
    pub config: Arc<Config>,
    pub log: Log,
    rows: RowsWriter,
    ids: Arc<Ids>,
    /// Words of `ids` in use.
    words: usize,
    tombstones: Arc<Tombstones>,
    columns: Arc<Columns>,
    text: Arc<Text>,
    index: Option<Index>,
    /// Rows written or deleted since the last checkpoint.
    pub changes: u64,
    /// The same since the last attempt at one: after a failure the next is not tried before as many are due again.
    pub attempted: u64,
    /// Set while the parts may disagree; a panic in between leaves it so.
    pub torn: bool,
    /// Set while the checkpoint that the index came from is not wholly checked.
    pub unsure: bool,
    /// Set while a checkpoint is on its way that the writes asked for.
    pub keeping: bool,
    /// The last number that a checkpoint was given.
    numbered: u64,
    /// Set while a compaction is on its way that the writes asked for.
    pub compacting: bool,
    /// Rows that were dead when the last such compaction was fixed, whether it succeeds or not.
    gone: usize,
}

impl View {
    /// Checks the draft's vectors, and counts which of its ids are new and which known; in an insert none may be
    /// known or stand twice.
    fn admit(&self, draft: &Draft, config: &Config, insert: bool) -> Result<Written> {
        if draft.frame.dim() != config.dim {
            let message = format!("the rows have dim {}; the collection has dim {}", draft.frame.dim(), config.dim);
            return Err(Error::new(Code::Dimension, message));
        }
        let mut seen: HashMap<&str, usize> = HashMap::with_capacity(draft.ids.len());
        let mut written = Written::default();
        for (i, id) in draft.ids.iter().enumerate() {
            check_vector(draft.frame.vector(i), config.metric, || draft.name("vectors", i))?;
            if let Some(first) = seen.insert(id, i) {
                if insert {
                    let (name, first) = (draft.name("ids", i), draft.name("ids", first));
                    let message = format!("{name} is {id:?}, as is {first}; upsert() keeps the last");
                    return Err(Error::new(Code::Exists, message));
                }
                continue;
            }
            if self.find(id).is_none() {
                written.inserted += 1;
            } else if insert {
                let message = format!("{} is {id:?}, which is taken; upsert() replaces rows", draft.name("ids", i));
                return Err(Error::new(Code::Exists, message));
            } else {
                written.updated += 1;
            }
        }
        Ok(written)
    }
}

impl Writer {
    /// The writer of a new log, or of one whose frames are all still to be applied.
    pub fn new(config: &Config, log: Log) -> Result<Writer> {
        let (ids, columns, text) = (Ids::with_room(0)?, Columns::new(&config.fields), Text::new(&config.fields));
        Ok(Writer::of(config, log, RowsWriter::new(config), ids, 0, Tombstones::default(), columns, text, None))
    }

    /// The writer of a log as a checkpoint left it, which was taken at `end`. Says in `notices` what was made again.
    pub fn load(
        config: &Config,
        kernels: &'static Kernels,
        log: Log,
        checkpoint: &Checkpoint,
        end: Position,
        notices: &mut Vec<String>,
    ) -> Result<Writer> {
        // Columns and text know fields by their order alone. Version 0.1.0 had none.
        let fields: Value = config.fields.iter().collect();
        if checkpoint.fact(FIELDS).map_or(fields != json!({}), |kept| *kept != fields) {
            return Err(checkpoint.lacks(FIELDS));
        }
        let rows = RowsWriter::load(config, checkpoint, log.segments(), log.manifest().salt, end)?;
        let (ids, words) = Ids::load(checkpoint, rows.len())?;
        let tombstones = Tombstones::load(checkpoint, rows.len())?;
        let replaced = |row| rows.rows().superseded(row);
        if (0..rows.len() as u32).any(|row| replaced(row).is_some_and(|old| !tombstones.contains(old))) {
            return Err(checkpoint.lacks("tombstones"));
        }
        let columns = Columns::load(&config.fields, checkpoint, rows.len())?;
        let first = columns.first().unwrap_or(rows.len() as u32);
        if !columns.is_empty() && (0..first).any(|row| !tombstones.contains(row)) {
            return Err(checkpoint.lacks("columns"));
        }
        let kept = Text::load(&config.fields, checkpoint, rows.len(), &tombstones);
        let again = kept.as_ref().err().map(|error| format!("the text index was made again: {}", error.message));
        let text = match kept {
            Ok(text) => text,
            Err(_) => Text::of_rows(&config.fields, rows.rows(), rows.len() as u32, &tombstones)?,
        };
        let graph = checkpoint.slots("heads") > 0;
        if graph && !keeper::graph_holds(checkpoint, rows.len()) {
            return Err(checkpoint.lacks("heads"));
        }
        let index = graph.then(|| Index::load(config, checkpoint, rows.rows(), kernels)).transpose()?;
        let mut writer = Writer::of(config, log, rows, ids, words, tombstones, columns, text, index);
        writer.unsure = graph;
        if let Some(notice) = again {
            // The next checkpoint is worth it, so that this is done once.
            writer.count(u64::MAX / 2);
            notices.push(notice);
        }
        Ok(writer)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a writer, each of its own type")]
    fn of(
        config: &Config,
        log: Log,
        rows: RowsWriter,
        ids: Ids,
        words: usize,
        tombstones: Tombstones,
        columns: Columns,
        text: Text,
        index: Option<Index>,
    ) -> Writer {
        let (ids, tombstones) = (Arc::new(ids), Arc::new(tombstones));
        let (columns, text) = (Arc::new(columns), Arc::new(text));
        let (changes, attempted, torn, unsure, keeping) = (0, 0, false, false, false);
        let (numbered, compacting, gone) = (0, false, 0);
        Writer {
            config: Arc::new(config.clone()),
            log,
            rows,
            ids,
            words,
            tombstones,
            columns,
            text,
            index,
            changes,
            attempted,
            torn,
            unsure,
            keeping,
            numbered,
            compacting,
            gone,
        }
    }

    /// Applies frames that the log holds.
    pub fn replay(&mut self, config: &Config, kernels: &'static Kernels, frames: Vec<(Header, Place)>) -> Result<()> {
        let view = self.view();
        for (header, place) in frames {
            // The log counts these frames as read: who fails here has no place to go on from.
            self.torn = true;
            if header.kind == Kind::Put {
                self.reserve(config, header.rows as usize)?;
            }
            // An id that is damaged is none that a row could replace.
            view.checked(|| self.apply(&header, place))?;
            self.relink(config, kernels, &header, &Token::default())?;
        }
        self.torn = false;
        Ok(())
    }

    /// What a checkpoint is to hold: all that was written so far. The links stay frozen until [`Writer::thaw`].
    pub fn snapshot(&mut self) -> Snapshot {
        self.attempted = 0;
        // Never one of a file that another thread may still be writing.
        self.numbered = self.log.checkpoint().map_or(0, |checkpoint| checkpoint.number).max(self.numbered) + 1;
        let number = self.numbered;
        let unsynced = self.log.position().1.filter(|_| !self.log.is_durable());
        let name = self.log.manifest().index(number);
        Snapshot { number, name, unsynced, ..self.snapshot_into(&self.log.disk()) }
    }

    /// The same for the first checkpoint of a copy in another folder.
    pub fn snapshot_into(&self, disk: &Arc<dyn Disk>) -> Snapshot {
        let (frozen, mut facts) = self.index.as_ref().map_or((Vec::new(), json!({})), Index::freeze);
        facts[FIELDS] = self.config.fields.iter().collect();
        Snapshot {
            view: self.view(),
            frozen,
            facts,
            disk: Arc::clone(disk),
            salt: self.log.manifest().salt,
            name: manifest::FIRST_INDEX.into(),
            number: 1,
            position: self.log.position().0,
            unsynced: None,
            changes: self.changes,
        }
    }

    /// Ends what [`Writer::snapshot`] began.
    pub fn thaw(&self) {
        if let Some(index) = &self.index {
            index.thaw();
        }
    }

    /// Counts rows that the checkpoint in force does not hold.
    fn count(&mut self, rows: u64) {
        self.changes = self.changes.saturating_add(rows);
        self.attempted = self.attempted.saturating_add(rows);
    }

    /// Whether dead rows should go now. Only counts decide; a compaction on its way counts as done, and so does one
    /// that failed: what stood in its way will stand in that of the next write.
    pub fn is_sparse(&self) -> bool {
        !self.torn && compaction::due(self.tombstones.len() - self.gone, self.rows.len() - self.gone)
    }

    /// Whether dead rows are so many that closing waits until they are gone: half of all.
    pub fn is_crowded(&self) -> bool {
        self.tombstones.len() >= self.rows.len() / 2
    }

    /// Whether a checkpoint should be taken now.
    pub fn is_due(&self) -> bool {
        let ready = !self.keeping && !self.unsure && !self.torn && self.log.is_kept();
        ready && keeper::due(self.attempted, self.rows.len())
    }

    /// What is there now, and up to where the log tells it: what a compaction starts from.
    pub fn fixed(&self) -> Fixed {
        let (view, position) = (self.view(), self.log.position().0);
        Fixed { view, position, generation: self.log.manifest().generation }
    }

    /// As [`Writer::fixed`], for a compaction that the writes ask for.
    pub fn fix(&mut self) -> Fixed {
        (self.compacting, self.gone) = (true, self.tombstones.len());
        self.fixed()
    }

    /// What the log holds from a position on, for a successor to follow.
    pub fn before(&self, from: Position) -> Result<Before> {
        let (rows, segments) = (self.rows.rows().clone(), self.log.segments());
        Ok(Before { rows, segments, frames: self.log.frames(from, self.log.position().0)? })
    }

    /// An empty writer on the log's successor.
    pub fn successor(&self, config: &Config) -> Result<Writer> {
        let mut writer = Writer::new(config, self.log.successor(config)?)?;
        writer.count(u64::MAX / 2);
        Ok(writer)
    }

    /// Forgets the index.
    pub fn drop_index(&mut self) {
        self.index = None;
        self.unsure = false;
        self.count(u64::MAX / 2);
    }

    /// Makes the index that is missing, as long as `go_on` lets it; where there is no memory for it, that is the error.
    pub fn rebuild(
        &mut self,
        config: &Config,
        kernels: &'static Kernels,
        token: &Token,
        go_on: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<()> {
        self.link(config, kernels, go_on, self.rows.len() as u32, token)?;
        if self.index.is_none() && self.rows.len() - self.tombstones.len() >= GRAPH_FROM {
            return Err(Error::new(Code::Memory, "there is no memory for the index"));
        }
        Ok(())
    }

    /// One write, up to and with the index; not yet durable, not yet seen.
    pub fn carry_out(
        &mut self,
        config: &Config,
        kernels: &'static Kernels,
        write: Write,
        token: &Token,
    ) -> Result<Written> {
        token.check()?;
        let view = self.view();
        let (written, frame) = view.checked(|| match write {
            Write::Insert(draft) => Ok((view.admit(&draft, config, true)?, draft.frame)),
            Write::Upsert(draft) => Ok((view.admit(&draft, config, false)?, draft.frame)),
            Write::Delete(ids) => {
                let mut rows: Vec<u32> = ids.iter().filter_map(|id| view.find(id)).collect();
                rows.sort_unstable();
                rows.dedup();
                let written = Written { deleted: rows.len() as u32, ..Written::default() };
                Ok((written, Unnumbered::delete(&rows)?))
            }
            Write::DeleteMatching(filter) => {
                if filter.is_always_true() {
                    let message = "filter matches every row; clear() removes them all";
                    return Err(Error::new(Code::Filter, message));
                }
                let rows: Vec<u32> = Matches::all(&view, &filter, token)?.iter().collect();
                let written = Written { deleted: rows.len() as u32, ..Written::default() };
                Ok((written, Unnumbered::delete(&rows)?))
            }
            Write::Update(update) => match view.find(&update.id) {
                None => Ok((Written::default(), Unnumbered::delete(&[])?)),
                Some(row) => match update.draft(&view, row, config.metric)? {
                    None => Ok((Written { updated: 1, ..Written::default() }, Unnumbered::delete(&[])?)),
                    Some(draft) => Ok((view.admit(&draft, config, false)?, draft.frame)),
                },
            },
            Write::Clear => Ok((Written { deleted: view.live() as u32, ..Written::default() }, Unnumbered::clear()?)),
        })?;
        let nothing = if frame.kind() == Kind::Clear { view.live() == 0 } else { frame.rows() == 0 };
        drop(view);
        if nothing {
            return Ok(written);
        }
        if frame.kind() == Kind::Put {
            self.reserve(config, frame.rows())?;
        }
        Workers::build(config.threads)?;
        token.begin(frame.rows() as u64);
        token.check()?;
        let header = self.take(frame)?;
        self.relink(config, kernels, &header, token)?;
        token.finish();
        Ok(written)
    }

    /// Appends a frame to the log and takes it into rows, ids and tombstones. [`Writer::relink`] is to follow.
    pub fn take(&mut self, frame: Unnumbered) -> Result<Header> {
        let (header, place) = self.log.append(frame, self.rows.len() as u32)?;
        self.torn = true;
        self.apply(&header, place)?;
        self.torn = false;
        Ok(header)
    }

    /// Brings the index up to a frame that was taken.
    pub fn relink(&mut self, config: &Config, kernels: &'static Kernels, header: &Header, token: &Token) -> Result<()> {
        if header.kind != Kind::Put || header.more {
            return Ok(());
        }
        self.torn = true;
        // What is in the log is linked, whoever has lost interest.
        self.link(config, kernels, &|| Ok(()), header.first_row, token)?;
        self.torn = false;
        Ok(())
    }

    /// Allocates what a put of `more` rows needs, so that applying it cannot fail for want of memory.
    pub fn reserve(&mut self, config: &Config, more: usize) -> Result<()> {
        self.rows.reserve(more)?;
        if !self.ids.has_room(self.words + more) {
            let dead: &Tombstones = &self.tombstones;
            let live = || self.ids.entries().filter(|&(_, row)| !dead.contains(row));
            let words = live().count();
            let larger = Ids::with_room((words + more).max(self.words))?;
            live().for_each(|(hash, row)| larger.insert(hash, row));
            self.words = words;
            self.ids = Arc::new(larger);
        }
        let first = self.rows.len();
        self.index.as_mut().map_or(Ok(()), |index| index.reserve(config.m, config.seed, first, more))
    }

    /// Takes a frame of the log into rows, ids and tombstones.
    fn apply(&mut self, header: &Header, place: Place) -> Result<()> {
        let segments = self.log.segments();
        let segment = Arc::clone(&segments[place.segment as usize]);
        let bytes = segment.bytes(place.offset as usize, header.frame_len());
        self.count(u64::from(header.rows));
        if header.kind == Kind::Clear {
            self.count((self.rows.len() - self.tombstones.len()) as u64);
            self.tombstones = Arc::new(Tombstones::all(self.rows.len()));
            // Views of what was there keep what they have.
            (self.ids, self.words, self.index) = (Arc::new(Ids::with_room(0)?), 0, None);
            Arc::make_mut(&mut self.columns).clear();
            Arc::make_mut(&mut self.text).clear();
            return Ok(());
        }
        let (tombstones, text) = (Arc::make_mut(&mut self.tombstones), Arc::make_mut(&mut self.text));
        if header.kind == Kind::Delete {
            for row in frame::deleted_rows(header, bytes) {
                if row as usize >= self.rows.len() {
                    return Err(Error::new(Code::Corrupt, format!("a delete of row {row}, which is not there")));
                }
                if tombstones.insert(row) {
                    text.remove(row);
                }
            }
            return Ok(());
        }
        if header.first_row as usize != self.rows.len() || header.dim as usize != self.rows.rows().dim() {
            return Err(Error::new(
                Code::Corrupt,
                format!("rows from {} do not go on from the log's", header.first_row),
            ));
        }
        self.rows.append(segments, header, place)?;
        let rows = header.first_row..header.first_row + header.rows;
        if !text.is_empty() {
            // Before any of them is replaced: a row may be by one of the same frame.
            text.extend(self.rows.rows(), rows.clone());
        }
        let directory = Directory::of(header);
        for i in 0..header.rows {
            let row = header.first_row + i;
            let Some(id) = directory.id(bytes, i as usize) else {
                return Err(Error::new(Code::Corrupt, format!("row {row} has no id in its frame")));
            };
            let hash = hash(id);
            let known = self.ids.candidates(hash).find(|&(_, known)| self.rows.rows().id(known) == id);
            self.rows.supersede(known.map(|(_, old)| old))?;
            match known {
                Some((slot, old)) => {
                    if tombstones.insert(old) {
                        text.remove(old);
                    }
                    self.ids.replace(slot, hash, row);
                }
                None => {
                    self.ids.insert(hash, row);
                    self.words += 1;
                }
            }
        }
        if !self.columns.is_empty() {
            Arc::make_mut(&mut self.columns).extend(self.rows.rows(), rows);
        }
        Ok(())
    }

    /// Brings the index up to the rows.
    fn link(
        &mut self,
        config: &Config,
        kernels: &'static Kernels,
        go_on: &(dyn Fn() -> Result<()> + Sync),
        first: u32,
        token: &Token,
    ) -> Result<()> {
        let workers = Workers::build(config.threads)?;
        let tombstones = Arc::clone(&self.tombstones);
        let count = self.rows.len() as u32;
        let live = |row: &u32| !tombstones.contains(*row);
        let context = Context { config, rows: self.rows.rows(), kernels, workers, go_on };
        if let Some(index) = &mut self.index {
            let numbers: Vec<u32> = (first..count).filter(live).collect();
            return index.extend(&context, &numbers, token);
        }
        if count as usize - tombstones.len() < GRAPH_FROM {
            return Ok(());
        }
        let numbers: Vec<u32> = (0..count).filter(live).collect();
        self.index = Index::first(&context, &numbers, count as usize, token)?;
        Ok(())
    }

    pub fn view(&self) -> View {
        View {
            rows: self.rows.rows().among(self.log.segments()),
            count: self.rows.len() as u32,
            tombstones: Arc::clone(&self.tombstones),
            columns: Arc::clone(&self.columns),
            text: Arc::clone(&self.text),
            ids: Arc::clone(&self.ids),
            graph: self.index.as_ref().map(Index::view),
            config: Arc::clone(&self.config),
            moment: (self.log.manifest().generation, self.log.position().0.sequence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_are_merged_key_by_key_as_they_are_written() {
        let merged =
            |old: &str, set: &str, remove: &[&str]| merge(old, set, &serde_json::json!(remove).to_string()).unwrap();
        assert_eq!(
            merged(r#"{"a":1,"b":[1.0, 2]}"#, r#"{"c":-0.0,"a":null}"#, &[]),
            r#"{"a":null,"b":[1.0, 2],"c":-0.0}"#
        );
        assert_eq!(merged(r#"{"a":1,"__proto__":{"x":2}}"#, "{}", &["a", "none"]), r#"{"__proto__":{"x":2}}"#);
        assert_eq!(merged("{}", r#"{"é\n\"":12345678901234567890}"#, &[]), r#"{"é\n\"":12345678901234567890}"#);
        assert_eq!(merged(r#"{"a":1}"#, r#"{"a":2}"#, &["a"]), "{}");
        assert_eq!(merged(r#"{"a":1}"#, r#"{"\u0061":2}"#, &[]), r#"{"a":2}"#);
        // Half of a surrogate pair is a key of JavaScript's, and no text.
        let half = r#"{"\ud800":1,"b":"\udc00"}"#;
        assert_eq!(merged(half, r#"{"a":1}"#, &["b"]), r#"{"\ud800":1,"a":1}"#);
        assert_eq!(merge(half, r#"{"\ud800":2}"#, r#"["b"]"#).unwrap(), r#"{"\ud800":2}"#);
        assert_eq!(merge(half, "{}", r#"["\ud800"]"#).unwrap(), r#"{"b":"\udc00"}"#);
        assert_eq!(merge("{}", "[1]", "[]").unwrap_err().code, Code::Argument);
    }
}

//! The collection: the one place that takes locks.
//!
//! ```text
//! write   check -> log -> rows, ids, tombstones -> index -> publish a view      one at a time, under the writer's lock
//! read    take the view -> plan -> run                                          any number, no lock
//! ```

mod jobs;
mod recall;
mod texts;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use auspex_kernel::Kernels;

use self::jobs::Jobs;
pub use self::recall::{RecallOptions, RecallPoint};
use crate::answer::{BatchHits, Cursor, Explain, Found, Hits, Stats};
use crate::error::{Code, Error, Result, shown};
use crate::exact::sized;
use crate::filter::Filter;
use crate::graph::batch::fingerprint;
use crate::graph::check;
use crate::graph::search::Counts;
use crate::keeper;
use crate::matches::Matches;
use crate::options::{Config, Metric, Options, SearchOptions, Shape};
use crate::query::{self, Plan, Scratch, Search};
use crate::spares::Spares;
use crate::storage::disk::{Disk, Heap};
use crate::storage::folder::Folder;
use crate::storage::frame::Draft;
use crate::storage::log::Log;
use crate::storage::manifest::{self, MANIFEST, MANIFEST_NEW, Manifest, Position};
use crate::token::Token;
use crate::view::View;
use crate::workers::Workers;
use crate::writer::{Write, Writer, Written};

/// A handle on a collection. Clones share it; every method may be called from any thread.
#[derive(Clone)]
pub struct Collection(Arc<Inner>);

struct Inner {
    /// What rebuilding may change of it is the writer's.
    config: Config,
    kernels: &'static Kernels,
    /// `None` once closed.
    view: ArcSwapOption<View>,
    writer: Mutex<Option<Writer>>,
    scratches: Spares<Scratch>,
    live: AtomicUsize,
    /// What `stats` counted last, and at which write.
    counted: Mutex<((u32, u64), u64, f64)>,
    notices: Mutex<Vec<String>>,
    /// Bytes of the checkpoint that was mapped, and of the one in force.
    checkpoints: (AtomicUsize, AtomicUsize),
    /// What goes on beside searches and writes.
    jobs: Arc<Jobs>,
    /// Held by the one of them that may replace files.
    job: Mutex<()>,
    /// Held while the collection is closed.
    closing: Mutex<()>,
    /// What searches use that give no `efSearch`, where the collection was tuned; else 0.
    tuned: AtomicUsize,
    /// Set when jobs should end.
    hurried: Arc<AtomicBool>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.hurried.store(true, Ordering::Relaxed);
    }
}

impl Collection {
    /// Opens the collection at the options' path, or a new one in memory.
    ///
    /// # Errors
    /// An option is out of its range or not what the collection was made with; the folder is locked, damaged, missing
    /// or of a newer format; or `AUSPEX_ISA` asks for what this machine lacks.
    pub fn open(options: &Options) -> Result<Collection> {
        let (create, readonly) = (options.creates()?, options.reads_only()?);
        let Some(path) = &options.path else { return Collection::on(Arc::new(Heap::default()), options, true) };
        let missing = || Error::new(Code::NotFound, format!("there is no collection at {path}"));
        if readonly {
            let folder: Arc<dyn Disk> = Arc::new(Folder::open_to_read(Path::new(path)).ok_or_else(missing)?);
            return Collection::to_read(&folder, options)?.ok_or_else(missing);
        }
        if create && !Path::new(path).exists() {
            // Before a folder is made for what cannot be made in it.
            options.validate(None)?;
        }
        if let Some(folder) = Folder::open_to_read(Path::new(path)) {
            // Before a folder is locked that is somebody else's.
            Collection::check_place(&folder, create)?;
        }
        let folder = Folder::open(Path::new(path), create)?.ok_or_else(missing)?;
        Collection::on(Arc::new(folder), options, create)
    }

    /// Opens the collection on a disk.
    pub(crate) fn on(disk: Arc<dyn Disk>, options: &Options, create: bool) -> Result<Collection> {
        if let Some(manifest) = Manifest::load(&*disk)? {
            return Collection::existing(disk, options, manifest, false);
        }
        Collection::check_place(&*disk, create)?;
        let config = options.validate(None)?;
        // What tells this collection's frames from any other's; the graph does not depend on it.
        let salt = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
        let log = Log::create(disk, &config, salt)?;
        let (writer, kernels) = (Writer::new(&config, log)?, crate::kernels()?);
        Ok(Collection::with(config, kernels, writer, Vec::new()))
    }

    /// Refuses a folder that has no collection, nor can get one.
    fn check_place(disk: &dyn Disk, create: bool) -> Result<()> {
        let names = disk.list()?;
        if names.iter().any(|name| name == MANIFEST) {
            return Ok(());
        }
        if names.iter().any(|name| manifest::is_named(name, "log-")) {
            return Err(Error::corrupt(MANIFEST, 0, "it is missing beside the log"));
        }
        if !create {
            return Err(Error::new(Code::NotFound, "there is no collection in the folder"));
        }
        match names.iter().find(|name| *name != MANIFEST_NEW) {
            Some(other) => {
                let message = format!("path is a folder with other files in it ({other}); a collection needs its own");
                Err(Error::new(Code::Argument, message))
            }
            None => Ok(()),
        }
    }

    /// Opens a collection that another process may be writing; `None` where there is none.
    pub(crate) fn to_read(disk: &Arc<dyn Disk>, options: &Options) -> Result<Option<Collection>> {
        let mut manifest = Manifest::load(&**disk)?;
        loop {
            let Some(named) = manifest else { return Ok(None) };
            let opened = Collection::existing(Arc::clone(disk), options, named.clone(), true);
            let failed = match opened {
                Ok(opened) => return Ok(Some(opened)),
                Err(error) => error,
            };
            // What it names may have gone since it was read: then there is another one.
            manifest = Manifest::load(&**disk)?;
            if !keeper::can_do_without(&failed) || manifest.as_ref() == Some(&named) {
                return Err(failed);
            }
        }
    }

    /// In a collection that was opened to be read: shows what was written since. Returns whether there was anything.
    ///
    /// # Errors
    /// The collection is closed, or its files are damaged.
    pub fn refresh(&self) -> Result<bool> {
        let mut guard = self.alone();
        let writer = guard.as_mut().ok_or_else(Error::closed)?;
        if !writer.log.is_read_only() {
            return Ok(false);
        }
        let (config, kernels) = (&Arc::clone(&writer.config), self.0.kernels);
        // What failed midway has no place to go on from.
        let newer = if writer.torn { None } else { writer.log.follow()? };
        match newer {
            Some(frames) if frames.is_empty() => {
                self.retune(writer);
                return Ok(false);
            }
            Some(frames) => writer.replay(config, kernels, frames)?,
            None => {
                // Another generation, or all of it again: opened like a collection of its own, whose writer takes this
                // one's place.
                let options = Options { threads: Some(config.threads as f64), ..Options::default() };
                let newer = Collection::to_read(&writer.log.disk(), &options)?.ok_or_else(Error::closed)?;
                newer.settle();
                let newest = newer.alone().take();
                *writer = newest.ok_or_else(Error::closed)?;
                let (ours, theirs) = (&self.0.checkpoints, &newer.0.checkpoints);
                ours.0.store(theirs.0.load(Ordering::Relaxed), Ordering::Relaxed);
                ours.1.store(theirs.1.load(Ordering::Relaxed), Ordering::Relaxed);
                let notices = std::mem::take(&mut *newer.0.notices.lock().unwrap_or_else(PoisonError::into_inner));
                *self.0.notices.lock().unwrap_or_else(PoisonError::into_inner) = notices;
            }
        }
        self.retune(writer);
        self.publish(writer);
        Ok(true)
    }

    /// Opens the collection of a manifest: by its checkpoint and the frames behind it, or, without one, by all frames.
    fn existing(disk: Arc<dyn Disk>, options: &Options, manifest: Manifest, readonly: bool) -> Result<Collection> {
        let (config, kernels) = (options.validate(Some(&manifest))?, crate::kernels()?);
        let open = |from| Log::open(Arc::clone(&disk), manifest.clone(), config.durability, from, readonly);
        let mut notices = Vec::new();
        let mut kept = || -> Result<Option<_>> {
            let Some((checkpoint, end)) = keeper::open(&*disk, &manifest)? else { return Ok(None) };
            // Damage of the log is told as such, and not taken for the checkpoint's.
            let (log, frames) = match open(end) {
                Ok(opened) => opened,
                Err(error) => return Ok(Some(Err(error))),
            };
            let writer = Writer::load(&config, kernels, log, &checkpoint, end, &mut notices)?;
            Ok(Some(Ok((writer, frames, checkpoint))))
        };
        let kept = match kept() {
            Ok(kept) => kept.transpose()?,
            Err(error) if keeper::can_do_without(&error) => {
                if readonly && Manifest::load(&*disk)?.as_ref() != Some(&manifest) {
                    // Its writer has put another one in its place.
                    return Err(error);
                }
                notices.push(format!("the checkpoint was made again from the log: {}", error.message));
                None
            }
            Err(error) => return Err(error),
        };
        let (mut writer, frames, checkpoint) = match kept {
            Some((writer, frames, checkpoint)) => (writer, frames, Some(checkpoint)),
            None => {
                let (log, frames) = open(Position::default())?;
                (Writer::new(&config, log)?, frames, None)
            }
        };
        writer.replay(&config, kernels, frames)?;
        let unsure = writer.unsure;
        let collection = Collection::with(config, kernels, writer, notices);
        if let Some(checkpoint) = &checkpoint {
            collection.0.checkpoints.0.store(checkpoint.len(), Ordering::Relaxed);
            collection.0.checkpoints.1.store(checkpoint.len(), Ordering::Relaxed);
        }
        if let Some(checkpoint) = checkpoint.filter(|_| unsure) {
            // It holds neither the collection nor its folder.
            let (inner, hurried) = (Arc::downgrade(&collection.0), Arc::clone(&collection.0.hurried));
            collection.beside("auspex-verify", move || {
                let checked = keeper::verify_walk(&checkpoint, &|| !hurried.load(Ordering::Relaxed));
                if let Some(inner) = inner.upgrade() {
                    Collection(inner).walk_checked(checked);
                }
            });
        }
        Ok(collection)
    }

    /// A second collection, made by replaying this one's log, which passes to it: this one can only be read then.
    ///
    /// # Errors
    /// The collection is closed, or its log does not hold what was written.
    pub fn replayed(&self) -> Result<Collection> {
        let disk = self.writer()?.take().ok_or_else(Error::closed)?.log.disk();
        let options = Options { threads: Some(self.0.config.threads as f64), ..Options::default() };
        Collection::on(disk, &options, false)
    }

    fn with(config: Config, kernels: &'static Kernels, writer: Writer, notices: Vec<String>) -> Collection {
        let view = Arc::new(writer.view());
        let live = AtomicUsize::new(view.live());
        let tuned = AtomicUsize::new(writer.log.manifest().ef_search.unwrap_or(0));
        Collection(Arc::new(Inner {
            config,
            kernels,
            view: ArcSwapOption::new(Some(view)),
            writer: Mutex::new(Some(writer)),
            scratches: Spares::default(),
            live,
            counted: Mutex::default(),
            notices: Mutex::new(notices),
            checkpoints: Default::default(),
            jobs: Arc::default(),
            job: Mutex::default(),
            closing: Mutex::default(),
            tuned,
            hurried: Arc::default(),
        }))
    }

    /// Shows what was written, unless it is in doubt whether it was. Only under the writer's lock.
    fn publish(&self, writer: &Writer) {
        if writer.log.is_in_doubt() {
            return;
        }
        let newer = Arc::new(writer.view());
        self.0.live.store(newer.live(), Ordering::Release);
        // Under the writer's lock only `close` replaces views, and what it left stays.
        if let Some(before) = self.0.view.load_full() {
            self.0.view.compare_and_swap(&Some(before), Some(newer));
        }
        if self.is_closed() {
            self.0.live.store(0, Ordering::Release);
        }
    }

    /// Floats in a vector.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.0.config.dim
    }

    /// How distances are measured.
    #[must_use]
    pub fn metric(&self) -> Metric {
        self.0.config.metric
    }

    /// The fields that are indexed: their names, in order, and the names of their types. Once closed, those it was opened
    /// with.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, &'static str)> {
        let view = self.view().ok();
        let config = view.as_ref().map_or(&self.0.config, |view| &view.config);
        config.fields.iter().map(|(name, kind)| (name.to_owned(), kind)).collect()
    }

    /// Live rows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.live.load(Ordering::Acquire)
    }

    /// Whether there are no live rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends the collection: later calls get [`Code::Closed`], running ones finish, and the last of them frees the
    /// memory. A write that is under way is waited for; its view is not published any more. Compactions, checks and
    /// snapshots end early. Everything that was written is on the disk then, and the folder is free.
    ///
    /// # Errors
    /// The system refused to sync. The collection is closed nevertheless.
    pub fn close(&self) -> Result<()> {
        // Who closes it twice at once waits twice.
        let _closing = self.0.closing.lock().unwrap_or_else(PoisonError::into_inner);
        self.0.view.store(None);
        self.0.live.store(0, Ordering::Release);
        let worth = |writer: &Writer| !writer.torn && writer.log.is_kept() && keeper::worth(writer.changes);
        // A checkpoint can only be taken of an index that was checked. And who always closes soon after writing is not
        // to pile up dead rows for ever.
        let wait = |writer: &Writer| worth(writer) && writer.unsure || writer.compacting && writer.is_crowded();
        let wait = self.alone().as_ref().is_some_and(wait);
        self.0.hurried.store(!wait, Ordering::Relaxed);
        self.settle();
        self.0.hurried.store(true, Ordering::Relaxed);
        let writer = self.alone().take();
        // A write that was under way may have started a job since, and others may have been called for.
        self.settle();
        drop(self.job());
        let Some(mut writer) = writer.filter(|writer| !writer.log.is_read_only()) else { return Ok(()) };
        let synced = writer.log.sync();
        if synced.is_ok() && worth(&writer) && !writer.unsure {
            let snapshot = writer.snapshot();
            let written = snapshot.write(&|| true);
            // Without it the next opening takes longer, and that is all.
            let _ = Collection::adopt(&mut writer, &snapshot, written);
        }
        synced.and_then(|()| writer.log.close())
    }

    /// Makes everything written so far durable.
    ///
    /// # Errors
    /// The collection is closed, or the system refused to sync: nothing more is written then.
    pub fn flush(&self) -> Result<()> {
        let mut guard = self.writer()?;
        let log = &mut guard.as_mut().ok_or_else(Error::closed)?.log;
        if log.is_read_only() { Ok(()) } else { log.sync() }
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.0.view.load().is_none()
    }

    fn view(&self) -> Result<Arc<View>> {
        self.0.view.load_full().ok_or_else(Error::closed)
    }

    /// The writer's lock. A panic under it leaves `torn` behind, and nothing else that would matter here.
    fn alone(&self) -> MutexGuard<'_, Option<Writer>> {
        self.0.writer.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn writer(&self) -> Result<MutexGuard<'_, Option<Writer>>> {
        let writer = self.alone();
        match &*writer {
            None => Err(Error::closed()),
            Some(parts) if parts.torn => {
                Err(Error::new(Code::Internal, "an earlier write failed midway; the collection takes no more writes"))
            }
            Some(_) => Ok(writer),
        }
    }

    /// Makes room for rows with these ids. `metadata` is the JSON text of an array with an object or null for each.
    ///
    /// # Errors
    /// An id is empty or too long, the metadata do not fit the ids, or together they pass the limit of a call.
    pub fn draft(&self, ids: Vec<String>, metadata: Option<&str>) -> Result<Draft> {
        self.draft_of_stream(None, ids, metadata)
    }

    /// The same, of rows whose place in a stream errors are to name: `first` and those behind it.
    ///
    /// # Errors
    /// As [`Collection::draft`].
    pub fn draft_of_stream(&self, first: Option<u64>, ids: Vec<String>, metadata: Option<&str>) -> Result<Draft> {
        Draft::new(self.0.config.dim, first, ids, metadata)
    }

    /// Carries out writes in order, each wholly or not at all, and answers for each. They become durable by one sync
    /// and are seen by one view. A token that is cancelled before its write reaches the log refuses it.
    pub fn commit(&self, writes: Vec<(Write, Arc<Token>)>) -> Vec<Result<Written>> {
        let refused = |error: Error| writes.iter().map(|_| Err(error.clone())).collect();
        let mut guard = match self.writer() {
            Ok(guard) => guard,
            Err(error) => return refused(error),
        };
        let Some(writer) = guard.as_mut().filter(|_| !self.is_closed()) else { return refused(Error::closed()) };
        if let Err(error) = writer.log.writable() {
            return refused(error);
        }
        let config = &Arc::clone(&writer.config);
        let (mut sparse, mut overdue) = (None, false);
        let mut done: Vec<Result<Written>> = Vec::with_capacity(writes.len());
        for (write, token) in writes {
            done.push(writer.carry_out(config, self.0.kernels, write, &token));
            if writer.is_sparse() {
                overdue = writer.compacting;
                if !overdue {
                    sparse = Some(writer.fix());
                }
            }
        }
        match writer.log.commit() {
            Ok(()) => {
                self.publish(writer);
                if let Some(fixed) = sparse {
                    self.start_compaction(writer, fixed);
                } else if writer.is_due() {
                    self.start_checkpoint(writer);
                }
            }
            Err(error) => {
                done.iter_mut().filter(|written| written.is_ok()).for_each(|written| *written = Err(error.clone()))
            }
        }
        drop(guard);
        if overdue {
            self.catch_up();
        }
        done
    }

    /// Waits for the compaction under way, and starts the next: rows die faster than they are given back.
    fn catch_up(&self) {
        // The lock of the job would not do: its thread may not have it yet.
        self.settle();
        let mut guard = self.alone();
        let sparse = |writer: &&mut Writer| !writer.compacting && writer.is_sparse();
        if let Some(writer) = guard.as_mut().filter(sparse) {
            let fixed = writer.fix();
            self.start_compaction(writer, fixed);
        }
    }

    /// The nearest rows to a query of `dim` floats.
    ///
    /// # Errors
    /// The query does not fit the collection, an option is out of its range, or the token was cancelled.
    pub fn search(&self, query: &[f32], options: &SearchOptions, token: &Token) -> Result<Hits> {
        let mut hits = Hits::new();
        self.search_into(query, options, token, &mut hits)?;
        Ok(hits)
    }

    /// As [`Collection::search`], into hits whose memory is used again: once warm, nothing is allocated.
    ///
    /// # Errors
    /// As [`Collection::search`].
    pub fn search_into(&self, query: &[f32], options: &SearchOptions, token: &Token, hits: &mut Hits) -> Result<()> {
        self.run(self.view()?, query, options, None, token, hits).map(|_| ())
    }

    /// The rows nearest to the row with this id, which is itself left out.
    ///
    /// # Errors
    /// The id is unknown; else as [`Collection::search`].
    pub fn similar(&self, id: &str, options: &SearchOptions, token: &Token) -> Result<Hits> {
        let view = self.view()?;
        let (row, query) = view.checked(|| {
            let unknown = || Error::new(Code::NotFound, format!("no row has the id {}", shown(id)));
            let row = view.find(id).ok_or_else(unknown)?;
            Ok((row, view.rows.vector(row).to_vec()))
        })?;
        let mut hits = Hits::new();
        self.run(view, &query, options, Some(row), token, &mut hits)?;
        Ok(hits)
    }

    fn run(
        &self,
        view: Arc<View>,
        query: &[f32],
        options: &SearchOptions,
        excluded: Option<u32>,
        token: &Token,
        hits: &mut Hits,
    ) -> Result<(Plan, Counts)> {
        let Inner { config, kernels, scratches, .. } = &*self.0;
        let ask = options.validate(self.ef_search())?;
        query::check(config, query, || "query".into())?;
        hits.rows.clear();
        hits.distances.clear();
        hits.scores.clear();
        let filter = options.filter()?;
        let matches = filter.as_ref().map(|filter| Matches::of(&view, filter)).transpose()?;
        let search = Search { view: &view, config, kernels, ask, excluded, matches: matches.as_ref() };
        let done = search.run(query, &mut scratches.lend(), &mut hits.rows, &mut hits.distances, token)?;
        drop(matches);
        hits.view = Some(view);
        Ok(done)
    }

    /// The nearest rows to each of `queries`, row-major, in parallel.
    ///
    /// # Errors
    /// As [`Collection::search`]; the message names the query.
    pub fn search_batch(&self, queries: &[f32], options: &SearchOptions, token: &Token) -> Result<BatchHits> {
        let view = self.view()?;
        let Inner { config, kernels, scratches, .. } = &*self.0;
        let ask = options.validate(self.ef_search())?;
        if !matches!(ask.shape, Shape::Nearest) {
            return Err(Error::new(Code::Argument, "groupBy and diversify are for one query, and there are many"));
        }
        if !queries.len().is_multiple_of(config.dim) {
            let message = format!("queries has {} floats, not a multiple of dim {}", queries.len(), config.dim);
            return Err(Error::new(Code::Dimension, message));
        }
        for (i, query) in queries.chunks(config.dim).enumerate() {
            query::check(config, query, || format!("queries[{i}]"))?;
        }
        let asked = queries.len() / config.dim;
        let k = ask.k - ask.offset;
        let mut hits = BatchHits {
            k,
            counts: vec![0; asked],
            distances: sized(asked, k, f32::NAN)?,
            rows: sized(asked, k, 0)?,
            view: Arc::clone(&view),
        };
        token.begin(asked as u64);
        let failure = Mutex::new(None);
        let mut work: Vec<_> = queries
            .chunks(config.dim)
            .zip(&mut hits.counts)
            .zip(hits.rows.chunks_mut(k).zip(hits.distances.chunks_mut(k)))
            .collect();
        let filter = options.filter()?;
        // Once for all queries, rather than row by row for each.
        let all = |filter| view.checked(|| Matches::all(&view, filter, token));
        let matches = filter.as_ref().map(all).transpose()?;
        let search = Search { view: &view, config, kernels, ask, excluded: None, matches: matches.as_ref() };
        Workers::search(config.threads)?.for_each_chunk(
            &mut work,
            4,
            || (scratches.lend(), Vec::new(), Vec::new()),
            |(scratch, rows, distances), _, piece| {
                for ((query, count), (row_out, distance_out)) in piece {
                    rows.clear();
                    distances.clear();
                    match search.run(query, scratch, rows, distances, token) {
                        Ok(_) => {
                            **count = rows.len() as u32;
                            row_out[..rows.len()].copy_from_slice(rows);
                            distance_out[..rows.len()].copy_from_slice(distances);
                            token.advance(1);
                        }
                        Err(error) => *failure.lock().unwrap_or_else(|p| p.into_inner()) = Some(error),
                    }
                }
            },
        );
        drop(work);
        match failure.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner()) {
            Some(error) => Err(error),
            None => Ok(hits),
        }
    }

    /// Runs a search and tells what it did.
    ///
    /// # Errors
    /// As [`Collection::search`].
    pub fn explain(&self, query: &[f32], options: &SearchOptions) -> Result<Explain> {
        let (start, view, token) = (Instant::now(), self.view()?, Token::default());
        let mut hits = Hits::new();
        let (plan, counts) = self.run(Arc::clone(&view), query, options, None, &token, &mut hits)?;
        let microseconds = start.elapsed().as_nanos() as f64 / 1e3;
        let count = |filter: Filter| view.checked(|| Ok(Matches::all(&view, &filter, &token)?.len() as u64));
        let walked = matches!(plan, Plan::Graph | Plan::FilteredGraph);
        Ok(Explain {
            plan: plan.name(),
            matching: options.filter()?.map(count).transpose()?,
            visited: counts.visited,
            distances: counts.distances,
            rescored: counts.rescored,
            microseconds,
            quantization: walked.then(|| view.graph.as_ref().map(|graph| graph.codes.quantization().name())).flatten(),
            isa: self.0.kernels.isa.name(),
        })
    }

    /// Whether a live row has this id.
    ///
    /// # Errors
    /// The collection is closed.
    pub fn has(&self, id: &str) -> Result<bool> {
        let view = self.view()?;
        view.checked(|| Ok(view.find(id).is_some()))
    }

    /// The rows with these ids, in their order; an unknown id leaves its place empty.
    ///
    /// # Errors
    /// The collection is closed.
    pub fn get(&self, ids: &[String]) -> Result<Found> {
        self.cursor(None)?.get(ids)
    }

    /// How many live rows match the filter, which is JSON text.
    ///
    /// # Errors
    /// The filter is none, the token was cancelled, the log is damaged, or the collection is closed.
    pub fn count(&self, filter: &str, token: &Token) -> Result<u64> {
        let (view, filter) = (self.view()?, Filter::parse(filter)?);
        view.checked(|| Ok(Matches::all(&view, &filter, token)?.len() as u64))
    }

    /// The live rows of this moment that match the filter, which is JSON text, or all of them; in arrival order.
    ///
    /// # Errors
    /// The filter is none, or the collection is closed.
    pub fn cursor(&self, filter: Option<&str>) -> Result<Cursor> {
        let filter = filter.map(Filter::parse).transpose()?;
        Ok(Cursor { view: self.view()?, next: 0, filter, known: None })
    }

    /// Figures about the collection. Reachability and degrees are counted once a write.
    ///
    /// # Errors
    /// The collection is closed.
    pub fn stats(&self) -> Result<Stats> {
        let view = self.view()?;
        let (heap, mapped, places) = view.rows.bytes();
        let mut stats = Stats {
            rows: view.live() as u64,
            deleted: view.tombstones.len() as u64,
            mapped: (mapped + self.0.checkpoints.0.load(Ordering::Relaxed)) as u64,
            disk: (mapped + self.0.checkpoints.1.load(Ordering::Relaxed)) as u64,
            ram: (heap + places + view.ids.bytes() + view.tombstones.bytes() + view.columns.bytes() + view.text.bytes())
                as u64,
            max_wait_ms: self.0.scratches.longest_wait() as f64 / 1e6,
            isa: self.0.kernels.isa.name(),
            ef_search: self.ef_search() as u32,
            m: view.config.m as u32,
            ef_construction: view.config.ef_construction as u32,
            quantization: view.config.quantization.name(),
            threads: Workers::build(self.0.config.threads)?.threads() as u32,
            version: env!("CARGO_PKG_VERSION"),
            notices: self.0.notices.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            ..Stats::default()
        };
        if let Some(graph) = &view.graph {
            stats.notices.extend(graph.quality.notices());
            stats.ram += graph.bytes() as u64;
            stats.layers = graph.slots[..graph.height()].to_vec();
            let mut counted = self.0.counted.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            if counted.0 != view.moment {
                let count = || check::unreachable(graph, view.count, &view.tombstones);
                let mut unreachable = count();
                if unreachable > 0 {
                    // A list that is being rewritten may for a moment lack a link. Without a writer none is.
                    let _writer = self.alone();
                    unreachable = count();
                }
                *counted = (view.moment, unreachable, check::mean_degree(graph));
            }
            (stats.unreachable, stats.mean_degree) = (counted.1, counted.2);
        }
        Ok(stats)
    }

    /// Whether the checkpoint that the collection was opened by has been checked to its end.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        self.alone().as_ref().is_none_or(|writer| !writer.unsure)
    }

    /// What is wrong with the graph, a sentence each; empty when all is well.
    ///
    /// # Errors
    /// The collection is closed.
    pub fn problems(&self) -> Result<Vec<String>> {
        // Beside a writer, lists would be seen half rewritten.
        let _writer = self.alone();
        let view = self.view()?;
        Ok(view.graph.as_ref().map_or_else(Vec::new, |graph| {
            let mut problems = check::problems(graph);
            let unreachable = check::unreachable(graph, view.count, &view.tombstones);
            if unreachable > 0 {
                problems.push(format!("{unreachable} nodes cannot be reached"));
            }
            problems
        }))
    }

    /// One number for the whole graph: the same log, options and seed give the same one.
    ///
    /// # Errors
    /// The collection is closed.
    pub fn fingerprint(&self) -> Result<u64> {
        Ok(self.view()?.graph.as_ref().map_or(0, |graph| fingerprint(graph)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::ids::hash;
    use crate::keeper::Failed;
    use crate::options::Durability;
    use crate::storage::frame::{self, Numbers};
    use crate::storage::manifest::Named;

    pub(super) fn draft(collection: &Collection, ids: std::ops::Range<usize>) -> Draft {
        let dim = collection.dim();
        let floats: Vec<f32> =
            ids.clone().flat_map(|row| (0..dim).map(move |i| ((row * 31 + i * 17) % 1009) as f32)).collect();
        let mut draft = collection.draft(ids.map(|id| id.to_string()).collect(), None).unwrap();
        // SAFETY: a vector of that many floats.
        unsafe { draft.fill(floats.as_ptr(), floats.len()).unwrap() };
        draft
    }

    fn open() -> Collection {
        Collection::open(&Options { dim: Some(4.0), metric: Some("l2".into()), ..Options::default() }).unwrap()
    }

    #[test]
    fn a_row_that_is_left_out_costs_no_scan() {
        let collection = open();
        let write = Write::Insert(draft(&collection, 0..3000));
        collection.commit(vec![(write, Arc::default())]).remove(0).unwrap();
        let asked = SearchOptions { k: Some(64.0), ef_search: Some(64.0), ..SearchOptions::default() };
        let mut hits = Hits::new();
        for row in [0, 700, 2999] {
            let view = collection.view().unwrap();
            let query = view.rows.vector(row).to_vec();
            let ran = collection.run(view, &query, &asked, Some(row), &Token::default(), &mut hits).unwrap();
            assert_eq!((ran.0, hits.len()), (Plan::Graph, 64));
            assert!(!hits.rows.contains(&row));
        }
    }

    #[test]
    fn a_view_stays_as_it_was_whatever_is_written_later() {
        let collection = open();
        let commit = |write| collection.commit(vec![(write, Arc::default())]).remove(0).unwrap();
        commit(Write::Insert(draft(&collection, 0..3000)));
        commit(Write::Delete((0..100).map(|id| id.to_string()).collect()));
        let view = collection.view().unwrap();
        // The same ids with other vectors, rows equal to rows that the view has, more rows, and what is left deleted.
        let mut moved = draft(&collection, 5000..7000);
        let mut equal = draft(&collection, 1000..2000);
        for (ids, draft) in [(1500..3500, &mut moved), (20_000..21_000, &mut equal)] {
            let names = ids.map(|id: i32| id.to_string()).collect();
            let mut other = collection.draft(names, None).unwrap();
            let floats: Vec<f32> = (0..draft.rows()).flat_map(|row| draft.frame.vector(row).to_vec()).collect();
            // SAFETY: a vector of that many floats.
            unsafe { other.fill(floats.as_ptr(), floats.len()).unwrap() };
            commit(Write::Upsert(other));
        }
        commit(Write::Delete((100..1200).map(|id| id.to_string()).collect()));
        for id in 0..3500 {
            let row = view.find(&id.to_string());
            assert_eq!(row, (100..3000).contains(&id).then_some(id), "{id}");
        }
        let mut hits = Hits::new();
        let mut shared = 0;
        for exact in [true, false] {
            for query in (100..3000).step_by(29) {
                let asked = SearchOptions { k: Some(10.0), ef_search: Some(64.0), exact, ..SearchOptions::default() };
                let vector = view.rows.vector(query).to_vec();
                let token = Token::default();
                let ran = collection.run(Arc::clone(&view), &vector, &asked, None, &token, &mut hits).unwrap();
                assert_eq!(ran.0, if exact { Plan::Exact } else { Plan::Graph });
                assert!(hits.rows.len() == 10 && hits.rows.iter().all(|row| (100..3000).contains(row)));
                shared += usize::from(hits.distances[0] == 0.0);
            }
        }
        assert_eq!(shared, 200, "a row of the view was not found by its own vector");
    }

    #[test]
    fn ids_whose_hashes_are_equal_are_told_apart() {
        let mut seen = HashMap::new();
        let (a, b) = (0_u32..)
            .find_map(|i| seen.insert(hash(&i.to_string()), i).map(|first| (first.to_string(), i.to_string())))
            .unwrap();
        let collection = open();
        let insert = |id: &str| {
            let draft = collection.draft(vec![id.into()], None).unwrap();
            collection.commit(vec![(Write::Insert(draft), Arc::default())]).remove(0)
        };
        insert(&a).unwrap();
        assert!(collection.has(&a).unwrap() && !collection.has(&b).unwrap());
        insert(&b).unwrap();
        assert!(insert(&a).is_err() && insert(&b).is_err());
        collection.commit(vec![(Write::Delete(vec![a.clone()]), Arc::default())]).remove(0).unwrap();
        assert!(!collection.has(&a).unwrap() && collection.has(&b).unwrap());
        assert_eq!(collection.get(std::slice::from_ref(&b)).unwrap().id(0), b);
    }

    #[test]
    fn a_log_that_lacks_a_frame_or_has_one_twice_is_not_replayed() {
        let collection = open();
        for sequences in [&[1_u64, 3][..], &[1, 1], &[2]] {
            let disk = Arc::new(Heap::default());
            let mut manifest = Manifest::new(&collection.0.config, 5);
            let segment = disk.create(&manifest.segment(0), 1 << 16).unwrap();
            let mut previous = 0;
            for &sequence in sequences {
                let numbers = Numbers { sequence, synced: 0, previous };
                let (header, buffer) = draft(&collection, 0..2).frame.number(0, &numbers, 5);
                previous = header.link();
                segment.store(buffer.bytes()).unwrap();
                segment.publish();
            }
            manifest.segments.push(Named { len: 1 << 16, sealed: Some(segment.end()) });
            let opened = Log::open(disk, manifest, Durability::Commit, Position::default(), false);
            assert_eq!(opened.err().unwrap().code, Code::Corrupt, "{sequences:?}");
        }
    }

    #[test]
    fn a_frame_whose_directory_does_not_hold_is_not_replayed() {
        let collection = open();
        for (entry, end) in [(0, u32::MAX), (1, 0), (0, 1000)] {
            let mut draft = draft(&collection, 0..2);
            let at = frame::HEADER + 2 * 4 * 4 + entry * 8;
            draft.frame.buffer.bytes_mut()[at..at + 4].copy_from_slice(&u32::to_le_bytes(end));
            let disk: Arc<dyn Disk> = Arc::new(Heap::default());
            let mut log = Log::create(Arc::clone(&disk), &collection.0.config, 5).unwrap();
            log.append(draft.frame, 0).unwrap();
            log.close().unwrap();
            let manifest = Manifest::load(&*disk).unwrap().unwrap();
            let opened = Collection::existing(disk, &Options::default(), manifest, false);
            assert_eq!(opened.err().unwrap().code, Code::Corrupt, "{entry} {end}");
        }
    }

    #[test]
    fn a_checkpoint_that_was_not_written_is_still_worth_one_at_the_end() {
        let collection = open();
        collection.commit(vec![(Write::Insert(draft(&collection, 0..300)), Arc::default())]).remove(0).unwrap();
        let mut guard = collection.alone();
        let writer = guard.as_mut().unwrap();
        let ended = writer.snapshot();
        Collection::adopt(writer, &ended, Err(Failed::File(Error::closed()))).unwrap_err();
        assert!(keeper::worth(writer.changes));
    }

    #[test]
    fn no_two_checkpoints_are_written_under_one_name() {
        let collection = open();
        let mut guard = collection.alone();
        let writer = guard.as_mut().unwrap();
        let (first, second) = (writer.snapshot(), writer.snapshot());
        assert_ne!(first.name, second.name);
    }

    #[test]
    fn a_reader_that_failed_midway_does_not_go_on_from_there() {
        let path = std::env::temp_dir().join(format!("auspex-follow-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        let collection = open();
        let disk: Arc<dyn Disk> = Arc::new(Folder::open(&path, true).unwrap().unwrap());
        let mut log = Log::create(disk, &collection.0.config, 5).unwrap();
        log.append(draft(&collection, 0..2).frame, 0).unwrap();
        let disk: Arc<dyn Disk> = Arc::new(Folder::open_to_read(&path).unwrap());
        let reader = Collection::to_read(&disk, &Options::default()).unwrap().unwrap();
        // A frame that is whole, whose first row has no id.
        let mut bad = draft(&collection, 2..4);
        let at = frame::HEADER + 2 * 4 * 4;
        bad.frame.buffer.bytes_mut()[at..at + 4].copy_from_slice(&u32::to_le_bytes(1000));
        log.append(bad.frame, 2).unwrap();
        log.append(draft(&collection, 4..6).frame, 4).unwrap();
        assert_eq!(reader.refresh().unwrap_err().code, Code::Corrupt);
        assert!(reader.refresh().is_err(), "it says that there is nothing new");
        assert_eq!(reader.cursor(None).unwrap().next(9).unwrap().len(), 2);
        std::fs::remove_dir_all(&path).unwrap();
    }
}

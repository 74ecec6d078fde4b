//! What goes on beside searches and writes, and what is called for and takes long.
//!
//! ```text
//! checkpoint, compaction     started by writes, one at a time, each on a thread of its own; or called for
//! rebuild, verify, snapshot  called for, on the caller's thread
//! settle                     waits for all that was started
//! ```

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::Collection;
use crate::compaction::{self, Fixed};
use crate::error::{Code, Error, Result};
use crate::keeper::{Failed, Snapshot};
use crate::options::{Config, Rebuild, SearchOptions};
use crate::storage::disk::Disk;
use crate::storage::folder::Folder;
use crate::storage::manifest::{Checkpointed, Stored};
use crate::token::Token;
use crate::verify::{self, Problem};
use crate::writer::Writer;

impl Collection {
    /// Runs a job on a thread of its own; [`Collection::close`] waits for it. Without a thread the job is left out.
    /// Returns whether it runs.
    pub(super) fn beside(&self, name: &str, job: impl FnOnce() + Send + 'static) -> bool {
        let ticket = Ticket::new(&self.0.jobs);
        let job = move || {
            // Given back when the job has ended, however it did, and holds nothing of the collection any more.
            let _ticket = ticket;
            job();
        };
        std::thread::Builder::new().name(name.into()).spawn(job).is_ok()
    }

    /// Says something once, however often it happens.
    pub(super) fn notice(&self, text: String) {
        let mut notices = self.0.notices.lock().unwrap_or_else(PoisonError::into_inner);
        if !notices.contains(&text) {
            notices.push(text);
        }
    }

    /// Whether jobs should go on although the collection may be closing.
    fn in_no_hurry(&self) -> bool {
        !self.0.hurried.load(Ordering::Relaxed)
    }

    /// Whether a job that somebody called for should go on, and if not, why.
    fn go_on(&self, token: &Token) -> Result<()> {
        token.check()?;
        if self.is_closed() { Err(Error::closed()) } else { Ok(()) }
    }

    /// Takes note of how the parts of a checkpoint are that opening left out. Where they are damaged, rows are scanned
    /// until the index is made again.
    pub(super) fn walk_checked(&self, checked: Result<()>) {
        let mut guard = self.alone();
        let Some(writer) = guard.as_mut() else { return };
        match checked {
            Ok(()) => writer.unsure = false,
            Err(error) if error.code == Code::Closed => {}
            Err(error) => {
                self.notice(format!("the index was made again: {}", error.message));
                writer.drop_index();
                self.publish(writer);
                let config = Arc::clone(&writer.config);
                match writer.rebuild(&config, self.0.kernels, &Token::default(), &|| Ok(())) {
                    Ok(()) => self.publish(writer),
                    Err(error) => self.notice(format!("the index could not be made again: {}", error.message)),
                }
            }
        }
    }

    /// Writes the log anew without its dead rows, beside searches and writes; returns the bytes given back. Rows keep
    /// their order. When it fails or is cancelled, nothing has changed.
    ///
    /// # Errors
    /// The collection is closed, the token was cancelled, the log is damaged, or there is no memory or no space.
    pub fn compact(&self, token: &Token) -> Result<u64> {
        let _alone = self.job();
        let fixed = self.fixed()?.0;
        if fixed.view.tombstones.is_empty() {
            return Ok(0);
        }
        token.begin(fixed.view.live() as u64);
        self.compact_from(fixed, None, token, &|| self.go_on(token)).inspect(|_| token.finish())
    }

    /// Builds the index and the columns anew, beside searches and writes, as `changes` say, which hold from then on: a
    /// compaction whatever is dead, so it needs the same room. When it fails or is cancelled, nothing has changed. The
    /// token counts rows that were copied, and then rows that were linked.
    ///
    /// # Errors
    /// As [`Collection::compact`]; or a change is out of its range.
    pub fn rebuild(&self, changes: &Rebuild, token: &Token) -> Result<()> {
        let _alone = self.job();
        let (fixed, config) = self.fixed()?;
        let config = Arc::new(changes.validate(&config)?);
        token.begin(2 * fixed.view.live() as u64);
        self.compact_from(fixed, Some(config), token, &|| self.go_on(token))?;
        token.finish();
        Ok(())
    }

    /// Where a compaction starts from now, and what is configured.
    fn fixed(&self) -> Result<(Fixed, Arc<Config>)> {
        let guard = self.writer()?;
        let writer = guard.as_ref().ok_or_else(Error::closed)?;
        writer.log.writable()?;
        Ok((writer.fixed(), Arc::clone(&writer.config)))
    }

    /// Held by the one job that may replace files, or that reads them all.
    pub(super) fn job(&self) -> MutexGuard<'_, ()> {
        self.0.job.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Only by the one [`Collection::job`].
    fn compact_from(
        &self,
        fixed: Fixed,
        changed: Option<Arc<Config>>,
        token: &Token,
        go_on: &(dyn Fn() -> Result<()> + Sync),
    ) -> Result<u64> {
        let kernels = self.0.kernels;
        let Fixed { view, mut position, .. } = fixed;
        let mut newer = {
            let guard = self.writer()?;
            let writer = guard.as_ref().ok_or_else(Error::closed)?;
            writer.successor(changed.as_deref().unwrap_or(&writer.config))?
        };
        let config = &*Arc::clone(&newer.config);
        let mut fill = || {
            newer.refill(config, &view, token, go_on)?;
            go_on()?;
            newer.rebuild(config, kernels, token, go_on)?;
            loop {
                go_on()?;
                let mut guard = self.writer()?;
                let writer = guard.as_mut().ok_or_else(Error::closed)?;
                let before = writer.before(position)?;
                position = writer.log.position().0;
                if !compaction::few(&before.frames) {
                    drop(guard);
                    newer.follow(config, kernels, &before)?;
                    continue;
                }
                newer.follow(config, kernels, &before)?;
                newer.log.succeed(&mut writer.log)?;
                let freed = writer.log.bytes().saturating_sub(newer.log.bytes());
                newer.keeping = writer.keeping;
                std::mem::swap(writer, &mut newer);
                self.0.checkpoints.0.store(0, Ordering::Relaxed);
                self.0.checkpoints.1.store(0, Ordering::Relaxed);
                self.publish(writer);
                return Ok(freed);
            }
        };
        let filled = fill();
        if filled.is_err() {
            newer.log.remove();
        } else if self.alone().as_ref().is_some_and(|writer| writer.log.is_kept()) {
            self.keep_or_notice();
        }
        filled
    }

    /// Lets a job that the writes asked for run beside them.
    fn start(&self, name: &str, job: impl FnOnce(&Collection) + Send + 'static) -> bool {
        let collection = self.clone();
        self.beside(name, move || {
            let _alone = collection.job();
            job(&collection);
        })
    }

    /// Starts the compaction that writes made due, from the moment when they did.
    pub(super) fn start_compaction(&self, writer: &mut Writer, fixed: Fixed) {
        writer.compacting = self.start("auspex-compact", move |collection| {
            let go_on = || if collection.in_no_hurry() { Ok(()) } else { Err(Error::closed()) };
            let now = collection.alone().as_ref().map(|writer| writer.log.manifest().generation);
            if now == Some(fixed.generation)
                && let Err(error) = collection.compact_from(fixed, None, &Token::default(), &go_on)
                && error.code != Code::Closed
            {
                collection.notice(format!("dead rows were not given back: {}", error.message));
            }
            if let Some(writer) = collection.alone().as_mut() {
                writer.compacting = false;
            }
        });
    }

    /// Starts the checkpoint that writes made due.
    pub(super) fn start_checkpoint(&self, writer: &mut Writer) {
        writer.keeping = self.start("auspex-checkpoint", |collection| {
            collection.keep_or_notice();
            if let Some(writer) = collection.alone().as_mut() {
                writer.keeping = false;
            }
        });
    }

    /// Writes a checkpoint of all that was written, and puts it in force.
    ///
    /// # Errors
    /// The collection is closed, lives in memory or writes one already; or the system refused.
    pub fn checkpoint(&self) -> Result<()> {
        let _alone = self.job();
        self.keep()
    }

    fn keep_or_notice(&self) {
        if let Err(error) = self.keep()
            && error.code != Code::Closed
        {
            self.notice(format!("no checkpoint was written: {}", error.message));
        }
    }

    /// Writes a checkpoint beside searches and writes. Only by the one [`Collection::job`].
    fn keep(&self) -> Result<()> {
        let snapshot = {
            let mut guard = self.writer()?;
            let writer = guard.as_mut().ok_or_else(Error::closed)?;
            if writer.unsure || !writer.log.is_kept() {
                return Err(Error::new(Code::Argument, "no checkpoint can be taken now"));
            }
            writer.snapshot()
        };
        let written = snapshot.write(&|| self.in_no_hurry());
        let mut guard = self.alone();
        let Some(writer) = guard.as_mut() else {
            snapshot.discard();
            return Err(Error::closed());
        };
        Collection::adopt(writer, &snapshot, written)?;
        let len = writer.log.checkpoint().map_or(0, |checkpoint| checkpoint.len);
        self.0.checkpoints.1.store(len, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn adopt(
        writer: &mut Writer,
        snapshot: &Snapshot,
        written: std::result::Result<Checkpointed, Failed>,
    ) -> Result<()> {
        writer.thaw();
        match written {
            Ok(checkpoint) => {
                writer.log.adopt(checkpoint).inspect_err(|stored| {
                    if let Stored::Kept(_) = stored {
                        snapshot.discard();
                    }
                })?;
                writer.changes = writer.changes.saturating_sub(snapshot.changes);
                Ok(())
            }
            Err(Failed::Log(error)) => {
                writer.log.poison(&error);
                Err(error)
            }
            Err(Failed::File(error)) => Err(error),
        }
    }

    /// Waits until the jobs have ended that ran beside the writes when it was called.
    pub fn settle(&self) {
        self.0.jobs.settle();
    }

    /// Reads everything and checks it: the log against its checksums, the files against MANIFEST, ids, codes and graph
    /// against the rows, and how many rows of a sample a search finds.
    ///
    /// # Errors
    /// The collection is closed, or the token was cancelled. What is wrong is not an error but in the report.
    pub fn verify(&self, token: &Token) -> Result<Vec<Problem>> {
        let _alone = self.job();
        let (view, position, log, followed) = {
            let guard = self.writer()?;
            let writer = guard.as_ref().ok_or_else(Error::closed)?;
            let Fixed { view, position, .. } = writer.fixed();
            (view, position, writer.log.reader(), writer.log.is_read_only())
        };
        let mut problems = verify::verify(&view, &log, position, followed, token, &|| self.go_on(token))?;
        problems.extend(self.problems()?.into_iter().map(|detail| Problem { code: "graph", detail }));
        let live = view.live();
        let find = |query: &[f32], exact: bool| {
            let asked = SearchOptions { k: Some(10.0), exact, ..SearchOptions::default() };
            self.search(query, &asked, token)
        };
        problems.extend(verify::sampled(&view, live, find)?);
        token.finish();
        Ok(problems)
    }

    /// Copies the collection as it is now into a folder of its own, beside searches and writes. One in memory becomes
    /// one on disk.
    ///
    /// # Errors
    /// The folder is not empty, the log is damaged, the token was cancelled, or the system refused; what was written
    /// into the folder is removed then.
    pub fn snapshot(&self, path: &str, token: &Token) -> Result<()> {
        let _alone = self.job();
        let empty = |folder: &Folder| match folder.list()?.first() {
            Some(other) => {
                let message = format!("{path} is a folder with files in it ({other}); a snapshot needs its own");
                Err(Error::new(Code::Argument, message))
            }
            None => Ok(()),
        };
        // Before a file is made to lock a folder that is somebody else's, and again when nobody else can write to it.
        Folder::open_to_read(Path::new(path)).filter(|folder| !folder.has_lock()).as_ref().map_or(Ok(()), empty)?;
        let folder = Folder::open(Path::new(path), true)?.ok_or_else(|| Error::new(Code::NotFound, path))?;
        empty(&folder)?;
        let folder: Arc<dyn Disk> = Arc::new(folder);
        let (log, position, rows, snapshot) = {
            let mut guard = self.writer()?;
            let writer = guard.as_mut().ok_or_else(Error::closed)?;
            let (log, position, rows) = (writer.log.reader(), writer.log.position().0, writer.view().count);
            (log, position, u64::from(rows), (!writer.unsure).then(|| writer.snapshot_into(&folder)))
        };
        token.begin(rows);
        let go_on = || self.go_on(token);
        let copied_so_far = |bytes: usize, all: usize| {
            token.reach((u128::from(rows) * bytes as u128 / all.max(1) as u128) as u64);
            go_on()
        };
        let copied = (|| {
            log.audit(position, &go_on)?;
            let mut manifest = log.copy(position, &*folder, &copied_so_far)?;
            manifest.checkpoint = match &snapshot {
                Some(snapshot) => Some(snapshot.write(&|| go_on().is_ok()).map_err(Failed::into_error)?),
                None => None,
            };
            go_on()?;
            folder.sync_names()?;
            manifest.store(&*folder).map_err(Error::from)
        })();
        if let Some(writer) = self.alone().as_ref() {
            writer.thaw();
        }
        if copied.is_err() {
            // Nothing that this call did not make; what cannot be removed is not named by any MANIFEST.
            folder.list()?.iter().for_each(|name| drop(folder.remove(name)));
        }
        // A token that was cancelled is told as such.
        copied.inspect(|()| token.finish()).map_err(|error| token.check().err().unwrap_or(error))
    }
}

/// The jobs under way.
#[derive(Default)]
pub(super) struct Jobs {
    /// How many were started, and the numbers of those that have not ended.
    numbers: Mutex<(u64, Vec<u64>)>,
    ended: Condvar,
}

impl Jobs {
    /// Waits until every job has ended that was started before; any number of threads may.
    fn settle(&self) {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let before = numbers.0;
        let running = |numbers: &mut (u64, Vec<u64>)| numbers.1.iter().any(|&number| number < before);
        drop(self.ended.wait_while(numbers, running));
    }
}

/// Held by a job until it has ended.
struct Ticket(Arc<Jobs>, u64);

impl Ticket {
    fn new(jobs: &Arc<Jobs>) -> Ticket {
        let mut numbers = jobs.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let number = numbers.0;
        numbers.0 += 1;
        numbers.1.push(number);
        Ticket(Arc::clone(jobs), number)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut numbers = self.0.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.1.retain(|&number| number != self.1);
        self.0.ended.notify_all();
    }
}

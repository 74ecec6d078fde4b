//! The handle of a collection, its queued writes and its cursor.

use std::sync::{Arc, Mutex, PoisonError};

use auspex_engine::{Code, Collection, Cursor, Error, Filter, Found, Metric, Update, Write};
use napi::bindgen_prelude::AsyncTask;
use napi_derive::napi;

use crate::Token;
use crate::floats::Floats;
use crate::hits::{ManyHits, Nearest, Rows};
use crate::job::{Failure, Job, Result};

/// How a collection is built and searched. The engine checks the numbers and knows the defaults.
#[napi(object, object_to_js = false)]
pub struct BuildOptions {
    /// Numbers in a vector: 1 to 4,096. A collection that is opened again knows it.
    pub dim: Option<f64>,
    /// What distance means: `'cosine'` when left out.
    #[napi(ts_type = "Metric")]
    pub metric: Option<String>,
    /// Links a node has on the upper layers of the graph, and half of those it has on layer 0: 16 when left out.
    pub m: Option<f64>,
    /// Candidates held while a row is linked: 64 when left out. More is a better graph, built more slowly.
    pub ef_construction: Option<f64>,
    /// Candidates held while searching, unless the call says otherwise: when left out what `tune` found, or 64. Raised to
    /// `k`.
    pub ef_search: Option<f64>,
    /// What the walk of the graph reads of a row: `'sq8'` when left out.
    #[napi(ts_type = "Quantization")]
    pub quantization: Option<String>,
    /// Of the levels of nodes: 42 when left out. The same rows, options and seed give the same graph.
    pub seed: Option<f64>,
    /// At most so many threads of the process-wide pools; 0, as when left out, means all.
    pub threads: Option<f64>,
    /// `'readwrite'`, as when left out, or `'readonly'`: beside whoever writes, any number of handles; writes are
    /// ERR_READ_ONLY, and `refresh` shows what was written since.
    #[napi(ts_type = "'readwrite' | 'readonly'")]
    pub mode: Option<String>,
    /// Where there is no collection at the path: `'create'`, as when left out, makes one; `'error'` is ERR_NOT_FOUND.
    #[napi(ts_type = "'create' | 'error'")]
    pub if_missing: Option<String>,
    /// What a write that resolved survives: `'commit'`, as when left out, a power loss; `'relaxed'` the end of the
    /// process, and with `flush` or `close` a power loss.
    #[napi(ts_type = "'commit' | 'relaxed'")]
    pub durability: Option<String>,
    /// Name of the embedding model, 1 to 1,024 bytes. Another one than the collection's is ERR_MODEL_MISMATCH.
    pub model: Option<String>,
}

/// Options of a collection that its index is built by.
#[napi(object, object_to_js = false)]
pub struct Rebuild {
    /// Links a node.
    pub m: Option<f64>,
    /// Candidates held while a row is linked.
    pub ef_construction: Option<f64>,
    /// What the walk reads.
    pub quantization: Option<String>,
}

/// What became of one write.
#[napi(object, object_from_js = false)]
pub struct Outcome {
    /// Rows that were not there.
    pub inserted: u32,
    /// Rows that were replaced.
    pub updated: u32,
    /// Rows that went.
    pub deleted: u32,
    /// Why nothing changed.
    #[napi(ts_type = "Error")]
    pub error: Option<Failure>,
}

impl From<auspex_engine::Result<auspex_engine::Written>> for Outcome {
    fn from(result: auspex_engine::Result<auspex_engine::Written>) -> Outcome {
        let (done, error) = result.map_or_else(|error| (Default::default(), Some(error.into())), |done| (done, None));
        Outcome { inserted: done.inserted, updated: done.updated, deleted: done.deleted, error }
    }
}

/// How to search, and what a hit brings along besides its id.
#[napi(object, object_to_js = false)]
pub struct Query {
    /// Hits wanted.
    pub k: Option<f64>,
    /// Candidates held.
    pub ef_search: Option<f64>,
    /// Bits: 1 to read every row, 2 for metadata, 4 for floats. One number, since each property takes time to read.
    pub flags: u32,
    /// What few searches ask for.
    pub more: Option<More>,
}

/// What few searches ask for.
#[napi(object, object_to_js = false)]
#[derive(Default)]
pub struct More {
    /// The JSON text of a filter.
    pub filter: Option<String>,
    /// Nearer rows to leave out.
    pub offset: Option<f64>,
    /// The largest distance of a hit.
    pub max_distance: Option<f64>,
    /// Groups instead of hits.
    pub group_by: Option<GroupBy>,
    /// Hits that differ.
    pub diversify: Option<Diversify>,
}

/// What a hit brings along besides its id and its numbers.
#[derive(Clone, Copy)]
pub struct Include {
    /// Its metadata.
    pub metadata: bool,
    /// Its floats.
    pub vector: bool,
}

impl Query {
    fn read(self) -> (auspex_engine::SearchOptions, Include) {
        let More { filter, offset, max_distance, group_by, diversify } = self.more.unwrap_or_default();
        let options = auspex_engine::SearchOptions {
            k: self.k,
            ef_search: self.ef_search,
            exact: self.flags & 1 != 0,
            filter,
            offset,
            max_distance,
            group_by: group_by.map(|groups| auspex_engine::GroupBy { field: groups.field, size: groups.size }),
            diversify: diversify
                .map(|diverse| auspex_engine::Diversify { lambda: diverse.lambda, fetch: diverse.fetch }),
        };
        (options, Include { metadata: self.flags & 2 != 0, vector: self.flags & 4 != 0 })
    }
}

/// Hits by what rows have in a field of their metadata.
#[napi(object, object_to_js = false)]
pub struct GroupBy {
    /// The field.
    pub field: String,
    /// Hits of a group.
    pub size: Option<f64>,
}

/// Hits that are near the query and far from one another.
#[napi(object, object_to_js = false)]
pub struct Diversify {
    /// What nearness counts against difference, 0 to 1: 0.5 when left out. 1 takes the nearest only.
    pub lambda: Option<f64>,
    /// The nearest rows among which hits are chosen: `4 * k` when left out, at least `k`.
    pub fetch: Option<f64>,
}

/// What to measure.
#[napi(object, object_to_js = false)]
pub struct RecallQuery {
    /// Hits of a search.
    pub k: Option<f64>,
    /// Rows that are queries.
    pub sample: Option<f64>,
    /// Numbers of candidates held.
    pub ef_search: Option<Vec<f64>>,
    /// The JSON text of a filter.
    pub filter: Option<String>,
}

/// How well searches with one `efSearch` do.
#[napi(object, object_from_js = false)]
pub struct RecallPoint {
    /// Candidates held.
    pub ef_search: u32,
    /// Share of the true neighbours that were found, 0 to 1; 1 where there are none.
    pub recall: f64,
    /// Microseconds that half of the searches took at most.
    pub p50_us: f64,
    /// Microseconds that 99 of 100 searches took at most.
    pub p99_us: f64,
}

impl From<auspex_engine::RecallPoint> for RecallPoint {
    fn from(point: auspex_engine::RecallPoint) -> RecallPoint {
        let auspex_engine::RecallPoint { ef_search, recall, p50_us, p99_us } = point;
        RecallPoint { ef_search: ef_search as u32, recall, p50_us, p99_us }
    }
}

/// How the hits of a vector and those of a text become one list.
#[napi(object, object_to_js = false)]
pub struct Fusion {
    /// How little the first ranks differ.
    pub rrf_k: Option<f64>,
    /// What the vector's ranks count.
    pub vector: Option<f64>,
    /// What the text's ranks count.
    pub text: Option<f64>,
}

/// Memory in bytes.
#[napi(object, object_from_js = false)]
pub struct Bytes {
    /// In the heap.
    pub ram: f64,
    /// Mapped from files.
    pub mapped: f64,
    /// On disk.
    pub disk: f64,
}

/// Numbers about a collection.
#[napi(object, object_from_js = false)]
pub struct Stats {
    /// Live rows.
    pub rows: f64,
    /// Deleted rows that still take room.
    pub deleted: f64,
    /// Memory in bytes.
    pub bytes: Bytes,
    /// Nodes on each layer of the graph, layer 0 first.
    pub layers: Vec<u32>,
    /// Links a node on layer 0.
    pub mean_degree: f64,
    /// Live rows that no walk of the graph reaches: 0.
    pub unreachable: f64,
    /// The longest that a search waited for a writer, in milliseconds.
    pub max_wait_ms: f64,
    /// What a person should know.
    pub notices: Vec<String>,
    /// Candidates held by searches that give no `efSearch`.
    pub ef_search: u32,
    /// Links a node, as the option `m` of `open` and `rebuild`.
    pub m: u32,
    /// Candidates held while a row is linked.
    pub ef_construction: u32,
    /// What walks read of a row; `explain` tells where a graph is walked by floats instead.
    #[napi(ts_type = "Quantization")]
    pub quantization: &'static str,
    /// The instruction set in use.
    #[napi(ts_type = "Isa")]
    pub isa: &'static str,
    /// Threads this collection may use.
    pub threads: u32,
    /// Of this library.
    pub version: &'static str,
}

/// Something that is not as it should be.
#[napi(object, object_from_js = false)]
pub struct Problem {
    /// Where: the log, the files beside it, rows, ids, words, codes, the graph, or how much searches find.
    #[napi(ts_type = "'log' | 'files' | 'rows' | 'ids' | 'text' | 'codes' | 'graph' | 'recall'")]
    pub code: &'static str,
    /// What, for a person.
    pub detail: String,
}

/// How a search ran.
#[napi(object, object_from_js = false)]
pub struct Explain {
    /// `exact` reads every row, or every row that matches; `graph` walks the graph, and `filtered-graph` the nodes of it
    /// that match; `empty` has nothing to read.
    #[napi(ts_type = "'empty' | 'exact' | 'graph' | 'filtered-graph'")]
    pub plan: &'static str,
    /// Rows that match the filter; `undefined` without one.
    pub matching: Option<f64>,
    /// Nodes looked at.
    pub visited: f64,
    /// Distances computed.
    pub distances: f64,
    /// Candidates compared again with the floats as given.
    pub rescored: f64,
    /// What the walk read of a row; `undefined` without one. Not the collection's where codes cannot tell the rows apart.
    #[napi(ts_type = "Quantization")]
    pub quantization: Option<&'static str>,
    /// Wall time.
    pub microseconds: f64,
    /// The instruction set in use.
    #[napi(ts_type = "Isa")]
    pub isa: &'static str,
}

/// A field of the metadata, and what it mostly has.
#[napi(object)]
pub struct Field {
    /// Its key.
    pub name: String,
    /// `'keyword'`, `'keyword[]'`, `'number'`, `'boolean'` or `'text'`.
    pub kind: String,
}

fn named(fields: Vec<Field>) -> Vec<(String, String)> {
    fields.into_iter().map(|field| (field.name, field.kind)).collect()
}

/// Opens the collection in a folder, or a new one in memory. `fields` get columns, or their words are indexed.
#[napi(catch_unwind, ts_return_type = "Promise<NativeCollection>")]
pub fn open(path: Option<String>, options: BuildOptions, fields: Option<Vec<Field>>) -> AsyncTask<Job> {
    let BuildOptions { dim, metric, m, ef_construction, ef_search, seed, threads, .. } = options;
    let BuildOptions { mode, if_missing, durability, model, quantization, .. } = options;
    let built =
        auspex_engine::Options { dim, metric, m, ef_construction, ef_search, seed, threads, ..Default::default() };
    let fields = fields.map(named);
    let options = auspex_engine::Options { path, mode, if_missing, durability, model, quantization, fields, ..built };
    Job::run(
        move || Collection::open(&options),
        |engine| NativeCollection { dim: engine.dim(), engine, queued: Mutex::default() },
    )
}

/// A collection and the writes that wait for the next `commit`, in call order.
#[napi]
pub struct NativeCollection {
    engine: Collection,
    dim: usize,
    queued: Mutex<Vec<(Write, Arc<auspex_engine::Token>)>>,
}

#[napi]
impl NativeCollection {
    /// Floats a vector.
    #[napi(getter, catch_unwind)]
    pub fn dim(&self) -> u32 {
        self.dim as u32
    }

    /// What distance means.
    #[napi(getter, catch_unwind, ts_return_type = "Metric")]
    pub fn metric(&self) -> &'static str {
        match self.engine.metric() {
            Metric::Cosine => "cosine",
            Metric::L2 => "l2",
            Metric::Dot => "dot",
        }
    }

    /// The fields that have columns, by name.
    #[napi(getter, catch_unwind)]
    pub fn fields(&self) -> Vec<Field> {
        self.engine.fields().into_iter().map(|(name, kind)| Field { name, kind: kind.into() }).collect()
    }

    /// Live rows.
    #[napi(getter, catch_unwind)]
    pub fn size(&self) -> f64 {
        self.engine.len() as f64
    }

    /// Makes everything committed so far durable.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn flush(&self) -> AsyncTask<Job> {
        let engine = self.engine.clone();
        Job::run(move || engine.flush(), |()| ())
    }

    /// Idempotent.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn close(&self) -> AsyncTask<Job> {
        let engine = self.engine.clone();
        Job::run(move || engine.close(), |()| ())
    }

    /// Queues rows. Their floats are copied here, once, into memory of the engine's. Errors name rows of a stream from
    /// its row `first` on.
    #[napi(catch_unwind)]
    pub fn put(
        &self,
        ids: Vec<String>,
        metadata: Option<String>,
        vectors: Floats,
        upsert: bool,
        first: Option<f64>,
        token: &Token,
    ) -> Result<()> {
        let mut draft = self.engine.draft_of_stream(first.map(|row| row as u64), ids, metadata.as_deref())?;
        // SAFETY: `read` gives where the array's floats are now, and nothing runs JavaScript before `fill` returns.
        vectors.read(|data, len| unsafe { draft.fill(data, len) })?;
        self.queue(if upsert { Write::Upsert(draft) } else { Write::Insert(draft) }, token);
        Ok(())
    }

    /// Queues a removal.
    #[napi(catch_unwind)]
    pub fn remove(&self, ids: Vec<String>, token: &Token) {
        self.queue(Write::Delete(ids), token);
    }

    /// Queues a change of a row: its vector, keys of its metadata, or both. `set` is the JSON text of an object,
    /// `unset` that of an array of keys.
    #[napi(catch_unwind)]
    pub fn update(&self, id: String, vector: Option<Floats>, set: String, unset: String, token: &Token) -> Result<()> {
        let vector = vector.map(|vector| vector.copy()).transpose()?;
        self.queue(Write::Update(Update { id, vector, set, remove: unset }), token);
        Ok(())
    }

    /// Queues the removal of every row.
    #[napi(catch_unwind)]
    pub fn clear(&self, token: &Token) {
        self.queue(Write::Clear, token);
    }

    /// Queues the removal of the rows that match the JSON text of a filter.
    #[napi(catch_unwind)]
    pub fn remove_matching(&self, filter: String, token: &Token) -> Result<()> {
        self.queue(Write::DeleteMatching(Filter::parse(&filter)?), token);
        Ok(())
    }

    /// Applies all that is queued, in order: one outcome each.
    #[napi(catch_unwind, ts_return_type = "Promise<Outcome[]>")]
    pub fn commit(&self) -> AsyncTask<Job> {
        let (engine, writes) = (self.engine.clone(), std::mem::take(&mut *self.locked()));
        Job::run(move || Ok(engine.commit(writes)), |done| done.into_iter().map(Outcome::from).collect::<Vec<_>>())
    }

    /// The nearest rows.
    #[napi(catch_unwind, ts_return_type = "Promise<Nearest>")]
    pub fn search(&self, vector: Floats, query: Query, token: &Token) -> Result<AsyncTask<Job>> {
        let (engine, vector, token) = (self.engine.clone(), vector.copy()?, token.0.clone());
        let (options, include) = query.read();
        Ok(Job::run(move || Nearest::of(&engine.search(&vector, &options, &token)?, include), |hits| hits))
    }

    /// The same on the calling thread.
    #[napi(catch_unwind)]
    pub fn search_sync(&self, vector: Floats, query: Query) -> Result<Nearest> {
        let (options, include) = query.read();
        let hits = self.engine.search(&vector.copy()?, &options, &auspex_engine::Token::default())?;
        Ok(Nearest::of(&hits, include)?)
    }

    /// The rows nearest to a row.
    #[napi(catch_unwind, ts_return_type = "Promise<Nearest>")]
    pub fn similar(&self, id: String, query: Query, token: &Token) -> AsyncTask<Job> {
        let (engine, (options, include), token) = (self.engine.clone(), query.read(), token.0.clone());
        Job::run(move || Nearest::of(&engine.similar(&id, &options, &token)?, include), |hits| hits)
    }

    /// The rows that have words of a text.
    #[napi(catch_unwind, ts_return_type = "Promise<Nearest>")]
    pub fn search_text(&self, text: String, query: Query, token: &Token) -> AsyncTask<Job> {
        let (engine, (options, include), token) = (self.engine.clone(), query.read(), token.0.clone());
        Job::run(move || Nearest::of(&engine.search_text(&text, &options, &token)?, include), |hits| hits)
    }

    /// The nearest rows and those that have words of a text, as one list.
    #[napi(catch_unwind, ts_return_type = "Promise<Nearest>")]
    pub fn search_hybrid(
        &self,
        vector: Floats,
        text: String,
        query: Query,
        fusion: Fusion,
        token: &Token,
    ) -> Result<AsyncTask<Job>> {
        let (engine, vector, token) = (self.engine.clone(), vector.copy()?, token.0.clone());
        let Fusion { rrf_k, vector: near, text: fit } = fusion;
        let fusion = auspex_engine::FusionOptions { rrf_k, vector: near, text: fit };
        let (options, include) = query.read();
        Ok(Job::run(
            move || Nearest::of(&engine.search_hybrid(&vector, &text, &options, &fusion, &token)?, include),
            |hits| hits,
        ))
    }

    /// The nearest rows of many queries.
    #[napi(catch_unwind, ts_return_type = "Promise<ManyHits>")]
    pub fn search_batch(&self, vectors: Floats, query: Query, token: &Token) -> Result<AsyncTask<Job>> {
        let (engine, vectors, token) = (self.engine.clone(), vectors.copy()?, token.0.clone());
        let (options, _) = query.read();
        Ok(Job::run(move || engine.search_batch(&vectors, &options, &token), ManyHits::from))
    }

    /// The plan a search runs, with the counts of that run.
    #[napi(catch_unwind, ts_return_type = "Promise<Explain>")]
    pub fn explain(&self, vector: Floats, query: Query) -> Result<AsyncTask<Job>> {
        let (engine, vector, (options, _)) = (self.engine.clone(), vector.copy()?, query.read());
        Ok(Job::run(
            move || engine.explain(&vector, &options),
            |ran| Explain {
                plan: ran.plan,
                matching: ran.matching.map(|rows| rows as f64),
                visited: ran.visited as f64,
                distances: ran.distances as f64,
                rescored: ran.rescored as f64,
                quantization: ran.quantization,
                microseconds: ran.microseconds,
                isa: ran.isa,
            },
        ))
    }

    /// How many of the true neighbours searches find.
    #[napi(catch_unwind, ts_return_type = "Promise<RecallPoint[]>")]
    pub fn estimate_recall(&self, query: RecallQuery, token: &Token) -> AsyncTask<Job> {
        let (engine, token) = (self.engine.clone(), token.0.clone());
        let RecallQuery { k, sample, ef_search, filter } = query;
        let options = auspex_engine::RecallOptions { k, sample, ef_search, filter };
        Job::run(
            move || engine.estimate_recall(&options, &token),
            |points| points.into_iter().map(RecallPoint::from).collect::<Vec<_>>(),
        )
    }

    /// Finds the least `efSearch` that reaches a recall, and keeps it.
    #[napi(catch_unwind, ts_return_type = "Promise<RecallPoint>")]
    pub fn tune(&self, target_recall: f64, k: Option<f64>, token: &Token) -> AsyncTask<Job> {
        let (engine, token) = (self.engine.clone(), token.0.clone());
        Job::run(move || engine.tune(target_recall, k, &token), RecallPoint::from)
    }

    /// Whether a live row has this id.
    #[napi(catch_unwind)]
    pub fn has(&self, id: String) -> Result<bool> {
        Ok(self.engine.has(&id)?)
    }

    /// How many live rows match the JSON text of a filter.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn count(&self, filter: String) -> AsyncTask<Job> {
        let engine = self.engine.clone();
        Job::run(move || engine.count(&filter, &auspex_engine::Token::default()), |rows| rows as f64)
    }

    /// Live rows in arrival order, as they stand now, to be read in pages: those that match the JSON text of a filter, or
    /// all.
    #[napi(catch_unwind)]
    pub fn cursor(&self, filter: Option<String>) -> Result<NativeCursor> {
        let cursor = self.engine.cursor(filter.as_deref())?;
        Ok(NativeCursor { cursor: Arc::new(Mutex::new(Some(cursor))), dim: self.dim })
    }

    /// Numbers about the collection.
    #[napi(catch_unwind, ts_return_type = "Promise<Stats>")]
    pub fn stats(&self) -> AsyncTask<Job> {
        let engine = self.engine.clone();
        Job::run(
            move || engine.stats(),
            |stats| Stats {
                rows: stats.rows as f64,
                deleted: stats.deleted as f64,
                bytes: Bytes { ram: stats.ram as f64, mapped: stats.mapped as f64, disk: stats.disk as f64 },
                layers: stats.layers,
                mean_degree: stats.mean_degree,
                unreachable: stats.unreachable as f64,
                max_wait_ms: stats.max_wait_ms,
                notices: stats.notices,
                ef_search: stats.ef_search,
                m: stats.m,
                ef_construction: stats.ef_construction,
                quantization: stats.quantization,
                isa: stats.isa,
                threads: stats.threads,
                version: stats.version,
            },
        )
    }

    /// Shows what another handle wrote since, and says whether there was anything.
    #[napi(catch_unwind, ts_return_type = "Promise<boolean>")]
    pub fn refresh(&self) -> AsyncTask<Job> {
        let engine = self.engine.clone();
        Job::run(move || engine.refresh(), |newer| newer)
    }

    /// Writes the log anew without its dead rows; gives the bytes that this freed.
    #[napi(catch_unwind, ts_return_type = "Promise<number>")]
    pub fn compact(&self, token: &Token) -> AsyncTask<Job> {
        let (engine, token) = (self.engine.clone(), token.0.clone());
        Job::run(move || engine.compact(&token), |freed| freed as f64)
    }

    /// Builds index and columns anew, by other options.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn rebuild(&self, changes: Rebuild, fields: Option<Vec<Field>>, token: &Token) -> AsyncTask<Job> {
        let (engine, token) = (self.engine.clone(), token.0.clone());
        let Rebuild { m, ef_construction, quantization } = changes;
        let changes = auspex_engine::Rebuild { m, ef_construction, quantization, fields: fields.map(named) };
        Job::run(move || engine.rebuild(&changes, &token), |()| ())
    }

    /// Reads and checks everything.
    #[napi(catch_unwind, ts_return_type = "Promise<Problem[]>")]
    pub fn verify(&self, token: &Token) -> AsyncTask<Job> {
        let (engine, token) = (self.engine.clone(), token.0.clone());
        let problem = |found: auspex_engine::Problem| Problem { code: found.code, detail: found.detail };
        Job::run(move || engine.verify(&token), move |found| found.into_iter().map(problem).collect::<Vec<_>>())
    }

    /// Copies the collection as it is now into a folder of its own.
    #[napi(catch_unwind, ts_return_type = "Promise<void>")]
    pub fn snapshot(&self, path: String, token: &Token) -> AsyncTask<Job> {
        let (engine, token) = (self.engine.clone(), token.0.clone());
        Job::run(move || engine.snapshot(&path, &token), |()| ())
    }

    fn queue(&self, write: Write, token: &Token) {
        self.locked().push((write, token.0.clone()));
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Vec<(Write, Arc<auspex_engine::Token>)>> {
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rows of one moment.
#[napi]
pub struct NativeCursor {
    cursor: Arc<Mutex<Option<Cursor>>>,
    dim: usize,
}

#[napi]
impl NativeCursor {
    /// At most `limit` more rows; none at the end.
    #[napi(catch_unwind, ts_return_type = "Promise<Rows>")]
    pub fn next(&self, limit: u32, metadata: bool, vector: bool) -> AsyncTask<Job> {
        self.page(metadata, vector, move |cursor| cursor.next(limit as usize))
    }

    /// Rows by id, one entry an id.
    #[napi(catch_unwind, ts_return_type = "Promise<Rows>")]
    pub fn get(&self, ids: Vec<String>, metadata: bool, vector: bool) -> AsyncTask<Job> {
        self.page(metadata, vector, move |cursor| cursor.get(&ids))
    }

    fn page(
        &self,
        metadata: bool,
        vector: bool,
        find: impl FnOnce(&mut Cursor) -> auspex_engine::Result<Found> + Send + 'static,
    ) -> AsyncTask<Job> {
        let (cursor, dim) = (self.cursor.clone(), self.dim);
        let gone = || Error { code: Code::Internal, message: "the cursor was released".into() };
        Job::run(
            move || {
                let mut cursor = cursor.lock().unwrap_or_else(PoisonError::into_inner);
                Rows::of_found(&find(cursor.as_mut().ok_or_else(gone)?)?, dim, metadata, vector)
            },
            |rows| rows,
        )
    }

    /// Lets go of the snapshot.
    #[napi(catch_unwind)]
    pub fn release(&self) {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner).take();
    }
}

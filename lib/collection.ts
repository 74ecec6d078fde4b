import { resolve } from 'node:path';
import type { NativeCollection, Query, Token } from '../crates/node/binding';
import { AuspexError, rangeError, show, typeError } from './errors';
import { readFields, readFilter } from './filter';
import { toHits, toRows } from './hits';
import { job } from './jobs';
import { load, readLoad } from './load';
import { across, cancellable, native } from './native';
import { readOptions, required, type Schema } from './options';
import {
  type Columns,
  gather,
  orTooMuch,
  readId,
  readIds,
  readPatch,
  readQuery,
  readRows,
  readVectors,
  rowsIn,
} from './rows';
import { traceable } from './trace';
import type * as Api from './types';
import type { LocalCollection, Metadata, OpenOptions } from './types';
import { writesOf } from './writes';

/** Floats in a page of rows on their way out: 1 MiB. */
const PAGE = 2 ** 18;

type Search = Api.SearchOptions<unknown>;
type Hybrid = Omit<Search, 'groupBy' | 'diversify'> & Pick<Api.HybridOptions, 'rrfK' | 'weights'>;

const INDEX = { m: 'number', efConstruction: 'number', quantization: 'string' } as const;
const BUILD = { ...INDEX, efSearch: 'number', seed: 'number', threads: 'number' } as const;
const KEEP = { mode: 'string', ifMissing: 'string', durability: 'string', model: 'string' } as const;
const FIELDS = { fields: 'object' } as const;
const OPEN: Schema<OpenOptions> = { dim: 'number', metric: 'string', ...BUILD, ...KEEP, ...FIELDS, signal: 'signal' };
const EXACT: Schema<Api.ExactOptions> = { k: 'number', metric: 'string', dim: 'number', signal: 'signal' };
const JOB: Schema<Api.JobOptions> = { signal: 'signal', onProgress: 'function' };
const REBUILD: Schema<Api.RebuildOptions> = { ...INDEX, ...FIELDS, ...JOB };
const PATCH: Schema<Api.Patch<unknown>> = { vector: 'object', metadata: 'object' };
const GET: Schema<Api.ReadOptions> = { include: 'object' };
const ITEMS: Schema<Api.ItemsOptions<unknown>> = { include: 'object', filter: 'any' };
const MATCHING: Schema<{ filter: unknown }> = { filter: 'any' };
const INCLUDE: Schema<Api.Include> = { metadata: 'boolean', vector: 'boolean' };
const RECALL: Schema<Api.RecallOptions<unknown>> = {
  k: 'number',
  sample: 'number',
  efSearch: 'any',
  filter: 'any',
  signal: 'signal',
  onProgress: 'function',
};
const TUNE: Schema<Api.TuneOptions> = { targetRecall: 'number', k: 'number', signal: 'signal', onProgress: 'function' };
const GROUP: Schema<Api.GroupBy> = { field: 'string', size: 'number' };
const DIVERSIFY: Schema<Api.Diversify> = { lambda: 'number', fetch: 'number' };
const NEAR = { k: 'number', efSearch: 'number', exact: 'boolean', filter: 'any', maxDistance: 'number' } as const;
const SHAPE = { groupBy: 'object', diversify: 'object' } as const;
const SEARCH_SYNC = { ...NEAR, ...SHAPE, offset: 'number', include: 'object' } as const;
const SEARCH_BATCH = { ...NEAR, signal: 'signal' } as const;
const SEARCH: Schema<Search> = { ...SEARCH_SYNC, signal: 'signal' };
const TEXT = { k: 'number', offset: 'number', filter: 'any', include: 'object', signal: 'signal' } as const;
const HYBRID: Schema<Hybrid> = { ...NEAR, ...TEXT, rrfK: 'number', weights: 'object' };
const HYBRID_QUERY: Schema<Api.HybridQuery> = { vector: 'any', text: 'string' };
const WEIGHTS: Schema<Api.Weights> = { vector: 'number', text: 'number' };
/** Characters of a text: what one may have in bytes, which the engine then refuses. */
const TEXT_LENGTH = 2 ** 22;

/**
 * Opens a collection: in memory, or in a folder of its own, which is made when there is none. Options left out are the
 * stored ones. One handle at a time writes to a folder, and any number of handles with `mode: 'readonly'` read it.
 *
 * @typeParam M what each row's metadata holds
 * @throws TypeError, RangeError (`ERR_ARGUMENT`) naming the option; `ERR_NATIVE_LOAD`; with a path also
 *   `ERR_NOT_FOUND`, `ERR_LOCKED`, `ERR_CORRUPT`, `ERR_VERSION`, `ERR_MODEL_MISMATCH`, `ERR_IO`, `ERR_NO_SPACE`
 * @example
 * const notes = await open<{ title: string }>('./notes.auspex', { dim: 384 });
 * await notes.upsert([{ id: 'a', vector: embedding, metadata: { title: 'First' } }]);
 * const hits = await notes.search(query, { k: 5 });
 */
export function open<M extends object = Metadata>(
  options: OpenOptions<M> & { dim: number },
): Promise<LocalCollection<M>>;
export function open<M extends object = Metadata>(path: string, options?: OpenOptions<M>): Promise<LocalCollection<M>>;
export async function open(...given: unknown[]): Promise<unknown> {
  const path = typeof given[0] === 'string' ? resolve(given[0]) : undefined;
  if (given[0] === '') throw rangeError("path is ''; it must name a folder");
  const { signal, fields: declared, ...options } = readOptions<OpenOptions>(given[path === undefined ? 0 : 1], OPEN);
  const fields = declared && readFields(declared);
  if (path === undefined) required(options.dim, 'number', 'dim');
  const opened = await cancellable(() => native().open(path, options, fields), signal, true);
  // What the arguments of its methods are is for the methods to find out: they come from JavaScript.
  if (!signal?.aborted) return new NativeBacked(opened, path);
  await across(() => opened.close());
  throw signal.reason;
}

/**
 * Compares every query with every vector: the true neighbours, without a collection.
 *
 * @returns for each query the positions of its `k` nearest vectors, nearest first, equal distances by position
 * @throws ERR_DIMENSION, ERR_NOT_FINITE, ERR_ZERO_VECTOR, ERR_ARGUMENT
 * @example
 * const { rows, distances } = await exactSearch(vectors, queries, { k: 10, dim: 384 });
 */
export async function exactSearch(vectors: Api.VectorBatch, queries: Api.VectorBatch, options: Api.ExactOptions) {
  const { metric, signal, ...given } = readOptions(options, EXACT);
  const [k, dim] = [required(given.k, 'number', 'k'), required(given.dim, 'number', 'dim')];
  // A dim that no vector can have is for the engine to name.
  const width = dim >= 1 ? dim : 1;
  const [rows, asked] = [readVectors(vectors, width, 'vectors'), readVectors(queries, width, 'queries')];
  return cancellable((token) => native().exactSearch(rows, asked, dim, metric, k, token), signal);
}

/**
 * The version of this library, the instruction set it uses and the threads of its pools.
 *
 * @throws ERR_NATIVE_LOAD; ERR_ARGUMENT when the environment variable `AUSPEX_ISA` names an instruction set that
 *   this machine lacks
 */
export function info() {
  return across(() => native().info());
}

/** {@link LocalCollection} over the addon. */
class NativeBacked {
  readonly dim: number;
  readonly metric: Api.Metric;
  readonly path: string | undefined;
  readonly #native: NativeCollection;
  readonly #writes: ReturnType<typeof writesOf>;
  #closing: Promise<void> | undefined;

  constructor(collection: NativeCollection, path: string | undefined) {
    this.path = path;
    this.#native = collection;
    this.#writes = writesOf(collection);
    this.dim = collection.dim;
    this.metric = collection.metric;
  }

  get size(): number {
    return this.#native.size;
  }

  get fields(): Readonly<Record<string, Api.FieldType>> {
    return Object.fromEntries(this.#native.fields.map(({ name, kind }) => [name, kind as Api.FieldType]));
  }

  get closed(): boolean {
    return this.#closing !== undefined;
  }

  async insert(rows: unknown, options?: unknown) {
    return (await this.#write('insert', readRows(rows, this.dim), readOptions(options, JOB))).inserted;
  }

  async upsert(rows: unknown, options?: unknown) {
    const written = await this.#write('upsert', readRows(rows, this.dim), readOptions(options, JOB));
    return { inserted: written.inserted, updated: written.updated };
  }

  async load(rows: unknown, options?: unknown) {
    const how = readLoad(options, this.dim);
    how.signal?.throwIfAborted();
    this.#open;
    const stream = Object(rows) as AsyncIterable<unknown>;
    const iterable = stream === rows && (Symbol.asyncIterator in stream || Symbol.iterator in stream);
    if (!iterable) throw typeError('rows', 'an iterable or an async iterable', rows);
    return load(stream, how, async (batch, first) => this.#write(how.mode, batch, { signal: how.signal }, first));
  }

  async update(id: unknown, patch: unknown) {
    const { vector, metadata } = readOptions(required(patch, 'object', 'patch') as object, PATCH, 'patch');
    const floats = vector === undefined ? undefined : gather([vector], this.dim, () => 'patch.vector');
    const [key, { set, unset }] = [readId(id), readPatch(metadata)];
    const put = (token: Token) => this.#open.update(key, floats, set, unset, token);
    return (await this.#writes.add('update', 1, {}, put)).updated > 0;
  }

  async delete(what: unknown) {
    if (typeof what === 'object' && what !== null && !Array.isArray(what)) return this.#deleteMatching(what);
    const ids = toIds(what);
    return (await this.#writes.add('delete', ids.length, {}, (token) => this.#open.remove(ids, token))).deleted;
  }

  async clear(): Promise<void> {
    await this.#writes.add('clear', 0, {}, (token) => this.#open.clear(token));
  }

  async #deleteMatching(what: object) {
    const { filter } = readOptions(what, MATCHING);
    if (filter === undefined) throw new AuspexError('ERR_FILTER', 'filter is undefined; clear() removes every row');
    const text = readFilter(filter);
    return (await this.#writes.add('delete', 0, {}, (token) => this.#open.removeMatching(text, token))).deleted;
  }

  async get(what: unknown, options?: unknown) {
    const { metadata, vector } = readInclude(readOptions(options, GET).include);
    const ids = toIds(what);
    const [cursor, size, found] = [across(() => this.#open.cursor()), rowsIn(PAGE, this.dim), [] as unknown[]];
    try {
      for (let from = 0; from < ids.length; from += size) {
        const page = ids.slice(from, from + size);
        found.push(...toRows(await across(() => cursor.get(page, metadata, vector)), this.dim));
      }
    } finally {
      cursor.release();
    }
    return typeof what === 'string' ? found[0] : found;
  }

  readonly has = async (id: unknown) => across(() => this.#open.has(readId(id)));
  readonly stats = async () => across(() => this.#open.stats());
  async count(filter?: unknown) {
    if (filter === undefined) return this.#open.size;
    const text = readFilter(filter);
    return across(() => this.#open.count(text));
  }

  async *items(options?: unknown) {
    const { include, filter } = readOptions(options, ITEMS);
    const { metadata, vector } = readInclude(include);
    const text = filter === undefined ? undefined : readFilter(filter);
    const cursor = across(() => this.#open.cursor(text));
    try {
      for (;;) {
        const rows = await across(() => cursor.next(rowsIn(PAGE, this.dim), metadata, vector));
        if (rows.ids.length === 0) return;
        for (const row of toRows(rows, this.dim)) if (this.#open) yield row;
      }
    } finally {
      cursor.release();
    }
  }

  async search(query: unknown, options?: unknown) {
    const { signal, how } = readSearch(options, SEARCH);
    const floats = readQuery(query, this.dim);
    return toHits(await cancellable((token) => this.#open.search(floats, how, token), signal), this);
  }

  searchSync(query: unknown, options?: unknown) {
    const { how } = readSearch(options, SEARCH_SYNC);
    const floats = readQuery(query, this.dim);
    const open = this.#open;
    return toHits(
      across(() => open.searchSync(floats, how)),
      this,
    );
  }

  async searchBatch(queries: unknown, options?: unknown): Promise<Api.BatchHits> {
    const { signal, how } = readSearch(options, SEARCH_BATCH);
    const floats = readVectors(queries, this.dim, 'queries');
    const { columns, names } = await cancellable((token) => this.#open.searchBatch(floats, how, token), signal);
    const id = (q: number, h: number) => names.id(required(q, 'number', 'query'), required(h, 'number', 'hit'));
    return { ...columns, id, ids: () => across(() => names.ids()) };
  }

  async searchText(text: unknown, options?: unknown) {
    const { signal, how } = readSearch(options, TEXT);
    const words = readText(text, 'text');
    return toHits(await cancellable((token) => this.#open.searchText(words, how, token), signal), this);
  }

  async searchHybrid(query: unknown, options?: unknown) {
    const { signal, how, rrfK, weights } = readSearch(options, HYBRID);
    const { vector, text } = readOptions(required(query, 'object', 'query') as object, HYBRID_QUERY, 'query');
    const [floats, words] = [readQuery(vector, this.dim, 'query.vector'), readText(text, 'query.text')];
    const fusion = { ...(rrfK !== undefined && { rrfK }), ...readOptions(weights, WEIGHTS, 'weights') };
    const find = (token: Token) => this.#open.searchHybrid(floats, words, how, fusion, token);
    return toHits(await cancellable(find, signal), this);
  }

  async similar(id: unknown, options?: unknown) {
    const { signal, how } = readSearch(options, SEARCH);
    return toHits(await cancellable((token) => this.#open.similar(readId(id), how, token), signal), this);
  }

  async explain(query: unknown, options?: unknown): Promise<Api.Explain> {
    const { signal, how } = readSearch(options, SEARCH);
    const floats = readQuery(query, this.dim);
    return cancellable(() => this.#open.explain(floats, how), signal);
  }

  async estimateRecall(options?: unknown): Promise<Api.RecallPoint[]> {
    const { signal, onProgress, filter, efSearch, ...rest } = readOptions<Api.RecallOptions<unknown>>(options, RECALL);
    const text = filter === undefined ? {} : { filter: readFilter(filter) };
    const query = { ...rest, ...text, ...(efSearch !== undefined && { efSearch: readNumbers(efSearch, 'efSearch') }) };
    return this.#job('estimateRecall', { signal, onProgress }, (collection, token) =>
      collection.estimateRecall(query, token),
    );
  }

  async tune(options: unknown): Promise<Api.RecallPoint> {
    const { targetRecall, k, signal, onProgress } = readOptions<Api.TuneOptions>(options, TUNE);
    const target = required(targetRecall, 'number', 'targetRecall') as number;
    return this.#job('tune', { signal, onProgress }, (collection, token) => collection.tune(target, k, token));
  }

  async flush(): Promise<void> {
    const collection = this.#open;
    await this.#writes.idle();
    await across(() => collection.flush());
  }

  readonly refresh = async (): Promise<boolean> => across(() => this.#open.refresh());

  async compact(options?: unknown) {
    const reclaimedBytes = await this.#job('compact', options, (collection, token) => collection.compact(token));
    return { reclaimedBytes };
  }

  async rebuild(options?: unknown): Promise<void> {
    const { fields: declared, signal, onProgress, ...changes } = readOptions(options, REBUILD);
    const fields = declared && readFields(declared);
    const how = { ...(signal && { signal }), ...(onProgress && { onProgress }) };
    await this.#job('rebuild', how, (collection, token) => collection.rebuild(changes, fields, token));
  }

  async verify(options?: unknown): Promise<Api.VerifyReport> {
    const problems = await this.#job('verify', options, (collection, token) => collection.verify(token));
    return { ok: problems.length === 0, problems };
  }

  async snapshot(directory: unknown, options?: unknown): Promise<void> {
    const path = required(directory, 'string', 'directory') as string;
    if (path === '') throw rangeError("directory is ''; it must name a folder");
    await this.#job('snapshot', options, (collection, token) => collection.snapshot(resolve(path), token));
  }

  async close(): Promise<void> {
    this.#closing ??= this.#writes.idle().then(() => across(() => this.#native.close()));
    await this.#closing;
  }

  readonly [Symbol.asyncDispose] = () => this.close();

  get #open(): NativeCollection {
    if (this.closed) throw new AuspexError('ERR_CLOSED', 'the collection is closed');
    return this.#native;
  }

  #write(mode: 'insert' | 'upsert', { ids, metadata, vectors }: Columns, options: Api.WriteOptions, first?: number) {
    const json = metadata && orTooMuch(() => `[${metadata.join(',')}]`);
    const put = (token: Token) => this.#open.put(ids, json, vectors, mode === 'upsert', first, token);
    return this.#writes.add(mode, ids.length, options, put);
  }

  async #job<T>(phase: string, options: unknown, run: (collection: NativeCollection, token: Token) => Promise<T>) {
    const how = readOptions(options, JOB);
    this.#open;
    return job(phase, how, (token) => run(this.#open, token));
  }

  /** Zips columns into rows. Each vector gets memory of its own, to be kept or transferred alone. */
}

traceable(NativeBacked.prototype);

const toIds = (what: unknown) => (typeof what === 'string' ? [readId(what)] : readIds(what));

/** What to search for: any text, which has words or none. */
function readText(given: unknown, name: string): string {
  const text = required(given, 'string', name) as string;
  if (text.length <= TEXT_LENGTH) return text;
  throw rangeError(`${name} has ${text.length} characters; the limit is ${TEXT_LENGTH} bytes`);
}

function readSearch(given: unknown, schema: Partial<Schema<Search & Hybrid>>) {
  const read = readOptions<Search & Hybrid>(given, schema as Schema<Search & Hybrid>);
  const { k, efSearch, exact = false, filter, offset, maxDistance, groupBy, diversify, include, signal } = read;
  const { metadata, vector } = readInclude(include);
  const how: Query = { flags: Number(exact) + 2 * Number(metadata) + 4 * Number(vector) };
  if (k !== undefined) how.k = k;
  if (efSearch !== undefined) how.efSearch = efSearch;
  const more = {
    ...(filter !== undefined && { filter: readFilter(filter) }),
    ...(offset !== undefined && { offset }),
    ...(maxDistance !== undefined && { maxDistance }),
    ...(groupBy && { groupBy: readGroups(groupBy) }),
    ...(diversify && { diversify: readOptions<Api.Diversify>(diversify, DIVERSIFY, 'diversify') }),
  };
  if (Object.keys(more).length > 0) how.more = more;
  return { signal, how, rrfK: read.rrfK, weights: read.weights };
}

function readGroups(given: unknown): Api.GroupBy {
  const { field: name, size } = readOptions<Api.GroupBy>(given, GROUP, 'groupBy');
  const field = required(name, 'string', 'groupBy.field') as string;
  if (!field.isWellFormed()) throw rangeError(`groupBy.field has a lone surrogate: ${show(field)}`);
  return { field, ...(size !== undefined && { size }) };
}

/** A copy of an array of numbers. What they may be is for the engine to judge. */
function readNumbers(given: unknown, name: string): number[] {
  if (!Array.isArray(given)) throw typeError(name, 'an array of numbers', given);
  return Array.from(given, (value: unknown, i) => required(value, 'number', `${name}[${i}]`) as number);
}

function readInclude(given: unknown) {
  const { metadata = true, vector = false } = given === undefined ? {} : readOptions(given, INCLUDE, 'include');
  return { metadata, vector };
}

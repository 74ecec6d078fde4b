import type {
  BatchColumns,
  BuildOptions,
  Diversify,
  Explain,
  Metric,
  Problem,
  RecallPoint,
  Stats,
} from '../crates/node/binding';

export type {
  BatchColumns,
  BuildOptions,
  Bytes,
  Diversify,
  ErrorCode,
  ExactHits,
  Explain,
  Info,
  Isa,
  Metric,
  Problem,
  Quantization,
  RecallPoint,
  Stats,
} from '../crates/node/binding';

/** One vector: `dim` numbers. Kept as 32-bit floats. */
export type VectorLike = Float32Array | Float64Array | readonly number[];

/** What transformers.js and ONNX Runtime return. */
export type TensorLike = {
  /** The numbers, row by row: a Float32Array at run time (else TypeError). */
  readonly data: ArrayLike<unknown>;
  /** `[dim]`, `[1, dim]` or `[n, dim]`. */
  readonly dims: readonly number[];
};

/** One query. */
export type Query = VectorLike | TensorLike;

/** Many vectors: `n * dim` floats row by row, or n vectors, or a tensor of `[n, dim]`. */
export type VectorBatch = Float32Array | readonly VectorLike[] | TensorLike;

/** A JSON value without parts. */
export type Scalar = string | number | boolean | null;

/** What JSON can hold. */
export type Json = Scalar | readonly Json[] | { readonly [key: string]: Json | undefined };

/** What metadata may hold when no type is given. An interface of your own serves as well. */
export type Metadata = { [key: string]: Json | undefined };

/**
 * What a field of the metadata mostly has: for filters a text, an array of texts, numbers, or true and false; and `'text'`
 * for what `searchText` and `searchHybrid` find words in, a text or an array of texts.
 */
export type FieldType = 'keyword' | 'keyword[]' | 'number' | 'boolean' | 'text';

/** How to open a collection. */
export type OpenOptions<M = Metadata> = BuildOptions & {
  /**
   * Fields of the metadata that filters often ask for, or whose words are searched: at most 256. The first get columns in
   * memory, kept with the collection, so that a filter need not read the metadata of every row. Other fields can be asked
   * for as well, and whatever a field holds, a filter means the same. Of those with the type `'text'` the words are
   * indexed. A collection that is opened again knows them.
   */
  fields?: { readonly [K in keyof NoInfer<M>]?: FieldType };
  /** Aborting before it is open rejects with `signal.reason`. */
  signal?: AbortSignal;
};

/** What comes back with a row. */
export type Include = {
  /** The row's metadata, unless `false`. */
  metadata?: boolean;
  /** The row's `dim` floats as they were given, if `true`. */
  vector?: boolean;
};

/** How to read rows. */
export type ReadOptions<I = Include> = {
  /** What comes back with each row. */
  include?: I;
};

/** Which rows to read, and how. */
export type ItemsOptions<M, I = Include> = {
  /** Only rows that match. */
  filter?: Filter<M>;
  /** What comes back with each row. */
  include?: I;
};

/** What a field is compared with: its value, or, of an array, any of its elements. */
type Value<T> = T extends readonly (infer E)[] ? Extract<E, Scalar> : Extract<T, Scalar>;
type Ordered<T> = Extract<T, string | number>;

/** What is asked of a field. A field that holds an array passes when any of its elements does. */
export type Ops<T> = {
  /** A value equal to the operand; `null` is also a field that is missing. */
  $eq?: T | null;
  /** Whatever `$eq` does not pass: a missing field too. */
  $ne?: T | null;
  /** A value equal to one of the operands; of none no row passes. */
  $in?: readonly (T | null)[];
  /** Whatever `$in` does not pass: a missing field too. */
  $nin?: readonly (T | null)[];
  /** `true`: a field that is there, be it null; `false`: one that is missing. */
  $exists?: boolean;
} & ([Ordered<T>] extends [never]
  ? {}
  : {
      /** Greater than the operand, of its type: numbers by size, text by code points. */
      $gt?: Ordered<T>;
      /** Greater than the operand, or equal. */
      $gte?: Ordered<T>;
      /** Less than the operand. */
      $lt?: Ordered<T>;
      /** Less than the operand, or equal. */
      $lte?: Ordered<T>;
    }) &
  ([Extract<T, string>] extends [never]
    ? {}
    : {
        /** Text that begins with the operand. */
        $startsWith?: string;
        /** Text that has the operand somewhere. */
        $contains?: string;
      });

/**
 * Which rows: all that is listed must hold. At most 64 deep, 10,000 conditions and 4 MiB; else, and for what is no filter,
 * `ERR_FILTER` with the path inside the filter.
 *
 * @example
 * const recent: Filter<Doc> = { year: { $gte: 2020 }, tags: 'rust', $not: { draft: true } };
 */
export type Filter<M = Metadata> =
  | {
      /** All of these hold; of none every row matches. */
      $and: readonly Filter<M>[];
    }
  | {
      /** One of these holds; of none no row matches. */
      $or: readonly Filter<M>[];
    }
  | {
      /** This does not hold. */
      $not: Filter<M>;
    }
  | { [K in keyof M]?: Value<NonNullable<M[K]>> | null | Ops<Value<NonNullable<M[K]>>> };

/** The parts of a row that {@link Include} asks for. */
export type Included<M, I> = (I extends { metadata: false }
  ? {}
  : {
      /** As it was given. */
      metadata: M;
    }) &
  (I extends { vector: true }
    ? {
        /** The `dim` floats as they were given, in memory of their own. */
        vector: Float32Array;
      }
    : {});

/** A row. */
export type Item<M, I = {}> = {
  /** The row's id. */
  id: string;
} & Included<M, I>;

/** A row found by nearness or by its words. */
export type Hit<M, I = {}> = {
  /** The row's id. */
  id: string;
  /** Smaller is nearer: see {@link Metric}. NaN where only words found the row. */
  distance: number;
  /**
   * Larger is better. cosine: `1 - distance`; dot: `-distance`; l2: `1 / (1 + distance)`. Of `searchText` it is BM25, and of
   * `searchHybrid` the sum over both lists of `weight / (rrfK + rank)`, ranks counted from 1.
   */
  score: number;
} & Included<M, I>;

/** A row to write. `metadata` may be left out only where `{}` is a valid M, and then reads back as `{}`. */
export type InputItem<M> = {
  /** 1 to 1,024 bytes of well-formed text. */
  id: string;
  /** `dim` numbers. */
  vector: VectorLike;
} & ({} extends M
  ? {
      /** An object that JSON can hold. */
      metadata?: M;
    }
  : {
      /** An object that JSON can hold. */
      metadata: M;
    });

/** Rows to write, as columns: the fast way in. */
export type Batch<M> = {
  /** The ids of n rows, each 1 to 1,024 bytes of well-formed text. */
  ids: readonly string[];
  /** Their n vectors. */
  vectors: VectorBatch;
} & ({} extends M
  ? {
      /** Their metadata: n objects that JSON can hold, `undefined` for `{}`. */
      metadata?: readonly (M | undefined)[];
    }
  : {
      /** Their metadata: n objects that JSON can hold. */
      metadata: readonly M[];
    });

/** What `insert` and `upsert` take. */
export type Rows<M> = InputItem<M> | readonly InputItem<M>[] | Batch<M>;

/** What `update` changes of a row: its vector, keys of its metadata, or both. */
export type Patch<M> = {
  /** `dim` numbers. */
  vector?: VectorLike;
  /** A key with `undefined` is removed, one with `null` stores null. A key that is named is replaced whole; others stay. */
  metadata?: { [K in keyof M]?: M[K] | undefined };
};

/** What `load` takes. */
export type RowStream<M> = AsyncIterable<InputItem<M> | Batch<M>> | Iterable<InputItem<M> | Batch<M>>;

/**
 * Hits by groups. A row's group is named by the string, finite number or boolean that it has in `field`; a row that has
 * none of these there (or null, an array, an object) is in no group, and no hit.
 */
export interface GroupBy<M = Metadata> {
  /** The key of the metadata that names a row's group. */
  field: keyof M & string;
  /** Hits of a group: 1 when left out. */
  size?: number;
}

/** How to search rows with metadata M. */
export interface SearchOptions<M = Metadata, I = Include> {
  /** How many hits: 10 when left out. Fewer come back when fewer rows match; never padded. */
  k?: number;
  /**
   * Hits to leave out at the front, for pages: 0 when left out; with `k` at most 1,000,000. The order is by distance, then
   * by id. A page finds what it leaves out anew: those of an exact search follow one another without a gap, those of the
   * graph nearly always where `efSearch` is the same and at least `offset + k` of the last.
   */
  offset?: number;
  /** Only rows that match are hits. */
  filter?: Filter<M>;
  /**
   * The nearest `k` groups instead of the nearest `k` rows: of each its nearest `size` rows, one after the other, the group
   * with the nearest row first. As many groups come back as there are, up to `k`. `offset` leaves out groups. Faster where
   * `fields` has the field; without, all metadata may be read.
   */
  groupBy?: GroupBy<M>;
  /**
   * Hits that differ from one another (maximal marginal relevance): each of the `k` is the one, of the nearest `fetch`
   * rows, with the least `lambda * distance - (1 - lambda) * (distance to the nearest hit before it)`. They come in the
   * order in which they are chosen. Not with `offset` or `groupBy`.
   */
  diversify?: Diversify;
  /** Keeps those of the `k` nearest whose `distance` is at most this. */
  maxDistance?: number;
  /** Candidates held while searching: the collection's (see `tune`) when left out. More finds more of the true neighbours. */
  efSearch?: number;
  /** `true` compares the query with every row that matches: `false` when left out. */
  exact?: boolean;
  /** What comes back with each hit. */
  include?: I;
  /** Aborting rejects with `signal.reason` and stops the work. */
  signal?: AbortSignal;
}

/** How to search for many. */
export type BatchOptions<M = Metadata> = Omit<SearchOptions<M>, 'include' | 'offset' | 'groupBy' | 'diversify'>;

/** How to search by words. */
export type TextOptions<M = Metadata, I = Include> = Pick<
  SearchOptions<M, I>,
  'k' | 'offset' | 'filter' | 'include' | 'signal'
>;

/** What `searchHybrid` looks for: rows near the vector, and rows that have words of the text. */
export type HybridQuery = {
  /** `dim` numbers. */
  vector: Query;
  /** At most 4 MiB. */
  text: string;
};

/** What each list counts in `searchHybrid`: 0 to 1,000,000. One with 0 is left out. */
export type Weights = {
  /** The nearest rows: 1 when left out. */
  vector?: number;
  /** The rows whose words fit best: 1 when left out. */
  text?: number;
};

/** How to search by nearness and words. `efSearch`, `exact` and `maxDistance` are about the vector's list. */
export type HybridOptions<M = Metadata, I = Include> = TextOptions<M, I> &
  Pick<SearchOptions<M, I>, 'efSearch' | 'exact' | 'maxDistance'> & {
    /** How little the first ranks differ: 0 to 1,000,000, and 60 when left out. */
    rrfK?: number;
    /** What each list counts: the same when left out. */
    weights?: Weights;
  };

/** How to compare vectors without a collection. */
export interface ExactOptions {
  /** Neighbours of each query: 1 to 1,000,000. */
  k: number;
  /** What distance means: `'cosine'` when left out. */
  metric?: Metric;
  /** Numbers in a vector: 1 to 4,096. */
  dim: number;
  /** Aborting rejects with `signal.reason` and stops the work. */
  signal?: AbortSignal;
}

/** How to run what may take long. */
export interface JobOptions {
  /** Aborting ends the work, which then leaves nothing behind, and rejects with `signal.reason`. */
  signal?: AbortSignal;
  /**
   * Called at most ten times a second, and once at the end. What it throws ends the reports, not the call: the call
   * goes on and then rejects with what was thrown, although all was done.
   */
  onProgress?: (progress: Progress) => void;
}

/** What to measure. */
export interface RecallOptions<M = Metadata> extends JobOptions {
  /** Hits of a search: 10 when left out. */
  k?: number;
  /** Rows that are queries: 200 when left out, at most 10,000; all where there are fewer. */
  sample?: number;
  /** Numbers of candidates to search with, 1 to 64 of them: the one in use when left out. */
  efSearch?: readonly number[];
  /** Only rows that match are hits. Queries are rows whether they match or not. */
  filter?: Filter<M>;
}

/** What to reach. */
export interface TuneOptions extends JobOptions {
  /** The share of the true neighbours to find: greater than 0, at most 1. */
  targetRecall: number;
  /** Hits of a search: 10 when left out. */
  k?: number;
}

/** What to build an index by. What is left out stays as it is. */
export type RebuildOptions<M = Metadata> = JobOptions &
  Pick<OpenOptions<M>, 'm' | 'efConstruction' | 'quantization' | 'fields'>;

/** How to write. The signal counts until the batch is in the log; after that the call resolves. */
export interface WriteOptions extends JobOptions {}

/**
 * Of `load`. On abort or error the batches written so far stay: their rows are the last report's `done`, and an error
 * of this library carries them as `loaded`.
 */
export interface LoadOptions extends WriteOptions {
  /** Rows in a batch: as many as fill 8 MiB, at most 10,000, when left out. */
  batchSize?: number;
  /** What to do with an id that is known: `'upsert'`, as when left out, replaces its row; `'insert'` is an error. */
  mode?: 'insert' | 'upsert';
}

/** How far a call has come. */
export interface Progress {
  /** What is being done: the name of the method. */
  phase: string;
  /** Rows so far. */
  done: number;
  /** Rows in all; `undefined` where nobody knows (a stream), or not yet. */
  total: number | undefined;
  /** Since the call. */
  rowsPerSecond: number;
}

/**
 * What subscribers of the tracing channels `auspex:search`, `auspex:read`, `auspex:write` and `auspex:job` get
 * (`node:diagnostics_channel`): one object a call, for all that is told of it.
 */
export interface Traced {
  /** The method that was called. */
  readonly method: string;
  /** The collection's folder, `undefined` in memory. */
  readonly path: string | undefined;
  /** Numbers in a vector of the collection. */
  readonly dim: number;
  /** What distance means in the collection. */
  readonly metric: Metric;
  /** What it was called with, as it was given: not to be changed. */
  readonly args: readonly unknown[];
  /** What it returned, or resolved with. */
  result?: unknown;
  /** What it threw, or rejected with. */
  error?: unknown;
}

/** What `compact` gave back. */
export interface Compacted {
  /** Of files, or of memory where there are none. */
  reclaimedBytes: number;
}

/** What `verify` found. */
export interface VerifyReport {
  /** Whether nothing is wrong. */
  ok: boolean;
  /** What is wrong, at most 1,000 of each kind; then one more says how many there are besides. */
  problems: Problem[];
}

/** Hits of many queries. Ids are decoded on demand. */
export type BatchHits = BatchColumns & {
  /** The id of one hit: `''` where there is no such hit. */
  id(query: number, hit: number): string;
  /** The ids of all hits, `k` a query, `''` where there are fewer. */
  ids(): string[];
};

/** How many rows `upsert` added, and how many it replaced. */
export interface Upserted {
  /** Rows whose ids were not known. */
  inserted: number;
  /** Rows that were replaced. */
  updated: number;
}

/**
 * A set of rows, searched by nearness. Nothing here is synchronous. A method never throws, it rejects: with a
 * TypeError or RangeError that names the argument, with an `AuspexError` that has a `code`, or with `signal.reason`.
 * Its arguments are copied before it returns; changing them afterwards changes nothing.
 */
export interface Collection<M extends object = Metadata> extends AsyncDisposable {
  /** Numbers in a vector. */
  readonly dim: number;
  /** What distance means. */
  readonly metric: Metric;

  /**
   * Adds rows: all or none. Writes take effect in call order. At most 1 GiB a call (see `load`).
   *
   * @returns how many rows were added
   * @throws ERR_EXISTS when an id is known, or given twice
   * @throws ERR_DIMENSION, ERR_NOT_FINITE, ERR_ZERO_VECTOR, ERR_ARGUMENT naming the row
   * @example
   * await notes.insert([{ id: 'a', vector: [0.1, 0.2, 0.3], metadata: { title: 'First' } }]);
   * await notes.insert({ ids: ['b', 'c'], vectors: new Float32Array(6).fill(1) });
   */
  insert(rows: Rows<M>, options?: WriteOptions): Promise<number>;

  /**
   * Adds rows or replaces them whole (no metadata = `{}`): all or none. Of an id given twice the last wins.
   *
   * @returns how many rows were added and how many replaced
   * @throws ERR_DIMENSION, ERR_NOT_FINITE, ERR_ZERO_VECTOR, ERR_ARGUMENT naming the row
   */
  upsert(rows: Rows<M>, options?: WriteOptions): Promise<Upserted>;

  /**
   * Writes a stream of rows or batches, in batches that are each atomic. It reads no faster than it writes and holds
   * two batches at most.
   *
   * @returns how many rows were written
   * @throws what the stream throws; an error of this library, with `loaded`
   * @example
   * async function* rows() {
   *   for (const note of notes) yield { id: note.id, vector: await embed(note.text) };
   * }
   * await collection.load(rows(), { onProgress: ({ done }) => console.log(done) });
   */
  load(rows: RowStream<M>, options?: LoadOptions): Promise<number>;

  /**
   * Changes a row: its vector, keys of its metadata (the first level of them), or both. It reads and writes in one step:
   * of writes called meanwhile none is lost.
   *
   * @returns `false` when no row has the id, and then nothing is written
   * @throws ERR_DIMENSION, ERR_NOT_FINITE, ERR_ZERO_VECTOR, ERR_ARGUMENT
   * @example
   * await notes.update('a', { metadata: { title: 'Second', draft: undefined } });
   */
  update(id: string, patch: Patch<M>): Promise<boolean>;

  /**
   * Removes rows by id, or those that match a filter when the write's turn comes. An unknown id is no error.
   *
   * @returns how many rows went
   * @throws ERR_FILTER, also when the filter is empty, undefined or always true: `clear` removes every row
   * @example
   * await notes.delete(['a', 'b']);
   * await notes.delete({ filter: { draft: true } });
   */
  delete(what: string | readonly string[] | { filter: Filter<M> }): Promise<number>;

  /** Removes every row. Their bytes go when a quarter of all is dead, or by `compact`. */
  clear(): Promise<void>;

  /**
   * A row by its id: `undefined` where it is unknown.
   *
   * @example
   * const note = await notes.get('a');
   */
  get<const I extends Include = {}>(id: string, o?: ReadOptions<I>): Promise<Item<M, I> | undefined>;
  /**
   * Rows by id, all as of one moment: one entry an id, `undefined` where it is unknown.
   *
   * @example
   * const [a, b] = await notes.get(['a', 'b'], { include: { vector: true } });
   */
  get<const I extends Include = {}>(ids: readonly string[], o?: ReadOptions<I>): Promise<(Item<M, I> | undefined)[]>;

  /** Whether a row has this id. */
  has(id: string): Promise<boolean>;

  /** How many rows there are, or match. Throws ERR_FILTER. */
  count(filter?: Filter<M>): Promise<number>;

  /**
   * All rows, or all that match, in the order they arrived, as they stood at the first `next()`. Errors come from
   * `next()`.
   *
   * @example
   * for await (const { id, metadata } of notes.items()) console.log(id, metadata);
   */
  items<const I extends Include = {}>(options?: ItemsOptions<M, I>): AsyncIterable<Item<M, I>>;

  /**
   * The nearest rows, nearest first; equal distances are ordered by id.
   *
   * @param query `dim` numbers
   * @throws ERR_DIMENSION, ERR_NOT_FINITE, ERR_ZERO_VECTOR, ERR_FILTER, ERR_ARGUMENT
   * @example
   * const hits = await notes.search(await embed('how do I open it'), { k: 5, filter: { lang: 'en' } });
   * for (const { id, score, metadata } of hits) console.log(score.toFixed(3), id, metadata);
   */
  search<const I extends Include = {}>(query: Query, options?: SearchOptions<M, I>): Promise<Hit<M, I>[]>;

  /**
   * The nearest rows of many queries, searched in parallel.
   *
   * @param queries n vectors of `dim` numbers
   * @throws ERR_DIMENSION, ERR_NOT_FINITE, ERR_ZERO_VECTOR, ERR_ARGUMENT naming the query
   */
  searchBatch(queries: VectorBatch, options?: BatchOptions<M>): Promise<BatchHits>;

  /**
   * The rows that have words of a text in their fields of the type `'text'`, by BM25, best first; equal scores are ordered
   * by arrival. Any text will do: it has words and no syntax. Without words nothing is found.
   *
   * @param text at most 4 MiB
   * @throws ERR_ARGUMENT, also when no field has the type `'text'`; ERR_FILTER
   * @example
   * const hits = await notes.searchText('how do I open it', { k: 5, filter: { lang: 'en' } });
   */
  searchText<const I extends Include = {}>(text: string, options?: TextOptions<M, I>): Promise<Hit<M, I>[]>;

  /**
   * The rows that are near a vector or have words of a text: both lists as one, by reciprocal rank fusion. Each list has
   * `offset + k` rows, and 100 at least. Equal scores are ordered by arrival.
   *
   * @throws ERR_DIMENSION, ERR_NOT_FINITE, ERR_ZERO_VECTOR, ERR_FILTER; ERR_ARGUMENT as `searchText`
   * @example
   * const text = 'how do I open it';
   * const hits = await notes.searchHybrid({ vector: await embed(text), text }, { k: 5, weights: { text: 2 } });
   */
  searchHybrid<const I extends Include = {}>(query: HybridQuery, options?: HybridOptions<M, I>): Promise<Hit<M, I>[]>;

  /**
   * The rows nearest to a row, itself left out.
   *
   * @throws ERR_NOT_FOUND when the id is unknown
   */
  similar<const I extends Include = {}>(id: string, options?: SearchOptions<M, I>): Promise<Hit<M, I>[]>;

  /** Runs a search and says how it ran. */
  explain(query: Query, options?: SearchOptions<M>): Promise<Explain>;

  /**
   * How many of the true neighbours searches find on this collection's own rows: some of them, chosen by the seed, are
   * searched for, each itself left out, one after the other; the truth is an exact search for each.
   *
   * @returns a point for each of `efSearch`, in their order
   * @throws ERR_FILTER, ERR_ARGUMENT
   * @example
   * for (const { efSearch, recall, p50Us } of await notes.estimateRecall({ efSearch: [32, 64, 128] }))
   *   console.log(efSearch, recall, p50Us);
   */
  estimateRecall(options?: RecallOptions<M>): Promise<RecallPoint[]>;

  /**
   * Finds the smallest `efSearch` that reaches a recall on 200 of this collection's own rows, and keeps it with the
   * collection: searches use it that give none, where `open` gave none. A collection of so few rows that it has no graph
   * keeps nothing: every search is exact. Tune again when the rows have changed much.
   *
   * @throws ERR_ARGUMENT, with the best recall, when no `efSearch` up to 4,096 reaches it; ERR_READ_ONLY
   * @example
   * const { efSearch } = await notes.tune({ targetRecall: 0.98 });
   */
  tune(options: TuneOptions): Promise<RecallPoint>;

  /** Numbers about the collection. Reads the whole graph. */
  stats(): Promise<Stats>;

  /** Makes every write called so far survive a power loss. In memory it only waits for them. */
  flush(): Promise<void>;

  /**
   * Of a collection opened with `mode: 'readonly'`: shows what was written since.
   *
   * @returns whether anything became visible; otherwise, and where this handle writes, `false`
   * @throws ERR_CORRUPT
   */
  refresh(): Promise<boolean>;

  /**
   * Writes the rows that are left anew and drops the rest, beside searches and writes. It happens by itself when a quarter
   * is dead. Needs room for the rows once more while it lasts.
   *
   * @throws ERR_READ_ONLY; ERR_MEMORY, ERR_NO_SPACE (nothing changed); ERR_CORRUPT; ERR_CLOSED when `close` ends it
   */
  compact(options?: JobOptions): Promise<Compacted>;

  /**
   * Builds the index and the columns of `fields` anew, by other options, beside searches and writes, which go on with
   * those that are there; the new ones take their place at once, and are kept. Dead rows are dropped as by `compact`, and
   * the same room is needed. It reports each row twice: copied, and linked.
   *
   * @throws ERR_ARGUMENT, ERR_READ_ONLY; ERR_MEMORY, ERR_NO_SPACE (nothing changed); ERR_CORRUPT; ERR_CLOSED when `close`
   *   ends it
   * @example
   * await notes.rebuild({ m: 24, quantization: 'sq4' });
   */
  rebuild(options?: RebuildOptions<M>): Promise<void>;

  /**
   * Reads and checks everything: the log and the files against their checksums, ids, words, codes and graph against the
   * rows, and how many of a sample's nearest rows a search finds. What is wrong is in the report, not an error.
   *
   * @throws ERR_CLOSED when `close` ends it
   */
  verify(options?: JobOptions): Promise<VerifyReport>;

  /**
   * Copies the collection as it is now into a folder, which is made or must be empty, beside searches and writes. One in
   * memory becomes one on disk. The copy is durable when this resolves; otherwise nothing of it is left.
   *
   * @throws ERR_ARGUMENT when the folder has files in it; ERR_NO_SPACE, ERR_IO; ERR_CORRUPT; ERR_CLOSED when `close` ends it
   */
  snapshot(directory: string, options?: JobOptions): Promise<void>;

  /**
   * Waits for the writes called so far, makes them durable, and closes. Idempotent. Calls made after it reject with
   * ERR_CLOSED; calls made before it finish, but jobs, which it ends with ERR_CLOSED: `compact`, `rebuild`, `verify`,
   * `snapshot`, `estimateRecall` and `tune`.
   */
  close(): Promise<void>;
}

/** A collection in this process. */
export interface LocalCollection<M extends object = Metadata> extends Collection<M> {
  /** Rows that can be searched now. */
  readonly size: number;
  /** The collection's folder, as an absolute path; `undefined` in memory. */
  readonly path: string | undefined;
  /** The fields of the metadata that have columns, as they were declared: `{}` where there are none. */
  readonly fields: { readonly [field: string]: FieldType };
  /** Whether `close` was called. */
  readonly closed: boolean;

  /**
   * The same search on the calling thread: for scripts and hot loops. Throws what {@link Collection.search} rejects
   * with.
   */
  searchSync<const I extends Include = {}>(query: Query, options?: Omit<SearchOptions<M, I>, 'signal'>): Hit<M, I>[];
}

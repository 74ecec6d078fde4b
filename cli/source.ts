/**
 * A file as batches of rows:
 *
 *   bytes.ts -> arrays.ts  (.npy, .fvecs: blocks of vectors, with ids and metadata from files beside)  -+
 *           `-> records.ts (JSON lines, CSV, Parquet: one record a row)                                -+-> batches
 */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { addAbortSignal } from 'node:stream';
import type { Metadata } from 'auspex';
import { type Block, readFvecs, readNpy } from './arrays.ts';
import { Bytes, lines } from './bytes.ts';
import { InputError, UsageError } from './errors.ts';
import type { Format, Given } from './flags.ts';
import {
  type Entry,
  type Fields,
  idOf,
  metadataOf,
  type Row,
  readCsv,
  readJsonLines,
  readParquet,
  rowOf,
} from './records.ts';

/** Rows to write together, and where in the file each one stands. */
export interface Rows {
  ids: string[];
  vectors: Float32Array;
  metadata: Metadata[] | undefined;
  place: (row: number) => string;
}

/** How files are read. */
export interface Reading extends Fields {
  format: Format | undefined;
  /** Files with the ids and the metadata of a file that has only vectors. */
  ids: string | undefined;
  metadata: string | undefined;
}

/** Floats and rows of a batch: what `load` takes together. */
const FLOATS = 2 ** 21;
const ROWS = 10_000;
/** Characters of ids and metadata in a batch, about. */
const TEXT = 2 ** 24;

/** As messages name it. */
export const STDIN = 'the standard input';

const FORMATS: Record<string, Format> = {
  '.npy': 'npy',
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.csv': 'csv',
  '.parquet': 'parquet',
  '.fvecs': 'fvecs',
};

/** Reads the flags that say how files are read. */
export function readingOf(given: Given, types: Fields['types'] = {}): Reading {
  const text = (name: string) => given[name] as string | undefined;
  const keep = text('keep');
  return {
    format: text('format') as Format | undefined,
    id: text('id-field') ?? 'id',
    vector: text('vector-field') ?? 'vector',
    keep: keep === undefined ? undefined : new Set(keep.split(',')),
    number: given.number === true,
    types,
    ids: text('ids'),
    metadata: text('metadata'),
  };
}

/** A file that is read once; how far is for the progress. */
export class Source {
  /** Bytes read so far; of the rows of a Parquet file their part of its bytes. */
  read = 0;
  readonly path: string;
  /** As messages name it. */
  readonly file: string;
  /** Bytes, or undefined of a pipe. */
  readonly size: number | undefined;
  readonly #format: Format;
  readonly #how: Reading;
  #signal: AbortSignal | undefined;

  private constructor(path: string, file: string, size: number | undefined, how: Reading) {
    this.path = path;
    this.file = file;
    this.size = size;
    this.#how = how;
    const format = how.format ?? FORMATS[extname(path).toLowerCase()];
    if (!format) {
      const known = Object.keys(FORMATS).join(', ');
      throw new UsageError(`${file} needs --format; only ${known} are known by name`);
    }
    if (format === 'parquet' && size === undefined)
      throw new UsageError(`${file} is a pipe: Parquet is read from its end, so from a file`);
    const plain = format === 'npy' || format === 'fvecs';
    if (!plain && how.metadata !== undefined)
      throw new UsageError(`--metadata goes with .npy and .fvecs, not with ${format}`);
    if (!plain && how.ids !== undefined) throw new UsageError(`--ids goes with .npy and .fvecs, not with ${format}`);
    this.#format = format;
  }

  /** `-` is the standard input. A copy of it is named like it. */
  static async open(path: string, how: Reading, file = path === '-' ? STDIN : path): Promise<Source> {
    if (path === '-') return new Source(path, file, undefined, how);
    const of = await stat(path).catch((error) => {
      throw new InputError(file, '', error.code === 'ENOENT' ? 'there is no such file' : error.message, error);
    });
    if (of.isDirectory()) throw new InputError(file, '', 'is a folder');
    return new Source(path, file, of.isFile() ? of.size : undefined, how);
  }

  /**
   * All rows, in order.
   *
   * @param first number of the first one, where rows are numbered
   * @param signal ends the reading: of a pipe, whose next bytes may never come
   */
  async *batches(first = 0, signal?: AbortSignal): AsyncGenerator<Rows> {
    this.#signal = signal;
    const format = this.#format;
    if (format === 'npy' || format === 'fvecs') yield* this.#beside(first);
    else yield* this.#gather(first, this.#records());
  }

  async *#bytes(): AsyncGenerator<Buffer> {
    const stream = this.path === '-' ? process.stdin : createReadStream(this.path, { highWaterMark: 2 ** 20 });
    if (this.#signal) addAbortSignal(this.#signal, stream);
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      this.read += chunk.length;
      yield chunk;
    }
  }

  #records(): AsyncGenerator<Entry> {
    if (this.#format === 'jsonl') return readJsonLines(this.file, this.#bytes());
    if (this.#format === 'csv') return readCsv(this.file, this.#bytes(), this.#how);
    return readParquet(this.path, this.file, (done, total) => {
      this.read = ((this.size ?? 0) * done) / total;
    });
  }

  async *#gather(first: number, records: AsyncGenerator<Entry>): AsyncGenerator<Rows> {
    let [rows, text]: [Row[], number] = [[], 0];
    let [seen, dim] = [first, 0];
    const flush = (): Rows => {
      const batch = rows;
      [rows, text] = [[], 0];
      const vectors = new Float32Array(batch.length * dim);
      for (const [i, row] of batch.entries()) vectors.set(row.vector, i * dim);
      const ids = batch.map((row, i) => row.id ?? String(seen + i));
      seen += batch.length;
      return { ids, vectors, metadata: batch.map((row) => row.metadata), place: (i) => batch[i]?.place ?? '' };
    };
    for await (const record of records) {
      const row = rowOf(this.file, record, this.#how);
      const length = row.vector.length;
      if (dim === 0) dim = length;
      if (length !== dim || length === 0) {
        throw new InputError(
          this.file,
          row.place,
          `a vector of ${length} numbers; ${dim ? `the rows before it have ${dim}` : 'it needs at least one'}`,
        );
      }
      text += roughly(row.metadata);
      if (rows.push(row) >= ROWS || rows.length * dim >= FLOATS || text >= TEXT) yield flush();
    }
    if (rows.length > 0) yield flush();
  }

  /** Vectors of this file, ids and metadata of the files beside it. */
  async *#beside(first: number): AsyncGenerator<Rows> {
    const { ids: names, metadata: data } = this.#how;
    const bytes = new Bytes(this.#bytes());
    const blocks = this.#format === 'npy' ? readNpy(this.file, bytes, this.size) : readFvecs(this.file, bytes);
    const ids = names === undefined ? undefined : lines(names, createReadStream(names));
    const records = data === undefined ? undefined : readJsonLines(data, createReadStream(data));
    let seen = first;
    try {
      for await (const block of blocks) {
        for (let from = 0; from < block.rows; from += ROWS) {
          const count = Math.min(ROWS, block.rows - from);
          const own = await this.#described(records, data, count);
          const named = ids && (await next(ids, count, names as string, this.file)).map(({ text }) => text);
          const keys = named ?? Array.from({ length: count }, (_, i) => own?.[i]?.id ?? String(seen + i));
          seen += count;
          yield part(
            block,
            from,
            count,
            keys,
            own?.map(({ metadata }) => metadata),
          );
        }
      }
      for (const [file, rest] of [
        [names, ids],
        [data, records],
      ] as const) {
        const more = (await rest?.next())?.value;
        if (more)
          throw new InputError(
            file as string,
            'place' in more ? more.place : `line ${more.number}`,
            `${this.file} has only ${seen - first} rows`,
          );
      }
    } finally {
      await Promise.all([bytes.close(), ids?.return(undefined), records?.return(undefined)]);
    }
  }

  /** Ids and metadata of so many rows, from the file of metadata. */
  async #described(records: AsyncGenerator<Entry> | undefined, file: string | undefined, count: number) {
    if (!records || file === undefined) return undefined;
    const { id: field, number, ids } = this.#how;
    return (await next(records, count, file, this.file)).map((record) => {
      const named = !number && ids === undefined && Object.hasOwn(record.value, field);
      const id = named ? idOf(file, record, field) : undefined;
      return { id, metadata: metadataOf(file, record, this.#how, named ? [field] : []) };
    });
  }
}

/** So many of a generator's next values. */
async function next<T>(from: AsyncGenerator<T>, count: number, file: string, of: string): Promise<T[]> {
  const taken: T[] = [];
  while (taken.length < count) {
    const { value, done } = await from.next();
    if (done) throw new InputError(file, 'at its end', `has fewer lines than ${of} has rows`);
    taken.push(value);
  }
  return taken;
}

function part({ vectors, dim, place }: Block, from: number, rows: number, ids: string[], metadata?: Metadata[]): Rows {
  return { ids, vectors: vectors.subarray(from * dim, (from + rows) * dim), metadata, place: (i) => place(from + i) };
}

/** Characters of the texts in metadata, about. */
function roughly(value: unknown): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null) return 8;
  let sum = 8;
  for (const key in value) sum += key.length + roughly((value as Record<string, unknown>)[key]);
  return sum;
}

/** All of the first vectors of a source: queries. */
export async function readQueries(
  file: string,
  how: Reading,
  most: number,
): Promise<{ ids: string[]; vectors: Float32Array[] }> {
  const source = await Source.open(file, { ...how, number: true });
  const [ids, vectors]: [string[], Float32Array[]] = [[], []];
  for await (const rows of source.batches()) {
    const dim = rows.vectors.length / rows.ids.length;
    if (ids.length + rows.ids.length > most)
      throw new InputError(file, '', `has more than ${most} vectors, the limit of one search`);
    for (const [i, id] of rows.ids.entries()) {
      ids.push(id);
      vectors.push(rows.vectors.slice(i * dim, (i + 1) * dim));
    }
  }
  if (ids.length === 0) throw new InputError(file, '', 'has no vectors');
  return { ids, vectors };
}

/**
 * Files into a collection: all rows or none.
 *
 * - A collection that is not there yet is made in a folder beside, and gets its name when all rows are in it.
 * - Into one that is there, every row is checked first and then written; what an error or Ctrl-C leaves unfinished is
 *   taken back. For that the rows that are replaced are kept in a temporary file meanwhile.
 */
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, existsSync, rmSync } from 'node:fs';
import { type FileHandle, mkdir, mkdtemp, open as openFile, readdir, rename, rm, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { isAuspexError, type LocalCollection, type OpenOptions, open } from 'auspex';
import { lines } from './bytes.ts';
import { InputError, Interrupted, UsageError } from './errors.ts';
import { type Given, readFields } from './flags.ts';
import { Progress } from './screen.ts';
import { type Reading, type Rows, readingOf, Source, STDIN } from './source.ts';

/** What an import did. */
export interface Imported {
  path: string;
  rows: number;
  inserted: number;
  updated: number;
  size: number;
  dim: number;
  metric: string;
  seconds: number;
  rowsPerSecond: number;
}

/** Rows that are checked together: so few that no graph is made for them. */
const CHECK = 1000;

/** The options of `open` that the command line gives. */
export function openOptions(given: Given): OpenOptions {
  const { dim, metric, seed, model } = given as Record<string, never>;
  return defined({ dim, metric, seed, model, ...indexOptions(given) });
}

/** What `rebuild` can change of them. */
export function indexOptions(given: Given): Pick<OpenOptions, 'm' | 'efConstruction' | 'quantization' | 'fields'> {
  const { m, quantization } = given as Record<string, never>;
  const fields = given['no-fields'] ? {} : readFields(given.field);
  return defined({ m, quantization, efConstruction: given['ef-construction'], fields });
}

/** The entries that are there. */
const defined = (options: object) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/** Whether a collection is in this folder. One that cannot be used is an error. */
export async function isCollection(path: string): Promise<boolean> {
  try {
    await (await open(path, { mode: 'readonly', ifMissing: 'error' })).close();
    return true;
  } catch (error) {
    if (isAuspexError(error) && error.code === 'ERR_NOT_FOUND') return false;
    throw error;
  }
}

/** Writes files into the collection at a path, which is made when there is none. */
export async function importFiles(path: string, files: string[], given: Given, signal: AbortSignal): Promise<Imported> {
  if (files.filter((file) => file === '-').length > 1)
    throw new UsageError('- is given twice; there is one standard input');
  const [begun, there] = [performance.now(), await isCollection(path)];
  const written = await (there ? addTo : make)(resolve(path), files, given, signal).catch((thrown) => {
    // What a stream that the signal ended says is not why.
    const error = signal.aborted && thrown?.name === 'AbortError' ? signal.reason : thrown;
    if (error instanceof InputError || error instanceof Interrupted) error.message += '\nNothing was imported.';
    throw error;
  });
  const seconds = (performance.now() - begun) / 1000;
  return { path: resolve(path), ...written, seconds, rowsPerSecond: written.rows / seconds };
}

type Written = Omit<Imported, 'path' | 'seconds' | 'rowsPerSecond'>;

/** Makes a collection beside its place, and puts it there. */
async function make(path: string, files: string[], given: Given, signal: AbortSignal): Promise<Written> {
  if (existsSync(path) && (await readdir(path)).length > 0)
    throw new UsageError(`${path} has files in it and is no collection`);
  const options = openOptions(given);
  const reading = readingOf(given, options.fields);
  // Before anything is made: a name that is not there, or of no known format.
  for (const file of files) await Source.open(file, reading);
  await mkdir(dirname(path), { recursive: true });
  const folder = `${path}.importing-${randomBytes(4).toString('hex')}`;
  await mkdir(folder);
  const remove = () => rmSync(folder, { recursive: true, force: true });
  // Also when a second Ctrl-C ends the process at once.
  process.on('exit', remove);
  let collection: LocalCollection | undefined;
  try {
    const result = { rows: 0, inserted: 0, updated: 0 };
    await read(
      inputs(files),
      reading,
      new Progress('Importing', { quiet: Boolean(given.quiet) }),
      signal,
      async (rows, file) => {
        collection ??= await open(folder, { dim: dimOf(rows), ...options, durability: 'relaxed' });
        add(result, await write(collection, rows, file, given, signal));
      },
    );
    if (!collection) throw new InputError(files.join(', '), '', 'no rows');
    const { dim, metric, size } = collection as LocalCollection;
    await (collection as LocalCollection).close();
    signal.throwIfAborted();
    if (existsSync(path)) await rmdir(path);
    await rename(folder, path);
    await syncFolder(dirname(path));
    return { ...result, size, dim, metric };
  } finally {
    await collection?.close().catch(() => {});
    await rm(folder, { recursive: true, force: true });
    process.off('exit', remove);
  }
}

/** Writes into a collection that is there. */
async function addTo(path: string, files: string[], given: Given, signal: AbortSignal): Promise<Written> {
  const collection = await open(path, { ...openOptions(given), ifMissing: 'error', durability: 'relaxed', signal });
  const scratch = await mkdtemp(join(tmpdir(), 'auspex-import-'));
  const remove = () => rmSync(scratch, { recursive: true, force: true });
  process.on('exit', remove);
  const quiet = Boolean(given.quiet);
  try {
    const reading = readingOf(given, { ...collection.fields, ...readFields(given.field) });
    const kept = await keepInput(files, scratch, reading, signal);
    const found = await read(kept, reading, new Progress('Checking', { quiet }), signal, (rows, file) =>
      check(collection, rows, file),
    );
    if (found === 0) throw new InputError(files.join(', '), '', 'no rows');
    const undo = await Undo.of(collection, scratch);
    const result = { rows: 0, inserted: 0, updated: 0 };
    try {
      await read(kept, reading, new Progress('Importing', { quiet }), signal, async (rows, file) => {
        await undo.keep(rows.ids);
        add(result, await write(collection, rows, file, given, signal));
      });
      signal.throwIfAborted();
    } catch (error) {
      await undo.run(new Progress('Taking back', { quiet })).catch((cause) => {
        throw new Error(`what was written could not all be taken back: ${(cause as Error).message}`, { cause });
      });
      throw error;
    } finally {
      await undo.close();
    }
    return { ...result, size: collection.size, dim: collection.dim, metric: collection.metric };
  } finally {
    await collection.close();
    remove();
    process.off('exit', remove);
  }
}

/** A file, and how messages name it. */
interface Input {
  path: string;
  name: string;
}

const inputs = (files: string[]): Input[] => files.map((path) => ({ path, name: path === '-' ? STDIN : path }));

/** Files that can be read twice: the standard input is copied into one. */
async function keepInput(files: string[], folder: string, reading: Reading, signal: AbortSignal): Promise<Input[]> {
  if (files.includes('-')) {
    // Whether it can be read at all is seen before it is.
    await Source.open('-', reading);
    await pipeline(process.stdin, createWriteStream(join(folder, 'input')), { signal });
  }
  return inputs(files).map((input) => (input.path === '-' ? { ...input, path: join(folder, 'input') } : input));
}

/** Reads files to their ends, reporting how far; `take` is awaited while the next batch is read, and no further. */
async function read(
  files: Input[],
  reading: Reading,
  progress: Progress,
  signal: AbortSignal,
  take: (rows: Rows, file: string) => Promise<void>,
): Promise<number> {
  const sources = await Promise.all(files.map(({ path, name }) => Source.open(path, reading, name)));
  const total = sources.reduce<number | undefined>(
    (sum, { size }) => (size === undefined || sum === undefined ? undefined : sum + size),
    0,
  );
  let [seen, done, dim] = [0, 0, 0];
  // Of the bytes those count whose rows are taken: the files are read some batches ahead.
  let taken = 0;
  let taking: Promise<void> = Promise.resolve();
  let failed = false;
  const show = () => progress.update({ done, part: total === undefined ? undefined : taken / Math.max(total, 1) });
  // A batch takes a while: the bar moves between two.
  const timer = setInterval(show, 200);
  try {
    for (const source of sources) {
      for await (const rows of source.batches(seen, signal)) {
        dim ||= dimOf(rows);
        if (dimOf(rows) !== dim)
          throw new InputError(
            source.file,
            rows.place(0),
            `a vector of ${dimOf(rows)} numbers; the rows before it have ${dim}`,
          );
        seen += rows.ids.length;
        const bytes = sources.reduce((sum, each) => sum + each.read, 0);
        await taking;
        signal.throwIfAborted();
        taking = take(rows, source.file).then(
          () => {
            done += rows.ids.length;
            taken = bytes;
            show();
          },
          (error) => {
            failed = true;
            throw error;
          },
        );
        // Awaited above or below, and not forgotten when reading fails first.
        taking.catch(() => {});
      }
    }
    await taking;
    signal.throwIfAborted();
    progress.end(done);
    return done;
  } catch (error) {
    if (!failed) await taking.catch(() => {});
    progress.clear();
    throw signal.aborted ? signal.reason : error;
  } finally {
    clearInterval(timer);
  }
}

async function write(collection: LocalCollection, rows: Rows, file: string, given: Given, signal: AbortSignal) {
  try {
    if (given.mode !== 'insert') return await collection.upsert(rows, { signal });
    return { inserted: await collection.insert(rows, { signal }), updated: 0 };
  } catch (error) {
    throw signal.aborted ? error : blame(rows, file, error);
  }
}

function add(
  sum: { rows: number; inserted: number; updated: number },
  { inserted, updated }: { inserted: number; updated: number },
) {
  sum.rows += inserted + updated;
  sum.inserted += inserted;
  sum.updated += updated;
}

/** Whether a collection would take the rows: asked of one like it, in memory, that is thrown away. */
async function check({ dim, metric }: LocalCollection, rows: Rows, file: string): Promise<void> {
  if (dimOf(rows) !== dim)
    throw new InputError(file, rows.place(0), `a vector of ${dimOf(rows)} numbers; the collection has ${dim}`);
  for (let from = 0; from < rows.ids.length; from += CHECK) {
    const some = slice(rows, from, from + CHECK);
    const trial = await open({ dim, metric });
    try {
      await trial.upsert(some);
    } catch (error) {
      throw blame(some, file, error);
    } finally {
      await trial.close();
    }
  }
}

/** An error of the library's about a row as one about the row's place in the file. */
function blame(rows: Rows, file: string, error: unknown): unknown {
  const [, what, row] = /^(vectors|ids|metadata)\[(\d+)\]/.exec(isAuspexError(error) ? error.message : '') ?? [];
  if (what === undefined || !isAuspexError(error)) return error;
  const why = error.message
    .replace(/^\w+\[\d+\]/, `its ${{ vectors: 'vector', ids: 'id' }[what] ?? what}`)
    .replace(/\bids\[(\d+)\]/g, (_, other) => `that of ${rows.place(Number(other))}`);
  return new InputError(file, rows.place(Number(row)), why, error);
}

const dimOf = ({ vectors, ids }: Rows) => vectors.length / ids.length;

function slice(rows: Rows, from: number, to: number): Rows {
  const dim = dimOf(rows);
  return {
    ids: rows.ids.slice(from, to),
    vectors: rows.vectors.subarray(from * dim, to * dim),
    metadata: rows.metadata?.slice(from, to),
    place: (i) => rows.place(from + i),
  };
}

/** What brings a collection back to what it was: the rows that batches replaced, and the ids that they brought. */
class Undo {
  readonly #collection: LocalCollection;
  readonly #file: string;
  readonly #handle: FileHandle | undefined;
  /** Where in the file each batch begins. */
  readonly #batches: number[] = [];
  #end = 0;

  private constructor(collection: LocalCollection, file: string, handle: FileHandle | undefined) {
    this.#collection = collection;
    this.#file = file;
    this.#handle = handle;
  }

  /** Of a collection without rows nothing need be kept. */
  static async of(collection: LocalCollection, folder: string): Promise<Undo> {
    const file = join(folder, 'replaced');
    return new Undo(collection, file, collection.size === 0 ? undefined : await openFile(file, 'w'));
  }

  /** Keeps what rows with these ids are now, before they are written. */
  async keep(ids: string[]): Promise<void> {
    this.#batches.push(this.#end);
    if (!this.#handle) return;
    const rows = await this.#collection.get(ids, { include: { vector: true } });
    const kept = rows.map((row, i) => (row ? { ...row, vector: Array.from(row.vector) } : { id: ids[i] }));
    const text = Buffer.from(kept.map((row) => `${JSON.stringify(row)}\n`).join(''));
    await this.#handle.writeFile(text);
    this.#end += text.length;
  }

  /** Puts back what was replaced and removes what came, the last batch first. */
  async run(progress: Progress): Promise<void> {
    if (this.#batches.length === 0) return;
    if (!this.#handle) return this.#collection.clear();
    let end = this.#end;
    for (const [i, start] of [...this.#batches.entries()].reverse()) {
      const [gone, back]: [string[], { id: string; vector: number[]; metadata: object }[]] = [[], []];
      if (start < end) {
        for await (const { text } of lines(this.#file, createReadStream(this.#file, { start, end: end - 1 }))) {
          const row = JSON.parse(text);
          if ('vector' in row) back.push(row);
          else gone.push(row.id);
        }
      }
      if (back.length > 0) await this.#collection.upsert(back as never);
      if (gone.length > 0) await this.#collection.delete(gone);
      end = start;
      progress.update({ done: this.#batches.length - i, part: 1 - i / this.#batches.length });
    }
    progress.clear();
  }

  async close(): Promise<void> {
    await this.#handle?.close();
  }
}

/** Makes names in a folder durable, where the system can. */
export async function syncFolder(path: string): Promise<void> {
  if (process.platform === 'win32') return;
  const folder = await openFile(path, 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The name of a file that is written beside another before it takes its place. */
export const beside = (file: string): string => join(dirname(file), `.${basename(file)}.${process.pid}.partial`);

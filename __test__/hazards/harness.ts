/** What the hazard tests share: children, buffers that go away, and the methods that take vectors. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { ExecutionContext } from 'ava';
import { AuspexError, exactSearch, isAuspexError, type LocalCollection, open, type Query } from '../../dist/index.mjs';
import { ids, vectors } from '../harness.ts';

/** How a child process ended. */
export interface Ended {
  code: number | null;
  signal: string | null;
  stdout: string;
  stderr: string;
}

/** Runs CommonJS text in a Node of its own, with the library as `auspex` and the addon as `addon`. */
export function child(text: string, { env = {}, flags = [] }: { env?: NodeJS.ProcessEnv; flags?: string[] } = {}) {
  const dist = fileURLToPath(new URL('../../dist', import.meta.url));
  const prelude = `const auspex = require(${JSON.stringify(dist)});
    const { across, native } = require(${JSON.stringify(`${dist}/native.js`)});
    const main = async () => {${text}};
    main().catch((error) => { console.error(error); process.exit(99); });`;
  return run(process.execPath, ['--expose-gc', ...flags, '-e', prelude], env);
}

/** Runs a program to its end. */
export function run(program: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const running = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    const ended: Ended = { code: null, signal: null, stdout: '', stderr: '' };
    running.stdout.on('data', (text) => {
      ended.stdout += text;
    });
    running.stderr.on('data', (text) => {
      ended.stderr += text;
    });
    running.on('error', reject);
    running.on('close', (code, signal) => resolve({ ...ended, code, signal }));
  });
}

/** Collects garbage. */
export function gc(): void {
  const collect: unknown = Reflect.get(globalThis, 'gc');
  if (typeof collect !== 'function') throw new Error('run with --expose-gc');
  collect();
}

/** Moves an array's buffer away; the array is left with nothing. */
export function detach(array: ArrayBufferView): Float32Array {
  const buffer = array.buffer as ArrayBuffer;
  return new Float32Array(structuredClone(buffer, { transfer: [buffer] }));
}

interface Resizable extends ArrayBuffer {
  resize(bytes: number): void;
}

/** A buffer that can shrink. */
export function resizable(bytes: number): Resizable {
  const make = ArrayBuffer as unknown as new (bytes: number, options: { maxByteLength: number }) => Resizable;
  return new make(bytes, { maxByteLength: bytes });
}

/** Numbers in a vector of the tests on buffers. */
export const dim = 24;

type Collection = LocalCollection<{ i: number }>;

/** A method that takes vectors. */
export interface Taker {
  name: string;
  /** What an error about the vectors names. */
  argument: string;
  /** How many it takes. */
  rows: number;
  /** Starts the call; what it resolves with depends on the vectors alone. `after` is when they have been copied. */
  call(stage: Stage, floats: Float32Array, after: () => void): Promise<unknown>;
}

/** What the methods are called on. */
export interface Stage {
  /** Rows to search. */
  read: Collection;
  /** Rows to write. */
  write: Collection;
  /** Ids written so far. */
  count: number;
}

/** A stage with rows enough for a graph. */
export async function stage(): Promise<Stage> {
  const options = { dim, metric: 'l2', efSearch: 16, threads: 1 } as const;
  const [read, write] = [await open<{ i: number }>(options), await open<{ i: number }>(options)];
  const n = 1500;
  const metadata = ids(n).map((_, i) => ({ i }));
  await read.insert({ ids: ids(n), vectors: vectors(n, dim, 3), metadata });
  return { read, write, count: 0 };
}

type Write = (c: Collection, names: string[], floats: Float32Array, after: () => void) => Promise<unknown>;

/** What a write of so many rows stored. */
const writer =
  (rows: number, write: Write) =>
  async (on: Stage, floats: Float32Array, after: () => void): Promise<unknown> => {
    const names = ids(rows, on.count);
    on.count += names.length;
    const writing = write(on.write, names, floats, after);
    await writing;
    const stored = await on.write.get(names, { include: { vector: true } });
    await on.write.delete(names);
    return stored.map((row) => row && Array.from(row.vector));
  };

const metadata = { i: 0 };
const each = (names: string[]) => names.map(() => metadata);
const tensor = (floats: Float32Array, rows = 3) => ({ data: floats, dims: [rows, dim] });

function* items(batch: { ids: string[]; vectors: Float32Array; metadata: { i: number }[] }, after: () => void) {
  yield batch;
  after();
}

function* one(item: { id: string; vector: Float32Array; metadata: { i: number } }, after: () => void) {
  yield item;
  after();
}

/** Calls `then` when `call` has been made. */
function started<T>(call: Promise<T>, then: () => void): Promise<T> {
  then();
  return call;
}

const search = (how: (c: Collection, query: Float32Array) => Promise<unknown>): Taker['call'] => {
  return (on, floats, after) => started(how(on.read, floats), after);
};

async function explained(c: Collection, query: Query): Promise<unknown> {
  const { plan, visited, distances, rescored } = await c.explain(query, { k: 3 });
  return { plan, visited, distances, rescored };
}

async function batch(c: Collection, queries: Parameters<Collection['searchBatch']>[0]): Promise<unknown> {
  const hits = await c.searchBatch(queries, { k: 3 });
  return { ids: hits.ids(), counts: hits.counts, distances: hits.distances };
}

const truth = vectors(200, dim, 3);

/** Every method that takes vectors, in every form that it takes them. */
export const takers: Taker[] = [
  {
    name: 'insert of a row',
    argument: 'rows[0].vector',
    rows: 1,
    call: writer(1, (c, [id = ''], vector, after) => started(c.insert({ id, vector, metadata }), after)),
  },
  {
    name: 'insert of rows',
    argument: 'rows[0].vector',
    rows: 1,
    call: writer(1, (c, [id = ''], vector, after) => started(c.insert([{ id, vector, metadata }]), after)),
  },
  {
    name: 'insert of columns',
    argument: 'vectors',
    rows: 4,
    call: writer(4, (c, names, vectors, after) =>
      started(c.insert({ ids: names, vectors, metadata: each(names) }), after),
    ),
  },
  {
    name: 'insert of a tensor',
    argument: 'vectors',
    rows: 3,
    call: writer(3, (c, names, floats, after) =>
      started(c.insert({ ids: names, vectors: tensor(floats), metadata: each(names) }), after),
    ),
  },
  {
    name: 'upsert of rows',
    argument: 'rows[0].vector',
    rows: 1,
    call: writer(1, (c, [id = ''], vector, after) => started(c.upsert([{ id, vector, metadata }]), after)),
  },
  {
    name: 'upsert of columns',
    argument: 'vectors',
    rows: 4,
    call: writer(4, (c, names, vectors, after) =>
      started(c.upsert({ ids: names, vectors, metadata: each(names) }), after),
    ),
  },
  {
    name: 'load of a row',
    argument: 'rows[0].vector',
    rows: 1,
    call: writer(1, (c, [id = ''], vector, after) => c.load(one({ id, vector, metadata }, after))),
  },
  {
    name: 'load of columns',
    argument: 'vectors',
    rows: 4,
    call: writer(4, (c, names, vectors, after) => c.load(items({ ids: names, vectors, metadata: each(names) }, after))),
  },
  { name: 'search', argument: 'query', rows: 1, call: search((c, query) => c.search(query, { k: 3 })) },
  {
    name: 'search of a tensor',
    argument: 'query',
    rows: 1,
    call: search((c, query) => c.search({ data: query, dims: [dim] }, { k: 3 })),
  },
  { name: 'searchSync', argument: 'query', rows: 1, call: search(async (c, query) => c.searchSync(query, { k: 3 })) },
  { name: 'searchBatch', argument: 'queries', rows: 4, call: search(batch) },
  {
    name: 'searchBatch of vectors',
    argument: 'queries[0]',
    rows: 1,
    call: search((c, query) => batch(c, [query])),
  },
  {
    name: 'searchBatch of a tensor',
    argument: 'queries',
    rows: 3,
    call: search((c, floats) => batch(c, tensor(floats))),
  },
  { name: 'explain', argument: 'query', rows: 1, call: search(explained) },
  {
    name: 'exactSearch in these vectors',
    argument: 'vectors',
    rows: 4,
    call: search((_, floats) => exactSearch(floats, truth.subarray(0, dim), { k: 3, dim, metric: 'l2' })),
  },
  {
    name: 'exactSearch for these queries',
    argument: 'queries',
    rows: 2,
    call: search((_, floats) => exactSearch(truth, floats, { k: 3, dim, metric: 'l2' })),
  },
];

/** The codes of collections on disk: their tests are those of storage. */
export const codesOfFiles = [
  'ERR_LOCKED',
  'ERR_READ_ONLY',
  'ERR_CORRUPT',
  'ERR_VERSION',
  'ERR_MODEL_MISMATCH',
  'ERR_IO',
  'ERR_NO_SPACE',
];

/** Every other code that the types list. */
export const codes = [
  'ERR_ARGUMENT',
  'ERR_DIMENSION',
  'ERR_NOT_FINITE',
  'ERR_ZERO_VECTOR',
  'ERR_FILTER',
  'ERR_EXISTS',
  'ERR_NOT_FOUND',
  'ERR_CLOSED',
  'ERR_MEMORY',
  'ERR_NATIVE_LOAD',
  'ERR_INTERNAL',
];

/** Why this is not an error that the types allow; undefined when it is one. */
export function unlike(error: unknown): string | undefined {
  if (!isAuspexError(error)) return `not one of the library's: ${inspect(error)}`;
  const known = error instanceof TypeError || error instanceof RangeError || error instanceof AuspexError;
  if (!known) return `of the wrong class: ${inspect(error)}`;
  return codes.includes(error.code) ? undefined : `with an unknown code: ${inspect(error)}`;
}

/** All rows are whole, finite and reachable, and as many as are counted. */
export async function sound<M extends object>(t: ExecutionContext, c: LocalCollection<M>, about = ''): Promise<void> {
  let rows = 0;
  for await (const { vector } of c.items({ include: { vector: true } })) {
    rows++;
    if (vector.length !== c.dim || !vector.every(Number.isFinite)) t.fail(`${about}: stored ${inspect(vector)}`);
  }
  const { rows: live, unreachable } = await c.stats();
  t.deepEqual({ rows, live, unreachable }, { rows: c.size, live: c.size, unreachable: 0 }, about);
}

/** Resident memory in MiB, garbage collected, without what V8 keeps free for itself. */
export async function resident(): Promise<number> {
  for (let i = 0; i < 4; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const { rss, heapTotal, heapUsed } = process.memoryUsage();
  return (rss - heapTotal + heapUsed) / 2 ** 20;
}

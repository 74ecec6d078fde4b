/** What tests share: seeded vectors, a naive oracle, and assertions about errors. */
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import type { ExecutionContext } from 'ava';
import { isAuspexError, type LocalCollection, type Metric, open } from '../dist/index.mjs';

/** The project's folder. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/** A file of the project, as text. */
export const read = (path: string): string => readFileSync(`${root}/${path}`, 'utf8');

type Addon = typeof import('../crates/node/binding.d.ts') & {
  __panic(): void;
  __panicAsync(): Promise<void>;
  __panicLate(): Promise<void>;
};

/** The addon below `lib`, with the exports that only tests call. */
export function addon(): Addon {
  return createRequire(import.meta.url)('../dist/native.js').native();
}

/** Numbers in [0, 1) that are the same in every run (mulberry32). */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `n` vectors of numbers in [-1, 1), row by row. */
export function vectors(n: number, dim: number, seed = 1): Float32Array {
  const next = random(seed);
  return Float32Array.from({ length: n * dim }, () => next() * 2 - 1);
}

/** Row `i` of row-major floats. */
export const row = (floats: Float32Array, dim: number, i: number): Float32Array => floats.slice(i * dim, (i + 1) * dim);

/** The ids `r0`, `r1`, ... */
export const ids = (n: number, from = 0): string[] => Array.from({ length: n }, (_, i) => `r${from + i}`);

/** An open collection of `n` rows `r0`, `r1`, ... with metadata `{ i }`. */
export async function filled(n: number, dim: number, options: { metric?: Metric; seed?: number } = {}) {
  const collection = await open<{ i: number }>({ dim, ...(options.metric && { metric: options.metric }) });
  const floats = vectors(n, dim, options.seed);
  const metadata = Array.from({ length: n }, (_, i) => ({ i }));
  if (n > 0) await collection.insert({ ids: ids(n), vectors: floats, metadata });
  return { collection, floats };
}

/** Distances as the documentation defines them, in doubles. */
export function distance(metric: Metric, a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [dot, aa, bb, square] = [0, 0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x = 0, y = 0] = [a[i], b[i]];
    dot += x * y;
    aa += x * x;
    bb += y * y;
    square += (x - y) ** 2;
  }
  if (metric === 'l2') return Math.sqrt(square);
  return metric === 'dot' ? -dot : 1 - dot / Math.sqrt(aa * bb);
}

/** Positions of the `k` nearest rows, by brute force; equal distances by position. */
export function nearest(metric: Metric, floats: Float32Array, dim: number, query: ArrayLike<number>, k: number) {
  const all = Array.from({ length: floats.length / dim }, (_, i) => ({
    i,
    distance: distance(metric, row(floats, dim, i), query),
  }));
  return all.sort((a, b) => a.distance - b.distance || a.i - b.i).slice(0, k);
}

/** The class, the code and the words that an error must have. */
export interface Expected {
  is: abstract new (...args: never) => Error;
  code: string;
  says?: (string | RegExp)[];
}

/** An argument of the wrong type. */
export const wrongType = (...says: (string | RegExp)[]): Expected => ({ is: TypeError, code: 'ERR_ARGUMENT', says });

/** An argument out of its range. */
export const outOfRange = (code: string, ...says: (string | RegExp)[]): Expected => ({ is: RangeError, code, says });

/** The call rejects, rather than throws, with this error. */
export async function rejects(t: ExecutionContext, call: () => Promise<unknown>, expected: Expected, about = '') {
  let promise: Promise<unknown>;
  try {
    promise = call();
  } catch (error) {
    t.fail(`${about} threw instead of rejecting: ${inspect(error)}`);
    return;
  }
  const outcome = await promise.then(
    (value) => ({ value }),
    (error: unknown) => ({ error }),
  );
  if ('value' in outcome) t.fail(`${about} resolved with ${inspect(outcome.value)}`);
  else same(t, outcome.error, expected, about);
}

/** The call throws this error. */
export function throws(t: ExecutionContext, call: () => unknown, expected: Expected, about = ''): void {
  let result: unknown;
  try {
    result = call();
  } catch (error) {
    same(t, error, expected, about);
    return;
  }
  t.fail(`${about} returned ${inspect(result)}`);
}

function same(t: ExecutionContext, error: unknown, { is, code, says = [] }: Expected, about: string): void {
  t.true(error instanceof is, `${about}: ${inspect(error)}`);
  t.true(isAuspexError(error), `${about}: ${inspect(error)}`);
  const { code: got, message } = error as Error & { code?: string };
  t.is(got, code, `${about}: ${message}`);
  for (const word of says) {
    t.true(typeof word === 'string' ? message.includes(word) : word.test(message), `${about}: ${word} in: ${message}`);
  }
}

/** What every use of a closed collection is. */
export type AnyCollection = LocalCollection<{ i: number }>;

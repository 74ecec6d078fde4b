import { types } from 'node:util';
import { AuspexError, rangeError, show, typeError } from './errors';
import type { TensorLike } from './types';

/** Rows as the addon takes them. */
export interface Columns {
  ids: string[];
  /** One JSON text a row; undefined when no row has any. */
  metadata: string[] | undefined;
  /** `dim` floats a row. */
  vectors: Float32Array;
}

/** Names an argument by its position, for a message. */
type Name = (i: number) => string;

const VECTOR = 'a Float32Array, a Float64Array or an array of numbers';

/**
 * One row, rows or columns, as columns. Every property is read once, and everything that can run code of the user's
 * (getters, proxies, toJSON) runs here, before the addon asks where the floats are.
 *
 * @param from number of the first row, in a stream: errors name rows by their place in it
 */
export function readRows(input: unknown, dim: number, from?: number): Columns {
  const batch = !Array.isArray(input) && 'ids' in Object(input);
  const first = from ?? 0;
  const { ids: keys, vectors, metadata: data } = batch ? (input as Columns) : transpose(input, first);
  const columns = batch && from === undefined;
  const name = (many: string, one: string) => (i: number) => (columns ? `${many}[${i}]` : `rows[${first + i}].${one}`);
  const ids = readIds(keys, name('ids', 'id'));
  if (data !== undefined && !Array.isArray(data)) throw typeError('metadata', 'an array', data);
  if (data && data.length !== ids.length) throw rangeError(`metadata has ${data.length} entries for ${ids.length} ids`);
  const metadata = data && ids.map((_, i) => json(data[i], name('metadata', 'metadata'), i));
  const floats = readVectors(vectors, dim, 'vectors', name('vectors', 'vector'));
  const expected = `${ids.length} ids x ${dim} = ${ids.length * dim} floats`;
  if (lengthOf(floats) !== ids.length * dim) throw dimension('vectors', floats, expected);
  return { ids, metadata, vectors: floats };
}

/** One row or rows as columns, not checked yet. */
function transpose(input: unknown, from: number) {
  const [ids, vectors, metadata]: [unknown[], unknown[], unknown[]] = [[], [], []];
  for (const [i, row] of (Array.isArray(input) ? input : [input]).entries()) {
    if (typeof row !== 'object' || row === null) throw typeError(`rows[${from + i}]`, 'a row { id, vector }', row);
    ids.push(row.id);
    vectors.push(row.vector);
    metadata.push(row.metadata);
  }
  return { ids, vectors, metadata: metadata.some((each) => each !== undefined) ? metadata : undefined };
}

/** Row-major floats: a Float32Array as it is, anything else copied. */
export function readVectors(given: unknown, dim: number, name: string, one: Name = (i) => `${name}[${i}]`) {
  if (Array.isArray(given)) return gather(given, dim, one);
  const floats = floatsOf(given, dim, name, 'a Float32Array, an array of vectors or { data, dims }');
  if (lengthOf(floats) % dim > 0 || isDetached(floats)) throw dimension(name, floats, `a multiple of dim ${dim}`);
  return floats;
}

/** The floats of one query: a Float32Array as it is, anything else copied. */
export function readQuery(given: unknown, dim: number, name = 'query'): Float32Array {
  if (Array.isArray(given) || types.isFloat64Array(given)) return gather([given], dim, () => name);
  const floats = floatsOf(given, dim, name, `${VECTOR}, or { data, dims }`);
  if (lengthOf(floats) !== dim) throw dimension(name, floats, dim);
  return floats;
}

/** A copy of an array of ids. */
export function readIds(given: unknown, name: Name = (i) => `ids[${i}]`): string[] {
  if (!Array.isArray(given)) throw typeError('ids', 'an array of strings', given);
  return Array.from(given, (id, i) => readId(id, name, i));
}

/** An id: well-formed text. Its length is for the engine to judge. */
export function readId(id: unknown, name: Name = () => 'id', i = 0): string {
  if (typeof id !== 'string') throw typeError(name(i), 'a string', id);
  if (!id.isWellFormed()) throw rangeError(`${name(i)} has a lone surrogate: ${show(id)}`);
  return id;
}

/** So many rows have so many floats: at least 1, at most 10,000. */
export const rowsIn = (floats: number, dim: number) => Math.max(1, Math.min(10_000, Math.floor(floats / dim)));

/** What `make` makes, or `ERR_MEMORY` when it is longer than can be. */
export function orTooMuch<T>(make: () => T): T {
  try {
    return make();
  } catch (cause) {
    throw new AuspexError('ERR_MEMORY', 'too much for one call: write in smaller batches, or with load()', { cause });
  }
}

/** The floats of a Float32Array or of a tensor whose shape is theirs. */
function floatsOf(given: unknown, dim: number, name: string, expected: string): Float32Array {
  if (types.isFloat32Array(given)) return given;
  const { data: floats, dims } = Object(given) as Partial<TensorLike>;
  if (floats === undefined && dims === undefined) throw typeError(name, expected, given);
  if (!types.isFloat32Array(floats)) throw typeError(`${name}.data`, 'a Float32Array', floats);
  const [width, rows = 1]: unknown[] = Array.isArray(dims) && dims.length <= 2 ? [...dims].reverse() : [];
  if (width === dim && typeof rows === 'number' && rows * dim === lengthOf(floats)) return floats;
  throw dimension(`${name}.data with dims ${show(dims)}`, floats, `dims [${dim}] or [n, ${dim}]`);
}

/** Copies vectors into one array. */
export function gather(vectors: readonly unknown[], dim: number, name: Name): Float32Array {
  const floats = orTooMuch(() => new Float32Array(vectors.length * dim));
  for (let i = 0, at = 0; at < floats.length; i++, at += dim) {
    const vector: unknown = vectors[i];
    const typed = types.isFloat32Array(vector) || types.isFloat64Array(vector);
    if (!typed && !Array.isArray(vector)) throw typeError(name(i), VECTOR, vector);
    if (lengthOf(vector) !== dim) throw dimension(name(i), vector, dim);
    if (typed) floats.set(vector, at);
    for (let j = 0; j < dim && !typed; j++) {
      const x: unknown = vector[j];
      if (typeof x !== 'number') throw typeError(`${name(i)}[${j}]`, 'a number', x);
      floats[at + j] = x;
    }
  }
  return floats;
}

function dimension(name: string, vector: { readonly length: number }, expected: number | string): RangeError {
  const hint = isDetached(vector) ? ': its buffer was probably transferred to another thread' : '';
  return rangeError(`${name} has length ${lengthOf(vector)}, expected ${expected}${hint}`, 'ERR_DIMENSION');
}

const typed = Object.getPrototypeOf(Float32Array.prototype) as Float32Array;

/** How many there are, whatever a property of a typed array's own says. */
const lengthOf = (vector: { readonly length: number }): number =>
  types.isTypedArray(vector) ? Reflect.get(typed, 'length', vector) : vector.length;

/** A view that its buffer was taken or shrunk away from has length 0, like an empty one; using it tells them apart. */
function isDetached(vector: { readonly length: number }): boolean {
  try {
    if (types.isTypedArray(vector)) typed.at.call(vector as Float32Array, 0);
    return false;
  } catch {
    return true;
  }
}

/** What changes of a row: keys to set as the JSON text of an object, and keys to remove as that of an array. */
export function readPatch(metadata: unknown): { set: string; unset: string } {
  const keys: string[] = [];
  let top: unknown;
  function note(this: unknown, key: string, value: unknown): unknown {
    if (key === '' && top === undefined) top = value;
    else if (this === top && value === undefined) keys.push(key);
    return value;
  }
  const set = metadata === undefined ? '{}' : json(metadata, () => 'patch.metadata', 0, note);
  return { set, unset: JSON.stringify(keys) };
}

/** A row's metadata as the text of a JSON object, `null` where it has none. */
function json(value: unknown, name: Name, i: number, note?: (this: unknown, key: string, value: unknown) => unknown) {
  if (value === undefined) return 'null';
  let [text, cause]: [string | undefined, unknown] = [undefined, undefined];
  try {
    if (typeof value === 'object') text = JSON.stringify(value, note);
  } catch (error) {
    cause = error;
  }
  if (text?.startsWith('{')) return text;
  throw Object.assign(typeError(name(i), 'an object that JSON can hold', value), cause ? { cause } : {});
}

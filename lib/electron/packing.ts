/**
 * Arguments as they are sent. Cloning keeps the own properties of an object and nothing else, and of a view it copies the
 * whole buffer; so what a collection reads is read here, once: vectors with no more than their floats, metadata as
 * JSON has them, filters checked.
 */
import { typeError } from '../errors';
import { readFilter } from '../filter';
import type { Argument } from './wire';

/** Arguments that can be cloned, and the buffers among them that are copies, which may as well be transferred. */
export interface Packed {
  args: unknown[];
  transfer: ArrayBuffer[];
  signal: AbortSignal | undefined;
  onProgress: ((progress: unknown) => void) | undefined;
}

/** Packs the arguments of a call. Throws `ERR_FILTER`, and what the user's getters throw. */
export function pack(names: readonly Argument[], given: readonly unknown[]): Packed {
  const packed: Packed = { args: [], transfer: [], signal: undefined, onProgress: undefined };
  for (const [i, name] of names.entries()) packed.args.push(packOne(name, given[i], packed));
  return packed;
}

/** Packs the values of a stream. */
export function packRows(rows: unknown, transfer: ArrayBuffer[]): unknown {
  if (Array.isArray(rows)) return upTo(rows, isObject, (row) => packRow(row, transfer));
  if (!isObject(rows)) return rows;
  if (!('ids' in rows)) return packRow(rows, transfer);
  const { ids, vectors, metadata } = rows;
  const even = Array.isArray(ids) && Array.isArray(metadata) && ids.length === metadata.length;
  const packed = { ids, vectors: packVectors(vectors, transfer) };
  if (metadata === undefined) return packed;
  return { ...packed, metadata: even ? Array.from(metadata, packMetadata) : metadata };
}

function packOne(name: Argument, value: unknown, packed: Packed): unknown {
  if (name === 'rows') return packRows(value, packed.transfer);
  if (name === 'query' || name === 'queries') return packVectors(value, packed.transfer);
  if (name === 'filter') return value === undefined ? undefined : packFilter(value);
  if (!isObject(value) || Array.isArray(value)) return value;
  if (name === 'patch' || name === 'hybrid') return packPatch(value, packed.transfer);
  if (name === 'what') return 'filter' in value ? packOptions(value) : value;
  if (name !== 'options') return value;
  const { signal, onProgress, ...options } = packOptions(value);
  if (signal instanceof AbortSignal) packed.signal = signal;
  else if (signal !== undefined) options.signal = signal;
  if (typeof onProgress === 'function') packed.onProgress = onProgress as Packed['onProgress'];
  else if (onProgress !== undefined) options.onProgress = onProgress;
  return options;
}

/** Options may be inherited. */
function packOptions(given: Record<string, unknown>): Record<string, unknown> {
  const read: Record<string, unknown> = {};
  for (const key in given) read[key] = given[key];
  if (read.filter !== undefined) read.filter = packFilter(read.filter);
  return read;
}

/** A class instance would lose its conditions by being cloned, and then match too much: this refuses it. */
const packFilter = (given: unknown): unknown => JSON.parse(readFilter(given));

function packRow(row: Record<string, unknown>, transfer: ArrayBuffer[]): unknown {
  const { id, vector, metadata } = row;
  const packed = { id, vector: packVectors(vector, transfer) };
  return metadata === undefined ? packed : { ...packed, metadata: packMetadata(metadata) };
}

/** A patch; or a query of a vector and a text, which has no metadata. */
function packPatch(patch: Record<string, unknown>, transfer: ArrayBuffer[]): unknown {
  const packed: Record<string, unknown> = { ...patch };
  if (packed.vector !== undefined) packed.vector = packVectors(packed.vector, transfer);
  if (packed.metadata !== undefined) packed.metadata = packMetadata(packed.metadata);
  return packed;
}

/**
 * What JSON makes of metadata, as it would be stored; a key of the first level that is `undefined` stays so, since
 * `update` removes it. What JSON cannot hold goes as it is, for the collection to refuse.
 */
function packMetadata(metadata: unknown): unknown {
  let top: unknown;
  const unset: [string, undefined][] = [];
  function note(this: unknown, key: string, value: unknown): unknown {
    if (key === '' && top === undefined) top = value;
    else if (this === top && value === undefined) unset.push([key, undefined]);
    return value;
  }
  try {
    const text = isObject(metadata) ? JSON.stringify(metadata, note) : undefined;
    if (text?.startsWith('{')) return Object.assign(JSON.parse(text), Object.fromEntries(unset));
  } catch {
    // Also when a getter throws: the collection says what metadata must be.
  }
  return metadata;
}

const TYPED = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(Int8Array.prototype), Symbol.toStringTag)?.get;

/** A vector, an array of vectors, or a tensor; anything else as it is. */
function packVectors(given: unknown, transfer: ArrayBuffer[]): unknown {
  if (!isObject(given)) return given;
  const kind: unknown = TYPED?.call(given);
  if (kind === 'Float32Array') return own(given as unknown as Float32Array, Float32Array, transfer);
  if (kind === 'Float64Array') return own(given as unknown as Float64Array, Float64Array, transfer);
  if (Array.isArray(given)) {
    // Numbers are looked at by the collection.
    return isObject(given[0]) ? upTo(given, isObject, (vector) => packVectors(vector, transfer)) : given;
  }
  if (kind !== undefined || !('data' in given || 'dims' in given)) return given;
  return { data: packVectors(given.data, transfer), dims: given.dims };
}

type Floats = Float32Array | Float64Array;

/**
 * A view of a whole buffer is left to the clone, which copies it at once. A part of one, or of memory that can change
 * while the message travels, is copied here, and the copy is ours.
 */
function own<T extends Floats>(view: T, make: new (floats: T | number[]) => T, transfer: ArrayBuffer[]): T {
  const { buffer } = view;
  const plain = buffer instanceof ArrayBuffer && (buffer as { resizable?: boolean }).resizable !== true;
  // An empty view may have lost its buffer, and then cannot be cloned.
  if (plain && view.byteLength === buffer.byteLength && view.length > 0) return view;
  const copy = new make(view.length > 0 ? view : []);
  transfer.push(copy.buffer as ArrayBuffer);
  return copy;
}

/** Maps an array up to the first element that is none of its kind, which an error will name: it may have 2^32 - 1. */
function upTo(values: unknown[], fits: typeof isObject, map: (value: Record<string, unknown>) => unknown): unknown[] {
  const mapped: unknown[] = [];
  for (let i = 0; i < values.length; i++) {
    const value = values[i];
    mapped.push(fits(value) ? map(value) : value);
    if (!fits(value)) break;
  }
  return mapped;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

/** The error for parts of a message, by their names, of which one cannot be cloned: it names that. */
export function unsendable(parts: readonly (readonly [name: string, value: unknown])[], cause: unknown): unknown {
  const part = parts.find(([, value]) => !isSendable(value));
  if (!part) return cause;
  const [path, value] = blame(...part);
  const what = 'something that can be sent to another process (no function, symbol or promise)';
  return Object.assign(typeError(path, what, value), { cause });
}

/** What a message calls an argument. */
export function nameOf(name: Argument, value: unknown): string {
  if (name === 'hybrid') return 'query';
  if (name !== 'what') return name;
  return Array.isArray(value) ? 'ids' : 'id';
}

function blame(path: string, value: unknown): [string, unknown] {
  // Objects can contain themselves.
  for (const key of isObject(value) && path.length < 200 ? Object.keys(value) : []) {
    const part = (value as Record<string, unknown>)[key];
    if (!isSendable(part)) return blame(Array.isArray(value) ? `${path}[${key}]` : `${path}.${key}`, part);
  }
  return [path, value];
}

function isSendable(value: unknown): boolean {
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}

/**
 * What goes over a port: requests one way, replies the other, each a value that can be cloned. A window and the process
 * that has the collection may have been bundled from different versions, so the first request says which words it speaks.
 */
import type { ErrorCode } from '../../crates/node/binding';
import { AuspexError, coded, isAuspexError } from '../errors';
import type { Collection, Metric, Progress } from '../types';

/** Changes whenever requests or replies do. */
export const PROTOCOL = 1;

/** How a method goes over. */
export interface Shape {
  /** Its arguments, named by what is done with them. */
  takes: readonly Argument[];
  /** Whether it changes rows, files or folders. */
  changes?: true;
  /** Whether it takes a signal and is ended when nobody waits for it any more. Writes are not. */
  ends?: true;
}

/** What an argument is, and so what a message calls it. */
export type Argument =
  | 'rows'
  | 'query'
  | 'queries'
  | 'text'
  | 'hybrid'
  | 'patch'
  | 'what'
  | 'filter'
  | 'options'
  | 'id'
  | 'directory';

type Name = Exclude<keyof Collection, 'dim' | 'metric' | 'close' | symbol>;

/** Every method of a collection but `close`, which is a matter between a window and its port. */
export const METHODS = {
  insert: { takes: ['rows', 'options'], changes: true },
  upsert: { takes: ['rows', 'options'], changes: true },
  load: { takes: ['rows', 'options'], changes: true, ends: true },
  update: { takes: ['id', 'patch'], changes: true },
  delete: { takes: ['what'], changes: true },
  clear: { takes: [], changes: true },
  get: { takes: ['what', 'options'] },
  has: { takes: ['id'] },
  count: { takes: ['filter'] },
  items: { takes: ['options'] },
  search: { takes: ['query', 'options'], ends: true },
  searchBatch: { takes: ['queries', 'options'], ends: true },
  searchText: { takes: ['text', 'options'], ends: true },
  searchHybrid: { takes: ['hybrid', 'options'], ends: true },
  similar: { takes: ['id', 'options'], ends: true },
  explain: { takes: ['query', 'options'], ends: true },
  estimateRecall: { takes: ['options'], ends: true },
  tune: { takes: ['options'], changes: true, ends: true },
  stats: { takes: [] },
  flush: { takes: [] },
  refresh: { takes: [] },
  compact: { takes: ['options'], changes: true, ends: true },
  rebuild: { takes: ['options'], changes: true, ends: true },
  verify: { takes: ['options'], ends: true },
  snapshot: { takes: ['directory', 'options'], changes: true, ends: true },
} as const satisfies Record<Name, Shape>;

export type Method = keyof typeof METHODS;

/** Jobs: `close` ends them rather than waiting. */
export const JOBS: ReadonlySet<string> = new Set([
  'estimateRecall',
  'tune',
  'compact',
  'rebuild',
  'verify',
  'snapshot',
] satisfies Method[]);

/** To the process that has the collections. A call's number is its own on the port, and what belongs to it repeats it. */
export type Request =
  | { kind: 'open'; call: number; protocol: number; name: string | undefined }
  /** `signal` and `progress` say whether there is one; `cursor` numbers an iteration that is to end by `end`. */
  | {
      kind: 'call';
      call: number;
      name: string;
      method: Method;
      args: unknown[];
      signal: boolean;
      progress: boolean;
    }
  | { kind: 'next'; call: number; cursor: number }
  | { kind: 'end'; cursor: number }
  | { kind: 'abort'; call: number }
  /** Answers `pull`: the next values of the stream that `load` was given. */
  | { kind: 'rows'; call: number; values: unknown[]; done: boolean; failed: boolean };

/** To the window. */
export type Reply =
  | { kind: 'result'; call: number; value: unknown }
  /** `aborted`: with the reason of the caller's own signal. */
  | { kind: 'error'; call: number; error: Failure; aborted: boolean }
  | { kind: 'progress'; call: number; progress: Progress }
  | { kind: 'pull'; call: number }
  /** Nothing more will come. Also for ports that do not tell when the other end is gone. */
  | { kind: 'bye' };

/** What `open` is answered with. `transfers`: buffers may be transferred to the process, not only cloned. */
export interface Opened {
  name: string;
  dim: number;
  metric: Metric;
  transfers: boolean;
}

/** A part of the rows that `items` goes through. */
export interface Page {
  rows: unknown[];
  done: boolean;
}

/** An error, as it goes over. */
export interface Failure {
  type: 'AuspexError' | 'TypeError' | 'RangeError' | 'Error';
  code?: string;
  message: string;
  loaded?: number;
  cause?: Failure;
}

/** Causes of causes beyond this are left out. */
const DEPTH = 8;

/** Takes an error apart. */
export function failure(error: unknown, depth = 0): Failure {
  const { code, message = String(error), loaded, cause } = Object(error) as Partial<AuspexError>;
  const type =
    error instanceof AuspexError
      ? 'AuspexError'
      : error instanceof TypeError
        ? 'TypeError'
        : error instanceof RangeError
          ? 'RangeError'
          : 'Error';
  return {
    type,
    message: String(message),
    ...(typeof code === 'string' && { code }),
    ...(typeof loaded === 'number' && { loaded }),
    ...(cause !== undefined && depth < DEPTH && { cause: failure(cause, depth + 1) }),
  };
}

/** The error that was taken apart: of the same class, with the same code, message and cause. */
export function rebuilt({ type, code, message, loaded, cause }: Failure): Error {
  const options = cause && { cause: rebuilt(cause) };
  if (type === 'AuspexError') {
    const error = new AuspexError(code as ErrorCode, message, options);
    return loaded === undefined ? error : Object.assign(error, { loaded });
  }
  const error = new { TypeError, RangeError, Error }[type](message, options);
  if (type === 'Error') return code === undefined ? error : Object.assign(error, { code });
  const ours = code === undefined ? error : coded(error, code as ErrorCode);
  return loaded === undefined ? ours : Object.assign(ours, { loaded });
}

/** What every call ends with when nobody is at the other end. */
export const gone = () =>
  new AuspexError(
    'ERR_CLOSED',
    'the port to the collection is closed: a write that did not resolve is there wholly or not at all',
  );

/** Puts how many rows are written on an error of this library, as `load` does. */
export const withLoaded = (error: unknown, { loaded }: Failure): unknown =>
  isAuspexError(error) && loaded !== undefined ? Object.assign(error, { loaded }) : error;

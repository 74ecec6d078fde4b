import type { ErrorCode } from '../crates/node/binding';

/** The errors about arguments: the built-in classes have no property to know them by. */
const ofArguments = new WeakSet<object>();

/**
 * Every error of this library that is not about the type, range or shape of an argument (those are a TypeError or a
 * RangeError with the same `code` property). An aborted call rejects with `signal.reason` instead.
 */
export class AuspexError extends Error {
  /** What went wrong, as a word that never changes. */
  readonly code: ErrorCode;
  /** Of `load`: how many rows the batches before the error hold. They stay. */
  declare readonly loaded?: number;

  constructor(code: ErrorCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'AuspexError';
    this.code = code;
  }
}

/**
 * Whether this library made the error: an {@link AuspexError}, or a TypeError or RangeError with one of its codes.
 *
 * @example
 * try {
 *   await collection.insert({ id: 'a', vector });
 * } catch (error) {
 *   if (isAuspexError(error) && error.code === 'ERR_EXISTS') return;
 *   throw error;
 * }
 */
export function isAuspexError(error: unknown): error is Error & Pick<AuspexError, 'code' | 'loaded'> {
  return error instanceof AuspexError || ofArguments.has(error as object);
}

/** An argument of the wrong type. */
export const typeError = (name: string, expected: string, value: unknown) =>
  coded(new TypeError(`${name} must be ${expected}, got ${show(value)}`));

/** An argument out of its range, or of the wrong length. */
export const rangeError = (message: string, code?: ErrorCode) => coded(new RangeError(message), code);

/** Marks an error about an argument as one of this library's. */
export function coded<E extends Error>(error: E, code: ErrorCode = 'ERR_ARGUMENT'): E {
  ofArguments.add(error);
  return Object.assign(error, { code });
}

/** A value in a few words. Of an object only what it is made by: this runs where there is no Node. */
let shown = (value: unknown): string => {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  return typeof value === 'object' || typeof value === 'function'
    ? Object.prototype.toString.call(value)
    : String(value);
};

/** Where there is Node, its own way to show a value: it says more, and runs no code of the user's. */
export function showBy(way: typeof shown): void {
  shown = way;
}

/** A value as it may stand in a message: short. */
export const show = (value: unknown): string => shown(value).slice(0, 120);

/** Throws the user's error for one of the addon's. */
export function rethrow(cause: unknown): never {
  if (isAuspexError(cause)) throw cause;
  const { code, message } = cause as Error & { code: ErrorCode };
  if (/^ERR_(ARGUMENT|DIMENSION|NOT_FINITE|ZERO_VECTOR)$/.test(code))
    throw Object.assign(rangeError(message, code), { cause });
  throw new AuspexError(/^ERR_/.test(code) ? code : 'ERR_INTERNAL', message, { cause });
}

import { coded, typeError } from './errors';

type Kind = 'boolean' | 'number' | 'string' | 'object' | 'function' | 'signal' | 'any';

/** The name of each option and what it must be: what `typeof` says, or `signal`, or `any` for another reader. */
export type Schema<T> = { readonly [K in keyof T]-?: Kind };

/** Reads an options object, each property once. A key that is not in the schema is an error that names the nearest. */
export function readOptions<T>(given: unknown = {}, schema: Schema<T>, name = 'options'): Partial<T> {
  const read: Partial<T> = {};
  if (typeof given !== 'object' || given === null || Array.isArray(given)) throw typeError(name, 'an object', given);
  for (const key of Object.keys(given)) if (!Object.hasOwn(schema, key)) throw unknown(key, Object.keys(schema), name);
  for (const key of Object.keys(schema) as (keyof T & string)[]) {
    const value = (given as Partial<T>)[key];
    if (value !== undefined) read[key] = required(value, schema[key], name === 'options' ? key : `${name}.${key}`);
  }
  return read;
}

function unknown(key: string, known: string[], name: string): Error {
  const nearest = known.reduce((best, next) => (likeness(key, next) > likeness(key, best) ? next : best));
  const message = `${name} has no ${JSON.stringify(key.slice(0, 64))}: did you mean ${nearest}? Known: ${known.join(', ')}`;
  return coded(new TypeError(message));
}

/** The value when it is what it must be. */
export function required<T>(value: T, kind: string, name: string): NonNullable<T> {
  if (kind === 'any') return value as NonNullable<T>;
  const fits = kind === 'signal' ? value instanceof AbortSignal : typeof value === kind && value !== null;
  if (fits) return value as NonNullable<T>;
  throw typeError(name, kind === 'signal' ? 'an AbortSignal' : kind === 'object' ? 'an object' : `a ${kind}`, value);
}

/** Dice's coefficient of two words (how many pairs of letters both have), and 1 where one is in the other. */
function likeness(given: string, option: string): number {
  const [a, b] = [given.slice(0, 64).toLowerCase(), option.toLowerCase()];
  const pairs = (word: string) => Array.from(word, (letter, i) => letter + (word[i + 1] ?? ''));
  const both = pairs(a).filter((pair) => pairs(b).includes(pair)).length;
  return both / (a.length + b.length) + Number(a.includes(b) || b.includes(a));
}

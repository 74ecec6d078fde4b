import { AuspexError, rangeError, show, typeError } from './errors';

/** Characters of JSON: what a filter may have in bytes, or a little more, which the engine then refuses. */
const LENGTH = 2 ** 22;
/** Arrays and objects inside of one another: 64 filters in 63 arrays, and a list of values in an operator. */
const DEPTH = 129;
/** Any Unicode word: what a path shows as it is. */
const WORD = /^[\p{L}\p{N}_$-]{1,64}$/u;

/**
 * The JSON text of a filter, each property read once. What the filter says is for the engine to judge; a value that JSON
 * would leave out or change is refused here, since a condition that goes missing matches too much.
 */
export function readFilter(given: unknown): string {
  const parts: string[] = [];
  const path: (string | number)[] = [];
  let room = LENGTH;
  const refuse = (why: string) => {
    const place = path.map((at) => (typeof at === 'number' ? `[${at}]` : WORD.test(at) ? `.${at}` : `[${show(at)}]`));
    return new AuspexError('ERR_FILTER', `filter${place.join('')} ${why}`);
  };
  const add = (text: string) => {
    room -= text.length;
    if (room < 0) throw new AuspexError('ERR_FILTER', `filter has more than ${LENGTH} characters of JSON, the limit`);
    parts.push(text);
  };
  const write = (value: unknown): void => {
    if (value === null || typeof value === 'boolean' || (typeof value === 'number' && Number.isFinite(value))) {
      add(String(value));
    } else if (typeof value === 'string') {
      add(value.length > room ? value : JSON.stringify(value));
    } else if (Array.isArray(value)) {
      within('[', ']', value.length, (i) => [i, value[i]]);
    } else if (isPlain(value)) {
      const keys = Object.keys(value);
      within('{', '}', keys.length, (i) => [keys[i] as string, value[keys[i] as string]], true);
    } else {
      const date =
        value instanceof Date ? '. Of a Date take toISOString() or getTime(), whichever the metadata have' : '';
      throw refuse(
        `is ${show(value)}; a filter has strings, finite numbers, booleans, null, arrays and objects${date}`,
      );
    }
  };
  const within = (
    open: string,
    close: string,
    count: number,
    at: (i: number) => [string | number, unknown],
    named = false,
  ) => {
    if (path.length >= DEPTH) throw new AuspexError('ERR_FILTER', 'filter is nested more than 64 deep');
    add(open);
    for (let i = 0; i < count; i++) {
      const [key, value] = at(i);
      path.push(key);
      if (i > 0) add(',');
      if (named) {
        write(key);
        add(':');
      }
      write(value);
      path.pop();
    }
    add(close);
  };
  write(given);
  return parts.join('');
}

/** The fields that are to have columns, or whose words are to be indexed, each property read once. Types are for the engine to judge. */
export function readFields(given: object): { name: string; kind: string }[] {
  if (!isPlain(given)) throw typeError('fields', 'an object', given);
  return Object.entries(given).map(([name, kind]: [string, unknown]) => {
    const field = `fields[${show(name)}]`;
    if (!name.isWellFormed()) throw rangeError(`${field} has a name with a lone surrogate`);
    if (typeof kind !== 'string') throw typeError(field, "'keyword', 'keyword[]', 'number', 'boolean' or 'text'", kind);
    return { name, kind };
  });
}

/** Whether it is an object as literals make them, of whatever realm. */
function isPlain(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

/** What filters mean, told a second time as plainly as possible, and filters and rows to try it on. */
import fc from 'fast-check';

type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type Row = { readonly [key: string]: Json };
export type AnyFilter = { readonly [key: string]: unknown };

/** Whether a row with this metadata matches: `docs/filters.md`, sentence by sentence. */
export function matches(filter: AnyFilter, row: Row): boolean {
  return Object.entries(filter).every(([key, asked]) => {
    if (key === '$and') return (asked as AnyFilter[]).every((each) => matches(each, row));
    if (key === '$or') return (asked as AnyFilter[]).some((each) => matches(each, row));
    if (key === '$not') return !matches(asked as AnyFilter, row);
    const value = Object.hasOwn(row, key) ? row[key] : undefined;
    const operators = typeof asked === 'object' && asked !== null ? asked : { $eq: asked };
    return Object.entries(operators).every(([operator, operand]) => passes(operator, value, operand));
  });
}

function passes(operator: string, value: Json | undefined, operand: unknown): boolean {
  const values = Array.isArray(value) ? (value as Json[]) : [value];
  const any = (test: (each: Json | undefined) => boolean) => values.some(test);
  const equals = (other: unknown) => any((each) => each === other || (other === null && each === undefined));
  const text = (test: (text: string) => boolean) => any((each) => typeof each === 'string' && test(each));
  switch (operator) {
    case '$eq':
      return equals(operand);
    case '$ne':
      return !equals(operand);
    case '$in':
      return (operand as unknown[]).some(equals);
    case '$nin':
      return !(operand as unknown[]).some(equals);
    case '$exists':
      return (value !== undefined) === operand;
    case '$startsWith':
      return text((each) => codePoints(operand as string).every((point, i) => codePoints(each)[i] === point));
    case '$contains':
      return text((each) => has(codePoints(each), codePoints(operand as string)));
    default:
      return any(
        (each) => typeof each === typeof operand && each !== null && ordered(operator, compare(each, operand)),
      );
  }
}

const ordered = (operator: string, order: number) =>
  ({ $gt: order > 0, $gte: order >= 0, $lt: order < 0, $lte: order <= 0 })[operator] ?? false;

const codePoints = (text: string) => Array.from(text, (character) => character.codePointAt(0) ?? 0);

const has = (points: number[], part: number[]) =>
  points.concat(-1).some((_, i) => part.every((point, j) => points[i + j] === point));

function compare(a: unknown, b: unknown): number {
  if (typeof a === 'number') return a - (b as number);
  const [x, y] = [codePoints(a as string), codePoints(b as string)];
  const at = x.findIndex((point, i) => point !== y[i]);
  return at < 0 ? x.length - y.length : (x[at] ?? 0) - (y[at] ?? -1);
}

/** Few words and numbers, so that rows and filters meet; some of them odd. */
const words = ['', 'a', 'ab', 'abc', 'b', 'B', 'é', 'e\u0301', '\uffff', '\u{1f600}', '\ud83d', '"\\\n', '1', 'true'];
const numbers = [
  0,
  -0,
  1,
  -1,
  0.1,
  0.30000000000000004,
  1e21,
  -5e-324,
  2 ** 53,
  1.7976931348623157e308,
  31.245270191439438,
];
const word = fc.constantFrom(...words);
const number = fc.oneof(fc.constantFrom(...numbers), fc.integer({ min: -3, max: 3 }));
const scalar: fc.Arbitrary<Json> = fc.oneof(word, number, fc.boolean(), fc.constant(null));
const field = fc.constantFrom('text', 'number', 'flag', 'tags', 'any', '__proto__', 'a b', 'é');

const value: fc.Arbitrary<Json> = fc.oneof(
  { weight: 6, arbitrary: scalar },
  { weight: 3, arbitrary: fc.array(scalar, { maxLength: 4 }) },
  { weight: 1, arbitrary: fc.constantFrom<Json>([[1, 'a']], { a: 1 }, [{ a: 1 }, 1], {}, [[]]) },
);

/** An object with these keys, `__proto__` among them, as `JSON.parse` makes it. */
const object = <T>(entries: [string, T][]): Record<string, T> => {
  const made: Record<string, T> = {};
  for (const [key, each] of entries) {
    Object.defineProperty(made, key, { value: each, enumerable: true, writable: true, configurable: true });
  }
  return made;
};

/** Values of the kind that a field is named for, mostly; so that it is worth a column. */
const regular = fc.record(
  {
    text: fc.oneof({ weight: 9, arbitrary: word }, value),
    number: fc.oneof({ weight: 9, arbitrary: number }, value),
    flag: fc.oneof({ weight: 9, arbitrary: fc.boolean() }, value),
    tags: fc.oneof({ weight: 9, arbitrary: fc.array(word, { maxLength: 4 }) }, value),
  },
  { requiredKeys: [] },
);
const irregular = fc.array(fc.tuple(field, value), { maxLength: 6 }).map(object);

/** Metadata of a row. */
export const rows: fc.Arbitrary<Row> = fc.oneof({ weight: 2, arbitrary: regular }, irregular) as fc.Arbitrary<Row>;

const ordering = fc.tuple(fc.constantFrom('$gt', '$gte', '$lt', '$lte'), fc.oneof(word, number));
const equality = fc.tuple(fc.constantFrom('$eq', '$ne'), scalar);
const among = fc.tuple(fc.constantFrom('$in', '$nin'), fc.array(scalar, { maxLength: 4 }));
const textual = fc.tuple(fc.constantFrom('$startsWith', '$contains'), word);
const existing = fc.tuple(fc.constant('$exists'), fc.boolean());
const operator: fc.Arbitrary<[string, unknown]> = fc.oneof(ordering, equality, among, textual, existing);
const operators = fc.array(operator, { minLength: 1, maxLength: 3 }).map(object);

/** Filters of every shape, a few levels deep. */
export const filters: fc.Arbitrary<AnyFilter> = fc.letrec<{ filter: AnyFilter; part: [string, unknown] }>((tie) => ({
  filter: fc.array(tie('part'), { maxLength: 3 }).map(object),
  part: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.tuple(field, fc.oneof(scalar, operators)),
    fc.tuple(fc.constantFrom('$and', '$or'), fc.array(tie('filter'), { maxLength: 3 })),
    fc.tuple(fc.constant('$not'), tie('filter')),
  ),
})).filter;

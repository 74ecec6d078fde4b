/** Wrong arguments: every method, argument and bad value. */
import { inspect } from 'node:util';
import test from 'ava';
import {
  AuspexError,
  type Collection,
  exactSearch,
  isAuspexError,
  type LocalCollection,
  open,
} from '../../dist/index.mjs';
import { ids, random, vectors } from '../harness.ts';
import { sound, unlike } from './harness.ts';

const dim = 3;
const v = [1, 2, 3];

/** A value that some argument does not take, by a name for messages. */
type Bad = [name: string, value: unknown];

const holes: unknown[] = [];
holes.length = 3;
const endless: unknown[] = [];
endless.length = 2 ** 32 - 1;

const numbers: Bad[] = [0, -0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, 2 ** 32, 2 ** 53, -1e300].map(
  (x) => [`${Object.is(x, -0) ? '-0' : x}`, x],
);
const strings: Bad[] = [
  ["''", ''],
  ['a text', 'text'],
  ['1,025 bytes', 'x'.repeat(1025)],
  ['a lone surrogate', 'a\ud800b'],
  ['a megabyte', 'y'.repeat(2 ** 20)],
  ['__proto__', '__proto__'],
];
const others: Bad[] = [
  ['null', null],
  ['true', true],
  ['1n', 1n],
  ['a symbol', Symbol('s')],
  ['{}', {}],
  ['[]', []],
  ['a function', () => 3],
  ['a date', new Date(0)],
  ['a map', new Map([['a', 1]])],
  ['a regular expression', /x/],
  ['a promise', Promise.resolve(v)],
  ['an error', new Error('x')],
  ['Object.create(null)', Object.create(null)],
  ['an ArrayBuffer', new ArrayBuffer(12)],
  ['a DataView', new DataView(new ArrayBuffer(12))],
  ['an Int8Array', new Int8Array(dim)],
  ['an Int32Array', new Int32Array(dim)],
  ['a BigInt64Array', new BigInt64Array(dim)],
  ['a Buffer', Buffer.alloc(12)],
  ['a short Float32Array', new Float32Array(dim - 1).fill(1)],
  ['a long Float32Array', new Float32Array(dim + 1).fill(1)],
  ['a short Float64Array', new Float64Array(dim - 1).fill(1)],
  ['NaN in a Float32Array', new Float32Array([1, Number.NaN, 3])],
  ['an infinity in a Float64Array', new Float64Array([1, Number.POSITIVE_INFINITY, 3])],
  ['a double that no float holds', [1, 2, 1e39]],
  ['zeros', new Float32Array(dim)],
  ['an array of text', ['1', '2', '3']],
  ['a short array', [1, 2]],
  ['a long array', [1, 2, 3, 4]],
  ['a nested array', [[[1, 2, 3]]]],
  ['an array with null', [1, null, 3]],
  ['an array with 1n', [1, 2n, 3]],
  ['an array with an object', [1, { valueOf: () => 2 }, 3]],
  // biome-ignore lint/suspicious/noSparseArray: holes are the point.
  ['an array with a hole', [1, , 3]],
  ['an array of holes', holes],
  ['an array of 2^32 - 1 holes', endless],
  ['an array-like', { length: 3, 0: 1, 1: 2, 2: 3 }],
  ['an endless array-like', { length: 2 ** 32 }],
  ['a tensor without data', { dims: [dim] }],
  ['a tensor of an array', { data: v, dims: [dim] }],
  ['a tensor of doubles', { data: new Float64Array(v), dims: [dim] }],
  ['a tensor of other dims', { data: new Float32Array(v), dims: [dim, 1] }],
  ['a tensor of too many dims', { data: new Float32Array(v), dims: [1, 1, dim] }],
  ['a tensor of no dims', { data: new Float32Array(v), dims: [] }],
  ['a tensor whose dims are text', { data: new Float32Array(v), dims: `${dim}` }],
  ['a tensor of a symbol', { data: new Float32Array(v), dims: [Symbol('d'), dim] }],
  ['a tensor of a bigint', { data: new Float32Array(v), dims: [1n, dim] }],
  ['a tensor of a negative dim', { data: new Float32Array(v), dims: [-1, -dim] }],
  ['a tensor of NaN dims', { data: new Float32Array(v), dims: [Number.NaN, dim] }],
  ['a tensor of 2^32 - 1 holes', { data: new Float32Array(v), dims: endless }],
];
const all: Bad[] = [['undefined', undefined], ...numbers, ...strings, ...others];

/** An argument of a method. */
interface Slot {
  method: string;
  /** What a message about it must name. */
  names: RegExp;
  /** Values that it takes after all. */
  takes: (value: unknown) => boolean;
  call: (c: LocalCollection<object>, value: never) => unknown;
}

const isPlain = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
/** An options object without anything in it says nothing wrong. */
const isEmptyOptions = (value: unknown) =>
  value === undefined || (isPlain(value) && Object.keys(value as object).length === 0);
const isWhole = (low: number, high: number) => (value: unknown) =>
  value === undefined || (Number.isInteger(value) && Number(value) >= low && Number(value) <= high);
const isText = (value: unknown) => typeof value === 'string' && value.isWellFormed();
const isId = (value: unknown) => isText(value) && value !== '' && String(value).length <= 1024;
const never = () => false;
const isJson = (value: unknown) => {
  try {
    return value === undefined || (isPlain(value) && /^\{/.test(JSON.stringify(value)));
  } catch {
    return false;
  }
};
const isNumber = (value: unknown) => value === undefined || (typeof value === 'number' && !Number.isNaN(value));
/** What a field may be equal to. */
const isScalar = (value: unknown) =>
  value === null || typeof value === 'string' || typeof value === 'boolean' || Number.isFinite(value);
/** A literal of scalars asks for fields that are equal to them. */
const isFilter = (value: unknown) =>
  value === undefined || (isLiteral(value) && Object.values(value as object).every(isScalar));
const isLiteral = (value: unknown) => isPlain(value) && [null, Object.prototype].includes(Object.getPrototypeOf(value));
const isNoFields = (value: unknown) => value === undefined || (isLiteral(value) && isEmptyOptions(value));
const isUndefined = (value: unknown) => value === undefined;
const empty = (value: unknown) => Array.isArray(value) && value.length === 0;
const isTexts = (value: unknown) =>
  Array.isArray(value) && value.length < 10 && value.every(isText) && !(0 in value === false && value.length > 0);

/** An array of whole numbers, not too many. */
const isWholes = (value: unknown) =>
  value === undefined ||
  (Array.isArray(value) &&
    value.length > 0 &&
    value.length <= 64 &&
    value.every(isWhole(1, 1e6)) &&
    0 in value &&
    1 in value);
const isThreeTexts = (value: unknown) => isTexts(value) && (value as unknown[]).length === 3;

type C = LocalCollection<object>;
const slots: Slot[] = [];
const slot = (method: string, names: RegExp, takes: Slot['takes'], call: (c: C, value: never) => unknown) =>
  slots.push({ method, names, takes, call });

slot('open', /options|dim|path|no collection/, never, (_, x) => open(x));
slot('open', /dim/, never, (_, x) => open({ dim: x }));
for (const [name, low, high] of [
  ['m', 2, 128],
  ['efConstruction', 1, 10_000],
  ['efSearch', 1, 1e6],
  ['seed', 0, 2 ** 53 - 1],
  ['threads', 0, 1024],
] as const) {
  slot('open', new RegExp(name), isWhole(low, high), (_, x) => open({ dim, [name]: x }));
}
slot('open', /metric/, isUndefined, (_, x) => open({ dim, metric: x }));
slot('open', /fields/, isNoFields, (_, x) => open({ dim, fields: x }));
slot(
  'open',
  /fields\['year'\]|fields\["year"\]/,
  (x) => x === 'text',
  (_, x) => open({ dim, fields: { year: x } as never }),
);
slot('open', /signal/, isUndefined, (_, x) => open({ dim, signal: x }));

for (const method of ['insert', 'upsert'] as const) {
  slot(method, /row|id/, empty, (c, x) => c[method](x));
  slot(method, /rows\[1\]/, never, (c, x) => c[method]([{ id: 'ok', vector: v }, x]));
  slot(method, /id/, isId, (c, x) => c[method]({ id: x, vector: [Number.NaN, 1, 2] }));
  slot(method, /vector/, never, (c, x) => c[method]({ id: 'new', vector: x }));
  slot(method, /rows\[1\]\.vector|ids\[1\]|vectors\[1\]|row 1/, never, (c, x) =>
    c[method]([
      { id: 'ok', vector: v },
      { id: 'new', vector: x },
    ]),
  );
  slot(method, /metadata/, isJson, (c, x) => c[method]({ id: 'new', vector: [1, 2, Number.NaN], metadata: x }));
  slot(method, /ids/, isThreeTexts, (c, x) => c[method]({ ids: x, vectors: new Float32Array(9) }));
  slot(method, /ids\[2\]/, isId, (c, x) => c[method]({ ids: ['p', 'q', x], vectors: new Float32Array(9) }));
  slot(method, /vectors/, never, (c, x) => c[method]({ ids: ['p', 'q'], vectors: x }));
  slot(method, /vectors\[1\]/, never, (c, x) => c[method]({ ids: ['p', 'q'], vectors: [v, x] }));
  slot(
    method,
    /vectors\[1\]\[2\]|vectors\[1\]|\[1\]/,
    (x) => typeof x === 'number',
    (c, x) =>
      c[method]({
        ids: ['p', 'q'],
        vectors: [
          [1, Number.NaN, 3],
          [1, 2, x],
        ],
      }),
  );
  slot(method, /metadata/, isUndefined, (c, x) => c[method]({ ids: ['p'], vectors: new Float32Array(3), metadata: x }));
  slot(method, /options|has no/, isEmptyOptions, (c, x) => c[method]([], x));
  slot(method, /signal/, isUndefined, (c, x) => c[method]([], { signal: x }));
  slot(
    method,
    /onProgress/,
    (x) => x === undefined || typeof x === 'function',
    (c, x) => c[method]([], { onProgress: x }),
  );
}
slot('load', /rows/, empty, (c, x) => c.load(x));
slot('load', /rows\[0\]/, empty, (c, x) => c.load([x]));
slot('load', /rows\[|ids\[0\]/, never, (c, x) => c.load([{ id: 'r0', vector: [1, 2, 3] }, x], { mode: 'insert' }));
slot('load', /batchSize/, isWhole(1, 2 ** 28 / dim), (c, x) => c.load([], { batchSize: x }));
slot('load', /mode/, isUndefined, (c, x) => c.load([], { mode: x }));
slot('load', /options|has no/, isEmptyOptions, (c, x) => c.load([], x));
slot('load', /signal/, isUndefined, (c, x) => c.load([], { signal: x }));
slot(
  'load',
  /onProgress/,
  (x) => x === undefined || typeof x === 'function',
  (c, x) => c.load([], { onProgress: x }),
);
slot(
  'delete',
  /id|filter/,
  (x) => isText(x) || isTexts(x),
  (c, x) => c.delete(x),
);
slot('delete', /filter/, never, (c, x) => c.delete({ filter: isFilter(x) ? undefined : x } as never));
slot('delete', /ids\[1\]/, isText, (c, x) => c.delete(['nobody', x]));
slot(
  'get',
  /id/,
  (x) => isText(x) || isTexts(x),
  (c, x) => c.get(x),
);
slot('get', /ids\[1\]/, isText, (c, x) => c.get(['nobody', x]));
slot('get', /options|has no/, isEmptyOptions, (c, x) => c.get('r0', x));
slot('get', /include/, isEmptyOptions, (c, x) => c.get('r0', { include: x }));
slot(
  'get',
  /include\.vector/,
  (x) => x === undefined || x === true,
  (c, x) => c.get('r0', { include: { vector: x } }),
);
slot('update', /\bid\b/, isText, (c, x) => c.update(x, {}));
slot(
  'update',
  /patch|has no/,
  (x) => isPlain(x) && isEmptyOptions(x),
  (c, x) => c.update('r0', x),
);
slot('update', /vector/, isUndefined, (c, x) => c.update('r0', { vector: x }));
slot('update', /metadata/, isJson, (c, x) => c.update('nobody', { metadata: x }));
for (const method of ['compact', 'verify', 'estimateRecall'] as const) {
  slot(method, /options|has no/, isEmptyOptions, (c, x) => c[method](x));
  slot(method, /signal/, isUndefined, (c, x) => c[method]({ signal: x }));
  slot(
    method,
    /onProgress/,
    (x) => x === undefined || typeof x === 'function',
    (c, x) => c[method]({ onProgress: x }),
  );
}
slot('estimateRecall', /\bk\b/, isWhole(1, 1e6), (c, x) => c.estimateRecall({ k: x }));
slot('estimateRecall', /sample/, isWhole(1, 10_000), (c, x) => c.estimateRecall({ sample: x }));
slot('estimateRecall', /filter/, isFilter, (c, x) => c.estimateRecall({ filter: x }));
slot('estimateRecall', /efSearch/, isWholes, (c, x) => c.estimateRecall({ efSearch: x }));
slot('estimateRecall', /efSearch\[0\]/, isWhole(1, 1e6), (c, x) =>
  c.estimateRecall({ efSearch: [x === undefined ? 1 : x] as never }),
);
slot('tune', /options|targetRecall|has no/, never, (c, x) => c.tune(x));
slot(
  'tune',
  /targetRecall/,
  (x) => typeof x === 'number' && x > 0 && x <= 1,
  (c, x) => c.tune({ targetRecall: x }),
);
slot('tune', /\bk\b/, isWhole(1, 1e6), (c, x) => c.tune({ targetRecall: 0.5, k: x }));
slot('snapshot', /directory/, never, (c, x) => c.snapshot(typeof x === 'string' ? ('' as never) : x));
slot('open', /mode/, isUndefined, (_, x) => open({ dim, mode: x }));
slot('count', /filter/, isFilter, (c, x) => c.count(x));
slot('count', /filter/, isScalar, (c, x) => c.count({ x } as never));
slot('count', /filter\.\$and\[1\]\.x\.\$in\[0\]/, isScalar, (c, x) =>
  c.count({ $and: [{}, { x: { $in: [x] } }] } as never),
);
slot('items', /filter/, isFilter, (c, x) => c.items({ filter: x })[Symbol.asyncIterator]().next());
slot('has', /id/, isText, (c, x) => c.has(x));
slot('items', /options|has no/, isEmptyOptions, (c, x) => c.items(x)[Symbol.asyncIterator]().next());
slot(
  'items',
  /include\.metadata/,
  (x) => x === undefined || x === true,
  (c, x) =>
    c
      .items({ include: { metadata: x } })
      [Symbol.asyncIterator]()
      .next(),
);
const searches = [
  ['search', (c: C, q: never, o: never) => c.search(q, o)],
  ['explain', (c: C, q: never, o: never) => c.explain(q, o)],
  ['searchSync', (c: C, q: never, o: never) => c.searchSync(q, o)],
  ['searchBatch', (c: C, q: never, o: never) => c.searchBatch((q === v ? [q] : q) as never, o)],
  ['similar', (c: C, _: never, o: never) => c.similar('r0', o)],
  ['searchText', (c: C, _: never, o: never) => c.searchText('a', o)],
  ['searchHybrid', (c: C, q: never, o: never) => c.searchHybrid({ vector: q, text: 'a' }, o)],
] as const;
for (const [method, call] of searches) {
  const query = v as never;
  if (method === 'searchBatch') {
    slot(method, /quer/, empty, (c, x) => c.searchBatch(x));
    slot(method, /queries\[1\]/, never, (c, x) => c.searchBatch([v, x]));
  } else if (method !== 'similar' && method !== 'searchText') {
    slot(method, /query/, never, (c, x) => call(c, x, undefined as never));
  }
  slot(method, /options|has no/, isEmptyOptions, (c, x) => call(c, query, x));
  slot(method, /\bk\b/, isWhole(1, 1e6), (c, x) => call(c, query, { k: x } as never));
  const near = method !== 'searchText';
  slot(method, /efSearch/, near ? isWhole(1, 1e6) : never, (c, x) => call(c, query, { efSearch: x } as never));
  slot(method, /filter/, isFilter, (c, x) => call(c, query, { filter: x } as never));
  slot(method, /maxDistance/, near ? isNumber : never, (c, x) => call(c, query, { maxDistance: x } as never));
  if (method !== 'searchBatch') {
    slot(method, /offset/, isWhole(0, 1e6 - 10), (c, x) => call(c, query, { offset: x } as never));
  }
  if (!['searchBatch', 'searchText', 'searchHybrid'].includes(method)) {
    slot(method, /groupBy/, isUndefined, (c, x) => call(c, query, { groupBy: x } as never));
    slot(method, /groupBy\.field/, isText, (c, x) => call(c, query, { groupBy: { field: x } } as never));
    slot(method, /groupBy\.size/, isWhole(1, 1e5), (c, x) =>
      call(c, query, { groupBy: { field: 'i', size: x } } as never),
    );
    slot(method, /diversify/, isEmptyOptions, (c, x) => call(c, query, { diversify: x } as never));
    slot(
      method,
      /diversify\.lambda/,
      (x) => x === undefined || (typeof x === 'number' && x >= 0 && x <= 1),
      (c, x) => call(c, query, { diversify: { lambda: x } } as never),
    );
    slot(method, /diversify\.fetch/, isWhole(10, 1e6), (c, x) => call(c, query, { diversify: { fetch: x } } as never));
  }
  slot(
    method,
    /exact/,
    (x) => near && (x === undefined || x === true),
    (c, x) => call(c, query, { exact: x } as never),
  );
  if (method !== 'searchSync') slot(method, /signal/, isUndefined, (c, x) => call(c, query, { signal: x } as never));
  if (method !== 'searchBatch') {
    slot(method, /include/, isEmptyOptions, (c, x) => call(c, query, { include: x } as never));
    slot(
      method,
      /include\.vector/,
      (x) => x === undefined || x === true,
      (c, x) => call(c, query, { include: { vector: x } } as never),
    );
  }
}
slot(
  'searchText',
  /text/,
  (x) => typeof x === 'string',
  (c, x) => c.searchText(x),
);
slot('searchHybrid', /query|has no/, never, (c, x) => c.searchHybrid(x));
slot(
  'searchHybrid',
  /query\.text/,
  (x) => typeof x === 'string',
  (c, x) => c.searchHybrid({ vector: v, text: x }),
);
const isWeight = (x: unknown) => x === undefined || (typeof x === 'number' && x >= 0 && x <= 1e6);
slot('searchHybrid', /rrfK/, isWeight, (c, x) => c.searchHybrid({ vector: v, text: 'a' }, { rrfK: x }));
slot('searchHybrid', /weights/, isEmptyOptions, (c, x) => c.searchHybrid({ vector: v, text: 'a' }, { weights: x }));
slot('searchHybrid', /weights\.vector/, isWeight, (c, x) =>
  c.searchHybrid({ vector: v, text: 'a' }, { weights: { vector: x } }),
);
slot('similar', /\bid\b/, never, (c, x) => c.similar(x));
slot('exactSearch', /vectors/, empty, (_, x) => exactSearch(x, [v], { k: 1, dim }));
slot('exactSearch', /queries/, empty, (_, x) => exactSearch([v], x, { k: 1, dim }));
slot('exactSearch', /options|\bk\b|has no/, never, (_, x) => exactSearch([v], [v], x));
slot(
  'exactSearch',
  /\bk\b/,
  (x) => x !== undefined && isWhole(1, 1e6)(x),
  (_, x) => exactSearch([v], [v], { k: x, dim }),
);
slot('exactSearch', /dim/, never, (_, x) => exactSearch(new Float32Array(v), new Float32Array(v), { k: 1, dim: x }));
slot('exactSearch', /metric/, isUndefined, (_, x) => exactSearch([v], [v], { k: 1, dim, metric: x }));
slot('exactSearch', /signal/, isUndefined, (_, x) => exactSearch([v], [v], { k: 1, dim, signal: x }));

/** Why a call with a value that is not taken did not end as it must; undefined when it did. */
async function wrong(c: C, { method, names, takes, call }: Slot, [, value]: Bad): Promise<string | undefined> {
  let [result, error]: [unknown, unknown] = [undefined, undefined];
  try {
    result = call(c, value as never);
  } catch (thrown) {
    error = thrown;
    if (method !== 'searchSync') return `threw instead of rejecting: ${inspect(thrown)}`;
  }
  if (error === undefined) {
    try {
      result = await result;
    } catch (rejected) {
      error = rejected;
    }
  }
  const taken = takes(value);
  if (error === undefined) return taken ? undefined : `resolved with ${inspect(result)}`;
  const why = unlike(error);
  if (why || !isAuspexError(error)) return why;
  if (taken && error.code !== 'ERR_NOT_FINITE' && error.code !== 'ERR_ZERO_VECTOR') return `refused: ${error.message}`;
  if (taken || error.code === 'ERR_MEMORY') return undefined;
  const { message } = error;
  if (!names.test(message)) return `does not name ${names}: ${message}`;
  if (message.length > 2000) return `says ${message.length} characters`;
  const shows = /got|must|expected|did you mean|has|is|NaN|inf|zero/.test(message);
  return shows ? undefined : `shows neither value nor limit: ${message}`;
}

async function opened(): Promise<C> {
  const c = await open<object>({ dim, fields: { words: 'text' } as object });
  await c.insert({ ids: ids(20), vectors: vectors(20, dim) });
  return c;
}

/** Registers the table: each slot with each value. */
export function table(): void {
  for (const method of new Set(slots.map((each) => each.method))) {
    test(`${method}: wrong arguments are named, and nothing changes`, async (t) => {
      const c = await opened();
      const before = c.searchSync([1, 2, 3], { include: { vector: true } });
      let cases = 0;
      const failures: string[] = [];
      for (const each of slots.filter((one) => one.method === method)) {
        for (const bad of all) {
          const begun = performance.now();
          const why = await wrong(c, each, bad);
          const ms = performance.now() - begun;
          if (why) failures.push(`${each.call}, ${bad[0]}: ${why}`);
          // A guard against hanging: the goal of 100 ms has a test of its own.
          if (ms > 5000) failures.push(`${each.call}, ${bad[0]}: ${ms} ms`);
          if (!each.takes(bad[1])) cases++;
        }
        t.is(c.size, 20, `${each.call}`);
        t.deepEqual(c.searchSync([1, 2, 3], { include: { vector: true } }), before, `${each.call}`);
      }
      t.deepEqual(failures, []);
      await sound(t, c);
      t.log(`${cases} cases`);
    });
  }

  test.serial('k and efSearch that no search takes are refused at once, without memory', async (t) => {
    const c = await opened();
    for (const name of ['k', 'efSearch']) {
      for (const bad of [0, -1, 1.5, Number.NaN, 2 ** 31, 2 ** 53]) {
        for (const [method, call] of searches) {
          if (method === 'searchText' && name === 'efSearch') continue;
          const [begun, rss] = [performance.now(), process.memoryUsage.rss()];
          const refused = async () => call(c, v as never, { [name]: bad } as never);
          await t.throwsAsync(refused, { instanceOf: RangeError, code: 'ERR_ARGUMENT' }, `${method} ${name} ${bad}`);
          const [ms, grown] = [performance.now() - begun, process.memoryUsage.rss() - rss];
          t.true(ms < 100, `${method} ${name} ${bad}: ${ms} ms`);
          t.true(grown < 64 * 2 ** 20, `${method} ${name} ${bad}: ${grown} bytes`);
        }
      }
    }
  });

  test('a size that multiplies beyond all memory is an error', async (t) => {
    const c = await open<object>({ dim: 1, metric: 'l2' });
    await c.insert({ id: 'a', vector: [1] });
    const memory = { instanceOf: AuspexError, code: 'ERR_MEMORY' };
    const many = new Float32Array(1e6);
    await t.throwsAsync(() => c.searchBatch(many, { k: 1e6 }), memory);
    await t.throwsAsync(() => exactSearch(many, many, { k: 1e6, dim: 1, metric: 'l2' }), memory);
    const wide = await open<object>({ dim: 4096 });
    await t.throwsAsync(() => wide.insert({ ids: ['a'], vectors: endless as never }), memory);
    await t.throwsAsync(() => wide.searchBatch(endless as never), memory);
    t.is(c.size, 1);
  });
}

function isSendable(value: unknown): boolean {
  try {
    structuredClone(value);
    return true;
  } catch {
    return false;
  }
}

/** Registers the table for a collection at the other end of a port: what cannot even be sent is named as well. */
export function tableOf(far: (near: C) => Promise<Collection<object>>): void {
  const near = new Set(['open', 'exactSearch', 'searchSync']);
  for (const method of new Set(slots.map((each) => each.method).filter((each) => !near.has(each)))) {
    test(`${method}: wrong arguments are named over a port, and nothing changes`, async (t) => {
      const c = await opened();
      const collection = (await far(c)) as C;
      const before = c.searchSync([1, 2, 3], { include: { vector: true } });
      const failures: string[] = [];
      for (const each of slots.filter((one) => one.method === method)) {
        for (const bad of all) {
          // Without a port some promise or function is as good as an empty object.
          if (each.takes(bad[1]) && !isSendable(bad[1])) continue;
          const why = await wrong(collection, each, bad);
          if (why) failures.push(`${each.call}, ${bad[0]}: ${why}`);
        }
      }
      t.deepEqual(failures, []);
      t.is(c.size, 20);
      t.deepEqual(c.searchSync([1, 2, 3], { include: { vector: true } }), before);
      await collection.close();
    });
  }
}

/** Registers a fuzz of so many calls, each with at least one value that its argument does not take. */
export function fuzz(calls: number): void {
  test(`${calls} calls with wrong arguments, picked at random, each end in an error`, async (t) => {
    const c = await opened();
    const next = random(11);
    const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)] as T;
    /** A value made of others. */
    const mixed = (depth: number): unknown => {
      if (depth === 0 || next() < 0.4) return pick(all)[1];
      if (next() < 0.5) return Array.from({ length: Math.floor(next() * 4) }, () => mixed(depth - 1));
      const keys = [
        'id',
        'vector',
        'metadata',
        'ids',
        'vectors',
        'data',
        'dims',
        'k',
        'include',
        'signal',
        'length',
        'x',
      ];
      return Object.fromEntries(Array.from({ length: 3 }, () => [pick(keys), mixed(depth - 1)]));
    };
    let [done, refused] = [0, 0];
    while (done < calls) {
      const each = pick(slots);
      const known = next() < 0.5;
      const bad: Bad = known ? pick(all) : ['mixed', mixed(3)];
      if (known && each.takes(bad[1])) continue;
      const why = await wrong(c, known ? each : { ...each, names: /(?:)/, takes: () => true }, bad);
      done++;
      if (!why) refused++;
      else if (known || !/^refused|^resolved/.test(why)) t.fail(`${each.call}, ${bad[0]} ${inspect(bad[1])}: ${why}`);
    }
    await sound(t, c);
    t.true(refused > 0 && c.size >= 18);
  });
}

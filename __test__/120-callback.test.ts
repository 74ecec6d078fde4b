/** Code of the user's that runs in the middle of a call: getters, proxies, toJSON, iterators, valueOf. */
import { inspect } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { exactSearch, type LocalCollection, open } from '../dist/index.mjs';
import { ids, vectors } from './harness.ts';
import { detach, resizable, sound, unlike } from './hazards/harness.ts';

const dim = 8;
const rows = 3;

/** What a call is given, and what its getters can reach. */
interface Scene {
  c: LocalCollection<object>;
  /** `rows` vectors. */
  floats: Float32Array;
  /** One vector. */
  one: Float32Array;
  /** Runs the mischief, once. */
  strike: () => void;
  /** What the mischief started. */
  started: Promise<unknown>[];
}

const mine = new Error('thrown by a getter');

/** What a getter may do. */
const mischief: Record<string, (scene: Scene) => void> = {
  'moves the buffers': ({ floats, one }) => {
    for (const array of [floats, one]) if (array.length > 0) detach(array).fill(Number.NaN);
  },
  'shrinks the buffers': ({ floats, one }) => {
    for (const { buffer } of [floats, one]) (buffer as ReturnType<typeof resizable>).resize(4);
  },
  'closes the collection': ({ c, started }) => void started.push(c.close()),
  'inserts another row': ({ c, started }) =>
    void started.push(c.insert({ id: 'other', vector: new Float32Array(dim).fill(1) })),
  'upserts the same rows': ({ c, started }) =>
    void started.push(c.upsert({ ids: ids(rows), vectors: vectors(rows, dim, 9) })),
  'deletes rows and searches': ({ c, started }) => {
    started.push(c.delete('old'));
    c.searchSync(new Float32Array(dim).fill(1));
  },
  throws: () => {
    throw mine;
  },
};

const getter = (key: string, value: unknown, strike: () => void, rest: object = {}): object =>
  Object.defineProperty({ ...rest }, key, {
    enumerable: true,
    get() {
      strike();
      return value;
    },
  });

/** A method that strikes. */
const struck = (strike: () => void, value: unknown) => () => {
  strike();
  return value;
};

/** An array whose element `at` is an accessor. */
function accessor<T>(array: T[], at: number, strike: () => void): T[] {
  const value = array[at];
  return Object.defineProperty([...array], at, {
    get() {
      strike();
      return value;
    },
  });
}

/** An array that strikes when it is walked. */
function walked<T>(array: T[], strike: () => void): T[] {
  return Object.assign([...array], {
    *[Symbol.iterator]() {
      strike();
      yield* array;
    },
    *entries() {
      strike();
      yield* array.map((value, i) => [i, value]);
    },
  });
}

/** A proxy that strikes at every trap. */
function haunted<T extends object>(target: T, strike: () => void): T {
  const traps = Object.getOwnPropertyNames(Reflect).map((trap) => {
    const plain = Reflect[trap as keyof typeof Reflect] as unknown as (...args: unknown[]) => unknown;
    return [
      trap,
      (...args: unknown[]) => {
        strike();
        return plain(...args);
      },
    ];
  });
  return new Proxy(target, Object.fromEntries(traps));
}

/** An array whose own `length` strikes. */
function measured(array: Float32Array, strike: () => void): Float32Array {
  const { length } = array;
  return Object.defineProperty(array, 'length', {
    configurable: true,
    get() {
      strike();
      return length;
    },
  });
}

const names = ids(rows);
const blank = names.map(() => ({}));
type Call = (scene: Scene) => Promise<unknown>;
type Any = never;

const insert =
  (make: (scene: Scene) => object): Call =>
  (scene) =>
    scene.c.insert(make(scene) as Any);
const rowsOf = ({ floats }: Scene) =>
  names.map((id, i) => ({ id, vector: floats.subarray(i * dim, (i + 1) * dim), metadata: {} }));

/** Every property that a write reads, and how it strikes. */
const writes: Record<string, Call> = {
  'row.id': insert(({ one, strike }) => getter('id', 'r0', strike, { vector: one })),
  'row.vector': insert(({ one, strike }) => getter('vector', one, strike, { id: 'r0' })),
  'row.metadata': insert(({ one, strike }) => getter('metadata', {}, strike, { id: 'r0', vector: one })),
  'rows[1]': insert((scene) => accessor(rowsOf(scene), 1, scene.strike)),
  'rows[1].vector': insert((scene) => {
    const all: object[] = rowsOf(scene);
    all[1] = getter('vector', scene.one, scene.strike, { id: 'r1' });
    return all;
  }),
  'rows.entries': insert((scene) => walked(rowsOf(scene), scene.strike)),
  'a proxy of rows': insert((scene) => haunted(rowsOf(scene), scene.strike)),
  'a proxy of a row': insert(({ one, strike }) => haunted({ id: 'r0', vector: one, metadata: {} }, strike)),
  ids: insert(({ floats, strike }) => getter('ids', names, strike, { vectors: floats })),
  'ids[1]': insert(({ floats, strike }) => ({ ids: accessor(names, 1, strike), vectors: floats })),
  'ids[Symbol.iterator]': insert(({ floats, strike }) => ({ ids: walked(names, strike), vectors: floats })),
  'a proxy of ids': insert(({ floats, strike }) => ({ ids: haunted([...names], strike), vectors: floats })),
  vectors: insert(({ floats, strike }) => getter('vectors', floats, strike, { ids: names })),
  'vectors[1]': insert((scene) => ({
    ids: names,
    vectors: accessor(
      rowsOf(scene).map(({ vector }) => vector),
      1,
      scene.strike,
    ),
  })),
  'vectors[1][2]': insert((scene) => ({
    ids: names,
    vectors: [scene.one, accessor(Array(dim).fill(1), 2, scene.strike), scene.one],
  })),
  'vectors.length': insert(({ floats, strike }) => ({ ids: names, vectors: measured(floats, strike) })),
  'vectors[1].length': insert(({ one, floats, strike }) => ({
    ids: names,
    vectors: [floats.subarray(0, dim), measured(one, strike), floats.subarray(2 * dim)],
  })),
  'a proxy of columns': insert(({ floats, strike }) =>
    haunted({ ids: names, vectors: floats, metadata: blank }, strike),
  ),
  metadata: insert(({ floats, strike }) => getter('metadata', blank, strike, { ids: names, vectors: floats })),
  'metadata[1]': insert(({ floats, strike }) => ({
    ids: names,
    vectors: floats,
    metadata: accessor(blank, 1, strike),
  })),
  'a property of metadata': insert(({ floats, strike }) => ({
    ids: names,
    vectors: floats,
    metadata: [{}, getter('x', 1, strike), {}],
  })),
  'toJSON of metadata': insert(({ floats, strike }) => ({
    ids: names,
    vectors: floats,
    metadata: [{}, {}, { toJSON: struck(strike, { x: 1 }) }],
  })),
  'tensor.data': insert(({ floats, strike }) => ({
    ids: names,
    vectors: getter('data', floats, strike, { dims: [rows, dim] }),
  })),
  'tensor.dims': insert(({ floats, strike }) => ({
    ids: names,
    vectors: getter('dims', [rows, dim], strike, { data: floats }),
  })),
  'dims[0]': insert(({ floats, strike }) => ({
    ids: names,
    vectors: { data: floats, dims: accessor([rows, dim], 0, strike) },
  })),
  'valueOf of dims[0]': insert(({ floats, strike }) => ({
    ids: names,
    vectors: { data: floats, dims: [{ valueOf: struck(strike, rows) }, dim] },
  })),
  'dims[Symbol.iterator]': insert(({ floats, strike }) => ({
    ids: names,
    vectors: { data: floats, dims: walked([rows, dim], strike) },
  })),
  'options.signal': ({ c, floats, strike }) =>
    c.insert({ ids: names, vectors: floats }, getter('signal', new AbortController().signal, strike)),
  'options.onProgress': ({ c, floats, strike }) =>
    c.upsert(
      { ids: names, vectors: floats },
      getter('onProgress', () => {}, strike),
    ),
  onProgress: ({ c, floats, strike }) => c.upsert({ ids: names, vectors: floats }, { onProgress: strike }),
  'signal.addEventListener': ({ c, floats, strike }) => {
    const { signal } = new AbortController();
    signal.addEventListener = strike;
    return c.upsert({ ids: names, vectors: floats }, { signal });
  },
  'signal.throwIfAborted': ({ c, floats, strike }) => {
    const { signal } = new AbortController();
    signal.throwIfAborted = strike;
    return c.insert({ ids: names, vectors: floats }, { signal });
  },
  'signal.removeEventListener': ({ c, floats, strike }) => {
    const { signal } = new AbortController();
    signal.removeEventListener = strike;
    return c.insert({ ids: names, vectors: floats }, { signal });
  },
  'a row of a stream': ({ c, one, strike }) => c.load([getter('vector', one, strike, { id: 'r0' })] as Any),
  'vectors of a stream': ({ c, floats, strike }) =>
    c.load([getter('metadata', blank, strike, { ids: names, vectors: floats })] as Any, { batchSize: 2 }),
  'the iterator of a stream': ({ c, floats, strike }) =>
    c.load(walked([{ ids: names, vectors: floats }], strike) as Any),
  'next of a stream': ({ c, floats, strike }) => {
    function* stream() {
      yield { ids: names, vectors: floats };
      strike();
    }
    return c.load(stream(), { batchSize: 1 });
  },
  'what follows a yield of a stream': ({ c, floats, strike }) => {
    function* stream() {
      yield { ids: names, vectors: floats };
    }
    const loading = c.load(stream(), { batchSize: 1 });
    queueMicrotask(() => {
      try {
        strike();
      } catch {}
    });
    return loading;
  },
};

const search =
  (make: (scene: Scene) => [unknown, unknown?]): Call =>
  (scene) =>
    Promise.all((['search', 'explain'] as const).map((method) => scene.c[method](...(make(scene) as [Any, Any]))));
const signal = new AbortController().signal;

/** Every property that a read reads. */
const reads: Record<string, Call> = {
  'query.length': search(({ one, strike }) => [measured(one, strike)]),
  'query[2]': search(({ strike }) => [accessor(Array(dim).fill(1), 2, strike)]),
  'query.data': search(({ one, strike }) => [getter('data', one, strike, { dims: [dim] })]),
  'query.dims': search(({ one, strike }) => [getter('dims', [dim], strike, { data: one })]),
  'a proxy of a query': search(({ strike }) => [haunted(Array(dim).fill(1), strike)]),
  'a proxy of a tensor': search(({ one, strike }) => [haunted({ data: one, dims: [dim] }, strike)]),
  k: search(({ one, strike }) => [one, getter('k', 2, strike)]),
  efSearch: search(({ one, strike }) => [one, getter('efSearch', 2, strike)]),
  exact: search(({ one, strike }) => [one, getter('exact', true, strike)]),
  include: search(({ one, strike }) => [one, getter('include', { vector: true }, strike)]),
  'include.vector': search(({ one, strike }) => [one, { include: getter('vector', true, strike) }]),
  'include.metadata': search(({ one, strike }) => [one, { include: getter('metadata', false, strike) }]),
  signal: search(({ one, strike }) => [one, getter('signal', signal, strike)]),
  'a proxy of options': search(({ one, strike }) => [one, haunted({ k: 2, exact: true, signal }, strike)]),
  'a proxy of a signal': search(({ one, strike }) => [one, { signal: haunted(signal, strike) }]),
  'searchSync with options': async ({ c, one, strike }) =>
    c.searchSync(one, getter('include', getter('vector', true, strike), strike)),
  'searchBatch of vectors': ({ c, one, strike }) => c.searchBatch(accessor([one, one, one], 1, strike)),
  'searchBatch with options': ({ c, floats, strike }) => c.searchBatch(floats, getter('exact', true, strike)),
  'similar with options': ({ c, strike }) => c.similar('old', getter('include', { vector: true }, strike)),
  'get of ids': ({ c, strike }) => c.get(accessor(['old', 'r0', 'r1'], 1, strike)),
  'get with options': ({ c, strike }) => c.get('old', getter('include', { vector: true }, strike) as Any),
  'delete of ids': ({ c, strike }) => c.delete(accessor(['r0', 'r1', 'r2'], 1, strike)),
  'exactSearch of vectors': ({ floats, one, strike }) =>
    exactSearch(accessor([floats.subarray(0, dim), one], 1, strike), floats, { k: 1, dim }),
  'exactSearch for queries': ({ floats, one, strike }) =>
    exactSearch(floats, accessor([one, floats.subarray(0, dim)], 0, strike), { k: 1, dim }),
  'exactSearch with options': ({ floats, one, strike }) =>
    exactSearch(floats, one, getter('dim', dim, strike, { k: 1 }) as Any),
  'open with options': ({ strike }) => open(getter('metric', 'l2', strike, { dim: 3 }) as Any),
  'open with a proxy': ({ strike }) => open(haunted({ dim: 3, metric: 'dot', m: 4 }, strike)),
};

async function scene(what: string): Promise<Scene> {
  const c = await open<object>({ dim, metric: 'l2' });
  await c.insert({ id: 'old', vector: new Float32Array(dim).fill(0.5) });
  const movable = (n: number) => {
    const array = new Float32Array(resizable(n * dim * 4));
    array.set(vectors(n, dim));
    return array;
  };
  const [floats, one] = [movable(rows), movable(1)];
  let struck = false;
  const all: Scene = { c, floats, one, strike: () => {}, started: [] };
  all.strike = () => {
    if (struck) return;
    struck = true;
    mischief[what]?.(all);
  };
  return all;
}

/** The call ends as the types say it may, and the collection holds whole writes of sound rows. */
async function survives(t: ExecutionContext, about: string, what: string, call: Call): Promise<void> {
  const given = await scene(what);
  const { c } = given;
  const wanted = vectors(rows, dim);
  let failure: unknown;
  try {
    await call(given);
  } catch (error) {
    failure = error;
  }
  await Promise.allSettled(given.started);
  const why = failure === undefined || failure === mine ? undefined : unlike(failure);
  if (why) t.fail(`${about} ${what}: ${why}`);
  if (c.closed) return;
  const { size } = c;
  const others = Number(await c.has('old')) + Number(await c.has('other'));
  const written = size - others;
  if (![0, 1, 3].includes(written)) {
    // A stream is written batch by batch.
    if (!about.includes('stream')) t.fail(`${about} ${what}: ${written} rows of ${rows}`);
  }
  await sound(t, c, `${about} ${what}`);
  if (what === 'upserts the same rows') return;
  for (const [i, row] of (await c.get(names, { include: { vector: true } })).entries()) {
    if (!row) continue;
    const allowed = [wanted.subarray(i * dim, (i + 1) * dim), wanted.subarray(0, dim), new Float32Array(dim).fill(1)];
    const known = allowed.some((each) => inspect(each) === inspect(row.vector));
    if (!known) t.fail(`${about} ${what}: ${row.id} is ${inspect(row.vector)}`);
  }
}

for (const what of Object.keys(mischief)) {
  test(`whatever a write reads, code that ${what} does no harm`, async (t) => {
    for (const [about, call] of Object.entries(writes)) await survives(t, about, what, call);
    t.pass();
  });

  test(`whatever a read reads, code that ${what} does no harm`, async (t) => {
    for (const [about, call] of Object.entries(reads)) await survives(t, about, what, call);
    t.pass();
  });
}

test.serial('code that the addon runs while it converts arguments cannot move the floats it copies', async (t) => {
  const c = await open({ dim, metric: 'l2' });
  await c.insert({ ids: ids(50), vectors: vectors(50, dim) });
  const { prototype } = Object;
  const calls = [
    (query: Float32Array) => c.search(query),
    (query: Float32Array) => c.explain(query),
    async (query: Float32Array) => c.searchSync(query),
  ];
  for (const call of calls) {
    for (let round = 0; round < 20; round++) {
      const query = new Float32Array(new ArrayBuffer(dim * 4)).fill(0.25);
      let moved = 0;
      // A property that the options lack is looked up in their prototype: by then the array was handed over.
      Object.defineProperty(prototype, 'efSearch', {
        configurable: true,
        get() {
          if (query.length > 0) detach(query).fill(Number.NaN);
          moved++;
        },
      });
      const running = call(query);
      delete (prototype as { efSearch?: unknown }).efSearch;
      const error = await t.throwsAsync(running, { code: 'ERR_DIMENSION' }, `${call}`);
      t.regex(error?.message ?? '', /0 floats.*transferred|length 0/);
      t.true(moved > 0);
    }
  }
});

test.serial('constructors of the user are not taken for those of the language', async (t) => {
  const c = await open<object>({ dim, metric: 'l2' });
  await c.insert({ ids: ids(50), vectors: vectors(50, dim) });
  const [query, include] = [vectors(1, dim), { vector: true }] as const;
  const { Float32Array: Floats, Uint32Array: Words } = globalThis;
  const fakes: [() => unknown, string][] = [
    [() => ({}), 'ERR_INTERNAL'],
    [() => new Floats(1), 'ERR_INTERNAL'],
    [() => new Words(3), 'ERR_INTERNAL'],
    [
      () => {
        throw mine;
      },
      'ERR_MEMORY',
    ],
  ];
  const calls = [
    () => exactSearch(query, query, { k: 1, dim }),
    () => c.searchBatch(query),
    () => c.search(query, { include }),
    async () => c.searchSync(query, { include }),
    () => c.get('r1', { include }),
  ];
  for (const [make, code] of fakes) {
    // An arrow function has no `new`.
    const fake = function fake() {
      return make();
    };
    for (const call of calls) {
      let error: unknown;
      try {
        Object.assign(globalThis, { Float32Array: fake, Uint32Array: fake });
        await call();
      } catch (thrown) {
        error = thrown;
      } finally {
        Object.assign(globalThis, { Float32Array: Floats, Uint32Array: Words });
      }
      t.like(error, { name: 'AuspexError', code }, `${call} ${make}`);
    }
  }
});

import { setTimeout as sleep } from 'node:timers/promises';
import { createContext, runInContext } from 'node:vm';
import { MessageChannel, Worker } from 'node:worker_threads';
import test, { type ExecutionContext } from 'ava';
import { build } from 'esbuild';
import * as electron from '../dist/electron/index.mjs';
import * as renderer from '../dist/electron/renderer.mjs';
import { AuspexError, type Collection, isAuspexError, type LocalCollection, type Progress } from '../dist/index.mjs';
import {
  type AnyCollection,
  filled,
  ids,
  outOfRange,
  rejects,
  root,
  row,
  throws,
  vectors,
  wrongType,
} from './harness.ts';
import { CHANNELS, type MainPort, type WebPort } from './ports.ts';

const { connect, serve } = electron;
const dim = 8;

type Row = { i: number };
type Kind = keyof typeof CHANNELS;

/** A collection, and the same at the other end of a port. */
async function remote(t: ExecutionContext, kind: Kind = 'node', rows = 50) {
  const { collection, floats } = await filled(rows, dim);
  const [window, process] = CHANNELS[kind]();
  const server = serve(collection, process);
  t.teardown(() => server.close());
  const far = await connect<Row>(window);
  return { collection, floats, far, window, process, server };
}

/** How a call ended, as far as it can be compared. */
async function outcome(call: () => Promise<unknown>): Promise<unknown> {
  const said = (error: unknown): unknown => {
    if (!(error instanceof Error)) return error;
    const { name, message, code, loaded, cause } = error as AuspexError;
    return {
      is: error.constructor,
      name,
      message,
      code,
      loaded,
      known: isAuspexError(error),
      cause: cause && said(cause),
    };
  };
  try {
    return { value: await call() };
  } catch (error) {
    return { error: said(error) };
  }
}

/** Waits for what comes by itself. */
async function until(come: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !come(); i++) await sleep(10);
}

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const each of stream) found.push(each);
  return found;
}

/** What a tensor of transformers.js is like: its parts are getters of a class. */
class Tensor {
  readonly #floats: Float32Array;
  constructor(floats: Float32Array) {
    this.#floats = floats;
  }
  get data() {
    return this.#floats;
  }
  get dims() {
    return [1, dim];
  }
}

const v = (seed: number) => vectors(1, dim, seed);
const without = <T extends object>(value: T, ...keys: string[]) =>
  Object.fromEntries(Object.entries(value).filter(([key]) => !keys.includes(key)));

/** One call after another, on a collection of 50 rows. Each must end here as it ends there. */
// biome-ignore lint/suspicious/noExplicitAny: wrong arguments are among them
const script: ((c: Collection<any>) => Promise<unknown>)[] = [
  async (c) => [c.dim, c.metric],
  (c) => c.insert({ id: 'new', vector: Array.from(v(2)), metadata: { i: 100, at: new Date(0), no: undefined } }),
  (c) => c.get('new', { include: { vector: true } }),
  (c) => c.insert([{ id: 'new', vector: v(3), metadata: { i: 1 } }]),
  (c) => c.insert([{ id: 'short', vector: [1, 2], metadata: { i: 1 } }]),
  (c) => c.insert([{ id: 'nan', vector: v(3).fill(Number.NaN) }]),
  (c) => c.insert({ ids: ['x', 'y'], vectors: vectors(2, dim, 4), metadata: [{ i: 1 }, undefined] }),
  (c) => c.insert({ ids: ['z'], vectors: vectors(5, dim, 4).subarray(2 * dim, 3 * dim) }),
  (c) => c.insert({ ids: ['z2', 'z3'], vectors: [new Float64Array(dim).fill(0.5), Array.from(v(9))] }),
  (c) => c.get(['x', 'y', 'z', 'nobody'], { include: { vector: true } }),
  (c) => c.upsert([{ id: 'r0', vector: v(5), metadata: { toJSON: () => ({ i: 7, nested: { deep: [1, null] } }) } }]),
  (c) => c.update('r0', { metadata: { i: undefined, extra: 'x' } }),
  (c) => c.update('r1', { vector: v(6), metadata: { i: 3 } }),
  (c) => c.update('nobody', {}),
  (c) => c.get(['r0', 'r1'], { include: { vector: true } }),
  (c) => c.has('r3'),
  (c) => c.count(),
  (c) => c.count({ i: { $gte: 10, $lt: 20 } }),
  (c) => c.count({ $nope: 1 }),
  (c) => c.count({ i: new Date(0) }),
  (c) => c.count({ i: new (class Conditions {})() }),
  (c) => c.search(v(7), { k: 3, include: { vector: true } }),
  (c) => c.search(vectors(3, dim, 7).subarray(dim, 2 * dim), { k: 3, include: { metadata: false } }),
  (c) => c.search(new Tensor(v(7)), { k: 2, filter: { i: { $lt: 30 } } }),
  (c) => c.search(v(7), { k: 0 }),
  (c) => c.search(v(7), { efsearch: 3 } as never),
  (c) => c.search(v(7), { signal: AbortSignal.abort(new Error('enough')) }),
  (c) => c.search([1, 2]),
  (c) => c.search(new Float32Array(dim)),
  (c) => c.similar('r5', { k: 3, maxDistance: 0.9 }),
  (c) => c.similar('nobody'),
  (c) => c.searchText('a', { k: 3 }),
  (c) => c.searchText(7 as never),
  (c) => c.searchHybrid({ vector: v(3), text: 'a' }),
  (c) => c.searchHybrid({ vector: [1], text: 'a' }),
  async (c) => without(await c.explain(v(7), { exact: true }), 'microseconds'),
  async (c) => {
    const found = await c.searchBatch(vectors(3, dim, 8), { k: 4, filter: { i: { $lt: 3 } } });
    const at = [-1, 0, 0.5, 1, 2, 3, 4];
    return [found.k, found.counts, found.distances, found.ids(), at.map((q) => at.map((h) => found.id(q, h)))];
  },
  async (c) => (await c.searchBatch([v(1)])).id('0' as never, 1),
  (c) => all(c.items()),
  (c) => all(c.items({ filter: { i: { $lt: 9 } }, include: { vector: true, metadata: false } })),
  (c) => all(c.items({ filtre: 1 } as never)),
  (c) => c.delete({ filter: { i: { $gte: 40 } } }),
  (c) => c.delete({ filter: {} }),
  (c) => c.delete({ filter: undefined } as never),
  (c) => c.delete(['r2', 'r3', 'nobody']),
  (c) => c.delete('r4'),
  (c) =>
    c.load([
      { id: 'l1', vector: v(11) },
      { ids: ['l2', 'l3'], vectors: vectors(2, dim, 12) },
    ]),
  (c) => c.load(endless(700), { batchSize: 100 }),
  (c) => c.load(endless(300, new Error('the stream broke')), { batchSize: 100 }),
  (c) => c.load(endless(300, new AuspexError('ERR_IO', 'of another collection')), { batchSize: 100 }),
  (c) =>
    c.load(
      [
        { id: 'n1', vector: v(1) },
        { id: 'l1', vector: v(1) },
      ],
      { mode: 'insert', batchSize: 1 },
    ),
  (c) =>
    c.load([
      { id: 'n2', vector: v(1) },
      { id: 'n3', vector: [1] },
    ]),
  (c) => c.load([{ id: 'n2', vector: v(1) }, 5 as never]),
  (c) => c.load(5 as never),
  (c) => c.load([], { mode: 'replace' } as never),
  (c) => c.count(),
  (c) => c.refresh(),
  (c) => c.flush(),
  (c) => c.compact().then(({ reclaimedBytes }) => typeof reclaimedBytes),
  (c) => c.rebuild({ quantization: 'sq4' }),
  (c) => c.verify(),
  (c) =>
    c.estimateRecall({ k: 3, sample: 20 }).then((points) => points.map(({ efSearch, recall }) => [efSearch, recall])),
  (c) => c.estimateRecall({ efSearch: [0] }),
  (c) => c.tune({ targetRecall: 0.5, k: 3 }).then(({ efSearch, recall }) => [efSearch, recall]),
  (c) => c.tune({ targetRecall: 2 }),
  (c) => c.search(v(3), { k: 4, groupBy: { field: 'i' } }),
  (c) => c.search(v(3), { k: 4, diversify: { lambda: 0.3 } }),
  (c) => c.stats().then(({ rows, layers, unreachable }) => [rows, layers, unreachable]),
  (c) => c.snapshot(''),
  (c) => c.snapshot(5 as never),
  (c) => c.clear(),
  (c) => c.count(),
];

function* endless(n: number, end?: Error) {
  for (let i = 0; i < n; i++) yield { id: `s${i}`, vector: v(100 + i), metadata: { i } };
  if (end) throw end;
}

for (const kind of Object.keys(CHANNELS) as Kind[]) {
  test(`over a port (${kind}) every call ends as it does without`, async (t) => {
    const { collection: near } = await filled(50, dim);
    const { far } = await remote(t, kind);
    for (const call of script) {
      const [here, there] = [await outcome(() => call(near)), await outcome(() => call(far))];
      t.deepEqual(there, here, String(call));
    }
    await far.close();
    t.deepEqual(await outcome(() => far.count()), await outcome(() => near.close().then(() => near.count())));
  });
}

test('calls take effect in the order in which they are made', async (t) => {
  const { far } = await remote(t);
  const writes = [
    far.upsert({ id: 'a', vector: v(1), metadata: { i: 1 } }),
    far.update('a', { metadata: { i: 2 } }),
    far.delete('a'),
    far.insert({ id: 'a', vector: v(1), metadata: { i: 3 } }),
  ];
  t.deepEqual(await Promise.all(writes as Promise<unknown>[]), [{ inserted: 1, updated: 0 }, true, 1, 1]);
  t.is((await far.get('a'))?.metadata.i, 3);
});

test('an argument is copied before the call returns, and its buffer stays with who made it', async (t) => {
  for (const kind of Object.keys(CHANNELS) as Kind[]) {
    const { far, collection } = await remote(t, kind);
    const many = vectors(6, dim, 3);
    const [whole, part] = [row(many, dim, 0), many.subarray(dim, 3 * dim)];
    const given = [whole.slice(), part.slice()];
    const writes = [
      far.insert({ id: 'whole', vector: whole, metadata: { i: 0 } }),
      far.insert({ ids: ['p0', 'p1'], vectors: part, metadata: [{ i: 1 }, { i: 2 }] }),
    ];
    for (const floats of [whole, part]) {
      t.true(floats.length > 0, kind);
      floats.fill(9);
    }
    await Promise.all(writes);
    const found = await collection.get(['whole', 'p0', 'p1'], { include: { vector: true } });
    const stored = found.map((each) => each?.vector);
    t.deepEqual(stored, [given[0], given[1]?.slice(0, dim), given[1]?.slice(dim)], kind);
  }
});

test('a part of a large buffer is sent without the rest', async (t) => {
  const { far, process } = await remote(t, 'web to electron');
  const large = vectors(10_000, dim, 1);
  await far.search(large.subarray(dim, 2 * dim));
  await far.searchBatch(large.subarray(dim, 3 * dim));
  const sent = (process as MainPort).end.seen as { method?: string; args?: [Float32Array] }[];
  const sizes = sent.flatMap(({ method, args }) => (method && args ? args[0].buffer.byteLength : []));
  t.deepEqual(sizes, [4 * dim, 8 * dim]);
});

test('answers are transferred where they can be', async (t) => {
  for (const [kind, transfers] of [
    ['web', true],
    ['electron', false],
  ] as const) {
    const { collection } = await filled(20, dim);
    const [window, process] = CHANNELS[kind]();
    const lists: number[] = [];
    const post = (process as WebPort).postMessage.bind(process);
    (process as WebPort).postMessage = (message, transfer = []) => {
      lists.push(transfer.length);
      post(message, transfer);
    };
    t.teardown(serve(collection, process).close);
    const far = await connect<Row>(window);
    await far.search(v(1), { k: 5, include: { vector: true } });
    await far.searchBatch([v(1)], { k: 5 });
    t.deepEqual(lists, transfers ? [0, 5, 2] : [0, 0, 0]);
  }
});

test('a signal ends a search, a job and a stream at the other end', async (t) => {
  const { collection, far } = await remote(t, 'web to electron', 3000);
  const reason = new Error('enough');
  const calls: ((signal: AbortSignal) => Promise<unknown>)[] = [
    (signal) => far.searchBatch(vectors(3000, dim), { exact: true, signal }),
    (signal) => far.verify({ signal }),
    (signal) => far.load(endless(1e9), { signal, batchSize: 100 }),
  ];
  for (const call of calls) {
    const controller = new AbortController();
    const running = call(controller.signal);
    setImmediate(() => controller.abort(reason));
    await t.throwsAsync(() => running, { is: reason }, String(call));
  }
  t.is(await far.count(), collection.size);
});

test('after a signal a result still counts where something was done, and not where something was asked', async (t) => {
  const { far, window } = await remote(t, 'web');
  const { end } = window as WebPort;
  const { deliver } = end;
  const reason = new Error('enough');
  let controller = new AbortController();
  end.deliver = {
    closed: () => deliver?.closed(),
    message(data, ports) {
      if (Reflect.get(data as object, 'kind') === 'result') controller.abort(reason);
      deliver?.message(data, ports);
    },
  };
  const late = <T>(call: (signal: AbortSignal) => Promise<T>) => {
    controller = new AbortController();
    return call(controller.signal);
  };
  t.is(await late((signal) => far.insert({ id: 'a', vector: v(1), metadata: { i: 1 } }, { signal })), 1);
  t.true((await late((signal) => far.verify({ signal }))).ok);
  t.is(await late((signal) => far.load([{ id: 'b', vector: v(1), metadata: { i: 1 } }], { signal })), 1);
  await t.throwsAsync(() => late((signal) => far.search(v(1), { signal })), { is: reason });
  await t.throwsAsync(() => late((signal) => far.searchBatch([v(1)], { signal })), { is: reason });
});

test('a signal given to many calls has one listener, and keeps none', async (t) => {
  const { far } = await remote(t);
  const { signal } = new AbortController();
  let [listeners, most] = [0, 0];
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    most = Math.max(most, ++listeners);
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  await Promise.all(Array.from({ length: 50 }, () => far.search(v(1), { signal })));
  t.deepEqual([listeners, most], [0, 1]);
});

test('progress arrives, and what the callback throws rejects the call after all is done', async (t) => {
  const { far } = await remote(t, 'web');
  const seen: Progress[] = [];
  const n = 2000;
  const batch = { ids: ids(n, 100), vectors: vectors(n, dim), metadata: Array.from({ length: n }, (_, i) => ({ i })) };
  await far.insert(batch, { onProgress: (progress) => seen.push(progress) });
  t.like(seen.at(-1), { phase: 'insert', done: n, total: n });
  const reason = new Error('of the callback');
  const throwing = () => {
    throw reason;
  };
  const late = { id: 'late', vector: v(1), metadata: { i: 0 } };
  await t.throwsAsync(() => far.insert(late, { onProgress: throwing }), { is: reason });
  t.true(await far.has('late'));
});

/** A collection of one's own, whose `items` counts what is read of it. */
function counted(collection: LocalCollection<Row>) {
  const count = { read: 0, ended: 0 };
  const items = async function* () {
    try {
      for (;;) {
        count.read++;
        yield { id: `${count.read}`, metadata: { i: count.read } };
      }
    } finally {
      count.ended++;
    }
  };
  const served = new Proxy(collection, {
    get: (target, key) => {
      if (key === 'items') return items;
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { served, count };
}

test('items are read no faster than they are asked for, and end with the loop, the handle or the port', async (t) => {
  const { collection } = await filled(1, dim);
  const { served, count } = counted(collection);
  const [window, process] = CHANNELS.web();
  serve(served, process);
  const far = await connect<Row>(window);
  const take = async (n: number) => {
    for await (const { id } of far.items()) if (id === `${n}`) break;
  };
  await take(1);
  const page = count.read;
  t.true(page > 1 && page <= 1000, `${page}`);
  count.read = 0;
  await take(2 * page + 1);
  t.is(count.read, 3 * page);
  await until(() => count.ended === 2);
  t.is(count.ended, 2);

  const open = far.items()[Symbol.asyncIterator]();
  await open.next();
  const other = await connect<Row>(window);
  const left = other.items()[Symbol.asyncIterator]();
  await left.next();
  await other.close();
  await rejects(t, () => left.next() as Promise<unknown>, { is: AuspexError, code: 'ERR_CLOSED' });
  await until(() => count.ended === 3);
  t.is(count.ended, 3);
  window.close();
  await until(() => count.ended === 4);
  t.is(count.ended, 4);
});

test('a window reads its stream no faster than it is written, and closes it', async (t) => {
  const { collection, far } = await remote(t, 'web to electron');
  let [read, closed] = [0, 0];
  async function* stream(n: number) {
    try {
      for (let i = 0; i < n; i++) {
        read++;
        // The batches written, the one that is being written, the one that fills, and what is on its way.
        t.true(read <= collection.size - 50 + 2 * 100 + 256 + 1, `${read} read, ${collection.size} rows`);
        yield { id: `s${i}`, vector: v(i), metadata: { i } };
      }
    } finally {
      closed++;
    }
  }
  t.is(await far.load(stream(3000), { batchSize: 100 }), 3000);
  t.is(closed, 1);
  await t.throwsAsync(() => far.load(stream(10), { mode: 'no' } as never));
  t.deepEqual([read, closed], [3000, 1]);
  const known = { mode: 'insert', batchSize: 10 } as const;
  await t.throwsAsync(() => far.load(stream(1e9), known), { code: 'ERR_EXISTS' });
  await until(() => closed === 2);
  t.is(closed, 2);
});

/** A collection whose searches and jobs go on until they are ended. */
function hanging(collection: LocalCollection<Row>) {
  const ended: string[] = [];
  const hang = (name: string, { signal }: { signal?: AbortSignal } = {}) =>
    new Promise((_, reject) => {
      signal?.addEventListener('abort', () => {
        ended.push(name);
        reject(signal.reason);
      });
    });
  const served = new Proxy(collection, {
    get(target, key) {
      if (key === 'search') return (_: unknown, options?: object) => hang('search', options);
      if (key === 'verify') return (options?: object) => hang('verify', options);
      const value: unknown = Reflect.get(target, key, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  return { served, ended };
}

for (const kind of Object.keys(CHANNELS) as Kind[]) {
  test(`when the port dies (${kind}), what is pending rejects, streams close and iterations end`, async (t) => {
    const { collection } = await filled(2000, dim);
    const [window, process] = CHANNELS[kind]();
    serve(hanging(collection).served, process);
    const far = await connect<Row>(window);
    const gone = { is: AuspexError, code: 'ERR_CLOSED', says: ['port'] };
    const iterator = far.items()[Symbol.asyncIterator]();
    await iterator.next();
    const read = { values: 0, closed: false };
    let resume = () => {};
    const stalled = async function* () {
      try {
        for (;;) {
          read.values++;
          yield { id: 's', vector: v(1), metadata: { i: 1 } };
          if (read.values === 300)
            await new Promise<void>((go) => {
              resume = go;
            });
        }
      } finally {
        read.closed = true;
      }
    };
    const pending = [far.search(v(1)), far.verify(), far.load(stalled())];
    await until(() => read.values === 300);
    process.close();
    for (const each of pending) await rejects(t, () => each as Promise<unknown>, gone);
    await rejects(t, () => far.count(), gone);
    await rejects(t, () => all({ [Symbol.asyncIterator]: () => iterator }), gone);
    await far.close();
    resume();
    await until(() => read.closed);
    t.deepEqual([read, collection.size], [{ values: 301, closed: true }, 2000]);
  });

  test(`when a window goes (${kind}), what it waited for is ended`, async (t) => {
    const { collection } = await filled(20, dim);
    const { served, ended } = hanging(collection);
    const [window, process] = CHANNELS[kind]();
    serve(served, process);
    const far = await connect<Row>(window);
    const pending = [far.search(v(1)), far.verify(), far.search(v(1), { signal: new AbortController().signal })];
    Promise.allSettled(pending);
    await far.count();
    window.close();
    await until(() => ended.length === 3);
    t.deepEqual(ended.sort(), ['search', 'search', 'verify']);
  });
}

test('a write that arrived is written, though the window is gone', async (t) => {
  const { collection, far, window } = await remote(t, 'web');
  const written = far.insert({
    ids: ids(500, 100),
    vectors: vectors(500, dim),
    metadata: ids(500).map(() => ({ i: 1 })),
  });
  written.catch(() => {});
  setImmediate(() => window.close());
  await until(() => collection.size === 550);
  t.is(collection.size, 550);
});

test('closing leaves the collection to others, and waits for what was called', async (t) => {
  const { collection, floats } = await filled(2000, dim);
  const [[a, b], [c, d]] = [CHANNELS.web(), CHANNELS['web to electron']()];
  serve(collection, b);
  serve(collection, d);
  const [one, two, other] = [await connect<Row>(a), await connect<Row>(a), await connect<Row>(c)];
  const write = one.insert({ id: 'a', vector: v(1), metadata: { i: 1 } });
  const job = t.throwsAsync(() => one.verify(), { code: 'ERR_CLOSED' });
  const closing = one.close();
  await t.throwsAsync(() => one.count(), { code: 'ERR_CLOSED' });
  await closing;
  t.is(await write, 1);
  await job;
  t.is(one.close() instanceof Promise, true);
  t.true(await two.has('a'));
  await two.close();
  await t.throwsAsync(() => connect(a), { code: 'ERR_CLOSED' });
  const [hit] = await other.search(row(floats, dim, 3), { k: 1 });
  t.is(hit?.id, 'r3');
  t.false(collection.closed);
  await collection.close();
  await t.throwsAsync(() => other.count(), { code: 'ERR_CLOSED' });
  await other.close();
});

test('the process ends what it serves, and its collection stays open', async (t) => {
  const { collection, far, server } = await remote(t, 'web to electron');
  server.close();
  await t.throwsAsync(() => far.count(), { code: 'ERR_CLOSED' });
  await far.close();
  t.is(await collection.count(), 50);
});

test('several collections over one port, by name', async (t) => {
  const [{ collection: notes }, { collection: mail }] = [await filled(3, dim), await filled(5, 2, { metric: 'l2' })];
  const [window, process] = CHANNELS['web to electron']();
  serve({ notes, mail }, process);
  const [a, b] = await Promise.all([connect(window, { name: 'notes' }), connect(window, { name: 'mail' })]);
  t.deepEqual([a.dim, a.metric, await a.count()], [dim, 'cosine', 3]);
  t.deepEqual([b.dim, b.metric, await b.count()], [2, 'l2', 5]);
  const unknown = { is: AuspexError, code: 'ERR_NOT_FOUND', says: ['notes', 'mail'] };
  await rejects(t, () => connect(window, { name: '__proto__' }), unknown);
  await rejects(t, () => connect(window), unknown);
  t.is(await a.count(), 3);
});

test('connecting waits for the process, until a signal', async (t) => {
  const { collection } = await filled(3, dim);
  const [window, process] = CHANNELS.web();
  const reason = new Error('enough');
  const waits = connect<Row>(window);
  const controller = new AbortController();
  const aborted = connect<Row>(window, { signal: controller.signal });
  controller.abort(reason);
  await t.throwsAsync(() => aborted, { is: reason });
  serve(collection, process);
  t.is(await (await waits).count(), 3);
});

test('with mode readonly nothing can be changed', async (t) => {
  const { collection } = await filled(3, dim);
  const [window, process] = CHANNELS.node();
  t.teardown(serve(collection, process, { mode: 'readonly' }).close);
  const far = await connect<Row>(window);
  const one = { id: 'a', vector: v(1), metadata: { i: 1 } };
  const changes = [
    () => far.insert(one),
    () => far.upsert(one),
    () => far.load([one]),
    () => far.update('r0', { metadata: { i: 9 } }),
    () => far.delete('r0'),
    () => far.clear(),
    () => far.tune({ targetRecall: 0.9 }),
    () => far.compact(),
    () => far.rebuild(),
    () => far.snapshot('/tmp/never'),
  ];
  for (const change of changes) await rejects(t, change, { is: AuspexError, code: 'ERR_READ_ONLY' });
  t.is((await far.search(v(1))).length, 3);
  t.true((await far.verify()).ok);
  await far.flush();
  await far.close();
});

test('wrong arguments of connect and serve are named', async (t) => {
  const { collection } = await filled(1, dim);
  for (const port of [undefined, 5, {}, { postMessage() {} }]) {
    throws(t, () => serve(collection, port as never), wrongType('port'));
    await rejects(t, () => connect(port as never), wrongType('port'));
  }
  const [window, process] = CHANNELS.web();
  for (const wrong of [undefined, null, 5, {}, [], 'notes']) {
    throws(t, () => serve(wrong as never, process), wrongType('collections'));
  }
  throws(t, () => serve({ notes: 5 } as never, process), wrongType('collections.notes'));
  throws(
    t,
    () => serve(collection, process, { mode: 'append' } as never),
    outOfRange('ERR_ARGUMENT', 'mode', 'append'),
  );
  throws(t, () => serve(collection, process, { made: 'x' } as never), wrongType('made', 'mode'));
  await rejects(t, () => connect(window, { name: 5 } as never), wrongType('name'));
});

test('what a window sends by mistake or malice does not end the process', async (t) => {
  const { collection } = await filled(3, dim);
  const [window, process] = CHANNELS.web();
  serve(collection, process, { mode: 'readonly' });
  const replies: { kind: string; call: unknown; error?: { code: string } }[] = [];
  window.addEventListener('message', (event) => replies.push(Reflect.get(event, 'data')));
  window.start();
  const call = { kind: 'call', name: '', method: 'count', args: [], signal: false, progress: false };
  const requests: [unknown, string | undefined][] = [
    [null, undefined],
    [5, undefined],
    [{}, undefined],
    [{ kind: '__proto__' }, undefined],
    [{ kind: 'abort', call: 77 }, undefined],
    [{ kind: 'rows', call: 77 }, undefined],
    [{ kind: 'end', cursor: 'x' }, undefined],
    [{ kind: 'open', protocol: 99 }, 'ERR_VERSION'],
    [{ kind: 'next', cursor: {} }, 'ERR_ARGUMENT'],
    [{ ...call, name: '__proto__' }, 'ERR_NOT_FOUND'],
    [{ ...call, method: 'constructor' }, 'ERR_ARGUMENT'],
    [{ ...call, method: 'close' }, 'ERR_ARGUMENT'],
    [{ ...call, method: '__proto__' }, 'ERR_ARGUMENT'],
    [{ ...call, method: 'clear' }, 'ERR_READ_ONLY'],
    [{ ...call, method: 'search', args: undefined }, ''],
    [{ ...call, method: 'search', args: [v(1), 5], signal: true }, ''],
    [{ ...call, method: 'get', args: [{}] }, 'ERR_ARGUMENT'],
  ];
  for (const [i, [request, code]] of requests.entries()) {
    const bare = typeof request === 'object' && request && !('call' in request);
    window.postMessage(bare ? { ...request, call: i } : request);
    window.postMessage({ ...call, call: `after ${i}` });
    const later = () => replies.some((reply) => reply.call === `after ${i}`);
    await until(() => later() && (code === undefined || replies.length === 2));
    const answer = replies.find((reply) => reply.call === i);
    t.is(replies.length, code === undefined ? 1 : 2, JSON.stringify(request));
    if (code) t.is(answer?.error?.code, code, JSON.stringify(request));
    else if (code === '') t.is(answer?.kind, 'error', JSON.stringify(request));
    replies.length = 0;
  }
  t.is(collection.size, 3);
  const far = await connect<Row>(window);
  t.is(await far.count(), 3);
});

test('in a worker thread', async (t) => {
  const { collection } = await filled(20, dim);
  const { port1, port2 } = new MessageChannel();
  serve(collection, port1);
  const worker = new Worker(
    `const { workerData: port } = require('node:worker_threads');
     const { connect } = require(${JSON.stringify(`${root}/dist/electron/renderer.js`)});
     (async () => {
       const far = await connect(port);
       await far.load((function* () { for (let i = 0; i < 300; i++) yield { id: 'w' + i, vector: new Float32Array(${dim}).fill(i + 1) }; })());
       let n = 0;
       for await (const { id } of far.items()) n++;
       await far.close();
       require('node:worker_threads').parentPort.postMessage(n);
     })();`,
    { eval: true, workerData: port2, transferList: [port2] },
  );
  const [said, code] = await Promise.all([
    new Promise((resolve) => worker.once('message', resolve)),
    new Promise((resolve) => worker.once('exit', resolve)),
  ]);
  t.deepEqual([said, code], [320, 0]);
  t.is(collection.size, 320);
});

test('the renderer entry is bundled for a browser and runs without Node', async (t) => {
  const { outputFiles, metafile } = await build({
    stdin: { contents: `export * from 'auspex/electron/renderer';`, resolveDir: root },
    bundle: true,
    platform: 'browser',
    format: 'iife',
    globalName: 'auspex',
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  const imports = Object.values(metafile.inputs).flatMap(({ imports }) => imports);
  t.deepEqual(
    imports.filter(({ external }) => external),
    [],
  );
  const { collection: near, floats } = await filled(30, dim);
  const [window, process] = CHANNELS.node();
  t.teardown(serve(near as AnyCollection, process).close);
  // What a window has besides the language: nothing of Node.
  const context = createContext({ port: window, AbortController, AbortSignal, structuredClone });
  runInContext(outputFiles[0]?.text ?? '', context);
  const found = await runInContext(
    `(async () => {
      const far = await auspex.connect(port);
      const query = new Float32Array(${JSON.stringify(Array.from(row(floats, dim, 4)))});
      const [{ id }] = await far.search(query, { k: 1 });
      await far.load((function* () { yield { id: 'w', vector: Array.from(query), metadata: { i: 1 } }; })());
      const codes = [];
      for (const call of [
        () => far.search(query, { filter: { $nope: 1 } }),
        () => far.search([1]),
        () => far.search(query, { filter: { i: () => 1 } }),
        () => far.load(5),
        () => far.has(() => 1),
        () => far.search(query, { signal: AbortSignal.abort('why') }),
      ]) {
        try { await call(); codes.push('none'); } catch (error) {
          codes.push(error === 'why' || [error.code, auspex.isAuspexError(error), error.message]);
        }
      }
      const count = await far.count();
      await far.close();
      return JSON.stringify({ id, count, codes });
    })()`,
    context,
  );
  const { id, count, codes } = JSON.parse(found);
  t.deepEqual([id, count], ['r4', 31]);
  t.deepEqual(
    codes.map((code: unknown) => (Array.isArray(code) ? code.slice(0, 2) : code)),
    [
      ['ERR_FILTER', true],
      ['ERR_DIMENSION', true],
      ['ERR_FILTER', true],
      ['ERR_ARGUMENT', true],
      ['ERR_ARGUMENT', true],
      true,
    ],
  );
  const messages = codes.flatMap((code: unknown) => (Array.isArray(code) ? [code[2]] : []));
  for (const [i, word] of ['$nope', 'query', 'filter.i', 'rows', 'id'].entries())
    t.true(messages[i].includes(word), messages[i]);
});

test('both entries have what they say, and the classes are the same', (t) => {
  t.deepEqual(Object.keys(electron).sort(), ['AuspexError', 'connect', 'isAuspexError', 'serve']);
  t.deepEqual(Object.keys(renderer).sort(), ['AuspexError', 'connect', 'isAuspexError']);
  t.is(electron.AuspexError, AuspexError);
  t.is(renderer.AuspexError, AuspexError);
});

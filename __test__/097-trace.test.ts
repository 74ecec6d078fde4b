/** The tracing channels: what they tell, and that they cost nothing while nobody listens. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { channel, tracingChannel } from 'node:diagnostics_channel';
import test from 'ava';
import { open, type Traced } from '../dist/index.mjs';
import { filled, ids, vectors } from './harness.ts';

const NAMES = ['auspex:search', 'auspex:read', 'auspex:write', 'auspex:job'];
const EVENTS = ['start', 'end', 'asyncStart', 'asyncEnd', 'error'] as const;

test.serial('subscribers hear of each call, and get what it came to', async (t) => {
  const c = await open<{ i: number; t?: string }>({ dim: 3, fields: { t: 'text' } });
  const rows = Array.from({ length: 40 }, (_, i) => ({ i, t: `row ${i}` }));
  await c.insert({ ids: ids(40), vectors: vectors(40, 3), metadata: rows });
  const heard: [string, string, Traced][] = [];
  const off = NAMES.map((name) => {
    const tell = (event: string) => (message: unknown) => heard.push([name, event, message as Traced]);
    const handlers = Object.fromEntries(EVENTS.map((event) => [event, tell(event)]));
    tracingChannel(name).subscribe(handlers as never);
    return () => tracingChannel(name).unsubscribe(handlers as never);
  });
  const query = vectors(1, 3);
  const calls: [string, () => unknown][] = [
    ['auspex:search search', () => c.search(query, { k: 2 })],
    ['auspex:search similar', () => c.similar('r1')],
    ['auspex:search searchBatch', () => c.searchBatch(query)],
    ['auspex:search searchSync', () => c.searchSync(query)],
    ['auspex:search searchText', () => c.searchText('row')],
    ['auspex:search searchHybrid', () => c.searchHybrid({ vector: query, text: 'row' })],
    ['auspex:read get', () => c.get('r1')],
    ['auspex:read count', () => c.count({ i: 3 })],
    ['auspex:write upsert', () => c.upsert({ id: 'x', vector: query, metadata: { i: 1 } })],
    ['auspex:write insert', () => c.insert({ id: 'y', vector: query, metadata: { i: 1 } })],
    ['auspex:write update', () => c.update('y', { metadata: { i: 2 } })],
    ['auspex:write load', () => c.load([])],
    ['auspex:write flush', () => c.flush()],
    ['auspex:job verify', () => c.verify()],
    ['auspex:job compact', () => c.compact()],
    ['auspex:job rebuild', () => c.rebuild()],
    ['auspex:job estimateRecall', () => c.estimateRecall({ sample: 3 })],
    ['auspex:job tune', () => c.tune({ targetRecall: 0.5 })],
    ['auspex:write delete', () => c.delete('x')],
    ['auspex:write clear', () => c.clear()],
  ];
  try {
    for (const [name, call] of calls) {
      heard.length = 0;
      const result = await call();
      const events = name.endsWith('Sync') ? ['start', 'end'] : ['start', 'end', 'asyncStart', 'asyncEnd'];
      const [message] = heard.map(([, , message]) => message);
      t.deepEqual(heard, events.map((event) => [name.split(' ')[0], event, message]) as never, name);
      t.is(message?.method, name.split(' ')[1]);
      t.is(message?.result, result, name);
      t.deepEqual([message?.path, message?.dim, message?.metric], [undefined, 3, 'cosine']);
    }
    heard.length = 0;
    await t.throwsAsync(c.search([1, 2]));
    t.throws(() => c.searchSync([1, 2]));
    const failed = heard.filter(([, event]) => event === 'error').map(([, , { error }]) => (error as Error).name);
    t.deepEqual(failed, ['RangeError', 'RangeError']);
    t.deepEqual(heard[0]?.[2].args, [[1, 2]]);
  } finally {
    for (const each of off) each();
  }
  heard.length = 0;
  await c.search(query);
  t.is(heard.length, 0);
});

test.serial('what a subscriber keeps with the call is there until its end', async (t) => {
  const { collection: c } = await filled(10, 3);
  const store = new AsyncLocalStorage<string>();
  const start = channel('tracing:auspex:search:start');
  start.bindStore(store, (message) => `span of ${(message as Traced).method}`);
  const seen: (string | undefined)[] = [];
  const look = { asyncEnd: () => seen.push(store.getStore()) };
  tracingChannel('auspex:search').subscribe(look as never);
  try {
    await c.search([1, 2, 3]);
  } finally {
    start.unbindStore(store);
    tracingChannel('auspex:search').unsubscribe(look as never);
  }
  t.deepEqual(seen, ['span of search']);
});

test.serial('while nobody listens nothing is made for a call', async (t) => {
  const { collection: c } = await filled(10, 3);
  const made = Object.getPrototypeOf(tracingChannel('auspex:search'));
  const { tracePromise, traceSync } = made;
  let traced = 0;
  const count = (trace: (...args: unknown[]) => unknown) =>
    function (this: unknown, ...args: unknown[]) {
      traced++;
      return trace.apply(this, args);
    };
  Object.assign(made, { tracePromise: count(tracePromise), traceSync: count(traceSync) });
  // Where the subjects of a trace would be read from.
  let read = 0;
  const spied = Object.create(c, { path: { get: () => read++ } });
  try {
    for (let i = 0; i < 3; i++) {
      c.searchSync([1, 2, 3]);
      await c.search([1, 2, 3]);
      await c.get('r1');
      await c.upsert({ id: 'r1', vector: [1, 2, 3], metadata: { i } });
      await c.verify();
    }
    t.throws(() => spied.searchSync([1, 2, 3]), { instanceOf: TypeError });
    t.deepEqual([traced, read], [0, 0]);
    const heard = { start: () => {} };
    tracingChannel('auspex:search').subscribe(heard as never);
    await c.search([1, 2, 3]);
    c.searchSync([1, 2, 3]);
    t.throws(() => spied.searchSync([1, 2, 3]), { instanceOf: TypeError });
    tracingChannel('auspex:search').unsubscribe(heard as never);
    t.deepEqual([traced, read], [3, 1]);
  } finally {
    Object.assign(made, { tracePromise, traceSync });
  }
});

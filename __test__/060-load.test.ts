import test from 'ava';
import { open, type Progress } from '../dist/index.mjs';
import { filled, ids, outOfRange, rejects, row, vectors, wrongType } from './harness.ts';

const dim = 4;
const floats = vectors(1000, dim);
const item = (i: number) => ({ id: `r${i}`, vector: row(floats, dim, i), metadata: { i } });

test('load takes rows and batches, from iterables of either kind', async (t) => {
  const c = await open({ dim });
  t.is(await c.load([item(0), item(1)]), 2);
  t.is(await c.load(new Set([item(2)])), 1);
  async function* stream() {
    yield item(3);
    yield { ids: ids(500, 4), vectors: floats.subarray(4 * dim, 504 * dim) };
    yield item(504);
  }
  t.is(await c.load(stream(), { batchSize: 7 }), 502);
  t.is(await c.load([]), 0);
  t.is(c.size, 505);
  t.deepEqual((await c.get('r300', { include: { vector: true } }))?.vector, row(floats, dim, 300));
  t.deepEqual((await c.get('r504'))?.metadata, { i: 504 });
});

test('a row may be reused by the stream', async (t) => {
  const c = await open({ dim });
  function* stream() {
    const reused = { id: '', vector: new Float32Array(dim), metadata: { i: -1 } };
    for (let i = 0; i < 10; i++) {
      reused.id = `r${i}`;
      reused.vector.set(row(floats, dim, i));
      reused.metadata.i = i;
      yield reused;
    }
  }
  await c.load(stream());
  for (let i = 0; i < 10; i++) {
    t.deepEqual(await c.get(`r${i}`, { include: { vector: true } }), item(i));
  }
});

test('mode upsert replaces, mode insert refuses', async (t) => {
  const { collection: c } = await filled(10, dim);
  t.is(await c.load([item(1)]), 1);
  await rejects(t, () => c.load([item(1)], { mode: 'insert' }), { is: Error, code: 'ERR_EXISTS', says: ['r1'] });
});

test('an error says how many rows were loaded, and closes the stream', async (t) => {
  const c = await open({ dim });
  let closed = 0;
  const stream = (bad: unknown) => ({
    *[Symbol.iterator]() {
      try {
        for (let i = 0; i < 25; i++) yield item(i);
        yield bad as ReturnType<typeof item>;
      } finally {
        closed++;
      }
    },
  });
  const wrong = { id: 'x', vector: [1, 2, 3, 'four'] };
  const error = await t.throwsAsync(() => c.load(stream(wrong), { batchSize: 10 }));
  t.like(error, { code: 'ERR_ARGUMENT', loaded: 20 });
  t.regex(error?.message ?? '', /rows\[25\]\.vector\[3\]/);
  t.is(c.size, 20);
  await t.throwsAsync(() => c.load(stream({ id: 'x', vector: [0, 0, 0, 0] }), { batchSize: 26 }), {
    code: 'ERR_ZERO_VECTOR',
  });
  t.is(closed, 2);
  const exists = await t.throwsAsync(() => c.load(stream(item(30)), { batchSize: 5, mode: 'insert' }));
  t.like(exists, { code: 'ERR_EXISTS', loaded: 0 });
  t.is(closed, 3);
});

test('errors name a row by its place in the stream', async (t) => {
  const c = await open({ dim, metric: 'cosine' });
  const good = [item(0), item(1), item(2)];
  const columns = (...last: unknown[]) => ({
    ids: ['x', 'y', last[0]],
    vectors: [[1, 2, 3, 4], [1, 2, 3, 4], last[1]],
  });
  const bad: [unknown, RegExp][] = [
    [[item(4), { id: 'x', vector: [1] }], /^rows\[4\]\.vector has length 1/],
    [[item(4), { id: 3, vector: [1, 2, 3, 4] }], /^rows\[4\]\.id must be a string/],
    [columns('z', [1, 2]), /^rows\[5\]\.vector has length 2/],
    [columns(7, [1, 2, 3, 4]), /^rows\[5\]\.id must be/],
    [columns('z', [0, 0, 0, 0]), /^rows\[5\]\.vector is all zeros/],
    [columns('', [1, 2, 3, 4]), /^rows\[5\]\.id has 0 bytes/],
    [columns('x', [1, 2, 3, 4]), /^rows\[5\]\.id is "x", as is rows\[3\]\.id/],
  ];
  for (const [value, says] of bad) {
    for (const batchSize of [3, 100]) {
      const stream = [...good, value] as never;
      await t.throwsAsync(() => c.load(stream, { batchSize, mode: 'insert' }), { message: says });
      await c.clear();
    }
  }
  await c.insert(item(9));
  await t.throwsAsync(() => c.load([...good, item(9)], { mode: 'insert' }), {
    message: /^rows\[3\]\.id is "r9", which is/,
  });
});

test('what the stream throws is what load rejects with', async (t) => {
  const c = await open({ dim });
  const mine = new Error('mine');
  async function* stream() {
    for (let i = 0; i < 5; i++) yield item(i);
    throw mine;
  }
  const seen: Progress[] = [];
  await t.throwsAsync(() => c.load(stream(), { batchSize: 2, onProgress: (p) => seen.push(p) }), { is: mine });
  t.is(c.size, 4);
  t.like(seen.at(-1), { phase: 'load', done: 4, total: undefined });
});

test('aborting does not wait for a stream that stalls', async (t) => {
  const c = await open({ dim });
  const controller = new AbortController();
  async function* stream() {
    for (let i = 0; i < 5; i++) yield item(i);
    await new Promise(() => {});
  }
  const loading = c.load(stream(), { batchSize: 2, signal: controller.signal });
  const reason = new Error('enough');
  const timer = setInterval(() => c.size === 4 && controller.abort(reason), 5);
  await t.throwsAsync(() => loading, { is: reason });
  clearInterval(timer);
  t.is(c.size, 4);
});

test('load reads no faster than it writes', async (t) => {
  const c = await open({ dim });
  let pulled = 0;
  let most = 0;
  function* stream() {
    for (let i = 0; i < 1000; i++) {
      pulled++;
      most = Math.max(most, pulled - c.size);
      yield item(i);
    }
  }
  t.is(await c.load(stream(), { batchSize: 10 }), 1000);
  t.true(most <= 30, `${most} rows ahead`);
});

test('wrong streams and options are named', async (t) => {
  const c = await open({ dim });
  for (const bad of [undefined, null, 3, 'abc', {}])
    await rejects(t, () => c.load(bad as never), wrongType('rows'), `${bad}`);
  await rejects(t, () => c.load([3] as never), wrongType('rows[0]', '3'));
  for (const bad of [0, 1.5, -1, Number.NaN, 2 ** 31]) {
    await rejects(t, () => c.load([], { batchSize: bad }), outOfRange('ERR_ARGUMENT', 'batchSize', `${bad}`));
  }
  await rejects(t, () => c.load([], { mode: 'replace' } as never), outOfRange('ERR_ARGUMENT', 'mode', 'replace'));
  await rejects(t, () => c.load([], { batchsize: 3 } as never), wrongType('did you mean batchSize?'));
});

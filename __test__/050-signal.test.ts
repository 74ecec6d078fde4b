import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import { exactSearch, open, type Progress } from '../dist/index.mjs';
import { filled, ids, vectors } from './harness.ts';

const reason = new Error('enough');

test('an aborted signal rejects with its reason, and nothing is done', async (t) => {
  const { collection: c } = await filled(5, 2);
  const signal = AbortSignal.abort(reason);
  const v = [1, 2];
  const calls = [
    () => c.insert({ id: 'x', vector: v, metadata: { i: 0 } }, { signal }),
    () => c.upsert({ id: 'x', vector: v, metadata: { i: 0 } }, { signal }),
    () => c.load([{ id: 'x', vector: v, metadata: { i: 0 } }], { signal }),
    () => c.search(v, { signal }),
    () => c.searchBatch([v], { signal }),
    () => c.similar('r1', { signal }),
    () => c.explain(v, { signal }),
    () => exactSearch([v], [v], { k: 1, dim: 2, signal }),
  ];
  for (const call of calls) await t.throwsAsync(call, { is: reason }, String(call));
  t.is(c.size, 5);
});

test('aborting during a read rejects with the reason', async (t) => {
  const { collection: c } = await filled(2000, 64);
  const all = vectors(2000, 64);
  const calls = [
    (signal: AbortSignal) => c.search(all.subarray(0, 64), { signal }),
    (signal: AbortSignal) => c.searchBatch(all, { signal }),
    (signal: AbortSignal) => c.similar('r1', { signal }),
    (signal: AbortSignal) => exactSearch(all, all, { k: 10, dim: 64, signal }),
  ];
  for (const call of calls) {
    const controller = new AbortController();
    const running = call(controller.signal);
    controller.abort(reason);
    await t.throwsAsync(() => running, { is: reason }, String(call));
  }
});

test('a write that waits is not written when its signal aborts', async (t) => {
  const c = await open({ dim: 64 });
  const first = c.insert({ ids: ids(5000), vectors: vectors(5000, 64) });
  const controller = new AbortController();
  const second = c.insert({ id: 'late', vector: vectors(1, 64) }, { signal: controller.signal });
  controller.abort(reason);
  await t.throwsAsync(() => second, { is: reason });
  t.is(await first, 5000);
  t.is(c.size, 5000);
});

test('a long-lived signal keeps nothing of the calls it was given to', async (t) => {
  const { collection: c } = await filled(10, 2);
  const { signal } = new AbortController();
  let listeners = 0;
  const [add, remove] = [signal.addEventListener.bind(signal), signal.removeEventListener.bind(signal)];
  signal.addEventListener = (...args: Parameters<typeof add>) => {
    listeners++;
    add(...args);
  };
  signal.removeEventListener = (...args: Parameters<typeof remove>) => {
    listeners--;
    remove(...args);
  };
  for (let i = 0; i < 100; i++) {
    await Promise.all(Array.from({ length: 100 }, () => c.search([1, 2], { signal })));
  }
  await c.upsert({ id: 'r0', vector: [1, 2], metadata: { i: 0 } }, { signal });
  await t.throwsAsync(() => c.upsert({ id: 'r0', vector: [1], metadata: { i: 0 } }, { signal }));
  await c.load([], { signal });
  t.is(listeners, 0);
});

test('a signal given to many calls at once has one listener', async (t) => {
  const { collection: c } = await filled(10, 2);
  const warnings: Error[] = [];
  const note = (warning: Error) => warnings.push(warning);
  process.on('warning', note);
  const controller = new AbortController();
  const { signal } = controller;
  await Promise.all(Array.from({ length: 50 }, () => c.search([1, 2], { signal })));
  const calls = Array.from({ length: 50 }, () => c.search([1, 2], { signal }));
  controller.abort(reason);
  for (const call of calls) await t.throwsAsync(() => call, { is: reason });
  await sleep(20);
  process.off('warning', note);
  t.deepEqual(warnings, []);
});

test('progress comes at most ten times a second, and ends with all', async (t) => {
  const c = await open({ dim: 128 });
  const n = 10_000;
  const seen: (Progress & { at: number })[] = [];
  const onProgress = (progress: Progress) => seen.push({ ...progress, at: performance.now() });
  await c.insert({ ids: ids(n), vectors: vectors(n, 128) }, { onProgress });
  t.like(seen.at(-1), { phase: 'insert', done: n, total: n });
  t.true((seen.at(-1)?.rowsPerSecond ?? 0) > 0);
  for (const [i, { done, at }] of seen.entries()) {
    const tenth = seen[i + 10];
    if (tenth) t.true(tenth.at - at >= 1000, `${tenth.at - at} ms`);
    t.true(done >= (seen[i - 1]?.done ?? 0));
  }
  await sleep(300);
  t.is(seen.at(-1)?.done, n);
});

test('what onProgress throws rejects the call after all is written', async (t) => {
  const c = await open({ dim: 2 });
  const onProgress = () => {
    throw reason;
  };
  await t.throwsAsync(() => c.insert({ ids: ids(10), vectors: vectors(10, 2) }, { onProgress }), { is: reason });
  t.is(c.size, 10);
  await t.throwsAsync(() => c.load([{ id: 'x', vector: [1, 2] }], { onProgress }), { is: reason });
  t.is(c.size, 11);
});

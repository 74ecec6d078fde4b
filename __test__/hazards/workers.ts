/** Threads that end in the middle of calls. */
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import test from 'ava';
import { open } from '../../dist/index.mjs';
import { filled, ids, row, vectors } from '../harness.ts';
import { child, sound } from './harness.ts';

const dist = fileURLToPath(new URL('../../dist', import.meta.url));

/** A worker with a collection of its own that says `ready` and then never stops working. */
const busy = `
  const { parentPort, workerData: { dist, seed } } = require('node:worker_threads');
  const { open, exactSearch } = require(dist);
  (async () => {
    const dim = 32, n = 500;
    const floats = Float32Array.from({ length: n * dim }, (_, i) => Math.sin(i * (seed + 1)));
    const ids = Array.from({ length: n }, (_, i) => 'r' + i);
    const c = await open({ dim });
    await c.insert({ ids, vectors: floats });
    const forever = async (call) => { for (;;) await call(); };
    forever(() => c.search(floats.subarray(0, dim)));
    forever(() => c.searchBatch(floats));
    forever(() => c.upsert({ ids, vectors: floats }));
    forever(() => c.get(ids, { include: { vector: true } }));
    forever(() => exactSearch(floats, floats, { k: 3, dim }));
    forever(async () => { for await (const row of c.items()) if (row.id === 'r9') break; });
    parentPort.postMessage('ready');
  })();`;

/** Registers the tests on workers. */
export function workers({ terminations, exits }: { terminations: number; exits: number }): void {
  test(`${terminations} workers ended in the middle of calls leave this thread at work`, async (t) => {
    const { collection: c, floats } = await filled(300, 16);
    const expected = await c.search(row(floats, 16, 5));
    for (let round = 0; round < terminations; round += 2) {
      const pair = [round, round + 1].map((seed) => new Worker(busy, { eval: true, workerData: { dist, seed } }));
      await Promise.all(pair.map((worker) => once(worker, 'message')));
      await new Promise((resolve) => setTimeout(resolve, round % 7));
      const running = c.search(row(floats, 16, 5));
      await Promise.all(pair.map((worker) => worker.terminate()));
      t.deepEqual(await running, expected);
    }
    await c.upsert({ ids: ids(300), vectors: floats, metadata: ids(300).map((_, i) => ({ i })) });
    t.deepEqual(await c.search(row(floats, 16, 5)), expected);
    await sound(t, c);
  });

  test(`a process that exits in the middle of calls has the code that it was given (${exits} times)`, async (t) => {
    for (let round = 0; round < exits; round++) {
      const { code, signal, stderr } = await child(`
        const dim = 32, n = 1000;
        const floats = Float32Array.from({ length: n * dim }, (_, i) => Math.sin(i));
        const ids = Array.from({ length: n }, (_, i) => 'r' + i);
        const c = await auspex.open({ dim });
        c.insert({ ids, vectors: floats });
        for (let i = 0; i < 20; i++) { c.searchBatch(floats); auspex.exactSearch(floats, floats, { k: 3, dim }); }
        setTimeout(() => process.exit(40 + ${round}), ${round * 3});`);
      t.deepEqual({ code, signal, stderr }, { code: 40 + round, signal: null, stderr: '' });
    }
  });
}

/** Registers the everyday tests on threads. */
export function threads(): void {
  test('the main thread and workers share the addon, each with collections of its own', async (t) => {
    const text = `
      const { parentPort, workerData: { dist, seed } } = require('node:worker_threads');
      const { open, info, isAuspexError } = require(dist);
      (async () => {
        const c = await open({ dim: 2, metric: 'l2' });
        await c.insert(Array.from({ length: 100 }, (_, i) => ({ id: 'w' + seed + '-' + i, vector: [i, seed] })));
        const [hit] = await c.search([7, seed], { k: 1 });
        const error = await c.search([1]).catch((e) => e);
        parentPort.postMessage([hit.id, c.size, info().isa, error.code, isAuspexError(error)]);
      })();`;
    const all = [1, 2, 3, 4].map((seed) => new Worker(text, { eval: true, workerData: { dist, seed } }));
    const own = await open({ dim: 2, metric: 'l2' });
    await own.insert({ id: 'main', vector: [7, 1] });
    const answers = await Promise.all(all.map(async (worker) => (await once(worker, 'message'))[0] as unknown[]));
    for (const [i, [id, size, , code, known]] of answers.entries()) {
      t.deepEqual([id, size, code, known], [`w${i + 1}-7`, 100, 'ERR_DIMENSION', true]);
    }
    t.is((await own.search([7, 1]))[0]?.id, 'main');
    t.is(own.size, 1);
  });

  test('an error that nobody handles ends a process as Node ends it', async (t) => {
    const { code, signal, stderr } = await child(`
      const c = await auspex.open({ dim: 2 });
      void c.search([1]);`);
    t.is(signal, null);
    t.is(code, 1, stderr);
    t.regex(stderr, /ERR_DIMENSION/);
  });

  test('a process with open collections ends when its work is done', async (t) => {
    const { code, stdout, stderr } = await child(`
      const c = await auspex.open({ dim: 2 });
      await c.insert({ id: 'a', vector: [1, 2] });
      const walk = c.items()[Symbol.asyncIterator]();
      await walk.next();
      console.log((await c.searchBatch([[1, 2]])).ids()[0]);`);
    t.deepEqual([code, stdout], [0, 'a\n'], stderr);
  });

  test('vectors of a worker come back to it alone', async (t) => {
    const { collection: c, floats } = await filled(200, 8);
    const mine = vectors(1, 8, 77);
    const [before, during] = [await c.search(mine), c.search(mine)];
    const worker = new Worker(busy, { eval: true, workerData: { dist, seed: 3 } });
    await once(worker, 'message');
    t.deepEqual(await c.search(mine), before);
    t.deepEqual(await during, before);
    await worker.terminate();
    t.deepEqual((await c.get('r3', { include: { vector: true } }))?.vector, row(floats, 8, 3));
  });
}

import test from 'ava';
import { AuspexError, isAuspexError, open } from '../dist/index.mjs';
import { type Expected, filled, ids, rejects, throws, vectors } from './harness.ts';

const closed: Expected = { is: AuspexError, code: 'ERR_CLOSED' };

test('after close every method rejects', async (t) => {
  const { collection: c } = await filled(5, 2);
  const walk = c.items()[Symbol.asyncIterator]();
  await walk.next();
  t.is(await c.close(), undefined);
  t.true(c.closed);
  const v = [1, 2];
  const calls = [
    () => c.insert({ id: 'x', vector: v, metadata: { i: 0 } }),
    () => c.upsert({ id: 'x', vector: v, metadata: { i: 0 } }),
    () => c.load([]),
    () => c.load([{ id: 'x', vector: v, metadata: { i: 0 } }]),
    () => c.delete('r0'),
    () => c.get('r0'),
    () => c.has('r0'),
    () => c.count(),
    () => c.items()[Symbol.asyncIterator]().next(),
    () => walk.next(),
    () => c.search(v),
    () => c.searchBatch([v]),
    () => c.similar('r0'),
    () => c.explain(v),
    () => c.stats(),
    () => c.estimateRecall(),
    () => c.tune({ targetRecall: 1 }),
    () => c.update('r0', { vector: v }),
    () => c.clear(),
    () => c.refresh(),
    () => c.compact(),
    () => c.rebuild(),
    () => c.verify(),
    () => c.snapshot('/nowhere/at/all'),
  ];
  for (const call of calls) await rejects(t, call, closed, String(call));
  throws(t, () => c.searchSync(v), closed, 'searchSync');
  await c.close();
  t.like(c, { dim: 2, metric: 'cosine' });
  t.is(typeof c.size, 'number');
});

test('close waits for the writes before it, and calls before it finish', async (t) => {
  const { collection: c } = await filled(500, 32);
  const more = vectors(2000, 32, 9);
  const metadata = ids(2000).map((_, i) => ({ i }));
  const write = c.insert({ ids: ids(2000, 500), vectors: more, metadata });
  const search = c.search(more.subarray(0, 32), { k: 3 });
  const [done, hits] = await Promise.all([write, search, c.close(), c.close()]);
  t.is(done, 2000);
  t.is(hits.length, 3);
});

test('await using closes', async (t) => {
  const c = await open({ dim: 2 });
  await c[Symbol.asyncDispose]();
  t.true(c.closed);
});

test('isAuspexError knows its own', (t) => {
  t.true(isAuspexError(new AuspexError('ERR_CLOSED', 'x')));
  const foreign = [null, undefined, 'ERR_CLOSED', { code: 'ERR_CLOSED' }, new Error('x'), new TypeError('x')];
  for (const error of foreign) t.false(isAuspexError(error));
  t.false(isAuspexError(Object.assign(new Error('x'), { code: 'ERR_INVALID_ARG_TYPE' })));
});

import test from 'ava';
import { open } from '../dist/index.mjs';
import { filled, ids, rejects, row, wrongType } from './harness.ts';

test('get gives one row, or one entry an id', async (t) => {
  const { collection: c, floats } = await filled(3, 4);
  t.deepEqual(await c.get('r1'), { id: 'r1', metadata: { i: 1 } });
  t.deepEqual(await c.get('nobody'), undefined);
  t.deepEqual(await c.get(['r2', 'nobody', 'r2']), [
    { id: 'r2', metadata: { i: 2 } },
    undefined,
    { id: 'r2', metadata: { i: 2 } },
  ]);
  t.deepEqual(await c.get([]), []);
  t.deepEqual(await c.get('r1', { include: { metadata: false, vector: true } }), {
    id: 'r1',
    vector: row(floats, 4, 1),
  });
});

test('vectors come back as they were given, each in memory of its own', async (t) => {
  const { collection: c, floats } = await filled(3, 4);
  const [a, b] = await c.get(['r0', 'r1'], { include: { vector: true } });
  t.deepEqual(a?.vector, row(floats, 4, 0));
  a?.vector.fill(0);
  t.is(a?.vector.byteLength, a?.vector.buffer.byteLength);
  t.deepEqual(b?.vector, row(floats, 4, 1));
});

test('get of many ids is one entry an id, in order', async (t) => {
  const { collection: c } = await filled(3000, 2);
  const many = await c.get([...ids(3000), 'nobody']);
  t.is(many.length, 3001);
  t.deepEqual(many[2999], { id: 'r2999', metadata: { i: 2999 } });
  t.is(many[3000], undefined);
});

test('has and count', async (t) => {
  const { collection: c } = await filled(3, 2);
  t.true(await c.has('r2'));
  t.false(await c.has('r3'));
  t.is(await c.count(), 3);
});

test('items walks all rows in arrival order', async (t) => {
  const { collection: c, floats } = await filled(2500, 2);
  await c.delete('r7');
  const seen: string[] = [];
  for await (const { id, metadata } of c.items()) {
    t.is(id, `r${metadata.i}`);
    seen.push(id);
  }
  t.deepEqual(
    seen,
    ids(2500).filter((id) => id !== 'r7'),
  );
  for await (const item of c.items({ include: { vector: true, metadata: false } })) {
    t.deepEqual(item, { id: 'r0', vector: row(floats, 2, 0) });
    break;
  }
});

test('items is a snapshot of its first next()', async (t) => {
  const { collection: c } = await filled(10, 2);
  const walk = c.items()[Symbol.asyncIterator]();
  await c.delete('r0');
  t.is((await walk.next()).value?.id, 'r1');
  await c.delete(ids(10));
  await c.insert({ id: 'new', vector: [1, 1], metadata: { i: 0 } });
  const rest: unknown[] = [];
  for (let step = await walk.next(); !step.done; step = await walk.next()) rest.push(step.value.id);
  t.deepEqual(rest, ids(8, 2));
});

test('wrong ids and options of a read are named', async (t) => {
  const { collection: c } = await filled(1, 2);
  await rejects(t, () => c.get(3 as never), wrongType('ids', '3'));
  await rejects(t, () => c.get([3] as never), wrongType('ids[0]', '3'));
  await rejects(t, () => c.has(undefined as never), wrongType('id', 'undefined'));
  await rejects(t, () => c.get('r0', { include: { vectors: true } } as never), wrongType('did you mean vector?'));
  await rejects(t, () => c.get('r0', { include: 'vector' } as never), wrongType('include must be an object'));
  await rejects(
    t,
    () => c.get('r0', { include: { vector: 1 } } as never),
    wrongType('include.vector must be a boolean'),
  );
  const walk = c.items({ included: {} } as never)[Symbol.asyncIterator]();
  await rejects(t, () => walk.next(), wrongType('"included"', 'did you mean include?'));
});

test('stats counts rows', async (t) => {
  const c = await open({ dim: 2 });
  t.like(await c.stats(), { rows: 0, deleted: 0, unreachable: 0 });
  await c.insert({ ids: ids(10), vectors: new Float32Array(20).fill(1) });
  await c.delete('r0');
  const stats = await c.stats();
  t.like(stats, { rows: 9, unreachable: 0 });
  t.true(stats.bytes.ram > 0);
  t.true(Array.isArray(stats.layers) && Array.isArray(stats.notices));
});

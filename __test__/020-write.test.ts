import test from 'ava';
import { open } from '../dist/index.mjs';
import { type Expected, filled, ids, outOfRange, rejects, row, vectors, wrongType } from './harness.ts';

const exists: Expected = { is: Error, code: 'ERR_EXISTS' };

test('insert takes a row, rows and columns, and counts them', async (t) => {
  const c = await open({ dim: 2 });
  t.is(await c.insert({ id: 'a', vector: [1, 2] }), 1);
  t.is(
    await c.insert([
      { id: 'b', vector: new Float32Array([1, 2]) },
      { id: 'c', vector: new Float64Array([1, 2]) },
    ]),
    2,
  );
  t.is(await c.insert({ ids: ['d', 'e'], vectors: new Float32Array([1, 2, 3, 4]) }), 2);
  t.is(await c.insert({ ids: ['f', 'g'], vectors: [[1, 2], new Float32Array([3, 4])] }), 2);
  t.is(await c.insert({ ids: ['h'], vectors: { data: new Float32Array([1, 2]), dims: [1, 2] } }), 1);
  t.is(await c.insert([]), 0);
  t.is(await c.insert({ ids: [], vectors: new Float32Array(0) }), 0);
  t.is(c.size, 8);
});

test('insert of a known id, or of one given twice, changes nothing', async (t) => {
  const c = await open({ dim: 2 });
  await c.insert({ id: 'a', vector: [1, 2] });
  await rejects(t, () => c.insert({ ids: ['b', 'a'], vectors: new Float32Array(4).fill(1) }), {
    ...exists,
    says: ['a'],
  });
  await rejects(t, () => c.insert({ ids: ['x', 'x'], vectors: new Float32Array(4).fill(1) }), {
    ...exists,
    says: ['x'],
  });
  t.is(c.size, 1);
});

test('upsert replaces the whole row, and of an id given twice the last wins', async (t) => {
  const c = await open({ dim: 2 });
  t.deepEqual(await c.upsert({ id: 'a', vector: [1, 2], metadata: { x: 1 } }), { inserted: 1, updated: 0 });
  t.deepEqual(await c.upsert({ id: 'a', vector: [3, 4] }), { inserted: 0, updated: 1 });
  t.deepEqual(await c.get('a', { include: { vector: true } }), {
    id: 'a',
    metadata: {},
    vector: new Float32Array([3, 4]),
  });
  await c.upsert([
    { id: 'b', vector: [1, 1] },
    { id: 'b', vector: [2, 1] },
  ]);
  t.deepEqual((await c.get('b', { include: { vector: true } }))?.vector, new Float32Array([2, 1]));
  t.is(c.size, 2);
});

test('delete takes an id or ids, and says how many went', async (t) => {
  const { collection: c } = await filled(5, 3);
  t.is(await c.delete('r0'), 1);
  t.is(await c.delete(['r0', 'r1', 'nobody']), 1);
  t.is(await c.delete([]), 0);
  t.is(c.size, 3);
  t.is(await c.get('r0'), undefined);
  await c.insert({ id: 'r0', vector: [1, 2, 3], metadata: { i: 0 } });
  t.true(await c.has('r0'));
});

test('writes take effect in call order', async (t) => {
  const c = await open({ dim: 2 });
  const [first, gone, again, known] = await Promise.allSettled([
    c.insert({ id: 'a', vector: [1, 1] }),
    c.delete('a'),
    c.insert({ id: 'a', vector: [2, 1] }),
    c.insert({ id: 'a', vector: [3, 1] }),
  ]);
  t.deepEqual(
    [first, gone, again].map((each) => each?.status),
    ['fulfilled', 'fulfilled', 'fulfilled'],
  );
  t.is(known?.status, 'rejected');
  t.deepEqual((await c.get('a', { include: { vector: true } }))?.vector, new Float32Array([2, 1]));
});

test('arguments are copied inside the call', async (t) => {
  const c = await open<{ x: number }>({ dim: 2 });
  const batch = { ids: ['a'], vectors: new Float32Array([1, 2]), metadata: [{ x: 1 }] };
  const write = c.insert(batch);
  batch.ids[0] = 'z';
  batch.vectors.fill(9);
  (batch.metadata[0] as { x: number }).x = 9;
  await write;
  t.deepEqual(await c.get('a', { include: { vector: true } }), {
    id: 'a',
    metadata: { x: 1 },
    vector: new Float32Array([1, 2]),
  });
});

test('a thousand concurrent writes all land', async (t) => {
  const c = await open({ dim: 4 });
  const floats = vectors(1000, 4);
  await Promise.all(ids(1000).map((id, i) => c.insert({ id, vector: row(floats, 4, i) })));
  t.is(c.size, 1000);
});

test('wrong rows are named by position, and nothing is written', async (t) => {
  const c = await open({ dim: 2 });
  const v = new Float32Array([1, 2]);
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  const of = (vector: unknown, metadata?: unknown) => [
    { id: 'ok', vector: v },
    { id: 'a', vector, metadata },
  ];
  const wrong: [unknown, Expected][] = [
    [undefined, wrongType('rows', 'undefined')],
    [null, wrongType('rows', 'null')],
    ['a', wrongType('rows', "'a'")],
    [[3], wrongType('rows[0]', '3')],
    [[{ vector: v }], wrongType('rows[0].id', 'undefined')],
    [[{ id: 7, vector: v }], wrongType('rows[0].id', '7')],
    [{ id: 'a' }, wrongType('rows[0].vector', 'undefined')],
    [of('1,2'), wrongType('rows[1].vector', "'1,2'")],
    [of(new Int8Array(2)), wrongType('rows[1].vector')],
    [of([1, '2']), wrongType('rows[1].vector[1]', "'2'")],
    [of([1, null]), wrongType('rows[1].vector[1]', 'null')],
    [of([1, undefined]), wrongType('rows[1].vector[1]', 'undefined')],
    [of([1]), outOfRange('ERR_DIMENSION', 'rows[1].vector', '1', '2')],
    [of(new Float32Array(3)), outOfRange('ERR_DIMENSION', 'rows[1].vector', '3', '2')],
    [of(v, []), wrongType('rows[1].metadata', '[]')],
    [of(v, null), wrongType('rows[1].metadata', 'null')],
    [of(v, 'text'), wrongType('rows[1].metadata', "'text'")],
    [of(v, () => 1), wrongType('rows[1].metadata')],
    [of(v, circular), wrongType('rows[1].metadata')],
    [of(v, { big: 1n }), wrongType('rows[1].metadata')],
    [of(v, new Date(0)), wrongType('rows[1].metadata')],
    [{ ids: 'ab', vectors: v }, wrongType('ids', "'ab'")],
    [{ ids: [1], vectors: v }, wrongType('ids[0]', '1')],
    [{ ids: ['a'] }, wrongType('vectors', 'undefined')],
    [{ ids: ['a'], vectors: new Float64Array(2) }, wrongType('vectors')],
    [{ ids: ['a'], vectors: [[1, 'x']] }, wrongType('vectors[0][1]', "'x'")],
    [{ ids: ['a', 'b'], vectors: v }, outOfRange('ERR_DIMENSION', 'vectors', '2', '4')],
    [{ ids: ['a'], vectors: new Float32Array(3) }, outOfRange('ERR_DIMENSION', 'vectors', '3')],
    [{ ids: ['a'], vectors: v, metadata: {} }, wrongType('metadata')],
    [{ ids: ['a'], vectors: v, metadata: [{}, {}] }, outOfRange('ERR_ARGUMENT', 'metadata', '2', '1')],
    [{ ids: ['a'], vectors: v, metadata: [1] }, wrongType('metadata[0]', '1')],
    [{ ids: ['a'], vectors: { data: [1, 2], dims: [1, 2] } }, wrongType('vectors.data')],
    [{ ids: ['a'], vectors: { data: v, dims: 2 } }, outOfRange('ERR_DIMENSION', 'vectors', 'dims 2')],
    [{ ids: ['a'], vectors: { data: v, dims: [2, 1] } }, outOfRange('ERR_DIMENSION', 'vectors', '[ 2, 1 ]')],
    [of([1, Number.NaN]), outOfRange('ERR_NOT_FINITE', '1')],
    [of([1, 1e39]), outOfRange('ERR_NOT_FINITE', '1')],
    [of([0, 0]), outOfRange('ERR_ZERO_VECTOR', '1')],
    [[{ id: '', vector: v }], outOfRange('ERR_ARGUMENT', 'id')],
    [[{ id: 'x'.repeat(1025), vector: v }], outOfRange('ERR_ARGUMENT', 'id', '1025')],
    [[{ id: '\ud800', vector: v }], outOfRange('ERR_ARGUMENT', 'rows[0].id', 'surrogate')],
  ];
  for (const [rows, expected] of wrong) {
    for (const method of ['insert', 'upsert'] as const) {
      await rejects(t, () => c[method](rows as never), expected, `${method} ${JSON.stringify(expected.says)}`);
    }
  }
  t.is(c.size, 0);
});

test('wrong ids and options of a write are named', async (t) => {
  const c = await open({ dim: 2 });
  await rejects(t, () => c.delete(3 as never), wrongType('ids', '3'));
  await rejects(t, () => c.delete(['a', 3] as never), wrongType('ids[1]', '3'));
  await rejects(t, () => c.delete('\udc00'), outOfRange('ERR_ARGUMENT', 'surrogate'));
  const rows = { id: 'a', vector: [1, 2] };
  await rejects(
    t,
    () => c.insert(rows, { onprogress: 1 } as never),
    wrongType('"onprogress"', 'did you mean onProgress?'),
  );
  await rejects(t, () => c.insert(rows, { onProgress: 1 } as never), wrongType('onProgress must be a function, got 1'));
  await rejects(t, () => c.insert(rows, { signal: 'stop' } as never), wrongType('signal must be an AbortSignal'));
});

test('a transferred buffer has length 0, and the error says why', async (t) => {
  const c = await open({ dim: 2 });
  const gone = new Float32Array([1, 2]);
  structuredClone(gone, { transfer: [gone.buffer] });
  const says = ['length 0', 'transferred'];
  await rejects(t, () => c.insert({ id: 'a', vector: gone }), outOfRange('ERR_DIMENSION', 'rows[0].vector', ...says));
  await rejects(t, () => c.insert({ ids: ['a'], vectors: gone }), outOfRange('ERR_DIMENSION', 'vectors', ...says));
  await rejects(t, () => c.search(gone), outOfRange('ERR_DIMENSION', 'query', ...says));
  await rejects(t, () => c.searchBatch(gone), outOfRange('ERR_DIMENSION', 'queries', ...says));
});

test('metadata comes back as it went in', async (t) => {
  const c = await open({ dim: 1, metric: 'l2' });
  const given = [
    { text: 'ä€😀\u0000\u2028"\\', lone: '\ud800', n: -0.5e-300, deep: { list: [1, [2, null]], no: false } },
    JSON.parse('{"__proto__": {"polluted": 1}, "constructor": 2}'),
    { when: new Date(0), left: undefined, f: () => 1 },
    {},
    undefined,
  ];
  await c.insert({ ids: ids(5), vectors: new Float32Array(5), metadata: given as never });
  const back = await c.get(ids(5));
  t.deepEqual(
    back.map((each) => each?.metadata),
    given.map((each) => JSON.parse(JSON.stringify(each ?? {}))),
  );
  t.is(({} as { polluted?: number }).polluted, undefined);
});

test('properties of rows are read once', async (t) => {
  const c = await open({ dim: 2 });
  const seen: string[] = [];
  const watched = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(of, key) {
        if (typeof key === 'string' && !(Array.isArray(of) && key === 'length')) seen.push(key);
        return Reflect.get(of, key);
      },
    });
  await c.insert(watched({ id: 'a', vector: [1, 2], metadata: { x: 1 } }));
  t.deepEqual(seen.splice(0), ['id', 'vector', 'metadata']);
  await c.insert(watched({ ids: ['b'], vectors: new Float32Array([1, 2]), metadata: [{ x: 1 }] }));
  t.deepEqual(seen, ['ids', 'vectors', 'metadata']);
});

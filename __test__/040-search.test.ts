import test from 'ava';
import { exactSearch, type Metric, open } from '../dist/index.mjs';
import { type Expected, filled, nearest, outOfRange, rejects, row, throws, vectors, wrongType } from './harness.ts';

const metrics: Metric[] = ['cosine', 'l2', 'dot'];

for (const metric of metrics) {
  test(`${metric}: an exact search gives the nearest rows, with distance and score`, async (t) => {
    const { collection: c, floats } = await filled(500, 16, { metric });
    for (let q = 0; q < 20; q++) {
      const query = vectors(1, 16, 100 + q);
      const expected = nearest(metric, floats, 16, query, 10);
      const hits = await c.search(query, { exact: true });
      t.deepEqual(
        hits.map(({ id }) => id),
        expected.map(({ i }) => `r${i}`),
      );
      for (const [j, { distance, score, metadata }] of hits.entries()) {
        const { i = -1, distance: real = Number.NaN } = expected[j] ?? {};
        t.true(Math.abs(distance - real) < 1e-5, `${distance} ${real}`);
        t.is(score, { cosine: 1 - distance, dot: 0 - distance, l2: 1 / (1 + distance) }[metric]);
        t.deepEqual(metadata, { i });
      }
      t.deepEqual(c.searchSync(query, { exact: true }), hits);
      t.deepEqual(
        (await c.searchBatch(query, { exact: true })).ids(),
        hits.map(({ id }) => id),
      );
    }
  });

  test(`${metric}: the graph finds nearly all that an exact search finds`, async (t) => {
    const { collection: c } = await filled(3000, 16, { metric });
    let found = 0;
    for (let q = 0; q < 50; q++) {
      const query = vectors(1, 16, 100 + q);
      const exact = new Set(c.searchSync(query, { exact: true }).map(({ id }) => id));
      found += c.searchSync(query, { efSearch: 200 }).filter(({ id }) => exact.has(id)).length;
    }
    t.true(found / 500 >= 0.95, `recall ${found / 500}`);
  });
}

test('a query is numbers of any kind, or a tensor', async (t) => {
  const { collection: c } = await filled(20, 3);
  const v = new Float32Array([0.5, 0.25, 1]);
  const expected = c.searchSync(v);
  for (const query of [[0.5, 0.25, 1], new Float64Array(v), { data: v, dims: [3] }, { data: v, dims: [1, 3] }]) {
    t.deepEqual(await c.search(query), expected);
    t.deepEqual(c.searchSync(query), expected);
  }
});

test('ids of any script and length come back as they are, with distances to the bit', async (t) => {
  const c = await open({ dim: 2, metric: 'l2', fields: { words: 'text' } });
  const plain = ['a', '0123456789', 'x'.repeat(1024), ' ', '\0', '\x7f'];
  const others = ['\x80', '\xff\xfe', '\u0100', '\uffff', '日本語', '🙂', '🙂'.repeat(256), '\u2028"\\'];
  for (const ids of [plain, others]) {
    await c.upsert({
      ids,
      vectors: Float32Array.from({ length: 2 * ids.length }, (_, i) => Math.fround(1.1 * i)),
      metadata: ids.map((id) => ({ words: 'some', id })),
    });
    const all = [...plain, ...others].slice(0, c.size).sort();
    for (const hits of [c.searchSync([0, 0], { k: 100 }), await c.search([0, 0], { k: 100 })]) {
      t.deepEqual(hits.map(({ id }) => id).sort(), all);
      const rows = await c.get(
        hits.map(({ id }) => id),
        { include: { vector: true } },
      );
      for (const [i, { id, distance, metadata }] of hits.entries()) {
        t.deepEqual({ id, metadata }, { id: rows[i]?.id ?? '', metadata: rows[i]?.metadata ?? {} });
        const [x = Number.NaN, y = Number.NaN] = rows[i]?.vector ?? [];
        t.is(distance, Math.fround(Math.sqrt(Math.fround(Math.fround(x * x) + Math.fround(y * y)))));
      }
    }
    const words = await c.searchText('some', { k: 100 });
    t.deepEqual(words.map(({ id }) => id).sort(), all);
    t.true(words.every(({ distance, score }) => Number.isNaN(distance) && score === words[0]?.score && score > 0));
  }
});

test('k limits the hits, and is not padded', async (t) => {
  const { collection: c } = await filled(20, 3);
  t.is(c.searchSync([1, 2, 3]).length, 10);
  t.is(c.searchSync([1, 2, 3], { k: 1 }).length, 1);
  t.is(c.searchSync([1, 2, 3], { k: 1000 }).length, 20);
  t.deepEqual((await open({ dim: 2 })).searchSync([1, 2]), []);
});

for (const metric of metrics) {
  test(`${metric}: pages follow one another, and maxDistance ends them`, async (t) => {
    const { collection: c, floats } = await filled(3000, 8, { metric });
    const query = row(floats, 8, 5);
    for (const filter of [undefined, { i: { $lt: 2000 } }, { i: { $lt: 15 } }]) {
      const how = { ...(filter && { filter }), exact: true };
      const all = c.searchSync(query, { ...how, k: 3000 });
      for (const [offset, k] of [
        [0, 5],
        [5, 20],
        [25, 7],
        [2990, 20],
        [5000, 10],
      ] as const) {
        t.deepEqual(await c.search(query, { ...how, offset, k }), all.slice(offset, offset + k));
        const distance = all[8]?.distance ?? 0;
        const near = all.filter((hit) => hit.distance <= distance);
        t.deepEqual(c.searchSync(query, { ...how, offset, k, maxDistance: distance }), near.slice(offset, offset + k));
        const batch = await c.searchBatch([query, query], { ...how, k: offset + k, maxDistance: distance });
        const count = Math.min(near.length, offset + k);
        t.deepEqual(batch.counts, new Uint32Array([count, count]));
        if (count < offset + k) t.true(Number.isNaN(batch.distances[count]));
      }
      t.deepEqual(c.searchSync(query, { ...how, maxDistance: Number.NEGATIVE_INFINITY }), []);
      const similar = await c.similar('r5', { ...how, k: 20 });
      t.deepEqual(await c.similar('r5', { ...how, offset: 5, k: 3 }), similar.slice(5, 8));
    }
    // By the graph: what is found is exact in distance and order.
    const walked = c.searchSync(query, { offset: 10, k: 10, efSearch: 100 });
    t.is(walked.length, 10);
    const walk = await c.explain(query, { offset: 10, k: 10, efSearch: 40 });
    t.is(walk.plan, 'graph');
    t.deepEqual(
      walked,
      [...walked].sort((a, b) => a.distance - b.distance || (a.id < b.id ? -1 : 1)),
    );
  });
}

test('include chooses what comes along', async (t) => {
  const { collection: c, floats } = await filled(5, 3);
  const query = row(floats, 3, 2);
  const [hit] = await c.search(query, { k: 1, include: { vector: true, metadata: false } });
  t.deepEqual(Object.keys(hit ?? {}).sort(), ['distance', 'id', 'score', 'vector']);
  t.deepEqual(hit?.vector, query);
});

test('similar leaves the row itself out', async (t) => {
  const { collection: c, floats } = await filled(50, 3);
  const expected = nearest('cosine', floats, 3, row(floats, 3, 7), 6).map(({ i }) => `r${i}`);
  t.deepEqual(
    (await c.similar('r7', { k: 5, exact: true })).map(({ id }) => id),
    expected.slice(1),
  );
  const missing: Expected = { is: Error, code: 'ERR_NOT_FOUND', says: ['nobody'] };
  await rejects(t, () => c.similar('nobody'), missing);
});

test('searchBatch gives typed arrays, with NaN and no id beyond the hits', async (t) => {
  const { collection: c, floats } = await filled(3, 2);
  const hits = await c.searchBatch([row(floats, 2, 0), row(floats, 2, 1)], { k: 5 });
  t.is(hits.k, 5);
  t.deepEqual(hits.counts, new Uint32Array([3, 3]));
  t.is(hits.distances.length, 10);
  t.is(hits.id(1, 0), 'r1');
  t.is(hits.ids().length, 10);
  t.is(hits.ids()[5], 'r1');
  t.true(Number.isNaN(hits.distances[4]));
  for (const [q, h] of [
    [0, 4],
    [2, 0],
    [-1, 0],
    [0.5, 0],
    [2 ** 32, 0],
    [Number.NaN, 0],
  ] as const)
    t.is(hits.id(q, h), '');
  throws(t, () => hits.id('0' as never, 0), wrongType('query', "'0'"));
  const none = await c.searchBatch(new Float32Array(0));
  t.deepEqual([none.counts.length, none.distances.length, none.ids()], [0, 0, []]);
});

test('wrong queries and options are named', async (t) => {
  const { collection: c } = await filled(20, 2);
  const v = [1, 2];
  const wrong: [unknown, unknown, Expected][] = [
    [undefined, {}, wrongType('query', 'undefined')],
    ['1,2', {}, wrongType('query', "'1,2'")],
    [new Int32Array(2), {}, wrongType('query')],
    [[1, '2'], {}, wrongType('query[1]', "'2'")],
    [[1], {}, outOfRange('ERR_DIMENSION', 'query', '1', '2')],
    [new Float32Array(3), {}, outOfRange('ERR_DIMENSION', 'query', '3', '2')],
    [{ data: [1, 2], dims: [2] }, {}, wrongType('query.data')],
    [{ data: new Float32Array(4), dims: [2, 2] }, {}, outOfRange('ERR_DIMENSION', 'query', '4', '2')],
    [[1, Number.NaN], {}, outOfRange('ERR_NOT_FINITE')],
    [[0, 0], {}, outOfRange('ERR_ZERO_VECTOR')],
    [v, { topK: 3 }, wrongType('"topK"', 'did you mean k?')],
    [v, { efsearch: 3 }, wrongType('"efsearch"', 'did you mean efSearch?')],
    [v, { filters: {} }, wrongType('"filters"', 'did you mean filter?')],
    [v, { offset: 999_991 }, outOfRange('ERR_ARGUMENT', 'offset', '999991', '999990')],
    [v, { maxDistance: Number.NaN }, outOfRange('ERR_ARGUMENT', 'maxDistance', 'NaN')],
    [v, { k: '3' }, wrongType("k must be a number, got '3'")],
    [v, { efSearch: null }, wrongType('efSearch must be a number, got null')],
    [v, { exact: 1 }, wrongType('exact must be a boolean, got 1')],
    [v, { include: { vectors: true } }, wrongType('did you mean vector?')],
    [v, 3, wrongType('options', '3')],
    ...[0, -1, 1.5, Number.NaN, 2 ** 31, 2 ** 53].flatMap((bad): [unknown, unknown, Expected][] => [
      [v, { k: bad }, outOfRange('ERR_ARGUMENT', 'k', `${bad}`)],
      [v, { efSearch: bad }, outOfRange('ERR_ARGUMENT', 'efSearch', `${bad}`)],
    ]),
  ];
  for (const [query, options, expected] of wrong) {
    const about = JSON.stringify(expected.says);
    await rejects(t, () => c.search(query as never, options as never), expected, `search ${about}`);
    await rejects(t, () => c.explain(query as never, options as never), expected, `explain ${about}`);
    throws(t, () => c.searchSync(query as never, options as never), expected, `searchSync ${about}`);
  }
  const signal = AbortSignal.timeout(1000);
  throws(t, () => c.searchSync(v, { signal } as never), wrongType('"signal"'));
  await rejects(t, () => c.searchBatch([v], { include: {} } as never), wrongType('"include"'));
  await rejects(t, () => c.searchBatch([1, 2] as never), wrongType('queries[0]', '1'));
  await rejects(t, () => c.searchBatch(new Float32Array(3)), outOfRange('ERR_DIMENSION', 'queries', '3'));
});

test('explain says how the same search runs', async (t) => {
  const { collection: c } = await filled(20, 2);
  const explain = await c.explain([1, 2], { k: 3, exact: true });
  t.is(explain.plan, 'exact');
  t.true(explain.distances >= 20 && explain.microseconds >= 0);
  t.is((await (await open({ dim: 2 })).explain([1, 2])).plan, 'empty');
});

test('exactSearch compares all with all, by position', async (t) => {
  const [floats, queries] = [vectors(200, 8), vectors(5, 8, 2)];
  for (const metric of metrics) {
    const hits = await exactSearch(floats, queries, { k: 4, metric, dim: 8 });
    t.deepEqual(hits.counts, new Uint32Array(5).fill(4));
    for (let q = 0; q < 5; q++) {
      const expected = nearest(metric, floats, 8, row(queries, 8, q), 4);
      t.deepEqual(
        Array.from(hits.rows.subarray(q * 4, q * 4 + 4)),
        expected.map(({ i }) => i),
      );
    }
  }
  const few = await exactSearch(vectors(2, 8), queries, { k: 4, dim: 8 });
  t.is(few.k, 4);
  t.true(Number.isNaN(few.distances[3]));
  await rejects(t, () => exactSearch(floats, queries, { k: 4 } as never), wrongType('dim', 'undefined'));
  await rejects(t, () => exactSearch(floats, queries, { dim: 8 } as never), wrongType('k', 'undefined'));
  await rejects(t, () => exactSearch(floats, queries, { dim: 0, k: 1 }), outOfRange('ERR_ARGUMENT', 'dim', '0'));
  await rejects(
    t,
    () => exactSearch(floats, queries, { dim: 7, k: 1 }),
    outOfRange('ERR_DIMENSION', 'vectors', '1600'),
  );
  await rejects(t, () => exactSearch(floats, queries, { dim: 8, K: 1 } as never), wrongType('"K"', 'did you mean k?'));
});

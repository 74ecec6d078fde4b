import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type Filter, open } from '../dist/index.mjs';
import { type Expected, filled, ids, nearest, outOfRange, rejects, throws, vectors, wrongType } from './harness.ts';
import { agreements } from './hazards/filters.ts';

agreements(4000);

/** An error about the filter. */
const noFilter = (...says: (string | RegExp)[]): Expected => ({ is: Error, code: 'ERR_FILTER', says });

test('a filtered search gives the nearest of the rows that match, by every method', async (t) => {
  const { collection: c, floats } = await filled(3000, 16);
  const matching: [Filter<{ i: number }>, (i: number) => boolean][] = [
    [{}, () => true],
    [{ i: { $lt: 1500 } }, (i) => i < 1500],
    [{ i: { $gte: 2990 } }, (i) => i >= 2990],
    [{ $or: [{ i: 7 }, { i: { $gt: 10, $lte: 12 } }] }, (i) => i === 7 || i === 11 || i === 12],
    [{ i: { $in: [] } }, () => false],
  ];
  for (const [filter, matches] of matching) {
    const expected = Array.from({ length: 3000 }, (_, i) => i).filter(matches);
    t.is(await c.count(filter), expected.length);
    const items: string[] = [];
    for await (const { id } of c.items({ filter })) items.push(id);
    t.deepEqual(
      items,
      expected.map((i) => `r${i}`),
    );
    for (let q = 0; q < 10; q++) {
      const query = vectors(1, 16, 100 + q);
      const near = nearest('cosine', floats, 16, query, 3000).filter(({ i }) => matches(i));
      const ids = near.slice(0, 10).map(({ i }) => `r${i}`);
      const found = (hits: { id: string }[]) => hits.map(({ id }) => id);
      t.deepEqual(found(c.searchSync(query, { filter, exact: true })), ids);
      t.deepEqual(found(await c.search(query, { filter, exact: true })), ids);
      t.deepEqual(
        (await c.searchBatch(query, { filter, exact: true, k: 5 })).ids().slice(0, ids.length),
        ids.slice(0, 5),
      );
      const similar = found(await c.similar('r7', { filter, exact: true, k: 3000 }));
      t.is(similar.length, expected.filter((i) => i !== 7).length);
      t.false(similar.includes('r7'));
      t.is(c.searchSync(query, { filter }).length, Math.min(10, expected.length));
    }
    const { plan, matching: rows } = await c.explain(vectors(1, 16, 5), { filter, exact: true });
    t.deepEqual([plan, rows], [expected.length > 0 ? 'exact' : 'empty', expected.length]);
  }
  t.is((await c.explain(vectors(1, 16, 5))).matching, undefined);
});

test('delete by filter takes what matches at its turn, and nothing where everything would', async (t) => {
  const { collection: c } = await filled(2000, 4);
  t.is(await c.delete({ filter: { i: { $gte: 1990 } } }), 10);
  t.is(await c.delete({ filter: { i: { $gte: 1990 } } }), 0);
  const [, gone] = await Promise.all([
    c.upsert({ id: 'new', vector: [1, 2, 3, 4], metadata: { i: 5000 } }),
    c.delete({ filter: { i: { $gt: 4000 } } }),
    c.upsert({ id: 'newer', vector: [1, 2, 3, 4], metadata: { i: 5000 } }),
  ]);
  t.deepEqual([gone, await c.has('new'), await c.has('newer'), await c.count()], [1, false, true, 1991]);
  const always = [undefined, {}, { $and: [] }, { i: { $nin: [] } }, { $or: [{ i: 1 }, {}] }, { $not: { $or: [] } }];
  for (const filter of always) await rejects(t, () => c.delete({ filter } as never), noFilter('clear()'));
  await rejects(t, () => c.delete({} as never), noFilter('clear()'));
  await rejects(t, () => c.delete({ filters: {} } as never), wrongType('did you mean filter?'));
  t.is(await c.count(), 1991);
  // Every row there is, and yet a filter that a row could fail.
  t.is(await c.delete({ filter: { i: { $exists: true } } }), 1991);
});

test('deleted and replaced rows do not match', async (t) => {
  const { collection: c } = await filled(50, 4);
  await c.delete('r3');
  await c.upsert({ id: 'r4', vector: [1, 2, 3, 4], metadata: { i: 400 } });
  t.deepEqual([await c.count({ i: { $in: [3, 4] } }), await c.count({ i: 400 })], [0, 1]);
});

test('items by filter come in pages, as they stood', async (t) => {
  const { collection: c } = await filled(25_000, 2);
  const seen: string[] = [];
  for await (const { id } of c.items({ filter: { i: { $gte: 100 } }, include: { metadata: false } })) {
    if (seen.push(id) === 1) await c.delete({ filter: { i: { $gte: 200 } } });
  }
  t.is(seen.length, 24_900);
  t.is(new Set(seen).size, 24_900);
});

test('what is no filter is refused with the place inside it', async (t) => {
  const { collection: c } = await filled(20, 2);
  const loop: Record<string, unknown> = {};
  loop.$not = loop;
  const deep = (n: number): object => (n === 0 ? {} : { $not: deep(n - 1) });
  const wrong: [unknown, Expected][] = [
    [{ $and: [{ i: 1 }, { i: { $gt: null } }] }, noFilter('filter.$and[1].i.$gt is null')],
    [{ i: { $gtt: 1 } }, noFilter('filter.i.$gtt is no operator')],
    [{ i: new Date(0) }, noFilter('filter.i is 1970', 'toISOString()')],
    [{ i: { $in: [1, 2n] } }, noFilter('filter.i.$in[1] is 2n')],
    [{ i: Number.NaN }, noFilter('filter.i is NaN')],
    [{ i: { $lt: Number.POSITIVE_INFINITY } }, noFilter('filter.i.$lt is Infinity')],
    [{ i: undefined }, noFilter('filter.i is undefined')],
    [{ 'a b': () => true }, noFilter("filter['a b'] is [Function")],
    [{ i: { $in: new Set([1]) } }, noFilter('filter.i.$in is Set')],
    [{ i: [1] }, noFilter('filter.i is [1]')],
    // biome-ignore lint/suspicious/noSparseArray: a hole is the point.
    [{ $or: [{}, , {}] }, noFilter('filter.$or[1] is undefined')],
    [null, noFilter('filter is null')],
    ['i = 1', noFilter('filter is "i = 1"')],
    [[], noFilter('filter is []')],
    [loop, noFilter('nested more than 64 deep')],
    [deep(64), noFilter('nested more than 64 deep')],
    [deep(5000), noFilter('nested more than 64 deep')],
    [{ $or: Array.from({ length: 10_001 }, () => ({ i: 1 })) }, noFilter('more than 10000 conditions')],
    [{ i: 'x'.repeat(2 ** 22 + 1) }, noFilter('4194304')],
    [{ i: { $in: new Array(2 ** 22).fill('x') } }, noFilter('4194304')],
  ];
  for (const [filter, expected] of wrong) {
    const given = { filter } as never;
    await rejects(t, () => c.search([1, 2], given), expected);
    throws(t, () => c.searchSync([1, 2], given), expected);
    await rejects(t, () => c.searchBatch([[1, 2]], given), expected);
    await rejects(t, () => c.similar('r1', given), expected);
    await rejects(t, () => c.explain([1, 2], given), expected);
    await rejects(t, () => c.count(filter as never), expected);
    await rejects(t, () => c.delete(given), expected);
    await rejects(t, async () => c.items(given)[Symbol.asyncIterator]().next(), expected);
  }
  t.is(await c.count(deep(63) as never), 0);
  t.is(await c.count({ i: { $in: Array.from({ length: 100_000 }, (_, i) => i + 10) } }), 10);
});

test('a filter is read once, and changing it afterwards changes nothing', async (t) => {
  const { collection: c } = await filled(20, 2);
  let reads = 0;
  const filter = {
    get i() {
      return ++reads;
    },
  };
  t.is(await c.count(filter), 1);
  t.is(reads, 1);
  const changed = { i: { $lt: 5 } };
  const counted = c.count(changed);
  changed.i.$lt = 1;
  t.is(await counted, 5);
  const polluted = JSON.parse('{"__proto__":{"$exists":true}}');
  t.is(await c.count(polluted), 0);
});

test('dates are compared as they are kept: as ISO text, or as numbers', async (t) => {
  const c = await open<{ at: string | number }>({ dim: 1 });
  const days = ['2024-01-31T00:00:00.000Z', '2024-02-01T00:00:00.000Z', '2024-10-01T00:00:00.000Z'];
  for (const [i, day] of days.entries()) {
    await c.insert({ id: `text${i}`, vector: [1], metadata: { at: new Date(day) as never } });
    await c.insert({ id: `number${i}`, vector: [1], metadata: { at: Date.parse(day) } });
  }
  const since = new Date('2024-02-01');
  t.is(await c.count({ at: { $gte: since.toISOString() } }), 2);
  t.is(await c.count({ at: { $lt: since.getTime() } }), 1);
  t.is(await c.count({ at: { $startsWith: '2024-0' } }), 2);
});

test('a filtered search ends when it is aborted', async (t) => {
  const { collection: c } = await filled(30_000, 2);
  const signal = AbortSignal.abort(new Error('enough'));
  await t.throwsAsync(() => c.search([1, 2], { filter: { i: 1 }, signal }), { message: 'enough' });
  const late = new AbortController();
  const search = c.search([1, 2], { filter: { i: 1 }, signal: late.signal });
  late.abort(new Error('late'));
  await t.throwsAsync(search, { message: 'late' });
});

test('fields are kept with the collection, and others than its own are refused with both named', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'auspex-fields-'));
  const path = join(folder, 'c');
  const first = await open<{ year?: number; tag?: string }>(path, {
    dim: 1,
    fields: { year: 'number', tag: 'keyword' },
  });
  const metadata = Array.from({ length: 500 }, (_, i) => ({ year: i, tag: `t${i % 7}` }));
  await first.insert({ ids: ids(500), vectors: new Float32Array(500).fill(1), metadata });
  await first.close();
  for (const fields of [{}, { year: 'number' as const }, { year: 'keyword' as const, tag: 'keyword' as const }]) {
    const says = ['fields is', '{ "tag": "keyword", "year": "number" }'];
    await rejects(t, () => open(path, { fields }), outOfRange('ERR_ARGUMENT', ...says));
  }
  for (const options of [{}, { fields: { tag: 'keyword' as const, year: 'number' as const } }]) {
    const again = await open<{ year?: number; tag?: string }>(path, options);
    t.is(await again.count({ year: { $gte: 490 }, tag: 't0' }), 2);
    t.deepEqual(again.fields, { tag: 'keyword', year: 'number' });
    await again.close();
  }
  const bare = await open(join(folder, 'bare'), { dim: 1 });
  t.deepEqual(bare.fields, {});
  await bare.close();
  const says = ['fields is { "a": "boolean" }', 'made with {}'];
  await rejects(t, () => open(join(folder, 'bare'), { fields: { a: 'boolean' } }), outOfRange('ERR_ARGUMENT', ...says));
  const wrong: [Record<string, unknown>, Expected][] = [
    [{ a: 'texts' }, outOfRange('ERR_ARGUMENT', 'fields["a"]', '"texts"', '"keyword[]"')],
    [{ $a: 'number' }, outOfRange('ERR_ARGUMENT', 'fields["$a"]', 'begins with $')],
    [{ 'a\ud800': 'number' }, outOfRange('ERR_ARGUMENT', 'lone surrogate')],
    [{ a: 1 }, wrongType("fields['a']", '1')],
    [{ ['x'.repeat(1025)]: 'number' }, outOfRange('ERR_ARGUMENT', '1025 bytes', '1024')],
    [Object.fromEntries(ids(257).map((name) => [name, 'number'])), outOfRange('ERR_ARGUMENT', '257', '256')],
  ];
  for (const [fields, expected] of wrong) await rejects(t, () => open({ dim: 1, fields } as never), expected);
  rmSync(folder, { recursive: true });
});

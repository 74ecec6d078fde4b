import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { open } from '../dist/index.mjs';
import { ids, outOfRange, random, rejects, vectors, wrongType } from './harness.ts';
import { differs, Truth, wordsOf } from './hazards/text.ts';

interface Doc {
  title: string;
  body?: string[];
  year: number;
}
const FIELDS = { title: 'text', body: 'text', year: 'number' } as const;

const POOL = [
  'the The THE of of a',
  "sea's salt-water 3.5 knots 1,024 v2",
  'Straße ÉCOLE e\u0301cole Łódź naïve',
  'Привет мир ΟΔΟΣ οδος',
  'مرحبا بالعالم שלום עולם नमस्ते',
  'ＡＢＣ １２３ ﬁne',
  '데이터베이스 검색',
  '🙂 -- !! \u200d \n\t',
  'snake_case camelCase kebab-case a.b.c',
];

const next = random(3);
const some = (count: number): string =>
  Array.from({ length: count }, () => {
    const words = (POOL[Math.floor(next() ** 2 * POOL.length)] as string).split(' ');
    return words[Math.floor(next() * words.length)];
  }).join(' ');
const docs: Doc[] = Array.from({ length: 1200 }, (_, year) => ({
  title: some(Math.floor(next() * 6)),
  ...(next() < 0.7 && { body: [some(Math.floor(next() * 8)), some(2)] }),
  year,
}));
const truth = new Truth(docs.map(({ title, body = [] }) => [title, ...body].flatMap(wordsOf)));

async function filled(path?: string) {
  const options = { dim: 4, fields: FIELDS };
  const c = await (path === undefined ? open<Doc>(options) : open<Doc>(path, options));
  for (let from = 0; from < docs.length; from += 150) {
    const metadata = docs.slice(from, from + 150);
    await c.insert({ ids: ids(150, from), vectors: vectors(150, 4, from + 1), metadata });
  }
  return c;
}

test('words of many languages are found with the scores of BM25', async (t) => {
  const c = await filled();
  for (const query of [...POOL, ...Array.from({ length: 60 }, () => some(1 + Math.floor(next() * 4)))]) {
    for (const k of [3, 1200]) {
      const hits = await c.searchText(query, { k });
      t.is(
        differs(hits, truth.search(wordsOf(query)), k, (row) => `r${row}`),
        undefined,
        query,
      );
    }
  }
  const [first] = await c.searchText('école', { k: 1, include: { metadata: false, vector: true } });
  t.is(first?.vector.length, 4);
  t.false('metadata' in (first ?? {}));
});

test('filters and pages choose among the hits', async (t) => {
  const c = await filled();
  const all = await c.searchText('the sea', { k: 1200 });
  const even = await c.searchText('the sea', { k: 1200, filter: { year: { $gte: 300, $lt: 700 } } });
  t.deepEqual(
    even,
    all.filter(({ metadata: { year } }) => year >= 300 && year < 700),
  );
  t.true(even.length > 20);
  t.deepEqual(await c.searchText('the sea', { k: 5, offset: 7 }), all.slice(7, 12));
  t.deepEqual(await c.searchText('the sea', { k: 5, filter: { title: { $contains: 'no such' } } }), []);
});

test('a write is found when it has resolved, and what it replaced is not', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'auspex-text-'));
  const path = join(folder, 'c');
  const c = await filled(path);
  const found = async (text: string) => (await c.searchText(text, { k: 9 })).map(({ id }) => id);
  const v = [1, 2, 3, 4];
  await c.upsert({ id: 'x', vector: v, metadata: { title: 'Zeppelin', year: 1 } });
  t.deepEqual(await found('zeppelin'), ['x']);
  await c.update('x', { metadata: { title: 'airship' } });
  t.deepEqual([await found('zeppelin'), await found('AIRSHIP!')], [[], ['x']]);
  const reader = await open<Doc>(path, { mode: 'readonly' });
  await c.upsert({ id: 'x', vector: v, metadata: { title: '', body: ['balloon', 'airship'], year: 1 } });
  t.is((await reader.searchText('balloon')).length, 0);
  await reader.refresh();
  t.is((await reader.searchText('balloon')).length, 1);
  await reader.close();
  await c.close();
  const again = await open<Doc>(path, { fields: FIELDS });
  t.deepEqual((await again.stats()).notices, []);
  t.deepEqual(
    (await again.searchText('balloon')).map(({ id }) => id),
    ['x'],
  );
  await again.delete('x');
  t.deepEqual(await again.searchText('airship'), []);
  t.is(
    differs(await again.searchText('the'), truth.search(['the']), 10, (row) => `r${row}`),
    undefined,
  );
  await again.compact();
  t.is(
    differs(await again.searchText('the'), truth.search(['the']), 10, (row) => `r${row}`),
    undefined,
  );
  t.deepEqual(await again.verify(), { ok: true, problems: [] });
  await again.clear();
  t.deepEqual(await again.searchText('the'), []);
  await again.close();
  rmSync(folder, { recursive: true });
});

test('a hybrid search is the sum over both lists of weight / (rrfK + rank)', async (t) => {
  const c = await filled();
  const [vector, text] = [vectors(1, 4, 77), 'the snake_case мир'];
  for (const filter of [{}, { year: { $gt: 600 } }]) {
    const near = await c.search(vector, { k: 100, filter });
    const fit = await c.searchText(text, { k: 100, filter });
    for (const [rrfK, weights] of [
      [60, {}],
      [1, { text: 3 }],
      [60, { vector: 0 }],
    ] as const) {
      const scores = new Map<string, number>();
      const { vector: a = 1, text: b = 1 } = weights as { vector?: number; text?: number };
      const add = (hits: { id: string }[], weight: number) => {
        for (const [i, { id }] of hits.entries()) {
          if (weight > 0) scores.set(id, (scores.get(id) ?? 0) + weight / (rrfK + i + 1));
        }
      };
      add(near, a);
      add(fit, b);
      const arrival = (id: string) => Number(id.slice(1));
      const expected = [...scores].sort((x, y) => y[1] - x[1] || arrival(x[0]) - arrival(y[0])).slice(0, 20);
      const hits = await c.searchHybrid({ vector, text }, { k: 20, filter, rrfK, weights });
      t.deepEqual(
        hits.map(({ id, score }) => [id, score]),
        expected,
      );
      for (const { id, distance } of hits) {
        t.is(distance, (a > 0 && near.find((hit) => hit.id === id)?.distance) || Number.NaN, id);
      }
    }
  }
  const pages = await Promise.all([0, 5].map((offset) => c.searchHybrid({ vector, text }, { k: 5, offset })));
  t.deepEqual(pages.flat(), await c.searchHybrid({ vector, text }));
  t.deepEqual(
    await c.searchHybrid({ vector, text: '' }),
    (await c.search(vector)).map((hit, i) => ({
      ...hit,
      score: 1 / (61 + i),
    })),
  );
});

test('text of any kind is safe to write and to ask for', async (t) => {
  const c = await open<{ t: unknown }>({ dim: 1, metric: 'l2', fields: { t: 'text' } as never });
  const words = [
    'x'.repeat(2 ** 20),
    'a\u0301'.repeat(2 ** 19),
    'a.'.repeat(2 ** 19),
    'ab '.repeat(2 ** 18),
    Array.from({ length: 2 ** 17 }, (_, i) => i.toString(36)).join(' '),
    '\ud800a\udfff b\ud83d',
  ];
  const hostile = [...words, '\0'.repeat(2 ** 20), ''];
  const others = [null, 7, true, { a: 'b' }, [['deep']], ['one', 2, null, { a: 'b' }], []];
  const rows = [...hostile, ...others].map((value, i) => ({ id: `r${i}`, vector: [i], metadata: { t: value } }));
  await c.insert(rows as never);
  for (const [i, text] of hostile.entries()) {
    const hits = await c.searchText(text, { k: 20, include: { metadata: false } });
    t.is(
      hits.some(({ id }) => id === `r${i}`),
      i < words.length,
      `r${i}`,
    );
    await c.searchHybrid({ vector: [1], text }, { include: { metadata: false } });
  }
  t.deepEqual((await c.searchText('deep one b', { k: 20, include: { metadata: false } })).map(({ id }) => id).sort(), [
    'r13',
    'r4',
    'r5',
  ]);
  await rejects(t, () => c.searchText('x'.repeat(2 ** 22 + 1)), outOfRange('ERR_ARGUMENT', 'text', '4194304'));
  await rejects(t, () => c.searchText('字'.repeat(2 ** 21)), outOfRange('ERR_ARGUMENT', 'text', '4194304'));
});

test('what cannot be asked is named', async (t) => {
  const without = await open({ dim: 1, fields: { t: 'keyword' } });
  const none = outOfRange('ERR_ARGUMENT', 'fields', "'text'");
  await rejects(t, () => without.searchText('a'), none);
  await rejects(t, () => without.searchHybrid({ vector: [1], text: 'a' }), none);
  const c = await filled();
  const [vector, text] = [[1, 2, 3, 4], 'a'];
  await rejects(t, () => c.searchText(7 as never), wrongType('text', '7'));
  await rejects(t, () => c.searchText('a', { efSearch: 7 } as never), wrongType('efSearch'));
  await rejects(t, () => c.searchHybrid({ vector } as never), wrongType('query.text'));
  await rejects(t, () => c.searchHybrid({ text } as never), wrongType('query.vector'));
  await rejects(t, () => c.searchHybrid({ vector: [1], text }), outOfRange('ERR_DIMENSION', 'query.vector'));
  const bad = outOfRange('ERR_ARGUMENT', 'weights.text', '-1');
  await rejects(t, () => c.searchHybrid({ vector, text }, { weights: { text: -1 } }), bad);
  await rejects(t, () => c.searchHybrid({ vector, text }, { rrfK: Number.NaN }), outOfRange('ERR_ARGUMENT', 'rrfK'));
  const signal = AbortSignal.abort(new Error('enough'));
  await t.throwsAsync(() => c.searchText('a', { signal }), { message: 'enough' });
  await t.throwsAsync(() => c.searchHybrid({ vector, text }, { signal }), { message: 'enough' });
  await c.close();
  await t.throwsAsync(() => c.searchText('a'), { code: 'ERR_CLOSED' });
});

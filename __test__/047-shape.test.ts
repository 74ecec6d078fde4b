/** Hits by groups, and hits that differ: against references that read every row. */
import test from 'ava';
import { type Filter, type LocalCollection, type Metric, open } from '../dist/index.mjs';
import { distance, ids, nearest, outOfRange, random, rejects, row, throws, vectors, wrongType } from './harness.ts';

type Doc = { i: number; author?: unknown };
const DIM = 8;

/** What rows have in `author`: many values of two kinds, and all that names no group. */
function authors(rows: number, most: number): Doc[] {
  const next = random(7);
  const none = [undefined, null, ['a0'], [], { a: 1 }];
  return Array.from({ length: rows }, (_, i): Doc => {
    const [kind, author] = [next(), Math.floor(next() ** 2 * most)];
    if (kind < 0.1) return { i, author: none[i % none.length] };
    return { i, author: kind < 0.2 ? author : kind < 0.25 ? author % 2 === 0 : `a${author}` };
  });
}

/** The key of a group, or `undefined` for rows that are in none. */
const group = ({ author }: Doc) =>
  ['string', 'number', 'boolean'].includes(typeof author) ? JSON.stringify(author) : undefined;

interface Asked {
  k: number;
  size?: number;
  offset?: number;
  maxDistance?: number;
}

/** The same, by reading all rows. */
function grouped(near: { i: number; distance: number }[], docs: Doc[], asked: Asked, takes: (i: number) => boolean) {
  const { k, size = 1, offset = 0, maxDistance = Number.POSITIVE_INFINITY } = asked;
  const groups = new Map<string, number[]>();
  for (const { i, distance } of near) {
    const key = group(docs[i] as Doc);
    if (key === undefined || !takes(i) || distance > maxDistance) continue;
    const rows = groups.get(key) ?? [];
    groups.set(key, rows);
    if (rows.length < size) rows.push(i);
  }
  return [...groups.values()].slice(offset, offset + k).flat();
}

/** Rows, and how far they are. */
const ordered = (hits: { id: string; distance: number }[]) =>
  hits.map(({ id, distance }) => ({ i: Number(id.slice(1)), distance }));

const found = (hits: { id: string }[]) => hits.map(({ id }) => Number(id.slice(1)));

async function library(rows: number, most: number, metric: Metric, columns: boolean) {
  const fields = { author: 'keyword', i: 'number' } as const;
  const c: LocalCollection<Doc> = await open<Doc>({ dim: DIM, metric, ...(columns && { fields }) });
  const [floats, metadata] = [vectors(rows, DIM), authors(rows, most)];
  await c.insert({ ids: ids(rows), vectors: floats, metadata });
  return { c, floats, metadata };
}

for (const [metric, columns, most] of [
  ['cosine', true, 40],
  ['l2', false, 1500],
  ['dot', true, 1500],
] as const) {
  test(`groups are those of a reference: ${metric}, ${columns ? '' : 'no '}columns, ${most} authors`, async (t) => {
    const { c, metadata } = await library(1600, most, metric, columns);
    const gone = new Set([3, 77, 500]);
    await c.delete([...gone].map((i) => `r${i}`));
    const filters: [Filter<Doc> | undefined, (i: number) => boolean][] = [
      [undefined, () => true],
      [{ i: { $lt: 900 } }, (i) => i < 900],
      [{ i: { $gte: 1580 } }, (i) => i >= 1580],
      [{ i: { $in: [] } }, () => false],
    ];
    for (let q = 0; q < 2; q++) {
      const query = vectors(1, DIM, 50 + q);
      // Their order is that of the exact search, which other tests hold against a reference.
      const near = ordered(await c.search(query, { k: 1600, exact: true }));
      const middle = near[120]?.distance ?? 0;
      for (const [filter, takes] of filters) {
        for (const asked of [
          { k: 5 },
          { k: 4, size: 3 },
          { k: 3, size: 2, offset: 4 },
          { k: 2000 },
          { k: 30, size: 50 },
          { k: 10, size: 2, maxDistance: middle },
        ] as Asked[]) {
          const { size, ...rest } = asked;
          const groupBy = { field: 'author', ...(size && { size }) } as const;
          const how = { ...rest, groupBy, ...(filter && { filter }) };
          const expected = grouped(near, metadata, asked, takes);
          const about = JSON.stringify(how);
          t.deepEqual(found(c.searchSync(query, { ...how, exact: true })), expected, about);
          t.deepEqual(found(await c.search(query, { ...how, exact: true })), expected, about);
          // By the graph other groups may be found, but as many, and each with all its rows and in order.
          const hits = c.searchSync(query, how);
          t.is(hits.length > 0, expected.length > 0, about);
          const keys = hits.map(({ metadata }) => group(metadata) ?? 'none');
          const count = new Set(keys).size;
          t.is(count, new Set(expected.map((i) => group(metadata[i] as Doc))).size, about);
          t.false(keys.includes('none'), about);
          t.is(keys.filter((key, i) => key !== keys[i - 1]).length, count, `${about}: a group lies apart`);
          const sizes = new Map<string | undefined, number>();
          for (const { i, distance } of near) {
            const key = takes(i) && !(distance > (asked.maxDistance ?? middle + 1e9)) && group(metadata[i] as Doc);
            if (key) sizes.set(key, (sizes.get(key) ?? 0) + 1);
          }
          const wanted = [...new Set(keys)].map((key) => Math.min(size ?? 1, sizes.get(key) ?? 0));
          const counts = [...new Set(keys)].map((key) => keys.filter((other) => other === key).length);
          t.deepEqual(counts, wanted, about);
          const best = hits.filter((_, i) => keys[i] !== keys[i - 1]).map(({ distance }) => distance);
          t.deepEqual(
            best,
            [...best].sort((a, b) => a - b),
            about,
          );
        }
      }
      const similar = c.similar(`r${q + 10}`, { k: 2000, groupBy: { field: 'author', size: 2 }, exact: true });
      const own = ordered(await c.similar(`r${q + 10}`, { k: 1600, exact: true }));
      t.deepEqual(
        found(await similar),
        grouped(own, metadata, { k: 2000, size: 2 }, () => true),
      );
    }
    t.is((await c.explain(vectors(1, DIM, 9), { groupBy: { field: 'author' }, exact: true })).plan, 'exact');
  });
}

test('groups come back whenever they exist, though one holds nearly all that is near', async (t) => {
  for (const columns of [true, false]) {
    const fields = { author: 'keyword' } as const;
    const c = await open<Doc>({ dim: DIM, metric: 'l2', ...(columns && { fields }) });
    const floats = vectors(5000, DIM);
    // The nearest 4,990 are one author's.
    const order = nearest('l2', floats, DIM, new Float32Array(DIM), 5000).map(({ i }) => i);
    const metadata: Doc[] = [];
    for (const [rank, i] of order.entries()) metadata[i] = { i, author: rank < 4990 ? 'one' : `other ${rank % 4}` };
    await c.insert({ ids: ids(5000), vectors: floats, metadata });
    const hits = await c.search(new Float32Array(DIM), { k: 5, groupBy: { field: 'author', size: 3 } });
    t.is(hits.length, 1 * 3 + 2 * 3 + 2 * 2);
    t.deepEqual(new Set(hits.map(({ metadata }) => metadata.author)).size, 5);
    t.is((await c.search(new Float32Array(DIM), { k: 9, groupBy: { field: 'author' } })).length, 5);
    t.deepEqual(await c.search(new Float32Array(DIM), { groupBy: { field: 'nothing' as 'author' } }), []);
  }
});

/** Maximal marginal relevance, in doubles; and by how much each choice was better than the next best. */
function diverse(metric: Metric, near: { i: number; distance: number }[], floats: Float32Array, k: number, l: number) {
  const [left, chosen, margins] = [[...near], [] as number[], [] as number[]];
  while (chosen.length < k && left.length > 0) {
    const costs = left.map(({ i, distance: d }) => {
      const gaps = chosen.map((other) => distance(metric, row(floats, DIM, i), row(floats, DIM, other)));
      return gaps.length === 0 ? d : l * d - (1 - l) * Math.min(...gaps);
    });
    const sorted = [...costs].sort((a, b) => a - b);
    margins.push((sorted[1] ?? Number.POSITIVE_INFINITY) - (sorted[0] ?? 0));
    const best = costs.indexOf(sorted[0] as number);
    chosen.push(left.splice(best, 1)[0]?.i ?? -1);
  }
  return { chosen, margins };
}

for (const metric of ['cosine', 'l2', 'dot'] as const) {
  test(`diverse hits are those of a reference: ${metric}`, async (t) => {
    const { c, floats, metadata } = await library(1500, 40, metric, false);
    let compared = 0;
    for (let q = 0; q < 10; q++) {
      const query = vectors(1, DIM, 80 + q);
      const all = nearest(metric, floats, DIM, query, 1500);
      for (const [k, lambda, fetch] of [
        [5, undefined, undefined],
        [10, 0, 30],
        [10, 0.8, 100],
        [7, 1, 9],
        [20, 0.3, 20],
      ] as const) {
        const [l, n] = [lambda ?? 0.5, fetch ?? 4 * k];
        const { chosen, margins } = diverse(metric, all.slice(0, n), floats, k, l);
        const diversify = { ...(lambda !== undefined && { lambda }), ...(fetch !== undefined && { fetch }) };
        const hits = found(c.searchSync(query, { k, diversify, exact: true }));
        // The engine has floats of 32 bits: where two are as good, it may choose the other, and go another way.
        const sure = margins.findIndex((margin) => margin < 1e-5);
        const same = sure < 0 ? k : sure;
        compared += same;
        t.deepEqual(hits.slice(0, same), chosen.slice(0, same), `${k} ${lambda} ${fetch}`);
        t.is(new Set(hits).size, k);
        if (l === 1) t.deepEqual(hits, found(c.searchSync(query, { k, exact: true })));
        const walked = found(c.searchSync(query, { k, diversify, efSearch: 400 }));
        t.is(walked[0], hits[0]);
      }
      const below = (i: number) => (metadata[i]?.i ?? 0) < 12;
      const few = await c.search(query, { k: 10, diversify: {}, filter: { i: { $lt: 12 } } });
      t.deepEqual(
        found(few).slice(0, 3),
        diverse(
          metric,
          all.filter(({ i }) => below(i)),
          floats,
          3,
          0.5,
        ).chosen,
      );
      const [limit, similar] = [few[0]?.distance ?? 0, await c.similar('r5', { k: 4, diversify: {} })];
      t.is(similar.length, 4);
      t.false(found(similar).includes(5));
      const one = await c.search(query, { k: 10, diversify: {}, filter: { i: { $lt: 12 } }, maxDistance: limit });
      t.deepEqual(found(one), found(few).slice(0, 1));
    }
    t.true(compared > 400, `${compared}`);
  });
}

test('what cannot be grouped or diversified is refused by name', async (t) => {
  const { c } = await library(50, 4, 'cosine', false);
  const query = vectors(1, DIM, 3);
  const refused: [object, ...(string | RegExp)[]][] = [
    [{ groupBy: { field: 'author', size: 0 } }, 'groupBy.size is 0', '100000'],
    [{ groupBy: { field: 'author', size: 1.5 } }, 'groupBy.size is 1.5'],
    [{ k: 1000, groupBy: { field: 'author', size: 1001 } }, 'groupBy.size is 1001', 'from 1 to 1000'],
    [{ groupBy: { field: 'a\ud800' } }, 'groupBy.field', 'surrogate'],
    [{ diversify: { lambda: 1.1 } }, 'diversify.lambda is 1.1', '0 to 1'],
    [{ diversify: { lambda: Number.NaN } }, 'diversify.lambda is NaN'],
    [{ diversify: { fetch: 9 } }, 'diversify.fetch is 9', 'from 10'],
    [{ diversify: {}, offset: 3 }, 'offset is 3 with diversify'],
    [{ diversify: {}, groupBy: { field: 'author' } }, 'groupBy and diversify'],
  ];
  for (const [how, ...says] of refused) {
    throws(t, () => c.searchSync(query, how), outOfRange('ERR_ARGUMENT', ...says), JSON.stringify(how));
    await rejects(t, () => c.similar('r1', how), outOfRange('ERR_ARGUMENT', ...says), JSON.stringify(how));
  }
  const wrong: [unknown, string][] = [
    [{ groupBy: 'author' }, 'groupBy must be an object'],
    [{ groupBy: {} }, 'groupBy.field must be a string'],
    [{ groupBy: { field: 'author', sise: 3 } }, 'did you mean size?'],
    [{ diversify: { lambda: '1' } }, 'diversify.lambda must be a number'],
  ];
  for (const [how, says] of wrong) await rejects(t, () => c.search(query, how as object), wrongType(says));
  await rejects(t, () => c.searchBatch(query, { groupBy: {} } as object), wrongType('options has no "groupBy"'));
});

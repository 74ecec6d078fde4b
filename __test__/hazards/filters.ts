/** Random filters on random rows, held against what `../filter.ts` says of them. */
import { inspect } from 'node:util';
import test from 'ava';
import fc from 'fast-check';
import { open } from '../../dist/index.mjs';
import { type AnyFilter, filters, matches, type Row, rows } from '../filter.ts';
import { ids } from '../harness.ts';

/** Rows that each filter is tried on. */
const ROWS = 100;

/** Tries `pairs` pairs of a filter and a row, half of them on rows some of which were deleted or replaced. */
export function agreement(pairs: number): void {
  test(`${pairs} random filters and rows agree with the reference`, async (t) => {
    const [metadata = [], replaced = []] = fc.sample(fc.array(rows, { minLength: ROWS, maxLength: ROWS }), {
      seed: 7,
      numRuns: 2,
    });
    const c = await open<object>({ dim: 1 });
    await c.insert({ ids: ids(ROWS), vectors: new Float32Array(ROWS).fill(1), metadata });
    let live = new Map<string, Row>(metadata.map((each, i) => [`r${i}`, each]));
    let matched = 0;
    const agrees = async (filter: AnyFilter) => {
      const expected = [...live].filter(([, row]) => matches(filter, row)).map(([id]) => id);
      const found: string[] = [];
      for await (const { id } of c.items({ filter: filter as never })) found.push(id);
      t.deepEqual(found, expected, inspect({ filter }, { depth: 9 }));
      t.is(await c.count(filter as never), expected.length);
      const hits = c.searchSync([1], { filter: filter as never, k: ROWS });
      t.deepEqual(hits.map(({ id }) => id).sort(), expected.sort());
      matched += expected.length;
    };
    const numRuns = Math.ceil(pairs / ROWS / 2);
    await fc.assert(fc.asyncProperty(filters, agrees), { seed: 1, numRuns });
    const again = Array.from({ length: 30 }, (_, i) => `r${i * 3}`);
    await c.upsert({ ids: again, vectors: new Float32Array(30).fill(2), metadata: replaced.slice(0, 30) });
    await c.delete(['r1', 'r2', 'r50']);
    live = new Map([...live].filter(([id]) => !again.includes(id) && !['r1', 'r2', 'r50'].includes(id)));
    for (const [i, id] of again.entries()) live.set(id, replaced[i] ?? {});
    await fc.assert(fc.asyncProperty(filters, agrees), { seed: 2, numRuns });
    // Neither all nor none: the rows and filters have something to say to each other.
    t.true(matched > pairs / 20 && matched < pairs * 0.95, `${matched} of ${pairs}`);
  });
}

/** Random filters on random rows, held against what `../filter.ts` says of them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import test from 'ava';
import fc from 'fast-check';
import { type FieldType, open } from '../../dist/index.mjs';
import { type AnyFilter, filters, matches, type Row, rows } from '../filter.ts';
import { ids } from '../harness.ts';

/** Rows that each filter is tried on. */
const ROWS = 100;
/** Of the fields that filters ask for, some have columns, and one a column of a type that is not its own. */
const declared: Record<string, FieldType> = {
  text: 'keyword',
  number: 'number',
  flag: 'boolean',
  tags: 'keyword[]',
  'a b': 'number',
};

/** Tries `pairs` pairs of a filter and a row: as written, with some rows deleted and replaced, and opened again. */
export function agreement(pairs: number, fields?: Record<string, FieldType>): void {
  const which = fields ? 'columns' : 'no columns';
  test(`${pairs} random filters and rows agree with the reference, with ${which}`, async (t) => {
    const some = fc.array(rows, { minLength: ROWS, maxLength: ROWS });
    const [metadata = [], replaced = []] = fc.sample(some, { seed: 7, numRuns: 2 });
    const folder = mkdtempSync(join(tmpdir(), 'auspex-filter-'));
    let c = await open<object>(folder, { dim: 1, ...(fields && { fields }) });
    // One by one and together: blocks of columns of many sizes.
    for (let i = 0, step = 1; i < ROWS; i += step, step = (step * 7) % 23) {
      const part = metadata.slice(i, i + step);
      await c.insert({ ids: ids(part.length, i), vectors: new Float32Array(part.length).fill(1), metadata: part });
    }
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
    const numRuns = Math.ceil(pairs / ROWS / 4);
    const check = (seed: number) => fc.assert(fc.asyncProperty(filters, agrees), { seed, numRuns });
    await check(1);
    const again = Array.from({ length: 30 }, (_, i) => `r${i * 3}`);
    await c.upsert({ ids: again, vectors: new Float32Array(30).fill(2), metadata: replaced.slice(0, 30) });
    await c.delete(['r1', 'r2', 'r50']);
    live = new Map([...live].filter(([id]) => !again.includes(id) && !['r1', 'r2', 'r50'].includes(id)));
    for (const [i, id] of again.entries()) live.set(id, replaced[i] ?? {});
    await check(2);
    // By a checkpoint, and by one and the frames behind it.
    await c.close();
    c = await open<object>(folder);
    await check(3);
    await c.upsert({ id: 'r7', vector: [3], metadata: replaced[40] ?? {} });
    live.delete('r7');
    live.set('r7', replaced[40] ?? {});
    await c.close();
    c = await open<object>(folder, { ...(fields && { fields }) });
    await check(4);
    t.deepEqual((await c.stats()).notices, []);
    await c.close();
    rmSync(folder, { recursive: true });
    // Neither all nor none: the rows and filters have something to say to each other.
    t.true(matched > pairs / 20 && matched < pairs * 0.95, `${matched} of ${pairs}`);
  });
}

/** The same without columns and with. */
export function agreements(pairs: number): void {
  agreement(pairs);
  agreement(pairs, declared);
}

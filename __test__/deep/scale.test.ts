/**
 * Many rows without structure, the hardest kind, in batches, into a collection that was told no capacity.
 *
 * 25,000 and 100,000 rows always; as many more as AUSPEX_SCALE says, or the argument, as of `npm run test:scale`, which
 * is 1,000,000: minutes, and 1.2 GB.
 */
import test from 'ava';
import { open } from '../../dist/index.mjs';
import { ids, random, row } from '../harness.ts';

const DIM = 128;
const BATCH = 10_000;
const SAMPLE = 500;
const ALWAYS = [25_000, 100_000];
const ASKED = Number(process.env.AUSPEX_SCALE ?? process.argv[2] ?? 0);

/** Floats, codes, links and ids of a row: what no part of may grow faster than the rows do. */
const MOST_BYTES = 2 * 4 * DIM;

for (const rows of [...ALWAYS, ...(ASKED > 0 && !ALWAYS.includes(ASKED) ? [ASKED] : [])]) {
  test.serial(`${rows} rows by batches of ${BATCH}, no capacity given`, async (t) => {
    t.timeout(60_000 + 2 * rows);
    const [begun, cpu, rss] = [performance.now(), process.cpuUsage(), resident()];
    const collection = await open({ dim: DIM, metric: 'l2' });
    const next = random(rows);
    const floats = new Float32Array(BATCH * DIM);
    const known = new Map<string, Float32Array>();
    const bytesAt: number[] = [];
    for (let from = 0; from < rows; from += BATCH) {
      const batch = ids(Math.min(BATCH, rows - from), from);
      for (let i = 0; i < batch.length * DIM; i++) floats[i] = next() * 2 - 1;
      const written = await collection.upsert({ ids: batch, vectors: floats.subarray(0, batch.length * DIM) });
      t.deepEqual(written, { inserted: batch.length, updated: 0 });
      const step = Math.ceil(rows / SAMPLE);
      for (let i = (step - (from % step)) % step; i < batch.length; i += step) {
        known.set(`r${from + i}`, row(floats, DIM, i));
      }
      if (from === 0) bytesAt.push((await collection.stats()).bytes.ram / batch.length);
    }
    const seconds = (performance.now() - begun) / 1000;
    const { user, system } = process.cpuUsage(cpu);

    const stats = await collection.stats();
    const grown = (resident() - rss) / rows;
    const [names, vectors] = [[...known.keys()], [...known.values()]];
    const exact = await collection.searchBatch(vectors, { k: 1, exact: true });
    const walked = (await collection.searchBatch(vectors, { k: 1, efSearch: 400 })).ids();
    const share = names.filter((id, i) => walked[i] === id).length / names.length;
    bytesAt.push(stats.bytes.ram / rows);
    const [first = 0, last = 0] = bytesAt;
    const rate = Math.round((1e6 * rows) / (user + system));
    t.log(`${seconds.toFixed(1)} s, ${rate} rows/s of CPU (data made included), ${Math.round(last)} bytes a row`);
    t.log(`the process grew by ${Math.round(grown)} a row; ${100 * share} % of ${names.length} find themselves`);

    t.is(await collection.count(), rows);
    t.is(stats.rows, rows);
    t.is(stats.layers[0], rows);
    t.is(stats.unreachable, 0);
    t.true(last < MOST_BYTES, `${last} bytes a row`);
    t.true(last < 1.25 * first, `${first} bytes a row at first, ${last} at last`);
    if (rows >= 100_000) t.true(grown < 3 * MOST_BYTES, `the process grew by ${grown} bytes a row`);
    t.deepEqual(exact.ids(), names);
    t.true(exact.distances.every((distance) => distance === 0));
    t.true(share >= (rows > 100_000 ? 0.85 : 0.97), `${share} of the sample find themselves at efSearch 400`);
    await collection.close();
  });
}

/** Bytes of this process without garbage. */
function resident(): number {
  globalThis.gc?.();
  return process.memoryUsage.rss();
}

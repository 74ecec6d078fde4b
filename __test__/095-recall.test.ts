/** What a collection knows of itself: how much searches find, and the efSearch that is enough. */
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { AuspexError, open, type Progress } from '../dist/index.mjs';
import { filled, outOfRange, rejects, vectors, wrongType } from './harness.ts';

const DIM = 32;

function folder(t: ExecutionContext): string {
  const parent = mkdtempSync(join(tmpdir(), 'auspex-'));
  t.teardown(() => rmSync(parent, { recursive: true, force: true }));
  return join(parent, 'a.auspex');
}

test('recall is that of searches for the rows themselves, each left out', async (t) => {
  const { collection: c } = await filled(1200, DIM, { metric: 'l2' });
  for (const filter of [undefined, { i: { $lt: 800 } }]) {
    const how = { ...(filter && { filter }) };
    const efs = [10, 30];
    const points = await c.estimateRecall({ k: 10, sample: 1200, efSearch: efs, ...how });
    t.deepEqual(
      points.map(({ efSearch }) => efSearch),
      efs,
    );
    for (const { efSearch, recall, p50Us, p99Us } of points.slice(0, 1)) {
      let [hits, all] = [0, 0];
      for (let i = 0; i < 1200; i++) {
        const truth = await c.similar(`r${i}`, { exact: true, ...how });
        const last = truth.at(-1)?.distance ?? 0;
        all += truth.length;
        hits += (await c.similar(`r${i}`, { efSearch, ...how })).filter(({ distance }) => distance <= last).length;
      }
      t.is(recall, hits / all);
      t.true(p50Us > 0 && p99Us >= p50Us);
    }
    const recalls = points.map(({ recall }) => recall);
    t.true((recalls[0] ?? 1) < 0.995 && (recalls[1] ?? 0) > (recalls[0] ?? 1), `${recalls}`);
  }
  const seeded = async () => (await c.estimateRecall({ sample: 100, efSearch: [10, 12] })).map(({ recall }) => recall);
  t.deepEqual(await seeded(), await seeded());
  t.deepEqual(
    (await c.estimateRecall()).map(({ efSearch }) => efSearch),
    [64],
  );
});

test('recall of few rows, and of none', async (t) => {
  const { collection: few } = await filled(5, 3);
  t.is((await few.estimateRecall({ k: 10 }))[0]?.recall, 1);
  t.is((await few.estimateRecall({ filter: { i: { $gt: 9 } } }))[0]?.recall, 1);
  const { collection: none } = await filled(0, 3);
  t.deepEqual(await none.estimateRecall({ efSearch: [7] }), [{ efSearch: 7, recall: 1, p50Us: 0, p99Us: 0 }]);
  t.is((await none.tune({ targetRecall: 1 })).recall, 1);
  // What nothing was learnt from is not kept.
  t.is((await none.stats()).efSearch, 64);
});

test('tune finds the smallest efSearch, keeps it, and searches use it', async (t) => {
  const path = folder(t);
  const [rows, n] = [vectors(3000, DIM), 3000];
  const names = Array.from({ length: n }, (_, i) => `r${i}`);
  const first = await open(path, { dim: DIM, metric: 'l2', m: 4, efConstruction: 10 });
  await first.insert({ ids: names, vectors: rows });
  const reader = await open(path, { mode: 'readonly' });
  t.is((await first.stats()).efSearch, 64);
  const reports: Progress[] = [];
  const { efSearch, recall } = await first.tune({ targetRecall: 0.9, onProgress: (at) => reports.push(at) });
  t.deepEqual([reports.at(-1)?.phase, reports.at(-1)?.done], ['tune', reports.at(-1)?.total]);
  t.true(recall >= 0.9 && efSearch > 10, `${efSearch}: ${recall}`);
  const points = await first.estimateRecall({ efSearch: [efSearch - 1, efSearch] });
  t.true((points[0]?.recall ?? 1) < 0.9);
  t.is(points[1]?.recall, recall);
  t.is((await first.stats()).efSearch, efSearch);
  const query = vectors(1, DIM, 9);
  const given = async (c: typeof first, ef?: number) => (await c.explain(query, ef ? { efSearch: ef } : {})).visited;
  t.is(await given(first), await given(first, efSearch));
  t.not(await given(first), await given(first, 300));
  t.deepEqual((await first.verify()).problems, []);
  // A reader sees it when it looks, and does not tune.
  t.is((await reader.stats()).efSearch, 64);
  await reader.refresh();
  t.is((await reader.stats()).efSearch, efSearch);
  await rejects(t, () => reader.tune({ targetRecall: 0.5 }), { is: AuspexError, code: 'ERR_READ_ONLY' });
  await reader.close();
  // It outlives the handle, a compaction and a copy.
  await first.delete(names.slice(0, 100));
  await first.compact();
  await first.snapshot(`${path}-copy`);
  await first.close();
  for (const where of [path, `${path}-copy`]) {
    const again = await open(where);
    t.is((await again.stats()).efSearch, efSearch);
    await again.close();
    const own = await open(where, { efSearch: 33 });
    t.is((await own.stats()).efSearch, 33);
    await own.close();
  }
});

test('what cannot be measured or reached is refused with the value', async (t) => {
  const { collection: c } = await filled(30, 3);
  for (const [how, ...says] of [
    [{ k: 0 }, 'k is 0'],
    [{ sample: 10_001 }, 'sample is 10001', '10000'],
    [{ efSearch: [] }, 'efSearch has 0 numbers', '64'],
    [{ efSearch: [10, 0.5] }, 'efSearch[1] is 0.5'],
  ] as [object, ...string[]][]) {
    await rejects(t, () => c.estimateRecall(how), outOfRange('ERR_ARGUMENT', ...says));
  }
  await rejects(
    t,
    () => c.estimateRecall({ efSearch: 64 } as object),
    wrongType('efSearch must be an array of numbers, got 64'),
  );
  await rejects(t, () => c.estimateRecall({ efSearch: ['1'] } as object), wrongType('efSearch[0] must be a number'));
  await rejects(t, () => c.estimateRecall({ filter: { i: { $x: 1 } } as object }), {
    is: AuspexError,
    code: 'ERR_FILTER',
  });
  for (const targetRecall of [0, 1.01, Number.NaN, -1]) {
    await rejects(t, () => c.tune({ targetRecall }), outOfRange('ERR_ARGUMENT', `targetRecall is ${targetRecall}`));
  }
  await rejects(t, () => c.tune({} as never), wrongType('targetRecall must be a number'));
  const reason = new Error('enough');
  await t.throwsAsync(c.estimateRecall({ signal: AbortSignal.abort(reason) }), { is: reason });
  await t.throwsAsync(c.tune({ targetRecall: 0.5, signal: AbortSignal.abort(reason) }), { is: reason });
});

test('stats know every segment of the log, those that deletes alone have filled too', async (t) => {
  const path = folder(t);
  const c = await open(path, { dim: 4 });
  const names = Array.from({ length: 3000 }, (_, i) => `r${i}`);
  await c.insert({ ids: names, vectors: vectors(3000, 4) });
  const segments = () => readdirSync(path).filter((name) => name.startsWith('log-'));
  const before = segments().length;
  for (let i = 0; segments().length === before && i < 700; i++) {
    await Promise.all([c.delete(`r${i}`), c.delete([`none${i}`])]);
  }
  t.is(segments().length, before + 1);
  const bytes = segments().reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
  const { bytes: known } = await c.stats();
  t.is(known.disk, bytes);
  t.is(known.mapped, bytes);
  await c.close();
});

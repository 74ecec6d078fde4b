/** Everything at once for `AUSPEX_SOAK` minutes (10): no error, no search that waits, memory that stays as it was. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { open } from '../../dist/index.mjs';
import { random, vectors } from '../harness.ts';
import { resident } from '../hazards/harness.ts';

const minutes = Number(process.env.AUSPEX_SOAK ?? 10);
const [dim, rows] = [64, 30_000];
/** Of vectors: queries and rows are cut from it. */
const pool = vectors(rows + 2000, dim);
const next = random(11);
const below = (n: number) => Math.floor(next() * n);
const cut = (n: number, from = below(rows)) => pool.subarray(from * dim, (from + n) * dim);

test.serial(`searches, writes and jobs side by side for ${minutes} minutes`, async (t) => {
  t.timeout((minutes + 5) * 60_000);
  const parent = mkdtempSync(join(tmpdir(), 'auspex-soak-'));
  t.teardown(() => rmSync(parent, { recursive: true, force: true }));
  const path = join(parent, 'a.auspex');
  const c = await open<{ n: number }>(path, { dim, metric: 'l2', durability: 'relaxed' });
  const reader = await open<{ n: number }>(path, { mode: 'readonly' });
  const names = (n: number, from = below(rows)) => Array.from({ length: n }, (_, i) => `r${(from + i) % rows}`);
  await c.upsert({ ids: names(rows, 0), vectors: cut(rows, 0), metadata: Array(rows).fill({ n: -1 }) });
  const end = performance.now() + minutes * 60_000;
  const counts = { searches: 0, rows: 0, deleted: 0, updates: 0, jobs: 0, refreshed: 0 };
  const until = async (step: () => Promise<void>) => {
    while (performance.now() < end) await step();
  };
  const searching = () =>
    until(async () => {
      const hits = await c.search(cut(1), { k: 10 });
      if (hits.length !== 10) t.fail(`${hits.length} hits`);
      for (let i = 0; i < 10; i++) c.searchSync(cut(1), { k: 10, include: { metadata: false } });
      counts.searches += 11;
    });
  const writing = until(async () => {
    const n = 1 + below(500);
    await c.upsert({ ids: names(n), vectors: cut(n), metadata: Array(n).fill({ n }) });
    counts.rows += n;
    counts.deleted += await c.delete(names(below(100)));
    counts.updates += Number(await c.update(`r${below(rows)}`, { metadata: { n } }));
  });
  let job = 0;
  const keeping = until(async () => {
    if (job % 3 === 0) t.deepEqual((await c.verify()).problems, []);
    if (job % 3 === 1) await c.compact();
    if (job % 3 === 2) await c.snapshot(join(parent, `copy-${job}`));
    rmSync(join(parent, `copy-${job}`), { recursive: true, force: true });
    counts.refreshed += Number(await reader.refresh());
    if (reader.size < rows / 2) t.fail(`a reader sees ${reader.size} rows`);
    counts.jobs = ++job;
    await new Promise((go) => setTimeout(go, 500));
  });
  const seen: number[] = [];
  const watching = until(async () => {
    await new Promise((go) => setTimeout(go, (minutes * 60_000) / 20));
    seen.push(Math.round(await resident()));
  });
  await Promise.all([searching(), searching(), writing, keeping, watching]);
  const { maxWaitMs, notices, unreachable } = await c.stats();
  t.log(`${JSON.stringify(counts)}; longest wait ${maxWaitMs.toFixed(3)} ms; MiB ${seen.join(' ')}`);
  t.deepEqual({ notices, unreachable }, { notices: [], unreachable: 0 });
  t.true(maxWaitMs < 5, `${maxWaitMs} ms`);
  // What is held for a compaction or a copy comes and goes: the least of the second half is held against the first.
  const half = seen.length / 2;
  const [first, second] = [Math.min(...seen.slice(1, half)), Math.min(...seen.slice(half))];
  t.true(second < first * 1.15 + 16, `${first} MiB, then ${second} MiB`);
  t.deepEqual((await c.verify()).problems, []);
  await Promise.all([c.close(), reader.close()]);
});

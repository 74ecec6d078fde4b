/**
 * `npm run bench:disk`: the same rows loaded into memory, into a folder, and into a folder with every batch synced. CPU
 * time is that of all threads of the process, checkpoints beside the writes included.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type OpenOptions, open } from 'auspex';
import { type DataSet, readSet } from './data.mts';
import { machine } from './machine.mts';
import { insertAll, timed } from './meter.mts';
import { table, whole } from './screen.mts';

interface Flags {
  set?: string;
  folder?: string;
  times?: number;
}

const BATCH = 10_000;
/** The share of the rate in memory that sift128-100k must reach, a second of CPU. */
const GOALS = { relaxed: 0.8, commit: 0.6 };

/** Loads the rows so many times each way, and prints the best of each. */
export async function main({ set: name, folder = tmpdir(), times = 3 }: Flags): Promise<void> {
  const host = machine();
  const set = await readSet(name);
  const rows = set.base.length / set.dim;
  console.log(`auspex ${host.version}, ${host.isa}, ${host.threads} threads, ${host.cores} x ${host.cpu}
${set.name}: ${whole(rows)} rows of ${set.dim} numbers with ids, by ${whole(BATCH)}; folders in ${folder}; best of ${times}`);
  const best: Record<string, Loaded> = {};
  for (let round = 0; round < times; round++) {
    for (const how of ['memory', 'relaxed', 'commit'] as const) {
      const loaded = await load(set, how, folder);
      const known = best[how];
      if (!known || loaded.cpuMs < known.cpuMs) best[how] = loaded;
    }
  }
  const inMemory = best.memory as Loaded;
  const lines = Object.entries(best).map(([how, { ms, cpuMs, closeMs }]) => [
    how,
    whole((1000 * rows) / cpuMs),
    (inMemory.cpuMs / cpuMs).toFixed(2),
    (cpuMs / 1000).toFixed(2),
    (ms / 1000).toFixed(2),
    Math.max(0, (ms - inMemory.ms) / 1000).toFixed(2),
    (closeMs / 1000).toFixed(2),
  ]);
  const wait = 'waiting for the disk s';
  console.log(table(['', 'rows/s of CPU', 'of memory', 'CPU s', 'wall s', wait, 'close, wall s'], ...lines));
  for (const [how, goal] of Object.entries(GOALS)) {
    const share = inMemory.cpuMs / (best[how] as Loaded).cpuMs;
    console.log(
      `${how}: ${share.toFixed(2)} of the rate in memory, goal ${goal}: ${share >= goal ? 'reached' : 'MISSED'}`,
    );
  }
}

interface Loaded {
  ms: number;
  cpuMs: number;
  closeMs: number;
}

async function load(set: DataSet, how: 'memory' | 'relaxed' | 'commit', parent: string): Promise<Loaded> {
  const path = how === 'memory' ? undefined : mkdtempSync(join(parent, 'auspex-bench-'));
  const options: OpenOptions & { dim: number } = { dim: set.dim, metric: set.metric };
  try {
    const collection = path ? await open(path, { ...options, durability: how as 'commit' }) : await open(options);
    const { ms, cpuMs } = await insertAll(collection, set, BATCH, `Loading: ${how}`);
    const { ms: closeMs } = await timed(() => collection.close());
    return { ms, cpuMs, closeMs };
  } finally {
    if (path) rmSync(path, { recursive: true, force: true });
  }
}

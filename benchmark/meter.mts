/** Clocks and figures: wall and CPU time, percentiles, recall, memory. Loads no library that is measured. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { LocalCollection } from 'auspex';
import type { DataSet } from './data.mts';
import { Progress } from './screen.mts';

/** Milliseconds of the clock on the wall, and of all threads of this process together. */
export interface Time {
  ms: number;
  cpuMs: number;
}

/** Runs work and measures it. */
export async function timed<T>(work: () => T | Promise<T>): Promise<Time & { result: T }> {
  const [begun, before] = [performance.now(), process.cpuUsage()];
  const result = await work();
  const { user, system } = process.cpuUsage(before);
  return { ms: round(performance.now() - begun, 3), cpuMs: round((user + system) / 1000, 3), result };
}

/** Inserts the rows of a set, numbered, by batches that are each awaited, and measures it; `title` says what for. */
export async function insertAll(
  collection: LocalCollection,
  set: DataSet,
  batch: number,
  title: string,
): Promise<Time> {
  const rows = set.base.length / set.dim;
  const ids = Array.from({ length: rows }, (_, row) => String(row));
  const progress = new Progress(title);
  const time = await timed(async () => {
    for (let from = 0; from < rows; from += batch) {
      const to = Math.min(from + batch, rows);
      await collection.upsert({ ids: ids.slice(from, to), vectors: set.base.subarray(from * set.dim, to * set.dim) });
      progress.update(to, rows);
    }
  });
  progress.end(rows);
  return time;
}

/** Microseconds: half of the calls took at most p50, 99 of 100 at most p99. */
export interface Latency {
  p50: number;
  p99: number;
  mean: number;
}

/** What the single calls took, in milliseconds, as a latency in microseconds. */
export function latency(ms: readonly number[]): Latency {
  const sorted = Float64Array.from(ms).sort();
  const at = (share: number) => round(1000 * (sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN), 2);
  const mean = (1000 * sorted.reduce((sum, x) => sum + x, 0)) / sorted.length;
  return { p50: at(0.5), p99: at(0.99), mean: round(mean, 2) };
}

/**
 * The share of the true neighbours that were found.
 *
 * @param found ids of the hits of each query
 * @param truth ids of the true neighbours of each query
 */
export function recall(found: readonly (readonly string[])[], truth: readonly (readonly string[])[]): number {
  let [hits, all] = [0, 0];
  for (const [i, ids] of truth.entries()) {
    const known = new Set(ids);
    all += known.size;
    hits += (found[i] ?? []).filter((id) => known.delete(id)).length;
  }
  return round(hits / all, 4);
}

/** Runs work, and looks every few milliseconds how large the process has become. */
export async function watched<T>(work: () => Promise<T>): Promise<{ result: T; grown: number }> {
  const before = memory().rss;
  let most = before;
  const timer = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss());
  }, 2);
  try {
    const result = await work();
    return { result, grown: Math.max(most, process.memoryUsage.rss()) - before };
  } finally {
    clearInterval(timer);
  }
}

/** Bytes of this process: now, without garbage, and the most so far. */
export function memory(): { rss: number; peakRss: number } {
  setFlagsFromString('--expose-gc');
  (runInNewContext('gc') as () => void)();
  return { rss: process.memoryUsage.rss(), peakRss: 1024 * process.resourceUsage().maxRSS };
}

/** A number with at most so many digits behind the point. */
export function round(x: number, digits: number): number {
  return Number(x.toFixed(digits));
}

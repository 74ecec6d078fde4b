/** The process of one measurement: reads a job from the command line, and prints its outcome. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { latency, memory, recall, round, timed } from '../meter.mts';
import type { Job, Outcome, Point } from './job.mts';
import { type Data, SUBJECTS, type Subject } from './subjects.mts';

const job = JSON.parse(process.argv[2] ?? '') as Job & { files: string; k: number };
const { set } = job;
const make = SUBJECTS[job.rival];
if (!make) throw new Error(`no runner for ${job.rival}`);

const floats = (name: string) => new Float32Array(new Uint8Array(readFileSync(join(set.folder, name))).buffer);
const base = floats('base.f32');
const asked = floats('queries.f32');
const queries = Array.from({ length: set.queries }, (_, q) => asked.slice(q * set.dim, (q + 1) * set.dim));
const truth = new Int32Array(new Uint8Array(readFileSync(join(set.folder, 'truth.i32'))).buffer);
const data: Data = { base, queries, dim: set.dim, rows: set.rows, metric: set.metric };

const subject = await make(data, job);
const before = memory().rss;
const build = await timed(() => subject.build());
const rss = memory().rss - before;
const points: Point[] = [];
for (const efSearch of job.efSearch) {
  points.push(await point(subject, efSearch));
  if ((points.at(-1)?.recall ?? 0) > (job.until ?? 1)) break;
}
const outcome: Outcome = {
  version: subject.version,
  build: { ms: build.ms, cpuMs: build.cpuMs },
  rss,
  ...(subject.bytes && { bytes: await subject.bytes() }),
  points,
};
await subject.close?.();
console.log(`outcome ${JSON.stringify(outcome)}`);
process.exit();

/** One query after another on this thread: once for the answers, which warms, then for the clock. */
async function point({ searcher, rowsOf }: Subject, efSearch: number): Promise<Point> {
  const search = await searcher(efSearch);
  const found: string[][] = [];
  const begun = performance.now();
  for (let q = 0; q < queries.length; q++) {
    found.push(Array.from(rowsOf(await search(q)), String));
    // Whoever takes seconds for a hundred is asked no more.
    if (found.length >= 100 && performance.now() - begun > 4000 * job.seconds) break;
  }
  const times: number[] = [];
  const { cpuMs } = await timed(async () => {
    const end = performance.now() + 1000 * job.seconds;
    for (let pass = 0; pass < job.passes; pass++) {
      for (let q = 0; q < found.length; q++) {
        const at = performance.now();
        const answer = search(q);
        if (answer instanceof Promise) await answer;
        const now = performance.now();
        times.push(now - at);
        if (now > end && times.length >= 100) return;
      }
    }
  });
  const known = found.map((_, q) => Array.from(truth.subarray(q * set.width, q * set.width + job.k), String));
  const cpuMicroseconds = round((1000 * cpuMs) / times.length, 2);
  return { efSearch, recall: recall(found, known), ...latency(times), cpuMicroseconds };
}

/**
 * `npm run bench:scaling`: how builds and searches change with threads, rows and dimensions, on clustered rows that are
 * made on the spot.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { clustered } from './data.mts';
import { machine } from './machine.mts';
import { root } from './ready.mjs';
import { install } from './rivals/install.mjs';
import { measure, type Outcome, type Prepared, prepare, scratch } from './rivals/job.mts';
import { curves, page, quantity, type Section } from './rivals/report.mts';
import { type Line, line } from './rivals/summary.mts';
import { table, whole } from './screen.mts';

interface Flags {
  million?: boolean;
  times?: number;
  quick?: boolean;
  out?: string;
}

const FULL = { rows: [10_000, 30_000, 100_000], dims: [64, 128, 256, 384, 512, 768, 1024, 1536], wide: 20_000 };
const EF_SEARCH = [10, 14, 20, 28, 40, 56, 80, 112, 160];
const QUICK = { rows: [5000, 10_000, 20_000], dims: [64, 384, 1536], wide: 5000 };

/** Measures all three, prints tables, and writes scaling.json and scaling.html. */
export async function main({ million, quick = false, times = quick ? 1 : 3, out }: Flags): Promise<void> {
  const host = machine();
  const scale = quick ? QUICK : FULL;
  const folder = scratch();
  await install({ rivals: false });
  const about = `auspex ${host.version}, ${host.isa}, ${host.cores} x ${host.cpu}, Node.js ${host.node}; best of ${times}`;
  console.log(`${about}\nclustered rows, l2, built in one call with the defaults`);
  const lines: (Line & { group: string; x: number })[] = [];
  const measured = async (group: string, x: number, set: Prepared, threads: number[]) => {
    // Numbers of threads take turns, as the libraries of the other benchmark do.
    const outcomes: Outcome[][] = threads.map(() => []);
    for (let time = 0; time < times; time++) {
      for (const [i, count] of threads.entries()) {
        const job = { rival: 'auspex', language: 'javascript' as const, build: {}, set, efSearch: EF_SEARCH };
        outcomes[i]?.push(await measure({ ...job, threads: count, seconds: quick ? 0.3 : 1, passes: 3 }));
      }
    }
    console.error(`${group}: ${whole(x)}`);
    return outcomes.map((some, i) => {
      const floats = 4 * set.rows * set.dim;
      const found = line({ set: set.name, rival: 'auspex', build: {}, rows: set.rows, floats, outcomes: some });
      if (!found) throw new Error(`nothing was measured of ${set.name}`);
      lines.push({ ...found, group, x: threads.length > 1 ? (threads[i] ?? 0) : x });
      return {
        ...found,
        ms: Math.min(...some.map(({ build }) => build.ms)),
        cpuMs: Math.min(...some.map(({ build }) => build.cpuMs)),
      };
    });
  };

  const largest = scale.rows.at(-1) ?? 0;
  const counts = [...new Set([1, 2, host.threads])].filter((count) => count <= host.threads);
  const threads = await measured('threads', largest, prepare(await clustered(largest), folder), counts);
  const [one] = threads;
  const byThreads = {
    title: `Threads: the build of ${whole(largest)} rows of 128 numbers`,
    text: [
      'If its work were only shared, CPU time would stay what it is with one thread; times that many threads, that is how much faster it would be on quiet cores.',
    ],
    table: [
      ['threads', 'wall s', 'CPU s', 'rows/s of CPU', 'faster by wall', 'by CPU time'],
      ...threads.map(({ ms, cpuMs, rowsPerCpuSecond }, i) => [
        String(counts[i]),
        (ms / 1000).toFixed(2),
        (cpuMs / 1000).toFixed(2),
        whole(rowsPerCpuSecond),
        ((one?.ms ?? 0) / ms).toFixed(2),
        (((counts[i] ?? 0) * (one?.cpuMs ?? 0)) / cpuMs).toFixed(2),
      ]),
    ],
  };
  console.log(`\n${byThreads.title}\n${table(...byThreads.table)}`);

  const rows: Line[] = [];
  for (const n of million ? [...scale.rows, 1_000_000] : scale.rows) {
    rows.push(...(await measured('rows', n, prepare(await clustered(n), folder), [host.threads])));
  }
  const byRows = { title: 'Rows, of 128 numbers', table: scaled('rows', rows, (at) => at.rows) };
  console.log(`\n${byRows.title}\n${table(...byRows.table)}`);

  const wide: Line[] = [];
  for (const dim of scale.dims) {
    wide.push(
      ...(await measured('dimensions', dim, prepare(await clustered(scale.wide, dim), folder), [host.threads])),
    );
  }
  const dimOf = (at: Line) => at.floats / 4 / at.rows;
  const byDims = { title: `Dimensions, ${whole(scale.wide)} rows`, table: scaled('dimensions', wide, dimOf) };
  console.log(`\n${byDims.title}\n${table(...byDims.table)}`);

  const sections: Section[] = [
    { title: 'Measured on', text: [about] },
    byThreads,
    { ...byRows, plots: plots('rows', rows, (at) => at.rows) },
    { ...byDims, plots: plots('dimensions', wide, dimOf) },
  ];
  const where = out ?? join(root, 'benchmark/results');
  mkdirSync(where, { recursive: true });
  writeFileSync(join(where, 'scaling.json'), `${JSON.stringify({ ...host, times, quick, lines }, undefined, 1)}\n`);
  writeFileSync(join(where, 'scaling.html'), await page('auspex by threads, rows and dimensions', sections));
  console.log(`\nWritten: ${join(where, 'scaling.html')}, and .json beside it`);
}

/** The figures by one quantity, each beside the one before it. */
function scaled(name: string, lines: Line[], of: (line: Line) => number): string[][] {
  const at56 = ({ points }: Line) => points.find(({ efSearch }) => efSearch === 56) ?? points.at(-1);
  return [
    [name, 'rows/s of CPU', 'of the first', 'us at 0.95 (efSearch)', 'us at efSearch 56', 'recall@10', 'memory'],
    ...lines.map((line) => [
      whole(of(line)),
      whole(line.rowsPerCpuSecond),
      (line.rowsPerCpuSecond / (lines[0]?.rowsPerCpuSecond ?? 1)).toFixed(2),
      line.at95 ? `${line.at95.cpuMicroseconds.toFixed(1)} (${line.at95.efSearch})` : '-',
      at56(line)?.cpuMicroseconds.toFixed(1) ?? '-',
      at56(line)?.recall.toFixed(4) ?? '-',
      line.memory?.toFixed(2) ?? '-',
    ]),
  ];
}

function plots(name: string, lines: Line[], of: (line: Line) => number) {
  const values = lines.map((line, order) => ({
    x: of(line),
    order,
    rate: line.rowsPerCpuSecond,
    at95: line.at95?.cpuMicroseconds,
    what: 'auspex',
  }));
  const x = quantity('x', name, { type: 'log' });
  return [
    curves('Build', values, x, quantity('rate', 'rows a second of CPU', { zero: true }), 'what'),
    curves('Search at recall 0.95', values, x, quantity('at95', 'microseconds of CPU', { zero: true }), 'what'),
  ];
}

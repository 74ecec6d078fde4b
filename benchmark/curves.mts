/**
 * `npm run bench:curves`: recall against the time of a search by efSearch, for each quantization and for several m, as the
 * tables and pictures of docs/tuning.md. One thread builds and one searches; times are those of the CPU.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { readSet } from './data.mts';
import { machine } from './machine.mts';
import { root } from './ready.mjs';
import { install } from './rivals/install.mjs';
import { type Build, measure, type Outcome, type Prepared, prepare, scratch } from './rivals/job.mts';
import { picture, quantity } from './rivals/report.mts';
import { type Line, line } from './rivals/summary.mts';
import { table, whole } from './screen.mts';

interface Flags {
  set?: string;
  times?: number;
  quick?: boolean;
  out?: string;
}

const EF_SEARCH = [10, 16, 24, 32, 48, 64, 96, 128, 192, 256, 400];

/** What each picture compares. */
const FIGURES: Record<string, { title: string; builds: Record<string, Build> }> = {
  quantization: {
    title: 'by quantization (m 16)',
    builds: Object.fromEntries(
      ['sq8', 'sq4', 'f16', 'none'].map((quantization) => [quantization, { m: 16, quantization }]),
    ),
  },
  m: {
    title: 'by m (quantization sq8)',
    builds: Object.fromEntries([8, 16, 24, 32].map((m) => [`m ${m}`, { m, quantization: 'sq8' }])),
  },
};

/** Measures, prints tables, and writes curves.json and a picture for each table. */
export async function main({ set: name, times = 5, quick = false, out }: Flags): Promise<void> {
  const host = machine();
  const folder = scratch();
  await install({ rivals: false });
  const set = prepare(await readSet(name), folder);
  const about = `auspex ${host.version}, ${host.isa}, ${host.cpu}, Node.js ${host.node}; one thread; best of ${times}`;
  console.log(`${about}\n${set.name}: ${whole(set.rows)} rows of ${set.dim} numbers, ${set.metric}, k 10`);
  const measured = await measureAll(set, times, quick);
  const where = out ?? join(root, 'docs');
  mkdirSync(where, { recursive: true });
  for (const [figure, { title, builds }] of Object.entries(FIGURES)) {
    const lines = Object.fromEntries(
      Object.entries(builds).map(([name, build]) => [name, lineOf(set, build, measured)]),
    );
    console.log(`\n${title}\n${table(...tableOf(lines))}`);
    const file = join(where, `tuning-${figure}.svg`);
    writeFileSync(file, await drawn(`${set.name}: recall@10 against the time of a search, ${title}`, lines));
    console.log(`Written: ${file}`);
  }
  const results = join(root, 'benchmark/results');
  mkdirSync(results, { recursive: true });
  const all = { ...host, times, set: set.name, measured: Object.fromEntries(measured) };
  writeFileSync(join(results, 'curves.json'), `${JSON.stringify(all, undefined, 1)}\n`);
}

/** Outcomes by build, each measured once however many pictures have it. Builds take turns: what else runs is shared. */
async function measureAll(set: Prepared, times: number, quick: boolean): Promise<Map<string, Outcome[]>> {
  const builds = Object.values(FIGURES).flatMap((figure) => Object.values(figure.builds).map(keyOf));
  const measured = new Map<string, Outcome[]>(builds.map((key) => [key, []]));
  const how = { seconds: 0.3, passes: quick ? 1 : 5, efSearch: quick ? EF_SEARCH.slice(0, 6) : EF_SEARCH };
  for (let time = 1; time <= times; time++) {
    for (const [key, outcomes] of measured) {
      const job = { rival: 'auspex', language: 'javascript' as const, build: JSON.parse(key), set, threads: 1, ...how };
      outcomes.push(await measure(job));
      console.error(`${key}: ${time} of ${times}`);
    }
  }
  return measured;
}

const keyOf = (build: Build): string => JSON.stringify(build);

function lineOf(set: Prepared, build: Build, measured: Map<string, Outcome[]>): Line {
  const outcomes = measured.get(keyOf(build)) ?? [];
  const found = line({
    set: set.name,
    rival: 'auspex',
    build,
    rows: set.rows,
    floats: 4 * set.rows * set.dim,
    outcomes,
  });
  if (!found) throw new Error(`nothing was measured of ${keyOf(build)}`);
  return found;
}

/** A line a build: how it was built, and at each efSearch what was found in how many microseconds of CPU. */
function tableOf(lines: Record<string, Line>): string[][] {
  const points = Object.values(lines)[0]?.points ?? [];
  return [
    ['', 'built, rows/s of CPU', ...points.map(({ efSearch }) => `${efSearch}`)],
    ...Object.entries(lines).map(([name, { points, rowsPerCpuSecond }]) => [
      name,
      whole(rowsPerCpuSecond),
      ...points.map(({ recall, cpuMicroseconds }) => `${recall.toFixed(3)} ${cpuMicroseconds.toFixed(0)}us`),
    ]),
  ];
}

function drawn(title: string, lines: Record<string, Line>): Promise<string> {
  const values = Object.entries(lines).flatMap(([name, { points }]) =>
    points.map(({ efSearch, recall, cpuMicroseconds }) => ({ name, efSearch, recall, us: cpuMicroseconds })),
  );
  const least = Math.min(...values.map(({ recall }) => recall));
  const recall = quantity('recall', 'recall@10', { domain: [Math.floor(least * 20) / 20, 1] });
  const us = quantity('us', 'microseconds of CPU a search (points: efSearch)', { type: 'log', nice: false });
  return picture(title, values, { x: us, y: recall, colour: 'name', label: 'efSearch' });
}

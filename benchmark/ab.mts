/**
 * `npm run bench:ab -- COMMIT [COMMIT]`: two commits, or one and the files as they are here, each built by itself; then
 * the same program on both in turn, A B A B, and how B stands to A in each round.
 */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cut, readSet } from './data.mts';
import { UsageError } from './flags.mjs';
import { machine } from './machine.mts';
import { round } from './meter.mts';
import { root, step } from './ready.mjs';
import { type Build, measure, type Outcome, type Prepared, prepare, scratch } from './rivals/job.mts';
import { table, whole } from './screen.mts';

interface Flags {
  commit: string[];
  set?: string;
  times?: number;
  quick?: boolean;
  json?: string;
}

const BUILDS: readonly { name: string; build: Build }[] = [
  { name: 'in one call', build: {} },
  { name: 'by 10,000', build: { batch: 10_000 } },
];
const EF_SEARCH = [16, 32, 64, 128];
const QUICK = { rows: 25_000, queries: 300 };

interface Side {
  name: string;
  entry: string;
}

/** A figure of each side in each round. */
interface Figure {
  what: string;
  a: number[];
  b: number[];
}

/** Builds both, runs them in turn, and prints each figure with the ratio of B to A and the spread of that. */
export async function main({ commit, set: name, times = 5, quick = false, json }: Flags): Promise<void> {
  const host = machine();
  const sides = [];
  for (const word of commit) sides.push(await built(word));
  const [a, b = { name: 'the files here', entry: join(root, 'dist/index.mjs') }] = sides as [Side, Side?];
  const everything = await readSet(name);
  const set = quick ? await cut(everything, QUICK.rows, QUICK.queries) : everything;
  const prepared = prepare(set, scratch());
  console.log(`A: ${a.name}\nB: ${b.name}
${host.isa}, ${host.threads} threads while building, ${host.cores} x ${host.cpu}, Node.js ${host.node}
${set.name}: ${whole(prepared.rows)} rows of ${set.dim} numbers; ${times} rounds of A and B in turn`);
  const figures = new Map<string, Figure>();
  for (let time = 0; time < times; time++) {
    // Whoever comes second finds a warmer machine: they take turns in that too.
    for (const side of time % 2 === 0 ? (['a', 'b'] as const) : (['b', 'a'] as const)) {
      for (const { name: way, build } of BUILDS) {
        const outcome = await run(side === 'a' ? a : b, build, prepared, host.threads);
        note(figures, side, way, outcome, prepared.rows);
      }
    }
    console.error(`round ${time + 1} of ${times}`);
  }
  const lines = [...figures.values()].map(compare);
  console.log(
    table(
      ['median of the rounds', 'A', 'B', 'B / A', 'least', 'most'],
      ...lines.map(({ what, a, b, ratio, least, most }) => [
        what,
        number(a),
        number(b),
        ...[ratio, least, most].map((x) => x.toFixed(3)),
      ]),
    ),
  );
  if (json) writeFileSync(json, `${JSON.stringify({ ...host, set: set.name, a, b, times, lines }, undefined, 2)}\n`);
}

async function run(side: Side, build: Build, set: Prepared, threads: number): Promise<Outcome> {
  const search = { efSearch: EF_SEARCH, seconds: 2, passes: 5 };
  try {
    return await measure({
      rival: 'auspex',
      language: 'javascript',
      build,
      set,
      threads,
      entry: side.entry,
      ...search,
    });
  } catch (error) {
    throw new UsageError(`${side.name} does not run this benchmark: ${(error as Error).message}`);
  }
}

function note(figures: Map<string, Figure>, side: 'a' | 'b', way: string, { build, points }: Outcome, rows: number) {
  const put = (what: string, value: number) => {
    const figure = figures.get(what) ?? { what, a: [], b: [] };
    figure[side].push(value);
    figures.set(what, figure);
  };
  put(`${way}: rows/s of CPU`, (1000 * rows) / build.cpuMs);
  put(`${way}: rows/s of wall`, (1000 * rows) / build.ms);
  for (const { efSearch, recall, cpuMicroseconds, p50, p99 } of points) {
    put(`${way}, efSearch ${efSearch}: recall@10`, recall);
    put(`${way}, efSearch ${efSearch}: CPU us`, cpuMicroseconds);
    put(`${way}, efSearch ${efSearch}: p50 us`, p50);
    put(`${way}, efSearch ${efSearch}: p99 us`, p99);
  }
}

/** The medians, and of the ratios of each round the median, the least and the most. */
function compare({ what, a, b }: Figure) {
  const ratios = a.flatMap((value, i) => {
    const other = b[i];
    return other === undefined ? [] : [other / value];
  });
  return {
    what,
    a: median(a),
    b: median(b),
    ratio: round(median(ratios), 4),
    least: round(Math.min(...ratios), 4),
    most: round(Math.max(...ratios), 4),
    rounds: { a, b },
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((x, y) => x - y);
  const half = sorted.length / 2;
  return ((sorted[Math.ceil(half) - 1] ?? Number.NaN) + (sorted[Math.floor(half)] ?? Number.NaN)) / 2;
}

const number = (x: number) => (x >= 1000 ? whole(x) : x.toFixed(x < 2 ? 4 : 1));

/** The addon and dist of a commit, built in a work tree of its own, which goes again; what it made is kept. */
async function built(word: string): Promise<Side> {
  const commit = git(['rev-parse', '--verify', '--end-of-options', `${word}^{commit}`], word);
  const name = `${word} (${git(['log', '-1', '--format=%h %s', commit], word)})`;
  const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
  const [kept, tree] = [join(target, 'ab', commit), join(target, 'ab', `${commit}.tree`)];
  const entry = join(kept, 'dist/index.mjs');
  if (existsSync(entry)) return { name, entry };
  if (existsSync(tree)) git(['worktree', 'remove', '--force', tree], word);
  mkdirSync(join(target, 'ab'), { recursive: true });
  git(['worktree', 'add', '--detach', tree, commit], word);
  try {
    // The packages of here build it too, unless it names others.
    const same = git(['diff', '--name-only', commit, '--', 'package-lock.json'], word) === '';
    if (same) symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'), 'junction');
    else if (!(await step(`Installing the packages of ${word}`, 'npm', ['ci', '--no-audit', '--no-fund'], tree))) {
      throw new UsageError(`the packages of ${name} cannot be installed`);
    }
    const env = { CARGO_TARGET_DIR: join(target, 'ab', 'cargo') };
    if (!(await step(`Building ${name}`, process.execPath, ['.ci/build.mjs'], tree, env))) {
      throw new UsageError(`${name} cannot be built`);
    }
    const making = `${kept}.making`;
    rmSync(making, { recursive: true, force: true });
    cpSync(join(tree, 'dist'), join(making, 'dist'), { recursive: true });
    cpSync(join(tree, 'package.json'), join(making, 'package.json'));
    const addons = readdirSync(join(tree, 'crates/node')).filter((file) => file.endsWith('.node'));
    for (const file of addons) cpSync(join(tree, 'crates/node', file), join(making, 'crates/node', file));
    renameSync(making, kept);
  } finally {
    rmSync(join(tree, 'node_modules'), { recursive: true, force: true });
    git(['worktree', 'remove', '--force', tree], word);
  }
  return { name, entry };
}

/** What git says; `word` is what the user asked for. */
function git(args: string[], word: string): string {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
  } catch (error) {
    const { stderr = '' } = error as { stderr?: string };
    throw new UsageError(`${word} is no commit that git can check out: ${stderr.trim() || error}`);
  }
}

/**
 * `npm run bench:rivals`: the same rows, queries and numbers of threads for every library that npm and PyPI offer, each
 * build in a process of its own, all of them in turn and then again. CPU time is that of all threads of the process.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { cut, type DataSet, readSet } from './data.mts';
import { UsageError } from './flags.mjs';
import { machine } from './machine.mts';
import { round } from './meter.mts';
import { root } from './ready.mjs';
import { EF_SEARCH, EF_SEARCH_QUICK, labelOf, RIVALS, type Rival } from './rivals/grid.mts';
import { install } from './rivals/install.mjs';
import { type Build, measure, type Prepared, prepare, scratch } from './rivals/job.mts';
import { bars, curves, page, quantity, type Section } from './rivals/report.mts';
import { bestOf, bests, cells, type Line, line, losses, type Measured, markdown } from './rivals/summary.mts';
import { table, whole } from './screen.mts';

interface Flags {
  set?: string[];
  rival?: string[];
  times?: number;
  threads?: number;
  minutes?: number;
  quick?: boolean;
  out?: string;
}

const SETS = ['sift128-100k', 'wordnet384-20k', 'glove100-100k', 'mnist784'];
const QUICK = { rows: 20_000, queries: 300, seconds: 0.3, passes: 2 };
const FULL = { rows: Number.POSITIVE_INFINITY, queries: 1000, seconds: 1, passes: 2 };

/** Whoever has found that much has nothing to gain from more candidates. */
const UNTIL = 0.995;

interface How {
  times: number;
  threads: number;
  quick: boolean;
  /** Why packages are not there, by their names. */
  absent: Record<string, string>;
  /** When no measurement begins any more, by the clock of `performance`. */
  until: number;
  /** Called after each measurement. */
  keep: () => void;
}

interface Task {
  rival: Rival;
  build: Build;
  set: Prepared;
  measured: Measured;
}

/** Runs everything, and writes rivals.json, rivals.html and rivals.md. */
export async function main(flags: Flags): Promise<void> {
  const { quick = false, times = quick ? 1 : 2, out = join(root, 'benchmark/results') } = flags;
  const host = machine();
  const threads = flags.threads || host.threads;
  const rivals = chosen(flags.rival, quick);
  const absent = await install({ python: rivals.some(({ language }) => language === 'python') });
  const folder = scratch();
  const about = `auspex ${host.version}, ${host.isa}, Node.js ${host.node}, ${host.platform} ${host.arch}, ${host.cores} x ${host.cpu}, ${whole(host.ram / 2 ** 30)} GiB; ${threads} threads while building, one while searching; best of ${times}`;
  console.log(about);
  const sections: Section[] = [];
  const all: Measured[] = [];
  const names = flags.set ?? (quick ? [undefined] : SETS);
  const end = performance.now() + 60_000 * (flags.minutes ?? Number.POSITIVE_INFINITY);
  mkdirSync(out, { recursive: true });
  for (const [i, name] of names.entries()) {
    // What is left of the time is shared among the sets that are left.
    const until = performance.now() + (end - performance.now()) / (names.length - i);
    const set = await readSet(name);
    const tasks = await tasksOf(set, rivals, quick, folder);
    const measured = tasks.map((task) => task.measured);
    all.push(...measured);
    // What is there so far is kept: the rest may take hours.
    const keep = () =>
      writeFileSync(
        join(out, 'rivals.json'),
        `${JSON.stringify({ ...host, threads, times, quick, measured: all }, undefined, 1)}\n`,
      );
    await rounds(tasks, { times, threads, quick, absent, until, keep });
    const section = sectionOf(set, tasks[0]?.set.rows ?? 0, measured);
    sections.push(section);
    console.log(`\n${section.title}\n${table(...(section.table ?? []))}\n${section.text?.join('\n')}`);
    writeFileSync(
      join(out, 'rivals.html'),
      await page('auspex beside its rivals', [{ title: 'Measured on', text: [about] }, ...sections]),
    );
    const parts = sections.map(
      ({ title, table = [], text = [] }) => `### ${title}\n\n${markdown(table)}\n\n${text.join('\n\n')}`,
    );
    writeFileSync(join(out, 'rivals.md'), `${about}\n\n${parts.join('\n\n')}\n`);
  }
  console.log(`\nWritten: ${join(out, 'rivals.html')}, and .json and .md beside it`);
}

function chosen(names: string[] | undefined, quick: boolean): Rival[] {
  for (const name of names ?? []) {
    if (RIVALS.some((rival) => rival.name === name)) continue;
    throw new UsageError(`there is no rival ${name}: ${RIVALS.map((rival) => rival.name).join(', ')}`);
  }
  const some = names
    ? RIVALS.filter(({ name }) => names.includes(name))
    : RIVALS.filter((rival) => !quick || rival.quick);
  return some.map((rival) => (quick ? { ...rival, builds: rival.builds.slice(0, 1) } : rival));
}

/** Every build of every library on one set, which is written to files once for each number of rows. */
async function tasksOf(set: DataSet, rivals: Rival[], quick: boolean, folder: string): Promise<Task[]> {
  const limits = quick ? QUICK : FULL;
  const parts = new Map<number, Prepared>();
  const part = async (limit: number) => {
    const rows = Math.min(limit, set.base.length / set.dim);
    const known = parts.get(rows);
    if (known) return known;
    const whole = rows * set.dim === set.base.length && !quick;
    const made = prepare(whole ? set : await cut(set, rows, limits.queries), folder);
    parts.set(rows, made);
    return made;
  };
  await part(limits.rows);
  const tasks: Task[] = [];
  // The first build of every library, then the second: whenever time is up, all had as many.
  for (let i = 0; i < Math.max(...rivals.map(({ builds }) => builds.length)); i++) {
    for (const rival of rivals) {
      const build = rival.builds[i];
      if (!build) continue;
      const prepared = await part(Math.min(limits.rows, rival.rows ?? Number.POSITIVE_INFINITY));
      const { rows, dim } = prepared;
      const measured = { set: set.name, rival: rival.name, build, rows, floats: 4 * rows * dim, outcomes: [] };
      tasks.push({ rival, build, set: prepared, measured });
    }
  }
  return tasks;
}

/** First every build once; then, as often as is left, the best build of each library. */
async function rounds(tasks: Task[], { times, threads, quick, absent, until, keep }: How): Promise<void> {
  const { seconds, passes } = quick ? QUICK : FULL;
  let turn = tasks;
  for (let time = 0; time < times; time++) {
    for (const [i, { rival, build, set, measured }] of turn.entries()) {
      if (measured.error) continue;
      if (performance.now() > until) {
        if (time === 0) measured.error = 'time was up';
        continue;
      }
      const { language, only } = rival;
      const reason = absent[rival.package ?? ''] ?? (only && only !== set.metric ? `it has ${only} alone` : undefined);
      const efSearch = rival.efSearch ?? (quick ? EF_SEARCH_QUICK : EF_SEARCH);
      const begun = performance.now();
      try {
        if (reason) throw new Error(reason);
        const job = { rival: rival.name, language, build, set, efSearch, until: UNTIL, threads, seconds, passes };
        measured.outcomes.push(await measure(job, quick ? 120 : 1800));
      } catch (error) {
        measured.error = (error as Error).message;
      }
      keep();
      const took = `${((performance.now() - begun) / 1000).toFixed(0)} s`;
      const what = `${rival.name} ${labelOf(build)}`.trim();
      console.error(`${set.name}, round ${time + 1}, ${i + 1} of ${turn.length}: ${what}: ${measured.error ?? took}`);
    }
    turn = best(tasks);
  }
}

function best(tasks: Task[]): Task[] {
  const names = [...new Set(tasks.map(({ rival }) => rival.name))];
  return names.flatMap((name) => {
    const own = tasks.filter(({ rival }) => rival.name === name);
    const lines = own.map(({ measured }) => line(measured));
    const winner = bestOf(lines.filter((it) => it !== undefined));
    return winner ? own.filter((_, i) => lines[i]?.build === winner.build) : [];
  });
}

function sectionOf(set: DataSet, rows: number, measured: Measured[]): Section {
  const lines = measured.map(line).filter((it) => it !== undefined);
  const kept = bests(lines);
  const lost = losses(lines);
  const failed = measured.filter(({ error }) => error);
  const reasons = [
    ...new Set(failed.map(({ rival, build, error }) => `${`${rival} ${labelOf(build)}`.trim()} (${error})`)),
  ];
  const text = [
    ...lost.map((text) => `Ahead of auspex in ${text}.`),
    ...(reasons.length > 0 ? [`Not run: ${reasons.join('; ')}.`] : []),
  ];
  return {
    title: `${set.name}: ${whole(rows)} rows of ${set.dim} numbers, ${set.metric}, k 10`,
    text,
    table: cells(kept),
    plots: plotsOf(kept),
  };
}

function plotsOf(lines: Line[]) {
  const named = lines.map((at) => ({ ...at, name: `${at.rival} ${at.build}` }));
  const values = named.flatMap(({ name, points }) =>
    points
      .filter(({ recall }) => recall >= 0.7)
      .map((point) => ({
        name,
        order: point.efSearch,
        recall: point.recall,
        qps: round(1e6 / point.cpuMicroseconds, 1),
        p50: point.p50,
      })),
  );
  const builds = named.flatMap(({ name, points, rowsPerCpuSecond }) => {
    const point = points.find(({ efSearch }) => efSearch >= 56) ?? points.at(-1);
    return point ? [{ name, order: 0, recall: point.recall, rate: rowsPerCpuSecond }] : [];
  });
  const recall = quantity('recall', 'recall@10');
  const log = { type: 'log' };
  return [
    curves('Queries a second of CPU', values, recall, quantity('qps', 'queries a second of CPU', log), 'name'),
    curves(
      'Build, with the recall at efSearch 56',
      builds,
      recall,
      quantity('rate', 'rows a second of CPU', log),
      'name',
    ),
    curves('p50 of a search, one after another', values, recall, quantity('p50', 'microseconds', log), 'name'),
    bars(
      'Memory',
      named.filter((at) => at.memory),
      quantity('memory', 'times the floats', { zero: true }),
      'name',
    ),
    bars(
      'Files',
      named.filter((at) => at.file),
      quantity('file', 'times the floats', { zero: true }),
      'name',
    ),
  ];
}

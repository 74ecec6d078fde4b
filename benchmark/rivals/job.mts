/**
 * One measurement: one library builds one index of one data set and searches it, in a process of its own. `measure`
 * starts that process (runner.mts, or runner.py for libraries of Python) and reads what it found.
 */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DataSet, normalised } from '../data.mts';
import type { Latency, Time } from '../meter.mts';
import { root } from '../ready.mjs';
import { interpreter } from './install.mjs';

/** Parameters of an index, by the names of its library's grid. */
export type Build = Record<string, number | string | boolean>;

/** What a process is asked to measure. */
export interface Job {
  /** Name of the library among the subjects of its runner. */
  rival: string;
  language: 'javascript' | 'python';
  build: Build;
  set: Prepared;
  /** Candidates while searching: one point each. */
  efSearch: number[];
  /** The recall behind which there are no more points. */
  until?: number;
  /** Threads while building; searches have one. */
  threads: number;
  /** Each point's queries are asked once for their answers, then again and again for at most so long. */
  seconds: number;
  passes: number;
  /** A build of auspex, by its dist/index.mjs; the one of these files when left out. */
  entry?: string;
}

/** A data set as files that any language reads: base.f32, queries.f32, truth.i32, row by row. */
export interface Prepared {
  name: string;
  folder: string;
  metric: 'l2' | 'cosine';
  dim: number;
  rows: number;
  queries: number;
  /** True neighbours a query. */
  width: number;
}

/** Single searches at one efSearch: recall@10, wall microseconds, and those of CPU. */
export interface Point extends Latency {
  efSearch: number;
  recall: number;
  cpuMicroseconds: number;
}

/** What a process found. */
export interface Outcome {
  version: string;
  /** From the first row handed over to the last one searchable. */
  build: Time;
  /** Bytes by which the process grew from before the build to after it; nothing where the system does not tell. */
  rss?: number;
  /** Bytes of its files, where it has any. */
  bytes?: number;
  points: Point[];
}

/** K of every search. */
export const K = 10;

/** A folder for everything that the measurements of this process write; it goes when the process ends. */
export function scratch(): string {
  const folder = mkdtempSync(join(tmpdir(), 'auspex-rivals-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1));
  return folder;
}

/** Writes a set where a runner can read it. Rows and queries of `cosine` are normalised, so that all may use products. */
export function prepare(set: DataSet, parent: string): Prepared {
  const { name, metric, dim, truth } = set;
  if (metric === 'dot') throw new Error('the rivals are compared by l2 and cosine');
  const folder = mkdtempSync(join(parent, 'set-'));
  const floats = (values: Float32Array) => (metric === 'cosine' ? normalised(values.slice(), dim) : values);
  writeFileSync(join(folder, 'base.f32'), floats(set.base));
  writeFileSync(join(folder, 'queries.f32'), floats(set.queries));
  writeFileSync(join(folder, 'truth.i32'), Int32Array.from(truth.rows));
  const [rows, queries] = [set.base.length / dim, set.queries.length / dim];
  return { name, folder, metric, dim, rows, queries, width: truth.width };
}

/**
 * Runs a job.
 *
 * @throws Error with what the process said last, when it measured nothing
 */
export async function measure(job: Job, limitSeconds = 1800): Promise<Outcome> {
  const files = join(job.set.folder, 'files');
  mkdirSync(files);
  try {
    const script = join(root, 'benchmark/rivals', job.language === 'python' ? 'runner.py' : 'runner.mts');
    const [command, ...args] =
      job.language === 'python'
        ? [interpreter(), script]
        : [process.execPath, '--expose-gc', '--import', './benchmark/typescript.mjs', script];
    const text = await run(command, [...args, JSON.stringify({ ...job, files, k: K })], job.threads, limitSeconds);
    return JSON.parse(text) as Outcome;
  } finally {
    rmSync(files, { recursive: true, force: true });
  }
}

/** Marks the line of a runner's output that is the outcome: libraries print too. */
const MARK = 'outcome ';

function run(command: string, args: string[], threads: number, limitSeconds: number): Promise<string> {
  const count = String(threads);
  const pools = { OMP_NUM_THREADS: count, RAYON_NUM_THREADS: count, LANCE_CPU_THREADS: count };
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: root,
      env: { ...process.env, ...pools, ANONYMIZED_TELEMETRY: 'False' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const end = () => child.kill('SIGKILL');
    process.once('exit', end);
    const limit = setTimeout(end, 1000 * limitSeconds);
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk) => {
      err += chunk;
    });
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(limit);
      process.off('exit', end);
      const line = out.split('\n').find((text) => text.startsWith(MARK));
      if (code === 0 && line) return resolve(line.slice(MARK.length));
      const killed = signal === 'SIGKILL' ? `ended after ${limitSeconds} s` : `ended by ${signal}`;
      const said = err.trim().split('\n').filter(Boolean);
      const reason = said.reverse().find((text) => /error|exception|cannot|no module/i.test(text)) ?? said[0];
      const [, missing] = /Cannot find package '([^']+)'/.exec(reason ?? '') ?? [];
      if (missing) return reject(new Error(`npm could not install ${missing} here`));
      reject(new Error(signal ? killed : (reason?.trim().slice(0, 300) ?? `ended with ${code}`)));
    });
  });
}

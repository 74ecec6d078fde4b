/** Runs programs as Electron would: without buffers outside of V8's memory. */
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run } from './harness.ts';

const here = (name: string) => fileURLToPath(new URL(name, import.meta.url));

/** The compiled shim and the addon that it must stop. */
export interface Shim {
  /** Environment of a program that runs under the shim. */
  env: NodeJS.ProcessEnv;
  control: string;
  /** What the shim did so far, a line each. */
  log(): string[];
}

/** Compiles both. */
export async function shim(): Promise<Shim> {
  const folder = mkdtempSync(join(tmpdir(), 'auspex-external-'));
  const [preload, control, log] = ['external.so', 'control.node', 'log'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  for (const [source, target] of [
    ['external.c', preload],
    ['control.c', control],
  ] as const) {
    const { code, stderr } = await run('cc', ['-shared', '-fPIC', '-O1', '-o', target, here(source), '-ldl']);
    if (code !== 0) throw new Error(stderr);
  }
  return {
    env: { LD_PRELOAD: preload, AUSPEX_EXTERNAL_LOG: log },
    control,
    log: () => (existsSync(log) ? readFileSync(log, 'utf8').trim().split('\n') : []),
  };
}

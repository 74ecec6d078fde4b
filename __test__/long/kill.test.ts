/** A process that writes is killed `AUSPEX_KILLS` times (500), at any moment: what it acknowledged is there. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { open } from '../../dist/index.mjs';
import { random, root } from '../harness.ts';

const kills = Number(process.env.AUSPEX_KILLS ?? 500);

test.serial(`${kills} processes are killed while they write`, async (t) => {
  t.timeout(4 * 60 * 60_000);
  const parent = mkdtempSync(join(tmpdir(), 'auspex-kill-'));
  t.teardown(() => rmSync(parent, { recursive: true, force: true }));
  const next = random(3);
  let [path, known, lost, acknowledged] = ['', 0, 0, 0];
  for (let round = 0; round < kills; round++) {
    // A folder lives through some kills. Frames of thousands of rows bring checkpoints, and their upserts compactions.
    if (round % 10 === 0) [path, known] = [join(parent, `${round}`), 0];
    const rows = [1, 40, 3000][round % 3] as number;
    const child = spawn(process.execPath, [join(root, '__test__/writer.mjs'), path, `${known}`, `${rows}`]);
    let [said, last] = ['', known - rows];
    child.stdout.on('data', (text) => {
      said += text;
      last = Number([...said.matchAll(/^(\d+)\n/gm)].at(-1)?.[1] ?? last);
    });
    const ended = new Promise((done) => child.on('close', done));
    const started = performance.now();
    while (last < known && child.exitCode === null && performance.now() - started < 20_000)
      await new Promise((go) => setTimeout(go, 2));
    await new Promise((go) => setTimeout(go, next() * 150));
    child.kill('SIGKILL');
    await ended;
    if (last < known) t.fail(`round ${round}: it acknowledged nothing, and said ${said.slice(-40)}`);
    const c = await open(path);
    // The write under way is there wholly or not at all.
    const whole = c.size === last + rows || c.size === last + 2 * rows;
    if (!whole) lost++;
    t.true(whole, `round ${round}: ${c.size} rows after ${last} was acknowledged by ${rows}`);
    t.deepEqual((await c.stats()).notices, []);
    if (round % 10 === 9) t.deepEqual((await c.verify()).problems, []);
    acknowledged += c.size - known;
    known = c.size;
    await c.close();
    if (round % 10 === 9) rmSync(path, { recursive: true, force: true });
  }
  t.log(`${kills} processes killed, ${acknowledged} rows acknowledged, lost: ${lost}`);
  t.is(lost, 0);
});

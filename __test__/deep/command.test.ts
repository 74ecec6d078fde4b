import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import test, { type ExecutionContext } from 'ava';
import { type Metadata, open } from '../../dist/index.mjs';
import { random, root, vectors } from '../harness.ts';

const cli = join(root, 'dist/cli.js');

function folder(t: ExecutionContext): string {
  const made = mkdtempSync(join(tmpdir(), 'auspex-command-'));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** Bytes of memory of a process that are no file's. */
const anonymous = (pid: number) =>
  1024 * Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0);

const linux = process.platform === 'linux' ? test : test.skip;

linux('JSON lines of any length are imported in flat memory', async (t) => {
  t.timeout(3_000_000);
  const size = 1e6 * Number(process.env.AUSPEX_IMPORT_MB ?? 300);
  const at = folder(t);
  const child = spawn(
    process.execPath,
    [cli, 'import', join(at, 'big.auspex'), '-', '--format', 'jsonl', '--json', '-q'],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  const ended = new Promise<string>((resolve) => {
    let text = '';
    child.stdout.on('data', (chunk) => (text += chunk));
    child.on('close', (code) => resolve(code === 0 ? text : `exit code ${code}`));
  });
  const next = random(1);
  const words = Array.from({ length: 2000 }, () => Math.floor(next() * 2 ** 40).toString(36));
  const begun = performance.now();
  let [rows, written] = [0, 0];
  const tenths = new Array<number>(10).fill(0);
  while (written < size) {
    let text = '';
    for (let i = 0; i < 20; i++) {
      const vector = Array.from({ length: 16 }, () => Number((next() * 2 - 1).toFixed(6)));
      const [from, to] = [next() * 500, 500 + next() * 1500];
      text += `${JSON.stringify({ id: `row-${rows++}`, vector, body: words.slice(from, to).join(' ') })}\n`;
    }
    written += text.length;
    if (!child.stdin.write(text)) await new Promise((resolve) => child.stdin.once('drain', resolve));
    const tenth = Math.min(9, Math.floor((10 * written) / size));
    tenths[tenth] = Math.max(tenths[tenth] ?? 0, anonymous(child.pid as number));
  }
  child.stdin.end();
  t.is(JSON.parse(await ended).rows, rows);
  const MiB = tenths.map((bytes) => Math.round(bytes / 2 ** 20));
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  t.log(
    `${Math.round(written / 1e6)} MB of JSON lines, ${rows} rows in ${seconds} s; MiB that are no file's, by tenths: ${MiB.join(', ')}`,
  );
  // What V8 keeps until it must collect, two batches, and of each row what the collection has in memory.
  t.true(Math.max(...MiB) <= 512, MiB.join(', '));
});

test('Ctrl-C in the midst of an import takes back what was written', async (t) => {
  t.timeout(300_000);
  const at = folder(t);
  const [dim, rows] = [16, 50_000];
  const path = join(at, 'a.auspex');
  const writer = await open<Metadata>(path, { dim });
  const old = Array.from({ length: 15_000 }, (_, i) => `r${i}`);
  await writer.insert({ ids: old, vectors: vectors(old.length, dim, 1), metadata: old.map((_, i) => ({ i })) });
  await writer.close();
  const before = await contents(path);
  const floats = vectors(rows, dim, 2);
  const fvecs = Buffer.concat(
    Array.from({ length: rows }, (_, i) => [
      Buffer.from(Int32Array.of(dim).buffer),
      Buffer.from(floats.buffer, i * dim * 4, dim * 4),
    ]).flat(),
  );
  writeFileSync(join(at, 'new.fvecs'), fvecs);
  // Half of the ids are known.
  writeFileSync(join(at, 'ids.txt'), Array.from({ length: rows }, (_, i) => `${i % 2 ? 'r' : 'n'}${i}`).join('\n'));
  const args = ['import', path, join(at, 'new.fvecs'), '--ids', join(at, 'ids.txt'), '-q'];
  for (const [least, times] of [
    [15_001, 1],
    [30_000, 1],
    [20_000, 2],
  ] as const) {
    const child = spawn(process.execPath, [cli, ...args], { env: { ...process.env, TMPDIR: at }, stdio: 'ignore' });
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
    const reader = await open(path, { mode: 'readonly' });
    while (reader.size < least && child.exitCode === null) {
      await new Promise((go) => setTimeout(go, 5));
      await reader.refresh();
    }
    for (let i = 0; i < times; i++) {
      child.kill('SIGINT');
      if (times > 1) await new Promise((go) => setTimeout(go, 20));
    }
    t.is(await ended, 130);
    await reader.close();
    const after = await open(path, { mode: 'readonly' });
    t.deepEqual(await after.verify(), { ok: true, problems: [] });
    await after.close();
    if (times === 1) t.true(isDeepStrictEqual(await contents(path), before), `after ${least} rows`);
    t.deepEqual(
      readdirSync(at).filter((name) => name.startsWith('auspex-')),
      [],
    );
  }
  // The same command again completes what was ended at once.
  execFileSync(process.execPath, [cli, ...args]);
  const done = await contents(path);
  t.is(done.size, 15_000 - 7_500 + rows);
  const vector = [...floats.subarray(49_998 * dim, 49_999 * dim)];
  t.is(done.get('n49998'), JSON.stringify({ vector, metadata: {} }));
});

async function contents(path: string) {
  const collection = await open<Metadata>(path, { mode: 'readonly' });
  const rows = new Map<string, string>();
  for await (const { id, vector, metadata } of collection.items({ include: { vector: true } }))
    rows.set(id, JSON.stringify({ vector: Array.from(vector), metadata }));
  await collection.close();
  return new Map([...rows].sort(([a], [b]) => (a < b ? -1 : 1)));
}

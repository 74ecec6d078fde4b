/** A collection in a folder: opened again, by one writer at a time, with what was acknowledged. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import test, { type ExecutionContext } from 'ava';
import { type ErrorCode, isAuspexError, open } from '../dist/index.mjs';
import { ids, root, vectors } from './harness.ts';

/** A path that is not there yet, gone after the test. */
function folder(t: ExecutionContext): string {
  const parent = mkdtempSync(join(tmpdir(), 'auspex-'));
  t.teardown(() => rmSync(parent, { recursive: true, force: true }));
  return join(parent, 'a.auspex');
}

const refused = async (t: ExecutionContext, code: ErrorCode, words: RegExp, call: () => Promise<unknown>) => {
  const error = await t.throwsAsync(call);
  t.true(isAuspexError(error) && error.code === code, `${error}`);
  t.regex(error?.message ?? '', words);
};

test('what was written is there when it is opened again', async (t) => {
  const path = folder(t);
  const floats = vectors(3000, 16);
  const first = await open(path, { dim: 16, metric: 'l2', seed: 7 });
  t.is(first.path, path);
  await first.insert({ ids: ids(3000), vectors: floats, metadata: ids(3000).map((name) => ({ name })) });
  await first.upsert({ id: 'r5', vector: floats.subarray(0, 16), metadata: { name: 'five' } });
  t.is(await first.delete(['r7', 'r8']), 2);
  const before = await first.search(floats.subarray(320, 336), { k: 20 });
  const { bytes } = await first.stats();
  t.true(bytes.disk > 3000 * 64 && bytes.mapped > 0);
  await first.close();
  await using second = await open<{ name: string }>(path);
  t.deepEqual([second.dim, second.metric, second.size], [16, 'l2', 2998]);
  t.deepEqual(await second.search(floats.subarray(320, 336), { k: 20 }), before as never);
  t.deepEqual((await second.get('r5'))?.metadata, { name: 'five' });
  t.false(await second.has('r7'));
  t.is((await second.stats()).unreachable, 0);
});

test('options that a collection was not made with are named, with both values', async (t) => {
  const path = folder(t);
  await (await open(path, { dim: 4, model: 'mini' })).close();
  const again = (options: object) => () => open(path, options);
  await refused(t, 'ERR_ARGUMENT', /dim is 5, .* 4/, again({ dim: 5 }));
  await refused(t, 'ERR_ARGUMENT', /metric is l2, .* cosine/, again({ metric: 'l2' }));
  await refused(t, 'ERR_ARGUMENT', /m is 8, .* 16/, again({ m: 8 }));
  await refused(t, 'ERR_ARGUMENT', /seed is 1, .* 42/, again({ seed: 1 }));
  await refused(t, 'ERR_ARGUMENT', /durability is "soon"/, again({ durability: 'soon' }));
  await refused(t, 'ERR_MODEL_MISMATCH', /model is "maxi", .* "mini"/, again({ model: 'maxi' }));
  await (await open(path, { dim: 4, metric: 'cosine', model: 'mini' })).close();
});

test('a path that cannot be a collection is refused, and nothing is made or removed', async (t) => {
  const path = folder(t);
  await refused(t, 'ERR_NOT_FOUND', /no collection/, () => open(path, { ifMissing: 'error' }));
  await refused(t, 'ERR_ARGUMENT', /dim is missing/, () => open(path));
  t.false(existsSync(path));
  const other = join(path, '..');
  writeFileSync(join(other, 'mail.txt'), 'mine');
  await refused(t, 'ERR_ARGUMENT', /other files/, () => open(other, { dim: 3 }));
  await refused(t, 'ERR_NOT_FOUND', /no collection/, () => open(other, { ifMissing: 'error' }));
  t.deepEqual(readdirSync(other), ['mail.txt']);
  await refused(t, 'ERR_ARGUMENT', /is a file/, () => open(join(other, 'mail.txt'), { dim: 3 }));
  t.is(readFileSync(join(other, 'mail.txt'), 'utf8'), 'mine');
});

test('one writer at a time: another handle, and another process', async (t) => {
  const path = folder(t);
  const first = await open(path, { dim: 2 });
  await refused(t, 'ERR_LOCKED', /another handle, worker or process/, () => open(path));
  const child = await writer(path, 0);
  t.deepEqual(await child.said(), ['ERR_LOCKED']);
  await first.close();
  await (await open(path)).close();
});

test('a damaged file is named', async (t) => {
  const path = folder(t);
  const c = await open(path, { dim: 2 });
  await c.insert({ ids: ids(10), vectors: vectors(10, 2) });
  await c.close();
  const log = join(path, 'log-1-0001');
  const bytes = readFileSync(log);
  bytes.writeUInt8(bytes.readUInt8(80) ^ 1, 80);
  writeFileSync(log, bytes);
  await refused(t, 'ERR_CORRUPT', /log-1-0001 .* byte 64/, () => open(path));
  writeFileSync(join(path, 'MANIFEST'), 'auspex 9 0000000000000000\n{}\n');
  await refused(t, 'ERR_VERSION', /format 9/, () => open(path));
});

test('flush waits for the writes called before it', async (t) => {
  await using c = await open(folder(t), { dim: 2, durability: 'relaxed' });
  const written = c.insert({ ids: ids(100), vectors: vectors(100, 2) });
  await c.flush();
  t.is(c.size, 100);
  t.is(await written, 100);
});

/** A process that writes rows 0, 1, 2, ... so many at a time, and says the first number when a promise resolved. */
async function writer(path: string, from: number, rows = 1) {
  const child = spawn(process.execPath, [join(root, '__test__/writer.mjs'), path, `${from}`, `${rows}`]);
  const lines = createInterface({ input: child.stdout });
  const heard: string[] = [];
  const ended = new Promise<void>((done) => child.on('close', () => done()));
  lines.on('line', (line) => heard.push(line));
  return { child, heard, said: () => ended.then(() => heard) };
}

test('a checkpoint opens a collection as it was, and is not needed', async (t) => {
  const path = folder(t);
  const floats = vectors(5000, 16);
  const first = await open(path, { dim: 16, metric: 'l2', durability: 'relaxed' });
  await first.insert({ ids: ids(5000), vectors: floats });
  await first.delete(ids(500));
  const near = (c: typeof first) => c.search(floats.subarray(16_000, 16_016), { k: 50 });
  const before = await near(first);
  await first.close();
  const index = readdirSync(path).filter((name) => name.startsWith('index-'));
  t.is(index.length, 1);
  const second = await open(path);
  t.deepEqual(await near(second), before);
  t.deepEqual((await second.stats()).notices, []);
  await second.upsert({ id: 'late', vector: floats.subarray(0, 16) });
  await second.close();
  rmSync(join(path, `${index[0]}`));
  await using third = await open(path);
  t.is(third.size, 4501);
  t.deepEqual(await near(third), before);
  t.regex(`${(await third.stats()).notices}`, /made again from the log: .*index-1-1 is missing/);
});

test('a quarter of dead rows gives its bytes back', async (t) => {
  const path = folder(t);
  const c = await open(path, { dim: 64, metric: 'l2', durability: 'relaxed' });
  for (let i = 0; i < 5; i++) await c.upsert({ ids: ids(2000), vectors: vectors(2000, 64, i + 1) });
  await c.close();
  const names = readdirSync(path).filter((name) => name.startsWith('log-'));
  t.true(names.length > 0 && !names.some((name) => name.startsWith('log-1-')), `${names}`);
  await using again = await open(path);
  t.is(again.size, 2000);
  t.true((await again.stats()).deleted < 2000);
});

test('a process that is killed while it keeps house loses nothing that it acknowledged', async (t) => {
  const path = folder(t);
  let known = 0;
  for (let round = 0; round < 4; round++) {
    const { child, heard, said } = await writer(path, known, 6000);
    while (heard.length < 4 && child.exitCode === null) await new Promise((go) => setTimeout(go, 5));
    await new Promise((go) => setTimeout(go, round * 37));
    child.kill('SIGKILL');
    const last = Number((await said()).at(-1));
    t.true(last >= known, `round ${round}: ${heard.at(-1)}`);
    await using c = await open<{ i: number }>(path);
    t.true(c.size === last + 6000 || c.size === last + 12_000, `${c.size} rows after ${last} was acknowledged`);
    t.deepEqual((await c.stats()).notices, []);
    known = c.size;
  }
});

test('a killed process loses nothing that it acknowledged', async (t) => {
  const path = folder(t);
  let known = 0;
  for (let round = 0; round < 12; round++) {
    const { child, heard, said } = await writer(path, known);
    while (heard.length < 3 && child.exitCode === null) await new Promise((go) => setTimeout(go, 5));
    await new Promise((go) => setTimeout(go, (round * 7) % 31));
    child.kill('SIGKILL');
    const last = Number((await said()).at(-1));
    t.true(last >= known, `round ${round}: ${heard.at(-1)}`);
    await using c = await open<{ i: number }>(path);
    // The one under way when the process died is there wholly or not at all.
    t.true(c.size === last + 1 || c.size === last + 2, `${c.size} rows after ${last} was acknowledged`);
    for (const id of [0, known, last]) t.deepEqual((await c.get(`${id}`))?.metadata, { i: id });
    known = c.size;
  }
  t.deepEqual(
    readdirSync(path).filter((name) => name.endsWith('.tmp')),
    [],
  );
});

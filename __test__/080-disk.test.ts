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

/** A process that writes rows 0, 1, 2, ... one by one, and says each number when its promise resolved. */
async function writer(path: string, from: number) {
  const child = spawn(process.execPath, [join(root, '__test__/writer.mjs'), path, `${from}`]);
  const lines = createInterface({ input: child.stdout });
  const heard: string[] = [];
  const ended = new Promise<void>((done) => child.on('close', () => done()));
  lines.on('line', (line) => heard.push(line));
  return { child, heard, said: () => ended.then(() => heard) };
}

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

/** Values at the edge of what is allowed, and the ends of things. */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import * as esm from '../dist/index.mjs';
import { exactSearch, type Metric, open } from '../dist/index.mjs';
import { addon, filled, ids, read, root, row, vectors } from './harness.ts';
import { child, codes, codesOfFiles, sound } from './hazards/harness.ts';

const metrics: Metric[] = ['cosine', 'l2', 'dot'];

test('no rows and one row', async (t) => {
  for (const metric of metrics) {
    const c = await open<object>({ dim: 2, metric });
    const none = await c.searchBatch([[1, 2]], { k: 3 });
    t.deepEqual([await c.search([1, 2]), c.searchSync([1, 2]), none.ids()], [[], [], ['', '', '']]);
    t.deepEqual([none.counts, await c.count(), await c.get(['a'])], [new Uint32Array(1), 0, [undefined]]);
    await sound(t, c);
    await c.insert({ id: 'a', vector: [1, 2] });
    for (const k of [1, 2, 1e6]) t.is(c.searchSync([1, 2], { k }).length, 1);
    t.deepEqual(await c.similar('a'), []);
    t.is((await c.searchBatch([[3, 1]], { k: 2 })).counts[0], 1);
    await c.delete('a');
    t.deepEqual(await c.search([1, 2]), []);
    await sound(t, c);
  }
});

test('one dimension and 4,096', async (t) => {
  for (const dim of [1, 4096]) {
    for (const metric of metrics) {
      const c = await open<object>({ dim, metric });
      const floats = vectors(60, dim);
      await c.insert({ ids: ids(60), vectors: floats });
      const query = row(floats, dim, 7);
      const { rows } = await exactSearch(floats, query, { k: 60, dim, metric });
      const found = c.searchSync(query, { k: 60, exact: true }).map(({ id, distance }) => ({ id, distance }));
      // Equal distances are ordered by position here and by id there.
      t.deepEqual(found.map(({ id }) => id).sort(), Array.from(rows, (i) => `r${i}`).sort());
      t.true(found.every(({ distance }, i) => i === 0 || distance >= (found[i - 1]?.distance ?? 0)));
      await sound(t, c);
    }
  }
});

test('thousands of equal rows', async (t) => {
  for (const metric of metrics) {
    const c = await open<object>({ dim: 4, metric });
    const n = 3000;
    await c.insert({ ids: ids(n), vectors: Float32Array.from({ length: n * 4 }, (_, i) => (i % 4) + 1) });
    const hits = await c.search([1, 2, 3, 4], { k: 20 });
    t.is(hits.length, 20);
    t.is(new Set(hits.map(({ id }) => id)).size, 20);
    t.deepEqual(
      hits.map(({ id }) => id),
      hits.map(({ id }) => id).sort(),
    );
    t.is(new Set(hits.map(({ distance }) => distance)).size, 1);
    t.is(c.searchSync([1, 2, 3, 4], { k: n }).length, n);
    await sound(t, c);
  }
});

test('numbers that are none, and numbers that are nearly none', async (t) => {
  const infinite = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e39, 3e38];
  for (const metric of metrics) {
    const c = await open<object>({ dim: 3, metric });
    for (const bad of infinite) {
      // The square of the norm must be a float.
      for (const vector of [
        [1, bad, 3],
        [bad, bad, bad],
      ]) {
        await t.throwsAsync(() => c.insert({ id: 'a', vector }), { code: 'ERR_NOT_FINITE' }, `${metric} ${vector}`);
        await t.throwsAsync(() => c.search(vector), { code: 'ERR_NOT_FINITE' }, `${metric} ${vector}`);
      }
    }
    t.is(c.size, 0);
    const tiny = [1e-45, 1e-40, -1e-38];
    const short = { code: 'ERR_ZERO_VECTOR' };
    if (metric === 'cosine') await t.throwsAsync(() => c.insert({ id: 'tiny', vector: tiny }), short);
    const rows: [string, number[]][] = [
      ['tiny', metric === 'cosine' ? [1e-17, 1e-45, -1e-17] : tiny],
      ['huge', [1e18, -1e18, 1e18]],
      ['one', [1, 1, 1]],
    ];
    await c.insert(rows.map(([id, vector]) => ({ id, vector })));
    for (const [, query] of rows) {
      const hits = c.searchSync(query);
      t.is(hits.length, 3);
      t.true(
        hits.every(({ distance, score }) => !Number.isNaN(distance) && !Number.isNaN(score)),
        JSON.stringify(hits),
      );
      if (metric !== 'dot') t.true((hits[0]?.distance ?? 1) < 1e-3);
    }
    const zero = () => c.insert({ id: 'zero', vector: [0, -0, 0] });
    if (metric === 'cosine') await t.throwsAsync(zero, { code: 'ERR_ZERO_VECTOR' });
    else t.is(await zero(), 1);
    await sound(t, c);
  }
});

test('ids that look like something else', async (t) => {
  const c = await open<object>({ dim: 2, metric: 'l2' });
  const strange = ['__proto__', 'constructor', 'toString', '😀', '\u0000', ' ', 'null', 'é', 'e\u0301', '0', '-0'];
  strange.push('x'.repeat(1024), 'ü'.repeat(512), '\u{10ffff}'.repeat(256), '\u2028', '"', '\\', '../../etc');
  await c.insert({ ids: strange, vectors: Float32Array.from({ length: strange.length * 2 }, (_, i) => i) });
  t.deepEqual(
    (await c.get(strange)).map((each) => each?.id),
    strange,
  );
  for (const [i, id] of strange.entries()) {
    t.is(c.searchSync([i * 2, i * 2 + 1], { k: 1 })[0]?.id, id);
    t.true(await c.has(id));
  }
  for (const id of ['', 'x'.repeat(1025), 'ü'.repeat(513), '\ud800', 'a\udc00']) {
    await t.throwsAsync(() => c.insert({ id, vector: [1, 2] }), { instanceOf: RangeError, code: 'ERR_ARGUMENT' });
  }
  // Either half of a pair would become U+FFFD on its way to UTF-8, and two ids one.
  await c.insert({ id: '\ufffd', vector: [1, 2] });
  await t.throwsAsync(() => c.get('\ud800'), { code: 'ERR_ARGUMENT' });
  await t.throwsAsync(() => c.delete('\ud800'), { code: 'ERR_ARGUMENT' });
  t.is(await c.delete(strange), strange.length);
});

test('metadata that is deep, large, or named like parts of objects', async (t) => {
  const c = await open<object>({ dim: 1, metric: 'l2' });
  const nested = (levels: number) => JSON.parse(`${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`) as object;
  const proto = JSON.parse(
    '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"a":1}',
  ) as object;
  const given = [
    nested(1000),
    proto,
    { s: 'x'.repeat(2 ** 20) },
    { list: Array(10_000).fill(null) },
    { '': { '': 0 } },
  ];
  await c.insert({ ids: ids(5), vectors: new Float32Array(5), metadata: given });
  const back = (await c.get(ids(5))).map((each) => each?.metadata);
  for (const [i, each] of back.entries()) t.is(JSON.stringify(each), JSON.stringify(given[i]));
  t.true(Object.hasOwn(back[1] ?? {}, '__proto__'));
  t.is(Object.getPrototypeOf(back[1]), Object.prototype);
  t.is((back[1] as { polluted?: unknown }).polluted, undefined);
  t.is(({} as { polluted?: unknown }).polluted, undefined);
  const hits = c.searchSync([0]);
  t.true(hits.some(({ metadata }) => Object.hasOwn(metadata, '__proto__')));
  // Where V8 can write so deep a text it comes back; where it cannot, the argument is named.
  const deep = await c.upsert({ id: 'r0', vector: [0], metadata: nested(10_000) }).catch((error: unknown) => error);
  if (deep instanceof Error) t.like(deep, { name: 'TypeError', code: 'ERR_ARGUMENT' });
  else t.is(JSON.stringify((await c.get('r0'))?.metadata).length, 60_001);
  t.is(c.size, 5);
});

test('both entries are the same module', (t) => {
  const cjs = createRequire(import.meta.url)('../dist/index.js') as Record<string, unknown>;
  t.deepEqual(Object.keys(cjs).sort(), Object.keys(esm).sort());
  for (const [name, value] of Object.entries(esm)) t.is(cjs[name], value, name);
});

test('an error of one entry is one of the other', async (t) => {
  const cjs = createRequire(import.meta.url)('../dist/index.js') as typeof esm;
  const error = await cjs.open({ dim: 0 }).catch((thrown: unknown) => thrown);
  t.true(esm.isAuspexError(error));
  const c = await cjs.open({ dim: 1 });
  await c.close();
  t.true((await c.count().catch((thrown: unknown) => thrown)) instanceof esm.AuspexError);
});

test('await using closes at the end of a block, also when it throws', async (t) => {
  const seen: esm.LocalCollection[] = [];
  const block = async () => {
    await using c = await open({ dim: 2 });
    seen.push(c);
    void c.insert({ id: 'a', vector: [1, 2] });
    throw new Error('mine');
  };
  await t.throwsAsync(block, { message: 'mine' });
  t.true(seen[0]?.closed);
});

test('close in the middle of writes keeps its order among them', async (t) => {
  const { collection: c, floats } = await filled(200, 16);
  const write = (i: number) => c.upsert({ ids: ids(200), vectors: floats, metadata: ids(200).map(() => ({ i })) });
  const before = Array.from({ length: 20 }, (_, i) => write(i));
  const closing = c.close();
  const after = await Promise.allSettled(Array.from({ length: 20 }, (_, i) => write(i)));
  await closing;
  t.deepEqual(await Promise.all(before), Array(20).fill({ inserted: 0, updated: 200 }));
  for (const each of after) t.like(each, { status: 'rejected', reason: { code: 'ERR_CLOSED' } });
});

test('a get of several pages that is called before close finishes', async (t) => {
  const { collection: c } = await filled(4000, 512);
  const rows = c.get(ids(4000));
  await Promise.allSettled([rows, c.close()]);
  t.is((await rows).length, 4000);
});

test('reads called before close finish', async (t) => {
  const { collection: c, floats } = await filled(300, 16);
  const query = row(floats, 16, 1);
  const calls = Array.from({ length: 200 }, () => c.search(query, { k: 1 }).then((hits) => hits[0]?.id));
  const [rows, stats] = [c.get(ids(300)), c.stats()];
  const all = Promise.allSettled([...calls, rows, stats]);
  await c.close();
  t.deepEqual(
    (await all).filter(({ status }) => status === 'rejected'),
    [],
  );
});

test('a stream whose buffers change between batches is stored as it was when it was read', async (t) => {
  const c = await open<object>({ dim: 2 });
  const make = ArrayBuffer as unknown as new (
    bytes: number,
    options: object,
  ) => ArrayBuffer & { resize(n: number): void };
  for (const what of ['shrunk', 'moved', 'overwritten']) {
    const buffer = new make(30 * 8, { maxByteLength: 30 * 8 });
    const floats = new Float32Array(buffer).map((_, i) => i + 1);
    const given = new Float32Array(buffer);
    given.set(floats);
    const names = ids(30).map((id) => `${what}-${id}`);
    const before = c.size;
    const loading = c.load([{ ids: names, vectors: given }], { batchSize: 10 });
    while (c.size === before) await new Promise((resolve) => setImmediate(resolve));
    given.fill(7);
    if (what === 'shrunk') buffer.resize(0);
    if (what === 'moved') structuredClone(buffer, { transfer: [buffer] });
    t.is(await loading, 30);
    for (const [i, stored] of (await c.get(names, { include: { vector: true } })).entries()) {
      t.deepEqual(stored?.vector, row(floats, 2, i), `${what} ${i}`);
    }
  }
});

test('texts too long for a message are cut', async (t) => {
  const c = await open<object>({ dim: 2 });
  const long = '\u0001'.repeat(2 ** 22);
  const calls = [
    () => c.similar(long),
    () => open({ dim: 2, metric: long as Metric }),
    () => c.search([1, 2], { [long]: 1 } as never),
    () => c.load([], { mode: long as 'insert' }),
    () => c.insert({ id: long, vector: [1, 2] }),
    () => c.search(long as never),
  ];
  for (const call of calls) {
    const { message } = (await t.throwsAsync(call)) ?? { message: '' };
    t.true(message.length < 1000, `${call}: ${message.length}`);
  }
});

test('every error code is reached', async (t) => {
  const cjs = createRequire(import.meta.url)('../dist/native.js') as { across<T>(call: () => T): T };
  const { collection: c } = await filled(2, 2);
  const closed = await open({ dim: 2 });
  await closed.close();
  const endless: number[][] = [];
  endless.length = 2 ** 32 - 1;
  const calls: [string, () => unknown][] = [
    ['ERR_ARGUMENT', () => c.search([1, 2], { k: 0 })],
    ['ERR_DIMENSION', () => c.search([1])],
    ['ERR_NOT_FINITE', () => c.search([1, Number.NaN])],
    ['ERR_ZERO_VECTOR', () => c.search([0, 0])],
    ['ERR_FILTER', () => c.count({ i: {} })],
    ['ERR_EXISTS', () => c.insert({ id: 'r0', vector: [1, 2], metadata: { i: 0 } })],
    ['ERR_NOT_FOUND', () => c.similar('nobody')],
    ['ERR_CLOSED', () => closed.count()],
    ['ERR_MEMORY', async () => (await open({ dim: 4096 })).searchBatch(endless)],
    ['ERR_INTERNAL', () => cjs.across(() => addon().__panicAsync())],
  ];
  const reached = [];
  for (const [code, call] of calls) {
    const error = await t.throwsAsync(async () => call());
    t.like(error, { code });
    reached.push((error as { code?: string } | undefined)?.code);
  }
  const folder = mkdtempSync(join(tmpdir(), 'auspex-'));
  cpSync(`${root}/dist`, join(folder, 'dist'), { recursive: true });
  const script = `require('./dist').open({ dim: 2 }).catch((error) => console.log(error.code))`;
  reached.push(spawnSync(process.execPath, ['-e', script], { cwd: folder, encoding: 'utf8' }).stdout.trim());
  rmSync(folder, { recursive: true });
  t.deepEqual(reached.sort(), [...codes].sort());
  const listed = /export type ErrorCode =([^;]*);/.exec(read('index.d.ts'))?.[1]?.match(/ERR_\w+/g);
  t.deepEqual(listed?.sort(), [...codes, ...codesOfFiles].sort());
});

/** Of the processor, in the words of `AUSPEX_ISA`. */
const every = ['avx512', 'avx2', 'neon', 'scalar'];

test('an instruction set that this machine lacks, or that there is none of, is an error that names those it has', async (t) => {
  const absent = process.arch === 'arm64' ? 'avx2' : 'neon';
  const present = esm.info().isa;
  for (const forced of [absent, 'sse9', '', 'AVX2 ']) {
    const { code, stdout, stderr } = await child(
      `for (const call of [() => auspex.info(), () => auspex.open({ dim: 2 }), () => auspex.exactSearch([[1]], [[1]], { k: 1, dim: 1 })]) {
        try { await call(); console.log('fine'); } catch (error) { console.log(error.code, error.message); }
      }`,
      { env: { AUSPEX_ISA: forced } },
    );
    const lines = stdout.trim().split('\n');
    t.deepEqual([code, lines.length], [0, 3], stderr);
    for (const line of lines) {
      if (forced === '' && line === 'fine') continue;
      t.regex(line, /^ERR_ARGUMENT /);
      for (const word of ['AUSPEX_ISA', forced, present, 'scalar']) t.true(line.includes(word), `${word} in: ${line}`);
    }
  }
});

test('each instruction set that this machine has can be forced, and answers the same', async (t) => {
  const answers = new Map<string, string>();
  for (const forced of every) {
    const { stdout } = await child(
      `const c = await auspex.open({ dim: 19 });
       const floats = Float32Array.from({ length: 19 * 3000 }, (_, i) => Math.sin(i * i));
       await c.insert({ ids: Array.from({ length: 3000 }, (_, i) => 'r' + i), vectors: floats });
       const { ids, distances } = await c.searchBatch(floats.subarray(0, 1900), { k: 5 });
       console.log(auspex.info().isa, ids().join(), Array.from(distances).join());`,
      { env: { AUSPEX_ISA: forced } },
    ).catch(() => ({ stdout: '' }));
    const [isa, ...answer] = stdout.split(' ');
    if (!stdout) continue;
    t.is(isa, forced);
    answers.set(forced, answer.join(' '));
  }
  t.true(answers.has('scalar') && answers.has(esm.info().isa));
  t.is(new Set(answers.values()).size, 1, [...answers.keys()].join());
});

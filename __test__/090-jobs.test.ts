/** What changes one row or all, what keeps a collection in order, and handles that only read. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { AuspexError, open, type Progress } from '../dist/index.mjs';
import { type Expected, filled, ids, outOfRange, rejects, vectors, wrongType } from './harness.ts';

const reason = new Error('enough');
const readOnly: Expected = { is: AuspexError, code: 'ERR_READ_ONLY', says: ['readonly'] };

/** A path that is not there yet, gone after the test. */
function folder(t: ExecutionContext): string {
  const parent = mkdtempSync(join(tmpdir(), 'auspex-'));
  t.teardown(() => rmSync(parent, { recursive: true, force: true }));
  return join(parent, 'a.auspex');
}

type Loose = { [key: string]: unknown };

test('update merges the first level of metadata, and leaves what it does not name', async (t) => {
  await using c = await open<Loose>({ dim: 2, metric: 'l2' });
  await c.insert({ id: 'a', vector: [1, 2], metadata: { title: 'x', year: 1999, deep: { a: 1, b: 2 } } });
  t.true(
    await c.update('a', { metadata: { year: 2000, deep: { a: 3 }, title: undefined, gone: undefined, none: null } }),
  );
  t.deepEqual(await c.get('a', { include: { vector: true } }), {
    id: 'a',
    metadata: { year: 2000, deep: { a: 3 }, none: null },
    vector: new Float32Array([1, 2]),
  });
  t.true(await c.update('a', { vector: [5, 6] }));
  t.deepEqual((await c.get('a', { include: { vector: true } }))?.vector, new Float32Array([5, 6]));
  t.deepEqual((await c.get('a'))?.metadata, { year: 2000, deep: { a: 3 }, none: null });
  t.true(await c.update('a', { vector: new Float32Array([7, 8]), metadata: {} }));
  t.is((await c.search([7, 8], { k: 1 }))[0]?.distance, 0);
  t.false(await c.update('b', { metadata: { year: 1 } }));
  t.deepEqual([c.size, (await c.stats()).deleted], [1, 3]);
  // Nothing to change is nothing to write.
  t.true(await c.update('a', {}));
  t.true(await c.update('a', { metadata: { year: 2000, other: undefined } }));
  t.false(await c.update('b', {}));
  t.is((await c.stats()).deleted, 3);
});

test('keys that look like something else are keys', async (t) => {
  await using c = await open<Loose>({ dim: 1, metric: 'l2' });
  const given = JSON.parse('{"__proto__":{"polluted":true},"constructor":1,"a\\ud800":1,"\\u0000":2,"é":3,"0":4}');
  await c.insert({ id: 'a', vector: [1], metadata: given });
  t.true(await c.update('a', { metadata: JSON.parse('{"toString":5}') }));
  t.is(JSON.stringify((await c.get('a'))?.metadata), JSON.stringify({ ...given, toString: 5 }));
  t.true(await c.update('a', { metadata: JSON.parse('{"__proto__":{"x":1},"a\\ud800":2,"a\\udc00":3}') }));
  const stored = (await c.get('a'))?.metadata ?? {};
  t.deepEqual(Object.keys(stored), ['0', '__proto__', 'constructor', 'a\ud800', '\u0000', 'é', 'toString', 'a\udc00']);
  t.deepEqual(Object.getOwnPropertyDescriptor(stored, '__proto__')?.value, { x: 1 });
  t.is(Object.getPrototypeOf(stored), Object.prototype);
  const gone = Object.defineProperty({}, '__proto__', { value: undefined, enumerable: true });
  t.true(await c.update('a', { metadata: { ...gone, constructor: undefined, 'a\ud800': undefined, 0: undefined } }));
  t.deepEqual(Object.keys((await c.get('a'))?.metadata ?? {}), ['\u0000', 'é', 'toString', 'a\udc00']);
  t.is(({} as { polluted?: unknown }).polluted, undefined);
});

test('of updates that are called at once none is lost', async (t) => {
  await using c = await open<Loose>(folder(t), { dim: 1, metric: 'l2', durability: 'relaxed' });
  await c.insert({ id: 'a', vector: [0], metadata: {} });
  const calls = Array.from({ length: 100 }, (_, i) => c.update('a', { metadata: { [`k${i}`]: i } }));
  const [taken, absent] = [c.insert({ id: 'b', vector: [0] }), c.update('c', { vector: [1] })];
  t.deepEqual(new Set(await Promise.all(calls)), new Set([true]));
  t.deepEqual([await taken, await absent], [1, false]);
  t.deepEqual((await c.get('a'))?.metadata, Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`k${i}`, i])));
});

test('a patch that is wrong is named, and nothing changes', async (t) => {
  const { collection: c } = await filled(3, 2);
  const before = await c.get(ids(3), { include: { vector: true } });
  const update = (patch: unknown) => () => c.update('r0', patch as never);
  for (const bad of [undefined, null, 3, 'x']) await rejects(t, update(bad), wrongType('patch'), `${bad}`);
  await rejects(t, update({ metdata: {} }), wrongType('did you mean metadata?'));
  await rejects(t, update({ vector: 3 }), wrongType('patch.vector'));
  await rejects(t, update({ vector: [1, 'x'] }), wrongType('patch.vector[1]'));
  await rejects(t, update({ vector: [1] }), outOfRange('ERR_DIMENSION', 'patch.vector', 'length 1', '2'));
  await rejects(t, update({ vector: [1, Number.NaN] }), outOfRange('ERR_NOT_FINITE', 'vector[1] is NaN'));
  await rejects(t, update({ vector: [0, 0] }), outOfRange('ERR_ZERO_VECTOR', 'vector'));
  for (const bad of [null, 3, 'x']) await rejects(t, update({ metadata: bad }), wrongType('patch.metadata'), `${bad}`);
  await rejects(t, update({ metadata: [1] }), wrongType('patch.metadata'));
  await rejects(t, update({ metadata: { x: 1n } }), wrongType('patch.metadata'));
  await rejects(t, () => c.update(3 as never, {}), wrongType('id'));
  await rejects(t, () => c.update('\ud800', {}), outOfRange('ERR_ARGUMENT', 'lone surrogate'));
  t.deepEqual(await c.get(ids(3), { include: { vector: true } }), before);
});

test('clear removes every row, and what is written after it stays', async (t) => {
  const path = folder(t);
  const c = await open(path, { dim: 8 });
  await c.insert({ ids: ids(2000), vectors: vectors(2000, 8) });
  const [cleared, written] = [c.clear(), c.insert({ id: 'late', vector: vectors(1, 8) })];
  t.deepEqual([await cleared, await written, c.size], [undefined, 1, 1]);
  await c.clear();
  await c.clear();
  t.deepEqual([c.size, await c.search(vectors(1, 8)), await c.has('late')], [0, [], false]);
  await c.close();
  await using again = await open(path);
  t.is(again.size, 0);
});

test('compact gives back the bytes of dead rows, of files and of memory', async (t) => {
  for (const path of [folder(t), undefined]) {
    const options = { dim: 64, metric: 'l2', durability: 'relaxed' } as const;
    await using c = path === undefined ? await open(options) : await open(path, options);
    await c.insert({ ids: ids(4000), vectors: vectors(4000, 64) });
    // Fewer than go by themselves.
    await c.delete(ids(400));
    t.true((await c.compact()).reclaimedBytes >= 0);
    await c.delete(ids(500, 400));
    const size = async () =>
      path
        ? readdirSync(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0)
        : (await c.stats()).bytes.ram;
    const before = await size();
    const seen: Progress[] = [];
    const { reclaimedBytes } = await c.compact({ onProgress: (progress) => seen.push(progress) });
    const after = await c.stats();
    t.deepEqual([after.rows, after.deleted, c.size], [3100, 0, 3100]);
    t.true(reclaimedBytes > 0, `${path}`);
    const freed = before - (await size());
    // What is derived from the rows is made anew, and is smaller as well.
    t.true(freed > 0 && freed >= reclaimedBytes, `${freed} of ${reclaimedBytes}`);
    t.like(seen.at(-1), { phase: 'compact', done: 3100, total: 3100 });
    t.deepEqual((await c.verify()).problems, []);
    t.is((await c.compact()).reclaimedBytes, 0);
  }
});

test('rebuild changes what the index is built by, and nothing that is found', async (t) => {
  for (const path of [folder(t), undefined]) {
    const options = { dim: 32, metric: 'l2', durability: 'relaxed' } as const;
    const opened = () => (path === undefined ? open(options) : open(path, options));
    let c = await opened();
    const floats = vectors(3000, 32);
    await c.insert({
      ids: ids(3000),
      vectors: floats,
      metadata: ids(3000).map((_, i) => ({ n: i % 10, t: `word${i % 7}` })),
    });
    await c.delete(ids(100));
    const exact = () => c.search(floats.subarray(0, 32), { k: 20, exact: true });
    const [found, degree] = [await exact(), (await c.stats()).meanDegree];
    const seen: Progress[] = [];
    const onProgress = (progress: Progress) => seen.push(progress);
    const fields = { n: 'number', t: 'text' } as const;
    const running = c.rebuild({ m: 4, efConstruction: 30, quantization: 'sq4', fields, onProgress });
    await c.upsert({ id: 'beside', vector: floats.subarray(32, 64) });
    t.is(await running, undefined);
    t.like(seen.at(-1), { phase: 'rebuild', done: seen.at(-1)?.total });
    t.true((seen.at(-1)?.done ?? 0) >= 5800);
    t.true((await c.stats()).meanDegree < degree);
    t.deepEqual(await exact(), found);
    t.is(await c.count({ n: 3 }), 290);
    t.deepEqual(c.fields, fields);
    t.is((await c.searchText('word3', { k: 1000 })).length, 415);
    t.true(await c.has('beside'));
    t.deepEqual((await c.verify()).problems, []);
    for (const quantization of ['none', 'f16', 'sq8'] as const) {
      await c.rebuild({ quantization });
      t.deepEqual(await exact(), found, quantization);
    }
    const refused = outOfRange('ERR_ARGUMENT', 'quantization is "pq"; it is one of "none", "f16", "sq8", "sq4"');
    await rejects(t, () => c.rebuild({ quantization: 'pq' } as never), refused);
    await rejects(t, () => c.rebuild({ m: 1 }), outOfRange('ERR_ARGUMENT', 'm is 1'));
    await rejects(t, () => c.rebuild({ m: '4' } as never), wrongType('m'));
    await rejects(t, () => c.rebuild({ dim: 4 } as never), wrongType('options has no "dim"'));
    await c.close();
    if (path === undefined) continue;
    for (const wrong of [{ m: 16 }, { efConstruction: 64 }, { quantization: 'none' as const }, { fields: {} }]) {
      await rejects(t, () => open(path, wrong), outOfRange('ERR_ARGUMENT', 'change it by rebuild()'));
    }
    c = await open(path, { m: 4, efConstruction: 30, quantization: 'sq8', fields: { n: 'number', t: 'text' } });
    t.deepEqual(await exact(), found);
    await c.close();
  }
});

test('verify finds nothing wrong, or says what is', async (t) => {
  const path = folder(t);
  const c = await open(path, { dim: 16, metric: 'l2', durability: 'relaxed' });
  t.deepEqual(await c.verify(), { ok: true, problems: [] });
  await c.insert({ ids: ids(5000), vectors: vectors(5000, 16) });
  await c.delete(ids(100));
  const seen: Progress[] = [];
  const running = c.verify({ onProgress: (progress) => seen.push(progress) });
  await c.upsert({ id: 'beside', vector: vectors(1, 16) });
  t.deepEqual(await running, { ok: true, problems: [] });
  t.true((seen.at(-1)?.done ?? 0) >= 5000 && seen.at(-1)?.done === seen.at(-1)?.total);
  await c.close();
  const log = join(path, 'log-1-0001');
  const bytes = readFileSync(log);
  bytes.writeUInt8(bytes.readUInt8(5000) ^ 4, 5000);
  // The checkpoint stands for these bytes: they are read when they are used.
  const again = await open(path);
  writeFileSync(log, bytes);
  const { ok, problems } = await again.verify();
  t.false(ok);
  t.true(
    problems.some(({ code, detail }) => code === 'log' && /log-1-0001 .* byte/.test(detail)),
    `${problems.length}`,
  );
  t.true(problems.length <= 7 * 1001);
  await again.close();
});

test('a snapshot is a collection of its own, of one moment', async (t) => {
  for (const path of [folder(t), undefined]) {
    const [copy, floats] = [folder(t), vectors(3000, 16)];
    const options = { dim: 16, metric: 'l2', durability: 'relaxed' } as const;
    await using c = path === undefined ? await open(options) : await open(path, options);
    await c.insert({ ids: ids(3000), vectors: floats });
    const seen: Progress[] = [];
    const running = c.snapshot(copy, { onProgress: (progress) => seen.push(progress) });
    await c.delete(ids(1500));
    t.is(await running, undefined);
    t.like(seen.at(-1), { phase: 'snapshot', done: seen.at(-1)?.total });
    await using there = await open(copy);
    t.true(there.size === 3000 || there.size === 1500, `${there.size}`);
    t.deepEqual((await there.verify()).problems, []);
    await rejects(t, () => c.snapshot(copy), { is: AuspexError, code: 'ERR_LOCKED' });
    const rows = there.size;
    await there.close();
    const full = outOfRange('ERR_ARGUMENT', 'files in it');
    await rejects(t, () => c.snapshot(copy), full);
    const taken = mkdtempSync(join(tmpdir(), 'auspex-taken-'));
    writeFileSync(join(taken, 'mine.txt'), 'mine');
    await rejects(t, () => c.snapshot(taken), full);
    t.deepEqual(readdirSync(taken), ['mine.txt']);
    rmSync(taken, { recursive: true });
    await rejects(t, () => c.snapshot(''), outOfRange('ERR_ARGUMENT', "directory is ''"));
    for (const bad of [undefined, 3, null]) await rejects(t, () => c.snapshot(bad as never), wrongType('directory'));
    await using unharmed = await open(copy, { mode: 'readonly' });
    t.is(unharmed.size, rows);
  }
});

test('a job whose signal aborts rejects with the reason, and leaves nothing', async (t) => {
  const path = folder(t);
  await using c = await open(path, { dim: 64, durability: 'relaxed' });
  await c.insert({ ids: ids(20_000), vectors: vectors(20_000, 64) });
  await c.delete(ids(1000));
  const copy = folder(t);
  const jobs = {
    compact: (signal: AbortSignal) => c.compact({ signal }),
    rebuild: (signal: AbortSignal) => c.rebuild({ quantization: 'none', signal }),
    verify: (signal: AbortSignal) => c.verify({ signal }),
    snapshot: (signal: AbortSignal) => c.snapshot(copy, { signal }),
  };
  for (const [name, job] of Object.entries(jobs)) {
    await t.throwsAsync(() => job(AbortSignal.abort(reason)), { is: reason }, name);
    const controller = new AbortController();
    const running = job(controller.signal);
    controller.abort(reason);
    await t.throwsAsync(() => running, { is: reason }, name);
    // One that waits for another goes at once.
    const other = c.verify();
    const late = new AbortController();
    const waiting = job(late.signal);
    late.abort(reason);
    await t.throwsAsync(() => waiting, { is: reason }, name);
    t.true((await other).ok);
  }
  t.true(!existsSync(copy) || readdirSync(copy).every((name) => name === 'LOCK'), `${copy}`);
  t.true(readdirSync(path).every((name) => !name.includes('-2-')));
  t.is((await c.stats()).deleted, 1000);
  await c.snapshot(copy);
});

test('jobs take their turns beside searches and writes, and what onProgress throws comes last', async (t) => {
  const { collection: c } = await filled(3000, 16);
  const order: string[] = [];
  const jobs = ['a', 'b', 'c'].map((name) => c.verify().then(() => order.push(name)));
  const writes = Array.from({ length: 20 }, (_, i) =>
    c.upsert({ id: `w${i}`, vector: vectors(1, 16), metadata: { i } }),
  );
  t.is((await c.search(vectors(1, 16))).length, 10);
  await Promise.all([...jobs, ...writes]);
  t.deepEqual(order, ['a', 'b', 'c']);
  const onProgress = () => {
    throw reason;
  };
  await c.delete(ids(10));
  await t.throwsAsync(() => c.compact({ onProgress }), { is: reason });
  t.is((await c.stats()).deleted, 0);
  for (const bad of [3, null, 'x']) {
    await rejects(t, () => c.compact({ onProgress: bad } as never), wrongType('onProgress'));
    await rejects(t, () => c.verify({ signal: bad } as never), wrongType('signal'));
    await rejects(t, () => c.compact(bad as never), wrongType('options'));
  }
});

test('close ends a job, and the folder is free when it resolves', async (t) => {
  const path = folder(t);
  for (const job of ['verify', 'compact', 'rebuild', 'snapshot'] as const) {
    const c = await open(path, { dim: 64, durability: 'relaxed' });
    await c.upsert({ ids: ids(20_000), vectors: vectors(20_000, 64) });
    const running = job === 'snapshot' ? c.snapshot(folder(t)) : c[job]();
    const ended = running.then(
      () => 'done',
      (error: { code: string }) => error.code,
    );
    await c.close();
    await (await open(path)).close();
    t.true(['done', 'ERR_CLOSED'].includes(await ended), await ended);
  }
});

test('a handle that only reads follows the writer, and refuses to write', async (t) => {
  const path = folder(t);
  await rejects(t, () => open(path, { mode: 'readonly' }), { is: AuspexError, code: 'ERR_NOT_FOUND' });
  await rejects(t, () => open(path, { mode: 'append' } as never), outOfRange('ERR_ARGUMENT', 'mode', 'append'));
  await rejects(t, () => open({ dim: 2, mode: 'readonly' }), outOfRange('ERR_ARGUMENT', 'mode', 'path'));
  const writer = await open(path, { dim: 2, metric: 'l2' });
  const reader = await open(path, { mode: 'readonly' });
  const other = await open(path, { mode: 'readonly' });
  t.deepEqual([reader.size, await reader.refresh(), await writer.refresh()], [0, false, false]);
  await writer.insert({ ids: ids(100), vectors: vectors(100, 2) });
  t.is(reader.size, 0);
  t.deepEqual([await reader.refresh(), reader.size, await reader.refresh()], [true, 100, false]);
  t.deepEqual(await reader.search([1, 2]), await writer.search([1, 2]));
  const writes = [
    () => reader.insert({ id: 'x', vector: [1, 2] }),
    () => reader.upsert({ id: 'x', vector: [1, 2] }),
    () => reader.load([{ id: 'x', vector: [1, 2] }]),
    () => reader.update('r0', { vector: [1, 2] }),
    () => reader.delete('r0'),
    () => reader.delete('nobody'),
    () => reader.clear(),
    () => reader.compact(),
    () => reader.rebuild(),
  ];
  for (const write of writes) await rejects(t, write, readOnly, `${write}`);
  t.is(reader.size, 100);
  await reader.flush();
  t.true((await reader.verify()).ok);
  await writer.update('r0', { vector: [9, 9] });
  await writer.delete(ids(50, 50));
  await writer.compact();
  t.deepEqual([await reader.refresh(), reader.size], [true, 50]);
  await writer.close();
  const copy = folder(t);
  await reader.snapshot(copy);
  await reader.close();
  await rejects(t, () => reader.refresh(), { is: AuspexError, code: 'ERR_CLOSED' });
  t.deepEqual([await other.refresh(), other.size], [true, 50]);
  await using fresh = await open(path, { mode: 'readonly' });
  const [{ bytes, notices }, expected] = [await other.stats(), await fresh.stats()];
  t.deepEqual({ bytes, notices }, { bytes: expected.bytes, notices: expected.notices });
  await other.close();
  await using there = await open(copy);
  t.is(there.size, 50);
});

// What must hold in every runtime, on every platform and CPU, in plain JavaScript: `RUNTIME smoke.cjs [PACKAGE]`. The
// last line is JSON. Its digest is of every answer and of the graphs' numbers, and is the same everywhere.
const assert = require('node:assert');
const { createHash } = require('node:crypto');
const { mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const { join, resolve } = require('node:path');
const { MessageChannel, Worker } = require('node:worker_threads');

const folder = resolve(process.argv[2] ?? join(__dirname, '..'));
const { AuspexError, exactSearch, info, isAuspexError, open } = require(folder);
const [DIM, ROWS] = [24, 3000];

/** Numbers in [-1, 1) that are the same everywhere (mulberry32). */
function vectors(n, seed) {
  let state = seed;
  return Float32Array.from({ length: n * DIM }, () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let x = Math.imul(state ^ (state >>> 15), state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 2 ** 31 - 1;
  });
}

const names = (from, to) => Array.from({ length: to - from }, (_, i) => `r${from + i}`);
const rejects = (call, code) =>
  assert.rejects(call, (error) => isAuspexError(error) && error.code === code, `expected ${code}`);

/** The same history everywhere: batches, deletes, rows written again. */
async function fill(collection, floats) {
  for (let from = 0; from < ROWS; from += 500) {
    const batch = floats.subarray(from * DIM, (from + 500) * DIM);
    const metadata = names(from, from + 500).map((name) => ({ name, even: from % 1000 === 0, text: 'ä 字 🙂' }));
    await collection.insert({ ids: names(from, from + 500), vectors: batch, metadata });
  }
  assert.equal(await collection.delete(names(0, ROWS).filter((_, i) => i % 7 === 0)), Math.ceil(ROWS / 7));
  await collection.upsert({ ids: names(0, 100), vectors: floats.subarray(100 * DIM, 200 * DIM) });
}

const hash = createHash('sha256');
const bits = (floats) => Buffer.from(Float32Array.from(floats).buffer);

const cases = {
  async 'answers and graphs of every metric'() {
    for (const metric of ['cosine', 'l2', 'dot']) {
      const collection = await open({ dim: DIM, metric });
      await fill(collection, vectors(ROWS, 1));
      const queries = vectors(40, 2);
      let found = 0;
      for (let q = 0; q < 40; q++) {
        const query = queries.subarray(q * DIM, (q + 1) * DIM);
        const hits = collection.searchSync(query, { efSearch: 40 });
        assert.deepEqual(await collection.search(query, { efSearch: 40 }), hits);
        const truth = new Set((await collection.search(query, { exact: true })).map(({ id }) => id));
        found += hits.filter(({ id }) => truth.has(id)).length;
        const { plan, visited, distances, rescored } = await collection.explain(query, { efSearch: 40 });
        hash.update(JSON.stringify([metric, hits.map(({ id }) => id), plan, visited, distances, rescored]));
        hash.update(bits(hits.map(({ distance }) => distance)));
      }
      assert.ok(found / 400 > 0.8, `recall ${found / 400}`);
      const { layers, meanDegree, unreachable, rows } = await collection.stats();
      assert.equal(unreachable, 0);
      hash.update(JSON.stringify([rows, layers, meanDegree]));
      await collection.close();
    }
    const exact = await exactSearch(vectors(500, 3), vectors(5, 4), { k: 5, dim: DIM });
    hash.update(bits(exact.distances)).update(JSON.stringify([...exact.rows]));
  },

  async 'every quantization'() {
    const queries = vectors(20, 8);
    for (const quantization of ['none', 'f16', 'sq8', 'sq4']) {
      const collection = await open({ dim: DIM, quantization });
      await fill(collection, vectors(ROWS, 7));
      for (let q = 0; q < 20; q++) {
        const hits = await collection.search(queries.subarray(q * DIM, (q + 1) * DIM));
        hash.update(JSON.stringify([quantization, hits.map(({ id }) => id)]));
        hash.update(bits(hits.map(({ distance }) => distance)));
      }
      await collection.close();
    }
  },

  async 'words and filters'() {
    const said = ['the', 'sea', 'Änderung', '字', 'wind', 'salt', 'wind'];
    const collection = await open({ dim: DIM, fields: { title: 'text', n: 'number' } });
    const metadata = Array.from({ length: 600 }, (_, n) => ({
      title: said.slice(n % 6, (n % 6) + (n % 4)).join(' '),
      n,
    }));
    await collection.insert({ ids: names(0, 600), vectors: vectors(600, 9), metadata });
    const [vector] = [vectors(1, 10)];
    for (const filter of [undefined, { n: { $gte: 200 } }, { $or: [{ title: { $contains: 'sea' } }, { n: 7 }] }]) {
      const near = await collection.search(vector, { filter });
      const fit = await collection.searchText('WIND änderung', { filter });
      const both = await collection.searchHybrid({ vector, text: 'sea 字' }, { filter });
      assert.deepEqual([near.length, fit.length, both.length], [10, 10, 10]);
      for (const hits of [near, fit, both]) hash.update(JSON.stringify(hits.map(({ id, score }) => [id, score])));
      hash.update(`${await collection.count(filter)}`);
    }
    await collection.close();
  },

  async 'a collection over a port'() {
    const { connect, serve } = require(join(folder, 'dist/electron/index.js'));
    const { port1, port2 } = new MessageChannel();
    const here = await open({ dim: DIM });
    const server = serve({ here }, port1);
    const there = await connect(port2, { name: 'here' });
    await there.insert({ ids: names(0, 50), vectors: vectors(50, 11) });
    assert.deepEqual(await there.search(vectors(1, 12)), here.searchSync(vectors(1, 12)));
    await rejects(() => there.insert({ id: 'a', vector: [1] }), 'ERR_DIMENSION');
    await there.close();
    server.close();
    await here.close();
  },

  async 'a folder is written, locked and opened again'() {
    const parent = mkdtempSync(join(tmpdir(), 'auspex-'));
    try {
      const path = join(parent, 'a.auspex');
      const first = await open(path, { dim: DIM, durability: 'relaxed' });
      await fill(first, vectors(ROWS, 5));
      const query = vectors(1, 6);
      const before = first.searchSync(query);
      await rejects(() => open(path), 'ERR_LOCKED');
      await first.close();
      await rejects(async () => first.count().then(() => first.search(query)), 'ERR_CLOSED');
      const second = await open(path);
      assert.deepEqual(second.searchSync(query), before);
      assert.deepEqual((await second.get('r101')).metadata, { name: 'r101', even: true, text: 'ä 字 🙂' });
      let rows = 0;
      for await (const row of second.items()) rows += row.id.length > 0 ? 1 : 0;
      assert.equal(rows, second.size);
      await second.close();
    } finally {
      rmSync(parent, { recursive: true, force: true });
    }
  },

  async 'errors keep their class and code'() {
    const collection = await open({ dim: DIM });
    await rejects(() => collection.insert({ id: 'a', vector: [1] }), 'ERR_DIMENSION');
    await rejects(() => collection.insert({ id: 'a', vector: vectors(1, 1).fill(Number.NaN) }), 'ERR_NOT_FINITE');
    await rejects(() => collection.insert({ id: 'a', vector: new Float32Array(DIM) }), 'ERR_ZERO_VECTOR');
    const gone = vectors(1, 1);
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    await rejects(() => collection.search(gone), 'ERR_DIMENSION');
    await collection.insert({ id: 'a', vector: vectors(1, 1) });
    const error = await collection.insert({ id: 'a', vector: vectors(1, 1) }).catch((caught) => caught);
    assert.ok(error instanceof AuspexError && error.code === 'ERR_EXISTS', `${error}`);
    const reason = new Error('stop');
    await assert.rejects(collection.search(vectors(1, 1), { signal: AbortSignal.abort(reason) }), reason);
    await collection.close();
  },

  async 'a panic is an exception'() {
    const addon = require(join(folder, 'dist/native.js')).native();
    assert.throws(() => addon.__panic(), /a panic asked for/);
    await assert.rejects(addon.__panicAsync(), /a panic asked for/);
  },

  async 'another thread has collections of its own'() {
    const source = `const { parentPort, workerData } = require('node:worker_threads');
      const { open } = require(workerData.folder);
      open({ dim: 2 }).then(async (c) => {
        await c.insert({ ids: ['a', 'b'], vectors: [[1, 0], [0, 1]] });
        parentPort.postMessage((await c.search([0.1, 1], { k: 1 }))[0].id);
        await c.close();
      }, (error) => parentPort.postMessage(String(error)));`;
    const worker = new Worker(source, { eval: true, workerData: { folder } });
    const answer = await new Promise((done, fail) => worker.once('message', done).once('error', fail));
    assert.equal(answer, 'b');
    await worker.terminate();
  },
};

async function main() {
  for (const [name, run] of Object.entries(cases)) {
    await run();
    console.log(`ok ${name}`);
  }
  const { Bun, Deno } = globalThis;
  const runtime = Bun ? `Bun ${Bun.version}` : Deno ? `Deno ${Deno.version.deno}` : `Node ${process.versions.node}`;
  const { isa, version } = info();
  const passed = Object.keys(cases).length;
  console.log(JSON.stringify({ runtime, isa, version, passed, digest: hash.digest('hex').slice(0, 16) }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

// A server with one writer and several readers: `node examples/readers.mjs`, or with a port to go on serving:
// `node examples/readers.mjs 8080`. Each reader is a thread with a read-only handle of its own on the same folder; it
// could as well be a process.
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMainThread, MessageChannel, Worker, workerData } from 'node:worker_threads';
import { open } from 'auspex';
import { connect, serve } from 'auspex/electron';

if (isMainThread) await main();
else {
  // What came since is seen from here on; `refresh` reads the log's new frames and no more.
  const reader = await open(workerData.path, { mode: 'readonly', ifMissing: 'error' });
  setInterval(() => reader.refresh(), 50).unref();
  serve(reader, workerData.port, { mode: 'readonly' });
}

async function main() {
  const folder = await mkdtemp(join(tmpdir(), 'auspex-readers-'));
  const path = join(folder, 'colours.auspex');
  const writer = await open(path, { dim: 3, metric: 'l2' });
  await writer.insert({
    ids: ['red', 'green', 'blue'],
    vectors: [
      [255, 0, 0],
      [0, 255, 0],
      [0, 0, 255],
    ],
  });

  const readers = await Promise.all([1, 2].map(() => start(path)));
  let turn = 0;
  // GET /?255,128,0 asks the next reader, PUT /orange?255,128,0 writes.
  const server = createServer(async ({ method, url }, response) => {
    const { pathname, search } = new URL(url, 'http://localhost');
    const vector = search.slice(1).split(',').map(Number);
    try {
      if (method === 'PUT') await writer.upsert({ id: decodeURIComponent(pathname.slice(1)), vector });
      const hits = method === 'PUT' ? [] : await readers[turn++ % readers.length].search(vector, { k: 1 });
      response.end(hits.map(({ id }) => id).join());
    } catch (error) {
      response.writeHead(error instanceof RangeError ? 400 : 500).end(error.message);
    }
  });
  server.listen(Number(process.argv[2] ?? 0), '127.0.0.1');
  await once(server, 'listening');
  const at = `http://127.0.0.1:${server.address().port}`;
  if (process.argv[2]) return console.log(`${at}/?255,128,0`);

  const ask = async (colour, options) => (await fetch(`${at}/${colour}`, options)).text();
  console.log('before:', await ask('?255,128,0'), await ask('?255,128,0'));
  await ask('orange?255,128,0', { method: 'PUT' });
  let seen = [];
  while (seen.some((id) => id !== 'orange') || seen.length === 0)
    seen = [await ask('?255,128,0'), await ask('?255,128,0')];
  console.log('after:', ...seen);
  console.log('wrong:', await ask('?255'));

  server.close();
  await Promise.all(readers.map((reader) => reader.stop()));
  await writer.close();
  await rm(folder, { recursive: true });
}

/** A reader in a thread of its own, as the collection at the other end of a port. */
async function start(path) {
  const { port1, port2 } = new MessageChannel();
  const worker = new Worker(new URL(import.meta.url), { workerData: { path, port: port2 }, transferList: [port2] });
  const reader = await connect(port1);
  const stop = async () => {
    await reader.close();
    await worker.terminate();
  };
  return { search: (...args) => reader.search(...args), stop };
}

/** Uses that must compile, and uses that must not. Never run. */
import { connect, serve } from '../dist/electron/index.mjs';
import { AuspexError, connect as connectWindow } from '../dist/electron/renderer.mjs';
import {
  type Batch,
  type Collection,
  type Filter,
  type Hit,
  isAuspexError,
  type LocalCollection,
  open,
  type Progress,
  type RecallPoint,
} from '../dist/index.mjs';

interface Doc {
  title: string;
  year: number;
  tags: string[];
  draft?: boolean;
}

export async function uses(v: Float32Array) {
  const a = await open({ dim: 3 });
  await a.upsert([{ id: 'a', vector: [1, 2, 3] }]);
  const h = await a.search(v);
  h[0]?.metadata;

  const c = await open<Doc>({
    dim: 3,
    metric: 'l2',
    m: 16,
    efConstruction: 100,
    efSearch: 64,
    seed: 1,
    threads: 0,
    fields: { year: 'number', tags: 'keyword[]', title: 'keyword', draft: 'boolean' },
  });
  await open('./x', { fields: { anything: 'keyword', words: 'text' } });
  const [t] = await c.searchText('a', { k: 5, offset: 1, filter: { year: 1 }, include: { vector: true } });
  t?.vector;
  const [both] = await c.searchHybrid({ vector: v, text: 'a' }, { exact: true, rrfK: 1, weights: { text: 2 } });
  both?.metadata.title;
  await c.upsert({ ids: ['a'], vectors: v, metadata: [{ title: 't', year: 1, tags: [] }] });
  const hits = await c.search(v, { k: 5, efSearch: 100, exact: true, signal: AbortSignal.timeout(1000) });
  const y: number | undefined = hits[0]?.metadata.year;
  const w = await c.search(v, { include: { vector: true, metadata: false } });
  const q: Float32Array | undefined = w[0]?.vector;
  const s: Hit<Doc>[] = c.searchSync(v);
  const tensor = await c.search({ data: v, dims: [1, 3] });
  tensor[0]?.score.toFixed();

  const g = await c.get('a');
  g?.metadata.title;
  const gs = await c.get(['a', 'b'], { include: { vector: true } });
  gs[0]?.vector;
  for await (const it of c.items()) it.metadata.title;
  for await (const it of c.items({ include: { vector: true, metadata: false } })) it.vector;
  const near = await c.similar('a', { include: { vector: true } });
  near[0]?.vector;

  const recent: Filter<Doc> = { $and: [{ year: { $lt: 3 } }, { $not: { title: { $startsWith: 'a' } } }] };
  await c.search(v, { filter: { year: { $gte: 2000 }, tags: 'x', draft: { $ne: true } } });
  await c.similar('a', { filter: { tags: { $in: ['x', null], $contains: 'y' } } });
  await c.searchBatch([v], { filter: { title: null } });
  await c.search(v, { offset: 20, k: 10, maxDistance: 0.5 });
  await c.searchBatch([v], { maxDistance: 0.5 });
  await c.search(v, { groupBy: { field: 'year', size: 3 }, k: 4 });
  await c.similar('a', { diversify: { lambda: 0.5, fetch: 40 } });
  const [point] = await c.estimateRecall({ k: 10, sample: 50, efSearch: [32, 64], filter: recent });
  const recall: number | undefined = point?.recall;
  const { efSearch }: RecallPoint = await c.tune({ targetRecall: 0.98, k: 10 });
  c.searchSync(v, { filter: { $or: [{ draft: { $exists: false } }, recent] } });
  await a.search(v, { filter: { any: 1, other: { $in: ['a', 2, true] } } });
  for await (const it of c.items({ filter: recent, include: { metadata: false } })) it.id;
  const few: number = (await c.count({ year: 3 })) + (await c.delete({ filter: { draft: true } }));

  const batch = await c.searchBatch([v, [1, 2, 3]], { k: 3 });
  const [counts, distances]: [Uint32Array, Float32Array] = [batch.counts, batch.distances];
  const removed: number = (await c.delete('a')) + (await c.delete(['a', 'b']));
  const loaded: number = await c.load([{ id: 'a', vector: v, metadata: { title: 't', year: 1, tags: [] } }], {
    mode: 'insert',
    batchSize: 10,
    onProgress: ({ done, total }: Progress) => [done, total],
  });
  const changed: boolean = await c.update('a', { metadata: { year: 2, draft: undefined }, vector: [1, 2, 3] });
  await c.clear();
  const { reclaimedBytes } = await c.compact({ onProgress: ({ phase }) => phase });
  await c.rebuild({ m: 24, quantization: 'sq4', fields: { year: 'number' }, signal: AbortSignal.timeout(1000) });
  const { ok, problems } = await c.verify({ signal: AbortSignal.timeout(1000) });
  problems[0]?.detail.length;
  await c.snapshot('/tmp/copy');
  const newer: boolean = await (await open<Doc>('/tmp/a', { mode: 'readonly' })).refresh();
  const overTheWire: Collection<Doc> = c;
  const plain: Batch<{ x?: number }> = { ids: ['a'], vectors: v };
  try {
    await using d = await open({ dim: 2 });
    await d.insert({ id: 'x', vector: [1, 2] });
  } catch (e) {
    if (isAuspexError(e)) e.code satisfies string;
  }

  // @ts-expect-error metadata required
  await c.upsert([{ id: 'a', vector: v }]);
  // @ts-expect-error metadata required
  await c.insert({ ids: ['a'], vectors: v });
  // @ts-expect-error pages are of one query
  await c.searchBatch([v], { offset: 3 });
  // @ts-expect-error no such field
  await c.search(v, { groupBy: { field: 'yaer' } });
  // @ts-expect-error groups are of one query
  await c.searchBatch([v], { groupBy: { field: 'year' } });
  // @ts-expect-error a target is needed
  await c.tune({});
  // @ts-expect-error no such operator
  await c.search(v, { filter: { year: { $gtt: 1 } } });
  // @ts-expect-error another type than the field's
  await c.search(v, { filter: { year: { $gt: '2000' } } });
  // @ts-expect-error an element, not an array
  await c.search(v, { filter: { tags: ['x'] } });
  // @ts-expect-error no such field
  await c.count({ yaer: 3 });
  // @ts-expect-error true and false have no order
  await c.count({ draft: { $lt: true } });
  // @ts-expect-error numbers have no beginning
  await c.count({ year: { $startsWith: '2' } });
  // @ts-expect-error no filter
  await c.delete({});
  // @ts-expect-error no vector
  (await c.search(v))[0]?.vector;
  // @ts-expect-error no metadata
  w[0]?.metadata;
  // @ts-expect-error no such option
  await c.search(v, { efsearch: 3 });
  // @ts-expect-error the caller's thread has no signal to wait for
  c.searchSync(v, { signal: AbortSignal.timeout(1) });
  // @ts-expect-error dim required
  await open({ metric: 'dot' });
  // @ts-expect-error no such type of field
  await open<Doc>({ dim: 2, fields: { year: 'date' } });
  // @ts-expect-error no such field
  await open<Doc>({ dim: 2, fields: { yaer: 'number' } });
  // @ts-expect-error no such metric
  await open({ dim: 2, metric: 'hamming' });
  // @ts-expect-error rows come back one by one
  (await c.get('a')).length;
  // @ts-expect-error no such key
  await c.update('a', { metadata: { pages: 3 } });
  // @ts-expect-error a key of another type
  await c.update('a', { metadata: { year: '1999' } });
  // @ts-expect-error no such mode
  await open({ dim: 2, mode: 'append' });
  // @ts-expect-error only in this process
  overTheWire.searchSync(v);
  // @ts-expect-error read-only
  c.dim = 4;

  return [
    y,
    q,
    s,
    counts,
    distances,
    removed,
    few,
    recall,
    efSearch,
    loaded,
    plain,
    changed,
    reclaimedBytes,
    ok,
    newer,
  ] satisfies unknown[];
}

export async function ports(c: LocalCollection<Doc>, web: WebPort, main: MainPort) {
  const server = serve(c, main);
  serve({ docs: c, others: await open({ dim: 2 }) }, web, { mode: 'readonly' });
  server.close();
  const docs: Collection<Doc> = await connect<Doc>(main, { name: 'docs', signal: AbortSignal.timeout(10) });
  const far = await connectWindow(web);
  far satisfies Collection;
  const hits: Hit<Doc>[] = await docs.search([1, 2, 3], { filter: { year: 3 } });

  // @ts-expect-error no port
  serve(c, {});
  // @ts-expect-error no collection
  serve({ docs: 5 }, main);
  // @ts-expect-error no such mode
  serve(c, main, { mode: 'append' });
  // @ts-expect-error only in the process that has it
  docs.searchSync([1, 2, 3]);

  return [hits, new AuspexError('ERR_IO', 'x').code satisfies 'ERR_IO' | string];
}

/** The web's port, as TypeScript's own library has it. */
interface WebPort {
  postMessage(message: unknown, transfer: ArrayBuffer[]): void;
  postMessage(message: unknown, options?: { transfer?: ArrayBuffer[] }): void;
  start(): void;
  close(): void;
}

/** Electron's port. */
interface MainPort {
  postMessage(message: unknown, transfer?: MainPort[]): void;
  start(): void;
  close(): void;
}

export const anyOne = (c: LocalCollection): Collection => c;

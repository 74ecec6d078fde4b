/**
 * `npm run bench`: insertion, search and what JavaScript adds to them, on real vectors. CPU time is that of all
 * threads of the process; the recall stands beside every speed.
 */
import { writeFileSync } from 'node:fs';
import { type BatchHits, type LocalCollection, type OpenOptions, open } from 'auspex';
import { add, complete, configure, suite } from 'benny';
import { cut, type DataSet, readSet } from './data.mts';
import { machine } from './machine.mts';
import { insertAll, type Latency, latency, memory, recall, round, timed, watched } from './meter.mts';
import { table, whole } from './screen.mts';

interface Flags {
  set?: string;
  quick?: boolean;
  m?: number;
  'ef-construction'?: number;
  threads?: number;
  json?: string;
}

/** Rows a batch; all at once come first, and what is measured after that is that collection. */
const BATCHES = [Number.POSITIVE_INFINITY, 10_000, 1000, 100];
const EF_SEARCH = [16, 32, 64, 100, 128, 200, 256, 400];
const FULL = { rows: Number.POSITIVE_INFINITY, queries: 1000, passes: 5, singles: 1000, seconds: 2 };
const QUICK = { rows: 25_000, queries: 300, passes: 2, singles: 200, seconds: 0.3 };

/** What the whole of sift128-100k must reach with the defaults; a batch size stands with its rows a second of CPU. */
const GOALS = {
  set: 'sift128-100k',
  stream: new Map([
    [100_000, 120_000],
    [10_000, 60_000],
    [1000, 40_000],
    [100, 20_000],
  ]),
  recallAt1: 0.97,
  recallAt10: 0.97,
  recallAt100: 0.98,
  /** Microseconds. */
  searchSync: 100,
  added: 3,
  upsert: 100,
  /** Times what the collection takes in the end. */
  peak: 2,
};

type Scale = typeof FULL;

/** Runs all measurements in turn, and prints each as it ends. */
export async function main({ set: name, quick = false, json, m, threads, ...rest }: Flags): Promise<void> {
  const scale = quick ? QUICK : FULL;
  const host = machine();
  const everything = await readSet(name);
  const set = quick ? await cut(everything, scale.rows, scale.queries) : everything;
  const given = { m, threads, efConstruction: rest['ef-construction'] };
  const options = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
  const parameters = Object.entries(options).map(([key, value]) => `${key} ${value}`);
  const rows = set.base.length / set.dim;
  console.log(`auspex ${host.version}, ${host.isa}, ${host.threads} threads, Node.js ${host.node}, ${host.platform} ${host.arch}
${host.cores} x ${host.cpu}, ${whole(host.ram / 2 ** 30)} GiB
${set.name}${quick ? ' (a part)' : ''}: ${whole(rows)} rows, ${whole(set.queries.length / set.dim)} queries, ${set.dim} numbers, ${set.metric}
options: ${parameters.join(', ') || 'the defaults'}`);

  const how = { dim: set.dim, metric: set.metric, ...options };
  const { streams, collection, grown } = await insertion(set, how);
  const results = {
    streams,
    memory: await footprint(collection, set, grown),
    searches: await searches(collection, set, scale),
    overhead: await overhead(collection, set, scale),
    batches: await batches(collection, set, scale),
    calls: await calls(collection, set, scale),
    upserts: await upserts(collection, set, scale),
  };
  await collection.close();
  const goals = set.name === GOALS.set && !quick && parameters.length === 0 ? judge(results) : [];
  const { name: setName, metric, dim } = set;
  const report = { ...host, set: { name: setName, metric, dim, rows }, options, quick, ...results, goals };
  if (json) writeFileSync(json, `${JSON.stringify(report, undefined, 2)}\n`);
}

/** From empty to full in batches of one size after another; the first collection is kept. */
async function insertion(set: DataSet, options: OpenOptions & { dim: number }) {
  const rows = set.base.length / set.dim;
  const streams = [];
  const kept = await open(options);
  let grown = 0;
  for (const most of BATCHES) {
    const batch = Math.min(rows, most);
    const collection: LocalCollection = streams.length === 0 ? kept : await open(options);
    const insert = () => insertAll(collection, set, batch, `Inserting by ${whole(batch)}`);
    const { result, grown: more } = await watched(insert);
    const { ms, cpuMs } = result;
    if (collection === kept) grown = more;
    const rowsPerCpuSecond = Math.round((1000 * rows) / cpuMs);
    const rowsPerSecond = Math.round((1000 * rows) / ms);
    const hits = await collection.searchBatch(set.queries, { k: 10 });
    streams.push({ batch, ms, cpuMs, rowsPerCpuSecond, rowsPerSecond, recallAt10: recallOf(hits, set) });
    if (collection !== kept) await collection.close();
  }
  section(
    'Insertion from empty, each batch awaited; recall@10 at the default efSearch',
    ['rows a batch', 'rows/s of CPU', 'rows/s of wall', 'CPU s', 'wall s', 'recall@10'],
    ...streams.map((at) => [
      whole(at.batch),
      whole(at.rowsPerCpuSecond),
      whole(at.rowsPerSecond),
      (at.cpuMs / 1000).toFixed(2),
      (at.ms / 1000).toFixed(2),
      at.recallAt10.toFixed(4),
    ]),
  );
  return { streams, collection: kept, grown };
}

async function footprint(collection: LocalCollection, set: DataSet, grown: number) {
  const { bytes, meanDegree, layers, unreachable } = await collection.stats();
  const ratio = round(bytes.ram / set.base.byteLength, 3);
  const peak = round(grown / bytes.ram, 2);
  const result = { collection: bytes.ram, ratio, grown, peak, ...memory(), meanDegree, layers, unreachable };
  section(
    'Memory of the collection that was built at once',
    ['', 'MB', 'of the floats'],
    ['the floats', whole(set.base.byteLength / 1e6), '1.00'],
    ['the collection', whole(bytes.ram / 1e6), ratio.toFixed(2)],
    ['what the process grew by meanwhile, at most', whole(grown / 1e6), (grown / set.base.byteLength).toFixed(2)],
    [
      'the process after all, data set included',
      whole(result.rss / 1e6),
      (result.rss / set.base.byteLength).toFixed(2),
    ],
  );
  return result;
}

/** One query after another on this thread. */
async function searches(collection: LocalCollection, set: DataSet, { passes }: Scale) {
  const settings = [
    ...EF_SEARCH.map((efSearch) => ({ k: 10, efSearch })),
    { k: 1, efSearch: undefined },
    { k: 10, efSearch: undefined },
    { k: 100, efSearch: 200 },
  ];
  const results = [];
  for (const { k, efSearch } of settings) {
    const options = { k, ...(efSearch && { efSearch }), include: { metadata: false } };
    const found = each(set, (query) => collection.searchSync(query, options).map(({ id }) => id));
    const { result, cpuMs } = await timed(() => clocked(set, passes, (query) => collection.searchSync(query, options)));
    const cpuMicroseconds = round((1000 * cpuMs) / result.length, 2);
    results.push({ k, efSearch, recall: recall(found, truth(set, k)), ...latency(result), cpuMicroseconds });
  }
  section(
    'searchSync, microseconds a call, metadata left out',
    ['k', 'efSearch', 'recall@k', 'p50', 'p99', 'mean', 'CPU'],
    ...results.map((at) => [
      at.k,
      at.efSearch ?? 'default',
      at.recall.toFixed(4),
      ...micros(at),
      at.cpuMicroseconds.toFixed(1),
    ]),
  );
  return results;
}

/** What crossing into the addon and back, and making the hits, add to the engine's own time. */
async function overhead(collection: LocalCollection, set: DataSet, { passes }: Scale) {
  const engine: number[] = [];
  for (let pass = 0; pass < passes; pass++) {
    for (const query of queriesOf(set)) engine.push((await collection.explain(query, { k: 10 })).microseconds / 1000);
  }
  const ten = await open({ dim: set.dim, metric: set.metric });
  const ids = Array.from({ length: 10 }, (_, i) => String(i));
  await ten.upsert({ ids, vectors: set.base.subarray(0, 10 * set.dim) });
  const smallEngine: number[] = [];
  for (const query of queriesOf(set)) smallEngine.push((await ten.explain(query, { k: 10 })).microseconds / 1000);
  const bare = { k: 10, include: { metadata: false } };
  const small = (options: { k: number; include?: { metadata: boolean } }) =>
    latency(clocked(set, passes + 1, (query) => ten.searchSync(query, options)).slice(set.queries.length / set.dim));
  const results = {
    engine: latency(engine),
    searchSync: latency(clocked(set, passes, (query) => collection.searchSync(query, bare))),
    tenRowsEngine: latency(smallEngine),
    tenRows: small(bare),
    tenRowsWithMetadata: small({ k: 10 }),
  };
  await ten.close();
  section(
    'What searchSync adds at k 10, microseconds',
    ['', 'p50', 'p99', 'mean'],
    ['the engine alone, by explain() on another thread', ...micros(results.engine)],
    ['searchSync', ...micros(results.searchSync)],
    ['the engine alone, 10 rows', ...micros(results.tenRowsEngine)],
    ['searchSync, 10 rows', ...micros(results.tenRows)],
    ['searchSync, 10 rows, with metadata', ...micros(results.tenRowsWithMetadata)],
  );
  return results;
}

/** Many queries at once, and many calls in flight. */
async function batches(collection: LocalCollection, set: DataSet, { passes }: Scale) {
  const queries = queriesOf(set);
  const n = queries.length * passes;
  const ask = (query: Float32Array) => collection.search(query, { k: 10, include: { metadata: false } });
  const kinds: [string, () => Promise<unknown>][] = [
    [`searchBatch of ${whole(queries.length)}, ids not decoded`, () => collection.searchBatch(set.queries, { k: 10 })],
    [
      `searchBatch of ${whole(queries.length)}, ids decoded`,
      async () => (await collection.searchBatch(set.queries, { k: 10 })).ids(),
    ],
    [
      'search, one after another',
      async () => {
        for (const query of queries) await ask(query);
      },
    ],
    [`search, ${whole(queries.length)} in flight`, () => Promise.all(queries.map(ask))],
  ];
  const results = [];
  for (const [kind, run] of kinds) {
    await run();
    const { ms, cpuMs } = await timed(async () => {
      for (let pass = 0; pass < passes; pass++) await run();
    });
    const microseconds = round((1000 * ms) / n, 2);
    const cpuMicroseconds = round((1000 * cpuMs) / n, 2);
    results.push({ kind, queriesPerSecond: Math.round((1000 * n) / ms), microseconds, cpuMicroseconds });
  }
  const found = recallOf(await collection.searchBatch(set.queries, { k: 10 }), set);
  section(
    `Many queries, k 10, default efSearch, recall@10 ${found.toFixed(4)}`,
    ['', 'queries/s', 'us a query', 'CPU us a query'],
    ...results.map((at) => [
      at.kind,
      whole(at.queriesPerSecond),
      at.microseconds.toFixed(1),
      at.cpuMicroseconds.toFixed(1),
    ]),
  );
  return results;
}

/** Rates of single calls, by benny. */
async function calls(collection: LocalCollection, set: DataSet, { seconds }: Scale) {
  const queries = queriesOf(set);
  const hundred = set.queries.subarray(0, 100 * set.dim);
  let next = 0;
  const query = () => queries[next++ % queries.length] as Float32Array;
  const id = () => String(next++ % collection.size);
  const summary = await suite(
    'single calls',
    configure({ cases: { minTime: seconds / 4, maxTime: seconds } }),
    add('searchSync k 10', () => {
      collection.searchSync(query(), { k: 10 });
    }),
    add('search k 10', async () => collection.search(query(), { k: 10 })),
    add('similar k 10', async () => collection.similar(id(), { k: 10 })),
    add('searchBatch of 100, k 10', async () => collection.searchBatch(hundred, { k: 10 })),
    add('get', async () => collection.get(id())),
    add('has', async () => collection.has(id())),
    complete(() => undefined),
  );
  const results = summary.results.map(({ name, ops, margin }) => ({ call: name, perSecond: ops, margin }));
  section(
    'Single calls, each awaited (benny)',
    ['', 'calls/s', '+- %'],
    ...results.map((at) => [at.call, whole(at.perSecond), at.margin.toFixed(1)]),
  );
  return results;
}

/** Rows written alone: new ids, then known ones. Changes the rows, so it comes last. */
async function upserts(collection: LocalCollection, set: DataSet, { singles }: Scale) {
  const queries = queriesOf(set);
  const at = collection.size;
  const results = [];
  for (const [kind, prefix] of [
    ['a new row', 'new'],
    ['a row replaced', ''],
  ] as const) {
    const times: number[] = [];
    const { cpuMs } = await timed(async () => {
      for (let i = 0; i < singles; i++) {
        const vector = queries[i % queries.length] as Float32Array;
        const begun = performance.now();
        await collection.upsert({ id: `${prefix}${i}`, vector });
        times.push(performance.now() - begun);
      }
    });
    results.push({ kind, ...latency(times), cpuMicroseconds: round((1000 * cpuMs) / singles, 1) });
  }
  section(
    `upsert of one row at ${whole(at)} rows, microseconds a call`,
    ['', 'p50', 'p99', 'mean', 'CPU'],
    ...results.map((at) => [at.kind, ...micros(at), at.cpuMicroseconds.toFixed(1)]),
  );
  return results;
}

interface Results {
  streams: { batch: number; rowsPerCpuSecond: number }[];
  searches: { k: number; efSearch: number | undefined; recall: number; p50: number }[];
  memory: { peak: number };
  overhead: { tenRows: Latency; tenRowsEngine: Latency };
  upserts: Latency[];
}

function judge({ streams, searches, memory, overhead, upserts }: Results) {
  const at = (k: number, efSearch?: number) => searches.find((point) => point.k === k && point.efSearch === efSearch);
  const goals = [
    ...streams.map(({ batch, rowsPerCpuSecond }) => ({
      goal: `rows/s of CPU by ${whole(batch)}`,
      wanted: GOALS.stream.get(batch) ?? 0,
      got: rowsPerCpuSecond,
    })),
    { goal: 'recall@1', wanted: GOALS.recallAt1, got: at(1)?.recall ?? 0 },
    { goal: 'recall@10', wanted: GOALS.recallAt10, got: at(10)?.recall ?? 0 },
    { goal: 'recall@100 at efSearch 200', wanted: GOALS.recallAt100, got: at(100, 200)?.recall ?? 0 },
  ].map((line) => ({ ...line, ok: line.got >= line.wanted }));
  const { tenRows, tenRowsEngine } = overhead;
  const most: [string, number, number | undefined][] = [
    ['searchSync, p50, us', GOALS.searchSync, at(10)?.p50],
    ['what searchSync adds, us', GOALS.added, round(tenRows.mean - tenRowsEngine.mean, 2)],
    ['upsert of a new row, p50, us', GOALS.upsert, upserts[0]?.p50],
    ['most memory while building, times the collection', GOALS.peak, memory.peak],
  ];
  for (const [goal, wanted, got = Number.NaN] of most) goals.push({ goal, wanted, got, ok: got <= wanted });
  section(
    'Goals',
    ['', 'wanted', 'measured', ''],
    ...goals.map((line) => [line.goal, String(line.wanted), String(line.got), line.ok ? 'reached' : 'missed']),
  );
  return goals;
}

function section(title: string, ...lines: (string | number)[][]): void {
  console.log(`\n${title}\n${table(...lines)}`);
}

function queriesOf({ queries, dim }: DataSet): Float32Array[] {
  return Array.from({ length: queries.length / dim }, (_, q) => queries.subarray(q * dim, (q + 1) * dim));
}

function each<T>(set: DataSet, call: (query: Float32Array) => T): T[] {
  return queriesOf(set).map(call);
}

/** Milliseconds of each call, all queries in turn, several times. */
function clocked(set: DataSet, passes: number, call: (query: Float32Array) => unknown): number[] {
  const queries = queriesOf(set);
  const times: number[] = [];
  for (let pass = 0; pass < passes; pass++) {
    for (const query of queries) {
      const begun = performance.now();
      call(query);
      times.push(performance.now() - begun);
    }
  }
  return times;
}

/** The ids of the true neighbours of each query. An id is the number of its row. */
function truth({ truth: { rows, width }, queries, dim }: DataSet, k: number): string[][] {
  const of = (q: number) => Array.from({ length: k }, (_, i) => String(rows[q * width + i]));
  return Array.from({ length: queries.length / dim }, (_, q) => of(q));
}

function recallOf(hits: BatchHits, set: DataSet): number {
  const ids = hits.ids();
  const found = Array.from(hits.counts, (count, q) => ids.slice(q * hits.k, q * hits.k + count));
  return recall(found, truth(set, hits.k));
}

const micros = ({ p50, p99, mean }: Latency): string[] => [p50, p99, mean].map((x) => x.toFixed(1));

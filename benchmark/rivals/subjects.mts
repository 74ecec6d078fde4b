/**
 * The libraries of npm that are measured, each as its documentation says that it is fastest. What a library wants
 * converted (arrays of numbers, Arrow tables, keys of 64 bits) is converted before the clock runs.
 *
 * They are loaded by name at run time and have no types here: their packages belong to this folder alone.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type * as auspexTypes from '../../index.d.ts';
import { root } from '../ready.mjs';
import type { Job } from './job.mts';

/** A data set in memory. */
export interface Data {
  base: Float32Array;
  queries: Float32Array[];
  dim: number;
  rows: number;
  metric: 'l2' | 'cosine';
}

/** A library with an index to be built. */
export interface Subject {
  version: string;
  /** Indexes all rows; its time is measured. */
  build(): unknown;
  /** Prepares searches with so many candidates; what comes back searches for the query of that number, and is measured. */
  searcher(efSearch: number): Search | Promise<Search>;
  /** The numbers of the rows of an answer, nearest first. */
  rowsOf(answer: unknown): Iterable<number | bigint | string>;
  /** Bytes of its files. */
  bytes?(): number | Promise<number>;
  close?(): unknown;
}
type Search = (query: number) => unknown;

type Task = Job & { files: string; k: number };
type Make = (data: Data, job: Task) => Promise<Subject>;

const require = createRequire(import.meta.url);

// biome-ignore lint/suspicious/noExplicitAny: these packages are not installed where types are checked
const load = (name: string): Promise<any> => import(name);

/** The version that a package says it has. */
function versionOf(name: string): string {
  const folder = require.resolve
    .paths(name)
    ?.map((parent) => join(parent, name, 'package.json'))
    .find((file) => statSync(file, { throwIfNoEntry: false }));
  return folder ? (JSON.parse(readFileSync(folder, 'utf8')) as { version: string }).version : 'unknown';
}

/** Bytes of all files below a folder. */
function bytesOf(folder: string): number {
  const names = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return names.map((name) => statSync(join(folder, name))).reduce((sum, at) => sum + (at.isFile() ? at.size : 0), 0);
}

/** Rows as arrays of numbers. */
function arrays({ base, dim, rows }: Data): number[][] {
  return Array.from({ length: rows }, (_, row) => Array.from(base.subarray(row * dim, (row + 1) * dim)));
}

const numberOf = (job: Task, name: string): number => Number(job.build[name]);

/** `batch`: rows a call, all in one without it. `folder`: on disk. */
const auspex: Make = async (data, job) => {
  const entry = job.entry ?? join(root, 'dist/index.mjs');
  const library: typeof auspexTypes = await load(pathToFileURL(entry).href);
  const { open, info } = library;
  const { batch = data.rows, folder = false, ...given } = job.build;
  const options = { dim: data.dim, metric: data.metric, threads: job.threads, ...given };
  const path = join(job.files, 'auspex');
  const ids = Array.from({ length: data.rows }, (_, row) => String(row));
  let collection: auspexTypes.LocalCollection = folder
    ? await open(path, { ...options, durability: folder === 'commit' ? 'commit' : 'relaxed' })
    : await open(options);
  return {
    version: info().version,
    async build() {
      const step = Number(batch);
      for (let from = 0; from < data.rows; from += step) {
        const to = Math.min(from + step, data.rows);
        const vectors = data.base.subarray(from * data.dim, to * data.dim);
        await collection.upsert({ ids: ids.slice(from, to), vectors });
      }
      // Searches of a folder are those of one that was closed and opened, as users meet it.
      if (!folder) return;
      await collection.close();
      collection = await open(path);
    },
    searcher: (efSearch) => {
      const options = { k: job.k, efSearch, include: { metadata: false } };
      return (query) => collection.searchSync(data.queries[query] as Float32Array, options);
    },
    rowsOf: (answer) => (answer as { id: string }[]).map(({ id }) => id),
    ...(folder && { bytes: () => bytesOf(path) }),
    close: () => collection.close(),
  };
};

const hnswlibNode: Make = async (data, job) => {
  const { default: hnswlib } = await load('hnswlib-node');
  const index = new hnswlib.HierarchicalNSW(data.metric === 'l2' ? 'l2' : 'ip', data.dim);
  const points = arrays(data);
  const asked = data.queries.map((query) => Array.from(query));
  const file = join(job.files, 'hnswlib');
  return {
    version: versionOf('hnswlib-node'),
    build() {
      const { rows: maxElements } = data;
      index.initIndex({ maxElements, m: numberOf(job, 'm'), efConstruction: numberOf(job, 'efConstruction') });
      for (const [row, point] of points.entries()) index.addPoint(point, row);
    },
    searcher(efSearch) {
      index.setEf(efSearch);
      return (query) => index.searchKnn(asked[query], job.k);
    },
    rowsOf: (answer) => (answer as { neighbors: number[] }).neighbors,
    bytes() {
      index.writeIndexSync(file);
      return bytesOf(job.files);
    },
  };
};

/** Candidates while searching are fixed when an index is made, so each point loads the file of the first. */
const usearch: Make = async (data, job) => {
  const { default: library } = await load('usearch');
  const create = (expansion: number) =>
    new library.Index({
      metric: data.metric === 'l2' ? 'l2sq' : 'ip',
      dimensions: data.dim,
      connectivity: numberOf(job, 'm'),
      quantization: job.build.quantization,
      expansion_add: numberOf(job, 'efConstruction'),
      expansion_search: expansion,
      multi: false,
    });
  let index = create(64);
  const keys = BigUint64Array.from({ length: data.rows }, (_, row) => BigInt(row));
  const file = join(job.files, 'usearch');
  return {
    version: versionOf('usearch'),
    build() {
      index.add(keys, data.base, job.threads);
      index.save(file);
    },
    searcher(efSearch) {
      index = create(efSearch);
      index.load(file);
      return (query) => index.search(data.queries[query], job.k, 1);
    },
    rowsOf: (answer) => (answer as { keys: BigUint64Array }).keys,
    bytes: () => bytesOf(job.files),
  };
};

const zvec: Make = async (data, job) => {
  const { default: library } = await load('@zvec/zvec');
  const { ZVecDataType, ZVecIndexType, ZVecMetricType, ZVecQuantizeType, ZVecLogLevel } = library;
  library.ZVecInitialize({ logLevel: ZVecLogLevel.ERROR, queryThreads: 1, optimizeThreads: job.threads });
  const quantizeType = ZVecQuantizeType[String(job.build.quantization ?? 'UNDEFINED')];
  const schema = new library.ZVecCollectionSchema({
    name: 'rows',
    vectors: {
      name: 'vector',
      dataType: ZVecDataType.VECTOR_FP32,
      dimension: data.dim,
      indexParams: {
        indexType: ZVecIndexType.HNSW,
        metricType: data.metric === 'l2' ? ZVecMetricType.L2 : ZVecMetricType.IP,
        m: numberOf(job, 'm'),
        efConstruction: numberOf(job, 'efConstruction'),
        quantizeType,
      },
    },
  });
  const path = join(job.files, 'zvec');
  const collection = library.ZVecCreateAndOpen(path, schema);
  return {
    version: versionOf('@zvec/zvec'),
    build() {
      // A call takes at most 1,024 documents.
      for (let from = 0; from < data.rows; from += 1000) {
        const documents = Array.from({ length: Math.min(1000, data.rows - from) }, (_, i) => ({
          id: String(from + i),
          vectors: { vector: data.base.subarray((from + i) * data.dim, (from + i + 1) * data.dim) },
        }));
        const failed = collection.insertSync(documents).find((status: { ok: boolean }) => !status.ok);
        if (failed) throw new Error(failed.message);
      }
      collection.optimizeSync({ concurrency: job.threads });
    },
    searcher: (ef) => {
      const rest = { fieldName: 'vector', topk: job.k, params: { indexType: ZVecIndexType.HNSW, ef } };
      return (query) => collection.querySync({ vector: data.queries[query], ...rest });
    },
    rowsOf: (answer) => (answer as { id: string }[]).map(({ id }) => id),
    bytes: () => bytesOf(path),
    close: () => collection.closeSync(),
  };
};

/** One partition, one graph; `refine` times as many rows as asked for are compared again with their floats. */
const lancedb: Make = async (data, job) => {
  const [lance, arrow] = [await load('@lancedb/lancedb'), await load('apache-arrow')];
  const type = new arrow.FixedSizeList(data.dim, new arrow.Field('item', new arrow.Float32(), true));
  const child = arrow.makeData({ type: new arrow.Float32(), data: data.base });
  const vector = new arrow.Vector([arrow.makeData({ type, length: data.rows, nullCount: 0, child })]);
  const id = arrow.makeVector(Int32Array.from({ length: data.rows }, (_, row) => row));
  const rows = new arrow.Table({ id, vector });
  const path = join(job.files, 'lancedb');
  const db = await lance.connect(path);
  // biome-ignore lint/suspicious/noExplicitAny: see above
  let table: any;
  return {
    version: versionOf('@lancedb/lancedb'),
    async build() {
      table = await db.createTable('rows', rows);
      const config = lance.Index.hnswSq({
        distanceType: data.metric === 'l2' ? 'l2' : 'dot',
        numPartitions: 1,
        m: numberOf(job, 'm'),
        efConstruction: numberOf(job, 'efConstruction'),
      });
      await table.createIndex('vector', { config });
      await table.waitForIndex(['vector_idx'], 600);
    },
    searcher: (efSearch) => {
      const refine = Number(job.build.refine ?? 0);
      return (query) => {
        const search = table.vectorSearch(data.queries[query]).nprobes(1).ef(efSearch).select(['id', '_distance']);
        return (refine ? search.refineFactor(refine) : search).limit(job.k).toArray();
      };
    },
    rowsOf: (answer) => (answer as { id: number }[]).map(({ id }) => id),
    bytes: () => bytesOf(path),
  };
};

/** Brute force. */
const sqliteVec: Make = async (data, job) => {
  const [{ default: Database }, vec] = [await load('better-sqlite3'), await load('sqlite-vec')];
  const file = join(job.files, 'vectors.db');
  const db = new Database(file);
  vec.load(db);
  db.exec(`create virtual table rows using vec0(embedding float[${data.dim}])`);
  const insert = db.prepare('insert into rows(rowid, embedding) values (?, ?)');
  const select = db.prepare(`select rowid from rows where embedding match ? and k = ${job.k} order by distance`);
  return {
    version: versionOf('sqlite-vec'),
    build() {
      db.transaction(() => {
        for (let row = 0; row < data.rows; row++) {
          insert.run(BigInt(row), data.base.subarray(row * data.dim, (row + 1) * data.dim));
        }
      })();
    },
    searcher: () => (query) => select.all(data.queries[query]),
    rowsOf: (answer) => (answer as { rowid: number }[]).map(({ rowid }) => rowid),
    bytes: () => bytesOf(job.files),
    close: () => db.close(),
  };
};

/** Brute force in JavaScript over rows read from a JSON file. */
const vectra: Make = async (data, job) => {
  const { LocalIndex } = await load('vectra');
  const points = arrays(data);
  const asked = data.queries.map((query) => Array.from(query));
  const path = join(job.files, 'vectra');
  const index = new LocalIndex(path);
  await index.createIndex();
  return {
    version: versionOf('vectra'),
    async build() {
      await index.beginUpdate();
      for (const [row, vector] of points.entries()) await index.insertItem({ id: String(row), vector, metadata: {} });
      await index.endUpdate();
    },
    searcher: () => (query) => index.queryItems(asked[query], '', job.k),
    rowsOf: (answer) => (answer as { item: { id: string } }[]).map(({ item }) => item.id),
    bytes: () => bytesOf(path),
  };
};

/** Its candidates while searching cannot be set: each point is the same 16. */
const faissNode: Make = async (data, job) => {
  const { default: faiss } = await load('faiss-node');
  const metric = data.metric === 'l2' ? faiss.MetricType.METRIC_L2 : faiss.MetricType.METRIC_INNER_PRODUCT;
  const index = faiss.Index.fromFactory(data.dim, `HNSW${numberOf(job, 'm')},Flat`, metric);
  const numbers = Array.from(data.base);
  const asked = data.queries.map((query) => Array.from(query));
  return {
    version: versionOf('faiss-node'),
    build: () => index.add(numbers),
    searcher: () => (query) => index.search(asked[query], job.k),
    rowsOf: (answer) => (answer as { labels: number[] }).labels,
    bytes() {
      index.write(join(job.files, 'faiss'));
      return bytesOf(job.files);
    },
  };
};

export const SUBJECTS: Record<string, Make> = {
  auspex,
  'auspex, in a folder': auspex,
  'hnswlib-node': hnswlibNode,
  usearch,
  '@zvec/zvec': zvec,
  '@lancedb/lancedb': lancedb,
  'sqlite-vec': sqliteVec,
  vectra,
  'faiss-node': faissNode,
};

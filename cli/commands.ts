/** What each command does. */
import { createWriteStream } from 'node:fs';
import { open as openFile, readFile, rename, rm } from 'node:fs/promises';
import { dirname, extname, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import {
  type Filter,
  type Hit,
  isAuspexError,
  type Progress as JobProgress,
  type LocalCollection,
  type Metadata,
  open,
} from 'auspex';
import { npyHeader } from './arrays.ts';
import { Negative, UsageError } from './errors.ts';
import { serve } from './explore/server.ts';
import { type Given, readFilter } from './flags.ts';
import { beside, importFiles, indexOptions, isCollection, openOptions, syncFolder } from './import.ts';
import { measure } from './measure.ts';
import { bytes, list, Progress, plain, table, whole } from './screen.ts';
import { readingOf, readQueries } from './source.ts';

type Run = (operands: string[], given: Given, signal: AbortSignal) => Promise<void>;

/** Queries of one search. */
const QUERIES = 1000;

/** Prints what a command found: text, or with --json one JSON object. */
function print(given: Given, value: object, text: string): void {
  process.stdout.write(`${given.json ? JSON.stringify(value) : text}\n`);
}

const reading = { mode: 'readonly', ifMissing: 'error' } as const;

/** Opens the collection in a folder, uses it and closes it. */
async function within(
  path: string,
  options: Parameters<typeof open>[1],
  use: (collection: LocalCollection) => Promise<void>,
) {
  const collection = await open(path, options);
  try {
    await use(collection);
  } finally {
    await collection.close();
  }
}

export const RUN: Record<string, Run> = {
  async create([path = ''], given) {
    if (given.dim === undefined) throw new UsageError('auspex create needs --dim, how many numbers a vector has');
    if (await isCollection(path)) throw new Negative(`${path} is a collection already`);
    await within(path, openOptions(given), async ({ path, dim, metric, fields }) => {
      print(given, { path, dim, metric, fields }, `Made ${path}: ${dim} numbers a vector, ${metric}`);
    });
  },

  async import([path = '', ...files], given, signal) {
    const done = await importFiles(path, files, given, signal);
    const how = `${whole(done.inserted)} added, ${whole(done.updated)} replaced`;
    print(given, done, `${done.path}: ${how}, ${whole(done.size)} rows now (${done.dim} numbers, ${done.metric})`);
  },

  async export([path = '', file], given, signal) {
    const filter = readFilter(given.filter) as Filter<Metadata> | undefined;
    const ending = file === undefined ? '' : extname(file).slice(1).toLowerCase();
    const format = given.format ?? (ending === 'ndjson' || file === undefined ? 'jsonl' : ending);
    if (format !== 'jsonl' && format !== 'npy' && format !== 'fvecs') {
      throw new UsageError(`${file} needs --format jsonl, npy or fvecs; its name ends with none of them`);
    }
    const arrays = format !== 'jsonl';
    if (arrays && file === undefined) throw new UsageError(`--format ${format} needs a FILE`);
    if (given.json && file === undefined)
      throw new UsageError('--json needs a FILE: the rows go to the standard output');
    if (arrays && given['no-vectors']) throw new UsageError('--no-vectors goes with jsonl');
    if (!arrays && given.ids !== undefined) throw new UsageError('--ids goes with npy and fvecs');
    await within(path, { ...reading, signal }, (collection) =>
      exportRows(
        collection,
        { file, format, filter, vectors: !given['no-vectors'], ids: given.ids as string | undefined },
        given,
        signal,
      ),
    );
  },

  async search([path = ''], given, signal) {
    const ways = ['vector', 'id', 'word'].filter((way) => given[way] !== undefined);
    if (ways.length !== 1) throw new UsageError('auspex search needs one of --vector, --id and --word');
    if (given.word !== undefined && given.ids === undefined)
      throw new UsageError('--word needs --ids, the file with the words');
    const filter = readFilter(given.filter) as Filter<Metadata> | undefined;
    const names = given.ids === undefined ? undefined : (await readFile(String(given.ids), 'utf8')).split(/\r?\n/);
    const number = names?.indexOf(String(given.word)) ?? -1;
    if (given.word !== undefined && number < 0)
      throw new Negative(`${JSON.stringify(given.word)} is not a line of ${given.ids}`);
    const id = given.word === undefined ? (given.id as string | undefined) : String(number);
    const asked = id === undefined ? await vectorsOf(String(given.vector), given) : undefined;
    const options = {
      ...(filter && { filter }),
      ...(given.k !== undefined && { k: Number(given.k) }),
      ...(given['ef-search'] !== undefined && { efSearch: Number(given['ef-search']) }),
      ...(given['max-distance'] !== undefined && { maxDistance: Number(given['max-distance']) }),
      exact: given.exact === true,
      signal,
    };
    await within(path, { ...reading, signal }, async (collection) => {
      const nameOf = (hit: Hit<Metadata>) => (names ? { name: names[Number(hit.id)] ?? '' } : {});
      const results = [];
      for (const [query, vector] of asked ?? [[String(given.word ?? given.id), undefined] as const]) {
        if (vector === undefined && !(await collection.has(id as string)))
          throw new Negative(`no row has the id ${JSON.stringify(id)}`);
        const hits =
          vector === undefined
            ? await collection.similar(id as string, options)
            : await collection.search(vector, options);
        const floats = vector ?? (await collection.get(id as string, { include: { vector: true } }))?.vector;
        const ran = given.explain && floats ? { explain: await collection.explain(floats, options) } : {};
        results.push({ query, hits: hits.map((hit) => ({ ...nameOf(hit), ...hit })), ...ran });
      }
      const texts = results.map(({ query, hits, explain }) => {
        const head = ['', ...(names ? ['name'] : []), 'id', 'distance', 'score', 'metadata'];
        const lines = hits.map(({ name, id, distance, score, metadata }, i) => [
          i + 1,
          ...(names ? [name ?? ''] : []),
          id,
          distance.toFixed(6),
          score.toFixed(6),
          JSON.stringify(metadata),
        ]);
        const title = results.length > 1 ? `${plain(query)}\n` : '';
        const plan = explain ? `\n\n${list(Object.entries(explain).map(([key, value]) => [key, value ?? '-']))}` : '';
        return `${title}${lines.length > 0 ? table(head, ...lines) : '  no row matches'}${plan}`;
      });
      print(given, { results }, texts.join('\n\n'));
    });
  },

  async stats([path = ''], given, signal) {
    await within(path, { ...reading, signal }, async (collection) => {
      const { dim, metric, fields, path } = collection;
      const stats = await collection.stats();
      const text = list([
        ['path', path ?? ''],
        ['rows', whole(stats.rows)],
        ['deleted', whole(stats.deleted)],
        ['numbers in a vector', dim],
        ['metric', metric],
        ['fields', declared(fields)],
        ['on disk', bytes(stats.bytes.disk)],
        ['in memory', bytes(stats.bytes.ram)],
        ['mapped', bytes(stats.bytes.mapped)],
        ['nodes on each layer', stats.layers.map(whole).join(', ') || 'no graph yet'],
        ['links a node', stats.meanDegree.toFixed(1)],
        ['built by', `m ${stats.m}, efConstruction ${stats.efConstruction}, quantization ${stats.quantization}`],
        ['efSearch', whole(stats.efSearch)],
        ['unreachable rows', whole(stats.unreachable)],
        ['notices', stats.notices.join('; ') || 'none'],
        ['library', `auspex ${stats.version}, ${stats.isa}, ${stats.threads} threads`],
      ]);
      print(given, { path, dim, metric, fields, ...stats }, text);
    });
  },

  async verify([path = ''], given, signal) {
    await within(path, { ...reading, signal }, async (collection) => {
      const progress = new Progress('Verifying', { quiet: Boolean(given.quiet) });
      const report = await collection.verify({ signal, onProgress: follow(progress) }).finally(() => progress.clear());
      const lines = report.problems.map(({ code, detail }) => `  ${code}: ${plain(detail)}`);
      const text = report.ok
        ? `${collection.path}: nothing is wrong (${whole(collection.size)} rows)`
        : lines.join('\n');
      print(given, report, text);
      if (!report.ok) throw new Negative(`${collection.path}: ${report.problems.length} problems`);
    });
  },

  async compact([path = ''], given, signal) {
    await within(path, { ifMissing: 'error', signal }, async (collection) => {
      const progress = new Progress('Compacting', { quiet: Boolean(given.quiet) });
      const { reclaimedBytes } = await collection
        .compact({ signal, onProgress: follow(progress) })
        .finally(() => progress.clear());
      print(
        given,
        { path: collection.path, reclaimedBytes },
        `${collection.path}: ${bytes(reclaimedBytes)} given back`,
      );
    });
  },

  async rebuild([path = ''], given, signal) {
    if (given['no-fields'] && given.field) throw new UsageError('--no-fields and --field exclude one another');
    const changes = indexOptions(given);
    await within(path, { ifMissing: 'error', signal }, async (collection) => {
      // Each row is copied, and then linked.
      const progress = new Progress('Rebuilding', { quiet: Boolean(given.quiet), unit: 'steps' });
      await collection.rebuild({ ...changes, signal, onProgress: follow(progress) }).finally(() => progress.clear());
      const { path, fields } = collection;
      const { rows, m, efConstruction, quantization } = await collection.stats();
      const by = `m ${m}, efConstruction ${efConstruction}, quantization ${quantization}, fields ${declared(fields)}`;
      print(given, { path, rows, m, efConstruction, quantization, fields }, `${path}: ${whole(rows)} rows, ${by}`);
    });
  },

  async tune([path = ''], given, signal) {
    if (given['target-recall'] === undefined)
      throw new UsageError('auspex tune needs --target-recall, the share of the true neighbours to find');
    const targetRecall = Number(given['target-recall']);
    const k = Number(given.k ?? 10);
    await within(path, { ifMissing: 'error', signal }, async (collection) => {
      const progress = new Progress('Searching', { quiet: Boolean(given.quiet), unit: 'searches' });
      const point = await collection
        .tune({ targetRecall, k, signal, onProgress: follow(progress) })
        .catch((error: unknown) => {
          // The command line was checked before: what is left is that no number of candidates finds so many.
          throw isAuspexError(error) && error.code === 'ERR_ARGUMENT' ? new Negative(error.message) : error;
        })
        .finally(() => progress.clear());
      const kept = (await collection.stats()).layers.length > 0;
      const text = kept
        ? `efSearch ${point.efSearch} finds ${point.recall.toFixed(3)} of the ${k} nearest, p50 ${point.p50Us.toFixed(0)} us; searches use it from now on`
        : 'there are so few rows that every search reads them all; nothing is kept';
      print(given, { path: collection.path, k, kept, ...point }, `${collection.path}: ${text}`);
    });
  },

  async bench([path = ''], given, signal) {
    const filter = readFilter(given.filter) as Filter<Metadata> | undefined;
    await within(path, { ...reading, signal }, async (collection) => {
      const progress = new Progress('Searching', { quiet: Boolean(given.quiet), unit: 'searches' });
      const how = {
        k: Number(given.k ?? 10),
        sample: Number(given.sample ?? 200),
        ...(given['ef-search'] !== undefined && { efSearch: [Number(given['ef-search'])] }),
        ...(filter && { filter }),
      };
      const found = await measure(collection, { ...how, signal, onProgress: follow(progress) }).finally(() =>
        progress.clear(),
      );
      if (found.sample === 0) throw new Negative(`${path} has no rows to search for`);
      const lines = found.points.map((at) => [
        at.efSearch,
        at.recall.toFixed(3),
        at.p50Us.toFixed(0),
        at.p99Us.toFixed(0),
      ]);
      const title = `${whole(found.sample)} rows of ${whole(collection.size)} searched for, recall@${found.k} against exact search`;
      const all = `  exact search: ${found.exactUs.toFixed(0)} us`;
      print(
        given,
        { rows: collection.size, ...found },
        [title, table(['efSearch', 'recall', 'p50 us', 'p99 us'], ...lines), all].join('\n'),
      );
    });
  },

  async explore([path = ''], given, signal) {
    await within(path, { ...reading, signal }, async (collection) => {
      const page = await serve(collection, { port: Number(given.port ?? 0) });
      try {
        print(given, { url: page.url }, `${page.url}\nOpen this address in a browser of this machine. Ctrl-C ends it.`);
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
      } finally {
        await page.close();
      }
    });
  },
};

/** Fields as text. */
const declared = (fields: LocalCollection['fields']) =>
  Object.entries(fields)
    .map(([name, type]) => `${name}: ${type}`)
    .join(', ') || 'none';

/** Shows the reports of a job. */
const follow =
  (progress: Progress) =>
  ({ done, total }: JobProgress) =>
    progress.update({ done, part: total ? done / total : undefined });

/** Queries of `--vector`: numbers in brackets, or a file of them, with a name each. */
async function vectorsOf(text: string, given: Given): Promise<(readonly [string, ArrayLike<number> & Float32Array])[]> {
  if (text.trimStart().startsWith('[')) {
    let numbers: unknown;
    try {
      numbers = JSON.parse(text);
    } catch (error) {
      throw new UsageError(`--vector is no JSON array: ${(error as Error).message}`);
    }
    if (!Array.isArray(numbers) || !numbers.every((each) => typeof each === 'number')) {
      throw new UsageError('--vector must be an array of numbers, as [0.1, 0.2], or a file');
    }
    return [['query', Float32Array.from(numbers)]];
  }
  const { ids, vectors } = await readQueries(text, { ...readingOf(given), ids: undefined }, QUERIES);
  return ids.map((id, i) => [`query ${id}`, vectors[i] as Float32Array] as const);
}

interface Exporting {
  file: string | undefined;
  format: 'jsonl' | 'npy' | 'fvecs';
  filter: Filter<Metadata> | undefined;
  vectors: boolean;
  ids: string | undefined;
}

/** Writes rows into a file beside, which takes the name when all are in it; or to the standard output. */
async function exportRows(collection: LocalCollection, how: Exporting, given: Given, signal: AbortSignal) {
  const { file, format, filter, vectors } = how;
  const total = await collection.count(filter);
  const progress = new Progress('Exporting', { quiet: Boolean(given.quiet) });
  const outputs = [file, how.ids].flatMap((name) =>
    name === undefined ? [] : [{ name: resolve(name), partial: beside(resolve(name)) }],
  );
  const [main, names] = outputs;
  let rows = 0;
  const idsOut = names && (await openFile(names.partial, 'w'));
  const ids: string[] = [];
  const writeIds = async () => {
    const some = ids.splice(0);
    await idsOut?.writeFile(some.map((id) => `${id}\n`).join(''));
  };
  async function* chunks(): AsyncGenerator<Buffer | string> {
    // Written again at the end, when it is known how many rows there are.
    if (format === 'npy') yield npyHeader(0, collection.dim);
    const include = { metadata: format === 'jsonl', vector: vectors as true };
    for await (const item of collection.items({ include, ...(filter && { filter }) })) {
      if (rows % 1000 === 0) signal.throwIfAborted();
      if (format === 'jsonl') yield `${jsonLine(item, vectors)}\n`;
      else yield* floatsOf(item.vector, format);
      if (idsOut) {
        if (/[\r\n]/.test(item.id)) {
          throw new Negative(`the id ${JSON.stringify(item.id)} has a line end: --ids cannot hold it, jsonl can`);
        }
        if (ids.push(item.id) === 1000) await writeIds();
      }
      progress.update({ done: ++rows, part: rows / Math.max(total, 1) });
    }
  }
  try {
    if (!main) {
      await pipeline(Readable.from(joined(chunks())), process.stdout, { end: false });
    } else {
      await pipeline(Readable.from(joined(chunks())), createWriteStream(main.partial));
      await writeIds();
      for (const { name, partial } of outputs) {
        const handle = await openFile(partial, 'r+');
        try {
          if (format === 'npy' && partial === main.partial)
            await handle.write(npyHeader(rows, collection.dim), 0, undefined, 0);
          await handle.sync();
        } finally {
          await handle.close();
        }
        signal.throwIfAborted();
        await rename(partial, name);
        await syncFolder(dirname(name));
      }
    }
    progress.end(rows);
  } finally {
    await idsOut?.close();
    for (const { partial } of outputs) await rm(partial, { force: true });
  }
  if (main) print(given, { file: main.name, rows, format }, `${main.name}: ${whole(rows)} rows`);
}

function jsonLine(
  { id, vector, metadata }: { id: string; vector?: Float32Array; metadata?: object },
  vectors: boolean,
): string {
  return JSON.stringify(vectors && vector ? { id, vector: Array.from(vector), metadata } : { id, metadata });
}

function* floatsOf(vector: Float32Array, format: 'npy' | 'fvecs'): Generator<Buffer> {
  if (format === 'fvecs') yield Buffer.from(Int32Array.of(vector.length).buffer);
  yield Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);
}

/** Small pieces as larger ones. */
async function* joined(pieces: AsyncIterable<Buffer | string>): AsyncGenerator<Buffer> {
  let [parts, size]: [Buffer[], number] = [[], 0];
  for await (const piece of pieces) {
    const part = typeof piece === 'string' ? Buffer.from(piece) : piece;
    parts.push(part);
    size += part.length;
    if (size < 2 ** 18) continue;
    yield Buffer.concat(parts);
    [parts, size] = [[], 0];
  }
  if (size > 0) yield Buffer.concat(parts);
}

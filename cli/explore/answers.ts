/** What the page asks about a collection, and the answers. The library judges what a question has in it. */
import type { Filter, Hit, LocalCollection, Metadata, SearchOptions } from 'auspex';
import { measure } from '../measure.ts';
import { plane } from './pca.ts';

type Question = Record<string, unknown>;
type Answer = (question: Question, signal: AbortSignal) => Promise<object>;

/** Rows of a map: at most so many, and so many floats together. */
const MAP = { rows: 2000, floats: 2 ** 21 };
/** Hits that a page can show, rows that it may search for when it measures. */
const HITS = 1000;
const SAMPLE = 1000;

/** The answers, by name. Each shows what was written until it was asked. */
export function answers(collection: LocalCollection): Record<string, Answer> {
  const fresh =
    (answer: Answer): Answer =>
    async (question, signal) => {
      await collection.refresh();
      return answer(question, signal);
    };
  const all: Record<string, Answer> = {
    async about() {
      const { path, dim, metric, fields } = collection;
      const stats = await collection.stats();
      const first = collection.items()[Symbol.asyncIterator]();
      const { value: example } = await first.next();
      await first.return?.();
      return { path, dim, metric, fields, stats, example };
    },

    /** Near a row or a vector, by words, or both; `explain` is of the nearest, where any were asked for. */
    async search({ id, vector, text, k, efSearch, exact, filter }, signal) {
      const options = given({ k: limited(k, HITS), efSearch, exact, filter }) as SearchOptions<Metadata>;
      const own = id === undefined ? undefined : await collection.get(id as string, { include: { vector: true } });
      const near = own?.vector ?? (vector as number[] | undefined);
      const begun = performance.now();
      let hits: Hit<Metadata>[];
      if (text === undefined) {
        hits =
          id === undefined
            ? await collection.search(near as number[], { ...options, signal })
            : await collection.similar(id as string, { ...options, signal });
      } else if (id === undefined && vector === undefined) {
        const { efSearch: _, exact: __, ...words } = options;
        hits = await collection.searchText(text as string, { ...words, signal });
      } else if (id !== undefined && !own) {
        // Names the id.
        hits = await collection.similar(id as string, options);
      } else {
        // A row is left out of its own hits; its rank among the nearest stays its own.
        const most = options.k ?? 10;
        const query = { vector: near as number[], text: text as string };
        const found = await collection.searchHybrid(query, {
          ...options,
          k: own && most > 0 ? most + 1 : most,
          signal,
        });
        hits = found.filter((hit) => hit.id !== own?.id).slice(0, most);
      }
      const ms = performance.now() - begun;
      // The vector's list of both has 100 rows at least.
      const listed = text === undefined ? options : { ...options, k: Math.max(options.k ?? 10, 100) };
      const explain = near && (await collection.explain(near, listed));
      return { hits, ms, explain, query: own && { id: own.id, metadata: own.metadata } };
    },

    async measure({ k, sample, filter }, signal) {
      const how = { k: limited(k, HITS) ?? 10, sample: limited(sample, SAMPLE) ?? 100 };
      const only = given({ filter }) as { filter?: Filter<Metadata> };
      const matching = await collection.count(only.filter);
      return { matching, ...(await measure(collection, { ...how, ...only, signal })) };
    },

    async map({ field, filter, rows }, signal) {
      const most = Math.min(limited(rows, MAP.rows) ?? MAP.rows, Math.floor(MAP.floats / collection.dim));
      const ids = await sampleIds(collection, most, filter as Filter<Metadata> | undefined, signal);
      const found = (await collection.get(ids, { include: { vector: true } })).flatMap((row) => (row ? [row] : []));
      const floats = new Float32Array(found.length * collection.dim);
      for (const [i, { vector }] of found.entries())
        floats.set(collection.metric === 'cosine' ? unit(vector) : vector, i * collection.dim);
      const drawn = await plane(floats, collection.dim, async () => {
        await new Promise(setImmediate);
        signal.throwIfAborted();
      });
      const coloured = (metadata: Metadata) =>
        typeof field === 'string' && Object.hasOwn(metadata, field) ? metadata[field] : null;
      return {
        ...drawn,
        ids: found.map(({ id }) => id),
        values: found.map(({ metadata }) => coloured(metadata) ?? null),
      };
    },
  };
  return Object.fromEntries(Object.entries(all).map(([name, answer]) => [name, fresh(answer)]));
}

/** A number that is not above a limit; anything else is for the library to refuse. */
const limited = (value: unknown, most: number) => (typeof value === 'number' ? Math.min(value, most) : undefined);

/** The entries that are there. */
const given = (options: object) =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/** Ids that are spread evenly over the rows, by arrival: at most so many. */
async function sampleIds(
  collection: LocalCollection,
  count: number,
  filter: Filter<Metadata> | undefined,
  signal: AbortSignal,
): Promise<string[]> {
  const rows = await collection.count(filter);
  const ids: string[] = [];
  let seen = 0;
  for await (const { id } of collection.items({ include: { metadata: false }, ...(filter && { filter }) })) {
    // The next of `count` even steps through all rows.
    if (seen * count >= ids.length * rows) ids.push(id);
    if (++seen % 10_000 === 0) signal.throwIfAborted();
    if (ids.length >= count) break;
  }
  return ids;
}

/** The direction of a vector. */
function unit(vector: Float32Array): Float32Array {
  let sum = 0;
  for (const x of vector) sum += x * x;
  const norm = Math.sqrt(sum) || 1;
  return vector.map((x) => x / norm);
}

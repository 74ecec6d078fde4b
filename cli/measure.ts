/** Recall against latency, measured on a sample of a collection's own rows. */
import type { Filter, LocalCollection, Metadata } from 'auspex';

/** Candidates held while searching, and what that gives. */
export interface Point {
  efSearch: number;
  /** The share of the true neighbours that were found. */
  recall: number;
  /** Half of the searches took at most p50, 99 of 100 at most p99, in microseconds. */
  p50: number;
  p99: number;
}

/** What was measured. */
export interface Measured {
  k: number;
  sample: number;
  points: Point[];
  /** Of the exact search, in microseconds a query, many together. */
  exact: number;
}

export const EF_SEARCH: readonly number[] = [16, 32, 64, 128, 256];

interface Options {
  k?: number | undefined;
  sample?: number | undefined;
  efSearch?: readonly number[] | undefined;
  filter?: Filter<Metadata> | undefined;
  signal?: AbortSignal | undefined;
  onProgress?: ((done: number, total: number) => void) | undefined;
}

/**
 * Ids that are spread evenly over the rows, by arrival.
 *
 * @param count at most so many
 */
export async function sampleIds(
  collection: LocalCollection,
  count: number,
  filter?: Filter<Metadata>,
  signal?: AbortSignal,
): Promise<string[]> {
  const rows = await collection.count(filter);
  const ids: string[] = [];
  let seen = 0;
  for await (const { id } of collection.items({ include: { metadata: false }, ...(filter && { filter }) })) {
    // The next of `count` even steps through all rows.
    if (seen * count >= ids.length * rows) ids.push(id);
    if (++seen % 10_000 === 0) signal?.throwIfAborted();
    if (ids.length >= count) break;
  }
  return ids;
}

/** Searches for rows of the collection, one after another, and compares what is found with exact search. */
export async function measure(collection: LocalCollection, options: Options = {}): Promise<Measured> {
  const { k = 10, sample = 200, efSearch = EF_SEARCH, filter, signal, onProgress } = options;
  const matching = filter && { filter };
  const ids = await sampleIds(collection, sample, filter, signal);
  const rows = await collection.get(ids, { include: { vector: true, metadata: false } });
  const queries = rows.flatMap((row) => (row ? [row] : []));
  const vectors = queries.map(({ vector }) => vector);
  const limit = signal && { signal };
  const begun = performance.now();
  // A row finds itself: one more is asked for, and it is left out.
  const truth =
    vectors.length === 0
      ? undefined
      : await collection.searchBatch(vectors, { k: k + 1, exact: true, ...matching, ...limit });
  const exact = (1000 * (performance.now() - begun)) / Math.max(1, vectors.length);
  const points: Point[] = [];
  let done = 0;
  for (const ef of truth ? efSearch : []) {
    const times: number[] = [];
    let [found, all] = [0, 0];
    for (const [q, { id, vector }] of queries.entries()) {
      const from = performance.now();
      const hits = collection.searchSync(vector, { k: k + 1, efSearch: ef, include: { metadata: false }, ...matching });
      times.push(1000 * (performance.now() - from));
      const count = truth?.counts[q] ?? 0;
      const known = new Set(
        Array.from({ length: count }, (_, h) => truth?.id(q, h))
          .filter((other) => other !== id)
          .slice(0, k),
      );
      all += known.size;
      found += hits.filter((hit) => hit.id !== id && known.delete(hit.id)).length;
      onProgress?.(++done, queries.length * efSearch.length);
      if (q % 50 === 49) await new Promise(setImmediate);
      signal?.throwIfAborted();
    }
    times.sort((a, b) => a - b);
    const at = (share: number) => times[Math.min(times.length - 1, Math.ceil(share * times.length) - 1)] ?? Number.NaN;
    points.push({ efSearch: ef, recall: all === 0 ? 1 : found / all, p50: at(0.5), p99: at(0.99) });
  }
  return { k, sample: queries.length, points, exact };
}

/** Recall against latency on a collection's own rows, as the library estimates it, and what the exact search takes beside. */
import type { LocalCollection, Metadata, RecallOptions, RecallPoint } from 'auspex';

/** What was measured. */
export interface Measured {
  k: number;
  /** Rows that were searched for. */
  sample: number;
  points: RecallPoint[];
  /** Microseconds of an exact search. */
  exactUs: number;
}

/** Numbers of candidates that show where recall bends. */
const EF_SEARCH: readonly number[] = [16, 32, 64, 128, 256];

/** Measures `efSearch`, each of {@link EF_SEARCH} when left out; no points where there are no rows. */
export async function measure(
  collection: LocalCollection,
  options: Omit<RecallOptions<Metadata>, 'k' | 'sample'> & { k: number; sample: number },
): Promise<Measured> {
  const { k, sample, filter, signal } = options;
  const query = await firstVector(collection);
  if (!query) return { k, sample: 0, points: [], exactUs: 0 };
  const points = await collection.estimateRecall({ efSearch: EF_SEARCH, ...options });
  const exact = { k, exact: true, ...(filter && { filter }), ...(signal && { signal }) };
  const { microseconds } = await collection.explain(query, exact);
  return { k, sample: Math.min(sample, collection.size), points, exactUs: microseconds };
}

/** The vector of the first row. */
async function firstVector(collection: LocalCollection): Promise<Float32Array | undefined> {
  for await (const { vector } of collection.items({ include: { vector: true, metadata: false } })) return vector;
  return undefined;
}

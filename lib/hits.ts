import type { Nearest, Rows } from '../crates/node/binding';
import { AuspexError } from './errors';
import type { Metric } from './types';

/** Larger is better. */
const SCORE = { cosine: (d: number) => 1 - d, dot: (d: number) => 0 - d, l2: (d: number) => 1 / (1 + d) };

/** Two words, and the numbers that they are. */
const words = new Uint32Array(2);
const float = new Float32Array(words.buffer);
const double = new Float64Array(words.buffer);

const short = (text: string, at: number) => text.charCodeAt(at) | (text.charCodeAt(at + 1) << 8);
const word = (text: string, at: number) => short(text, at) | (short(text, at + 2) << 16);

/** Hits as the addon packs them, which says how (`Nearest`). */
export function toHits(
  { count, packed, metadata, vectors }: Nearest,
  { metric, dim }: { metric: Metric; dim: number },
) {
  const parsed = metadata === undefined ? undefined : parse(metadata, count);
  const scored = packed.charCodeAt(0) === 1;
  const scores = 1 + 4 * count;
  const lengths = scores + (scored ? 8 * count : 0);
  let end = lengths + 2 * count;
  const hits: Record<string, unknown>[] = [];
  for (let i = 0; i < count; i++) {
    words[0] = word(packed, 1 + 4 * i);
    const distance = float[0] as number;
    if (scored) {
      words[0] = word(packed, scores + 8 * i);
      words[1] = word(packed, scores + 8 * i + 4);
    }
    const score = scored ? double[0] : SCORE[metric](distance);
    const start = end;
    end += short(packed, lengths + 2 * i);
    const id = packed.slice(start, end);
    const hit: Record<string, unknown> = parsed
      ? { id, distance, score, metadata: parsed[i] }
      : { id, distance, score };
    if (vectors) hit.vector = vectors.slice(i * dim, (i + 1) * dim);
    hits.push(hit);
  }
  return hits;
}

/** Rows by id or in order; undefined where there is none with an id. */
export function toRows({ ids, metadata, vectors }: Rows, dim: number): unknown[] {
  const parsed = metadata === undefined ? undefined : parse(metadata, ids.length);
  return ids.map((id, i) => {
    if (id === null) return undefined;
    const row: Record<string, unknown> = parsed ? { id, metadata: parsed[i] } : { id };
    if (vectors) row.vector = vectors.slice(i * dim, (i + 1) * dim);
    return row;
  });
}

/** So many rows' metadata. The text of a file may be anything, if somebody made its checksums right. */
function parse(text: string, rows: number): unknown[] {
  let [parsed, cause]: [unknown, unknown] = [undefined, undefined];
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    cause = error;
  }
  if (Array.isArray(parsed) && parsed.length === rows) return parsed;
  throw new AuspexError('ERR_CORRUPT', 'the log is damaged: metadata of a row are not JSON', { cause });
}

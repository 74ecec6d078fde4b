/** BM25 as it is defined, over words as ICU finds them: what searches by words are held against. */

const segmenter = new Intl.Segmenter('en', { granularity: 'word' });

/** The words of a text, in one form and in small letters. */
export function wordsOf(text: string): string[] {
  const words: string[] = [];
  for (const { segment, isWordLike } of segmenter.segment(text)) {
    if (isWordLike) words.push(segment.normalize('NFKC').toLowerCase());
  }
  return words;
}

/** Of rows and their words: how often each word is in each row. */
export class Truth {
  readonly #lengths: number[];
  readonly #postings = new Map<string, Map<number, number>>();

  constructor(rows: readonly (readonly string[])[]) {
    this.#lengths = rows.map((words) => words.length);
    rows.forEach((words, row) => {
      for (const word of words) {
        const postings = this.#postings.get(word) ?? new Map<number, number>();
        this.#postings.set(word, postings.set(row, (postings.get(row) ?? 0) + 1));
      }
    });
  }

  /** Every row that has a word of the query, best first, equal ones by arrival. */
  search(query: readonly string[]): { row: number; score: number }[] {
    const lengths = this.#lengths.filter((length) => length > 0);
    const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
    const scores = new Map<number, number>();
    for (const word of query) {
      const postings = this.#postings.get(word) ?? new Map<number, number>();
      const idf = Math.log(1 + (lengths.length - postings.size + 0.5) / (postings.size + 0.5));
      for (const [row, often] of postings) {
        const length = this.#lengths[row] as number;
        const fits = (often * 2.2) / (often + 1.2 * (0.25 + (0.75 * length) / mean));
        scores.set(row, (scores.get(row) ?? 0) + idf * fits);
      }
    }
    return [...scores].map(([row, score]) => ({ row, score })).sort((a, b) => b.score - a.score || a.row - b.row);
  }
}

/** Why hits are not the first of `truth`; undefined when they are, but for what rounding decides. */
export function differs(
  hits: readonly { id: string; score: number; distance: number }[],
  truth: readonly { row: number; score: number }[],
  k: number,
  idOf: (row: number) => string,
): string | undefined {
  if (hits.length !== Math.min(k, truth.length)) return `${hits.length} hits of ${truth.length}`;
  const of = new Map(truth.map(({ row, score }) => [idOf(row), score]));
  for (const [i, { id, score, distance }] of hits.entries()) {
    const [own = Number.NaN, best = Number.NaN] = [of.get(id), truth[i]?.score];
    const near = (other: number) => Math.abs(score - other) <= 1e-9 * other;
    if (!near(own) || !near(best)) return `hit ${i} is ${id} with ${score}, by definition ${own}, the best ${best}`;
    if (!Number.isNaN(distance)) return `hit ${i} has the distance ${distance}`;
  }
  return undefined;
}

/** The two directions in which vectors differ most. */

/** Coordinates of each row, from -1 to 1, and what part of all variance each direction has. */
export interface Plane {
  x: number[];
  y: number[];
  explained: [number, number];
}

/** Steps of the power iteration at most; a direction that moves less than this between two is found. */
const STEPS = 100;
const STILL = 1e-6;

/**
 * Principal components by power iteration (Hotelling's deflation): `w <- X^T (X w)`, where X are the centred rows, so
 * that no matrix of `dim * dim` is made. The same vectors give the same plane.
 *
 * @param vectors n rows of `dim` floats; centred in place
 * @param yieldNow called between steps
 */
export async function plane(vectors: Float32Array, dim: number, yieldNow: () => Promise<void>): Promise<Plane> {
  const n = vectors.length / dim;
  const mean = new Float64Array(dim);
  for (let at = 0; at < vectors.length; at++) mean[at % dim] = (mean[at % dim] ?? 0) + (vectors[at] ?? 0) / n;
  // Before it is squared: so no sum overflows, whatever the vectors' lengths.
  let most = 0;
  for (let at = 0; at < vectors.length; at++) {
    vectors[at] = (vectors[at] ?? 0) - (mean[at % dim] ?? 0);
    most = Math.max(most, Math.abs(vectors[at] ?? 0));
  }
  let total = 0;
  for (let at = 0; at < vectors.length && most > 0; at++) {
    vectors[at] = (vectors[at] ?? 0) / most;
    total += (vectors[at] ?? 0) ** 2;
  }
  const components: { scores: Float64Array; share: number }[] = [];
  const found: Float64Array[] = [];
  for (let c = 0; c < 2; c++) {
    let w: Float64Array = Float64Array.from({ length: dim }, (_, j) => Math.sin(1 + j * (c + 1)));
    let scores: Float64Array = new Float64Array(n);
    for (let step = 0; step < STEPS; step++) {
      for (const other of found) remove(w, other);
      if (!normalise(w)) break;
      scores = project(vectors, dim, w);
      const next = new Float64Array(dim);
      for (let i = 0, at = 0; i < n; i++) {
        const score = scores[i] ?? 0;
        for (let j = 0; j < dim; j++, at++) next[j] = (next[j] ?? 0) + score * (vectors[at] ?? 0);
      }
      for (const other of found) remove(next, other);
      if (!normalise(next)) break;
      const moved = 1 - Math.abs(dot(w, next));
      w = next;
      await yieldNow();
      if (moved < STILL) break;
    }
    scores = project(vectors, dim, w);
    found.push(w);
    components.push({ scores, share: total > 0 ? dot(scores, scores) / total : 0 });
  }
  const [first, second] = components.map(({ scores }) => scaled(scores));
  return { x: first ?? [], y: second ?? [], explained: [components[0]?.share ?? 0, components[1]?.share ?? 0] };
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let j = 0; j < a.length; j++) sum += (a[j] ?? 0) * (b[j] ?? 0);
  return sum;
}

function remove(from: Float64Array, direction: Float64Array): void {
  const part = dot(from, direction);
  for (let j = 0; j < from.length; j++) from[j] = (from[j] ?? 0) - part * (direction[j] ?? 0);
}

/** To length 1; false where there is nothing left of it. */
function normalise(w: Float64Array): boolean {
  const length = Math.sqrt(dot(w, w));
  if (!(length > 1e-12)) return false;
  for (let j = 0; j < w.length; j++) w[j] = (w[j] ?? 0) / length;
  return true;
}

function project(vectors: Float32Array, dim: number, w: Float64Array): Float64Array {
  const scores = new Float64Array(vectors.length / dim);
  for (let i = 0, at = 0; i < scores.length; i++) {
    let sum = 0;
    for (let j = 0; j < dim; j++, at++) sum += (vectors[at] ?? 0) * (w[j] ?? 0);
    scores[i] = sum;
  }
  return scores;
}

function scaled(scores: Float64Array): number[] {
  const most = scores.reduce((max, score) => Math.max(max, Math.abs(score)), 0);
  return Array.from(scores, (score) => (most > 0 ? Number((score / most).toFixed(4)) : 0));
}

/**
 * `npm run demo`: reads 341,479 word vectors, indexes them, compares what the index finds with the exact scan, and
 * prints the neighbours of words. Figures go to stdout, progress to stderr.
 */
import { type Batch, type LocalCollection, type Metadata, open } from 'auspex';
import { gather, readWords, sample, type Words } from './data.mts';
import { near } from './flags.mjs';
import { machine } from './machine.mts';
import { memory, recall, round, type Time, timed } from './meter.mts';
import { Progress, table, whole } from './screen.mts';

interface Flags {
  word?: string[];
  k?: number;
  json?: boolean;
}

const WORDS = ['king', 'jazz', 'physics', 'coffee', 'monday'];
const EF_SEARCH = [16, 32, 64, 128, 200, 256, 320];
const QUERIES = 1000;
const SEED = 7n;
const K = 10;
/** The rows of a batch, as a user's stream may bring them. */
const BATCH = 10_000;

type Phase = 'read' | 'index' | 'exact' | 'search' | 'neighbours';

/** Recall at one setting, and the time a query takes when many are searched together. */
interface Point {
  efSearch: number;
  recallAt10: number;
  cpuMicroseconds: number;
}

/** Runs the demo. A word that is not in the set ends it with exit code 1. */
export async function main({ word: asked = WORDS, k = K, json = false }: Flags): Promise<void> {
  const phases = {} as Record<Phase, Time>;
  const phase = async <T,>(name: Phase, work: () => Promise<T>): Promise<T> => {
    const { result, ...time } = await timed(work);
    phases[name] = time;
    return result;
  };
  const host = machine();
  if (!json) console.log(`auspex ${host.version}, ${host.isa}, ${host.threads} threads, Node.js ${host.node}\n`);

  const reading = new Progress('Reading words');
  const set = await phase('read', () => readWords((done, total) => reading.update(done, total)));
  const rows = set.words.length;
  reading.end(rows);
  if (missing(asked, set.words, json)) return;
  const checks = { repeatedWords: rows - new Set(set.words).size, zeroVectors: zeros(set) };

  const drawn = sample(QUERIES, rows, SEED);
  const words = drawn.map((row) => set.words[row] as string);
  const queries = gather(set.vectors, set.dim, drawn);

  const collection = await open({ dim: set.dim });
  const indexing = new Progress('Indexing');
  const onProgress = ({ done }: { done: number }) => indexing.update(done, rows);
  const loaded = await phase('index', () => collection.load(batches(set), { onProgress }));
  indexing.end(loaded);
  set.vectors = new Float32Array();
  const stats = await collection.stats();
  const used = { ...memory(), collection: stats.bytes.ram, vectors: rows * set.dim * 4 };

  const neighboursOf = (options: { exact?: boolean; efSearch?: number }) => others(collection, queries, words, options);
  process.stderr.write(`Comparing ${whole(QUERIES)} words with every row ...\n`);
  const truth = await phase('exact', () => neighboursOf({ exact: true }));
  const curve: Point[] = [];
  const recallAt10 = await phase('search', async () => {
    for (const efSearch of EF_SEARCH) {
      const { result, cpuMs } = await timed(() => neighboursOf({ efSearch }));
      const cpuMicroseconds = round((1000 * cpuMs) / QUERIES, 1);
      curve.push({ efSearch, recallAt10: recall(result, truth), cpuMicroseconds });
    }
    return recall(await neighboursOf({}), truth);
  });

  const found = await phase('neighbours', () =>
    Promise.all(
      asked.map(async (word) => {
        const hits = await collection.similar(word, { k, include: { metadata: false } });
        return [word, hits.map(({ id, distance }) => ({ word: id, distance: round(distance, 6) }))] as const;
      }),
    ),
  );
  await collection.close();

  const report = {
    ...host,
    rows: stats.rows,
    recallAt10,
    curve,
    phases,
    rowsPerCpuSecond: Math.round((1000 * loaded) / phases.index.cpuMs),
    rowsPerSecond: Math.round((1000 * loaded) / phases.index.ms),
    memory: { ...used, peakRss: memory().peakRss },
    neighbours: Object.fromEntries(found),
    options: { dim: set.dim, metric: collection.metric },
    sample: { queries: QUERIES, k: K, seed: Number(SEED) },
    checks,
  };
  console.log(json ? JSON.stringify(report) : text(report));
}

/** The set as batches of columns. */
function* batches({ words, dim, vectors }: Words): Generator<Batch<Metadata>> {
  for (let from = 0; from < words.length; from += BATCH) {
    const ids = words.slice(from, from + BATCH);
    yield { ids, vectors: vectors.subarray(from * dim, (from + ids.length) * dim) };
  }
}

/** The ten nearest other words of each query: one more is asked for, and the word itself left out. */
async function others(
  collection: LocalCollection,
  queries: Float32Array,
  words: readonly string[],
  options: { exact?: boolean; efSearch?: number },
): Promise<string[][]> {
  const hits = await collection.searchBatch(queries, { ...options, k: K + 1 });
  const ids = hits.ids();
  return words.map((word, q) => {
    const found = ids.slice(q * hits.k, q * hits.k + (hits.counts[q] ?? 0));
    return found.filter((id) => id !== word).slice(0, K);
  });
}

/** Rows that have no direction: the cosine of nothing with them is defined. */
function zeros({ words, dim, vectors }: Words): number {
  return words.filter((_, i) => vectors.subarray(i * dim, (i + 1) * dim).every((x) => x === 0)).length;
}

/** Whether a word that was asked for is not there; says so, with those of similar spelling. */
function missing(asked: readonly string[], words: readonly string[], json: boolean): boolean {
  const known = new Set(words);
  const unknown = asked.filter((word) => !known.has(word));
  const answers = unknown.map((word) => ({
    word,
    near: near(word, words, 5, Math.max(2, Math.floor(word.length / 3))),
  }));
  for (const { word, near } of answers) {
    const hint = near.length > 0 ? `Near spellings: ${near.join(', ')}` : 'No spelling is near.';
    process.stderr.write(`${JSON.stringify(word)} is not among the ${whole(words.length)} words. ${hint}\n`);
  }
  if (unknown.length === 0) return false;
  if (json) console.log(JSON.stringify({ error: 'unknown word', unknown: answers }));
  process.exitCode = 1;
  return true;
}

type Report = {
  rows: number;
  recallAt10: number;
  curve: Point[];
  phases: Record<Phase, Time>;
  rowsPerCpuSecond: number;
  rowsPerSecond: number;
  memory: Record<'rss' | 'peakRss' | 'collection' | 'vectors', number>;
  neighbours: Record<string, { word: string; distance: number }[]>;
  options: { dim: number; metric: string };
  checks: { repeatedWords: number; zeroVectors: number };
};

const TITLES: Record<Phase, string> = {
  read: 'read the package',
  index: 'index',
  exact: `exact scan, ${whole(QUERIES)} words`,
  search: `search, ${EF_SEARCH.length + 1} x ${whole(QUERIES)} words`,
  neighbours: 'neighbours below',
};

/** The report for people. */
function text({ rows, recallAt10, curve, phases, memory, neighbours, options, checks, ...rates }: Report): string {
  const seconds = (ms: number) => (ms / 1000).toFixed(2);
  const times = Object.entries(phases).map(([name, time]) => [
    TITLES[name as Phase],
    seconds(time.ms),
    seconds(time.cpuMs),
  ]);
  const found = Object.entries(neighbours).map(([word, hits]) => [
    word,
    ...hits.map((hit) => `${hit.distance.toFixed(3)} ${hit.word}`),
  ]);
  return [
    `${whole(rows)} words of ${options.dim} numbers, ${options.metric}, default options`,
    `  repeated words: ${checks.repeatedWords}; vectors of zeros: ${checks.zeroVectors}`,
    `  ${whole(rates.rowsPerSecond)} rows a second, ${whole(rates.rowsPerCpuSecond)} a second of CPU`,
    `\nrecall@10 against the exact scan: ${recallAt10.toFixed(3)} at default options`,
    table(
      ['efSearch', 'recall@10', 'CPU us a query'],
      ...curve.map((at) => [at.efSearch, at.recallAt10.toFixed(3), at.cpuMicroseconds.toFixed(0)]),
    ),
    '\nNearest words, with their distance',
    columns(found),
    '\nTime in seconds',
    table(['', 'wall', 'CPU'], ...times),
    '\nMemory',
    table(
      ['', 'MB'],
      ['vectors as they are', whole(memory.vectors / 1e6)],
      ['the collection', whole(memory.collection / 1e6)],
      ['the process, indexed', whole(memory.rss / 1e6)],
      ['the process at most', whole(memory.peakRss / 1e6)],
    ),
  ].join('\n');
}

/** Lists side by side, as many as the terminal is wide. */
function columns(lists: readonly (readonly string[])[]): string {
  const width = 2 + Math.max(...lists.flat().map((cell) => cell.length));
  const fit = Math.max(1, Math.floor(((process.stdout.columns || 100) - 2) / width));
  const blocks: string[] = [];
  for (let from = 0; from < lists.length; from += fit) {
    const block = lists.slice(from, from + fit);
    const longest = Math.max(...block.map((list) => list.length));
    const lines = Array.from({ length: longest }, (_, i) =>
      block.map((list) => (list[i] ?? '').padEnd(width)).join(''),
    );
    blocks.push(lines.map((line) => `  ${line.trimEnd()}`).join('\n'));
  }
  return blocks.join('\n\n');
}

/** The libraries that are compared, with the small grid that each is given: the best of it counts. */
import type { Build } from './job.mts';

export interface Rival {
  name: string;
  language: 'javascript' | 'python';
  /** As requirements.txt names it. */
  package?: string;
  builds: Build[];
  /** Where it cannot be chosen, or changes nothing. */
  efSearch?: number[];
  /** Read at most, for what would take too long. */
  rows?: number;
  /** The only metric that it has. */
  only?: 'l2' | 'cosine';
  /** Built by `--quick` too, with the first build. */
  quick?: boolean;
}

const m = 16;
const grid = [40, 100].map((efConstruction) => ({ m, efConstruction }));

/** Ours come first; `ours` tells them apart. */
export const RIVALS: readonly Rival[] = [
  {
    name: 'auspex',
    language: 'javascript',
    builds: [{ m }, { m, quantization: 'sq4' }, { m, batch: 10_000 }, { m: 24 }],
    quick: true,
  },
  { name: 'auspex, in a folder', language: 'javascript', builds: [{ m, folder: 'commit', batch: 10_000 }] },
  { name: 'hnswlib-node', language: 'javascript', builds: grid, quick: true },
  {
    name: 'usearch',
    language: 'javascript',
    builds: [...quantized('f16'), ...quantized('f32')],
    quick: true,
  },
  {
    name: '@zvec/zvec',
    language: 'javascript',
    builds: [
      { m, efConstruction: 40 },
      { m, efConstruction: 100 },
      { m, efConstruction: 100, quantization: 'FP16' },
    ],
    quick: true,
  },
  {
    name: '@lancedb/lancedb',
    language: 'javascript',
    builds: [
      { m, efConstruction: 40 },
      { m: 20, efConstruction: 150, refine: 3 },
    ],
    // Not less than the candidates that are refined, three times ten.
    efSearch: [32, 64, 128, 256, 400],
  },
  { name: 'sqlite-vec', language: 'javascript', builds: [{}], efSearch: [0], quick: true },
  { name: 'vectra', language: 'javascript', builds: [{}], efSearch: [0], rows: 5000, only: 'cosine' },
  { name: 'faiss-node', language: 'javascript', builds: [{ m }], efSearch: [16] },
  { name: 'hnswlib', language: 'python', package: 'hnswlib', builds: grid },
  { name: 'faiss', language: 'python', package: 'faiss-cpu', builds: grid },
  { name: 'usearch (Python)', language: 'python', package: 'usearch', builds: quantized('f16') },
  {
    name: 'pyglass',
    language: 'python',
    package: 'pyglass-portable',
    builds: [40, 100].map((efConstruction) => ({ m, efConstruction, quantization: 'SQ8U' })),
  },
  { name: 'chromadb', language: 'python', package: 'chromadb', builds: [{ m, efConstruction: 100 }] },
  {
    name: 'qdrant-edge',
    language: 'python',
    package: 'qdrant-edge-py',
    builds: [{ m, efConstruction: 100 }],
  },
];

/** Whether it is this library, and not one that it is compared with. */
export const ours = (name: string): boolean => name.startsWith('auspex');

/** Candidates while searching, each about 1.4 times the one before. */
export const EF_SEARCH = [10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 900];
export const EF_SEARCH_QUICK = [16, 32, 64, 128, 256];

/** A build in words. */
export function labelOf(build: Build): string {
  const words: Record<string, (value: Build[string]) => string> = {
    m: (value) => `m ${value}`,
    efConstruction: (value) => `efConstruction ${value}`,
    batch: (value) => `by ${Number(value).toLocaleString('en-US')}`,
    folder: (value) => `durability ${value}`,
    refine: (value) => `refine ${value}`,
    quantization: String,
  };
  return Object.entries(build)
    .map(([key, value]) => (words[key] ?? ((it) => `${key} ${it}`))(value))
    .join(', ');
}

function quantized(quantization: string): Build[] {
  return grid.map((build) => ({ ...build, quantization }));
}

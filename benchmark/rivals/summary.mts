/** What many outcomes come to: the best of the rounds, the figures at a recall, and who is ahead of whom. */

import { labelOf, ours } from './grid.mts';
import type { Build, Outcome, Point } from './job.mts';

/** All outcomes of one library with one build on one set, or why there are none. */
export interface Measured {
  set: string;
  rival: string;
  build: Build;
  /** Rows and bytes of floats that were indexed. */
  rows: number;
  floats: number;
  outcomes: Outcome[];
  error?: string;
}

/** The figures of one library with one build on one set. */
export interface Line {
  set: string;
  rival: string;
  version: string;
  build: string;
  rows: number;
  floats: number;
  rowsPerCpuSecond: number;
  rowsPerSecond: number;
  /** Bytes of the process and of files, by those of the floats. */
  memory?: number;
  file?: number;
  points: Point[];
  /** The fastest point with a recall of at least that much. */
  at95?: Point;
  at99?: Point;
}

/** The best of all rounds, each figure by itself: on a shared machine the rest of it is noise. Recalls are the mean. */
export function line({ set, rival, build, rows, floats, outcomes }: Measured): Line | undefined {
  const [first] = outcomes;
  if (!first) return undefined;
  const least = (of: (outcome: Outcome) => number) => Math.min(...outcomes.map(of));
  const points = first.points.flatMap(({ efSearch }): Point[] => {
    const same = outcomes.flatMap((outcome) => outcome.points.filter((point) => point.efSearch === efSearch));
    if (same.length < outcomes.length) return [];
    const best = (of: (point: Point) => number) => Math.min(...same.map(of));
    return [
      {
        efSearch,
        recall: same.reduce((sum, { recall }) => sum + recall, 0) / same.length,
        p50: best(({ p50 }) => p50),
        p99: best(({ p99 }) => p99),
        mean: best(({ mean }) => mean),
        cpuMicroseconds: best(({ cpuMicroseconds }) => cpuMicroseconds),
      },
    ];
  });
  const at = (recall: number) =>
    points
      .filter((point) => point.recall >= recall)
      .reduce<Point | undefined>((a, b) => (a && a.cpuMicroseconds <= b.cpuMicroseconds ? a : b), undefined);
  const [at95, at99] = [at(0.95), at(0.99)];
  return {
    set,
    rival,
    version: first.version,
    build: labelOf(build),
    rows,
    floats,
    rowsPerCpuSecond: Math.round((1000 * rows) / least(({ build }) => build.cpuMs)),
    rowsPerSecond: Math.round((1000 * rows) / least(({ build }) => build.ms)),
    ...(first.rss !== undefined && { memory: least(({ rss }) => rss ?? 0) / floats }),
    ...(first.bytes !== undefined && { file: first.bytes / floats }),
    points,
    ...(at95 && { at95 }),
    ...(at99 && { at99 }),
  };
}

/** The line that searches fastest at 0.95, or finds most where none gets there. */
export function bestOf(lines: readonly Line[]): Line | undefined {
  const most = ({ points }: Line) => Math.max(...points.map(({ recall }) => recall));
  return [...lines].sort(
    (a, b) =>
      (a.at95?.cpuMicroseconds ?? Number.POSITIVE_INFINITY) - (b.at95?.cpuMicroseconds ?? Number.POSITIVE_INFINITY) ||
      most(b) - most(a),
  )[0];
}

/** Each library's own best, and beside it the build that takes least time of those that reach 0.95; best first. */
export function bests(lines: readonly Line[]): Line[] {
  const names = [...new Set(lines.map(({ rival }) => rival))];
  const kept = names.flatMap((name) => {
    const own = lines.filter(({ rival }) => rival === name);
    const quickest = own.filter(({ at95 }) => at95).sort((a, b) => b.rowsPerCpuSecond - a.rowsPerCpuSecond)[0];
    return [...new Set([bestOf(own), quickest])].filter((it) => it !== undefined);
  });
  const time = ({ at95 }: Line) => at95?.cpuMicroseconds ?? Number.POSITIVE_INFINITY;
  return kept.sort((a, b) => time(a) - time(b));
}

interface Figure {
  what: string;
  of: (line: Line) => number | undefined;
  more: boolean;
  text: (value: number) => string;
}

const FIGURES: readonly Figure[] = [
  { what: 'search at recall 0.95', of: ({ at95 }) => at95?.cpuMicroseconds, more: false, text: micros },
  { what: 'search at recall 0.99', of: ({ at99 }) => at99?.cpuMicroseconds, more: false, text: micros },
  { what: 'p99 at recall 0.95', of: ({ at95 }) => at95?.p99, more: false, text: micros },
  {
    what: 'build of an index that reaches 0.95',
    // Brute force builds none.
    of: ({ at95, rowsPerCpuSecond }) => (at95?.efSearch ? rowsPerCpuSecond : undefined),
    more: true,
    text: (value) => `${Math.round(value).toLocaleString('en-US')} rows a second of CPU`,
  },
  { what: 'memory', of: ({ memory }) => memory, more: false, text: (value) => `${value.toFixed(2)} of the floats` },
  { what: 'files', of: ({ file }) => file, more: false, text: (value) => `${value.toFixed(2)} of the floats` },
];

function micros(value: number): string {
  return `${value.toFixed(value < 100 ? 1 : 0)} us`;
}

/** What others do better than the best of ours on one set, in words. Only who indexed as many rows is compared. */
export function losses(lines: readonly Line[]): string[] {
  if (!lines.some(({ rival }) => ours(rival))) return [];
  const rows = Math.max(...lines.map((at) => at.rows));
  const same = lines.filter((at) => at.rows === rows);
  return FIGURES.flatMap(({ what, of, more, text }) => {
    const best = (some: readonly Line[]) =>
      some
        .filter((at) => of(at) !== undefined)
        .sort((a, b) => (more ? -1 : 1) * ((of(a) as number) - (of(b) as number)))[0];
    const mine = best(same.filter(({ rival }) => ours(rival)));
    const limit = mine && (of(mine) as number);
    // Who was not asked to write files is behind nobody in them.
    if (limit === undefined && what === 'files') return [];
    const names = [...new Set(same.filter(({ rival }) => !ours(rival)).map(({ rival }) => rival))];
    const ahead = names.flatMap((name) => {
      const theirs = best(same.filter(({ rival }) => rival === name));
      const value = theirs && (of(theirs) as number);
      if (value === undefined || (limit !== undefined && (more ? value <= limit : value >= limit))) return [];
      return [`${name} ${text(value)}`];
    });
    return ahead.length > 0
      ? [`${what}: ${ahead.join(', ')}; auspex ${limit ? text(limit) : 'does not get there'}`]
      : [];
  });
}

/** The lines as cells, with the column's names first. */
export function cells(lines: readonly Line[]): string[][] {
  const whole = (x: number) => Math.round(x).toLocaleString('en-US');
  const time = (point?: Point) =>
    point ? `${micros(point.cpuMicroseconds).slice(0, -3)} (${point.efSearch || 'all'})` : '-';
  const rows = Math.max(...lines.map((at) => at.rows));
  return [
    [
      'library',
      'built with',
      'rows/s of CPU',
      'us at 0.95 (efSearch)',
      'at 0.99',
      'p50 / p99 at 0.95',
      'memory',
      'files',
    ],
    ...lines.map((at) => [
      `${at.rival} ${at.version}${at.rows < rows ? ` (${whole(at.rows)} rows)` : ''}`,
      at.build || '-',
      whole(at.rowsPerCpuSecond),
      time(at.at95),
      time(at.at99),
      at.at95 ? `${at.at95.p50.toFixed(0)} / ${at.at95.p99.toFixed(0)}` : '-',
      at.memory === undefined ? '-' : at.memory.toFixed(2),
      at.file === undefined ? '-' : at.file.toFixed(2),
    ]),
  ];
}

/** Cells as Markdown. */
export function markdown([head = [], ...body]: readonly (readonly string[])[]): string {
  const row = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [row(head), row(head.map(() => '---')), ...body.map(row)].join('\n');
}

/** What people read: a progress bar on stderr, tables, numbers. */

/** Shown again at most so often, in milliseconds: on a terminal, and as lines of a log, which each bring so much news. */
const INTERVAL = { terminal: 100, log: 2000 };
const NEWS = 0.05;
const WIDTH = 24;
/** The rate is that of the last so many milliseconds: rows come more slowly as a graph grows. */
const WINDOW = 4000;

/** How far work has come: what is counted, and of the whole the part that is done, from 0 to 1, where it is known. */
export interface Step {
  done: number;
  part: number | undefined;
}

/** A bar on a terminal; elsewhere a line now and then. */
export class Progress {
  readonly #label: string;
  readonly #unit: string;
  readonly #quiet: boolean;
  readonly #begun = performance.now();
  #shown = { at: performance.now() - INTERVAL.terminal, part: 0 };
  /** Reports of the window, oldest first. */
  readonly #reports: { at: number; done: number; part: number }[] = [{ at: performance.now(), done: 0, part: 0 }];

  constructor(label: string, { quiet = false, unit = 'rows' } = {}) {
    this.#label = label;
    this.#unit = unit;
    this.#quiet = quiet;
  }

  /** Says how far it has come. */
  update({ done, part }: Step): void {
    if (this.#quiet) return;
    const now = performance.now();
    const reports = this.#reports;
    if (done > (reports.at(-1)?.done ?? 0)) reports.push({ at: now, done, part: part ?? 0 });
    while (reports.length > 2 && now - (reports[1]?.at ?? now) > WINDOW) reports.shift();
    const terminal = process.stderr.isTTY;
    const since = now - this.#shown.at;
    if (since < (terminal ? INTERVAL.terminal : INTERVAL.log)) return;
    if (!terminal && part !== undefined && part < this.#shown.part + NEWS && since < 15 * INTERVAL.log) return;
    this.#shown = { at: now, part: part ?? 0 };
    const counted = `${whole(done)} ${this.#unit}${this.#speed(part)}`;
    const end = terminal ? '' : '\n';
    const full = Math.min(WIDTH, Math.floor(WIDTH * (part ?? 0)));
    const bar = terminal ? ` ${'█'.repeat(full)}${'░'.repeat(WIDTH - full)}` : '';
    const percent = `${Math.min(100, Math.floor(100 * (part ?? 0)))}%`.padStart(4);
    this.#write(`${this.#label}${part === undefined ? '' : bar + percent}  ${counted}${end}`);
  }

  #speed(part: number | undefined): string {
    const [oldest, newest] = [this.#reports[0], this.#reports.at(-1)];
    if (!oldest || !newest || newest.at <= oldest.at) return '';
    const ms = newest.at - oldest.at;
    const rate = `, ${whole((1000 * (newest.done - oldest.done)) / ms)} ${this.#unit}/s`;
    const pace = (newest.part - oldest.part) / ms;
    return part === undefined || pace <= 0 ? rate : `${rate}, ${time((1 - part) / pace)} left`;
  }

  /** Replaces the bar with a closing line. */
  end(done: number): void {
    if (this.#quiet) return;
    const ms = performance.now() - this.#begun;
    const rate = `${whole((1000 * done) / Math.max(ms, 1))} ${this.#unit}/s`;
    this.#write(`${this.#label}: ${whole(done)} ${this.#unit} in ${(ms / 1000).toFixed(1)} s, ${rate}\n`);
  }

  /** Takes the bar away. */
  clear(): void {
    if (!this.#quiet && process.stderr.isTTY) process.stderr.write('\r\x1b[K');
  }

  /** On a terminal in place of the line before, and no wider than it can be replaced. */
  #write(line: string): void {
    const { isTTY, columns } = process.stderr;
    process.stderr.write(isTTY ? `\r\x1b[K${line.endsWith('\n') ? line : line.slice(0, (columns || 80) - 1)}` : line);
  }
}

/** A time that people can read, from milliseconds. */
export function time(ms: number): string {
  const seconds = Math.ceil(ms / 1000);
  if (seconds < 100) return `${seconds} s`;
  return seconds < 6000 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A table: the first line names the columns; numbers stand at the right; on a terminal no wider than it is. */
export function table(...lines: readonly (readonly (string | number)[])[]): string {
  const cells = lines.map((line) => line.map((cell) => plain(String(cell))));
  const columns = Math.max(...cells.map((line) => line.length));
  const width = Array.from({ length: columns }, (_, j) => Math.max(...cells.map((line) => line[j]?.length ?? 0)));
  const numeric = width.map((_, j) => cells.slice(1).every((line) => /^[-+\d.,% ]*$/.test(line[j] ?? '')));
  const pad = (cell: string, j: number) => (numeric[j] ? cell.padStart(width[j] ?? 0) : cell.padEnd(width[j] ?? 0));
  const { isTTY, columns: room } = process.stdout;
  const cut = (line: string) => (isTTY && line.length > room ? `${line.slice(0, room - 1)}…` : line);
  return cells.map((line) => cut(`  ${line.map(pad).join('  ').trimEnd()}`)).join('\n');
}

/** Names and what they have, one a line. */
export function list(entries: readonly (readonly [string, string | number])[]): string {
  const width = Math.max(...entries.map(([name]) => name.length));
  return entries.map(([name, value]) => `  ${name.padEnd(width)}  ${plain(String(value))}`).join('\n');
}

/** Text of a collection's in which nothing moves the cursor or changes colours. */
export function plain(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A whole number with its thousands apart. */
export const whole = (x: number): string => Math.round(x).toLocaleString('en-US');

/** Bytes in a unit that people can read. */
export function bytes(x: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB', 'TB'];
  const step = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(x, 1)) / 3));
  return `${step === 0 ? x : (x / 1000 ** step).toFixed(1)} ${units[step]}`;
}

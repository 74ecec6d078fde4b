/** What people read: a progress bar on stderr, tables, numbers. */

/** Shown again at most so often, in milliseconds: on a terminal, and as lines of a log, which each bring so much news. */
const INTERVAL = { terminal: 100, log: 2000 };
const NEWS = 0.05;
const WIDTH = 24;
/** The rate is that of the last so many milliseconds: rows come more slowly as a graph grows. */
const WINDOW = 4000;

/** A bar on a terminal; elsewhere a line now and then. */
export class Progress {
  readonly #label: string;
  readonly #begun = performance.now();
  #shown = { at: 0, done: 0 };
  /** Reports of the window, oldest first. */
  readonly #reports = [{ at: performance.now(), done: 0 }];

  constructor(label: string) {
    this.#label = label;
  }

  /** Says how many of how many rows are done. */
  update(done: number, total: number): void {
    const now = performance.now();
    const reports = this.#reports;
    if (done > (reports.at(-1)?.done ?? 0)) reports.push({ at: now, done });
    while (reports.length > 2 && now - (reports[1]?.at ?? now) > WINDOW) reports.shift();
    const [interval, news] = process.stderr.isTTY ? [INTERVAL.terminal, 0] : [INTERVAL.log, NEWS * total];
    if (now - this.#shown.at < interval || done < this.#shown.done + news) return;
    this.#shown = { at: now, done };
    const [oldest, newest] = [reports[0], reports.at(-1)];
    const rate = oldest && newest && newest.at > oldest.at ? (newest.done - oldest.done) / (newest.at - oldest.at) : 0;
    const speed = rate > 0 ? `, ${whole(1000 * rate)} rows/s, ${Math.ceil((total - done) / rate / 1000)} s left` : '';
    const rows = `${whole(done)} of ${whole(total)}${speed}`;
    const percent = `${Math.floor((100 * done) / total)}%`.padStart(4);
    const full = Math.floor((WIDTH * done) / total);
    const bar = `${'█'.repeat(full)}${'░'.repeat(WIDTH - full)}`;
    this.#write(
      process.stderr.isTTY ? `${this.#label} ${bar}${percent}  ${rows}` : `${this.#label}${percent}  ${rows}\n`,
    );
  }

  /** Replaces the bar with a closing line. */
  end(rows: number): void {
    const seconds = (performance.now() - this.#begun) / 1000;
    this.#write(`${this.#label}: ${whole(rows)} in ${seconds.toFixed(1)} s, ${whole(rows / seconds)} rows/s\n`);
  }

  /** On a terminal in place of the line before, and no wider than it can be replaced. */
  #write(line: string): void {
    const { isTTY, columns } = process.stderr;
    process.stderr.write(isTTY ? `\r\x1b[K${line.endsWith('\n') ? line : line.slice(0, (columns || 80) - 1)}` : line);
  }
}

/** A table: the first line names the columns; numbers stand at the right. */
export function table(...lines: readonly (readonly (string | number)[])[]): string {
  const cells = lines.map((line) => line.map(String));
  const columns = Math.max(...cells.map((line) => line.length));
  const width = Array.from({ length: columns }, (_, j) => Math.max(...cells.map((line) => line[j]?.length ?? 0)));
  const numeric = width.map((_, j) => cells.slice(1).every((line) => /^[-+\d.,% ]*$/.test(line[j] ?? '')));
  const pad = (cell: string, j: number) => (numeric[j] ? cell.padStart(width[j] ?? 0) : cell.padEnd(width[j] ?? 0));
  return cells.map((line) => `  ${line.map(pad).join('  ').trimEnd()}`).join('\n');
}

/** A whole number with its thousands apart. */
export const whole = (x: number): string => Math.round(x).toLocaleString('en-US');

import type { Token } from '../crates/node/binding';
import { cancellable } from './native';
import { onAbort } from './signal';
import type { JobOptions } from './types';

/** At most ten reports in any second, the last one included. */
const INTERVAL_MS = 112;

/** So many of libuv's threads may be busy with writes and jobs, whatever the number of collections; and who waits. */
let free = 2;
const line: (() => void)[] = [];

/** Runs what keeps one of libuv's threads busy, when one of ours is free. */
export async function inLine<T>(run: () => Promise<T>): Promise<T> {
  if (free > 0) free--;
  else await new Promise<void>((go) => line.push(go));
  try {
    return await run();
  } finally {
    (line.shift() ?? (() => free++))();
  }
}

/** Jobs go one at a time, so that they never take all that writes wait for. */
let turn: Promise<void> = Promise.resolve();

/** Runs one that may take minutes, with a signal and reports. One that waits for its turn goes when its signal aborts. */
export async function job<T>(phase: string, options: JobOptions, run: (token: Token) => Promise<T>): Promise<T> {
  const { signal } = options;
  signal?.throwIfAborted();
  const before = turn;
  let leave = () => {};
  turn = new Promise<void>((go) => {
    leave = go;
  }).then(() => before);
  let report: ReturnType<typeof reporter> = () => undefined;
  try {
    await new Promise<void>((go) => {
      const off = onAbort(signal, go);
      before.then(go).finally(off);
    });
    const begin = (token: Token) => {
      report = reporter(options, phase, () => [token.done, token.total || undefined]);
      return inLine(() => run(token));
    };
    const result = await cancellable(begin, signal, true);
    const thrown = report(true);
    if (thrown) throw thrown.error;
    return result;
  } finally {
    report();
    leave();
  }
}

/**
 * Reports how far a call has come, until what it returns is called; that sends a last report when it is given `true`.
 * What the callback throws ends the reports, and is given back at the end.
 */
export function reporter({ onProgress }: JobOptions, phase: string, count: () => [number, number | undefined]) {
  const begun = performance.now();
  let thrown: { readonly error: unknown } | undefined;
  const send = () => {
    const [done, total] = count();
    const rowsPerSecond = (1000 * done) / Math.max(performance.now() - begun, 1e-3);
    try {
      if (!thrown) onProgress?.({ phase, done, total, rowsPerSecond });
    } catch (error) {
      thrown = { error };
    }
  };
  const timer = onProgress && setInterval(send, INTERVAL_MS).unref();
  return (last = false) => {
    clearInterval(timer);
    if (last) send();
    return thrown;
  };
}

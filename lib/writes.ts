import type { NativeCollection, Outcome, Token } from '../crates/node/binding';
import { cancellable } from './native';
import type { WriteOptions } from './types';

/** At most ten reports in any second, the last one included. */
const INTERVAL_MS = 112;

/** So many of libuv's threads may be busy with writes, whatever the number of collections; and who waits for one. */
let free = 2;
const line: (() => void)[] = [];

/** The writes of one collection, in call order. All that wait go to the addon together, in one task. */
export function writesOf(collection: NativeCollection) {
  const waiting: ((outcome: Partial<Outcome>) => void)[] = [];
  let draining: Promise<void> | undefined;

  /** Queues one write, which `put` hands to the addon, and waits for its outcome. */
  async function add(phase: string, rows: number, options: WriteOptions, put: (token: Token) => void) {
    let report: ReturnType<typeof reporter> = () => undefined;
    const queue = (token: Token) => {
      put(token);
      report = reporter(options, phase, rows, () => token.done);
      return new Promise<Outcome>((resolve, reject) => {
        waiting.push((outcome) => (outcome.error ? reject(outcome.error) : resolve(outcome as Outcome)));
        draining ??= drain();
      });
    };
    const outcome = await cancellable(queue, options.signal, true).finally(() => report());
    const thrown = report(rows);
    if (thrown) throw thrown.error;
    return outcome;
  }

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      if (free > 0) free--;
      else await new Promise<void>((go) => line.push(go));
      const settles = waiting.splice(0);
      const outcomes = await (async () => collection.commit())().catch((error) => settles.map(() => ({ error })));
      (line.shift() ?? (() => free++))();
      for (const [i, settle] of settles.entries()) settle(outcomes[i] ?? { error: new Error('no outcome') });
    }
    draining = undefined;
  }

  /** `idle` resolves when nothing waits and nothing runs. */
  return { add, idle: async () => draining };
}

/**
 * Reports how far a call has come, until what it returns is called; that sends a last report when it is given one.
 * What the callback throws ends the reports, and is given back at the end.
 */
export function reporter({ onProgress }: WriteOptions, phase: string, total: number | undefined, now: () => number) {
  const begun = performance.now();
  let thrown: { readonly error: unknown } | undefined;
  const send = (done: number) => {
    const rowsPerSecond = (1000 * done) / Math.max(performance.now() - begun, 1e-3);
    try {
      if (!thrown) onProgress?.({ phase, done, total, rowsPerSecond });
    } catch (error) {
      thrown = { error };
    }
  };
  const timer = onProgress && setInterval(() => send(now()), INTERVAL_MS).unref();
  return (last?: number) => {
    clearInterval(timer);
    if (last !== undefined) send(last);
    return thrown;
  };
}

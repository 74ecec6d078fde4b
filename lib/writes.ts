import type { NativeCollection, Outcome, Token } from '../crates/node/binding';
import { inLine, reporter } from './jobs';
import { cancellable } from './native';
import type { WriteOptions } from './types';

/** The writes of one collection, in call order. All that wait go to the addon together, in one task. */
export function writesOf(collection: NativeCollection) {
  const waiting: ((outcome: Partial<Outcome>) => void)[] = [];
  let draining: Promise<void> | undefined;

  /** Queues one write, which `put` hands to the addon, and waits for its outcome. */
  async function add(phase: string, rows: number, options: WriteOptions, put: (token: Token) => void) {
    let [report, ended]: [ReturnType<typeof reporter>, boolean] = [() => undefined, false];
    const queue = (token: Token) => {
      put(token);
      report = reporter(options, phase, () => [ended ? rows : token.done, rows]);
      return new Promise<Outcome>((resolve, reject) => {
        waiting.push((outcome) => (outcome.error ? reject(outcome.error) : resolve(outcome as Outcome)));
        draining ??= drain();
      });
    };
    const outcome = await cancellable(queue, options.signal, true).finally(() => report());
    ended = true;
    const thrown = report(true);
    if (thrown) throw thrown.error;
    return outcome;
  }

  async function drain(): Promise<void> {
    while (waiting.length > 0) {
      const [settles, outcomes] = await inLine(async () => {
        const settles = waiting.splice(0);
        const failed = (error: Error) => settles.map(() => ({ error }));
        return [settles, await (async () => collection.commit())().catch(failed)] as const;
      });
      for (const [i, settle] of settles.entries()) settle(outcomes[i] ?? { error: new Error('no outcome') });
    }
    draining = undefined;
  }

  /** `idle` resolves when nothing waits and nothing runs. */
  return { add, idle: async () => draining };
}

import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import { isAuspexError, rangeError, show } from './errors';
import { reporter } from './jobs';
import { readOptions, type Schema } from './options';
import { type Columns, orTooMuch, readRows, rowsIn } from './rows';
import { onAbort } from './signal';
import type { LoadOptions } from './types';

/** Floats in a batch: 8 MiB. */
const BATCH = 2 ** 21;

const LOAD: Schema<LoadOptions> = { batchSize: 'number', mode: 'string', signal: 'signal', onProgress: 'function' };

/** Reads the options of `load`. */
export function readLoad(given: unknown, dim: number) {
  const { batchSize = rowsIn(BATCH, dim), mode = 'upsert', ...job } = readOptions(given, LOAD);
  if (mode !== 'insert' && mode !== 'upsert') throw rangeError(`mode is insert or upsert, not ${show(mode)}`);
  // One call may hold 1 GiB of floats.
  const most = Math.floor(2 ** 28 / dim);
  if (Number.isInteger(batchSize) && batchSize >= 1 && batchSize <= most) return { batchSize, mode, dim, ...job };
  throw rangeError(`batchSize must be an integer from 1 to ${most}, got ${batchSize}`);
}

/** Writes a batch that begins with row `first` of the stream. */
type Write = (batch: Columns, first: number) => Promise<unknown>;

/**
 * Reads a stream to its end. While one batch is written the next is filled, and no further: that bounds the memory
 * and sets the pace.
 *
 * @param stream an iterable of either kind: `for await` takes both
 * @param write one atomic batch; has copied the rows when it returns
 */
export async function load(stream: AsyncIterable<unknown>, how: ReturnType<typeof readLoad>, write: Write) {
  const { batchSize: size, dim, signal, onProgress } = how;
  const floats = orTooMuch(() => new Float32Array(size * dim));
  const [ids, metadata]: [string[], string[]] = [[], []];
  let [seen, sent, loaded] = [0, 0, 0];
  let writing: Promise<unknown> = Promise.resolve();
  const stop = new AbortController();
  const fail = (error: unknown) => stop.abort(error);
  const off = onAbort(signal, () => fail(signal?.reason));
  const report = reporter({ onProgress }, 'load', () => [loaded, undefined]);
  const reading = read().catch(fail);
  await Promise.race([reading, once(stop.signal, 'abort')]);
  // A stream that stalls closes at its next step: nobody waits for that.
  await Promise.race([reading, setImmediate()]);
  await writing;
  const thrown = report(true);
  if (thrown) fail(thrown.error);
  off();
  const { aborted, reason } = stop.signal;
  if (!aborted) return loaded;
  throw isAuspexError(reason) ? Object.assign(reason, { loaded }) : reason;

  async function read(): Promise<void> {
    for await (const value of stream) {
      const rows = readRows(value, dim, seen);
      // Between two batches the caller's array can change, shrink or go.
      const vectors = orTooMuch(() => new Float32Array(rows.vectors));
      for (let i = 0; i < rows.ids.length; i++) {
        floats.set(vectors.subarray(i * dim, (i + 1) * dim), ids.length * dim);
        metadata.push(rows.metadata?.[i] ?? 'null');
        if (ids.push(rows.ids[i] as string) === size) await flush();
      }
      seen += rows.ids.length;
      stop.signal.throwIfAborted();
    }
    await flush();
  }

  async function flush(): Promise<void> {
    await writing;
    stop.signal.throwIfAborted();
    const n = ids.length;
    if (n === 0) return;
    const batch = { ids: ids.splice(0), metadata: metadata.splice(0), vectors: floats.subarray(0, n * dim) };
    writing = write(batch, sent).then(() => (loaded += n), fail);
    sent += n;
  }
}

/** The process that has the collections answers those who have the other end of a port. */
import { AuspexError, rangeError, show, typeError } from '../errors';
import { readOptions, type Schema } from '../options';
import type { Collection } from '../types';
import { type Port, type Wire, wireOf } from './ports';
import { failure, gone, METHODS, type Opened, type Page, PROTOCOL, type Reply, type Request, type Shape } from './wire';

/** Any collection, whatever its metadata. */
// biome-ignore lint/suspicious/noExplicitAny: metadata of one type are not those of another
export type Served = Collection<any>;

/** How to serve. */
export interface ServeOptions {
  /**
   * `'readonly'`: who is connected can read. Whatever changes rows, files or folders (`snapshot` and `compact` too) is
   * ERR_READ_ONLY. When left out, who is connected can do all that the collections can.
   */
  mode?: 'readwrite' | 'readonly';
}

/** What serves the other end of one port. */
export interface Serving {
  /** Finishes the writes of the other end, ends all else that it called, and closes the port. The collections stay open. */
  close(): void;
}

const SERVE: Schema<ServeOptions> = { mode: 'string' };

/** A page of rows that `items` goes through: so many rows, or about so many bytes. */
const [ROWS, BYTES] = [1000, 2 ** 20];

/**
 * Serves a collection, or several by name, to whoever has the other end of a port: see `connect`. Call it once for each
 * window. The port may come before or after the window connects.
 *
 * When the other end goes away, its writes are finished, and its searches, jobs and iterations are ended.
 *
 * @throws TypeError, RangeError naming the argument
 * @example
 * const notes = await open('./notes.auspex', { dim: 384 });
 * process.parentPort.on('message', ({ ports: [port] }) => serve({ notes }, port));
 */
export function serve(
  collections: Served | { readonly [name: string]: Served },
  port: Port,
  options?: ServeOptions,
): Serving {
  const { mode = 'readwrite' } = readOptions(options, SERVE);
  if (mode !== 'readwrite' && mode !== 'readonly') throw rangeError(`mode is readwrite or readonly, not ${show(mode)}`);
  const named = new Map<string, Served>(isCollection(collections) ? [['', collections]] : entries(collections));
  const server = new Server(named, wireOf(port), mode === 'readonly');
  return { close: () => server.close() };
}

const isCollection = (value: unknown): value is Served => typeof Object(value).searchBatch === 'function';

function entries(given: unknown): [string, Served][] {
  const found = typeof given === 'object' && given !== null ? Object.entries(given) : [];
  const wrong = found.find(([, each]) => !isCollection(each));
  if (wrong) throw typeError(`collections.${wrong[0]}`, 'a collection', wrong[1]);
  if (found.length > 0) return found as [string, Served][];
  throw typeError('collections', 'a collection, or an object with collections by name', given);
}

type Ask<K extends Request['kind']> = Extract<Request, { kind: K }>;

/** One port's calls under way. */
class Server {
  readonly #collections: ReadonlyMap<string, Served>;
  readonly #wire: Wire;
  readonly #readonly: boolean;
  readonly #running = new Map<number, AbortController>();
  /** Writes end by themselves, whether or not somebody waits for them. */
  readonly #writes = new Set<AbortController>();
  readonly #cursors = new Map<number, AsyncIterator<unknown>>();
  readonly #streams = new Map<number, Stream>();
  #over = false;

  constructor(collections: ReadonlyMap<string, Served>, wire: Wire, readonly: boolean) {
    this.#collections = collections;
    this.#wire = wire;
    this.#readonly = readonly;
    wire.onMessage(
      (data) => this.#take(data),
      () => this.#end(),
    );
  }

  close(): void {
    if (this.#over) return;
    this.#post({ kind: 'bye' });
    this.#end();
    this.#wire.close();
  }

  #end(): void {
    if (this.#over) return;
    this.#over = true;
    for (const controller of this.#running.values()) if (!this.#writes.has(controller)) controller.abort(gone());
    for (const stream of this.#streams.values()) stream.fail(gone());
    for (const cursor of [...this.#cursors.keys()]) this.#release(cursor);
  }

  /** A window may send anything: what is no request is not answered. */
  #take(data: unknown): void {
    const request = Object(data) as Request;
    if (this.#over) return;
    if (request.kind === 'abort') this.#running.get(request.call)?.abort();
    else if (request.kind === 'rows') this.#streams.get(request.call)?.push(request);
    else if (request.kind === 'end') this.#release(request.cursor);
    else if (request.kind === 'open') this.#answer(request, async () => this.#opened(request));
    else if (request.kind === 'next') this.#answer(request, () => this.#page(request.cursor));
    else if (request.kind === 'call') this.#answer(request, (controller) => this.#call(request, controller));
  }

  #answer(request: { call: number }, run: (controller: AbortController) => Promise<unknown>): void {
    // When not even an error can be posted, nobody is there.
    this.#run(request, run).catch(() => this.#end());
  }

  async #run({ call }: { call: number }, run: (controller: AbortController) => Promise<unknown>): Promise<void> {
    const controller = new AbortController();
    this.#running.set(call, controller);
    try {
      const value = await run(controller);
      this.#post({ kind: 'result', call, value }, this.#wire.transfers ? buffersOf(value) : []);
    } catch (error) {
      const aborted = controller.signal.aborted && error === controller.signal.reason;
      this.#post({ kind: 'error', call, error: failure(error), aborted });
    } finally {
      this.#running.delete(call);
      this.#writes.delete(controller);
    }
  }

  #post(reply: Reply, transfer: ArrayBuffer[] = []): void {
    if (!this.#over) this.#wire.post(reply, transfer);
  }

  #opened({ protocol, name: given }: Ask<'open'>): Opened {
    if (protocol !== PROTOCOL) {
      const versions = `the window speaks protocol ${show(protocol)} of auspex, this process ${PROTOCOL}`;
      throw new AuspexError('ERR_VERSION', `${versions}: bundle both from the same version`);
    }
    const names = [...this.#collections.keys()];
    const name = given ?? (names.length === 1 ? (names[0] as string) : '');
    const { dim, metric } = this.#named(name);
    return { name, dim, metric, transfers: this.#wire.transfers };
  }

  #named(name: string): Served {
    const collection = this.#collections.get(name);
    if (collection) return collection;
    const names = [...this.#collections.keys()].map(show).join(', ');
    throw new AuspexError('ERR_NOT_FOUND', `no collection has the name ${show(name)}; name one of ${names}`);
  }

  /** The method begins before this returns: calls take effect in the order in which they arrive. */
  async #call(request: Ask<'call'>, controller: AbortController): Promise<unknown> {
    const { call, name, method, signal, progress } = request;
    const collection = this.#named(name);
    if (!Object.hasOwn(METHODS, method)) throw typeError('method', 'one of a collection', method);
    const shape: Shape = METHODS[method];
    if (shape.changes && this.#readonly)
      throw new AuspexError('ERR_READ_ONLY', `${method}: the collection is served with mode 'readonly'`);
    const args = shape.takes.map((_, i) => request.args[i]);
    const options = shape.takes.indexOf('options');
    const given = args[options] === undefined ? {} : args[options];
    if (options >= 0 && typeof given === 'object' && given !== null && !Array.isArray(given)) {
      const onProgress = (each: never) => this.#post({ kind: 'progress', call, progress: each });
      const stop = (signal || shape.ends) && { signal: controller.signal };
      // What was sent in their place is wrong, and for the collection to refuse.
      args[options] = { ...stop, ...(progress && { onProgress }), ...given };
    }
    if (shape.changes && !shape.ends) this.#writes.add(controller);
    if (method === 'items') return this.#items(call, collection, args);
    if (method === 'load') return this.#load(call, collection, args);
    const run = collection[method] as (...args: unknown[]) => Promise<unknown>;
    const result = await run.apply(collection, args);
    if (method !== 'searchBatch') return result;
    const { k, counts, distances, ids } = result as Awaited<ReturnType<Served['searchBatch']>>;
    return { k, counts, distances, ids: ids() };
  }

  /** The first page. The iteration has the number of the call. */
  async #items(call: number, collection: Served, args: unknown[]): Promise<Page & { cursor: number }> {
    const rows = collection.items(args[0] as object)[Symbol.asyncIterator]();
    this.#cursors.set(call, rows);
    return { ...(await this.#page(call)), cursor: call };
  }

  /** Rows until the page is full. Nothing is read ahead of what was asked for. */
  async #page(cursor: number): Promise<Page> {
    const iterator = this.#cursors.get(cursor);
    if (!iterator) throw rangeError(`no iteration has the number ${show(cursor)}`);
    const rows: unknown[] = [];
    let bytes = 0;
    try {
      while (rows.length < ROWS && bytes < BYTES) {
        const { done, value } = await iterator.next();
        if (done) {
          this.#cursors.delete(cursor);
          return { rows, done: true };
        }
        rows.push(value);
        bytes += weight(value);
      }
    } catch (error) {
      this.#release(cursor);
      throw error;
    }
    return { rows, done: false };
  }

  #release(cursor: number): void {
    const iterator = this.#cursors.get(cursor);
    this.#cursors.delete(cursor);
    // What is under way ends first; nobody waits for it.
    iterator?.return?.().catch(() => {});
  }

  async #load(call: number, collection: Served, [, options]: unknown[]): Promise<number> {
    const stream = new Stream(() => this.#post({ kind: 'pull', call }));
    this.#streams.set(call, stream);
    try {
      return await collection.load(stream as AsyncIterable<never>, options as object);
    } finally {
      this.#streams.delete(call);
      stream.fail(gone());
    }
  }
}

/** A stream whose values are in the window: it asks for them, and waits. */
class Stream {
  readonly #pull: () => void;
  #settle: { push(rows: Ask<'rows'>): void; fail(error: unknown): void } | undefined;

  constructor(pull: () => void) {
    this.#pull = pull;
  }

  push(rows: Ask<'rows'>): void {
    this.#settle?.push(rows);
  }

  fail(error: unknown): void {
    this.#settle?.fail(error);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<unknown> {
    for (;;) {
      const rows = await new Promise<Ask<'rows'>>((push, fail) => {
        this.#settle = { push, fail };
        this.#pull();
      });
      // The window keeps what its stream threw; this error stands for it, and takes home how many rows are written.
      if (rows.failed) throw new AuspexError('ERR_INTERNAL', 'the stream ended with an error');
      yield* rows.values;
      if (rows.done) return;
    }
  }
}

/** About how many bytes a row takes in a message. */
function weight(value: unknown): number {
  if (typeof value === 'string') return 2 * value.length;
  if (ArrayBuffer.isView(value)) return value.byteLength;
  if (typeof value !== 'object' || value === null) return 8;
  let bytes = 16;
  for (const key in value) bytes += 2 * key.length + weight((value as Record<string, unknown>)[key]);
  return bytes;
}

/** The buffers of the vectors and columns of an answer. They were made for whoever called. */
function buffersOf(answer: unknown): ArrayBuffer[] {
  const { rows, counts, distances } = Object(answer) as Record<string, unknown>;
  const list: unknown[] = Array.isArray(answer) ? answer : Array.isArray(rows) ? rows : [answer];
  const found = new Set<ArrayBuffer>();
  for (const value of [counts, distances, ...list.map((row) => Object(row).vector)]) {
    const whole = ArrayBuffer.isView(value) && value.byteLength === value.buffer.byteLength;
    if (whole && value.buffer instanceof ArrayBuffer) found.add(value.buffer);
  }
  return [...found];
}

/** A collection at the other end of a port. Runs in a browser: nothing here is of Node. */
import { AuspexError, isAuspexError, typeError } from '../errors';
import { readOptions, required, type Schema } from '../options';
import { onAbort } from '../signal';
import type * as Api from '../types';
import { nameOf, pack, packRows, unsendable } from './packing';
import { type Port, type Wire, wireOf } from './ports';
import {
  type Failure,
  gone,
  JOBS,
  METHODS,
  type Method,
  type Opened,
  type Page,
  PROTOCOL,
  type Reply,
  type Request,
  rebuilt,
  withLoaded,
} from './wire';

/** How to connect. */
export interface ConnectOptions {
  /** Which of the collections that are served. May be left out where there is one. */
  name?: string;
  /** Aborting before it is connected rejects with `signal.reason`. */
  signal?: AbortSignal;
}

const CONNECT: Schema<ConnectOptions> = { name: 'string', signal: 'signal' };

/** Values of a stream in one message: about a MiB, where rows have 1,024 numbers. */
const VALUES = 256;

/**
 * Connects to a collection that `serve` serves at the other end of a port. Every method does what it does there: with the
 * same results and errors, with signals, progress and streams.
 *
 * One port serves several `connect`s. `close` waits for the calls made here, makes their writes durable, and gives
 * back what is held for this window; the collection itself stays open for others. The port closes with the last
 * collection connected over it. When the process ends, whatever is pending rejects with `ERR_CLOSED`.
 *
 * @typeParam M what each row's metadata holds
 * @throws TypeError; ERR_NOT_FOUND when nothing has that name; ERR_VERSION when the other end speaks another protocol;
 *   ERR_CLOSED
 * @example
 * const notes = await connect<{ title: string }>(port);
 * const hits = await notes.search(query, { k: 5 });
 */
export function connect<M extends object = Api.Metadata>(
  port: Port,
  options?: ConnectOptions,
): Promise<Api.Collection<M>>;
export async function connect(port: unknown, options?: unknown): Promise<unknown> {
  const { name, signal } = readOptions(options, CONNECT);
  signal?.throwIfAborted();
  const session = sessionOf(port);
  session.users++;
  try {
    const request = { kind: 'open', protocol: PROTOCOL, name } as const;
    const opened = (await session.ask(request, { signal, leaves: true })) as Opened;
    return new Remote(session, opened);
  } catch (error) {
    session.leave();
    throw error;
  }
}

/** What a call needs besides its request. */
interface Ask {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: never) => void) | undefined;
  transfer?: ArrayBuffer[];
  /** Whether aborting rejects at once, whatever the other end does. */
  leaves?: boolean;
  /** Called for each `pull`, with the number of the call. */
  onPull?: (call: number) => void;
}

type Asked<R> = R extends { call: number } ? Omit<R, 'call'> : never;

interface Call {
  resolve(value: unknown): void;
  reject(error: unknown): void;
  ask: Ask;
  thrown: { error: unknown } | undefined;
}

const sessions = new WeakMap<object, Session>();

function sessionOf(port: unknown): Session {
  const known = sessions.get(Object(port));
  if (known) return known;
  const session = new Session(wireOf(port));
  sessions.set(port as object, session);
  return session;
}

/** A port with calls under way. */
class Session {
  /** Collections that were connected over it. */
  users = 0;
  over: AuspexError | undefined;
  /** Whether the other end can be given buffers: it says so when it is opened. */
  transfers = false;
  readonly #wire: Wire;
  readonly #calls = new Map<number, Call>();
  #numbers = 0;

  constructor(wire: Wire) {
    this.#wire = wire;
    wire.onMessage(
      (data) => this.#take(data as Reply),
      () => this.#end(),
    );
  }

  /** Sends a request, at once, and waits for its answer. */
  ask(request: Asked<Request>, ask: Ask): Promise<unknown> {
    const call = ++this.#numbers;
    return new Promise((resolve, reject) => {
      if (this.over) throw gone();
      const off = onAbort(ask.signal, () => {
        this.post({ kind: 'abort', call });
        if (ask.leaves) this.#calls.get(call)?.reject(ask.signal?.reason);
      });
      const settle = () => {
        off();
        this.#calls.delete(call);
      };
      this.#calls.set(call, {
        ask,
        thrown: undefined,
        resolve(value) {
          settle();
          resolve(value);
        },
        reject(error) {
          settle();
          reject(error);
        },
      });
      try {
        this.post({ ...request, call } as Request, ask.transfer);
      } catch (error) {
        this.#calls.get(call)?.reject(error);
      }
    });
  }

  /** Throws when the message cannot be cloned. */
  post(request: Request, transfer: ArrayBuffer[] = []): void {
    if (!this.over) this.#wire.post(request, this.transfers ? transfer : []);
  }

  /** A collection is not used any more. */
  leave(): void {
    if (--this.users > 0 || this.over) return;
    this.#wire.close();
    this.#end();
  }

  #take(reply: Reply): void {
    if (reply.kind === 'bye') {
      this.#end();
      return;
    }
    const call = this.#calls.get(reply.call);
    if (!call) return;
    const { ask, resolve, reject } = call;
    if (reply.kind === 'progress') {
      try {
        if (!call.thrown) ask.onProgress?.(reply.progress as never);
      } catch (error) {
        call.thrown = { error };
      }
    } else if (reply.kind === 'pull') {
      ask.onPull?.(reply.call);
    } else if (reply.kind === 'error') {
      reject(reply.aborted && ask.signal?.aborted ? ask.signal.reason : rebuilt(reply.error));
    } else if (call.thrown) {
      reject(call.thrown.error);
    } else {
      resolve(reply.value);
    }
  }

  #end(): void {
    if (this.over) return;
    this.over = gone();
    for (const { reject } of [...this.#calls.values()]) reject(gone());
  }
}

/** {@link Api.Collection} over a port. */
class Remote {
  readonly dim: number;
  readonly metric: Api.Metric;
  readonly #name: string;
  readonly #session: Session;
  readonly #pending = new Set<Promise<unknown>>();
  readonly #cursors = new Set<number>();
  /** Ends jobs. */
  readonly #ending = new AbortController();
  #closing: Promise<void> | undefined;
  #wrote = false;

  static {
    const define = (name: string | symbol, value: (this: Remote, ...args: unknown[]) => unknown) => {
      if (!(name in Remote.prototype)) Object.defineProperty(Remote.prototype, name, { value });
    };
    for (const method of Object.keys(METHODS) as Method[]) {
      define(method, function (...args) {
        return this.#call(method, args);
      });
    }
    // Browsers may not know it yet.
    if (Symbol.asyncDispose) {
      define(Symbol.asyncDispose, function () {
        return this.close();
      });
    }
  }

  constructor(session: Session, { name, dim, metric, transfers }: Opened) {
    this.dim = dim;
    this.metric = metric;
    this.#name = name;
    this.#session = session;
    session.transfers = transfers;
  }

  async searchBatch(...args: unknown[]): Promise<Api.BatchHits> {
    const found = await this.#call('searchBatch', args);
    const { ids, ...columns } = found as Omit<Api.BatchHits, 'id' | 'ids'> & { ids: string[] };
    const id = (query: number, hit: number) => {
      const [q, h] = [required(query, 'number', 'query'), required(hit, 'number', 'hit')];
      const whole = Number.isInteger(q) && h >= 0 && h < columns.k;
      return (whole ? ids[q * columns.k + h] : undefined) ?? '';
    };
    return { ...columns, id, ids: () => [...ids] };
  }

  async load(rows: unknown, options?: unknown): Promise<number> {
    const stream = Object(rows) as AsyncIterable<unknown>;
    const iterable = stream === rows && (Symbol.asyncIterator in stream || Symbol.iterator in stream);
    if (!iterable) throw typeError('rows', 'an iterable or an async iterable', rows);
    const feed = new Feed(stream, Object(options).batchSize, this.#session);
    try {
      const onPull = (call: number) => feed.pull(call);
      return (await this.#call('load', [undefined, options], onPull)) as number;
    } catch (error) {
      if (!feed.failed) throw error;
      const { loaded } = Object(error) as { loaded?: number };
      throw withLoaded(feed.failed.error, { loaded } as Failure);
    } finally {
      feed.stop();
    }
  }

  async *items(...args: unknown[]): AsyncGenerator<unknown> {
    let cursor: number | undefined;
    try {
      let page = (await this.#call('items', args)) as Page & { cursor: number };
      cursor = page.cursor;
      this.#cursors.add(cursor);
      for (;;) {
        for (const row of page.rows) {
          this.#open;
          yield row;
        }
        if (page.done) return;
        const next = this.#open.ask({ kind: 'next', cursor }, {});
        page = (await this.#track(next)) as typeof page;
      }
    } finally {
      if (cursor !== undefined && this.#cursors.delete(cursor)) this.#session.post({ kind: 'end', cursor });
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    // What follows runs after `#closing` is set: calls made from here on are refused.
    await undefined;
    this.#ending.abort(new AuspexError('ERR_CLOSED', 'the collection is closed'));
    await Promise.allSettled(this.#pending);
    for (const cursor of this.#cursors) this.#session.post({ kind: 'end', cursor });
    try {
      const call = { kind: 'call', name: this.#name, signal: false, progress: false } as const;
      const flush = { ...call, method: 'flush', args: [] } satisfies Asked<Request>;
      if (this.#wrote) await this.#session.ask(flush, {});
    } catch (error) {
      // Who closed the collection made its writes durable.
      if (!(isAuspexError(error) && error.code === 'ERR_CLOSED')) throw error;
    } finally {
      this.#session.leave();
    }
  }

  get #open(): Session {
    if (this.#closing) throw new AuspexError('ERR_CLOSED', 'the collection is closed');
    if (this.#session.over) throw gone();
    return this.#session;
  }

  /** Sends a call before it returns: calls take effect in the order in which they are made. */
  async #call(method: Method, given: unknown[], onPull?: Ask['onPull']): Promise<unknown> {
    const { takes, ...shape } = METHODS[method];
    const { args, transfer, signal, onProgress } = pack(takes, given);
    const session = this.#open;
    signal?.throwIfAborted();
    this.#wrote ||= 'changes' in shape;
    const ends = JOBS.has(method) ? new AbortController() : undefined;
    const offs = [this.#ending.signal, signal].map((each) => ends && onAbort(each, () => ends.abort(each?.reason)));
    const request = {
      kind: 'call',
      name: this.#name,
      method,
      args,
      signal: Boolean(ends ?? signal),
      progress: Boolean(onProgress),
    } as const;
    const ask: Ask = { signal: ends?.signal ?? signal, onProgress, transfer, ...(onPull && { onPull }) };
    try {
      const result = await this.#track(session.ask(request, ask));
      // What was written stands, and so does a job that is done.
      if (!('changes' in shape || JOBS.has(method))) signal?.throwIfAborted();
      return result;
    } catch (error) {
      const parts = takes.map((name, i) => [nameOf(name, args[i]), args[i]] as const);
      throw isUncloned(error) ? unsendable(parts, error) : error;
    } finally {
      for (const off of offs) off?.();
    }
  }

  #track<T>(call: Promise<T>): Promise<T> {
    this.#pending.add(call);
    const done = () => this.#pending.delete(call);
    call.then(done, done);
    return call;
  }
}

const isUncloned = (error: unknown) => Object(error).name === 'DataCloneError';

/** The user's stream, read here and sent when the other end asks for more. */
class Feed {
  /** What the stream threw. */
  failed: { error: unknown } | undefined;
  readonly #stream: AsyncIterable<unknown>;
  readonly #size: number;
  readonly #session: Session;
  #running = false;
  #stopped = false;
  #pulled = () => {};

  constructor(stream: AsyncIterable<unknown>, batchSize: unknown, session: Session) {
    this.#stream = stream;
    // What `load` writes as one batch waits for no more.
    this.#size = typeof batchSize === 'number' && batchSize >= 1 ? Math.min(batchSize, VALUES) : VALUES;
    this.#session = session;
  }

  /** The other end asks for more. Not a value is read before it does so for the first time. */
  pull(call: number): void {
    this.#pulled();
    if (!this.#running) this.#run(call);
    this.#running = true;
  }

  /** Closes the stream at its next step. */
  stop(): void {
    this.#stopped = true;
    this.#pulled();
  }

  async #run(call: number): Promise<void> {
    let [values, transfer, sent]: [unknown[], ArrayBuffer[], number] = [[], [], 0];
    const send = (end: { done?: true; failed?: true }) => {
      this.#session.post({ kind: 'rows', call, values, done: false, failed: false, ...end }, transfer);
      sent += values.length;
      [values, transfer] = [[], []];
    };
    try {
      for await (const value of this.#stream) {
        if (this.#stopped) return;
        values.push(packRows(value, transfer));
        const many = Array.isArray(value) || 'ids' in Object(value);
        if (!many && values.length < this.#size) continue;
        const pulled = new Promise<void>((go) => {
          this.#pulled = go;
        });
        send({});
        await pulled;
        if (this.#stopped) return;
      }
      send({ done: true });
    } catch (error) {
      const parts = values.map((value, i) => [`rows[${sent + i}]`, value] as const);
      this.failed = { error: isUncloned(error) ? unsendable(parts, error) : error };
      [values, transfer] = [[], []];
      send({ failed: true });
    }
  }
}

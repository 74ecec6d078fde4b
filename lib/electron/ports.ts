/** The three kinds of ports as one: what is posted at one end comes to the other, in order. */
import { typeError } from '../errors';

/**
 * An end of a channel: a `MessagePort` of the web, a `MessagePortMain` of Electron, or a `MessagePort` of Node's
 * `worker_threads`.
 */
export interface Port {
  /** Sends a message to the other end. */
  postMessage(message: unknown): void;
  /** Lets messages come in. */
  start(): void;
  /** Ends the channel at both ends. */
  close(): void;
}

/** A port, whatever its kind. */
export interface Wire {
  /** Whether buffers can be transferred. Between processes everything is copied, and Electron takes ports alone. */
  readonly transfers: boolean;
  /** Throws when the message cannot be cloned; then nothing was sent. */
  post(message: unknown, transfer: ArrayBuffer[]): void;
  /** Both are for good. `closed` is called when the other end is gone, at most once. */
  onMessage(message: (data: unknown) => void, closed: () => void): void;
  close(): void;
}

interface Posts extends Port {
  postMessage(message: unknown, transfer?: ArrayBuffer[]): void;
}
interface Emitter extends Posts {
  on(event: string, listener: (value: never) => void): unknown;
}
interface Target extends Posts {
  addEventListener(type: string, listener: (event: { data: unknown }) => void): void;
}

/** Of Node: an emitter whose messages are the values themselves. */
const ofNode = (port: Emitter): Wire => ({
  transfers: true,
  post: (message, transfer) => port.postMessage(message, transfer),
  onMessage(message, closed) {
    port.on('close', closed);
    port.on('message', message);
  },
  close: () => port.close(),
});

/** Of Electron's main and utility processes: an emitter whose messages are `{ data, ports }`. */
const ofElectron = (port: Emitter): Wire => ({
  transfers: false,
  post: (message) => port.postMessage(message),
  onMessage(message, closed) {
    port.on('close', closed);
    port.on('message', ({ data }: { data: unknown }) => message(data));
    port.start();
  },
  close: () => port.close(),
});

/** Of the web: a target of events. */
const ofWeb = (port: Target): Wire => ({
  transfers: true,
  post: (message, transfer) => port.postMessage(message, transfer),
  onMessage(message, closed) {
    port.addEventListener('close', closed);
    port.addEventListener('message', ({ data }) => message(data));
    port.start();
  },
  close: () => port.close(),
});

/** Node's ports are both, Electron's only emit. */
export function wireOf(port: unknown): Wire {
  const has = (name: string) => typeof Object(port)[name] === 'function';
  const isPort = has('postMessage') && has('start') && has('close');
  if (isPort && has('on')) return has('addEventListener') ? ofNode(port as Emitter) : ofElectron(port as Emitter);
  if (isPort && has('addEventListener')) return ofWeb(port as Target);
  throw typeError('port', "a MessagePort of the web, of Electron or of Node's worker_threads", port);
}

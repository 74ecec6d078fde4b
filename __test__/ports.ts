/** Ports that behave as those of the web and of Electron do, where neither is. */
import { EventEmitter } from 'node:events';
import { MessageChannel } from 'node:worker_threads';
import type { Port } from '../dist/electron/index.mjs';

/** What both have in common: messages wait for `start`, arrive later and in order, and an end that goes takes the other along. */
class End {
  peer: End | undefined;
  /** Gives a message, or tells that the other end is gone. */
  deliver: { message(data: unknown, ports: unknown[]): void; closed(): void } | undefined;
  /** Whether the other end is Electron's, which can be given ports and nothing else. */
  portsOnly = false;
  /** Every message that arrived. */
  seen: unknown[] = [];
  #waiting: [unknown, unknown[]][] = [];
  #started = false;

  send(message: unknown, transfer: readonly unknown[]): void {
    const peer = this.peer;
    const ports = transfer.filter((each) => each instanceof WebPort || each instanceof MainPort);
    const buffers = transfer.filter((each) => each instanceof ArrayBuffer);
    const data: unknown = structuredClone(message, { transfer: buffers });
    // What Electron does with a buffer that is transferred to it: the message is lost.
    peer?.arrive(peer.portsOnly && buffers.length > 0 ? null : data, ports);
  }

  arrive(data: unknown, ports: unknown[]): void {
    this.#waiting.push([data, ports]);
    if (this.#started) setImmediate(() => this.#flush());
  }

  start(): void {
    this.#started = true;
    setImmediate(() => this.#flush());
  }

  close(): void {
    const peer = this.peer;
    if (!peer) return;
    [this.peer, peer.peer] = [undefined, undefined];
    setImmediate(() => {
      peer.#flush();
      peer.deliver?.closed();
    });
  }

  #flush(): void {
    for (const [data, ports] of this.#waiting.splice(0)) {
      this.seen.push(data);
      this.deliver?.message(data, ports);
    }
  }
}

/** A `MessagePort` of the web. */
export class WebPort extends EventTarget implements Port {
  readonly end = new End();
  constructor() {
    super();
    this.end.deliver = {
      message: (data, ports) => this.dispatchEvent(Object.assign(new Event('message'), { data, ports })),
      closed: () => this.dispatchEvent(new Event('close')),
    };
  }
  postMessage(message: unknown, transfer: readonly unknown[] = []): void {
    this.end.send(message, transfer);
  }
  start(): void {
    this.end.start();
  }
  close(): void {
    this.end.close();
  }
}

/** Electron's `MessagePortMain`. */
export class MainPort extends EventEmitter implements Port {
  readonly end = new End();
  constructor() {
    super();
    this.end.portsOnly = true;
    this.end.deliver = {
      message: (data, ports) => this.emit('message', { data, ports }),
      closed: () => this.emit('close'),
    };
  }
  postMessage(message: unknown, transfer: readonly unknown[] = []): void {
    if (transfer.some((each) => !(each instanceof MainPort))) throw new TypeError('Invalid value for transfer');
    this.end.send(message, transfer);
  }
  start(): void {
    this.end.start();
  }
  close(): void {
    this.end.close();
    this.emit('close');
  }
}

const linked = <A extends { end: End }, B extends { end: End }>(a: A, b: B): [A, B] => {
  [a.end.peer, b.end.peer] = [b.end, a.end];
  return [a, b];
};

/** Both ends of a channel, the window's first. */
export const CHANNELS = {
  node: (): [Port, Port] => {
    const { port1, port2 } = new MessageChannel();
    return [port1, port2];
  },
  web: () => linked(new WebPort(), new WebPort()),
  'web to electron': () => linked(new WebPort(), new MainPort()),
  electron: () => linked(new MainPort(), new MainPort()),
};

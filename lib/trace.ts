import { type TracingChannel, tracingChannel } from 'node:diagnostics_channel';
import type { Traced } from './types';

/** What is told on each channel: the methods, of two arguments at most. */
const METHODS = {
  'auspex:search': ['search', 'searchSync', 'searchBatch', 'searchText', 'searchHybrid', 'similar'],
  'auspex:read': ['get', 'count'],
  'auspex:write': ['insert', 'upsert', 'load', 'update', 'delete', 'clear', 'flush'],
  'auspex:job': ['compact', 'rebuild', 'verify', 'snapshot', 'estimateRecall', 'tune'],
} as const;

type Method = (this: Plain, a?: unknown, b?: unknown) => unknown;
type Plain = Pick<Traced, 'path' | 'dim' | 'metric'>;

/** Lets the methods of a class be heard on diagnostics channels. While nobody listens a call asks just that. */
export function traceable(prototype: object): void {
  const methods = prototype as Record<string, Method>;
  for (const [name, traced] of Object.entries(METHODS)) {
    const channel = tracingChannel(name);
    for (const method of traced) {
      const plain = methods[method] as Method;
      const wrapped: Method = function (a, b) {
        if (!isHeard(channel)) return plain.call(this, a, b);
        const { path, dim, metric } = this;
        const context: Traced = { method, path, dim, metric, args: b === undefined ? [a] : [a, b] };
        const run = () => plain.call(this, a, b);
        return method === 'searchSync'
          ? channel.traceSync(run, context)
          : channel.tracePromise(run as () => Promise<unknown>, context);
      };
      Object.defineProperty(prototype, method, { value: wrapped, configurable: true, writable: true });
    }
  }
}

/** `TracingChannel.hasSubscribers`, which Node 20.12 and older do not have. */
const isHeard = ({ start, end, asyncStart, asyncEnd, error }: TracingChannel): boolean =>
  start.hasSubscribers ||
  end.hasSubscribers ||
  asyncStart.hasSubscribers ||
  asyncEnd.hasSubscribers ||
  error.hasSubscribers;

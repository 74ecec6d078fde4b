/** The calls that wait for a signal: one listener, however many they are. */
class Waiting extends Set<() => void> {
  handleEvent(): void {
    for (const call of this) call();
  }
}

const waiting = new WeakMap<AbortSignal, Waiting>();

/** Calls `then` when the signal aborts, unless what it returns was called before. */
export function onAbort(signal: AbortSignal | undefined, then: () => void): () => void {
  if (!signal) return () => {};
  const calls = waiting.get(signal) ?? new Waiting();
  const call = () => then();
  if (calls.add(call).size === 1) {
    waiting.set(signal, calls);
    signal.addEventListener('abort', calls);
  }
  return () => {
    if (calls.delete(call) && calls.size === 0) signal.removeEventListener('abort', calls);
  };
}

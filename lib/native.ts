import { types } from 'node:util';
import type { Token } from '../crates/node/binding';
import { AuspexError, rethrow } from './errors';

type Binding = typeof import('../crates/node/binding');

/** Literals, so that bundlers and packagers of Electron apps see every file. */
const FILES: Record<string, () => Binding> = {
  'linux-x64-gnu': () => require('../crates/node/auspex.linux-x64-gnu.node'),
  'linux-x64-musl': () => require('../crates/node/auspex.linux-x64-musl.node'),
  'linux-arm64-gnu': () => require('../crates/node/auspex.linux-arm64-gnu.node'),
  'linux-arm64-musl': () => require('../crates/node/auspex.linux-arm64-musl.node'),
  'darwin-x64': () => require('../crates/node/auspex.darwin-x64.node'),
  'darwin-arm64': () => require('../crates/node/auspex.darwin-arm64.node'),
  'win32-x64-msvc': () => require('../crates/node/auspex.win32-x64-msvc.node'),
  'win32-arm64-msvc': () => require('../crates/node/auspex.win32-arm64-msvc.node'),
};

let loaded: Binding | undefined;

/** The addon, loaded at the first call: importing the package never throws. */
export const native = (): Binding => (loaded ??= load(`${process.platform}-${process.arch}`));

function load(machine: string): Binding {
  const names = Object.keys(FILES).filter((name) => name.startsWith(machine));
  const failures: NodeJS.ErrnoException[] = [];
  for (const name of names) {
    try {
      return (FILES[name] as () => Binding)();
    } catch (error) {
      failures.push(error as Error);
    }
  }
  // A file that is there and does not load says more than one that is missing.
  const cause = failures.find(({ code }) => code !== 'MODULE_NOT_FOUND') ?? failures[0];
  const { header } = process.report.getReport() as { header?: { glibcVersionRuntime?: string } };
  const libc = machine.startsWith('linux') ? ` with ${header?.glibcVersionRuntime ? 'glibc' : 'musl'}` : '';
  const files = names.map((name) => `crates/node/auspex.${name}.node`).join(' or ') || 'none, as none is built for it';
  const message =
    `auspex has no native addon that loads on ${machine}${libc}. Looked for: ${files}. ` +
    `Reason: ${cause?.message.split('\n')[0]}. Remedy: \`npm run build\` in the folder of auspex.`;
  throw new AuspexError('ERR_NATIVE_LOAD', message, { cause });
}

/** Calls into the addon: what it throws or rejects with comes out as the error that the user knows. */
export function across<T>(call: () => T): T {
  try {
    const result = call();
    return types.isPromise(result) ? (result.catch(rethrow) as T) : result;
  } catch (error) {
    return rethrow(error);
  }
}

/**
 * Calls into the addon for work that a signal can end.
 *
 * @param stands whether a result that comes after the signal is still the result
 */
export async function cancellable<T>(run: (token: Token) => Promise<T>, signal?: AbortSignal, stands = false) {
  signal?.throwIfAborted();
  const token = new (native().Token)();
  const stop = () => token.cancel();
  signal?.addEventListener('abort', stop);
  try {
    const result = await across(() => run(token));
    if (!stands) signal?.throwIfAborted();
    return result;
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  } finally {
    signal?.removeEventListener('abort', stop);
  }
}

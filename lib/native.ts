import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { inspect, types } from 'node:util';
import type * as Binding from '../crates/node/binding';
import { AuspexError, rethrow, showBy } from './errors';
import { onAbort } from './signal';

/** How the names of a platform's packages end: with two, its libc decides. */
const ABIS: Record<string, string[]> = { linux: ['-gnu', '-musl'], darwin: [''], win32: ['-msvc'] };

const LIMITS = { customInspect: false, depth: 0, maxArrayLength: 3, maxStringLength: 40 };
showBy((value) => inspect(value, { ...LIMITS, breakLength: Number.POSITIVE_INFINITY }));

let loaded: typeof Binding | undefined;

/** The addon, loaded at the first call: importing the package never throws. */
export const native = (): typeof Binding => (loaded ??= load(process.platform, process.arch));

function load(platform: string, arch: string): typeof Binding {
  const names = (/^(x64|arm64)$/.test(arch) ? (ABIS[platform] ?? []) : []).map((abi) => `${platform}-${arch}${abi}`);
  const failures: NodeJS.ErrnoException[] = [];
  // No addon can be loaded from inside of an app.asar. What was packed with it lies in app.asar.unpacked, at the same place.
  const outside = __dirname.replace(/\.asar(?=[\\/])/, '.asar.unpacked');
  for (const name of names) {
    // Literals inside `try`: bundlers see every package, and go on without those that are not installed.
    try {
      const built = `${__dirname}/../crates/node/auspex.${name}.node`;
      const unpacked = resolve(outside, `../../auspex-${name}/auspex.${name}.node`);
      if (existsSync(built)) return module.require(built);
      if (outside !== __dirname && existsSync(unpacked)) return module.require(unpacked);
      if (name === 'linux-x64-gnu') return require('auspex-linux-x64-gnu');
      if (name === 'linux-x64-musl') return require('auspex-linux-x64-musl');
      if (name === 'linux-arm64-gnu') return require('auspex-linux-arm64-gnu');
      if (name === 'linux-arm64-musl') return require('auspex-linux-arm64-musl');
      if (name === 'darwin-x64') return require('auspex-darwin-x64');
      if (name === 'darwin-arm64') return require('auspex-darwin-arm64');
      if (name === 'win32-x64-msvc') return require('auspex-win32-x64-msvc');
      if (name === 'win32-arm64-msvc') return require('auspex-win32-arm64-msvc');
    } catch (error) {
      failures.push(error as Error);
    }
  }
  const { header } = Object(process.report?.getReport());
  const libc = names[1] && header ? ` with ${header.glibcVersionRuntime?.replace(/^/, 'glibc ') ?? 'musl'}` : '';
  const fits = libc === ' with musl' ? 1 : 0;
  const cause = failures[fits];
  const found = /MODULE_NOT_FOUND$/.test(cause?.code ?? '') ? 'is not installed' : `does not load: ${cause?.message}`;
  const message = cause
    ? `its package auspex-${names[fits]} ${found.split(/\.?(\n|$)/)[0]}. Remedy: \`npm install --include=optional\` on this ` +
      'kind of machine, without node_modules and package-lock.json (npm forgets packages of other platforms in lock ' +
      'files), or `npm run build` in a clone of auspex.'
    : 'none is built for it. Remedy: `npm run build` in a clone of auspex.';
  throw new AuspexError('ERR_NATIVE_LOAD', `auspex has no addon on ${platform}-${arch}${libc}: ${message}`, { cause });
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
export async function cancellable<T>(run: (token: Binding.Token) => Promise<T>, signal?: AbortSignal, stands = false) {
  signal?.throwIfAborted();
  const token = new (native().Token)();
  const off = onAbort(signal, () => token.cancel());
  try {
    const result = await across(() => run(token));
    if (!stands) signal?.throwIfAborted();
    return result;
  } catch (error) {
    throw signal?.aborted ? signal.reason : error;
  } finally {
    off();
  }
}

import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseTriple } from '@napi-rs/cli';
import test from 'ava';
import { AuspexError, exactSearch, info, isAuspexError, open } from '../dist/index.mjs';
import { addon, read, root } from './harness.ts';

const sources = ['lib', 'collection', 'floats', 'hits', 'job'].map((name) => `crates/node/src/${name}.rs`);

test('info gives version, instruction set and threads', (t) => {
  const { version, isa, threads } = info();
  t.is(version, JSON.parse(read('package.json')).version);
  t.true(['avx512', 'avx2', 'neon', 'scalar'].includes(isa));
  t.true(threads >= 1);
});

test('every export of the addon catches panics', (t) => {
  for (const source of sources) {
    const text = read(source);
    for (const [, attribute, item] of text.matchAll(/#\[napi(\([^\n]*\))?\]\s*(?:#\[[^\n]*\]\s*)*(?:pub )?(\w+)/g)) {
      if (item === 'fn') t.regex(attribute ?? '', /\bcatch_unwind\b/, `${source}: ${attribute}`);
      else t.true(item !== 'async' && item !== 'unsafe', `${source}: ${item}`);
    }
  }
  t.notRegex(read('Cargo.toml'), /panic\s*=\s*"abort"/);
});

test('nothing in the addon makes an external buffer or calls back from another thread', (t) => {
  for (const source of sources) {
    t.notRegex(
      read(source),
      /ThreadsafeFunction|napi_create_external|(?:Float32|Uint32)Array::|Buffer::|from_external/,
    );
  }
});

test('a panic in a call is an exception, and the process goes on', (t) => {
  t.throws(() => addon().__panic(), { message: /a panic asked for/ });
  t.truthy(info());
});

test('a panic in a task is a rejection, and the process goes on', async (t) => {
  for (let i = 0; i < 10; i++) {
    await t.throwsAsync(() => addon().__panicAsync(), { code: 'ERR_INTERNAL', message: /a panic asked for/ });
    await t.throwsAsync(() => addon().__panicLate(), { code: 'ERR_INTERNAL', message: /a panic asked for/ });
  }
});

test('import and require give the same classes and functions', (t) => {
  const required = createRequire(import.meta.url)('../dist/index.js');
  t.deepEqual({ ...required }, { AuspexError, exactSearch, info, isAuspexError, open });
});

/** What `open` rejects with in a folder that has the package and, of its addons, the given files alone. */
function openAlone(files: Record<string, string>, prelude = '') {
  const folder = mkdtempSync(join(tmpdir(), 'auspex-'));
  cpSync(`${root}/dist`, join(folder, 'dist'), { recursive: true });
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  const script = `${prelude}; const { open, isAuspexError } = require('./dist');
    open({ dim: 2 }).catch((e) => console.log(JSON.stringify([isAuspexError(e), e.name, e.code, e.message, !!e.cause])));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { cwd: folder, encoding: 'utf8' });
  rmSync(folder, { recursive: true });
  const [ours, name, code, message, cause] = JSON.parse(stdout || JSON.stringify([stderr]));
  return { ours, name, code, message, cause };
}

const onMachine = (platform: string, arch: string, report: unknown) =>
  `Object.defineProperties(process, { platform: { value: '${platform}' }, arch: { value: '${arch}' },
    report: { value: { getReport: () => (${JSON.stringify(report)}) } } })`;

test('without an addon the package loads, and open names the missing package, the libc and the remedy', (t) => {
  const glibc = { header: { glibcVersionRuntime: '2.31' } };
  const machines: [string, string, unknown, string, string][] = [
    ['linux', 'x64', glibc, 'linux-x64 with glibc 2.31', 'auspex-linux-x64-gnu'],
    ['linux', 'x64', { header: {} }, 'linux-x64 with musl', 'auspex-linux-x64-musl'],
    ['linux', 'arm64', glibc, 'linux-arm64 with glibc 2.31', 'auspex-linux-arm64-gnu'],
    ['linux', 'arm64', { header: {} }, 'linux-arm64 with musl', 'auspex-linux-arm64-musl'],
    ['darwin', 'x64', { header: {} }, 'darwin-x64', 'auspex-darwin-x64'],
    ['darwin', 'arm64', { header: {} }, 'darwin-arm64', 'auspex-darwin-arm64'],
    ['win32', 'x64', { header: {} }, 'win32-x64', 'auspex-win32-x64-msvc'],
    ['win32', 'arm64', { header: {} }, 'win32-arm64', 'auspex-win32-arm64-msvc'],
  ];
  for (const [platform, arch, report, machine, wanted] of machines) {
    const { ours, name, code, message, cause } = openAlone({}, onMachine(platform, arch, report));
    t.deepEqual([ours, name, code, cause], [true, 'AuspexError', 'ERR_NATIVE_LOAD', true], message);
    for (const word of [` on ${machine}: `, `package ${wanted} is not installed`, 'npm install --include=optional']) {
      t.true(message.includes(word), `${word} in: ${message}`);
    }
  }
  const { message } = openAlone({}, onMachine('freebsd', 'x64', { header: {} }));
  t.regex(message, /^auspex has no addon on freebsd-x64: none is built for it\. Remedy: `npm run build`/);
});

test('an addon that is there and does not load is told apart from one that is missing', (t) => {
  const file = 'node_modules/auspex-linux-x64-gnu/index.js';
  const machine = onMachine('linux', 'x64', { header: { glibcVersionRuntime: '2.31' } });
  const { code, message } = openAlone({ [file]: "throw new Error('GLIBC_9.9 not found\\nmore')" }, machine);
  t.is(code, 'ERR_NATIVE_LOAD');
  t.regex(message, /package auspex-linux-x64-gnu does not load: GLIBC_9\.9 not found\. Remedy: /);
});

test('a package of each target is found by its name', (t) => {
  const { targets } = JSON.parse(read('package.json')).napi;
  const packages = targets.map((target: string) => `auspex-${parseTriple(target).platformArchABI}`);
  const named = Array.from(read('lib/native.ts').matchAll(/require\('(auspex-.*)'\)/g), ([, name]) => name);
  t.deepEqual(named.sort(), packages.sort());
});

test('an instruction set that this machine lacks is an error that names it', (t) => {
  const script = `try { require('./dist').info() } catch (e) { console.log(e.code, e.message) }`;
  const env = { ...process.env, AUSPEX_ISA: process.arch === 'arm64' ? 'avx2' : 'neon' };
  const { stdout } = spawnSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8', env });
  t.regex(stdout, /^ERR_ARGUMENT .*(neon|avx2)/);
});

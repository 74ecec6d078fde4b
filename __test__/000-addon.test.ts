import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

test('without an addon the package loads, and open says what is missing and what to do', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'auspex-'));
  cpSync(`${root}/dist`, join(folder, 'dist'), { recursive: true });
  const script = `const { open, isAuspexError } = require('./dist');
    open({ dim: 2 }).catch((e) => console.log(JSON.stringify([isAuspexError(e), e.name, e.code, e.message, !!e.cause])));`;
  const { stdout, stderr } = spawnSync(process.execPath, ['-e', script], { cwd: folder, encoding: 'utf8' });
  rmSync(folder, { recursive: true });
  const [ours, name, code, message, cause] = JSON.parse(stdout || JSON.stringify([stderr]));
  t.deepEqual([ours, name, code, cause], [true, 'AuspexError', 'ERR_NATIVE_LOAD', true]);
  for (const word of [process.platform, process.arch, 'crates/node/auspex.', '.node', 'npm run build']) {
    t.true(message.includes(word), `${word} in: ${message}`);
  }
});

test('an instruction set that this machine lacks is an error that names it', (t) => {
  const script = `try { require('./dist').info() } catch (e) { console.log(e.code, e.message) }`;
  const env = { ...process.env, AUSPEX_ISA: process.arch === 'arm64' ? 'avx2' : 'neon' };
  const { stdout } = spawnSync(process.execPath, ['-e', script], { cwd: root, encoding: 'utf8', env });
  t.regex(stdout, /^ERR_ARGUMENT .*(neon|avx2)/);
});

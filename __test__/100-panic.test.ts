import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import test from 'ava';
import { AuspexError, info } from '../dist/index.mjs';
import { addon, read, root } from './harness.ts';
import { child } from './hazards/harness.ts';

const folder = 'crates/node/src';
const sources = readdirSync(`${root}/${folder}`)
  .filter((name) => name.endsWith('.rs'))
  .map((name) => ({ name, text: read(`${folder}/${name}`) }));

/** Items of the source that `#[napi]` exports: attribute, and the first words of the item. */
function exported(text: string): { attribute: string; item: string }[] {
  const code = text.replace(/\/\/.*$/gm, '');
  const found = code.matchAll(/#\[napi\b(\((?:[^()]|\([^()]*\))*\))?\]\s*(?:#\[[^\]]*\]\s*)*([^\n({;]*)/g);
  return [...found].map(([, attribute = '', item = '']) => ({ attribute, item }));
}

test('every exported function, method, constructor and getter catches panics', (t) => {
  let functions = 0;
  for (const { name, text } of sources) {
    for (const { attribute, item } of exported(text)) {
      if (!/\bfn\b/.test(item)) {
        t.regex(item, /^(pub )?(struct |impl |enum |\w+:)/, `${name}: ${item}`);
        continue;
      }
      functions++;
      t.regex(attribute, /\bcatch_unwind\b/, `${name}: ${item}`);
      t.notRegex(item, /\basync\b/, `${name}: ${item}`);
    }
    const attributes = text.replace(/\/\/.*$/gm, '').match(/#\[napi\b/g) ?? [];
    t.is(exported(text).length, attributes.length, `${name}: an attribute that this test cannot read`);
  }
  t.true(functions >= 25, `${functions} functions`);
});

test('every task is the one that catches panics', (t) => {
  const all = sources.map(({ text }) => text).join('\n');
  t.deepEqual(all.match(/impl\s+(?:\w+::)*Task\s+for\s+\w+/g), ['impl Task for Job']);
  t.notRegex(all, /AsyncTask<(?!Job>)|AsyncTask::with|spawn_blocking|execute_tokio|spawn_future|AsyncBlock|PromiseRaw/);
  t.notRegex(all, /std::thread|thread::spawn|queue_async_work/);
  t.is(all.match(/AsyncTask::new\(/g)?.length, 1);
  const job = sources.find(({ name }) => name === 'job.rs')?.text ?? '';
  for (const method of ['compute', 'resolve']) {
    const body = job.slice(job.indexOf(`fn ${method}(`)).split('\n    }\n')[0] ?? '';
    t.regex(body, /\bcaught\(/, method);
  }
});

test('no profile of the build ends the process at a panic', (t) => {
  for (const file of ['Cargo.toml', 'crates/node/Cargo.toml', 'crates/engine/Cargo.toml', 'crates/kernel/Cargo.toml']) {
    t.notRegex(read(file), /^\s*panic\s*=/m, file);
  }
  t.notRegex(read('.ci/build.mjs'), /panic[=-]/);
});

test('panics are ERR_INTERNAL, and the process goes on', async (t) => {
  const { across } = createRequire(import.meta.url)('../dist/native.js') as { across<T>(call: () => T): T };
  const internal = { instanceOf: AuspexError, code: 'ERR_INTERNAL', message: /a panic asked for/ };
  for (let i = 0; i < 20; i++) {
    t.throws(() => across(() => addon().__panic()), internal);
    const late = [addon().__panicAsync, addon().__panicLate].map((call) => t.throwsAsync(across(call), internal));
    await Promise.all(late);
  }
  t.truthy(info());
});

test('a child that panics again and again lives to search', async (t) => {
  const { code, signal, stdout, stderr } = await child(`
    const codes = [];
    for (let i = 0; i < 5; i++) {
      try { across(() => native().__panic()); } catch (error) { codes.push(error.code); }
      for (const call of [native().__panicAsync, native().__panicLate]) {
        await across(call).catch((error) => codes.push(error.code));
      }
    }
    const c = await auspex.open({ dim: 2 });
    await c.insert({ id: 'a', vector: [1, 2] });
    console.log(codes.length, new Set(codes).size, codes[0], c.searchSync([1, 2])[0].id);
  `);
  t.deepEqual({ code, signal, stdout }, { code: 0, signal: null, stdout: '15 1 ERR_INTERNAL a\n' }, stderr);
});

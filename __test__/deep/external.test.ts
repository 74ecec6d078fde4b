import { readdirSync } from 'node:fs';
import test from 'ava';
import { root } from '../harness.ts';
import { shim } from '../hazards/external.ts';
import { run } from '../hazards/harness.ts';

const onLinux = process.platform === 'linux' ? test : test.skip;

onLinux('the tests of the API pass without external buffers', async (t) => {
  t.timeout(180_000);
  const { env, log } = await shim();
  const files = readdirSync(`${root}/__test__`).filter((name) => /^0\d\d-.*\.test\.ts$/.test(name));
  const ava = ['node_modules/ava/entrypoints/cli.mjs', '--tap', ...files.map((name) => `__test__/${name}`)];
  const { code, stdout, stderr } = await run(process.execPath, ava, { ...env, NODE_CHANNEL_FD: undefined });
  t.is(code, 0, `${stdout}\n${stderr}`);
  t.regex(stdout, /# pass [1-9]\d+/);
  t.true(log().filter((line) => /^replaced .*auspex.*\.node$/.test(line)).length >= 2 * (files.length - 1));
  t.deepEqual(
    // What makes JavaScript of TypeScript has an addon too.
    log().filter((line) => /^called .*auspex/.test(line)),
    [],
  );
});

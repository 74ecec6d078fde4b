// Installs the folder, and then what `npm pack` makes of it, into empty projects: `import` and `require` both search,
// share their classes, and their types compile under both kinds of module resolution.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from './suites.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'auspex-package-'));
const offline = ['--offline', '--no-audit', '--no-fund', '--no-save', '--silent'];
const run = (cwd, command, ...args) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: 'pipe' });

const main = `
const collection = await open({ dim: 2 });
await collection.insert({ ids: ['a', 'b'], vectors: new Float32Array([1, 0, 0, 1]) });
const [hit] = await collection.search([1, 0.1], { k: 1 });
if (hit?.id !== 'a') throw new Error('found ' + JSON.stringify(hit));
await collection.close();
`;
const files = {
  'main.mjs': `import { open } from 'auspex';\n${main}`,
  'main.cjs': `const { open } = require('auspex');\n(async () => {${main}})().catch((e) => { console.error(e); process.exit(1); });\n`,
  'same.mjs': `import { createRequire } from 'node:module';\nimport * as esm from 'auspex';
const cjs = createRequire(import.meta.url)('auspex');
for (const name of new Set([...Object.keys(cjs), ...Object.keys(esm)])) if (cjs[name] !== esm[name]) throw new Error(name);\n`,
  'types.mts': `import { type Hit, open } from 'auspex';
export const hits: Promise<Hit<{ title: string }>[]> = open<{ title: string }>({ dim: 2 }).then((c) => c.search([1, 2]));\n`,
  'types.cts': `import auspex = require('auspex');
export const size: Promise<number> = auspex.open({ dim: 2 }).then((c) => c.size);\n`,
};

function check(name, spec) {
  const project = join(scratch, name);
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), '{ "name": "empty", "private": true }\n');
  run(project, 'npm', 'install', ...offline, spec);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(project, file), text);
  for (const file of ['main.mjs', 'main.cjs', 'same.mjs']) run(project, process.execPath, file);
  const strict = ['--strict', '--noEmit', '--target', 'es2022'];
  const tsc = (...args) =>
    run(project, process.execPath, join(root, 'node_modules/typescript/bin/tsc'), ...strict, ...args);
  tsc('--module', 'node16', '--moduleResolution', 'node16', 'types.mts', 'types.cts');
  tsc('--module', 'esnext', '--moduleResolution', 'bundler', 'types.mts');
  console.log(`${name}: import, require and types work`);
}

try {
  run(root, process.execPath, 'node_modules/publint/src/cli.js', '--strict');
  const pack = ['pack', '--ignore-scripts', '--json', '--pack-destination', scratch];
  const [{ filename, files: packed }] = JSON.parse(run(root, 'npm', ...pack));
  const stray = packed.filter(({ path }) => !/^(dist\/|crates\/node\/[^/]+\.node$|[^/]+$)/.test(path));
  if (stray.length > 0) throw new Error(`packs ${stray.map(({ path }) => path).join(', ')}`);
  check('folder', root);
  check('tarball', join(scratch, filename));
} catch (error) {
  console.error(error.stdout ?? '', error.stderr ?? '', error.message);
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

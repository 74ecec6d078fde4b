// Packs the packages, looks at what is in them, and installs the folder, then the packages, into empty projects:
// `import`, `require` and a bundle of esbuild's search, share their classes (LangChain's has each side its own), and the
// types of every entry compile in the oldest TypeScript that is supported, in the newest and in this project's, under every
// kind of module resolution. Where npm forgot the addon's package, the error names it. First, that ARCHITECTURE.md has a
// reason for each dependency.
import { execFile, execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { targets } from './build.mjs';
import { pack } from './pack.mjs';
import { root } from './suites.mjs';

const scratch = mkdtempSync(join(tmpdir(), 'auspex-package-'));
const offline = ['--offline', '--no-audit', '--no-fund', '--no-save', '--silent'];
const run = (cwd, command, ...args) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: 'pipe' });
const node = (cwd, ...args) => run(cwd, process.execPath, ...args);
const module = (path) => join(root, 'node_modules', path);

const main = `
const collection = await open({ dim: 2 });
await collection.insert({ ids: ['a', 'b'], vectors: new Float32Array([1, 0, 0, 1]) });
const [hit] = await collection.search([1, 0.1], { k: 1 });
if (hit?.id !== 'a') throw new Error('found ' + JSON.stringify(hit));
await collection.close();
`;
const store = `
const embeddings = { embedQuery: async () => [1, 2], embedDocuments: async (texts) => texts.map((_, i) => [1, i]) };
const store = await AuspexVectorStore.fromTexts(['a', 'b', 'c'], [{}, {}, {}], embeddings, {});
const [found] = await store.similaritySearch('any', 1);
if (!(store instanceof VectorStore) || !(found instanceof Document)) throw new Error('a class of another copy');
if (found.pageContent !== 'c') throw new Error('found ' + JSON.stringify(found));
const error = await store.delete({ filter: {} }).catch((thrown) => thrown);
if (!(error instanceof AuspexError)) throw new Error('another class of errors: ' + error);
await store.close();
`;
const files = {
  'main.mjs': `import { open } from 'auspex';\nexport const done = (async () => {${main}})();\nawait done;\n`,
  'main.cjs': `const { open } = require('auspex');\n(async () => {${main}})().catch((e) => { console.error(e); process.exit(1); });\n`,
  'same.mjs': `import { createRequire } from 'node:module';\nimport * as esm from 'auspex';
import * as electron from 'auspex/electron';\nimport * as renderer from 'auspex/electron/renderer';
const require = createRequire(import.meta.url);
const entries = { auspex: esm, 'auspex/electron': electron, 'auspex/electron/renderer': renderer };
for (const [entry, one] of Object.entries(entries)) {
  const other = require(entry);
  for (const name of new Set([...Object.keys(other), ...Object.keys(one)]))
    if (other[name] !== one[name]) throw new Error(entry + ': ' + name);
}
if (esm.AuspexError !== renderer.AuspexError) throw new Error('two classes of errors');
const names = [require('auspex/langchain'), await import('auspex/langchain')].map((each) => Object.keys(each).join());
if (names[0] !== names[1]) throw new Error('auspex/langchain: ' + names);\n`,
  'store.mjs': `import { AuspexError } from 'auspex';\nimport { Document } from '@langchain/core/documents';
import { VectorStore } from '@langchain/core/vectorstores';\nimport { AuspexVectorStore } from 'auspex/langchain';\n${store}`,
  'store.cjs': `const { AuspexError } = require('auspex');\nconst { Document } = require('@langchain/core/documents');
const { VectorStore } = require('@langchain/core/vectorstores');\nconst { AuspexVectorStore } = require('auspex/langchain');
(async () => {${store}})().catch((e) => { console.error(e); process.exit(1); });\n`,
  'a.jsonl': '{"id":"a","vector":[1,2]}',
  'missing.cjs': `require('auspex').open({ dim: 2 }).catch((e) => console.log(e.code, e.message));\n`,
  'esm.mts': `import { type Hit, open } from 'auspex';
export const hits: Promise<Hit<{ title: string }>[]> = open<{ title: string }>({ dim: 2 }).then((c) => c.search([1, 2]));\n`,
  'cjs.cts': `import auspex = require('auspex');
export const size: Promise<number> = auspex.open({ dim: 2 }).then((c) => c.size);\n`,
  'uses.mts': readFileSync(join(root, '__test__/types.ts'), 'utf8')
    .replace('../dist/index.mjs', 'auspex')
    .replace('../dist/electron/index.mjs', 'auspex/electron')
    .replace('../dist/electron/renderer.mjs', 'auspex/electron/renderer'),
  ...Object.fromEntries(
    ['mts', 'cts'].map((kind) => [
      `store.${kind}`,
      `import type { Embeddings } from '@langchain/core/embeddings';\nimport { AuspexVectorStore } from 'auspex/langchain';
export const found = async (embeddings: Embeddings): Promise<string[]> => {
  const store = await AuspexVectorStore.fromTexts<{ year: number }>(['a'], [{ year: 1 }], embeddings, { path: 'a.auspex' });
  // @ts-expect-error: a year is a number
  await store.similaritySearch('a', 1, { year: { $gt: 'b' } });
  return (await store.similaritySearch('a', 1, { year: { $gt: 0 } })).map(({ pageContent }) => pageContent);
};\n`,
    ]),
  ),
};

function project(name, ...specs) {
  const folder = join(scratch, name);
  mkdirSync(folder);
  writeFileSync(join(folder, 'package.json'), '{ "name": "empty", "private": true }\n');
  run(folder, 'npm', 'install', ...offline, ...specs);
  // A peer that the user installs. What it depends on is found where it really lies.
  mkdirSync(join(folder, 'node_modules/@langchain'));
  symlinkSync(module('@langchain/core'), join(folder, 'node_modules/@langchain/core'), 'junction');
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  return folder;
}

function runs(name, folder) {
  for (const file of ['main.mjs', 'main.cjs', 'same.mjs', 'store.mjs', 'store.cjs']) node(folder, file);
  const said = run(folder, 'npx', '--no-install', 'auspex', 'import', 'a.auspex', 'a.jsonl', '--quiet', '--json');
  if (JSON.parse(said).rows !== 1) throw new Error(`auspex import: ${said}`);
  console.log(`${name}: import and require work and give the same, and so does the command`);
}

async function compiles(name, folder) {
  for (const compiler of ['typescript-oldest', 'typescript', 'typescript-newest']) {
    const tsc = (args) =>
      promisify(execFile)(process.execPath, [module(`${compiler}/bin/tsc`), '--strict', '--noEmit', ...args], {
        cwd: folder,
      });
    const { version } = JSON.parse(readFileSync(module(`${compiler}/package.json`), 'utf8'));
    const kinds = {
      node16: ['--module', 'node16', '--target', 'es2022', 'esm.mts', 'cjs.cts', 'uses.mts'],
      bundler: ['--module', 'esnext', '--moduleResolution', 'bundler', '--target', 'es2022', 'esm.mts', 'uses.mts'],
      // The resolution of old CommonJS projects, which TypeScript 7 no longer has.
      node10: ['--module', 'commonjs', '--moduleResolution', 'node10', '--target', 'es2022', 'esm.mts', 'cjs.cts'],
    };
    if (version.startsWith('7')) delete kinds.node10;
    // The types of LangChain are not ours to check.
    const stores = ['--module', 'node16', '--target', 'es2022', '--skipLibCheck', 'store.mts', 'store.cts'];
    await Promise.all([...Object.values(kinds), stores].map(tsc));
    console.log(`${name}: types compile with TypeScript ${version} (${Object.keys(kinds).join(', ')})`);
  }
}

/** The addon goes with a bundle of `--loader:.node=copy`, and stays in node_modules where packages are external. */
function bundles(name, folder) {
  const esbuild = (...args) =>
    run(folder, 'npx', '--no-install', '--prefix', root, 'esbuild', '--bundle', '--platform=node', ...args);
  esbuild('main.mjs', '--packages=external', '--format=esm', '--outfile=external.mjs');
  node(folder, 'external.mjs');
  esbuild('main.cjs', '--format=cjs', '--loader:.node=copy', '--outdir=bundle', '--out-extension:.js=.cjs');
  cpSync(join(folder, 'bundle'), join(scratch, 'bundle'), { recursive: true });
  node(scratch, 'bundle/main.cjs');
  console.log(`${name}: bundled by esbuild, with the addon inside and outside of the bundle`);
}

function look({ name, target, files: packed, folder }) {
  const { scripts, optionalDependencies, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  if (scripts) throw new Error(`${name} has scripts`);
  const allowed = target
    ? /^(package\.json|README\.md|LICENSE|sbom\.cdx\.json|THIRD-PARTY-LICENSES|auspex\.[\w-]+\.node)$/
    : /^(package\.json|README\.md|LICENSE|index\.d\.ts|dist\/((electron\/)?\w+\.(js|mjs|d\.m?ts)|page\/\w+\.(html|css|js)|THIRD-PARTY-LICENSES|sbom\.cdx\.json))$/;
  const stray = packed.filter((path) => !allowed.test(path));
  if (stray.length > 0) throw new Error(`${name} packs ${stray.join(', ')}`);
  const wanted = target ? undefined : targets().map((each) => [`auspex-${each.name}`, version]);
  if (JSON.stringify(wanted) !== JSON.stringify(optionalDependencies && Object.entries(optionalDependencies)))
    throw new Error(`${name} depends on ${JSON.stringify(optionalDependencies)}`);
}

/** What is built from or with crates and packages is to say why. */
function reasons() {
  const crates = run(root, 'cargo', 'metadata', '--no-deps', '--format-version', '1', '--locked', '--offline');
  const { devDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const names = new Set(JSON.parse(crates).packages.flatMap((crate) => crate.dependencies.map(({ name }) => name)));
  for (const name of Object.keys(devDependencies)) names.add(name);
  const told = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8').split('## Dependencies')[1];
  const untold = [...names].filter((name) => !name.startsWith('auspex-') && !told.includes(`\`${name}\``));
  if (untold.length > 0) throw new Error(`ARCHITECTURE.md gives no reason for ${untold.join(', ')}`);
}

try {
  reasons();
  const packages = pack(join(scratch, 'packages'));
  packages.forEach(look);
  const [auspex] = packages;
  const libc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';
  const fits = ({ target }) =>
    target?.platform === process.platform && target.arch === process.arch && (target.libc ?? libc) === libc;
  const addon = packages.find(fits);
  node(auspex.folder, module('publint/src/cli.js'), '--strict');
  node(root, module('@arethetypeswrong/cli/dist/index.js'), auspex.tarball);
  console.log(`packed ${packages.map(({ name }) => name).join(', ')}: publint and attw are content`);

  runs('folder', project('folder', root));
  const installed = project('installed', auspex.tarball, addon.tarball);
  runs('installed', installed);
  await compiles('installed', installed);
  bundles('installed', installed);
  const said = node(project('forgotten', auspex.tarball), 'missing.cjs');
  if (!said.includes(`ERR_NATIVE_LOAD`) || !said.includes(`package ${addon.name} is not installed`))
    throw new Error(`without the package of the addon: ${said}`);
  console.log(`forgotten: the error names ${addon.name}`);
} catch (error) {
  console.error(error.stdout ?? '', error.stderr ?? '', error.message);
  process.exitCode = 1;
} finally {
  rmSync(scratch, { recursive: true, force: true });
}

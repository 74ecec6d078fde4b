import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { createPackageWithOptions, extractFile, listPackage, statFile } from '@electron/asar';
import test from 'ava';
import { root } from './harness.ts';

const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } };
const libc = { linux: header.glibcVersionRuntime ? '-gnu' : '-musl', win32: '-msvc' }[process.platform as string] ?? '';
const target = `${process.platform}-${process.arch}${libc}`;

/** Says which addon was loaded, and what it found. */
const main = `
const { dlopen } = process;
process.dlopen = (module, path, ...rest) => { console.log(path); return dlopen.call(process, module, path, ...rest); };
const { open } = require('auspex');
(async () => {
  const notes = await open({ dim: 2 });
  await notes.insert({ id: 'a', vector: [1, 2] });
  console.log((await notes.search([1, 2]))[0].id);
})();`;

/** An app with the package and its addon in node_modules, as npm installs them. */
function app(folder: string): void {
  const addon = `auspex.${target}.node`;
  const files: Record<string, string> = {
    'package.json': JSON.stringify({ name: 'app', main: 'main.js' }),
    'main.js': main,
    'node_modules/auspex/package.json': JSON.stringify({ name: 'auspex', main: './dist/index.js' }),
    [`node_modules/auspex-${target}/package.json`]: JSON.stringify({ name: `auspex-${target}`, main: addon }),
  };
  for (const [file, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), text);
  }
  cpSync(join(root, 'dist'), join(folder, 'node_modules/auspex/dist'), { recursive: true });
  cpSync(join(root, 'crates/node', addon), join(folder, `node_modules/auspex-${target}`, addon));
}

/**
 * Lays the files of an archive out as a folder of its name. Electron shows them so; what the archive says is unpacked
 * is not among them, as nothing can load it from there.
 */
function layOut(archive: string, folder: string): string[] {
  const outside: string[] = [];
  for (const path of listPackage(archive, { isPack: false }).map((each) => each.slice(1))) {
    const entry = statFile(archive, path, true);
    if ('files' in entry || 'link' in entry) continue;
    if (entry.unpacked) {
      outside.push(path);
      continue;
    }
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), extractFile(archive, path));
  }
  return outside;
}

test('in an app that is packed with asar, the addon is loaded from app.asar.unpacked', async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'auspex-asar-'));
  t.teardown(() => rmSync(scratch, { recursive: true, force: true }));
  const [source, packed, resources] = ['app', 'packed', 'resources'].map((name) => join(scratch, name)) as [
    string,
    string,
    string,
  ];
  app(source);
  await createPackageWithOptions(source, join(packed, 'app.asar'), { unpack: '**/*.node' });
  const outside = layOut(join(packed, 'app.asar'), join(resources, 'app.asar'));
  t.deepEqual(outside, [join(`node_modules/auspex-${target}`, `auspex.${target}.node`)]);
  cpSync(join(packed, 'app.asar.unpacked'), join(resources, 'app.asar.unpacked'), { recursive: true });

  const run = () =>
    execFileSync(process.execPath, [join(resources, 'app.asar/main.js')], { encoding: 'utf8', stdio: 'pipe' });
  const [path = '', id] = run().trim().split('\n');
  t.is(id, 'a');
  t.is(join(path), join(resources, 'app.asar.unpacked', outside[0] ?? ''));
  t.true(existsSync(path) && basename(path).endsWith('.node'));

  rmSync(join(resources, 'app.asar.unpacked'), { recursive: true });
  const { stderr } = t.throws(run) as Error & { stderr: string };
  t.regex(stderr, new RegExp(`ERR_NATIVE_LOAD[^]*auspex-${target}|auspex-${target}[^]*ERR_NATIVE_LOAD`));
});

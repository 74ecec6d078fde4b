import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { Ajv } from 'ajv';
import test from 'ava';
import { build } from 'esbuild';
import { read, root } from '../harness.ts';

/** Of these the types or the schema alone are used: nothing of theirs is run. */
const PACKAGES = [
  'electron@45.4.1',
  'app-builder-lib@26.17.0',
  '@electron-forge/shared-types@8.0.1',
  '@electron/packager@20.3.0',
];

const scratch = mkdtempSync(join(tmpdir(), 'auspex-electron-'));
const app = join(scratch, 'app');

test.before((t) => {
  t.timeout(300_000);
  const args = ['pack', '--silent', '--ignore-scripts', '--pack-destination', scratch, ...PACKAGES];
  const tarballs = execFileSync('npm', args, { cwd: scratch, encoding: 'utf8' }).trim().split('\n');
  for (const [i, spec] of PACKAGES.entries()) {
    const folder = join(scratch, 'node_modules', spec.replace(/@[\d.]+$/, ''));
    mkdirSync(folder, { recursive: true });
    execFileSync('tar', ['xzf', join(scratch, tarballs[i] ?? ''), '--strip-components=1', '-C', folder]);
  }
  for (const name of ['@electron/asar', '@types/node']) {
    mkdirSync(dirname(join(scratch, 'node_modules', name)), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), join(scratch, 'node_modules', name));
  }
  symlinkSync(root, join(scratch, 'node_modules/auspex'));
  cpSync(join(root, 'examples/electron'), app, { recursive: true });
  // Forge reads its configuration as a bundler does.
  const options = { rootDir: '.', module: 'ESNext', moduleResolution: 'Bundler' };
  const config = { extends: './tsconfig.json', compilerOptions: options, include: ['forge.config.ts'] };
  writeFileSync(join(app, 'tsconfig.forge.json'), JSON.stringify(config));
});

test.after.always(() => rmSync(scratch, { recursive: true, force: true }));

/** What TypeScript says of the app or of Forge's configuration, with something replaced in one file. */
function compile(file: string, from = '', to = ''): string {
  const path = join(app, file);
  const text = readFileSync(path, 'utf8');
  const project = file.startsWith('forge') ? 'tsconfig.forge.json' : 'tsconfig.json';
  const tsc = join(root, 'node_modules/typescript/bin/tsc');
  try {
    writeFileSync(path, text.replace(from, to));
    execFileSync(process.execPath, [tsc, '--noEmit', '-p', project], { cwd: app, encoding: 'utf8', stdio: 'pipe' });
    return '';
  } catch (error) {
    return (error as { stdout: string }).stdout;
  } finally {
    writeFileSync(path, text);
  }
}

test.serial("the app compiles with Electron's types, and the configuration for Forge with Forge's", (t) => {
  t.timeout(300_000);
  const files: [string, string, string][] = [
    ['src/main.ts', 'contextIsolation', 'contextIsolashun'],
    ['forge.config.ts', 'unpack:', 'unpak:'],
  ];
  for (const [file, from, to] of files) {
    t.is(compile(file), '');
    t.regex(compile(file, from, to), new RegExp(`${file}.*'${to.replace(':', '')}'`));
  }
});

test.serial('its page is bundled for a browser', async (t) => {
  const { metafile } = await build({
    entryPoints: [join(app, 'src/page.ts')],
    bundle: true,
    format: 'esm',
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  const inputs = Object.values(metafile.inputs);
  t.true(inputs.length > 5);
  t.deepEqual(
    inputs.flatMap(({ imports }) => imports.filter(({ external }) => external)),
    [],
  );
});

test.serial("the configuration for electron-builder fits electron-builder's schema", (t) => {
  const schema = JSON.parse(readFileSync(join(scratch, 'node_modules/app-builder-lib/scheme.json'), 'utf8'));
  const validate = new Ajv({ strict: false, allErrors: true }).compile(schema);
  const config = JSON.parse(read('examples/electron/electron-builder.json'));
  t.true(validate(config), JSON.stringify(validate.errors));
  for (const wrong of [{ asarUnpak: ['x'] }, { asarUnpack: 5 }, { npmRebuild: 'no' }])
    t.false(validate({ ...config, ...wrong }));
});

test.serial('docs/electron.md shows the files that are checked here', (t) => {
  const text = read('docs/electron.md');
  for (const file of ['electron-builder.json', 'forge.config.ts', 'src/database.ts', 'src/preload.ts'])
    t.true(text.includes(read(`examples/electron/${file}`)), file);
});

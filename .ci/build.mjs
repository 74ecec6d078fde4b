// `npm run build`: the release addon for this machine, then dist/. With `--lib`, dist/ alone.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** Runs a command in the project's folder, and ends with its code when it fails. */
export function run(command, args) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
  });
  if (error) console.error(`${command}: ${error.message}`);
  if (status !== 0) process.exit(status ?? 1);
}

/** Installs what package-lock.json names, unless it is there. */
export function install() {
  if (!existsSync(`${root}/node_modules/.package-lock.json`)) run('npm', ['ci', '--no-audit', '--no-fund']);
}

function addon() {
  const crate = 'crates/node';
  const files = ['--output-dir', crate, '--no-js', '--dts', 'binding.d.ts'];
  run('npx', [
    '--no-install',
    'napi',
    'build',
    '--manifest-path',
    `${crate}/Cargo.toml`,
    ...files,
    '--platform',
    '--release',
  ]);
}

function dist() {
  rmSync(`${root}/dist`, { recursive: true, force: true });
  mkdirSync(`${root}/dist`);
  run('npx', ['--no-install', 'tsc', '-p', 'tsconfig.json']);
  // One implementation and one set of types: those of ESM are those of CommonJS.
  const names = Object.keys(createRequire(import.meta.url)('../dist/index.js')).sort();
  writeFileSync(`${root}/dist/index.mjs`, `export { ${names.join(', ')} } from './index.js';\n`);
  writeFileSync(`${root}/dist/index.d.mts`, "export * from '../index.js';\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  install();
  if (!process.argv.includes('--lib')) addon();
  dist();
}

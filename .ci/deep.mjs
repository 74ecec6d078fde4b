// `npm run test:deep`: what takes minutes. Builds where that is due.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { built, install } from './build.mjs';
import { cargoCount, checkCount, root, runSuites, tapCount } from './suites.mjs';

install();

const deep = existsSync(`${root}/__test__/deep`)
  ? readdirSync(`${root}/__test__/deep`).filter((name) => name.endsWith('.test.ts'))
  : [];
const data = process.env.AUSPEX_DATA ?? join(root, '../shared/data');
const full = existsSync(join(data, 'sift128-100k.gt.npy'));
if (!full) console.log(`not run  gates on the full data sets: they are not in ${data} (AUSPEX_DATA)`);
const suites = [
  { name: 'build', command: process.execPath, args: ['.ci/build.mjs'], count: checkCount, required: true },
  {
    name: 'rust deep tests',
    command: 'cargo',
    args: ['test', '--workspace', '--locked', '--', '--ignored', 'deep_', ...(full ? [] : ['--skip', 'deep_full_'])],
    count: cargoCount,
  },
];
suites.push({
  name: 'fuzz corpus',
  command: 'cargo',
  args: ['test', '--manifest-path', 'fuzz/Cargo.toml', '--locked', '--', '--nocapture'],
  // Crates that the workspace has built serve here too, as long as both have one profile for tests.
  env: { AUSPEX_FUZZ: '600', CARGO_TARGET_DIR: built },
  count: cargoCount,
});
if (deep.length > 0) {
  const args = ['--no-install', 'ava', '--tap', '--timeout=10m', '--concurrency=1', '__test__/deep/*.test.ts'];
  suites.push({ name: 'api deep tests', command: 'npx', args, count: tapCount, figures: /^.*not run .*$/gm });
}
if (existsSync(`${root}/.ci/arm64`)) {
  suites.push({ name: 'kernel on arm64', command: `${root}/.ci/arm64`, count: arm64Count });
}

/** Counts of cargo's, or why there are none. */
function arm64Count(output) {
  const [, notRun] = /^arm64: not run \((.*)\)$/m.exec(output) ?? [];
  return { ...cargoCount(output), notRun };
}

// What depends on the instruction set: distances, so graphs and answers. The best set of the machine has been through
// everything by `npm test`; the others are run here. Their kernels give the same bits (the kernel's tests) and their graphs are
// the same (`determinism`), so recall is.
const every = process.arch === 'arm64' ? ['neon', 'scalar'] : ['avx512', 'avx2', 'scalar'];
const best = every.find(isPresent);
const engine = ['--test', 'suite', '--', 'determinism::', 'edges::', 'model::'];
for (const isa of every.filter((each) => each !== best)) {
  const force = { env: { AUSPEX_ISA: isa }, isa };
  const rust = { command: 'cargo', args: ['test', '-p', 'auspex-engine', '--locked', ...engine], count: cargoCount };
  const api = { command: 'npx', args: ['--no-install', 'ava', '--tap', '__test__/0[0-4]*.test.ts'], count: tapCount };
  suites.push({ name: `engine on ${isa}`, ...rust, ...force }, { name: `api tests on ${isa}`, ...api, ...force });
}

console.log(`instruction sets: ${every.filter(isPresent).join(', ')} (${best} by npm test, the others here)`);
await runSuites(
  suites.filter(({ name, isa }) => {
    if (!isa || isPresent(isa)) return true;
    console.log(`not run  ${name}: this machine has no ${isa}`);
    return false;
  }),
);

/** Asked of the processor: an instruction set is not absent because the library says so. */
function isPresent(isa) {
  if (isa === 'scalar' || isa === 'neon') return true;
  if (!existsSync('/proc/cpuinfo')) return isa === 'avx2';
  const flags = new Set(/^flags\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))?.[1].trim().split(' '));
  const needed = isa === 'avx2' ? ['avx2', 'f16c'] : ['avx512f', 'avx512bw', 'avx512vl', 'avx512_vnni'];
  return needed.every((flag) => flags.has(flag));
}

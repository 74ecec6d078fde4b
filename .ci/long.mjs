// `npm run test:long`: what takes hours, or a nightly Rust. Words behind it choose suites whose names have one of them.
//
// AUSPEX_SOAK: minutes of the soak (10). AUSPEX_KILLS: processes killed (500). AUSPEX_FUZZ_SECONDS: of each target (300).
// AUSPEX_IMPORT_MB: JSON lines that are imported (2000).
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { built, install, run } from './build.mjs';
import { cargoCount, checkCount, root, runSuites, tapCount } from './suites.mjs';

install();

const words = process.argv.slice(2);
const wanted = ({ name }) => words.length === 0 || words.some((word) => name.includes(word));
const seconds = Number(process.env.AUSPEX_FUZZ_SECONDS ?? 300);
const triple = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-unknown-linux-gnu`;
/** A build of its own for each way of building: they would undo each other's. */
const apart = (name) => ({ CARGO_TARGET_DIR: join(built, name) });
const nightly = (...parts) => spawnSync('rustup', ['run', 'nightly', ...parts], { encoding: 'utf8' }).status === 0;

const cargo = (name, args, figures, env = {}) => ({ name, command: 'cargo', args, count: cargoCount, figures, env });
const ava = (name, figures) => {
  const args = ['--no-install', 'ava', '--tap', '--timeout=2h', `__test__/long/${name}.test.ts`];
  return { name, command: 'npx', args, count: tapCount, figures };
};
const engine = ['test', '-p', 'auspex-engine', '--locked'];
const threads = ['--test', 'suite', '--', 'concurrency::', 'guard::', 'compaction::', 'reopen::'];
// What needs no files and no system that miri lacks.
const pure = ['memory::tests', 'arena', 'frame::', 'manifest', 'ids::tests', 'rows::tests', 'a_log_that_lacks'];

/** Suites that need a nightly Rust. */
const unstable = [
  ...Object.entries({ 'address sanitizer': ['--lib'], 'address sanitizer and threads': threads }).map(([name, tests]) =>
    cargo(name, ['+nightly', ...engine, '--target', triple, ...tests], undefined, {
      ...apart('asan'),
      RUSTFLAGS: '-Zsanitizer=address',
      ASAN_OPTIONS: 'detect_leaks=0',
    }),
  ),
  cargo('thread sanitizer', ['+nightly', ...engine, '-Zbuild-std', '--target', triple, ...threads], undefined, {
    ...apart('tsan'),
    RUSTFLAGS: '-Zsanitizer=thread',
  }),
  cargo(
    'miri',
    ['+nightly', 'miri', ...engine, '--lib', '--', ...pure, '--skip', 'more_than_a_call_may_hold'],
    undefined,
    {
      ...apart('miri'),
      MIRIFLAGS: '-Zmiri-disable-isolation',
    },
  ),
  cargo('miri over the kernel', ['+nightly', 'miri', 'test', '-p', 'auspex-kernel', '--lib', '--locked'], undefined, {
    ...apart('miri'),
    MIRIFLAGS: '-Zmiri-disable-isolation',
  }),
  ...['open', 'operations'].map((target) => fuzz(target)),
];

/** A fuzzer over one target, from the kept corpus on; what it adds stays with what is built. */
function fuzz(target) {
  const grown = join(built, 'corpus', target);
  const limits = [
    `-max_total_time=${seconds}`,
    '-max_len=256',
    '-len_control=0',
    '-timeout=60',
    '-print_final_stats=1',
  ];
  const build = ['--fuzz-dir', 'fuzz', '--features', 'libfuzzer', '--sanitizer', 'none'];
  return {
    name: `fuzz ${target}`,
    command: join(built, 'cargo-fuzz/bin/cargo-fuzz'),
    args: ['fuzz', 'run', ...build, target, grown, `fuzz/corpus/${target}`, '--', ...limits],
    env: { ...apart('fuzz'), RUSTUP_TOOLCHAIN: 'nightly' },
    count: checkCount,
    figures: /^stat::(number_of_executed_units|new_units_added).*$/gm,
    prepare: () => {
      mkdirSync(grown, { recursive: true });
      const place = join(built, 'cargo-fuzz');
      if (!existsSync(join(place, 'bin/cargo-fuzz')))
        run('cargo', ['install', 'cargo-fuzz', '--locked', '--root', place]);
    },
  };
}

const suites = [
  { name: 'build', command: process.execPath, args: ['.ci/build.mjs'], count: checkCount, required: true },
  cargo(
    'rust long tests',
    [...engine, '--release', '--lib', '--test', 'suite', '--', '--ignored', '--nocapture', '--test-threads=1', 'long_'],
    /^.*(\d schedules|open in).*$/gm,
  ),
  ava('kill', /^.*processes killed.*$/gm),
  ava('workers', /^ok.*$/gm),
  ava('load', /^.*MiB besides.*$/gm),
  {
    ...ava('import', /^.*MB of JSON lines.*$/gm),
    args: ['--no-install', 'ava', '--tap', '--timeout=30m', '__test__/deep/command.test.ts', '--match', 'JSON*'],
    env: { AUSPEX_IMPORT_MB: process.env.AUSPEX_IMPORT_MB ?? '2000' },
  },
  ava('soak', /^.*longest wait.*$/gm),
];
const missing = nightly('cargo', 'miri', '--version')
  ? undefined
  : 'rustup toolchain install nightly -c miri -c rust-src';
for (const suite of unstable.filter(wanted)) {
  if (missing) console.log(`not run  ${suite.name}: it needs \`${missing}\``);
  else suites.push(suite);
}
const chosen = suites.filter((suite) => suite.required || wanted(suite));
for (const suite of chosen) suite.prepare?.();
process.chdir(root);
await runSuites(chosen);

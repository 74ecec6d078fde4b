// `npm run build`: the release addon for this machine, then dist/. With `--lib`, dist/ alone; with `--target TRIPLE`, the
// addon for one of the package's targets, as it is published.
import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { basename, delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { bundleSbom } from './sbom.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

/** Where cargo builds, and what is fetched or made for a release. */
export const built = process.env.CARGO_TARGET_DIR ?? join(root, 'target');

/** The targets of package.json: `triple` and `name` (as in `auspex-${name}`), platform, arch, libc where there are two. */
export function targets() {
  const { parseTriple } = require('@napi-rs/cli');
  const { napi } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  return napi.targets.map((triple) => {
    const { platformArchABI: name, platform, arch, abi } = parseTriple(triple);
    const libc = platform === 'linux' ? { gnu: 'glibc', musl: 'musl' }[abi] : undefined;
    return { triple, name, platform, arch, libc, file: join(root, `crates/node/auspex.${name}.node`) };
  });
}

/** Runs a command in the project's folder, and ends with its code when it fails. */
export function run(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
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

/**
 * Linux is linked by zig, which brings every libc: glibc as old as Node 20 runs on, whatever this machine
 * has. Windows and macOS are built on themselves for what is published; zig shows that they link.
 */
function cross(triple) {
  const { file, platform } = targets().find((target) => target.triple === triple) ?? {};
  if (!file) throw new Error(`${triple} is none of the targets in package.json`);
  const native = process.platform === platform && platform !== 'linux';
  const gnu = triple === 'x86_64-pc-windows-msvc' ? 'x86_64-pc-windows-gnu' : 'aarch64-pc-windows-gnullvm';
  const rust = platform === 'win32' && !native ? gnu : triple;
  const args = ['--release', '--locked', '-p', 'auspex-node', '--target'];
  run('rustup', ['target', 'add', rust]);
  // Messages of panics name files: as they are called in the project, wherever it is built.
  const cargo = process.env.CARGO_HOME ?? join(homedir(), '.cargo');
  const remap = `--remap-path-prefix=${root}= --remap-path-prefix=${cargo}=cargo`;
  // In a folder of its own: the build for this machine has other flags, and each would undo the other's.
  const apart = { CARGO_TARGET_DIR: join(built, 'targets') };
  if (native) run('cargo', ['build', ...args, rust], { ...apart, RUSTFLAGS: remap });
  else {
    const env = { ...apart, RUSTFLAGS: triple.endsWith('musl') ? `${remap} -C target-feature=-crt-static` : remap };
    if (platform === 'win32') env.LIBNODE_PATH = nodeLibrary();
    const libc = triple.endsWith('linux-gnu') ? '.2.28' : '';
    run('cargo', ['zigbuild', ...args, rust + libc], { ...env, PATH: `${zig()}${delimiter}${process.env.PATH}` });
  }
  const folder = join(apart.CARGO_TARGET_DIR, rust, 'release');
  const library = readdirSync(folder).find((name) => /^(lib)?auspex_node\.(so|dylib|dll)$/.test(name));
  rmSync(file, { force: true });
  copyFileSync(join(folder, library), file);
}

/** The folder of a library without symbols: the addon asks the program that loads it, napi-build for a library. */
function nodeLibrary() {
  const folder = join(built, 'libnode');
  mkdirSync(folder, { recursive: true });
  for (const name of ['libnode.dll', 'libnode.a']) writeFileSync(join(folder, name), '!<arch>\n');
  return folder;
}

/** The folder of cargo-zigbuild and zig, installed from PyPI into a folder of their own. */
function zig() {
  const venv = join(built, 'zig');
  if (!existsSync(join(venv, 'bin/cargo-zigbuild'))) {
    run('python3', ['-m', 'venv', venv]);
    run(join(venv, 'bin/pip'), ['install', '--quiet', 'cargo-zigbuild==0.24.0', 'ziglang==0.17.1']);
  }
  return join(venv, 'bin');
}

/** What `exports` names, in dist/. */
const ENTRIES = ['index', 'electron/index', 'electron/renderer', 'langchain'];

function dist() {
  rmSync(`${root}/dist`, { recursive: true, force: true });
  mkdirSync(`${root}/dist`);
  run('npx', ['--no-install', 'tsc', '-p', 'tsconfig.json']);
  declarations();
  // One implementation and one set of types: those of ESM are those of CommonJS.
  for (const entry of ENTRIES.filter((each) => each !== 'langchain')) {
    const names = Object.keys(require(`../dist/${entry}.js`)).sort();
    const file = basename(entry);
    writeFileSync(`${root}/dist/${entry}.mjs`, `export { ${names.join(', ')} } from './${file}.js';\n`);
    const types = entry === 'index' ? '../index.js' : `./${file}.js`;
    writeFileSync(`${root}/dist/${entry}.d.mts`, `export * from '${types}';\n`);
  }
  // But LangChain has two implementations: a class extends that of whoever imports it. All else of ours stays one.
  const ts = require('typescript');
  const source = readFileSync(`${root}/lib/langchain.ts`, 'utf8');
  const { outputText } = ts.transpileModule(source, {
    compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 },
  });
  const named = (text) => text.replace(/(?<=from ')(\.[^']+)(?=')/g, '$1.js');
  writeFileSync(`${root}/dist/langchain.mjs`, named(outputText));
  writeFileSync(`${root}/dist/langchain.d.mts`, named(readFileSync(`${root}/dist/langchain.d.ts`, 'utf8')));
  command();
}

/** Keeps the types of the entries but the first, whose types stand in index.d.ts: from there they take what they share. */
function declarations() {
  const kept = new Map();
  const keep = (file) => {
    const path = join(root, 'dist', `${file}.d.ts`);
    if (kept.has(path)) return;
    kept.set(path, '');
    const index = `${'../'.repeat(file.split('/').length)}index`;
    const text = readFileSync(path, 'utf8').replace(/(?<=from ')\.[^']*(?=')/g, (name) => {
      const target = join(dirname(file), name);
      if (/^(types|errors)$/.test(target)) return index;
      keep(target);
      return name;
    });
    kept.set(path, text);
  };
  ENTRIES.slice(1).forEach(keep);
  for (const name of readdirSync(`${root}/dist`, { recursive: true }))
    if (name.endsWith('.d.ts')) rmSync(join(root, 'dist', name));
  for (const [path, text] of kept) writeFileSync(path, text);
}

/**
 * The command `auspex` as one file, with the readers of CSV and Parquet in it: who uses the library alone installs
 * nothing for it. Their licences go with it, and a bill of materials.
 */
function command() {
  const flags = [
    '--bundle',
    '--platform=node',
    '--target=node20',
    '--format=cjs',
    '--external:auspex',
    '--log-level=warning',
  ];
  run('npx', ['--no-install', 'esbuild', 'cli/main.ts', ...flags, '--metafile=dist/cli.json', '--outfile=dist/cli.js']);
  const { inputs } = JSON.parse(readFileSync(`${root}/dist/cli.json`, 'utf8'));
  rmSync(`${root}/dist/cli.json`);
  const packages = new Set(
    Object.keys(inputs).flatMap((path) => /^node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? []),
  );
  const notices = Array.from(packages, (name) => {
    const folder = `${root}/node_modules/${name}`;
    const { version } = JSON.parse(readFileSync(`${folder}/package.json`, 'utf8'));
    const file = readdirSync(folder).find((each) => /^licen[cs]e/i.test(each));
    return `${name} ${version}\n\n${readFileSync(join(folder, file), 'utf8').trim()}\n`;
  });
  writeFileSync(`${root}/dist/THIRD-PARTY-LICENSES`, notices.sort().join('\n\n'));
  writeFileSync(`${root}/dist/sbom.cdx.json`, `${JSON.stringify(bundleSbom([...packages].sort()), null, 1)}\n`);
  cpSync(`${root}/cli/explore/page`, `${root}/dist/page`, { recursive: true });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  install();
  const [how, triple] = process.argv.slice(2);
  if (how === '--target') cross(triple);
  else {
    if (how !== '--lib') addon();
    dist();
  }
}

/** What documents and examples tell a user to do, done as a user does it: from the packages, in an empty project. */
import { execFileSync, spawn } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, delimiter, join } from 'node:path';
import test from 'ava';
import { COMMANDS } from '../../cli/flags.ts';
import { root } from '../harness.ts';

const scratch = mkdtempSync(join(tmpdir(), 'auspex-packed-'));
/** The project: it has the packages of this machine, and what a user of LangChain has besides. */
const home = join(scratch, 'home');
const PATH = [join(home, 'node_modules/.bin'), process.env.PATH].join(delimiter);

test.before(async (t) => {
  t.timeout(120_000);
  // @ts-expect-error: a script without types.
  const { pack } = await import('../../.ci/pack.mjs');
  const packages: { tarball: string; target?: { platform: string; arch: string; libc?: string } }[] = pack(
    join(scratch, 'packages'),
  );
  const libc = Object(process.report.getReport()).header.glibcVersionRuntime ? 'glibc' : 'musl';
  const fits = ({ target }: (typeof packages)[number]) =>
    !target || (target.platform === process.platform && target.arch === process.arch && (target.libc ?? libc) === libc);
  mkdirSync(home);
  writeFileSync(join(home, 'package.json'), '{ "name": "empty", "private": true }');
  const flags = ['--offline', '--no-audit', '--no-fund', '--no-save', '--silent'];
  execFileSync('npm', ['install', ...flags, ...packages.filter(fits).map(({ tarball }) => tarball)], { cwd: home });
  symlinkSync(join(root, 'node_modules/@langchain'), join(home, 'node_modules/@langchain'));
});
test.after.always(() => rmSync(scratch, { recursive: true, force: true }));

/** Runs a program to its end; where it serves a page, until its address is printed, and then ends it as by Ctrl-C. */
function ran(file: string, args: string[], cwd: string) {
  return new Promise<{ code: number | null; output: string; errors: string }>((resolve, reject) => {
    const env = { ...process.env, PATH };
    const child = spawn(file, args, { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
    let [output, errors] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text) => {
      output += text;
      if (/^Open this address .* Ctrl-C/m.test(output)) child.kill('SIGINT');
    });
    child.stderr.setEncoding('utf8').on('data', (text) => (errors += text));
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output, errors }));
  });
}

/** Runs a script of a shell; pages that it serves are served behind all else. */
async function script(text: string, cwd: string) {
  const lines = text.replaceAll('npx auspex', 'auspex').split('\n');
  const serves = (line: string) => line.startsWith('auspex explore ');
  const rest = lines.filter((line) => !serves(line)).join('\n');
  const done = await ran('bash', ['-e', '-o', 'pipefail', '-c', `exec 2>&1\n${rest}`], cwd);
  for (const line of lines.filter(serves)) {
    const [command = '', ...args] = line.replace(/ +#.*/, '').split(/ +/);
    const { code, output } = await ran(command, args, cwd);
    done.code ||= code;
    done.output += output;
  }
  return done;
}

/** Blocks of a document in a language, each with the block of text behind it, where there is one. */
function blocks(document: string, language: string) {
  const text = readFileSync(join(root, document), 'utf8');
  const found = text.matchAll(
    new RegExp(`^( *)\`\`\`${language}\n([\\s\\S]*?)^ *\`\`\`\n(\n\`\`\`text\n([\\s\\S]*?)\`\`\`)?`, 'gm'),
  );
  return Array.from(found, ([, indent = '', body = '', , expected]) => ({
    body: body.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
    expected,
  }));
}

/** A text without its progress, its figures, tokens and widths of columns. */
const shape = (text: string) =>
  text
    .replaceAll(home, '/home/ada')
    .replace(/^\w+ +\d+% .*\n/gm, '')
    .replace(/127\.0\.0\.1:\d+\/[\w-]+/g, 'ADDRESS')
    .replace(/\d[\d,.]*/g, '0')
    .replace(/(avx512|avx0|avx2|neon|scalar)/g, 'ISA')
    .replace(/(bytes|kB|MB)/g, 'SIZE')
    .replace(/ +/g, ' ')
    .trim();

test.serial('every command of docs/cli.md runs, and prints what is written there', async (t) => {
  t.timeout(120_000);
  const commands = new Set<string>();
  let [all, told] = [0, 0];
  for (const { body, expected } of blocks('docs/cli.md', 'sh')) {
    for (const [, name = ''] of body.matchAll(/npx auspex (\w+)/g)) commands.add(name);
    const { code, output } = await script(body, home);
    t.is(code, Number(/ # exit code (\d+)/.exec(body)?.[1] ?? 0), `${body}\n${output}`);
    all++;
    if (expected === undefined) continue;
    told++;
    t.is(shape(output), shape(expected), body);
  }
  t.true(all >= 14 && told >= 12, `${all} blocks, ${told} with what they print`);
  t.deepEqual([...commands].sort(), Object.keys(COMMANDS).sort());
});

test.serial('the first program of README and its commands run as they stand there', async (t) => {
  const at = join(home, 'readme');
  mkdirSync(at);
  const [program] = blocks('README.md', 'js');
  writeFileSync(join(at, 'notes.mjs'), program?.body ?? '');
  const { code, output, errors } = await ran(process.execPath, ['notes.mjs'], at);
  t.is(code, 0, errors);
  t.is(output, program?.expected ?? 'a block of text behind it');
  const some = blocks('README.md', 'sh').filter(({ body }) => body.includes('npx auspex'));
  t.is(some.length, 1);
  for (const { body } of some) {
    const { code, output } = await script(body, at);
    t.is(code, 0, `${body}\n${output}`);
    t.regex(output, /3 added, 0 replaced, 3 rows now[\s\S]* 1 +b [\s\S]*http:/);
  }
});

/** What stands before the code of a document: names that a reader would have. */
const notes = `import { open } from 'auspex';
type Doc = { year: number; tags: string[]; draft: boolean; lang: string; document: string };
const notes = await open<Doc>({ dim: 2 });
for (let i = 0; i < 9; i++)
  await notes.insert({ id: \`\${i}\`, vector: [i, 1], metadata: { year: 2015 + i, tags: ['rust'], draft: i < 2, lang: 'en', document: \`\${i % 6}\` } });
const query = [1, 2];
`;
const BEFORE: Record<string, string[]> = {
  'README.md': [
    "import { open } from 'auspex';\n",
    `import { FakeEmbeddings } from '@langchain/core/utils/testing';
import { Document } from '@langchain/core/documents';
const [documents, embeddings] = [[new Document({ pageContent: 'a' })], new FakeEmbeddings()];
`,
  ],
  'docs/filters.md': [notes, "import { open } from 'auspex';\ntype Doc = { year: number; tags: string[] };\n"],
  'docs/results.md': [notes],
  'docs/text.md': [
    "import { open } from 'auspex';\nconst embed = async (text: string) => new Float32Array(384).fill(text.length);\n",
  ],
  'docs/tuning.md': [notes],
};

test.serial('the code of README and of the documents compiles and runs', async (t) => {
  t.timeout(120_000);
  const at = join(home, 'code');
  mkdirSync(at);
  const files = Object.entries(BEFORE).flatMap(([document, before]) => {
    const code = blocks(document, 'ts');
    t.is(code.length, before.length, document);
    return code.map(({ body }, i) => {
      const name = `${document.replace(/\W/g, '-')}-${i}`;
      writeFileSync(join(at, `${name}.mts`), `${before[i]}${body}\nexport {};\n`);
      return name;
    });
  });
  const flags = ['--strict', '--skipLibCheck', '--module', 'node16', '--target', 'es2022', '--types', 'node'];
  const roots = ['--typeRoots', join(root, 'node_modules/@types'), ...files.map((name) => `${name}.mts`)];
  const compiled = await ran(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...flags, ...roots], at);
  t.is(compiled.code, 0, compiled.output);
  for (const name of files) {
    const cwd = join(at, name);
    mkdirSync(cwd);
    const { code, errors } = await ran(process.execPath, [join(at, `${name}.mjs`)], cwd);
    t.is(code, 0, `${name}: ${errors}`);
  }
});

const data = process.env.AUSPEX_DATA ?? join(root, '../shared/data');
const sift = join(data, 'sift128-100k.base.u8.npy');
const withSift = existsSync(sift) ? test.serial : test.serial.skip;
if (!existsSync(sift)) console.log(`not run  the import of sift128-100k: it is not in ${data} (AUSPEX_DATA)`);

withSift('sift128-100k is imported from .npy and from .jsonl, with progress', async (t) => {
  t.timeout(300_000);
  const at = join(home, 'sift');
  mkdirSync(at);
  const timed = async (command: string) => {
    const { code, output } = await script(`TIMEFORMAT='CPU %U %S'\ntime ${command}`, at);
    t.is(code, 0, output);
    const [, user, system] = /^CPU ([\d.]+) ([\d.]+)$/m.exec(output) ?? [];
    return { output, seconds: Number(user) + Number(system) };
  };
  for (const file of [sift, 'sift.jsonl']) {
    const path = `${file.endsWith('.npy') ? 'a' : 'b'}.auspex`;
    const { output, seconds } = await timed(`auspex import ${path} '${file}' --metric l2`);
    t.regex(output, /^Importing +\d+% {2}[\d,]+ rows, [\d,]+ rows\/s, \d+ s left$/m);
    t.regex(output, /^Importing: 100,000 rows in [\d.]+ s, [\d,]+ rows\/s$/m);
    t.regex(output, /100,000 added, 0 replaced, 100,000 rows now \(128 numbers, l2\)$/m);
    const rate = Math.round(100_000 / seconds).toLocaleString('en-US');
    t.log(`${basename(file)}: ${seconds.toFixed(1)} s of CPU, ${rate} rows a second of CPU`);
    if (path === 'a.auspex') await timed('auspex export a.auspex sift.jsonl -q');
  }
  const [npy, jsonl] = [
    await timed('auspex export a.auspex -q | sha256sum'),
    await timed('auspex export b.auspex -q | sha256sum'),
  ];
  t.is(npy.output.split(' ')[0], jsonl.output.split(' ')[0]);
});

/** What each example prints. */
const PRINTED: Record<string, RegExp> = {
  'notes.mjs':
    /^accommodation: hotel in Rome.*\nvehicle repair: car service.*\ncook dinner: pasta recipe.*\ntooth doctor: dentist.*\n$/,
  'tensors.mjs': /^bedding, embedding\n$/,
  'retrieval.mjs': /^Answer from: The log is the database\. A quarter of dead rows is compacted\.\nd1\n$/,
  'readers.mjs': /^before: red red\nafter: orange orange\nwrong: query has length 1, expected 3\n$/,
};

test.serial('every example prints what it should', async (t) => {
  t.timeout(120_000);
  const at = join(home, 'examples');
  mkdirSync(at);
  const examples = readdirSync(join(root, 'examples'), { withFileTypes: true }).filter((each) => each.isFile());
  for (const { name } of examples) copyFileSync(join(root, 'examples', name), join(at, name));
  const programs = examples.map(({ name }) => name).filter((name) => name.endsWith('.mjs'));
  t.deepEqual(programs.sort(), Object.keys(PRINTED).sort());
  for (const name of programs) {
    const { code, output, errors } = await ran(process.execPath, [join(at, name)], at);
    t.deepEqual([code, errors], [0, ''], name);
    t.regex(output, PRINTED[name] as RegExp);
  }
});

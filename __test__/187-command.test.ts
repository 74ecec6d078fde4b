import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { exitCode } from '../cli/errors.ts';
import { COMMANDS, help, readFields, readFilter, readFlags } from '../cli/flags.ts';
import { importFiles } from '../cli/import.ts';
import { type Metadata, open } from '../dist/index.mjs';
import { root, row, vectors } from './harness.ts';

const cli = join(root, 'dist/cli.js');
const dim = 4;
const floats = vectors(50, dim);

function folder(t: ExecutionContext): string {
  const made = mkdtempSync(join(tmpdir(), 'auspex-cli-'));
  t.teardown(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

function auspex(cwd: string, args: string[], input?: string | Buffer) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [cli, ...args], { cwd, input, encoding: 'utf8' });
  return { code: status, stdout, stderr };
}

function done(t: ExecutionContext, cwd: string, args: string[], input?: string | Buffer): string {
  const { code, stdout, stderr } = auspex(cwd, args, input);
  t.is(code, 0, `${args.join(' ')}: ${stderr}`);
  return stdout;
}

function fails(t: ExecutionContext, cwd: string, args: string[], code: number, says: RegExp, input?: string | Buffer) {
  const ran = auspex(cwd, args, input);
  t.is(ran.code, code, `${args.join(' ')}: ${ran.stderr}`);
  t.regex(ran.stderr, says, args.join(' '));
  t.is(ran.stdout, '');
}

/** The command `import`, in this process. */
function imported(at: string, path: string, ...args: string[]) {
  const { given, operands } = readFlags('import', [path, ...args, '--quiet']);
  const [to = '', ...files] = operands.map((name) => join(at, name));
  for (const flag of ['ids', 'metadata']) if (typeof given[flag] === 'string') given[flag] = join(at, given[flag]);
  return importFiles(to, files, given, new AbortController().signal);
}

/** What is in a collection: ids, floats and metadata in the order of ids. */
async function contents(path: string) {
  const collection = await open<Metadata>(path, { mode: 'readonly', ifMissing: 'error' });
  const rows = [];
  for await (const each of collection.items({ include: { vector: true } })) rows.push(each);
  await collection.close();
  return rows.sort((a, b) => (a.id < b.id ? -1 : 1));
}

const rowsOf = (n: number) =>
  Array.from({ length: n }, (_, i) => ({
    id: `r${i}`,
    vector: row(floats, dim, i),
    metadata: { lang: i % 2 ? 'en' : 'de', year: 2000 + i },
  }));
const byId = <T extends { id: string }>(rows: T[]) => [...rows].sort((a, b) => (a.id < b.id ? -1 : 1));
const jsonl = (rows: readonly object[]) =>
  rows
    .map((each) => `${JSON.stringify(each, (_, x) => (ArrayBuffer.isView(x) ? Array.from(x as Float32Array) : x))}\n`)
    .join('');

/** A .npy file, little- or big-endian. */
function npy(type: string, shape: number[], body: Uint8Array): Buffer {
  const text = `{'descr': '${type}', 'fortran_order': False, 'shape': (${shape.join(', ')}), }\n`;
  const head = Buffer.from('\x93NUMPY\x01\x00\x00\x00', 'latin1');
  head.writeUInt16LE(text.length, 8);
  return Buffer.concat([head, Buffer.from(text), body]);
}

function fvecs(rows: readonly (readonly number[] | Float32Array)[]): Buffer {
  return Buffer.concat(
    rows.flatMap((each) => [
      Buffer.from(Int32Array.of(each.length).buffer),
      Buffer.from(Float32Array.from(each).buffer),
    ]),
  );
}

test('JSON lines, CSV and Parquet of the same rows make the same collection', async (t) => {
  const at = folder(t);
  const rows = rowsOf(20);
  writeFileSync(join(at, 'a.jsonl'), `\ufeff${jsonl(rows)}\n`);
  writeFileSync(
    join(at, 'flat.jsonl'),
    jsonl(rows.map(({ id, vector, metadata }) => ({ key: id, emb: vector, ...metadata }))),
  );
  const csv = rows.map(
    ({ id, vector, metadata }) => `${id},"${JSON.stringify(Array.from(vector))}",${metadata.lang},${metadata.year}\r\n`,
  );
  writeFileSync(join(at, 'a.csv'), `id,vector,lang,year\r\n${csv.join('')}`);
  const wide = rows.map(({ id, vector, metadata }) => [metadata.lang, ...vector, metadata.year, id].join(','));
  writeFileSync(join(at, 'wide.csv'), `lang,vector_0,vector_1,vector_2,vector_3,year,id\n${wide.join('\n')}`);
  const columnData = [
    { name: 'id', data: rows.map(({ id }) => id), type: 'STRING' as const },
    { name: 'vector', data: rows.map(({ vector }) => Array.from(vector)) },
    { name: 'lang', data: rows.map(({ metadata }) => metadata.lang), type: 'STRING' as const },
    { name: 'year', data: rows.map(({ metadata }) => BigInt(metadata.year)), type: 'INT64' as const },
  ];
  writeFileSync(join(at, 'a.parquet'), Buffer.from(parquetWriteBuffer({ columnData })));
  const fields = ['--field', 'year:number', '--field', 'lang:keyword'];
  for (const args of [
    ['a.jsonl'],
    ['flat.jsonl', '--id-field', 'key', '--vector-field', 'emb'],
    ['a.csv'],
    ['wide.csv'],
    ['a.parquet'],
  ]) {
    const path = `${args[0]}.auspex`;
    t.regex(
      done(t, at, ['import', path, ...args, ...fields]),
      /20 added, 0 replaced, 20 rows now \(4 numbers, cosine\)/,
    );
    t.deepEqual(await contents(join(at, path)), byId(rows), args[0]);
  }
  t.deepEqual(
    readdirSync(at).filter((name) => name.includes('importing')),
    [],
  );
  t.is(statSync(join(at, 'a.csv.auspex')).mode & 0o777, 0o777 & ~process.umask());
});

test('.npy of every type, .fvecs, and ids and metadata beside them', async (t) => {
  const at = folder(t);
  const whole = Array.from({ length: 12 }, (_, i) => i + 1);
  const types: [string, Uint8Array][] = (
    [
      ['|u1', Uint8Array.from(whole)],
      ['|i1', Int8Array.from(whole)],
      ['<u2', Uint16Array.from(whole)],
      ['<i2', Int16Array.from(whole)],
      ['<u4', Uint32Array.from(whole)],
      ['<i4', Int32Array.from(whole)],
      ['<f4', Float32Array.from(whole)],
      ['<f8', Float64Array.from(whole)],
    ] as [string, Uint8Array][]
  ).map(([type, { buffer }]) => [type, new Uint8Array(buffer)]);
  types.push(['>f4', Buffer.from(Float32Array.from(whole).buffer).swap32()]);
  // 1 to 12 as binary16.
  const halves = [0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700, 0x4800, 0x4880, 0x4900, 0x4980, 0x4a00];
  types.push(['<f2', new Uint8Array(Uint16Array.from(halves).buffer)]);
  const all = types.map(([type, body], i) => {
    writeFileSync(join(at, `${i}.npy`), npy(type, [3, 4], body));
    return `${i}.npy`;
  });
  await imported(at, 'all.auspex', ...all);
  const found = await contents(join(at, 'all.auspex'));
  t.is(found.length, 3 * types.length);
  for (const { id, vector } of found)
    t.deepEqual(
      Array.from(vector),
      whole.slice(4 * (Number(id) % 3), 4 * (Number(id) % 3) + 4),
      types[Math.floor(Number(id) / 3)]?.[0],
    );

  const rows = rowsOf(3);
  writeFileSync(join(at, 'v.fvecs'), fvecs(rows.map(({ vector }) => vector)));
  writeFileSync(join(at, 'ids.txt'), 'r0\nr1\r\nr2');
  writeFileSync(join(at, 'meta.jsonl'), jsonl(rows.map(({ metadata }) => metadata)));
  await imported(at, 'v.auspex', 'v.fvecs', '--ids', 'ids.txt', '--metadata', 'meta.jsonl');
  t.deepEqual(await contents(join(at, 'v.auspex')), rows);
  writeFileSync(join(at, 'meta.jsonl'), jsonl(rows.map(({ id, metadata }) => ({ id, ...metadata, vector: 'a word' }))));
  await imported(at, 'w.auspex', 'v.fvecs', '--metadata', 'meta.jsonl', '--keep', 'vector');
  t.deepEqual(
    (await contents(join(at, 'w.auspex'))).map(({ id, metadata }) => [id, metadata.vector]),
    [
      ['r0', 'a word'],
      ['r1', 'a word'],
      ['r2', 'a word'],
    ],
  );
});

test('what is exported is what was imported, in every format', async (t) => {
  const at = folder(t);
  const rows = rowsOf(20);
  done(t, at, ['import', 'a.auspex', '-', '--format', 'jsonl', '-q'], jsonl(rows));
  t.is(done(t, at, ['export', 'a.auspex', '-q']), jsonl(rows));
  t.is(
    done(t, at, ['export', 'a.auspex', '-q', '--no-vectors', '--filter', '{"year":{"$lt":2002}}']),
    jsonl(rows.slice(0, 2).map(({ id, metadata }) => ({ id, metadata }))),
  );
  for (const name of ['b.jsonl', 'b.npy', 'b.fvecs']) {
    const beside = name === 'b.jsonl' ? [] : ['--ids', `${name}.txt`];
    t.deepEqual(JSON.parse(done(t, at, ['export', 'a.auspex', name, '-q', '--json', ...beside])).rows, 20);
    await imported(at, `${name}.auspex`, name, ...beside);
    const bare = (each: { id: string; vector: Float32Array }) => [each.id, each.vector];
    t.deepEqual((await contents(join(at, `${name}.auspex`))).map(bare), byId(rows).map(bare), name);
  }
  t.deepEqual(
    readdirSync(at).filter((name) => name.includes('partial')),
    [],
  );
});

/** Files that are wrong, how they are named, and where they went wrong. */
const good = { id: 'g', vector: [1, 2, 3, 4] };
const BAD: [string, string | Buffer, RegExp, ...string[]][] = [
  ['a.jsonl', `${jsonl([good])}{"id":"x",\n`, /a\.jsonl, line 2: .*JSON/],
  ['a.jsonl', `${jsonl([good])}\n[1]\n`, /a\.jsonl, line 3: must be a JSON object, got \[1\]/],
  [
    'a.jsonl',
    Buffer.concat([Buffer.from(jsonl([good])), Buffer.from([0x22, 0xff, 0x22])]),
    /a\.jsonl, line 2: is not UTF-8/,
  ],
  [
    'a.jsonl',
    jsonl([good, { id: 'x', vector: [1, 2, 3] }]),
    /a\.jsonl, line 2: a vector of 3 numbers; the rows before it have 4/,
  ],
  ['a.jsonl', jsonl([good, { id: 'x', vector: [0, 0, 0, 0] }]), /a\.jsonl, line 2: its vector .*zero/],
  [
    'a.jsonl',
    jsonl([good, { id: 'x', vector: [1, 2, null, 4] }]),
    /a\.jsonl, line 2: "vector"\[2\] must be a number, got null/,
  ],
  ['a.jsonl', `${jsonl([good])}{"id":"x","vector":[1,2,1e300,4]}`, /a\.jsonl, line 2: its vector\[2\] is inf/],
  ['a.jsonl', jsonl([good, { vector: [1, 2, 3, 4] }]), /a\.jsonl, line 2: has no "id": --id-field/],
  [
    'a.jsonl',
    jsonl([good, { id: 'x', embedding: [1] }]),
    /a\.jsonl, line 2: has no "vector": --vector-field .*It has id, embedding/,
  ],
  ['a.jsonl', jsonl([good, { id: '', vector: [1, 2, 3, 4] }]), /a\.jsonl, line 2: its id/],
  ['a.jsonl', jsonl([good, { ...good, a: 1, metadata: { a: 2 } }]), /a\.jsonl, line 2: has "a" twice/],
  ['a.jsonl', jsonl([good, good]), /a\.jsonl, line 2: .*"g"/, '--mode', 'insert'],
  ['a.jsonl', '\n', /a\.jsonl: no rows/],
  ['a.csv', 'id,vector\na,"[1,2]"\nb,"[1,x]"\n', /a\.csv, line 3: vector must be numbers as a JSON array/],
  ['a.csv', 'id,vector\na,"[1,2]"\nb,"[1,2]",7\n', /a\.csv, line 3: .*columns length is 2, got 3/],
  ['a.csv', 'id,vector0,vector1\na,1,2\nb,1,\n', /a\.csv, line 3: a number was expected, got ""/],
  ['a.csv', 'id,text\na,b\n', /a\.csv, line 1: has neither a column vector nor columns vector0/],
  ['a.csv', 'id,vector,y\na,"[1,2]",x\n', /a\.csv, line 2, y: a number was expected, got "x"/, '--field', 'y:number'],
  ['a.npy', Buffer.from('nothing of the kind'), /a\.npy, byte 0: is not a \.npy file/],
  ['a.npy', npy('<f4', [2, 4], new Uint8Array(31)), /a\.npy, byte \d+: the file has \d+ bytes, its header says \d+/],
  ['a.npy', npy('<c8', [2, 4], new Uint8Array(32)), /a\.npy, byte 10: arrays of f2, .* are read/],
  ['a.npy', npy('<f4', [8], new Uint8Array(32)), /a\.npy, byte 10: the shape is \(8\)/],
  [
    'a.npy',
    npy('<f4', [2, 2], new Uint8Array(Float32Array.of(1, 2, Number.NaN, 1).buffer)),
    /a\.npy, row 1 \(byte \d+\): its vector\[0\] is nan/i,
  ],
  [
    'a.fvecs',
    fvecs([
      [1, 2],
      [1, 2, 3],
    ]),
    /a\.fvecs, (byte 12: row 1 has 3 numbers|byte 28: the file ends within row 1)/,
  ],
  [
    'a.fvecs',
    fvecs([
      [1, 2],
      [3, 4],
    ]).subarray(0, 20),
    /a\.fvecs, byte 20: the file ends within row 1/,
  ],
  ['a.fvecs', Buffer.from([255, 255, 255, 255]), /a\.fvecs, byte 0: a vector of -1 numbers/],
  ['a.parquet', Buffer.from('PAR1 and nothing else'), /a\.parquet: /],
];

test('a file that is wrong is named with the line or byte, and nothing of it is imported', async (t) => {
  const at = folder(t);
  const empty = { id: 'kept', vector: Float32Array.of(1, 1, 1, 1), metadata: { of: 'before' } };
  const two = { id: 'kept', vector: Float32Array.of(1, 1), metadata: { of: 'before' } };
  writeFileSync(join(at, 'four.jsonl'), jsonl([empty]));
  writeFileSync(join(at, 'two.jsonl'), jsonl([two]));
  await imported(at, 'four.auspex', 'four.jsonl');
  await imported(at, 'two.auspex', 'two.jsonl');
  for (const [i, [name, body, says, ...args]] of BAD.entries()) {
    writeFileSync(join(at, name), body);
    const there = /^\{"id":"g"/.test(String(body)) ? 'four.auspex' : 'two.auspex';
    // Fields are declared by who makes a collection.
    for (const into of args.includes('--field') ? [`${i}.auspex`] : [`${i}.auspex`, there]) {
      const error = await t.throwsAsync(imported(at, into, name, ...args), { message: says }, `${i} into ${into}`);
      t.is(exitCode(error), 3, error?.message);
      t.regex(error?.message ?? '', /\nNothing was imported\.$/);
    }
    t.false(existsSync(join(at, `${i}.auspex`)));
  }
  t.deepEqual(await contents(join(at, 'four.auspex')), [empty]);
  t.deepEqual(await contents(join(at, 'two.auspex')), [two]);
  t.deepEqual(
    readdirSync(at).filter((name) => name.includes('importing')),
    [],
  );
});

/** A command that runs beside. */
function started(cwd: string, args: string[]) {
  const env = { ...process.env, TMPDIR: cwd };
  const child = spawn(process.execPath, [cli, ...args], { cwd, env, stdio: ['pipe', 'pipe', 'pipe'] });
  const out = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => (out.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text) => (out.stderr += text));
  const ended = new Promise<{ code: number | null; stdout: string; stderr: string }>((resolve) =>
    child.on('close', (code) => resolve({ code, ...out })),
  );
  return { child, out, ended };
}

test('Ctrl-C leaves what was there', async (t) => {
  const at = folder(t);
  const before = rowsOf(3);
  done(t, at, ['import', 'old.auspex', '-', '--format', 'jsonl', '-q'], jsonl(before));
  for (const name of ['new.auspex', 'old.auspex']) {
    const { child, ended } = started(at, ['import', name, '-', '--format', 'npy', '-q']);
    // Two batches, and the input does not end.
    const many = vectors(20_000, dim);
    child.stdin.on('error', () => {});
    child.stdin.write(npy('<f4', [1_000_000, dim], new Uint8Array(many.buffer)));
    while (!readdirSync(at).some((each) => /import(ing)?-/.test(each))) await new Promise((go) => setTimeout(go, 20));
    child.kill('SIGINT');
    const { code, stderr } = await ended;
    t.is(code, 130, stderr);
    t.is(stderr, 'auspex: interrupted\nNothing was imported.\n');
  }
  t.deepEqual(readdirSync(at), ['old.auspex']);
  t.deepEqual(await contents(join(at, 'old.auspex')), before);
});

test('into a collection that is there, all rows go or none', async (t) => {
  const at = folder(t);
  const before = rowsOf(3);
  done(t, at, ['import', 'a.auspex', '-', '--format', 'jsonl', '-q'], jsonl(before));
  // More than a batch, and the last one's id is known.
  const many = vectors(10_001, dim);
  writeFileSync(join(at, 'many.npy'), npy('<f4', [10_001, dim], new Uint8Array(many.buffer)));
  writeFileSync(
    join(at, 'ids.txt'),
    Array.from({ length: 10_001 }, (_, i) => (i === 10_000 ? 'r1' : `n${i}`)).join('\n'),
  );
  const args = ['import', 'a.auspex', 'many.npy', '--ids', 'ids.txt', '-q'];
  fails(t, at, [...args, '--mode', 'insert'], 3, /many\.npy, row 10000 \(byte \d+\): .*"r1"/);
  t.deepEqual(await contents(join(at, 'a.auspex')), before);
  t.deepEqual(JSON.parse(done(t, at, [...args, '--json'])).updated, 1);
  t.is((await contents(join(at, 'a.auspex'))).length, 10_003);
  fails(t, at, ['import', 'a.auspex', 'many.npy', '--metric', 'l2', '-q'], 2, /ERR_ARGUMENT: .*metric/);
  writeFileSync(join(at, 'stray'), '');
  fails(t, folder(t), ['import', at, 'x.npy'], 2, /has files in it and is no collection/);
  fails(t, at, ['import', 'b.auspex', 'nowhere.npy'], 3, /nowhere\.npy: there is no such file/);
  const writer = await open(join(at, 'a.auspex'));
  fails(t, at, args, 4, /ERR_LOCKED/);
  await writer.close();
});

test('create, search, stats, verify, compact and bench say what they did, as text and as JSON', async (t) => {
  const at = folder(t);
  const json = (args: string[], input?: string) => JSON.parse(done(t, at, [...args, '--json'], input));
  t.deepEqual(json(['create', 'a.auspex', '--dim', '4', '--metric', 'l2', '--field', 'tags:keyword[]']).fields, {
    tags: 'keyword[]',
  });
  fails(t, at, ['create', 'a.auspex', '--dim', '4'], 1, /is a collection already/);
  writeFileSync(join(at, 'words.txt'), 'zero\none\ntwo\nthree');
  writeFileSync(
    join(at, 'v.fvecs'),
    fvecs([
      [0, 0, 0, 0],
      [1, 0, 0, 0],
      [2, 0, 0, 0],
      [9, 0, 0, 0],
    ]),
  );
  done(t, at, ['import', 'a.auspex', 'v.fvecs', '-q']);
  const text = done(t, at, ['search', 'a.auspex', '--vector', '[1.4,0,0,0]', '-k', '2', '--explain']);
  t.regex(text, /^ +id +distance +score +metadata\n +1 +1 +0\.400000 .*\n +2 +2 +0\.600000 .*\n\n +plan +exact/);
  const byWord = json(['search', 'a.auspex', '--word', 'one', '--ids', 'words.txt', '-k', '2', '--exact']);
  t.deepEqual(
    byWord.results[0].hits.map(({ name, id }: { name: string; id: string }) => [name, id]),
    [
      ['zero', '0'],
      ['two', '2'],
    ],
  );
  const many = json(
    ['search', 'a.auspex', '--vector', '-', '--format', 'jsonl', '-k', '1'],
    '{"vector":[0,0,0,0]}\n{"vector":[9,9,9,9]}',
  );
  t.deepEqual(
    many.results.map(({ hits }: { hits: { id: string }[] }) => hits[0]?.id),
    ['0', '3'],
  );
  fails(t, at, ['search', 'a.auspex', '--word', 'four', '--ids', 'words.txt'], 1, /"four" is not a line of words\.txt/);
  fails(t, at, ['search', 'a.auspex', '--id', 'x'], 1, /no row has the id "x"/);
  fails(t, at, ['search', 'a.auspex', '--vector', '[1,2]'], 2, /ERR_DIMENSION/);
  fails(t, at, ['search', 'a.auspex', '--id', '1', '--filter', '{"a":{"$no":1}}'], 2, /ERR_FILTER/);
  const stats = json(['stats', 'a.auspex']);
  t.deepEqual([stats.rows, stats.dim, stats.metric, stats.fields], [4, 4, 'l2', { tags: 'keyword[]' }]);
  t.regex(done(t, at, ['stats', 'a.auspex']), /rows +4\n/);
  t.deepEqual(json(['verify', 'a.auspex', '-q']), { ok: true, problems: [] });
  t.true(json(['compact', 'a.auspex', '-q']).reclaimedBytes >= 0);
  const { points, sample, exactUs } = json(['bench', 'a.auspex', '-q', '-k', '2']);
  t.deepEqual([sample, points.map(({ recall }: { recall: number }) => recall)], [4, [1, 1, 1, 1, 1]]);
  t.true(exactUs > 0);
  json(['create', 'none.auspex', '--dim', '4']);
  fails(t, at, ['bench', 'none.auspex', '-q'], 1, /no rows to search for/);
  // A byte of a row, in the middle of the log.
  const log = join(at, 'a.auspex', readdirSync(join(at, 'a.auspex')).find((name) => name.startsWith('log-')) ?? '');
  const bytes = readFileSync(log);
  const place = bytes.indexOf(Buffer.from(Float32Array.of(9).buffer));
  bytes[place] = (bytes[place] ?? 0) ^ 1;
  writeFileSync(log, bytes);
  const { code, stderr } = auspex(at, ['verify', 'a.auspex', '-q']);
  t.true(code === 1 || code === 4, stderr);
  t.regex(stderr, /ERR_CORRUPT|problems/);
});

test('rebuild and tune change how searches run, keep it, and stats says so', async (t) => {
  const at = folder(t);
  const json = (args: string[]) => JSON.parse(done(t, at, [...args, '--json', '-q']));
  const floats = vectors(3000, 16);
  writeFileSync(join(at, 'v.npy'), npy('<f4', [3000, 16], new Uint8Array(floats.buffer)));
  const made = ['--metric', 'l2', '-m', '4', '--ef-construction', '10', '--quantization', 'none'];
  json(['import', 'a.auspex', 'v.npy', ...made, '--field', 'n:number']);
  const built = () => {
    const { m, efConstruction, quantization, efSearch, fields } = JSON.parse(
      done(t, at, ['stats', 'a.auspex', '--json']),
    );
    return { m, efConstruction, quantization, efSearch, fields };
  };
  const first = { m: 4, efConstruction: 10, quantization: 'none', efSearch: 64, fields: { n: 'number' } };
  t.deepEqual(built(), first);
  const tuned = json(['tune', 'a.auspex', '--target-recall', '0.9', '-k', '5']);
  t.true(tuned.recall >= 0.9 && tuned.efSearch >= 5 && tuned.kept && tuned.k === 5, JSON.stringify(tuned));
  t.deepEqual(built(), { ...first, efSearch: tuned.efSearch });
  const again = ['tune', 'a.auspex', '--target-recall', '0.9'];
  t.regex(
    done(t, at, again),
    /: efSearch \d+ finds 0\.9\d\d of the 10 nearest, p50 \d+ us; searches use it from now on\n$/,
  );
  const rebuilt = json([
    'rebuild',
    'a.auspex',
    '-m',
    '8',
    '--ef-construction',
    '40',
    '--quantization',
    'sq4',
    '--no-fields',
  ]);
  const second = { m: 8, efConstruction: 40, quantization: 'sq4', fields: {} };
  t.deepEqual([rebuilt.rows, built()], [3000, { ...second, efSearch: built().efSearch }]);
  // What is left out stays.
  t.regex(
    done(t, at, ['rebuild', 'a.auspex', '--field', 'x:keyword', '-q']),
    /: 3,000 rows, m 8, efConstruction 40, quantization sq4, fields x: keyword\n$/,
  );
  t.regex(done(t, at, ['stats', 'a.auspex']), /built by +m 8, efConstruction 40, quantization sq4\n +efSearch +\d+\n/);
  t.deepEqual(json(['verify', 'a.auspex']).problems, []);
  // So few rows that nothing walks.
  done(t, at, ['import', 'few.auspex', '-', '--format', 'jsonl', '-q'], jsonl(rowsOf(3)));
  t.false(json(['tune', 'few.auspex', '--target-recall', '1']).kept);
  fails(t, at, ['tune', 'few.auspex'], 2, /needs --target-recall/);
  fails(t, at, ['rebuild', 'few.auspex', '--no-fields', '--field', 'a:number'], 2, /exclude one another/);
  const writer = await open(join(at, 'few.auspex'));
  fails(t, at, ['tune', 'few.auspex', '--target-recall', '1'], 4, /ERR_LOCKED/);
  fails(t, at, ['rebuild', 'few.auspex'], 4, /ERR_LOCKED/);
  await writer.close();
});

test('a mistake on the command line is named, with what was probably meant', (t) => {
  const at = folder(t);
  const wrong: [string[], RegExp][] = [
    [['import', 'a'], /needs DIR FILE\.\.\.: auspex import/],
    [['stats', 'a', 'b'], /takes DIR; what is "b"\?/],
    [['import', 'a', 'b', '--mtric', 'l2'], /no flag --mtric: did you mean --metric\?/],
    [['import', 'a', 'b', '--metric', 'l3'], /--metric must be one of cosine, l2, dot, got "l3"/],
    [['search', 'a', '-k', '0'], /-k must be a whole number from 1/],
    [['search', 'a', '-k'], /-k needs a value/],
    [['search', 'a', '--word', '--ids'], /--word needs a value \(--word=--ids/],
    [['search', 'a', '--id', '1', '--id', '2'], /--id is given twice/],
    [['stats', 'a', '--json=1'], /--json takes no value/],
    [['tune', 'a', '--target-recall', '98'], /--target-recall must be a number from 0\.01 to 1, got "98"/],
    [['search', 'a', '--max-distance', 'x'], /--max-distance must be a number, got "x"/],
    [['rebuild', 'a', '--quantization', 'pq'], /--quantization must be one of none, f16, sq8, sq4, got "pq"/],
  ];
  for (const [[name = '', ...args], message] of wrong) {
    t.is(exitCode(t.throws(() => readFlags(name, args), { message })), 2, args.join(' '));
  }
  t.throws(() => readFields(['x']), { message: /--field must be NAME:TYPE/ });
  t.throws(() => readFilter('{'), { message: /--filter must be JSON/ });
  fails(t, at, [], 2, /^auspex COMMAND DIR/);
  fails(t, at, ['serch'], 2, /no command "serch": did you mean search\?/);
  fails(t, at, ['import', 'a', '-'], 2, /the standard input needs --format/);
  fails(t, at, ['create', 'a', '--dim', '3', '--field', 'x:texts'], 2, /ERR_ARGUMENT/);
  t.deepEqual(readdirSync(at), []);
  t.is(done(t, at, ['--help']), `${help()}\n`);
  for (const [name, { example }] of Object.entries(COMMANDS)) {
    t.true(help().includes(`  ${example}\n`));
    const [, , ...args] = (example.match(/'[^']*'|\S+/g) ?? []).map((word) => word.replace(/'/g, ''));
    t.notThrows(() => readFlags(name, args), example);
    t.true(help(name).endsWith(`\nExample\n  ${example}`));
  }
});

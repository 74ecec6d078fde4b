import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { promisify } from 'node:util';
import test from 'ava';
import { root } from './harness.ts';

/** What each prints. They import the package by its name, as it is built. */
const printed: Record<string, RegExp> = {
  'notes.mjs':
    /^accommodation: hotel in Rome.*\nvehicle repair: car service.*\ncook dinner: pasta recipe.*\ntooth doctor: dentist.*\n$/,
  'tensors.mjs': /^bedding, embedding\n$/,
  'retrieval.mjs': /^Answer from: The log is the database\. A quarter of dead rows is compacted\.\nd1\n$/,
  'readers.mjs': /^before: red red\nafter: orange orange\nwrong: query has length 1, expected 3\n$/,
};

test('every example has a test', (t) => {
  const examples = readdirSync(`${root}/examples`).filter((name) => name.endsWith('.mjs'));
  t.deepEqual(examples.sort(), Object.keys(printed).sort());
});

for (const [example, output] of Object.entries(printed)) {
  test(`examples/${example} prints what it should`, async (t) => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [`${root}/examples/${example}`], {
      timeout: 60_000,
    });
    t.regex(stdout, output);
    t.is(stderr, '');
  });
}

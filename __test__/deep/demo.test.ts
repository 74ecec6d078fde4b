/** The demo on all its words, and what its command line answers to mistakes. */
import { spawnSync } from 'node:child_process';
import test from 'ava';
import { root } from '../harness.ts';

interface Report {
  rows: number;
  recallAt10: number;
  curve: { efSearch: number; recallAt10: number }[];
  neighbours: Record<string, { word: string; distance: number }[]>;
  checks: { repeatedWords: number; zeroVectors: number };
}

function demo(...args: string[]) {
  return spawnSync(process.execPath, ['benchmark/run.mjs', 'demo', ...args], { cwd: root, encoding: 'utf8' });
}

test.serial('prints one JSON object, with every word, its recall and its neighbours', (t) => {
  t.timeout(600_000);
  const { stdout, status } = demo('--json', '--word', 'king', '--word', '-', '-k', '5');
  t.is(status, 0);
  const report: Report = JSON.parse(stdout);
  t.is(report.rows, 341_479);
  t.deepEqual(report.checks, { repeatedWords: 0, zeroVectors: 0 });
  t.true(report.recallAt10 >= 0.84, `${report.recallAt10}`);
  const reached = report.curve.filter(({ efSearch, recallAt10 }) => efSearch <= 320 && recallAt10 >= 0.95);
  t.true(reached.length > 0, JSON.stringify(report.curve));
  t.deepEqual(Object.keys(report.neighbours), ['king', '-']);
  t.is(report.neighbours.king?.length, 5);
  t.true(report.neighbours.king?.some(({ word }) => word === 'queen'));
});

test.serial('a word that is not there is answered with near spellings', (t) => {
  t.timeout(120_000);
  const { stdout, stderr, status } = demo('--word', 'physcis', '--word', 'king', '--json');
  t.is(status, 1);
  t.regex(stderr, /"physcis" is not among the 341,479 words\. Near spellings: physics, /);
  const { unknown }: { unknown: { word: string; near: string[] }[] } = JSON.parse(stdout);
  t.deepEqual(
    unknown.map(({ word, near }) => [word, near[0]]),
    [['physcis', 'physics']],
  );
});

test('mistakes on the command line are named before anything is read', (t) => {
  const wrong: [string[], RegExp][] = [
    [['--wrod', 'king'], /no flag --wrod: did you mean --word\?/],
    [['--jsn'], /no flag --jsn: did you mean --json\?/],
    [['--word'], /--word needs a value/],
    [['--word', '--json'], /--word needs a value/],
    [['--json=1'], /--json takes no value/],
    [['-k', '0'], /-k must be a whole number from 1 to 100, got "0"/],
    [['-k', 'ten'], /-k must be a whole number from 1 to 100, got "ten"/],
    [['king'], /what is "king"\? .*npm run demo -- --word/],
  ];
  for (const [args, message] of wrong) {
    const { stdout, stderr, status } = demo(...args);
    t.is(status, 2, args.join(' '));
    t.is(stdout, '');
    t.regex(stderr, message);
  }
  t.regex(demo('--help').stdout, /^npm run demo -- \[flags\]\n/);
});

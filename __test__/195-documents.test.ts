import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { root } from './harness.ts';

const documents = ['.', 'docs', 'benchmark', 'examples/electron'].flatMap((folder) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(folder, name)),
);
const read = (document: string) => readFileSync(join(root, document), 'utf8');

test('every file that a document links to is there', (t) => {
  let links = 0;
  for (const document of documents) {
    for (const [, to = ''] of read(document).matchAll(/\]\((?!https?:|#)([^)#\s]+)[^)]*\)/g)) {
      links++;
      t.true(existsSync(join(root, dirname(document), to)), `${document}: ${to}`);
    }
  }
  t.true(links > 30, `${links}`);
});

test('every command of npm that a document names is there, and every one that is there is named', (t) => {
  const { scripts } = JSON.parse(read('package.json'));
  const ofElectron = JSON.parse(read('examples/electron/package.json')).scripts;
  const all = new Set<string>();
  for (const document of documents) {
    const own = document.startsWith('examples/electron') ? ofElectron : scripts;
    for (const [, run, name = run ?? ''] of read(document).matchAll(
      /npm (?:run (?:--\w+ )?([\w:]+)|(test|start)\b)/g,
    )) {
      all.add(name);
      t.true(Object.hasOwn(own, name), `${document}: npm run ${name}`);
    }
    for (const [, name = ''] of read(document).matchAll(/`((?:bench|test):\w+)/g)) all.add(name);
  }
  for (const name of Object.keys(scripts)) t.true(all.has(name), `no document tells of npm run ${name}`);
});

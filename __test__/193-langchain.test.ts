import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Document } from '@langchain/core/documents';
import { Embeddings } from '@langchain/core/embeddings';
import { maximalMarginalRelevance } from '@langchain/core/utils/math';
import { VectorStore } from '@langchain/core/vectorstores';
import test from 'ava';
import { AuspexError, open } from '../dist/index.mjs';
import { AuspexVectorStore } from '../dist/langchain.mjs';
import { outOfRange, rejects, row, vectors, wrongType } from './harness.ts';

/** How often each of a few words is in a text. */
class Words extends Embeddings {
  calls = 0;
  readonly #words = ['cat', 'dog', 'bird', 'car', 'boat', 'train'];
  constructor() {
    super({});
  }
  override async embedQuery(text: string): Promise<number[]> {
    this.calls++;
    return this.#words.map((word) => text.toLowerCase().split(word).length - 1 + 0.01);
  }
  override async embedDocuments(texts: string[]): Promise<number[][]> {
    return Promise.all(texts.map((text) => this.embedQuery(text)));
  }
}

type Meta = { kind: string; year: number };

const documents = [
  ['a cat', 'animal', 2001],
  ['a cat and a cat', 'animal', 2002],
  ['a cat and a dog', 'animal', 2003],
  ['a bird', 'animal', 2004],
  ['a car', 'thing', 2005],
  ['a boat, a train', 'thing', 2006],
].map(
  ([pageContent, kind, year], i) =>
    new Document({ pageContent: `${pageContent}`, metadata: { kind, year }, ...(i > 0 && { id: `d${i}` }) }),
);

const filled = (options: object = {}) => AuspexVectorStore.fromDocuments<Meta>(documents, new Words(), options);
const texts = (found: { pageContent: string }[]) => found.map(({ pageContent }) => pageContent);

test('documents come back as they were, nearest first, with scores', async (t) => {
  const store = await filled();
  t.true(store instanceof VectorStore);
  t.is(store._vectorstoreType(), 'auspex');
  const found = await store.similaritySearchWithScore('cat dog', 2);
  t.is(found.length, 2);
  const [{ id, pageContent, metadata }] = found[0] as [Document, number];
  t.deepEqual([id, pageContent, metadata], ['d2', 'a cat and a dog', { kind: 'animal', year: 2003 }]);
  t.true(Math.abs((found[0]?.[1] ?? 0) - 1) < 1e-6);
  t.true((found[1]?.[1] ?? 1) < 0.8);
  t.true(found[0]?.[0] instanceof Document);
  t.is((await store.similaritySearch('bird')).length, 4);
  await store.close();
});

test('ids are given, or of the documents, or made', async (t) => {
  const store = await filled();
  const [first, second, third] = documents as unknown as [Document, Document, Document];
  const own = await store.addDocuments([second, first]);
  t.is(own[0], 'd1');
  t.regex(own[1] ?? '', /^[0-9a-f-]{36}$/);
  t.deepEqual(await store.addDocuments([second, third], { ids: ['x', 'd3'] }), ['x', 'd3']);
  t.is(await store.collection.count(), 8);
  t.is((await store.collection.get('d3'))?.metadata.text, 'a cat and a dog');
  await rejects(t, () => store.addDocuments([first], { ids: ['a', 'b'] }), outOfRange('ERR_ARGUMENT', 'ids', '2', '1'));
  await rejects(t, () => store.addVectors([[1]], [first, second]), outOfRange('ERR_ARGUMENT', 'vectors', '1', '2'));
  await rejects(t, () => store.addVectors([[1]], [first]), outOfRange('ERR_DIMENSION', 'vectors[0]', '6'));
  t.is(await store.collection.count(), 8);
});

test('deleting by ids, by a filter, or all', async (t) => {
  const store = await filled();
  await store.delete({ ids: ['d1', 'd2', 'nobody'] });
  t.is(await store.collection.count(), 4);
  await store.delete({ filter: { kind: 'thing', year: { $gt: 2005 } } });
  t.is(await store.collection.count(), 3);
  for (const wrong of [{}, { ids: ['d3'], deleteAll: true }, { deleteAll: false }])
    await rejects(t, () => store.delete(wrong as never), wrongType('ids', 'filter', 'deleteAll'));
  await rejects(t, () => store.delete({ id: ['d3'] } as never), wrongType('id', 'ids'));
  await rejects(t, () => store.delete({ filter: {} }), { is: AuspexError, code: 'ERR_FILTER' });
  t.is(await store.collection.count(), 3);
  await store.delete({ deleteAll: true });
  t.is(await store.collection.count(), 0);
});

test('filters ask for the metadata of documents', async (t) => {
  const store = await filled({ fields: { year: 'number' } });
  t.deepEqual(texts(await store.similaritySearch('cat', 10, { kind: 'thing' })).sort(), ['a boat, a train', 'a car']);
  t.deepEqual(texts(await store.similaritySearch('cat', 10, { year: { $lt: 2002 } })), ['a cat']);
  const wrong = { is: AuspexError, code: 'ERR_FILTER', says: ['$near'] };
  await rejects(t, () => store.similaritySearch('cat', 1, { year: { $near: 1 } } as never), wrong);
});

test('maximal marginal relevance takes what is near and various', async (t) => {
  const store = await filled();
  const near = texts(await store.similaritySearch('cat', 2));
  t.deepEqual(near.sort(), ['a cat', 'a cat and a cat']);
  const various = texts(await store.maxMarginalRelevanceSearch('cat', { k: 3, lambda: 0.3 }));
  t.is(various.length, 3);
  t.false(various.includes('a cat') && various.includes('a cat and a cat'));
  t.deepEqual(texts(await store.maxMarginalRelevanceSearch('cat', { k: 2, lambda: 1 })).sort(), near);
  t.is((await store.maxMarginalRelevanceSearch('cat', { k: 5, fetchK: 1 })).length, 5);
  t.deepEqual(texts(await store.maxMarginalRelevanceSearch('cat', { k: 9, filter: { year: 2004 } })), ['a bird']);
});

test("maximal marginal relevance by cosine is that of LangChain's own function", async (t) => {
  const [rows, dim] = [60, 6];
  const floats = vectors(rows + 5, dim, 3);
  const of = (i: number) => Array.from(row(floats, dim, i));
  const store = await AuspexVectorStore.fromDocuments([], new Words(), { dim });
  const some = Array.from({ length: rows }, (_, i) => new Document({ id: `${i}`, pageContent: `${i}` }));
  await store.addVectors(
    some.map((_, i) => of(i)),
    some,
  );
  for (const [i, lambda] of [0, 0.25, 0.5, 0.75, 1].entries()) {
    const query = of(rows + i);
    store.embeddings.embedQuery = async () => query;
    const found = texts(await store.maxMarginalRelevanceSearch('', { k: 8, fetchK: 20, lambda }));
    const nearest = await store.collection.search(query, { k: 20, exact: true, include: { vector: true } });
    const candidates = nearest.map(({ vector }) => Array.from(vector));
    const chosen = maximalMarginalRelevance(query, candidates, lambda, 8);
    t.deepEqual(
      found,
      chosen.map((at) => nearest[at]?.id),
      `lambda ${lambda}`,
    );
  }
  const wrong = store.maxMarginalRelevanceSearch('', { k: 2, lambda: 2 });
  await rejects(t, () => wrong, outOfRange('ERR_ARGUMENT', 'lambda', '2'));
});

test('as a retriever, by similarity and by maximal marginal relevance', async (t) => {
  const store = await filled();
  const plain = store.asRetriever({ k: 1, filter: { kind: 'thing' } });
  t.deepEqual(texts(await plain.invoke('train')), ['a boat, a train']);
  const mmr = store.asRetriever({ k: 2, searchType: 'mmr', searchKwargs: { fetchK: 6, lambda: 0.1 } });
  t.is((await mmr.invoke('cat')).length, 2);
  const writes = store.asRetriever();
  await writes.addDocuments([new Document({ id: 'late', pageContent: 'a late bird' })]);
  t.true(await store.collection.has('late'));
});

test('from texts, with metadata for each or for all', async (t) => {
  const each = await AuspexVectorStore.fromTexts(['a cat', 'a dog'], [{ n: 1 }, { n: 2 }], new Words());
  t.deepEqual((await each.similaritySearch('dog', 1))[0]?.metadata, { n: 2 });
  const shared = await AuspexVectorStore.fromTexts(['a cat', 'a dog'], { n: 3 }, new Words(), { metric: 'l2' });
  t.is(shared.collection.metric, 'l2');
  t.deepEqual((await shared.similaritySearch('dog', 1))[0]?.metadata, { n: 3 });
  const call = () => AuspexVectorStore.fromTexts(['a', 'b'], [{}], new Words());
  await rejects(t, call, outOfRange('ERR_ARGUMENT', 'metadatas', '1', '2'));
});

test('over a collection that is there, open or in a folder', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'auspex-langchain-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'notes.auspex');
  const embeddings = new Words();
  const made = await AuspexVectorStore.fromDocuments(documents, embeddings, { path, model: 'words' });
  await made.close();
  const again = await AuspexVectorStore.fromExistingCollection<Meta>(embeddings, { path, ifMissing: 'error' });
  t.is(again.collection.dim, 6);
  t.deepEqual(texts(await again.similaritySearch('train', 1)), ['a boat, a train']);
  await again.close();

  const collection = await open<{ body: string }>({ dim: 6 });
  await collection.insert({ id: 'a', vector: await embeddings.embedQuery('cat'), metadata: { body: 'of old' } });
  const store = await AuspexVectorStore.fromExistingCollection(embeddings, { collection, textKey: 'body' });
  t.deepEqual(texts(await store.similaritySearch('cat')), ['of old']);
  await store.addDocuments([new Document({ pageContent: 'a dog', metadata: { text: 'kept' } })]);
  t.deepEqual((await store.similaritySearch('dog', 1))[0]?.metadata, { text: 'kept' });
  const wrong = new AuspexVectorStore(embeddings, { collection });
  await rejects(t, () => wrong.similaritySearch('cat', 1), {
    is: AuspexError,
    code: 'ERR_NOT_FOUND',
    says: ['text', '"a"'],
  });
});

test('a text that would be lost is refused, and what was opened for it is closed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'auspex-langchain-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'notes.auspex');
  const taken = [new Document({ pageContent: 'a', metadata: { text: 'b' } })];
  const call = () => AuspexVectorStore.fromDocuments(taken, new Words(), { path });
  await rejects(t, call, outOfRange('ERR_ARGUMENT', 'documents[0]', '"text"', 'textKey'));
  const free = await open(path);
  t.is(free.size, 0);
  await free.close();
});

test('no documents, no embedding of them, and a store all the same', async (t) => {
  const embeddings = new Words();
  const call = () => AuspexVectorStore.fromDocuments([], embeddings);
  await rejects(t, call, wrongType('dim'));
  const store = await AuspexVectorStore.fromDocuments([], embeddings, { dim: 6 });
  t.is(embeddings.calls, 0);
  t.deepEqual(await store.similaritySearch('cat'), []);
  t.deepEqual(await store.addDocuments([]), []);
});

// Retrieval with LangChain.js: `node examples/retrieval.mjs`. Needs @langchain/core.
import { Document } from '@langchain/core/documents';
import { Embeddings } from '@langchain/core/embeddings';
import { RunnableLambda } from '@langchain/core/runnables';
import { AuspexVectorStore } from 'auspex/langchain';

// In an application this is OpenAIEmbeddings, OllamaEmbeddings or the like. Here a text is how often it has each letter.
class Letters extends Embeddings {
  async embedQuery(text) {
    return Array.from('abcdefghijklmnopqrstuvwxyz', (letter) => text.toLowerCase().split(letter).length - 1);
  }
  embedDocuments(texts) {
    return Promise.all(texts.map((text) => this.embedQuery(text)));
  }
}

const documents = [
  ['The log is the database.', 'storage'],
  ['Searches run beside one writer.', 'search'],
  ['A quarter of dead rows is compacted.', 'storage'],
].map(([pageContent, topic], i) => new Document({ id: `d${i}`, pageContent, metadata: { topic } }));

// With { path: './docs.auspex' } they are kept in a folder.
const store = await AuspexVectorStore.fromDocuments(documents, new Letters({}), { fields: { topic: 'keyword' } });
const retriever = store.asRetriever({ k: 2, filter: { topic: 'storage' } });

// A model would answer from this prompt.
const prompt = RunnableLambda.from((found) => `Answer from: ${found.map(({ pageContent }) => pageContent).join(' ')}`);
console.log(await retriever.pipe(prompt).invoke('the database log'));

await store.delete({ filter: { topic: 'storage' } });
console.log((await store.similaritySearch('dead rows', 5)).map(({ id }) => id).join(', '));
await store.close();

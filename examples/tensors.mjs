// Embeddings of transformers.js are tensors, and go in and out as they are: `node examples/tensors.mjs`.
import { open } from 'auspex';

// With a model it is
//   import { pipeline } from '@huggingface/transformers';
//   const extract = await pipeline('feature-extraction', 'Xenova/all-MiniLM-L6-v2');
// and its tensors have 384 numbers a text. Here a text is how often it has each letter, in a tensor of the same shape.
const extract = async (texts, _options) => {
  const letters = (text) => Array.from('abcdefghijklmnopqrstuvwxyz', (letter) => text.split(letter).length - 1);
  return { type: 'float32', data: Float32Array.from(texts.flatMap(letters)), dims: [texts.length, 26] };
};
const options = { pooling: 'mean', normalize: true };

const texts = ['embedding', 'bedding', 'database', 'electron'];
const vectors = await extract(texts, options);
const collection = await open({ dim: vectors.dims[1], model: 'letters' });
await collection.insert({ ids: texts, vectors });

const hits = await collection.search(await extract(['beddings'], options), { k: 2 });
console.log(hits.map(({ id }) => id).join(', '));
await collection.close();

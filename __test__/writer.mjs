// Writes rows, so many at a time, and says so, until it is killed: the other process of 080-disk.test.ts.
import { open } from '../dist/index.mjs';

const [path, from, step] = process.argv.slice(2);
const rows = Number(step);
/** Like no other row's, so that codes tell them apart. */
const vector = (n) => Array.from({ length: 8 }, (_, i) => Math.sin(n * Math.sqrt(i + 2)) + (n === 0));

try {
  const collection = await open(path, { dim: 8 });
  for (let i = Number(from); ; i += rows) {
    const numbers = Array.from({ length: rows }, (_, j) => i + j);
    await collection.insert(numbers.map((n) => ({ id: `${n}`, vector: vector(n), metadata: { i: n } })));
    process.stdout.write(`${i}\n`);
  }
} catch (error) {
  process.stdout.write(`${error.code}\n`);
}

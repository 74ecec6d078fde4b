// Writes rows, so many at a time, and says so, until it is killed: the other process of 080-disk.test.ts.
import { open } from '../dist/index.mjs';

const [path, from, step] = process.argv.slice(2);
const rows = Number(step);
try {
  const collection = await open(path, { dim: 2 });
  for (let i = Number(from); ; i += rows) {
    const numbers = Array.from({ length: rows }, (_, j) => i + j);
    await collection.insert(numbers.map((n) => ({ id: `${n}`, vector: [n + 1, 1], metadata: { i: n } })));
    process.stdout.write(`${i}\n`);
  }
} catch (error) {
  process.stdout.write(`${error.code}\n`);
}

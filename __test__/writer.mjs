// Writes rows one by one and says so, until it is killed: the other process of 080-disk.test.ts.
import { open } from '../dist/index.mjs';

const [path, from] = process.argv.slice(2);
try {
  const collection = await open(path, { dim: 2 });
  for (let i = Number(from); ; i++) {
    await collection.insert({ id: `${i}`, vector: [i + 1, 1], metadata: { i } });
    process.stdout.write(`${i}\n`);
  }
} catch (error) {
  process.stdout.write(`${error.code}\n`);
}

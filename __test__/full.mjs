// Fills a small disk, makes room again, and says what it saw: the other process of 085-full.test.ts.
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { open } from '../dist/index.mjs';

const [folder, durability] = process.argv.slice(2);
const filler = join(folder, 'filler');
writeFileSync(filler, Buffer.alloc(3 * 2 ** 20));
const path = join(folder, 'a.auspex');
let c = await open(path, { dim: 64, metric: 'l2', durability });
const batch = (from) => ({
  ids: Array.from({ length: 200 }, (_, i) => `${from + i}`),
  vectors: Float32Array.from({ length: 200 * 64 }, (_, i) => Math.sin(from * 64 + i)),
});
const said = { codes: [], acknowledged: 0, seen: 0, found: '', after: 0, again: 0, problems: 0 };
const write = async () => {
  try {
    said.acknowledged += await c.insert(batch(said.acknowledged));
    return true;
  } catch ({ code }) {
    said.codes.push(code);
    return false;
  }
};
while (await write());
// Nothing changed, and it is not for good: the same write fails the same way, and reads go on.
await write();
said.seen = c.size;
said.found = c.searchSync(batch(0).vectors.subarray(0, 64), { k: 1 })[0]?.id;
rmSync(filler);
await write();
said.after = c.size;
await c.close();
c = await open(path);
said.again = c.size;
said.problems = (await c.verify()).problems.length;
await c.close();
console.log(JSON.stringify(said));

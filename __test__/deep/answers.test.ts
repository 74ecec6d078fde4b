/** Answers at the edge of what a string of JavaScript's holds: 512 MiB of metadata. */
import test from 'ava';
import { AuspexError, open } from '../../dist/index.mjs';
import { ids, rejects } from '../harness.ts';

test('more metadata than one answer holds says what to do, and items reads it all', async (t) => {
  const [n, text] = [545, 'x'.repeat(2 ** 20)];
  await using c = await open<{ text: string }>({ dim: 1, metric: 'l2' });
  for (const id of ids(n)) await c.insert({ id, vector: [1], metadata: { text } });
  const tooMuch = {
    is: AuspexError,
    code: 'ERR_MEMORY',
    says: [`${n} rows`, '536870888', 'include: { metadata: false }'],
  };
  await rejects(t, () => c.get(ids(n)), tooMuch);
  await rejects(t, () => c.search([1], { k: n }), tooMuch);
  t.throws(() => c.searchSync([1], { k: n }), { code: 'ERR_MEMORY' });
  t.is((await c.get(ids(n), { include: { metadata: false } })).length, n);
  t.is((await c.get(ids(100)))[99]?.metadata.text.length, 2 ** 20);
  let rows = 0;
  for await (const { metadata } of c.items()) rows += metadata.text.length === 2 ** 20 ? 1 : 0;
  t.is(rows, n);
});

/** In Electron no buffer may lie outside of V8's memory. The shim that shows it needs glibc's loader. */
import test from 'ava';
import { shim } from './hazards/external.ts';
import { child } from './hazards/harness.ts';

const onLinux = process.platform === 'linux' ? test : test.skip;

onLinux('the shim stops an addon that makes external buffers', async (t) => {
  const { env, control, log } = await shim();
  const text = `const { arraybuffer, buffer } = require(${JSON.stringify(control)}); console.log(arraybuffer, buffer);`;
  t.is((await child(text)).stdout, '0 0\n');
  t.deepEqual(log(), []);
  t.is((await child(text, { env })).stdout, '22 22\n');
  const called = log().filter((line) => line.startsWith('called'));
  t.is(called.length, 2, log().join('\n'));
});

onLinux('every method that returns typed arrays works without external buffers, and asks for none', async (t) => {
  const { env, log } = await shim();
  const { code, stdout, stderr } = await child(
    `
    const dim = 8, n = 500;
    const floats = Float32Array.from({ length: n * dim }, (_, i) => Math.sin(i));
    const ids = Array.from({ length: n }, (_, i) => 'r' + i);
    const include = { vector: true };
    const c = await auspex.open({ dim, metric: 'l2' });
    await c.insert({ ids, vectors: floats });
    await c.load([{ id: 'x', vector: floats.subarray(0, dim) }]);
    const query = floats.subarray(8, 16);
    const same = (hit) => hit.vector.every((x, i) => x === query[i]) && hit.vector.buffer.byteLength === dim * 4;
    const found = [(await c.search(query, { include }))[0], c.searchSync(query, { include })[0], await c.get('r1', { include })];
    found.push((await c.get(['r1'], { include }))[0]);
    for await (const row of c.items({ include })) if (row.id === 'r1') found.push(row);
    const batch = await c.searchBatch(floats, { k: 3 });
    const exact = await auspex.exactSearch(floats, floats, { k: 3, dim, metric: 'l2' });
    await c.similar('r1', { include });
    await c.explain(query);
    await c.stats();
    for (const array of [batch.counts, batch.distances, exact.counts, exact.rows, exact.distances]) {
      structuredClone(array, { transfer: [array.buffer] });
    }
    console.log(found.length, found.every(same), batch.ids()[3], exact.k);`,
    { env },
  );
  t.deepEqual([code, stdout], [0, '5 true r1 3\n'], stderr);
  const replaced = log().filter((line) => /^replaced .*auspex.*\.node$/.test(line));
  t.is(replaced.length, 2, `the addon did not look for both functions: ${log()}`);
  t.deepEqual(
    log().filter((line) => line.startsWith('called')),
    [],
  );
});

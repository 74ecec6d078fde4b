/** A million rows of a stream: memory grows by the rows and by nothing else. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { open } from '../../dist/index.mjs';
import { random } from '../harness.ts';
import { gc } from '../hazards/harness.ts';

const dim = 128;
const rows = Number(process.env.AUSPEX_ROWS ?? 1_000_000);

/** MiB of this process that are no file's. */
function anonymous(): number {
  gc();
  const status = readFileSync('/proc/self/status', 'utf8');
  return Number(/^RssAnon:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

const linux = process.platform === 'linux' ? test.serial : test.serial.skip;

linux(`${rows} rows are loaded from a generator in flat memory`, async (t) => {
  t.timeout(40 * 60_000);
  const parent = mkdtempSync(join(tmpdir(), 'auspex-load-'));
  t.teardown(() => rmSync(parent, { recursive: true, force: true }));
  const c = await open(join(parent, 'a.auspex'), { dim, metric: 'l2', durability: 'relaxed' });
  const next = random(5);
  const over: number[] = [];
  async function* stream() {
    const step = rows / 20;
    for (let i = 0; i < rows; i++) {
      if (i % step === 0 && i > 0) {
        const { bytes } = await c.stats();
        over.push(Math.round(anonymous() - bytes.ram / 2 ** 20));
      }
      const vector = new Float32Array(dim);
      for (let j = 0; j < dim; j++) vector[j] = next();
      yield { id: `row-${i}`, vector };
    }
  }
  const begun = performance.now();
  t.is(await c.load(stream()), rows);
  const seconds = (performance.now() - begun) / 1000;
  const { bytes, unreachable } = await c.stats();
  t.log(`${seconds.toFixed(0)} s; MiB besides the rows ${over.join(' ')}; ram ${Math.round(bytes.ram / 2 ** 20)} MiB`);
  t.deepEqual([c.size, unreachable], [rows, 0]);
  // A batch being filled, one being written, one being linked, and what a checkpoint keeps: none grows with the rows.
  const [first, last] = [Math.max(...over.slice(0, 10)), Math.max(...over.slice(10))];
  t.true(last < first + 128, `${first} MiB, then ${last} MiB`);
  t.true(last < 400, `${last} MiB`);
  await c.close();
});

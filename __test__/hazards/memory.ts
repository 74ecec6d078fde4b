/** Memory that must come back. */
import test from 'ava';
import { open } from '../../dist/index.mjs';
import { filled, ids, vectors } from '../harness.ts';
import { resident } from './harness.ts';

/** MiB that a heap may wander without a leak: allocators keep pages, and V8 a half-empty semi-space, of what is free.
 * A leak of one vector a call is above it at 4,000 calls, one of 256 bytes at 100,000. */
const WANDER = 24;
/** Of vectors large enough for that. */
const dim = 2048;

/** Registers the tests on memory, each of so many calls. */
export function memory(calls: number): void {
  const flat = (name: string, prepare: () => Promise<(round: number) => Promise<unknown>>, atOnce = 1) =>
    test.serial(`${calls} calls leave memory as it was: ${name}`, async (t) => {
      const call = await prepare();
      const some = async (n: number) => {
        for (let i = 0; i < n; i += 50) await Promise.all(Array.from({ length: 50 }, (_, j) => call(i + j)));
      };
      await some(Math.max(1000, calls / 10 / atOnce));
      // What wanders does so once; a leak grows again.
      let grown = WANDER;
      for (let tries = 0; tries < 2 && grown >= WANDER; tries++) {
        const before = await resident();
        await some(calls / atOnce);
        grown = (await resident()) - before;
      }
      t.log(`${grown.toFixed(1)} MiB`);
      t.true(grown < WANDER, `${grown} MiB`);
    });
  const include = { vector: true };
  const searched = async () => {
    const { collection: c } = await filled(200, dim);
    return { c, query: vectors(1, dim, 5) };
  };

  flat('search', async () => {
    const { c, query } = await searched();
    return () => c.search(query, { k: 2, include });
  });
  flat('searchSync', async () => {
    const { c, query } = await searched();
    return async () => c.searchSync(query, { k: 2, include });
  });
  flat('searchBatch', async () => {
    const { c, query } = await searched();
    return async () => (await c.searchBatch(query)).ids();
  });
  flat('get', async () => {
    const { c } = await searched();
    return (round) => c.get(`r${round % 200}`, { include });
  });
  flat(
    'items, left early',
    async () => {
      const { collection: c } = await filled(20, dim);
      return async () => {
        for await (const { id } of c.items({ include })) return id;
        return undefined;
      };
    },
    3,
  );
  flat(
    'aborted calls',
    async () => {
      const { c, query } = await searched();
      return async () => {
        const controller = new AbortController();
        const { signal } = controller;
        const running = [
          c.search(query, { signal }),
          c.upsert({ id: 'r1', vector: query, metadata: { i: 1 } }, { signal }),
          c.insert({ id: 'r1', vector: query, metadata: { i: 1 } }, { signal }),
        ];
        controller.abort();
        await Promise.allSettled(running);
      };
    },
    3,
  );
  flat(
    'refused calls',
    async () => {
      const { c, query } = await searched();
      const row = { id: 'r1', vector: query, metadata: { i: 1 } };
      return () =>
        Promise.allSettled([
          c.search([1]),
          c.search(new Float32Array(dim)),
          c.search(query, { k: -1 }),
          c.insert(row),
          c.insert([row, { ...row, vector: [1] }]),
          c.similar('nobody'),
        ]);
    },
    6,
  );

  test.serial('calls with one signal leave no listener on it', async (t) => {
    const { c, query } = await searched();
    const { signal } = new AbortController();
    let listeners = 0;
    const [add, remove] = [signal.addEventListener, signal.removeEventListener].map((each) => each.bind(signal));
    Object.assign(signal, {
      addEventListener: (...args: Parameters<typeof signal.addEventListener>) => {
        listeners++;
        add?.(...args);
      },
      removeEventListener: (...args: Parameters<typeof signal.removeEventListener>) => {
        listeners--;
        remove?.(...args);
      },
    });
    for (let i = 0; i < calls / 70; i++) {
      const refused = i % 2 ? [1] : query;
      await Promise.allSettled([
        c.search(refused, { signal }),
        c.searchBatch([refused], { signal }),
        c.explain(refused, { signal }),
        c.similar(i % 2 ? 'nobody' : 'r1', { signal }),
        c.upsert({ id: 'r1', vector: refused, metadata: { i: 1 } }, { signal }),
        c.load([{ id: 'r2', vector: refused, metadata: { i: 1 } }], { signal, batchSize: 1 }),
        open({ dim: i % 2 ? 0 : 3, signal }),
      ]);
    }
    t.is(listeners, 0);
  });

  test.serial('an upsert of the same rows keeps at most what it replaces', async (t) => {
    // Replaced rows take room until a collection is compacted: what may not grow is what surrounds them.
    const { collection: c } = await filled(200, 64);
    const floats = vectors(200, 64);
    const metadata = ids(200).map((_, i) => ({ i }));
    const write = () => c.upsert({ ids: ids(200), vectors: floats, metadata });
    for (let i = 0; i < 20; i++) await write();
    const [before, counted] = [await resident(), (await c.stats()).bytes.ram];
    for (let i = 0; i < calls / 200; i++) await write();
    const [grown, more] = [await resident(), (await c.stats()).bytes.ram].map(Number) as [number, number];
    const rows = (more - counted) / 2 ** 20;
    t.log(`${(grown - before).toFixed(1)} MiB, of which counted ${rows.toFixed(1)} MiB`);
    t.true(grown - before < 3 * rows + WANDER, `${grown - before} MiB, of which counted ${rows}`);
  });

  test.serial('collections that are dropped without close give their memory back', async (t) => {
    const small = 64;
    const floats = vectors(100, small);
    const drop = async (n: number) => {
      for (let i = 0; i < n; i++) {
        const c = await open({ dim: small });
        await c.insert({ ids: ids(100), vectors: floats });
        c.searchSync(floats.subarray(0, small));
        // Finalizers of Node-API run between tasks of the event loop.
        if (i % 100 === 99) await resident();
      }
    };
    await drop(200);
    const before = await resident();
    await drop(2000);
    const grown = (await resident()) - before;
    t.log(`${grown.toFixed(1)} MiB`);
    // Of 2,000 collections with 100 rows the floats alone are 49 MiB.
    t.true(grown < WANDER, `${grown} MiB`);
  });
}

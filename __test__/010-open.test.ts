import test from 'ava';
import { open } from '../dist/index.mjs';
import { outOfRange, rejects, wrongType } from './harness.ts';

// biome-ignore lint/suspicious/noExplicitAny: arguments that no type allows.
const loose = open as (...args: any[]) => ReturnType<typeof open>;

test('dim alone opens an empty collection with the defaults', async (t) => {
  const collection = await open({ dim: 3 });
  t.like(collection, { dim: 3, metric: 'cosine', size: 0, closed: false });
  t.is(await collection.count(), 0);
  await collection.close();
});

test('every option is taken', async (t) => {
  const options = { m: 8, efConstruction: 50, efSearch: 20, seed: 7, threads: 1 };
  const collection = await open({ dim: 4096, metric: 'dot', ...options, signal: new AbortController().signal });
  t.like(collection, { dim: 4096, metric: 'dot' });
});

test('options of the wrong type are named, with their value', async (t) => {
  await rejects(t, () => loose(), wrongType('dim must be a number, got undefined'), 'nothing');
  for (const options of [null, 3, []]) await rejects(t, () => loose(options), wrongType('options'), `${options}`);
  const wrong: [object, string][] = [
    [{}, 'dim must be a number, got undefined'],
    [{ dim: '3' }, "dim must be a number, got '3'"],
    [{ dim: 3n }, 'dim must be a number, got 3n'],
    [{ dim: 3, metric: 1 }, 'metric must be a string, got 1'],
    [{ dim: 3, m: null }, 'm must be a number, got null'],
    [{ dim: 3, efConstruction: [] }, 'efConstruction must be a number, got []'],
    [{ dim: 3, efSearch: true }, 'efSearch must be a number, got true'],
    [{ dim: 3, seed: 's' }, "seed must be a number, got 's'"],
    [{ dim: 3, threads: {} }, 'threads must be a number, got {}'],
    [{ dim: 3, signal: {} }, 'signal must be an AbortSignal, got {}'],
  ];
  for (const [options, message] of wrong) await rejects(t, () => loose(options), wrongType(message), message);
});

test('numbers out of range are named, with their value', async (t) => {
  for (const bad of [0, -1, 1.5, Number.NaN, 4097, 2 ** 31, 2 ** 53, Number.POSITIVE_INFINITY]) {
    await rejects(
      t,
      () => open({ dim: bad }),
      outOfRange('ERR_ARGUMENT', 'dim', new RegExp(`${bad}|inf`)),
      `dim ${bad}`,
    );
  }
  for (const name of ['m', 'efConstruction', 'efSearch', 'seed', 'threads']) {
    for (const bad of [-1, 1.5, Number.NaN, 2 ** 54]) {
      await rejects(t, () => open({ dim: 3, [name]: bad }), outOfRange('ERR_ARGUMENT', name), `${name} ${bad}`);
    }
  }
  await rejects(t, () => loose({ dim: 3, metric: 'hamming' }), outOfRange('ERR_ARGUMENT', 'metric', 'hamming'));
});

test('an unknown option is named, and the nearest known one', async (t) => {
  const wrong = { dimension: 'dim', dims: 'dim', efsearch: 'efSearch', ef_construction: 'efConstruction', M: 'm' };
  for (const [key, nearest] of Object.entries(wrong)) {
    await rejects(t, () => loose({ dim: 3, [key]: 1 }), wrongType(`"${key}"`, `did you mean ${nearest}?`), key);
  }
});

test('an aborted signal rejects with its reason', async (t) => {
  const reason = new Error('enough');
  await t.throwsAsync(() => open({ dim: 3, signal: AbortSignal.abort(reason) }), { is: reason });
});

test('each option is read once', async (t) => {
  let reads = 0;
  const options = {
    get dim() {
      reads++;
      return 3;
    },
  };
  await open(options);
  t.is(reads, 1);
});

test.serial('what somebody added to Object.prototype is no option', async (t) => {
  Object.defineProperty(Object.prototype, 'theirs', { value: 1, enumerable: true, configurable: true });
  try {
    await using c = await open({ dim: 2 });
    await c.upsert({ id: 'a', vector: [1, 2] });
    t.is((await c.search([1, 2], { k: 3 })).length, 1);
  } finally {
    delete (Object.prototype as { theirs?: number }).theirs;
  }
});

/** Buffers that are moved, shrunk, overwritten or collected while a call uses them. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import test, { type ExecutionContext } from 'ava';
import { isAuspexError } from '../../dist/index.mjs';
import { outOfRange, rejects, vectors } from '../harness.ts';
import { detach, dim, gc, resizable, type Stage, sound, stage, type Taker, takers } from './harness.ts';

/** An array in memory that is about to change, and the change. */
interface Doomed {
  floats: Float32Array;
  strike: () => void;
}

type Doom = (from: Float32Array, round: number) => Doomed;

/** A copy at an offset that no alignment fits; the bytes before and after it are not numbers. */
function unaligned(from: Float32Array, round: number, make: (bytes: number) => ArrayBuffer): Float32Array {
  const before = 1 + (round % 15);
  const buffer = make((before + from.length + 3) * 4);
  new Float32Array(buffer).fill(Number.NaN);
  const floats = new Float32Array(buffer, before * 4, from.length);
  floats.set(from);
  return floats;
}

const plain = (bytes: number) => new ArrayBuffer(bytes);

const dooms: Record<string, Doom> = {
  overwritten(from, round) {
    const floats = unaligned(from, round, plain);
    return { floats, strike: () => floats.fill(Number.NaN) };
  },
  transferred(from, round) {
    const floats = unaligned(from, round, plain);
    return { floats, strike: () => detach(floats).fill(Number.NaN) };
  },
  'transferred and collected'(from, round) {
    const floats = unaligned(from, round, plain);
    const strike = () => {
      detach(floats).fill(Number.NaN);
      if (round % 25 === 0) gc();
    };
    return { floats, strike };
  },
  shrunk(from, round) {
    const floats = unaligned(from, round, resizable);
    const buffer = floats.buffer as ReturnType<typeof resizable>;
    const strike = () => {
      floats.fill(Number.NaN);
      buffer.resize(0);
    };
    return { floats, strike };
  },
  'shrunk below a view that tracks its length'(from) {
    const buffer = resizable(from.byteLength);
    const floats = new Float32Array(buffer);
    floats.set(from);
    const strike = () => {
      floats.fill(Number.NaN);
      buffer.resize(4);
    };
    return { floats, strike };
  },
};

interface Calling {
  taker: Taker;
  expected: unknown;
  running: Promise<unknown>;
}

/** Calls every method, and strikes each array as soon as its call has copied it. */
function callAll(on: Stage, expected: Map<Taker, unknown>, round: number, doom: Doom): Calling[] {
  return takers.map((taker) => {
    const { floats, strike } = doom(inputs(taker), round);
    return { taker, expected: expected.get(taker), running: taker.call(on, floats, strike) };
  });
}

const inputs = (taker: Taker) => vectors(taker.rows, dim, 7);

/** What each method answers when nobody disturbs it. */
async function undisturbed(on: Stage): Promise<Map<Taker, unknown>> {
  const answers = new Map<Taker, unknown>();
  for (const taker of takers) answers.set(taker, await taker.call(on, inputs(taker), () => {}));
  return answers;
}

/** Compares without a report for each of thousands. */
async function compare(t: ExecutionContext, calls: Calling[], about: string): Promise<void> {
  for (const { taker, expected, running } of calls) {
    const answer = await running.catch((error: unknown) => error);
    if (JSON.stringify(plainly(answer)) === JSON.stringify(plainly(expected))) continue;
    t.deepEqual(answer, expected, `${taker.name}: ${about}`);
    t.fail(`${taker.name}: ${about}`);
  }
}

const plainly = (answer: unknown) => (answer instanceof Error ? String(answer) : answer);

/** Registers the tests on buffers. */
export function buffers({ rounds, workers }: { rounds: number; workers: number }): void {
  for (const [name, doom] of Object.entries(dooms)) {
    test(`an array ${name} during a call changes nothing of its answer`, async (t) => {
      const on = await stage();
      const expected = await undisturbed(on);
      for (let round = 0; round < rounds; round++) {
        await compare(t, callAll(on, expected, round, doom), `round ${round}`);
      }
      await sound(t, on.write);
      t.pass();
    });
  }

  test('an array whose new owner exits during a call changes nothing of its answer', async (t) => {
    const on = await stage();
    const expected = await undisturbed(on);
    for (let round = 0; round < workers; round++) {
      const worker = new Worker(
        `const { parentPort } = require('node:worker_threads');
         parentPort.once('message', (all) => { for (const floats of all) floats.fill(NaN); process.exit(); });`,
        { eval: true },
      );
      const exited = once(worker, 'exit');
      const gone: Float32Array[] = [];
      const calls = callAll(on, expected, round, (from) => {
        const floats = Float32Array.from(from);
        return { floats, strike: () => gone.push(detach(floats)) };
      });
      worker.postMessage(
        gone,
        gone.map(({ buffer }) => buffer as ArrayBuffer),
      );
      await compare(t, calls, `round ${round}`);
      await exited;
    }
    t.pass();
  });

  test('an array that another thread writes to is copied once, and the copy is what is checked', async (t) => {
    const on = await stage();
    const shared = new Float32Array(new SharedArrayBuffer((64 + 4 * dim) * 4)).fill(1);
    const worker = new Worker(
      `const { workerData: shared } = require('node:worker_threads');
       for (;;) { shared.fill(1.5); shared.fill(NaN); }`,
      { eval: true, workerData: shared },
    );
    t.teardown(() => worker.terminate());
    await once(worker, 'online');
    let [passed, refused] = [0, 0];
    const settle = async (call: () => Promise<unknown>, about: string) => {
      try {
        await call();
        passed++;
      } catch (error) {
        refused++;
        if (!isAuspexError(error) || error.code !== 'ERR_NOT_FINITE') t.fail(`${about}: ${error}`);
      }
    };
    for (let round = 0; round < rounds; round++) {
      for (const taker of takers) {
        const floats = shared.subarray(round % 64, (round % 64) + taker.rows * dim);
        await settle(async () => {
          const answer = await taker.call(on, floats, () => {});
          if (/null|NaN/.test(JSON.stringify(answer))) t.fail(`${taker.name}: ${JSON.stringify(answer)}`);
        }, taker.name);
      }
    }
    await worker.terminate();
    await sound(t, on.write);
    t.true(passed > 0 && refused > 0, `${passed} passed, ${refused} refused`);
  });

  test('an array without its buffer is named', async (t) => {
    const on = await stage();
    for (const taker of takers) {
      const gone = inputs(taker);
      detach(gone);
      const says = [taker.argument, /length 0/, /transferred/];
      await rejects(t, () => taker.call(on, gone, () => {}), outOfRange('ERR_DIMENSION', ...says), taker.name);
      const doubles = Float64Array.from(inputs(taker));
      detach(doubles);
      if (taker.rows > 1) continue;
      const call = async () => taker.call(on, doubles as unknown as Float32Array, () => {});
      const refused = await call().catch((error: unknown) => error);
      t.true(isAuspexError(refused), taker.name);
    }
    t.is(on.write.size, 0);
    t.is(on.read.size, 1500);
  });

  test('an array that its buffer no longer covers is refused', async (t) => {
    const on = await stage();
    for (const taker of takers) {
      const [fixed, tracking] = [resizable(4096), resizable(4096)];
      const of = [new Float32Array(fixed, 64, taker.rows * dim), new Float32Array(tracking, 64)];
      fixed.resize(80);
      tracking.resize(68);
      for (const floats of of) {
        await rejects(
          t,
          () => taker.call(on, floats, () => {}),
          outOfRange('ERR_DIMENSION', taker.argument),
          taker.name,
        );
      }
    }
    t.is(on.write.size, 0);
  });
}

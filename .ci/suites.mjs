// Runs suites one after another, each with a name, its time and its closing line, and counts what they counted.
// A suite that crashes, or counts nothing, has failed.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** The project's folder. */
export const root = fileURLToPath(new URL('..', import.meta.url));

/** Counts of `cargo test`: one line a binary, perhaps after a word about where. What is ignored has not passed. */
export function cargoCount(output) {
  let [passed, failed] = [0, 0];
  for (const [, ok, bad] of output.matchAll(/^(?:.*: )?test result: \w+\. (\d+) passed; (\d+) failed;/gm)) {
    passed += Number(ok);
    failed += Number(bad);
  }
  return { passed, failed };
}

/** Counts of TAP, ava's machine-readable report. */
export function tapCount(output) {
  const last = (word) => Number([...output.matchAll(new RegExp(`^# ${word} (\\d+)$`, 'gm'))].at(-1)?.[1] ?? 0);
  return { passed: last('pass'), failed: last('fail') };
}

/** A check is one test: it passes when its command does. */
export function checkCount(_output, code) {
  return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1 };
}

function execute({ command, args = [], env = {}, cwd = root }) {
  return new Promise((resolve) => {
    const options = { cwd, env: { ...process.env, ...env }, shell: process.platform === 'win32' };
    const child = spawn(command, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    const chunks = [];
    child.stdout.on('data', (chunk) => chunks.push(chunk));
    child.stderr.on('data', (chunk) => chunks.push(chunk));
    child.on('error', (error) => resolve({ code: -1, output: error.message }));
    child.on('close', (code, signal) => {
      const output = Buffer.concat(chunks).toString();
      resolve({ code: code ?? -1, output: signal ? `${output}\nended by ${signal}` : output });
    });
  });
}

/**
 * Runs suites `{ name, command, args, env, count, figures, required }` and prints the total alone on the last line.
 * `figures` says which lines of a suite's output are shown although it passed. After a `required` one has failed the
 * rest are not run, and count as failed.
 *
 * @returns by name what each suite that ran has counted
 */
export async function runSuites(suites) {
  let [passed, failed, broken] = [0, 0, false];
  const ran = new Map();
  for (const suite of suites) {
    if (broken) {
      console.log(`not run  ${suite.name}`);
      failed += 1;
      continue;
    }
    const begun = performance.now();
    const { code, output } = await execute(suite);
    const seconds = ((performance.now() - begun) / 1000).toFixed(1);
    const counts = suite.count(output, code);
    if (counts.notRun) {
      console.log(`not run  ${suite.name}: ${counts.notRun}`);
      continue;
    }
    if (counts.failed === 0 && (code !== 0 || counts.passed === 0)) counts.failed = 1;
    if (counts.failed > 0) console.log(output.trimEnd());
    console.log(
      `${counts.failed > 0 ? 'FAILED ' : 'ok     '}  ${suite.name} (${seconds} s): ${closing(suite, counts, code)}`,
    );
    for (const [line] of suite.figures ? output.matchAll(suite.figures) : []) console.log(`         ${line.trim()}`);
    ran.set(suite.name, counts);
    passed += counts.passed;
    failed += counts.failed;
    broken = Boolean(suite.required) && counts.failed > 0;
  }
  console.log(`${passed} passed, ${failed} failed`);
  process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
  return ran;
}

function closing({ count }, { passed, failed }, code) {
  if (count === checkCount) return code === 0 ? 'clean' : `exit code ${code}`;
  const line = `${passed} passed, ${failed} failed`;
  return code === 0 || passed + failed > 1 ? line : `${line}, exit code ${code}`;
}

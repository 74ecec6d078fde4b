/** A disk that is really full: a small one of memory, mounted for a process of its own. */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { root } from './harness.ts';

/** Runs a command with a disk of so many MiB at `folder`, which needs no privilege where users may have namespaces. */
function withDisk(folder: string, mib: number, command: string[]) {
  const script = `mount -t tmpfs -o size=${mib}m none "$0" && exec "$@"`;
  return spawnSync('unshare', ['--user', '--map-root-user', '--mount', 'sh', '-c', script, folder, ...command], {
    encoding: 'utf8',
  });
}

const parent = mkdtempSync(join(tmpdir(), 'auspex-full-'));
test.after.always(() => rmSync(parent, { recursive: true, force: true }));
// Where there are no such namespaces the tests are skipped, and counted so.
const mountable = withDisk(parent, 1, ['true']).status === 0 ? test : test.skip;

for (const durability of ['commit', 'relaxed']) {
  mountable(`a full disk is ERR_NO_SPACE, changes nothing, and is not for good: ${durability}`, (t) => {
    const { stdout, stderr } = withDisk(parent, 9, [
      process.execPath,
      join(root, '__test__/full.mjs'),
      parent,
      durability,
    ]);
    t.is(stderr, '');
    const said = JSON.parse(stdout);
    t.true(said.acknowledged >= 2000, stdout);
    const rows = said.acknowledged;
    t.deepEqual(said, {
      codes: ['ERR_NO_SPACE', 'ERR_NO_SPACE'],
      acknowledged: rows,
      seen: rows - 200,
      found: '0',
      after: rows,
      again: rows,
      problems: 0,
    });
  });
}

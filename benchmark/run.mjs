// `npm run demo` and the benchmarks: reads the flags, installs and builds where that is due, then runs the program of
// that name beside this file: bench.mts for `npm run bench`, disk.mts for `npm run bench:disk`.
import { COMMANDS, help, readFlags, UsageError } from './flags.mjs';
import { ready } from './ready.mjs';

const [name = 'demo', ...args] = process.argv.slice(2);

// Whoever reads may have seen enough, as `head` has.
process.stdout.on('error', () => process.exit());

try {
  if (!Object.hasOwn(COMMANDS, name))
    throw new UsageError(`there is no ${name}: ${Object.keys(COMMANDS).join(' or ')}`);
  const flags = readFlags(name, args);
  if (flags.help) {
    console.log(help(name));
  } else if (await ready()) {
    await import('./typescript.mjs');
    const [, part = name] = name.split(':');
    const { main } = await import(`./${part}.mts`);
    await main(flags);
  } else {
    process.exitCode = 1;
  }
} catch (error) {
  const expected = error instanceof UsageError;
  console.error(
    expected ? `${error.message}\n${name in COMMANDS ? `npm run ${name} -- --help says more` : ''}` : error,
  );
  process.exitCode = expected ? 2 : 1;
}

#!/usr/bin/env node
/**
 * The command `auspex`:
 *
 *   main.ts -> flags.ts (the command line) -> commands.ts -> import.ts -> source.ts -> arrays.ts, records.ts -> bytes.ts
 *          `-> errors.ts (exit codes)                     `-> explore/ (the page), measure.ts, screen.ts
 *
 * It uses the library as anybody does: through the package's public entry.
 */
import { info, isAuspexError } from 'auspex';
import { RUN } from './commands.ts';
import { exitCode, Interrupted, UsageError } from './errors.ts';
import { commandOf, help, readFlags } from './flags.ts';
import { plain } from './screen.ts';

async function main([name, ...args]: string[], signal: AbortSignal): Promise<void> {
  if (name === undefined) throw new UsageError(help());
  if (/^(--help|-h|help)$/.test(name)) {
    const [topic] = args;
    process.stdout.write(`${help(topic)}\n`);
  } else if (/^(--version|-v)$/.test(name)) {
    process.stdout.write(`${info().version}\n`);
  } else {
    commandOf(name);
    const { given, operands } = readFlags(name, args);
    if (given.help) process.stdout.write(`${help(name)}\n`);
    else await RUN[name]?.(operands, given, signal);
  }
}

// Whoever reads may have seen enough, as `head` has.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 5));
process.stderr.on('error', () => {});

// The first Ctrl-C stops the work, which leaves nothing half done behind it; the second ends the process.
const stop = new AbortController();
for (const name of ['SIGINT', 'SIGTERM'] as const) {
  process.on(name, () => {
    const interrupted = new Interrupted(name);
    if (stop.signal.aborted) process.exit(exitCode(interrupted));
    stop.abort(interrupted);
  });
}

main(process.argv.slice(2), stop.signal)
  .catch((error: unknown) => {
    process.exitCode = exitCode(error);
    const { message, stack } = error instanceof Error ? error : new Error(String(error));
    const coded = isAuspexError(error) ? `${error.code}: ` : '';
    const text = process.exitCode === 70 ? `a defect of auspex, please report it: ${stack}` : `${coded}${message}`;
    process.stderr.write(
      error instanceof UsageError && message.startsWith('auspex COMMAND')
        ? `${message}\n`
        : `auspex: ${text.split('\n').map(plain).join('\n')}\n`,
    );
  })
  // A standard input that nobody ends would keep the process.
  .finally(() => process.stdin.destroy());

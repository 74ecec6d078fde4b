/** What can go wrong, and the exit code that says so. */
import { isAuspexError } from 'auspex';

/** The command line is wrong: its message is all that needs to be said. */
export class UsageError extends Error {}

/** A file is wrong: where, and how. */
export class InputError extends Error {
  constructor(file: string, place: string, why: string, cause?: unknown) {
    super(`${file}${place && `, ${place}`}: ${why}`, { cause });
  }
}

/** The answer is no: damage was found, or what was asked for is not there. */
export class Negative extends Error {}

/** Ctrl-C, or another signal that asks to end. */
export class Interrupted extends Error {
  readonly signal: 'SIGINT' | 'SIGTERM';

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super('interrupted');
    this.signal = signal;
  }
}

/** Codes of the errors that lie with the machine and not with the collection. */
const MACHINE = /^(ERR_NO_SPACE|ERR_IO|ERR_MEMORY|ERR_NATIVE_LOAD)$/;

/** The exit code of an error: those of docs/cli.md. */
export function exitCode(error: unknown): number {
  if (error instanceof Negative) return 1;
  if (error instanceof UsageError) return 2;
  if (error instanceof InputError) return 3;
  if (error instanceof Interrupted) return error.signal === 'SIGINT' ? 130 : 143;
  if (isAuspexError(error)) {
    if (error instanceof TypeError || error instanceof RangeError || error.code === 'ERR_FILTER') return 2;
    return MACHINE.test(error.code) ? 5 : error.code === 'ERR_INTERNAL' ? 70 : 4;
  }
  return error instanceof Error && 'syscall' in error ? 5 : 70;
}

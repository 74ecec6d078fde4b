// The command lines of `npm run demo` and the benchmarks. Plain JavaScript without packages: it runs, and finds
// mistakes, before anything is installed.
import { parseArgs } from 'node:util';

/**
 * @typedef {{ short?: string, value?: string, multiple?: boolean, from?: number, to?: number, about: string }} Flag
 * A flag with a `value` takes one: a number when it has a range, else text.
 * @typedef {{ about: string, flags: Record<string, Flag>, words?: Words }} Command
 * @typedef {{ value: string, from: number, to: number }} Words so many arguments without dashes
 * @typedef {Record<string, boolean | number | string | string[] | undefined>} Given
 */

const JSON_FLAG = { about: 'print one JSON object, and nothing else, on stdout' };
const HELP = { short: 'h', about: 'print this' };
const SET = { value: 'NAME', about: 'sift128-100k, wordnet384-20k or glove100-100k (the first that is there)' };

/** @type {Record<string, Command>} */
export const COMMANDS = {
  demo: {
    about: 'Indexes 341,479 word vectors, measures recall and speed, and prints the neighbours of words.',
    flags: {
      word: { value: 'WORD', multiple: true, about: 'a word whose neighbours to print; may be given again' },
      k: { short: 'k', value: 'N', from: 1, to: 100, about: 'neighbours of each word (10)' },
      json: JSON_FLAG,
      help: HELP,
    },
  },
  bench: {
    about: 'Measures insertion and search on real vectors, with the recall beside every speed.',
    flags: {
      set: SET,
      quick: { about: 'a quarter of the rows and fewer repetitions: under a minute' },
      m: { value: 'N', from: 2, to: 128, about: 'links a node (the default of the library)' },
      'ef-construction': { value: 'N', from: 1, to: 100_000, about: 'candidates while linking (the default)' },
      threads: { value: 'N', from: 0, to: 1024, about: 'threads (the default: all)' },
      json: { value: 'FILE', about: 'write the figures to this file as well' },
      help: HELP,
    },
  },
  'bench:rivals': {
    about: 'Measures other libraries of npm and Python beside this one, and writes a report.',
    flags: {
      set: {
        value: 'NAME',
        multiple: true,
        about: 'sift128-100k, wordnet384-20k, glove100-100k, mnist784 (these four), clustered-1m; may be given again',
      },
      rival: { value: 'NAME', multiple: true, about: 'a library to run; may be given again (all)' },
      times: { value: 'N', from: 1, to: 100, about: 'rounds (2): all builds, then the best of each; the best counts' },
      threads: { value: 'N', from: 1, to: 1024, about: 'threads while building (the default: all)' },
      minutes: { value: 'N', from: 1, to: 10_000, about: 'begin no measurement after so long (no limit)' },
      quick: { about: 'fewer rows, libraries of npm alone, one build each, one round: three minutes' },
      out: { value: 'FOLDER', about: 'where the report is written (benchmark/results)' },
      help: HELP,
    },
  },
  'bench:ab': {
    about: 'Compares a commit with another, or with the files as they are here, run in turn on this machine.',
    words: { value: 'COMMIT', from: 1, to: 2 },
    flags: {
      set: SET,
      times: { value: 'N', from: 1, to: 100, about: 'rounds of both (5)' },
      quick: { about: 'a quarter of the rows' },
      json: { value: 'FILE', about: 'write the figures to this file as well' },
      help: HELP,
    },
  },
  'bench:scaling': {
    about: 'Measures builds and searches by threads, by rows and by dimensions, and writes a report.',
    flags: {
      million: { about: 'a million rows too: minutes, and 3 GB' },
      times: { value: 'N', from: 1, to: 100, about: 'how often each (3); the best counts' },
      quick: { about: 'fewer rows and dimensions: a minute' },
      out: { value: 'FOLDER', about: 'where the report is written (benchmark/results)' },
      help: HELP,
    },
  },
  'bench:curves': {
    about: 'Measures recall against the time of a search by efSearch, quantization and m, for docs/tuning.md.',
    flags: {
      set: SET,
      times: { value: 'N', from: 1, to: 100, about: 'how often each (5); the best counts' },
      quick: { about: 'fewer points and repetitions' },
      out: { value: 'FOLDER', about: 'where the pictures are written (docs)' },
      help: HELP,
    },
  },
  'bench:disk': {
    about: 'Loads real vectors into memory and into folders, and compares what that takes.',
    flags: {
      set: SET,
      folder: { value: 'PATH', about: "where the folders are made (the system's for temporary files)" },
      times: { value: 'N', from: 1, to: 100, about: 'how often each way (3); the best counts' },
      help: HELP,
    },
  },
};

/** A mistake of the user's: its message is all that needs to be said. */
export class UsageError extends Error {}

/**
 * Reads a command line.
 *
 * @param {string} name of the command
 * @param {string[]} args
 * @returns {Given} by the names of the flags
 * @throws UsageError naming what is wrong, and the nearest flag
 */
export function readFlags(name, args) {
  const { flags, words } = /** @type {Command} */ (COMMANDS[name]);
  const options = Object.fromEntries(
    Object.entries(flags).map(([key, { short, value }]) => {
      const type = /** @type {'string' | 'boolean'} */ (value ? 'string' : 'boolean');
      return [key, short ? { type, short } : { type }];
    }),
  );
  /** @type {Given} */
  const given = {};
  /** @type {string[]} */
  const bare = [];
  for (const token of parseArgs({ args, options, strict: false, tokens: true }).tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      bare.push(token.value);
      if (words && bare.length <= words.to) continue;
      throw new UsageError(`what is ${JSON.stringify(token.value)}? Flags go behind two dashes: ${usage(name)}`);
    }
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined;
    if (!flag) {
      const [nearest] = near(token.name, Object.keys(flags), 1, Number.POSITIVE_INFINITY);
      const known = Object.keys(flags).map(dashed).join(', ');
      throw new UsageError(
        `there is no flag ${token.rawName}: did you mean ${dashed(nearest ?? 'help')}? Known: ${known}`,
      );
    }
    const value = readValue(token.rawName, flag, token.value, token.inlineValue);
    const before = given[token.name];
    given[token.name] = flag.multiple ? [...(Array.isArray(before) ? before : []), String(value)] : value;
  }
  if (words && !given.help) {
    if (bare.length < words.from) throw new UsageError(`a ${words.value} is needed: ${usage(name)}`);
    given[words.value.toLowerCase()] = bare;
  }
  return given;
}

/**
 * @param {string} name as the user wrote it
 * @param {Flag} flag
 * @param {string | undefined} value
 * @param {boolean | undefined} inline whether it was written behind an equals sign
 */
function readValue(name, { value: placeholder, from, to }, value, inline) {
  if (!placeholder) {
    if (value === undefined) return true;
    throw new UsageError(`${name} takes no value, got ${JSON.stringify(value)}`);
  }
  const flagLike = !inline && value !== undefined && value.length > 1 && value.startsWith('-');
  if (flagLike)
    throw new UsageError(`${name} needs a value (${name}=${value} if ${JSON.stringify(value)} is the value)`);
  if (!value) throw new UsageError(`${name} needs a value: ${name} ${placeholder}`);
  if (from === undefined || to === undefined) return value;
  const number = Number(value);
  if (Number.isInteger(number) && number >= from && number <= to) return number;
  throw new UsageError(`${name} must be a whole number from ${from} to ${to}, got ${JSON.stringify(value)}`);
}

/** @param {string} flag */
const dashed = (flag) => (flag.length === 1 ? `-${flag}` : `--${flag}`);

/** @param {string} name of the command */
const usage = (name) =>
  `npm run ${name} -- ${wordsOf(name) || dashed(Object.keys(COMMANDS[name]?.flags ?? {})[0] ?? '')} ...`;

/**
 * The arguments without dashes, those that may be left out in brackets.
 *
 * @param {string} name of the command
 */
function wordsOf(name) {
  const { value, from, to } = COMMANDS[name]?.words ?? { value: '', from: 0, to: 0 };
  return Array.from({ length: to }, (_, i) => (i < from ? value : `[${value}]`)).join(' ');
}

/**
 * The text that `--help` prints.
 *
 * @param {string} name of the command
 */
export function help(name) {
  const { about, flags } = /** @type {Command} */ (COMMANDS[name]);
  const lines = Object.entries(flags).map(([key, { short, value, about }]) => {
    const names = short && short !== key ? `-${short}, ${dashed(key)}` : dashed(key);
    return `  ${`${names} ${value ?? ''}`.padEnd(24)} ${about}`;
  });
  return `npm run ${name} -- ${[wordsOf(name), '[flags]'].join(' ').trim()}\n\n${about}\n\n${lines.join('\n')}`;
}

/**
 * The words nearest to a misspelt one, nearest first, equally near ones in the order given.
 *
 * @param {string} word
 * @param {readonly string[]} among
 * @param {number} limit at most so many
 * @param {number} most edits that are still near
 */
export function near(word, among, limit, most) {
  /** @type {{ word: string, edits: number }[]} */
  const found = [];
  const wanted = Array.from(word.toLowerCase());
  for (const candidate of among) {
    const worst = found.length < limit ? most : Math.min(most, (found.at(-1)?.edits ?? most) - 1);
    if (Math.abs(candidate.length - word.length) > 2 * worst) continue;
    const edits = distance(wanted, Array.from(candidate.toLowerCase()));
    if (edits > worst) continue;
    const at = found.findIndex((other) => other.edits > edits);
    found.splice(at < 0 ? found.length : at, 0, { word: candidate, edits });
    found.length = Math.min(found.length, limit);
  }
  return found.map((entry) => entry.word);
}

/**
 * Edits between two words: letters added, dropped, replaced, or swapped with their neighbour (optimal string
 * alignment).
 *
 * @param {string[]} a
 * @param {string[]} b
 */
function distance(a, b) {
  /** @type {number[]} */
  let before = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let edits = Math.min(at(row, j) + 1, at(next, j - 1) + 1, at(row, j - 1) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        edits = Math.min(edits, at(before, j - 2) + 1);
      next.push(edits);
    }
    [before, row] = [row, next];
  }
  return at(row, b.length);
}

/** @param {number[]} row @param {number} j */
const at = (row, j) => /** @type {number} */ (row[j]);

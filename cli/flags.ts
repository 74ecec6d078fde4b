/** The commands, their flags, and how a command line is read. */
import { parseArgs } from 'node:util';
import { UsageError } from './errors.ts';

interface Flag {
  /** One letter that means the same. */
  short?: string;
  /** A word for its value; a flag without one is on or off. */
  value?: string;
  about: string;
  /** Limits of a number. */
  from?: number;
  to?: number;
  /** Whether the number may have a fraction. */
  fraction?: boolean;
  choices?: readonly string[];
  multiple?: boolean;
}

interface Command {
  /** Words for what stands beside the flags, and how many there may be. */
  operands: string;
  least: number;
  most: number;
  about: string;
  flags: Record<string, Flag>;
  example: string;
}

/** Values by the names of flags. */
export type Given = Record<string, string | number | boolean | string[] | undefined>;

const HELP: Flag = { short: 'h', about: 'print this help' };
const JSON_FLAG: Flag = { about: 'print one JSON object instead of text' };
const QUIET: Flag = { short: 'q', about: 'no progress' };
const FILTER: Flag = { value: 'JSON', about: 'only rows that match: \'{"year": {"$gte": 2020}}\'' };
const K: Flag = { short: 'k', value: 'N', from: 1, to: 1_000_000, about: 'hits (10)' };
const FORMATS = ['npy', 'jsonl', 'csv', 'parquet', 'fvecs'] as const;

/** A format that rows are read from. */
export type Format = (typeof FORMATS)[number];

const FORM: Flag = { value: 'FORMAT', choices: FORMATS, about: `${FORMATS.join(', ')}; else what the name ends with` };
const INDEX: Record<string, Flag> = {
  m: { value: 'N', from: 2, to: 128, about: 'links a node (16)' },
  'ef-construction': { value: 'N', from: 1, to: 10_000, about: 'candidates while linking (64)' },
  quantization: {
    value: 'KIND',
    choices: ['none', 'f16', 'sq8', 'sq4'],
    about: 'what searches read of a row: none, f16, sq8 or sq4 (sq8)',
  },
  field: {
    value: 'NAME:TYPE',
    multiple: true,
    about: 'a field to index: keyword, keyword[], number, boolean or text; may be given again',
  },
};
const MAKING: Record<string, Flag> = {
  metric: { value: 'METRIC', choices: ['cosine', 'l2', 'dot'], about: 'cosine, l2 or dot (cosine)' },
  seed: { value: 'N', from: 0, to: Number.MAX_SAFE_INTEGER, about: 'seed of the graph (42)' },
  model: { value: 'NAME', about: 'name of the embedding model' },
  ...INDEX,
};
const READING: Record<string, Flag> = {
  'id-field': { value: 'NAME', about: 'the field with the id (id)' },
  'vector-field': { value: 'NAME', about: 'the field with the vector (vector)' },
};

export const COMMANDS: Record<string, Command> = {
  create: {
    operands: 'DIR',
    least: 1,
    most: 1,
    about: 'Makes an empty collection.',
    flags: {
      dim: { value: 'N', from: 1, to: 4096, about: 'numbers in a vector (needed)' },
      ...MAKING,
      json: JSON_FLAG,
    },
    example: 'auspex create notes.auspex --dim 384 --field lang:keyword --field year:number',
  },
  import: {
    operands: 'DIR FILE...',
    least: 2,
    most: Number.POSITIVE_INFINITY,
    about:
      'Writes the rows of files (- is the standard input) into a collection, which is made when there is none. All rows or none.',
    flags: {
      format: FORM,
      ...READING,
      ids: { value: 'FILE', about: 'the ids of a .npy or .fvecs file, one a line (else rows are numbered from 0)' },
      metadata: { value: 'FILE', about: 'the metadata of a .npy or .fvecs file, one JSON object a line' },
      keep: { value: 'A,B', about: 'the fields to keep as metadata (all)' },
      number: { about: 'number the rows from 0 instead of reading ids' },
      mode: {
        value: 'MODE',
        choices: ['upsert', 'insert'],
        about: 'a known id is replaced (upsert) or an error (insert)',
      },
      ...MAKING,
      quiet: QUIET,
      json: JSON_FLAG,
    },
    example: 'auspex import sift.auspex base.npy --metric l2',
  },
  export: {
    operands: 'DIR [FILE]',
    least: 1,
    most: 2,
    about: 'Writes the rows of a collection into a file, else to the standard output as JSON lines.',
    flags: {
      format: {
        value: 'FORMAT',
        choices: ['jsonl', 'npy', 'fvecs'],
        about: 'jsonl, npy or fvecs; else what the name ends with',
      },
      filter: FILTER,
      'no-vectors': { about: 'ids and metadata only (jsonl)' },
      ids: { value: 'FILE', about: 'write the ids into this file, one a line (npy, fvecs)' },
      quiet: QUIET,
      json: JSON_FLAG,
    },
    example: 'auspex export notes.auspex notes.jsonl --filter \'{"lang": "en"}\'',
  },
  search: {
    operands: 'DIR',
    least: 1,
    most: 1,
    about: 'Prints the rows nearest to a vector or to a row.',
    flags: {
      vector: { value: 'VECTOR', about: 'numbers in brackets, or a file of vectors (- is the standard input)' },
      id: { value: 'ID', about: 'the row with this id, itself left out' },
      word: { value: 'WORD', about: 'the row whose line of --ids this is, itself left out' },
      ids: { value: 'FILE', about: 'names of rows that are numbered from 0, one a line; hits get theirs' },
      format: FORM,
      ...READING,
      k: K,
      filter: FILTER,
      'ef-search': { value: 'N', from: 1, to: 100_000, about: 'candidates while searching' },
      'max-distance': {
        value: 'X',
        from: Number.NEGATIVE_INFINITY,
        to: Number.POSITIVE_INFINITY,
        fraction: true,
        about: 'only hits as near as that',
      },
      exact: { about: 'compare with every row' },
      explain: { about: 'tell how the search ran' },
      json: JSON_FLAG,
    },
    example: 'auspex search words.auspex --word king --ids words.txt -k 5',
  },
  stats: {
    operands: 'DIR',
    least: 1,
    most: 1,
    about: 'Prints what a collection is like.',
    flags: { json: JSON_FLAG },
    example: 'auspex stats notes.auspex',
  },
  verify: {
    operands: 'DIR',
    least: 1,
    most: 1,
    about: 'Reads and checks everything. Exit code 1 when something is wrong.',
    flags: { quiet: QUIET, json: JSON_FLAG },
    example: 'auspex verify notes.auspex',
  },
  compact: {
    operands: 'DIR',
    least: 1,
    most: 1,
    about: 'Gives back the room of deleted and replaced rows.',
    flags: { quiet: QUIET, json: JSON_FLAG },
    example: 'auspex compact notes.auspex',
  },
  rebuild: {
    operands: 'DIR',
    least: 1,
    most: 1,
    about:
      'Builds the index anew by other options, and drops deleted and replaced rows. What is left out stays as it is.',
    flags: {
      m: { ...(INDEX.m as Flag), about: 'links a node' },
      'ef-construction': { ...(INDEX['ef-construction'] as Flag), about: 'candidates while linking' },
      quantization: { ...(INDEX.quantization as Flag), about: 'what searches read of a row: none, f16, sq8 or sq4' },
      field: { ...(INDEX.field as Flag), about: 'a field to index, of all that are to be: may be given again' },
      'no-fields': { about: 'index no field' },
      quiet: QUIET,
      json: JSON_FLAG,
    },
    example: 'auspex rebuild notes.auspex -m 24 --quantization sq4',
  },
  tune: {
    operands: 'DIR',
    least: 1,
    most: 1,
    about:
      'Finds the fewest candidates by which searches reach a recall on rows of the collection, and keeps the number.',
    flags: {
      'target-recall': {
        value: 'X',
        from: 0.01,
        to: 1,
        fraction: true,
        about: 'share of the true neighbours (needed)',
      },
      k: K,
      quiet: QUIET,
      json: JSON_FLAG,
    },
    example: 'auspex tune notes.auspex --target-recall 0.98',
  },
  bench: {
    operands: 'DIR',
    least: 1,
    most: 1,
    about: 'Measures recall against latency: rows of the collection are searched for, and compared with exact search.',
    flags: {
      k: K,
      sample: { value: 'N', from: 1, to: 10_000, about: 'rows to search for (200)' },
      'ef-search': { value: 'N', from: 1, to: 100_000, about: 'measure this one alone (16 to 256)' },
      filter: FILTER,
      quiet: QUIET,
      json: JSON_FLAG,
    },
    example: 'auspex bench sift.auspex -k 10',
  },
  explore: {
    operands: 'DIR',
    least: 1,
    most: 1,
    about: 'Serves a page about a collection to browsers of this machine, until Ctrl-C.',
    flags: { port: { value: 'N', from: 0, to: 65_535, about: 'port (any that is free)' }, json: JSON_FLAG },
    example: 'auspex explore notes.auspex',
  },
};

/** Reads what stands behind the name of a command. */
export function readFlags(name: string, args: string[]): { given: Given; operands: string[] } {
  const { flags: own, operands: words, least, most } = COMMANDS[name] as Command;
  const flags: Record<string, Flag> = { ...own, help: HELP };
  const options = Object.fromEntries(
    Object.entries(flags).map(([key, { short, value }]) => {
      const type = value ? ('string' as const) : ('boolean' as const);
      return [key, short ? { type, short } : { type }];
    }),
  );
  const given: Given = {};
  const operands: string[] = [];
  for (const token of parseArgs({ args, options, strict: false, tokens: true }).tokens) {
    if (token.kind === 'positional') operands.push(token.value);
    if (token.kind !== 'option') continue;
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined;
    if (!flag) {
      const known = Object.keys(flags).map(dashed).join(', ');
      throw new UsageError(
        `auspex ${name} has no flag ${token.rawName}${meant(token.name, Object.keys(flags), dashed)} Known: ${known}`,
      );
    }
    const value = readValue(token.rawName, flag, token.value, token.inlineValue);
    const before = given[token.name];
    if (before !== undefined && !flag.multiple) throw new UsageError(`${token.rawName} is given twice`);
    given[token.name] = flag.multiple ? [...((before as string[]) ?? []), String(value)] : value;
  }
  if (given.help) return { given, operands };
  if (operands.length < least) throw new UsageError(`auspex ${name} needs ${words}: ${COMMANDS[name]?.example}`);
  if (operands.length > most) {
    throw new UsageError(`auspex ${name} takes ${words}; what is ${JSON.stringify(operands[most])}?`);
  }
  return { given, operands };
}

function readValue(name: string, flag: Flag, value: string | undefined, inline: boolean | undefined) {
  const { value: word, from, to, fraction, choices } = flag;
  if (!word) {
    if (value === undefined) return true;
    throw new UsageError(`${name} takes no value, got ${JSON.stringify(value)}`);
  }
  const flagLike = !inline && value !== undefined && /^-[^\d.]/.test(value);
  if (flagLike)
    throw new UsageError(`${name} needs a value (${name}=${value} if ${JSON.stringify(value)} is the value)`);
  if (!value) throw new UsageError(`${name} needs a value: ${name} ${word}`);
  if (choices && !choices.includes(value)) {
    throw new UsageError(`${name} must be one of ${choices.join(', ')}, got ${JSON.stringify(value)}`);
  }
  if (from === undefined || to === undefined) return value;
  const number = Number(value);
  const kind = fraction ? Number.isFinite(number) : Number.isInteger(number);
  if (kind && number >= from && number <= to && value.trim() !== '') return number;
  const limits = Number.isFinite(from) ? ` from ${from} to ${to}` : '';
  const range = `a ${fraction ? '' : 'whole '}number${limits}`;
  throw new UsageError(`${name} must be ${range}, got ${JSON.stringify(value)}`);
}

const dashed = (flag: string) => (flag.length === 1 ? `-${flag}` : `--${flag}`);

/** The command of this name; an unknown one is an error that names the nearest. */
export function commandOf(name: string): Command {
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined;
  if (command) return command;
  const names = Object.keys(COMMANDS);
  throw new UsageError(
    `there is no command ${JSON.stringify(name)}${meant(name, names, String)} Known: ${names.join(', ')}`,
  );
}

/** The text that `--help` prints; of a command, or of all. */
export function help(name?: string): string {
  if (name === undefined) {
    const lines = Object.entries(COMMANDS).map(([key, { about }]) => `  ${key.padEnd(9)} ${about}`);
    const examples = Object.values(COMMANDS).map(({ example }) => `  ${example}`);
    const end = '`auspex COMMAND --help` tells its flags, `auspex --version` the version.';
    return ['auspex COMMAND DIR [flags]', '', ...lines, '', 'Examples', ...examples, '', end].join('\n');
  }
  const { about, flags, operands, example } = commandOf(name);
  const lines = Object.entries({ ...flags, help: HELP }).map(([key, { short, value, about }]) => {
    const names = short && short !== key ? `-${short}, ${dashed(key)}` : dashed(key);
    return `  ${`${names} ${value ?? ''}`.padEnd(24)} ${about}`;
  });
  return [`auspex ${name} ${operands} [flags]`, '', about, '', ...lines, '', 'Example', `  ${example}`].join('\n');
}

/** Fields as `open` takes them, from `NAME:TYPE`. */
export function readFields(given: Given[string]): Record<string, string> | undefined {
  if (!Array.isArray(given)) return undefined;
  return Object.fromEntries(
    given.map((text) => {
      const at = text.lastIndexOf(':');
      if (at < 1) throw new UsageError(`--field must be NAME:TYPE, got ${JSON.stringify(text)}`);
      return [text.slice(0, at), text.slice(at + 1)];
    }),
  );
}

/** A filter, or undefined. What it says is for the collection to judge. */
export function readFilter(given: Given[string]): object | undefined {
  if (given === undefined) return undefined;
  try {
    return JSON.parse(String(given));
  } catch (error) {
    throw new UsageError(`--filter must be JSON, got ${String(given).slice(0, 80)}: ${(error as Error).message}`);
  }
}

/** A question about the word that is nearest to a misspelt one, where one is near. */
function meant(word: string, among: readonly string[], show: (word: string) => string): string {
  const scored = among.map((each) => ({ each, edits: distance(word, each) })).sort((a, b) => a.edits - b.edits);
  const [nearest] = scored;
  return nearest && nearest.edits <= Math.max(2, word.length / 3) ? `: did you mean ${show(nearest.each)}?` : '.';
}

/** Letters to add, drop or replace (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const [up = 0, left = 0, corner = 0] = [row[j], next[j - 1], row[j - 1]];
      next.push(Math.min(up + 1, left + 1, corner + Number(a[i - 1] !== b[j - 1])));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** Rows from files of records: JSON lines, CSV, Parquet. */
import type { Json, Metadata } from 'auspex';
import { lines } from './bytes.ts';
import { InputError } from './errors.ts';

/** A record as it is read, and where it stands. */
export interface Entry {
  value: { [field: string]: unknown };
  place: string;
}

/** One row. */
export interface Row {
  id: string | undefined;
  vector: ArrayLike<number>;
  metadata: Metadata;
  place: string;
}

/** How records are read as rows. */
export interface Fields {
  id: string;
  vector: string;
  /** Fields that become metadata; all others where it is undefined. */
  keep: ReadonlySet<string> | undefined;
  /** Whether rows are numbered instead of having ids. */
  number: boolean;
  /** Types of fields whose values are text: CSV. */
  types: { readonly [field: string]: string | undefined };
}

/** A group of rows of a Parquet file is read at once; no more rows than these together. */
const GROUP = 50_000;

export async function* readJsonLines(file: string, stream: AsyncIterable<Buffer>): AsyncGenerator<Entry> {
  for await (const { text, number } of lines(file, stream)) {
    if (text.trim() === '') continue;
    const place = `line ${number}`;
    yield { value: parse(file, place, text), place };
  }
}

function parse(file: string, place: string, text: string): Entry['value'] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new InputError(file, place, (error as Error).message, error);
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Entry['value'];
  throw new InputError(file, place, `must be a JSON object, got ${text.slice(0, 40)}`);
}

/** Records of a CSV file whose first line has names. A vector is a JSON array in one field, or numbers in several. */
export async function* readCsv(file: string, stream: AsyncIterable<Buffer>, fields: Fields): AsyncGenerator<Entry> {
  const { parse: parser } = await import('csv-parse');
  const { pipeline, Readable } = await import('node:stream');
  const csv = parser({ bom: true, columns: true, info: true, skip_empty_lines: true, max_record_size: 2 ** 26 });
  // The loop below ends with the error that ends the pipeline.
  pipeline(Readable.from(stream), csv, () => {});
  let columns: string[] | undefined;
  try {
    for await (const { record, info } of csv as AsyncIterable<{
      record: Record<string, string>;
      info: { lines: number };
    }>) {
      const place = `line ${info.lines}`;
      columns ??= vectorColumns(file, Object.keys(record), fields.vector);
      const numbers = columns.map((name) => record[name] ?? '');
      const vector =
        columns[0] === fields.vector
          ? list(file, place, numbers[0] ?? '', fields.vector)
          : numbers.map((text) => number(file, place, text));
      for (const name of columns) delete record[name];
      const value: Entry['value'] = {};
      for (const [name, text] of Object.entries(record)) {
        const typed = cast(file, place, name, text, fields.types[name]);
        if (typed !== undefined) define(value, name, typed);
      }
      define(value, fields.vector, vector);
      yield { value, place };
    }
  } catch (error) {
    if (
      error instanceof InputError ||
      !(error instanceof Error) ||
      !/^CSV_/.test((error as NodeJS.ErrnoException).code ?? '')
    )
      throw error;
    const line = 'lines' in error ? `line ${error.lines}` : '';
    throw new InputError(file, line, error.message, error);
  } finally {
    csv.destroy();
  }
}

/** The one column with the vector, or the columns `vector0`, `vector1`, ... with a number each, in order. */
function vectorColumns(file: string, names: string[], field: string): string[] {
  if (names.includes(field)) return [field];
  const numbered = names
    .filter((name) => name.startsWith(field))
    .map((name) => ({ name, at: /^[_.-]?(\d+)$/.exec(name.slice(field.length))?.[1] }))
    .filter(({ at }) => at !== undefined)
    .sort((a, b) => Number(a.at) - Number(b.at));
  if (numbered.length > 0) return numbered.map(({ name }) => name);
  const found = names.slice(0, 20).join(', ');
  throw new InputError(
    file,
    'line 1',
    `has neither a column ${field} nor columns ${field}0, ${field}1, ...; it has ${found}`,
  );
}

function list(file: string, place: string, text: string, field: string): unknown {
  try {
    return JSON.parse(text.trim().startsWith('[') ? text : `[${text}]`);
  } catch (error) {
    throw new InputError(file, place, `${field} must be numbers as a JSON array, got ${text.slice(0, 40)}`, error);
  }
}

function number(file: string, place: string, text: string): number {
  if (text.trim() !== '' && Number.isFinite(Number(text))) return Number(text);
  throw new InputError(file, place, `a number was expected, got ${JSON.stringify(text.slice(0, 40))}`);
}

/** The value of a CSV field. An empty one is missing, unless it is known to be text. */
function cast(file: string, place: string, name: string, text: string, type: string | undefined): unknown {
  if (type === undefined || type === 'keyword' || type === 'text') return text;
  if (text === '') return undefined;
  if (type === 'number') return number(file, `${place}, ${name}`, text);
  if (type === 'boolean' && /^(true|false)$/i.test(text)) return text.toLowerCase() === 'true';
  if (type === 'keyword[]') return list(file, place, text, name);
  throw new InputError(file, `${place}, ${name}`, `a ${type} was expected, got ${JSON.stringify(text.slice(0, 40))}`);
}

/** Records of a Parquet file, a group of rows at a time. */
export async function* readParquet(
  path: string,
  file: string,
  onRow: (done: number, total: number) => void,
): AsyncGenerator<Entry> {
  const { asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects } = await import('hyparquet');
  const { compressors } = await import('hyparquet-compressors');
  const bad = (place: string, error: unknown) => {
    const { message, syscall } = error as NodeJS.ErrnoException;
    return syscall ? error : new InputError(file, place, message, error);
  };
  const buffer = await asyncBufferFromFile(path);
  const metadata = await parquetMetadataAsync(buffer).catch((error) => {
    throw bad('', error);
  });
  const total = Number(metadata.num_rows);
  let first = 0;
  for (const [i, group] of metadata.row_groups.entries()) {
    const end = first + Number(group.num_rows);
    for (let from = first; from < end; from += GROUP) {
      const rowEnd = Math.min(end, from + GROUP);
      const rows = await parquetReadObjects({ file: buffer, metadata, compressors, rowStart: from, rowEnd }).catch(
        (error) => {
          throw bad(`row group ${i} (rows ${from} to ${rowEnd - 1})`, error);
        },
      );
      if (rows.length !== rowEnd - from)
        throw new InputError(file, `row group ${i}`, `has ${rows.length} rows, expected ${rowEnd - from}`);
      for (const [j, value] of rows.entries()) {
        yield { value, place: `row ${from + j}` };
        onRow(from + j + 1, total);
      }
    }
    first = end;
  }
}

/** A record as a row. */
export function rowOf(file: string, record: Entry, fields: Fields): Row {
  const without = fields.number ? [fields.vector] : [fields.vector, fields.id];
  const vector = vectorOf(file, record, fields.vector);
  const id = fields.number ? undefined : idOf(file, record, fields.id);
  return { id, vector, metadata: metadataOf(file, record, fields, without), place: record.place };
}

function vectorOf(file: string, { value, place }: Entry, field: string): ArrayLike<number> {
  const vector = value[field];
  const refuse = (why: string) => new InputError(file, place, why);
  if (vector === undefined || vector === null) {
    const has = Object.keys(value).slice(0, 20).join(', ');
    throw refuse(`has no ${JSON.stringify(field)}: --vector-field names the field with the vector. It has ${has}`);
  }
  if (!Array.isArray(vector) && !(ArrayBuffer.isView(vector) && 'length' in vector)) {
    throw refuse(`${JSON.stringify(field)} must be an array of numbers, got ${show(vector)}`);
  }
  const numbers = vector as ArrayLike<unknown>;
  for (let i = 0; i < numbers.length; i++) {
    if (typeof numbers[i] !== 'number')
      throw refuse(`${JSON.stringify(field)}[${i}] must be a number, got ${show(numbers[i])}`);
  }
  return numbers as ArrayLike<number>;
}

/** The id of a record: text, or a whole number. */
export function idOf(file: string, { value, place }: Entry, field: string): string {
  const id = value[field];
  if (typeof id === 'string') return id;
  if (typeof id === 'bigint' || (typeof id === 'number' && Number.isSafeInteger(id))) return String(id);
  if (id !== undefined && id !== null) {
    throw new InputError(file, place, `${JSON.stringify(field)} must be text or a whole number, got ${show(id)}`);
  }
  const why = '--id-field names the field with the id, --number counts rows instead';
  throw new InputError(file, place, `has no ${JSON.stringify(field)}: ${why}`);
}

/** What is neither id nor vector is metadata, and so is what an object named `metadata` has in it. */
export function metadataOf(
  file: string,
  { value, place }: Entry,
  { keep }: Fields,
  without: readonly string[],
): Metadata {
  const metadata: Metadata = {};
  const add = (name: string, of: unknown) => {
    if (keep && !keep.has(name)) return;
    if (Object.hasOwn(metadata, name)) {
      throw new InputError(file, place, `has ${JSON.stringify(name)} twice: beside "metadata" and in it`);
    }
    const refuse = () => new InputError(file, place, `${JSON.stringify(name)} has a value that JSON cannot hold`);
    define(metadata, name, json(of, refuse));
  };
  for (const [name, of] of Object.entries(value)) {
    if (without.includes(name)) continue;
    const nested =
      name === 'metadata' && typeof of === 'object' && of !== null && !Array.isArray(of) && !(of instanceof Date);
    if (!nested) add(name, of);
    else for (const [inner, each] of Object.entries(of)) add(inner, each);
  }
  return metadata;
}

/** Sets a property of any name: `__proto__` too. */
const define = (object: object, name: string, value: unknown) =>
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });

/** A value as JSON holds it: whole numbers past 2^53 and dates become text. */
function json(value: unknown, refuse: () => Error): Json {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : String(value);
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value) && !('map' in value && !(value instanceof Uint8Array))) throw refuse();
  if (typeof value === 'number' && !Number.isFinite(value)) return null;
  if (Array.isArray(value) || ArrayBuffer.isView(value))
    return Array.from(value as Iterable<unknown>, (each) => json(each, refuse));
  if (typeof value !== 'object' || value === null) return value as Json;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, json(each, refuse)]));
}

const show = (value: unknown) =>
  typeof value === 'bigint' ? `${value}` : (JSON.stringify(value) ?? String(value)).slice(0, 40);

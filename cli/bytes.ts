/** Streams of bytes, taken by length or by line. */
import { isUtf8 } from 'node:buffer';
import { InputError } from './errors.ts';

/** A longer line is no row. */
const LINE = 2 ** 26;

/** A stream from which so many bytes at a time are taken. */
export class Bytes {
  /** Bytes taken so far. */
  at = 0;
  readonly #stream: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: AsyncIterable<Buffer>) {
    this.#stream = stream[Symbol.asyncIterator]();
  }

  /** The next so many bytes, aligned for any number; fewer where the stream ends. */
  async take(length: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    let missing = length;
    while (missing > 0) {
      if (this.#rest.length === 0) {
        const next = await this.#stream.next();
        if (next.done) break;
        this.#rest = next.value;
      }
      const part = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(part.length);
      missing -= part.length;
      parts.push(part);
    }
    const taken = Buffer.from(new ArrayBuffer(length - missing));
    let at = 0;
    for (const part of parts) at += part.copy(taken, at);
    this.at += taken.length;
    return taken;
  }

  /** Lets go of the stream. */
  async close(): Promise<void> {
    await this.#stream.return?.();
  }
}

/** A line of a text, from 1. */
export interface Line {
  text: string;
  number: number;
}

/** The lines of a text in UTF-8, without their ends and without a byte order mark. */
export async function* lines(file: string, stream: AsyncIterable<Buffer>): AsyncGenerator<Line> {
  let number = 0;
  let [parts, length]: [Buffer[], number] = [[], 0];
  const take = (bytes: Buffer): Line => {
    number++;
    if (!isUtf8(bytes)) throw new InputError(file, `line ${number}`, 'is not UTF-8');
    const text = bytes.toString('utf8');
    return { text: number === 1 ? text.replace(/^\ufeff/, '') : text, number };
  };
  for await (const chunk of stream) {
    let from = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      parts.push(chunk.subarray(from, end));
      const bytes = parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
      yield take(bytes.at(-1) === 13 ? bytes.subarray(0, -1) : bytes);
      [parts, length, from] = [[], 0, end + 1];
    }
    parts.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > LINE) throw new InputError(file, `line ${number + 1}`, `has more than ${LINE} bytes, the limit`);
  }
  if (length > 0) yield take(Buffer.concat(parts));
}

/** Vectors from files that hold nothing else: .npy (NumPy, format 1 to 3) and .fvecs (of texmex's data sets). */
import type { Bytes } from './bytes.ts';
import { InputError } from './errors.ts';

/** Rows of floats, and where in the file each begins. */
export interface Block {
  vectors: Float32Array;
  rows: number;
  dim: number;
  place: (row: number) => string;
}

/** Numbers to read at a time: 4 MiB of floats. */
const BLOCK = 2 ** 20;
/** NumPy's headers have a few hundred bytes. */
const HEADER = 2 ** 16;

/** Reads bytes that hold numbers of one type, little-endian. */
const READERS: Record<string, (bytes: Buffer) => ArrayLike<number>> = {
  f2: (bytes) => Float32Array.from(new Uint16Array(bytes.buffer), widen),
  f4: (bytes) => new Float32Array(bytes.buffer),
  f8: (bytes) => new Float64Array(bytes.buffer),
  i1: (bytes) => new Int8Array(bytes.buffer),
  i2: (bytes) => new Int16Array(bytes.buffer),
  i4: (bytes) => new Int32Array(bytes.buffer),
  u1: (bytes) => new Uint8Array(bytes.buffer),
  u2: (bytes) => new Uint16Array(bytes.buffer),
  u4: (bytes) => new Uint32Array(bytes.buffer),
};

/** The number that 16 bits stand for (IEEE 754 binary16). */
function widen(bits: number): number {
  const [exponent, fraction] = [(bits >> 10) & 31, bits & 1023];
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25));
}

/**
 * The rows of an array of two dimensions.
 *
 * @param size of the file in bytes, where that is known
 */
export async function* readNpy(file: string, bytes: Bytes, size: number | undefined): AsyncGenerator<Block> {
  const start = await bytes.take(8);
  if (start.toString('latin1', 0, 6) !== '\x93NUMPY') throw new InputError(file, 'byte 0', 'is not a .npy file');
  const wide = start[6] !== 1;
  const length = await bytes.take(wide ? 4 : 2);
  const long = length.length < 2 ? 0 : wide ? length.readUInt32LE() : length.readUInt16LE();
  if (long > HEADER) throw new InputError(file, 'byte 8', `the header has ${long} bytes; the limit is ${HEADER}`);
  const header = (await bytes.take(long)).toString('utf8');
  const [, order = '', type = ''] = /'descr':\s*'([<>|=])([a-z]\d)'/.exec(header) ?? [];
  const shape = /'shape':\s*\(([\d, ]*)\)/.exec(header)?.[1]?.match(/\d+/g)?.map(Number) ?? [];
  const read = READERS[type];
  if (!read || !/'fortran_order':\s*False/.test(header)) {
    const known = Object.keys(READERS).join(', ');
    throw new InputError(file, 'byte 10', `arrays of ${known} in C order are read, got ${header.trim().slice(0, 200)}`);
  }
  const [rows = 0, dim = 0] = shape;
  if (shape.length !== 2 || dim < 1) {
    throw new InputError(file, 'byte 10', `the shape is (${shape.join(', ')}); it must be (rows, numbers in a vector)`);
  }
  const [width, begin] = [Number(type[1]), bytes.at];
  const expected = begin + rows * dim * width;
  if (size !== undefined && size !== expected) {
    throw new InputError(
      file,
      `byte ${Math.min(size, expected)}`,
      `the file has ${size} bytes, its header says ${expected}`,
    );
  }
  const step = Math.max(1, Math.floor(BLOCK / dim));
  for (let from = 0; from < rows; from += step) {
    const count = Math.min(step, rows - from);
    const taken = await bytes.take(count * dim * width);
    if (taken.length < count * dim * width) {
      throw new InputError(file, `byte ${bytes.at}`, `the file ends here, its header says ${expected} bytes`);
    }
    if (order === '>') swap(taken, width);
    const numbers = read(taken);
    const vectors = numbers instanceof Float32Array ? numbers : Float32Array.from(numbers);
    yield { vectors, rows: count, dim, place: (i) => `row ${from + i} (byte ${begin + (from + i) * dim * width})` };
  }
  if ((await bytes.take(1)).length > 0)
    throw new InputError(file, `byte ${expected}`, 'the file should end here by its header');
}

/** Turns the bytes of each number round, in place. */
function swap(bytes: Buffer, width: number): void {
  if (width === 2) bytes.swap16();
  if (width === 4) bytes.swap32();
  if (width === 8) bytes.swap64();
}

/** The rows of a file in which each has its number of floats before it, as an i32. */
export async function* readFvecs(file: string, bytes: Bytes): AsyncGenerator<Block> {
  const head = await bytes.take(4);
  if (head.length === 0) return;
  const dim = head.length < 4 ? 0 : head.readInt32LE();
  if (dim < 1 || dim > 4096) {
    throw new InputError(file, 'byte 0', `a vector of ${dim} numbers; a .fvecs file begins with 1 to 4,096`);
  }
  const [step, width] = [Math.max(1, Math.floor(BLOCK / dim)), 4 + 4 * dim];
  let rest = head;
  for (let first = 0; ; first += step) {
    const taken = Buffer.from(new ArrayBuffer(step * width));
    const filled = rest.copy(taken) + (await bytes.take(step * width - rest.length)).copy(taken, rest.length);
    rest = Buffer.alloc(0);
    if (filled === 0) return;
    const at = (row: number) => (first + row) * width;
    const rows = Math.ceil(filled / width);
    const vectors = new Float32Array(rows * dim);
    for (let row = 0; row < rows; row++) {
      if (filled - row * width < width)
        throw new InputError(file, `byte ${bytes.at}`, `the file ends within row ${first + row}`);
      const numbers = taken.readInt32LE(row * width);
      if (numbers !== dim) {
        throw new InputError(
          file,
          `byte ${at(row)}`,
          `row ${first + row} has ${numbers} numbers, the rows before it ${dim}`,
        );
      }
      vectors.set(new Float32Array(taken.buffer, row * width + 4, dim), row * dim);
    }
    yield { vectors, rows, dim, place: (i) => `row ${first + i} (byte ${at(i)})` };
  }
}

/** The header of a .npy file of so many vectors, always as long. */
export function npyHeader(rows: number, dim: number): Buffer {
  const text = `{'descr': '<f4', 'fortran_order': False, 'shape': (${rows}, ${dim}), }`;
  const header = Buffer.from(`\x93NUMPY\x01\x00\x00\x00${text.padEnd(117)}\n`, 'latin1');
  header.writeUInt16LE(118, 8);
  return header;
}

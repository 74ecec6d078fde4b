type Floats = Float32Array;

/** An instruction set. */
export type Isa = 'avx512' | 'avx2' | 'neon' | 'scalar';

/**
 * What distance means; smaller is nearer.
 *
 * - `cosine`: 1 minus the cosine of the angle, 0 to 2. A zero vector is an error.
 * - `l2`: the Euclidean distance (not squared).
 * - `dot`: minus the inner product.
 */
export type Metric = 'cosine' | 'l2' | 'dot';

/**
 * What the walk of the graph reads of a row: its own floats (`'none'`), floats of 16 bits (`'f16'`), or codes of 8 (`'sq8'`)
 * or 4 bits (`'sq4'`) a dimension. Whatever it is, hits are chosen and scored by the row's own floats.
 */
export type Quantization = 'none' | 'f16' | 'sq8' | 'sq4';

/**
 * What went wrong, as a word that never changes.
 *
 * | code | class | meaning |
 * | --- | --- | --- |
 * | `ERR_ARGUMENT` | TypeError, RangeError | an argument of the wrong type, or out of its range |
 * | `ERR_DIMENSION` | RangeError | a vector of the wrong length, or one whose buffer was transferred |
 * | `ERR_NOT_FINITE` | RangeError | NaN or an infinity in a vector |
 * | `ERR_ZERO_VECTOR` | RangeError | a zero vector where the metric is cosine |
 * | `ERR_FILTER` | AuspexError | no filter; the message names the place inside it |
 * | `ERR_EXISTS` | AuspexError | `insert` of an id that is known, or given twice |
 * | `ERR_NOT_FOUND` | AuspexError | no row has this id, or no collection is at the path |
 * | `ERR_LOCKED` | AuspexError | another handle, worker or process writes to the collection |
 * | `ERR_READ_ONLY` | AuspexError | the collection was opened with mode `'readonly'` |
 * | `ERR_CLOSED` | AuspexError | the collection was closed |
 * | `ERR_CORRUPT` | AuspexError | a file is damaged; the message names it and the byte |
 * | `ERR_VERSION` | AuspexError | a newer version of this library made the collection |
 * | `ERR_MODEL_MISMATCH` | AuspexError | the vectors in the collection come from another model |
 * | `ERR_IO` | AuspexError | the system refused to read or write; nothing more is written until reopened |
 * | `ERR_NO_SPACE` | AuspexError | the disk is full; nothing changed |
 * | `ERR_MEMORY` | AuspexError | not enough memory; nothing changed |
 * | `ERR_NATIVE_LOAD` | AuspexError | the native addon is missing or does not load here |
 * | `ERR_INTERNAL` | AuspexError | a defect of this library |
 */
export type ErrorCode =
  | 'ERR_ARGUMENT'
  | 'ERR_DIMENSION'
  | 'ERR_NOT_FINITE'
  | 'ERR_ZERO_VECTOR'
  | 'ERR_FILTER'
  | 'ERR_EXISTS'
  | 'ERR_NOT_FOUND'
  | 'ERR_LOCKED'
  | 'ERR_READ_ONLY'
  | 'ERR_CLOSED'
  | 'ERR_CORRUPT'
  | 'ERR_VERSION'
  | 'ERR_MODEL_MISMATCH'
  | 'ERR_IO'
  | 'ERR_NO_SPACE'
  | 'ERR_MEMORY'
  | 'ERR_NATIVE_LOAD'
  | 'ERR_INTERNAL';


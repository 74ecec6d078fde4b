export { exactSearch, info, open } from './collection';
export { AuspexError, isAuspexError } from './errors';
export type * from './types';

export { AuspexError, isAuspexError } from '../errors';
export { type ConnectOptions, connect } from './client';
export type { Port } from './ports';
export { type Served, type ServeOptions, type Serving, serve } from './server';

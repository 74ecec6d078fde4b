import { connect, serve } from '../../dist/electron/index.mjs';
import { tableOf } from '../hazards/arguments.ts';
import { CHANNELS } from '../ports.ts';

tableOf(async (collection) => {
  const [window, process] = CHANNELS['web to electron']();
  serve(collection, process);
  return connect(window);
});

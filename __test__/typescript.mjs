// Lets tests be TypeScript. Only modules pass through it: what is tested is loaded as it was built. Node 24 needs no
// help: it strips types, and knows `await using`. But the command's files are modules in a CommonJS package.
import module from 'node:module';

if (Number.parseInt(process.versions.node, 10) < 24) module.register('@oxc-node/core/esm', import.meta.url);
else {
  const format = 'module-typescript';
  const load = (url, context, next) => next(url, /\/cli\/.*\.ts$/.test(url) ? { ...context, format } : context);
  module.registerHooks({ load });
}

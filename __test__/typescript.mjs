// Lets tests be TypeScript. Only modules pass through it: what is tested is loaded as it was built. Node 24 needs no
// help: it strips types, and knows `await using`.
import { register } from 'node:module';

if (Number.parseInt(process.versions.node, 10) < 24) register('@oxc-node/core/esm', import.meta.url);

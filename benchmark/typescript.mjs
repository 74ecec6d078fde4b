// Lets programs of the benchmark be TypeScript. Only modules pass through it: what is measured is loaded as it was built.
import { register } from 'node:module';

register('@oxc-node/core/esm', import.meta.url);

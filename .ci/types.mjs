// `npm run types`: rolls lib/ up into index.d.ts. With `--check`, fails when that would change the file.
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const { generateDtsBundle } = createRequire(import.meta.url)('dts-bundle-generator');

const [rolled] = generateDtsBundle(
  [{ filePath: `${root}/lib/index.ts`, output: { noBanner: true, exportReferencedTypes: false } }],
  { preferredConfigPath: `${root}/tsconfig.json` },
);
const header =
  '/// <reference lib="esnext.disposable" preserve="true" />\n// Rolled up from lib/ by `npm run types`. Do not edit.\n\n';
const text = header + rolled.replace(/\t/g, '  ');
const file = `${root}/index.d.ts`;

if (process.argv.includes('--check')) {
  const current = readFileSync(file, 'utf8');
  if (current !== text) {
    console.error('index.d.ts is stale: run `npm run types` and commit it');
    process.exit(1);
  }
} else {
  writeFileSync(file, text);
}

// `pack.mjs [FOLDER] [--publish TAG]` packs what is published: `auspex`, and a package for each target whose addon is
// built. Nothing in them runs when they are installed.
import { execFileSync } from 'node:child_process';
import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { targets } from './build.mjs';
import { licences, sbom } from './sbom.mjs';
import { root } from './suites.mjs';

/** What the package of a user needs; the rest of package.json is for those who build it. */
const KEPT =
  'name version description keywords license type engines main module types exports typesVersions bin files sideEffects ' +
  'peerDependencies peerDependenciesMeta';

/**
 * @param out a folder; what it held is lost
 * @returns for each package its name, folder, tarball, and, but for `auspex` itself, the target
 */
export function pack(out) {
  rmSync(out, { recursive: true, force: true });
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const every = targets();
  const main = Object.fromEntries(KEPT.split(' ').map((key) => [key, manifest[key]]));
  // Exactly this version: an addon of another one does not fit.
  main.optionalDependencies = Object.fromEntries(every.map(({ name }) => [`auspex-${name}`, manifest.version]));
  const packages = [stage(main, (folder) => cpSync(join(root, 'dist'), join(folder, 'dist'), { recursive: true }))];
  for (const file of ['index.d.ts', 'README.md']) copyFileSync(join(root, file), join(out, 'auspex', file));
  for (const target of every.filter(({ file }) => existsSync(file))) {
    const { name, platform, arch, libc, file } = target;
    const { version, license, engines } = manifest;
    const description = `The native addon of auspex for ${name}. Installed by auspex where it fits.`;
    const fits = { os: [platform], cpu: [arch], ...(libc && { libc: [libc] }) };
    const files = [basename(file), 'sbom.cdx.json', 'THIRD-PARTY-LICENSES'];
    const own = { name: `auspex-${name}`, version, description, license, engines, ...fits, main: files[0], files };
    const fill = (folder) => {
      copyFileSync(file, join(folder, files[0]));
      writeFileSync(join(folder, files[1]), `${JSON.stringify(sbom(target), null, 1)}\n`);
      writeFileSync(join(folder, files[2]), licences(target));
      writeFileSync(join(folder, 'README.md'), `# auspex-${name}\n\n${description}\n`);
    };
    packages.push({ ...stage(own, fill), target });
  }
  return packages.map((each) => {
    const args = ['pack', '--ignore-scripts', '--json', '--pack-destination', out];
    const json = JSON.parse(execFileSync('npm', args, { cwd: each.folder, encoding: 'utf8', stdio: 'pipe' }));
    const [{ filename, files, size, unpackedSize }] = Object.values(json);
    return { ...each, tarball: join(out, filename), files: files.map(({ path }) => path), size, unpackedSize };
  });

  function stage(contents, fill) {
    const folder = join(out, contents.name);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), `${JSON.stringify(contents, null, 2)}\n`);
    copyFileSync(join(root, 'LICENSE'), join(folder, 'LICENSE'));
    fill(folder);
    return { name: contents.name, folder };
  }
}

/** Publishes all packages or none: those of the addons first, as `auspex` names them. */
function publish(packages, tag) {
  const { version, optionalDependencies } = JSON.parse(readFileSync(join(packages[0].folder, 'package.json'), 'utf8'));
  if (tag !== `v${version}`) throw new Error(`the tag is ${tag}, the version ${version}`);
  const missing = Object.keys(optionalDependencies).filter((name) => !packages.some((each) => each.name === name));
  if (missing.length > 0) throw new Error(`not built: ${missing.join(', ')}`);
  const [auspex, ...addons] = packages;
  for (const { tarball } of [...addons, auspex])
    execFileSync('npm', ['publish', '--provenance', '--access', 'public', tarball], { stdio: 'inherit' });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [out = 'packages', publishes, tag] = process.argv.slice(2);
  const packages = pack(resolve(out));
  for (const { tarball, size } of packages) console.log(`${tarball}: ${size} bytes`);
  if (publishes === '--publish') publish(packages, tag);
}

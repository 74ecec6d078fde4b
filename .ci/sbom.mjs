// What packages are made of, as software bills of materials (CycloneDX 1.5) and with the texts of licences: of an addon
// every crate that is linked or expanded into it, of `auspex` the npm packages that are bundled into its command.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { root } from './suites.mjs';

/** The crates that cargo resolves for a triple: each by its id, the ids of those it links, and those of the addon. */
function crates(triple) {
  const args = ['metadata', '--format-version', '1', '--locked', '--filter-platform', triple];
  const { packages, resolve } = JSON.parse(
    execFileSync('cargo', args, { cwd: root, encoding: 'utf8', maxBuffer: 2 ** 28 }),
  );
  const byId = new Map(packages.map((each) => [each.id, each]));
  const links = new Map(
    resolve.nodes.map(({ id, deps }) => [
      id,
      deps.filter(({ dep_kinds }) => dep_kinds.some(({ kind }) => kind === null)).map(({ pkg }) => pkg),
    ]),
  );
  const addon = packages.find((each) => each.name === 'auspex-node').id;
  const linked = new Set([addon]);
  for (const id of linked) for (const dep of links.get(id)) linked.add(dep);
  return { byId, links, linked: [...linked], addon };
}

/** Licences that need not be printed, as theirs may be had under another one that is. */
const OTHER = /apache|unlicense|copying/i;

/** The texts of the licences of a target's crates, each once, below the crates that have it. */
export function licences({ triple }) {
  const { byId, linked } = crates(triple);
  const users = new Map();
  for (const { name, version, source, manifest_path } of linked.map((id) => byId.get(id))) {
    if (source === null) continue;
    const folder = dirname(manifest_path);
    const files = readdirSync(folder).filter((file) => /^(licen[cs]e|copying|notice|unlicense)/i.test(file));
    const needed = files.filter((file) => !OTHER.test(file));
    // The crates of napi-rs come without the licence that its npm package has.
    const paths = (needed.length > 0 ? needed : files).map((file) => join(folder, file));
    if (paths.length === 0 && name.startsWith('napi')) paths.push(join(root, 'node_modules/@napi-rs/cli/LICENSE'));
    if (paths.length === 0) throw new Error(`${name} ${version} comes without the text of its licence`);
    for (const path of paths) {
      const text = readFileSync(path, 'utf8').replaceAll('\r', '').trim();
      users.set(text, [...(users.get(text) ?? []), `${name} ${version}`]);
    }
  }
  return [...users].map(([text, names]) => `${names.join(', ')}\n\n${text}\n`).join(`\n${'-'.repeat(80)}\n\n`);
}

/** For the target's package, with the checksums of Cargo.lock. */
export function sbom({ triple, name }) {
  const { byId, links, linked, addon } = crates(triple);
  const lock = readFileSync(join(root, 'Cargo.lock'), 'utf8');
  const checksum = (crate) =>
    new RegExp(`name = "${crate.name}"\nversion = "${crate.version}"\n[^[]*checksum = "(\\w+)"`).exec(lock)?.[1];
  const purl = (id) => `pkg:cargo/${byId.get(id).name}@${byId.get(id).version}`;
  const component = (id) => {
    const crate = byId.get(id);
    const sha256 = checksum(crate);
    return {
      type: 'library',
      'bom-ref': purl(id),
      name: crate.name,
      version: crate.version,
      purl: purl(id),
      ...(crate.license && { licenses: [{ expression: crate.license.replaceAll('/', ' OR ') }] }),
      ...(sha256 && { hashes: [{ alg: 'SHA-256', content: sha256 }] }),
    };
  };
  const { version, license } = byId.get(addon);
  const self = npm({ name: `auspex-${name}`, version, license });
  return document(self, linked.map(component), [
    { ref: self.purl, dependsOn: [purl(addon)] },
    ...linked.map((id) => ({ ref: purl(id), dependsOn: links.get(id).map(purl) })),
  ]);
}

/** For `auspex`: the packages of these names, with the checksums of package-lock.json. */
export function bundleSbom(names) {
  const { name, version, license } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const components = names.map((each) => npm({ name: each, ...packages[`node_modules/${each}`] }));
  const self = npm({ name, version, license });
  return document(self, components, [{ ref: self.purl, dependsOn: components.map(({ purl }) => purl) }]);
}

function npm({ name, version, license, integrity }) {
  const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
  const sha512 = integrity && Buffer.from(integrity.replace('sha512-', ''), 'base64').toString('hex');
  return {
    type: 'library',
    'bom-ref': purl,
    name,
    version,
    purl,
    licenses: [{ expression: license }],
    ...(sha512 && { hashes: [{ alg: 'SHA-512', content: sha512 }] }),
  };
}

const document = (component, components, dependencies) => ({
  bomFormat: 'CycloneDX',
  specVersion: '1.5',
  version: 1,
  metadata: { component },
  components,
  dependencies,
});

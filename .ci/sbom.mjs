// The software bill of materials of an addon (CycloneDX 1.5): every crate that is linked or expanded into it.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './suites.mjs';

/** For the target's package: the crates that cargo resolves for its triple, with the checksums of Cargo.lock. */
export function sbom({ triple, name }) {
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
  const self = `pkg:npm/auspex-${name}@${version}`;
  return {
    bomFormat: 'CycloneDX',
    specVersion: '1.5',
    version: 1,
    metadata: {
      component: {
        type: 'library',
        'bom-ref': self,
        name: `auspex-${name}`,
        version,
        purl: self,
        licenses: [{ expression: license }],
      },
    },
    components: [...linked].map(component),
    dependencies: [
      { ref: self, dependsOn: [purl(addon)] },
      ...[...linked].map((id) => ({ ref: purl(id), dependsOn: links.get(id).map(purl) })),
    ],
  };
}

/** What figures were measured on. */
import { arch, cpus, platform, totalmem } from 'node:os';
import { info } from 'auspex';

/** This machine, Node.js, and the library as it is built here. */
export function machine() {
  const { version, isa, threads } = info();
  const model = cpus()[0]?.model.trim() ?? 'unknown';
  const of = { platform: platform(), arch: arch(), cpu: model, cores: cpus().length, ram: totalmem() };
  return { version, isa, threads, node: process.version, ...of };
}

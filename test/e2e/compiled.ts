import { spawnSync } from 'node:child_process';

export { keepCompiled, teardown } from '../compiled.ts';

const ROOTS = ['proxy', 'maker'].map(
  (role) => new URL(`../../src/daemon/${role}.ts`, import.meta.url).href,
);

/** Once, before the tests: daemons that are killed leave nothing. */
export function setup(): void {
  const text = ROOTS.map((root) => `await import(${JSON.stringify(root)});`).join('\n');
  spawnSync(process.execPath, ['--input-type=module', '-e', text]);
}

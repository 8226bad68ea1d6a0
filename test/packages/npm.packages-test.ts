import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../source-tree.ts';
import { expectToMine, manifest, NODE_PATH, Place } from './installed.ts';

type Packed = {
  readonly filename: string;
  readonly unpackedSize: number;
  readonly files: readonly { readonly path: string; readonly mode: number }[];
};

describe('the package of npm', () => {
  const place = new Place();
  const prefix = join(place.folder, 'prefix');
  let packed: Packed;

  beforeAll(async () => {
    const words = ['pack', '--json', '--pack-destination', place.folder];
    const said = await place.run('npm', words, { path: NODE_PATH, cwd: ROOT });
    const told = JSON.parse(said.slice(said.search(/^[[{]/m))) as Packed[] | Record<string, Packed>;
    [packed] = Object.values(told) as [Packed];
  });
  afterAll(() => place.remove());

  it('has the built program and what is configured with it, and neither sources nor tests', () => {
    const paths = packed.files.map(({ path }) => path);
    for (const path of [
      'dist/main.js',
      'README.md',
      'LICENSE',
      'CHANGELOG.md',
      'config/proxy.example.toml',
    ]) {
      expect(paths).toContain(path);
    }
    const launcher = packed.files.find(({ path }) => path === 'src/cli/sharestream.sh')!;
    expect(launcher.mode & 0o111).not.toBe(0);
    const strange = /^test\/|\.ts$|\.map$|^\.|\/assembly\//;
    expect(paths.filter((path) => strange.test(path))).toEqual([]);
    expect(packed.unpackedSize).toBeLessThan(8_000_000);
  });

  it('is installed with all that it needs, and mines', async () => {
    const tarball = join(place.folder, packed.filename);
    await place.run('npm', ['install', '--global', '--prefix', prefix, tarball], { path: NODE_PATH });
    const program = join(prefix, 'bin', manifest.name);
    await expectToMine(place, program, NODE_PATH);
    const help = await place.run(program, ['contract', 'quote', '--help'], { path: NODE_PATH });
    expect(help).toMatch(/^usage: sharestream contract quote /);
  });
});

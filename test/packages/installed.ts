import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect } from 'vitest';
import { ROOT } from '../source-tree.ts';

export const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  readonly name: string;
  readonly version: string;
  readonly description: string;
};

const NODE = dirname(process.execPath);
export const SYSTEM_PATH = '/usr/sbin:/usr/bin:/sbin:/bin';
/** The machine with this Node on it. */
export const NODE_PATH = `${NODE}:${SYSTEM_PATH}`;

/** A folder of this file's tests, and what stands in the environment of all that runs in it. */
export class Place {
  readonly folder = mkdtempSync(join(tmpdir(), 'sharestream-packages-'));

  /** Npm has its settings and its cache as ever: what was fetched for the tests is not fetched again. */
  env(path: string): Record<string, string> {
    const ofNpm = Object.entries(process.env).filter(([name]) =>
      /^(?:npm_config_(?:registry|cache|userconfig|globalconfig)|NODE_EXTRA_CA_CERTS|\w+_proxy)$/i.test(
        name,
      ),
    ) as [string, string][];
    const home = process.env['HOME'] ?? '/';
    return {
      npm_config_userconfig: join(home, '.npmrc'),
      npm_config_cache: join(home, '.npm'),
      ...Object.fromEntries(ofNpm),
      PATH: path,
      HOME: this.folder,
      TMPDIR: this.folder,
      npm_config_prefer_offline: 'true',
      npm_config_update_notifier: 'false',
      npm_config_fund: 'false',
      npm_config_audit: 'false',
    };
  }

  /** Runs a program to its end; what it said. Throws with what it said where it fails. */
  async run(
    program: string,
    words: readonly string[],
    { path = SYSTEM_PATH, cwd = this.folder }: { readonly path?: string; readonly cwd?: string } = {},
  ): Promise<string> {
    const options = { env: this.env(path), cwd, timeout: 500_000, maxBuffer: 64 * 1024 * 1024 };
    const { stdout } = await promisify(execFile)(program, [...words], options);
    return stdout;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What an installed program does first: its version, and a demo with shares that were accepted and paid. */
export async function expectToMine(
  place: Place,
  program: string,
  path: string = SYSTEM_PATH,
): Promise<void> {
  const said = await place.run(program, ['--version', '--json'], { path });
  expect(JSON.parse(said)).toMatchObject({ version: manifest.version });
  const out = join(place.folder, 'demo');
  const words = ['demo', '--seconds', '6', '--json', '--stratum', '127.0.0.1:0', '--out', out];
  const demo = await place.run(program, words, { path });
  const summary = JSON.parse(demo.trim().split('\n').at(-1)!) as Record<string, unknown>;
  expect(summary).toMatchObject({ close_confirmed: true });
  expect((summary['shares'] as { readonly accepted: number }).accepted).toBeGreaterThan(0);
  expect(BigInt(summary['paid_sat'] as string)).toBeGreaterThan(0n);
}

import { execFile } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { REQUIRED_NODE } from '../../src/base/required-node.ts';
import { ROOT } from '../source-tree.ts';

const folder = mkdtempSync(join(tmpdir(), 'sharestream-node-'));
afterAll(() => rmSync(folder, { recursive: true }));

const LAUNCHER = 'src/cli/sharestream.sh';
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
  engines: { node: string };
  bin: Record<string, string>;
};

type Ran = { readonly code: number; readonly stdout: string; readonly stderr: string };

function run(program: string, words: readonly string[], path: string): Promise<Ran> {
  return new Promise((done) => {
    const env = { PATH: path, HOME: folder };
    execFile(program, words, { env, cwd: folder }, (error, stdout, stderr) => {
      done({ code: error === null ? 0 : Number(error.code), stdout, stderr });
    });
  });
}

/** A `node` that takes itself for another one. */
function nodeThatSays(version: string): string {
  const place = join(folder, `node-${version}`);
  mkdirSync(place, { recursive: true });
  const says = `process.versions = { ...process.versions, node: '${version}' };`;
  writeFileSync(
    join(place, 'says.cjs'),
    `Object.defineProperty(process, 'versions', { writable: true });\n${says}`,
  );
  const script = `#!/bin/sh\nexec "${process.execPath}" --require "${join(place, 'says.cjs')}" "$@"\n`;
  writeFileSync(join(place, 'node'), script, { mode: 0o755 });
  return place;
}

const SYSTEM = '/usr/bin:/bin';

describe('the oldest Node that will do', () => {
  it('is one number, wherever it is said', () => {
    expect(manifest.engines.node).toBe(`>=${REQUIRED_NODE}`);
    const [major, minor] = REQUIRED_NODE.split('.');
    const script = readFileSync(join(ROOT, LAUNCHER), 'utf8');
    expect(script).toContain(`a > ${major} || (a == ${major} && b >= ${minor})`);
    expect(script).toContain(`Node ${REQUIRED_NODE} or newer`);
  });

  it.each(['20.20.2', '24.14.9'])('is newer than %s, which is told so', async (version) => {
    const place = nodeThatSays(version);
    const { code, stdout, stderr } = await run(
      join(place, 'node'),
      [join(ROOT, 'src/main.ts'), '--help'],
      SYSTEM,
    );
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain(`node_too_old: this is Node ${version}`);
  });
});

describe('sharestream on the path', () => {
  it('is what the package names, and runs on the Node of the project from anywhere', async () => {
    expect(manifest.bin).toEqual({ sharestream: LAUNCHER });
    mkdirSync(join(folder, 'bin'));
    symlinkSync(join(ROOT, LAUNCHER), join(folder, 'bin', 'sharestream'));
    const old = nodeThatSays('20.20.2');
    const { code, stdout } = await run('sharestream', ['--version'], `${folder}/bin:${old}:${SYSTEM}`);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^sharestream .*Node v24\./);
  });

  it('takes the Node of the machine where the project has none, unless it is too old', async () => {
    const copy = join(folder, 'copy');
    const launcher = join(copy, LAUNCHER);
    mkdirSync(dirname(launcher), { recursive: true });
    cpSync(join(ROOT, LAUNCHER), launcher);
    writeFileSync(join(copy, 'src/main.ts'), 'console.log(process.argv.slice(2).join() as string)');
    const present = `${dirname(process.execPath)}:${SYSTEM}`;
    expect(await run(launcher, ['a b', 'c'], present)).toEqual({ code: 0, stdout: 'a b,c\n', stderr: '' });
    const refused = await run(launcher, [], `${nodeThatSays('22.0.0')}:${SYSTEM}`);
    expect(refused.code).toBe(1);
    expect(refused.stderr).toMatch(/^node_too_old: .*\n$/);
  });
});

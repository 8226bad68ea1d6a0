import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { sharestream } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'sharestream-words-'));
afterAll(() => rmSync(folder, { recursive: true }));
const dir = join(folder, 'dir');
mkdirSync(dir);
const file = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text, { mode: 0o600 });
  return join(folder, name);
};
const text = file('text', 'hello\n');
const toml = file('bad.toml', 'not = [toml\n');
const missing = join(folder, 'missing');

/** Each with the code of its answer. */
const UNUSABLE: readonly (readonly [code: string, words: readonly string[]])[] = [
  ['file_unusable', ['demo', '--out', text]],
  ['bad_key_file', ['keys', 'show', '--file', dir]],
  ['bad_key_file', ['keys', 'backup', '--reveal', '--file', text]],
  ['bad_key_file', ['keys', 'new', '--file', join(missing, 'seed')]],
  ['ledger_io', ['ledger', 'verify', '--path', dir]],
  ['ledger_schema', ['ledger', 'streams', '--path', text]],
  ['ledger_io', ['channel', 'list', '--ledger', missing]],
  ['config_unreadable', ['channel', 'list', '--config', dir]],
  ['config_invalid', ['channel', 'show', '--config', toml]],
  ['bad_export', ['channel', 'recover', '--from', dir]],
  ['bad_export', ['channel', 'recover', '--from', text]],
  ['config_unreadable', ['proxy', '--config', missing]],
  ['config_unreadable', ['maker', '--config', '/dev/zero']],
];

describe('a file that cannot be used', () => {
  it.each(UNUSABLE)('is answered by a code, what to do, and no stack: %s %j', async (code, words) => {
    const { code: exit, stderr, stdout } = await sharestream(words);
    expect({ exit, stdout }).toEqual({ exit: 1, stdout: '' });
    expect(stderr).toMatch(new RegExp(`^${code}: `));
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stderr.trim().split('\n').length).toBeGreaterThan(1);
  });
});

describe('a word that is not known', () => {
  it.each([
    [['prxy'], 'there is no command "prxy"; did you mean proxy?'],
    [['channel', 'lst'], 'there is no command "channel lst"; did you mean channel list?'],
    [['proxy', '--confg', 'x'], 'proxy has no option --confg; did you mean --config?'],
    [['keys', 'show', '--network=regtest', '--jsn'], 'keys has no option --jsn; did you mean --json?'],
    [['maker', 'maker.toml'], 'maker takes no further word: "maker.toml"'],
    [['proxy', '--stratum.listen'], '--stratum.listen needs a value'],
    [['demo', '--nothing-like-it'], 'demo has no option --nothing-like-it\n'],
  ])('is wrong usage, with the nearest one: %j', async (words, said) => {
    const { code, stderr, stdout } = await sharestream(words);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(said);
  });
});

describe('the program', () => {
  it('says its version, as JSON too', async () => {
    const said = await sharestream(['--version']);
    expect(said.stdout).toMatch(/^sharestream \d+\.\d+\.\d+ \(commit \S+, Node v\d+/);
    const { code, json } = await sharestream(['--version', '--json']);
    expect(code).toBe(0);
    expect(json()).toMatchObject({ version: expect.any(String), node: process.version });
  });

  it('takes every option by its path, over file and environment', async () => {
    const toml = '[[destination]]\nname = "a"\nurl = "stratum+tcp://192.0.2.1:1"\nworker = "w"\n';
    const path = file('good.toml', `${toml}[log]\nlevel = "warn"\n`);
    const words = ['--config', path, '--log.level', 'debug', '--stratum.listen=127.0.0.1:7', '--json'];
    const { json, code } = await sharestream(['config', 'print', 'proxy', ...words]);
    expect(code).toBe(0);
    const rows = json() as unknown as { path: string; value: string; source: string }[];
    const row = (name: string) => rows.find((one) => one.path === name);
    expect(row('log.level')).toMatchObject({ value: '"debug"', source: 'flag' });
    expect(row('stratum.listen')).toMatchObject({ value: '"127.0.0.1:7"', source: 'flag' });
    const wrong = await sharestream(['config', 'check', 'proxy', '--config', path, '--log.levl', 'debug']);
    expect(wrong.stderr).toContain('flag: log.levl is not an option; did you mean log.level?');
  });

  it('ends quietly when its reader does', async () => {
    const main = new URL('../../src/main.ts', import.meta.url).pathname;
    const child = spawn(process.execPath, [main, 'config', 'sample', 'proxy'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent' },
    });
    child.stdout.destroy();
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
    const [code] = (await once(child, 'close')) as [number | null];
    expect({ code, said }).toEqual({ code: 0, said: '' });
  });
});

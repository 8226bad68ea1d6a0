import { existsSync, mkdirSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../source-tree.ts';
import { expectToMine, manifest, NODE_PATH, Place } from './installed.ts';

/** As on a machine with systemd, which gives the keys only to the daemon. */
const configurationOf = (dataDir: string): string => `network = "regtest"
data_dir = "${dataDir}"
[keys]
seed_file = "$CREDENTIALS_DIRECTORY/seed"
[[destination]]
name = "pool"
url = "stratum+tcp://127.0.0.1:3334"
worker = "farm"
`;

describe('the package of Debian', () => {
  const place = new Place();
  /** The machine that it is installed on, as far as `dpkg` cares. */
  const root = join(place.folder, 'root');
  const dpkg = (...words: string[]): Promise<string> =>
    place.run('dpkg', [`--root=${root}`, '--force-script-chrootless', '--force-depends', ...words]);
  let file: string;

  beforeAll(async () => {
    const options = { path: NODE_PATH, cwd: ROOT };
    file = (await place.run('config/debian/build', [place.folder], options)).trim().split('\n').at(-1)!;
    mkdirSync(join(root, 'var/lib/dpkg/info'), { recursive: true });
    mkdirSync(join(root, 'var/lib/dpkg/updates'));
    for (const name of ['status', 'available']) writeFileSync(join(root, 'var/lib/dpkg', name), '');
  });
  afterAll(() => place.remove());

  const installed = (path: string): string => join(root, path);

  it('says what it is, and for which machine', async () => {
    const fieldOf = async (name: string): Promise<string> =>
      (await place.run('dpkg-deb', ['--field', file, name])).trim();
    const architecture = (await place.run('dpkg', ['--print-architecture'])).trim();
    expect(await fieldOf('Package')).toBe(manifest.name);
    expect(await fieldOf('Version')).toBe(manifest.version);
    expect(await fieldOf('Architecture')).toBe(architecture);
    expect(Number(await fieldOf('Installed-Size'))).toBeGreaterThan(1000);
  });

  it('is installed, owned by root, and mines on a machine without Node', async () => {
    await dpkg('--install', file);
    const list = await place.run('dpkg-deb', ['--contents', file]);
    const others = list.split('\n').filter((line) => line !== '' && !line.includes(' root/root '));
    expect(others).toEqual([]);
    expect(list.split('\n').filter((line) => /^-.{7}w|^-.{4}w/.test(line))).toEqual([]);
    await expectToMine(place, installed('usr/bin/sharestream'));
  });

  it('has units that start what it brought', () => {
    const units = readdirSync(installed('usr/lib/systemd/system'));
    expect(units).toContain('sharestream-proxy.service');
    for (const unit of units.filter((name) => name.endsWith('.service'))) {
      const text = readFileSync(installed(`usr/lib/systemd/system/${unit}`), 'utf8');
      const [program] = /\/\S+\/sharestream(?= )/.exec(/^ExecStart=.*$/m.exec(text)![0])!;
      expect(existsSync(installed(program)), `${unit}: ${program}`).toBe(true);
    }
  });

  it('backs a ledger up by its timer, and keeps the newest', async () => {
    const data = join(place.folder, 'demo', 'proxy');
    const kept = installed('var/lib/sharestream-proxy/backups');
    mkdirSync(kept, { recursive: true });
    mkdirSync(installed('etc/sharestream'), { recursive: true });
    writeFileSync(installed('etc/sharestream/proxy.toml'), configurationOf(data));
    writeFileSync(join(kept, 'old.sqlite'), '');
    utimesSync(join(kept, 'old.sqlite'), 0, 0);
    const unit = readFileSync(installed('usr/lib/systemd/system/sharestream-backup@.service'), 'utf8');
    const lines = [...unit.matchAll(/^Exec\w+=(.*)$/gm)].map(([, line]) =>
      line!
        .replaceAll('$$', '$')
        .replaceAll('%%', '%')
        .replaceAll('%i', 'proxy')
        .replace(/\/(?:usr\/bin\/sharestream|etc|var)\b/g, (path) => installed(path)),
    );
    expect(lines).toHaveLength(2);
    for (const line of lines) await place.run('sh', ['-c', line]);
    const copies = readdirSync(kept).filter((name) => name.endsWith('.sqlite'));
    expect(copies).toEqual([expect.stringMatching(/^\d{4}-\d\d-\d\dT\d{6}Z\.sqlite$/)]);
    const verified = ['ledger', 'verify', '--json', '--path', join(kept, copies[0]!)];
    const said = await place.run(installed('usr/bin/sharestream'), verified);
    expect(JSON.parse(said.trim().split('\n').at(-1)!)).toMatchObject({ ok: true });
  });

  it('has a manual page that can be set without a warning', async () => {
    const page = installed('usr/share/man/man1/sharestream.1.gz');
    const set = `zcat ${page} | groff -man -Tutf8 -ww`;
    expect(await place.run('sh', ['-c', `${set} 2>&1 >/dev/null`])).toBe('');
    const text = await place.run('sh', ['-c', `${set} -P-cbou`]);
    expect(text).toContain('sharestream contract quote');
  });

  it('completes commands and options in bash, zsh and fish', async () => {
    const bash = installed('usr/share/bash-completion/completions/sharestream');
    const inBash = (words: string): Promise<string> =>
      place.run('bash', [
        '-c',
        `source ${bash}; COMP_WORDS=(${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _sharestream; printf '%s\\n' "\${COMPREPLY[@]}"`,
      ]);
    expect(await inBash('sharestream contract q')).toBe('quote\n');
    expect((await inBash("sharestream contract quote ''")).split('\n')).toContain('--json');
    expect(await inBash('sharestream completion f')).toBe('fish\n');
    const zsh = installed('usr/share/zsh/vendor-completions/_sharestream');
    const inZsh = await place.run('zsh', [
      '-fc',
      `_describe() { print -l -- "\${(P@)2}" }; words=(sharestream contract q); CURRENT=3; source ${zsh}`,
    ]);
    expect(inZsh).toMatch(/^quote:/m);
    const fish = installed('usr/share/fish/vendor_completions.d/sharestream.fish');
    const inFish = await place.run('fish', ['-c', `source ${fish}; complete -C 'sharestream contract q'`]);
    expect(inFish).toMatch(/^quote\t/);
  });

  it('goes, and leaves what an operator made', async () => {
    const kept = installed('etc/sharestream/proxy.toml');
    mkdirSync(join(kept, '..'), { recursive: true });
    writeFileSync(kept, '');
    await dpkg('--purge', manifest.name);
    expect(existsSync(installed('usr/lib/sharestream'))).toBe(false);
    expect(existsSync(kept)).toBe(true);
  });
});

import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { systemRandom } from '../../src/base/random.ts';
import { loadOrCreateToken, mayAct, ROLES, roleOf } from '../../src/http/token.ts';

const folder = mkdtempSync(join(tmpdir(), 'token-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('loadOrCreateToken', () => {
  it('makes a token once, for its owner only', () => {
    const file = join(folder, 'token');
    const token = loadOrCreateToken(file, systemRandom);
    expect(token).toMatch(/^[0-9a-f]{64}$/);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(loadOrCreateToken(file, systemRandom)).toBe(token);
    expect(readFileSync(file, 'utf8').trim()).toBe(token);
    expect(loadOrCreateToken(join(folder, 'other'), systemRandom)).not.toBe(token);
  });

  it('refuses a file that others can read, or that holds no token', () => {
    const file = join(folder, 'open');
    loadOrCreateToken(file, systemRandom);
    chmodSync(file, 0o644);
    expect(() => loadOrCreateToken(file, systemRandom)).toThrow(/bad_key_file.*chmod 600/);
    writeFileSync(file, 'short\n');
    chmodSync(file, 0o600);
    expect(() => loadOrCreateToken(file, systemRandom)).toThrow(/bad_key_file.*64 hex/);
    expect(() => loadOrCreateToken(join(folder, 'none', 'token'), systemRandom)).toThrow(
      /bad_key_file.*ENOENT/,
    );
  });
});

describe('roleOf', () => {
  const tokens = { watch: 'abc', operate: 'def', money: 'ghi' };

  it('is that of the token, and of no other word', () => {
    expect(roleOf('Bearer abc', tokens)).toBe('watch');
    expect(roleOf('bearer def', tokens)).toBe('operate');
    expect(roleOf('Bearer ghi', tokens)).toBe('money');
    for (const header of [
      ...[undefined, '', 'abc', 'Bearer', 'Bearer ', 'Bearer abcd', 'Bearer ab', 'Bearer abc abc'],
    ]) {
      expect(roleOf(header, tokens), header).toBe(undefined);
    }
    expect(roleOf('Bearer ', { money: '' })).toBe(undefined);
    expect(roleOf('Bearer abc', {})).toBe(undefined);
  });

  it('may what those before it may', () => {
    expect(ROLES.map((role) => ROLES.filter((least) => mayAct(role, least)))).toEqual([
      ['watch'],
      ['watch', 'operate'],
      ['watch', 'operate', 'money'],
    ]);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { WalletConfig } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Problem } from '../../src/config/problems.ts';

const folder = mkdtempSync(join(tmpdir(), 'wallet-'));
afterAll(() => rmSync(folder, { recursive: true }));

let count = 0;
function walletOf(text: string): WalletConfig {
  const file = join(folder, `${count++}.toml`);
  writeFileSync(file, `data_dir = "data"\n[policy]\nmax_price = "520 sat/EH"\n${text}`);
  return loadConfig('maker', { file, env: { HOME: '/home-of-test' } }).wallet;
}

function problems(text: string): string[] {
  try {
    walletOf(text);
    return [];
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return (error.meta['problems'] as Problem[]).map(({ path, message }) => `${path} ${message}`);
  }
}

describe('the wallet of the configuration', () => {
  it('is the key of the seed unless said otherwise', () => {
    expect(walletOf('')).toEqual({ type: 'key' });
    expect(walletOf('[wallet]\ntype = "node"\nname = "maker"\n')).toEqual({ type: 'node', name: 'maker' });
    const account = 'xpub = "xpub6x"\nfingerprint = "73c5da0a"\npath = "m/84\'/0\'/0\'"\n';
    const file = {
      type: 'file',
      account: { xpub: 'xpub6x', fingerprintHex: '73c5da0a', path: "m/84'/0'/0'" },
    };
    expect(walletOf(`[wallet]\ntype = "file"\n${account}`)).toEqual({
      ...file,
      folder: join(folder, 'data', 'psbt'),
    });
    expect(walletOf(`[wallet]\ntype = "file"\nfolder = "/to-sign"\n${account}`)).toEqual({
      ...file,
      folder: '/to-sign',
    });
  });

  it('names what is missing', () => {
    expect(problems('[wallet]\ntype = "node"\n')).toEqual(['wallet.name is missing: type node needs it']);
    expect(problems('[wallet]\ntype = "file"\nxpub = "xpub6x"\n')).toEqual([
      'wallet.fingerprint is missing: type file needs it',
      'wallet.path is missing: type file needs it',
    ]);
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { CodedError } from '../../src/base/errors.ts';
import type { MakerConfig, ProxyConfig } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load.ts';
import type { Problem } from '../../src/config/problems.ts';

const folder = mkdtempSync(join(tmpdir(), 'stakes-'));
afterAll(() => rmSync(folder, { recursive: true }));

const KEY = '02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5';
const CONTRACT = `[[destination]]
name = "buyer"
url = "stratum+tcp://buyer.example:3333"
worker = "m"
role = "contract"
[payout]
address = "bcrt1qexample"
[chain]
rpc_url = "http://127.0.0.1:18443"
[contract]
enabled = true
maker_url = "maker.example:7333"
maker_node_id = "${KEY.slice(2)}"
price = "520 sat/EH"
work_total = "100 EH"
`;
const POLICY = '[policy]\nmax_price = "520 sat/EH"\n';

let count = 0;
function inputOf(text: string) {
  const file = join(folder, `${count++}.toml`);
  writeFileSync(file, text);
  return { file, env: { HOME: '/home-of-test' } };
}

function contractOf(text: string): ProxyConfig['contract'] {
  return loadConfig('proxy', inputOf(CONTRACT + text)).contract;
}

function stakesOf(text: string): MakerConfig['policy']['stakes'] {
  return loadConfig('maker', inputOf(POLICY + text)).policy.stakes;
}

function problems(run: () => unknown): string[] {
  try {
    run();
    return [];
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return (error.meta['problems'] as Problem[]).map(({ path, message }) => `${path} ${message}`);
  }
}

describe('bonds and seals in the configuration', () => {
  it('are left out unless asked for, on both sides', () => {
    expect(contractOf('')).toMatchObject({ bonds: undefined, seal: undefined });
    expect(stakesOf('')).toMatchObject({ bondModes: ['none'], seal: 'never', earlyClose: 'refused' });
  });

  it('are read in each mode', () => {
    const amounts = 'collateral = "3000 sat"\nmaker_bond = "2000 sat"\n';
    const parsed = { collateralSat: 3000n, makerBondSat: 2000n };
    for (const bondMode of ['hostage', 'forfeit_to_mm']) {
      const contract = contractOf(`[contract.bonds]\nmode = "${bondMode}"\n${amounts}`);
      expect(contract?.bonds).toEqual({ bondMode, ...parsed });
    }
    const auditor = `[contract.bonds]\nmode = "auditor"\nauditor_key = "${KEY}"\n${amounts}`;
    expect(contractOf(auditor)?.bonds).toEqual({
      ...{ bondMode: 'auditor', bondCsvBlocks: 2016, auditorKeyHex: KEY },
      ...parsed,
    });
    const seal = '[contract.seal]\nenabled = true\nvalue = "2500 sat"\nclaim_fee_rate = "3 sat/vB"\n';
    expect(contractOf(seal)?.seal).toEqual({ sealSat: 2500n, claimFeeRateSatPerKvb: 3000 });
  });

  it('that contradict themselves are refused', () => {
    const refused = (text: string): string[] => problems(() => contractOf(`[contract.bonds]\n${text}`));
    expect(refused('collateral = "1000 sat"')).toEqual([
      'contract.bonds.mode is "none": there are no bonds then',
    ]);
    expect(refused('mode = "hostage"')).toEqual([
      'contract.bonds.collateral or contract.bonds.maker_bond must be above 0',
    ]);
    expect(refused('mode = "auditor"\ncollateral = "1000 sat"')).toEqual([
      'contract.bonds.auditor_key is missing: mode auditor needs it',
    ]);
  });

  it('are taken by a maker as its policy says', () => {
    const text = `[policy.bonds]\nmodes = ["auditor", "none"]\nauditors = ["${KEY}"]\nearly_close = "returned"\n
[policy.seal]\nmode = "required"\n`;
    expect(stakesOf(text)).toMatchObject({
      ...{ bondModes: ['auditor', 'none'], auditorKeysHex: [KEY] },
      ...{ earlyClose: 'returned', seal: 'required', minClaimFeeRateSatPerKvb: 2000 },
    });
    expect(problems(() => stakesOf('[policy.bonds]\nmodes = ["auditor"]\n'))).toEqual([
      'policy.bonds.auditors is empty: mode auditor needs one',
    ]);
    expect(problems(() => stakesOf('[policy.bonds]\nmin_csv_blocks = 5000\n'))).toEqual([
      'policy.bonds.min_csv_blocks must not exceed policy.bonds.max_csv_blocks',
    ]);
  });
});

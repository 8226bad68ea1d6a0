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
      'contract.bonds.auditor_key is missing, as is auditor.key: mode auditor needs one',
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
      'policy.bonds.auditors is empty, and there is no auditor.key: mode auditor needs one',
    ]);
    expect(problems(() => stakesOf('[policy.bonds]\nmin_csv_blocks = 5000\n'))).toEqual([
      'policy.bonds.min_csv_blocks must not exceed policy.bonds.max_csv_blocks',
    ]);
  });
});

describe('the auditor of a configuration', () => {
  const place = `[auditor]\naddress = "auditor.example:7334"\nnode_id = "${KEY.slice(2)}"\nkey = "${KEY}"\n`;
  const other = `03${KEY.slice(2)}`;
  const asked = '[contract.bonds]\nmode = "auditor"\ncollateral = "3000 sat"\n';

  it('is the one of its bonds, unless another is named, which is refused', () => {
    expect(contractOf(place + asked)?.bonds).toMatchObject({ auditorKeyHex: KEY });
    expect(stakesOf(`${place}[policy.bonds]\nmodes = ["auditor"]\n`)).toMatchObject({
      ...{ auditorKeysHex: [KEY], minCureBlocks: 6 },
    });
    expect(problems(() => contractOf(`${place}${asked}auditor_key = "${other}"\n`))).toEqual([
      'contract.bonds.auditor_key is another than auditor.key: it would not be told the log',
    ]);
    expect(problems(() => contractOf(`[auditor]\nkey = "${KEY}"\n`))).toEqual([
      'auditor.key needs auditor.address and auditor.node_id',
    ]);
  });

  it('is asked for with quotes, which say the rules of delivery it will rule by', () => {
    const sell = '[sell]\nfloor_price = "500 sat/EH"\n';
    const sold = (text: string): ProxyConfig['sell'] =>
      loadConfig('proxy', inputOf(CONTRACT + place + sell + text)).sell;
    const bonds = '[sell.bonds]\nmode = "auditor"\ncollateral = "3000 sat"\n';
    const rules = '[sell.delivery]\nenabled = true\ncure_blocks = 12\n';
    const rate = 10n ** 15n;
    expect(sold(`rate = "1 PH/s"\n${bonds}${rules}`)).toMatchObject({
      bonds: { bondMode: 'auditor', auditorKeyHex: KEY, bondCsvBlocks: 2016 },
      rate: { committed: rate, min: rate, max: rate + rate / 4n },
      delivery: { windowMinutes: 1440, tolerancePpm: 20_000, cureBlocks: 12, falseDefaultAlphaPpm: 1000 },
    });
    expect(sold('rate = "1 PH/s"\n')).toMatchObject({ rate: { committed: rate } });
    expect(sold('rate = "1 PH/s"\n')?.delivery).toBeUndefined();
    expect(problems(() => sold(rules))).toEqual([
      'sell.delivery.enabled needs sell.rate, which it promises',
    ]);
    expect(problems(() => sold('max_rate = "1 PH/s"\n'))).toEqual(['sell.max_rate needs sell.rate']);
    expect(problems(() => sold('rate = "2 PH/s"\nmax_rate = "1 PH/s"\n'))).toEqual([
      'sell.max_rate must be at least sell.rate',
    ]);
  });
});

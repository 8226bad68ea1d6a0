import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { targetOfDifficulty, targetToHex } from '../../src/bitcoin/target.ts';
import { nodeIdBytes, SeedSigner } from '../../src/channel/signer.ts';
import type { ProxyConfig, SellConfig } from '../../src/config/config.ts';
import { termsOfQuote } from '../../src/contract/quote.ts';
import { contractIdOf, type TermsV3, termsToJson } from '../../src/contract/terms.ts';
import { mostUnpaidSatOf } from '../../src/contract/updated-terms.ts';
import { takeActions } from '../../src/daemon/take-action.ts';
import type { TakenContract } from '../../src/daemon/taken-contracts.ts';
import { passedLimit } from '../../src/miner/sale-limits.ts';
import { settablePath } from '../../src/operator/maker-policy.ts';
import { seedOf } from '../maker/world.ts';

const EH = 10n ** 18n;
const signer = new SeedSigner({ seed: seedOf('miner'), network: 'regtest' });
const hex = targetToHex(targetOfDifficulty(65_536));
const terms = termsOfQuote(
  {
    ...{ side: 'sell', workTotalHashes: 100n * EH, stepHashes: EH, maxUnpaidSteps: 3, expiryBlocks: 1548 },
    ...{ target: { easiestHex: hex, hardestHex: hex }, binding: 'work' },
  },
  {
    ...{ network: 'regtest', minerNodeId: toHex(nodeIdBytes(signer)), makerNodeId: 'bb'.repeat(32) },
    ...{
      price: { type: 'fixed', msatPerEh: 485_000n },
      height: 900_000,
      minDepth: 3,
      staleGraceSeconds: 30,
    },
    binding: {
      ...{ type: 'work', extranonce2Bytes: 8, withdrawalsPerBlock: 480, solutionsPerMinute: 1200 },
      foreignChain: false,
    },
    nonceHex: '11'.repeat(16),
  },
);

/** 1,455 sat of this contract may be unpaid: three steps at 485 sat. */
const OWN_SAT = 1455n;
const sell = {
  ...{ floorMsatPerEh: 485_000n, bindings: ['work'], maxExposureSat: 2000n },
  payout: { type: 'script', scriptHex: '0014751e76e8199196d454941c45d1b3a323f1433bd6' },
} as unknown as SellConfig;

function standOf(
  changes: Partial<SellConfig> = {},
  exposureLimitSat = 2000n - OWN_SAT,
  auditor?: Parameters<typeof takeActions>[1]['auditor'],
  msatPerEh?: bigint,
) {
  const added: TakenContract[] = [];
  const limits = { ...sell, ...changes };
  const others = [{ mostSat: exposureLimitSat, stepSat: 0n }];
  const contracts = {
    passedWith: (asked: TermsV3) => passedLimit(limits, [...others, mostUnpaidSatOf(asked, 0n)]),
    side: () => undefined,
    add: async (taken: TakenContract) => void added.push(taken),
  };
  const config = { network: 'regtest', destinations: [], sell: { ...sell, ...changes } };
  const chain = { value: { msatPerEh } };
  const deps = { contracts, signer, chain, ...(auditor && { auditor }) } as unknown as Parameters<
    typeof takeActions
  >[1];
  const take = takeActions(config as unknown as ProxyConfig, deps)['contract/take']!;
  const input = (changed: Partial<TermsV3> = {}) => ({
    ...{ terms: termsToJson({ ...terms, ...changed }), maker: 'maker.example:7333', name: 'desk' },
  });
  const refused = async (changed: Partial<TermsV3> = {}, more: object = {}): Promise<unknown> => {
    try {
      await take({ ...input(changed), ...more });
      return 'taken';
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      return error.meta['path'] ?? error.code;
    }
  };
  return { take, input, refused, added };
}

describe('a contract that is handed to the running proxy', () => {
  it('is served with where its maker is and who is paid, and looked at alone in a dry run', async () => {
    const { take, input, added } = standOf();
    const contract = contractIdOf(terms);
    expect(await take({ ...input(), dry_run: true })).toEqual({ contract, taken: false, off_market: null });
    expect(added).toEqual([]);
    expect(await take(input())).toEqual({ contract, taken: true, off_market: null });
    expect(added).toEqual([
      {
        ...{ name: 'desk', terms, maker: { host: 'maker.example', port: 7333 }, returnsBonds: false },
        payoutScriptHex: '0014751e76e8199196d454941c45d1b3a323f1433bd6',
      },
    ]);
  });

  it('is refused below the floor, beyond the exposure, of another node, or of a binding that is not sold', async () => {
    const { refused, added } = standOf();
    expect(await standOf({ floorMsatPerEh: 485_001n }).refused()).toBe('price.msat_per_eh');
    expect(await standOf({}, 2001n - OWN_SAT).refused()).toBe('exposure_limit');
    expect(await standOf({ maxExposureSat: undefined }, 10n ** 9n).refused()).toBe('taken');
    expect(await refused({ minerNodeId: 'cc'.repeat(32) })).toBe('miner_node_id');
    expect(await refused({ network: 'mainnet' })).toBe('network');
    expect(await standOf({ bindings: ['payout'] }).refused()).toBe('binding.type');
    expect(await refused({}, { maker: 'nowhere' })).toBe('config_invalid');
    expect(await refused({}, { name: '' })).toBe('config_invalid');
    expect(added).toEqual([]);
  });
});

describe('a contract whose price is off the market', () => {
  const asked = (msatPerEh: bigint | undefined, offMarket: number | undefined = 1.5) =>
    standOf({ offMarket }, 0n, undefined, msatPerEh);

  it('is not taken far below the value of hashes, in a dry run too, until somebody says that it is meant', async () => {
    const far = asked(727_501n);
    expect(await far.refused()).toBe('off_market');
    expect(await far.refused({}, { dry_run: true })).toBe('off_market');
    // What a program sends by mistake is no yes.
    for (const word of ['true', 1, {}])
      expect(await far.refused({}, { off_market: word })).toBe('off_market');
    expect(far.added).toEqual([]);
    const warning = expect.stringContaining('66.7 % of what hashes are worth');
    const off = { side: 'below', of_value_ppm: '666665', warning };
    const meant = { ...far.input(), off_market: true };
    expect(await far.take({ ...meant, dry_run: true })).toMatchObject({ taken: false, off_market: off });
    expect(await far.take(meant)).toMatchObject({ taken: true, off_market: off });
    expect(far.added).toHaveLength(1);
    expect(await asked(727_500n).refused()).toBe('taken');
  });

  it('is named far above it, and taken', async () => {
    const far = asked(323_333n);
    expect(await far.take(far.input())).toMatchObject({ taken: true, off_market: { side: 'above' } });
  });

  it('is compared with a value, or not taken; where nothing is far nobody is asked', async () => {
    expect(await asked(undefined).refused()).toBe('off_market');
    expect(await asked(undefined).refused({}, { off_market: true })).toBe('taken');
    const nowhere = standOf({ offMarket: undefined }, 0n, undefined, 10n ** 12n);
    expect(await nowhere.refused()).toBe('taken');
  });
});

describe('a contract with bonds that is handed to the running proxy', () => {
  const auditorKeyHex = `02${'c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5'}`;
  const bonds = {
    bondMode: 'auditor',
    ...{
      bondCsvBlocks: 2016,
      auditorKeyHex,
      collateralSat: 2000n,
      makerBondSat: 1000n,
    },
    size: { collateralPpm: 0, worstCaseSat: 2000n, makerBondPpm: 0, makerBondFloorSat: 1000n },
  } as const;
  const asks: Partial<SellConfig> = { bonds: { ...bonds, collateralPpm: 0, makerBondPpm: 0 } };

  it('is served only as [sell.bonds] says, under the auditor that it names', async () => {
    expect(await standOf(asks).refused({ bonds })).toBe('taken');
    expect(await standOf(asks).refused()).toBe('bonds.bond_mode');
    expect(await standOf().refused({ bonds })).toBe('bonds.bond_mode');
    const other = { ...bonds, auditorKeyHex: `03${auditorKeyHex.slice(2)}` };
    expect(await standOf(asks).refused({ bonds: other })).toBe('bonds.auditor_key');
  });

  it('is not served where the program of its auditor refuses or is not there, in a dry run too', async () => {
    const asked: unknown[] = [];
    const assertNamed = async (named: unknown): Promise<void> => {
      asked.push(named);
      throw new CodedError('bad_terms', 'away', { path: 'bonds.auditor_key' });
    };
    const stand = standOf(asks, 2000n - OWN_SAT, { assertNamed });
    expect(await stand.refused({ bonds })).toBe('bonds.auditor_key');
    expect(await stand.refused({ bonds }, { dry_run: true })).toBe('bonds.auditor_key');
    expect([asked.length, stand.added]).toEqual([2, []]);
  });
});

describe('an option of the policy that is set at run time', () => {
  it('is named with or without its table; what a start took is for the file', () => {
    expect([settablePath('halt'), settablePath('policy.pricing.premium')]).toEqual([
      'policy.halt',
      'policy.pricing.premium',
    ]);
    expect(() => settablePath('bonds.release')).toThrow('is set in the file, for the next start');
    expect(() => settablePath('max_prise')).toThrow('did you mean max_price');
  });
});

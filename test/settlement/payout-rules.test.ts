import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, fromHex, toHex } from '../../src/base/bytes.ts';
import { MAX_SATS } from '../../src/base/units.ts';
import { buildCoinbase, type CoinbaseOutput } from '../../src/bitcoin/coinbase.ts';
import { parseHeader } from '../../src/bitcoin/header.ts';
import { type NetworkName, subsidySat } from '../../src/bitcoin/network.ts';
import { type BlockFacts, factsOfParent } from '../../src/chain/block-facts.ts';
import {
  type CoinbaseParts,
  type JobCoinbase,
  jobCoinbase,
  totalSatOf,
} from '../../src/settlement/job-coinbase.ts';
import {
  checkPayout,
  leastSat,
  mostSat,
  type PayoutFault,
  paysParts,
} from '../../src/settlement/payout-rules.ts';
import { blockVectors } from '../vectors.ts';

const PAYEE = `0014${'ab'.repeat(20)}`;
const OTHER = `0014${'cd'.repeat(20)}`;
const HEIGHT = 840_000;
const SUBSIDY = 312_500_000n;
const BITS = 0x17034219;
const TIME = 1_713_571_767;

const FACTS: BlockFacts = {
  height: HEIGHT,
  bits: BITS,
  parentTimeSeconds: TIME - 100,
  minTimeSeconds: TIME - 3000,
  feesSat: 10_000_000n,
  waitingFeesSat: 80_000_000n,
};

type Trial = {
  readonly outputs?: readonly (readonly [script: string, valueSat: bigint])[];
  readonly height?: number;
  readonly bits?: number;
  readonly time?: number;
  readonly facts?: Partial<BlockFacts>;
  readonly network?: NetworkName;
  readonly payees?: readonly (readonly [script: string, ppm: number])[];
  readonly minFeesPpm?: number;
};

function coinbaseOf(outputs: NonNullable<Trial['outputs']>, height = HEIGHT): JobCoinbase {
  const paying = outputs.map(
    ([script, valueSat]): CoinbaseOutput => ({ script: fromHex(script), valueSat }),
  );
  const split = buildCoinbase({ height, extranonceSize: 12, tag: new Uint8Array(4), outputs: paying });
  return jobCoinbase({ ...split, extranonceSize: 12, versionMask: 0 })!;
}

/** All that the maker checks of a job. */
function check(
  network: NetworkName,
  terms: { readonly outputs: Parameters<typeof paysParts>[1]; readonly minFeesPpm: number },
  job: { readonly bits: number; readonly time: number },
  coinbase: JobCoinbase,
  facts: BlockFacts,
): PayoutFault | undefined {
  const claim = { scriptHead: coinbase.scriptHead, totalSat: totalSatOf(coinbase) };
  if (!paysParts(coinbase, terms.outputs)) return 'payees';
  return checkPayout(network, terms.minFeesPpm, job, claim, facts);
}

function faultOf(trial: Trial): PayoutFault | undefined {
  const { payees = [[PAYEE, 1_000_000]], minFeesPpm = 950_000, network = 'mainnet' } = trial;
  const { outputs = [[PAYEE, SUBSIDY + 10_000_000n]], bits = BITS, time = TIME } = trial;
  return check(
    network,
    { outputs: payees.map(([scriptHex, ppm]) => ({ scriptHex, ppm })), minFeesPpm },
    { bits, time },
    coinbaseOf(outputs, trial.height),
    { ...FACTS, ...trial.facts },
  );
}

describe('a job under payout', () => {
  it('is good as an honest node makes it', () => {
    expect(faultOf({})).toBeUndefined();
    const commitment = `6a24aa21a9ed${'00'.repeat(32)}`;
    expect(
      faultOf({
        outputs: [
          [PAYEE, SUBSIDY + 10_000_000n],
          [commitment, 0n],
          [OTHER, 0n],
        ],
      }),
    ).toBeUndefined();
  });

  // Each name is a strategy of one who sells work that is worth nothing to its buyer.
  it.each<[string, PayoutFault, Trial]>([
    [
      '1 sat output',
      'payees',
      {
        outputs: [
          [PAYEE, 1n],
          [OTHER, SUBSIDY + 9_999_999n],
        ],
      },
    ],
    ['foreign payee', 'payees', { outputs: [[OTHER, SUBSIDY + 10_000_000n]] }],
    [
      '1 sat less than its part',
      'payees',
      {
        outputs: [
          [PAYEE, SUBSIDY + 9_999_999n],
          [OTHER, 1n],
        ],
      },
    ],
    ['value to nobody', 'payees', { outputs: [[PAYEE, 0n]] }],
    ['invented bits', 'bits', { bits: 0x1d00ffff }],
    ['bits one harder', 'bits', { bits: BITS - 1 }],
    ['height of the parent', 'height', { height: HEIGHT - 1 }],
    ['height one above', 'height', { height: HEIGHT + 1 }],
    ['height of another length', 'height', { height: 16 }],
    ['time before the least', 'time', { time: TIME - 3001 }],
    ['fees left out', 'too_little', { outputs: [[PAYEE, SUBSIDY + 9_499_999n]] }],
    ['subsidy left out', 'too_little', { outputs: [[PAYEE, 1n]] }],
    ['amount above all there could be', 'too_much', { outputs: [[PAYEE, SUBSIDY + 160_000_001n]] }],
    ['amount of a fortune', 'too_much', { outputs: [[PAYEE, 50n * 100_000_000n]] }],
  ])('%s: %s', (_strategy, fault, trial) => {
    expect(faultOf(trial)).toBe(fault);
  });

  // The last that is good, beside the first that is not.
  it.each<[string, Trial]>([
    ['the part rounded down', { outputs: [[PAYEE, SUBSIDY + 10_000_000n]], payees: [[PAYEE, 1_000_000]] }],
    ['the agreed part of the fees', { outputs: [[PAYEE, SUBSIDY + 9_500_000n]] }],
    ['twice what waits', { outputs: [[PAYEE, SUBSIDY + 160_000_000n]] }],
    ['the least time', { time: TIME - 3000 }],
  ])('%s is good', (_what, trial) => {
    expect(faultOf(trial)).toBeUndefined();
  });

  it('claims no fees that its terms do not ask for, and a bitcoin more than an empty mempool has', () => {
    expect(faultOf({ minFeesPpm: 0, outputs: [[PAYEE, SUBSIDY]] })).toBeUndefined();
    expect(faultOf({ minFeesPpm: 0, outputs: [[PAYEE, SUBSIDY - 1n]] })).toBe('too_little');
    const empty = { feesSat: 0n, waitingFeesSat: 0n };
    expect(faultOf({ facts: empty, outputs: [[PAYEE, SUBSIDY + 100_000_000n]] })).toBeUndefined();
    expect(faultOf({ facts: empty, outputs: [[PAYEE, SUBSIDY + 100_000_001n]] })).toBe('too_much');
  });

  it('is judged by what the node tells, and what it does not tell is no fault', () => {
    const silent = factsOfParent('mainnet', { height: HEIGHT - 1, bits: BITS });
    // 840000 is not the first of a difficulty period: the parent's bits count.
    expect(silent).toMatchObject({ height: HEIGHT, feesSat: undefined });
    const facts = { ...silent, bits: undefined };
    expect(faultOf({ facts, bits: 0x1d00ffff, time: 0, outputs: [[PAYEE, MAX_SATS]] })).toBeUndefined();
    expect(faultOf({ facts, outputs: [[PAYEE, SUBSIDY]] })).toBeUndefined();
    expect(faultOf({ facts, outputs: [[PAYEE, SUBSIDY - 1n]] })).toBe('too_little');
    expect(faultOf({ facts, height: HEIGHT + 1 })).toBe('height');
  });

  it('pays several payees each at least its part of any total', () => {
    const parts = fc
      .array(fc.integer({ min: 1, max: 1000 }), { minLength: 1, maxLength: 8 })
      .map((weights) => {
        const sum = weights.reduce((all, one) => all + one, 0);
        const ppm = weights.map((one) => Math.max(1, Math.floor((one * 1_000_000) / sum)));
        ppm[0] = 1_000_000 - ppm.slice(1).reduce((all, one) => all + one, 0);
        return ppm.map((part, index) => ({
          scriptHex: `0014${(index + 1).toString(16).padStart(40, '0')}`,
          ppm: part,
        }));
      });
    fc.assert(
      fc.property(parts, fc.bigInt(1n, MAX_SATS), fc.nat(), (payees, totalSat, at) => {
        const due = payees.map(({ ppm }) => (totalSat * BigInt(ppm)) / 1_000_000n);
        const rest = totalSat - due.reduce((sum, one) => sum + one, 0n);
        const pay = (sats: readonly bigint[], restSat: bigint): JobCoinbase =>
          coinbaseOf([
            ...payees.map(({ scriptHex }, index) => [scriptHex, sats[index]!] as const),
            [OTHER, restSat],
          ]);
        expect(paysParts(pay(due, rest), payees)).toBe(true);
        // One sat less to any of them, whoever has it instead.
        const victim = at % payees.length;
        if (due[victim] === 0n) return;
        const less = due.map((sat, index) => (index === victim ? sat - 1n : sat));
        expect(paysParts(pay(less, rest + 1n), payees)).toBe(false);
      }),
      { numRuns: 300 },
    );
  });

  it('may have as many outputs as a coinbase has room for', () => {
    const many = Array.from({ length: 1000 }, (_none, index) => [OTHER, index === 0 ? 1n : 0n] as const);
    const outputs = [[PAYEE, SUBSIDY + 10_000_000n - 1n] as const, ...many];
    expect(
      faultOf({
        outputs,
        payees: [
          [PAYEE, 999_999],
          [OTHER, 1],
        ],
      }),
    ).toBe('payees');
    expect(
      faultOf({
        outputs: [[PAYEE, SUBSIDY + 10_000_000n], ...many.map(([script]) => [script, 0n] as const)],
      }),
    ).toBeUndefined();
  });

  it('says its height inside what no extranonce changes, down to the one-byte heights', () => {
    const facts = { bits: undefined, minTimeSeconds: undefined };
    for (const height of [1, 16, 17, 127, 128, 255, 256, 32_767, 32_768, 500_000, 8_388_608]) {
      const sat = subsidySat('mainnet', height) + 10_000_000n;
      const trial = { outputs: [[PAYEE, sat] as const], facts: { ...facts, height } };
      expect(faultOf({ ...trial, height }), String(height)).toBeUndefined();
      expect(faultOf({ ...trial, height: height + 1 }), String(height)).toBe('height');
    }
    // Nothing but the extranonce has the height: another one is another height.
    const split = buildCoinbase({
      height: HEIGHT,
      extranonceSize: 0,
      tag: new Uint8Array(8),
      outputs: [{ script: fromHex(PAYEE), valueSat: SUBSIDY }],
    });
    const cut = {
      coinb1: split.coinb1.slice(0, 42),
      coinb2: concat(new Uint8Array(0), split.coinb1.slice(46), split.coinb2),
    };
    const coinbase = jobCoinbase({ ...cut, extranonceSize: 4, versionMask: 0 })!;
    const terms = { outputs: [{ scriptHex: PAYEE, ppm: 1_000_000 }], minFeesPpm: 0 };
    expect(check('mainnet', terms, { bits: BITS, time: TIME }, coinbase, FACTS)).toBe('height');
  });
});

describe('nbits', () => {
  const late = TIME - 100 + 1201;
  const least = 0x1d00ffff;
  it.each<[NetworkName, number, number, PayoutFault | undefined]>([
    ['testnet4', BITS, TIME, undefined],
    ['testnet4', least, TIME, 'bits'],
    ['testnet4', least, late - 1, 'bits'],
    ['testnet4', BITS, late - 1, undefined],
    ['testnet4', least, late, undefined],
    ['testnet4', BITS, late, 'bits'],
    ['testnet', least, late, undefined],
    ['mainnet', least, late, 'bits'],
    ['mainnet', BITS, late, undefined],
  ])('on %s are %i at %i: %s', (network, bits, time, fault) => {
    const height = 204_001;
    const outputs = [[PAYEE, subsidySat(network, height) + 10_000_000n] as const];
    expect(faultOf({ network, bits, time, height, outputs, facts: { height } })).toBe(fault);
  });

  it('have no twenty-minute rule at the first block of a difficulty period', () => {
    const height = 2016 * 100;
    const outputs = [[PAYEE, subsidySat('testnet4', height) + 10_000_000n] as const];
    const trial = { network: 'testnet4', height, outputs, time: late, facts: { height } } as const;
    expect(faultOf({ ...trial, bits: least })).toBe('bits');
    expect(faultOf({ ...trial, bits: BITS })).toBeUndefined();
  });

  it('follow from the parent where there is no retarget', () => {
    expect(factsOfParent('mainnet', { height: 2014, bits: BITS })).toMatchObject({
      height: 2015,
      bits: BITS,
    });
    expect(factsOfParent('mainnet', { height: 2015, bits: BITS })).toMatchObject({ bits: undefined });
    expect(factsOfParent('regtest', { height: 2015, bits: 0x207fffff })).toMatchObject({
      bits: 0x207fffff,
    });
    // The parent may itself have been late.
    expect(factsOfParent('testnet4', { height: 2014, bits: least })).toMatchObject({ bits: undefined });
  });
});

describe('real blocks', () => {
  const withHeight = blockVectors().filter(({ name }) => Number(name.split(' ')[1]) > 227_931);

  it('are there', () => {
    expect(withHeight.length).toBe(4);
  });

  it.each(withHeight.map((block) => [block.name, block] as const))(
    '%s would have been paid',
    (name, block) => {
      const height = Number(name.split(' ')[1]);
      const [, , coinb1, coinb2] = block.notify;
      const { bits, time } = parseHeader(fromHex(block.header));
      const parts: CoinbaseParts = {
        coinb1: concat(fromHex(coinb1), fromHex(block.extranonce1)),
        coinb2: fromHex(coinb2),
        extranonceSize: block.extranonce2Size,
        versionMask: 0,
      };
      const coinbase = jobCoinbase(parts)!;
      const valued = coinbase.outputs.filter(({ valueSat }) => valueSat > 0n);
      const totalSat = valued.reduce((sum, { valueSat }) => sum + valueSat, 0n);
      const feesSat = totalSat - subsidySat('mainnet', height);
      expect(feesSat).toBeGreaterThan(0n);
      const [first] = valued;
      const ppm = Number((first!.valueSat * 1_000_000n) / totalSat);
      const terms = { outputs: [{ scriptHex: toHex(first!.script), ppm }], minFeesPpm: 1_000_000 };
      const facts = {
        ...factsOfParent('mainnet', { height: height - 1, bits }),
        feesSat,
        waitingFeesSat: feesSat,
      };
      expect(check('mainnet', terms, { bits, time }, coinbase, facts)).toBeUndefined();
      expect(check('mainnet', terms, { bits, time }, coinbase, { ...facts, height: height - 1 })).toBe(
        'height',
      );
      const more = { ...facts, feesSat: feesSat + 1n };
      expect(check('mainnet', terms, { bits, time }, coinbase, more)).toBe('too_little');
    },
  );
});

describe('the bounds of what is claimed', () => {
  it('never cross, whatever waits', () => {
    const fees = fc.option(fc.bigInt(0n, 10n ** 10n), { nil: undefined });
    fc.assert(
      fc.property(
        fc.nat({ max: 7_000_000 }),
        fees,
        fees,
        fc.nat({ max: 1_000_000 }),
        (height, feesSat, more, ppm) => {
          // A template claims no more than what waits.
          const waitingFeesSat = more === undefined ? undefined : more + (feesSat ?? 0n);
          const facts = { ...FACTS, height, feesSat, waitingFeesSat };
          expect(leastSat('mainnet', ppm, facts)).toBeLessThanOrEqual(mostSat('mainnet', facts));
        },
      ),
      { numRuns: 300 },
    );
  });
});

import { describe, expect, it } from 'vitest';
import { feeAt } from '../../src/chain/fee-rate.ts';
import { channelFacts, sealOutput } from '../../src/channel/params.ts';
import { channelScript } from '../../src/channel/scripts.ts';
import { buildSealClaim } from '../../src/channel/seal.ts';
import {
  boundedRate,
  checkFeeRate,
  checkPayoutScript,
  dustSat,
  jointSpendVsize,
  SEAL_DATA_OUTPUT_BYTES,
} from '../../src/channel/sizes.ts';
import { buildState } from '../../src/channel/states.ts';
import { code, keysOf, makeBonds, makeParams, makeTerms, PAYOUTS, seedOf } from './fixtures.ts';

describe('a payout script', () => {
  const hash = (bytes: number): number[] => new Array(bytes).fill(0x11);

  it.each([
    ['P2WPKH', [0x00, 0x14, ...hash(20)], 294n],
    ['P2WSH', [0x00, 0x20, ...hash(32)], 330n],
    ['P2TR', [0x51, 0x20, ...hash(32)], 330n],
  ])('is %s, and nothing that differs in one byte of its head or in its size', (_, bytes, least) => {
    const script = Uint8Array.from(bytes);
    expect(() => checkPayoutScript(script, 'it')).not.toThrow();
    expect(dustSat(script)).toBe(least);
    const others = [
      script.with(0, 0x52),
      script.with(1, 0x15),
      script.with(1, 0x21),
      script.subarray(0, -1),
      Uint8Array.of(...script, 0),
    ];
    for (const other of others) expect(code(() => checkPayoutScript(other, 'it'))).toBe('bad_terms');
  });
});

describe('a fee rate', () => {
  it('is an integer from 100 to ten million sat per kvB', () => {
    for (const rate of [100, 101, 10_000_000]) expect(() => checkFeeRate(rate)).not.toThrow();
    for (const rate of [99, 10_000_001, 100.5, Number.NaN, Number.POSITIVE_INFINITY, -100]) {
      expect(code(() => checkFeeRate(rate))).toBe('bad_amount');
    }
  });

  it.each([
    [-5, 100],
    [0, 100],
    [99.2, 100],
    [100, 100],
    [100.01, 101],
    [54_321, 54_321],
    [1_000_000, 1_000_000],
    [1_000_000.1, 1_000_000],
    [Number.POSITIVE_INFINITY, 1_000_000],
    [Number.NaN, 100],
  ])('that a node reports as %d is taken for %d', (reported, taken) => {
    expect(boundedRate(reported)).toBe(taken);
    expect(() => checkFeeRate(taken)).not.toThrow();
  });
});

describe('state 0 with bonds', () => {
  const RATE = 4000;
  const of = (bonds: ReturnType<typeof makeBonds>, minerReserveSat: bigint) =>
    makeParams({}, makeTerms({ bonds, minerReserveSat, feeLadderSatPerKvb: [RATE] }));

  /** The least reserve that pays for so many outputs and leaves one that relays. */
  function leastReserve(outputs: number): bigint {
    const terms = makeTerms({ bonds: makeBonds('hostage') });
    const script = channelScript(keysOf(terms), terms.expiryHeight);
    const bonds = Array.from({ length: outputs - 2 }, () => PAYOUTS.p2wsh('bond'));
    const payouts = [PAYOUTS.p2wpkh('a'), PAYOUTS.p2wpkh('b'), ...bonds];
    return feeAt(jointSpendVsize(script, payouts), RATE) + 294n;
  }

  it.each([
    ['both', { makerBondSat: 40_000n, collateralSat: 60_000n }, 4],
    ['the collateral alone', { makerBondSat: 0n, collateralSat: 60_000n }, 3],
  ])('of %s pays for the outputs it has and for no other, to the sat', (_, amounts, outputs) => {
    const least = leastReserve(outputs);
    const bonds = makeBonds('hostage', amounts);
    expect(buildState(of(bonds, least), 0n, 0).outs.map(({ value }) => value)[0]).toBe(294n);
    expect(buildState(of(bonds, least), 0n, 0).outs).toHaveLength(outputs);
    expect(code(() => channelFacts(of(bonds, least - 1n)))).toBe('bad_terms');
  });
});

describe('a seal', () => {
  it.each([PAYOUTS.p2wpkh, PAYOUTS.p2tr])('pays for its claim and leaves one that relays', (make) => {
    const next = make('next');
    const claimFeeRateSatPerKvb = 10_000;
    const terms = (sealSat: bigint) => makeTerms({ seal: { sealSat, claimFeeRateSatPerKvb } });
    const { script } = sealOutput(terms(2000n), keysOf(terms(2000n)))!;
    const vsize = jointSpendVsize(script, [new Uint8Array(SEAL_DATA_OUTPUT_BYTES), next]);
    const least = feeAt(vsize, claimFeeRateSatPerKvb) + dustSat(next);
    const of = (sealSat: bigint) => makeParams({ seal: { vout: 301, nextScript: next } }, terms(sealSat));
    const claim = { n: 1, workHashes: 1n, shareRoot: seedOf('root') };
    expect(buildSealClaim(of(least), claim).outs[1]!.value).toBe(dustSat(next));
    expect(code(() => buildSealClaim(of(least - 1n), claim))).toBe('bad_terms');
  });
});

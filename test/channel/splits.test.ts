import { Transaction } from 'bitcoinjs-lib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { buildClose, closeFeeFor, finalizeClose, signClose } from '../../src/channel/close.ts';
import { type ChannelParams, channelFacts } from '../../src/channel/params.ts';
import { dustSat } from '../../src/channel/sizes.ts';
import {
  buildState,
  signAndFinalizeState,
  signState,
  stateAmounts,
  stateOutputs,
  verifySignedState,
} from '../../src/channel/states.ts';
import type { TermsV3 } from '../../src/contract/terms.ts';
import { anySplits, makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { spend } from './consensus.ts';
import {
  BOND_MODES,
  code,
  EH,
  makeBonds,
  makeParams,
  makerSigner,
  minerSigner,
  PAYOUTS,
} from './fixtures.ts';

const SIZE = { collateralPpm: 0, makerBondPpm: 0, worstCaseSat: 60_000n, makerBondFloorSat: 40_000n };

/** Channels whose pay is split, with bonds of each mode and without. */
const anySplitParams: fc.Arbitrary<ChannelParams> = fc
  .record({
    splits: anySplits,
    bondMode: fc.constantFrom('none' as const, ...BOND_MODES),
    reserve: fc.bigInt(1000n, 50_000n),
    kinds: fc.array(fc.constantFrom('p2wpkh' as const, 'p2wsh' as const, 'p2tr' as const), {
      minLength: 8,
      maxLength: 8,
    }),
  })
  .map(({ splits, bondMode, reserve, kinds }) => {
    const paid = splits.map((split, index) => ({
      ...split,
      scriptHex: toHex(PAYOUTS[kinds[index]!](`payee ${index}`)),
    }));
    const seeds = splits.reduce((sum, { seedSat }) => sum + seedSat, 0n);
    const terms: TermsV3 = makeTermsV3({
      ...{ splits: paid, minerReserveSat: seeds + reserve },
      ...(bondMode === 'none' ? {} : { bonds: { ...makeBonds(bondMode), size: SIZE } }),
    });
    return makeParams({}, terms);
  })
  .filter((params) => code(() => channelFacts(params)) === 'nothing thrown');

const anyWork = fc.bigInt(0n, 1000n).map((part) => part * EH);

function isSpent(params: ChannelParams, transaction: Transaction): string {
  const { outputScript, capacitySat } = channelFacts(params);
  return spend(transaction, 0, { script: outputScript, valueSat: capacitySat });
}

describe('states of a channel whose pay is split', () => {
  it('have an output for each payee, that relays, at its place, and conserve the channel (I14, I48)', () => {
    fc.assert(
      fc.property(anySplitParams, anyWork, (params, workHashes) => {
        const splits = params.terms.version === 3 ? params.terms.splits! : [];
        const { paidSat, payeesSat } = stateAmounts(params.terms, workHashes);
        const { outs } = buildState(params, workHashes, 0);
        splits.forEach(({ scriptHex, ppm, seedSat }, index) => {
          expect(toHex(outs[2 + index]!.script)).toBe(scriptHex);
          expect(outs[2 + index]!.value).toBe(payeesSat[index]);
          expect(payeesSat[index]).toBeGreaterThanOrEqual(seedSat + (paidSat * BigInt(ppm)) / 1_000_000n);
          expect(payeesSat[index]).toBeGreaterThanOrEqual(dustSat(fromHex(scriptHex)));
        });
        const outputs = stateOutputs(params, workHashes);
        expect(outputs.reduce((sum, { valueSat }) => sum + valueSat, 0n)).toBe(
          channelFacts(params).capacitySat,
        );
      }),
    );
  });

  it('are valid once both signed, and their fee is for their size', () => {
    fc.assert(
      fc.property(anySplitParams, anyWork, (params, workHashes) => {
        fc.pre(workHashes > 0n);
        const state = signState(params, 1, workHashes, makerSigner);
        verifySignedState(params, state);
        const final = signAndFinalizeState(params, state, 0, minerSigner);
        expect(isSpent(params, Transaction.fromHex(final.hex))).toBe('ok');
        const feeVsize = (final.feeSat * 1000n) / BigInt(params.terms.feeLadderSatPerKvb[0]!);
        expect(feeVsize - BigInt(final.vsize)).toBeGreaterThanOrEqual(0n);
        expect(feeVsize - BigInt(final.vsize)).toBeLessThanOrEqual(3n);
      }),
      { numRuns: 40 },
    );
  });

  it('never pay the miner less for more work', () => {
    fc.assert(
      fc.property(anySplitParams, anyWork, anyWork, (params, one, other) => {
        const [less, more] = one < other ? [one, other] : [other, one];
        const [before, now] = [less, more].map((work) => stateOutputs(params, work)[0]!.valueSat);
        // Where bonds are forfeited the floors of two meet.
        expect(now! + 1n).toBeGreaterThanOrEqual(before!);
      }),
    );
  });
});

describe('a close of a channel whose pay is split', () => {
  it('pays each payee what the last state does, whatever is settled of the bonds', () => {
    fc.assert(
      fc.property(anySplitParams, anyWork, (params, workHashes) => {
        fc.pre(workHashes > 0n);
        const last = signState(params, 1, workHashes, makerSigner);
        for (const settlement of ['returned', 'miner_forfeits', 'maker_forfeits'] as const) {
          const feeSat = closeFeeFor(params, last, 1_000, settlement);
          const { outs } = buildClose(params, workHashes, feeSat, settlement);
          const { payeesSat } = stateAmounts(params.terms, workHashes);
          expect(outs.slice(2).map(({ value }) => value)).toEqual(payeesSat);
          const signatures = {
            miner: signClose(params, last, feeSat, 'miner', minerSigner, settlement),
            maker: signClose(params, last, feeSat, 'maker', makerSigner, settlement),
          };
          const final = finalizeClose(params, last, feeSat, signatures, settlement);
          expect(isSpent(params, Transaction.fromHex(final.hex))).toBe('ok');
        }
      }),
      { numRuns: 20 },
    );
  });
});

describe('payees of a channel', () => {
  const withSplit = (scriptHex: string): ChannelParams =>
    makeParams({}, makeTermsV3({ splits: [{ scriptHex, ppm: 100_000, seedSat: 600n, label: 'host' }] }));

  it('have an output of a kind that relays at its seed, which is nobody else’s', () => {
    const good = toHex(PAYOUTS.p2tr('host'));
    expect(code(() => channelFacts(withSplit(good)))).toBe('nothing thrown');
    for (const scriptHex of ['51', '6a0161', `76a914${'11'.repeat(20)}88ac`])
      expect(code(() => channelFacts(withSplit(scriptHex)))).toBe('bad_terms');
    for (const text of ['miner payout', 'maker payout'])
      expect(code(() => channelFacts(withSplit(toHex(PAYOUTS.p2wpkh(text)))))).toBe('bad_terms');
  });
});

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { finalizeBondSpend, signBondSpend } from '../../src/channel/bonds.ts';
import { FileMonotoneSigner, parseMonotoneMemory } from '../../src/channel/monotone-file.ts';
import { channelFacts, checkChannelParams } from '../../src/channel/params.ts';
import { exportPsbt, psbtSignature } from '../../src/channel/psbt.ts';
import { signAndFinalizeSealRefund } from '../../src/channel/seal.ts';
import { fundingRequest, refundRequest, sealRefundRequest } from '../../src/channel/signing-requests.ts';
import { feeOfVsize } from '../../src/channel/sizes.ts';
import { buildState, ladderOf, signState } from '../../src/channel/states.ts';
import { code, EH, makeParams, makerSigner, makeTerms, minerSigner, PAYOUTS } from './fixtures.ts';
import { bondSpend, funding, params } from './psbt-fixtures.ts';

const folder = mkdtempSync(join(tmpdir(), 'one-key-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('the signature of one key', () => {
  it('is none of a request with several inputs, and none of no key', () => {
    const request = fundingRequest(funding, 'regtest');
    const text = exportPsbt(request, []);
    expect(() => psbtSignature(request, text, makerSigner.publicKey('wallet'))).toThrow(
      'bad_psbt: the request has more than one input',
    );
    const refund = refundRequest(params, 5000);
    const bare = exportPsbt(refund, []);
    expect(code(() => psbtSignature(refund, bare, undefined))).toBe('bad_signature');
    expect(code(() => psbtSignature(refund, bare, makerSigner.publicKey('refund')))).toBe('bad_signature');
  });

  it('is asked for of a seal only where there is one', () => {
    expect(() => sealRefundRequest(makeParams(), 1000)).toThrow('bad_terms: this channel has no seal');
  });

  it('of a bond is one of two, of exactly two', () => {
    const signatures = {
      miner: signBondSpend(params, bondSpend, 'miner', minerSigner),
      maker: signBondSpend(params, bondSpend, 'maker', makerSigner),
    };
    expect(code(() => finalizeBondSpend(params, bondSpend, signatures))).toBe('nothing thrown');
    for (const [few, count] of [
      [{}, 0],
      [{ miner: signatures.miner }, 1],
    ] as const)
      expect(() => finalizeBondSpend(params, bondSpend, few)).toThrow(
        `bad_signature: a bond takes two signatures, not ${count}`,
      );
    const three = { ...signatures, auditor: signatures.miner };
    expect(code(() => finalizeBondSpend(params, bondSpend, three))).toBe('bad_signature');
  });
});

describe('a seal', () => {
  it('pays for its claim at its rate, and is worth what its refund costs, at any rate', () => {
    const verdict = (sealSat: bigint, claimFeeRateSatPerKvb: number): string => {
      const terms = makeTerms({ seal: { sealSat, claimFeeRateSatPerKvb } });
      try {
        checkChannelParams(makeParams({}, terms));
        return 'good';
      } catch (error) {
        return (error as Error).message;
      }
    };
    expect(verdict(2_000n, 2_000)).toBe('good');
    expect(verdict(1_000n, 5_000)).toBe('bad_terms: the seal does not pay for its claim');
    expect(verdict(999n, 100)).toBe('bad_terms: seal must be at least 1000 sat');
    // The least that a seal may be, and the largest script that its refund may pay.
    const terms = makeTerms({ seal: { sealSat: 1_000n, claimFeeRateSatPerKvb: 100 } });
    const least = makeParams({ minerPayoutScript: PAYOUTS.p2tr('miner payout') }, terms);
    expect(signAndFinalizeSealRefund(least, 1000, minerSigner).feeSat).toBeLessThan(1_000n - 330n);
  });
});

describe('the ladder of a state', () => {
  it('is of the rungs that the miner can pay, at their rates', () => {
    const of = makeParams();
    const rungs = ladderOf(of, 400n * EH);
    const { feeLadderSatPerKvb } = of.terms;
    expect(rungs.map(({ satPerKvb }) => satPerKvb)).toEqual(feeLadderSatPerKvb);
    for (const [rung, { satPerKvb, feeSat, vsize }] of rungs.entries()) {
      expect(feeSat).toBe(feeOfVsize(vsize, satPerKvb));
      const paid = buildState(of, 400n * EH, rung).outs.reduce((sum, { value }) => sum + value, 0n);
      expect(channelFacts(of).capacitySat - paid).toBe(feeSat);
    }
    expect(ladderOf(of, 0n).length).toBeLessThan(rungs.length);
  });
});

describe('the file of a signer', () => {
  const of = makeParams();

  it('is written for what is new alone', () => {
    const steps: string[] = [];
    const path = join(mkdtempSync(join(folder, 'case-')), 'memory');
    const options = { params: of, path, onStep: (step: string) => void steps.push(step) };
    const signer = new FileMonotoneSigner(options, { signer: makerSigner });
    const state = signer.sign(0, 0n);
    expect(steps).toHaveLength(5);
    expect(signer.sign(0, 0n)).toEqual(state);
    expect(signer.adopt(state)).toBe(false);
    expect(steps).toHaveLength(5);
    expect(signer.adopt(signState(of, 1, EH, makerSigner))).toBe(true);
    expect(steps).toHaveLength(10);
  });

  it('says what is wrong with it', () => {
    const open = (path: string) => () =>
      new FileMonotoneSigner({ params: of, path }, { signer: makerSigner });
    const text = join(folder, 'text');
    writeFileSync(text, 'not JSON');
    expect(open(text)).toThrow(`bad_signer_file: ${text} is not JSON`);
    expect(open(folder)).toThrow(`bad_signer_file: cannot read ${folder}`);
    const body = { version: 1, channel_id: 'x', last: null };
    expect(() => parseMonotoneMemory(of, body)).toThrow('it is that of another channel');
    expect(() => parseMonotoneMemory(of, { ...body, version: 2 })).toThrow('version must be 1');
  });
});

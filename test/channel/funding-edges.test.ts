import { Transaction } from 'bitcoinjs-lib';
import { describe, expect, it } from 'vitest';
import { toHex } from '../../src/base/bytes.ts';
import { LIMITS } from '../../src/base/limits.ts';
import { MAX_SATS } from '../../src/base/units.ts';
import {
  buildFunding,
  checkFundingSide,
  type FundingInput,
  type FundingRequest,
  type FundingRole,
  type FundingSide,
  fundingSideToJson,
  parseFundingSide,
} from '../../src/channel/funding.ts';
import { parseChannelKeys } from '../../src/channel/keys.ts';
import { dustSat } from '../../src/channel/sizes.ts';
import { code, keysOf, makerSigner, makeTerms, minerSigner, PAYOUTS, SEAL, seedOf } from './fixtures.ts';

const SIGNERS = { maker: makerSigner, miner: minerSigner };
const coin = (role: FundingRole, valueSat: bigint, vout = 0): FundingInput => ({
  ...{ txid: toHex(seedOf(role)), vout, valueSat },
  publicKeyHex: toHex(SIGNERS[role].publicKey('wallet')),
});
const side = (role: FundingRole, ...valuesSat: bigint[]): FundingSide => ({
  inputs: valuesSat.map((valueSat, vout) => coin(role, valueSat, vout)),
  changeScript: PAYOUTS.p2wpkh(`${role} change`),
});

describe('the outputs of a funding', () => {
  const terms = makeTerms({ seal: SEAL });
  const request: FundingRequest = {
    ...{ terms, keys: keysOf(terms), feeRateSatPerKvb: 1000 },
    maker: side('maker', 600_000n),
    miner: side('miner', 20_000n),
  };

  it('are in the order of their values, and then of their scripts, wherever the seal comes', () => {
    for (const minerSat of [20_000n, 9_000n, 1_000_000n]) {
      const funding = buildFunding({ ...request, miner: side('miner', minerSat) });
      const { outs } = Transaction.fromHex(funding.hex);
      const values = outs.map(({ value }) => value);
      expect(values).toEqual(values.toSorted((a, b) => (a < b ? -1 : 1)));
      expect(outs[funding.sealVout!]!.value).toBe(SEAL.sealSat);
      expect(outs[funding.vout]!.value).toBe(funding.capacitySat);
    }
    // The change of both is worth the same.
    const [maker, miner] = [600_000n, 20_000n];
    const { changeSat } = buildFunding(request);
    const even = buildFunding({
      ...request,
      miner: side('miner', miner + changeSat.maker - changeSat.miner),
    });
    expect(even.changeSat.miner).toBe(even.changeSat.maker);
    expect(maker).toBeGreaterThan(even.changeSat.maker);
    const scripts = Transaction.fromHex(even.hex)
      .outs.filter(({ value }) => value === even.changeSat.maker)
      .map(({ script }) => toHex(script));
    expect(scripts).toHaveLength(2);
    expect(scripts).toEqual(scripts.toSorted());
  });

  it('are none of nothing: change that nodes do not relay is in the fee', () => {
    const { changeSat, feeSat } = buildFunding(request);
    const least = dustSat(request.miner.changeScript);
    const without = (restSat: bigint) =>
      buildFunding({ ...request, miner: side('miner', 20_000n - changeSat.miner + restSat) });
    const relayed = without(least);
    expect(relayed.changeSat.miner).toBe(least);
    expect(Transaction.fromHex(relayed.hex).outs).toHaveLength(4);
    const dust = without(least - 1n);
    expect(dust.changeSat.miner).toBe(0n);
    const { outs } = Transaction.fromHex(dust.hex);
    expect(outs).toHaveLength(3);
    expect(outs.every(({ value }) => value > 0n)).toBe(true);
    expect(dust.feeSat).toBe(feeSat + least - 1n);
  });
});

describe('one side of a funding', () => {
  it('brings from one to the most coins, of up to all the money there is', () => {
    const many = (count: number) => side('maker', ...Array.from({ length: count }, () => 1000n));
    const verdict = (of: FundingSide): string => code(() => checkFundingSide(of));
    expect(verdict(many(1))).toBe('nothing thrown');
    expect(verdict(many(LIMITS.fundingInputs))).toBe('nothing thrown');
    expect(verdict(many(LIMITS.fundingInputs + 1))).toBe('bad_funding');
    expect(verdict(many(0))).toBe('bad_funding');
    expect(verdict(side('maker', MAX_SATS))).toBe('nothing thrown');
    expect(verdict(side('maker', MAX_SATS + 1n))).toBe('bad_funding');
    expect(verdict(side('maker', 0n))).toBe('bad_funding');
    const most = many(LIMITS.fundingInputs);
    expect(parseFundingSide(fundingSideToJson(most))).toEqual(most);
    const tooMany = fundingSideToJson(many(LIMITS.fundingInputs + 1));
    expect(code(() => parseFundingSide(tooMany))).toBe('protocol');
    expect(code(() => parseFundingSide(fundingSideToJson(many(0))))).toBe('bad_funding');
  });
});

describe('the keys of a channel', () => {
  it('that a peer names are points, and each another', () => {
    const names = ['miner_channel', 'maker_channel', 'maker_refund'];
    const keys = Object.fromEntries(
      names.map((name, index) => [name, toHex(minerSigner.forChannel(index).publicKey('channel'))]),
    );
    expect(code(() => parseChannelKeys(keys))).toBe('nothing thrown');
    expect(code(() => parseChannelKeys({ ...keys, maker_refund: `02${'ff'.repeat(32)}` }))).toBe(
      'bad_terms',
    );
    expect(code(() => parseChannelKeys({ ...keys, maker_refund: keys['miner_channel'] }))).toBe(
      'bad_terms',
    );
  });
});

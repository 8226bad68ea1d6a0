import { describe, expect, it } from 'vitest';
import type { BindingConfig, ContractConfig } from '../../src/config/config.ts';
import { parseTerms, termsToJson } from '../../src/contract/terms.ts';
import { notYetServed } from '../../src/contract/terms-access.ts';
import {
  configuredTerms,
  editsWithoutEffect,
  type TermsPlace,
} from '../../src/operator/configured-terms.ts';

const WORK: BindingConfig = {
  type: 'work',
  ...{ hardestShare: 1024, extranonce2Bytes: 8, foreignChain: false },
  ...{ withdrawalsPerBlock: 480, solutionsPerMinute: 1200 },
};

function contractOf(binding: BindingConfig, change: Partial<ContractConfig> = {}): ContractConfig {
  return {
    ...{ name: 'first', maker: { host: '127.0.0.1', port: 1 }, makerNodeId: '11'.repeat(32) },
    ...{ priceMsatPerEh: 500_000n, workTotalHashes: 10n ** 20n, stepHashes: 10n ** 18n, maxUnpaidSteps: 3 },
    ...{ maxUnpaidTotalSat: undefined, budgetSat: 60_000n, reserveSat: 1000n, minerReserveSat: 6000n },
    ...{ expiryBlocks: 1548, minDepth: 3, shareDifficulty: 16, binding, staleGraceSeconds: 30 },
    ...{ termsVersion: 3, term: undefined, bonds: undefined, returnsBonds: false, seal: undefined },
    payout: { type: 'script', scriptHex: `0014${'22'.repeat(20)}` },
    ...change,
  };
}

const place: TermsPlace = {
  network: 'regtest',
  minerNodeId: '33'.repeat(32),
  tipHeight: 100,
  nonce: new Uint8Array(16),
};

describe('the terms of a configured contract', () => {
  it('name the payees with what each keeps, and refuse an address of elsewhere', () => {
    const payee = { label: 'host', ppm: 120_000, seedSat: 600n };
    const address = 'bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080';
    const terms = configuredTerms(contractOf(WORK, { payees: [{ ...payee, address }] }), place);
    const scriptHex = '0014751e76e8199196d454941c45d1b3a323f1433bd6';
    expect(terms).toMatchObject({ splits: [{ ...payee, scriptHex }] });
    const elsewhere = { ...payee, address: 'bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4' };
    expect(() => configuredTerms(contractOf(WORK, { payees: [elsewhere] }), place)).toThrow('bad_terms');
  });

  it('that is bound by work name the range of its shares', () => {
    const terms = configuredTerms(contractOf(WORK), place);
    const { hardestShare: _hardest, ...binding } = WORK;
    expect(terms).toMatchObject({ version: 3, binding });
    if (terms.version !== 3) throw new Error('of another version');
    const { easiestHex, hardestHex } = terms.target;
    expect(BigInt(`0x${easiestHex}`) / BigInt(`0x${hardestHex}`)).toBe(64n);
    expect(parseTerms(termsToJson(terms))).toEqual(terms);
    expect(editsWithoutEffect(terms, contractOf(WORK))).toEqual([]);
    const harder = { ...WORK, hardestShare: 2048 };
    expect(editsWithoutEffect(terms, contractOf(harder)).map(({ term }) => term)).toEqual(['target']);
  });

  it('that is bound by a script have one target, in each version', () => {
    const scriptHex = `0014${'44'.repeat(20)}`;
    const bound = {
      type: 'payout',
      outputs: [{ scriptHex, ppm: 1_000_000 }],
      ...{ minFeesPpm: 950_000, samplePpm: 10_000, sampleSeconds: 10 },
    } as const;
    const three = configuredTerms(contractOf(bound), place);
    if (three.version !== 3) throw new Error('of another version');
    expect(three.target.easiestHex).toBe(three.target.hardestHex);
    expect(three.binding).toMatchObject({ type: 'payout', outputs: [{ ppm: 1_000_000 }] });
    const two = configuredTerms(contractOf(bound, { termsVersion: 2 }), place);
    expect(two.binding).toEqual({ type: 'coinbase', scriptHex });
  });

  it('begin and end by blocks from the height of the proposal', () => {
    const start = { afterBlocks: 144, withinBlocks: 36 };
    const terms = configuredTerms(
      contractOf(WORK, { term: { start, durationBlocks: 200, noticeBlocks: 144 } }),
      place,
    );
    const heights = { notBeforeHeight: 244, notAfterHeight: 280 };
    const end = { cancelFeePpm: 0, noticeBlocks: 144 };
    expect(terms).toMatchObject({ start: heights, durationBlocks: 200, end });
    const later = configuredTerms(
      contractOf(WORK, { term: { start, durationBlocks: undefined, noticeBlocks: 0 } }),
      place,
    );
    expect(later).toMatchObject({ start: heights });
    expect(later).not.toHaveProperty('durationBlocks');
    const edited = contractOf(WORK, { term: { start: undefined, durationBlocks: 100, noticeBlocks: 144 } });
    expect(editsWithoutEffect(terms, edited).map(({ term }) => term)).toEqual(['start', 'duration_blocks']);
  });

  it('promise a rate by rules of delivery', () => {
    const rules = {
      ...{ windowMinutes: 1440, tolerancePpm: 20_000, cureBlocks: 24, curtailmentBlocks: 0 },
      falseDefaultAlphaPpm: 1000,
    };
    const delivery = {
      rateHps: 10n ** 15n,
      maxRateHps: 2n * 10n ** 15n,
      overDelivery: 'refuse',
      rules,
    } as const;
    const terms = configuredTerms(contractOf(WORK, { delivery }), place);
    const rate = { committed: 10n ** 15n, min: 10n ** 15n, max: 2n * 10n ** 15n };
    expect(terms).toMatchObject({ rate, overDelivery: 'refuse', delivery: rules });
    expect(notYetServed(terms)).toBeUndefined();
    expect(parseTerms(termsToJson(terms))).toEqual(terms);
  });

  it('that sells unbound work are none in version 3', () => {
    expect(() => configuredTerms(contractOf({ type: 'none' }), place)).toThrow(/price/);
  });
});

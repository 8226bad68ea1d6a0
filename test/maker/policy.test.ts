import { describe, expect, it } from 'vitest';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import { targetOfDifficulty, targetToHex } from '../../src/bitcoin/target.ts';
import type { TermsV1or2, TermsV3 } from '../../src/contract/terms.ts';
import { termsV3From } from '../../src/contract/terms-upgrade.ts';
import { judgeTerms, type MakerPolicy, type PolicyContext } from '../../src/maker/policy.ts';
import { EH, makeTerms } from '../channel/fixtures.ts';
import { makeWholeTermsV3 } from '../contract/terms-v3-fixtures.ts';

const scriptHex = `0014${'cd'.repeat(20)}`;
const terms = makeTerms({
  binding: { type: 'coinbase', scriptHex },
  maxTargetHex: targetToHex(targetOfDifficulty(1024)),
});

const policy: MakerPolicy = {
  network: 'regtest',
  maxPriceMsatPerEh: terms.priceMsatPerEh,
  maxBudgetSat: terms.budgetSat,
  maxTotalBudgetSat: 2n * terms.budgetSat,
  maxOpenContractsPerMiner: 2,
  minStepHashes: EH,
  maxStepHashes: 100n * EH,
  maxUnpaidSteps: 3,
  minShareWorkHashes: 4_398_113_619_979n,
  minExpiryBlocks: 1000,
  maxExpiryBlocks: 2000,
  minDepth: 3,
  maxStaleGraceSeconds: 30,
  bindingScriptHex: scriptHex,
};

const context: PolicyContext = {
  makerNodeId: terms.makerNodeId,
  peerNodeId: terms.minerNodeId,
  height: terms.expiryHeight - 1500,
  openContractsOfPeer: 1,
  openBudgetSat: terms.budgetSat,
};

function judge(
  changes: Partial<TermsV1or2> = {},
  around: Partial<PolicyContext> = {},
  rules: Partial<MakerPolicy> = {},
): string {
  try {
    judgeTerms({ ...policy, ...rules }, { ...terms, ...changes }, { ...context, ...around });
    return 'taken';
  } catch (error) {
    return codeOf(error);
  }
}

describe('the policy of a maker', () => {
  it('takes a contract at every limit', () => {
    expect(judge()).toBe('taken');
    expect(judge({}, { height: terms.expiryHeight - 1000 })).toBe('taken');
    expect(judge({}, { height: terms.expiryHeight - 2000 })).toBe('taken');
  });

  it.each<[string, Partial<TermsV1or2>]>([
    ['another network', { network: 'signet' }],
    ['another maker', { makerNodeId: 'ee'.repeat(32) }],
    ['another miner', { minerNodeId: 'ee'.repeat(32) }],
    ['a higher price', { priceMsatPerEh: terms.priceMsatPerEh + 1n }],
    ['a higher budget', { budgetSat: terms.budgetSat + 1n }],
    ['a smaller step', { stepHashes: EH - 1n }],
    ['more unpaid steps', { maxUnpaidSteps: 4 }],
    ['easier shares', { maxTargetHex: targetToHex(targetOfDifficulty(1023)) }],
    ['less depth', { minDepth: 2 }],
    ['more grace', { staleGraceSeconds: 31 }],
    ['no binding', { binding: { type: 'none' } }],
    ['a binding to others', { binding: { type: 'coinbase', scriptHex: '51' } }],
  ])('refuses %s', (_name, changes) => {
    expect(judge(changes)).toBe('bad_terms');
  });

  it('refuses an expiry too near or too far, too many contracts, and more than all its budget', () => {
    expect(judge({}, { height: terms.expiryHeight - 999 })).toBe('bad_terms');
    expect(judge({}, { height: terms.expiryHeight - 2001 })).toBe('bad_terms');
    expect(judge({}, { openContractsOfPeer: 2 })).toBe('bad_terms');
    expect(judge({}, { openBudgetSat: terms.budgetSat + 1n })).toBe('bad_terms');
  });

  it('takes any binding when it asks for none', () => {
    const bindingScriptHex = undefined;
    expect(judge({ binding: { type: 'none' } }, {}, { bindingScriptHex })).toBe('taken');
  });

  describe('of terms of version 3', () => {
    const newer = termsV3From(terms, context.height + 72);
    const pathOf = (changes: Partial<TermsV3>): string => {
      try {
        judgeTerms(policy, { ...newer, ...changes }, context);
        return 'taken';
      } catch (error) {
        if (!(error instanceof CodedError) || error.code !== 'bad_terms') throw error;
        return String(error.meta['path'] ?? error.message);
      }
    };
    const whole = makeWholeTermsV3();
    const { binding, target } = newer;

    it('takes what says the same as terms of version 1', () => {
      expect(pathOf({})).toBe('taken');
      expect(pathOf({ fundingByHeight: context.height + 1 })).toBe('taken');
    });

    it.each<[string, Partial<TermsV3>]>([
      ['price.type', { price: whole.price }],
      ['binding.type', { binding: whole.binding }],
      ['binding.outputs', { binding: { ...binding, outputs: [] } as TermsV3['binding'] }],
      ['binding.min_fees_ppm', { binding: { ...binding, minFeesPpm: 1 } as TermsV3['binding'] }],
      ['binding.sample_ppm', { binding: { ...binding, samplePpm: 1 } as TermsV3['binding'] }],
      ['target.hardest', { target: { ...target, hardestHex: '01'.repeat(32) } }],
      ['over_delivery', { overDelivery: 'refuse' }],
      ['maker_fault.type', { makerFault: whole.makerFault }],
      ['end.cancel_fee_ppm', { end: { cancelFeePpm: 1, noticeBlocks: 0 } }],
      ['end.notice_blocks', { end: { cancelFeePpm: 0, noticeBlocks: 1 } }],
      ['renew', { renew: 'offer' }],
      ['rate', { rate: whole.rate! }],
      ['start', { start: whole.start! }],
      ['duration_blocks', { durationBlocks: 1 }],
      ['delivery', { delivery: whole.delivery! }],
      ['splits', { splits: whole.splits! }],
      ['text_hash', { textHashHex: '11'.repeat(32) }],
      ['predecessor', { predecessorHex: '11'.repeat(32) }],
      ['stream', { streamHex: '11'.repeat(16) }],
      ['funding_by_height', { fundingByHeight: context.height }],
    ])('refuses %s that it cannot serve yet', (path, changes) => {
      expect(pathOf(changes)).toBe(path);
    });

    it('refuses a price, a target and a payee beyond its limits', () => {
      const price = { type: 'fixed' as const, msatPerEh: policy.maxPriceMsatPerEh + 1n };
      expect(pathOf({ price })).toMatch('price');
      const easier = targetToHex(targetOfDifficulty(1023));
      expect(pathOf({ target: { easiestHex: easier, hardestHex: easier } })).toMatch('share');
      const outputs = [{ scriptHex: '51', ppm: 1_000_000 }];
      expect(pathOf({ binding: { ...binding, outputs } as TermsV3['binding'] })).toMatch(
        'script of the maker',
      );
    });
  });
});

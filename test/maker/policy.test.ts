import { describe, expect, it } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import { targetOfDifficulty, targetToHex } from '../../src/bitcoin/target.ts';
import type { ContractTerms } from '../../src/contract/terms.ts';
import { judgeTerms, type MakerPolicy, type PolicyContext } from '../../src/maker/policy.ts';
import { EH, makeTerms } from '../channel/fixtures.ts';

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
  changes: Partial<ContractTerms> = {},
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

  it.each<[string, Partial<ContractTerms>]>([
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
});

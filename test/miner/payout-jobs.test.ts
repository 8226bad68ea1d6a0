import { describe, expect, it } from 'vitest';
import { fromHex } from '../../src/base/bytes.ts';
import { buildCoinbase, type CoinbaseOutput } from '../../src/bitcoin/coinbase.ts';
import { displayHash } from '../../src/bitcoin/header.ts';
import { subsidySat } from '../../src/bitcoin/network.ts';
import type { BlockFacts } from '../../src/chain/block-facts.ts';
import type { ContractTerms, TermsV3 } from '../../src/contract/terms.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { unpaidReason } from '../../src/miner/payout-jobs.ts';
import { contractTag } from '../../src/settlement/contract-tag.ts';
import { PAYOUT_FAULTS } from '../../src/settlement/payout-rules.ts';
import { SEAL } from '../channel/fixtures.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';

const [MAKER, OTHER] = [`0014${'ab'.repeat(20)}`, `0014${'cd'.repeat(20)}`];
const CONTRACT = 'a1'.repeat(32);
const HEIGHT = 840_000;
const BITS = 0x17034219;
const TIME = 1_713_571_767;
const SUBSIDY = subsidySat('mainnet', HEIGHT);
const FEES = 10_000_000n;
const PREV_HASH = new Uint8Array(32).fill(7);

const FACTS: BlockFacts = {
  height: HEIGHT,
  bits: BITS,
  parentTimeSeconds: TIME - 100,
  minTimeSeconds: TIME - 3000,
  feesSat: FEES,
  waitingFeesSat: FEES,
};

const BINDING: TermsV3['binding'] = {
  type: 'payout',
  outputs: [{ scriptHex: MAKER, ppm: 1_000_000 }],
  ...{ minFeesPpm: 950_000, samplePpm: 0, sampleSeconds: 10 },
};
const terms = makeTermsV3({ network: 'mainnet', binding: BINDING });

type Trial = {
  readonly outputs?: readonly CoinbaseOutput[];
  readonly height?: number;
  readonly job?: Partial<UpstreamJob>;
  readonly facts?: BlockFacts | undefined;
  readonly terms?: ContractTerms;
};

const pays = (scriptHex: string, valueSat: bigint): CoinbaseOutput => ({
  script: fromHex(scriptHex),
  valueSat,
});

function reasonFor(trial: Trial): string | undefined {
  const { outputs = [pays(MAKER, SUBSIDY + FEES)], height = HEIGHT } = trial;
  // 4 bytes are the upstream's extranonce1.
  const split = buildCoinbase({ height, extranonceSize: 12, tag: new Uint8Array(4), outputs });
  const job: UpstreamJob = {
    ...split,
    ...{
      upstreamJobId: '1',
      prevHash: PREV_HASH,
      branches: [],
      version: 0x20000000,
      bits: BITS,
      time: TIME,
    },
    ...{ clean: true, target: 1n << 220n, versionMask: 0x1fffe000 },
    ...{ extranonce1: new Uint8Array(4), extranonce2Size: 8 },
    ...trial.job,
  };
  const facts = 'facts' in trial ? trial.facts : FACTS;
  const templates = {
    seenFactsOf: (parent: string) => (parent === displayHash(PREV_HASH) ? facts : undefined),
  };
  return unpaidReason(CONTRACT, trial.terms ?? terms, job, templates);
}

describe('a job of the own node or pool', () => {
  it('is mined where its buyer would pay for it', () => {
    expect(reasonFor({})).toBeUndefined();
    expect(reasonFor({ outputs: [pays(MAKER, SUBSIDY + (FEES * 95n) / 100n)] })).toBeUndefined();
  });

  it.each<[keyof typeof PAYOUT_FAULTS, Trial]>([
    ['payees', { outputs: [pays(OTHER, SUBSIDY + FEES)] }],
    ['payees', { outputs: [pays(MAKER, 1n), pays(OTHER, SUBSIDY + FEES - 1n)] }],
    ['height', { height: HEIGHT + 1 }],
    ['bits', { job: { bits: BITS + 1 } }],
    ['time', { job: { time: TIME - 3001 } }],
    ['too_little', { outputs: [pays(MAKER, SUBSIDY + (FEES * 95n) / 100n - 1n)] }],
    ['too_much', { outputs: [pays(MAKER, SUBSIDY + 100_000_001n)] }],
  ])('is not where it would not: %s', (fault, trial) => {
    expect(reasonFor(trial)).toBe(PAYOUT_FAULTS[fault]);
  });

  it('is not where its coinbase has the extranonce in an output, or is none', () => {
    expect(reasonFor({ job: { coinb1: new Uint8Array(120) } })).toMatch('cannot be read');
    expect(reasonFor({ job: { coinb2: new Uint8Array(3) } })).toMatch('cannot be read');
    // Version bits that nobody may roll would be refused with it.
    expect(reasonFor({ job: { versionMask: 0x20000000 } })).toMatch('cannot be read');
  });

  it('is judged by whom it pays alone, on a block that the own node never mined on', () => {
    expect(reasonFor({ facts: undefined, height: HEIGHT + 1 })).toBeUndefined();
    expect(reasonFor({ facts: undefined, outputs: [pays(OTHER, SUBSIDY)] })).toBe(PAYOUT_FAULTS.payees);
  });

  it('names the contract where that has a seal', () => {
    const sealed = makeTermsV3({ network: 'mainnet', binding: BINDING, seal: SEAL });
    const tag = (contractId: string): CoinbaseOutput => ({ script: contractTag(contractId), valueSat: 0n });
    const whole = pays(MAKER, SUBSIDY + FEES);
    expect(reasonFor({ terms: sealed })).toMatch('does not name the contract');
    expect(reasonFor({ terms: sealed, outputs: [whole, tag('b2'.repeat(32))] })).toMatch('does not name');
    expect(reasonFor({ terms: sealed, outputs: [whole, tag(CONTRACT)] })).toBeUndefined();
  });

  it('is none of its business under another binding', () => {
    const work = makeTermsV3({ network: 'mainnet' });
    expect(reasonFor({ terms: { ...work, binding: { type: 'none' } }, outputs: [] })).toBeUndefined();
  });
});

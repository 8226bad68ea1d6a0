import { describe, expect, it } from 'vitest';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { unpaidReason } from '../../src/miner/payout-jobs.ts';
import { METADATA_FAULTS } from '../../src/settlement/bead-rules.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { addressOf, jobOn, metadataTo } from '../upstream/metadata-samples.ts';

const [MAKER, THIEF] = [`0014${'ab'.repeat(20)}`, `0014${'cd'.repeat(20)}`];
const binding = { type: 'bead', scriptHex: MAKER, profile: 'spec', stopPpb: 1000, maxLossSat: 0n } as const;
const terms = makeTermsV3({ network: 'regtest', binding });

function upstreamOf(payee: string, changes: Partial<UpstreamJob> = {}): UpstreamJob {
  const { coinb1, coinb2, metadata, bits, versionMask } = jobOn(
    metadataTo(MAKER, { payoutAddress: `${addressOf(payee)}.rig` }),
  );
  return {
    ...{ coinb1, coinb2, metadata, bits, versionMask },
    ...{ extranonce1: new Uint8Array(0), extranonce2Size: 8 },
    ...changes,
  } as UpstreamJob;
}

const reasonOf = (job: UpstreamJob, for_ = terms): string | undefined =>
  unpaidReason('a1'.repeat(32), for_, job, undefined);

describe('a job of a node that commits its metadata', () => {
  it('is mined where its beads pay the buyer, and not where they pay another', () => {
    expect(reasonOf(upstreamOf(MAKER))).toBeUndefined();
    expect(reasonOf(upstreamOf(THIEF))).toBe(METADATA_FAULTS.payee);
  });

  it('is not mined while its metadata is not known, with the reason of the node where there is one', () => {
    const { metadata: _, ...bare } = upstreamOf(MAKER);
    expect(reasonOf(bare)).toBe(METADATA_FAULTS.missing);
    expect(reasonOf({ ...bare, metadataFault: 'the node is away' })).toBe('the node is away');
    expect(reasonOf({ ...upstreamOf(THIEF), metadataFault: 'the node is away' })).toBe(
      METADATA_FAULTS.payee,
    );
  });

  it('is not mined with an extranonce that reaches its outputs', () => {
    const { coinb1, coinb2 } = upstreamOf(MAKER);
    const job = upstreamOf(MAKER, {
      coinb1: Uint8Array.from([...coinb1, ...new Uint8Array(8), ...coinb2.subarray(0, 100)]),
      coinb2: coinb2.subarray(108),
    });
    expect(reasonOf(job)).toMatch('extranonce');
  });

  it('is judged anew for other terms', () => {
    const job = upstreamOf(MAKER);
    const others = makeTermsV3({ network: 'regtest', binding: { ...binding, scriptHex: THIEF } });
    expect(reasonOf(job)).toBeUndefined();
    expect(reasonOf(job, others)).toBe(METADATA_FAULTS.payee);
    expect(reasonOf(job)).toBeUndefined();
    const bySamples = { ...binding, profile: 'as_is', maxLossSat: 1n } as const;
    expect(
      reasonOf(upstreamOf(THIEF), makeTermsV3({ network: 'regtest', binding: bySamples })),
    ).toBeUndefined();
  });
});

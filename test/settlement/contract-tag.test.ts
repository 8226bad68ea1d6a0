import { describe, expect, it } from 'vitest';
import { fromHex, toHex } from '../../src/base/bytes.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { contractTag, hasContractTag, needsContractTag } from '../../src/settlement/contract-tag.ts';
import { type JobRecord, jobRecordOf } from '../../src/work/evidence.ts';
import { makeTerms, SEAL } from '../channel/fixtures.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { sampleJob } from '../work/samples.ts';

const ID = 'ab'.repeat(32);
const OTHER = 'cd'.repeat(32);

function jobWith(scripts: readonly Uint8Array[]): JobRecord {
  const outputs = [fromHex('51'), ...scripts].map((script) => ({ script, valueSat: 0n }));
  const coinbase = buildCoinbase({ height: 7, extranonceSize: 8, tag: new Uint8Array(0), outputs });
  return { ...jobRecordOf(sampleJob(1)), ...coinbase, extranonceSize: 8 };
}

describe('the tag of a contract', () => {
  it('is an output without value', () => {
    expect(toHex(contractTag(ID))).toBe(`6a2473686374${ID}`);
    expect(() => contractTag('ab')).toThrow();
  });

  it('is in a coinbase where an output is it, wherever, and none is that of another contract', () => {
    const [own, other] = [contractTag(ID), contractTag(OTHER)];
    const commitment = fromHex(`6a24aa21a9ed${'00'.repeat(32)}`);
    expect(hasContractTag(jobWith([own]), ID)).toBe(true);
    expect(hasContractTag(jobWith([commitment, own]), ID)).toBe(true);
    expect(hasContractTag(jobWith([]), ID)).toBe(false);
    expect(hasContractTag(jobWith([other]), ID)).toBe(false);
    expect(hasContractTag(jobWith([own, other]), ID), 'sold twice').toBe(false);
    for (const cut of [own.slice(0, -1), own.slice(1), fromHex(`${toHex(own)}00`)])
      expect(hasContractTag(jobWith([cut]), ID), toHex(cut)).toBe(false);
    expect(hasContractTag({ ...jobWith([own]), coinb2: new Uint8Array(3) }, ID), 'no coinbase').toBe(false);
  });

  it('is needed with a seal where a payout binds, and nowhere else', () => {
    expect(needsContractTag(makeTermsV3({ seal: SEAL }))).toBe(true);
    expect(needsContractTag(makeTermsV3())).toBe(false);
    expect(needsContractTag(makeTerms({ seal: SEAL }))).toBe(false);
    const numbers = { extranonce2Bytes: 8, withdrawalsPerBlock: 6, solutionsPerMinute: 6 };
    const work = { type: 'work' as const, ...numbers, foreignChain: false };
    expect(needsContractTag(makeTermsV3({ seal: SEAL, binding: work }))).toBe(false);
  });
});

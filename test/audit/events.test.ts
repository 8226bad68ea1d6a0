import { describe, expect, it } from 'vitest';
import type { Frame } from '../../src/audit/frames.ts';
import { parseRecord, printRecord } from '../../src/audit/records.ts';
import { signCommitment } from '../../src/channel/commitment.ts';
import { commitmentOf } from '../../src/settlement/commitments.ts';
import { makerSigner, minerSigner } from '../channel/fixtures.ts';
import { seededRandom } from '../seed.ts';
import { audit, seal } from './exports.ts';
import { SyntheticContract } from './synthetic.ts';

const SMALL = { shares: 48, sharesPerState: 16, sharesPerJob: 12, branches: 2, hasEvents: true };

/** The file with another head of the events in one of its commitments, signed anew by both or not. */
function withHead({ params, frames }: SyntheticContract, nth: number, isSigned: boolean): Frame[] {
  const places = [...frames.keys()].filter((index) => frames[index]!.kind === 'commitment');
  const at = places[nth]!;
  const before = parseRecord('commitment', frames[at]!);
  const eventsHead = before.eventsHead!.map((byte, index) => (index === 0 ? byte ^ 1 : byte));
  const record = { ...before, eventsHead };
  const sign = (signer: typeof minerSigner): string => signCommitment(params, commitmentOf(record), signer);
  const signatures = isSigned
    ? { makerSignature: sign(makerSigner), minerSignature: sign(minerSigner) }
    : {};
  return frames.with(at, {
    kind: 'commitment',
    payload: printRecord('commitment', { ...record, ...signatures }),
  });
}

describe('the head of the events in a commitment', () => {
  it('is recomputed by an audit', async () => {
    const contract = new SyntheticContract(SMALL, seededRandom());
    expect((await audit(seal(contract.frames))).verdict).toBe('agreed');
  });

  it('a flipped byte of it is found, in whichever state, also where both signed it', async () => {
    const contract = new SyntheticContract(SMALL, seededRandom());
    for (const nth of [0, 1, 2]) {
      const flipped = await audit(seal(withHead(contract, nth, false)));
      expect(flipped.finding).toMatchObject({ blame: 'file', code: 'bad_signature', n: nth + 1 });
      const signed = await audit(seal(withHead(contract, nth, true)));
      expect(signed.finding).toMatchObject({ blame: 'file', code: 'bad_commitment', n: nth + 1 });
      expect(signed.finding!.words).toContain('events');
    }
  });
});

import { describe, expect, it } from 'vitest';
import type { Frame } from '../../src/audit/frames.ts';
import { parseRecord, printRecord, printShares } from '../../src/audit/records.ts';
import { signCommitment } from '../../src/channel/commitment.ts';
import { signState } from '../../src/channel/states.ts';
import type { CommitmentRecord } from '../../src/peer/commitment-codecs.ts';
import { unpackWireShares } from '../../src/peer/packed-shares.ts';
import { commitmentOf } from '../../src/settlement/commitments.ts';
import { makerSigner, minerSigner } from '../channel/fixtures.ts';
import { seededRandom } from '../seed.ts';
import { audit, seal } from './exports.ts';
import { EASY, HARD, SyntheticContract } from './synthetic.ts';

const SMALL = { shares: 48, sharesPerState: 16, sharesPerJob: 12, branches: 2, hardEvery: 5 };
/** Of the last state: its shares begin with 32. */
const HARD_SEQ = 35;

function contract(isWeighed: boolean): SyntheticContract {
  return new SyntheticContract({ ...SMALL, isWeighed }, seededRandom());
}

function last(frames: readonly Frame[], kind: Frame['kind']): number {
  return frames.findLastIndex((frame) => frame.kind === kind);
}

/** The file with the difficulty of one share of the last state changed, in its block. */
function withDifficulty(frames: readonly Frame[], seq: number, difficulty: number): Frame[] {
  const at = frames.findIndex(({ kind, payload }) => {
    if (kind !== 'shares') return false;
    const [first, count] = [firstOf(payload), unpackWireShares(payload.subarray(16)).length];
    return first <= seq && seq < first + count;
  });
  const { payload } = frames[at]!;
  const shares = unpackWireShares(payload.subarray(16));
  const place = seq - firstOf(payload);
  const changed = shares.with(place, { ...shares[place]!, difficulty });
  return frames.with(at, { kind: 'shares', payload: printShares(firstOf(payload), 0, changed) });
}

function firstOf(payload: Uint8Array): number {
  return Number(new DataView(payload.buffer, payload.byteOffset).getBigUint64(0, true));
}

/** The file with the last commitment and state signed again, for other work or weights. */
function resigned(
  { params }: SyntheticContract,
  frames: readonly Frame[],
  changes: Partial<CommitmentRecord>,
  isByMiner: boolean,
): Frame[] {
  const [at, stateAt] = [last(frames, 'commitment'), last(frames, 'state')];
  const record = { ...parseRecord('commitment', frames[at]!), ...changes };
  const content = commitmentOf(record);
  const commitment = printRecord('commitment', {
    ...record,
    makerSignature: signCommitment(params, content, makerSigner),
    minerSignature: isByMiner ? signCommitment(params, content, minerSigner) : undefined,
  });
  const state = printRecord('state', signState(params, record.n, record.workHashes, makerSigner));
  return frames
    .with(at, { kind: 'commitment', payload: commitment })
    .with(stateAt, { kind: 'state', payload: state });
}

describe('what each share is credited for, where it is signed', () => {
  it('follows from the file', async () => {
    for (const isWeighed of [true, false]) {
      const report = await audit(seal(contract(isWeighed).frames));
      expect(report).toMatchObject({ verdict: 'agreed', files: [{ counts: { committed: 48 } }] });
    }
  });

  it('is found where the file has it otherwise, also where the sum is the same', async () => {
    const { frames } = contract(true);
    const easier = withDifficulty(frames, HARD_SEQ, EASY.difficulty);
    expect(await audit(seal(easier))).toMatchObject({ verdict: 'file' });
    const swapped = withDifficulty(easier, HARD_SEQ + 1, HARD.difficulty);
    const report = await audit(seal(swapped));
    expect(report.verdict).toBe('file');
    expect(report.finding!.words).toContain('difficulties');
  });

  it('convicts a maker that signed less for it, which nothing does where it is not signed', async () => {
    const less = HARD.workHashes - EASY.workHashes;
    for (const isWeighed of [true, false]) {
      const made = contract(isWeighed);
      const record = parseRecord('commitment', made.frames[last(made.frames, 'commitment')]!);
      const workHashes = record.workHashes - less;
      const frames = resigned(made, made.frames, { workHashes }, false);
      const report = await audit(seal(frames));
      expect(report.verdict, `weighed: ${isWeighed}`).toBe(isWeighed ? 'maker' : 'file');
    }
  });
});

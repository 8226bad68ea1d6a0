import { afterAll, describe, expect, it } from 'vitest';
import { type AuditReport, auditFiles } from '../../src/audit/audit.ts';
import type { Frame } from '../../src/audit/frames.ts';
import { type Hashing, hashingHere, hashingInThreads } from '../../src/audit/hashing.ts';
import { CodedError } from '../../src/base/errors.ts';
import { seededRandom } from '../seed.ts';
import { chunksOf, kernel, seal } from './exports.ts';
import { SyntheticContract, type SyntheticOptions } from './synthetic.ts';

const HASHINGS: readonly Hashing[] = [
  hashingHere(kernel),
  hashingInThreads(1, 'portable', kernel),
  hashingInThreads(3, 'simd', kernel),
];
afterAll(async () => void (await Promise.all(HASHINGS.map(({ close }) => close()))));

/** More blocks than are hashed ahead, of one share and of many. */
const MANY = { shares: 320, sharesPerState: 80, sharesPerJob: 10, branches: 2 };

function contract(options: Partial<SyntheticOptions> = {}): SyntheticContract {
  return new SyntheticContract({ ...MANY, ...options }, seededRandom());
}

/** What an audit says of files, in words. */
async function outcomeOf(hashing: Hashing, files: readonly Uint8Array[]): Promise<unknown> {
  const sources = files.map((bytes, index) => ({ name: `file ${index}`, chunks: chunksOf(bytes, 10_007) }));
  let shown: AuditReport;
  try {
    shown = await auditFiles(sources, kernel, hashing);
  } catch (error) {
    if (!(error instanceof CodedError)) throw error;
    return `${error.code}: ${error.message}`;
  }
  const { newest: _, ...report } = shown;
  return report;
}

/** The same wherever it is hashed. */
async function only(...files: readonly Uint8Array[]): Promise<unknown> {
  const outcomes = await Promise.all(HASHINGS.map((hashing) => outcomeOf(hashing, files)));
  for (const outcome of outcomes) expect(outcome).toEqual(outcomes[0]);
  return outcomes[0];
}

function without(frames: readonly Frame[], kind: Frame['kind'], index: number): readonly Frame[] {
  let seen = -1;
  return frames.filter((frame) => {
    if (frame.kind === kind) seen += 1;
    return frame.kind !== kind || seen !== index;
  });
}

describe('an audit comes to the same with any number of threads', () => {
  it('of what is as it should be, one file or two', async () => {
    const { frames } = contract();
    const file = seal(frames);
    expect(await only(file)).toMatchObject({ verdict: 'agreed', files: [{ counts: { committed: 320 } }] });
    expect(await only(file, file)).toMatchObject({ verdict: 'agreed' });
  });

  it('of a share sold twice, far behind, and of refusals', async () => {
    expect(await only(seal(contract({ repeats: 301 }).frames))).toMatchObject({
      finding: { code: 'share_duplicate', seq: 301 },
    });
    const refused = new Map([
      [5, { code: 'share_low', isBad: true }],
      [300, { code: 'share_low' }],
    ]);
    expect(await only(seal(contract({ refused }).frames))).toMatchObject({
      verdict: 'maker',
      finding: { seq: 300 },
    });
  });

  it('of files that lack something, or were altered, wherever that is', async () => {
    const random = seededRandom();
    const { frames } = contract();
    for (const kind of ['contract', 'channel', 'commitment', 'state', 'end'] as const)
      expect(await only(seal(without(frames, kind, 0)))).toContain('bad_evidence');
    for (const kind of ['job', 'shares'] as const)
      for (const index of [0, 15, 31]) expect(await only(seal(without(frames, kind, index)))).toBeTruthy();
    const file = seal(frames);
    for (let round = 0; round < 10; round += 1) {
      const altered = file.with(random.below(file.length), random.below(256));
      expect(await only(altered.subarray(0, altered.length - random.below(2) * 7))).toBeTruthy();
    }
    for (let round = 0; round < 10; round += 1) {
      const at = random.below(frames.length);
      const { kind, payload } = frames[at]!;
      const flipped = payload.with(random.below(payload.length), random.below(256));
      expect(await only(seal(frames.with(at, { kind, payload: flipped })))).toBeTruthy();
    }
  });

  it('of two files that each lack something', async () => {
    const { frames } = contract();
    const lesser = seal(without(frames, 'state', 3));
    expect(await only(seal(frames), lesser)).toBeTruthy();
    expect(await only(lesser, seal(without(frames, 'shares', 20)))).toContain('bad_evidence');
  });
});

import { afterEach, describe, expect, it } from 'vitest';
import { parseRecord, printRecord } from '../../src/audit/records.ts';
import { codeOf } from '../../src/base/errors.ts';
import { signCommitment } from '../../src/channel/commitment.ts';
import type { TermsV3 } from '../../src/contract/terms.ts';
import type { CommitmentRecord } from '../../src/peer/commitment-codecs.ts';
import { commitmentOf } from '../../src/settlement/commitments.ts';
import { Stand } from '../maker/metering-stand.ts';
import { SHARE, until, World } from '../maker/world.ts';
import { audit, exportOf, framesOf, seal } from './exports.ts';

let stand: Stand | undefined;
afterEach(async () => stand?.stop());

/** The exports of both sides of a metering over which this much was found. */
async function exportsOf(
  steps: number,
  changes: Partial<TermsV3> = {},
): Promise<{ miner: Uint8Array; maker: Uint8Array }> {
  stand = new Stand(changes, { hasChain: false });
  const { world } = stand;
  await stand.start();
  for (let step = 1; step <= steps; step += 1) {
    await stand.spoil(1);
    await stand.work(4);
    await stand.signed(step);
  }
  await stand.work(1);
  await until(
    'verified',
    () => stand!.maker!.verifiedWorkHashes === (4n * BigInt(steps) + 1n) * SHARE.workHashes,
  );
  await until('heard', () => stand!.miner.status.verifiedWorkHashes === stand!.maker!.verifiedWorkHashes);
  await stand.stop();
  stand = undefined;
  return { miner: await exportOf(world.minerLedger), maker: await exportOf(world.makerLedger) };
}

describe('the exports of metering', () => {
  it('of honest sides agree, each alone and together, with every share and total', async () => {
    const { miner, maker } = await exportsOf(3);
    for (const files of [[miner], [maker], [miner, maker]]) {
      const report = await audit(...files);
      expect(report).toMatchObject({ verdict: 'agreed', finding: undefined });
      for (const file of report.files) {
        const refused = file.role === 'miner' ? 3 : 0;
        expect(file.counts).toMatchObject({
          ...{ shares: 13 + refused, committed: 12, refused, unsigned: 1, states: 0 },
          ...{ commitments: 3, countersigned: 3 },
        });
        expect(file).toMatchObject({ stateNumber: 3, workHashes: 12n * SHARE.workHashes, paidSat: 0n });
        expect(file.unsignedHashes).toBe(SHARE.workHashes);
      }
    }
  });

  it('convict the maker of two totals of one number, and of one for less than its shares', async () => {
    const { miner } = await exportsOf(2);
    const frames = await framesOf(miner);
    expect(frames.map(({ kind }) => kind)).not.toContain('channel');
    const at = frames.findLastIndex(({ kind }) => kind === 'commitment');
    const record = parseRecord('commitment', frames[at]!);
    const { terms } = parseRecord('contract', frames[1]!);
    const scope = { contractId: parseRecord('head', frames[0]!).contractId, terms };
    /** The file with another last total, signed by the maker alone. */
    const resigned = (changes: Partial<CommitmentRecord>): Uint8Array => {
      const other = { ...record, ...changes, minerSignature: undefined };
      const makerSignature = signCommitment(scope, commitmentOf(other), new World().makerSigner);
      const payload = printRecord('commitment', { ...other, makerSignature });
      return seal(frames.with(at, { kind: 'commitment', payload }));
    };
    const other = resigned({ nextSeq: record.nextSeq + 1 });
    expect(await audit(other)).toMatchObject({ verdict: 'agreed' });
    expect(await audit(miner, other)).toMatchObject({
      verdict: 'maker',
      finding: { code: 'equivocation', n: 2 },
    });
    for (const workHashes of [1n, 4n * SHARE.workHashes])
      expect(await audit(resigned({ workHashes }))).toMatchObject({ verdict: 'maker', finding: { n: 2 } });
  });

  it('are those of one contract', async () => {
    const { miner } = await exportsOf(1);
    const { maker } = await exportsOf(1, { refusedPpm: 7 });
    expect(await audit(miner, maker).catch(codeOf)).toBe('bad_evidence');
  });
});

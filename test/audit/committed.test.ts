import { afterEach, describe, expect, it, vi } from 'vitest';
import { parseJob, printJob } from '../../src/audit/records.ts';
import { commitmentOf } from '../../src/jobs/bead-metadata.ts';
import { CommittedBeadsBinding } from '../../src/maker/committed-beads.ts';
import { encodedTo, honest, type Shown, SpecWorld, THIEF_SCRIPT_HEX } from '../maker/spec-world.ts';
import { until } from '../maker/world.ts';
import { audit, exportOf, framesOf, seal } from './exports.ts';

afterEach(() => void vi.restoreAllMocks());

/** The exports of both sides, of a contract under which this was sold. */
async function exportsOf(...sold: readonly Shown[]): Promise<{ miner: Uint8Array; maker: Uint8Array }> {
  const world = new SpecWorld();
  await world.open();
  for (const [index, shown] of sold.entries()) {
    await world.sell(world.jobWith(shown), 4);
    await until(`state ${index + 1}`, () => world.maker.status[0]?.ackedN === index + 1);
  }
  await world.rest();
  const files = { miner: await exportOf(world.minerStore), maker: await exportOf(world.makerStore) };
  await world.stop();
  return files;
}

describe('the exports of a contract bound by what jobs commit to', () => {
  it('agree, offline: what each job commits to is in its frame, under its leaf', async () => {
    const { miner, maker } = await exportsOf(honest(), honest({ startTimestamp: 2 }));
    for (const files of [[miner], [maker], [miner, maker]])
      expect(await audit(...files)).toMatchObject({ verdict: 'agreed', finding: undefined });
    const jobs = (await framesOf(maker)).filter(({ kind }) => kind === 'job').map(parseJob);
    expect(jobs.map(({ metadata }) => metadata)).toEqual([
      honest().metadata,
      honest({ startTimestamp: 2 }).metadata,
    ]);
  });

  it('convict nobody where the metadata of a job was altered, or left out, afterwards', async () => {
    const { miner } = await exportsOf(honest());
    const frames = await framesOf(miner);
    const at = frames.findIndex(({ kind }) => kind === 'job');
    const { metadata: _, ...bare } = parseJob(frames[at]!);
    for (const job of [bare, { ...bare, metadata: encodedTo(THIEF_SCRIPT_HEX) }]) {
      const altered = seal(frames.with(at, { kind: 'job', payload: printJob(job) }));
      expect(await audit(altered)).toMatchObject({ verdict: 'file' });
    }
  });

  it('convict the miner that signed for work of which the beads pay it', async () => {
    vi.spyOn(CommittedBeadsBinding.prototype, 'judgeJob').mockReturnValue(undefined);
    const metadata = encodedTo(THIEF_SCRIPT_HEX);
    const { miner, maker } = await exportsOf(honest(), { commitment: commitmentOf(metadata), metadata });
    for (const files of [[miner], [maker], [miner, maker]]) {
      const report = await audit(...files);
      expect(report.verdict).toBe('miner');
      expect(report.finding).toMatchObject({ n: 2 });
    }
  });
});

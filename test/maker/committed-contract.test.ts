import { afterEach, describe, expect, it } from 'vitest';
import { concat } from '../../src/base/bytes.ts';
import { COMMITMENT_PLACEHOLDER, commitmentOf } from '../../src/jobs/bead-metadata.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { encodedTo, honest, type Shown, SpecWorld, THIEF_SCRIPT_HEX } from './spec-world.ts';
import { until, World } from './world.ts';

/** Puts the extranonce where it is not safe: behind so many bytes of coinb2. */
const moved =
  (bytes: number) =>
  (job: UpstreamJob): UpstreamJob => ({
    ...job,
    coinb1: concat(job.coinb1, new Uint8Array(12), job.coinb2.subarray(0, bytes)),
    coinb2: job.coinb2.subarray(bytes + 12),
  });

describe('a contract bound by what jobs commit to', () => {
  let world: SpecWorld;
  afterEach(() => world.stop());

  it.each([false, true])('pays for jobs of beads that pay the maker; with a seal: %s', async (hasSeal) => {
    world = new SpecWorld(hasSeal);
    await world.open();
    for (let batch = 0; batch < 4; batch += 1)
      await world.sell(world.jobWith(honest({ startTimestamp: batch })), 4);
    await until('all is credited', () => world.credited === 16);
    await until('all of it is signed', () => {
      const { n, ackedN, unsignedWorkHashes } = world.maker.status[0]!;
      return unsignedWorkHashes === 0n && ackedN === n;
    });
    expect(world.refused).toEqual({});
    await until('the own node knows their beads', () => world.maker.status[0]!.beads?.paid === 16);
    const closed = world.miner.close();
    await until('close broadcast', () => world.chain.mempoolEntries().length > 0);
    world.chain.generate(3);
    await closed;
    expect(world.miner.status.channel).toBe('closed');
  });

  it('stops nothing while the own node is away, or has none of the beads: that is only told', async () => {
    world = new SpecWorld();
    world.node.isAway = true;
    await world.open();
    for (let batch = 0; batch < 30; batch += 1) await world.sell(world.jobWith(honest()), 4, 'nobody');
    await until('all is credited', () => world.credited === 120);
    expect(world.refused).toEqual({});
    expect(world.maker.status[0]!.beads).toMatchObject({ worth: 120, paid: 0, stolen: undefined });
  });

  const thiefs = encodedTo(THIEF_SCRIPT_HEX);
  const STOLEN: Readonly<Record<string, readonly [Shown, string, ((job: UpstreamJob) => UpstreamJob)?]>> = {
    'names another payee': [{ commitment: commitmentOf(thiefs), metadata: thiefs }, 'share_unbound'],
    'has the placeholder': [
      { commitment: new TextEncoder().encode(COMMITMENT_PLACEHOLDER), metadata: honest().metadata },
      'share_unbound',
    ],
    'commits to another payee than it is said to': [
      { commitment: commitmentOf(thiefs), metadata: honest().metadata },
      'share_unbound',
    ],
    'is shown with metadata of another job': [
      { commitment: honest().commitment, metadata: honest({ startTimestamp: 9 }).metadata },
      'share_unbound',
    ],
    'is shown without metadata': [{ ...honest(), metadata: undefined }, 'share_unbound'],
    'has its commitment within the extranonce': [honest(), 'share_bad', moved(110)],
  };

  it.each(Object.keys(STOLEN))('F5: pays for no share of a job that %s', async (name) => {
    const [shown, code, change] = STOLEN[name]!;
    world = new SpecWorld();
    await world.open();
    await world.sell(world.jobWith(honest()), 4);
    await until('honest shares are credited', () => world.credited === 4);
    await world.sell(world.jobWith(shown, change), 4);
    await until('the others are refused', () => world.refused[code] === 4);
    await world.sell(world.jobWith(honest()), 2);
    await until('honest ones are credited again', () => world.credited === 6);
    expect(world.refused).toEqual({ [code]: 4 });
  });

  it('judges a job of its ledger as it did before', async () => {
    world = new SpecWorld();
    await world.open();
    const job = world.jobWith(honest());
    await world.sell(job, 4);
    await until('it is credited', () => world.credited === 4);
    await world.restartMaker();
    await until('the contract goes on', () => world.miner.status.live);
    await world.sell(job, 4);
    await until('more of the same job is credited', () => world.credited === 8);
    expect(world.refused).toEqual({});
  });
});

describe('a contract that is bound in another way', () => {
  let other: World;
  afterEach(() => other.stop());

  it('takes no jobs with metadata, which only costs room', async () => {
    other = new World();
    await other.open();
    const job = other.job({ upstream: (each) => ({ ...each, metadata: new Uint8Array(1000) }) });
    await other.deliver(other.find(job, 1));
    await until('it is told so', () => other.miner.status.lastError === 'protocol');
    expect(other.maker.status[0]!.verifiedWorkHashes).toBe(0n);
  });
});

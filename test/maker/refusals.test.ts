import { describe, expect, it } from 'vitest';
import { call, handler } from '../../src/peer/calls.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import { meets } from '../../src/shares/rules.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { serveAsMaker } from './impostors.ts';
import { SHARE, until, World } from './world.ts';

async function opened(options: ConstructorParameters<typeof World>[0] = {}): Promise<World> {
  const world = new World(options);
  await world.open();
  return world;
}

/** Until the maker has judged so many shares of the miner's stream. */
async function judged(world: World): Promise<void> {
  const total = world.meters.total(world.contractId).workHashes;
  await until('all judged', () => {
    const { judgedWorkHashes, refusedWorkHashes } = world.miner.status;
    return judgedWorkHashes + refusedWorkHashes === total;
  });
}

describe('shares that are not paid', () => {
  it('duplicates, also over a restart of the maker', async () => {
    const world = await opened();
    const shares = world.find(world.job(), 3);
    await world.deliver(shares);
    await world.deliver(shares.slice(0, 1));
    await judged(world);
    expect(world.miner.stats.refused).toEqual({ share_duplicate: 1 });
    await world.restartMaker();
    await until('connected', () => world.miner.status.connected && world.maker.status[0]!.connected);
    await world.deliver(shares.slice(1, 2));
    await judged(world);
    expect(world.miner.stats.refused).toEqual({ share_duplicate: 2 });
    expect(world.maker.status[0]!.verifiedWorkHashes).toBe(3n * SHARE.workHashes);
    await world.stop();
  });

  it('the same header as a share of another job', async () => {
    const world = await opened();
    const job = world.job();
    const shares = world.find(job, 2);
    await world.deliver(shares);
    await judged(world);
    const twin = { ...job, id: job.id + 1000, wireId: (job.id + 1000).toString(16) };
    const again = shares.map(({ submission, hash }) => ({
      submission: { ...submission, job: twin },
      hash,
    }));
    await world.deliver(again);
    await judged(world);
    expect(world.miner.stats.refused).toEqual({ share_duplicate: 2 });
    await world.stop();
  });

  it('a hash above its target, and a target above the floor', async () => {
    const world = await opened();
    const job = world.job();
    const harder = shareTargetOf(2 ** -20);
    const good = world.find(job, 4).find(({ hash }) => !meets(hash, 0, harder.words))!;
    await world.deliver([{ ...good, submission: { ...good.submission, assigned: harder } }]);
    await judged(world);
    expect(world.miner.stats.refused).toEqual({ share_low: 1 });
    const easier = shareTargetOf(2 ** -29);
    await world.deliver(world.find(job, 1, easier));
    await judged(world);
    expect(world.miner.stats.refused).toEqual({ share_low: 2 });
    expect(world.maker.status[0]!.verifiedWorkHashes).toBe(0n);
    await world.stop();
  });

  it('another difficulty than the agreed one, where the maker asks for a fixed one', async () => {
    const world = await opened({ maker: { verification: { fixedTarget: true } } });
    const job = world.job();
    await world.deliver(world.find(job, 2));
    await world.deliver(world.find(job, 1, shareTargetOf(2 ** -27)));
    await judged(world);
    expect(world.miner.stats.refused).toEqual({ share_low: 1 });
    expect(world.maker.status[0]!.verifiedWorkHashes).toBe(2n * SHARE.workHashes);
    await world.stop();
  });

  it('work on a block that was replaced longer ago than the grace', async () => {
    const world = await opened({ terms: { staleGraceSeconds: 0 } });
    const job = world.job();
    const shares = world.find(job, 3);
    await world.deliver(shares.slice(0, 1));
    await judged(world);
    world.chain.generate(1);
    await world.rest();
    await world.deliver(shares.slice(1));
    await judged(world);
    const { refused, verifiedWorkHashes } = world.maker.status[0]!;
    // So soon the block may have been the miner's tip still.
    expect(refused).toEqual({ stale_race: 2 });
    expect(verifiedWorkHashes).toBe(SHARE.workHashes);
    await world.stop();
  });

  it('within the grace such work is paid', async () => {
    const world = await opened();
    const shares = world.find(world.job(), 2);
    world.chain.generate(1);
    await world.deliver(shares);
    await judged(world);
    expect(world.maker.status[0]).toMatchObject({ refused: {}, sharesCredited: 2 });
    await world.stop();
  });

  it('a job that pays someone else, and one whose extranonce is not in the script', async () => {
    const world = await opened();
    await world.deliver(world.find(world.job({ payScriptHex: `0014${'cd'.repeat(20)}` }), 1));
    await judged(world);
    expect(world.miner.stats.refused).toEqual({ share_unbound: 1 });
    const job = world.job();
    const all = new Uint8Array([...job.coinb1, ...new Uint8Array(8), ...job.coinb2]);
    const at = all.length - 40;
    const moved = { ...job, coinb1: all.slice(0, at), coinb2: all.slice(at + 8) };
    await world.deliver(world.find(moved, 1));
    await judged(world);
    expect(world.miner.stats.refused).toEqual({ share_unbound: 1, share_bad: 1 });
    expect(world.maker.status[0]!.verifiedWorkHashes).toBe(0n);
    await world.stop();
  });

  it('a time or a version outside its window', async () => {
    const world = await opened();
    const [one, two] = world.find(world.job(), 2);
    await world.deliver([
      { ...one!, submission: { ...one!.submission, ntime: one!.submission.ntime + 8000 } },
      { ...two!, submission: { ...two!.submission, version: one!.submission.version ^ 1 } },
    ]);
    await judged(world);
    expect(world.miner.stats.refused).toEqual({ bad_ntime: 1, share_bad: 1 });
    await world.stop();
  });

  it('everything beyond the total of the contract; the last state is for the total', async () => {
    const world = await opened({ terms: { workTotalHashes: 6n * SHARE.workHashes - 5n } });
    await world.deliver(world.find(world.job(), 8));
    await until('closing', () => world.miner.status.channel === 'closing');
    expect(world.maker.status[0]!.refused).toEqual({ over_budget: 2 });
    expect(world.miner.status.signed).toMatchObject({ workHashes: world.terms.workTotalHashes });
    expect(world.miner.status.live).toBe(false);
    await world.stop();
  });
});

describe('terms the maker does not take', () => {
  it('are refused before anything is signed', async () => {
    const world = new World({ policy: { maxBudgetSat: 1n } });
    await world.startMaker();
    await world.startMiner();
    await until('refused', () => world.miner.status.lastError === 'bad_terms');
    expect(world.maker.status).toEqual([]);
    expect(await world.makerStore.list('contract')).toEqual([]);
    await world.stop();
  });
});

describe('the reasons of a maker', () => {
  it('are counted by codes that there are, however many words it has', async () => {
    const world = await opened();
    await world.maker.close();
    await world.deliver(world.find(world.job(), 2));
    const word = (at: number): string => `reason_${'x'.repeat(at % 30)}${'y'.repeat(Math.floor(at / 30))}`;
    const codes = [
      'share_low',
      '__proto__',
      'constructor',
      ...Array.from({ length: 90 }, (_, at) => word(at)),
    ];
    const { contractId } = world;
    let peer: RpcPeer | undefined;
    const stop = await serveAsMaker(
      world,
      {
        'channel.reestablish': handler('channel.reestablish', async ({ n, nextSeq }) => {
          const txid = world.miner.status.fundingTxid!;
          setImmediate(() => {
            call(peer!, 'channel.ready', { contractId, txid, height: 0 }).catch(() => {});
          });
          return { n, state: undefined, nextSeq, verifiedWork: 0n };
        }),
        'job.announce': async () => ({}),
        'work.batch': handler('work.batch', async ({ firstSeq, shares }) => {
          const refused = codes.map((code) => ({ seq: firstSeq, code }));
          return { nextSeq: firstSeq + shares.length, verifiedWork: 0n, refused };
        }),
      },
      (each) => {
        peer = each;
      },
    );
    await world.restartMiner();
    await until('judged', () => world.miner.stats.batchesJudged > 0);
    expect(world.miner.stats.refused).toEqual({ share_low: 1, protocol: codes.length - 1 });
    await world.stop();
    await stop();
  });
});

import { codeOf } from '../../../src/base/errors.ts';
import { displayHash } from '../../../src/bitcoin/header.ts';
import type { UpstreamJob } from '../../../src/jobs/job.ts';
import type { FarmChanges } from '../farm.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BY_WORK, MARGINS } from '../terms.ts';
import type { WorldOptions } from '../world-options.ts';
import { alterLines, type Message, paid, rob } from './tools.ts';

/** Links that break, and lines that come late, at the moments that count for jobs and for a close. */

const given = (): WorldOptions => ({ termsV3: { binding: BY_WORK } });

const NO_BLOCK = new Uint8Array(32);

/** Above the ids of a maker's own requests. */
const OUT_OF_TURN = 900_000_000;

/** Line by line and write by write, until something holds; false where nothing is left to happen. */
async function flowUntil({ world }: Stage, holds: () => boolean): Promise<boolean> {
  for (let step = 0; step < 2_000; step += 1) {
    let any = false;
    for (const side of ['miner', 'maker'] as const) {
      await world.time.settle();
      if (holds()) return true;
      if (world.network.deliver(side, 0)) any = true;
      await world.time.settle();
      if (holds()) return true;
      if (await world.disks[side].write()) any = true;
      if (world.disks[side].answer()) any = true;
    }
    if (!any) return false;
  }
  return false;
}

/** The same, and time passes where nothing else does. */
async function waitFor(stage: Stage, holds: () => boolean): Promise<boolean> {
  for (let round = 0; round < 60; round += 1) {
    if (await flowUntil(stage, holds)) return true;
    stage.world.network.breakHalfOpen();
    await stage.world.time.advance(250);
  }
  return false;
}

const isCrashing = (stage: Stage): boolean => stage.dies('miner') || stage.dies('maker');

/** Both lose the link. */
async function drop({ world }: Stage): Promise<void> {
  world.network.cut(0, ['miner', 'maker']);
  await world.time.settle();
}

/** The maker gives what the terms allow: none of it is refused. */
function noJobRefused(stage: Stage): void {
  for (const [reason, count] of Object.entries(stage.world.miner?.work?.status.refused_jobs ?? {}))
    if (count > 0) stage.find('a job of an honest maker is refused', reason);
}

export const BY_LINKS: Readonly<Record<string, Strategy>> = {
  'drops-twice': {
    what: 'both are honest, and each link that follows a lost one is lost before the maker gives its jobs again',
    row: 'F20',
    hostile: [],
    options: given,
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 1);
      for (let time = 0; time < 3; time += 1) {
        await drop(stage);
        const work = world.miner?.work;
        if (await waitFor(stage, () => work?.health.isUp === true)) await drop(stage);
        await stage.rounds(8);
        if (!isCrashing(stage) && work?.lastJob === undefined)
          stage.find(
            'a maker that is there again has its jobs mined by nobody',
            work?.status.down_reason ?? '',
          );
        await stage.pay(1);
      }
      await stage.liveOut();
    },
    step: noJobRefused,
  },
  'revives-withdrawn': {
    what: 'the maker withdraws a job after a lost link, and gives it again unchanged',
    row: 'F20',
    hostile: ['maker'],
    options: given,
    begin: (stage) => {
      const { world } = stage;
      const isOver = (): boolean => stage.marks.has('over');
      let first: Message | undefined;
      const revive = (): void => {
        const ids = [(first?.params?.['job'] as { readonly id: unknown } | undefined)?.id];
        const { job: _job, ...own } = first?.params ?? {};
        const lines = [
          { ...first, id: OUT_OF_TURN, method: 'work.gone', params: { ...own, ids } },
          { ...first, id: OUT_OF_TURN + 1 },
        ];
        for (const line of lines) world.network.inject('maker', JSON.stringify(line));
      };
      alterLines(
        world,
        ({ about, message }) => {
          if (about !== 'work.job' || message.method === undefined) return [message];
          first ??= message;
          if (!isOver()) return [message];
          // In the place of what it gives.
          revive();
          return [];
        },
        ({ message }) => (Number(message.id) >= OUT_OF_TURN ? [] : [message]),
      );
    },
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 1);
      const ownHashes = (): bigint => world.miner?.status.ownWorkHashes ?? 0n;
      stage.marks.set('over', stage.height);
      await drop(stage);
      await stage.rounds(8);
      const before = ownHashes();
      await stage.pay(2);
      if (ownHashes() > before)
        stage.find('a job that was withdrawn is mined again', `${ownHashes() - before} hashes`);
      await stage.liveOut();
    },
    step: (stage) => rob(stage),
  },
  'slow-pool': {
    what: 'both are honest, and the pool of the maker says nothing of blocks, which come in less than half of the grace',
    row: 'F20',
    hostile: [],
    options: given,
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 1);
      world.pool!.giveJob = () => {};
      const halfMs = (world.terms.staleGraceSeconds * 1_000) / 2;
      const { monotonicMs } = world.time.clock;
      const replacedAtMs = new Map<string, number>();
      for (let block = 0; block < 4; block += 1) {
        replacedAtMs.set(world.chain.tip().hash, monotonicMs());
        world.chain.generate(1);
        const nextMs = monotonicMs() + (halfMs * (2 + stage.random.below(2))) / 4;
        while (monotonicMs() < nextMs) {
          world.work(1);
          await world.time.advance(5_000);
          await stage.round();
          const job = world.miner?.work?.lastJob;
          const sinceMs = job && replacedAtMs.get(displayHash(job.prevHash));
          const agedMs = monotonicMs() - (sinceMs ?? monotonicMs());
          if (agedMs > halfMs + 10_000)
            stage.find(
              'a job is mined past half of the grace',
              `${agedMs} ms after its block was replaced`,
            );
        }
      }
      await stage.liveOut();
    },
  },
  'pool-comes-back': {
    what: 'both are honest, and the pool of the maker goes and comes back with the very work it gave before',
    row: 'F20',
    hostile: [],
    options: given,
    begin: ({ world }) => {
      let first: UpstreamJob | undefined;
      world.pool!.change = (job) => {
        const isOther = displayHash(first?.prevHash ?? NO_BLOCK) !== displayHash(job.prevHash);
        first = isOther ? job : first!;
        return first;
      };
      // Machines count from the start for each job.
      const before = new Map<unknown, number>();
      const share: NonNullable<FarmChanges['share']> = ({ job, nonce, ...rest }) => {
        before.set(job, before.get(job) ?? nonce - 1);
        return { ...rest, job, nonce: nonce - before.get(job)! };
      };
      world.farm.changes = { share };
    },
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 1);
      for (let time = 0; time < 4; time += 1) {
        world.pool!.setUp(false);
        await stage.rounds(2);
        world.pool!.setUp(true);
        await world.time.advance(2_000);
        await stage.rounds(2);
        await stage.pay(1);
      }
      const twice = world.miner?.stats.refused['share_duplicate'] ?? 0;
      if (twice > 0 && !isCrashing(stage)) stage.find('work is mined twice', `${twice} shares`);
      await stage.liveOut();
    },
  },
  'close-answered-late': {
    what: 'both are honest, and blocks confirm a close before the answer of the maker is with the miner',
    row: 'table: a close together',
    hostile: [],
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 1 + stage.random.below(3));
      const { miner } = world;
      if (miner === undefined) return stage.liveOut();
      let told = 'nothing';
      miner.closeNow().then(
        () => {
          told = 'closed';
        },
        (error: unknown) => {
          told = codeOf(error) ?? String(error);
        },
      );
      await waitFor(stage, () => world.chain.mempoolSize > 0);
      for (let block = 0; block < MARGINS.finalDepth + 1; block += 1) {
        world.chain.generate(1);
        for (let write = 0; write < 20; write += 1) {
          await world.time.settle();
          await world.disks.miner.write();
          world.disks.miner.answer();
        }
      }
      await stage.liveOut();
      if (told !== 'closed' && !isCrashing(stage))
        stage.find('a close that went well is told as another', told);
    },
  },
};

import { CodedError } from '../../../src/base/errors.ts';
import type { NoticeRequest } from '../../../src/settlement/notice-board.ts';
import type { Side } from '../network.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import type { WorldOptions } from '../world-options.ts';
import { agreedAt, closedEarly, DUE_SHARES, due, MADE_UP_SHARES, minutes } from './terms.ts';
import { paid, paidInFull } from './tools.ts';

/** What a side of a running contract says beyond its terms: pauses, notice of the end, a void. */

const CURTAILED_BLOCKS = 6;
const NOTICE_BLOCKS = 5;

/** As many rounds as an answer of the other side takes. */
const ANSWER_ROUNDS = 6;

/** Asks for it, once more where a process was killed meanwhile; true once it was taken. */
export async function noticed(stage: Stage, side: Side, request: NoticeRequest): Promise<boolean> {
  const { world } = stage;
  for (let time = 0; time < 4; time += 1) {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const said = (error: unknown): void => {
      if (!(error instanceof CodedError)) world.fail(error);
      resolve(false);
    };
    const asked =
      side === 'miner'
        ? world.miner?.notice(request, false)
        : world.maker?.notice(world.contractId, request, false);
    asked?.then(() => resolve(true), said);
    let isTaken: boolean | undefined;
    void promise.then((taken) => {
      isTaken = taken;
    });
    await stage.rounds(ANSWER_ROUNDS);
    if (isTaken === true) return true;
  }
  return false;
}

const dueWithPauses = (): WorldOptions => {
  const usual = due();
  const delivery = { ...usual.termsV3!.delivery!, curtailmentBlocks: CURTAILED_BLOCKS };
  return { ...usual, termsV3: { ...usual.termsV3, delivery } };
};

const endable = (staked: boolean): WorldOptions => ({
  staked,
  termsV3: { end: { cancelFeePpm: 0, noticeBlocks: NOTICE_BLOCKS } },
  policy: (usual) => ({ ...usual, minNoticeBlocks: NOTICE_BLOCKS }),
});

async function killOne({ world, random }: Stage): Promise<void> {
  if (random.below(2) === 0) await world.kill(random.below(2) === 0 ? 'miner' : 'maker', 0);
}

export const BY_NOTICE: Readonly<Record<string, Strategy>> = {
  'pauses-by-notice': {
    what: 'the miner pauses by notice for longer than a cure, whoever is killed, and is in no default',
    row: 'terms: curtailment',
    hostile: [],
    options: dueWithPauses,
    play: async (stage) => {
      const { world } = stage;
      await stage.open();
      await minutes(stage, 6, DUE_SHARES + MADE_UP_SHARES);
      await noticed(stage, 'miner', { type: 'pause', reason: 'curtailment', blocks: CURTAILED_BLOCKS });
      if (world.miner === undefined) await stage.rounds(ANSWER_ROUNDS);
      const { fromHeight = 0, untilHeight = 0 } = world.miner?.status.notices.pauses.miner ?? {};
      while (stage.height < fromHeight) await minutes(stage, 5, DUE_SHARES + MADE_UP_SHARES);
      await killOne(stage);
      await minutes(stage, 1, 0);
      if (world.miner?.status.live === true) stage.find('a pause is no pause', String(stage.height));
      while (stage.height < untilHeight) await minutes(stage, 5, 0);
      await minutes(stage, 8, DUE_SHARES + MADE_UP_SHARES);
      if (agreedAt(stage).some((status) => status !== 'live' && status !== 'suspect'))
        stage.find('a pause by notice is a default', String(agreedAt(stage)));
      await stage.liveOut();
    },
    judge: paidInFull,
  },
  'maker-pauses': {
    what: 'the maker pauses and resumes, whoever is killed: the hashrate goes, and comes back',
    row: 'terms: pauses',
    hostile: [],
    options: () => ({}),
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 2);
      await noticed(stage, 'maker', { type: 'pause', reason: 'pool_down' });
      await killOne(stage);
      await stage.rounds(ANSWER_ROUNDS);
      if (world.miner?.status.live === true) stage.find('a pause is no pause', 'of the maker');
      await noticed(stage, 'maker', { type: 'resume' });
      await killOne(stage);
      await stage.rounds(ANSWER_ROUNDS);
      if (world.miner?.status.live !== true) stage.find('a pause that has no end', 'of the maker');
      await stage.pay(2);
      await stage.liveOut();
    },
    judge: paidInFull,
  },
  'ends-by-notice': {
    what: 'either side gives notice, whoever is killed: the contract ends then, with the bonds back',
    row: 'terms: end',
    hostile: [],
    options: (random) => endable(random.below(2) === 0),
    play: async (stage) => {
      const { world, random } = stage;
      const by = random.below(2) === 0 ? 'miner' : 'maker';
      await paid(stage, 2);
      if (!(await noticed(stage, by, { type: 'end' }))) stage.find('no notice is taken', by);
      await killOne(stage);
      for (let block = 0; block < NOTICE_BLOCKS + 3; block += 1) {
        world.work(1 + random.below(4));
        await stage.rounds(1);
        await stage.block();
      }
      await stage.rounds(8);
      await stage.liveOut();
    },
    judge: (stage, books) => [...paidInFull(stage, books), ...closedEarly(stage, books)],
  },
  'gives-up': {
    what: 'either side voids the contract, whoever is killed: it ends, and no debt is erased',
    row: 'terms: void',
    hostile: [],
    options: () => ({}),
    play: async (stage) => {
      const { random } = stage;
      const by = random.below(2) === 0 ? 'miner' : 'maker';
      await paid(stage, 2);
      stage.world.work(3);
      await noticed(stage, by, { type: 'void' });
      await killOne(stage);
      await stage.rounds(ANSWER_ROUNDS);
      if (stage.world.miner?.status.live === true && by === 'miner') stage.find('a void is undone', by);
      await stage.blocks(4);
      await stage.liveOut();
    },
    judge: (stage, books) => [...paidInFull(stage, books), ...closedEarly(stage, books)],
  },
};

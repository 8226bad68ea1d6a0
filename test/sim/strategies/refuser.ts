import type { ErrorCode } from '../../../src/base/errors.ts';
import { commitmentRecordCodec } from '../../../src/peer/commitment-codecs.ts';
import { codecsOf } from '../../../src/peer/messages.ts';
import { COMMITMENT_KIND } from '../../../src/settlement/records.ts';
import { ShareRows } from '../../../src/work/share-rows.ts';
import { type FarmBlock, SHARE } from '../farm.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import type { WorldOptions } from '../world-options.ts';
import { RefusedLog } from './refused-log.ts';
import { type Alter, alterHeard, alterLines, type Message, paramsOf, rob } from './tools.ts';

const hostile = ['maker'] as const;
const step = (stage: Stage): Promise<void> => rob(stage);

/** A batch as the maker hears it. */
type Batch = { readonly firstSeq: number; readonly count: number };

/**
 * The maker hears no batch, and answers each with refusals alone, by this code; or not at all. It pays
 * nothing.
 */
export function refusing(stage: Stage, codeOf: (seq: number) => ErrorCode | undefined): void {
  const { network } = stage.world;
  const codec = codecsOf('work.batch');
  const answer = ({ firstSeq, count }: Batch): unknown => {
    const refused = Array.from({ length: count }, (_, at) => {
      const seq = firstSeq + at;
      return { seq, code: codeOf(seq) };
    });
    if (refused.some(({ code }) => code === undefined)) return undefined;
    const codes = refused as { seq: number; code: ErrorCode }[];
    return codec.result.print({ nextSeq: firstSeq + count, verifiedWork: 0n, refused: codes });
  };
  stage.world.tapIn = ({ link, text }) => {
    const { id, method, params } = JSON.parse(text) as Message;
    if (method !== 'work.batch') return [text];
    const { firstSeq, shares } = codec.params.parse(params);
    const result = answer({ firstSeq, count: shares.length });
    if (result !== undefined) network.inject('maker', JSON.stringify({ jsonrpc: '2.0', id, result }), link);
    return [];
  };
}

/** Work on a block, as much as the miner sells, again and again. */
async function sell(stage: Stage, times: number, block: FarmBlock = 'tip'): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    stage.world.work(4, block);
    await stage.rounds(1);
  }
}

const HOUR_MS = 3_600_000;
/** Of the work that may fall between two views of a block, in the one contract that is about that. */
const RACE_PPM = 200_000;
const SOLD_AT_THE_EDGE = 60;

const racing = (): WorldOptions => ({
  terms: { workTotalHashes: 400n * SHARE.workHashes, budgetSat: 1_000_000n },
  termsV3: { staleRaceAllowancePpm: RACE_PPM },
});

const RACES = new WeakMap<Stage, RefusedLog>();

/**
 * The maker refuses this part of the work and not a share more, says and signs that it was a race, and signs
 * no more in the end.
 */
function refuseAsRaces(stage: Stage, ppm: number): void {
  const { world } = stage;
  const log = new RefusedLog('stale_race');
  RACES.set(stage, log);
  let [seen, refused] = [0, 0];
  const hear: Alter = ({ about, message }) => {
    if (about !== 'work.batch' || message.params === undefined) return [log.hear(about, message)];
    const codec = codecsOf('work.batch').params;
    const batch = codec.parse(message.params);
    const shares = batch.shares.shares().map((share, at) => {
      seen += 1;
      if ((refused + 1) * 1_000_000 > seen * ppm) return share;
      refused += 1;
      log.refuse(batch.firstSeq + at, share);
      return { ...share, ntime: share.ntime + 100_000 };
    });
    return [{ ...message, params: codec.print({ ...batch, shares: ShareRows.of(shares) }) }];
  };
  const say: Alter = ({ about, message }) => {
    if (about === 'state.sign' && seen > SOLD_AT_THE_EDGE) return [];
    if (about === 'state.sign') return [log.say(message)];
    if (about !== 'work.batch' || message.result === undefined) return [message];
    const codec = codecsOf('work.batch').result;
    const answer = codec.parse(message.result);
    const races = answer.refused.map((each) => ({ ...each, code: 'stale_race' as const }));
    return [{ ...message, result: codec.print({ ...answer, refused: races }) }];
  };
  alterLines(world, say, hear);
}

/** Sells until the maker signs no more, or so often. The miner signs for the refusals that it can check. */
async function sellToRaces(stage: Stage, times: number): Promise<void> {
  const log = RACES.get(stage)!;
  const isOpen = await stage.open();
  log.params = await paramsOf(stage.world);
  if (!isOpen) return;
  await sell(stage, times);
  if (log.signedFaults === 0) stage.find('the miner signs for no refusal', `of ${times} batches`);
}

/** The maker hears every fourth share as one that is none. */
function spoilEvery4th(): Alter {
  return ({ about, message }) => {
    if (about !== 'work.batch' || message.params === undefined) return [message];
    const codec = codecsOf('work.batch').params;
    const batch = codec.parse(message.params);
    const shares = batch.shares.shares().map((share, at) => {
      return (batch.firstSeq + at) % 4 === 1 ? { ...share, version: share.version ^ 1 } : share;
    });
    return [{ ...message, params: codec.print({ ...batch, shares: ShareRows.of(shares) }) }];
  };
}

/** What the miner signed has no fault: the log has other shares than those that were refused. */
async function findSignedFaults(stage: Stage): Promise<void> {
  const { world } = stage;
  const documents = await world.disks.miner.store.list(COMMITMENT_KIND, `${world.contractId}:`);
  for (const { body } of documents) {
    const { n, faults = [], minerSignature } = commitmentRecordCodec.parse(JSON.parse(body));
    if (minerSignature !== undefined && faults.length > 0)
      stage.find('the miner signed for refusals of other shares than its own', `commitment ${n}`);
  }
}

/** The maker refuses work for reasons that it invents, or brings about. */
export const BY_REFUSER: Readonly<Record<string, Strategy>> = {
  'refuses-everything': {
    what: 'the maker refuses all work',
    row: 'F10',
    hostile,
    begin: (stage) =>
      alterHeard(stage.world, ({ about, message }) => {
        if (about !== 'work.batch' || message.params === undefined) return [message];
        const codec = codecsOf('work.batch').params;
        const batch = codec.parse(message.params);
        const shares = batch.shares.shares().map((share) => ({ ...share, ntime: share.ntime + 100_000 }));
        return [{ ...message, params: codec.print({ ...batch, shares: ShareRows.of(shares) }) }];
      }),
    play: async (stage) => {
      if (await stage.open()) await stage.pay(8);
      await stage.liveOut();
    },
    step,
  },
  'says-complete': {
    what: 'the maker refuses work as beyond the total, which it says is reached, and at once that it is not',
    row: 'F10',
    hostile,
    options: () => ({ terms: { workTotalHashes: 400n * SHARE.workHashes, budgetSat: 1_000_000n } }),
    begin: (stage) => {
      let from = 0;
      let held: Message | undefined;
      alterLines(stage.world, ({ about, message }) => {
        if (about === 'state.sign' && message.method !== undefined) return [];
        if (about !== 'work.batch' || message.result === undefined) return [message];
        const codec = codecsOf('work.batch').result;
        const { nextSeq } = codec.parse(message.result);
        const count = Math.max(0, nextSeq - from);
        const refused = Array.from({ length: count }, (_, at) => ({ seq: from + at, code: 'over_budget' }));
        from += count;
        const verifiedWork = held === undefined ? stage.world.terms.workTotalHashes : 0n;
        const result = {
          ...message.result,
          ...(codec.print({ nextSeq, verifiedWork, refused }) as object),
        };
        const answer: Message = { ...message, result };
        const before = held;
        held = before === undefined ? answer : undefined;
        return before === undefined ? [] : [before, answer];
      });
    },
    play: async (stage) => {
      const isOpen = await stage.open();
      for (let pair = 0; isOpen && pair < 12; pair += 1) {
        for (const count of [5, 1]) {
          stage.world.work(count);
          await stage.rounds(1);
        }
      }
      await stage.liveOut();
    },
    step,
  },
  'lets-wait': {
    what: 'the maker answers no batch for longer than a backlog may be, and then refuses all of it as stale',
    row: 'F10',
    hostile,
    begin: (stage) => refusing(stage, () => (stage.marks.get('silent') === 1 ? undefined : 'share_stale')),
    play: async (stage) => {
      const isOpen = await stage.open();
      for (let time = 0; isOpen && time < 2; time += 1) {
        stage.marks.set('silent', 1);
        await sell(stage, 4);
        await stage.world.time.advance(6 * HOUR_MS + 1_000);
        stage.marks.set('silent', 0);
        await stage.rounds(12);
      }
      await stage.liveOut();
    },
    step,
  },
  'asks-again': {
    what: 'the maker asks for a share that came late again and again, and each time has its reason once more',
    row: 'F10',
    hostile,
    begin: (stage) => refusing(stage, (seq) => (seq < 1 ? 'share_stale' : 'share_low')),
    play: async (stage) => {
      const { world } = stage;
      if (!(await stage.open())) return stage.liveOut();
      // A job of before, found after the grace of its block.
      world.farm.find(1);
      await stage.block();
      world.farm.find(1);
      await world.time.advance(2 * world.terms.staleGraceSeconds * 1_000);
      world.work(1, 'before');
      await stage.rounds(4);
      for (let time = 0; time < 12; time += 1) {
        world.network.cut(0, ['miner', 'maker']);
        await stage.rounds(8);
        await sell(stage, 1);
      }
      await stage.liveOut();
    },
    step,
  },
  'secret-block': {
    what: 'the maker serves jobs on a block that it shows to nobody, and refuses the work as a race',
    row: 'F10',
    hostile,
    begin: (stage) => refusing(stage, () => 'stale_race'),
    play: async (stage) => {
      if (await stage.open()) await sell(stage, 12, 'secret');
      await stage.liveOut();
    },
    step,
  },
  'races-at-the-edge': {
    what: 'the maker refuses as a race as much as the terms allow and not a share more, then signs no more',
    row: 'F10',
    hostile,
    options: racing,
    begin: (stage) => refuseAsRaces(stage, RACE_PPM),
    play: async (stage) => {
      await sellToRaces(stage, 30);
      const delivered = stage.world.miner?.status.ownWorkHashes ?? 0n;
      if (delivered <= BigInt(SOLD_AT_THE_EDGE) * SHARE.workHashes)
        stage.find('what the terms allow ends the sale', `after ${delivered} hashes`);
      await stage.liveOut();
    },
    step,
  },
  'races-beyond-the-edge': {
    what: 'the maker refuses as a race twice as much as the terms allow',
    row: 'F10',
    hostile,
    options: racing,
    begin: (stage) => refuseAsRaces(stage, 2 * RACE_PPM),
    play: async (stage) => {
      await sellToRaces(stage, 40);
      await stage.liveOut();
    },
    step,
  },
  'denies-refusals': {
    what: 'the maker refuses good work, and commits to having refused other work in its place',
    row: 'F10',
    hostile,
    options: racing,
    begin: (stage) => alterHeard(stage.world, spoilEvery4th()),
    play: async (stage) => {
      if (await stage.open()) await sell(stage, 12);
      await stage.liveOut();
      await findSignedFaults(stage);
    },
    step,
  },
  'serves-unbound-jobs': {
    what: 'the maker serves jobs that pay another script of its own, and refuses the work for that',
    row: 'F10',
    hostile,
    options: () => ({ farm: 'elsewhere_paying' }),
    play: async (stage) => {
      if (await stage.open()) await sell(stage, 12);
      await stage.liveOut();
    },
    step,
  },
};

import { CodedError } from '../../../src/base/errors.ts';
import { owedSat } from '../../../src/base/units.ts';
import { contractIdOf, type TermsV3 } from '../../../src/contract/terms.ts';
import { fixedPriceMsatPerEh } from '../../../src/contract/terms-access.ts';
import { Successions } from '../../../src/daemon/successions.ts';
import { silentLogger } from '../../../src/log/logger.ts';
import type { MinerContract } from '../../../src/miner/miner-contract.ts';
import { assembleChannel } from '../../../src/settlement/opening.ts';
import { loadContract } from '../../../src/settlement/records.ts';
import type { Books, Finding } from '../audit.ts';
import { Farm, SHARE } from '../farm.ts';
import type { Side } from '../network.ts';
import { hashesOf } from '../outcome.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { MAKER_COINS_SAT, MINER_COIN_SAT, type SimWorld, WALLETS } from '../world.ts';
import type { WorldOptions } from '../world-options.ts';
import { alterLines, rob } from './tools.ts';

/** A contract that follows another: a top-up, and a withdrawal or refund after which it goes on. */

const SIDES = ['miner', 'maker'] as const;
/** Unpaid pay of both contracts of the miner together: of three steps, where each may have two. */
const MOST_UNPAID_SAT = 24_000n;
/** Of the job ids of what follows. */
const LATER_RUN = 1_000;
/** Blocks after an expiry at which all that was locked is free. */
const FREE_BLOCKS = 10;

const followed = (): WorldOptions => ({
  exposureTotal: MOST_UNPAID_SAT,
  policy: (usual) => ({ ...usual, maxOpenContractsPerMiner: 2 }),
});

/** The line of the miner's contracts, of each of its processes anew: whoever is delivered to. */
class Line {
  readonly #stage: Stage;
  #successions: Successions | undefined;
  #miner: MinerContract | undefined;
  #farm: Farm | undefined;
  #isNextThere = false;

  constructor(stage: Stage) {
    this.#stage = stage;
    stage.world.onStatus = (contractId) => this.#successions?.seen(contractId);
  }

  get #terms(): TermsV3 | undefined {
    return this.#stage.world.followers[0] as TermsV3 | undefined;
  }

  /** Begins anew with a process. */
  follow(): void {
    const { world } = this.#stage;
    const { miner } = world;
    if (miner === this.#miner) {
      this.#addNext();
      return;
    }
    this.#successions?.stop();
    this.#successions = undefined;
    this.#miner = miner;
    this.#farm = undefined;
    if (miner === undefined) return;
    const { clock, timers } = world.time;
    const successions = new Successions({
      ...{ chain: world.nodes.miner.connect(() => world.miner !== miner), clock, timers },
      ...{ random: { bytes: (size) => this.#stage.random.bytes(size) }, log: silentLogger },
      // It is proposed by the contract itself, as one of a configuration is.
      propose: async () => {},
      add: async ({ terms, line }) => {
        this.#stage.marks.set('takes over', line?.takesOver === true ? 1 : 0);
        await world.take(terms);
        this.#addNext();
      },
      onMoved: (contractId) => {
        const channel = world.contractOf(contractId)?.status.channel;
        if (channel !== 'open') this.#stage.find('it goes on with what is not open', String(channel));
        this.#stage.marks.set('moved', this.#stage.height);
      },
    });
    this.#successions = successions;
    this.#isNextThere = false;
    this.#add(world.terms as TermsV3, 0);
    this.#addNext();
    successions.begin();
  }

  /** Once it is served. */
  #addNext(): void {
    if (this.#terms !== undefined && !this.#isNextThere) this.#isNextThere = this.#add(this.#terms, 1);
  }

  #add(terms: TermsV3, index: number): boolean {
    const contractId = contractIdOf(terms);
    const side = this.#stage.world.contractOf(contractId);
    if (side === undefined || this.#successions === undefined) return false;
    const takesOver = index > 0 && this.#stage.marks.get('takes over') === 1;
    const plan = {
      ...{ maker: { host: 'memory', port: 1 }, payoutScriptHex: WALLETS.miner, returnsBonds: false },
    };
    const item = { name: 'line', index, renews: false, takesOver };
    this.#successions.add({ contractId, name: `line+${index}`, terms, side }, item, plan);
    return true;
  }

  /** Asks for the next: a top-up, or one that takes over. */
  async next(workTotalHashes: bigint | undefined, takesOver: boolean): Promise<void> {
    const { world } = this.#stage;
    this.follow();
    const asked = this.#successions?.follow(world.contractId, { workTotalHashes, takesOver }, false);
    asked?.catch((error: unknown) => {
      if (!(error instanceof CodedError)) world.fail(error);
    });
    await this.#stage.rounds(2);
  }

  /** Hashrate goes to the contract that may have it. */
  work(count: number): void {
    const { world } = this.#stage;
    this.follow();
    const line = this.#successions;
    if (line === undefined) return;
    if (!line.isHeld(world.contractId)) world.work(count);
    const terms = this.#terms;
    const contractId = terms && contractIdOf(terms);
    if (contractId === undefined || line.isHeld(contractId)) return;
    if (world.contractOf(contractId)?.status.live !== true) return;
    this.#farm ??= laterFarm(world, contractId);
    world.deliver(contractId, this.#farm.find(count));
  }

  stop(): void {
    this.#successions?.stop();
  }
}

/** No share of it is one of the contract before. */
function laterFarm({ chain, time }: SimWorld, contractId: string): Farm {
  const firstRun = LATER_RUN + Math.round(time.clock.monotonicMs());
  const deps = { chain, nowMs: time.clock.nowMs, tag: undefined, firstRun };
  const farm = new Farm(contractId, 'honest', deps);
  farm.changes = { job: (job) => ({ ...job, extranonce1: Uint8Array.of(1, 1, 1, 1) }) };
  return farm;
}

async function works(stage: Stage, line: Line, times: number): Promise<void> {
  for (let time = 0; time < times; time += 1) {
    line.work(4);
    await stage.rounds(2);
    const isWaiting = stage.world.chain.mempoolSize > 0;
    if (isWaiting || time % 4 === 3) await stage.block();
  }
}

/** Through the expiry of both. */
async function liveOutBoth(stage: Stage, line: Line): Promise<void> {
  await stage.liveOut();
  const endHeight = Math.max(
    0,
    ...stage.world.followers.map(({ expiryHeight }) => expiryHeight + FREE_BLOCKS),
  );
  while (stage.height < endHeight) {
    line.follow();
    await stage.block();
  }
  await stage.rounds(4);
  line.stop();
}

async function killOne({ world, random }: Stage): Promise<void> {
  if (random.below(3) === 0) await world.kill(random.pick(SIDES), 0);
}

const walletSat = ({ chain }: SimWorld, side: Side): bigint =>
  chain.utxos(WALLETS[side]).reduce((sum, { valueSat }) => sum + valueSat, 0n);

async function worthBothSat(world: SimWorld, side: Side): Promise<bigint> {
  const ids = [world.contractId, ...world.followers.map(contractIdOf)];
  const counts = await Promise.all(ids.map(async (id) => (await hashesOf(world, side, id)).length));
  const shares = BigInt(counts.reduce((sum, count) => sum + count, 0));
  return owedSat(shares * SHARE.workHashes, fixedPriceMsatPerEh(world.terms));
}

/** Each has what both contracts leave it, less what both may owe together; nothing stays locked. */
async function bothJudged({ world }: Stage, { fees }: Books): Promise<readonly Finding[]> {
  const found: Finding[] = [];
  const feesSat = fees.miner + fees.maker;
  if (!world.isHostile('miner')) {
    const lostSat = MINER_COIN_SAT + (await worthBothSat(world, 'miner')) - walletSat(world, 'miner');
    const shareSat = owedSat(SHARE.workHashes, fixedPriceMsatPerEh(world.terms));
    if (lostSat > feesSat + MOST_UNPAID_SAT + shareSat)
      found.push({
        rule: 'the miner lost with both contracts',
        seen: `${lostSat} sat, ${feesSat} of fees`,
      });
  }
  if (!world.isHostile('maker')) {
    const hadSat = MAKER_COINS_SAT.reduce((sum, sat) => sum + sat, 0n);
    const lostSat = hadSat - (await worthBothSat(world, 'maker')) - walletSat(world, 'maker');
    if (lostSat > feesSat)
      found.push({
        rule: 'the maker lost with both contracts',
        seen: `${lostSat} sat, ${feesSat} of fees`,
      });
  }
  for (const terms of world.followers)
    if (await isLocked(world, terms as TermsV3))
      found.push({ rule: 'a contract that follows never ends', seen: `at ${world.chain.height}` });
  return found;
}

async function isLocked(world: SimWorld, terms: TermsV3): Promise<boolean> {
  for (const side of SIDES) {
    const opening = (await loadContract(world.disks[side].store, contractIdOf(terms)))?.opening;
    if (!opening?.accept) continue;
    const { txid, vout } = assembleChannel(terms, opening.open, opening.accept).params.funding;
    return world.chain.coin(txid, vout) !== undefined;
  }
  return false;
}

/** @param parts of the work of the contract before, in quarters */
const follows = (
  what: string,
  hostile: readonly Side[],
  {
    parts,
    takesOver,
    after,
  }: {
    readonly parts: bigint | undefined;
    readonly takesOver: boolean;
    readonly after: (stage: Stage, line: Line) => Promise<void>;
  },
): Strategy => ({
  ...{ what, row: 'successions', hostile, options: followed, unjudged: SIDES, judge: bothJudged },
  step: (stage) => (hostile.includes('maker') ? rob(stage) : undefined),
  play: async (stage) => {
    const line = new Line(stage);
    const work = parts === undefined ? undefined : (parts * stage.world.terms.workTotalHashes) / 4n;
    if (await stage.open()) {
      await works(stage, line, 2);
      await line.next(work, takesOver);
      await after(stage, line);
    }
    await liveOutBoth(stage, line);
  },
});

/** What shows a new state. */
const SIGNED = ['state.sign', 'channel.reestablish'];

/** It signs nothing more that pays or ends anything. */
function paysNoMore({ world }: Stage): void {
  const words: ReadonlySet<string> = new Set([...SIGNED, 'close.sig', 'channel.shutdown']);
  alterLines(world, ({ line, about, message }) =>
    line.from === 'maker' && words.has(about) ? [] : [message],
  );
}

const leftHashes = ({ miner, terms }: SimWorld): bigint =>
  miner === undefined ? terms.workTotalHashes : terms.workTotalHashes - miner.status.ownWorkHashes;

async function bothWork(stage: Stage, line: Line): Promise<void> {
  await works(stage, line, 3);
  await killOne(stage);
  await works(stage, line, 14);
}

export const BY_SUCCESSIONS: Readonly<Record<string, Strategy>> = {
  'tops-up': follows('both are honest: the miner tops up, and goes on when the first is used up', [], {
    ...{ parts: 2n, takesOver: false },
    after: async (stage, line) => {
      await bothWork(stage, line);
      const { world } = stage;
      if (leftHashes(world) > 0n || SIDES.some((side) => stage.dies(side))) return;
      const [next] = world.followers.map(contractIdOf);
      const paid = (await hashesOf(world, 'maker', next)).length;
      if (!stage.marks.has('moved') || paid === 0)
        stage.find('a top-up is not gone on with', `${paid} shares after the first is used up`);
    },
  }),
  'withdraws-and-goes-on': follows('both are honest: the miner has its pay now, and goes on', [], {
    ...{ parts: undefined, takesOver: true },
    after: bothWork,
  }),
  'signs-the-next-and-pays-no-more': follows(
    'the maker signs and opens the next contract first, and then pays for neither',
    ['maker'],
    {
      ...{ parts: 2n, takesOver: false },
      after: async (stage, line) => {
        // It owes as much as it may of this one when the next begins.
        while (leftHashes(stage.world) > 2n * stage.world.terms.stepHashes && stage.left > FREE_BLOCKS)
          await works(stage, line, 1);
        paysNoMore(stage);
        await works(stage, line, 10);
      },
    },
  ),
  'takes-over-and-pays-no-more': follows(
    'the maker signs and opens the contract that takes over, and does not close the one before it',
    ['maker'],
    {
      ...{ parts: 2n, takesOver: true },
      after: async (stage, line) => {
        paysNoMore(stage);
        await works(stage, line, 14);
      },
    },
  ),
  'tops-up-and-does-not-go-on': follows(
    'the miner tops up and delivers nothing more: the money of the maker is free again in time',
    ['miner'],
    { parts: 4n, takesOver: false, after: (stage) => stage.blocks(2) },
  ),
};

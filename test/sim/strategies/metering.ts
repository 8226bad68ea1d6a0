import { signCommitment } from '../../../src/channel/commitment.ts';
import { headOfState } from '../../../src/contract/event-chain.ts';
import { commitmentOfferCodec } from '../../../src/peer/commitment-codecs.ts';
import { type AcceptedShare, shareTargetOf } from '../../../src/shares/share.ts';
import { SHARE } from '../farm.ts';
import { MeteredLife, type Saying } from '../metered-life.ts';
import type { Side } from '../network.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { SIGNERS } from '../terms.ts';
import type { Message } from './tools.ts';

/** Contracts without money (binding `none`): a life of their own, beside the one that the stage has. */

const STEPS = 14;

type Metering = {
  readonly what: string;
  /** What a hostile side says in the place of a line. */
  readonly say?: Saying;
  /** Shares of a turn in the place of new ones. */
  readonly shares?: (life: MeteredLife) => readonly AcceptedShare[];
  /** What befalls the two between steps. */
  readonly befall?: (life: MeteredLife) => Promise<void>;
  /** Work that comes to be signed for, where both are honest. */
  readonly isWhole?: boolean;
};

/** No total that both signed is of more work than was found, and both have the same. */
async function unlikeWork(stage: Stage, life: MeteredLife, before: bigint): Promise<bigint> {
  const [miner, maker] = [await life.signed('miner'), await life.signed('maker')];
  for (const [side, { n, workHashes }] of [
    ['miner', miner],
    ['maker', maker],
  ] as const) {
    if (workHashes > life.foundHashes)
      stage.find(
        'a total is of work that nobody did',
        `${side}, total ${n}: ${workHashes} of ${life.foundHashes}`,
      );
  }
  if (miner.n === maker.n && miner.workHashes !== maker.workHashes)
    stage.find('two totals of one number', `total ${miner.n}: ${miner.workHashes} and ${maker.workHashes}`);
  if (maker.workHashes < before) stage.find('a total went back', `${maker.workHashes} after ${before}`);
  return maker.workHashes;
}

const metered = ({ what, say, shares, befall, isWhole = false }: Metering): Strategy => ({
  what,
  row: 'R8',
  hostile: [],
  play: async (stage) => {
    const life = new MeteredLife(stage.random, say);
    let signed = 0n;
    for (let step = 0; step < STEPS; step += 1) {
      await life.rounds(3);
      life.work(4, shares === undefined ? undefined : () => shares(life));
      await life.rounds(2);
      await befall?.(life);
      signed = await unlikeWork(stage, life, signed);
    }
    await life.rounds(8);
    life.miner?.end();
    await life.rounds(12);
    await unlikeWork(stage, life, signed);
    if (isWhole) await sameEnd(stage, life);
    for (const side of ['miner', 'maker'] as const) await life.kill(side, 0);
    await life.time.settle();
    await stage.liveOut();
  },
});

/** Both ended by the same total, and it is of all work that the maker was given. */
async function sameEnd(stage: Stage, life: MeteredLife): Promise<void> {
  const [miner, maker] = [await life.signed('miner'), await life.signed('maker')];
  const { status, ownWorkHashes = 0n } = life.miner?.status ?? {};
  if (status !== 'ended' || life.atMaker?.status !== 'ended')
    stage.find('a metering did not end', `${status}, ${life.atMaker?.status}`);
  if (miner.n !== maker.n || miner.workHashes === 0n)
    stage.find('the two ended by other totals', `${miner.n} and ${maker.n}`);
  const refused = Object.values(life.miner?.status.refused ?? {}).reduce((sum, count) => sum + count, 0);
  const due = ownWorkHashes - BigInt(refused) * SHARE.workHashes;
  const most = due < life.terms.workTotalHashes ? due : life.terms.workTotalHashes;
  if (maker.workHashes < most)
    stage.find('metered work was not signed for', `${maker.workHashes} of ${most}`);
}

/** The maker signs a total of more than it verified, with the key that it has. */
const more: Saying = (from, text, terms) => {
  const message = JSON.parse(text) as Message;
  if (from !== 'maker' || message.method !== 'meter.sign') return [text];
  const params = message.params!;
  const offer = commitmentOfferCodec.parse(params['commitment']);
  const n = Number(params['n']);
  const workHashes = 2n * BigInt(String(params['work']));
  const scope = { contractId: String(params['contract_id']), terms };
  // Of the first total: others build on it.
  const eventsHead = headOfState(scope.contractId, terms, undefined, { n, workHashes });
  const said = { ...offer, ...(offer.eventsHead === undefined ? {} : { eventsHead }) };
  const signature = signCommitment(scope, { ...said, n, workHashes }, SIGNERS.maker);
  const commitment = commitmentOfferCodec.print({ ...said, signature });
  return [JSON.stringify({ ...message, params: { ...params, work: workHashes.toString(), commitment } })];
};

const falls = async (life: MeteredLife): Promise<void> => {
  const { random } = life;
  const side: Side = random.once(2) ? 'miner' : 'maker';
  if (random.once(3)) await life.kill(side, random.below(3));
  if (random.once(4)) life.network.cut(0, random.once(2) ? ['miner', 'maker'] : [side]);
  if (random.once(3)) life.chain.generate(1);
};

export const METERED: Readonly<Record<string, Strategy>> = {
  'meters-work': metered({
    what: 'work is metered without money between two who are honest',
    isWhole: true,
  }),
  'meters-work-over-falls': metered({
    what: 'work is metered without money, and both die and lose the line time and again',
    befall: falls,
    isWhole: true,
  }),
  'meters-more': metered({ what: 'the maker of a metering signs totals of twice the work', say: more }),
  'meters-again': metered({
    what: 'the miner of a metering delivers each share twice',
    shares: (life) => [...life.farm.find(2), ...life.farm.found.slice(-2)],
  }),
  'meters-harder': metered({
    what: 'the miner of a metering says that its shares were assigned a harder target',
    shares: (life) =>
      life.farm.find(4).map(({ submission, hash }) => {
        return { submission: { ...submission, assigned: shareTargetOf(2 ** -27) }, hash };
      }),
  }),
};

import { equal, toHex } from '../../../src/base/bytes.ts';
import { signCommitment } from '../../../src/channel/commitment.ts';
import { codecsOf } from '../../../src/peer/messages.ts';
import { loadCommitments } from '../../../src/settlement/commitments.ts';
import { loadDisputed } from '../../../src/settlement/disputed-commitment.ts';
import type { Finding } from '../audit.ts';
import { SHARE } from '../farm.ts';
import { hashesOf } from '../outcome.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { SIGNERS } from '../terms.ts';
import type { WorldOptions } from '../world-options.ts';
import { noticed } from './notices.ts';
import { alterHeard, alterLines, type Message, paid, paidInFull, paramsOf, rob } from './tools.ts';

/** What was said of a contract, which one side hides or has otherwise. */

/** The maker's head of what happened, which is not what did. */
const OTHER_HEAD = new Uint8Array(32).fill(7);
const NOTICE_BLOCKS = 5;

const endable = (): WorldOptions => ({
  termsV3: { end: { cancelFeePpm: 0, noticeBlocks: NOTICE_BLOCKS } },
  policy: (usual) => ({ ...usual, minNoticeBlocks: NOTICE_BLOCKS }),
});

/** From here on the maker commits, with its signature, to a head that follows from no events of theirs. */
async function signOtherHeads({ world, marks }: Stage): Promise<void> {
  const params = await paramsOf(world);
  const { params: codec } = codecsOf('state.sign');
  alterLines(world, ({ line, about, message }) => {
    const isIt = line.from === 'maker' && about === 'state.sign' && message.params !== undefined;
    if (!isIt || params === undefined) return [message];
    const { commitment, ...rest } = codec.parse(message.params);
    if (commitment?.eventsHead === undefined) return [message];
    const { n, workHashes } = rest.state;
    const other = { ...commitment, eventsHead: OTHER_HEAD };
    const signature = signCommitment(params, { ...other, n, workHashes }, SIGNERS.maker);
    marks.set('other head', n);
    const said = codec.print({ ...rest, commitment: { ...other, signature } });
    return [{ ...message, params: said as Record<string, unknown> }];
  });
}

/** The miner signs no such head, keeps what the maker signed, and is paid all the same. */
async function headsJudged(stage: Stage): Promise<readonly Finding[]> {
  const { world, marks } = stage;
  const { store } = world.disks.miner;
  const { base } = await loadCommitments(store, world.contractId, world.rules.ackedN);
  if (base?.eventsHead !== undefined && equal(base.eventsHead, OTHER_HEAD))
    return [{ rule: 'a head of other events is signed', seen: `with state ${base.n}` }];
  const disputed = await loadDisputed(store, world.contractId);
  const head = disputed?.offer.eventsHead;
  // One that a death kept from being told was never judged.
  if (head !== undefined && equal(head, OTHER_HEAD)) return [];
  const isUntold = stage.dies('miner') || !marks.has('other head');
  return isUntold ? [] : [{ rule: 'a head of other events is no proof', seen: toHex(head ?? Buffer.of()) }];
}

/** A side that never hears what the other says of these, and answers as if it had. */
function answersUnheard({ world }: Stage, method: string): void {
  const isIt = (about: string, message: Message): boolean => about === method && message.method === method;
  alterHeard(world, ({ line, about, message }) => {
    if (!isIt(about, message)) return [message];
    const to = line.from === 'maker' ? 'miner' : 'maker';
    world.network.inject(to, JSON.stringify({ jsonrpc: '2.0', id: message.id, result: {} }), line.link);
    return [];
  });
}

export const BY_HEADS: Readonly<Record<string, Strategy>> = {
  'signs-other-events': {
    what: 'the maker commits to a head of events that did not happen, and pays',
    row: 'events: head',
    hostile: ['maker'],
    step: (stage) => rob(stage),
    play: async (stage) => {
      await paid(stage, 1);
      await signOtherHeads(stage);
      await stage.pay(3);
      await stage.liveOut();
    },
    judge: async (stage, books) => [...(await headsJudged(stage)), ...paidInFull(stage, books)],
  },
  'hides-a-notice': {
    what: "the miner answers the maker's notice of the end, does as if it had heard none, and goes on to sell",
    row: 'terms: end',
    hostile: ['miner'],
    options: endable,
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 2);
      answersUnheard(stage, 'contract.end');
      const isTaken = await noticed(stage, 'maker', { type: 'end' });
      await stage.blocks(NOTICE_BLOCKS);
      stage.marks.set('in time', world.farm.found.length);
      for (let time = 0; time < 4; time += 1) {
        world.sell(4);
        await stage.rounds(2);
        await stage.block();
      }
      if (isTaken) await creditedAtMost(stage, stage.marks.get('in time')!);
      await stage.liveOut();
    },
  },
  'denies-a-notice': {
    what: "the maker answers the miner's notice of the end, does as if it had heard none, and asks for work",
    row: 'terms: end',
    hostile: ['maker'],
    options: endable,
    step: (stage) => rob(stage),
    play: async (stage) => {
      const { world } = stage;
      await paid(stage, 2);
      answersUnheard(stage, 'contract.end');
      const isTaken = await noticed(stage, 'miner', { type: 'end' });
      await stage.blocks(NOTICE_BLOCKS + 1);
      await stage.rounds(2);
      if (isTaken && world.miner?.status.live === true)
        stage.find('an end by notice is no end', 'it sells');
      await stage.liveOut();
    },
    judge: paidInFull,
  },
};

async function creditedAtMost(stage: Stage, shares: number): Promise<void> {
  const credited = (await hashesOf(stage.world, 'maker')).length;
  const beyond = BigInt(credited - shares) * SHARE.workHashes;
  if (beyond > 0n) stage.find('work after the end by notice is credited', `${beyond} hashes`);
}

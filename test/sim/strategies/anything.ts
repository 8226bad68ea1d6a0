import { CodedError } from '../../../src/base/errors.ts';
import type { Json } from '../../../src/base/json.ts';
import type { RpcPeer } from '../../../src/peer/rpc-peer.ts';
import { SHARE } from '../farm.ts';
import { otherSide, type Side } from '../network.ts';
import { SeededRandom } from '../random.ts';
import { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { BY_PAYOUT, BY_WORK, SIGNERS } from '../terms.ts';
import { SimWorld } from '../world.ts';
import type { WorldOptions } from '../world-options.ts';
import { noticed } from './notices.ts';
import { connect } from './stranger.ts';
import { due } from './terms.ts';
import { altered, alterLines, type Message, paid, rob, spendTwice } from './tools.ts';
import { confirm, propose, revoke } from './updates.ts';

/**
 * A side that says anything at any time: every message of a whole life of the same contract, with the
 * signatures that its own keys make, in whatever state the contract is.
 */

const SIDES = ['miner', 'maker'] as const;
const NOTICE_BLOCKS = 5;
/** A price that either asks for, and from where on. */
const LOWER = 400_000n * 10n ** 18n;
const LATER_HASHES = 20n * SHARE.workHashes;

const endable = (): WorldOptions => ({
  staked: true,
  termsV3: { end: { cancelFeePpm: 0, noticeBlocks: NOTICE_BLOCKS } },
  policy: (usual) => ({ ...usual, minNoticeBlocks: NOTICE_BLOCKS }),
});

/** Contracts of which each has messages that the others do not have. */
const KINDS: readonly (() => WorldOptions)[] = [
  endable,
  () => ({ termsV3: { binding: BY_WORK } }),
  () => ({ othersCoins: 4, termsV3: { binding: { ...BY_PAYOUT, samplePpm: 1_000_000 } } }),
  due,
];

function kindOf({ terms }: SimWorld): number {
  if (terms.binding.type === 'work') return 1;
  if (terms.binding.type === 'payout' && terms.binding.samplePpm > 0) return 2;
  return terms.version === 3 && terms.delivery !== undefined ? 3 : 0;
}

/** In the beginning of a connection; all other lines are refused without them. */
const isGreeting = ({ method = '' }: Message): boolean => method.startsWith('session.');

/** Shows what the other side signed, which it has not signed in another life. */
const isProof = ({ method }: Message): boolean => method === 'channel.reestablish';

type Said = Readonly<Record<Side, readonly Message[]>>;

/** What no life of a contract needs. */
const askedByNobody = (contractId: string): readonly Message[] => {
  const jsonrpc = '2.0';
  return [
    { jsonrpc, method: 'contract.stream', params: { contract_id: contractId } },
    { jsonrpc, method: 'peer_storage.get', params: {} },
    { jsonrpc, method: 'market.offer', params: {} },
    { jsonrpc, method: 'meter.end', params: { contract_id: contractId } },
  ];
};

/** Whatever both ask of each other in the life of an honest contract. */
async function saidInLife(kind: number): Promise<Said> {
  const said: Record<Side, Message[]> = { miner: [], maker: [] };
  const world = new SimWorld({ ...KINDS[kind]!(), hostile: SIDES });
  world.tap = ({ from, text }) => {
    const message = JSON.parse(text) as Message;
    const isOwn = message.method !== undefined && !isGreeting(message) && !isProof(message);
    if (isOwn) said[from].push(message);
    return [text];
  };
  const honest: Strategy = { what: '', row: '', hostile: SIDES };
  const stage = new Stage(world, new SeededRandom(1), honest);
  await stage.start();
  await paid(stage, 2);
  const wanted = { priceMsatPerEh: LOWER, fromHashes: LATER_HASHES };
  for (const side of SIDES) {
    await noticed(stage, side, { type: 'pause', reason: 'maintenance' });
    await noticed(stage, side, { type: 'resume' });
    await propose(stage, side, wanted);
    await revoke(stage, side);
    await propose(stage, side, wanted);
    await confirm(stage, otherSide(side));
  }
  await world.kill('miner', 0);
  await stage.rounds(4);
  for (const side of SIDES) {
    await noticed(stage, side, { type: 'end' });
    await stage.pay(1);
    await stage.blocks(1);
  }
  await stage.blocks(NOTICE_BLOCKS);
  void world.miner?.close();
  await stage.rounds(8);
  await stage.liveOut();
  for (const side of SIDES) await world.kill(side, 0);
  await world.time.settle();
  return said;
}

const LIVES = new Map<number, Promise<Said>>();

function lifeOf(kind: number): Promise<Said> {
  const known = LIVES.get(kind) ?? saidInLife(kind);
  LIVES.set(kind, known);
  return known;
}

/** Its own numbers are smaller. */
const FIRST_ID = 900_000;

/** One line in five is altered. */
function something({ random, marks }: Stage, from: readonly Message[]): Message {
  const id = (marks.get('id') ?? FIRST_ID) + 1;
  marks.set('id', id);
  const names = [...new Set(from.map(({ method }) => method))];
  const method = random.pick(names);
  const message = { ...random.pick(from.filter((each) => each.method === method)), id };
  const isAltered = random.once(5) && message.params !== undefined;
  if (!isAltered) return message;
  const params = altered(message.params as Message, (limit) => random.below(limit));
  return { ...message, params: params as Record<string, unknown> };
}

const sayings = new WeakMap<Stage, readonly Message[]>();

/** Time in ms after which an opening that does not go on is given up. */
const OPENING_MS = 20_000;

const links = new WeakMap<Stage, RpcPeer | 'connecting'>();

/** Over a connection of its own, where its program has none any more. */
function sayAnew(stage: Stage, { method, params }: Message): void {
  const passing = (error: unknown): void => {
    if (!(error instanceof CodedError)) stage.world.fail(error);
    links.delete(stage);
  };
  const known = links.get(stage);
  if (known === 'connecting') return;
  if (known !== undefined) {
    known.request(method!, params as Json).catch(passing);
    return;
  }
  links.set(stage, 'connecting');
  connect(stage, SIGNERS.miner).then((peer) => void links.set(stage, peer), passing);
}

/** @param isUnfunded the side does not sign the funding, or its coin goes elsewhere before a block has it */
const saysAnything = (side: Side, isUnfunded = false): Strategy => ({
  what: `the ${side} says anything of ${
    isUnfunded ? 'a contract that it does not fund' : 'the life of its contract'
  } at any time, signed as it would be`,
  row: 'chance',
  hostile: [side],
  options: (random) => ({
    ...random.pick(KINDS)(),
    ...(isUnfunded ? { maker: { openingTimeoutMs: OPENING_MS } } : {}),
  }),
  begin: async (stage) => {
    const { world } = stage;
    const said = [...(await lifeOf(kindOf(world)))[side], ...askedByNobody(world.contractId)];
    sayings.set(stage, said);
    const isUnsigned = isUnfunded && stage.random.once(2);
    alterLines(world, ({ line, about, message }) => {
      const isLine = line.from === side && !isGreeting({ method: about });
      if (isLine && isUnsigned && about === 'channel.tx_signatures') return [];
      // What it says in this life too, and all of it also before a line that is due.
      if (isLine && message.method !== undefined) said.push(message);
      return isLine && stage.random.once(8) ? [something(stage, said), message] : [message];
    });
  },
  step: async (stage) => {
    const said = sayings.get(stage);
    if (said !== undefined && stage.random.once(4)) {
      const message = something(stage, said);
      const isHeard = stage.world.says(side, JSON.stringify(message));
      if (!isHeard && isUnfunded && side === 'miner') sayAnew(stage, message);
    }
    if (side === 'maker') await rob(stage);
    if (isUnfunded && !stage.marks.has('unfunded') && stage.world.chain.mempoolSize > 0) {
      stage.marks.set('unfunded', stage.height);
      await spendTwice(stage, side);
    }
  },
});

export const ANYTHING: Readonly<Record<string, Strategy>> = {
  'miner-says-anything': saysAnything('miner'),
  'maker-says-anything': saysAnything('maker'),
  'miner-says-anything-unfunded': saysAnything('miner', true),
  'maker-says-anything-unfunded': saysAnything('maker', true),
};

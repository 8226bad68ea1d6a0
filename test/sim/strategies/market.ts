import { toHex } from '../../../src/base/bytes.ts';
import { CodedError } from '../../../src/base/errors.ts';
import { sha256 } from '../../../src/base/hash.ts';
import { isRecord, type Json } from '../../../src/base/json.ts';
import { difficultyOfTarget } from '../../../src/bitcoin/target.ts';
import { nodeIdBytes, SeedSigner } from '../../../src/channel/signer.ts';
import type { TermsV3 } from '../../../src/contract/terms.ts';
import { easiestTarget, fixedPriceMsatPerEh } from '../../../src/contract/terms-access.ts';
import type { MakerPolicy } from '../../../src/maker/policy.ts';
import { askQuote, type CheckedQuote, proposeTerms, type Sale } from '../../../src/miner/market-client.ts';
import { call } from '../../../src/peer/calls.ts';
import type { RpcPeer } from '../../../src/peer/rpc-peer.ts';
import { signTerms } from '../../../src/settlement/opening.ts';
import type { Stage } from '../stage.ts';
import type { Strategy } from '../strategy.ts';
import { SIGNERS } from '../terms.ts';
import { connect } from './stranger.ts';

/** Quotes between strangers, of whom one is not honest. */

const EXPIRY_BLOCKS = 90;
const STRANGERS = { maxContracts: 3, requireCollateral: false } as const;

/** The maker of a life takes strangers, all of them together for so many budgets. */
const open =
  (budgets: bigint) =>
  (usual: MakerPolicy): MakerPolicy => ({
    ...usual,
    ...{ maxTotalBudgetSat: 8n * usual.maxBudgetSat, maxOpenContractsPerMiner: 4 },
    strangers: { ...STRANGERS, maxBudgetSat: budgets * usual.maxBudgetSat },
  });

const LISTED = { maker: { allowedNodeIds: new Set([toHex(nodeIdBytes(SIGNERS.miner))]) } };

/** @param parts of the work of the life's own contract */
function saleOf({ world: { terms } }: Stage, parts: bigint): Sale {
  const difficulty = difficultyOfTarget(easiestTarget(terms));
  return {
    ...{ workTotalHashes: terms.workTotalHashes / parts, stepHashes: terms.stepHashes },
    ...{ maxUnpaidSteps: terms.maxUnpaidSteps, expiryBlocks: EXPIRY_BLOCKS, maxDepth: 6 },
    ...{ shareDifficulty: difficulty, hardestShare: difficulty },
    floorMsatPerEh: fixedPriceMsatPerEh(terms),
  };
}

function ask(stage: Stage, peer: RpcPeer, signer: SeedSigner, parts = 1n): Promise<CheckedQuote> {
  const { makerNodeId } = stage.world.terms;
  const place = { network: 'regtest', makerNodeId, height: stage.height } as const;
  return askQuote(peer, { sale: saleOf(stage, parts), binding: 'payout' }, place, signer);
}

/** Goes on until an answer has come, or long enough; what is refused with a code is told. */
async function answered<T>(stage: Stage, answer: Promise<T>): Promise<T | CodedError> {
  const settled = answer.catch((error: unknown) => {
    if (error instanceof CodedError) return error;
    throw error;
  });
  let isThere = false;
  void settled.finally(() => {
    isThere = true;
  });
  for (let round = 0; !isThere && round < 20; round += 1) await stage.rounds(1);
  return isThere ? settled : new CodedError('peer_timeout', 'no answer');
}

/** What one of them dies under is tried again. */
const TRIES = 4;
const OF_DYING: ReadonlySet<string> = new Set(['peer_closed', 'peer_timeout', 'ledger_io']);

async function connected(stage: Stage, signer: SeedSigner): Promise<RpcPeer> {
  for (let time = 1; ; time += 1) {
    const peer = await answered(stage, connect(stage, signer));
    if (!(peer instanceof CodedError)) return peer;
    if (time === TRIES) throw peer;
  }
}

type Quoted = { readonly peer: RpcPeer; readonly quote: CheckedQuote };

async function quoted(stage: Stage, signer: SeedSigner): Promise<Quoted> {
  for (let time = 1; ; time += 1) {
    const peer = await connected(stage, signer);
    // Half of it: at twice the price it is still within the policy.
    const quote = await answered(stage, ask(stage, peer, signer, 2n));
    if (!(quote instanceof CodedError)) return { peer, quote };
    if (time === TRIES) throw quote;
  }
}

/** What a hostile side makes of a quote. */
type Change = (terms: TermsV3) => TermsV3;

const DEARER: Change = (terms) => {
  const msatPerEh = 2n * fixedPriceMsatPerEh(terms);
  return { ...terms, price: { type: 'fixed', msatPerEh }, budgetSat: 2n * terms.budgetSat };
};
const MOVING = {
  ...{ type: 'index', formula: 'hash_value_144', epoch: 'difficulty', ttl_blocks: 144, premium_ppm: 0 },
  min_msat_per_eh: '1',
} as const;
/** Of terms whose price is fixed. */
const priceOf = ({ price }: Record<string, Json>): Json =>
  isRecord(price) ? (price['msat_per_eh'] as Json) : '1';
/** What the other side would not have agreed to, each of another kind. */
const OF_MINER: readonly Change[] = [
  DEARER,
  (terms) => ({ ...terms, staleGraceSeconds: 3600 }),
  (terms) => ({ ...terms, expiryHeight: terms.expiryHeight + 2000 }),
];
const OF_MAKER: readonly ((terms: Record<string, Json>) => Record<string, Json>)[] = [
  // A price that moves, from next to nothing on, in the place of the one that was asked for.
  (terms) => ({ ...terms, price: { ...MOVING, max_msat_per_eh: priceOf(terms) } }),
  (terms) => ({ ...terms, refused_ppm: 1_000_000 }),
  (terms) => ({ ...terms, backlog_minutes: 0 }),
  (terms) => ({ ...terms, max_unpaid_steps: 1000 }),
  (terms) => ({ ...terms, miner_reserve_sat: '900000' }),
];

/** A peer whose quotes are others than those of the maker behind it. */
function bent(peer: RpcPeer, change: (typeof OF_MAKER)[number]): RpcPeer {
  const request = async (method: string, params: Json): Promise<unknown> => {
    const answer = await peer.request(method, params);
    if (method !== 'market.quote' || !isRecord(answer)) return answer;
    return { ...answer, terms: change(answer['terms'] as Record<string, Json>) };
  };
  return { features: peer.features, request } as unknown as RpcPeer;
}

export const BY_MARKET: Readonly<Record<string, Strategy>> = {
  'proposes-other-terms': {
    what: 'a stranger takes a quote, and proposes terms that are better for it under its id',
    row: 'F22',
    hostile: [],
    options: () => ({ ...LISTED, policy: open(8n) }),
    play: async (stage) => {
      const signer = SIGNERS.stranger;
      const { peer, quote } = await quoted(stage, signer);
      for (const change of OF_MINER) {
        const terms = change(quote.terms as TermsV3);
        const proposal = { terms, quoteId: quote.quoteId, signature: signTerms(terms, signer) };
        const answer = await answered(stage, call(peer, 'contract.propose', proposal));
        if (!(answer instanceof CodedError)) stage.find('terms that were not quoted are taken', 'signed');
      }
      let taken = await answered(stage, proposeTerms(peer, quote, signer));
      // A maker that dies forgets its quotes, and gives another.
      if (taken instanceof CodedError && OF_DYING.has(taken.code)) {
        const again = await quoted(stage, signer);
        taken = await answered(stage, proposeTerms(again.peer, again.quote, signer));
      }
      if (taken instanceof CodedError) stage.find('a refusal stuck: the quote is not taken', taken.message);
      await stage.liveOut();
    },
  },
  'quotes-other-terms': {
    what: 'a maker answers with a quote of terms that nobody asked for',
    row: 'F23',
    hostile: [],
    options: () => ({ ...LISTED, policy: open(8n) }),
    play: async (stage) => {
      const signer = SIGNERS.stranger;
      const peer = await connected(stage, signer);
      for (const change of OF_MAKER) {
        const quote = await answered(stage, ask(stage, bent(peer, change), signer));
        if (!(quote instanceof CodedError)) stage.find('a quote of other terms is believed', 'taken');
      }
      await stage.liveOut();
    },
  },
  'asks-and-asks': {
    what: 'a stranger of many keys asks for quotes, so that nothing is left for anybody else',
    row: 'F16',
    hostile: [],
    options: () => ({ ...LISTED, policy: open(2n) }),
    play: async (stage) => {
      const { terms } = stage.world;
      for (let key = 0; key < 6; key += 1) {
        const signer = new SeedSigner({ seed: sha256(Uint8Array.of(key)), network: 'regtest' });
        const peer = await connected(stage, signer);
        for (let time = 0; time < 6; time += 1) await answered(stage, ask(stage, peer, signer));
      }
      const { openBudgetSat: held, budgetOfPeerSat: runsSat = 0n } = stage.world.maker!.market.held(
        terms.minerNodeId,
      );
      if (held - runsSat > 2n * terms.budgetSat)
        stage.find('strangers hold more than they may', `${held - runsSat} sat`);
      if (await stage.open()) await stage.pay(1);
      await stage.liveOut();
    },
  },
};

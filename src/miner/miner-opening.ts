import { Transaction } from 'bitcoinjs-lib';
import { assert } from '../base/assert.ts';
import { CodedError, codeOf } from '../base/errors.ts';

import { type ChainSource, optional } from '../chain/source.ts';
import type { BeginMargins } from '../chain/watcher.ts';
import { assertTimeToFund } from '../channel/deadlines.ts';
import { finalizeFunding } from '../channel/funding.ts';
import { minerKeysOf } from '../channel/keys.ts';
import { makerContributionSat, minerContributionSat } from '../channel/params.ts';
import { fundingPsbt, psbtFundingSignatures } from '../channel/psbt.ts';
import type { SignedSealClaim } from '../channel/seal.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Logger } from '../log/logger.ts';
import { call } from '../peer/calls.ts';
import type { RpcPeer } from '../peer/rpc-peer.ts';
import { type FundingWallet, keyWallet } from '../settlement/funding-wallet.ts';
import {
  type AssembledChannel,
  assembleChannel,
  checkCoins,
  checkForeign,
  type SignerTree,
  signTerms,
  verifyTermsSignature,
} from '../settlement/opening.ts';
import { ChosenCoins } from './chosen-coins.ts';
import { firstClaim } from './miner-seal.ts';
import type { MinerStore } from './miner-store.ts';

/**
 * Confirmation target of the own estimate: a maker may want its funding soon, at the rate of the next
 * blocks.
 */
const FUNDING_TARGET_BLOCKS = 2;

/** The miner's own choices in an opening. */
export type MinerOpeningOptions = {
  /** Output script of the miner's payouts; the wallet's own unless given. */
  readonly payoutScript: Uint8Array;
  /** Greatest fee rate that the miner accepts for its part of the funding, sat/kvB. */
  readonly maxFeeRateSatPerKvb: number;
  readonly margins: BeginMargins;
};

export type OpeningDeps = {
  readonly chain: ChainSource;
  readonly signer: SignerTree;
  readonly log: Logger;
  /** Wallet for the funding. Default: the wallet key of the signer. */
  readonly wallet?: FundingWallet;
  /** What all contracts of this wallet have chosen. Default: there are no others. */
  readonly chosenCoins?: ChosenCoins;
};

/**
 * Opens a channel, from terms to a signed funding (`PROTOCOL.md`), from the stored step on: each answer of
 * the maker is on disk before the next step, and each step may be asked for twice. State 0 is on disk
 * before the miner signs.
 */
export async function openChannel(
  peer: RpcPeer,
  store: MinerStore,
  options: MinerOpeningOptions,
  deps: OpeningDeps,
): Promise<void> {
  const { contractId, terms } = store;
  const assertInTime = async (): Promise<void> => {
    assertTimeToFund(terms, options.margins, (await deps.chain.tip()).height);
  };
  await assertInTime();
  if (store.contract === undefined) {
    const { signature, makerSignature } = await propose(peer, store, deps);
    await store.accept(signature, makerSignature);
  }
  await assertInTime();
  if (store.opening === undefined) await makeOffer(store, options, deps);
  if (store.assembled === undefined) await takeAcceptance(peer, store, options, deps);
  if (store.fundingTx !== undefined) return;
  const { assembled } = store;
  assert(assembled !== undefined, 'miner_channel_before_signatures');
  const { funding } = assembled;
  const { network } = terms;
  const wallet = deps.wallet ?? keyWallet(deps);
  const miner = await wallet.sign({ contractId, network }, funding, 'miner');
  const psbt = fundingPsbt(funding, network, 'miner', miner, deps.signer);
  const claim = await claimOfNothing(store, assembled, deps);
  // A wallet may have taken its time, and these signatures cannot be taken back.
  await assertInTime();
  const answer = await call(peer, 'channel.tx_signatures', { contractId, psbt, ...claim }).catch(
    (error: unknown) => {
      // Whatever it says, it may have them: the own coins are taken back, and the contract ends.
      if (codeOf(error) === 'wrong_status') store.apply({ type: 'opening_refused' });
      throw error;
    },
  );
  const maker = psbtFundingSignatures(funding, 'maker', network, answer.psbt);
  // Kept back until it was of no use any more: the own coins are on their way back.
  await assertInTime();
  await store.saveFunding(finalizeFunding(funding, { miner, maker }).hex);
}

/** Proposes the terms, or again: a maker gives the same terms the same signature. */
async function propose(
  peer: RpcPeer,
  { contractId, terms }: MinerStore,
  deps: OpeningDeps,
): Promise<{ readonly signature: string; readonly makerSignature: string }> {
  checkOrder(terms);
  if (terms.version === 3 && !peer.features.has('terms_v3'))
    throw new CodedError('unsupported', 'the maker does not read terms of version 3');
  const signature = signTerms(terms, deps.signer);
  const answer = await call(peer, 'contract.propose', { terms, signature });
  if (answer.contractId !== contractId) throw new CodedError('protocol', 'another contract id');
  verifyTermsSignature(terms, terms.makerNodeId, answer.signature);
  return { signature, makerSignature: answer.signature };
}

/** Stores claim 0, where there is a seal; it is sent with the own signatures. */
async function claimOfNothing(
  store: MinerStore,
  assembled: AssembledChannel,
  deps: OpeningDeps,
): Promise<{ claim?: SignedSealClaim }> {
  if (store.terms.seal === undefined) return {};
  assert(store.contract !== undefined, 'miner_contract_before_claim');
  const signer = deps.signer.forChannel(store.contract.channelIndex);
  await store.saveClaim(store.claimed ?? firstClaim(assembled, signer));
  return { claim: store.claimed!.claim };
}

/**
 * Checks who signs first: the miner does, and the first signer can be kept waiting, so it must be the
 * smaller contributor (as BOLT2). Throws `bad_terms`.
 */
export function checkOrder(terms: ContractTerms): void {
  if (minerContributionSat(terms) > makerContributionSat(terms))
    throw new CodedError('bad_terms', 'the miner may not put more into the channel than the maker');
}

async function makeOffer(
  store: MinerStore,
  options: MinerOpeningOptions,
  deps: OpeningDeps,
): Promise<void> {
  assert(store.contract !== undefined, 'miner_contract_before_offer');
  const keys = deps.signer.forChannel(store.contract.channelIndex);
  const wallet = deps.wallet ?? keyWallet(deps);
  const chosen = deps.chosenCoins ?? new ChosenCoins();
  const contributionSat = minerContributionSat(store.terms);
  const feeRateSatPerKvb = options.maxFeeRateSatPerKvb;
  const funding = await chosen.choose(store.contractId, (reserved) =>
    wallet.choose({ contributionSat, feeRateSatPerKvb, reserved }),
  );
  await store.saveOffer({
    contractId: store.contractId,
    keys: minerKeysOf(keys, store.terms),
    payoutScript: options.payoutScript,
    funding,
  });
}

async function takeAcceptance(
  peer: RpcPeer,
  store: MinerStore,
  options: MinerOpeningOptions,
  deps: OpeningDeps,
): Promise<void> {
  assert(store.opening !== undefined, 'miner_offer_before_acceptance');
  const { open } = store.opening;
  const accept = await call(peer, 'channel.open', open).catch(async (error: unknown) => {
    if (codeOf(error) !== 'unknown_channel') throw error;
    // It waited so long that the maker forgot it.
    await propose(peer, store, deps);
    return call(peer, 'channel.open', open);
  });
  const mostSatPerKvb = await highestFeeRate(options, deps);
  if (accept.feeRateSatPerKvb > mostSatPerKvb) {
    const what = `a fee of ${accept.feeRateSatPerKvb} sat/kvB is more than ${mostSatPerKvb}`;
    throw new CodedError('bad_funding', what);
  }
  checkForeign(accept.funding, deps.signer);
  await checkCoins(accept.funding, deps.chain);
  await store.saveAcceptance(accept, assembleChannel(store.terms, open, accept));
}

/**
 * The greatest fee rate to accept from the maker, who sets it while the miner pays a part: the configured
 * one, or twice the own node's estimate where that is less.
 */
async function highestFeeRate(
  { maxFeeRateSatPerKvb }: MinerOpeningOptions,
  { chain, log }: OpeningDeps,
): Promise<number> {
  const estimate = await optional(
    () => chain.feeRateSatPerKvb(FUNDING_TARGET_BLOCKS),
    ({ code, message: detail }) =>
      log.warn({ code, detail }, 'the own node does not say what fundings pay'),
  );
  return Math.min(maxFeeRateSatPerKvb, estimate === undefined ? maxFeeRateSatPerKvb : 2 * estimate);
}

/** The txid of a transaction from a peer. Throws `protocol` for bytes that are none. */
export function txidOf(transactionHex: string): string {
  try {
    return Transaction.fromHex(transactionHex).getId();
  } catch {
    throw new CodedError('protocol', 'not a transaction');
  }
}

import { Transaction } from 'bitcoinjs-lib';
import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import type { ChainSource } from '../chain/source.ts';
import { attachFundingWitnesses } from '../channel/funding.ts';
import { minerKeysOf } from '../channel/keys.ts';
import { makerContributionSat, minerContributionSat } from '../channel/params.ts';
import { fundingPsbt, psbtFundingSignatures } from '../channel/psbt.ts';
import type { SignedSealClaim } from '../channel/seal.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { call } from './calls.ts';
import { type FundingWallet, keyWallet } from './funding-wallet.ts';
import type { MinerBook } from './miner-book.ts';
import { firstClaim } from './miner-seal.ts';
import {
  type AssembledChannel,
  assembleChannel,
  checkCoins,
  checkForeign,
  type SignerTree,
  signTerms,
  verifyTermsSignature,
} from './opening.ts';
import type { RpcPeer } from './rpc-peer.ts';

export type MinerOpeningOptions = {
  /** Where the miner is paid; the wallet's own script unless given. */
  readonly payoutScript: Uint8Array;
  /** The most the miner agrees to pay for its part of the funding, sat per kvB. */
  readonly maxFeeRateSatPerKvb: number;
};

export type OpeningDeps = {
  readonly chain: ChainSource;
  readonly signer: SignerTree;
  /** Default: the wallet key of the signer. */
  readonly wallet?: FundingWallet;
};

/**
 * Brings the contract from terms to a signed funding (`channel.md` 2.4), from wherever the book stands:
 * each answer of the
 * maker is on disk before the next step, each step may be asked for twice. State 0 is on disk before the
 * miner signs.
 */
export async function openChannel(
  peer: RpcPeer,
  book: MinerBook,
  options: MinerOpeningOptions,
  deps: OpeningDeps,
): Promise<void> {
  const { contractId, terms } = book;
  if (book.contract === undefined) {
    checkOrder(terms);
    const signature = signTerms(terms, deps.signer);
    const answer = await call(peer, 'contract.propose', { terms, signature });
    if (answer.contractId !== contractId) throw new CodedError('protocol', 'another contract id');
    verifyTermsSignature(terms, terms.makerNodeId, answer.signature);
    await book.accept(signature, answer.signature);
  }
  if (book.opening === undefined) await makeOffer(book, options, deps);
  if (book.assembled === undefined) await takeAcceptance(peer, book, options, deps);
  if (book.fundingTx !== undefined) return;
  const { assembled } = book;
  assert(assembled !== undefined, 'miner_channel_before_signatures');
  const { funding } = assembled;
  const { network } = terms;
  const wallet = deps.wallet ?? keyWallet(deps);
  const miner = await wallet.sign({ contractId, network }, funding, 'miner');
  const psbt = fundingPsbt(funding, network, 'miner', miner, deps.signer);
  const claim = await claimOfNothing(book, assembled, deps);
  const answer = await call(peer, 'channel.tx_signatures', { contractId, psbt, ...claim });
  const maker = psbtFundingSignatures(funding, 'maker', network, answer.psbt);
  await book.saveFunding(attachFundingWitnesses(funding, { miner, maker }).hex);
}

/** Claim 0, stored, where there is a seal: it leaves with the own signatures. */
async function claimOfNothing(
  book: MinerBook,
  assembled: AssembledChannel,
  deps: OpeningDeps,
): Promise<{ claim?: SignedSealClaim }> {
  if (book.terms.seal === undefined) return {};
  assert(book.contract !== undefined, 'miner_contract_before_claim');
  const signer = deps.signer.forChannel(book.contract.channelIndex);
  await book.saveClaim(book.claimed ?? firstClaim(assembled, signer));
  return { claim: book.claimed!.claim };
}

/**
 * The miner's inputs are signed first, which is for the smaller contributor (BOLT2): whoever signs first can
 * be kept waiting. Throws `bad_terms`.
 */
export function checkOrder(terms: ContractTerms): void {
  if (minerContributionSat(terms) > makerContributionSat(terms))
    throw new CodedError('bad_terms', 'the miner may not put more into the channel than the maker');
}

async function makeOffer(book: MinerBook, options: MinerOpeningOptions, deps: OpeningDeps): Promise<void> {
  assert(book.contract !== undefined, 'miner_contract_before_offer');
  const keys = deps.signer.forChannel(book.contract.channelIndex);
  const funding = await (deps.wallet ?? keyWallet(deps)).choose({
    contributionSat: minerContributionSat(book.terms),
    feeRateSatPerKvb: options.maxFeeRateSatPerKvb,
    reserved: new Set(),
  });
  await book.saveOffer({
    contractId: book.contractId,
    keys: minerKeysOf(keys, book.terms),
    payoutScript: options.payoutScript,
    funding,
  });
}

async function takeAcceptance(
  peer: RpcPeer,
  book: MinerBook,
  options: MinerOpeningOptions,
  deps: OpeningDeps,
): Promise<void> {
  assert(book.opening !== undefined, 'miner_offer_before_acceptance');
  const { open } = book.opening;
  const accept = await call(peer, 'channel.open', open);
  if (accept.feeRateSatPerKvb > options.maxFeeRateSatPerKvb) {
    throw new CodedError('bad_funding', `a fee of ${accept.feeRateSatPerKvb} sat/kvB is more than agreed`);
  }
  checkForeign(accept.funding, deps.signer);
  await checkCoins(accept.funding, deps.chain);
  await book.saveAcceptance(accept, assembleChannel(book.terms, open, accept));
}

/** The txid of a transaction from a peer. Throws `protocol` for bytes that are none. */
export function txidOf(transactionHex: string): string {
  try {
    return Transaction.fromHex(transactionHex).getId();
  } catch {
    throw new CodedError('protocol', 'not a transaction');
  }
}

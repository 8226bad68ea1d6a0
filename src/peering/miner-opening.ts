import { Transaction } from 'bitcoinjs-lib';
import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import type { ChainSource } from '../chain/source.ts';
import { signFundingInputs } from '../channel/funding.ts';
import { minerContributionSat } from '../channel/params.ts';
import { call } from './calls.ts';
import type { MinerBook } from './miner-book.ts';
import {
  assembleChannel,
  checkCoins,
  chooseFundingSide,
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

type OpeningDeps = { readonly chain: ChainSource; readonly signer: SignerTree };

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
  const signatures = signFundingInputs(assembled.funding, 'miner', deps.signer);
  const { fundingTx } = await call(peer, 'channel.tx_signatures', { contractId, signatures });
  if (txidOf(fundingTx) !== assembled.funding.txid) {
    throw new CodedError('bad_funding', 'the funding transaction is another one');
  }
  await book.saveFunding(fundingTx);
}

async function makeOffer(book: MinerBook, options: MinerOpeningOptions, deps: OpeningDeps): Promise<void> {
  assert(book.contract !== undefined, 'miner_contract_before_offer');
  const funding = await chooseFundingSide(
    {
      contributionSat: minerContributionSat(book.terms),
      feeRateSatPerKvb: options.maxFeeRateSatPerKvb,
      reserved: new Set(),
    },
    deps,
  );
  await book.saveOffer({
    contractId: book.contractId,
    keys: { minerChannel: deps.signer.forChannel(book.contract.channelIndex).publicKey('channel') },
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

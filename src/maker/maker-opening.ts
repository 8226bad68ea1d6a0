import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { canonicalJson } from '../base/json.ts';
import type { ChainSource } from '../chain/source.ts';
import { attachFundingWitnesses, signFundingInputs, verifyFundingSignatures } from '../channel/funding.ts';
import { makerContributionSat } from '../channel/params.ts';
import { codecsOf, type Params, type Result } from '../peering/messages.ts';
import {
  assembleChannel,
  checkCoins,
  chooseFundingSide,
  outpointName,
  type SignerTree,
  walletScript,
} from '../peering/opening.ts';
import type { MakerBook } from './maker-book.ts';

export type MakerOpeningOptions = {
  /** Where the maker is paid; the wallet's own script unless given. */
  readonly payoutScript?: Uint8Array;
  /** Blocks within which a funding should confirm. */
  readonly fundingTargetBlocks: number;
  readonly fallbackFeeRateSatPerKvb: number;
};

type OpeningDeps = { readonly chain: ChainSource; readonly signer: SignerTree };

/**
 * Answers `channel.open`: own coins, keys and state 0, all stored before they leave. The same message again
 * gets the same
 * answer. Throws `bad_funding`, `insufficient_funds`, `bad_terms`.
 */
export async function acceptOpening(
  book: MakerBook,
  open: Params<'channel.open'>,
  reserved: ReadonlySet<string>,
  options: MakerOpeningOptions,
  deps: OpeningDeps,
): Promise<Result<'channel.open'>> {
  if (book.opening?.accept) {
    const { params } = codecsOf('channel.open');
    const same = canonicalJson(params.print(book.opening.open)) === canonicalJson(params.print(open));
    if (!same) throw new CodedError('bad_funding', 'the channel was opened with other parameters');
    return book.opening.accept;
  }
  await checkCoins(open.funding, deps.chain);
  const { fundingTargetBlocks, fallbackFeeRateSatPerKvb } = options;
  const rate = await deps.chain.feeRateSatPerKvb(fundingTargetBlocks, fallbackFeeRateSatPerKvb);
  const feeRateSatPerKvb = Math.ceil(rate);
  const funding = await chooseFundingSide(
    { contributionSat: makerContributionSat(book.terms), feeRateSatPerKvb, reserved },
    deps,
  );
  const keys = deps.signer.forChannel(book.contract.channelIndex);
  const accept = {
    keys: { makerChannel: keys.publicKey('channel'), makerRefund: keys.publicKey('refund') },
    payoutScript: options.payoutScript ?? walletScript(deps.signer),
    funding,
    feeRateSatPerKvb,
  };
  return book.saveOpening(open, accept, assembleChannel(book.terms, open, accept));
}

/**
 * Answers `channel.tx_signatures`: verifies the miner's, adds its own, stores the funding and broadcasts
 * it. Again: the same
 * transaction. Throws `bad_signature`, `bad_funding` when coins are gone or the opening was given up.
 */
export async function completeFunding(
  book: MakerBook,
  signatures: readonly string[],
  deps: OpeningDeps,
): Promise<Result<'channel.tx_signatures'>> {
  if (book.fundingTx !== undefined) return { fundingTx: book.fundingTx };
  const { assembled, opening, channel } = book;
  if (!assembled || !opening?.accept || !channel) throw new CodedError('unknown_channel', 'not opened');
  if (channel.status !== 'opening') throw new CodedError('bad_funding', 'the opening was given up');
  verifyFundingSignatures(assembled.funding, 'miner', signatures);
  await checkCoins(opening.open.funding, deps.chain);
  await checkCoins(opening.accept.funding, deps.chain);
  const maker = signFundingInputs(assembled.funding, 'maker', deps.signer);
  const { hex } = attachFundingWitnesses(assembled.funding, { miner: signatures, maker });
  await book.saveFunding(hex);
  return { fundingTx: hex };
}

/** Outpoints promised to a channel that may still be funded. */
export function reservedBy(book: MakerBook): string[] {
  const status = book.channel?.status;
  if (status !== 'opening' && status !== 'funding') return [];
  assert(book.opening?.accept, 'maker_opening_of_status');
  return book.opening.accept.funding.inputs.map(outpointName);
}

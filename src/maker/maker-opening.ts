import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { canonicalJson } from '../base/json.ts';
import type { ChainSource } from '../chain/source.ts';
import type { BeginMargins } from '../chain/watcher.ts';
import { assertTimeToFund } from '../channel/deadlines.ts';
import { finalizeFunding } from '../channel/funding.ts';
import { makerKeysOf } from '../channel/keys.ts';
import { makerContributionSat } from '../channel/params.ts';
import { fundingPsbt, psbtFundingSignatures } from '../channel/psbt.ts';
import { boundedRate } from '../channel/sizes.ts';
import { codecsOf, type Params, type Result } from '../peer/messages.ts';
import { type FundingWallet, keyWallet } from '../settlement/funding-wallet.ts';
import {
  assembleChannel,
  checkCoins,
  checkForeign,
  outpointName,
  type SignerTree,
  walletScript,
} from '../settlement/opening.ts';
import type { CoinHolds } from './coin-holds.ts';
import type { MakerStore } from './maker-store.ts';

/** The maker's own choices in an opening. */
export type MakerOpeningOptions = {
  /** Output script of the maker's payouts; the wallet's own unless given. */
  readonly payoutScript?: Uint8Array;
  /** Output script that claims of seals pay, for the maker to sell on; the wallet's own unless given. */
  readonly nextSealScript?: Uint8Array;
  /** Blocks within which a funding should confirm. */
  readonly fundingTargetBlocks: number;
  /** Blocks before the expiry within which nothing begins. */
  readonly margins: BeginMargins;
  /** Fee rate in sat/kvB without an estimate of the node; what is configured for the node unless given. */
  readonly fallbackFeeRateSatPerKvb?: number;
};

type OpeningDeps = {
  readonly chain: ChainSource;
  readonly signer: SignerTree;
  /** Wallet for the funding. Default: the wallet key of the signer. */
  readonly wallet?: FundingWallet;
};

/**
 * Answers `channel.open`: own coins, keys and state 0, all stored before they are sent. The same message
 * again gets the same answer. Throws `bad_funding`, `insufficient_funds`, `bad_terms`.
 */
export async function acceptOpening(
  store: MakerStore,
  open: Params<'channel.open'>,
  reserved: ReadonlySet<string>,
  options: MakerOpeningOptions,
  deps: OpeningDeps & { readonly holds: Pick<CoinHolds, 'hold' | 'release'> },
): Promise<Result<'channel.open'>> {
  if (store.channel?.status === 'failed') throw new CodedError('wrong_status', 'the opening was given up');
  if (store.opening?.accept) {
    const { params } = codecsOf('channel.open');
    const same = canonicalJson(params.print(store.opening.open)) === canonicalJson(params.print(open));
    if (!same) throw new CodedError('bad_funding', 'the channel was opened with other parameters');
    return store.opening.accept;
  }
  assertTimeToFund(store.terms, options.margins, (await deps.chain.tip()).height);
  checkForeign(open.funding, deps.signer);
  await checkCoins(open.funding, deps.chain);
  const { fundingTargetBlocks, fallbackFeeRateSatPerKvb } = options;
  const rate = await deps.chain.feeRateSatPerKvb(fundingTargetBlocks, fallbackFeeRateSatPerKvb);
  const feeRateSatPerKvb = boundedRate(rate);
  const wallet = deps.wallet ?? keyWallet(deps);
  const contributionSat = makerContributionSat(store.terms);
  const funding = await wallet.choose({ contributionSat, feeRateSatPerKvb, reserved });
  await deps.holds.hold(store.contractId, funding.inputs);
  try {
    return await agreeOn(store, open, { funding, feeRateSatPerKvb }, options, { ...deps, wallet });
  } catch (error) {
    await deps.holds.release(store.contractId);
    throw error;
  }
}

/** Stores the own half of an opening, with state 0. */
async function agreeOn(
  store: MakerStore,
  open: Params<'channel.open'>,
  { funding, feeRateSatPerKvb }: Pick<Result<'channel.open'>, 'funding' | 'feeRateSatPerKvb'>,
  options: MakerOpeningOptions,
  { wallet, ...deps }: OpeningDeps & { readonly wallet: FundingWallet },
): Promise<Result<'channel.open'>> {
  const keys = deps.signer.forChannel(store.contract.channelIndex);
  const accept = {
    keys: makerKeysOf(keys, store.terms),
    payoutScript: options.payoutScript ?? (await wallet.payoutScript()),
    funding,
    feeRateSatPerKvb,
    ...(store.terms.seal === undefined
      ? {}
      : { nextSealScript: options.nextSealScript ?? walletScript(deps.signer) }),
  };
  return store.saveOpening(open, accept, assembleChannel(store.terms, open, accept));
}

/**
 * Answers `channel.tx_signatures`: reads the miner's PSBT, which must be exactly the funding that both
 * computed, signs the own inputs, stores the funding, and returns the own signatures as a PSBT. A
 * repetition gets the same. Throws as `readPsbt`, `bad_funding` when coins are gone or the opening was
 * given up.
 */
export async function completeFunding(
  store: MakerStore,
  { psbt, claim }: Params<'channel.tx_signatures'>,
  { margins }: Pick<MakerOpeningOptions, 'margins'>,
  deps: OpeningDeps,
): Promise<Result<'channel.tx_signatures'>> {
  const { assembled, opening, channel } = store;
  if (!assembled || !opening?.accept || !channel) throw new CodedError('unknown_channel', 'not opened');
  const { funding } = assembled;
  const { network } = store.terms;
  const miner = psbtFundingSignatures(funding, 'miner', network, psbt);
  if (store.fundingTx === undefined) {
    if (channel.status !== 'opening') throw new CodedError('wrong_status', 'the opening was given up');
    assertTimeToFund(store.terms, margins, (await deps.chain.tip()).height);
    if ((claim === undefined) !== (store.terms.seal === undefined))
      throw new CodedError('bad_terms', 'claim 0 comes with the funding exactly where there is a seal');
    await checkCoins(opening.open.funding, deps.chain);
    await checkCoins(opening.accept.funding, deps.chain);
  }
  const wallet = deps.wallet ?? keyWallet(deps);
  const { contractId } = store;
  const maker = await wallet.sign({ contractId, network }, funding, 'maker');
  const { hex } = finalizeFunding(funding, { miner, maker });
  if (store.fundingTx === undefined) await store.saveFunding(hex, claim);
  return { psbt: fundingPsbt(funding, network, 'maker', maker, deps.signer) };
}

/** Outpoints reserved for a channel that may still be funded. */
export function reservedBy(store: MakerStore): string[] {
  const status = store.channel?.status;
  if (status !== 'opening' && status !== 'funding') return [];
  assert(store.opening?.accept, 'maker_opening_of_status');
  return store.opening.accept.funding.inputs.map(outpointName);
}

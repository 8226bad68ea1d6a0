import { Transaction } from 'bitcoinjs-lib';
import { toHex } from '../base/bytes.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { type ChainSource, type ChainTip, optional } from '../chain/source.ts';
import { bondStep, sealStep } from '../chain/stake-watch.ts';
import { FINAL_DEPTH } from '../chain/watcher.ts';
import {
  type BondCoin,
  type BondSpend,
  bondCoins,
  bondKeyOf,
  exitKeyOf,
  finalizeBondReturn,
  signAndFinalizeBondReturn,
} from '../channel/bonds.ts';
import type { ChannelIndex } from '../channel/channel-index.ts';
import type { ChannelRole } from '../channel/keys.ts';
import { type ChannelParams, channelFacts } from '../channel/params.ts';
import { psbtSignature } from '../channel/psbt.ts';
import {
  finalizeSealClaim,
  finalizeSealRefund,
  type SignedSealClaim,
  signAndFinalizeSealClaim,
  signAndFinalizeSealRefund,
} from '../channel/seal.ts';
import type { Signer } from '../channel/signer.ts';
import {
  bondReturnRequest,
  bondSpendRequest,
  type SigningRequest,
  sealClaimRequest,
  sealRefundRequest,
} from '../channel/signing-requests.ts';
import { boundedRate } from '../channel/sizes.ts';
import type { SignedTransaction } from '../channel/spend.ts';
import type { SignedState } from '../channel/states.ts';
import { bondsOf, hasBondOutputs, sealExpiryHeight } from '../contract/bond-terms.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { takeAuditorAward } from './auditor-awards.ts';
import { type ExternalSigning, requestExternalSignature } from './external-signing.ts';
import type { AssembledChannel, SignerTree } from './opening.ts';
import {
  AWARD_KIND,
  awardId,
  type ChannelRecord,
  REMAINS_KIND,
  remainsEntry,
  unstored,
} from './records.ts';

/** Blocks searched backwards for a close that is not the own newest state. */
const SEARCH_BLOCKS = 144;

/** The part of a contract's store that the settlement needs; both sides' stores have it. */
export type StakedStore = {
  readonly contractId: string;
  readonly terms: ContractTerms;
  readonly contract: { readonly channelIndex: ChannelIndex } | undefined;
  readonly assembled: AssembledChannel | undefined;
  readonly channel: ChannelRecord | undefined;
  readonly last: SignedState | undefined;
  /** The newest claim of the seal, complete except for the maker's signature. */
  readonly sealClaim: SignedSealClaim | undefined;
};

export type StakeSettlementDeps = {
  readonly ledger: Ledger;
  readonly chain: ChainSource;
  readonly signer: SignerTree;
  readonly log: Logger;
  /**
   * Signing by keys that are not in the program; without it requests are only stored in the ledger, and no
   * auditor is asked.
   */
  readonly externalSigning?: ExternalSigning;
};

/** The status of a seal. `intact`: unspent. `lost`: spent by another transaction than the maker's claim. */
export type SealStatus = 'none' | 'intact' | 'claimed' | 'lost';

/**
 * The settlement of the stakes, which outlive the channel's own output: the bonds of a state on the chain,
 * and the seal. Takes back this side's part by the terms: its bond once the delay is over (`auditor`); the
 * maker's claim of the seal as soon as the channel's output is spent or expires; the miner's seal from its
 * expiry on, if unclaimed. Requests to cold keys are stored in the ledger as PSBTs.
 */
export class StakeSettlement {
  seal: SealStatus = 'none';
  /** The bonds of both sides on the chain; undefined until the close is in a block. */
  bonds: readonly BondCoin[] | undefined;
  readonly #role: ChannelRole;
  readonly #store: StakedStore;
  readonly #deps: StakeSettlementDeps;
  #isOver: boolean | undefined;
  #hasSearched = false;
  #sealGoneAtHeight: number | undefined;
  /** Height since which each side's bond is spent in a block. */
  readonly #goneAtHeight = new Map<ChannelRole, number>();

  constructor(role: ChannelRole, store: StakedStore, deps: StakeSettlementDeps) {
    this.#role = role;
    this.#store = store;
    this.#deps = deps;
  }

  /** Looks at the stakes; called after each tip. Throws `chain_unreachable`, `chain_rpc`. */
  async onTip(tip: ChainTip): Promise<void> {
    const { terms, assembled, channel, contractId } = this.#store;
    if (assembled === undefined || channel === undefined) return;
    if (channel.status === 'opening' || channel.status === 'failed') return;
    if (terms.seal === undefined && !hasBondOutputs(terms)) return;
    this.#isOver ??= (await this.#stored(REMAINS_KIND, contractId)) !== undefined;
    if (this.#isOver) return;
    const { params } = assembled;
    let isSealOver = false;
    let areBondsOver = false;
    // A failure of one must not hold up the other.
    try {
      isSealOver = await this.#lookAtSeal(params, tip, channel);
    } finally {
      areBondsOver = await this.#lookAtBonds(params, tip, channel);
    }
    if (!areBondsOver || !isSealOver || channel.status !== 'closed') return;
    this.#isOver = true;
    await optional(
      () => this.#deps.ledger.appendNow([remainsEntry(contractId)]),
      unstored(contractId, this.#deps.log),
    );
  }

  /** True where nothing is staked, or all of it is settled for good. */
  get isOver(): boolean {
    const { terms } = this.#store;
    return this.#isOver === true || (terms.seal === undefined && !hasBondOutputs(terms));
  }

  /** True while there are, or may be, bonds on the chain that only both sides together can spend. */
  get needsPeer(): boolean {
    if (bondsOf(this.#store.terms).bondMode !== 'hostage' || this.#isOver === true) return false;
    return this.bonds === undefined || this.bonds.length > this.#goneAtHeight.size;
  }

  /** True when no bond can move any more. */
  async #lookAtBonds(params: ChannelParams, tip: ChainTip, channel: ChannelRecord): Promise<boolean> {
    if (!hasBondOutputs(params.terms)) return true;
    if (!isEnding(channel)) return false;
    this.bonds ??= await this.#findBonds(params, channel);
    if (this.bonds === undefined) return false;
    let areGone = true;
    for (const coin of this.bonds) {
      if (!(await this.#lookAtBond(params, tip, coin))) areGone = false;
    }
    return areGone;
  }

  /** True when a block spends it for good. */
  async #lookAtBond(params: ChannelParams, tip: ChainTip, coin: BondCoin): Promise<boolean> {
    const { chain } = this.#deps;
    const inBlocks = await chain.txOut(coin.txid, coin.vout, false);
    if (inBlocks === undefined) return this.#isBondGone(tip, coin);
    this.#goneAtHeight.delete(coin.owner);
    const isWaiting = (await chain.txOut(coin.txid, coin.vout)) === undefined;
    const award = isWaiting ? undefined : await this.#awardOf(params, coin);
    if (award !== undefined) await this.#broadcast('bond_award', award);
    if (award !== undefined || coin.owner !== this.#role) return false;
    const bonds = bondsOf(params.terms);
    const csvBlocks = bonds.bondMode === 'auditor' ? bonds.bondCsvBlocks : undefined;
    const view = { spent: isWaiting ? 'in_mempool' : 'no', closeDepth: inBlocks.confirmations } as const;
    if (bondStep(view, csvBlocks) === 'wait') return false;
    const rate = await this.#feeRate();
    const request = (satPerKvb: number): SigningRequest => bondReturnRequest(params, coin, satPerKvb);
    await this.#send({
      ...{ what: `bond_return-${coin.txid.slice(0, 8)}`, rate, request },
      sign: (signer) => signAndFinalizeBondReturn(params, coin, rate, signer),
      finish: (satPerKvb, psbt) => {
        const signature = psbtSignature(request(satPerKvb), psbt, exitKeyOf(params, coin));
        return finalizeBondReturn(params, coin, satPerKvb, signature);
      },
    });
    return false;
  }

  /** The stored spend of a bond with two signatures: of both sides, or by a ruling. */
  async #awardOf(params: ChannelParams, coin: BondCoin): Promise<string | undefined> {
    const id = awardId(this.#store.contractId, coin);
    return (await this.#stored(AWARD_KIND, id)) ?? this.#askAuditor(params, coin);
  }

  /**
   * Reads a document of the own ledger; undefined where it cannot be read, which must not stop the
   * settlement.
   */
  #stored(kind: string, id: string): Promise<string | undefined> {
    const { contractId: contract } = this.#store;
    return optional(
      () => this.#deps.ledger.get(kind, id),
      ({ code, message: detail }) =>
        this.#deps.log.error(
          { contract, kind, code, detail },
          'the ledger cannot be read; gone on without',
        ),
    );
  }

  /**
   * Asks the auditor for a ruling that gives a bond to this side, where external signing is possible. The
   * spend with both signatures is stored.
   */
  async #askAuditor(params: ChannelParams, coin: BondCoin): Promise<string | undefined> {
    const { contract, contractId } = this.#store;
    const { externalSigning, log, signer } = this.#deps;
    if (externalSigning === undefined || contract === undefined) return undefined;
    if (bondKeyOf(params, 'auditor') === undefined) return undefined;
    const payee = this.#role;
    const spendAt = (feeRateSatPerKvb: number): BondSpend => ({ coin, payee, feeRateSatPerKvb });
    const answer = await requestExternalSignature(
      {
        ...{ contractId, what: `ruling-${coin.owner}-${coin.txid.slice(0, 8)}` },
        satPerKvb: await this.#feeRate(),
        request: (satPerKvb) => bondSpendRequest(params, spendAt(satPerKvb)),
        holder: signer.forChannel(contract.channelIndex),
      },
      this.#deps,
    );
    if (answer === undefined) return undefined;
    try {
      const side = { role: this.#role, store: this.#store };
      return await takeAuditorAward(side, spendAt(answer.satPerKvb), answer.signed, this.#deps);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      log.error(
        { contract: contractId, code: error.code, detail: error.message },
        'no ruling for this bond',
      );
      return undefined;
    }
  }

  /**
   * True once the spend of a bond is final. Where its close left the chain in a reorganisation the bonds
   * are looked for again.
   */
  async #isBondGone(tip: ChainTip, coin: BondCoin): Promise<boolean> {
    if ((await this.#deps.chain.confirmations(coin.txid)) === 0) {
      this.bonds = undefined;
      return false;
    }
    const sinceHeight = this.#goneAtHeight.get(coin.owner) ?? tip.height;
    this.#goneAtHeight.set(coin.owner, sinceHeight);
    return tip.height - sinceHeight + 1 >= FINAL_DEPTH;
  }

  /** The bonds of the close a block holds; undefined while none does, or it cannot be found. */
  async #findBonds(
    params: ChannelParams,
    channel: ChannelRecord,
  ): Promise<readonly BondCoin[] | undefined> {
    const { chain } = this.#deps;
    const { last } = this.#store;
    for (let rung = 0; last !== undefined && rung < last.signatures.length; rung += 1) {
      const coins = bondCoins(params, last.workHashes, rung);
      const [first] = coins;
      if (first === undefined) break;
      if ((await chain.txOut(first.txid, first.vout, false)) !== undefined) return coins;
    }
    if (channel.status === 'closed' && this.#hasSearched) return undefined;
    this.#hasSearched = true;
    const { fundingTxid, fundingVout } = channel;
    const spender = await chain.spender(fundingTxid, fundingVout, SEARCH_BLOCKS);
    if (spender === undefined || spender.confirmations === 0) return undefined;
    return bondsIn(params, Transaction.fromHex(spender.hex));
  }

  async #lookAtSeal(params: ChannelParams, tip: ChainTip, channel: ChannelRecord): Promise<boolean> {
    const { seal, funding } = params;
    if (seal === undefined) return true;
    const { chain } = this.#deps;
    const isUnspent = (await chain.txOut(funding.txid, seal.vout)) !== undefined;
    if (!isUnspent && channel.status === 'funding') return false;
    const isInBlocks = isUnspent || (await chain.txOut(funding.txid, seal.vout, false)) !== undefined;
    const spent = isUnspent ? 'no' : isInBlocks ? 'in_mempool' : 'in_block';
    this.seal = isUnspent ? 'intact' : await this.#sealSpentAs(params, seal.vout, spent === 'in_block');
    const isChannelMoving = isEnding(channel);
    const step = sealStep(
      this.#role,
      { spent, isClaim: this.seal === 'claimed', isChannelMoving },
      {
        height: tip.height,
        expiryHeight: params.terms.expiryHeight,
        sealExpiryHeight: sealExpiryHeight(params.terms),
      },
    );
    if (step === 'publish_claim') await this.#claimSeal(params);
    if (step === 'take_back') await this.#takeSealBack(params);
    if (spent !== 'in_block') {
      this.#sealGoneAtHeight = undefined;
      return false;
    }
    this.#sealGoneAtHeight ??= tip.height;
    return tip.height - this.#sealGoneAtHeight + 1 >= FINAL_DEPTH;
  }

  /** How the seal was spent: any claim of the maker pays the maker's next seal, at its second output. */
  async #sealSpentAs(params: ChannelParams, vout: number, isInBlock: boolean): Promise<SealStatus> {
    const { seal, funding } = params;
    // An unconfirmed spend may be replaced; one in a block is searched for once.
    if (isInBlock && this.#sealGoneAtHeight !== undefined) return this.seal;
    const spender = await this.#deps.chain.spender(funding.txid, vout, SEARCH_BLOCKS);
    if (spender === undefined || seal === undefined) return this.seal;
    const paid = Transaction.fromHex(spender.hex).outs[1];
    const isClaim = paid !== undefined && toHex(paid.script) === toHex(seal.nextScript);
    if (!isClaim) this.#deps.log.error({ contract: this.#store.contractId }, 'the seal went elsewhere');
    return isClaim ? 'claimed' : 'lost';
  }

  async #claimSeal(params: ChannelParams): Promise<void> {
    const { sealClaim: claim } = this.#store;
    if (claim === undefined) return;
    const request = (): SigningRequest => sealClaimRequest(params, claim);
    await this.#send({
      ...{ what: 'seal_claim', rate: 1000, request },
      sign: (signer) => signAndFinalizeSealClaim(params, claim, signer),
      finish: (_rate, psbt) =>
        finalizeSealClaim(params, claim, psbtSignature(request(), psbt, params.keys.makerSeal)),
    });
  }

  async #takeSealBack(params: ChannelParams): Promise<void> {
    const rate = Math.min(await this.#feeRate(), sealRateLimit(params));
    const request = (satPerKvb: number): SigningRequest => sealRefundRequest(params, satPerKvb);
    await this.#send({
      ...{ what: 'seal_refund', rate, request },
      sign: (signer) => signAndFinalizeSealRefund(params, rate, signer),
      finish: (satPerKvb, psbt) => {
        const signature = psbtSignature(request(satPerKvb), psbt, params.keys.minerSealExit);
        return finalizeSealRefund(params, satPerKvb, signature);
      },
    });
  }

  async #feeRate(): Promise<number> {
    return boundedRate(await this.#deps.chain.feeRateSatPerKvb(6));
  }

  /** Signs and broadcasts a spend; a cold key's signature is requested. Tried again at the next tip. */
  async #send(spend: ColdSpend): Promise<void> {
    const { contract, contractId } = this.#store;
    if (contract === undefined) return;
    const { what, rate: satPerKvb, request } = spend;
    const holder = this.#deps.signer.forChannel(contract.channelIndex);
    try {
      await this.#broadcast(what, spend.sign(holder).hex);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const { code, message: detail } = error;
      this.#deps.log.warn({ contract: contractId, what, code, detail }, 'not yet taken back');
      if (code !== 'cold_key') return;
      const answer = await requestExternalSignature(
        { contractId, what, satPerKvb, request, holder },
        this.#deps,
      );
      if (answer !== undefined)
        await this.#broadcast(what, spend.finish(answer.satPerKvb, answer.signed).hex);
    }
  }

  async #broadcast(what: string, hex: string): Promise<void> {
    const { contractId } = this.#store;
    const { chain, log } = this.#deps;
    try {
      const txid = await chain.broadcast(hex);
      log.info({ contract: contractId, what, txid }, 'took back what was left');
    } catch (error) {
      if (codeOf(error) !== 'tx_refused') throw error;
      log.warn({ contract: contractId, what, detail: (error as Error).message }, 'refused; tried again');
    }
  }
}

function isEnding({ status }: ChannelRecord): boolean {
  return status === 'closing' || status === 'closed';
}

/** A spend by this side alone, perhaps with a cold key. */
type ColdSpend = {
  readonly what: string;
  /** Fee rate in sat/kvB. */
  readonly rate: number;
  readonly sign: (signer: Signer) => SignedTransaction;
  readonly request: (satPerKvb: number) => SigningRequest;
  /** Completes the spend with the signature from a PSBT. */
  readonly finish: (satPerKvb: number, psbt: string) => SignedTransaction;
};

/** Greatest fee rate in sat/kvB at which the refund of a seal leaves the miner an output. */
function sealRateLimit(params: ChannelParams): number {
  const sealSat = Number(params.terms.seal?.sealSat ?? 0n);
  // A refund is under 140 vB; 330 sat is the most that is dust.
  return Math.max(1000, Math.floor(((sealSat - 330) * 1000) / 140));
}

/** Finds the bonds among the outputs of any state, by their scripts and the work of the state they fit. */
function bondsIn(params: ChannelParams, transaction: Transaction): readonly BondCoin[] {
  const { bonds } = channelFacts(params);
  if (bonds === undefined) return [];
  const txid = transaction.getId();
  const found = transaction.outs.flatMap(({ script, value }, vout) => {
    const text = toHex(script);
    const isBond = text === toHex(bonds.miner.outputScript) || text === toHex(bonds.maker.outputScript);
    return vout >= 2 && isBond ? [{ text, vout, valueSat: value }] : [];
  });
  return found.map(({ text, vout, valueSat }, position): BondCoin => {
    const owner = ownerOf(params, text, position, found.length);
    return { owner, txid, vout, valueSat, script: bonds[owner].script };
  });
}

/**
 * The owner of a bond. Where both have one script (`hostage`), the miner's comes first; alone it is the
 * larger one.
 */
function ownerOf(params: ChannelParams, script: string, position: number, count: number): ChannelRole {
  const { bonds } = channelFacts(params);
  if (bonds !== undefined && toHex(bonds.miner.outputScript) !== toHex(bonds.maker.outputScript)) {
    return script === toHex(bonds.miner.outputScript) ? 'miner' : 'maker';
  }
  if (count === 2) return position === 0 ? 'miner' : 'maker';
  const { collateralSat, makerBondSat } = bondsOf(params.terms);
  return collateralSat < makerBondSat ? 'maker' : 'miner';
}

import { Transaction } from 'bitcoinjs-lib';
import { equal, toHex } from '../base/bytes.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { DEFAULT_FEE_CAPS, mostFeeSat } from '../chain/fee-caps.ts';
import { climb, waitsFrom } from '../chain/fee-climb.ts';
import { rateOf } from '../chain/fee-rate.ts';
import { type ChainSource, type ChainTip, optional, type Spender, type Utxo } from '../chain/source.ts';
import { bondStep, sealStep } from '../chain/stake-watch.ts';
import { FINAL_DEPTH, shareOf } from '../chain/watcher.ts';
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
import { boundedRate, dustSat, ownerVsize, refundVsize, twoKeysVsize } from '../channel/sizes.ts';
import type { SignedTransaction } from '../channel/spend.ts';
import type { SignedState } from '../channel/states.ts';
import { bondsOf, hasBondOutputs, sealExpiryHeight } from '../contract/bond-terms.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { takeAuditorAward } from './auditor-awards.ts';
import { ChildPayer } from './child-payer.ts';
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
import { txidOfHex } from './transaction-facts.ts';

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
  /** See `ChildPayerDeps`. */
  readonly freeCoins?: () => Promise<readonly Utxo[]>;
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
  readonly #children: ChildPayer;
  /** What was bid last, by what it is for: a later start begins with what waits. */
  readonly #bids = new Map<string, { readonly txid: string; readonly since: number | undefined }>();
  /** The newest height, by which bids are counted. */
  #height = 0;
  /** What was logged last as sent, by what it is for. */
  readonly #told = new Map<string, string>();
  /** Height since which each side's bond is spent in a block. */
  readonly #goneAtHeight = new Map<ChannelRole, number>();

  constructor(role: ChannelRole, store: StakedStore, deps: StakeSettlementDeps) {
    this.#role = role;
    this.#store = store;
    this.#deps = deps;
    this.#children = new ChildPayer(deps);
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
    this.#height = await this.#newestHeight(tip);
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

  /** Looks may come late, one after the other: what was sent since waits for none of those blocks. */
  async #newestHeight({ height }: ChainTip): Promise<number> {
    const now = await optional(
      () => this.#deps.chain.tip(),
      () => {},
    );
    return Math.max(height, now?.height ?? 0);
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
    const waiting = await this.#waiting(coin);
    const award = await this.#awardOf(params, coin, waiting !== undefined);
    if (award !== undefined && (waiting === undefined || waiting.txid === txidOfHex(award))) {
      if (waiting === undefined) await this.#broadcast('bond_award', award);
      await this.#carryAward(coin, award, waiting?.waitingSince);
      return false;
    }
    if (coin.owner === this.#role) await this.#returnBond(params, coin, inBlocks.confirmations, waiting);
    return false;
  }

  /** Takes the own bond back alone, once its delay is over, and pays more while that waits. */
  async #returnBond(
    params: ChannelParams,
    coin: BondCoin,
    closeDepth: number,
    waiting: Partial<Spender> | undefined,
  ): Promise<void> {
    const bonds = bondsOf(params.terms);
    const csvBlocks = bonds.bondMode === 'auditor' ? bonds.bondCsvBlocks : undefined;
    const to = payoutOf(params, this.#role);
    const isOwn = waiting !== undefined && paysOnly(waiting, to);
    const view = { spent: waiting === undefined ? 'no' : 'in_mempool', isOwn, closeDepth } as const;
    if (bondStep(view, csvBlocks) === 'wait') return;
    const request = (satPerKvb: number): SigningRequest => bondReturnRequest(params, coin, satPerKvb);
    await this.#sweep({ valueSat: coin.valueSat, vsize: ownerVsize(coin.script, to), to }, waiting, {
      ...{ what: `bond_return-${coin.txid.slice(0, 8)}`, request },
      sign: (satPerKvb, signer) => signAndFinalizeBondReturn(params, coin, satPerKvb, signer),
      finish: (satPerKvb, psbt) => {
        const signature = psbtSignature(request(satPerKvb), psbt, exitKeyOf(params, coin));
        return finalizeBondReturn(params, coin, satPerKvb, signature);
      },
    });
  }

  /** Pays for a spend of a bond to this side, whose fee two signatures fixed. */
  async #carryAward(coin: BondCoin, hex: string, since: number | undefined): Promise<void> {
    const [output] = Transaction.fromHex(hex).outs;
    const feeSat = coin.valueSat - output!.value;
    const mostSat = shareOf(output!.value, MOST_DUST_SAT);
    await this.#children.pay({ what: 'bond_award', hex, feeSat, vout: 0, mostSat, since }, this.#height);
  }

  /** What spends an output and waits; undefined where nothing does. */
  async #waiting({ txid, vout }: Pick<BondCoin, 'txid' | 'vout'>): Promise<Partial<Spender> | undefined> {
    const { chain, log } = this.#deps;
    if ((await chain.txOut(txid, vout)) !== undefined) return undefined;
    const found = await optional(
      () => chain.spender(txid, vout, 0),
      ({ code, message: detail }) => log.warn({ code, detail }, 'what spends a stake is not told'),
    );
    return found ?? {};
  }

  /** The stored spend of a bond with two signatures: of both sides, or by a ruling. */
  async #awardOf(params: ChannelParams, coin: BondCoin, isWaiting: boolean): Promise<string | undefined> {
    const stored = await this.#stored(AWARD_KIND, awardId(this.#store.contractId, coin));
    return stored ?? (isWaiting ? undefined : this.#askAuditor(params, coin));
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
    const { externalSigning, signer } = this.#deps;
    if (externalSigning === undefined || contract === undefined) return undefined;
    if (bondKeyOf(params, 'auditor') === undefined) return undefined;
    const payee = this.#role;
    const spendAt = (feeRateSatPerKvb: number): BondSpend => ({ coin, payee, feeRateSatPerKvb });
    const vsize = twoKeysVsize(coin.script, payoutOf(params, payee));
    const mostSatPerKvb = rateOf(shareOf(coin.valueSat, MOST_DUST_SAT), vsize);
    const side = { role: this.#role, store: this.#store };
    return requestExternalSignature(
      {
        ...{ contractId, what: `ruling-${coin.owner}-${coin.txid.slice(0, 8)}` },
        satPerKvb: Math.min(await this.#feeRate(), mostSatPerKvb),
        request: (satPerKvb) => bondSpendRequest(params, spendAt(satPerKvb)),
        holder: signer.forChannel(contract.channelIndex),
        finish: (satPerKvb, signed) => takeAuditorAward(side, spendAt(satPerKvb), signed, this.#deps),
      },
      this.#deps,
    );
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
      if (coins.length === 0) break;
      // The other side may have its own by now, and the close be older than what is searched.
      for (const { txid, vout } of coins)
        if ((await chain.txOut(txid, vout, false)) !== undefined) return coins;
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
    const waiting =
      spent === 'in_mempool' ? await this.#waiting({ ...funding, vout: seal.vout }) : undefined;
    this.seal = isUnspent ? 'intact' : await this.#sealSpentAs(params, waiting);
    const isChannelMoving = isEnding(channel);
    const isOwn = waiting !== undefined && paysOnly(waiting, params.minerPayoutScript);
    const step = sealStep(
      this.#role,
      { spent, isOwn, isChannelMoving },
      {
        height: tip.height,
        expiryHeight: params.terms.expiryHeight,
        sealExpiryHeight: sealExpiryHeight(params.terms),
      },
    );
    if (step === 'publish_claim') await this.#claimSeal(params, waiting?.waitingSince);
    if (step === 'take_back') await this.#takeSealBack(params, waiting);
    if (spent !== 'in_block') {
      this.#sealGoneAtHeight = undefined;
      return false;
    }
    this.#sealGoneAtHeight ??= tip.height;
    return tip.height - this.#sealGoneAtHeight + 1 >= FINAL_DEPTH;
  }

  /**
   * How the seal was spent: any claim of the maker pays the maker's next seal, at its second output.
   * @param waiting what spends it in the mempool; undefined where a block does
   */
  async #sealSpentAs(params: ChannelParams, waiting: Partial<Spender> | undefined): Promise<SealStatus> {
    const { seal, funding } = params;
    // An unconfirmed spend may be replaced; one in a block is searched for once.
    if (waiting === undefined && this.#sealGoneAtHeight !== undefined) return this.seal;
    const spender = waiting ?? (await this.#deps.chain.spender(funding.txid, seal!.vout, SEARCH_BLOCKS));
    if (spender?.hex === undefined || seal === undefined) return this.seal;
    const paid = Transaction.fromHex(spender.hex).outs[1];
    const isClaim = paid !== undefined && toHex(paid.script) === toHex(seal.nextScript);
    if (!isClaim) this.#deps.log.error({ contract: this.#store.contractId }, 'the seal went elsewhere');
    return isClaim ? 'claimed' : 'lost';
  }

  /** Broadcasts the claim until a block holds it, and pays for it beyond the fee that the miner signed. */
  async #claimSeal(params: ChannelParams, since: number | undefined): Promise<void> {
    const { sealClaim: claim, terms, last } = this.#store;
    if (claim === undefined) return;
    const request = (): SigningRequest => sealClaimRequest(params, claim);
    const sent = await this.#send(1000, {
      ...{ what: 'seal_claim', request, isSent: this.seal === 'claimed' },
      sign: (_rate, signer) => signAndFinalizeSealClaim(params, claim, signer),
      finish: (_rate, psbt) =>
        finalizeSealClaim(params, claim, psbtSignature(request(), psbt, params.keys.makerSeal)),
    });
    if (sent === undefined) return;
    // Without the claim the shares that were paid for could be sold again.
    const outputSat = (last?.paidSat ?? 0n) + terms.seal!.sealSat;
    const left = sealExpiryHeight(terms) - this.#height;
    const caps = terms.version === 3 ? terms.feeCaps : DEFAULT_FEE_CAPS;
    const mostSat = mostFeeSat(caps, left, { outputSat, dustSat: MOST_DUST_SAT }) - sent.feeSat;
    await this.#children.pay({ what: 'seal_claim', ...sent, vout: 1, mostSat, since }, this.#height);
  }

  async #takeSealBack(params: ChannelParams, waiting: Partial<Spender> | undefined): Promise<void> {
    const request = (satPerKvb: number): SigningRequest => sealRefundRequest(params, satPerKvb);
    const { terms, minerPayoutScript: to } = params;
    const vsize = refundVsize(channelFacts(params).seal!.script, to);
    await this.#sweep({ valueSat: terms.seal!.sealSat, vsize, to }, waiting, {
      ...{ what: 'seal_refund', request },
      sign: (satPerKvb, signer) => signAndFinalizeSealRefund(params, satPerKvb, signer),
      finish: (satPerKvb, psbt) => {
        const signature = psbtSignature(request(satPerKvb), psbt, params.keys.minerSealExit);
        return finalizeSealRefund(params, satPerKvb, signature);
      },
    });
  }

  async #feeRate(): Promise<number> {
    return boundedRate(await this.#deps.chain.feeRateSatPerKvb(6));
  }

  /** Takes an output back by the own key, and bids more at each tip while that waits. */
  async #sweep(
    { valueSat, vsize, to }: { readonly valueSat: bigint; readonly vsize: number; readonly to: Uint8Array },
    waiting: Partial<Spender> | undefined,
    spend: ColdSpend,
  ): Promise<void> {
    const mostSat = shareOf(valueSat, dustSat(to));
    const paidSat = waiting?.hex === undefined ? 0n : valueSat - outSatOf(waiting.hex);
    const bid = this.#bids.get(spend.what);
    const known = bid?.txid === waiting?.txid ? bid?.since : undefined;
    const since = paidSat > 0n ? waitsFrom(known, waiting?.waitingSince) : undefined;
    const asked = { satPerKvb: await this.#feeRate(), height: this.#height };
    const { standing, satPerKvb, isNew } = climb({ vsize, mostSat }, { paidSat, since }, asked);
    if (!isNew) {
      if (waiting?.txid !== undefined)
        this.#bids.set(spend.what, { txid: waiting.txid, since: standing.since });
      return;
    }
    const sent = await this.#send(satPerKvb, spend, rateOf(mostSat, vsize));
    if (sent !== undefined) this.#bids.set(spend.what, { txid: sent.txid, since: standing.since });
  }

  /** Signs and broadcasts a spend; a cold key's signature is requested. Tried again at the next tip. */
  async #send(
    satPerKvb: number,
    spend: ColdSpend,
    mostSatPerKvb?: number,
  ): Promise<SignedTransaction | undefined> {
    const { contract, contractId } = this.#store;
    if (contract === undefined) return undefined;
    const { what, request, finish, isSent = false } = spend;
    const warn = ({ code, message: detail }: CodedError): void =>
      this.#deps.log.warn({ contract: contractId, what, code, detail }, 'not yet taken back');
    const holder = this.#deps.signer.forChannel(contract.channelIndex);
    let signed: SignedTransaction | undefined;
    try {
      signed = spend.sign(satPerKvb, holder);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      warn(error);
      if (error.code !== 'cold_key') return undefined;
      const rates = { satPerKvb, ...(mostSatPerKvb === undefined ? {} : { mostSatPerKvb }) };
      const asked = { contractId, what, ...rates, request, holder, finish };
      signed = await requestExternalSignature(asked, this.#deps);
    }
    if (signed !== undefined && !isSent)
      await optional(async () => this.#broadcast(what, signed.hex), warn);
    return signed;
  }

  async #broadcast(what: string, hex: string): Promise<void> {
    const { contractId } = this.#store;
    const { chain, log } = this.#deps;
    try {
      const txid = await chain.broadcast(hex);
      if (this.#told.get(what) !== txid)
        log.info({ contract: contractId, what, txid }, 'took back what was left');
      this.#told.set(what, txid);
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
  /** It waits in the mempool, and is only to be signed. Default: false. */
  readonly isSent?: boolean;
  /** Signs at a fee rate in sat/kvB. */
  readonly sign: (satPerKvb: number, signer: Signer) => SignedTransaction;
  readonly request: (satPerKvb: number) => SigningRequest;
  /** Completes the spend with the signature from a PSBT. */
  readonly finish: (satPerKvb: number, psbt: string) => SignedTransaction;
};

/** Of any kind of output script. */
export const MOST_DUST_SAT = 330n;

export function payoutOf(
  { minerPayoutScript, makerPayoutScript }: ChannelParams,
  role: ChannelRole,
): Uint8Array {
  return role === 'miner' ? minerPayoutScript : makerPayoutScript;
}

/** True where what waits pays all of it to one script. */
function paysOnly({ hex }: Partial<Spender>, script: Uint8Array): boolean {
  if (hex === undefined) return false;
  const { outs } = Transaction.fromHex(hex);
  return outs.length === 1 && equal(outs[0]!.script, script);
}

function outSatOf(hex: string): bigint {
  return Transaction.fromHex(hex).outs.reduce((sum, { value }) => sum + value, 0n);
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

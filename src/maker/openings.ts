import type { Clock } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import { type ChainSource, optional, type Utxo } from '../chain/source.ts';
import type { TipTracker } from '../chain/tip-tracker.ts';
import { listUtxos } from '../chain/wallet.ts';
import { channelIndexOf } from '../channel/channel-index.ts';
import { assertTimeToFund, isTooLateToBegin, isTooLateToFund } from '../channel/deadlines.ts';
import { contractIdOf } from '../contract/terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { FundingWallet } from '../settlement/funding-wallet.ts';
import { outpointName, type SignerTree, signTerms, verifyTermsSignature } from '../settlement/opening.ts';
import { type ContractRecord, contractEntry } from '../settlement/records.ts';
import { CoinHolds } from './coin-holds.ts';
import type { MakerChannel } from './maker-channel.ts';
import { acceptOpening, completeFunding, type MakerOpeningOptions, reservedBy } from './maker-opening.ts';
import { MakerStore, type MakerStoreDeps } from './maker-store.ts';
import { type HeldContract, heldContract, type JudgedAt, type Market } from './market.ts';
import { OpeningBudget, openingOutcome } from './opening-budget.ts';
import { assertRoom, type MakerPolicy } from './policy.ts';

export type OpeningsOptions = {
  readonly nodeId: string;
  readonly policy: () => MakerPolicy;
  readonly opening: MakerOpeningOptions;
  /** See `MakerOptions`. */
  readonly proposalTimeoutMs: number;
  readonly openingTimeoutMs: number;
};

export type OpeningsDeps = {
  readonly ledger: Ledger;
  readonly chain: ChainSource;
  readonly signer: SignerTree;
  readonly wallet?: FundingWallet;
  readonly clock: Clock;
  readonly log: Logger;
  readonly view: TipTracker;
  readonly storeDeps: MakerStoreDeps;
  /** All contracts, closed ones too. */
  readonly channels: ReadonlyMap<string, MakerChannel>;
  readonly market: Market;
  /** Adds the channel of a new contract to them. */
  readonly add: (store: MakerStore) => MakerChannel;
  /** Takes that of a proposal out of them again. */
  readonly forget: (contractId: string) => void;
  /** Counts a contract that is signed for a peer. Throws `too_often`. */
  readonly countProposal: (nodeId: string) => void;
};

/**
 * How contracts begin: proposals judged by the policy, channels opened and funded, one at a time, so that a
 * channel index or a coin is used once; and what becomes of those that nobody goes on with.
 */
export class Openings {
  /** While no block is heard of nothing begins. */
  isStalled = false;
  readonly #options: OpeningsOptions;
  readonly #deps: OpeningsDeps;
  readonly #budget: OpeningBudget;
  readonly #holds: CoinHolds;
  readonly #queue = new SerialQueue();
  /** Times in this run at which openings last went on. */
  readonly #openedAtMs = new Map<string, number>();
  /** Times of proposals in this run; a proposal of an earlier one holds no budget. */
  readonly #proposedAtMs = new WeakMap<MakerStore, number>();

  constructor(options: OpeningsOptions, deps: OpeningsDeps) {
    this.#options = options;
    this.#deps = deps;
    this.#budget = new OpeningBudget({ openingMs: options.openingTimeoutMs }, deps);
    this.#holds = new CoinHolds(deps);
  }

  /** Holds in the wallet what openings need: see `CoinHolds.restore`. */
  restore(stores: readonly MakerStore[]): Promise<void> {
    return this.#holds.restore(stores);
  }

  /** Runs a task while no opening goes on. */
  run<T>(task: () => Promise<T>): Promise<T> {
    return this.#queue.run(task);
  }

  /** Takes note of a contract that was added: an opening of an earlier run has its time from now. */
  noteAdded({ contractId, channel }: MakerStore): void {
    if (channel?.status === 'opening' || channel?.status === 'funding')
      this.#openedAtMs.set(contractId, this.#deps.clock.monotonicMs());
  }

  /** The channel of a peer's contract; contracts of others are unknown to it. Throws `unknown_channel`. */
  channelOf(contractId: string, nodeId: string): MakerChannel {
    const channel = this.#deps.channels.get(contractId);
    if (channel?.store.terms.minerNodeId !== nodeId) throw new CodedError('unknown_channel');
    return channel;
  }

  /**
   * Answers a proposal. The contract is stored before the signature is sent; the same terms again get the
   * same signature.
   */
  async propose(
    { terms, signature, quoteId }: Params<'contract.propose'>,
    nodeId: string,
  ): Promise<Result<'contract.propose'>> {
    const contractId = contractIdOf(terms);
    // Asked before the queue, so that an auditor that is slow holds up no other opening.
    if (!this.#deps.channels.has(contractId))
      await this.#deps.market.assertAuditor('proposal', terms.bonds, nodeId);
    return this.#queue.run(async () => {
      const known = this.#deps.channels.get(contractId);
      if (known !== undefined && known.store.terms.minerNodeId === nodeId) {
        return { contractId, signature: known.store.contract.makerSignature };
      }
      this.#assertChainMoves();
      const at = await this.#judgedAt(terms.binding.type);
      this.#deps.market.judge(terms, nodeId, at, quoteId);
      assertTimeToFund(terms, this.#options.opening.margins, at.height);
      verifyTermsSignature(terms, nodeId, signature);
      const forgotten = await MakerStore.load(contractId, this.#deps.storeDeps);
      if (forgotten !== undefined) return this.#remember(forgotten);
      this.#deps.countProposal(nodeId);
      const record: ContractRecord = {
        version: 1,
        role: 'maker',
        terms,
        minerSignature: signature,
        makerSignature: signTerms(terms, this.#deps.signer),
        channelIndex: channelIndexOf(contractId),
      };
      await this.#deps.ledger.appendNow([contractEntry(contractId, record)]);
      const store = MakerStore.create(contractId, record, this.#deps.storeDeps);
      if (quoteId !== undefined) this.#deps.market.quotes.remove(quoteId);
      return this.#remember(store);
    });
  }

  /** A proposal that holds its room from now on, whether it was signed now or before. */
  #remember(store: MakerStore): Result<'contract.propose'> {
    const { contractId, contract, terms } = store;
    this.#proposedAtMs.set(store, this.#deps.clock.monotonicMs());
    this.#deps.add(store);
    this.#deps.log.info({ contract: contractId, nodeId: terms.minerNodeId }, 'contract accepted');
    return { contractId, signature: contract.makerSignature };
  }

  /** Answers `market.quote`: see `Market.quote`. */
  async quote(params: Params<'market.quote'>, nodeId: string): Promise<Result<'market.quote'>> {
    this.#assertChainMoves();
    await this.#deps.market.assertAuditor('quote', params.request.bonds, nodeId);
    const at = await this.#judgedAt(params.request.binding);
    return this.#deps.market.quote(params, nodeId, at);
  }

  async #judgedAt(binding: string): Promise<JudgedAt> {
    const { height, hash } = await this.#deps.chain.tip();
    const tipBits = binding === 'bead' ? (await this.#deps.chain.header(hash))?.bits : undefined;
    return { height, tipBits };
  }

  /** The contracts that hold a budget: all that are not over, except proposals that timed out. */
  held(except?: string): readonly HeldContract[] {
    return [...this.#deps.channels.values()]
      .map(({ store }) => store)
      .filter((store) => {
        if (store.isClosed || store.contractId === except) return false;
        return !this.#isTimedOut(store);
      })
      .map(({ terms, delivery }) => {
        const isListed = this.#deps.market.isListed(terms.minerNodeId);
        return heldContract(terms, delivery.verifiedWorkHashes, isListed);
      });
  }

  /** True for a proposal that nobody opened in its time: it holds nothing. */
  #isTimedOut(store: MakerStore): boolean {
    const beforeMs = this.#deps.clock.monotonicMs() - this.#options.proposalTimeoutMs;
    return store.channel === undefined && (this.#proposedAtMs.get(store) ?? -Infinity) < beforeMs;
  }

  /**
   * Forgets proposals that timed out: those that are too late, and of each miner, and of all that are not
   * listed together, all but as many of the newest as they may have contracts. Proposed again they are judged
   * again, and the same.
   */
  #forget(): void {
    const { market, channels, forget, view } = this.#deps;
    const { margins } = this.#options.opening;
    const { height = 0 } = view.tip ?? {};
    const { maxOpenContractsPerMiner, strangers } = this.#options.policy();
    const kept = new Map<string, number>();
    for (const { store } of [...channels.values()].reverse()) {
      if (!this.#isTimedOut(store)) continue;
      const { minerNodeId } = store.terms;
      const isListed = market.isListed(minerNodeId);
      const [name, most] = isListed
        ? [minerNodeId, maxOpenContractsPerMiner]
        : ['', strangers?.maxContracts ?? 0];
      const count = (kept.get(name) ?? 0) + 1;
      if (isTooLateToFund(store.terms, margins, height) || count > most) forget(store.contractId);
      else kept.set(name, count);
    }
  }

  /**
   * Checks that a proposal may be opened: one that timed out is judged again as a proposal is, and a peer may
   * have one opening at a time.
   */
  async #assertMayOpen(store: MakerStore, names: readonly string[], nodeId: string): Promise<void> {
    this.#budget.assertFree(names);
    const isOpening = [...this.#deps.channels.values()].some(({ store: { terms, channel, stream } }) => {
      const isUnfunded = channel?.status === 'funding' && stream.fundingDepth === 0;
      return terms.minerNodeId === nodeId && (channel?.status === 'opening' || isUnfunded);
    });
    if (isOpening) throw new CodedError('wrong_status', 'another opening of this miner is not finished');
    const { terms, contractId } = store;
    const { market, view } = this.#deps;
    if (this.#isTimedOut(store)) {
      market.judge(terms, nodeId, await this.#judgedAt(terms.binding.type), undefined);
      return;
    }
    const held =
      view.tip === undefined
        ? market.held(nodeId, contractId)
        : market.heldBeside(terms, view.tip.height, contractId);
    assertRoom(this.#options.policy(), terms, held);
  }

  /** Checks that blocks come: by an old height nobody knows which deadlines are over. */
  #assertChainMoves(): void {
    if (this.isStalled) throw new CodedError('wrong_status', 'no block is heard of here');
  }

  /** Answers `channel.open`: see `acceptOpening`. */
  open(params: Params<'channel.open'>, nodeId: string): Promise<Result<'channel.open'>> {
    return this.#queue.run(async () => {
      this.#assertChainMoves();
      const { store } = this.channelOf(params.contractId, nodeId);
      if (store.channel === undefined) {
        await this.#assertMayOpen(store, namesOf(nodeId, params.funding.inputs), nodeId);
        this.#openedAtMs.set(store.contractId, this.#deps.clock.monotonicMs());
      }
      return acceptOpening(store, params, this.#reserved, this.#options.opening, {
        ...this.#deps,
        holds: this.#holds,
      });
    });
  }

  /** Outpoints of all channels that may still be funded. */
  get #reserved(): ReadonlySet<string> {
    return new Set([...this.#deps.channels.values()].flatMap((each) => reservedBy(each.store)));
  }

  /** Coins of the wallet key that no funding is to spend. */
  async freeCoins(): Promise<readonly Utxo[]> {
    const { chain, signer } = this.#deps;
    const coins = await listUtxos(chain, signer.publicKey('wallet'));
    const reserved = this.#reserved;
    return coins.filter((coin) => !reserved.has(outpointName(coin)));
  }

  /** Answers `channel.tx_signatures`: see `completeFunding`. */
  fund(params: Params<'channel.tx_signatures'>, nodeId: string): Promise<Result<'channel.tx_signatures'>> {
    return this.#queue.run(async () => {
      this.#assertChainMoves();
      const channel = this.channelOf(params.contractId, nodeId);
      const answer = await completeFunding(channel.store, params, this.#options.opening, this.#deps).catch(
        (error: unknown) => {
          // The miner has signed: it is the own wallet that takes its time.
          if (codeOf(error) === 'funding_unsigned')
            this.#openedAtMs.set(channel.store.contractId, this.#deps.clock.monotonicMs());
          throw error;
        },
      );
      channel.lookAtChain();
      return answer;
    });
  }

  /**
   * Gives up openings that the miner never signed, and takes note of those that came to their end: their
   * coins become free, and whoever asked for them has to wait.
   */
  giveUp(): void {
    const beforeMs = this.#deps.clock.monotonicMs() - this.#options.openingTimeoutMs;
    this.#queue
      .run(async () => {
        for (const { store } of this.#deps.channels.values()) {
          const isLate = (this.#openedAtMs.get(store.contractId) ?? 0) < beforeMs || this.#isTooLate(store);
          if (!isLate || store.channel?.status !== 'opening' || store.frozen !== undefined) continue;
          const reason = 'the miner never signed the funding';
          await optional(
            () => store.commit({ type: 'opening_given_up', reason }),
            ({ code }) => this.#deps.log.warn({ contract: store.contractId, code }, 'not given up yet'),
          );
        }
        for (const contractId of this.#openedAtMs.keys()) this.#judgeOpening(contractId);
        this.#forget();
        await this.#holds.sweep((contractId) => this.#deps.channels.get(contractId)?.store);
      })
      .catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
      });
  }

  /** True where an opening is refused by now, whoever asks. */
  #isTooLate({ terms }: MakerStore): boolean {
    const height = this.#deps.view.tip?.height;
    return height !== undefined && isTooLateToBegin(terms, this.#options.opening.margins, height);
  }

  /** Tells the budget what became of an opening, once. */
  #judgeOpening(contractId: string): void {
    const store = this.#deps.channels.get(contractId)?.store;
    const outcome = store === undefined ? 'forgotten' : openingOutcome(store);
    if (outcome === 'waits') return;
    this.#openedAtMs.delete(contractId);
    const inputs = store?.opening?.open.funding.inputs;
    if (store === undefined || inputs === undefined) return;
    const names = namesOf(store.terms.minerNodeId, inputs);
    if (outcome === 'failed') this.#budget.failed(names);
    else this.#budget.succeeded(names);
  }
}

/** What a budget of openings is kept for: the peer, and each coin that it names. */
function namesOf(nodeId: string, inputs: Params<'channel.open'>['funding']['inputs']): string[] {
  return [nodeId, ...inputs.map(outpointName)];
}

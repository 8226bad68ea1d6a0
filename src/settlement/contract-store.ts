import { assert } from '../base/assert.ts';
import type { Clock, Timers } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import type { WatchEffect } from '../chain/watcher.ts';
import {
  isSpent,
  isTooLateToOpen,
  restoreLifecycle,
  termEndOf,
  termPeriodOf,
  transition,
} from '../channel/lifecycle.ts';
import {
  type CloseRecord,
  type Fault,
  isStall,
  type LifecycleEffect,
  type LifecycleEvent,
  type LifecycleOptions,
  type LifecycleState,
  UNSIGNED,
} from '../channel/lifecycle-state.ts';
import type { SignedState } from '../channel/states.ts';
import { creditLimit } from '../contract/rate-limit.ts';
import type { StreamState } from '../contract/stream.ts';
import { type TermPeriod, VIEW_BLOCKS } from '../contract/term-clock.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { type AssembledChannel, assembleChannel } from './opening.ts';
import {
  BIDS_KIND,
  bidsBody,
  type ChannelRecord,
  type ContractRecord,
  channelEntry,
  type DeliveryRecord,
  equivocationEntry,
  NOTHING_DELIVERED,
  type OpeningRecord,
  openingEntry,
  type StoredContract,
  standingStatus,
  stateEntry,
  unstored,
  updatedContractEntry,
} from './records.ts';
import { vsizeOfHex } from './transaction-facts.ts';

export type ContractStoreDeps = {
  readonly ledger: Ledger;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
};

/** Longest wait in ms of an action on the chain for its record; a disk may answer late, or never. */
const RECORD_WAIT_MS = 2_000;

/** Effects that the watch of the chain performs; all others are the contract's own. */
const CHAIN_EFFECTS: ReadonlySet<string> = new Set<WatchEffect['type']>([
  'send_funding',
  'push_funding',
  'cancel_funding',
  'close_alone',
  'send_close',
  'pay_child',
  'refund',
  'final',
  'reopened',
  'over',
]);
/** Events of what is owed: pay for work that was taken, and a close. A stalled chain stops neither. */
const OWED: ReadonlySet<string> = new Set<LifecycleEvent['type']>([
  'state_stored',
  'state_acked',
  'close_signed',
  'close_built',
]);
/** Effects that the watch of the chain performs. */
export type ChainEffect = Extract<WatchEffect, LifecycleEffect>;
/** Effects that the contract's own code performs. */
export type ContractEffect = Exclude<LifecycleEffect, ChainEffect | { readonly type: 'persist' }>;

/**
 * The store of one contract, of either side, and the only place where its state machine runs. What the
 * other side relies on is on disk when `commit` resolves; actions on the chain go on from memory. A failed
 * write suspends the contract: no new promise is made until the program starts anew, which the daemon does
 * by itself once the disk takes writes again.
 */
export abstract class ContractStore {
  contract: ContractRecord | undefined;
  opening: OpeningRecord | undefined;
  assembled: AssembledChannel | undefined;
  fundingTx: string | undefined;
  delivery: DeliveryRecord = NOTHING_DELIVERED;
  /** Called with the effects outside the chain, once they may be performed. */
  onEffects: (effects: readonly ContractEffect[]) => void = () => {};
  /** The newest state on disk. */
  protected lastStored: SignedState | undefined;
  #verified: SignedState | undefined;
  #state: LifecycleState = UNSIGNED;
  #options: LifecycleOptions;
  readonly #deps: ContractStoreDeps;
  readonly #queue = new SerialQueue();
  /** True while a record of the chain was refused by a full queue; it is written with the next one. */
  #isUnstored = false;
  /** The bids that were written last, or are about to be. */
  #bids = bidsBody(UNSIGNED.watch);
  #bidsWritten: Promise<void> = Promise.resolve();

  readonly contractId: string;

  protected constructor(contractId: string, options: LifecycleOptions, deps: ContractStoreDeps) {
    this.contractId = contractId;
    this.#options = options;
    this.#deps = deps;
  }

  get terms(): ContractTerms {
    return this.#options.terms;
  }

  get options(): LifecycleOptions {
    return this.#options;
  }

  /** The state of the contract. */
  get state(): LifecycleState {
    return this.#state;
  }

  get stream(): StreamState {
    return this.#state.stream;
  }

  /** The blocks whose work is credited; undefined while their end is not known. */
  get period(): TermPeriod | undefined {
    return termPeriodOf(this.#options, this.#state);
  }

  /** Where the price moves: see `PriceKeeper`. */
  isUnpriced: (height: number) => boolean = () => false;

  /** The most work that is credited on blocks up to a height: see `creditLimit`. */
  creditLimit(height: number): bigint | undefined {
    return creditLimit(this.terms, this.#state.deepHeight, height);
  }

  /** True where the block clock of the terms ends the contract, or does so within the views of both sides. */
  get isTermOver(): boolean {
    return termEndOf(this.#options, this.#state, VIEW_BLOCKS) !== undefined;
  }

  /** The stored record of the channel; undefined before there is one. */
  get channel(): ChannelRecord | undefined {
    return this.#recordOf(this.#state);
  }

  /** The newest state on disk. */
  get last(): SignedState | undefined {
    return this.lastStored;
  }

  /** The newest state that passed all checks, on disk or not, acked or not; a close uses it. */
  get best(): SignedState | undefined {
    const { last } = this;
    const verified = this.#verified;
    return verified !== undefined && verified.n > (last?.n ?? -1) ? verified : last;
  }

  /** What keeps it from new promises and work: an own fault, or one of the other side; no stalled chain. */
  get fault(): Fault | undefined {
    const { fault } = this.#state;
    return isStall(fault) ? undefined : fault;
  }

  /** The fault in words. */
  get frozen(): CodedError | undefined {
    const { fault } = this;
    if (fault === undefined) return undefined;
    return fault.type === 'broken'
      ? new CodedError('equivocation', 'two contents for one state')
      : new CodedError('channel_frozen', fault.code);
  }

  /** True while a fault of our own, other than a stalled chain, holds the contract up. */
  get isSuspended(): boolean {
    return this.fault?.type === 'suspended';
  }

  get isSpent(): boolean {
    return isSpent(this.#state);
  }

  /** True while the own node shows the funding at the agreed depth. */
  get isDeep(): boolean {
    return this.stream.fundingDepth >= this.terms.minDepth;
  }

  /** Applies an event that changes nothing on disk. */
  apply(event: LifecycleEvent): void {
    const effects = this.#take(event);
    assert(effects[0]?.type !== 'persist', 'applied_event_is_not_stored', event.type);
    this.#tell(effects);
  }

  /**
   * Applies an event that is a promise or the answer to one. It is on disk, with its entries, when this
   * resolves; its effects are reported after that. Throws `channel_frozen`, `wrong_status`, and `overload`
   * with nothing changed.
   */
  commit(
    event: LifecycleEvent,
    entries: readonly LedgerEntry[] = [],
    onDisk: () => void = () => {},
  ): Promise<void> {
    return this.#queue.run(async () => {
      const { state, effects } = this.#step(event);
      if (entries.length > 0 || effects[0]?.type === 'persist') {
        await this.write([...entries, ...this.#channelEntries(state)], OWED.has(event.type));
      }
      onDisk();
      // Once more: the chain may have had its say while this was written.
      this.#tell(this.#take(event));
    });
  }

  /**
   * Applies an event of the chain, or of what is about to be done there: in memory at once, on disk as soon
   * as possible. Never fails, and limits its wait for the disk. Resolves with the effects due on the chain.
   */
  async record(
    event: LifecycleEvent,
    entries: readonly LedgerEntry[] = [],
  ): Promise<readonly ChainEffect[]> {
    const effects = this.#take(event);
    const isChanged = effects[0]?.type === 'persist' || entries.length > 0;
    if (isChanged || this.#isUnstored) await this.#writeSoon(entries);
    // What is bid waits for no record of it: without one a later start begins lower.
    else this.#writeBids();
    this.#tell(effects);
    return effects.filter((effect) => CHAIN_EFFECTS.has(effect.type)) as ChainEffect[];
  }

  /** Resolves once no change is on its way to the disk. */
  settled(): Promise<void> {
    return this.#queue.run(() => this.#bidsWritten);
  }

  /** Suspends the contract: no new promise, for a reason that passes or needs a person. A close goes on. */
  suspend(reason: CodedError): void {
    const isNew = this.#state.fault === undefined;
    this.apply({ type: 'suspended', code: codeOf(reason.cause ?? reason) });
    if (isNew) this.#logFault(reason);
  }

  /** Marks the chain as stalled, without news of blocks, or as live again: no new promise in between. */
  setStalled(isStalled: boolean): void {
    const code = 'chain_stalled';
    if (isStalled) this.suspend(new CodedError(code));
    else if (isStall(this.#state.fault)) void this.record({ type: 'resumed', code });
  }

  /** Stores two well signed contents for one number as proof. Throws `equivocation`. */
  protected async breakContract(held: SignedState, shown: SignedState, error: CodedError): Promise<never> {
    this.#logFault(error);
    const proof = equivocationEntry(this.contractId, held, shown);
    await this.record({ type: 'broken', code: codeOf(error) }, [proof]);
    throw error;
  }

  /** Stores both halves of the opening and state 0, which is verified; on disk when this resolves. */
  protected async agree(
    opening: OpeningRecord & { readonly accept: NonNullable<OpeningRecord['accept']> },
    assembled: AssembledChannel,
  ): Promise<void> {
    const { state0 } = opening.accept;
    const { contractId } = this;
    const { n, workHashes, paidSat } = state0;
    this.assembled = assembled;
    try {
      await this.commit(
        { type: 'opening_agreed', n, workHashes, paidSat },
        [openingEntry(contractId, opening), stateEntry(contractId, state0)],
        () => {
          this.opening = opening;
          this.lastStored = state0;
        },
      );
    } catch (error) {
      // Nothing may be signed for a channel whose state 0 is not on disk.
      this.assembled = undefined;
      throw error;
    }
  }

  /**
   * Stores a state that passed all checks; it is kept in memory for a close even where it cannot be stored,
   * or acked.
   */
  protected async saveState(state: SignedState, entries: readonly LedgerEntry[]): Promise<void> {
    this.#verified = state;
    const { n, workHashes, paidSat } = state;
    await this.commit({ type: 'state_stored', n, workHashes, paidSat }, entries, () => {
      this.lastStored = state;
    });
  }

  protected restore(
    stored: StoredContract | undefined,
    known: Pick<LifecycleState, 'workHashes' | 'ackedN' | 'claimedN' | 'notices'>,
  ): void {
    this.contract = stored?.contract;
    // With the updates that both signed.
    if (stored !== undefined) this.#options = { ...this.#options, terms: stored.contract.terms };
    this.fundingTx = stored?.fundingTx;
    this.delivery = stored?.delivery ?? NOTHING_DELIVERED;
    this.lastStored = stored?.last;
    if (this.opening?.accept) {
      this.assembled = assembleChannel(this.terms, this.opening.open, this.opening.accept);
    }
    const { channel } = stored ?? {};
    if (stored === undefined || channel === undefined) return;
    const { last } = stored;
    this.#state = restoreLifecycle(
      this.#options,
      {
        ...known,
        status: standingStatus(channel, this.fundingTx),
        reason: channel.reason,
        fault:
          stored.isBroken || channel.status === 'frozen'
            ? { type: 'broken', code: 'equivocation' }
            : undefined,
        close: closeOf(channel),
        askedHeight: channel.askedHeight,
        isOver: stored.isOver,
        bids: stored.bids,
        newest: last && { n: last.n, workHashes: last.workHashes, paidSat: last.paidSat },
      },
      this.#deps.clock.monotonicMs(),
    );
    this.#bids = bidsBody(this.#state.watch);
  }

  /**
   * Stores the terms with one more update, which both signed; on disk when this resolves, and everything
   * goes by them from then on. Throws `channel_frozen`, and `overload` with nothing changed.
   */
  async update(terms: ContractTerms, entries: readonly LedgerEntry[]): Promise<void> {
    const { contract } = this;
    assert(contract !== undefined, 'contract_before_update');
    await this.#queue.run(async () => {
      const record = { ...contract, terms };
      await this.write([updatedContractEntry(this.contractId, record), ...entries]);
      this.contract = record;
      this.#options = { ...this.#options, terms };
      if (this.assembled !== undefined)
        this.assembled = { ...this.assembled, params: { ...this.assembled.params, terms } };
      this.termsChanged();
      this.stateChanged();
    });
  }

  /** Called when the terms have one more update. */
  protected termsChanged(): void {}

  /** Writes what waits for no event. Throws as `update`. */
  async note(entries: readonly LedgerEntry[]): Promise<void> {
    await this.#queue.run(() => this.write(entries));
  }

  /** Throws `channel_frozen` where no new promise may be made. */
  assertThawed(): void {
    const { fault } = this.#state;
    if (fault !== undefined) throw new CodedError('channel_frozen', fault.code);
  }

  /** Throws `expiry_near` where a channel that waits for its funding comes too late to be opened. */
  assertOpenable(): void {
    const { status, tipHeight } = this.#state;
    if (status !== 'funding' || !isTooLateToOpen(this.#options, this.#state)) return;
    throw new CodedError('expiry_near', `block ${tipHeight} is too late to open the channel`);
  }

  /** Throws `channel_frozen` where not even what is owed already may be given: not for a stalled chain. */
  assertPaying(): void {
    if (!isStall(this.#state.fault)) this.assertThawed();
  }

  /** Throws `channel_frozen` where the other side broke the contract. */
  protected assertUnbroken(): void {
    if (this.#state.fault?.type === 'broken') this.assertThawed();
  }

  /**
   * Writes entries to the ledger. Throws `channel_frozen`, and `overload` with nothing changed.
   * @param isOwed for what is owed already, which is written also while the chain is stalled
   */
  protected async write(entries: readonly LedgerEntry[], isOwed = false): Promise<void> {
    if (isOwed) this.assertPaying();
    else this.assertThawed();
    await this.#append(entries);
  }

  #step(event: LifecycleEvent): ReturnType<typeof transition> {
    return transition(this.#options, this.#state, event, this.#deps.clock.monotonicMs());
  }

  #take(event: LifecycleEvent): readonly LifecycleEffect[] {
    const { state, effects } = this.#step(event);
    this.#state = state;
    this.stateChanged();
    return effects;
  }

  /** Called after each change of the state. */
  protected stateChanged(): void {}

  #tell(effects: readonly LifecycleEffect[]): void {
    const own = effects.filter(({ type }) => type !== 'persist' && !CHAIN_EFFECTS.has(type));
    if (own.length > 0) this.onEffects(own as ContractEffect[]);
  }

  async #writeSoon(entries: readonly LedgerEntry[]): Promise<void> {
    // Earlier writes are on disk by then, and this record has the state of that moment.
    this.#isUnstored = true;
    const written = this.#queue.run(async () => {
      const isNow = [...entries, ...this.#changedBids(), ...this.#channelEntries(this.#state)];
      this.#isUnstored = false;
      await this.#append(isNow).catch((error: unknown) => {
        this.#isUnstored = codeOf(error) === 'overload';
        if (this.#isUnstored) this.#bids = '';
        throw error;
      });
    });
    const late = Promise.withResolvers<void>();
    const timer = this.#deps.timers.after(RECORD_WAIT_MS, late.resolve);
    await Promise.race([written.catch(unstored(this.contractId, this.#deps.log)), late.promise]);
    timer.cancel();
  }

  /** In no queue: the record of a close that follows at once would wait for the disk behind it. */
  #writeBids(): void {
    const bids = this.#changedBids();
    if (bids.length === 0) return;
    this.#bidsWritten = this.#append(bids).catch((error: CodedError) => {
      if (codeOf(error) === 'overload') this.#bids = '';
      unstored(this.contractId, this.#deps.log)(error);
    });
  }

  async #append(entries: readonly LedgerEntry[]): Promise<void> {
    try {
      await this.#deps.ledger.appendNow(entries);
    } catch (error) {
      if (codeOf(error) === 'overload') throw error;
      const frozen = new CodedError('channel_frozen', codeOf(error), {}, { cause: error });
      this.suspend(frozen);
      throw frozen;
    }
  }

  /** What this side bids, where that is not on its way to the disk; it is then. */
  #changedBids(): readonly LedgerEntry[] {
    const body = bidsBody(this.#state.watch);
    if (this.assembled === undefined || body === this.#bids) return [];
    this.#bids = body;
    return [{ type: 'put', kind: BIDS_KIND, id: this.contractId, body }];
  }

  #channelEntries(state: LifecycleState): readonly LedgerEntry[] {
    const record = this.#recordOf(state);
    return record === undefined ? [] : [channelEntry(this.contractId, record)];
  }

  #recordOf({ status, reason, close, stream, askedHeight }: LifecycleState): ChannelRecord | undefined {
    const { signed } = stream;
    if (this.assembled === undefined || signed === undefined || status === 'proposed') return undefined;
    const { txid, vout } = this.assembled.funding;
    return {
      ...{ version: 1, role: this.#options.role, status, reason },
      ...{ fundingTxid: txid, fundingVout: vout },
      ...{ n: signed.n, workHashes: signed.workHashes, paidSat: signed.paidSat },
      closeTx: close?.transactionHex,
      closeFeeSat: close?.feeSat,
      ...(askedHeight === undefined ? {} : { askedHeight }),
    };
  }

  #logFault(reason: CodedError): void {
    const { code, message: detail } = reason;
    const fields = { contract: this.contractId, code, detail, expiryHeight: this.terms.expiryHeight };
    this.#deps.log.error(fields, 'nothing new is promised for this contract; its close stays armed');
  }
}

/** The close of a stored channel. */
function closeOf({ reason, closeTx, closeFeeSat, n: newest }: ChannelRecord): CloseRecord | undefined {
  if (closeFeeSat === undefined) return undefined;
  const kind = reason === 'cooperative' ? 'together' : reason === 'refund' ? 'refund' : 'state';
  const n = kind === 'refund' ? {} : { n: newest };
  if (closeTx === undefined)
    return { kind, transactionHex: undefined, ...n, feeSat: closeFeeSat, vsize: 0 };
  return { kind, transactionHex: closeTx, ...n, feeSat: closeFeeSat, vsize: vsizeOfHex(closeTx) };
}

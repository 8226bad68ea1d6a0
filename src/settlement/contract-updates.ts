import { assert } from '../base/assert.ts';
import { larger } from '../base/bigints.ts';
import { toHex } from '../base/bytes.ts';
import type { Random } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { SerialQueue } from '../base/serial-queue.ts';
import type { Signer } from '../channel/signer.ts';
import {
  signRevocation,
  signUpdate,
  verifyAgreed,
  verifyRevocation,
  verifyUpdate,
} from '../channel/update-signatures.ts';
import type { BlockSpan } from '../contract/block-drift.ts';
import { nodeIdOf, otherSide } from '../contract/sides.ts';
import { VIEW_BLOCKS } from '../contract/term-clock.ts';
import type { AgreedUpdate, Update, UpdateChange } from '../contract/update.ts';
import {
  transition,
  type UpdateEvent,
  type UpdateOptions,
  type UpdatesState,
  updateId,
} from '../contract/update-course.ts';
import { headOf, stepHashesOf, stopHeightOf, updatesOf } from '../contract/updated-terms.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { call, handler } from '../peer/calls.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { RpcHandlers, RpcPeer } from '../peer/rpc-peer.ts';
import type { ContractStore } from './contract-store.ts';
import { loadUpdates, updatesEntry } from './update-records.ts';

export type ContractUpdatesDeps = {
  readonly ledger: Ledger;
  readonly signer: Signer;
  readonly random: Random;
  readonly log: Logger;
};

/** What a side knows of the work of its contract. */
export type UpdateWork = {
  /** Work up to which this side is bound to the prices of now: credited, or delivered. */
  readonly boundHashes: () => bigint;
  /** The same where this side has signed before: credited, or paid. */
  readonly heldHashes: () => bigint;
  /** Holds back what is delivered, until what it gives is called. */
  readonly hold?: () => () => void;
};

/** An update that is wanted; without `fromHashes` it holds from the end of the step after the next on. */
export type WantedUpdate = UpdateChange & { readonly fromHashes?: bigint | undefined };

export type ContractUpdatesParts = {
  readonly store: ContractStore;
  readonly work: UpdateWork;
  /** Queue of all that changes the channel: nothing is signed or credited beside an update. */
  readonly serial: SerialQueue;
  /**
   * Holds what this side is about to sign to its limits, as terms are at an opening. Throws `bad_terms` with
   * the term, `maker_halted`, `no_price`. What both signed is not judged again.
   */
  readonly judge?: ((update: Update) => void) | undefined;
  /** Called after each change, also one that the other side made. */
  readonly onChange?: () => void;
};

/**
 * What the other side may do about updates.
 * @param updatesOf throws where it may not
 * @param drop ends the connection, where what comes next could go by other terms
 */
export function updateHandlers(
  updatesOf: (contractId: string) => ContractUpdates,
  drop: (contractId: string, error: CodedError) => void,
): RpcHandlers {
  return {
    'contract.update': handler('contract.update', async (asked) =>
      updatesOf(asked.contractId).answerUpdate(asked),
    ),
    'contract.confirm': handler('contract.confirm', async (asked) =>
      updatesOf(asked.contractId).answerConfirm(asked, (error) => drop(asked.contractId, error)),
    ),
    'contract.revoke': handler('contract.revoke', async (asked) =>
      updatesOf(asked.contractId).answerRevoke(asked),
    ),
  };
}

/**
 * The updates of one contract at one side: what waits is on disk before anybody hears of it, what both signed
 * before anything goes by it. All changes run in the queue of the channel; no question to the other side
 * does, which may ask the same meanwhile.
 */
export class ContractUpdates {
  readonly #parts: ContractUpdatesParts;
  readonly #deps: ContractUpdatesDeps;
  readonly #loaded: Promise<void>;
  #open: Pick<UpdatesState, 'pending' | 'revoked'> = { revoked: [] };
  #peer: RpcPeer | undefined;
  /** True where the other side connected without the feature. */
  #isOld = false;

  constructor(parts: ContractUpdatesParts, deps: ContractUpdatesDeps) {
    this.#parts = parts;
    this.#deps = deps;
    const { contractId } = parts.store;
    this.#loaded = loadUpdates(deps.ledger, contractId).then((open) => {
      this.#open = open;
    });
    this.#loaded.catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      deps.log.error({ contract: contractId, code: error.code }, 'what updates wait cannot be read');
    });
  }

  get state(): UpdatesState {
    return { ...this.#open, terms: this.#store.terms };
  }

  /**
   * The blocks that the contract was made to last, once their first is known, and where it stops: an update
   * may have said another block.
   */
  get blockClock(): { readonly span: BlockSpan | undefined; readonly stopHeight: number | undefined } {
    const { terms, state, period } = this.#store;
    const { start, durationBlocks } = terms.version === 3 ? terms : {};
    if (durationBlocks === undefined) return { span: undefined, stopHeight: stopHeightOf(terms) };
    const { deepHeight } = state;
    const fromHeight = deepHeight && Math.max(start?.notBeforeHeight ?? 0, deepHeight);
    return {
      span: fromHeight === undefined ? undefined : { fromHeight, durationBlocks },
      stopHeight: period?.end,
    };
  }

  /** The updates that both signed, for `channel.reestablish` with a peer that knows them. */
  shownTo(peer: RpcPeer): { readonly updates?: readonly AgreedUpdate[] } {
    const updates = updatesOf(this.#store.terms);
    return updates.length > 0 && peer.features.has('updates') ? { updates } : {};
  }

  /** The positions are exchanged: what waits by this side is told again. */
  connected(peer: RpcPeer): void {
    this.#isOld = !peer.features.has('updates');
    if (this.#isOld) return;
    this.#peer = peer;
    void peer.closed.then(() => {
      if (this.#peer === peer) this.#peer = undefined;
    });
    this.#loaded
      .then(() => this.#send(peer))
      .catch((error: unknown) => {
        if (!(error instanceof CodedError)) throw error;
        this.#deps.log.info({ code: error.code, detail: error.message }, 'an update was not taken');
      });
  }

  /**
   * Proposes an update: it waits on disk, and at the other side where that is connected. Throws what that
   * side refuses it with, after which it is taken back.
   */
  async propose(wanted: WantedUpdate): Promise<Update> {
    const update = await this.#run(() => this.#propose(wanted));
    if (this.#peer !== undefined) await this.#send(this.#peer);
    else if (this.#isOld) throw new CodedError('unsupported', 'the other side knows no updates: it waits');
    return update;
  }

  /** Confirms the update of the other side, which is told at once. Throws `update_unknown`. */
  async confirm(): Promise<Update> {
    let answer: Promise<void> | undefined;
    const update = await this.#run(async () => {
      const release = this.#work.hold?.();
      try {
        const confirmed = await this.#confirm();
        // Before any state or batch that goes by it.
        if (this.#peer !== undefined) answer = this.#tell(this.#peer, confirmed);
        return confirmed.update;
      } finally {
        release?.();
      }
    });
    await answer;
    return update;
  }

  /** Takes back, or refuses, the update that waits. Throws `update_unknown`, `peer_closed`. */
  async revoke(): Promise<void> {
    await this.#loaded;
    if (this.#peer === undefined) throw new CodedError('peer_closed', 'the other side is not connected');
    await this.#revoke(this.#peer);
  }

  /** Answers `contract.update`. */
  answerUpdate({ update, signature }: Params<'contract.update'>): Promise<Result<'contract.update'>> {
    return this.#run(async () => {
      verifyUpdate(update, this.#peerId, signature);
      this.#assertRunning();
      this.#assertStop(update);
      await this.#take({ type: 'proposed', by: 'peer', update, signature }, this.#work.boundHashes());
      return {};
    });
  }

  /** Answers `contract.confirm`. A failure ends the connection: what comes after it goes by the update. */
  answerConfirm(
    { update, signature }: Params<'contract.confirm'>,
    drop: (error: CodedError) => void,
  ): Promise<Result<'contract.confirm'>> {
    return this.#run(async () => {
      try {
        if (this.#isAwaited(update)) verifyUpdate(update, this.#peerId, signature);
        await this.#take({ type: 'confirmed', by: 'peer', update, signature }, this.#work.heldHashes());
        return {};
      } catch (error) {
        if (error instanceof CodedError) drop(error);
        throw error;
      }
    });
  }

  /** Answers `contract.revoke`: it never holds any more. Throws `update_agreed`. */
  answerRevoke({ hash, signature }: Params<'contract.revoke'>): Promise<Result<'contract.revoke'>> {
    return this.#run(async () => {
      verifyRevocation(hash, this.#peerId, signature);
      const own = signRevocation(hash, this.#deps.signer);
      await this.#take({ type: 'revoked', by: 'peer', hashHex: hash, signature });
      await this.#take({ type: 'revoked', by: 'own', hashHex: hash, signature: own });
      return { signature: own };
    });
  }

  /** Takes updates that both signed, as the other side shows them; within a task of the channel. */
  async takeShown(updates: readonly AgreedUpdate[] = []): Promise<void> {
    if (updates.length === 0) return;
    await this.#loaded;
    for (const each of updates) verifyAgreed(this.#store.terms, each);
    await this.#take({ type: 'shown', updates }, this.#work.heldHashes());
  }

  get #store(): ContractStore {
    return this.#parts.store;
  }

  get #work(): UpdateWork {
    return this.#parts.work;
  }

  #run<T>(task: () => Promise<T>): Promise<T> {
    return this.#parts.serial.run(async () => {
      await this.#loaded;
      return task();
    });
  }

  /** True for the own update that waits: of any other no signature counts. */
  #isAwaited(update: Update): boolean {
    const { pending } = this.#open;
    return pending?.by === 'own' && updateId(pending.update) === updateId(update);
  }

  /** Throws what `propose` would refuse an update with; signs nothing. */
  check(wanted: WantedUpdate): Update {
    this.#assertRunning();
    const { contractId, terms } = this.#store;
    const { fromHashes = this.#soonHashes, ...change } = wanted;
    const update: Update = {
      ...{ contractIdHex: contractId, previousHex: headOf(contractId, terms) },
      ...{ number: updatesOf(terms).length + 1, fromHashes, ...change },
      nonceHex: toHex(this.#deps.random.bytes(16)),
    };
    this.#assertStop(update);
    const event = { type: 'proposed', by: 'own', update, signature: '' } as const;
    transition(this.#options, this.state, event, this.#work.boundHashes());
    this.#judge(event);
    return update;
  }

  /** Two steps from here, and no less than where the newest update begins. */
  get #soonHashes(): bigint {
    const { terms } = this.#store;
    const beginHashes = updatesOf(terms).at(-1)?.update.fromHashes ?? 0n;
    return larger(this.#work.boundHashes() + 2n * stepHashesOf(terms), beginHashes);
  }

  async #propose(wanted: WantedUpdate): Promise<Update> {
    const update = this.check(wanted);
    const signature = signUpdate(update, this.#deps.signer);
    await this.#take({ type: 'proposed', by: 'own', update, signature }, this.#work.boundHashes());
    return update;
  }

  /** @returns the update with both signatures, as they are on disk: the events of both sides have these */
  async #confirm(): Promise<AgreedUpdate> {
    this.#assertRunning();
    const { pending } = this.#open;
    if (pending?.by !== 'peer') throw new CodedError('update_unknown');
    const { update } = pending;
    this.#assertStop(update);
    const signature = signUpdate(update, this.#deps.signer);
    await this.#take({ type: 'confirmed', by: 'own', update, signature }, this.#work.boundHashes());
    const agreed = updatesOf(this.#store.terms).find((each) => updateId(each.update) === updateId(update));
    assert(agreed !== undefined, 'confirmed_update_is_agreed', update.number);
    return agreed;
  }

  /** Tells the other side of what waits by this one. What it refuses is taken back, with its signature. */
  async #send(peer: RpcPeer): Promise<void> {
    const { pending } = this.#open;
    if (pending?.by !== 'own') return;
    const { update, signature } = pending;
    try {
      await call(peer, 'contract.update', { contractId: this.#store.contractId, update, signature });
    } catch (error) {
      if (!(error instanceof CodedError) || isOfConnection(error)) throw error;
      await this.#revoke(peer);
      throw error;
    }
  }

  /** Tells the other side that an update holds; where it does not follow, nothing more may be sent. */
  async #tell(peer: RpcPeer, { update, minerSignature, makerSignature }: AgreedUpdate): Promise<void> {
    // A signature made anew would be another one, and so would be the head of the events.
    const signature = this.#options.role === 'miner' ? minerSignature : makerSignature;
    const { contractId } = this.#store;
    await call(peer, 'contract.confirm', { contractId, update, signature }).catch((error: unknown) => {
      if (!(error instanceof CodedError)) throw error;
      this.#deps.log.warn({ contract: contractId, code: error.code }, 'a confirmed update is told again');
      peer.closeWithError(error);
    });
  }

  async #revoke(peer: RpcPeer): Promise<void> {
    const { pending } = this.#open;
    if (pending === undefined) throw new CodedError('update_unknown');
    const hash = updateId(pending.update);
    const signature = signRevocation(hash, this.#deps.signer);
    const { contractId } = this.#store;
    const answer = await call(peer, 'contract.revoke', { contractId, hash, signature });
    verifyRevocation(hash, this.#peerId, answer.signature);
    await this.#run(async () => {
      await this.#take({ type: 'revoked', by: 'own', hashHex: hash, signature });
      await this.#take({ type: 'revoked', by: 'peer', hashHex: hash, signature: answer.signature });
    });
  }

  async #take(event: UpdateEvent, workHashes = 0n): Promise<void> {
    const { contractId } = this.#store;
    const before = this.state;
    const { state, effects } = transition(this.#options, before, event, workHashes);
    if (state === before) return;
    this.#judge(event);
    const open = { revoked: state.revoked, ...(state.pending && { pending: state.pending }) };
    const entries = [updatesEntry(contractId, open)];
    if (effects.length > 0) await this.#store.update(state.terms, entries);
    else await this.#store.note(entries);
    this.#open = open;
    this.#parts.onChange?.();
    for (const { update } of effects) {
      const { number, fromHashes } = update.update;
      this.#deps.log.info({ contract: contractId, number, fromHashes }, 'an update holds');
    }
  }

  /** What the other side confirms was judged when this side signed it. */
  #judge(event: UpdateEvent): void {
    if (event.type === 'proposed' || (event.type === 'confirmed' && event.by === 'own'))
      this.#parts.judge?.(event.update);
  }

  get #options(): UpdateOptions {
    const { contractId, contract } = this.#store;
    if (contract === undefined) throw new CodedError('wrong_status', 'nothing is signed yet');
    return { contractId, role: contract.role };
  }

  get #peerId(): string {
    return nodeIdOf(this.#store.terms, otherSide(this.#options.role));
  }

  #assertRunning(): void {
    const { stream, channel } = this.#store;
    if (channel?.status !== 'open' || stream.endReason !== undefined || stream.status === 'ended')
      throw new CodedError('wrong_status', 'only a running contract is updated');
  }

  /** Work on blocks that one side may know of already stays as it was agreed. */
  #assertStop({ stopHeight }: Update): void {
    const { tipHeight = 0 } = this.#store.state;
    if (stopHeight !== undefined && stopHeight <= tipHeight + 2 * VIEW_BLOCKS)
      throw new CodedError('update_late', `block ${stopHeight} is too near`);
  }
}

/** True for what says nothing of the update. */
function isOfConnection({ code }: CodedError): boolean {
  return code === 'peer_closed' || code === 'peer_timeout' || code === 'overload';
}

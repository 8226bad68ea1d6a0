import { assert } from '../base/assert.ts';
import type { Clock } from '../base/clock.ts';
import { CodedError, codeOf } from '../base/errors.ts';
import type { SignedSealClaim } from '../channel/seal.ts';
import { type SignedState, verifySignedState, verifyState } from '../channel/states.ts';
import {
  isDelivering,
  PENDING_STREAM,
  type StreamEffect,
  type StreamEvent,
  type StreamState,
  transition,
} from '../contract/stream.ts';
import { type ContractTerms, contractIdOf } from '../contract/terms.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { STREAM_KIND } from '../work/evidence.ts';
import { parseStreamTotal, type StreamTotal } from '../work/meters.ts';
import { awaitRecord, Serial } from './calls.ts';
import { type AssembledChannel, assembleChannel } from './opening.ts';
import {
  bodyOf,
  type ChannelRecord,
  type ChannelStatus,
  type ContractRecord,
  channelEntry,
  contractEntry,
  type DeliveryRecord,
  deliveryEntry,
  equivocationEntry,
  fundingEntry,
  isBroken,
  loadContract,
  loadOpening,
  NOTHING_DELIVERED,
  nextChannelIndex,
  type OpeningRecord,
  openingEntry,
  parseBody,
  SEAL_KIND,
  type StatusChange,
  stateEntry,
  unstored,
} from './records.ts';
import { type ClaimPoint, claimPointCodec } from './seal-codecs.ts';

export type MinerBookOptions = {
  readonly terms: ContractTerms;
  /**
   * Work the maker may refuse, as a part of all own work in percent, before delivery pauses; one step is
   * always allowed.
   */
  readonly maxRefusedPercent: number;
  /** See `StreamOptions`. */
  readonly unpaidTimeoutMs?: number;
};

export type MinerBookDeps = { readonly ledger: Ledger; readonly clock: Clock; readonly log: Logger };

/**
 * The miner's durable memory of one contract. Every method that the maker will rely on resolves only once
 * its records are on
 * disk; a write that fails freezes the book until the program starts anew. Frozen, it makes no new promise;
 * what is due on the chain goes on from memory.
 */
export class MinerBook {
  readonly contractId: string;
  readonly terms: ContractTerms;
  contract: ContractRecord | undefined;
  opening: OpeningRecord | undefined;
  assembled: AssembledChannel | undefined;
  fundingTx: string | undefined;
  channel: ChannelRecord | undefined;
  /** The newest state on disk. */
  last: SignedState | undefined;
  delivery: DeliveryRecord = NOTHING_DELIVERED;
  /** The newest claim given, from before the funding is signed on, where there is a seal. */
  claimed: ClaimPoint | undefined;
  stream: StreamState = PENDING_STREAM;
  /** The durable total of the own evidence. */
  own: StreamTotal = { seq: 0, workHashes: 0n };
  frozen: CodedError | undefined;
  readonly #options: MinerBookOptions;
  readonly #deps: MinerBookDeps;
  readonly #serial = new Serial();
  /** Newer than `last` while it is written, and for good where that failed. */
  #verified: SignedState | undefined;

  private constructor(options: MinerBookOptions, deps: MinerBookDeps) {
    this.#options = options;
    this.#deps = deps;
    this.terms = options.terms;
    this.contractId = contractIdOf(options.terms);
  }

  /**
   * The book as the ledger has it. Throws `ledger_corrupt`, `bad_signature` for a stored state that does
   * not verify.
   */
  static async load(options: MinerBookOptions, deps: MinerBookDeps): Promise<MinerBook> {
    const book = new MinerBook(options, deps);
    const { contractId } = book;
    const stored = await loadContract(deps.ledger, contractId);
    book.contract = stored?.contract;
    book.opening = await loadOpening(deps.ledger, contractId);
    book.fundingTx = stored?.fundingTx;
    book.channel = stored?.channel;
    book.last = stored?.last;
    book.delivery = stored?.delivery ?? NOTHING_DELIVERED;
    const claimed = await deps.ledger.get(SEAL_KIND, contractId);
    if (claimed !== undefined) book.claimed = parseBody(SEAL_KIND, claimPointCodec, claimed);
    const total = await deps.ledger.get(STREAM_KIND, contractId);
    if (total !== undefined) book.own = parseStreamTotal(contractId, total);
    if (book.opening?.accept) {
      book.assembled = assembleChannel(options.terms, book.opening.open, book.opening.accept);
    }
    book.#restoreStream(await isBroken(deps.ledger, contractId));
    return book;
  }

  /** The newest state that passed all checks, on disk or not, acked or not: a close is by this one. */
  get best(): SignedState | undefined {
    const { last } = this;
    const verified = this.#verified;
    return verified !== undefined && verified.n > (last?.n ?? -1) ? verified : last;
  }

  /** `broken`: the maker signed two contents for one number. `suspended`: something here failed. */
  get trouble(): 'suspended' | 'broken' | undefined {
    if (this.frozen === undefined) return undefined;
    return this.frozen.code === 'equivocation' ? 'broken' : 'suspended';
  }

  /** The newest claim of the seal. */
  get sealClaim(): SignedSealClaim | undefined {
    return this.claimed?.claim;
  }

  /** True while hashrate may go to this contract: never while its funding lacks depth, as after a reorg. */
  get live(): boolean {
    if (this.frozen !== undefined || this.channel?.status !== 'open') return false;
    return isDelivering(this.stream) && this.stream.fundingDepth >= this.terms.minDepth;
  }

  /** Work the maker judged and did not credit. */
  get refusedWorkHashes(): bigint {
    const { ownWorkHashes, verifiedWorkHashes } = this.delivery;
    return ownWorkHashes > verifiedWorkHashes ? ownWorkHashes - verifiedWorkHashes : 0n;
  }

  /** One event of the stream; the effects are for the caller to follow. */
  apply(event: StreamEvent): readonly StreamEffect[] {
    const { unpaidTimeoutMs } = this.#options;
    const options = {
      terms: this.terms,
      role: 'miner' as const,
      ...(unpaidTimeoutMs === undefined ? {} : { unpaidTimeoutMs }),
    };
    const { state, effects } = transition(options, this.stream, event, this.#deps.clock.nowMs());
    this.stream = state;
    return effects;
  }

  /** Own work became durable, or the maker judged some: exposure follows. */
  workChanged(total: StreamTotal = this.own): readonly StreamEffect[] {
    if (total.seq >= this.own.seq) this.own = total;
    if (!this.stream.opened) return [];
    const refused = this.refusedWorkHashes;
    const percent = BigInt(Math.floor(this.#options.maxRefusedPercent));
    const allowance = (this.own.workHashes * percent) / 100n;
    const tooMuch = refused > (allowance > this.terms.stepHashes ? allowance : this.terms.stepHashes);
    const effects = [...this.apply({ type: tooMuch ? 'pause' : 'resume' })];
    const owedWork = this.own.workHashes > refused ? this.own.workHashes - refused : 0n;
    effects.push(...this.apply({ type: 'work_verified', workHashes: owedWork }));
    return effects;
  }

  /** Both signed the terms. */
  async accept(minerSignature: string, makerSignature: string): Promise<void> {
    const record: ContractRecord = {
      version: 1,
      role: 'miner',
      terms: this.terms,
      minerSignature,
      makerSignature,
      channelIndex: await nextChannelIndex(this.#deps.ledger),
    };
    await this.#write([contractEntry(this.contractId, record)]);
    this.contract = record;
  }

  /** What the maker is about to be offered, kept so that a second offer is the same. */
  async saveOffer(open: OpeningRecord['open']): Promise<void> {
    const record: OpeningRecord = { version: 1, open, accept: null };
    await this.#write([openingEntry(this.contractId, record)]);
    this.opening = record;
  }

  /** State 0 is verified here, and on disk when this resolves: only then may the own inputs be signed. */
  async saveAcceptance(
    accept: NonNullable<OpeningRecord['accept']>,
    assembled: AssembledChannel,
  ): Promise<void> {
    assert(this.opening !== undefined, 'miner_offer_before_acceptance');
    const { state0 } = accept;
    verifyState(assembled.params, undefined, state0);
    const opening: OpeningRecord = { ...this.opening, accept };
    const channel: ChannelRecord = {
      version: 1,
      role: 'miner',
      status: 'opening',
      reason: '',
      fundingTxid: assembled.funding.txid,
      fundingVout: assembled.funding.vout,
      n: state0.n,
      workHashes: state0.workHashes,
      paidSat: state0.paidSat,
      closeTx: null,
      closeFeeSat: null,
    };
    await this.#write([
      openingEntry(this.contractId, opening),
      stateEntry(this.contractId, state0),
      channelEntry(this.contractId, channel),
    ]);
    Object.assign(this, { opening, channel, assembled, last: state0 });
    this.apply({ type: 'state_signed', ...pointOf(state0) });
  }

  /** A claim about to be given; on disk when this resolves. */
  async saveClaim(claimed: ClaimPoint): Promise<void> {
    if (claimed === this.claimed) return;
    const body = bodyOf(claimPointCodec, claimed);
    await this.#write([{ op: 'put', kind: SEAL_KIND, id: this.contractId, body }]);
    this.claimed = claimed;
  }

  async saveFunding(fundingTx: string): Promise<void> {
    await this.#change({ status: 'funding' }, [fundingEntry(this.contractId, fundingTx)]);
    this.fundingTx = fundingTx;
  }

  /** Before something is promised: on disk when it resolves. Throws `channel_frozen`. */
  async setStatus(status: ChannelStatus, change: StatusChange = {}): Promise<void> {
    await this.#change({ ...change, status }, []);
    if (status === 'closed') this.apply({ type: 'closed' });
  }

  /**
   * What the chain shows, or what is about to be done there: so at once, and on disk as soon as that can be.
   * Never fails, and waits for the disk no longer than it may.
   */
  async record(
    status: ChannelStatus,
    change: StatusChange = {},
    entries: readonly LedgerEntry[] = [],
  ): Promise<void> {
    assert(this.channel !== undefined, 'miner_channel_record');
    const changed = (): ChannelRecord => ({ ...this.channel!, ...change, status });
    this.channel = changed();
    if (status === 'closed') this.apply({ type: 'closed' });
    const written = this.#serial.run(async () => {
      // A change that was on its way before is on disk by now.
      this.channel = changed();
      await this.#append([...entries, channelEntry(this.contractId, this.channel)]);
    });
    const { log } = this.#deps;
    await awaitRecord(written.catch(unstored(this.contractId, log)));
  }

  /**
   * The next state from the maker: checked against the last one and the own evidence, on disk when this
   * resolves. Throws as
   * `verifyState`, `bad_amount` for more work than was delivered, `channel_frozen`.
   */
  async takeState(next: SignedState): Promise<readonly StreamEffect[]> {
    this.#assertUnbroken();
    assert(this.assembled !== undefined && this.last !== undefined, 'miner_channel_before_state');
    const isSame = (await this.#compared(next)) === 'same';
    if (isSame && next.n === this.last.n) return [];
    if (next.workHashes > this.own.workHashes) {
      throw new CodedError('bad_amount', `state ${next.n} is of more work than was delivered`);
    }
    if (this.sealClaim?.n === next.n && this.sealClaim.workHashes !== next.workHashes) {
      throw new CodedError('bad_amount', `state ${next.n} does not pay what was claimed`);
    }
    return this.#saveState(next);
  }

  /**
   * A newer state that the maker still has and this side lost. It may skip numbers, and may be of work
   * whose evidence is lost
   * here too. Throws as `verifySignedState`, `not_monotone`, `equivocation`.
   */
  async adoptState(shown: SignedState): Promise<readonly StreamEffect[]> {
    this.#assertUnbroken();
    const { best } = this;
    assert(this.assembled !== undefined && best !== undefined, 'miner_channel_before_state');
    if (shown.n === best.n) {
      await this.#compared(shown);
      return shown.n === this.last?.n ? [] : this.#saveState(shown);
    }
    verifySignedState(this.assembled.params, shown);
    if (shown.n < best.n || shown.workHashes <= best.workHashes) {
      throw new CodedError('not_monotone', `state ${shown.n} is not above state ${best.n}`);
    }
    return this.#saveState(shown);
  }

  /** How far the maker has judged; kept in memory, and on disk with the next state. */
  delivered(nextSeq: number, ownWorkHashes: bigint, verifiedWorkHashes: bigint): readonly StreamEffect[] {
    this.delivery = { ...NOTHING_DELIVERED, nextSeq, ownWorkHashes, verifiedWorkHashes };
    return this.workChanged();
  }

  /**
   * Stops every new promise for a reason that a human must look at; the close is not one. A broken contract
   * stays so.
   */
  freeze(reason: CodedError): void {
    if (this.trouble === 'broken' || (this.frozen !== undefined && reason.code !== 'equivocation')) return;
    this.frozen = reason;
    const fields = { contract: this.contractId, code: reason.code, detail: reason.message };
    this.#deps.log.error(
      { ...fields, trouble: this.trouble, expiryHeight: this.terms.expiryHeight },
      'no more work for this contract; its close stays armed',
    );
  }

  async #compared(next: SignedState): Promise<'next' | 'same'> {
    const { best, channel } = this;
    assert(this.assembled !== undefined && best !== undefined && channel, 'miner_channel_before_state');
    try {
      return verifyState(this.assembled.params, best, next);
    } catch (error) {
      if (codeOf(error) === 'equivocation') {
        this.freeze(error as CodedError);
        const isClosing = channel.status === 'closing' || channel.status === 'closed';
        const proof = [equivocationEntry(this.contractId, best, next)];
        if (isClosing) await this.record(channel.status, {}, proof);
        else await this.record('frozen', { reason: `two contents for state ${next.n}` }, proof);
      }
      throw error;
    }
  }

  /** Of a state that passed all checks: it is kept for a close even where it cannot be stored, or acked. */
  async #saveState(state: SignedState): Promise<readonly StreamEffect[]> {
    this.#verified = state;
    const entries = [stateEntry(this.contractId, state), deliveryEntry(this.contractId, this.delivery)];
    await this.#change(pointOf(state), entries, () => {
      this.last = state;
    });
    return this.apply({ type: 'state_signed', ...pointOf(state) });
  }

  /** Changes the channel record, one change at a time, together with other entries. */
  #change(
    change: Partial<ChannelRecord>,
    entries: readonly LedgerEntry[],
    onDisk: () => void = () => {},
  ): Promise<void> {
    return this.#serial.run(async () => {
      assert(this.channel !== undefined, 'miner_channel_record');
      const channel = { ...this.channel, ...change };
      await this.#write([...entries, channelEntry(this.contractId, channel)]);
      // What the chain showed in the meantime is kept.
      this.channel = { ...this.channel, ...change };
      onDisk();
    });
  }

  #assertThawed(): void {
    if (this.frozen !== undefined) throw new CodedError('channel_frozen', this.frozen.code);
  }

  #assertUnbroken(): void {
    if (this.trouble === 'broken') this.#assertThawed();
  }

  async #write(entries: readonly LedgerEntry[]): Promise<void> {
    this.#assertThawed();
    await this.#append(entries);
  }

  /** Also while it is frozen: for what is so, whether or not it can be written. */
  async #append(entries: readonly LedgerEntry[]): Promise<void> {
    try {
      await this.#deps.ledger.appendNow(entries);
    } catch (error) {
      if (codeOf(error) === 'overload') throw error;
      const frozen = new CodedError('channel_frozen', codeOf(error), {}, { cause: error });
      this.freeze(frozen);
      throw frozen;
    }
  }

  #restoreStream(isBroken: boolean): void {
    const { channel, last } = this;
    if (last !== undefined) this.apply({ type: 'state_signed', ...pointOf(last) });
    if (channel === undefined) return;
    if (isBroken || channel.status === 'frozen') {
      this.freeze(new CodedError('equivocation', channel.reason));
    }
    if (channel.status === 'open' || channel.status === 'closing') this.apply({ type: 'channel_open' });
    if (channel.status === 'closed') this.apply({ type: 'closed' });
  }
}

function pointOf(state: SignedState): { n: number; workHashes: bigint; paidSat: bigint } {
  return { n: state.n, workHashes: state.workHashes, paidSat: state.paidSat };
}

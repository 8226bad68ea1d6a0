import type { Clock, Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import { workOfTarget } from '../bitcoin/target.ts';
import { verifyCommitment } from '../channel/commitment.ts';
import {
  type MeteringEvent,
  type MeteringOptions,
  type MeteringState,
  NOTHING_METERED,
  transition,
} from '../contract/metering.ts';
import { EVERY_BLOCK } from '../contract/term-clock.ts';
import { easiestTarget } from '../contract/terms-access.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import { call } from '../peer/calls.ts';
import type { CommitmentRecord } from '../peer/commitment-codecs.ts';
import type { Params, Result } from '../peer/messages.ts';
import type { RpcPeer } from '../peer/rpc-peer.ts';
import {
  type CommitmentFormat,
  commitmentEntry,
  commitmentOf,
  formatOf,
  isOfFormat,
} from '../settlement/commitments.ts';
import { loadMetering, meteredEntry, type StoredMetering } from '../settlement/metering-records.ts';
import type { SignerTree } from '../settlement/opening.ts';
import { deliveryEntry } from '../settlement/records.ts';
import type { JobId } from '../stratum/job-id.ts';
import { JOB_KIND } from '../work/evidence.ts';
import {
  BatchVerifier,
  type BatchVerifierDeps,
  type BatchVerifierOptions,
  type CreditStore,
} from './batch-verifier.ts';
import { type Credit, creditEntries, makerJobKey } from './credit-entries.ts';
import { coinbaseBinding } from './job-binding.ts';
import { MakerCommitments } from './maker-commitments.ts';

export type MakerMeterDeps = Pick<BatchVerifierDeps, 'view' | 'verifier' | 'clock' | 'timers'> & {
  readonly ledger: Ledger;
  readonly signer: SignerTree;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Logger;
  readonly onChange: () => void;
};

/** Nothing is to be closed before the expiry. */
const NO_MARGINS = { askBlocks: 0, urgentBlocks: 0 };

/**
 * The maker's side of one metering: verifies shares as for a channel, and has the miner sign each total. One
 * task at a time; what is answered is on disk.
 */
export class MakerMeter implements CreditStore {
  readonly period = EVERY_BLOCK;
  /** Nothing is promised, and nothing refused for being too much. */
  readonly creditLimit = (): undefined => undefined;
  readonly isUnpriced = (): boolean => false;
  readonly contractId: string;
  readonly terms: StoredMetering['record']['terms'];
  readonly record: StoredMetering['record'];
  readonly options = { margins: NO_MARGINS };
  readonly batchVerifier: BatchVerifier;
  delivery: StoredMetering['delivery'];
  readonly #deps: MakerMeterDeps;
  readonly #serial = new SerialQueue();
  readonly #commitments: MakerCommitments;
  #evidence: StoredMetering['total'];
  readonly #machine: MeteringOptions;
  #state: MeteringState;
  #peer: RpcPeer | undefined;

  private constructor(
    stored: StoredMetering,
    commitments: MakerCommitments,
    options: BatchVerifierOptions,
    deps: MakerMeterDeps,
  ) {
    const { contractId, record, delivery, total, status, reason } = stored;
    this.contractId = contractId;
    this.record = record;
    this.terms = record.terms;
    this.delivery = delivery;
    this.#evidence = total;
    // All its shares have one target.
    const mostHashes = BigInt(LIMITS.commitmentShares) * workOfTarget(easiestTarget(record.terms));
    this.#machine = { ...record.terms, mostHashes };
    this.#deps = deps;
    this.#commitments = commitments;
    const { n, workHashes } = commitments.base ?? { n: 0, workHashes: 0n };
    const signed = { n, workHashes };
    this.#state = {
      ...{ ...NOTHING_METERED, status, reason, signed },
      workHashes: delivery.verifiedWorkHashes,
    };
    this.batchVerifier = new BatchVerifier(this, options, {
      ...deps,
      binding: coinbaseBinding(record.terms),
      restored: { heightFor: () => 0 },
    });
  }

  /** Undefined where the ledger has no such metering. Throws `ledger_corrupt`. */
  static async load(
    contractId: string,
    options: BatchVerifierOptions,
    deps: MakerMeterDeps,
  ): Promise<MakerMeter | undefined> {
    const stored = await loadMetering(deps.ledger, contractId);
    if (stored === undefined) return undefined;
    const commitments = await MakerCommitments.load(deps.ledger, contractId, stored.n);
    return new MakerMeter(stored, commitments, options, deps);
  }

  get state(): MeteringState {
    return this.#state;
  }

  get connected(): boolean {
    return this.#peer !== undefined;
  }

  /** Answers `meter.attach`: the totals of both are compared, and the newer one is taken over. */
  attach(peer: RpcPeer, { total }: Params<'meter.attach'>): Promise<Result<'meter.attach'>> {
    return this.#serial.run(async () => {
      if (total !== undefined) await this.#compare(total);
      if (this.#peer !== peer) this.#peer?.close();
      this.#peer = peer;
      this.batchVerifier.openBacklog();
      void peer.closed.then(() => {
        if (this.#peer !== peer) return;
        this.#peer = undefined;
        this.#apply({ type: 'disconnected' });
      });
      this.#apply({ type: 'disconnected' });
      // The answer is sent first.
      this.#deps.timers.afterTurn(() => {
        if (this.#peer === peer) this.#apply({ type: 'connected' });
      });
      const { nextSeq, verifiedWorkHashes: verifiedWork } = this.delivery;
      return { nextSeq, verifiedWork, isEnded: this.#state.status === 'ended' };
    });
  }

  announce(peer: RpcPeer, { job }: Params<'job.announce'>): Promise<Result<'job.announce'>> {
    return this.#serial.run(async () => {
      this.#assertAttached(peer);
      await this.batchVerifier.announce(job);
      return {};
    });
  }

  takeBatch(peer: RpcPeer, batch: Params<'work.batch'>): Promise<Result<'work.batch'>> {
    return this.#serial.run(async () => {
      this.#assertAttached(peer);
      this.touch();
      if (this.#state.status === 'ended') throw new CodedError('wrong_status', 'the metering is over');
      const result = await this.batchVerifier.take(batch);
      this.#apply({ type: 'work', workHashes: this.delivery.verifiedWorkHashes });
      return result;
    });
  }

  /** Answers `meter.end` of the miner, once the rest is signed or refused. */
  async end(peer: RpcPeer): Promise<Result<'meter.end'>> {
    this.#assertAttached(peer);
    this.#apply({ type: 'end_asked' });
    do await this.#serial.run(async () => {});
    while (this.#state.isOffered && this.#peer === peer);
    await this.#serial.run(() => this.#finish());
    return {};
  }

  /** Ends it from this side: the miner delivers what it has left, where it is there; else at once. */
  async requestEnd(): Promise<void> {
    this.#apply({ type: 'end_asked' });
    if (this.#peer === undefined) await this.#serial.run(() => this.#finish());
    else await call(this.#peer, 'meter.end', { contractId: this.contractId });
  }

  /** The miner was heard of, while it is connected. */
  touch(): void {
    if (this.#peer !== undefined) this.batchVerifier.contactAtMonotonicMs = this.#deps.clock.monotonicMs();
  }

  onTip(height: number): void {
    const { status } = this.#state;
    this.#apply({ type: 'height', height });
    if (status !== 'live' || this.#state.status !== 'ending') return;
    this.requestEnd().catch((error: unknown) => this.#say(error, 'the end was not heard by the miner'));
  }

  async stop(): Promise<void> {
    await this.#serial.run(async () => {});
  }

  /** See `BatchVerifier`. */
  storedJob(jobId: JobId): Promise<string | undefined> {
    return this.#deps.ledger.get(JOB_KIND, makerJobKey(this.contractId, jobId));
  }

  /** See `BatchVerifier`: on disk when it resolves. */
  async credit(credit: Credit): Promise<number> {
    const { contractId, delivery } = this;
    const before = { delivery, evidence: this.#evidence };
    const after = creditEntries(contractId, before, credit, this.#deps.clock.nowMs());
    const refusals = this.#commitments.withRefused(contractId, credit.refused);
    await this.#deps.ledger.appendNow([...after.entries, ...credit.counts, ...refusals.entries]);
    refusals.done();
    this.delivery = after.delivery;
    this.#evidence = after.evidence;
    return refusals.bytes;
  }

  /** Executes effects behind what runs. */
  #apply(event: MeteringEvent): void {
    const before = this.#state;
    const { state, effects } = transition(this.#machine, before, event, this.#deps.clock.monotonicMs());
    this.#state = state;
    for (const effect of effects) {
      const { contractId: contract } = this;
      if (effect.type === 'offer_total')
        void this.#serial.run(() => this.#offer(effect).catch((error: unknown) => this.#notOffered(error)));
      else this.#deps.log.info({ contract, ...effect }, 'metering');
    }
    if (effects.length > 0 || state.isConnected !== before.isConnected) this.#deps.onChange();
  }

  #notOffered(error: unknown): void {
    this.#say(error, 'a total is not signed by both');
    this.#apply({ type: 'total_refused' });
  }

  #say(error: unknown, message: string): void {
    if (!(error instanceof CodedError)) throw error;
    const { code, message: detail } = error;
    this.#deps.log.warn({ contract: this.contractId, code, detail }, message);
  }

  /**
   * Offers a total. One that was offered before is the same again, but made anew, of the same work, where the
   * program of the miner goes by another format since.
   */
  async #offer({ n, workHashes }: { readonly n: number; readonly workHashes: bigint }): Promise<void> {
    const peer = this.#peer;
    if (peer === undefined) return;
    const { contractId, terms } = this;
    const format = formatOf(peer.features, terms);
    let record = this.#commitments.pending;
    const isMade = record?.n === n;
    if (record === undefined || !isMade || !isOfFormat(record, format))
      record = await this.#make(n, isMade ? record!.workHashes : workHashes, format);
    const commitment = this.#commitments.offerOf(n, format)!;
    const total = { contractId, n, workHashes: record.workHashes, commitment };
    const { signature } = await call(peer, 'meter.sign', total);
    if (signature === undefined) throw new CodedError('bad_commitment', 'it builds on another total');
    const signed = this.#commitments.withSignature({ contractId, terms }, n, signature);
    await this.#write(signed.entries, n);
    signed.done();
    this.#apply({ type: 'total_signed', n, workHashes: record.workHashes });
  }

  /** Makes the commitment of a total; on disk when this resolves. */
  async #make(n: number, workHashes: bigint, format: CommitmentFormat): Promise<CommitmentRecord> {
    const { contractId, terms, delivery } = this;
    const { ledger, signer } = this.#deps;
    const basis = {
      ...{ ledger, stream: contractId, params: { contractId, terms } },
      ...{ evidenceSeq: this.#evidence.seq, nextSeq: delivery.nextSeq },
      jobBody: (jobId: JobId) => this.storedJob(jobId),
      isSplit: true,
    };
    const record = await this.#commitments.make(basis, { n, workHashes }, format, signer);
    if (record === undefined) throw new CodedError('bad_commitment', 'the own log lacks shares of it');
    await this.#write([commitmentEntry(contractId, record)], n);
    this.#commitments.keep(record);
    return record;
  }

  async #finish(): Promise<void> {
    if (this.#state.status === 'ended') return;
    const { reason = 'asked' } = this.#state;
    const n = this.#commitments.pending?.n ?? this.#state.signed.n;
    await this.#deps.ledger.appendNow([meteredEntry(this.contractId, { status: 'ended', reason }, n)]);
    this.#apply({ type: 'finished' });
  }

  /**
   * Compares the newest total of the miner with the own: one that is newer was lost here, and its shares
   * with it. Throws `bad_signature`, `equivocation`.
   */
  async #compare(shown: CommitmentRecord): Promise<void> {
    const { contractId, terms } = this;
    const scope = { contractId, terms };
    verifyCommitment(scope, commitmentOf(shown), 'maker', shown.makerSignature);
    const isLost = shown.nextSeq > this.delivery.nextSeq;
    const delivery = {
      ...this.delivery,
      ...(isLost ? { nextSeq: shown.nextSeq, verifiedWorkHashes: shown.creditedHashes } : {}),
    };
    const now = { lastN: shown.n, nextSeq: delivery.nextSeq, evidenceSeq: this.#evidence.seq };
    const { entries, done } = this.#commitments.restored(scope, shown, now);
    if (entries.length === 0) return;
    await this.#write([...entries, ...(isLost ? [deliveryEntry(contractId, delivery)] : [])], shown.n);
    done();
    this.delivery = delivery;
    this.#apply({ type: 'work', workHashes: delivery.verifiedWorkHashes });
    this.#apply({ type: 'total_signed', n: shown.n, workHashes: shown.workHashes });
  }

  async #write(entries: readonly LedgerEntry[], n: number): Promise<void> {
    await this.#deps.ledger.appendNow([...entries, meteredEntry(this.contractId, this.#state, n)]);
  }

  #assertAttached(peer: RpcPeer): void {
    if (this.#peer !== peer) throw new CodedError('protocol', 'meter.attach comes first');
  }
}

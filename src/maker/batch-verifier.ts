import { type Clock, sleep, type Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { countHit, LIMITS, type LimitHits } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { BlockStatus, TipTracker } from '../chain/tip-tracker.ts';
import { isTooLateToBegin } from '../channel/deadlines.ts';
import { backlogMs } from '../contract/terms-access.ts';
import type { Params, Result, WireShare } from '../peer/messages.ts';
import { hasContractTag, needsContractTag } from '../settlement/contract-tag.ts';
import { checkShare, type ShareCode, type ShareRules, shareRulesOf } from '../settlement/share-rules.ts';
import { generationOf } from '../shares/duplicates.ts';
import type { JobId } from '../stratum/job-id.ts';
import { type JobRecord, jobDocument, parseJobDocument, type ShareRecord } from '../work/evidence.ts';
import { luckOfShares } from './contract-luck.ts';
import type { JobBinding } from './job-binding.ts';
import type { MakerStore } from './maker-store.ts';
import type { RestoredLedger } from './restored-ledger.ts';
import type { ShareCase, ShareVerifier } from './verification.ts';

export type BatchVerifierOptions = {
  /** See `ShareRules`. */
  readonly fixedTarget: boolean;
  /** Time in ms that a batch waits for a block to reach the own node. */
  readonly unknownBlockWaitMs: number;
  /** Time in ms after a reconnect in which work on blocks replaced meanwhile is accepted. */
  readonly backlogWindowMs: number;
};

export const DEFAULT_BATCH_VERIFIER_OPTIONS: BatchVerifierOptions = {
  fixedTarget: false,
  unknownBlockWaitMs: 5_000,
  backlogWindowMs: 10 * 60_000,
};

export type BatchVerifierDeps = {
  readonly view: TipTracker;
  readonly verifier: ShareVerifier;
  readonly binding: JobBinding;
  readonly restored: Pick<RestoredLedger, 'heightFor'>;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Counter of limits that were reached. */
  readonly limitHits?: LimitHits;
};

type KnownJob = {
  readonly job: JobRecord;
  readonly code: ShareCode | undefined;
  /** True once the job is in the ledger. */
  stored: boolean;
};

/**
 * The backlog of a miner that was away: blocks replaced between `fromMs` and `toMs`, accepted until
 * `untilMs`. All times are monotonic.
 */
type Backlog = {
  readonly fromMs: number;
  readonly toMs: number;
  readonly untilMs: number;
  leftHashes: bigint;
};

const POLL_MS = 100;
/** Time in ms by which a wall clock may be set between two runs: from a minute ahead to one behind. */
const CLOCK_SLACK_MS = 120_000;
/** Time in ms within which news of a block reaches everyone, and their last shares reach us. */
const RACE_MS = 30_000;

/** Codes of shares that no miner sends by bad luck. */
const JUNK_CODES: ReadonlySet<ShareCode> = new Set<ShareCode>([
  'share_bad',
  'share_low',
  'share_duplicate',
]);

/** A literal, since a spread costs as much as all the rest of a share. */
function recordOf({ share, hash }: ShareCase): ShareRecord {
  const { jobId, difficulty, extranonce1, extranonce2, ntime, nonce, version } = share;
  return { jobId, difficulty, extranonce1, extranonce2, ntime, nonce, version, hash: hash! };
}

/** Size of a job in bytes, in memory and hashed. */
function sizeOf({ coinb1, coinb2, extranonceSize, branches }: JobRecord): number {
  return coinb1.length + coinb2.length + extranonceSize + 32 * branches.length;
}

/**
 * Time in ms that the miner had been silent when the program began, by the date of its last batch in the
 * ledger: 0 before the first batch, and never negative or longer than any backlog, whatever the wall clock.
 */
function silenceMs({ delivery, terms }: MakerStore, clock: Clock): number {
  const { contactAtMs } = delivery;
  const silentMs = Math.max(0, clock.nowMs() - contactAtMs) + CLOCK_SLACK_MS;
  return contactAtMs === 0 ? 0 : Math.min(silentMs, backlogMs(terms));
}

/** The verifier of one contract's work: credits good shares, and gives a code for each refused one. */
export class BatchVerifier {
  readonly stats = { sharesCredited: 0, refused: {} as Record<string, number> };
  readonly #store: MakerStore;
  readonly #options: BatchVerifierOptions;
  readonly #deps: BatchVerifierDeps;
  readonly #rules: ShareRules;
  readonly #jobs = new Map<number, KnownJob>();
  #jobBytes = 0;
  readonly #junk: TokenBucket;
  #backlog: Backlog | undefined;
  /** Monotonic time in ms of the last contact with the miner. */
  contactAtMonotonicMs: number;

  constructor(store: MakerStore, options: BatchVerifierOptions, deps: BatchVerifierDeps) {
    this.#store = store;
    this.#options = options;
    this.#deps = deps;
    // Where jobs are ours, each has its own.
    this.#rules = shareRulesOf(store.terms, options.fixedTarget && deps.binding.ownsJobs !== true);
    const burst = LIMITS.peerJunkShares;
    this.#junk = new TokenBucket({ perSecond: burst / 64, burst }, deps.clock.monotonicMs());
    this.contactAtMonotonicMs = deps.clock.monotonicMs() - silenceMs(store, deps.clock);
  }

  /**
   * Opens a backlog after the miner reconnected: work on blocks replaced since the last contact is
   * accepted, within the limits.
   */
  openBacklog(): void {
    const monotonicMs = this.#deps.clock.monotonicMs();
    const { terms } = this.#store;
    const oldestMs = monotonicMs - backlogMs(terms);
    this.#backlog = {
      fromMs: Math.max(this.contactAtMonotonicMs, oldestMs) - terms.staleGraceSeconds * 1000,
      toMs: monotonicMs,
      untilMs: monotonicMs + this.#options.backlogWindowMs,
      leftHashes: BigInt(terms.maxUnpaidSteps + 1) * terms.stepHashes,
    };
    this.contactAtMonotonicMs = monotonicMs;
  }

  /**
   * Registers a job. Its faults are reported with its shares. Throws `equivocation` for another job of the
   * same id.
   * @param sourceId see `JobBinding.judgeJob`
   */
  async announce(job: JobRecord, sourceId?: JobId): Promise<void> {
    const known = await this.#jobOf(job.id);
    if (known !== undefined) {
      if (jobDocument(known.job) === jobDocument(job)) return;
      throw new CodedError('equivocation', `job ${job.wireId} was another one before`);
    }
    const code = this.#judgeJob(job, sourceId);
    this.#remember({ job, code, stored: false });
  }

  /** The fault of all shares of a job. With a seal the job itself must say for which contract it is. */
  #judgeJob(job: JobRecord, sourceId: JobId | undefined): ShareCode | undefined {
    const { terms, contractId } = this.#store;
    if (needsContractTag(terms) && !hasContractTag(job, contractId)) return 'share_unbound';
    return this.#deps.binding.judgeJob(job, sourceId);
  }

  /**
   * Verifies, credits and stores a batch; it is on disk when this resolves. Throws `bad_sequence`,
   * `overload`, `channel_frozen`.
   */
  async take(batch: Params<'work.batch'>): Promise<Result<'work.batch'>> {
    const store = this.#store;
    const { firstSeq, shares } = batch;
    if (firstSeq !== store.delivery.nextSeq) {
      throw new CodedError('bad_sequence', `expected share ${store.delivery.nextSeq}, got ${firstSeq}`);
    }
    if (!this.#junk.spend(0, this.#deps.clock.monotonicMs()))
      throw new CodedError('too_often', 'shares that are none', { limit: 'peerJunkShares' });
    const cases = await this.#prepare(shares);
    const nextSeq = firstSeq + shares.length;
    let credited: ShareCase[];
    let refused: { seq: number; code: ShareCode }[];
    try {
      await this.#hashAll(cases);
      await this.#deps.binding.judgeShares?.(cases);
      credited = this.#cap(cases);
      refused = cases.flatMap(({ code }, index) =>
        code === undefined ? [] : [{ seq: firstSeq + index, code }],
      );
      await store.credit({
        shares: credited.map(recordOf),
        workHashes: credited.reduce((sum, { target }) => sum + target!.workHashes, 0n),
        jobs: this.#newJobs(credited),
        nextSeq,
        refusedSeqs: refused.map(({ seq }) => seq),
        ownWorkHashes: batch.workTotal,
        luck: luckOfShares(credited, (job) => this.#deps.binding.upstreamTarget?.(job)),
      });
    } catch (error) {
      this.#deps.verifier.forget(store.contractId, cases);
      throw error;
    }
    this.#markStored(credited);
    this.#deps.binding.credited?.(credited);
    this.#deps.binding.judged?.(cases);
    const junk = refused.filter(({ code }) => JUNK_CODES.has(code)).length;
    this.#junk.spend(junk, this.#deps.clock.monotonicMs());
    this.stats.sharesCredited += credited.length;
    for (const { code } of refused) this.stats.refused[code] = (this.stats.refused[code] ?? 0) + 1;
    return { nextSeq, verifiedWork: store.delivery.verifiedWorkHashes, refused };
  }

  /**
   * Hashes the shares in slices, one per turn of the event loop, so that one peer does not hold up others.
   */
  async #hashAll(cases: readonly ShareCase[]): Promise<void> {
    let part: ShareCase[] = [];
    let bytes = 0;
    for (const each of cases) {
      if (each.code !== undefined) continue;
      const size = sizeOf(each.job!);
      if (part.length > 0 && bytes + size > LIMITS.peerHashBytesPerTurn) {
        this.#deps.verifier.hashAll(this.#store.contractId, part);
        this.#hit('peerHashBytesPerTurn');
        await new Promise<void>((resolve) => this.#deps.timers.afterTurn(resolve));
        part = [];
        bytes = 0;
      }
      part.push(each);
      bytes += size;
    }
    this.#deps.verifier.hashAll(this.#store.contractId, part);
  }

  #hit(limit: keyof typeof LIMITS): void {
    const hits = this.#deps.limitHits;
    if (hits !== undefined) countHit(hits, limit);
  }

  /** Judges shares as far as possible without hashing. */
  async #prepare(shares: readonly WireShare[]): Promise<ShareCase[]> {
    const nowMs = this.#deps.clock.nowMs();
    const { ownsJobs = false } = this.#deps.binding;
    // Of own jobs nothing is gained by waiting for their block.
    const waitMs = ownsJobs ? 0 : this.#options.unknownBlockWaitMs;
    const waitUntilMs = this.#deps.clock.monotonicMs() + waitMs;
    const standings = new Map<JobRecord, BlockStatus>();
    const closed = new Set<JobRecord>();
    const bound = new Map<JobRecord, ShareCode | undefined>();
    const blocks = new Map<string, BlockStatus>();
    const cases: ShareCase[] = [];
    for (const share of shares) {
      const known = this.#jobs.get(share.jobId) ?? (await this.#jobOf(share.jobId));
      const target = this.#deps.verifier.targetOf(share.difficulty);
      const each: ShareCase = { share, job: known?.job, code: undefined, target, hash: undefined };
      cases.push(each);
      if (known === undefined) {
        each.code = 'share_bad';
        continue;
      }
      const { job } = known;
      each.code = known.code ?? this.#checkShare(job, share, target.target, nowMs);
      if (each.code !== undefined) continue;
      let standing = standings.get(job);
      if (standing === undefined) {
        const hash = displayHash(job.prevHash);
        standing = blocks.get(hash) ?? (await this.#askAbout(hash, blocks.size, waitUntilMs));
        blocks.set(hash, standing);
        standings.set(job, standing);
        if (this.#deps.verifier.credited.isClosed(generationOf(job))) closed.add(job);
      }
      if (this.#isTooLate(standing)) each.code = 'expiry_near';
      else if (closed.has(job)) each.code = 'share_stale';
      else each.code = this.#lateness(standing, target.workHashes);
      if (each.code !== undefined) continue;
      if (!bound.has(job)) bound.set(job, await this.#deps.binding.judgeNow?.(job));
      each.code = bound.get(job);
    }
    return cases;
  }

  #checkShare(job: JobRecord, share: WireShare, target: bigint, nowMs: number): ShareCode | undefined {
    const assigned = this.#deps.binding.shareTarget?.(job);
    if (assigned !== undefined && target !== assigned) return 'share_low';
    return checkShare(this.#rules, job, share, target, nowMs);
  }

  /** Asks the own node about a block, within the number of blocks that one batch may name. */
  async #askAbout(hash: string, asked: number, waitUntilMs: number): Promise<BlockStatus> {
    if (asked < LIMITS.peerBatchBlocks) return this.#standingOf(hash, waitUntilMs);
    this.#hit('peerBatchBlocks');
    return { status: 'unknown' };
  }

  /**
   * The status of a block; a batch waits once for one that the own node may hear of later than the miner's.
   */
  async #standingOf(hash: string, waitUntilMs: number): Promise<BlockStatus> {
    const { clock, timers, view } = this.#deps;
    for (;;) {
      const standing = await view.standing(hash);
      if (standing.status !== 'unknown' || clock.monotonicMs() >= waitUntilMs) return standing;
      await sleep(timers, POLL_MS);
    }
  }

  /** New work near the expiry is not bought: a state that pays it might find no block. */
  #isTooLate(standing: BlockStatus): boolean {
    const { terms, options } = this.#store;
    return standing.status !== 'unknown' && isTooLateToBegin(terms, options.margins, standing.height);
  }

  /** Monotonic time in ms: work on blocks that were replaced before it is not credited any more. */
  get oldestMs(): number {
    const { terms } = this.#store;
    const monotonicMs = this.#deps.clock.monotonicMs();
    const graceMs = terms.staleGraceSeconds * 1000;
    const backlog = this.#backlog;
    const isOpen = backlog !== undefined && monotonicMs <= backlog.untilMs;
    // As the next reconnect would open it.
    const nextMs = Math.max(this.contactAtMonotonicMs, monotonicMs - backlogMs(terms)) - graceMs;
    return Math.min(monotonicMs - graceMs, nextMs, isOpen ? backlog.fromMs : Number.POSITIVE_INFINITY);
  }

  /** Height up to which no work is credited, since it may have been paid before; 0 where all is. */
  get restoredHeight(): number {
    const { delivery, terms } = this.#store;
    return Math.max(delivery.restoredHeight, this.#deps.restored.heightFor(terms));
  }

  /** What is wrong with work on a block; undefined where it comes in time. */
  #lateness(standing: BlockStatus, workHashes: bigint): ShareCode | undefined {
    const { ownsJobs = false } = this.#deps.binding;
    // The miner saw a block that is not here yet.
    if (standing.status === 'unknown') return ownsJobs ? undefined : 'stale_race';
    if (standing.height <= this.restoredHeight) return 'maker_restored';
    if (standing.status === 'current' || ownsJobs) return undefined;
    const { sinceMonotonicMs } = standing;
    const lateMs = this.#deps.clock.monotonicMs() - sinceMonotonicMs;
    const graceMs = this.#store.terms.staleGraceSeconds * 1000;
    if (lateMs <= graceMs || this.#isInBacklog(sinceMonotonicMs, workHashes)) return undefined;
    // The miner may not have seen that the block was replaced, or have it for its tip.
    const raceMs = Math.max(graceMs, RACE_MS);
    const isRace =
      standing.isRival === true ||
      lateMs <= graceMs + raceMs ||
      this.#isBeforeBacklog(sinceMonotonicMs, raceMs);
    return isRace ? 'stale_race' : 'share_stale';
  }

  /** A block was replaced so shortly before the miner went that it may have found its last shares on it. */
  #isBeforeBacklog(sinceMonotonicMs: number, raceMs: number): boolean {
    const backlog = this.#backlog;
    if (backlog === undefined || this.#deps.clock.monotonicMs() > backlog.untilMs) return false;
    return sinceMonotonicMs >= backlog.fromMs - raceMs && sinceMonotonicMs < backlog.fromMs;
  }

  #isInBacklog(sinceMonotonicMs: number, workHashes: bigint): boolean {
    const backlog = this.#backlog;
    if (backlog === undefined || this.#deps.clock.monotonicMs() > backlog.untilMs) return false;
    if (sinceMonotonicMs < backlog.fromMs || sinceMonotonicMs > backlog.toMs) return false;
    if (backlog.leftHashes < workHashes) return false;
    backlog.leftHashes -= workHashes;
    return true;
  }

  /** The good shares up to the contract's total; the share that reaches it is the last. */
  #cap(cases: readonly ShareCase[]): ShareCase[] {
    const { terms, delivery } = this.#store;
    let workHashes = delivery.verifiedWorkHashes;
    const credited: ShareCase[] = [];
    for (const each of cases) {
      if (each.code !== undefined) continue;
      if (workHashes >= terms.workTotalHashes) {
        each.code = 'over_budget';
        continue;
      }
      workHashes += each.target!.workHashes;
      credited.push(each);
    }
    return credited;
  }

  async #jobOf(jobId: JobId): Promise<KnownJob | undefined> {
    const known = this.#jobs.get(jobId);
    if (known !== undefined) return known;
    const body = await this.#store.storedJob(jobId);
    if (body === undefined) return undefined;
    const job = parseJobDocument(body);
    return this.#remember({ job, code: this.#judgeJob(job, undefined), stored: true });
  }

  /** Caches a job; a full cache drops jobs that are in the ledger first. */
  #remember(known: KnownJob): KnownJob {
    const bytes = sizeOf(known.job);
    while (this.#jobs.size >= LIMITS.peerJobs || this.#jobBytes + bytes > LIMITS.peerJobBytes) {
      this.#hit(this.#jobs.size >= LIMITS.peerJobs ? 'peerJobs' : 'peerJobBytes');
      const oldest = this.#jobs.values().find((job) => job.stored) ?? this.#jobs.values().next().value;
      if (oldest === undefined) break;
      this.#jobs.delete(oldest.job.id);
      this.#jobBytes -= sizeOf(oldest.job);
    }
    this.#jobs.set(known.job.id, known);
    this.#jobBytes += bytes;
    return known;
  }

  #newJobs(credited: readonly ShareCase[]): JobRecord[] {
    const jobs = new Set(credited.map(({ job }) => job!));
    return [...jobs].filter((job) => this.#jobs.get(job.id)?.stored !== true);
  }

  #markStored(credited: readonly ShareCase[]): void {
    for (const { job } of credited) {
      const known = this.#jobs.get(job!.id);
      if (known !== undefined) known.stored = true;
    }
  }
}

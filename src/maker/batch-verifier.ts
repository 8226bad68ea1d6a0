import { type Clock, sleep, type Timers } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { countHit, LIMITS, type LimitHits } from '../base/limits.ts';
import { TokenBucket } from '../base/token-bucket.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { BlockStatus, TipTracker } from '../chain/tip-tracker.ts';
import type { BeginMargins } from '../chain/watcher.ts';
import { isTooLateToBegin } from '../channel/deadlines.ts';
import { placeIn, type TermPeriod } from '../contract/term-clock.ts';
import { backlogMs } from '../contract/terms-access.ts';
import type { Params, Result } from '../peer/messages.ts';
import { committedBinding } from '../settlement/bead-rules.ts';
import { hasContractTag, needsContractTag } from '../settlement/contract-tag.ts';
import { checkShare, type ShareCode, type ShareRules, shareRulesOf } from '../settlement/share-rules.ts';
import { generationOf } from '../shares/duplicates.ts';
import type { ShareTarget } from '../shares/share.ts';
import type { JobId } from '../stratum/job-id.ts';
import { type JobRecord, jobDocument, parseJobDocument } from '../work/evidence.ts';
import type { ShareRows } from '../work/share-rows.ts';
import { Backlog } from './backlog.ts';
import { luckOfShares } from './contract-luck.ts';
import type { JobBinding } from './job-binding.ts';
import type { RefusedShare } from './maker-commitments.ts';
import type { MakerStore } from './maker-store.ts';
import type { RestoredLedger } from './restored-ledger.ts';
import { ShareCases } from './share-cases.ts';
import type { ShareVerifier } from './verification.ts';

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

/** The contract whose work is judged. */
export type CreditStore = Pick<MakerStore, 'contractId' | 'terms' | 'delivery' | 'storedJob' | 'credit'> & {
  readonly options: { readonly margins: BeginMargins };
  /** The blocks whose work is credited; undefined while their end is not known. */
  readonly period: TermPeriod | undefined;
  /** See `creditLimit`. */
  creditLimit(height: number): bigint | undefined;
  /** True where work on a block has no price. */
  readonly isUnpriced: (height: number) => boolean;
};

export type BatchVerifierDeps = {
  readonly view: Pick<TipTracker, 'standing'>;
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
 * The time that a miner was away: work on blocks replaced between `fromMs` and `toMs` is taken as a backlog
 * until `untilMs`. All times are monotonic.
 */
type Absence = {
  readonly fromMs: number;
  readonly toMs: number;
  readonly untilMs: number;
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

/** What is the same of all shares of a job as long as nothing was waited for. */
type JobVerdict = {
  readonly code: ShareCode | undefined;
  readonly lateCode: ShareCode | undefined;
  readonly limitHashes: bigint | undefined;
};

/** What of a batch is judged once for each of its jobs. */
class BatchJobs {
  readonly standings = new Map<JobRecord, BlockStatus>();
  readonly closed = new Set<JobRecord>();
  readonly bound = new Map<JobRecord, ShareCode | undefined>();
  readonly blocks = new Map<string, BlockStatus>();
  /** Emptied with each wait: time passes, and the chain goes on. */
  readonly verdicts = new Map<JobRecord, JobVerdict>();
}

function refusedOf({ codes, rows, jobs, targets }: ShareCases, firstSeq: number): RefusedShare[] {
  return codes.flatMap((code, index) => {
    if (code === undefined) return [];
    const { workHashes } = targets[index]!;
    return [{ seq: firstSeq + index, code, share: rows.share(index), job: jobs[index], workHashes }];
  });
}

/** Bytes of a job that are hashed for a share. */
function hashedSize({ coinb1, coinb2, extranonceSize, branches }: JobRecord): number {
  return coinb1.length + coinb2.length + extranonceSize + 32 * branches.length;
}

/** Bytes of a job in memory. */
function sizeOf(job: JobRecord): number {
  return hashedSize(job) + (job.metadata?.length ?? 0);
}

/**
 * Time in ms that the miner had been silent when the program began, by the date of its last batch in the
 * ledger: 0 before the first batch, and never negative or longer than any backlog, whatever the wall clock.
 */
function silenceMs({ delivery, terms }: CreditStore, clock: Clock): number {
  const { contactAtMs } = delivery;
  const silentMs = Math.max(0, clock.nowMs() - contactAtMs) + CLOCK_SLACK_MS;
  return contactAtMs === 0 ? 0 : Math.min(silentMs, backlogMs(terms));
}

/** The verifier of one contract's work: credits good shares, and gives a code for each refused one. */
export class BatchVerifier {
  readonly stats = { sharesCredited: 0, refused: {} as Record<string, number> };
  readonly #store: CreditStore;
  readonly #options: BatchVerifierOptions;
  readonly #deps: BatchVerifierDeps;
  readonly #rules: ShareRules;
  readonly #jobs = new Map<number, KnownJob>();
  #jobBytes = 0;
  /** Since others had their turn. */
  #announcedBytes = 0;
  readonly #junk: TokenBucket;
  /** Bytes on disk of which nobody gains anything. */
  readonly #refusedBytes: TokenBucket;
  readonly #backlog: Backlog;
  #absence: Absence | undefined;
  /** Monotonic time in ms of the last contact with the miner. */
  contactAtMonotonicMs: number;

  constructor(store: CreditStore, options: BatchVerifierOptions, deps: BatchVerifierDeps) {
    this.#store = store;
    this.#options = options;
    this.#deps = deps;
    // Where jobs are ours, each has its own.
    this.#rules = shareRulesOf(store.terms, options.fixedTarget && deps.binding.ownsJobs !== true);
    const burst = LIMITS.peerJunkShares;
    this.#junk = new TokenBucket({ perSecond: burst / 64, burst }, deps.clock.monotonicMs());
    const bytes = LIMITS.peerRefusedBytes;
    this.#refusedBytes = new TokenBucket({ perSecond: bytes / 64, burst: bytes }, deps.clock.monotonicMs());
    this.#backlog = new Backlog(() => store.terms, options.backlogWindowMs, deps.clock);
    this.contactAtMonotonicMs = deps.clock.monotonicMs() - silenceMs(store, deps.clock);
  }

  /**
   * Takes note that the miner is back: work on blocks replaced since the last contact is a backlog. Of an
   * absence whose backlog is still taken it may have shown nothing yet.
   */
  openBacklog(): void {
    const monotonicMs = this.#deps.clock.monotonicMs();
    const { terms } = this.#store;
    const graceMs = terms.staleGraceSeconds * 1000;
    const awayMs = Math.min(this.contactAtMonotonicMs - graceMs, this.#openAbsence?.fromMs ?? monotonicMs);
    this.#absence = {
      fromMs: Math.max(awayMs, monotonicMs - backlogMs(terms) - graceMs),
      toMs: monotonicMs,
      untilMs: monotonicMs + this.#options.backlogWindowMs,
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
    if (job.metadata !== undefined && committedBinding(this.#store.terms) === undefined)
      throw new CodedError('protocol', 'jobs of this contract commit to no metadata');
    const code = this.#judgeJob(job, sourceId);
    this.#remember({ job, code, stored: false });
    await this.#yieldAfter(sizeOf(job));
  }

  /** Others have their turn once so many bytes of jobs were judged. */
  async #yieldAfter(bytes: number): Promise<void> {
    this.#announcedBytes += bytes;
    if (this.#announcedBytes < LIMITS.peerHashBytesPerTurn) return;
    this.#announcedBytes = 0;
    this.#hit('peerHashBytesPerTurn');
    await new Promise<void>((resolve) => this.#deps.timers.afterTurn(resolve));
  }

  /** The fault of all shares of a job. With a seal the job itself must say for which contract it is. */
  #judgeJob(job: JobRecord, sourceId: JobId | undefined, isOld = false): ShareCode | undefined {
    const { terms, contractId } = this.#store;
    if (needsContractTag(terms) && !hasContractTag(job, contractId)) return 'share_unbound';
    return this.#deps.binding.judgeJob(job, sourceId, isOld);
  }

  /**
   * Verifies, credits and stores a batch; it is on disk when this resolves. Throws `bad_sequence`,
   * `overload`, `channel_frozen`, and `wrong_status` while the end of the contract is not known.
   */
  async take(batch: Params<'work.batch'>): Promise<Result<'work.batch'>> {
    const store = this.#store;
    const { firstSeq, shares } = batch;
    if (firstSeq !== store.delivery.nextSeq) {
      throw new CodedError('bad_sequence', `expected share ${store.delivery.nextSeq}, got ${firstSeq}`);
    }
    const monotonicMs = this.#deps.clock.monotonicMs();
    if (!this.#junk.spend(0, monotonicMs))
      throw new CodedError('too_often', 'shares that are none', { limit: 'peerJunkShares' });
    if (!this.#refusedBytes.spend(0, monotonicMs))
      throw new CodedError('too_often', 'batches with refused shares', { limit: 'peerRefusedBytes' });
    const { period } = store;
    if (period === undefined)
      throw new CodedError('wrong_status', 'the funding was not seen in a block yet');
    const cases = await this.#prepare(shares, period);
    const nextSeq = firstSeq + shares.length;
    let refused: readonly RefusedShare[];
    let credited: ShareRows;
    let lateHashes = 0n;
    try {
      await this.#hashAll(cases);
      lateHashes = this.#takeLate(cases);
      await this.#deps.binding.judgeShares?.(cases);
      const workHashes = this.#cap(cases);
      refused = refusedOf(cases, firstSeq);
      credited = cases.goodRows();
      const bytes = await store.credit({
        ...{ shares: credited, workHashes, nextSeq, refused },
        jobs: this.#newJobs(cases),
        ownWorkHashes: batch.workTotal,
        luck: luckOfShares(cases, (job) => this.#deps.binding.upstreamTarget?.(job)),
        counts: this.#deps.binding.counts?.(cases) ?? [],
      });
      this.#refusedBytes.spend(bytes, this.#deps.clock.monotonicMs());
    } catch (error) {
      this.#backlog.putBack(lateHashes);
      this.#deps.verifier.forget(store.contractId, cases);
      throw error;
    }
    this.#markStored(cases);
    this.#deps.binding.credited?.(cases);
    this.#deps.binding.judged?.(cases);
    const junk = cases.codes.filter((code) => code !== undefined && JUNK_CODES.has(code)).length;
    this.#junk.spend(junk, this.#deps.clock.monotonicMs());
    this.stats.sharesCredited += credited.length;
    for (const { code } of refused) this.stats.refused[code] = (this.stats.refused[code] ?? 0) + 1;
    const { verifiedWorkHashes: verifiedWork } = store.delivery;
    return { nextSeq, verifiedWork, refused: refused.map(({ seq, code }) => ({ seq, code })) };
  }

  /** Takes the good shares that come late out of the backlog, those that it has no more room for refused. */
  #takeLate({ length, codes, lateCodes, targets }: ShareCases): bigint {
    let takenHashes = 0n;
    for (let index = 0; index < length; index += 1) {
      const lateCode = lateCodes[index];
      if (codes[index] !== undefined || lateCode === undefined) continue;
      const { workHashes } = targets[index]!;
      if (this.#backlog.take(workHashes)) takenHashes += workHashes;
      else codes[index] = lateCode;
    }
    return takenHashes;
  }

  /**
   * Hashes the shares in slices, one per turn of the event loop, so that one peer does not hold up others.
   */
  async #hashAll(cases: ShareCases): Promise<void> {
    let first = 0;
    let bytes = 0;
    for (let index = 0; index < cases.length; index += 1) {
      if (!cases.isGood(index)) continue;
      const size = hashedSize(cases.jobs[index]!);
      if (bytes > 0 && bytes + size > LIMITS.peerHashBytesPerTurn) {
        this.#deps.verifier.hashAll(this.#store.contractId, cases, first, index);
        this.#hit('peerHashBytesPerTurn');
        await new Promise<void>((resolve) => this.#deps.timers.afterTurn(resolve));
        first = index;
        bytes = 0;
      }
      bytes += size;
    }
    this.#deps.verifier.hashAll(this.#store.contractId, cases, first);
  }

  #hit(limit: keyof typeof LIMITS): void {
    const hits = this.#deps.limitHits;
    if (hits !== undefined) countHit(hits, limit);
  }

  /** Judges shares as far as possible without hashing. */
  async #prepare(rows: ShareRows, period: TermPeriod): Promise<ShareCases> {
    const nowMs = this.#deps.clock.nowMs();
    const { ownsJobs = false } = this.#deps.binding;
    // Of own jobs nothing is gained by waiting for their block.
    const waitMs = ownsJobs ? 0 : this.#options.unknownBlockWaitMs;
    const waitUntilMs = this.#deps.clock.monotonicMs() + waitMs;
    const cases = new ShareCases(rows);
    const once = new BatchJobs();
    let target: ShareTarget | undefined;
    for (let index = 0; index < rows.length; index += 1) {
      const difficulty = rows.difficulty(index);
      if (target?.difficulty !== difficulty) target = this.#deps.verifier.targetOf(difficulty);
      const jobId = rows.jobId(index);
      let known = this.#jobs.get(jobId);
      if (known === undefined) {
        once.verdicts.clear();
        known = await this.#jobOf(jobId);
      }
      cases.targets.push(target);
      cases.jobs.push(known?.job);
      cases.codes.push(
        known === undefined
          ? 'share_bad'
          : (known.code ?? this.#checkShare(known.job, rows, index, target.target, nowMs)),
      );
      cases.lateCodes.push(undefined);
      cases.limitHashes.push(undefined);
      if (known === undefined || !cases.isGood(index)) continue;
      const verdict =
        once.verdicts.get(known.job) ?? (await this.#verdictOf(known.job, once, period, waitUntilMs));
      cases.codes[index] = verdict.code;
      cases.lateCodes[index] = verdict.lateCode;
      cases.limitHashes[index] = verdict.limitHashes;
    }
    return cases;
  }

  /** Judges a good job for the shares of one batch that are without fault themselves. */
  async #verdictOf(
    job: JobRecord,
    once: BatchJobs,
    period: TermPeriod,
    waitUntilMs: number,
  ): Promise<JobVerdict> {
    once.verdicts.clear();
    const standing = await this.#standingIn(job, once, waitUntilMs);
    const { code, lateCode, limitHashes } = this.#judgeStanding(job, standing, once, period);
    let verdict: JobVerdict = { code, lateCode, limitHashes };
    if (code === undefined) {
      const isBound = once.bound.has(job);
      if (!isBound)
        once.bound.set(job, await this.#deps.binding.judgeNow?.(job, this.#openAbsence?.fromMs));
      const late = lateCode ?? this.#deps.binding.lateCode?.(job);
      verdict = { code: once.bound.get(job), lateCode: late, limitHashes };
      // What came before a wait is judged anew for the next share.
      if (!isBound) return verdict;
    }
    once.verdicts.set(job, verdict);
    return verdict;
  }

  /** What the block of a job says of its shares. */
  #judgeStanding(job: JobRecord, standing: BlockStatus, once: BatchJobs, period: TermPeriod): JobVerdict {
    const limitHashes =
      standing.status === 'unknown' ? undefined : this.#store.creditLimit(standing.height);
    const outside = this.#outsideOf(period, standing) ?? (once.closed.has(job) ? 'share_stale' : undefined);
    if (outside !== undefined) return { code: outside, lateCode: undefined, limitHashes };
    return { ...this.#judgeTime(standing), limitHashes };
  }

  /** The status of the block of a job; asked once a batch. */
  async #standingIn(job: JobRecord, once: BatchJobs, waitUntilMs: number): Promise<BlockStatus> {
    const known = once.standings.get(job);
    if (known !== undefined) return known;
    const hash = displayHash(job.prevHash);
    const standing = once.blocks.get(hash) ?? (await this.#askAbout(hash, once.blocks.size, waitUntilMs));
    once.blocks.set(hash, standing);
    once.standings.set(job, standing);
    if (this.#deps.verifier.credited.isClosed(generationOf(job))) once.closed.add(job);
    return standing;
  }

  #checkShare(
    job: JobRecord,
    rows: ShareRows,
    index: number,
    target: bigint,
    nowMs: number,
  ): ShareCode | undefined {
    const assigned = this.#deps.binding.shareTarget?.(job);
    if (assigned !== undefined && target !== assigned) return 'share_low';
    return checkShare(this.#rules, job, rows, index, target, nowMs);
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

  /**
   * Why no work on a block is bought, whenever it comes: it is none of the contract's, or so near the expiry
   * that a state which pays the work might find no block.
   */
  #outsideOf(period: TermPeriod, standing: BlockStatus): ShareCode | undefined {
    if (standing.status === 'unknown') return undefined;
    const { terms, options } = this.#store;
    if (isTooLateToBegin(terms, options.margins, standing.height)) return 'expiry_near';
    const place = placeIn(period, standing.height);
    if (place === 'within') return this.#store.isUnpriced(standing.height) ? 'no_price' : undefined;
    return place === 'before' ? 'not_begun' : 'duration_over';
  }

  /** Monotonic time in ms: work on blocks that were replaced before it is not credited any more. */
  get oldestMs(): number {
    const { terms } = this.#store;
    const monotonicMs = this.#deps.clock.monotonicMs();
    const graceMs = terms.staleGraceSeconds * 1000;
    // As the next reconnect would open it: never later than a grace ago.
    const nextMs = Math.max(this.contactAtMonotonicMs, monotonicMs - backlogMs(terms)) - graceMs;
    return Math.min(nextMs, this.#openAbsence?.fromMs ?? nextMs);
  }

  /** Height up to which no work is credited, since it may have been paid before; 0 where all is. */
  get restoredHeight(): number {
    const { delivery, terms } = this.#store;
    return Math.max(delivery.restoredHeight, this.#deps.restored.heightFor(terms));
  }

  /** Judges whether work on a block comes in time, or out of the backlog, or not. */
  #judgeTime(standing: BlockStatus): Pick<JobVerdict, 'code' | 'lateCode'> {
    const { ownsJobs = false } = this.#deps.binding;
    const inTime = { code: undefined, lateCode: undefined };
    // The miner saw a block that is not here yet.
    if (standing.status === 'unknown') return ownsJobs ? inTime : { ...inTime, code: 'stale_race' };
    if (standing.height <= this.restoredHeight) return { ...inTime, code: 'maker_restored' };
    if (standing.status === 'current' || ownsJobs) return inTime;
    const { sinceMonotonicMs } = standing;
    const graceMs = this.#store.terms.staleGraceSeconds * 1000;
    const lateMs = this.#deps.clock.monotonicMs() - sinceMonotonicMs;
    if (lateMs <= graceMs) return inTime;
    // The miner may not have seen that the block was replaced, or have it for its tip.
    const raceMs = Math.max(graceMs, RACE_MS);
    const isRace =
      standing.isRival === true ||
      lateMs <= graceMs + raceMs ||
      this.#isBeforeAbsence(sinceMonotonicMs, raceMs);
    // Nobody here can tell whether work of an absence was found in time: more than a backlog is no fault.
    if (this.#isInAbsence(sinceMonotonicMs)) return { ...inTime, lateCode: 'stale_race' };
    return { ...inTime, code: isRace ? 'stale_race' : 'share_stale' };
  }

  /** A block was replaced so shortly before the miner went that it may have found its last shares on it. */
  #isBeforeAbsence(sinceMonotonicMs: number, raceMs: number): boolean {
    const absence = this.#openAbsence;
    if (absence === undefined) return false;
    return sinceMonotonicMs >= absence.fromMs - raceMs && sinceMonotonicMs < absence.fromMs;
  }

  #isInAbsence(sinceMonotonicMs: number): boolean {
    const absence = this.#openAbsence;
    if (absence === undefined) return false;
    return sinceMonotonicMs >= absence.fromMs && sinceMonotonicMs <= absence.toMs;
  }

  /** The last time that the miner was away, while its backlog is taken. */
  get #openAbsence(): Absence | undefined {
    const absence = this.#absence;
    return absence === undefined || this.#deps.clock.monotonicMs() > absence.untilMs ? undefined : absence;
  }

  /**
   * Refuses good shares beyond the contract's total, and beyond what its rate allows; the one that reaches
   * either is the last. Returns the work in hashes of the others.
   */
  #cap({ length, codes, targets, limitHashes }: ShareCases): bigint {
    const { workTotalHashes } = this.#store.terms;
    const before = this.#store.delivery.verifiedWorkHashes;
    let workHashes = before;
    for (let index = 0; index < length; index += 1) {
      if (codes[index] !== undefined) continue;
      const limit = limitHashes[index];
      if (workHashes >= workTotalHashes) codes[index] = 'over_budget';
      else if (limit !== undefined && workHashes >= limit) codes[index] = 'over_rate';
      else workHashes += targets[index]!.workHashes;
    }
    return workHashes - before;
  }

  async #jobOf(jobId: JobId): Promise<KnownJob | undefined> {
    const known = this.#jobs.get(jobId);
    if (known !== undefined) return known;
    const body = await this.#store.storedJob(jobId);
    if (body === undefined) return undefined;
    const job = parseJobDocument(body);
    return this.#remember({ job, code: this.#judgeJob(job, undefined, true), stored: true });
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

  #newJobs(cases: ShareCases): JobRecord[] {
    return [...cases.goodJobs()].filter((job) => this.#jobs.get(job.id)?.stored !== true);
  }

  #markStored(cases: ShareCases): void {
    for (const { id } of cases.goodJobs()) {
      const known = this.#jobs.get(id);
      if (known !== undefined) known.stored = true;
    }
  }
}

import { concat } from '../../src/base/bytes.ts';
import { CodedError, codeOf } from '../../src/base/errors.ts';
import type { Json } from '../../src/base/json.ts';
import { targetOfDifficulty, targetToHex } from '../../src/bitcoin/target.ts';
import type { BlockStatus, TipTracker } from '../../src/chain/tip-tracker.ts';
import type { BindingV3 } from '../../src/contract/binding.ts';
import type { TermsV3 } from '../../src/contract/terms-v3.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { type Logger, silentLogger } from '../../src/log/logger.ts';
import { BatchVerifier, DEFAULT_BATCH_VERIFIER_OPTIONS } from '../../src/maker/batch-verifier.ts';
import { MakerStore } from '../../src/maker/maker-store.ts';
import { PoolAccounts } from '../../src/maker/pool-accounts.ts';
import { PoolBook } from '../../src/maker/pool-book.ts';
import { ShareVerifier } from '../../src/maker/verification.ts';
import { WorkBinding } from '../../src/maker/work-binding.ts';
import { type WorkFiles, workFilesInMemory } from '../../src/maker/work-files.ts';
import { codecsOf, type MethodName, type Params, type WireShare } from '../../src/peer/messages.ts';
import type { RpcPeer } from '../../src/peer/rpc-peer.ts';
import type { WorkJob } from '../../src/peer/work-codecs.ts';
import { blobsInMemory } from '../../src/settlement/peer-blobs.ts';
import { NOTHING_DELIVERED } from '../../src/settlement/records.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { meets } from '../../src/shares/rules.ts';
import { shareTargetOf } from '../../src/shares/share.ts';
import { verifyShares } from '../../src/shares/verify.ts';
import type { Destination, DestinationListener } from '../../src/upstream/destination.ts';
import { FAILOVER_OPTIONS } from '../../src/upstream/failover.ts';
import type { UpstreamShare, UpstreamVerdict, VerdictCallback } from '../../src/upstream/upstream-share.ts';
import type { JobRecord } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { madeOf, offer } from './work-fixtures.ts';

export const CONTRACT = 'c0'.repeat(32);
export const INSTANCE = 'aa'.repeat(16);
export const GRACE_MS = 10_000;
/** Of the contract's shares, some 64 hashes each, and of those that the pool wants: one in four. */
export const SHARE = 2 ** -26;
export const SOLUTION = 2 ** -24;

const SOLVED = shareTargetOf(SOLUTION);
const kernel = createPortableKernel(64);
const WORK: Extract<BindingV3, { readonly type: 'work' }> = {
  ...{ type: 'work', extranonce2Bytes: 8, withdrawalsPerBlock: 5, solutionsPerMinute: 600 },
  foreignChain: false,
};

/** Terms whose jobs are the maker's, with shares of 8 to 64 hashes. */
export function workTerms(changes: Partial<TermsV3> = {}): TermsV3 {
  return {
    ...makeTermsV3(),
    ...{ binding: WORK, staleGraceSeconds: GRACE_MS / 1000, latePpm: 0, backlogMinutes: 60 },
    target: {
      easiestHex: targetToHex(targetOfDifficulty(2 ** -29)),
      hardestHex: targetToHex(targetOfDifficulty(2 ** -26)),
    },
    ...{ workTotalHashes: 10n ** 12n, stepHashes: 1000n },
    ...changes,
  };
}

/** A job as a pool gives it. */
export function poolJob(block: number, mark: number, changes: Partial<UpstreamJob> = {}): UpstreamJob {
  const { upstreamTarget: _target, shareTarget: _share, ...job } = offer(block, mark);
  return {
    ...job,
    ...{ upstreamJobId: `u${mark}`, clean: false, target: targetOfDifficulty(SOLUTION) },
    ...changes,
  };
}

/** A pool in the hands of a test. */
export class ManualPool implements Destination {
  readonly name: string;
  readonly mode = 'shared' as const;
  readonly links = undefined;
  readonly submitted: UpstreamShare[] = [];
  verdict: UpstreamVerdict | undefined = { outcome: 'accepted', code: undefined, reason: '', rttMs: 5 };
  readonly unanswered: VerdictCallback[] = [];
  lastJob: UpstreamJob | undefined;
  isUp = false;
  isStopped = false;
  readonly #listener: DestinationListener;

  constructor(name: string, listener: DestinationListener) {
    this.name = name;
    this.#listener = listener;
  }

  get health() {
    return {
      ...{ name: this.name, isUp: this.isUp, jobAgeMs: this.lastJob === undefined ? undefined : 0 },
      ...{ jobAgeLimitMs: 1e9, rejectRatio: 0, verdicts: 0, rttMs: undefined, shapeChanges: 0 },
    };
  }

  get figures(): never {
    throw new Error('not asked for');
  }

  start(): void {}
  stop(): void {
    this.isStopped = true;
  }
  judged(): void {}

  submit(share: UpstreamShare, done?: VerdictCallback): void {
    this.submitted.push(share);
    const { verdict } = this;
    if (verdict === undefined) this.unanswered.push(done!);
    else queueMicrotask(() => done?.(verdict));
  }

  gives(job: UpstreamJob): void {
    if (!this.isUp) this.#listener.onUp?.(this);
    this.isUp = true;
    this.lastJob = job;
    this.#listener.onJob?.(this, job);
  }

  fails(): void {
    this.isUp = false;
    this.lastJob = undefined;
    this.#listener.onDown?.(this, 'upstream_closed', 'test');
  }
}

type Sent = {
  readonly [M in MethodName]: { readonly method: M; readonly params: Params<M> };
}[MethodName];

/** A miner's end of the link. */
export class ManualPeer {
  readonly features = new Set(['work_binding']);
  readonly closed: Promise<unknown>;
  isClosed = false;
  readonly sent: Sent[] = [];
  /** Answers to come; each `true` acks, an error refuses. */
  isHeld = false;
  /** It mines no job, and lets none be withdrawn. */
  refuses = false;
  #held: (() => void)[] = [];
  #close!: (reason: unknown) => void;

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
  }

  request(method: MethodName, params: Json): Promise<unknown> {
    this.sent.push({ method, params: codecsOf(method).params.parse(params) } as Sent);
    if (this.refuses) return Promise.reject(new CodedError('work_refused', 'test'));
    if (!this.isHeld) return Promise.resolve({});
    return new Promise((resolve) => this.#held.push(() => resolve({})));
  }

  /** Answers what was held. */
  ack(): void {
    this.isHeld = false;
    for (const answer of this.#held.splice(0)) answer();
  }

  drop(): void {
    this.isClosed = true;
    this.#close(undefined);
  }

  get jobs(): WorkJob[] {
    return this.sent.flatMap((each) => (each.method === 'work.job' ? [each.params.job] : []));
  }

  get gone(): Params<'work.gone'>[] {
    return this.sent.flatMap((each) => (each.method === 'work.gone' ? [each.params] : []));
  }

  get rpc(): RpcPeer {
    return this as unknown as RpcPeer;
  }
}

export type WorkStandOptions = {
  readonly terms?: TermsV3;
  readonly contractId?: string;
  readonly pools?: readonly string[];
  readonly book?: PoolBook;
  readonly files?: WorkFiles;
  readonly ledger?: MemoryLedger;
  readonly time?: VirtualTime;
  readonly log?: Logger;
};

/** One contract with jobs of the maker's pools, and its verifier, everything around in hand. */
export class WorkStand {
  readonly time: VirtualTime;
  readonly contractId: string;
  readonly pools: ManualPool[] = [];
  readonly book: PoolBook;
  readonly accounts: PoolAccounts;
  readonly files: WorkFiles;
  readonly binding: WorkBinding;
  readonly batches: BatchVerifier;
  readonly store: MakerStore;
  readonly ledger: MemoryLedger;
  peer = new ManualPeer();
  channelStatus: 'open' | 'closing' | 'closed' = 'open';
  block: BlockStatus = { status: 'current', height: 10, bits: 1 };
  #nonce = 0;
  #lastRecord = 0;

  constructor(options: WorkStandOptions = {}) {
    const { terms = workTerms(), contractId = CONTRACT, pools = ['p', 'q'] } = options;
    this.time = options.time ?? new VirtualTime();
    this.contractId = contractId;
    this.book = options.book ?? new PoolBook(pools);
    this.files = options.files ?? workFilesInMemory();
    const { clock, timers } = this.time;
    this.ledger = options.ledger ?? new MemoryLedger();
    const { ledger } = this;
    this.accounts = new PoolAccounts(pools, ledger);
    const signatures = { minerSignature: '00'.repeat(64), makerSignature: '00'.repeat(64) };
    this.store = MakerStore.create(
      contractId,
      { version: 1, role: 'maker', terms, ...signatures, channelIndex: 0 },
      {
        ...{ ledger, clock, timers, log: silentLogger },
        blobFiles: blobsInMemory(),
      } as never,
    );
    Object.assign(this.store, { delivery: NOTHING_DELIVERED });
    Object.defineProperty(this.store, 'channel', { get: () => ({ status: this.channelStatus }) });
    this.binding = new WorkBinding(this.store, {
      ...{ kernel, ledger, clock, timers, log: options.log ?? silentLogger, backlogWindowMs: 600_000 },
      ...{ book: this.book, accounts: this.accounts, files: this.files, failover: FAILOVER_OPTIONS },
      pools: pools.map((name) => (listener) => {
        const pool = new ManualPool(name, listener);
        this.pools.push(pool);
        return pool;
      }),
    });
    this.batches = new BatchVerifier(
      this.store,
      { ...DEFAULT_BATCH_VERIFIER_OPTIONS, fixedTarget: true },
      {
        view: { standing: async () => this.block } as unknown as TipTracker,
        verifier: new ShareVerifier({ kernel }),
        restored: { heightFor: () => 0 },
        ...{ clock, timers, binding: this.binding },
      },
    );
  }

  get pool(): ManualPool {
    return this.pools[0]!;
  }

  /** Connects the miner's process. */
  async subscribe(instance = INSTANCE): Promise<void> {
    this.binding.subscribe(this.peer.rpc, { contractId: this.contractId, instance });
    await this.time.settle();
  }

  /** A job of the best pool, which the miner has. */
  async given(job: UpstreamJob, pool = this.pool): Promise<WorkJob> {
    const before = this.peer.jobs.length;
    pool.gives(job);
    await this.time.settle();
    const given = this.peer.jobs[before];
    if (given === undefined) throw new Error('no job came');
    return given;
  }

  /** Announces a job of the proxy made of one of ours. */
  async announce(own: WorkJob, changes: Partial<JobRecord> = {}, source?: number): Promise<JobRecord> {
    this.#lastRecord += 1;
    const record = madeOf(own, this.#lastRecord, changes);
    await this.batches.announce(record, source ?? own.id);
    return record;
  }

  /** So many shares of a job: solutions, none, or as they come. */
  mine(
    job: JobRecord,
    count: number,
    how: { readonly difficulty?: number; readonly isSolution?: boolean } = {},
  ): WireShare[] {
    const { difficulty = SHARE, isSolution } = how;
    const assigned = shareTargetOf(difficulty);
    const found: WireShare[] = [];
    const extranonce = Uint8Array.of(0, 0, 0, 7, 0, 0, 0, 0).subarray(0, job.extranonceSize);
    while (found.length < count) {
      this.#nonce += 1;
      const share = { ntime: job.time, nonce: this.#nonce, version: job.version };
      const hash = verifyShares(kernel, [job], [{ job: 0, extranonce, ...share }]);
      if (!meets(hash, 0, assigned.words)) continue;
      if (isSolution !== undefined && meets(hash, 0, SOLVED.words) !== isSolution) continue;
      const [extranonce1, extranonce2] = [extranonce.slice(0, 4), extranonce.slice(4)];
      found.push({ ...share, jobId: job.id, difficulty: assigned.difficulty, extranonce1, extranonce2 });
    }
    return found;
  }

  /** Shows a solution; the verdict, or the code it is refused with. */
  async show(
    own: WorkJob,
    share: WireShare,
    changes: Partial<Params<'work.solution'>> = {},
  ): Promise<string> {
    const { extranonce1, extranonce2, ntime, nonce, version } = share;
    const pad = new Uint8Array(own.extranonce2Size - extranonce1.length - extranonce2.length);
    try {
      const { outcome, reason = '' } = await this.binding.solve({
        ...{ contractId: this.contractId, instance: INSTANCE, id: own.id, ntime, nonce, version },
        extranonce2: concat(pad, extranonce1, extranonce2),
        ...changes,
      });
      return `${outcome} ${reason}`.trim();
    } catch (error) {
      return codeOf(error);
    }
  }

  /** What became of a batch: a word for each share. */
  async take(shares: readonly WireShare[]): Promise<string> {
    const firstSeq = this.store.delivery.nextSeq;
    const batch = { contractId: this.contractId, firstSeq, shares: ShareRows.of(shares), workTotal: 0n };
    const { refused } = await this.batches.take(batch);
    const codes = new Map(refused.map(({ seq, code }) => [seq - firstSeq, code]));
    return shares.map((_, index) => codes.get(index) ?? 'ok').join(' ');
  }
}

import { sha256d } from '../../src/base/hash.ts';
import { systemTimers } from '../../src/base/system-timers.ts';
import { hashToNumber } from '../../src/bitcoin/target.ts';
import { REMEMBERED_MS } from '../../src/daemon/startup-state.ts';
import { Grinder } from '../../src/devnet/hashing/grinder.ts';
import type { DownstreamDeps, DownstreamOptions } from '../../src/downstream/server/options.ts';
import { DownstreamServer } from '../../src/downstream/server/server.ts';
import type { SessionSubmission } from '../../src/downstream/session/session.ts';
import type { Job, UpstreamJob } from '../../src/jobs/job.ts';
import { JobTable, type JobTableOptions } from '../../src/jobs/job-table.ts';
import type { Ledger } from '../../src/ledger/ledger.ts';
import { silentLogger } from '../../src/log/logger.ts';
import { DuplicateSet } from '../../src/shares/duplicates.ts';
import { ShareEngine } from '../../src/shares/engine.ts';
import { createKernel } from '../../src/shares/kernel/create-kernel.ts';
import { RestingGenerations } from '../../src/shares/resting-generations.ts';
import type { Verdict } from '../../src/shares/share.ts';
import { jobDocumentId } from '../../src/work/evidence.ts';
import { Meters, type StreamTotal } from '../../src/work/meters.ts';
import { rememberShares } from '../../src/work/recent-shares.ts';
import { ManualClock } from '../base/manual-clock.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { type Line, paramsOf, TestMiner } from './harness.ts';

/** Some thousand hashes a share. */
export const SHARE_DIFFICULTY = 2 ** -21;

export type StandOptions = {
  readonly options?: Partial<DownstreamOptions>;
  readonly deps?: Partial<DownstreamDeps>;
  readonly table?: Partial<JobTableOptions>;
  readonly difficulty?: number;
  readonly ledger?: Ledger;
  readonly clock?: ManualClock;
  readonly forward?: (submission: SessionSubmission) => void;
};

/** The way of a share as in the program: sockets, sessions, engine, kernel, meters, ledger. */
export class Stand {
  readonly clock: ManualClock;
  readonly jobs: JobTable;
  readonly server: DownstreamServer;
  readonly engine: ShareEngine<SessionSubmission>;
  readonly ledger: Ledger;
  readonly meters: Meters;
  readonly submissions: SessionSubmission[] = [];
  readonly verdicts: Verdict[] = [];
  /** What went upstream, in order: hashes in internal order, as hex. */
  readonly forwarded: { readonly submission: SessionSubmission; readonly hash: string }[] = [];
  readonly #miners: TestMiner[] = [];
  readonly #resting: RestingGenerations;

  private constructor(setup: StandOptions, ledger: Ledger, meters: Meters, duplicates: DuplicateSet) {
    const clock = setup.clock ?? new ManualClock();
    const difficulty = setup.difficulty ?? SHARE_DIFFICULTY;
    this.clock = clock;
    this.ledger = ledger;
    this.meters = meters;
    this.jobs = new JobTable(
      {
        ...{ run: 1, sessionIdSize: 4, minerExtranonce2Size: 4, versionMask: 0x1fffe000, staleGraceMs: 0 },
        ...setup.table,
      },
      { onRetired: (job) => this.#onRetired(job) },
    );
    this.engine = new ShareEngine<SessionSubmission>(
      {},
      {
        timers: systemTimers,
        ...{ kernel: createKernel(256), duplicates, clock, log: silentLogger },
        isStale: (job) => this.jobs.isStale(job, clock.monotonicMs()),
        forward: (submission, hash) => {
          this.forwarded.push({ submission, hash: Buffer.from(hash).toString('hex') });
          setup.forward?.(submission);
        },
        commit: async (shares) => void (await this.meters.commit(ledger, shares)),
        settle: (submission, verdict) => {
          this.verdicts.push(verdict);
          this.server.settle(submission, verdict);
        },
      },
    );
    this.#resting = new RestingGenerations(
      {
        duplicates,
        isLive: (prevHash) => this.jobs.hasPrevHash(prevHash),
        drop: (generation) => this.engine.dropGeneration(generation),
      },
      clock.monotonicMs(),
    );
    const bounds = { start: difficulty, floor: difficulty, ceiling: difficulty };
    this.server = new DownstreamServer(
      {
        listeners: [{ host: '127.0.0.1', port: 0, difficulty: { sharesPerMinute: 12, ...bounds } }],
        ...{ extranonce2Size: 4, versionMask: 0x1fffe000, drainMs: 2000 },
        ...setup.options,
      },
      {
        timers: systemTimers,
        ...{ jobs: this.jobs, clock, log: silentLogger, route: () => 'pool' },
        engine: {
          submit: (submission) => {
            this.submissions.push(submission);
            this.engine.submit(submission);
          },
        },
        random: { bytes: (size) => Uint8Array.from({ length: size }, (_, index) => 0x10 + index) },
        ...setup.deps,
      },
    );
  }

  /** With the duplicates and totals of its ledger, as after a restart; an empty one without. */
  static async start(setup: StandOptions = {}): Promise<Stand> {
    const clock = setup.clock ?? new ManualClock();
    const ledger = setup.ledger ?? new MemoryLedger({}, { clock });
    const meters = await Meters.load(ledger);
    const duplicates = new DuplicateSet();
    await rememberShares(
      ledger,
      { memoryMs: REMEMBERED_MS, jobKey: (_stream, jobId) => jobDocumentId(jobId) },
      (generation, bytes, hashAt) => duplicates.add(generation, bytes, hashAt),
    );
    const stand = new Stand({ ...setup, clock }, ledger, meters, duplicates);
    await stand.server.listen();
    running.push(stand);
    return stand;
  }

  /** Work for the pool that all sessions get at once. */
  give(upstream: UpstreamJob, destination = 'pool', fixedDifficulty?: number): Job {
    const now = this.clock.monotonicMs();
    const job = this.jobs.add(destination, `own:${destination}`, upstream, now, fixedDifficulty);
    this.server.broadcast(job);
    return job;
  }

  /** Retires what is over, as the program does every second. */
  sweep(): void {
    this.jobs.expire(this.clock.monotonicMs());
    this.#resting.sweep(this.clock.monotonicMs());
  }

  miner(listener = 0): TestMiner {
    const miner = new TestMiner(this.server.addresses()[listener]!.port);
    this.#miners.push(miner);
    return miner;
  }

  total(stream = 'own:pool'): StreamTotal {
    return this.meters.total(stream);
  }

  async close(): Promise<void> {
    for (const miner of this.#miners) miner.destroy();
    await this.server.close();
    await this.engine.drain();
  }

  #onRetired(job: Job): void {
    this.engine.retire(job);
    this.#resting.retired(job, this.clock.monotonicMs());
  }
}

const running: Stand[] = [];

/** For `afterEach`. */
export async function stopStands(): Promise<void> {
  for (const stand of running.splice(0)) await stand.close();
}

type Wanted = {
  readonly target: bigint;
  /** The hash must not meet this one. */
  readonly above?: bigint;
  readonly worker?: string;
  readonly extranonce2?: string;
  readonly ntime?: string;
  /** Rolled version bits: the sixth parameter, and in the header. */
  readonly bits?: string;
};

const grinder = new Grinder();

/** The params of `mining.submit` that solve a notify, found as an ASIC finds them: from its text alone. */
export function solve(notify: Line, extranonce1: string, wanted: Wanted): string[] {
  const { target, above = -1n } = wanted;
  const paramsWith = prepare(notify, extranonce1, wanted);
  for (let start = 0; ; ) {
    const nonce = grinder.search(start, 2 ** 24)!;
    if (hashToNumber(sha256d(grinder.header(nonce))) > above) return paramsWith(nonce);
    start = nonce + 1;
    if (above >= target) throw new Error('nothing is above and below');
  }
}

/** All shares among the first nonces of one extranonce2. */
export function everyShare(notify: Line, extranonce1: string, wanted: Wanted, nonces: number): string[][] {
  const paramsWith = prepare(notify, extranonce1, wanted);
  const found: string[][] = [];
  for (let start = 0; start < nonces; ) {
    const nonce = grinder.search(start, Math.ceil((nonces - start) / 4) * 4);
    if (nonce === undefined || nonce >= nonces) break;
    found.push(paramsWith(nonce));
    start = nonce + 1;
  }
  return found;
}

function prepare(notify: Line, extranonce1: string, wanted: Wanted): (nonce: number) => string[] {
  const [jobId, prevHash, coinb1, coinb2, branches, version, bits, time] = paramsOf(notify) as string[];
  const { worker = 'rig.1', extranonce2 = '000000ab', ntime = time! } = wanted;
  const le = (hex: string): Buffer => Buffer.from(hex, 'hex').reverse();
  let root = sha256d(Buffer.from(coinb1! + extranonce1 + extranonce2 + coinb2!, 'hex'));
  for (const branch of branches as unknown as string[]) {
    root = sha256d(Buffer.concat([root, Buffer.from(branch, 'hex')]));
  }
  const rolled = Number.parseInt(version!, 16) | Number.parseInt(wanted.bits ?? '0', 16);
  const header = Buffer.concat([
    le((rolled >>> 0).toString(16).padStart(8, '0')),
    Buffer.from(prevHash!, 'hex').swap32(),
    root,
    le(ntime),
    le(bits!),
    Buffer.alloc(4),
  ]);
  grinder.setHeader(header, wanted.target);
  const sixth = wanted.bits === undefined ? [] : [wanted.bits];
  return (nonce) => [worker, jobId!, extranonce2, ntime, nonce.toString(16).padStart(8, '0'), ...sixth];
}

export const submitLine = (id: unknown, params: readonly unknown[]): Line => ({
  id,
  method: 'mining.submit',
  params,
});

/** The number of the error of a reply; 0 for a result. */
export const codeOf = (line: Line): number => ((line['error'] as unknown[] | null)?.[0] as number) ?? 0;

/** Sends submits and gives their error numbers in the order they were sent. */
export async function codesOf(
  miner: TestMiner,
  submits: readonly (readonly unknown[])[],
): Promise<number[]> {
  const ids = submits.map((_, index) => `s${index}`);
  miner.send(...submits.map((params, index) => submitLine(ids[index], params)));
  const replies = new Map<unknown, number>();
  while (replies.size < ids.length) {
    const line = await miner.next();
    if (typeof line['id'] === 'string' && ids.includes(line['id'])) replies.set(line['id'], codeOf(line));
  }
  return ids.map((id) => replies.get(id)!);
}

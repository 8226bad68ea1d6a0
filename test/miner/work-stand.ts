import { fromHex } from '../../src/base/bytes.ts';
import { CodedError } from '../../src/base/errors.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { parseDisplayHash } from '../../src/bitcoin/header.ts';
import { targetOfDifficulty } from '../../src/bitcoin/target.ts';
import type { BlockStatus } from '../../src/chain/tip-tracker.ts';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { WorkDestination, type WorkLink } from '../../src/miner/work-destination.ts';
import { type Solution, solutionOf } from '../../src/miner/work-link.ts';
import { type WorkBinding, workBindingOf } from '../../src/miner/work-rules.ts';
import type { Result } from '../../src/peer/messages.ts';
import type { WorkJob } from '../../src/peer/work-codecs.ts';
import type { UpstreamShare, UpstreamVerdict } from '../../src/upstream/upstream-share.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { recorder } from '../chain/log-recorder.ts';
import { makeTermsV3 } from '../contract/terms-v3-fixtures.ts';

export const BLOCK_A = 'aa'.repeat(32);
export const BLOCK_B = 'bb'.repeat(32);

export const WORK: WorkBinding = {
  type: 'work',
  ...{ extranonce2Bytes: 8, withdrawalsPerBlock: 3, solutionsPerMinute: 60, foreignChain: false },
};

/** A job that breaks nothing. */
export function makeJob(id: number, change: Partial<WorkJob> = {}): WorkJob {
  const { coinb1, coinb2 } = buildCoinbase({
    height: 100 + id,
    extranonceSize: 12,
    tag: new TextEncoder().encode('/pool/'),
    outputs: [{ script: fromHex(`0014${'cd'.repeat(20)}`), valueSat: 1n }],
  });
  return {
    ...{ id, version: 0x20000000, prevHash: parseDisplayHash(BLOCK_A), coinb1, coinb2, branches: [] },
    ...{ bits: 0x1d00ffff, time: 1_800_000_000, extranonce1: new Uint8Array(4), extranonce2Size: 8 },
    ...{ versionMask: 0x1fffe000, upstreamTarget: targetOfDifficulty(64) },
    ...{ shareTarget: targetOfDifficulty(16), clean: false },
    ...change,
  };
}

export type Answer = () => Promise<Result<'work.solution'>>;

/** A destination for the jobs of a maker that is played by the test, in virtual time. */
export class WorkStand {
  readonly time = new VirtualTime();
  /** What the own node says of a block; unknown otherwise. */
  readonly blocks = new Map<string, BlockStatus>([
    [BLOCK_A, { status: 'current', height: 9, bits: 0x1d00ffff }],
  ]);
  /** What who mines here was told, in order. */
  readonly told: string[] = [];
  readonly jobs: UpstreamJob[] = [];
  readonly verdicts: UpstreamVerdict[] = [];
  readonly solutions: Solution[] = [];
  readonly observed: number[] = [];
  subscribed = 0;
  subscribe: () => Promise<void> = async () => {};
  answer: Answer = async () => ({ outcome: 'accepted' });
  isNodeAway = false;
  /** Runs before each answer of the own node. */
  beforeStanding: (() => Promise<void>) | undefined;
  /** What the log said, as it may matter to people. */
  readonly #recorded = recorder();
  readonly destination: WorkDestination;

  constructor(binding: Partial<WorkBinding> = {}) {
    const terms = makeTermsV3({
      binding: { ...WORK, ...binding },
      target: { easiestHex: hexOf(4), hardestHex: hexOf(1024) },
      staleGraceSeconds: 30,
    });
    const { clock, timers } = this.time;
    this.destination = new WorkDestination(
      { name: 'maker', terms, binding: workBindingOf(terms)! },
      {
        ...{ clock, timers, log: this.#recorded.log },
        view: {
          standing: async (hash) => {
            await this.beforeStanding?.();
            if (this.isNodeAway) throw new CodedError('chain_unreachable');
            return this.blocks.get(hash) ?? { status: 'unknown' };
          },
        },
        observeSolution: (seconds) => void this.observed.push(seconds),
      },
    ).listenTo({
      onJob: (_at, job) => {
        this.jobs.push(job);
        this.told.push(`job ${job.upstreamJobId}`);
      },
      onGone: (_at, ids) => void this.told.push(`gone ${[...ids].join()}`),
      onDown: (_at, code) => void this.told.push(code),
    });
  }

  /** Warnings so far. */
  get warnings(): readonly string[] {
    return this.#recorded.lines.flatMap(([level, , message]) => (level === 'warn' ? [message] : []));
  }

  /** A new connection to the maker, whose channel is open. */
  connect(): WorkLink {
    const link: WorkLink = {
      subscribe: () => {
        this.subscribed += 1;
        return this.subscribe();
      },
      solve: (share) => {
        const solution = solutionOf(share);
        this.solutions.push(solution);
        return this.answer();
      },
    };
    this.destination.connected(link);
    return link;
  }

  async give(...jobs: WorkJob[]): Promise<void> {
    for (const job of jobs) this.destination.give({ job });
    await this.time.settle();
  }

  /** What a job or withdrawal is refused for; undefined where it is taken. */
  refusal(act: () => void): unknown {
    try {
      act();
      return undefined;
    } catch (error) {
      if (!(error instanceof CodedError) || error.code !== 'work_refused') throw error;
      return error.meta['reason'];
    }
  }

  tip(hash: string): void {
    for (const [block, { status }] of this.blocks) {
      if (status !== 'current') continue;
      const sinceMonotonicMs = this.time.clock.monotonicMs();
      this.blocks.set(block, { status: 'superseded', height: 9, bits: 0, sinceMonotonicMs });
    }
    this.blocks.set(hash, { status: 'current', height: 10, bits: 0x1d00ffff });
    this.destination.onTip();
  }

  share(change: Partial<UpstreamShare> = {}): UpstreamShare {
    return {
      ...{ job: this.jobs.at(-1)!, extranonce2: new Uint8Array(8), ntime: 1_800_000_000, nonce: 1 },
      ...{ versionBits: 0x2000, isBlock: false },
      ...change,
    };
  }

  submit(change: Partial<UpstreamShare> = {}, token?: object): void {
    const share = this.share(change);
    this.destination.submit(share, (verdict) => void this.verdicts.push(verdict), token);
  }
}

function hexOf(difficulty: number): string {
  return targetOfDifficulty(difficulty).toString(16).padStart(64, '0');
}

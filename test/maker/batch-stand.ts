import { expect } from 'vitest';
import { codeOf } from '../../src/base/errors.ts';
import type { BlockStatus, TipTracker } from '../../src/chain/tip-tracker.ts';
import type { ContractTerms, TermsV1or2 } from '../../src/contract/terms.ts';
import type { Job } from '../../src/jobs/job.ts';
import { silentLogger } from '../../src/log/logger.ts';
import {
  BatchVerifier,
  type BatchVerifierOptions,
  DEFAULT_BATCH_VERIFIER_OPTIONS,
} from '../../src/maker/batch-verifier.ts';
import { coinbaseBinding } from '../../src/maker/job-binding.ts';
import { MakerStore } from '../../src/maker/maker-store.ts';
import { ShareVerifier } from '../../src/maker/verification.ts';
import type { WireShare } from '../../src/peer/messages.ts';
import { blobsInMemory } from '../../src/settlement/peer-blobs.ts';
import { type DeliveryRecord, NOTHING_DELIVERED } from '../../src/settlement/records.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { meets } from '../../src/shares/rules.ts';
import { verifyShares } from '../../src/shares/verify.ts';
import { jobRecordOf } from '../../src/work/evidence.ts';
import { ShareRows } from '../../src/work/share-rows.ts';
import { VirtualTime } from '../base/virtual-time.ts';
import { MemoryLedger } from '../ledger/memory-ledger.ts';
import { SHARE, World } from './world.ts';

export const W = SHARE.workHashes;
export const GRACE_MS = 30_000;
export const world = new World();
export const kernel = createPortableKernel(64);
export const CURRENT = { status: 'current', height: 10, bits: 1 } as const satisfies BlockStatus;
/** The ledger is no older copy. */
export const WHOLE = { heightFor: () => 0 };

let nonce = 0;

/** Real shares of a job: their hashes are at or below the target. */
export function mine(
  job: Job,
  count: number,
  changes: Partial<Pick<WireShare, 'ntime' | 'version'>> = {},
): WireShare[] {
  const { ntime = job.time, version = job.version } = changes;
  const extranonce = new Uint8Array(job.extranonceSize);
  const found: WireShare[] = [];
  while (found.length < count) {
    nonce += 1;
    const hash = verifyShares(kernel, [job], [{ job: 0, extranonce, ntime, nonce, version }]);
    if (!meets(hash, 0, SHARE.words)) continue;
    const [extranonce1, extranonce2] = [extranonce.slice(0, 4), extranonce.slice(4)];
    found.push({
      jobId: job.id,
      difficulty: SHARE.difficulty,
      extranonce1,
      extranonce2,
      ntime,
      nonce,
      version,
    });
  }
  return found;
}

export type StandOptions = {
  readonly terms?: Partial<TermsV1or2>;
  readonly proposed?: ContractTerms;
  readonly options?: Partial<BatchVerifierOptions>;
  readonly delivery?: Partial<DeliveryRecord>;
  readonly verifier?: ShareVerifier;
  readonly time?: VirtualTime;
};

/** The verifier of one contract with everything around it in hand: blocks, time, and the disk. */
export class Stand {
  readonly time: VirtualTime;
  readonly ledger = new MemoryLedger();
  readonly job = world.job();
  readonly verifier: ShareVerifier;
  batches: BatchVerifier;
  readonly store: MakerStore;
  readonly hits: Record<string, number> = {};
  /** What the own node says of every block, but for those of which it says something else. */
  block: BlockStatus = CURRENT;
  blockOf: ((hash: string) => BlockStatus) | undefined;
  asked = 0;
  readonly #options: Partial<BatchVerifierOptions> | undefined;

  constructor({ terms, proposed, options, delivery, verifier, time }: StandOptions = {}) {
    this.time = time ?? new VirtualTime();
    // The job is of now: the times of its shares are too.
    this.time.setWall(this.job.time * 1000 - this.time.clock.nowMs());
    const { clock, timers } = this.time;
    const signatures = { minerSignature: '00'.repeat(64), makerSignature: '00'.repeat(64) };
    const agreed = proposed ?? { ...world.terms, ...terms };
    const contract = {
      version: 1 as const,
      role: 'maker' as const,
      terms: agreed,
      ...signatures,
      channelIndex: 0,
    };
    const deps = { ledger: this.ledger, clock, timers, log: silentLogger, signer: world.makerSigner };
    this.store = MakerStore.create(world.contractId, contract, {
      ...deps,
      blobFiles: blobsInMemory(),
    } as never);
    Object.assign(this.store, { delivery: { ...NOTHING_DELIVERED, ...delivery } });
    this.verifier = verifier ?? new ShareVerifier({ kernel });
    this.#options = options;
    this.batches = this.#verify();
  }

  /** Another run of the program, on the same ledger. */
  restart(): void {
    this.batches = this.#verify();
  }

  #verify(): BatchVerifier {
    const view = {
      standing: async (hash: string) => {
        this.asked += 1;
        return this.blockOf?.(hash) ?? this.block;
      },
    } as unknown as TipTracker;
    const { clock, timers } = this.time;
    return new BatchVerifier(
      this.store,
      { ...DEFAULT_BATCH_VERIFIER_OPTIONS, unknownBlockWaitMs: 0, ...this.#options },
      {
        ...{ view, verifier: this.verifier, restored: WHOLE, clock, timers, limitHits: this.hits },
        binding: coinbaseBinding(this.store.terms),
      },
    );
  }

  get now(): number {
    return this.time.clock.monotonicMs();
  }

  async announce(job = this.job): Promise<void> {
    await this.batches.announce(jobRecordOf(job));
  }

  /** What was refused, by place in the batch, or the code that the batch was refused with. */
  async take(shares: readonly WireShare[], firstSeq = this.store.delivery.nextSeq): Promise<string> {
    const batch = { contractId: world.contractId, firstSeq, shares: ShareRows.of(shares), workTotal: 0n };
    try {
      const { refused, nextSeq } = await this.batches.take(batch);
      expect(nextSeq).toBe(firstSeq + shares.length);
      const codes = new Map(refused.map(({ seq, code }) => [seq - firstSeq, code]));
      return shares.map((_, index) => codes.get(index) ?? 'ok').join(' ');
    } catch (error) {
      return codeOf(error);
    }
  }

  /** One more share of the job. */
  one(): Promise<string> {
    return this.take(mine(this.job, 1));
  }
}

export async function stand(options: StandOptions = {}): Promise<Stand> {
  const made = new Stand(options);
  await made.announce();
  return made;
}

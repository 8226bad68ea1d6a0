import { concat } from '../base/bytes.ts';
import type { Clock } from '../base/clock.ts';
import { memo } from '../base/memo.ts';
import type { WireShare } from '../peer/messages.ts';
import type { ShareCode } from '../settlement/share-rules.ts';
import { generationOf } from '../shares/duplicates.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import { meets } from '../shares/rules.ts';
import { type ShareTarget, shareTargetOf } from '../shares/share.ts';
import { type ShareInput, verifyShares } from '../shares/verify.ts';
import type { JobRecord } from '../work/evidence.ts';
import { CreditedHashes } from './credited-hashes.ts';

/** A share of a batch on its way through the checks. */
export type ShareCase = {
  readonly share: WireShare;
  readonly job: JobRecord | undefined;
  /** Code of the first fault found. */
  code: ShareCode | undefined;
  /** Code of one that is late, where the backlog has no room for it; none where it comes in time. */
  lateCode?: ShareCode | undefined;
  /** Hashes that may be credited in all before it, on its block; undefined where there is no such bound. */
  limitHashes?: bigint | undefined;
  target: ShareTarget | undefined;
  /** Hash in internal byte order, once computed. */
  hash: Uint8Array | undefined;
  /** The hash is remembered as credited by this very case. */
  isNew?: boolean;
};

/** Takes how many shares were hashed in one go, and the time that took. */
export type ObserveBatch = (shares: number, seconds: number) => void;

export type ShareVerifierDeps = {
  readonly kernel: ShareKernel;
  readonly credited?: CreditedHashes;
  readonly clock?: Pick<Clock, 'monotonicMs'>;
  readonly observeBatch?: ObserveBatch;
};

/** Cached targets; a stream uses few difficulties at a time. */
const TARGETS_KEPT = 1024;

/**
 * A verifier of shares: hashes a batch in one go with the miners' own kernel, and finds low and duplicate
 * ones.
 */
export class ShareVerifier {
  readonly #kernel: ShareKernel;
  readonly #observe: ObserveBatch;
  readonly #clock: Pick<Clock, 'monotonicMs'> | undefined;
  readonly targetOf: (difficulty: number) => ShareTarget = memo(TARGETS_KEPT, shareTargetOf);
  readonly credited: CreditedHashes;

  constructor(deps: ShareVerifierDeps) {
    this.#kernel = deps.kernel;
    this.#clock = deps.clock;
    this.#observe = deps.observeBatch ?? (() => {});
    this.credited = deps.credited ?? new CreditedHashes();
  }

  /** Remembers a hash as credited. False when it was known. */
  remember(contractId: string, generation: string, hash: Uint8Array): boolean {
    return this.credited.add(contractId, generation, hash);
  }

  /** Fills in hash and code of the cases without one; new hashes are remembered. Throws `overload`. */
  hashAll(contractId: string, cases: readonly ShareCase[]): void {
    const open = cases.filter((each) => each.code === undefined);
    const jobs = [...new Set(open.map(({ job }) => job!))];
    const indexOf = new Map(jobs.map((job, index) => [job, index]));
    // Once for each job: a name costs as much as a hash.
    const generations = jobs.map(generationOf);
    this.credited.makeRoom(contractId, open.length, new Set(generations));
    const inputs: ShareInput[] = open.map(({ share, job }) => ({
      job: indexOf.get(job!)!,
      extranonce: concat(share.extranonce1, share.extranonce2),
      ntime: share.ntime,
      nonce: share.nonce,
      version: share.version,
    }));
    const startMs = this.#clock?.monotonicMs() ?? 0;
    const hashes = verifyShares(this.#kernel, jobs, inputs);
    this.#observe(inputs.length, ((this.#clock?.monotonicMs() ?? 0) - startMs) / 1000);
    open.forEach((each, index) => {
      each.hash = hashes.slice(index * 32, index * 32 + 32);
      if (!meets(each.hash, 0, each.target!.words)) each.code = 'share_low';
      else {
        each.isNew = this.remember(contractId, generations[inputs[index]!.job]!, each.hash);
        if (!each.isNew) each.code = 'share_duplicate';
      }
    });
  }

  /**
   * Forgets the hashes that `hashAll` remembered, after a failed write of the batch: also of what was refused
   * for another reason then, which is judged anew.
   */
  forget(contractId: string, cases: readonly ShareCase[]): void {
    for (const { isNew, job, hash } of cases)
      if (isNew === true) this.credited.delete(contractId, generationOf(job!), hash!);
  }
}

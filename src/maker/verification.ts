import type { Clock } from '../base/clock.ts';
import { memo } from '../base/memo.ts';
import { generationOf } from '../shares/duplicates.ts';
import type { ShareKernel } from '../shares/kernel/kernel.ts';
import { meets } from '../shares/rules.ts';
import { type ShareTarget, shareTargetOf } from '../shares/share.ts';
import type { JobRecord } from '../work/evidence.ts';
import { hashRows } from '../work/share-rows.ts';
import { CreditedHashes } from './credited-hashes.ts';
import type { ShareCases } from './share-cases.ts';

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

  /** Remembers a hash, 32 bytes from `at` on, as credited. False when it was known. */
  remember(contractId: string, generation: string, hashes: Uint8Array, at = 0): boolean {
    return this.credited.add(contractId, generation, hashes, at);
  }

  /**
   * Fills in hash and code of the cases of a range that have no code; new hashes are remembered. Throws
   * `overload`.
   */
  hashAll(contractId: string, cases: ShareCases, first = 0, end = cases.length): void {
    const { jobs, indexes, jobOf } = openCases(cases, first, end);
    // Once for each job: a name costs as much as a hash.
    const generations = jobs.map(generationOf);
    this.credited.makeRoom(contractId, indexes.length, new Set(generations));
    const startMs = this.#clock?.monotonicMs() ?? 0;
    const hashes = hashRows(this.#kernel, jobs, cases.rows, indexes, jobOf);
    this.#observe(indexes.length, ((this.#clock?.monotonicMs() ?? 0) - startMs) / 1000);
    // Mostly all are of one block.
    if (generations.length > 0) this.credited.prepare(generations[0]!, hashes, indexes.length);
    for (let at = 0; at < indexes.length; at += 1) {
      const index = indexes[at]!;
      cases.setHash(index, hashes, at * 32);
      if (!meets(hashes, at * 32, cases.targets[index]!.words)) cases.codes[index] = 'share_low';
      else if (this.remember(contractId, generations[jobOf[at]!]!, hashes, at * 32)) cases.setNew(index);
      else cases.codes[index] = 'share_duplicate';
    }
  }

  /**
   * Forgets the hashes that `hashAll` remembered, after a failed write of the batch: also of what was refused
   * for another reason then, which is judged anew.
   */
  forget(contractId: string, cases: ShareCases): void {
    const { rows } = cases;
    for (let index = 0; index < cases.length; index += 1)
      if (cases.isNew(index))
        this.credited.delete(contractId, generationOf(cases.jobs[index]!), rows.body, rows.hashAt(index));
  }
}

/** The cases of a range without a code: their indexes, their jobs, and which job is whose. */
function openCases(
  cases: ShareCases,
  first: number,
  end: number,
): { readonly jobs: readonly JobRecord[]; readonly indexes: Uint32Array; readonly jobOf: Uint32Array } {
  const indexes = new Uint32Array(end - first);
  const jobOf = new Uint32Array(end - first);
  const jobs: JobRecord[] = [];
  const known = new Map<JobRecord, number>();
  let count = 0;
  for (let index = first; index < end; index += 1) {
    if (!cases.isGood(index)) continue;
    const job = cases.jobs[index]!;
    let at = known.get(job);
    if (at === undefined) {
      at = jobs.length;
      known.set(job, at);
      jobs.push(job);
    }
    indexes[count] = index;
    jobOf[count] = at;
    count += 1;
  }
  return { jobs, indexes: indexes.subarray(0, count), jobOf };
}

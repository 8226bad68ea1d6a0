import { concat } from '../../src/base/bytes.ts';
import type { Job } from '../../src/jobs/job.ts';
import type { ShareKernel } from '../../src/shares/kernel/kernel.ts';
import { meets } from '../../src/shares/rules.ts';
import type { AcceptedShare, ShareTarget, Submission } from '../../src/shares/share.ts';
import { verifyShares } from '../../src/shares/verify.ts';

/** A miner that counts its nonce: finds shares of any job, each another hash. */
export class ShareFinder {
  readonly #kernel: ShareKernel;
  #nonce = 0;

  constructor(kernel: ShareKernel) {
    this.#kernel = kernel;
  }

  /**
   * So many shares of a job that meet the target, in the order of their nonces.
   * @param change makes of each submission what is hashed
   */
  find(
    job: Job,
    count: number,
    assigned: ShareTarget,
    change: (share: Submission) => Submission = (share) => share,
  ): AcceptedShare[] {
    const found: AcceptedShare[] = [];
    const extranonce = concat(Uint8Array.of(0, 0, 0, 7), new Uint8Array(job.extranonceSize - 4));
    while (found.length < count) {
      const submissions = Array.from({ length: this.#kernel.capacity }, () => {
        this.#nonce += 1;
        const { time: ntime, version } = job;
        return change({ job, assigned, extranonce, ntime, nonce: this.#nonce, version });
      });
      const hashes = verifyShares(
        this.#kernel,
        [job],
        submissions.map((each) => ({ ...each, job: 0 })),
      );
      submissions.forEach((submission, index) => {
        const hash = hashes.slice(index * 32, index * 32 + 32);
        if (found.length < count && meets(hash, 0, assigned.words)) found.push({ submission, hash });
      });
    }
    return found;
  }
}

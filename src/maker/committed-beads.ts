import { displayHash } from '../bitcoin/header.ts';
import { hashToNumber, targetOfCompact } from '../bitcoin/target.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { checkMetadata, METADATA_FAULTS, readMetadata } from '../settlement/bead-rules.ts';
import { jobCoinbase } from '../settlement/job-coinbase.ts';
import { checkJob, type ShareCode } from '../settlement/share-rules.ts';
import { BEAD_WATCH_OPTIONS, type BeadOutcome, BeadWatch } from '../upstream/bead-watch.ts';
import type { JobRecord } from '../work/evidence.ts';
import { type BeadBindingDeps, judgeBits, withPaidScript } from './bead-binding.ts';
import type { BeadStatus, JobBinding } from './job-binding.ts';
import { RefusalLog } from './refusal-log.ts';
import type { ShareCase } from './verification.ts';

/** Beads that are looked for at once: a look is for information, and the shares of a contract are many. */
const WATCHED = 64;

export type CommittedBeadsDeps = Omit<BeadBindingDeps, 'ledger'>;

/**
 * The binding by the metadata that the proof of work commits to (profile `spec`): a job is good where its
 * coinbase commits to a bead that pays the script of the terms, and so is each share of it. What the own
 * node has of their beads is only told.
 */
export class CommittedBeadsBinding implements JobBinding {
  readonly #terms: ContractTerms;
  readonly #scriptHex: string;
  readonly #deps: CommittedBeadsDeps;
  readonly #watch: BeadWatch;
  readonly #refusals: RefusalLog;
  readonly #stopBeads: () => void;
  /** The target of the beads of a good job. */
  readonly #targets = new WeakMap<JobRecord, bigint>();
  #expected = 0;

  constructor(contractId: string, terms: ContractTerms, scriptHex: string, deps: CommittedBeadsDeps) {
    const { node, clock, timers } = deps;
    this.#terms = terms;
    this.#scriptHex = scriptHex;
    this.#deps = { ...deps, log: deps.log.child({ contract: contractId }) };
    this.#refusals = new RefusalLog(contractId, deps);
    const paid = withPaidScript(scriptHex, terms.network);
    this.#watch = new BeadWatch(
      { ...BEAD_WATCH_OPTIONS, watched: WATCHED },
      {
        getBead: async (hash) => paid(await node.getBead(hash)),
        ...{ clock, timers, log: this.#deps.log },
      },
    );
    this.#stopBeads = node.onBead((bead) => this.#watch.seen(paid(bead)));
    this.#watch.start();
  }

  judgeJob(job: JobRecord): ShareCode | undefined {
    const code = checkJob(this.#terms, job);
    if (code === undefined)
      this.#targets.set(job, targetOfCompact(readMetadata(job.metadata!)!.weakTarget));
    else if (code === 'share_unbound') this.#say(job);
    return code;
  }

  /** The bits of a job say what a block is: they must be those of the own chain. */
  judgeNow(job: JobRecord): Promise<ShareCode | undefined> {
    return judgeBits(this.#deps.view, this.#terms.network, job);
  }

  credited(cases: readonly ShareCase[]): void {
    for (const { job, hash } of cases) {
      const target = this.#targets.get(job!);
      if (target === undefined || hashToNumber(hash!) > target) continue;
      this.#expected += 1;
      if (this.#watch.pending < WATCHED) this.#watch.forwarded(displayHash(hash!), this.#scriptHex);
    }
  }

  /** Since the start of the program, of those that were looked for. */
  get beads(): BeadStatus {
    const { stats, pending } = this.#watch;
    const missing = NOT_PAID.reduce((sum, outcome) => sum + stats[outcome], 0);
    return { worth: this.#expected, paid: stats.confirmed, missing, open: pending, stolen: undefined };
  }

  stop(): void {
    this.#stopBeads();
    this.#watch.stop();
  }

  #say(job: JobRecord): void {
    const { network } = this.#terms;
    const outputs = jobCoinbase(job)?.outputs ?? [];
    const fault = checkMetadata({ scriptHex: this.#scriptHex }, network, job, outputs);
    if (fault !== undefined) this.#refusals.job(job, METADATA_FAULTS[fault]);
  }
}

const NOT_PAID: readonly BeadOutcome[] = ['missing', 'wrong_payout', 'unknown'];

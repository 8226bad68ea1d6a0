import { displayHash } from '../bitcoin/header.ts';
import { targetOfCompact } from '../bitcoin/target.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { checkMetadata, METADATA_FAULTS, readMetadata } from '../settlement/bead-rules.ts';
import { jobCoinbase } from '../settlement/job-coinbase.ts';
import { checkJob, type ShareCode } from '../settlement/share-rules.ts';
import { meets } from '../shares/rules.ts';
import { wordsOfTarget } from '../shares/share.ts';
import { BEAD_WATCH_OPTIONS, type BeadOutcome, BeadWatch } from '../upstream/bead-watch.ts';
import type { JobRecord } from '../work/evidence.ts';
import { type BeadBindingDeps, judgeBits, withPaidScript } from './bead-binding.ts';
import type { BeadStatus, JobBinding } from './job-binding.ts';
import { RefusalLog } from './refusal-log.ts';
import type { ShareCases } from './share-cases.ts';

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
  readonly #words = new WeakMap<JobRecord, Uint32Array>();
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
      this.#words.set(job, wordsOfTarget(targetOfCompact(readMetadata(job.metadata!)!.weakTarget)));
    else if (code === 'share_unbound') this.#say(job);
    return code;
  }

  /** The bits of a job say what a block is: they must be those of the own chain. */
  judgeNow(job: JobRecord): Promise<ShareCode | undefined> {
    return judgeBits(this.#deps.view, this.#terms.network, job);
  }

  credited(cases: ShareCases): void {
    const { rows } = cases;
    for (let index = 0; index < cases.length; index += 1) {
      const words = cases.isGood(index) ? this.#words.get(cases.jobs[index]!) : undefined;
      if (words === undefined || !meets(rows.body, rows.hashAt(index), words)) continue;
      this.#expected += 1;
      if (this.#watch.pending < WATCHED)
        this.#watch.forwarded(displayHash(rows.hash(index)), this.#scriptHex);
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

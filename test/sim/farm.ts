import { fromHex } from '../../src/base/bytes.ts';
import { buildCoinbase } from '../../src/bitcoin/coinbase.ts';
import { parseDisplayHash } from '../../src/bitcoin/header.ts';
import { branchesForCoinbase } from '../../src/bitcoin/merkle.ts';
import type { DevnetChain } from '../../src/devnet/chain/chain.ts';
import type { Job, UpstreamJob } from '../../src/jobs/job.ts';
import { JobTable } from '../../src/jobs/job-table.ts';
import { createPortableKernel } from '../../src/shares/kernel/portable-kernel.ts';
import { type AcceptedShare, type ShareTarget, shareTargetOf } from '../../src/shares/share.ts';
import { ShareFinder } from '../shares/share-finder.ts';

/** About four hashes a share: real proof of work, at no cost. */
export const SHARE: ShareTarget = shareTargetOf(2 ** -30);
export const BOUND_SCRIPT_HEX = `0014${'ab'.repeat(20)}`;

/** What a seller invents about the block of its work: each makes it one that no node would take. */
const INVENTED = {
  height: { height: 900_000 },
  bits: { bits: 0x1d00ffff },
} as const satisfies Readonly<Record<string, Partial<ReturnType<DevnetChain['template']>>>>;

/**
 * `self_paying`: the coinbase pays the buyer one sat, and the seller all the rest. `elsewhere_paying`: it
 * pays the buyer nothing, as where the buyer serves the jobs and has another script.
 */
export type FarmNature = 'honest' | 'self_paying' | 'elsewhere_paying' | keyof typeof INVENTED;
/**
 * The block that shares are found on: the tip, that of the job before, or one that nobody has seen but who
 * serves the jobs.
 */
export type FarmBlock = 'tip' | 'before' | 'secret';
export const SELF_SCRIPT_HEX = `0014${'cd'.repeat(20)}`;

const SECRET_BLOCK = new Uint8Array(32).fill(0x5e);

type Template = ReturnType<DevnetChain['template']>;
type Submission = AcceptedShare['submission'];

/** What a seller makes otherwise than an honest one; a strategy sets it. */
export type FarmChanges = {
  readonly template?: (template: Template) => Template;
  /** Whom the coinbase pays, of so much. */
  readonly payees?: (
    valueSat: bigint,
  ) => readonly { readonly script: Uint8Array; readonly valueSat: bigint }[];
  /** The own job, or the one that the buyer gave. */
  readonly job?: (job: UpstreamJob) => UpstreamJob;
  /** Version bits that the miners may roll. */
  readonly versionMask?: number;
  /** A share, before it is hashed. */
  readonly share?: (share: Submission) => Submission;
  /** Once it is hashed: what it is said to have been assigned. */
  readonly assigned?: (hash: Uint8Array) => ShareTarget;
};

export type FarmDeps = {
  readonly chain: DevnetChain;
  readonly nowMs: () => number;
  /** The output that says for which contract the work is; undefined where none has to. */
  readonly tag: Uint8Array | undefined;
  /** Of the job ids of its first run. Default: 1. */
  readonly firstRun?: number;
};

/** Finds shares on the tip of a chain for one contract. */
export class Farm {
  readonly #contractId: string;
  readonly #nature: FarmNature;
  readonly #deps: FarmDeps;
  /** The newest job of the buyer, where it gives the jobs; undefined without one. */
  given: (() => UpstreamJob | undefined) | undefined;
  changes: FarmChanges = {};
  /** Everything found so far, oldest first. */
  readonly found: AcceptedShare[] = [];
  #table!: JobTable;
  #job: Job | undefined;
  #before: Job | undefined;
  #changed: { readonly of: UpstreamJob; readonly job: UpstreamJob } | undefined;
  #run = 0;
  readonly #finder = new ShareFinder(createPortableKernel(16));

  constructor(contractId: string, nature: FarmNature, deps: FarmDeps) {
    this.#nature = nature;
    this.#contractId = contractId;
    this.#deps = deps;
    this.#run = (deps.firstRun ?? 1) - 1;
    this.newRun();
  }

  /** The proxy starts anew: no job id is used again. */
  newRun(): void {
    this.#run += 1;
    this.#job = undefined;
    this.#before = undefined;
    this.#table = new JobTable({
      run: this.#run,
      sessionIdSize: 4,
      minerExtranonce2Size: 4,
      versionMask: this.changes.versionMask ?? 0x1fffe000,
      staleGraceMs: 60_000,
    });
  }

  /** So many shares on a block, each another hash. */
  find(count: number, block: FarmBlock = 'tip'): AcceptedShare[] {
    const job = (block === 'before' ? this.#before : undefined) ?? this.#current(block === 'secret');
    if (job === undefined) return [];
    const found = this.#finder
      .find(job, count, SHARE, (share) => this.changes.share?.(share) ?? share)
      .map(({ submission, hash }) => {
        const assigned = this.changes.assigned?.(hash) ?? submission.assigned;
        return { submission: { ...submission, assigned }, hash };
      });
    this.found.push(...found);
    return found;
  }

  #payees(valueSat: bigint): readonly { script: Uint8Array; valueSat: bigint }[] {
    if (this.changes.payees !== undefined) return this.changes.payees(valueSat);
    const bought = fromHex(BOUND_SCRIPT_HEX);
    if (this.#nature === 'elsewhere_paying') return [{ script: fromHex(SELF_SCRIPT_HEX), valueSat }];
    if (this.#nature !== 'self_paying') return [{ script: bought, valueSat }];
    return [
      { script: bought, valueSat: 1n },
      { script: fromHex(SELF_SCRIPT_HEX), valueSat: valueSat - 1n },
    ];
  }

  /** A job as a pool or node makes it, on the tip or on a block that nobody has seen. */
  upstreamJob(isSecret = false): UpstreamJob {
    const { chain, tag } = this.#deps;
    const prevHash = isSecret ? SECRET_BLOCK : parseDisplayHash(chain.tip().hash);
    const nature = this.#nature;
    const invented = Object.hasOwn(INVENTED, nature) ? INVENTED[nature as keyof typeof INVENTED] : {};
    const own = { ...chain.template(), ...invented };
    const template = this.changes.template?.(own) ?? own;
    const { coinb1, coinb2 } = buildCoinbase({
      height: template.height,
      extranonceSize: 12,
      tag: new TextEncoder().encode('/sim/'),
      outputs: [
        ...this.#payees(template.coinbaseValueSat),
        { script: template.witnessCommitmentScript, valueSat: 0n },
        ...(tag === undefined ? [] : [{ script: tag, valueSat: 0n }]),
      ],
    });
    const transactions = template.transactions.map((each) => Uint8Array.from(each.getHash()));
    const job: UpstreamJob = {
      ...{ upstreamJobId: `u${template.id}`, prevHash, coinb1, coinb2 },
      ...{ branches: branchesForCoinbase(transactions), version: template.version, bits: template.bits },
      ...{ time: template.time, clean: false, extranonce1: new Uint8Array(4), extranonce2Size: 8 },
      ...{ target: SHARE.target, versionMask: 0x1fffe000 },
    };
    return this.given === undefined ? (this.changes.job?.(job) ?? job) : job;
  }

  /** The next job is of a new template, on the same block. */
  renew(): void {
    this.#job = undefined;
  }

  /** The next job is what is changed about the buyer's newest now. */
  renewGiven(): void {
    this.#changed = undefined;
  }

  #current(isSecret: boolean): Job | undefined {
    const upstream = this.given === undefined ? this.#own(isSecret) : this.#given(this.given);
    if (upstream === undefined || upstream === this.#job?.upstream) return upstream && this.#job;
    this.#before = this.#job;
    this.#job = this.#table.add('maker', this.#contractId, upstream, this.#deps.nowMs());
    return this.#job;
  }

  /** The job of the buyer, with what is changed about it; one for each. */
  #given(given: () => UpstreamJob | undefined): UpstreamJob | undefined {
    const { job: change } = this.changes;
    const newest = given();
    if (newest === undefined || change === undefined) return newest;
    if (this.#changed?.of !== newest) this.#changed = { of: newest, job: change(newest) };
    return this.#changed.job;
  }

  /** The own job on a block; the same for as long as the block is. */
  #own(isSecret: boolean): UpstreamJob {
    const prevHash = isSecret ? SECRET_BLOCK : parseDisplayHash(this.#deps.chain.tip().hash);
    const known = this.#job?.upstream;
    const isSame = known !== undefined && Buffer.compare(known.prevHash, prevHash) === 0;
    return isSame ? known : this.upstreamJob(isSecret);
  }
}

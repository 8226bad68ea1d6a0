import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { displayHash } from '../bitcoin/header.ts';
import type { RefusedContent } from '../channel/fault-log.ts';
import type { ContractTerms } from '../contract/terms.ts';
import type { ShareTarget } from '../shares/share.ts';
import type { JobRecord } from '../work/evidence.ts';
import type { ShareFault } from './block-hasher.ts';
import type { Finding } from './finding.ts';
import type { TipAudit } from './tip-audit.ts';

/** Convictions kept of one file; the first is what counts. */
const CONVICTIONS_KEPT = 20;

/** A refused share of the miner's file. */
export type RefusedShare = {
  readonly seq: number;
  readonly share: RefusedContent;
  readonly job: JobRecord;
  readonly target: ShareTarget;
  /** Shares of the stream before it that were credited. */
  readonly credited: number;
  /** Found by the rules of evidence; undefined of good work. */
  readonly fault: ShareFault | undefined;
};

/** The first refusal that nothing explains, and in words what is missing. */
export type Unexplained = {
  readonly n: number;
  readonly seq: number;
  readonly code: string;
  readonly why: string;
};

/** Good shares in a row that were refused as too late, on one block. */
type Run = {
  readonly n: number;
  readonly code: string;
  /** Seq of the first. */
  readonly seq: number;
  count: number;
  /** Shares that were credited before them. */
  readonly credited: number;
  readonly parent: string;
  /** Of each. */
  readonly workHashes: bigint;
  /** The maker signed their content and jobs. */
  readonly isCovered: boolean;
};

/** True for the codes of shares that came too late. */
export function isLateCode(code: string): boolean {
  return code === 'share_stale' || code === 'stale_race';
}

/** What follows from what was refused as too late. */
export type Lateness = {
  readonly convictions: readonly Finding[];
  readonly unexplainedHashes: bigint;
  readonly first: Unexplained | undefined;
};

/**
 * What a maker refused as too late, judged by the tip logs of both sides: a side is believed what its log
 * says against itself.
 */
export class LateRefusals {
  readonly #terms: ContractTerms;
  readonly #runs: Run[] = [];

  constructor(terms: ContractTerms) {
    this.#terms = terms;
  }

  /**
   * Takes a share, in the order of the stream. Throws `bad_evidence` for more than any maker keeps.
   * @param isCovered the maker signed its content and job
   */
  add(n: number, code: string, isCovered: boolean, { seq, job, target, credited }: RefusedShare): void {
    const parent = displayHash(job.prevHash);
    const { workHashes } = target;
    const last = this.#runs.at(-1);
    const isSame =
      last !== undefined &&
      last.seq + last.count === seq &&
      last.n === n &&
      last.code === code &&
      last.parent === parent &&
      last.workHashes === workHashes &&
      last.isCovered === isCovered;
    if (isSame) {
      last.count += 1;
      return;
    }
    if (this.#runs.length >= LIMITS.auditedRefusals)
      throw new CodedError('bad_evidence', 'the file has too many shares that were refused as too late');
    this.#runs.push({ n, code, seq, count: 1, credited, parent, workHashes, isCovered });
  }

  /** @param own tip log of the miner; undefined where nothing follows from it, as of the maker's */
  judge(own: TipAudit | undefined, maker: TipAudit | undefined): Lateness {
    const convictions: Finding[] = [];
    let unexplainedHashes = 0n;
    let first: Unexplained | undefined;
    for (const run of this.#runs) {
      const { n, seq, code } = run;
      if (maker !== undefined && this.#isRefuted(run, maker)) {
        const words =
          `the maker signed that it refused share ${seq} with ${code}; by its signed tip log the share came ` +
          `before the grace of its block was over`;
        if (convictions.length < CONVICTIONS_KEPT)
          convictions.push({ blame: 'maker', code: 'bad_commitment', words, n, seq });
        continue;
      }
      const count = own === undefined ? run.count : earlierOf(run, own);
      if (count === 0) continue;
      unexplainedHashes += BigInt(count) * run.workHashes;
      first ??= { n, seq, code, why: whyOf(run, own, maker) };
    }
    return { convictions, unexplainedHashes, first };
  }

  /**
   * True where the maker's own log refutes that the shares came too late: it credited one before them once
   * their block was its tip, and had credited one after them when the grace of the block was over.
   */
  #isRefuted({ code, parent, credited, isCovered }: Run, maker: TipAudit): boolean {
    const { binding } = this.#terms;
    // Jobs of the maker end by its word; a sample that was not to be had is told by this code too.
    if (!isCovered || binding.type === 'work') return false;
    if (code === 'stale_race' && binding.type === 'payout' && binding.samplePpm > 0) return false;
    const { settledSeq, graceSeq } = maker.of(parent) ?? {};
    if (settledSeq === undefined || graceSeq === undefined) return false;
    return credited > settledSeq && credited < graceSeq;
  }
}

/** How many of the shares, the first of them, were found in time by the miner's log, as far as it says. */
function earlierOf({ seq, count, parent }: Run, own: TipAudit): number {
  const block = own.of(parent);
  // A block that its own node never had: what the miner cannot show was refused rightly.
  if (block === undefined) return own.covers(seq) ? 0 : count;
  const { lateSeq } = block;
  return lateSeq === undefined ? count : Math.min(count, Math.max(0, lateSeq - seq));
}

function whyOf({ parent }: Run, own: TipAudit | undefined, maker: TipAudit | undefined): string {
  if (own === undefined && maker === undefined) return 'for reasons that its evidence does not show';
  const seen = (log: TipAudit | undefined, side: string): string => {
    if (log === undefined) return `no tip log of the ${side} says when`;
    const { replacedAtMs } = log.of(parent) ?? {};
    if (replacedAtMs === undefined) return `the ${side} did not log its end`;
    return `the ${side} saw its end at ${new Date(replacedAtMs).toISOString()}`;
  };
  return `though the tip logs do not show that block ${parent} was over: ${seen(own, 'miner')}, ${seen(maker, 'maker')}`;
}

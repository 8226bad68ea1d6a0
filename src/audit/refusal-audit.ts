import { equal } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import { jobLeaf } from '../channel/evidence-point.ts';
import { EMPTY_FAULT_LOG, type FaultRange, FaultRecount, faultLogHead } from '../channel/fault-log.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { refusedPpm, staleRacePpm } from '../contract/terms-access.ts';
import { type CommitmentRecord, refusedBy } from '../peer/commitment-codecs.ts';
import type { JobRecord } from '../work/evidence.ts';
import type { Finding } from './finding.ts';
import { isLateCode, LateRefusals, type RefusedShare, type Unexplained } from './late-refusals.ts';
import { type Refutation, refutationOf } from './refutation.ts';
import type { TipAudit } from './tip-audit.ts';

/** A refusal that is refuted by the share under its digest. */
type Refuted = { readonly range: FaultRange; readonly seq: number };

/** The segment at hand. */
type Segment = {
  readonly record: CommitmentRecord;
  readonly recount: FaultRecount;
  readonly refuted: Refuted[];
};

/** The audit of what the maker refused, by the shares in the miner's file. */
export class RefusalAudit {
  readonly #terms: ContractTerms;
  readonly #refutes: Refutation;
  readonly #leaves = new WeakMap<JobRecord, Uint8Array>();
  #segment: Segment | undefined;
  /** Refused shares behind the newest commitment that both signed, which the next covers once more. */
  #open: RefusedShare[] = [];
  #ownHashes = 0n;
  /** Work of good shares that were refused, hashes, where nothing that is signed says why, and the first. */
  #unexplainedHashes = 0n;
  #first: Unexplained | undefined;
  readonly #late: LateRefusals;

  constructor(terms: ContractTerms) {
    this.#terms = terms;
    this.#late = new LateRefusals(terms);
    this.#refutes = refutationOf(terms);
  }

  /** Begins the segment of a commitment. */
  begin(record: CommitmentRecord): void {
    this.#segment = { record, recount: new FaultRecount(record.faults ?? []), refuted: [] };
    for (const each of this.#open) this.#recount(each);
  }

  /** A test whether a share of a block was refused, for ascending seqs; undefined where none of it was. */
  within(record: CommitmentRecord, first: number, count: number): ((seq: number) => boolean) | undefined {
    const ranges = refusedBy(record).filter(
      (each) => each.first < first + count && each.first + each.count > first,
    );
    if (ranges.length === 0) return undefined;
    return (seq) => ranges.some((each) => seq >= each.first && seq < each.first + each.count);
  }

  /** Takes note of work that was delivered, hashes. */
  delivered(workHashes: bigint): void {
    this.#ownHashes += workHashes;
  }

  /** Takes a refused share of the segment. Throws `bad_evidence` for more than any maker keeps. */
  take(refused: RefusedShare): void {
    const { record } = this.#segment!;
    const range = this.#recount(refused);
    if (record.minerSignature === undefined) {
      if (this.#open.length >= LIMITS.auditedRefusals)
        throw new CodedError(
          'bad_evidence',
          'the file has too many refused shares that are not signed for',
        );
      this.#open.push(refused);
    }
    if (refused.fault !== undefined || range === undefined) {
      if (refused.fault === undefined) this.#unexplained(refused, '');
      return;
    }
    const { code, evidence } = range;
    if (isLateCode(code)) {
      this.#late.add(record.n, code, evidence === 'shares', refused);
      return;
    }
    const isBeyond = code === 'over_budget' && record.workHashes >= this.#terms.workTotalHashes;
    if (!isBeyond && !this.#isRefuted(range, refused)) this.#unexplained(refused, code);
  }

  #unexplained({ seq, target }: RefusedShare, code: string): void {
    this.#unexplainedHashes += target.workHashes;
    this.#first ??= {
      n: this.#segment!.record.n,
      seq,
      code,
      why: 'for reasons that its evidence does not show',
    };
  }

  #recount(refused: RefusedShare): FaultRange | undefined {
    const { recount, refuted } = this.#segment!;
    const { seq, share, job, target } = refused;
    const range = recount.rangeOf(seq);
    if (range === undefined) return undefined;
    recount.take(range, share, this.#leafOf(job), target.workHashes);
    if (refuted.at(-1)?.range !== range && this.#isRefuted(range, refused)) refuted.push({ range, seq });
    return range;
  }

  /** True where what the maker signed of a share refutes the reason that it signed. */
  #isRefuted({ code, evidence }: FaultRange, { job, target, fault }: RefusedShare): boolean {
    if (fault !== undefined || evidence !== 'shares') return false;
    if (code === 'over_budget') return this.#segment!.record.workHashes < this.#terms.workTotalHashes;
    return this.#refutes(code, job, target);
  }

  #leafOf(job: JobRecord): Uint8Array {
    const leaf = this.#leaves.get(job) ?? jobLeaf(job);
    this.#leaves.set(job, leaf);
    return leaf;
  }

  /**
   * True where the fault log of a commitment follows from the one before and its refusals.
   * @param hasShares true of the miner's file, which has what was refused
   * @param isDisputed true where it has of its entries what the miner was told
   */
  isHead(
    record: CommitmentRecord,
    base: CommitmentRecord | undefined,
    hasShares: boolean,
    isDisputed = false,
  ): boolean {
    const { faults, faultLogHead: head } = record;
    if (faults === undefined) return equal(head, EMPTY_FAULT_LOG);
    if (record.refused.length > 0) return false;
    const before = base?.faultLogHead ?? EMPTY_FAULT_LOG;
    const { recount } = this.#segment!;
    return (
      (isDisputed || equal(head, faultLogHead(before, faults))) &&
      (!hasShares || equal(head, faultLogHead(before, recount.faults)))
    );
  }

  /** What convicts the maker in a segment whose fault log and roots are those that it signed. */
  convictions(): Finding[] {
    const { record, refuted } = this.#segment!;
    return refuted.map(({ range, seq }) => {
      const words = `the maker signed that it refused share ${seq} with ${range.code}; it is good work`;
      return { blame: 'maker', code: 'bad_commitment', words, n: record.n, seq };
    });
  }

  /** Ends the segment. */
  end(): void {
    if (this.#segment!.record.minerSignature !== undefined) this.#open = [];
    this.#segment = undefined;
  }

  /**
   * The disagreements about refused work, once all of it is known: what the maker's own tip log refutes, and
   * the rest, where there is more of it than the terms allow for.
   * @param own tip log of the miner; undefined where nothing follows from it, as of the maker's
   */
  findings(own: TipAudit | undefined, maker: TipAudit | undefined): readonly Finding[] {
    const late = this.#late.judge(own, maker);
    const allowed = BigInt(refusedPpm(this.#terms) + staleRacePpm(this.#terms));
    const unexplained = this.#unexplainedHashes + late.unexplainedHashes;
    const first = [this.#first, late.first]
      .filter((each) => each !== undefined)
      .toSorted((a, b) => a.seq - b.seq)[0];
    if (first === undefined || unexplained * 1_000_000n <= this.#ownHashes * allowed)
      return late.convictions;
    const { n, seq, code, why } = first;
    const words =
      `the maker refused ${unexplained} hashes of ${this.#ownHashes}, from share ${seq} on` +
      `${code === '' ? '' : ` (${code})`}, ${why}`;
    return [...late.convictions, { blame: 'undecided', code: 'bad_commitment', words, n, seq }];
  }
}

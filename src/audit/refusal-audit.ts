import { equal } from '../base/bytes.ts';
import { EMPTY_FAULT_LOG } from '../channel/evidence-point.ts';
import type { ContractTerms } from '../contract/terms.ts';
import { refusedPpm, staleRacePpm } from '../contract/terms-access.ts';
import type { CommitmentRecord } from '../peer/commitment-codecs.ts';
import type { Finding } from './finding.ts';
import type { ShareFault } from './share-audit.ts';

/** The audit of what the maker refused, by the shares in the miner's file. */
export class RefusalAudit {
  readonly #terms: ContractTerms;
  #ownHashes = 0n;
  /** Work of refused shares that the rules of evidence find good, hashes, and where the first was refused. */
  #unexplainedHashes = 0n;
  #first: { readonly n: number; readonly seq: number } | undefined;

  constructor(terms: ContractTerms) {
    this.#terms = terms;
  }

  /** A test whether a share of a block was refused, for ascending seqs; undefined where none of it was. */
  within(
    { refused }: CommitmentRecord,
    first: number,
    count: number,
  ): ((seq: number) => boolean) | undefined {
    const ranges = refused.filter((each) => each.first < first + count && each.first + each.count > first);
    if (ranges.length === 0) return undefined;
    return (seq) => ranges.some((each) => seq >= each.first && seq < each.first + each.count);
  }

  /** True where the fault log of a commitment follows from the one before and its refusals. */
  isHead(record: CommitmentRecord, base: CommitmentRecord | undefined): boolean {
    return equal(record.faultLogHead, base?.faultLogHead ?? EMPTY_FAULT_LOG);
  }

  /** Takes note of work that was delivered, hashes. */
  delivered(workHashes: bigint): void {
    this.#ownHashes += workHashes;
  }

  /**
   * Takes a refused share.
   * @param fault found by the rules of evidence
   */
  take(n: number, seq: number, workHashes: bigint, fault: ShareFault | undefined): void {
    if (fault !== undefined) return;
    this.#unexplainedHashes += workHashes;
    this.#first ??= { n, seq };
  }

  /** The disagreement about refused work, where there is more of it than the terms allow for. */
  finding(): Finding | undefined {
    const allowed = BigInt(refusedPpm(this.#terms) + staleRacePpm(this.#terms));
    const isBeyond = this.#unexplainedHashes * 1_000_000n > this.#ownHashes * allowed;
    if (this.#first === undefined || !isBeyond) return undefined;
    const { n, seq } = this.#first;
    const words =
      `the maker refused ${this.#unexplainedHashes} hashes of ${this.#ownHashes}, from share ${seq} on,` +
      ' for reasons that its evidence does not show';
    return { blame: 'undecided', code: 'bad_commitment', words, n, seq };
  }
}

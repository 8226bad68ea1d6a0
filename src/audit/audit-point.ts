import type { SignedState } from '../channel/states.ts';

/** A state of a file as two files are compared. */
export type AuditPoint = {
  readonly n: number;
  /** Undefined of a total of metering, which is its commitment alone. */
  readonly state: SignedState | undefined;
  /** What the state commits to, where it does: its hash, and who signed it. */
  readonly commitment: { readonly hashHex: string; readonly isByMiner: boolean } | undefined;
};

/** What the newest state says. */
export type AuditedTotal = Pick<SignedState, 'n' | 'workHashes' | 'paidSat'>;

/** What a file holds. */
export type AuditCounts = {
  shares: number;
  /** Shares of these that a commitment covers, that the maker refused, and behind the last commitment. */
  committed: number;
  refused: number;
  unsigned: number;
  jobs: number;
  states: number;
  /** States that commit to their evidence, and those of them that both signed. */
  commitments: number;
  countersigned: number;
};

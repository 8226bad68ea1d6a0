import { toHex } from '../base/bytes.ts';
import { workOfTarget } from '../bitcoin/target.ts';
import type { UpstreamOutcome, UpstreamVerdict } from '../upstream/upstream-share.ts';
import { type VerdictMatrix, VerdictMatrixCounter } from '../upstream/verdict-matrix.ts';

/** What one pool of the maker did, over all contracts, since the start. */
export type PoolFigures = {
  readonly name: string;
  /** Connections that give work now; one for each contract and process of a miner. */
  readonly connections: number;
  readonly solutions: Readonly<Record<UpstreamOutcome, number>>;
  /** First seen in a batch, and sent then. */
  readonly lateSolutions: number;
  /** Work of the solutions it accepted, by its own difficulty; and work that was credited for its jobs. */
  readonly acceptedWorkHashes: bigint;
  readonly creditedWorkHashes: bigint;
  /** Its verdicts beside ours. */
  readonly verdicts: Readonly<VerdictMatrix>;
  readonly lastRefusal: string | undefined;
};

type Account = { -readonly [Key in keyof Omit<PoolFigures, 'verdicts'>]: PoolFigures[Key] } & {
  solutions: Record<UpstreamOutcome, number>;
  readonly matrix: VerdictMatrixCounter;
};

function newAccount(name: string): Account {
  const matrix = new VerdictMatrixCounter();
  return {
    ...{ name, connections: 0, lateSolutions: 0, acceptedWorkHashes: 0n, creditedWorkHashes: 0n },
    solutions: { accepted: 0, refused: 0, timeout: 0, lost: 0 },
    ...{ matrix, lastRefusal: undefined },
  };
}

/** The book of a maker's pools: what each accepted and what was credited, and who holds which extranonce1. */
export class PoolBook {
  readonly #accounts = new Map<string, Account>();
  /** By pool and extranonce1. */
  readonly #holders = new Map<string, object>();

  readonly #names: readonly string[];
  readonly #observeSeconds: (seconds: number) => void;

  /**
   * @param names of the pools, best first; others were configured when their jobs were given
   * @param observeSeconds takes the time to each verdict
   */
  constructor(names: readonly string[], observeSeconds: (seconds: number) => void = () => {}) {
    this.#names = names;
    this.#observeSeconds = observeSeconds;
    for (const name of names) this.#accounts.set(name, newAccount(name));
  }

  /** Of the pools that are configured, best first. */
  get names(): readonly string[] {
    return this.#names;
  }

  get figures(): readonly PoolFigures[] {
    return [...this.#accounts.values()].map(({ matrix, ...figures }) => ({
      ...figures,
      verdicts: matrix.counts,
    }));
  }

  /**
   * Takes an extranonce1 for a connection in place of what it held. False where another connection to that
   * pool has it.
   */
  hold(pool: string, extranonce1: Uint8Array, holder: object): boolean {
    const key = `${pool}:${toHex(extranonce1)}`;
    const held = this.#holders.get(key);
    if (held === holder) return true;
    this.release(holder);
    if (held !== undefined) return false;
    this.#holders.set(key, holder);
    return true;
  }

  release(holder: object): void {
    for (const [key, each] of this.#holders) if (each === holder) this.#holders.delete(key);
  }

  connected(pool: string, by: 1 | -1): void {
    this.#account(pool).connections += by;
  }

  /** A solution is sent. @param token stands for it, compared by identity */
  sent(pool: string, token: object, isLate: boolean): void {
    const account = this.#account(pool);
    account.matrix.forwarded(token);
    if (isLate) account.lateSolutions += 1;
  }

  /** The pool's verdict. @param target its own for the share */
  answered(pool: string, token: object, { outcome, reason, rttMs }: UpstreamVerdict, target: bigint): void {
    if (rttMs !== undefined) this.#observeSeconds(rttMs / 1000);
    const account = this.#account(pool);
    account.matrix.resolved(token, outcome);
    account.solutions[outcome] += 1;
    if (outcome === 'accepted') account.acceptedWorkHashes += workOfTarget(target);
    if (outcome === 'refused') account.lastRefusal = reason;
  }

  /** Our verdict. */
  judged(pool: string, token: object, isCredited: boolean): void {
    this.#account(pool).matrix.judged(token, isCredited);
  }

  credited(pool: string, workHashes: bigint): void {
    this.#account(pool).creditedWorkHashes += workHashes;
  }

  #account(name: string): Account {
    const known = this.#accounts.get(name) ?? newAccount(name);
    this.#accounts.set(name, known);
    return known;
  }
}

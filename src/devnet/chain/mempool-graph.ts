import type { Transaction } from 'bitcoinjs-lib';
import { outpointOf } from './chain-rules.ts';

export type MempoolEntry = {
  readonly txid: string;
  readonly transaction: Transaction;
  readonly feeSat: bigint;
  readonly vsize: number;
  /** Of the tip when it entered. */
  readonly height: number;
  /** Unconfirmed transactions it spends from, as they were when it entered. */
  readonly parents: ReadonlySet<string>;
};

/** Unconfirmed transactions and who spends whom, parents before children. It has no rules. */
export class MempoolGraph {
  readonly #entries = new Map<string, MempoolEntry>();
  readonly #spenders = new Map<string, string>();

  get size(): number {
    return this.#entries.size;
  }

  get(txid: string): MempoolEntry | undefined {
    return this.#entries.get(txid);
  }

  entries(): MempoolEntry[] {
    return [...this.#entries.values()];
  }

  spenderOf(outpoint: string): string | undefined {
    return this.#spenders.get(outpoint);
  }

  parentsOf({ parents }: Pick<MempoolEntry, 'parents'>): MempoolEntry[] {
    return [...parents].flatMap((txid) => this.#entries.get(txid) ?? []);
  }

  childrenOf({ txid, transaction }: MempoolEntry): MempoolEntry[] {
    const spenders = transaction.outs.flatMap((_, vout) => this.#spenders.get(`${txid}:${vout}`) ?? []);
    return [...new Set(spenders)].map((spender) => this.#entries.get(spender)!);
  }

  /** Everything these spend from, without themselves unless they are among it. */
  ancestorsOf(entries: readonly Pick<MempoolEntry, 'parents'>[]): MempoolEntry[] {
    return reachedFrom(
      entries.flatMap((entry) => this.parentsOf(entry)),
      (entry) => this.parentsOf(entry),
    );
  }

  /** These and everything that spends from them. */
  withDescendants(entries: readonly MempoolEntry[]): MempoolEntry[] {
    return reachedFrom(entries, (entry) => this.childrenOf(entry));
  }

  insert(entry: MempoolEntry): void {
    this.#entries.set(entry.txid, entry);
    for (const input of entry.transaction.ins) this.#spenders.set(outpointOf(input), entry.txid);
  }

  remove(txid: string): void {
    const entry = this.#entries.get(txid);
    if (entry === undefined) return;
    this.#entries.delete(txid);
    for (const input of entry.transaction.ins) {
      const outpoint = outpointOf(input);
      if (this.#spenders.get(outpoint) === txid) this.#spenders.delete(outpoint);
    }
  }

  clear(): void {
    this.#entries.clear();
    this.#spenders.clear();
  }
}

/** What a transaction and all that spends from it pay together; undefined where it does not wait. */
export function packageOf(
  entries: readonly MempoolEntry[],
  txid: string,
):
  | { readonly entry: MempoolEntry; readonly feeSat: bigint; readonly vsize: number; count: number }
  | undefined {
  const entry = entries.find((each) => each.txid === txid);
  if (entry === undefined) return undefined;
  const found = reachedFrom([entry], (parent) => entries.filter(({ parents }) => parents.has(parent.txid)));
  return {
    entry,
    feeSat: found.reduce((sum, { feeSat }) => sum + feeSat, 0n),
    vsize: found.reduce((sum, { vsize }) => sum + vsize, 0),
    count: found.length,
  };
}

function reachedFrom(
  start: readonly MempoolEntry[],
  next: (entry: MempoolEntry) => readonly MempoolEntry[],
): MempoolEntry[] {
  const reached = new Map(start.map((entry) => [entry.txid, entry]));
  // A map is walked on into what is added meanwhile.
  for (const entry of reached.values()) for (const each of next(entry)) reached.set(each.txid, each);
  return [...reached.values()];
}

import type { Transaction } from 'bitcoinjs-lib';
import {
  type CheckedInputs,
  type Coin,
  checkInputs,
  checkShape,
  dustLimitSat,
  outpointOf,
  type RuleContext,
  refusal,
} from './chain-rules.ts';
import { verifyScripts } from './interpreter.ts';

export type MempoolEntry = {
  readonly txid: string;
  readonly transaction: Transaction;
  readonly feeSat: bigint;
  readonly vsize: number;
  /** Unconfirmed transactions it spends from. */
  readonly parents: ReadonlySet<string>;
};

export type MempoolPolicy = { readonly minRelaySatPerKvb: bigint };

type Candidate = MempoolEntry & { readonly replaces: readonly MempoolEntry[] };

/** BIP431: sizes of a version 3 transaction, and of one that has an unconfirmed parent. */
const TRUC_MAX_VSIZE = 10_000;
const TRUC_CHILD_MAX_VSIZE = 1_000;
/** BIP125 rule 5. */
const MAX_REPLACED = 100;

/**
 * Unconfirmed transactions, parents before children. Policy: no conflicts but by a higher fee and fee rate
 * (full RBF), minimum relay fee, dust limit, the topology rules of version 3 (without sibling eviction).
 */
export class Mempool {
  readonly #policy: MempoolPolicy;
  readonly #entries = new Map<string, MempoolEntry>();
  readonly #spenders = new Map<string, string>();

  constructor(policy: MempoolPolicy) {
    this.#policy = policy;
  }

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

  /** An output of an unconfirmed transaction, spent or not. */
  output(outpoint: string, height: number): Coin | undefined {
    const [txid, vout] = outpoint.split(':') as [string, string];
    const output = this.#entries.get(txid)?.transaction.outs[Number(vout)];
    if (output === undefined) return undefined;
    return { valueSat: output.value, script: output.script, height, coinbase: false, confirmed: false };
  }

  /**
   * Everything but the insertion. Throws `tx_refused`.
   * @param minimumSatPerKvb 0 for a parent that its child pays for
   */
  check(
    transaction: Transaction,
    context: RuleContext,
    minimumSatPerKvb: bigint = this.#policy.minRelaySatPerKvb,
  ): Candidate {
    checkShape(transaction);
    for (const output of transaction.outs) {
      if (output.value < dustLimitSat(output.script)) throw refusal('dust');
    }
    const checked = checkInputs(transaction, context);
    const candidate = this.#candidateOf(transaction, checked);
    const minimum = relayFee(candidate.vsize, minimumSatPerKvb);
    if (candidate.feeSat < minimum) {
      throw refusal(`min relay fee not met, ${candidate.feeSat} < ${minimum}`);
    }
    this.#checkReplacement(candidate);
    this.#checkVersion3(candidate);
    const scriptError = verifyScripts(transaction, checked.coins);
    if (scriptError !== undefined) {
      throw refusal(`mempool-script-verify-flag-failed (${scriptError})`);
    }
    return candidate;
  }

  /** Checks and inserts; evicts what it replaces. Throws `tx_refused`. */
  add(transaction: Transaction, context: RuleContext): MempoolEntry {
    return this.#insert(this.check(transaction, context));
  }

  /**
   * A parent and its child, of which the child may pay for both. The parent is not there yet, and replaces
   * by its own fee only. Throws `tx_refused`; then neither is in.
   */
  addPackage(parent: Transaction, child: Transaction, context: RuleContext): void {
    const entry = this.#insert(this.check(parent, context, 0n));
    try {
      const { feeSat, vsize } = this.check(child, context);
      const size = entry.vsize + vsize;
      const totalSat = entry.feeSat + feeSat;
      const minimum = relayFee(size, this.#policy.minRelaySatPerKvb);
      if (totalSat < minimum) throw refusal(`package feerate too low, ${totalSat} < ${minimum}`);
    } catch (error) {
      if (entry.feeSat < relayFee(entry.vsize, this.#policy.minRelaySatPerKvb)) this.#remove(entry.txid);
      throw error;
    }
    this.add(child, context);
  }

  #insert(candidate: Candidate): MempoolEntry {
    const { transaction } = candidate;
    for (const replaced of candidate.replaces) this.#remove(replaced.txid);
    this.#entries.set(candidate.txid, candidate);
    for (const input of transaction.ins) this.#spenders.set(outpointOf(input), candidate.txid);
    return candidate;
  }

  /** A block was connected: its transactions leave, and so does everything that conflicts with them. */
  removeForBlock(transactions: readonly Transaction[]): void {
    for (const transaction of transactions) this.#remove(transaction.getId());
    for (const transaction of transactions) {
      for (const input of transaction.ins) {
        const rival = this.#spenders.get(outpointOf(input));
        if (rival !== undefined) for (const entry of this.#withDescendants(rival)) this.#remove(entry.txid);
      }
    }
  }

  clear(): void {
    this.#entries.clear();
    this.#spenders.clear();
  }

  #candidateOf(transaction: Transaction, checked: CheckedInputs): Candidate {
    const outpoints = transaction.ins.map(outpointOf);
    const parents = new Set(
      outpoints.map((outpoint) => outpoint.slice(0, 64)).filter((txid) => this.#entries.has(txid)),
    );
    const rivals = new Map<string, MempoolEntry>();
    for (const outpoint of outpoints) {
      const rival = this.#spenders.get(outpoint);
      if (rival === undefined) continue;
      for (const entry of this.#withDescendants(rival)) rivals.set(entry.txid, entry);
    }
    return {
      txid: transaction.getId(),
      transaction,
      feeSat: checked.feeSat,
      vsize: transaction.virtualSize(),
      parents,
      replaces: [...rivals.values()],
    };
  }

  #checkReplacement(candidate: Candidate): void {
    if (candidate.replaces.length === 0) return;
    if (candidate.replaces.length > MAX_REPLACED) throw refusal('too many potential replacements');
    if (candidate.replaces.some((entry) => candidate.parents.has(entry.txid))) {
      throw refusal('bad-txns-spends-conflicting-tx');
    }
    const replacedSat = candidate.replaces.reduce((sum, entry) => sum + entry.feeSat, 0n);
    const required = replacedSat + relayFee(candidate.vsize, this.#policy.minRelaySatPerKvb);
    const beatsRates = candidate.replaces.every(
      (entry) => candidate.feeSat * BigInt(entry.vsize) > entry.feeSat * BigInt(candidate.vsize),
    );
    if (!beatsRates || candidate.feeSat < required) throw refusal('insufficient fee');
  }

  #checkVersion3(candidate: Candidate): void {
    const isVersion3 = candidate.transaction.version === 3;
    const parents = [...candidate.parents].map((txid) => this.#entries.get(txid)!);
    if (parents.some((parent) => (parent.transaction.version === 3) !== isVersion3)) {
      throw refusal('TRUC-violation, version 3 and other versions mixed');
    }
    if (!isVersion3) return;
    if (candidate.vsize > TRUC_MAX_VSIZE) throw refusal('TRUC-violation, too large');
    if (parents.length === 0) return;
    const replaced = new Set(candidate.replaces.map((entry) => entry.txid));
    const siblings = this.entries().filter(
      (entry) => !replaced.has(entry.txid) && parents.some((parent) => entry.parents.has(parent.txid)),
    );
    const deep = parents.some((parent) => [...parent.parents].some((txid) => this.#entries.has(txid)));
    if (parents.length > 1 || deep) {
      throw refusal('TRUC-violation, too many ancestors');
    }
    if (siblings.length > 0) throw refusal('TRUC-violation, parent has a child already');
    if (candidate.vsize > TRUC_CHILD_MAX_VSIZE) throw refusal('TRUC-violation, child too large');
  }

  /** The transaction and everything that spends from it. */
  #withDescendants(txid: string): MempoolEntry[] {
    const found = new Set([txid]);
    for (const entry of this.#entries.values()) {
      if ([...entry.parents].some((parent) => found.has(parent))) found.add(entry.txid);
    }
    return [...found].map((id) => this.#entries.get(id)!);
  }

  #remove(txid: string): void {
    const entry = this.#entries.get(txid);
    if (entry === undefined) return;
    this.#entries.delete(txid);
    for (const input of entry.transaction.ins) {
      const outpoint = outpointOf(input);
      if (this.#spenders.get(outpoint) === txid) this.#spenders.delete(outpoint);
    }
  }
}

/** Fee in sats of `vsize` virtual bytes, rounded up. */
function relayFee(vsize: number, satPerKvb: bigint): bigint {
  return (BigInt(vsize) * satPerKvb + 999n) / 1000n;
}

import type { Transaction } from 'bitcoinjs-lib';
import { CodedError } from '../../base/errors.ts';
import {
  type Coin,
  checkInputs,
  checkShape,
  dustLimitSat,
  outpointOf,
  type RuleContext,
  refusal,
} from './chain-rules.ts';
import { verifyScripts } from './interpreter.ts';
import { type MempoolEntry, MempoolGraph } from './mempool-graph.ts';
import {
  type Candidate,
  checkChains,
  checkDisjoint,
  checkOwnFee,
  checkPackageChains,
  checkPackageReplacement,
  checkPackageTruc,
  checkReplacement,
  checkTruc,
  relayFee,
} from './mempool-rules.ts';

export type MempoolPolicy = { readonly minRelaySatPerKvb: bigint };

/** Versions that bitcoind relays. */
const VERSIONS: readonly number[] = [1, 2, 3];
/** Serialised without witness: shorter ones could be taken for a node of a merkle tree. */
const MIN_BASE_BYTES = 65;

type Judged = Candidate & { readonly replaces: readonly MempoolEntry[] };

/**
 * Unconfirmed transactions under the policy of a bitcoind 28 or 29 that enforces the rules of version 3:
 * which rules, and whose, is said in `mempool-rules.ts`. Beyond them: the minimum rate and the dust limit.
 * It knows no size limit of the pool, no expiry, no ephemeral dust, no package but a parent with its child.
 */
export class Mempool {
  readonly #policy: MempoolPolicy;
  readonly #graph = new MempoolGraph();

  constructor(policy: MempoolPolicy) {
    this.#policy = policy;
  }

  get size(): number {
    return this.#graph.size;
  }

  get(txid: string): MempoolEntry | undefined {
    return this.#graph.get(txid);
  }

  entries(): MempoolEntry[] {
    return this.#graph.entries();
  }

  spenderOf(outpoint: string): string | undefined {
    return this.#graph.spenderOf(outpoint);
  }

  /** An output of an unconfirmed transaction, spent or not. */
  output(outpoint: string, height: number): Coin | undefined {
    const [txid, vout] = outpoint.split(':') as [string, string];
    const transaction = this.#graph.get(txid)?.transaction;
    return transaction === undefined ? undefined : coinOf(transaction, Number(vout), height);
  }

  /** Everything but the insertion. Throws `tx_refused`. */
  check(transaction: Transaction, context: RuleContext): Judged {
    return this.#checkOne(transaction, context, false);
  }

  #checkOne(transaction: Transaction, context: RuleContext, isOfPackage: boolean): Judged {
    const candidate = this.#judge(transaction, context, true, isOfPackage);
    const replaces = checkReplacement(candidate, this.#graph, this.#policy.minRelaySatPerKvb);
    return { ...candidate, replaces };
  }

  /** Checks and inserts; evicts what it replaces. Throws `tx_refused`. */
  add(transaction: Transaction, context: RuleContext): MempoolEntry {
    return this.#addOne(transaction, context, false);
  }

  #addOne(transaction: Transaction, context: RuleContext, isOfPackage: boolean): MempoolEntry {
    const judged = this.#checkOne(transaction, context, isOfPackage);
    this.#exchange(judged.replaces, [judged]);
    return judged;
  }

  /**
   * A parent and its child, of which the child may pay for both. Each by itself first, as bitcoind does: a
   * parent that needs no help stays, whatever becomes of its child. Throws `tx_refused`.
   */
  addPackage(parent: Transaction, child: Transaction, context: RuleContext): void {
    checkPackageShape(parent, child, context);
    try {
      this.#addOne(parent, context, true);
    } catch (error) {
      if (!(error instanceof CodedError) || error.meta['reconsiderable'] !== true) throw error;
      this.#addTogether(parent, child, context);
      return;
    }
    this.#addOne(child, context, true);
  }

  #addTogether(parent: Transaction, child: Transaction, context: RuleContext): void {
    const parentTxid = parent.getId();
    const coin = (outpoint: string): Coin | undefined => {
      const [txid, vout] = outpoint.split(':') as [string, string];
      if (txid !== parentTxid) return context.coin(outpoint);
      return coinOf(parent, Number(vout), context.height);
    };
    const first = this.#judge(parent, context, false, true);
    const second = this.#judge(child, { ...context, coin }, false, true);
    checkPackageTruc(first, second, this.#graph);
    checkPackageChains([first, second], this.#graph);
    const totalSat = first.feeSat + second.feeSat;
    const { minRelaySatPerKvb } = this.#policy;
    const minimum = relayFee(first.vsize + second.vsize, minRelaySatPerKvb);
    if (totalSat < minimum) throw refusal(`package feerate too low, ${totalSat} < ${minimum}`);
    const replaces = checkPackageReplacement([first, second], this.#graph, minRelaySatPerKvb);
    const parents = new Set([...second.parents, parentTxid]);
    this.#exchange(replaces, [first, { ...second, parents }]);
  }

  #exchange(leaving: readonly MempoolEntry[], coming: readonly MempoolEntry[]): void {
    for (const { txid } of leaving) this.#graph.remove(txid);
    for (const { txid, transaction, feeSat, vsize, height, parents } of coming) {
      this.#graph.insert({ txid, transaction, feeSat, vsize, height, parents });
    }
  }

  /** A block was connected: its transactions leave, and so does everything that conflicts with them. */
  removeForBlock(transactions: readonly Transaction[]): void {
    for (const transaction of transactions) this.#graph.remove(transaction.getId());
    for (const transaction of transactions) {
      for (const { txid } of this.#graph.withDescendants(this.#rivalsOf(transaction)))
        this.#graph.remove(txid);
    }
  }

  clear(): void {
    this.#graph.clear();
  }

  /**
   * All rules but those of replacement.
   * @param isAlone else it comes with another that may pay for it, and puts no sibling out
   * @param isOfPackage see `checkChains`
   */
  #judge(
    transaction: Transaction,
    context: RuleContext,
    isAlone: boolean,
    isOfPackage: boolean,
  ): Candidate {
    checkStandard(transaction);
    const { feeSat, coins } = checkInputs(transaction, context);
    const sources = transaction.ins.map((input) => outpointOf(input).slice(0, 64));
    const parents = new Set(sources.filter((txid) => this.#graph.get(txid) !== undefined));
    const conflicts = this.#rivalsOf(transaction);
    const base = {
      txid: transaction.getId(),
      transaction,
      feeSat,
      vsize: transaction.virtualSize(),
      height: context.height - 1,
      parents,
    };
    let candidate: Candidate = { ...base, conflicts };
    checkOwnFee(candidate, this.#policy.minRelaySatPerKvb, isAlone);
    checkChains(candidate, this.#graph, isOfPackage);
    const sibling = checkTruc(candidate, this.#graph);
    if (sibling !== undefined) {
      if (!isAlone) throw refusal('TRUC-violation, parent has a child already');
      candidate = { ...base, conflicts: [...conflicts, sibling] };
    }
    checkDisjoint(candidate, this.#graph);
    const scriptError = verifyScripts(transaction, coins);
    if (scriptError !== undefined) {
      throw refusal(`mempool-script-verify-flag-failed (${scriptError})`);
    }
    return candidate;
  }

  /** What waits and spends a coin of this one. */
  #rivalsOf(transaction: Transaction): MempoolEntry[] {
    const rivals = transaction.ins.flatMap((input) => this.#graph.spenderOf(outpointOf(input)) ?? []);
    return [...new Set(rivals)].map((txid) => this.#graph.get(txid)!);
  }
}

/** The child spends from the parent, and else from blocks alone: all that must come before it is here. */
function checkPackageShape(parent: Transaction, child: Transaction, context: RuleContext): void {
  const taken = new Set(parent.ins.map(outpointOf));
  const sources = child.ins.map(outpointOf);
  if (sources.some((source) => taken.has(source))) throw refusal('conflict-in-package');
  const txid = parent.getId();
  const others = sources.filter((source) => source.slice(0, 64) !== txid);
  if (others.length === sources.length) throw refusal('package-not-child-with-parents');
  if (others.some((source) => context.coin(source)?.confirmed !== true)) {
    throw refusal('package-not-child-with-unconfirmed-parents');
  }
}

function checkStandard(transaction: Transaction): void {
  checkShape(transaction);
  if (!VERSIONS.includes(transaction.version)) throw refusal('version');
  if (transaction.byteLength(false) < MIN_BASE_BYTES) throw refusal('tx-size-small');
  for (const output of transaction.outs) {
    if (output.value < dustLimitSat(output.script)) throw refusal('dust');
  }
}

function coinOf(transaction: Transaction, vout: number, height: number): Coin | undefined {
  const output = transaction.outs[vout];
  if (output === undefined) return undefined;
  return { valueSat: output.value, script: output.script, height, coinbase: false, confirmed: false };
}

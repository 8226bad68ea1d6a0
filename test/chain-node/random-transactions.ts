import type { Transaction } from 'bitcoinjs-lib';
import { outpointOf } from '../../src/devnet/chain/chain-rules.ts';
import { type Coins, pay, type testKey } from '../devnet/wallets.ts';

/** A transaction, or a parent with a child. */
export type Step = { readonly transactions: readonly Transaction[] };

type Draft = { readonly from: readonly Coins[]; readonly version: number; readonly outputs: number };

/** In sat per 1000 virtual bytes, many of them about what a node takes. */
const RATES = [0, 100, 500, 990, 1_000, 1_010, 1_500, 2_000, 2_500, 5_000, 20_000, 100_000];
/** What a fee misses its mark by. */
const OFFSETS = [-2n, -1n, 0n, 1n, 2n, 50n];
/** A witness input and output, and the rest, in virtual bytes: only to choose a fee near a mark. */
const [INPUT_VBYTES, OUTPUT_VBYTES, OTHER_VBYTES] = [68n, 31n, 11n];
const DUST_SAT = 294n;

/**
 * Transactions that rivals, children and siblings are made of, from a seed: all coins are of one key, and
 * fees lie about the marks that rules draw.
 */
export class RandomTransactions {
  readonly #key: ReturnType<typeof testKey>;
  readonly #coins: readonly Coins[];
  readonly #made = new Map<string, { readonly transaction: Transaction; readonly feeSat: bigint }>();
  /** A chain of one transaction after another, or a bush. */
  readonly #isChain: boolean;
  #state: number;

  constructor(seed: number, key: ReturnType<typeof testKey>, coins: readonly Coins[]) {
    this.#state = seed | 0;
    this.#key = key;
    this.#coins = coins;
    this.#isChain = this.#chance(0.2);
  }

  coin(outpoint: string): Coins | undefined {
    return this.#coins.find(({ txid, vout }) => `${txid}:${vout}` === outpoint);
  }

  /** @param waiting the transactions in the mempool, parents first */
  next(waiting: readonly string[]): Step {
    const isPackage = this.#chance(this.#isChain ? 0.1 : 0.35);
    const parent = this.#draft(waiting, isPackage ? 0.3 : 0.4);
    if (!isPackage) return { transactions: [this.#make(parent, this.#feeOf(parent, waiting))] };
    const first = this.#make(
      parent,
      this.#chance(parent.version === 3 ? 0.6 : 0.1)
        ? this.#rateFee(parent, 0, 4)
        : this.#feeOf(parent, waiting),
    );
    const more = this.#chance(0.2) ? this.#draft(waiting, 0.4).from : [];
    const own = this.#outputsOf(first).slice(0, 1 + this.#below(2));
    const child: Draft = {
      from: unique([...own, ...more]),
      version: this.#chance(0.93) ? parent.version : 5 - parent.version,
      outputs: this.#outputs(),
    };
    const both = [...parent.from, ...child.from];
    const mark =
      vbytesOf(parent) + vbytesOf(child) + this.#feesOfRivals(both, waiting) - this.#feeOfMade(first);
    const feeSat = this.#chance(0.5) ? clamp(mark + this.#pick(OFFSETS)) : this.#rateFee(child);
    return { transactions: [first, this.#make(child, feeSat)] };
  }

  #draft(waiting: readonly string[], waitingShare: number): Draft {
    const count = this.#pick(this.#isChain ? [1, 1, 1, 1, 2] : [1, 1, 1, 2, 2, 3]);
    const from = Array.from({ length: count }, () => this.#source(waiting, waitingShare));
    const [parent] = from.flatMap(({ txid }) => this.#made.get(txid) ?? []);
    const inherits = parent !== undefined && this.#chance(0.85);
    const version = inherits
      ? parent.transaction.version
      : this.#chance(0.95)
        ? this.#pick([3, 3, 2])
        : this.#pick([1, 4]);
    return { from: unique(from), version: this.#isChain ? 2 : version, outputs: this.#outputs() };
  }

  #source(waiting: readonly string[], waitingShare: number): Coins {
    const share = this.#isChain ? 0.9 : waitingShare;
    if (waiting.length === 0 || !this.#chance(share)) return this.#pick(this.#coins);
    const txid = this.#isChain && this.#chance(0.7) ? waiting.at(-1)! : this.#pick(waiting);
    return this.#pick(this.#outputsOf(this.#made.get(txid)!.transaction));
  }

  #outputs(): number {
    if (this.#chance(0.06)) return 28 + this.#below(8);
    return this.#chance(0.01) ? 330 : this.#pick([1, 2, 2, 3]);
  }

  #outputsOf(transaction: Transaction): Coins[] {
    const txid = transaction.getId();
    return transaction.outs.map(({ value }, vout) => ({ txid, vout, valueSat: value }));
  }

  /** By a rate, or a little about what putting out its rivals and siblings costs. */
  #feeOf(draft: Draft, waiting: readonly string[]): bigint {
    const rivalsSat = this.#feesOfRivals(draft.from, waiting) + this.#feesOfSiblings(draft.from, waiting);
    if (rivalsSat > 0n && this.#chance(0.6)) return rivalsSat + vbytesOf(draft) + this.#pick(OFFSETS);
    return this.#rateFee(draft, this.#chance(0.85) ? 4 : 0);
  }

  #rateFee(draft: Draft, from = 0, to: number = RATES.length): bigint {
    return (vbytesOf(draft) * BigInt(this.#pick(RATES.slice(from, to)))) / 1_000n;
  }

  #feeOfMade(transaction: Transaction): bigint {
    return this.#made.get(transaction.getId())!.feeSat;
  }

  #feesOfRivals(from: readonly Coins[], waiting: readonly string[]): bigint {
    const spent = new Set(from.map(({ txid, vout }) => `${txid}:${vout}`));
    const leaving = new Set<string>();
    for (const txid of waiting) {
      const sources = this.#made.get(txid)!.transaction.ins.map(outpointOf);
      const leaves = sources.some((each) => spent.has(each) || leaving.has(each.slice(0, 64)));
      if (leaves) leaving.add(txid);
    }
    return [...leaving].reduce((sum, txid) => sum + this.#made.get(txid)!.feeSat, 0n);
  }

  #feesOfSiblings(from: readonly Coins[], waiting: readonly string[]): bigint {
    const siblings = waiting.filter((txid) =>
      this.#made.get(txid)!.transaction.ins.some((input) => {
        const source = outpointOf(input);
        return from.some(
          (coin) =>
            source.startsWith(coin.txid) && source !== `${coin.txid}:${coin.vout}` && !this.coin(source),
        );
      }),
    );
    return siblings.reduce((sum, txid) => sum + this.#made.get(txid)!.feeSat, 0n);
  }

  #make({ from, version, outputs }: Draft, wishedSat: bigint): Transaction {
    const totalSat = from.reduce((sum, { valueSat }) => sum + valueSat, 0n);
    const fitting = BigInt(Math.max(1, Math.min(outputs, Number(totalSat / (2n * DUST_SAT)))));
    const feeSat = wishedSat + fitting * DUST_SAT > totalSat ? 0n : wishedSat;
    const each = (totalSat - feeSat) / fitting;
    const first = totalSat - feeSat - each * (fitting - 1n);
    const { scriptHex } = this.#key;
    const to = Array.from({ length: Number(fitting) }, (_, index) => ({
      scriptHex,
      valueSat: index === 0 ? first : each,
    }));
    // One that has passed makes it one of a kind; Knots takes none of 21.
    const transaction = pay({ from, key: this.#key, to, version, locktime: 100 + this.#below(300) });
    this.#made.set(transaction.getId(), { transaction, feeSat });
    return transaction;
  }

  #pick<T>(items: readonly T[]): T {
    return items[this.#below(items.length)]!;
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit);
  }

  #chance(probability: number): boolean {
    return this.#random() < probability;
  }

  /** Mulberry32. */
  #random(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}

function vbytesOf({ from, outputs }: Draft): bigint {
  return OTHER_VBYTES + INPUT_VBYTES * BigInt(from.length) + OUTPUT_VBYTES * BigInt(outputs);
}

function unique(coins: readonly Coins[]): Coins[] {
  return [...new Map(coins.map((coin) => [`${coin.txid}:${coin.vout}`, coin])).values()];
}

function clamp(sat: bigint): bigint {
  return sat < 0n ? 0n : sat;
}

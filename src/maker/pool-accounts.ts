import { CodedError } from '../base/errors.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import type { Ledger, LedgerEntry } from '../ledger/ledger.ts';
import { decimal, integer, object } from '../peer/codec.ts';
import { bodyOf, parseBody } from '../settlement/records.ts';

/** The ledger kinds of what was credited for a pool, and of what it paid for; the id is the pool's name. */
const CREDITED_KIND = 'pool_credited';
const PAID_KIND = 'pool_paid';

const accountCodec = object({ version: ['version', integer(1, 1)], hashes: ['hashes', decimal] });

/** The work of one pool, in hashes. */
export type PoolAccount = {
  readonly name: string;
  /** Credited to miners for its jobs. */
  readonly creditedHashes: bigint;
  /** That it paid for, as the operator said. */
  readonly paidHashes: bigint;
  /** Credited and not paid for by the pool: what is lost where it never pays. */
  readonly unpaidHashes: bigint;
};

type Account = { creditedHashes: bigint; paidHashes: bigint };

/**
 * What each pool of a maker owes it, in work: all that was credited to miners for its jobs, over all
 * contracts and starts, less what the operator said that it paid for.
 */
export class PoolAccounts {
  readonly #names: readonly string[];
  readonly #ledger: Ledger;
  readonly #queue = new SerialQueue();
  readonly #accounts = new Map<string, Account>();

  /** @param names of the pools that give jobs; others did so before */
  constructor(names: readonly string[], ledger: Ledger) {
    this.#names = names;
    this.#ledger = ledger;
  }

  /** Throws `ledger_corrupt`. */
  async load(): Promise<void> {
    const kinds = [
      [CREDITED_KIND, 'creditedHashes'],
      [PAID_KIND, 'paidHashes'],
    ] as const;
    for (const [kind, key] of kinds)
      for (const { id, body } of await this.#ledger.list(kind))
        this.#of(id)[key] = parseBody(kind, accountCodec, body).hashes;
  }

  /** Of the pools that give jobs, and of all that owe anything. */
  get all(): readonly PoolAccount[] {
    const names = [...new Set([...this.#names, ...this.#accounts.keys()])];
    return names
      .map((name) => this.accountOf(name))
      .filter(({ name, unpaidHashes }) => unpaidHashes > 0n || this.#names.includes(name));
  }

  accountOf(name: string): PoolAccount {
    const { creditedHashes = 0n, paidHashes = 0n } = this.#accounts.get(name) ?? {};
    const unpaidHashes = creditedHashes > paidHashes ? creditedHashes - paidHashes : 0n;
    return { name, creditedHashes, paidHashes, unpaidHashes };
  }

  /** Work that may still be credited for the pools that give jobs, each with so much unpaid at the most. */
  roomHashes(maxUnpaidHashes: bigint): bigint {
    return this.#names.reduce((sum, name) => {
      const { unpaidHashes } = this.accountOf(name);
      return unpaidHashes < maxUnpaidHashes ? sum + maxUnpaidHashes - unpaidHashes : sum;
    }, 0n);
  }

  /**
   * Counts work that is credited for a pool, and gives the entry that says so: it has to go to the disk in
   * the order in which it was made.
   */
  credit(name: string, hashes: bigint): LedgerEntry {
    const account = this.#of(name);
    account.creditedHashes += hashes;
    return entryOf(CREDITED_KIND, name, account.creditedHashes);
  }

  /** Takes work back whose entry did not come to the disk. */
  release(name: string, hashes: bigint): void {
    this.#of(name).creditedHashes -= hashes;
  }

  /**
   * Notes that a pool paid for work; on disk when it resolves. Throws `config_invalid` for more than it owes,
   * or for a pool that nothing was credited for.
   */
  paid(name: string, hashes: bigint): Promise<PoolAccount> {
    return this.#queue.run(async () => {
      const before = this.#accounts.get(name);
      if (before === undefined) throw new CodedError('config_invalid', `no work was credited for ${name}`);
      const { unpaidHashes } = this.accountOf(name);
      if (hashes > unpaidHashes)
        throw new CodedError('config_invalid', `${name} owes ${unpaidHashes} hashes`);
      const paidHashes = before.paidHashes + hashes;
      await this.#ledger.appendNow([entryOf(PAID_KIND, name, paidHashes)]);
      before.paidHashes = paidHashes;
      return this.accountOf(name);
    });
  }

  #of(name: string): Account {
    const account = this.#accounts.get(name) ?? { creditedHashes: 0n, paidHashes: 0n };
    this.#accounts.set(name, account);
    return account;
  }
}

function entryOf(kind: string, id: string, hashes: bigint): LedgerEntry {
  return { type: 'put', kind, id, body: bodyOf(accountCodec, { version: 1, hashes }) };
}

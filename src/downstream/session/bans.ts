import { assert } from '../../base/assert.ts';

/** What a miner that sends nothing valid meets, one after the other. */
export type SanctionOptions = {
  /** Refusals in a row, without an accepted share between them, after which it gets new work. */
  readonly resendAfter: number;
  /** After which it is asked to connect anew, which heals more firmware than anything else. */
  readonly reconnectAfter: number;
  /** After which it is thrown out and its address refused. */
  readonly banAfter: number;
};

/** `evict`: closed at once, for lines that are not Stratum. */
export type Sanction = 'none' | 'resend' | 'reconnect' | 'evict' | 'ban';

/** What the latest refusal leads to. @param invalidInRow counts it in */
export function sanctionOf(invalidInRow: number, options: SanctionOptions): Sanction {
  if (invalidInRow >= options.banAfter) return 'ban';
  if (invalidInRow === options.reconnectAfter) return 'reconnect';
  return invalidInRow === options.resendAfter ? 'resend' : 'none';
}

/** Throws unless the steps follow each other. */
export function checkSanctionOptions({ resendAfter, reconnectAfter, banAfter }: SanctionOptions): void {
  const isOrdered = resendAfter >= 1 && resendAfter <= reconnectAfter && reconnectAfter <= banAfter;
  assert(isOrdered && Number.isFinite(banAfter), 'ladder_ordered', {
    resendAfter,
    reconnectAfter,
    banAfter,
  });
}

export type BanOptions = {
  readonly banMs: number;
  /** Requests to connect anew, each within `banMs` of the last, that make a ban too. */
  readonly strikes: number;
  /** Addresses remembered; of more the oldest is forgiven. */
  readonly addresses: number;
};

type BanRecord = { strikes: number; untilMs: number; isBanned: boolean };

/** Who may not connect, until when. All times are monotonic milliseconds. */
export class Bans {
  #options: BanOptions;
  /** The one heard of last is the last. */
  readonly #records = new Map<string, BanRecord>();
  readonly stats = { bans: 0, forgiven: 0 };

  constructor(options: BanOptions) {
    assert(options.banMs > 0 && options.strikes >= 1 && options.addresses >= 1, 'ban_options', options);
    this.#options = options;
  }

  /** Of bans from now on. */
  setDuration(banMs: number): void {
    assert(banMs > 0, 'ban_options', banMs);
    this.#options = { ...this.#options, banMs };
  }

  /** Addresses with a strike or a ban. */
  get size(): number {
    return this.#records.size;
  }

  isBanned(group: string, monotonicMs: number): boolean {
    const record = this.#records.get(group);
    return record?.isBanned === true && monotonicMs < record.untilMs;
  }

  /** One of its sessions was sent away. True when that makes a ban, false when there is one already. */
  strike(group: string, monotonicMs: number): boolean {
    if (this.isBanned(group, monotonicMs)) return false;
    const previous = this.#records.get(group);
    const strikes = previous !== undefined && monotonicMs < previous.untilMs ? previous.strikes + 1 : 1;
    const banned = strikes >= this.#options.strikes;
    this.#remember(group, { strikes, untilMs: monotonicMs + this.#options.banMs, isBanned: banned });
    return banned;
  }

  ban(group: string, monotonicMs: number): void {
    const strikes = this.#options.strikes;
    this.#remember(group, { strikes, untilMs: monotonicMs + this.#options.banMs, isBanned: true });
  }

  /** Takes a ban back. */
  forgive(group: string): void {
    this.#records.delete(group);
  }

  /** Forgets what is over; to be called now and then. */
  expire(monotonicMs: number): void {
    for (const [group, { untilMs }] of this.#records)
      if (monotonicMs >= untilMs) this.#records.delete(group);
  }

  #remember(group: string, record: BanRecord): void {
    const monotonicMs = record.untilMs - this.#options.banMs;
    if (record.isBanned && !this.isBanned(group, monotonicMs)) this.stats.bans += 1;
    this.#records.delete(group);
    if (this.#records.size >= this.#options.addresses) {
      const [oldest] = this.#records.keys();
      this.#records.delete(oldest!);
      this.stats.forgiven += 1;
    }
    this.#records.set(group, record);
  }
}

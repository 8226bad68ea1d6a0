import type { BlockList } from 'node:net';
import { LRUCache } from 'lru-cache';
import { LIMITS } from '../../base/limits.ts';
import { type Rate, TokenBucket } from '../../base/token-bucket.ts';
import { Bans } from '../session/bans.ts';
import type { DownstreamStats } from '../session/stats.ts';
import { addressGroup, addressList, isListed } from './addresses.ts';

export type AdmissionOptions = {
  /** Connections in all, default `LIMITS.sessions`. */
  readonly sessions?: number;
  /** Per IPv4 address or IPv6 /64, default `LIMITS.sessionsPerAddress`. */
  readonly sessionsPerAddress?: number;
  /** Connections taken, in all; no bound without it. */
  readonly acceptRate?: Rate;
  /** The same per IPv4 address or IPv6 /64. */
  readonly acceptRatePerAddress?: Rate;
  /** Addresses and CIDR ranges that may connect; empty or absent: all. */
  readonly allow?: readonly string[];
  /** Addresses and CIDR ranges that may not, whatever `allow` says. */
  readonly deny?: readonly string[];
  /** How long an address stays banned. */
  readonly banMs?: number;
};

const BAN_MS = 10 * 60_000;
/** Requests to connect anew that did not help, before an address is banned. */
const STRIKES = 5;

/** Who may connect now. Times are the caller's, of one clock. */
export class Admission {
  #options!: AdmissionOptions;
  readonly #stats: DownstreamStats;
  #allow: BlockList | undefined;
  #deny!: BlockList;
  readonly #bans: Bans;
  #inAll: TokenBucket | undefined;
  readonly #buckets = new LRUCache<string, TokenBucket>({ max: LIMITS.trackedAddresses });
  readonly #sessions = new Map<string, number>();

  /** Throws `config_invalid` when a range is none. */
  constructor(options: AdmissionOptions, stats: DownstreamStats, monotonicMs: number) {
    this.#stats = stats;
    const banMs = options.banMs ?? BAN_MS;
    this.#bans = new Bans({ banMs, strikes: STRIKES, addresses: LIMITS.trackedAddresses });
    this.setOptions(options, monotonicMs);
  }

  /** For connections from now on; bans there are stay as they are. Throws `config_invalid`. */
  setOptions(options: AdmissionOptions, monotonicMs: number): void {
    const { allow = [], deny = [], acceptRate, banMs = BAN_MS } = options;
    const [allowed, denied] = [allow.length === 0 ? undefined : addressList(allow), addressList(deny)];
    this.#options = options;
    this.#allow = allowed;
    this.#deny = denied;
    this.#inAll = acceptRate === undefined ? undefined : new TokenBucket(acceptRate, monotonicMs);
    this.#buckets.clear();
    this.#bans.setDuration(banMs);
  }

  get bannedAddresses(): number {
    return this.#bans.size;
  }

  /** @param open connections there are */
  isFull(open: number): boolean {
    return open >= (this.#options.sessions ?? LIMITS.sessions);
  }

  /** @param open connections there are */
  mayOpen(open: number): boolean {
    return !this.isFull(open) || this.#limited('sessions');
  }

  /**
   * Bounds on one address, whoever it is, and behind them the rate of all: what an address is refused takes
   * nothing of it, so that one that storms does not keep the others out.
   */
  mayServe(address: string, monotonicMs: number): boolean {
    const isAllowed = this.#allow === undefined || isListed(this.#allow, address);
    if (!isAllowed || isListed(this.#deny, address)) return this.#refused('denied');
    const group = addressGroup(address);
    if (this.#bans.isBanned(group, monotonicMs)) return this.#refused('banned');
    const limit = this.#options.sessionsPerAddress ?? LIMITS.sessionsPerAddress;
    if ((this.#sessions.get(group) ?? 0) >= limit) return this.#limited('sessionsPerAddress');
    if (this.#bucketOf(group, monotonicMs)?.take(monotonicMs) === false) {
      return this.#limited('acceptsPerSecondPerAddress');
    }
    return this.#inAll?.take(monotonicMs) !== false || this.#limited('acceptsPerSecond');
  }

  addSession(address: string): void {
    const group = addressGroup(address);
    this.#sessions.set(group, (this.#sessions.get(group) ?? 0) + 1);
  }

  removeSession(address: string): void {
    const group = addressGroup(address);
    const others = (this.#sessions.get(group) ?? 1) - 1;
    if (others === 0) this.#sessions.delete(group);
    else this.#sessions.set(group, others);
  }

  /** One of its sessions sent nothing valid and is asked to connect anew. True when it was so too often. */
  strike(address: string, monotonicMs: number): boolean {
    return this.#bans.strike(addressGroup(address), monotonicMs);
  }

  ban(address: string, monotonicMs: number): void {
    this.#bans.ban(addressGroup(address), monotonicMs);
  }

  /** A ban or the strikes on the way to one are forgotten. */
  forgive(address: string): void {
    this.#bans.forgive(addressGroup(address));
  }

  tick(monotonicMs: number): void {
    this.#bans.expire(monotonicMs);
    this.#stats.bans = this.#bans.stats.bans;
  }

  #bucketOf(group: string, monotonicMs: number): TokenBucket | undefined {
    const rate = this.#options.acceptRatePerAddress;
    if (rate === undefined) return undefined;
    const known = this.#buckets.get(group);
    if (known !== undefined) return known;
    const bucket = new TokenBucket(rate, monotonicMs);
    this.#buckets.set(group, bucket);
    return bucket;
  }

  #limited(limit: keyof DownstreamStats['limitHits']): false {
    this.#stats.limitHits[limit] += 1;
    this.#stats.connectionsRefused += 1;
    return false;
  }

  #refused(why: 'denied' | 'banned'): false {
    this.#stats.refusedByAddress[why] += 1;
    this.#stats.connectionsRefused += 1;
    return false;
  }
}

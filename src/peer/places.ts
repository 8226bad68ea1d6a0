import { countHit, type LimitHits } from '../base/limits.ts';

/** Limits of the connections of a server: of all, of one address, and of newcomers of one address. */
export type PlacesOptions = {
  readonly connections: number;
  readonly perAddress: number;
  readonly newcomersPerAddress: number;
};

type Place = { readonly address: string; isKept: boolean };

/**
 * The places of a server's connections. A connection that has proven a key keeps its place; a newcomer over
 * a limit takes that of another newcomer: of its own address where that has too many, else of the address
 * that has most. Where all have proven a key it is refused.
 */
export class Places<T extends object> {
  readonly #options: PlacesOptions;
  readonly #hits: LimitHits;
  /** Both in the order of arrival. */
  readonly #places = new Map<T, Place>();
  readonly #newcomers = new Map<string, Set<T>>();

  constructor(options: PlacesOptions, hits: LimitHits) {
    this.#options = options;
    this.#hits = hits;
  }

  /** Takes a place. Returns the connection to end in exchange, if any, or `refused`. */
  take(who: T, remoteAddress: string): T | 'refused' | undefined {
    const address = networkOf(remoteAddress);
    const { connections, perAddress, newcomersPerAddress } = this.#options;
    const newcomers = this.#newcomers.get(address)?.size ?? 0;
    const ofAddress = [...this.#places.values()].filter((place) => place.address === address).length;
    let evicted: T | undefined;
    if (newcomers >= newcomersPerAddress || ofAddress >= perAddress) {
      countHit(
        this.#hits,
        ofAddress >= perAddress ? 'peerConnectionsPerAddress' : 'peerNewcomersPerAddress',
      );
      evicted = this.#oldestOf(address);
      if (evicted === undefined) return 'refused';
    } else if (this.#places.size >= connections) {
      countHit(this.#hits, 'peerConnections');
      evicted = this.#oldestOf(this.#mostCrowded());
      if (evicted === undefined) return 'refused';
    }
    if (evicted !== undefined) this.leave(evicted);
    this.#places.set(who, { address, isKept: false });
    this.#newcomers.set(address, (this.#newcomers.get(address) ?? new Set()).add(who));
    return evicted;
  }

  /** Keeps the place of a connection that proved a key. */
  keep(who: T): void {
    const place = this.#places.get(who);
    if (place === undefined) return;
    place.isKept = true;
    this.#forgetNewcomer(who, place.address);
  }

  /** Frees the place of a connection that ended. */
  leave(who: T): void {
    const place = this.#places.get(who);
    if (place === undefined) return;
    this.#places.delete(who);
    this.#forgetNewcomer(who, place.address);
  }

  #oldestOf(address: string | undefined): T | undefined {
    const [oldest] = this.#newcomers.get(address ?? '') ?? [];
    return oldest;
  }

  #mostCrowded(): string | undefined {
    let most: string | undefined;
    let size = 0;
    for (const [address, newcomers] of this.#newcomers) {
      if (newcomers.size <= size) continue;
      most = address;
      size = newcomers.size;
    }
    return most;
  }

  #forgetNewcomer(who: T, address: string): void {
    const newcomers = this.#newcomers.get(address);
    newcomers?.delete(who);
    if (newcomers?.size === 0) this.#newcomers.delete(address);
  }
}

/**
 * The network of an address: an IPv4 address, or the first 64 bits of an IPv6 address, of which its owner
 * chooses the rest.
 */
function networkOf(remoteAddress: string): string {
  const address = remoteAddress.replace(/^::ffff:(?=\d+\.)/, '');
  return address.includes(':') ? address.split('::')[0]!.split(':').slice(0, 4).join(':') : address;
}

import type { LimitHits } from '../base/limits.ts';

export type PlacesOptions = {
  readonly connections: number;
  readonly perAddress: number;
  readonly newcomersPerAddress: number;
};

type Place = { readonly address: string; isKept: boolean };

/**
 * Who may be connected. Whoever has proven a key keeps its place; a newcomer over a limit takes that of
 * another newcomer: of its own address where that has too many, else of the address that has most. Where all
 * have proven a key it is refused.
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

  /** What must go for it, if anything; `refused` where it cannot stay itself. */
  take(who: T, remoteAddress: string): T | 'refused' | undefined {
    const address = networkOf(remoteAddress);
    const { connections, perAddress, newcomersPerAddress } = this.#options;
    const newcomers = this.#newcomers.get(address)?.size ?? 0;
    const ofAddress = [...this.#places.values()].filter((place) => place.address === address).length;
    let evicted: T | undefined;
    if (newcomers >= newcomersPerAddress || ofAddress >= perAddress) {
      this.#hit(ofAddress >= perAddress ? 'peerConnectionsPerAddress' : 'peerNewcomersPerAddress');
      evicted = this.#oldestOf(address);
      if (evicted === undefined) return 'refused';
    } else if (this.#places.size >= connections) {
      this.#hit('peerConnections');
      evicted = this.#oldestOf(this.#mostCrowded());
      if (evicted === undefined) return 'refused';
    }
    if (evicted !== undefined) this.leave(evicted);
    this.#places.set(who, { address, isKept: false });
    this.#newcomers.set(address, (this.#newcomers.get(address) ?? new Set()).add(who));
    return evicted;
  }

  /** It proved a key. */
  keep(who: T): void {
    const place = this.#places.get(who);
    if (place === undefined) return;
    place.isKept = true;
    this.#forgetNewcomer(who, place.address);
  }

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

  #hit(limit: string): void {
    this.#hits[limit] = (this.#hits[limit] ?? 0) + 1;
  }
}

/** An IPv4 address, or the 64 bits of an IPv6 address that its owner cannot choose. */
function networkOf(remoteAddress: string): string {
  const address = remoteAddress.replace(/^::ffff:(?=\d+\.)/, '');
  return address.includes(':') ? address.split('::')[0]!.split(':').slice(0, 4).join(':') : address;
}

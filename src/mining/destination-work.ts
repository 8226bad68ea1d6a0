import type { Clock } from '../base/clock.ts';
import { Hashrate, type Hashrates } from '../work/hashrate.ts';
import type { CreditPart, Meters, StreamTotal } from '../work/meters.ts';

const OWN = 'own:';

/** The evidence stream of work for the miner's own destination. */
export function ownStream(name: string): string {
  return `${OWN}${name}`;
}

export type DestinationWorkOptions = {
  /** The destination of contracts of which no other is known, such as those of an earlier run. */
  readonly contract: string | undefined;
};

/** What was credited for each destination: exact sums over its streams, and the hashrate there. */
export class DestinationWork {
  readonly #options: DestinationWorkOptions;
  readonly #meters: Meters;
  readonly #deps: { readonly clock: Clock; readonly meters: Meters };
  readonly #hashrates = new Map<string, Hashrate>();
  /** By contract. */
  readonly #destinations = new Map<string, string>();

  constructor(options: DestinationWorkOptions, deps: { readonly clock: Clock; readonly meters: Meters }) {
    this.#options = options;
    this.#deps = deps;
    this.#meters = deps.meters;
  }

  /** A contract is mined for there from now on. Its work from before is counted there too. */
  assign(contractId: string, destination: string): void {
    this.#destinations.set(contractId, destination);
  }

  /** After a part of a batch was durable. */
  add({ stream, workHashes }: CreditPart): void {
    const name = this.destinationOf(stream);
    if (name === undefined) return;
    let hashrate = this.#hashrates.get(name);
    if (hashrate === undefined) {
      hashrate = new Hashrate(this.#deps);
      this.#hashrates.set(name, hashrate);
    }
    hashrate.add(Number(workHashes));
  }

  /** Shares and work since the ledger was made. */
  total(name: string): StreamTotal {
    const total = { seq: 0, workHashes: 0n };
    for (const stream of this.#meters.streams()) {
      if (this.destinationOf(stream) !== name) continue;
      const { seq, workHashes } = this.#meters.total(stream);
      total.seq += seq;
      total.workHashes += workHashes;
    }
    return total;
  }

  rates(name: string): Hashrates | undefined {
    return this.#hashrates.get(name)?.rates();
  }

  /** Undefined for a contract's stream when no destination is for contracts any more. */
  destinationOf(stream: string): string | undefined {
    if (stream.startsWith(OWN)) return stream.slice(OWN.length);
    return this.#destinations.get(stream) ?? this.#options.contract;
  }
}

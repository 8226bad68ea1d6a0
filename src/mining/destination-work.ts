import type { Clock } from '../base/clock.ts';
import { Hashrate, type Hashrates } from '../work/hashrate.ts';
import type { CreditPart, Meters, StreamTotal } from '../work/meters.ts';

const OWN = 'own:';

/** The evidence stream of work for the miner's own destination. */
export function ownStream(name: string): string {
  return `${OWN}${name}`;
}

export type DestinationWorkOptions = {
  readonly names: readonly string[];
  /** The destination of contracts: every stream that is not a destination's own is one. */
  readonly contract: string | undefined;
};

/** What was credited for each destination: exact sums over its streams, and the hashrate there. */
export class DestinationWork {
  readonly #options: DestinationWorkOptions;
  readonly #meters: Meters;
  readonly #hashrates: ReadonlyMap<string, Hashrate>;

  constructor(options: DestinationWorkOptions, deps: { readonly clock: Clock; readonly meters: Meters }) {
    this.#options = options;
    this.#meters = deps.meters;
    this.#hashrates = new Map(options.names.map((name) => [name, new Hashrate(deps)]));
  }

  /** After a part of a batch was durable. */
  add({ stream, workHashes }: CreditPart): void {
    this.#hashrates.get(this.destinationOf(stream) ?? '')?.add(Number(workHashes));
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
    return stream.startsWith(OWN) ? stream.slice(OWN.length) : this.#options.contract;
  }
}

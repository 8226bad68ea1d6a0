import { SerialQueue } from '../base/serial-queue.ts';
import type { FundingSide } from '../channel/funding.ts';
import { outpointName } from '../settlement/opening.ts';

/**
 * Coins of the miner's wallet that its contracts have chosen for their fundings: makers open beside each
 * other, and no two contracts may promise the same coin.
 */
export class ChosenCoins {
  readonly #serial = new SerialQueue();
  readonly #chosen = new Map<string, ReadonlySet<string>>();

  /** Notes what a contract has chosen before. */
  note(contractId: string, { inputs }: Pick<FundingSide, 'inputs'>): void {
    this.#chosen.set(contractId, new Set(inputs.map(outpointName)));
  }

  /** The coins of a contract that can be funded no more are free for others. */
  release(contractId: string): void {
    this.#chosen.delete(contractId);
  }

  /** Chooses for one contract after another. @param choose by the coins of the others */
  choose(
    contractId: string,
    choose: (reserved: ReadonlySet<string>) => Promise<FundingSide>,
  ): Promise<FundingSide> {
    return this.#serial.run(async () => {
      const others = [...this.#chosen].filter(([id]) => id !== contractId);
      const side = await choose(new Set(others.flatMap(([, coins]) => [...coins])));
      this.note(contractId, side);
      return side;
    });
  }
}

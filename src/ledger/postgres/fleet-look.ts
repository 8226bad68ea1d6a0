import { SerialQueue } from '../../base/serial-queue.ts';
import type { PostgresOptions } from './address.ts';
import { FleetReader } from './fleet-reader.ts';

/** Looks at all chains of a database, one after the other; after a lost connection by a new one. */
export class FleetLook {
  readonly #options: PostgresOptions;
  readonly #serial = new SerialQueue();
  #reader: FleetReader | undefined;

  /** Nothing is opened before it is asked. */
  constructor(options: PostgresOptions) {
    this.#options = options;
  }

  /** Throws as `FleetReader.open`, and what `work` does. */
  async ask<T>(work: (reader: FleetReader) => Promise<T>): Promise<T> {
    return await this.#serial.run(async () => {
      this.#reader ??= await FleetReader.open(this.#options);
      try {
        return await work(this.#reader);
      } catch (error) {
        const lost = this.#reader;
        this.#reader = undefined;
        await lost.close().catch(() => {});
        throw error;
      }
    });
  }

  async close(): Promise<void> {
    await this.#serial.run(async () => {
      await this.#reader?.close();
      this.#reader = undefined;
    });
  }
}

import { CodedError } from '../../base/errors.ts';
import type { PostgresServer } from './address.ts';
import { type ChainRow, readChain, readsOf } from './chain-access.ts';
import type { JournalReads } from './journal-reads.ts';
import { appliedOf, POSTGRES_MIGRATIONS } from './migrations.ts';
import type { Reads } from './postgres-writer.ts';
import { type LinkDeps, ServerLink } from './server-link.ts';
import { ConnectionLost } from './session.ts';

/** A look at a chain, also while its writer runs: what is committed is seen. A lost connection ends it. */
export class PostgresReader implements Reads {
  readonly #link: ServerLink;
  readonly #instance: string;

  private constructor(link: ServerLink, instance: string) {
    this.#link = link;
    this.#instance = instance;
  }

  /** Throws `ledger_version`, `ledger_settings`, `ledger_schema`, `ledger_io`. */
  static async open(server: PostgresServer, deps: LinkDeps): Promise<PostgresReader> {
    return await coded(async () => {
      const link = await ServerLink.open(server, deps);
      try {
        if ((await appliedOf(link.reader)) < POSTGRES_MIGRATIONS.length)
          throw new CodedError('ledger_schema', 'the database has no ledger of this version yet');
        await readChain(link.reader, server.instance);
        return new PostgresReader(link, server.instance);
      } catch (error) {
        link.destroy('not used');
        throw error;
      }
    });
  }

  get engine(): string {
    return `postgresql ${this.#link.version}`;
  }

  async read<T>(work: (reads: JournalReads) => Promise<T>): Promise<T> {
    return await coded(async () => await work(readsOf(this.#link.reader, await this.#chain())));
  }

  /** What one moment has of the chain, however long it is read. */
  async snapshot<T>(
    work: (reads: JournalReads, chain: ChainRow, link: ServerLink) => Promise<T>,
  ): Promise<T> {
    const session = this.#link.reader;
    return await coded(async () => {
      await session.query('BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
      try {
        const chain = await this.#chain();
        return await work(readsOf(session, chain), chain, this.#link);
      } finally {
        await session.query('ROLLBACK').catch(() => {});
      }
    });
  }

  async close(): Promise<void> {
    await this.#link.close();
  }

  #chain(): Promise<ChainRow> {
    return readChain(this.#link.reader, this.#instance);
  }
}

async function coded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ConnectionLost)) throw error;
    throw new CodedError('ledger_io', error.message, {}, { cause: error });
  }
}

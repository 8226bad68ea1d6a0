import { type Clock, systemClock, type Timers } from '../../base/clock.ts';
import { CodedError } from '../../base/errors.ts';
import { systemTimers } from '../../base/system-timers.ts';
import { type PostgresOptions, type PostgresServer, readServer } from './address.ts';
import { appliedOf, POSTGRES_MIGRATIONS } from './migrations.ts';
import { ServerLink } from './server-link.ts';
import { ConnectionLost, type Row } from './session.ts';

export type KeptLinkDeps = { readonly timers?: Timers; readonly clock?: Clock };

/** Connections for tables beside the chains, which may share them; made anew after a loss. */
export class KeptLink {
  readonly #server: PostgresServer;
  readonly #deps: Required<KeptLinkDeps>;
  #link: Promise<ServerLink> | undefined;

  /** Nothing is opened before it is asked. Throws as `readServer`. */
  constructor(options: PostgresOptions, { timers = systemTimers, clock = systemClock }: KeptLinkDeps = {}) {
    this.#server = readServer(options);
    this.#deps = { timers, clock };
  }

  get instance(): string {
    return this.#server.instance;
  }

  /** Answered when the standby has it, too. Throws `ledger_io`: it may have been carried out. */
  async write(text: string, values: readonly unknown[], name: string): Promise<readonly Row[]> {
    return await this.#ask((link) => link.write(text, values, name));
  }

  /** What is committed. Throws `ledger_io`. */
  async read(text: string, values: readonly unknown[] = []): Promise<readonly Row[]> {
    return await this.#ask((link) => link.reader.query(text, values));
  }

  async close(): Promise<void> {
    const link = await this.#link?.catch(() => undefined);
    this.#link = undefined;
    await link?.close();
  }

  async #ask(work: (link: ServerLink) => Promise<readonly Row[]>): Promise<readonly Row[]> {
    let link: ServerLink | undefined;
    try {
      this.#link ??= this.#open();
      link = await this.#link;
      return await work(link);
    } catch (error) {
      if (link === undefined || link.isLost) {
        link?.destroy('not used');
        this.#link = undefined;
      }
      if (!(error instanceof ConnectionLost)) throw error;
      throw new CodedError('ledger_io', error.message, {}, { cause: error });
    }
  }

  async #open(): Promise<ServerLink> {
    const link = await ServerLink.open(this.#server, this.#deps);
    if ((await appliedOf(link.reader)) === POSTGRES_MIGRATIONS.length) return link;
    link.destroy('not used');
    throw new CodedError('ledger_schema', 'the database has no tables of this version yet');
  }
}

/** A table's own link, or one that it shares with others: then whoever made it closes it, at the latest. */
export function linkOf(options: PostgresOptions | KeptLink, deps: KeptLinkDeps): KeptLink {
  return options instanceof KeptLink ? options : new KeptLink(options, deps);
}

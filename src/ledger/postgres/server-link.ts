import { type Clock, sleep, type Timer, type Timers } from '../../base/clock.ts';
import { CodedError } from '../../base/errors.ts';
import { hostPortText } from '../../base/host-port.ts';
import { oneAtATime } from '../../base/one-at-a-time.ts';
import type { PostgresHost } from '../../base/postgres-url.ts';
import type { PostgresServer } from './address.ts';
import { ConnectionLost, Session } from './session.ts';
import { checkSettings } from './settings.ts';

/** A query that takes longer has the server looked at, again and again. */
const LOOK_AFTER_MS = 5_000;
/** Signs of life in the time after which a silent writer is given up. */
const BEATS = 5;

export type LinkDeps = { readonly timers: Timers; readonly clock: Clock };

/** A primary, by two connections: one for commits, one for reads. Both are lost together. */
export class ServerLink {
  readonly host: PostgresHost;
  /** E.g. "15.18". */
  readonly version: string;
  readonly writer: Session;
  readonly reader: Session;
  readonly #server: PostgresServer;
  readonly #deps: LinkDeps;
  readonly #beats: Timer | undefined;

  private constructor(
    server: PostgresServer,
    deps: LinkDeps,
    parts: { readonly version: string; readonly writer: Session; readonly reader: Session },
  ) {
    this.#server = server;
    this.#deps = deps;
    this.version = parts.version;
    this.writer = parts.writer;
    this.reader = parts.reader;
    this.host = parts.writer.host;
    const { standbyMs } = server;
    if (standbyMs === undefined) return;
    this.#beats = deps.timers.every(
      standbyMs / BEATS,
      oneAtATime(() => this.#beat()),
    );
  }

  /**
   * The first of the servers that is a primary. Throws `ConnectionLost` where none is, and what
   * `checkSettings` throws of one that is.
   */
  static async open(server: PostgresServer, deps: LinkDeps): Promise<ServerLink> {
    const problems: string[] = [];
    for (const host of server.hosts) {
      let writer: Session | undefined;
      try {
        writer = await Session.open(server, host, server.standbyMs);
        if (await isFollower(writer)) throw new ConnectionLost('it follows another server');
        const version = await checkSettings(writer, server.isSingle);
        const reader = await Session.open(server, host);
        return new ServerLink(server, deps, { version, writer, reader });
      } catch (error) {
        writer?.destroy('not used');
        if (!(error instanceof ConnectionLost)) throw error;
        problems.push(`${hostPortText(host.host, host.port)}: ${error.message}`);
      }
    }
    throw new ConnectionLost(problems.join('; '));
  }

  get isLost(): boolean {
    return this.writer.isLost || this.reader.isLost;
  }

  /**
   * A query of the writer, however long it takes while the server answers others: one may wait for the
   * standby. A server that is gone, or follows another one, is let go of. Throws as `Session.query`.
   */
  async write(text: string, values: readonly unknown[] = [], name?: string) {
    const answered = new AbortController();
    void this.#watch(answered.signal);
    try {
      return await this.writer.query(text, values, name);
    } finally {
      answered.abort();
    }
  }

  /** The connections are gone at once. */
  destroy(why: string): void {
    this.#beats?.cancel();
    this.writer.destroy(why);
    this.reader.destroy(why);
  }

  async close(): Promise<void> {
    this.#beats?.cancel();
    await Promise.all([this.reader.close(), this.writer.close()]);
  }

  /** The writer is not silent: the server keeps its session, and the lock of its chain. */
  async #beat(): Promise<void> {
    try {
      await this.write('SELECT 1');
    } catch (error) {
      this.destroy((error as Error).message);
    }
  }

  async #watch(signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(this.#deps.timers, LOOK_AFTER_MS, signal);
      if (signal.aborted) return;
      const problem = await this.#problem();
      if (problem !== undefined && !signal.aborted) this.destroy(problem);
    }
  }

  async #problem(): Promise<string | undefined> {
    try {
      const probe = await Session.open(this.#server, this.host);
      const follows = await isFollower(probe);
      await probe.close();
      return follows ? 'it follows another server now' : undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }
}

/** Work with a primary, by connections of its own. Throws `ledger_io` where none answers. */
export async function linked<T>(
  server: PostgresServer,
  deps: LinkDeps,
  work: (link: ServerLink) => Promise<T>,
): Promise<T> {
  let link: ServerLink | undefined;
  try {
    link = await ServerLink.open(server, deps);
    return await work(link);
  } catch (error) {
    if (!(error instanceof ConnectionLost)) throw error;
    throw new CodedError('ledger_io', error.message, {}, { cause: error });
  } finally {
    await link?.close();
  }
}

async function isFollower(session: Session): Promise<boolean> {
  const [row] = await session.query('SELECT pg_is_in_recovery() AS follows');
  if (row === undefined) throw new CodedError('ledger_io', 'the server answers nothing');
  return row['follows'] === true;
}

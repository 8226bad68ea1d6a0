import * as net from 'node:net';
import { Client, DatabaseError } from 'pg';
import { CodedError } from '../../base/errors.ts';
import type { PostgresHost } from '../../base/postgres-url.ts';
import { SerialQueue } from '../../base/serial-queue.ts';
import type { PostgresServer } from './address.ts';

/** A server that has not let us in by then is not there. */
const CONNECT_MS = 5_000;
const KEEP_ALIVE_MS = 10_000;
/** For every session; a commit is answered only when the standby has it, too. */
const SETTINGS = [
  'synchronous_commit=on',
  'statement_timeout=0',
  'lock_timeout=0',
  'idle_in_transaction_session_timeout=0',
  'default_transaction_isolation=read\\ committed',
  'search_path=pg_catalog',
  'client_min_messages=warning',
];

export type Row = Readonly<Record<string, unknown>>;

/** One connection to one server. Queries run one behind the other; once it is lost it stays so. */
export class Session {
  readonly host: PostgresHost;
  readonly #client: Client;
  readonly #socket: net.Socket;
  readonly #queue = new SerialQueue();
  #lost: string | undefined;
  #warning: string | undefined;

  private constructor(host: PostgresHost, client: Client, socket: net.Socket) {
    this.host = host;
    this.#client = client;
    this.#socket = socket;
    client.on('error', (error) => this.destroy(error.message));
    client.on('end', () => this.destroy('the connection was closed'));
    client.on('notice', ({ message }) => {
      this.#warning = message ?? 'a warning';
    });
  }

  /**
   * Throws `ledger_io`.
   * @param idleMs the server ends it, and frees its locks, once it was silent for so long; 0: never
   */
  static async open(server: PostgresServer, host: PostgresHost, idleMs = 0): Promise<Session> {
    const socket = new net.Socket();
    const { database, user, password, tls, instance } = server;
    const client = new Client({
      ...{ host: host.host, port: host.port, database, user, stream: () => socket },
      ...(password === undefined ? {} : { password }),
      ssl: tls === undefined ? false : { ...tls, rejectUnauthorized: true, minVersion: 'TLSv1.2' },
      ...{
        connectionTimeoutMillis: CONNECT_MS,
        keepAlive: true,
        keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      },
      application_name: `sharestream ${instance}`,
      options: [...SETTINGS, `idle_session_timeout=${idleMs}`].map((setting) => `-c ${setting}`).join(' '),
    });
    const session = new Session(host, client, socket);
    try {
      await client.connect();
      return session;
    } catch (error) {
      session.destroy((error as Error).message);
      throw session.#toError(error);
    }
  }

  get isLost(): boolean {
    return this.#lost !== undefined;
  }

  /**
   * Throws `ConnectionLost` where nobody knows whether it was carried out, `ledger_io` where it was not.
   * @param name of a statement that is prepared once
   */
  query(text: string, values: readonly unknown[] = [], name?: string): Promise<readonly Row[]> {
    return this.#queue.run(() => this.#run(text, values, name));
  }

  async #run(text: string, values: readonly unknown[], name: string | undefined): Promise<readonly Row[]> {
    if (this.#lost !== undefined) throw new ConnectionLost(this.#lost);
    this.#warning = undefined;
    try {
      // Without values several statements may stand behind each other.
      const words = values.length === 0 ? { text } : { text, values: [...values] };
      const result = await this.#client.query<Row>(name === undefined ? words : { ...words, name });
      // A wait for the standby that was cut short is answered with success, and a warning.
      if (this.#warning !== undefined) throw new ConnectionLost(this.#warning);
      return result.rows;
    } catch (error) {
      const coded = this.#toError(error);
      if (coded instanceof ConnectionLost) this.destroy(coded.message);
      throw coded;
    }
  }

  /** The connection is gone at once; what was asked for is unknown. */
  destroy(why: string): void {
    this.#lost ??= why;
    this.#socket.destroy();
  }

  async close(): Promise<void> {
    if (this.isLost) return;
    await this.#client.end().catch(() => {});
    this.destroy('closed');
  }

  #toError(error: unknown): CodedError | ConnectionLost {
    if (error instanceof CodedError || error instanceof ConnectionLost) return error;
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof DatabaseError && !isPassing(error.code ?? ''))
      return new CodedError('ledger_io', message, { sqlstate: error.code }, { cause: error });
    return new ConnectionLost(this.#lost ?? message, { cause: error });
  }
}

/** SQLSTATE of what `Session.query` threw; undefined for anything else. */
export function sqlStateOf(error: unknown): string | undefined {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause instanceof DatabaseError ? cause.code : undefined;
}

/** The connection is of no use any more, and what was asked for last may have been carried out or not. */
export class ConnectionLost extends Error {}

/**
 * Errors that another connection may not meet: of the connection (08), no more places (53300), a transaction
 * that only reads since the server follows another (25006), rolled back for others (40), locked (55), and a
 * server that stops, starts or was asked to cancel (57).
 */
function isPassing(sqlState: string): boolean {
  return /^(?:08|40|55|57)/.test(sqlState) || sqlState === '53300' || sqlState === '25006';
}

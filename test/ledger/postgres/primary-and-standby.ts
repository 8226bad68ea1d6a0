import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import type { PostgresOptions } from '../../../src/ledger/postgres/address.ts';
import { OWNER, PostgresProcess, until } from './postgres-server.ts';

/** The database of the tests. */
export const DATABASE = 'sharestream';

/** A primary and its synchronous standby: what one has acknowledged, both have. */
export class PostgresStand {
  readonly #root = fs.mkdtempSync(path.join(os.tmpdir(), 'sharestream-postgres-'));
  readonly #all: PostgresProcess[] = [];
  #primary!: PostgresProcess;
  #standby!: PostgresProcess;
  #instances = 0;

  async start(settings = ''): Promise<void> {
    this.#primary = await PostgresProcess.create(path.join(this.#root, 'a'), settings);
    this.#all.push(this.#primary);
    await this.#primary.start();
    await this.#primary.query(`CREATE DATABASE ${DATABASE}`);
    await this.addStandby();
    await this.#primary.set({ synchronous_standby_names: "'*'" });
  }

  get primary(): PostgresProcess {
    return this.#primary;
  }

  get standby(): PostgresProcess {
    return this.#standby;
  }

  /** A new standby of the primary, which follows it when this resolves. */
  async addStandby(): Promise<void> {
    const folder = path.join(this.#root, `s${this.#all.length}`);
    this.#standby = await PostgresProcess.follow(this.#primary, folder);
    this.#all.push(this.#standby);
    await this.#standby.start();
    await this.followed();
  }

  /** The primary has a standby that follows it. */
  async followed(): Promise<void> {
    const followers = "SELECT FROM pg_stat_replication WHERE state = 'streaming'";
    await until(async () => (await this.#primary.query(followers)).length > 0);
  }

  /** The standby is the primary from here on. */
  async failOver(): Promise<void> {
    await this.#standby.promote();
    this.#primary = this.#standby;
  }

  /** Where a ledger of its own is; all servers that ever were are named. */
  options(instance = this.newInstance()): PostgresOptions {
    const places = this.#all.map(({ port }) => `127.0.0.1:${port}`).join(',');
    return { url: `postgres://${OWNER}@${places}/${DATABASE}`, instance };
  }

  newInstance(): string {
    this.#instances += 1;
    return `ledger-${this.#instances}`;
  }

  /** By the owner, in the database of the ledgers. */
  async sql(text: string): Promise<readonly Record<string, unknown>[]> {
    return await this.#primary.query(text, { database: DATABASE });
  }

  async stop(): Promise<void> {
    for (const server of this.#all) {
      await server.resume().catch(() => {});
      await server.kill();
    }
    fs.rmSync(this.#root, { recursive: true, force: true, maxRetries: 5 });
  }
}

import { expect } from 'vitest';
import { codeOf } from '../../../src/base/errors.ts';
import type { Ledger } from '../../../src/ledger/ledger.ts';
import type { PostgresOptions } from '../../../src/ledger/postgres/address.ts';
import { openPostgresLedger } from '../../../src/ledger/postgres/postgres-ledger.ts';
import { verifyPostgresLedger } from '../../../src/ledger/postgres/verify.ts';
import { silentLogger } from '../../../src/log/logger.ts';

const LANES = 8;
const SHARES = 5;

/** Appends without end, eight at a time: a job, shares that follow those before, and their total. */
export class Load {
  readonly acknowledged: number[] = [];
  readonly refused: string[] = [];
  readonly #ledger: Ledger;
  #next: number;
  #isStopped = false;
  #wakers: (() => void)[] = [];
  readonly #lanes: Promise<void>[];

  constructor(ledger: Ledger, first = 0) {
    this.#ledger = ledger;
    this.#next = first;
    this.#lanes = Array.from({ length: LANES }, () => this.#run());
  }

  /** Resolves once so many more were acknowledged, or it has ended. */
  async more(count: number): Promise<void> {
    const wanted = this.acknowledged.length + count;
    while (this.acknowledged.length < wanted && this.refused.length === 0)
      await new Promise<void>((resolve) => this.#wakers.push(resolve));
  }

  /** Resolves when all that was appended is answered. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    await Promise.all(this.#lanes);
  }

  async #run(): Promise<void> {
    while (!this.#isStopped && this.refused.length === 0) {
      const number = this.#next;
      this.#next += 1;
      const first = number * SHARES;
      const body = new Uint8Array(SHARES * 80).fill(number % 256);
      try {
        await this.#ledger.append([
          { type: 'insert', kind: 'job', id: `${number}`.padStart(8, '0'), body: `job ${number}` },
          { type: 'log', kind: 'share', stream: 's', first, count: SHARES, body },
          { type: 'put', kind: 'stream', id: 's', body: `${first + SHARES}` },
        ]);
        this.acknowledged.push(number);
      } catch (error) {
        this.refused.push(codeOf(error));
      }
      for (const wake of this.#wakers.splice(0)) wake();
    }
  }
}

/** The number of the append that goes on behind those that are there. */
export async function nextOf(ledger: Ledger): Promise<number> {
  return Number((await ledger.get('stream', 's')) ?? 0) / SHARES;
}

/** Every append is there as a whole, once, in order and without a gap. Returns how many there are. */
export async function wholeAppends(options: PostgresOptions): Promise<number> {
  expect(await verifyPostgresLedger(options)).toMatchObject({ ok: true });
  const ledger = await openPostgresLedger({ ...options, readOnly: true }, { log: silentLogger });
  const jobs = await ledger.list('job');
  const rows = await ledger.readLog('share', 's', 0, 1_000_000);
  expect(rows.map((row) => row.first)).toEqual(jobs.map((_, index) => index * SHARES));
  expect(jobs.map((job) => job.body)).toEqual(jobs.map((_, index) => `job ${index}`));
  expect(Number((await ledger.get('stream', 's')) ?? 0)).toBe(jobs.length * SHARES);
  await ledger.close();
  return jobs.length;
}

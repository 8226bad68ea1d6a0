import { backoffMs } from '../../base/backoff.ts';
import { equal } from '../../base/bytes.ts';
import { type Random, sleep } from '../../base/clock.ts';
import { CodedError } from '../../base/errors.ts';
import { nameOf } from '../admit.ts';
import { OP_CODES, readFrame } from '../frame.ts';
import type { CommitRequest, CommitResult } from '../writer-messages.ts';
import type { PostgresServer } from './address.ts';
import { type ChainRow, ownChain, readsOf, resumeChain, takeChain } from './chain-access.ts';
import {
  type Batch,
  COMMIT_BATCH,
  COMMIT_FENCED,
  dayOf,
  type Frames,
  type Head,
  type Lookup,
  makeBatch,
} from './commit.ts';
import { type JournalReads, textOf } from './journal-reads.ts';
import { migrate } from './migrations.ts';
import { type LinkDeps, ServerLink } from './server-link.ts';
import { ConnectionLost, sqlStateOf } from './session.ts';

/** An opening that the standby does not confirm by then is given up. */
const OPEN_MS = 10_000;
/** A read that finds no server by then is refused. */
const READ_MS = 30_000;
const RETRY = { baseMs: 100, maxMs: 500 };
/** SQLSTATE of a row that no partition takes. */
const CHECK_VIOLATION = '23514';

export type WriterDeps = LinkDeps & {
  readonly random: Random;
  /** The connection was lost, or is there again. */
  readonly onLink: (isUp: boolean, detail: string) => void;
};

/** What reads go through. */
export interface Reads {
  readonly engine: string;
  read<T>(work: (reads: JournalReads) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

type Up = { readonly link: ServerLink; readonly chain: ChainRow };

/** What a transaction does to the head of the chain. */
type Move = {
  readonly to: Head;
  /** Carries it out; nothing of it is there where it throws `CodedError`. */
  readonly run: (up: Up) => Promise<void>;
};

/**
 * The one writer of a chain. A lost connection is no failure: it goes on with another one, and what became of
 * the commit under way is read from the head of the chain, never guessed.
 */
export class PostgresWriter implements Reads {
  readonly #server: PostgresServer;
  readonly #deps: WriterDeps;
  readonly #owner: Uint8Array;
  readonly #stop = new AbortController();
  /** Where each log ends; filled as streams are met. */
  readonly #ends = new Map<string, number>();
  #up: Up;
  #rising: Promise<Up> | undefined;
  #opening: ServerLink | undefined;
  /** The newest that is known to be committed, and where the commit under way leads. */
  #head: Head;
  #next: Head | undefined;
  #day: string | undefined;

  private constructor(server: PostgresServer, deps: WriterDeps, owner: Uint8Array, up: Up) {
    this.#server = server;
    this.#deps = deps;
    this.#owner = owner;
    this.#up = up;
    this.#head = up.chain.head;
  }

  /** Throws as `openPostgresLedger`. */
  static async open(server: PostgresServer, nowMs: number, deps: WriterDeps): Promise<PostgresWriter> {
    const owner = deps.random.bytes(16);
    let link: ServerLink | undefined;
    const opened = new AbortController();
    try {
      link = await ServerLink.open(server, deps);
      const late = link;
      void sleep(deps.timers, OPEN_MS, opened.signal).then(() => {
        if (!opened.signal.aborted) late.destroy('a commit is not confirmed: is the standby there?');
      });
      await migrate(link.writer, nowMs);
      const chain = await takeChain(link, server.instance, owner);
      return new PostgresWriter(server, deps, owner, { link, chain });
    } catch (error) {
      link?.destroy('not used');
      if (!(error instanceof ConnectionLost)) throw error;
      throw new CodedError('ledger_io', error.message, {}, { cause: error });
    } finally {
      opened.abort();
    }
  }

  /** E.g. "postgresql 15.18". */
  get engine(): string {
    return `postgresql ${this.#up.link.version}`;
  }

  /** Counts the connections that ever wrote this chain; that of a later opening is higher. */
  get epoch(): number {
    return this.#up.chain.epoch;
  }

  get head(): Head {
    return this.#head;
  }

  /**
   * Writes every append of the frames that has no conflict; returns when it is on disk, on the standby too.
   * Anything thrown ends this writer.
   */
  async commit(requests: readonly CommitRequest[]): Promise<readonly CommitResult[]> {
    const frames = requests.map(({ buffer, size }) => [...readFrame(Buffer.from(buffer, 0, size))]);
    const lookup = await this.#lookUp(frames);
    const lost = new Map<string, number>();
    for (;;) {
      const batch = makeBatch(frames, this.#head, requests.at(-1)!.nowMs, lookup, lost);
      try {
        if (batch.statement !== undefined) await this.move(batch.head, (up) => this.writeBatch(up, batch));
        for (const [name, end] of batch.ends) this.#ends.set(name, end);
        return batch.results;
      } catch (error) {
        // Nothing was written: what is under other leases, or none, goes by itself.
        if (!(error instanceof LeasesLost)) throw error;
        for (const [resource, token] of error.leases) lost.set(resource, token);
      }
    }
  }

  /** Carries out what leads to a new head, once, over as many connections as that takes. */
  async move(to: Head, run: Move['run']): Promise<void> {
    this.#next = to;
    for (;;) {
      const up = await this.#rise();
      if (equal(this.#head.hash, to.hash)) break;
      try {
        await run(up);
        break;
      } catch (error) {
        if (error instanceof LeasesLost) this.#next = undefined;
        if (!(error instanceof ConnectionLost)) throw error;
        up.link.destroy(error.message);
      }
    }
    this.#head = to;
    this.#next = undefined;
  }

  /** Part of a `move`: one batch by itself. Throws as `writeRows`. */
  async writeBatch(up: Up, batch: Batch): Promise<void> {
    const { atMs } = batch.head;
    await this.ensureDay(up, atMs);
    try {
      await this.writeRows(up, batch);
    } catch (error) {
      // All others had let go of that day, and it was dropped.
      if (sqlStateOf(error) !== CHECK_VIOLATION) throw error;
      this.#day = undefined;
      await this.ensureDay(up, atMs);
      await this.writeRows(up, batch);
    }
  }

  /** Rows of that time have a partition. */
  async ensureDay({ link }: Up, atMs: number): Promise<void> {
    const day = dayOf(atMs);
    if (this.#day === day) return;
    await link.write('SELECT sharestream.make_day($1)', [day]);
    this.#day = day;
  }

  /** Throws `ledger_locked` where another writer has the chain, and `LeasesLost`. */
  async writeRows({ link, chain }: Up, { statement, leases }: Batch): Promise<void> {
    const values = [chain.number, chain.epoch, ...statement!];
    const [row] =
      leases.size === 0
        ? await link.write(COMMIT_BATCH, values, 'commit')
        : await link.write(COMMIT_FENCED, values, 'commit_fenced');
    if (row?.['heads'] === 1) return;
    const held = new Set(Array.isArray(row?.['held']) ? row['held'].map(textOf) : []);
    const lost = [...leases].filter(([resource]) => !held.has(resource));
    if (lost.length > 0) throw new LeasesLost(lost);
    throw new CodedError('ledger_locked', 'another program has taken over this ledger');
  }

  /** A read by the connection that there is, tried again where it is lost. Throws `ledger_io`. */
  async read<T>(work: (reads: JournalReads, up: Up) => Promise<T>): Promise<T> {
    const untilMs = this.#deps.clock.monotonicMs() + READ_MS;
    for (;;) {
      const up = await this.#riseUntil(untilMs);
      try {
        return await work(readsOf(up.link.reader, up.chain), up);
      } catch (error) {
        if (!(error instanceof ConnectionLost)) throw error;
        up.link.destroy(error.message);
      }
    }
  }

  /** Up to that row the chain was let go of. */
  letGoOf(letGo: Head): void {
    this.#up = { ...this.#up, chain: { ...this.#up.chain, letGo } };
  }

  /** What is under way is not waited for any longer. */
  destroy(why: string): void {
    this.#stop.abort();
    this.#up.link.destroy(why);
    this.#opening?.destroy(why);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#up.link.close();
  }

  async #lookUp(frames: Frames): Promise<Lookup> {
    const logs = new Map<string, { kind: string; key: string }>();
    const inserts = new Map<string, { kind: string; key: string }>();
    for (const { op, kind, key } of frames.flat(2)) {
      const name = nameOf(kind, key);
      if (op === OP_CODES.log && !this.#ends.has(name)) logs.set(name, { kind, key });
      if (op === OP_CODES.insert) inserts.set(name, { kind, key });
    }
    if (logs.size > 0) {
      const found = await this.read((reads) => reads.logEnds([...logs.values()]));
      [...logs.keys()].forEach((name, index) => {
        this.#ends.set(name, Number(found[index]!['end']));
      });
    }
    const bodies =
      inserts.size === 0
        ? new Map<string, Uint8Array>()
        : await this.read((reads) => reads.bodies([...inserts.values()]));
    return { ends: this.#ends, bodies };
  }

  async #riseUntil(untilMs: number): Promise<Up> {
    if (!this.#up.link.isLost) return this.#up;
    const stop = new AbortController();
    const waitMs = Math.max(0, untilMs - this.#deps.clock.monotonicMs());
    const late = sleep(this.#deps.timers, waitMs, stop.signal).then(() => {
      throw new CodedError('ledger_io', 'no server of the ledger answers');
    });
    late.catch(() => {});
    try {
      return await Promise.race([this.#rise(), late]);
    } finally {
      stop.abort();
    }
  }

  /** The connection that there is, or the next one. Throws what ends this writer. */
  async #rise(): Promise<Up> {
    if (!this.#up.link.isLost) return this.#up;
    this.#rising ??= this.#connect().finally(() => {
      this.#rising = undefined;
    });
    return await this.#rising;
  }

  async #connect(): Promise<Up> {
    const { timers, random, onLink } = this.#deps;
    let said = '';
    for (let attempt = 0; ; attempt += 1) {
      if (this.#stop.signal.aborted) throw new CodedError('ledger_io', 'closed while no server answered');
      let link: ServerLink | undefined;
      try {
        link = await ServerLink.open(this.#server, this.#deps);
        this.#opening = link;
        const { number } = this.#up.chain;
        // One that lacks rows is found out before its standby is waited for.
        this.#checkHead((await ownChain(link, number, this.#owner)).head);
        const chain = await resumeChain(link, number, this.#owner);
        if (this.#checkHead(chain.head)) this.#head = chain.head;
        this.#up = { link, chain };
        onLink(true, `${link.host.host}:${link.host.port}`);
        return this.#up;
      } catch (error) {
        link?.destroy('not used');
        if (error instanceof CodedError && ENDS.has(error.code)) throw error;
        const { message } = error as Error;
        if (message !== said) onLink(false, message);
        said = message;
      }
      await sleep(timers, backoffMs(RETRY, attempt, random), this.#stop.signal);
    }
  }

  /** True where the chain has the commit that was under way, false where it is as before. */
  #checkHead(found: Head): boolean {
    if (this.#next !== undefined && equal(found.hash, this.#next.hash)) return true;
    if (!equal(found.hash, this.#head.hash))
      throw new CodedError(
        'ledger_corrupt',
        `the server ends at row ${found.seq}, not ${this.#head.seq}: it became the primary without rows that were acknowledged`,
      );
    return false;
  }
}

/** Tokens of a batch are not the newest of their leases: nothing of it was written. */
class LeasesLost extends Error {
  readonly leases: readonly (readonly [string, number])[];

  constructor(leases: readonly (readonly [string, number])[]) {
    super('leases of the batch are over');
    this.leases = leases;
  }
}

/** What no other connection will change. */
const ENDS: ReadonlySet<string> = new Set(['ledger_locked', 'ledger_corrupt']);

import { assert } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';
import { memo } from '../base/memo.ts';
import type { Lease } from '../ledger/lease.ts';
import type { Ledger, LedgerEntry, LedgerLogRow } from '../ledger/ledger.ts';
import type { FleetReader, Gathered } from '../ledger/postgres/fleet-reader.ts';
import { shareTargetOf } from '../shares/share.ts';
import { JOB_KIND, SHARE_KIND, SHARE_RECORD_SIZE, STREAM_KIND, unpackShares } from '../work/evidence.ts';
import type { StreamTotal } from '../work/meters.ts';
import {
  MEMBER_KIND,
  NO_ORDER,
  ORDER_KIND,
  ORDER_PART_KIND,
  type Order,
  type OrderPart,
  orderStream,
  type Place,
  parseMember,
  parseOrder,
  parsePart,
  parseRuns,
  printOrder,
  printPart,
  printRuns,
  type Run,
  SLICES_KIND,
} from './evidence-order.ts';
import { NO_SLICES, parseSlices, type SlicesState, slicesToJson, transition } from './exposure-slices.ts';

export type SharedEvidenceDeps = {
  /** The own chain, whose appends are under the lease. */
  readonly ledger: Ledger;
  /** Asks of all chains, one question after the other. */
  readonly ask: <T>(work: (reader: FleetReader) => Promise<T>) => Promise<T>;
};

/** What may be delivered now, by the books of the contract. */
export type Room = { readonly isLive: boolean; readonly hashes: bigint };

/** Rows of each instance in one pull, and bytes of the newest evidence that are kept in memory. */
const ROWS_PER_PULL = 128;
const KEPT_BYTES = 8 * 1024 * 1024;
/** Rows of an order that are read at once. */
const ORDER_ROWS = 16;

/**
 * The evidence of all instances under one contract, as its owner has it: in one order, which only grows. What
 * is in order is on disk before anybody is told of it.
 */
export class SharedEvidence {
  readonly #contractId: string;
  readonly #own: string;
  readonly #lease: Lease;
  readonly #deps: SharedEvidenceDeps;
  readonly #workOf = memo(1024, (difficulty: number) => shareTargetOf(difficulty).workHashes);
  #order: Order;
  #slices: SlicesState;
  /** Oldest first; the last is the own one, once it has a row. */
  readonly #parts: OrderPart[];
  /** The newest rows, in order. */
  readonly #kept: LedgerLogRow[] = [];
  #keptBytes = 0;

  private constructor(
    contractId: string,
    { own, lease }: { readonly own: string; readonly lease: Lease },
    known: { readonly order: Order; readonly slices: SlicesState; readonly parts: OrderPart[] },
    deps: SharedEvidenceDeps,
  ) {
    this.#contractId = contractId;
    this.#own = own;
    this.#lease = lease;
    this.#order = known.order;
    this.#slices = known.slices;
    this.#parts = known.parts;
    this.#deps = deps;
  }

  /**
   * Reads what was brought into the own chain. Throws `ledger_corrupt`.
   * @param by the own instance, and the lease under which it is
   */
  static async load(
    contractId: string,
    by: { readonly own: string; readonly lease: Lease },
    deps: SharedEvidenceDeps,
  ): Promise<SharedEvidence> {
    const { ledger } = deps;
    const order = await ledger.get(ORDER_KIND, contractId);
    const slices = await ledger.get(SLICES_KIND, contractId);
    const parts = (await ledger.list(ORDER_PART_KIND, `${contractId}:`)).map(({ id, body }) =>
      parsePart(id, body),
    );
    const known = {
      order: order === undefined ? NO_ORDER : parseOrder(order),
      slices: slices === undefined ? NO_SLICES : parseSlices(slices),
      parts,
    };
    return new SharedEvidence(contractId, by, known, deps);
  }

  get total(): StreamTotal {
    const { seq, workHashes } = this.#order;
    return { seq, workHashes };
  }

  get order(): Order {
    return this.#order;
  }

  /**
   * Takes what is new in all chains, and grants more to each instance that is there. Resolves once it is on
   * disk, with whether there may be more at once. Throws as `append`, and as the reader.
   */
  async pull(room: Room): Promise<boolean> {
    const { ask, ledger } = this.#deps;
    const contractId = this.#contractId;
    const next = new Map([...this.#order.places].map(([instance, place]) => [instance, place.next]));
    const documents = [{ kind: MEMBER_KIND, id: contractId }];
    const log = { kind: SHARE_KIND, stream: contractId };
    const gathered = await ask((reader) => reader.gather(log, documents, next, ROWS_PER_PULL));
    const { runs, rows, order } = this.#taken(gathered);
    const isAll = gathered.every((each) => each.rows.length < ROWS_PER_PULL);
    // Of the room the books take what is new at once.
    const newHashes = order.workHashes - this.#order.workHashes;
    const slices = this.#shared(gathered, order, isAll, room.hashes - newHashes);
    const members = gathered.filter(({ bodies: [body] }) => isThere(body)).length;
    const after = { ...order, isLive: room.isLive, sliceHashes: sliceOf(room.hashes, members) };
    const entries = this.#entries(runs, after, slices);
    if (entries.length === 0) return !isAll;
    await ledger.appendNow(entries);
    this.#order = after;
    this.#slices = slices;
    if (runs.length > 0 && this.#parts.at(-1)?.token !== this.#lease.token)
      this.#parts.push(this.#part(rows));
    this.#keep(rows);
    return !isAll;
  }

  /** The own chain as the contract knows it: with the evidence of all instances, in order. */
  view(): Ledger {
    const { ledger } = this.#deps;
    const contractId = this.#contractId;
    return {
      ...{ engine: ledger.engine, stats: ledger.stats },
      append: (entries) => ledger.append(entries),
      appendNow: (entries) => ledger.appendNow(entries),
      get: async (kind, id) => {
        if (kind === STREAM_KIND && id === contractId && this.#order.seq > 0)
          return JSON.stringify({ seq: this.#order.seq, work: String(this.#order.workHashes) });
        const own = await ledger.get(kind, id);
        if (own !== undefined || kind !== JOB_KIND) return own;
        return await this.#deps.ask((reader) => reader.find({ kind, id }));
      },
      list: (kind, prefix) => ledger.list(kind, prefix),
      readLog: async (kind, stream, fromItem, maxRows) =>
        kind === SHARE_KIND && stream === contractId
          ? await this.#read(fromItem, maxRows)
          : await ledger.readLog(kind, stream, fromItem, maxRows),
      recentLog: (kind, bounds) => ledger.recentLog(kind, bounds),
      logRange: async (kind, stream) =>
        kind === SHARE_KIND && stream === contractId
          ? { first: 0, end: this.#order.seq }
          : await ledger.logRange(kind, stream),
      readLogSince: (kind, sinceMs, page) => ledger.readLogSince(kind, sinceMs, page),
      close: async () => {},
    };
  }

  /** All that was gathered, behind what is in order. */
  #taken(gathered: readonly Gathered[]): {
    readonly runs: readonly Run[];
    readonly rows: readonly LedgerLogRow[];
    readonly order: Order;
  } {
    const places = new Map(this.#order.places);
    const runs: Run[] = [];
    const out: LedgerLogRow[] = [];
    let { seq, workHashes } = this.#order;
    for (const { instance, rows } of gathered) {
      let place: Place = places.get(instance) ?? { next: 0, workHashes: 0n };
      const from = place.next;
      for (const row of rows) {
        if (row.first !== place.next || row.body.length !== row.count * SHARE_RECORD_SIZE)
          throw new CodedError('ledger_corrupt', `the shares of ${instance} have a gap at ${place.next}`);
        let rowHashes = 0n;
        for (const { difficulty } of unpackShares(row.body)) rowHashes += this.#workOf(difficulty);
        place = { next: row.first + row.count, workHashes: place.workHashes + rowHashes };
        out.push({ ...row, first: seq });
        seq += row.count;
        workHashes += rowHashes;
      }
      if (place.next === from) continue;
      runs.push({ instance, first: from, count: place.next - from });
      places.set(instance, place);
    }
    return { runs, rows: out, order: { ...this.#order, seq, workHashes, places } };
  }

  /** What is in order is counted; who is there is granted more of what is left. */
  #shared(
    gathered: readonly Gathered[],
    { places }: Order,
    isAll: boolean,
    limitHashes: bigint,
  ): SlicesState {
    let state = this.#slices;
    const there = gathered.filter(({ bodies: [body] }) => isThere(body));
    for (const [instance, { workHashes: countedHashes }] of places)
      state = transition(FREE, state, { type: 'counted', instance, countedHashes }, 0).state;
    // A run that is over has no more evidence than there is in the same moment.
    if (!isAll) return state;
    const options = { limitHashes, sliceHashes: sliceOf(limitHashes, there.length) };
    for (const { instance, bodies } of gathered) {
      const doneHashes = places.get(instance)?.workHashes ?? 0n;
      const member = bodies[0] === undefined ? undefined : parseMember(bodies[0]);
      if (member?.isLeft === true)
        state = transition(options, state, { type: 'ended', instance, doneHashes }, 0).state;
      else if (member !== undefined) {
        const event = { type: 'asked', instance, run: member.run, doneHashes } as const;
        state = transition(options, state, event, 0).state;
      }
    }
    return state;
  }

  #entries(runs: readonly Run[], after: Order, slices: SlicesState): LedgerEntry[] {
    const id = this.#contractId;
    const order = printOrder(after);
    const shared = slicesToJson(slices);
    const out: LedgerEntry[] = [];
    if (runs.length > 0) {
      const { token } = this.#lease;
      const stream = orderStream(id, token);
      const own = this.#parts.at(-1)?.token === token ? this.#parts.at(-1) : undefined;
      const base = own?.first ?? this.#order.seq;
      if (own === undefined) {
        const body = printPart({ token, instance: this.#own, first: base });
        out.push({ type: 'insert', kind: ORDER_PART_KIND, id: stream, body });
      }
      const count = after.seq - this.#order.seq;
      const first = this.#order.seq - base;
      out.push({ type: 'log', kind: ORDER_KIND, stream, first, count, body: printRuns(runs) });
    }
    if (order !== printOrder(this.#order)) out.push({ type: 'put', kind: ORDER_KIND, id, body: order });
    if (shared !== slicesToJson(this.#slices))
      out.push({ type: 'put', kind: SLICES_KIND, id, body: shared });
    return out;
  }

  #part(rows: readonly LedgerLogRow[]): OrderPart {
    return { token: this.#lease.token, instance: this.#own, first: rows[0]!.first };
  }

  #keep(rows: readonly LedgerLogRow[]): void {
    for (const row of rows) {
      this.#kept.push(row);
      this.#keptBytes += row.body.length;
    }
    while (this.#keptBytes > KEPT_BYTES && this.#kept.length > 1)
      this.#keptBytes -= this.#kept.shift()!.body.length;
  }

  async #read(from: number, maxRows: number): Promise<LedgerLogRow[]> {
    if (from >= this.#order.seq) return [];
    const kept = this.#kept[0];
    if (kept !== undefined && from >= kept.first)
      return this.#kept.filter((row) => row.first + row.count > from).slice(0, maxRows);
    return await this.#deps.ask((reader) => this.#readOrdered(reader, from, maxRows));
  }

  /** By the rows of the order, and then those of the instances. */
  async #readOrdered(reader: FleetReader, fromSeq: number, maxRows: number): Promise<LedgerLogRow[]> {
    const part = this.#parts.findLast(({ first }) => first <= fromSeq);
    assert(part !== undefined, 'order_has_a_part_of_each_seq', { seq: fromSeq });
    const stream = orderStream(this.#contractId, part.token);
    const log = { kind: ORDER_KIND, stream };
    const ordered = await reader.rowsOf(part.instance, log, fromSeq - part.first, ORDER_ROWS);
    const out: LedgerLogRow[] = [];
    for (const row of ordered) {
      let seq = part.first + row.first;
      for (const run of parseRuns(row.body)) {
        const from = Math.max(0, fromSeq - seq);
        if (from < run.count) out.push(...(await this.#readRun(reader, run, seq, from)));
        seq += run.count;
        if (out.length >= maxRows) return out.slice(0, maxRows);
      }
    }
    if (out.length === 0) throw new CodedError('ledger_corrupt', `share ${fromSeq} is in no order`);
    return out;
  }

  async #readRun(reader: FleetReader, run: Run, seq: number, skipped: number): Promise<LedgerLogRow[]> {
    const log = { kind: SHARE_KIND, stream: this.#contractId };
    const from = run.first + skipped;
    const rows = await reader.rowsOf(run.instance, log, from, run.count);
    const out: LedgerLogRow[] = [];
    for (const row of rows) {
      const first = Math.max(row.first, run.first);
      const end = Math.min(row.first + row.count, run.first + run.count);
      if (first >= end) continue;
      const at = (first - row.first) * SHARE_RECORD_SIZE;
      const body = row.body.subarray(at, at + (end - first) * SHARE_RECORD_SIZE);
      out.push({ ...row, first: seq + first - run.first, count: end - first, body });
    }
    return out;
  }
}

const FREE = { limitHashes: 0n, sliceHashes: 0n };

function isThere(body: string | undefined): boolean {
  return body !== undefined && !parseMember(body).isLeft;
}

/** Of the room: as much for each that is there, and a part for whoever comes. */
function sliceOf(roomHashes: bigint, members: number): bigint {
  return roomHashes <= 0n ? 0n : roomHashes / BigInt(members + 1);
}

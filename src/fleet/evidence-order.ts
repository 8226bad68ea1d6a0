import { CodedError } from '../base/errors.ts';

/**
 * Kinds of records of a contract that several instances deliver under. Each instance has a log of evidence
 * in its own chain. The owner of the channel puts all of it into one order, which is what the maker knows:
 * rows of a log, of runs of items of the instances, and documents of where it stands.
 *
 * | kind | where | id, or stream | body |
 * |---|---|---|---|
 * | `order` | owner | log `<contract>:<token>`, an item for each share | `printRuns` |
 * | `order` | owner | document, the contract | `printOrder`: put with each row |
 * | `order_part` | owner | `<contract>:<token>`, token of 12 digits | insert: whose log, from which seq on |
 * | `slices` | owner | the contract | `slicesToJson`: put with the order |
 * | `member` | each | the contract | the run of an instance, and whether it left |
 */
export const ORDER_KIND = 'order';
export const ORDER_PART_KIND = 'order_part';
export const SLICES_KIND = 'slices';
export const MEMBER_KIND = 'member';

/** So many items of the log of an instance. */
export type Run = { readonly instance: string; readonly first: number; readonly count: number };

/** How far the evidence of one instance is in order: items, and their work. */
export type Place = { readonly next: number; readonly workHashes: bigint };

export type Order = {
  /** Seq of the next share under the contract. */
  readonly seq: number;
  readonly workHashes: bigint;
  readonly places: ReadonlyMap<string, Place>;
  /** Work may be delivered, as far as slices allow it. */
  readonly isLive: boolean;
  /** What each instance is to have in hand. */
  readonly sliceHashes: bigint;
};

/** Where the rows of an order are: in the chain of whoever had this token, from this seq on. */
export type OrderPart = { readonly token: number; readonly instance: string; readonly first: number };

export type Member = { readonly run: number; readonly isLeft: boolean };

export const NO_ORDER: Order = {
  ...{ seq: 0, workHashes: 0n, places: new Map(), isLive: false, sliceHashes: 0n },
};

const TOKEN_DIGITS = 12;

/** Stream of the rows of an order that were written under a token, and the id of its part. */
export function orderStream(contractId: string, token: number): string {
  return `${contractId}:${token.toString().padStart(TOKEN_DIGITS, '0')}`;
}

export function printRuns(runs: readonly Run[]): Uint8Array {
  return Buffer.from(JSON.stringify(runs.map(({ instance, first, count }) => [instance, first, count])));
}

/** Reads what `printRuns` made. Throws `ledger_corrupt`. */
export function parseRuns(body: Uint8Array): readonly Run[] {
  return read('the runs of an order', Buffer.from(body).toString('utf8'), (value) => {
    if (!Array.isArray(value)) throw new TypeError('no list');
    return value.map((each: unknown) => {
      const [instance, first, count] = each as readonly unknown[];
      return { instance: text(instance), first: whole(first), count: whole(count) };
    });
  });
}

export function printOrder({ seq, workHashes, places, isLive, sliceHashes }: Order): string {
  const of = [...places].map(([instance, { next, workHashes: work }]) => ({
    ...{ instance, next, work: String(work) },
  }));
  return JSON.stringify({
    ...{ version: 1, seq, work: String(workHashes), live: isLive, slice: String(sliceHashes) },
    places: of,
  });
}

/** Reads what `printOrder` made. Throws `ledger_corrupt`. */
export function parseOrder(body: string): Order {
  return read('an order', body, (value) => {
    const { version, seq, work, live, slice, places } = value as Readonly<Record<string, unknown>>;
    if (version !== 1 || typeof live !== 'boolean' || !Array.isArray(places))
      throw new TypeError('no order');
    return {
      ...{ seq: whole(seq), workHashes: amount(work), isLive: live, sliceHashes: amount(slice) },
      places: new Map(
        places.map((each: Readonly<Record<string, unknown>>) => [
          text(each['instance']),
          { next: whole(each['next']), workHashes: amount(each['work']) },
        ]),
      ),
    };
  });
}

export function printPart({ instance, first }: OrderPart): string {
  return JSON.stringify({ instance, first });
}

/** Reads what `printPart` made. Throws `ledger_corrupt`. */
export function parsePart(id: string, body: string): OrderPart {
  return read('a part of an order', body, (value) => {
    const { instance, first } = value as Readonly<Record<string, unknown>>;
    const token = whole(Number(id.slice(id.lastIndexOf(':') + 1)));
    return { token, instance: text(instance), first: whole(first) };
  });
}

export function printMember({ run, isLeft }: Member): string {
  return JSON.stringify({ run, left: isLeft });
}

/** Reads what `printMember` made. Throws `ledger_corrupt`. */
export function parseMember(body: string): Member {
  return read('a member', body, (value) => {
    const { run, left } = value as Readonly<Record<string, unknown>>;
    return { run: whole(run), isLeft: left === true };
  });
}

function read<T>(what: string, body: string, parse: (value: unknown) => T): T {
  try {
    return parse(JSON.parse(body));
  } catch (cause) {
    throw new CodedError('ledger_corrupt', `${what} cannot be read: ${String(cause)}`, {}, { cause });
  }
}

function text(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('no text');
  return value;
}

function whole(value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw new TypeError('no whole number');
  return value as number;
}

function amount(value: unknown): bigint {
  if (typeof value !== 'string' || !/^\d{1,40}$/.test(value)) throw new TypeError('no amount');
  return BigInt(value);
}

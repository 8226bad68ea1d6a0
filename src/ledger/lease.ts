import { CodedError } from '../base/errors.ts';
import type { LedgerEntry } from './ledger.ts';

/**
 * Leases: of what several instances may own, one at a time, on one ledger. Each time one is taken its token
 * is a higher one. An append under a lease carries the token as a document of this kind, so that the journal
 * tells by whom everything was written, and an engine for several instances refuses the append, in the commit
 * itself, where the token is not the newest (`lease_lost`).
 */
export const LEASE_KIND = 'lease';

/** A lease as its owner holds it: until when is for its own clock to say (`fleet/ownership.ts`). */
export type Lease = { readonly resource: string; readonly token: number };

/** Where the chain of the owner before ended, when what it wrote was read from it. */
export type LeaseOrigin = { readonly instance: string; readonly seq: number; readonly hash: string };

/** A row of the table of leases. */
export type LeaseRow = Lease & {
  readonly owner: string;
  /** Until another may take it, by the clock of the database; not above 0 where it may. */
  readonly leftMs: number;
  /** Who wrote last under it: where what belongs to the resource is. Undefined before the first write. */
  readonly home: string | undefined;
  /** Whom it is to be handed to, and for how long nobody else takes it. */
  readonly wanted: { readonly instance: string; readonly leftMs: number } | undefined;
};

/** A lease that was asked for: taken by the one who asks, or who has it. */
export type LeaseAnswer =
  | { readonly type: 'taken'; readonly lease: Lease }
  | { readonly type: 'held'; readonly owner: string; readonly leftMs: number };

/** The table of leases, by the clock of its database. Everything throws `ledger_io` where it is not there. */
export interface Leases {
  /**
   * Takes a lease that is free, over, or of an earlier run of this instance, with a new token.
   * @param forMs from when the database hears of it
   */
  take(resource: string, forMs: number): Promise<LeaseAnswer>;
  /** False where another has taken it: then it is lost for good. One that is over, and of nobody, goes on. */
  renew(lease: Lease, forMs: number): Promise<boolean>;
  /** Others may take it at once. One that is lost already stays as it is. */
  giveBack(lease: Lease): Promise<void>;
}

/** What an append under a lease carries. `from` stands in the first one after it was taken over. */
export function leaseEntry({ resource, token }: Lease, from?: LeaseOrigin): LedgerEntry {
  const body = JSON.stringify({ token, ...(from === undefined ? {} : { from }) });
  return { type: 'put', kind: LEASE_KIND, id: resource, body };
}

/** Reads what `leaseEntry` made. Throws `ledger_corrupt`. */
export function parseLeaseBody(body: Uint8Array | string): {
  readonly token: number;
  readonly from: LeaseOrigin | undefined;
} {
  try {
    const text = typeof body === 'string' ? body : Buffer.from(body).toString('utf8');
    const { token, from } = JSON.parse(text) as { token?: unknown; from?: unknown };
    if (!Number.isSafeInteger(token) || (token as number) < 1) throw new TypeError('a token is above 0');
    return { token: token as number, from: from === undefined ? undefined : parseOrigin(from) };
  } catch (cause) {
    throw new CodedError('ledger_corrupt', `a lease that cannot be read: ${String(cause)}`, {}, { cause });
  }
}

function parseOrigin(value: unknown): LeaseOrigin {
  const { instance, seq, hash } = value as Partial<Record<keyof LeaseOrigin, unknown>>;
  const isHash = typeof hash === 'string' && /^[0-9a-f]{64}$/.test(hash);
  if (typeof instance !== 'string' || !Number.isSafeInteger(seq) || !isHash)
    throw new TypeError('not where a chain ended');
  return { instance, seq: seq as number, hash };
}

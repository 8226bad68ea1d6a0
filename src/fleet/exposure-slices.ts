import { unreachable } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';

/**
 * What may be unpaid of a contract, shared out among instances that cannot see each other. All amounts are
 * hashes, cumulative from the beginning, and only rise: what comes late, twice or never does no harm, and
 * no clock is asked. Beyond what it was granted an instance mines to its own fallback.
 */
export type Slice = {
  /** It may have done so much work. */
  readonly grantedHashes: bigint;
  /** So much of its work is paid by states that were signed. */
  readonly paidHashes: bigint;
};

export type SlicesState = { readonly slices: ReadonlyMap<string, Slice> };

export type SlicesOptions = {
  /** What may be unpaid in all. */
  readonly limitHashes: bigint;
  /** What an instance is to have in hand, as far as the limit allows. */
  readonly sliceHashes: bigint;
};

export type SlicesEvent =
  /** An instance asks for more; so much it has done. */
  | { readonly type: 'asked'; readonly instance: string; readonly doneHashes: bigint }
  /** A state pays so much of the work of an instance. */
  | { readonly type: 'paid'; readonly instance: string; readonly paidHashes: bigint }
  /** It writes nothing any more: its chain was taken over, and has so much of its work. */
  | { readonly type: 'ended'; readonly instance: string; readonly doneHashes: bigint };

/** A slice is larger: to be told once it is on disk. */
export type SlicesEffect = {
  readonly type: 'granted';
  readonly instance: string;
  readonly grantedHashes: bigint;
};

export type SlicesStep = { readonly state: SlicesState; readonly effects: readonly SlicesEffect[] };

export const NO_SLICES: SlicesState = { slices: new Map() };
const NOTHING: Slice = { grantedHashes: 0n, paidHashes: 0n };

/** What may be unpaid by what was granted, whoever has done how much of it. */
export function grantedUnpaidHashes({ slices }: SlicesState): bigint {
  return [...slices.values()].reduce((sum, each) => sum + each.grantedHashes - each.paidHashes, 0n);
}

/** Whether an instance may give out work that may bring it to so much. */
export function mayMine(grantedHashes: bigint, doneHashes: bigint): boolean {
  return doneHashes <= grantedHashes;
}

/** The owner of the channel shares out: of all that is granted and not paid, never more than the limit. */
export function transition(
  options: SlicesOptions,
  state: SlicesState,
  event: SlicesEvent,
  _nowMs: number,
): SlicesStep {
  const { instance } = event;
  const slice = state.slices.get(instance) ?? NOTHING;
  switch (event.type) {
    case 'asked': {
      const freeHashes = options.limitHashes - grantedUnpaidHashes(state);
      const missingHashes = event.doneHashes + options.sliceHashes - slice.grantedHashes;
      const moreHashes = missingHashes < freeHashes ? missingHashes : freeHashes;
      // Also where it says that it did more than it may: what is granted is never above the limit.
      if (moreHashes <= 0n) return { state, effects: [] };
      const grantedHashes = slice.grantedHashes + moreHashes;
      return {
        state: set(state, instance, { ...slice, grantedHashes }),
        effects: [{ type: 'granted', instance, grantedHashes }],
      };
    }
    case 'paid': {
      if (event.paidHashes <= slice.paidHashes) return { state, effects: [] };
      const { paidHashes } = event;
      const grantedHashes = paidHashes > slice.grantedHashes ? paidHashes : slice.grantedHashes;
      return { state: set(state, instance, { grantedHashes, paidHashes }), effects: [] };
    }
    case 'ended': {
      // What it did not use is free again; what it did stays unpaid until a state pays it.
      const doneHashes = event.doneHashes < slice.paidHashes ? slice.paidHashes : event.doneHashes;
      if (doneHashes >= slice.grantedHashes) return { state, effects: [] };
      return { state: set(state, instance, { ...slice, grantedHashes: doneHashes }), effects: [] };
    }
    default:
      return unreachable(event);
  }
}

function set({ slices }: SlicesState, instance: string, slice: Slice): SlicesState {
  return { slices: new Map([...slices, [instance, slice]]) };
}

/** The body of the document of a contract's slices. */
export function slicesToJson({ slices }: SlicesState): string {
  const rows = [...slices].map(([instance, { grantedHashes, paidHashes }]) => ({
    ...{ instance, granted_hashes: String(grantedHashes), paid_hashes: String(paidHashes) },
  }));
  return JSON.stringify({ version: 1, slices: rows });
}

/** Reads what `slicesToJson` made. Throws `ledger_corrupt`. */
export function parseSlices(body: string): SlicesState {
  try {
    const { version, slices } = JSON.parse(body) as { version?: unknown; slices?: unknown };
    if (version !== 1 || !Array.isArray(slices)) throw new TypeError('no slices of version 1');
    return { slices: new Map(slices.map(parseSlice)) };
  } catch (cause) {
    throw new CodedError('ledger_corrupt', `slices that cannot be read: ${String(cause)}`, {}, { cause });
  }
}

function parseSlice(value: unknown): readonly [string, Slice] {
  const row = value as Readonly<Record<'instance' | 'granted_hashes' | 'paid_hashes', unknown>>;
  const slice = { grantedHashes: amount(row.granted_hashes), paidHashes: amount(row.paid_hashes) };
  if (typeof row.instance !== 'string' || slice.paidHashes > slice.grantedHashes)
    throw new TypeError('not a slice');
  return [row.instance, slice];
}

function amount(value: unknown): bigint {
  if (typeof value !== 'string' || !/^\d{1,40}$/.test(value)) throw new TypeError('not an amount');
  return BigInt(value);
}

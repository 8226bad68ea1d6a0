import { unreachable } from '../base/assert.ts';
import { CodedError } from '../base/errors.ts';

/**
 * What may still be delivered under a contract, shared out among instances that cannot see each other. All
 * amounts are hashes, cumulative from the beginning, and only rise: what comes late, twice or never does no
 * harm, and no clock is asked. Beyond what it was granted an instance mines to its own fallback.
 */
export type Slice = {
  /** The run of the instance that it was granted to: one that began anew hears of none that was before. */
  readonly run: number;
  /** It may have done so much work. */
  readonly grantedHashes: bigint;
  /** So much of its work the owner has counted: by its own books it is limited from there on. */
  readonly countedHashes: bigint;
};

export type SlicesState = { readonly slices: ReadonlyMap<string, Slice> };

export type SlicesOptions = {
  /** What may be delivered beside all that is counted. */
  readonly limitHashes: bigint;
  /** What an instance is to have in hand, as far as the limit allows. */
  readonly sliceHashes: bigint;
};

export type SlicesEvent =
  /** A run of an instance asks for more; so much it has done. The run before it writes nothing any more. */
  | { readonly type: 'asked'; readonly instance: string; readonly run: number; readonly doneHashes: bigint }
  /** So much of the work of an instance is counted. */
  | { readonly type: 'counted'; readonly instance: string; readonly countedHashes: bigint }
  /** It writes nothing any more, and has done so much. */
  | { readonly type: 'ended'; readonly instance: string; readonly doneHashes: bigint };

/** A slice is larger: to be told once it is on disk. */
export type SlicesEffect = {
  readonly type: 'granted';
  readonly instance: string;
  readonly grantedHashes: bigint;
};

export type SlicesStep = { readonly state: SlicesState; readonly effects: readonly SlicesEffect[] };

export const NO_SLICES: SlicesState = { slices: new Map() };
const NOTHING: Slice = { run: 0, grantedHashes: 0n, countedHashes: 0n };

/** What may come by what was granted, whoever has done how much of it. */
export function outstandingHashes({ slices }: SlicesState): bigint {
  return [...slices.values()].reduce((sum, each) => sum + each.grantedHashes - each.countedHashes, 0n);
}

/** Whether an instance may give out work that may bring it to so much. */
export function mayMine(grantedHashes: bigint, doneHashes: bigint): boolean {
  return doneHashes <= grantedHashes;
}

/** The owner of the channel shares out: of all that is granted and not counted, never more than the limit. */
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
      if (event.run !== slice.run) return beginRun(options, state, event, slice);
      const freeHashes = options.limitHashes - outstandingHashes(state);
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
    case 'counted': {
      if (event.countedHashes <= slice.countedHashes) return { state, effects: [] };
      const { countedHashes } = event;
      const grantedHashes = countedHashes > slice.grantedHashes ? countedHashes : slice.grantedHashes;
      return { state: set(state, instance, { ...slice, grantedHashes, countedHashes }), effects: [] };
    }
    case 'ended':
      return { state: set(state, instance, ended(slice, event.doneHashes)), effects: [] };
    default:
      return unreachable(event);
  }
}

/** What was not used is free again; what was done stays until it is counted. */
function ended(slice: Slice, doneHashes: bigint): Slice {
  const leastHashes = doneHashes < slice.countedHashes ? slice.countedHashes : doneHashes;
  return leastHashes >= slice.grantedHashes ? slice : { ...slice, grantedHashes: leastHashes };
}

function beginRun(
  options: SlicesOptions,
  state: SlicesState,
  event: Extract<SlicesEvent, { readonly type: 'asked' }>,
  slice: Slice,
): SlicesStep {
  const { instance, run, doneHashes } = event;
  const begun = set(state, instance, { ...ended(slice, doneHashes), run });
  const step = transition(options, begun, event, 0);
  if (step.effects.length > 0) return step;
  const { grantedHashes } = begun.slices.get(instance)!;
  return { state: begun, effects: [{ type: 'granted', instance, grantedHashes }] };
}

function set({ slices }: SlicesState, instance: string, slice: Slice): SlicesState {
  return { slices: new Map([...slices, [instance, slice]]) };
}

/** The body of the document of a contract's slices. */
export function slicesToJson({ slices }: SlicesState): string {
  const rows = [...slices].map(([instance, { run, grantedHashes, countedHashes }]) => ({
    ...{ instance, run, granted_hashes: String(grantedHashes), counted_hashes: String(countedHashes) },
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
  const row = value as Readonly<Record<'instance' | 'run' | 'granted_hashes' | 'counted_hashes', unknown>>;
  const run = Number(row.run);
  const slice = {
    run,
    grantedHashes: amount(row.granted_hashes),
    countedHashes: amount(row.counted_hashes),
  };
  if (
    typeof row.instance !== 'string' ||
    !Number.isSafeInteger(run) ||
    slice.countedHashes > slice.grantedHashes
  )
    throw new TypeError('not a slice');
  return [row.instance, slice];
}

function amount(value: unknown): bigint {
  if (typeof value !== 'string' || !/^\d{1,40}$/.test(value)) throw new TypeError('not an amount');
  return BigInt(value);
}

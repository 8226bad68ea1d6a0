import { unreachable } from '../base/assert.ts';
import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import { LIMITS } from '../base/limits.ts';
import type { ContractTerms } from './terms.ts';
import { type AgreedUpdate, type Update, updateHash } from './update.ts';
import { checkUpdate, updatesOf } from './updated-terms.ts';

/** Who does something about an update: this side or the other. */
export type UpdateSide = 'own' | 'peer';

/** An update with one signature. */
export type Proposal = { readonly update: Update; readonly by: UpdateSide; readonly signature: string };

/** An update that was taken back, by its hash, with what each side signed of that so far. */
export type Revocation = { readonly hashHex: string; readonly own?: string; readonly peer?: string };

/** The updates of one contract as one side knows them. */
export type UpdatesState = {
  /** The terms with the updates that both signed. */
  readonly terms: ContractTerms;
  /** The one that waits for its second signature. */
  readonly pending?: Proposal;
  /** The newest that were taken back. */
  readonly revoked: readonly Revocation[];
};

export type UpdateEvent =
  /** An update with its first signature, which verifies. */
  | {
      readonly type: 'proposed';
      readonly by: UpdateSide;
      readonly update: Update;
      readonly signature: string;
    }
  /** The second signature, which verifies. */
  | {
      readonly type: 'confirmed';
      readonly by: UpdateSide;
      readonly update: Update;
      readonly signature: string;
    }
  /** Updates with both signatures, which verify, as the other side shows them after a break. */
  | { readonly type: 'shown'; readonly updates: readonly AgreedUpdate[] }
  /** One is taken back; what is signed of that verifies. */
  | {
      readonly type: 'revoked';
      readonly by: UpdateSide;
      readonly hashHex: string;
      readonly signature: string;
    };

/** What follows: what both signed holds from now on. */
export type UpdateEffect = { readonly type: 'agreed'; readonly update: AgreedUpdate };

/** The result of one step: the new state, and what follows. */
export type UpdateTransition = { readonly state: UpdatesState; readonly effects: readonly UpdateEffect[] };

export type UpdateOptions = { readonly contractId: string; readonly role: 'miner' | 'maker' };

/**
 * One step of the updates of a contract; pure. At most one waits, at most one is agreed for each number, and
 * what was taken back before its second signature never holds. Throws `bad_terms`, `update_conflict`,
 * `update_late`, `update_revoked`, `update_agreed`, `update_unknown`.
 * @param workHashes work up to which this side is bound to the prices of now: the maker by what it credited,
 * the miner by what it delivered, or where it bound itself before, by what states pay
 */
export function transition(
  options: UpdateOptions,
  state: UpdatesState,
  event: UpdateEvent,
  workHashes: bigint,
): UpdateTransition {
  switch (event.type) {
    case 'proposed':
      return { state: proposed(options, state, event, workHashes), effects: [] };
    case 'confirmed':
      return confirmed(options, state, event, workHashes);
    case 'shown':
      return shown(options, state, event.updates, workHashes);
    case 'revoked':
      return { state: revoked(state, event), effects: [] };
    default:
      return unreachable(event);
  }
}

/** The hash of an update in hex. */
export function updateId(update: Update): string {
  return toHex(updateHash(update));
}

function isAgreed({ terms }: UpdatesState, hashHex: string): boolean {
  return updatesOf(terms).some(({ update }) => updateId(update) === hashHex);
}

function proposed(
  { contractId }: UpdateOptions,
  state: UpdatesState,
  { by, update, signature }: Extract<UpdateEvent, { readonly type: 'proposed' }>,
  workHashes: bigint,
): UpdatesState {
  const hashHex = updateId(update);
  const { pending } = state;
  if (pending !== undefined && updateId(pending.update) === hashHex) return state;
  if (isAgreed(state, hashHex)) return state;
  assertLive(state, hashHex);
  if (pending !== undefined) throw new CodedError('update_conflict', 'another update waits');
  checkUpdate(contractId, state.terms, update);
  assertInTime(update, workHashes);
  return { ...state, pending: { update, by, signature } };
}

function confirmed(
  options: UpdateOptions,
  state: UpdatesState,
  { by, update, signature }: Extract<UpdateEvent, { readonly type: 'confirmed' }>,
  workHashes: bigint,
): UpdateTransition {
  const hashHex = updateId(update);
  if (isAgreed(state, hashHex)) return { state, effects: [] };
  assertLive(state, hashHex);
  const { pending } = state;
  if (pending === undefined || pending.by === by || updateId(pending.update) !== hashHex)
    throw new CodedError('update_unknown', `update ${update.number} does not wait for this signature`);
  assertInTime(update, workHashes);
  const isMiners = (pending.by === 'own') === (options.role === 'miner');
  return agree(state, {
    update,
    minerSignature: isMiners ? pending.signature : signature,
    makerSignature: isMiners ? signature : pending.signature,
  });
}

function agree({ pending: _pending, ...state }: UpdatesState, update: AgreedUpdate): UpdateTransition {
  const { terms } = state;
  // Only terms of version 3 have updates: `checkUpdate` holds that.
  const next = terms.version === 3 ? { ...terms, updates: [...updatesOf(terms), update] } : terms;
  return { state: { ...state, terms: next }, effects: [{ type: 'agreed', update }] };
}

function shown(
  { contractId }: UpdateOptions,
  before: UpdatesState,
  updates: readonly AgreedUpdate[],
  workHashes: bigint,
): UpdateTransition {
  let state = before;
  const effects: UpdateEffect[] = [];
  for (const each of updates) {
    const hashHex = updateId(each.update);
    if (isAgreed(state, hashHex)) continue;
    assertLive(state, hashHex);
    checkUpdate(contractId, state.terms, each.update);
    assertInTime(each.update, workHashes);
    const next = agree(state, each);
    state = next.state;
    effects.push(...next.effects);
  }
  return { state, effects };
}

function revoked(
  state: UpdatesState,
  { by, hashHex, signature }: Extract<UpdateEvent, { readonly type: 'revoked' }>,
): UpdatesState {
  if (isAgreed(state, hashHex)) throw new CodedError('update_agreed');
  const known = state.revoked.find((each) => each.hashHex === hashHex);
  const others = state.revoked.filter((each) => each !== known);
  const entry = { ...known, hashHex, [by]: signature };
  const { pending, ...rest } = state;
  const isPending = pending !== undefined && updateId(pending.update) === hashHex;
  return {
    ...rest,
    ...(pending === undefined || isPending ? {} : { pending }),
    revoked: [...others, entry].slice(-LIMITS.contractUpdates),
  };
}

function assertLive({ revoked: dead }: UpdatesState, hashHex: string): void {
  if (dead.some((each) => each.hashHex === hashHex)) throw new CodedError('update_revoked');
}

function assertInTime({ number, fromHashes }: Update, workHashes: bigint): void {
  if (fromHashes < workHashes)
    throw new CodedError('update_late', `update ${number} is from ${fromHashes}, work is at ${workHashes}`);
}

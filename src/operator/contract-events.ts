import { toHex } from '../base/bytes.ts';
import { CodedError } from '../base/errors.ts';
import type { Json } from '../base/json.ts';
import type { SignedState } from '../channel/states.ts';
import {
  type ContractEvent,
  type ContractFact,
  chained,
  createFact,
  stateFact,
  updateFacts,
} from '../contract/event-chain.ts';
import { moneyStreamOf } from '../contract/money-stream.ts';
import type { SaidNotice } from '../contract/notices.ts';
import type { Revocation } from '../contract/update-course.ts';
import { updatesOf } from '../contract/updated-terms.ts';
import type { CommitmentRecord } from '../peer/commitment-codecs.ts';
import { moneyStreamCodec } from '../peer/stream-codecs.ts';
import type { StoredContract } from '../settlement/records.ts';

/** A contract as a money stream (ERC-1620 has the words), and its events, by what one side has on disk. */

/** What a side has of a contract. */
export type StreamSource = {
  readonly stored: StoredContract;
  /** Every state on disk, by rising number. */
  readonly states: readonly SignedState[];
  /** Commitments of these, signed by one side or both. */
  readonly commitments: readonly CommitmentRecord[];
  readonly revoked: readonly Revocation[];
  readonly notices: readonly SaidNotice[];
};

/** `getStream` and `balanceOf`, by what is on disk. */
export function streamJson({ stored }: Pick<StreamSource, 'stored'>): { readonly [field: string]: Json } {
  const { contractId, contract, last, channel } = stored;
  const stream = moneyStreamCodec.print(moneyStreamOf(contractId, contract.terms, last));
  return { ...(stream as { readonly [field: string]: Json }), status: channel?.status ?? 'none' };
}

/**
 * The events of a contract, oldest first. Up to the newest state whose head both signed they are the same at
 * both sides; behind it stands what this side has beyond that. Throws `bad_evidence` where they are not those
 * that were signed.
 */
export function contractEvents(source: StreamSource): readonly ContractEvent[] {
  const events = chained(source.stored.contractId, factsOf(source));
  const signed = signedChain(source);
  for (const { event, n, hash } of events) {
    const head = event === 'LogState' ? signed.get(Number(n))?.eventsHead : undefined;
    if (head !== undefined && toHex(head) !== hash)
      throw new CodedError(
        'bad_evidence',
        `the events up to state ${String(n)} are not those that both signed`,
      );
  }
  return events;
}

function factsOf(source: StreamSource): readonly ContractFact[] {
  const { stored, revoked, notices } = source;
  const { contractId, contract } = stored;
  const { terms } = contract;
  const signatures = { recipient: contract.minerSignature, sender: contract.makerSignature };
  const facts: ContractFact[] = [{ ...createFact(contractId, terms), signatures }];
  const updates = [...updatesOf(terms)];
  for (const { state, commitment } of shownStates(source)) {
    while (updates[0] !== undefined && updates[0].update.fromHashes < state.workHashes)
      facts.push(...updateFacts(updates.shift()!));
    facts.push({ ...stateFact(terms, state), signatures: stateSignatures(state, commitment) });
  }
  for (const next of updates) facts.push(...updateFacts(next));
  for (const { hashHex, own, peer } of revoked)
    facts.push({ event: 'LogRevokeUpdate', update: hashHex, own: own ?? null, other: peer ?? null });
  return [...facts, ...notices.map(noticeFact), ...closeFacts(stored)];
}

type ShownState = { readonly state: SignedState; readonly commitment: CommitmentRecord | undefined };

/** The states of the chain that both signed, and behind it those of this side alone. */
function shownStates(source: StreamSource): readonly ShownState[] {
  const signed = signedChain(source);
  const newest = Math.max(0, ...signed.keys());
  return source.states.flatMap((state) => {
    const commitment = signed.get(state.n);
    return state.n > newest || commitment !== undefined ? [{ state, commitment }] : [];
  });
}

/** The commitments with a head that both signed, each on the one before, by number. */
function signedChain({ commitments }: StreamSource): ReadonlyMap<number, CommitmentRecord> {
  const byNumber = new Map(
    commitments
      .filter(({ minerSignature, eventsHead }) => minerSignature !== undefined && eventsHead !== undefined)
      .map((record) => [record.n, record]),
  );
  const chain = new Map<number, CommitmentRecord>();
  let next = byNumber.get(Math.max(0, ...byNumber.keys()));
  for (; next !== undefined && !chain.has(next.n); next = byNumber.get(next.baseN)) chain.set(next.n, next);
  return chain;
}

/** Of one that both committed to, theirs under the head; else that of the state. */
function stateSignatures(
  { receiptSignature }: SignedState,
  commitment: CommitmentRecord | undefined,
): ContractFact['signatures'] {
  if (commitment === undefined) return { sender: receiptSignature };
  const { makerSignature, minerSignature } = commitment;
  return { sender: makerSignature, recipient: minerSignature ?? null };
}

const NOTICE_EVENTS: Readonly<Record<SaidNotice['what'], string>> = {
  ...{ pause: 'LogPause', resume: 'LogResume', end: 'LogEnd', void: 'LogVoid' },
};

/** What a side said beyond the terms, and when this side said or heard it. */
function noticeFact({ what, by, atHeight, atMs, pause, end, writtenOffSat }: SaidNotice): ContractFact {
  const who = by === 'miner' ? 'recipient' : 'sender';
  return {
    ...{ event: NOTICE_EVENTS[what], by: who, at_height: atHeight, at_ms: atMs },
    ...(pause === undefined
      ? {}
      : { reason: pause.reason, from_height: pause.fromHeight, until_height: pause.untilHeight ?? null }),
    ...(end === undefined ? {} : { end_height: end.height, signatures: { [who]: end.signature } }),
    ...(writtenOffSat === undefined ? {} : { written_off_sat: writtenOffSat.toString() }),
  };
}

function closeFacts({ contract, channel }: StoredContract): readonly ContractFact[] {
  if (channel?.closeTx === undefined) return [];
  const { paidSat, closeTx: transaction, reason } = channel;
  if (reason === 'alone') return [{ event: 'LogWithdraw', funds_sat: paidSat.toString(), transaction }];
  const balances = {
    recipient_sat: paidSat.toString(),
    sender_sat: (contract.terms.budgetSat - paidSat).toString(),
  };
  return [{ event: 'LogRedeem', ...balances, transaction }];
}
